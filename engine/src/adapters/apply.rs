//! Puts adapters into a network, and takes them out again. Nothing of the network's own weights is kept for that: they are
//! read from the model's file again, which costs no memory and gives the exact bits back.
//!
//! What a change takes beside the network, until it is done: for each thread four times the largest layer in f32, which is
//! 210 MB in Stable Diffusion. Afterwards, the layers that were changed may no longer fit into 16 bits exactly, so those that
//! keep a copy beside their packed forms (`instaflow_kernels`' `weights.rs`) keep it in f32.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use candle_core::{DType, Device};
use candle_nn::Init;
use instaflow_kernels::add_low_rank;
use rayon::prelude::*;

use super::change::{changed, low_rank};
use super::file::Adapter;
use super::find;
use super::plan::{Change, Changes, Entry, Model, Plan, Weighed, plan};
use crate::checkpoint::{Component, random_weights};
use crate::layers::Registry;
use crate::{Cancel, Result};

/// Most files that are kept open. An open file costs addresses, not memory.
const MOST_OPEN: usize = 32;

/// Most plans that are kept: one for each model that is open, and some that were in use before.
const MOST_PLANS: usize = 8;

/// What was found and opened before, so that a slider does not do it again at every step.
#[derive(Debug, Default)]
pub(crate) struct Adapters(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// The most recently used one is last; so are the others.
    open: Vec<Arc<Adapter>>,
    plans: Vec<(String, Vec<Entry>, Arc<Plan>)>,
    found: BTreeMap<String, PathBuf>,
}

impl Adapters {
    /// Opens a file, or takes it if it is open.
    pub(crate) fn open(&self, path: &Path) -> Result<Arc<Adapter>> {
        let mut known = lock(&self.0);
        let at = known.open.iter().position(|adapter| adapter.stamp.path == path);
        let same = at.map(|at| known.open.remove(at)).filter(|adapter| adapter.is_current());
        let adapter = same.map_or_else(|| Adapter::open(path).map(Arc::new), Ok)?;
        push(&mut known.open, adapter.clone(), MOST_OPEN);
        Ok(adapter)
    }

    /// The file of that name; see [`find`].
    pub(crate) fn find(&self, name: &str, folders: &[PathBuf]) -> Result<PathBuf> {
        if let Some(path) = lock(&self.0).found.get(name).filter(|path| path.is_file()) {
            return Ok(path.clone());
        }
        let path = find(name, folders)?;
        lock(&self.0).found.insert(name.to_owned(), path.clone());
        Ok(path)
    }

    /// What these adapters change in a model, whose networks have this digest.
    pub(crate) fn plan(&self, digest: String, model: &Model<'_>, adapters: &[Weighed]) -> Result<Arc<Plan>> {
        let entries: Vec<Entry> = adapters.iter().map(Weighed::entry).collect();
        let mut known = lock(&self.0);
        let same = known.plans.iter().find(|(of, others, _)| *of == digest && *others == entries);
        if let Some((_, _, plan)) = same {
            return Ok(plan.clone());
        }
        let plan = Arc::new(plan(model, adapters)?);
        push(&mut known.plans, (digest, entries, plan.clone()), MOST_PLANS);
        Ok(plan)
    }
}

fn push<T>(list: &mut Vec<T>, entry: T, most: usize) {
    if list.len() >= most {
        list.remove(0);
    }
    list.push(entry);
}

/// Where a network's own weights are.
#[derive(Debug)]
pub(crate) enum Own {
    Files(Arc<Component>),
    /// Random ones; see [`random_weights`].
    Random {
        seed: u64,
    },
}

impl Own {
    /// A tensor as it was loaded, or with more digits.
    fn read(&self, name: &str, shape: &[usize], dtype: DType, device: &Device) -> Result<candle_core::Tensor> {
        Ok(match self {
            // In the shape that the file has, which may have sides of 1 more.
            Self::Files(component) => component.builder(dtype, device, &Cancel::default()).get_unchecked(name)?,
            Self::Random { seed } => {
                random_weights(*seed, dtype, device).get_with_hints(shape, name, Init::Const(0.0))?
            }
        })
    }

    /// A tensor with all its digits, in a type of no more bits than it needs.
    fn read_stored(&self, name: &str, shape: &[usize]) -> Result<candle_core::Tensor> {
        let stored = match self {
            Self::Files(component) => component.stored_dtype(name),
            Self::Random { .. } => None,
        };
        self.read(name, shape, stored.unwrap_or(DType::F32), &Device::Cpu)
    }
}

/// Which adapters are in a network.
#[derive(Debug, Default)]
pub(crate) struct Adapted {
    state: Mutex<State>,
    fingerprint: Mutex<Arc<str>>,
}

#[derive(Debug, Default)]
struct State {
    /// The tensors that are not the model's own, and what they are. `None` is not known: their change was not finished.
    inside: BTreeMap<String, Option<Vec<Change>>>,
}

