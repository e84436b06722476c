//! Convolution in f32 where a gradient is asked for, as an operation that candle differentiates.

use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor, bail};

use super::algorithm::forward;
use super::backward;
use super::geometry::Geometry;
use crate::{channel_bias, cpu_tensor};

/// `x` (B, H, W, C) with `weight` (O, C, kh, kw), f32 on the CPU, with gradients for both.
pub(super) struct Training {
    pub stride: usize,
    pub padding: (usize, usize),
    pub upsample: bool,
}

impl Training {
    fn geometry(&self, x: &Shape, weight: &Shape) -> Result<Geometry> {
        Geometry::new(x, weight.dims4()?, self.stride, self.padding, self.upsample)
    }

    fn gradients(&self, x: &Tensor, w: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let g = self.geometry(x.shape(), w.shape())?;
        cpu_tensor::with::<f32, _>(grad, |dy| {
            let dx = if x.track_op() {
                let dx = cpu_tensor::with::<f32, _>(w, |w| Ok(backward::image(&g, w, dy)))?;
                Some(Tensor::from_vec(dx, x.shape(), x.device())?)
            } else {
                None
            };
            let dw = if w.track_op() {
                let dw = cpu_tensor::with::<f32, _>(x, |x| Ok(backward::weight(&g, x, dy)))?;
                Some(Tensor::from_vec(dw, w.shape(), w.device())?)
            } else {
                None
            };
            Ok((dx, dw))
        })
    }
}

impl CustomOp2 for Training {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout, w: &CpuStorage, lw: &Layout) -> Result<(CpuStorage, Shape)> {
        let g = self.geometry(lx.shape(), lw.shape())?;
        let (x, w) = (cpu_tensor::values(x.as_slice::<f32>()?, lx)?, cpu_tensor::values(w.as_slice::<f32>()?, lw)?);
        Ok((CpuStorage::F32(forward(&g, x, w, None)), g.out_shape()))
    }

    fn bwd(&self, x: &Tensor, w: &Tensor, _out: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        self.gradients(x, w, grad)
    }
}

impl CustomOp3 for Training {
    fn name(&self) -> &'static str {
        "conv2d-bias"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        w: &CpuStorage,
        lw: &Layout,
        bias: &CpuStorage,
        lb: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let g = self.geometry(lx.shape(), lw.shape())?;
        let (x, w) = (cpu_tensor::values(x.as_slice::<f32>()?, lx)?, cpu_tensor::values(w.as_slice::<f32>()?, lw)?);
        let bias = cpu_tensor::values(bias.as_slice::<f32>()?, lb)?;
        if bias.len() != g.out_channels {
            bail!("conv2d: {} biases for {} output channels", bias.len(), g.out_channels);
        }
        Ok((CpuStorage::F32(forward(&g, x, w, Some(bias))), g.out_shape()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        bias: &Tensor,
        _out: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (dx, dw) = self.gradients(x, w, grad)?;
        Ok((dx, dw, Some(channel_bias::sum_rows(grad, bias)?)))
    }
}
