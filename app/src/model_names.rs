//! What a person means by a name where a model's path may stand: an ID of the catalogue, or ORG/NAME of the hub, that is
//! in the cache. Window and commands ask here, and nowhere else.

use std::path::{Path, PathBuf};

use anyhow::bail;
use instaflow_engine::model_library::{self, Place, Program};
#[cfg(feature = "hub")]
use instaflow_engine::{device, protocol::DeviceChoice};
use instaflow_hub::{Environment, Hub, Role};

use crate::folders;

/// Where a named model is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The folder or file; of a pair, the student's.
    pub path: PathBuf,
    /// The teacher's folder, if the name means a pair.
    pub teacher: Option<PathBuf>,
}

/// The hub and its cache, as this process's environment and the person's own catalogue have them.
pub fn hub() -> anyhow::Result<Hub> {
    Ok(Hub::new(Environment::of_process(), folders::settings().as_deref())?)
}

/// Where other programs keep models on this system, and the hub's cache; a sentence for each list that could not be read.
pub fn known_places() -> (Vec<Place>, Vec<String>) {
    let home = std::env::home_dir();
    let (mut places, warnings) = model_library::known_places(&|name| std::env::var_os(name), home.as_deref());
    let cache = Environment::of_process().cache;
    if cache.is_dir() {
        places.push(Place::new(Program::HubCache, cache));
    }
    (places, warnings)
}

/// Fetches full weights, or those of 16 bits if this system will compute in 16 bits anyway.
#[cfg(feature = "hub")]
pub fn plan_options() -> instaflow_hub::PlanOptions<'static> {
    const F32_BYTES: u64 = 4;
    let half_from =
        device::sixteen_bits_from(DeviceChoice::Auto).map(|parameters| parameters.saturating_mul(F32_BYTES));
    instaflow_hub::PlanOptions { half_from, ..instaflow_hub::PlanOptions::default() }
}

/// Where the model of this name is; `None` if it is a path and no name. A name that is known but not downloaded is an
/// error that says how to get it.
pub fn find(name: &Path) -> anyhow::Result<Option<Named>> {
    if is_model(name) {
        return Ok(None);
    }
    let Some(text) = name.to_str().filter(|text| !text.starts_with(['.', '~']) && !name.is_absolute()) else {
        return Ok(None);
    };
    let hub = hub()?;
    let Ok(entry) = hub.catalogue().target(text) else { return Ok(None) };
    match hub.cache().find(&entry) {
        Ok(found) => {
            let of = |role| found.iter().find(|piece| piece.role == role).map(|piece| piece.path.clone());
            let teacher = of(Role::Teacher).filter(|_| found.len() > 1);
            Ok(found.first().map(|first| Named { path: of(Role::Student).unwrap_or(first.path.clone()), teacher }))
        }
        // A folder that is there, but holds no model: what is wrong with it is for the engine to say.
        Err(_) if name.exists() => Ok(None),
        Err(_) if hub.catalogue().entry(text).is_some() => {
            bail!("{text} is not downloaded: get it with 'instaflow models download {text}'")
        }
        Err(_) => bail!(
            "{text} is neither here nor in the hub's cache: check the path, or get it with 'instaflow models download \
             {text}'"
        ),
    }
}

/// The path that a name stands for where a single model is wanted: of a pair, the one of this role.
pub fn path_of(name: PathBuf, role: Role) -> anyhow::Result<PathBuf> {
    Ok(match find(&name)? {
        Some(Named { teacher: Some(teacher), .. }) if role != Role::Student => teacher,
        Some(named) => named.path,
        None => name,
    })
}

/// Whether there is a model, or a file, under this path.
fn is_model(path: &Path) -> bool {
    let parts = ["model_index.json", "unet", "student", "snapshots", "config.json"];
    path.is_file() || parts.iter().any(|part| path.join(part).exists())
}
