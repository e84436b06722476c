//! What an adapter's file holds: for each layer that it names, the tensors that belong together. Add another spelling of
//! keys to [`ENDINGS`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use candle_core::{Device, Tensor};
use serde_json::Value;

use crate::checkpoint::{Tensors, read_header};
use crate::{Error, Result};

/// What a tensor is in its layer's difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    Up,
    Down,
    Mid,
    Alpha,
    /// DoRA's magnitudes as LyCORIS has them.
    DoraScale,
    /// DoRA's magnitudes as PEFT has them.
    Magnitude,
    Hada1A,
    Hada1B,
    Hada2A,
    Hada2B,
    HadaT1,
    HadaT2,
    Lokr1,
    Lokr1A,
    Lokr1B,
    Lokr2,
    Lokr2A,
    Lokr2B,
    LokrT2,
    /// The whole difference.
    Diff,
}

/// How keys end, and what that makes of them. The longest that fits counts.
const ENDINGS: [(&str, Part); 34] = [
    (".lora_up.weight", Part::Up),
    (".lora_down.weight", Part::Down),
    (".lora_mid.weight", Part::Mid),
    (".lora_B.weight", Part::Up),
    (".lora_A.weight", Part::Down),
    (".lora_B.default.weight", Part::Up),
    (".lora_A.default.weight", Part::Down),
    (".lora.up.weight", Part::Up),
    (".lora.down.weight", Part::Down),
    (".lora_linear_layer.up.weight", Part::Up),
    (".lora_linear_layer.down.weight", Part::Down),
    ("_lora.up.weight", Part::Up),
    ("_lora.down.weight", Part::Down),
    (":up", Part::Up),
    (":down", Part::Down),
    (".alpha", Part::Alpha),
    (".dora_scale", Part::DoraScale),
    (".lora_magnitude_vector", Part::Magnitude),
    (".lora_magnitude_vector.weight", Part::Magnitude),
    (".lora_magnitude_vector.default.weight", Part::Magnitude),
    (".hada_w1_a", Part::Hada1A),
    (".hada_w1_b", Part::Hada1B),
    (".hada_w2_a", Part::Hada2A),
    (".hada_w2_b", Part::Hada2B),
    (".hada_t1", Part::HadaT1),
    (".hada_t2", Part::HadaT2),
    (".lokr_w1", Part::Lokr1),
    (".lokr_w1_a", Part::Lokr1A),
    (".lokr_w1_b", Part::Lokr1B),
    (".lokr_w2", Part::Lokr2),
    (".lokr_w2_a", Part::Lokr2A),
    (".lokr_w2_b", Part::Lokr2B),
    (".lokr_t2", Part::LokrT2),
    (".diff", Part::Diff),
];

/// An adapter's file, mapped. Its tensors are read when a layer is computed.
#[derive(Debug)]
pub(crate) struct Adapter {
    path: PathBuf,
    /// When the file was last changed: another file under the same name is another adapter.
    pub(super) modified: Option<SystemTime>,
    tensors: Tensors,
    /// What belongs to a layer, by what its keys have in common.
    pub(super) modules: BTreeMap<String, Module>,
    /// Keys of no kind that is known here.
    pub(super) unknown: usize,
    /// PEFT's scale for what begins with `unet.` and with `text_encoder.`.
    peft: [Option<f64>; 2],
}

/// The tensors of one layer's difference, by their names in the file.
#[derive(Debug, Default)]
pub(super) struct Module {
    pub parts: BTreeMap<Part, String>,
}

impl Adapter {
    /// Reads the header of a file.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let tensors = Tensors::open_file(path)?;
        let mut adapter = Self {
            path: path.to_owned(),
            modified: modified(path),
            modules: BTreeMap::new(),
            unknown: 0,
            peft: peft_scales(path),
            tensors,
        };
        let names: Vec<String> = adapter.tensors.iter().map(|(name, _)| name.to_owned()).collect();
        for name in names {
            let fitting = ENDINGS.iter().filter(|(ending, _)| name.ends_with(ending));
            match fitting.max_by_key(|(ending, _)| ending.len()) {
                Some((ending, part)) => {
                    let module = name[..name.len() - ending.len()].to_owned();
                    adapter.modules.entry(module).or_default().parts.insert(*part, name);
                }
                None => adapter.unknown += 1,
            }
        }
        if adapter.modules.is_empty() {
            return Err(adapter.fault("holds no LoRA: none of its keys is of a kind that LoRAs have"));
        }
        Ok(adapter)
    }

    /// Whether the file is still the one that was opened.
    pub(crate) fn is_current(&self) -> bool {
        self.modified == modified(&self.path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The file's name, for messages.
    pub(super) fn name(&self) -> String {
        self.path.file_name().unwrap_or(self.path.as_os_str()).to_string_lossy().into_owned()
    }

    pub(super) fn fault(&self, message: impl Into<String>) -> Error {
        Error::Checkpoint { path: self.path.clone(), message: message.into() }
    }

    /// A tensor of a module in f32, if the module has it.
    pub(super) fn tensor(&self, module: &Module, part: Part) -> Result<Option<Tensor>> {
        let Some(name) = module.parts.get(&part) else { return Ok(None) };
        let values = self.tensors.get(name).and_then(|stored| Some((self.tensors.values(stored)?, &stored.shape)));
        let Some((values, shape)) = values else {
            return Err(self.fault(format!("stores {name} in a type that weights do not have")));
        };
        if !values.iter().all(|value| value.is_finite()) {
            return Err(self.fault(format!("holds numbers in {name} that are not finite: fetch it again")));
        }
        if values.is_empty() {
            return Err(self.fault(format!("holds nothing in {name}: fetch it again")));
        }
        Ok(Some(Tensor::from_vec(values, shape.as_slice(), &Device::Cpu)?))
    }

    /// What a LoRA of this rank is multiplied with: `alpha / rank`, or what PEFT's metadata say, or 1.
    pub(super) fn scale(&self, key: &str, module: &Module, rank: usize) -> Result<f64> {
        if let Some(alpha) = self.tensor(module, Part::Alpha)? {
            let alpha = alpha.flatten_all()?.to_vec1::<f32>()?;
            return Ok(f64::from(alpha[0]) / rank as f64);
        }
        let peft = if key.starts_with("text_encoder.") { self.peft[1] } else { self.peft[0] };
        Ok(peft.unwrap_or(1.0))
    }
}

fn modified(path: &Path) -> Option<SystemTime> {
    path.metadata().ok()?.modified().ok()
}

/// The scales in the header's `lora_adapter_metadata`, which Diffusers writes for PEFT.
fn peft_scales(path: &Path) -> [Option<f64>; 2] {
    let metadata = read_header(path).ok().and_then(|(header, _)| {
        let text = header.metadata().as_ref()?.get("lora_adapter_metadata")?.clone();
        serde_json::from_str::<Value>(&text).ok()
    });
    ["unet", "text_encoder"].map(|prefix| {
        let number = |key: &str| metadata.as_ref()?[format!("{prefix}.{key}")].as_f64();
        let rank = number("r").filter(|rank| *rank > 0.0)?;
        let root = metadata.as_ref()?[format!("{prefix}.use_rslora")].as_bool() == Some(true);
        Some(number("lora_alpha")? / if root { rank.sqrt() } else { rank })
    })
}
