//! The folders of other programs. Each is recognized by what lies in it, wherever it is; [`known_places`] also looks
//! where installers put them. Add a program to [`Program`] and to [`places_in`].

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;

use super::comfyui;

/// Whose folder it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Program {
    /// AUTOMATIC1111's web UI, and Forge.
    #[serde(rename = "A1111")]
    A1111,
    /// ComfyUI, and Fooocus, whose folders are the same.
    #[serde(rename = "ComfyUI")]
    ComfyUi,
    /// InvokeAI.
    #[serde(rename = "InvokeAI")]
    InvokeAi,
    /// SwarmUI.
    #[serde(rename = "SwarmUI")]
    SwarmUi,
    /// Stability Matrix, which installs others.
    #[serde(rename = "Stability Matrix")]
    StabilityMatrix,
    /// The hub's cache.
    #[serde(rename = "hub cache")]
    HubCache,
    /// Any other folder.
    #[serde(rename = "folder")]
    Folder,
}

impl Program {
    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::A1111 => "A1111",
            Self::ComfyUi => "ComfyUI",
            Self::InvokeAi => "InvokeAI",
            Self::SwarmUi => "SwarmUI",
            Self::StabilityMatrix => "Stability Matrix",
            Self::HubCache => "hub cache",
            Self::Folder => "folder",
        }
    }
}

/// A folder to look into.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// Whose it is.
    pub program: Program,
    /// Where it is.
    pub folder: PathBuf,
}

impl Place {
    /// This folder of this program.
    pub fn new(program: Program, folder: impl Into<PathBuf>) -> Self {
        Self { program, folder: folder.into() }
    }
}

/// Names that a list of folders may have at most; a longer file is none.
const LIST_LIMIT: u64 = 1 << 20;

/// What to look into if a person names `folder`: the model folders of the program that lives there, also those that it
/// has elsewhere; or else the folder itself. The second value has a sentence for each list that could not be read.
pub fn places_in(folder: &Path) -> (Vec<Place>, Vec<String>) {
    let has = |name: &str| folder.join(name).exists();
    let inside = |program, names: &[&str]| -> Vec<Place> {
        let folders = names.iter().map(|name| folder.join(name)).filter(|folder| folder.is_dir());
        folders.map(|folder| Place::new(program, folder)).collect()
    };
    if is_hub_cache(folder) {
        return (vec![Place::new(Program::HubCache, folder)], Vec::new());
    }
    if has("models/Stable-diffusion") && !has("src/SwarmUI.csproj") && !has("Data/Settings.fds") {
        return (
            inside(Program::A1111, &["models", "embeddings", "extensions/sd-webui-controlnet/models"]),
            Vec::new(),
        );
    }
    if has("Data/Settings.fds") || has("Models/Stable-Diffusion") {
        let mut places = inside(Program::SwarmUi, &["Models"]);
        let roots = swarm_roots(&folder.join("Data/Settings.fds")).into_iter().map(|root| folder.join(root));
        for root in roots.filter(|root| root.is_dir()) {
            if !places.iter().any(|place| place.folder == root) {
                places.push(Place::new(Program::SwarmUi, root));
            }
        }
        return (places, Vec::new());
    }
    if has("models/checkpoints") || has("extra_model_paths.yaml") || has("extra_models_config.yaml") {
        let mut places = inside(Program::ComfyUi, &["models"]);
        let mut warnings = Vec::new();
        for list in ["extra_model_paths.yaml", "extra_models_config.yaml"].map(|name| folder.join(name)) {
            match read_list(&list).map(|text| comfyui::folders(&text, folder)) {
                Some(Ok(folders)) => {
                    let folders = folders.into_iter().filter(|folder| folder.is_dir());
                    places.extend(folders.map(|folder| Place::new(Program::ComfyUi, folder)));
                }
                Some(Err(why)) => warnings.push(format!("{} {why}", list.display())),
                None => {}
            }
        }
        return (places, warnings);
    }
    if has("ComfyUI/models/checkpoints") {
        // The portable version for Windows.
        return places_in(&folder.join("ComfyUI"));
    }
    if has("databases/invokeai.db") || has("invokeai.yaml") {
        return (inside(Program::InvokeAi, &["models"]), Vec::new());
    }
    if has("Models/StableDiffusion") {
        return (inside(Program::StabilityMatrix, &["Models"]), Vec::new());
    }
    if has("Data/Models/StableDiffusion") {
        return (inside(Program::StabilityMatrix, &["Data/Models"]), Vec::new());
    }
    (vec![Place::new(Program::Folder, folder)], Vec::new())
}

