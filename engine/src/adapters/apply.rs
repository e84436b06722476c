//! Puts adapters into a network, and takes them out again. Nothing of the network's own weights is kept for that: they are
//! read from the model's file again, which costs no memory and gives the exact bits back.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use candle_core::{DType, Device};
use rayon::prelude::*;

use super::change::changed;
use super::file::{Adapter, Module};
use super::names::{self, Place};
use crate::checkpoint::Component;
use crate::layers::Registry;
use crate::{Cancel, Error, Result};

/// The files that are in use, so that a slider does not open them again at every step, and the names that were looked up,
/// so that no key press searches folders.
#[derive(Debug, Default)]
pub(crate) struct Adapters {
    open: Mutex<Vec<Arc<Adapter>>>,
    found: Mutex<HashMap<String, PathBuf>>,
}

impl Adapters {
    /// The file that a prompt means by a name; see [`super::find`].
    pub(crate) fn find(&self, name: &str, folders: &[PathBuf]) -> Result<PathBuf> {
        let mut found = lock(&self.found);
        if let Some(file) = found.get(name).filter(|file| file.is_file()) {
            return Ok(file.clone());
        }
        let file = super::find(name, folders)?;
        found.insert(name.to_owned(), file.clone());
        Ok(file)
    }

    /// Opens the files, or takes those that are open; all others are closed.
    pub(crate) fn open(&self, paths: &[&Path]) -> Result<Vec<Arc<Adapter>>> {
        let mut open = lock(&self.open);
        let wanted = paths.iter().map(|path| {
            let same = open.iter().find(|adapter| adapter.path() == *path && adapter.is_current());
            same.map_or_else(|| Adapter::open(path).map(Arc::new), |adapter| Ok(adapter.clone()))
        });
        let wanted = wanted.collect::<Result<Vec<_>>>()?;
        open.clone_from(&wanted);
        Ok(wanted)
    }
}

/// Which adapters are in a network.
#[derive(Debug, Default)]
pub(crate) struct Adapted(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// In this order; `None` if a change was broken off, so that nobody knows.
    inside: Option<Vec<Entry>>,
    /// The layers that have other weights than the model's own.
    touched: BTreeSet<String>,
    /// What is to be said about them.
    remarks: Vec<String>,
}

/// A file as it was, and its weight's bits.
type Entry = (PathBuf, Option<SystemTime>, u32);

/// A network and where its own weights are.
pub(crate) struct Target<'a> {
    pub place: Place,
    pub registry: &'a Registry,
    /// `None` if its weights come from no file.
    pub component: Option<&'a Component>,
    pub adapted: &'a Adapted,
    pub dtype: DType,
    pub device: &'a Device,
}

/// Brings a network to the state in which these adapters are in it, in this order, and no others. Returns whether that
/// changed anything, and what is to be said about it. Once cancelled, it ends between two layers; the next call mends what
/// this one has left.
pub(crate) fn apply(
    target: &Target<'_>,
    wanted: &[(Arc<Adapter>, f32)],
    cancel: &Cancel,
) -> Result<(bool, Vec<String>)> {
    let wanted: Vec<&(Arc<Adapter>, f32)> = wanted.iter().filter(|(_, weight)| *weight != 0.0).collect();
    let entries: Vec<Entry> = wanted
        .iter()
        .map(|(adapter, weight)| (adapter.path().to_owned(), adapter.modified, weight.to_bits()))
        .collect();
    let mut state = lock(&target.adapted.0);
    if state.inside.as_ref() == Some(&entries) || (entries.is_empty() && state.touched.is_empty()) {
        return Ok((false, state.remarks.clone()));
    }
    let component = target.component.ok_or_else(|| {
        Error::Setting("a model without files takes no LoRA: its own weights could not be read again".to_owned())
    })?;
    let layers: Vec<&str> = target.registry.names().collect();
    let keys = names::keys(target.place, &layers);
    let mut changes: BTreeMap<&str, Vec<Change<'_>>> = BTreeMap::new();
    let mut remarks = Vec::new();
    for (adapter, weight) in wanted {
        let (mut matched, mut of) = (0, 0);
        for (key, module) in adapter.modules.iter().filter(|(key, _)| names::belongs(target.place, key)) {
            of += module.parts.len();
            let Some(layers) = keys.get(key) else { continue };
            matched += module.parts.len();
            for layer in layers {
                changes.entry(layer).or_default().push((adapter, key, module, f64::from(*weight)));
            }
        }
        if target.place != Place::TextEncoder {
            of += adapter.unknown;
        }
        remarks.extend(remark(adapter, target.place, matched, of)?);
    }
    let touched: BTreeSet<String> = changes.keys().map(|layer| (*layer).to_owned()).collect();
    let all: BTreeSet<String> = state.touched.union(&touched).cloned().collect();

    // From here on the network is in neither state until all layers are done.
    state.inside = None;
    state.touched.clone_from(&all);
    let _span = tracing::info_span!("adapters", layers = all.len()).entered();
    all.par_iter().try_for_each(|layer| -> Result<()> {
        cancel.check()?;
        let changes = changes.get(layer.as_str()).map_or(&[][..], Vec::as_slice);
        one(target, component, layer, changes)
    })?;
    target.registry.forget();
    *state = State { inside: Some(entries), touched, remarks: remarks.clone() };
    Ok((true, remarks))
}

/// What one adapter does to a layer: the file, the key, what belongs to it, and the weight.
type Change<'a> = (&'a Adapter, &'a str, &'a Module, f64);

/// Gives a layer its own weights with these changes.
fn one(target: &Target<'_>, component: &Component, layer: &str, changes: &[Change<'_>]) -> Result<()> {
    let name = format!("{layer}.weight");
    let own = |dtype, device: &Device| component.builder(dtype, device, &Cancel::default()).get_unchecked(&name);
    let weights = if changes.is_empty() {
        // Exactly as it was loaded.
        own(target.dtype, target.device)?
    } else {
        let mut weights = own(DType::F32, &Device::Cpu)?;
        for (adapter, key, module, weight) in changes {
            weights = changed(adapter, key, module, &weights, *weight)?;
        }
        weights.to_dtype(target.dtype)?.to_device(target.device)?
    };
    Ok(target.registry.set(layer, &weights)?)
}

/// What is to be said of an adapter of which so many keys matched; an error if it is for something else altogether.
fn remark(adapter: &Adapter, place: Place, matched: usize, of: usize) -> Result<Option<String>> {
    let name = adapter.name();
    let network = if place == Place::TextEncoder { "text encoder" } else { "U-Net" };
    match (matched, of) {
        (_, 0) => Ok(None),
        (0, _) => {
            let made_for = crate::checkpoint::classify(adapter.path()).map(|kind| kind.base.name()).ok();
            let made_for = made_for.unwrap_or("another base model");
            Err(adapter.fault(format!("matches no layer of this model's {network}: it was made for {made_for}")))
        }
        (matched, of) if matched < of => {
            Ok(Some(format!("{} of {of} keys of {name} match nothing in the {network}.", of - matched)))
        }
        _ => Ok(None),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
