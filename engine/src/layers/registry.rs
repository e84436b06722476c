//! Which layer of a network has which name, so that other weights can be put into it. Layers enter themselves while a
//! network is built inside [`collect`].

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{Result, Tensor, bail};
use candle_nn::VarBuilder;
use instaflow_kernels as kernels;

use super::Projected;

/// The layers with weights that adapters change, by the names that their tensors have without `.weight`.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    layers: BTreeMap<String, Layer>,
    /// What attentions remember of weights that may change.
    projected: Vec<Arc<Mutex<Option<Projected>>>>,
}

/// A layer; clones share their weights.
#[derive(Debug)]
pub(super) enum Layer {
    Linear(kernels::Linear),
    Conv2d(kernels::Conv2d),
}

thread_local! {
    /// The registry of the network that is being built on this thread.
    static OPEN: RefCell<Option<Registry>> = const { RefCell::new(None) };
}

/// Builds a network on this thread, and gives the layers that entered themselves.
pub(crate) fn collect<T>(build: impl FnOnce() -> T) -> (T, Registry) {
    OPEN.set(Some(Registry::default()));
    let built = build();
    (built, OPEN.take().unwrap_or_default())
}

/// Enters a layer whose tensors are under `vb`.
pub(super) fn enter(vb: &VarBuilder, layer: Layer) {
    OPEN.with_borrow_mut(|open| {
        if let Some(registry) = open {
            registry.layers.insert(vb.prefix(), layer);
        }
    });
}

/// Enters what an attention remembers.
pub(super) fn enter_projected(projected: &Arc<Mutex<Option<Projected>>>) {
    OPEN.with_borrow_mut(|open| {
        if let Some(registry) = open {
            registry.projected.push(projected.clone());
        }
    });
}

impl Registry {
    /// All names.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.layers.keys().map(String::as_str)
    }

    /// Gives a layer other weights, as many as it has.
    pub(crate) fn set(&self, name: &str, weights: &Tensor) -> Result<()> {
        match self.layers.get(name) {
            Some(Layer::Linear(layer)) => layer.set_weight(weights),
            Some(Layer::Conv2d(layer)) => layer.set_weight(weights),
            None => bail!("there is no layer {name}"),
        }
    }

    /// Forgets everything that was computed with weights that may have changed.
    pub(crate) fn forget(&self) {
        for projected in &self.projected {
            projected.lock().unwrap_or_else(PoisonError::into_inner).take();
        }
    }
}
