//! What a safetensors file is: read from its header alone, so that a thousand files take seconds. Add another kind of file
//! to [`Kind`] and to the tests in `detect`.

mod base;
mod detect;
mod metadata;

use std::path::Path;

use serde::Serialize;

use super::header;
use crate::Result;
use crate::protocol::Prediction;
use detect::Names;
pub(super) use detect::{UNET_PREFIXES, VAE_PREFIXES};

/// What a file is and what it says about itself.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FileKind {
    /// What it holds.
    pub kind: Kind,
    /// Which model it is, or belongs to.
    pub base: Base,
    /// Which parts of a model are in it.
    pub parts: Parts,
    /// Channels that its U-Net takes: 4, 9 to fill in (latents, mask, masked picture), 8 to change a picture by words, 5
    /// with a map of depths. `None` if there is no U-Net in it.
    pub in_channels: Option<usize>,
    /// Whether it also holds averaged weights of the U-Net (`model_ema.*`).
    pub has_ema: bool,
    /// What the U-Net predicts, if the file says so. No file says that it is a rectified flow.
    pub prediction: Option<Prediction>,
    /// Its name, as whoever made it wrote it.
    pub title: Option<String>,
    /// Words that a prompt needs for it to have its effect.
    pub trigger_words: Vec<String>,
    /// A small picture as a data URI (`data:image/jpeg;base64,…`).
    pub thumbnail: Option<String>,
    /// Under which terms it may be used, in its maker's words.
    pub licence: Option<String>,
    /// What it is about: its maker's words, then the most frequent words of its training pictures.
    pub tags: Vec<String>,
    /// The types of its numbers, as safetensors calls them: "F16".
    pub dtypes: Vec<String>,
    /// Its size.
    pub bytes: u64,
    /// Why this program cannot use it: a sentence whose subject, the file, is left out. `None` if it can.
    pub unusable: Option<String>,
}

/// The kinds of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A U-Net with a text encoder or an autoencoder.
    Checkpoint,
    /// A U-Net alone.
    UNet,
    /// Stable Diffusion's full autoencoder alone.
    Vae,
    /// TAESD's tiny autoencoder, or one half of it.
    TinyAutoencoder,
    /// A text encoder alone.
    TextEncoder,
    /// Changes of a model's weights.
    Lora(LoraFamily),
    /// Learned words.
    TextualInversion,
    /// A ControlNet.
    ControlNet,
    /// A ControlNet as changes of the U-Net that it is used with.
    ControlLora,
    /// A T2I-Adapter.
    T2iAdapter,
    /// A network that enlarges pictures.
    Upscaler,
    /// Something else.
    Unknown,
}

/// How a file writes down changes of weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LoraFamily {
    /// Two factors for each linear layer.
    Lora,
    /// The same with convolutions.
    LoCon,
    /// Products of two pairs of factors.
    LoHa,
    /// Kronecker products.
    LoKr,
    /// Any of these with the norms of the weights.
    Dora,
    /// The differences themselves.
    Full,
    /// Factors on activations.
    Ia3,
    /// Rotations.
    Oft,
    /// Rotations in butterfly form.
    Boft,
    /// Generalized LoRA.
    Glora,
    /// The first program's form, whose layers have numbers and no names.
    CloneOfSimo,
}

/// A model of which there are many descendants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Base {
    /// Stable Diffusion 1.x, and flows of its shape.
    Sd1,
    /// Stable Diffusion 2.x.
    Sd2,
    /// Stable Diffusion XL.
    Sdxl,
    /// Stable Diffusion XL's refiner.
    SdxlRefiner,
    /// Stable Diffusion 3.x.
    Sd3,
    /// FLUX.1.
    Flux,
    /// Another one, or the file does not tell.
    Unknown,
}

/// Parts of a model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Parts {
    /// A text encoder.
    pub text_encoder: bool,
    /// A U-Net, or what other models have for one.
    pub unet: bool,
    /// An autoencoder.
    pub vae: bool,
}

