//! What an adapter's file holds: for each layer that it names, the tensors that belong together. Add another spelling of
//! keys to [`ENDINGS`].

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::SystemTime;

use candle_core::{DType, Device, Tensor};
use rayon::prelude::*;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::accelerator;
use crate::checkpoint::{FileKind, Kind, LoraFamily, Tensors, classify, read_header};
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
    /// GLoRA's four factors, and a core between the last two.
    GloraA1,
    GloraA2,
    GloraB1,
    GloraB2,
    GloraMid,
    /// IA3's factors, and whether they are for what a layer takes (1) or for what it gives (0).
    Ia3,
    OnInput,
    /// The whole difference of a layer's weights and of its bias.
    Diff,
    DiffBias,
    /// The same of a norm.
    Norm,
    NormBias,
}

/// How keys end, and what that makes of them. The longest that fits counts.
const ENDINGS: [(&str, Part); 44] = [
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
    (".a1.weight", Part::GloraA1),
    (".a2.weight", Part::GloraA2),
    (".b1.weight", Part::GloraB1),
    (".b2.weight", Part::GloraB2),
    (".bm.weight", Part::GloraMid),
    (".weight", Part::Ia3),
    (".on_input", Part::OnInput),
    (".diff", Part::Diff),
    (".diff_b", Part::DiffBias),
    (".w_norm", Part::Norm),
    (".b_norm", Part::NormBias),
];

/// Bytes that are hashed at a time.
const BLOCK: usize = 1 << 20;

/// Digits of a hash that other programs write beside a LoRA's name (A1111's `shorthash`).
const SHORT: usize = 12;

/// Which file an adapter was read from. Another file under the same name is another adapter.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Stamp {
    pub path: PathBuf,
    modified: Option<SystemTime>,
    bytes: u64,
}

impl Stamp {
    fn of(path: &Path) -> Self {
        let metadata = path.metadata().ok();
        let modified = metadata.as_ref().and_then(|metadata| metadata.modified().ok());
        Self { path: path.to_owned(), modified, bytes: metadata.map_or(0, |metadata| metadata.len()) }
    }
}

/// An adapter's file, mapped. Its tensors are read when a layer is computed.
#[derive(Debug)]
pub(crate) struct Adapter {
    pub(super) stamp: Stamp,
    pub(super) kind: FileKind,
    tensors: Tensors,
    /// What belongs to a layer, by what its keys have in common.
    pub(super) modules: BTreeMap<String, Module>,
    /// Keys of no kind that is known here, and one of them.
    pub(super) unknown: (usize, Option<String>),
    /// PEFT's scale for what begins with `unet.` and with `text_encoder.`.
    peft: [Option<f64>; 2],
    /// The hash that is written in the file.
    written_hash: Option<String>,
    hash: OnceLock<String>,
    /// The first tensor with a number that is none.
    unsound: OnceLock<Option<String>>,
}

/// The tensors of one layer's difference, by their names in the file.
#[derive(Debug, Default)]
pub(super) struct Module {
    pub parts: BTreeMap<Part, String>,
}

