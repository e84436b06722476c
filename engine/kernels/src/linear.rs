//! Linear layers.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{D, DType, Result, Tensor, bail};

use crate::element::Element;
use crate::host::with_element;
use crate::product::{
    Activation, Contiguous, Epilogue, Kind, Packed, RowsFor, Target, product, with_rows, with_rows_for,
};
use crate::{Extras, host, keeps_weights, reference};

/// `y = x Wᵀ + b` with its weights.
#[derive(Clone, Debug)]
pub struct Linear {
    weights: Arc<Mutex<Weights>>,
    bias: Option<Tensor>,
    /// (output, input)
    shape: (usize, usize),
}

#[derive(Debug)]
struct Weights {
    given: Option<Tensor>,
    packed: Option<Arc<Packed>>,
}

impl Linear {
    /// With weights (output, input) and bias (output).
    pub fn new(weight: Tensor, bias: Option<Tensor>) -> Result<Self> {
        let shape = weight.dims2()?;
        Ok(Self { weights: Arc::new(Mutex::new(Weights { given: Some(weight), packed: None })), bias, shape })
    }

    /// Values of a result.
    pub fn outputs(&self) -> usize {
        self.shape.0
    }

    /// (…, input) to (…, output), with `extras` folded in; an activation is the same at every call of one layer.
    /// Gradients for the input, the weights and the bias where one of them is a variable or comes from one.
    pub fn forward(&self, x: &Tensor, extras: Extras<'_>) -> Result<Tensor> {
        let (outputs, inputs) = self.shape;
        if x.dim(D::Minus1)? != inputs || extras.shift.is_some() {
            bail!("linear: weights ({outputs}, {inputs}) do not suit {:?}", x.shape());
        }
        let weights = self.weights.lock().unwrap_or_else(PoisonError::into_inner);
        let given = weights.given.clone();
        drop(weights);
        let learns = host::in_graph(&[x])
            || given.as_ref().is_some_and(Tensor::track_op)
            || extras.residual.is_some_and(Tensor::track_op);
        match host::fast(&[x]) {
            Some(dtype) if !learns => {
                let packed = self.packed(x, extras.activation == Activation::Geglu)?;
                with_element!(dtype, E => self.infer::<E>(&packed, x, &extras))
            }
            _ => {
                let Some(weight) = given else {
                    bail!("linear: a gradient is asked for through weights that were packed: see keep_weights")
                };
                extras.apply(&reference::linear(x, &weight, self.bias.as_ref())?)
            }
        }
    }

    fn packed(&self, x: &Tensor, gated: bool) -> Result<Arc<Packed>> {
        let mut weights = self.weights.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(packed) = &weights.packed {
            return Ok(packed.clone());
        }
        let Some(given) = &weights.given else { bail!("linear: the weights are gone") };
        let (outputs, inputs) = self.shape;
        if gated && outputs % 2 == 1 {
            bail!("linear: {outputs} outputs do not divide into values and gates");
        }
        let kind = if x.dtype() == DType::BF16 { Kind::bf16() } else { Kind::F32 };
        let columns = if gated { outputs / 2 } else { outputs };
        let packed = Arc::new(with_rows(given, |read| {
            Packed::new(kind, (1, inputs, columns), gated, |column, values| read(column * inputs, values))
        })?);
        weights.packed = Some(packed.clone());
        if !keeps_weights() {
            weights.given = None;
        }
        Ok(packed)
    }

    fn infer<E: Element>(&self, packed: &Packed, x: &Tensor, extras: &Extras<'_>) -> Result<Tensor> {
        let mut shape = x.dims().to_vec();
        if let Some(last) = shape.last_mut() {
            *last = packed.columns;
        }
        let rows: usize = x.dims()[..x.rank() - 1].iter().product();
        extras.check(&shape.as_slice().into())?;
        let bias = self.bias.as_ref().map(|bias| bias.to_dtype(DType::F32)?.to_vec1::<f32>()).transpose()?;
        let mut out = Vec::new();
        let target = Target::new(&mut out, rows * packed.columns);
        host::with_some::<E, _>(extras.residual, |residual| {
            let epilogue = Epilogue {
                bias: bias.as_deref(),
                shift: None,
                rows_per_sample: 1,
                residual,
                activation: extras.activation,
                columns: packed.columns,
                out: target,
            };
            host::with::<E, _>(x, |x| {
                let depth = packed.depth;
                with_rows_for(packed, true, x, |values| match values {
                    RowsFor::Given(values) => product(packed, rows, &Contiguous { values, depth }, &epilogue),
                    RowsFor::Wide(values) => product(packed, rows, &Contiguous { values, depth }, &epilogue),
                    RowsFor::Even(values) => {
                        product(packed, rows, &Contiguous { values, depth: depth + 1 }, &epilogue);
                    }
                });
                Ok(())
            })
        })?;
        #[allow(unsafe_code)]
        // SAFETY: every value was written, once.
        unsafe {
            out.set_len(rows * packed.columns);
        }
        Tensor::from_vec(out, shape, x.device())
    }
}
