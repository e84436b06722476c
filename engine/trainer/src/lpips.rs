//! The published perceptual distance LPIPS (Zhang et al., CVPR 2018), version 0.1, on AlexNet or VGG-16. Its weights are
//! the person's to give: the state of `lpips.LPIPS(net="alex")` or `net="vgg"` as a safetensors file. Change here how the
//! two networks are read.

use std::path::Path;

use anyhow::{Context, Result, bail};
use candle_core::{DType, Device, Tensor};
use instaflow_kernels::{Conv2d, FusedOps};

use crate::file_io::TensorFile;
use crate::parameters::Tensors;

/// The network and the weight of each of its channels.
pub struct Lpips {
    name: &'static str,
    stages: Vec<Stage>,
    weights: Vec<Tensor>,
    shift: Tensor,
    scale: Tensor,
}

/// What lies between two feature maps that are compared.
struct Stage {
    /// Side of the max pooling before it; its stride is 2. 0: none.
    pool: usize,
    /// Convolutions, each followed by ReLU.
    convolutions: Vec<Conv2d>,
}

/// Numbers of torchvision's layers in each stage, as the state names them: `net.slice1.0.weight` …
const ALEX: [&[usize]; 5] = [&[0], &[3], &[6], &[8], &[10]];
const VGG: [&[usize]; 5] = [&[0, 2], &[5, 7], &[10, 12, 14], &[17, 19, 21], &[24, 26, 28]];

/// What pictures are normalised with: `ScalingLayer` of the published program.
const SHIFT: [f32; 3] = [-0.030, -0.088, -0.188];
const SCALE: [f32; 3] = [0.458, 0.448, 0.450];

impl Lpips {
    /// Reads the weights; which network it is shows in its first convolution.
    pub fn read(path: &Path, device: &Device) -> Result<Self> {
        let file = TensorFile::open(path)?.with_context(|| format!("{} is not there", path.display()))?;
        let tensors = file.below("")?;
        Self::new(&tensors, device).with_context(|| {
            format!("{} is no LPIPS state (version 0.1, AlexNet or VGG, lpips.LPIPS(...).state_dict())", path.display())
        })
    }

    fn new(tensors: &Tensors, device: &Device) -> Result<Self> {
        let get = |name: &str| -> Result<Tensor> {
            let tensor = tensors.get(name).with_context(|| format!("it has no tensor {name}"))?;
            Ok(tensor.to_device(device)?.to_dtype(DType::F32)?)
        };
        let first = get("net.slice1.0.weight")?;
        let (name, layers, pool) = match first.dims() {
            [64, 3, 11, 11] => ("LPIPS (AlexNet)", ALEX, 3),
            [64, 3, 3, 3] => ("LPIPS (VGG)", VGG, 2),
            other => bail!("its first convolution is {other:?}"),
        };
        let alex = pool == 3;
        let (mut stages, mut weights) = (Vec::new(), Vec::new());
        for (index, layers) in layers.iter().enumerate() {
            let convolution = |layer: &usize| -> Result<Conv2d> {
                let name = format!("net.slice{}.{layer}", index + 1);
                let weight = get(&format!("{name}.weight"))?;
                let kernel = weight.dims4()?.2;
                let conv = Conv2d::new(weight, Some(get(&format!("{name}.bias"))?))?;
                Ok(if kernel == 11 { conv.strided(4, (2, 2)) } else { conv })
            };
            let convolutions = layers.iter().map(convolution).collect::<Result<_>>()?;
            // AlexNet pools before its second and third stage alone.
            let pools = index > 0 && (!alex || index < 3);
            stages.push(Stage { pool: if pools { pool } else { 0 }, convolutions });
            let [short, long] = ["lin", "lins."].map(|name| format!("{name}{index}.model.1.weight"));
            weights.push(get(if tensors.contains_key(&short) { &short } else { &long })?.flatten_all()?);
        }
        let constant = |values: [f32; 3]| Tensor::new(&values, device);
        Ok(Self { name, stages, weights, shift: constant(SHIFT)?, scale: constant(SCALE)? })
    }

    /// What it is called in logs.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The weights of the channels of each feature map: (C).
    pub fn weights(&self) -> Vec<Option<&Tensor>> {
        self.weights.iter().map(Some).collect()
    }

    /// Feature maps (B, h, w, C) of pictures (B, 3, H, W) in [−1, 1].
    pub fn feature_maps(&self, pictures: &Tensor) -> Result<Vec<Tensor>> {
        let x = pictures.permute((0, 2, 3, 1))?.contiguous()?;
        let mut x = x.broadcast_sub(&self.shift)?.broadcast_div(&self.scale)?;
        let mut maps = Vec::with_capacity(self.stages.len());
        for stage in &self.stages {
            if stage.pool > 0 {
                x = max_pool(&x, stage.pool)?;
            }
            for layer in &stage.convolutions {
                x = layer.forward(&x, FusedOps::default())?.relu()?;
            }
            maps.push(x.clone());
        }
        Ok(maps)
    }
}

