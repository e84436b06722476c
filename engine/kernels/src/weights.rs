//! The weights of a layer: as they were given, and in every packed form that is in use.
//!
//! Most layers have one form for ever. A 3×3 convolution chooses its method by the shape of each image, and every method
//! has a form of its own. All forms are packed from the values that were given, so a result never depends on what was
//! computed before. Change here what a layer keeps.
//!
//! What that costs: a layer holds its values once, as given or in a form that holds every one of them exactly (the direct
//! form), and beside them the forms that its last [`PATIENCE`] calls used. Tiles of 2 × 2 take 16/9 of the values' memory,
//! tiles of 4 × 4 four times as much, so a layer never takes more than 1 + 16/9 + 4 = 6.8 times its weights. After
//! [`PATIENCE`] calls at one size it takes what it would if it had never seen another. Values in f32 that 16 bits hold
//! exactly, such as those of most files, are kept in 16 bits.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use candle_core::{DType, Device, Result, Shape, Tensor, bail};
use half::{bf16, f16};

use crate::packed_gemm::{Packed, ReadRow, WeightFormat, with_rows};
use crate::{cpu_tensor, parallel};

/// A form that so many calls of its layer had no use for is dropped. More than the steps of a picture, so that pictures of
/// two sizes in turns are packed for once.
pub(crate) const PATIENCE: u64 = 64;

/// A layer's weights (O, …), shared by its clones. `K` says which form a call needs, `F` is a form.
#[derive(Debug)]
pub(crate) struct Weights<K, F> {
    shape: Shape,
    dtype: DType,
    state: Mutex<State<K, F>>,
}

/// Weights laid out for the innermost loops.
pub(crate) trait Form {
    /// These weights as a product's, where that is what they are.
    fn as_packed(&self) -> Option<&Packed>;

    /// Memory that it takes.
    fn bytes(&self) -> usize;
}

impl Form for Packed {
    fn as_packed(&self) -> Option<&Packed> {
        Some(self)
    }

    fn bytes(&self) -> usize {
        self.bytes()
    }
}

#[derive(Debug)]
struct State<K, F> {
    /// Absent where a form holds the same values.
    given: Option<Tensor>,
    /// Whether a gradient was asked for: then the given weights stay.
    learns: bool,
    forms: Vec<Entry<K, F>>,
    calls: u64,
}

#[derive(Debug)]
struct Entry<K, F> {
    key: K,
    form: Arc<F>,
    /// The number of the last call that used it.
    used: u64,
}

impl<K: PartialEq, F: Form> Weights<K, F> {
    pub(crate) fn new(given: Tensor) -> Self {
        let (shape, dtype) = (given.shape().clone(), given.dtype());
        Self {
            shape,
            dtype,
            state: Mutex::new(State { given: Some(given), learns: false, forms: Vec::new(), calls: 0 }),
        }
    }

    /// Whether a gradient may be asked for through them.
    pub(crate) fn in_graph(&self) -> bool {
        self.lock().given.as_ref().is_some_and(Tensor::track_op)
    }

    /// The weights as they were given. From now on they are kept.
    pub(crate) fn given(&self) -> Result<Tensor> {
        let mut state = self.lock();
        state.learns = true;
        let given = match (&state.given, state.source(self.dtype)) {
            (Some(given), _) => given.to_dtype(self.dtype)?,
            (None, Some(source)) => self.unpack(source)?,
            (None, None) => bail!("the weights of a layer are gone"),
        };
        state.given = Some(given.clone());
        Ok(given)
    }

    /// Puts the same values, laid out in another order, in the given ones' place.
    pub(crate) fn replace(&self, given: Tensor) {
        self.lock().given = Some(given);
    }

    /// Puts other weights of the same shape and type in their place, and drops every form of the old ones.
    pub(crate) fn set(&self, given: Tensor) -> Result<()> {
        if given.shape() != &self.shape || given.dtype() != self.dtype {
            bail!("a layer with weights {:?} of {:?} does not take {given:?}", self.shape, self.dtype);
        }
        let mut state = self.lock();
        state.given = Some(given);
        state.forms.clear();
        Ok(())
    }

