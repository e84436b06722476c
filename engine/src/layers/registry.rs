//! Which tensor of a network has which name, so that others can be put in their places. Layers enter themselves while a
//! network is built inside [`collect`].

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{Result, Tensor, bail};
use candle_nn::VarBuilder;
use instaflow_kernels::{self as kernels, Replaceable};

use super::Projected;

/// The tensors that adapters change, by name: the weights and biases of linear layers, convolutions and norms.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    tensors: BTreeMap<String, (Slot, Vec<usize>)>,
    /// What attentions remember of weights that may change.
    projected: Vec<Arc<Mutex<Option<Projected>>>>,
}

/// Where a tensor is; clones of a layer share it.
#[derive(Clone, Debug)]
pub(super) enum Slot {
    Linear(kernels::Linear),
    Conv2d(kernels::Conv2d),
    Plain(Replaceable),
}

thread_local! {
    /// The registry of the network that is being built on this thread.
    static OPEN: RefCell<Option<Registry>> = const { RefCell::new(None) };
}

/// Builds a network on this thread, and gives the tensors that its layers have entered.
pub(crate) fn collect<T>(build: impl FnOnce() -> T) -> (T, Registry) {
    OPEN.set(Some(Registry::default()));
    let built = build();
    (built, OPEN.take().unwrap_or_default())
}

/// Enters a layer's weights and bias, which are under `vb`.
pub(super) fn enter(vb: &VarBuilder, weight: Slot, bias: Option<&Replaceable>) {
    OPEN.with_borrow_mut(|open| {
        let Some(registry) = open else { return };
        let layer = vb.prefix();
        let shape = weight.shape();
        registry.tensors.insert(format!("{layer}.weight"), (weight, shape));
        if let Some(bias) = bias {
            let slot = Slot::Plain(bias.clone());
            let shape = slot.shape();
            registry.tensors.insert(format!("{layer}.bias"), (slot, shape));
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
    /// The names that layers have without `.weight`, in order.
    pub(crate) fn layers(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().filter_map(|name| name.strip_suffix(".weight"))
    }

    /// The shape of a tensor: (O, I) or (O, I, k, k), or (O) of a bias or a norm.
    pub(crate) fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|(_, shape)| shape.as_slice())
    }

    /// Puts another tensor in place of that of this name, with as many values and of the same type.
    pub(crate) fn set(&self, name: &str, tensor: &Tensor) -> Result<()> {
        match self.tensors.get(name) {
            Some((Slot::Linear(layer), _)) => layer.set_weight(tensor),
            Some((Slot::Conv2d(layer), _)) => layer.set_weight(tensor),
            Some((Slot::Plain(plain), _)) => plain.set(tensor),
            None => bail!("there is no tensor {name}"),
        }
    }

    /// Forgets everything that was computed with weights that may have changed.
    pub(crate) fn forget(&self) {
        for projected in &self.projected {
            projected.lock().unwrap_or_else(PoisonError::into_inner).take();
        }
    }
}

impl Slot {
    fn shape(&self) -> Vec<usize> {
        match self {
            Self::Linear(layer) => layer.weight_shape().to_vec(),
            Self::Conv2d(layer) => layer.weight_shape().to_vec(),
            Self::Plain(plain) => plain.get().dims().to_vec(),
        }
    }
}