impl Adapter {
    /// Reads the header of a file.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let fault = |message: String| Error::Checkpoint { path: path.to_owned(), message };
        if !path.exists() {
            return Err(fault("does not exist: give the file of a LoRA, or its name in a folder of LoRAs".to_owned()));
        }
        let kind = classify(path)?;
        if let (Kind::Lora(LoraFamily::Oft | LoraFamily::Boft), Some(why)) = (kind.kind, &kind.unusable) {
            return Err(fault(why.clone()));
        }
        let tensors = Tensors::open_file(path)?;
        let metadata = read_header(path)?.0.metadata().clone().unwrap_or_default();
        let hex = |hash: &&String| hash.len() == 64 && hash.bytes().all(|digit| digit.is_ascii_hexdigit());
        let mut adapter = Self {
            stamp: Stamp::of(path),
            kind,
            modules: BTreeMap::new(),
            unknown: (0, None),
            peft: peft_scales(metadata.get("lora_adapter_metadata")),
            written_hash: metadata.get("sshs_model_hash").filter(hex).cloned(),
            tensors,
            hash: OnceLock::new(),
            unsound: OnceLock::new(),
        };
        let names: Vec<String> = adapter.tensors.iter().map(|(name, _)| name.to_owned()).collect();
        for name in names {
            let fitting = ENDINGS.iter().filter(|(ending, _)| name.ends_with(ending));
            match fitting.max_by_key(|(ending, _)| ending.len()) {
                Some((ending, part)) => {
                    let module = name[..name.len() - ending.len()].to_owned();
                    adapter.modules.entry(module).or_default().parts.insert(*part, name);
                }
                None => adapter.add_unknown(&name),
            }
        }
        adapter.drop_what_is_no_difference();
        if adapter.modules.is_empty() {
            let what = adapter.kind.kind.name();
            return Err(fault(format!(
                "holds no LoRA: it is a {what}, and none of its keys is of a kind that LoRAs have"
            )));
        }
        Ok(adapter)
    }

    /// Weights under the name of a layer are IA3's only if the file says what for, and the weights of a model otherwise.
    fn drop_what_is_no_difference(&mut self) {
        let mut others = Vec::new();
        self.modules.retain(|_, module| {
            if !module.parts.contains_key(&Part::OnInput) {
                others.extend(module.parts.remove(&Part::Ia3));
            }
            let alone = module.parts.keys().all(|part| matches!(part, Part::Alpha | Part::OnInput));
            if alone {
                others.extend(std::mem::take(&mut module.parts).into_values());
            }
            !alone
        });
        for name in &others {
            self.add_unknown(name);
        }
    }

    fn add_unknown(&mut self, name: &str) {
        self.unknown.0 += 1;
        self.unknown.1.get_or_insert_with(|| name.to_owned());
    }

    /// Whether the file is still the one that was opened.
    pub(super) fn is_current(&self) -> bool {
        Stamp::of(&self.stamp.path) == self.stamp
    }

    /// The file's name.
    pub(super) fn name(&self) -> String {
        let path = &self.stamp.path;
        path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
    }

    /// The file's name without its ending.
    pub(crate) fn stem(&self) -> String {
        let path = &self.stamp.path;
        path.file_stem().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
    }

    /// Whether it shortens a diffusion model's run, as far as its name and its title tell.
    pub(super) fn is_accelerator(&self) -> bool {
        accelerator::is_one(&self.stem()) || self.kind.title.as_deref().is_some_and(accelerator::is_one)
    }

    pub(super) fn fault(&self, message: impl Into<String>) -> Error {
        Error::Checkpoint { path: self.stamp.path.clone(), message: message.into() }
    }

    /// The shape of a module's tensor, if the module has it.
    pub(super) fn shape(&self, module: &Module, part: Part) -> Option<&[usize]> {
        let stored = self.tensors.get(module.parts.get(&part)?)?;
        Some(&stored.shape)
    }

    /// A tensor of a module in f32, if the module has it.
    pub(super) fn tensor(&self, module: &Module, part: Part) -> Result<Option<Tensor>> {
        let Some(name) = module.parts.get(&part) else { return Ok(None) };
        let Some((stored, dtype)) = self.tensors.get(name).and_then(|stored| Some((stored, stored.candle_dtype()?)))
        else {
            return Err(self.fault(format!("stores {name} in a type that weights do not have: fetch it again")));
        };
        let tensor = Tensor::from_raw_buffer(self.tensors.bytes(stored), dtype, &stored.shape, &Device::Cpu)?;
        Ok(Some(tensor.to_dtype(DType::F32)?))
    }

    /// Whether a tensor that holds one number, of whatever type, holds 0.
    pub(super) fn is_zero(&self, module: &Module, part: Part) -> bool {
        let stored = module.parts.get(&part).and_then(|name| self.tensors.get(name));
        stored.is_none_or(|stored| self.tensors.bytes(stored).iter().all(|byte| *byte == 0))
    }

    /// An error if a tensor is empty, of a type that weights do not have, or holds a value that is no finite number. All of
    /// them are looked at once, so that a file cannot fail in the midst of a change.
    pub(super) fn check_values(&self) -> Result<()> {
        let unsound = self.unsound.get_or_init(|| {
            let names: Vec<(&Part, &String)> = self.modules.values().flat_map(|module| &module.parts).collect();
            names.par_iter().find_map_first(|(part, name)| self.unsound(**part, name))
        });
        unsound.as_ref().map_or(Ok(()), |message| Err(self.fault(message.clone())))
    }

    fn unsound(&self, part: Part, name: &str) -> Option<String> {
        let stored = self.tensors.get(name)?;
        let bytes = self.tensors.bytes(stored);
        if bytes.is_empty() {
            return Some(format!("holds nothing in {name}: fetch it again"));
        }
        if part == Part::OnInput {
            return None;
        }
        let finite = match stored.candle_dtype() {
            Some(DType::F32) => all(bytes, |bytes| u32::from_le_bytes(bytes) & 0x7f80_0000 != 0x7f80_0000),
            Some(DType::F16) => all(bytes, |bytes| u16::from_le_bytes(bytes) & 0x7c00 != 0x7c00),
            Some(DType::BF16) => all(bytes, |bytes| u16::from_le_bytes(bytes) & 0x7f80 != 0x7f80),
            Some(DType::F8E4M3) => all(bytes, |[byte]: [u8; 1]| byte & 0x7f != 0x7f),
            _ => return Some(format!("stores {name} in a type that weights do not have: fetch it again")),
        };
        (!finite).then(|| format!("holds numbers in {name} that are not finite: fetch it again"))
    }

    /// What a LoRA of this rank is multiplied with: `alpha / rank`, or what PEFT's metadata say, or 1.
    pub(super) fn scale(&self, key: &str, module: &Module, rank: usize) -> Result<f64> {
        if let Some(alpha) = self.tensor(module, Part::Alpha)? {
            let alpha = alpha.flatten_all()?.to_vec1::<f32>()?;
            let alpha = alpha.first().copied().unwrap_or(1.0);
            return Ok(f64::from(alpha) / rank as f64);
        }
        let peft = if key.starts_with("text_encoder.") { self.peft[1] } else { self.peft[0] };
        Ok(peft.unwrap_or(1.0))
    }

    /// The hash that other programs know the file by: twelve hex digits of the sha256 of everything after its header, or of
    /// what the file gives as that. It is computed once. `None` if the file cannot be read any more.
    pub(crate) fn short_hash(&self) -> Option<String> {
        if self.hash.get().is_none() {
            let whole = self.written_hash.clone().or_else(|| hash_of_tensors(&self.stamp.path).ok())?;
            let _ = self.hash.set(whole[..SHORT].to_ascii_lowercase());
        }
        self.hash.get().cloned()
    }
}