/// Says what a file is. It reads the header and nothing else of the file; a file that is no safetensors file, or whose
/// length contradicts its header, is an error.
pub fn classify(path: &Path) -> Result<FileKind> {
    if let Some(message) = refused_by_name(path) {
        return Err(crate::Error::Checkpoint { path: path.to_owned(), message });
    }
    let (header, bytes) = header::read(path)?;
    let names = Names::new(&header);
    let remarks = header.metadata().clone().unwrap_or_default();
    let kind = detect::kind(&names);
    let mut dtypes: Vec<String> = names.iter().map(|(_, tensor)| tensor.dtype.to_string()).collect();
    dtypes.sort();
    dtypes.dedup();
    let mut file = FileKind {
        kind,
        base: base::of(&names, kind, &remarks),
        parts: detect::parts(&names),
        in_channels: detect::in_channels(&names),
        has_ema: detect::has_ema(&names),
        prediction: metadata::prediction(&remarks),
        title: metadata::title(&remarks),
        trigger_words: metadata::trigger_words(&remarks),
        thumbnail: metadata::thumbnail(&remarks),
        licence: metadata::licence(&remarks),
        tags: metadata::tags(&remarks),
        dtypes,
        bytes,
        unusable: None,
    };
    file.unusable = file.why_not();
    Ok(file)
}

/// Why a file of this name is not opened whatever is in it, as a sentence whose subject, the file, is left out: reading
/// these forms can run code that hides in them.
pub fn refused_by_name(path: &Path) -> Option<String> {
    let ending = path.extension()?.to_str()?.to_ascii_lowercase();
    ["ckpt", "bin", "pt", "pth", "pkl"].contains(&ending.as_str()).then(|| {
        "can run code when it is read, so it is not opened: fetch the model as .safetensors, or convert it on a machine \
         where that does no harm (in Python: safetensors.torch.save_file(torch.load(FILE)['state_dict'], NEW_FILE))"
            .to_owned()
    })
}

impl Kind {
    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Checkpoint => "checkpoint",
            Self::UNet => "U-Net",
            Self::Vae => "VAE",
            Self::TinyAutoencoder => "tiny autoencoder",
            Self::TextEncoder => "text encoder",
            Self::Lora(family) => family.name(),
            Self::TextualInversion => "textual inversion",
            Self::ControlNet => "ControlNet",
            Self::ControlLora => "Control-LoRA",
            Self::T2iAdapter => "T2I-Adapter",
            Self::Upscaler => "upscaler",
            Self::Unknown => "unknown file",
        }
    }
}

impl LoraFamily {
    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lora => "LoRA",
            Self::LoCon => "LoCon",
            Self::LoHa => "LoHa",
            Self::LoKr => "LoKr",
            Self::Dora => "DoRA",
            Self::Full => "full difference",
            Self::Ia3 => "IA3",
            Self::Oft => "OFT",
            Self::Boft => "BOFT",
            Self::Glora => "GLoRA",
            Self::CloneOfSimo => "numbered LoRA",
        }
    }
}

impl Base {
    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sd1 => "Stable Diffusion 1",
            Self::Sd2 => "Stable Diffusion 2",
            Self::Sdxl => "Stable Diffusion XL",
            Self::SdxlRefiner => "Stable Diffusion XL's refiner",
            Self::Sd3 => "Stable Diffusion 3",
            Self::Flux => "FLUX",
            Self::Unknown => "an unknown base",
        }
    }

    /// The width of its text embeddings, if this program can draw with it.
    pub fn text_width(self) -> Option<usize> {
        match self {
            Self::Sd1 => Some(768),
            Self::Sd2 => Some(1024),
            _ => None,
        }
    }
}

impl FileKind {
    /// See [`Self::unusable`].
    fn why_not(&self) -> Option<String> {
        let foreign = !matches!(self.base, Base::Sd1 | Base::Sd2 | Base::Unknown);
        let name = self.kind.name();
        let needs_picture =
            |what: &str| Some(format!("is a {what}, which this program cannot use: it draws from text"));
        match self.kind {
            Kind::Unknown => Some("holds tensors of a kind that this program does not know".into()),
            Kind::TextEncoder => {
                Some("is a text encoder alone, which cannot be opened by itself: open a whole checkpoint".into())
            }
            Kind::ControlNet | Kind::ControlLora | Kind::T2iAdapter | Kind::Upscaler => needs_picture(name),
            Kind::Lora(LoraFamily::Oft | LoraFamily::Boft) => {
                Some(format!("is of the family {name}, which this program cannot apply: use a LoRA, LoHa or LoKr"))
            }
            _ if foreign => Some(format!(
                "is for {}, which this program cannot draw: use one for Stable Diffusion 1 or 2",
                self.base.name()
            )),
            _ => match self.in_channels? {
                4 => None,
                9 => needs_picture("model for inpainting"),
                8 => needs_picture("model that changes a picture by words"),
                5 => needs_picture("model for maps of depth"),
                other => Some(format!("has a U-Net of {other} input channels, but 4 are expected")),
            },
        }
    }
}

#[cfg(test)]
mod tests;