    /// The form that `key` names: the one at hand, or the one that `pack` makes.
    pub(crate) fn form(&self, key: K, pack: impl FnOnce(ReadRow<'_>) -> F) -> Result<Arc<F>> {
        let mut state = self.lock();
        state.calls += 1;
        let now = state.calls;
        if let Some(entry) = state.forms.iter_mut().find(|entry| entry.key == key) {
            entry.used = now;
            let form = entry.form.clone();
            state.forget(self.dtype);
            return Ok(form);
        }
        let form = Arc::new(match (&state.given, state.source(self.dtype)) {
            (Some(given), _) => with_rows(given, pack)?,
            (None, Some(source)) => pack(&|row, to| source.unpack(row, to)),
            (None, None) => bail!("the weights of a layer are gone"),
        });
        state.forms.push(Entry { key, form: form.clone(), used: now });
        if !state.learns {
            let needed = state.given.take().filter(|_| state.source(self.dtype).is_none());
            state.given = needed.map(|given| narrowed(&given)).transpose()?;
        }
        state.forget(self.dtype);
        Ok(form)
    }

    /// Whether the form that `key` names is at hand.
    pub(crate) fn has(&self, key: &K) -> bool {
        self.lock().forms.iter().any(|entry| entry.key == *key)
    }

    /// Whether a form of this format would take the place of the given weights, instead of standing beside them.
    pub(crate) fn gives_way_to(&self, format: WeightFormat) -> bool {
        let state = self.lock();
        state.given.is_some() && !state.learns && format.is_exact(self.dtype)
    }

    /// Bytes that all of them take.
    pub(crate) fn bytes(&self) -> usize {
        let state = self.lock();
        let given = state.given.as_ref().map_or(0, |given| given.elem_count() * given.dtype().size_in_bytes());
        given + state.forms.iter().map(|entry| entry.form.bytes()).sum::<usize>()
    }

    fn unpack(&self, source: &Packed) -> Result<Tensor> {
        let rows = self.shape.dims()[0];
        let mut values = vec![0.0f32; self.shape.elem_count()];
        let len = values.len() / rows.max(1);
        let target = parallel::Shared::new(&mut values);
        parallel::for_each(rows, |row| {
            #[allow(unsafe_code)]
            // SAFETY: every row belongs to one task.
            let to = unsafe { target.slice(row * len, len) };
            source.unpack(row, to);
        });
        Tensor::from_vec(values, self.shape.clone(), &Device::Cpu)?.to_dtype(self.dtype)
    }

    fn lock(&self) -> MutexGuard<'_, State<K, F>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The same values in 16 bits, if that holds every one of them exactly.
fn narrowed(given: &Tensor) -> Result<Tensor> {
    if given.dtype() != DType::F32 {
        return Ok(given.clone());
    }
    let (as_f16, as_bf16) = cpu_tensor::with::<f32, _>(given, |values| {
        Ok((
            values.iter().all(|value| f16::from_f32(*value).to_f32().to_bits() == value.to_bits()),
            values.iter().all(|value| bf16::from_f32(*value).to_f32().to_bits() == value.to_bits()),
        ))
    })?;
    match (as_f16, as_bf16) {
        (true, _) => given.to_dtype(DType::F16),
        (_, true) => given.to_dtype(DType::BF16),
        _ => Ok(given.clone()),
    }
}

impl<K, F: Form> State<K, F> {
    /// A form from which weights given as `dtype` can be read back exactly.
    fn source(&self, dtype: DType) -> Option<&Packed> {
        self.forms.iter().filter_map(|entry| entry.form.as_packed()).find(|packed| packed.is_exact(dtype))
    }

    /// Drops what was not used for long, but not the last place that has the values.
    fn forget(&mut self, dtype: DType) {
        let (now, alone) = (self.calls, self.given.is_none());
        self.forms.retain(|entry| {
            let only_source = alone && entry.form.as_packed().is_some_and(|packed| packed.is_exact(dtype));
            now - entry.used < PATIENCE || only_source
        });
    }
}