/// Whether all numbers in these bytes are of a kind.
fn all<const N: usize>(bytes: &[u8], is: impl Fn([u8; N]) -> bool) -> bool {
    bytes.as_chunks().0.iter().all(|number| is(*number))
}

/// sha256 in hex of what follows the header of a safetensors file.
fn hash_of_tensors(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let mut length = [0; 8];
    file.read_exact(&mut length)?;
    file.seek(SeekFrom::Start(u64::from_le_bytes(length).saturating_add(8)))?;
    let (mut hash, mut block) = (Sha256::new(), vec![0; BLOCK]);
    loop {
        match file.read(&mut block)? {
            0 => break,
            read => hash.update(&block[..read]),
        }
    }
    Ok(hash.finalize().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

/// The scales in the header's `lora_adapter_metadata`, which Diffusers writes for PEFT.
fn peft_scales(text: Option<&String>) -> [Option<f64>; 2] {
    let metadata = text.and_then(|text| serde_json::from_str::<Value>(text).ok());
    ["unet", "text_encoder"].map(|prefix| {
        let number = |key: &str| metadata.as_ref()?[format!("{prefix}.{key}")].as_f64().filter(|n| n.is_finite());
        let rank = number("r").filter(|rank| *rank > 0.0)?;
        let root = metadata.as_ref()?[format!("{prefix}.use_rslora")].as_bool() == Some(true);
        Some(number("lora_alpha")? / if root { rank.sqrt() } else { rank })
    })
}