/// Largest value of each window of `side` × `side` of (B, H, W, C) at stride 2, along one dimension after the other.
/// (candle's own has no gradient where windows overlap.)
fn max_pool(x: &Tensor, side: usize) -> Result<Tensor> {
    let mut x = x.clone();
    for dimension in [1, 2] {
        let length = x.dim(dimension)?;
        if length < side {
            bail!("pictures of this size are too small for this network: {length} values are left of a side");
        }
        let count = (length - side) / 2 + 1;
        let taken = |start: usize| -> Result<Tensor> {
            let indices: Vec<u32> = (0..count).map(|index| (start + 2 * index) as u32).collect();
            Ok(x.index_select(&Tensor::from_vec(indices, count, x.device())?, dimension)?)
        };
        let mut largest = taken(0)?;
        for start in 1..side {
            largest = largest.maximum(&taken(start)?)?;
        }
        x = largest;
    }
    Ok(x)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Var;
    use instaflow_test_support::{Tolerance, assert_close, assert_close_case, assert_error};

    #[test]
    fn pooling_is_candles_and_has_a_gradient() -> Result<()> {
        let x = Var::rand(-1f32, 1.0, (2, 9, 8, 3), &Device::Cpu)?;
        for side in [2, 3] {
            let ours = max_pool(&x, side)?;
            let first = x.permute((0, 3, 1, 2))?.contiguous()?;
            let theirs = first.max_pool2d_with_stride(side, 2)?.permute((0, 2, 3, 1))?;
            assert_eq!(ours.flatten_all()?.to_vec1::<f32>()?, theirs.flatten_all()?.to_vec1::<f32>()?);
            let gradients = ours.sum_all()?.backward()?;
            let sum = gradients.get(&x).expect("a gradient").sum_all()?.to_scalar::<f32>()?;
            assert_close_case(
                "each maximum hands its gradient to one value",
                sum,
                ours.elem_count() as f32,
                Tolerance::absolute(1e-3),
            );
        }
        assert_error(max_pool(&x.narrow(1, 0, 1)?, 3), "too small for this network");
        Ok(())
    }

    /// Weights of the published shapes, random: what is read, and that a picture is no distance from itself.
    #[test]
    fn a_state_is_read_or_refused() -> Result<()> {
        let random = |shape: &[usize]| Tensor::rand(-0.1f32, 0.1, shape, &Device::Cpu);
        let mut state = Tensors::new();
        let shapes: [(usize, usize, [usize; 4]); 5] = [
            (1, 0, [64, 3, 11, 11]),
            (2, 3, [192, 64, 5, 5]),
            (3, 6, [384, 192, 3, 3]),
            (4, 8, [256, 384, 3, 3]),
            (5, 10, [256, 256, 3, 3]),
        ];
        for (slice, layer, shape) in shapes {
            state.insert(format!("net.slice{slice}.{layer}.weight"), random(&shape)?);
            state.insert(format!("net.slice{slice}.{layer}.bias"), random(&shape[..1])?);
            state.insert(format!("lin{}.model.1.weight", slice - 1), random(&[1, shape[0], 1, 1])?.abs()?);
        }
        let lpips = Lpips::new(&state, &Device::Cpu)?;
        assert_eq!(lpips.name(), "LPIPS (AlexNet)");
        let picture = Var::rand(-1f32, 1.0, (1, 3, 64, 64), &Device::Cpu)?;
        // The sides that torchvision's AlexNet has for 64 pixels.
        let sides: Vec<usize> = lpips.feature_maps(&picture)?.iter().map(|map| map.dims()[2]).collect();
        assert_eq!(sides, [15, 7, 3, 3, 3]);

        let distance = crate::perceptual::FeatureDistance::Lpips(lpips);
        let other = Tensor::rand(-1f32, 1.0, (1, 3, 64, 64), &Device::Cpu)?;
        assert_close(distance.distance(&picture, &picture)?.to_scalar::<f32>()?, 0.0, Tolerance::absolute(1e-9));
        let apart = distance.distance(&picture, &other)?;
        assert!(apart.to_scalar::<f32>()? > 0.0);
        assert!(apart.backward()?.get(&picture).is_some());

        state.remove("lin3.model.1.weight");
        assert!(Lpips::new(&state, &Device::Cpu).is_err_and(|error| error.to_string().contains("3.model.1.weight")));
        Ok(())
    }
}