/// A network that stays as it is while this is held.
pub(crate) struct Held<'a>(#[expect(dead_code, reason = "it is held")] MutexGuard<'a, State>);

impl Adapted {
    /// Equal if the same adapters are in the network, in the same order and with the same weights; "" without any.
    pub(crate) fn fingerprint(&self) -> Arc<str> {
        lock(&self.fingerprint).clone()
    }
}

/// A network that adapters change.
pub(crate) struct Target<'a> {
    pub registry: &'a Registry,
    pub own: &'a Own,
    pub adapted: &'a Adapted,
    pub dtype: DType,
    pub device: &'a Device,
}

/// Brings a network to the state in which these changes are in it and no others, and keeps it so for as long as the result is
/// held.
///
/// Each tensor is computed from the model's own, so the result depends on `wanted` alone. Once cancelled, this ends between
/// two tensors. What was changed until then is known, and the next call, which comes before anything else is computed with the
/// network, goes on from there: to another state, or back to the former one.
pub(crate) fn apply<'a>(target: &Target<'a>, wanted: &Changes, cancel: &Cancel) -> Result<Held<'a>> {
    let mut state = lock(&target.adapted.state);
    let mut tasks: Vec<(&str, &[Change])> = Vec::new();
    for (name, changes) in wanted {
        if state.inside.get(name).and_then(Option::as_ref) != Some(changes) {
            tasks.push((name, changes));
        }
    }
    let others: Vec<String> = state.inside.keys().filter(|name| !wanted.contains_key(*name)).cloned().collect();
    tasks.extend(others.iter().map(|name| (name.as_str(), &[][..])));
    if tasks.is_empty() {
        return Ok(Held(state));
    }
    // The largest first, so that no thread is left with one at the end.
    let size = |name: &str| target.registry.shape(name).unwrap_or_default().iter().product::<usize>();
    tasks.sort_by_key(|(name, _)| std::cmp::Reverse(size(name)));
    for (name, _) in &tasks {
        state.inside.insert((*name).to_owned(), None);
    }
    let _span = tracing::info_span!("adapters", tensors = tasks.len()).entered();
    let done = Mutex::new(Vec::new());
    let ended = tasks.par_iter().try_for_each(|(name, changes)| -> Result<()> {
        cancel.check()?;
        let tensor = computed(target, name, changes)?;
        target.registry.set(name, &tensor)?;
        lock(&done).push((*name, *changes));
        Ok(())
    });
    target.registry.forget();
    for (name, changes) in lock(&done).drain(..) {
        if changes.is_empty() {
            state.inside.remove(name);
        } else {
            state.inside.insert(name.to_owned(), Some(changes.to_vec()));
        }
    }
    ended?;
    *lock(&target.adapted.fingerprint) = fingerprint(wanted);
    Ok(Held(state))
}

/// A network's own tensor with these changes.
fn computed(target: &Target<'_>, name: &str, changes: &[Change]) -> Result<candle_core::Tensor> {
    let shape = target.registry.shape(name).unwrap_or_default();
    if changes.is_empty() {
        // Exactly as it was loaded.
        return target.own.read(name, shape, target.dtype, target.device);
    }
    // Most LoRAs are products of two matrices, which can be added in one pass.
    let products = changes.iter().map(|Change { adapter, key, of, weight }| {
        let Some(module) = adapter.modules.get(key) else { return Ok(None) };
        low_rank(adapter, key, module, *of, *weight)
    });
    if let Some(products) = products.collect::<Result<Option<Vec<_>>>>()? {
        let own = target.own.read_stored(name, shape)?.reshape(shape)?;
        return Ok(add_low_rank(&own, &products, target.dtype)?.to_device(target.device)?);
    }
    let mut tensor = target.own.read(name, shape, DType::F32, &Device::Cpu)?.reshape(shape)?;
    for Change { adapter, key, of, weight } in changes {
        let Some(module) = adapter.modules.get(key) else { continue };
        tensor = changed(adapter, key, module, *of, &tensor, f64::from(*weight))?;
    }
    Ok(tensor.to_dtype(target.dtype)?.to_device(target.device)?)
}

/// See [`Adapted::fingerprint`].
fn fingerprint(changes: &Changes) -> Arc<str> {
    let mut text = String::new();
    let mut last: Option<&[Change]> = None;
    for (name, changes) in changes {
        // Mostly the same files with the same weights.
        let same = last.is_some_and(|last| {
            last.len() == changes.len()
                && last.iter().zip(changes).all(|(one, other)| {
                    Arc::ptr_eq(&one.adapter, &other.adapter) && one.weight.to_bits() == other.weight.to_bits()
                })
        });
        let _ = write!(text, "{name}");
        if !same {
            for Change { adapter, weight, .. } in changes {
                let _ = write!(text, "|{:?} {:x}", adapter.stamp, weight.to_bits());
            }
        }
        text.push(';');
        last = Some(changes);
    }
    text.into()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