/// The folders of other programs where their installers put them, and where `variable` says. `home` is the person's.
pub fn known_places(variable: &dyn Fn(&str) -> Option<OsString>, home: Option<&Path>) -> (Vec<Place>, Vec<String>) {
    let path = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let mut roots: Vec<PathBuf> = path("INVOKEAI_ROOT").into_iter().collect();
    let settings: Vec<PathBuf> = [
        path("APPDATA"),
        path("XDG_CONFIG_HOME"),
        home.map(|home| home.join(".config")),
        home.map(|home| home.join("Library/Application Support")),
    ]
    .into_iter()
    .flatten()
    .collect();
    for settings in &settings {
        // ComfyUI's desktop program lists its folders here, Stability Matrix the folder of all of its programs.
        roots.push(settings.join("ComfyUI"));
        roots.extend(matrix_library(&settings.join("StabilityMatrix/library.json")));
    }
    let names = [
        "stable-diffusion-webui",
        "stable-diffusion-webui-forge",
        "sd-webui-forge",
        "ComfyUI",
        "Documents/ComfyUI",
        "comfy/ComfyUI",
        "Fooocus",
        "SwarmUI",
        "invokeai",
        "InvokeAI",
        "StabilityMatrix",
    ];
    roots.extend(home.into_iter().flat_map(|home| names.map(|name| home.join(name))));
    let (mut places, mut warnings) = (Vec::new(), Vec::new());
    for root in roots.into_iter().filter(|root| root.is_dir()) {
        let (mut found, mut told) = places_in(&root);
        // By its name alone, a folder is nobody's.
        found.retain(|place| place.program != Program::Folder && !places.contains(place));
        places.append(&mut found);
        warnings.append(&mut told);
    }
    (places, warnings)
}

fn is_hub_cache(folder: &Path) -> bool {
    let entries = folder.read_dir().into_iter().flatten().flatten();
    entries.take(10_000).any(|entry| entry.file_name().to_string_lossy().starts_with("models--"))
}

/// `ModelRoot: A;B` in SwarmUI's settings.
fn swarm_roots(settings: &Path) -> Vec<PathBuf> {
    let text = read_list(settings).unwrap_or_default();
    let roots = text.lines().filter_map(|line| line.trim().strip_prefix("ModelRoot:"));
    let roots = roots.flat_map(|roots| roots.split(';')).map(|root| root.trim().trim_matches(['\'', '"']));
    roots.filter(|root| !root.is_empty()).map(PathBuf::from).collect()
}

/// The folder that Stability Matrix notes in its settings, under whatever key.
fn matrix_library(settings: &Path) -> Vec<PathBuf> {
    let Some(Ok(Value::Object(values))) = read_list(settings).map(|text| serde_json::from_str(&text)) else {
        return Vec::new();
    };
    let folders = values.values().filter_map(Value::as_str).map(PathBuf::from);
    folders.filter(|folder| folder.is_absolute() && folder.join("Models").is_dir()).collect()
}

fn read_list(path: &Path) -> Option<String> {
    let metadata = path.metadata().ok()?;
    let small = metadata.is_file() && metadata.len() <= LIST_LIMIT;
    let bytes = small.then(|| std::fs::read(path).ok()).flatten()?;
    Some(String::from_utf8_lossy(&bytes).trim_start_matches('\u{feff}').to_owned())
}
