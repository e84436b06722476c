//! The weights of the networks in training: made from a seed on first use, or taken over from an earlier stage. Change
//! here how fresh weights are drawn.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use candle_core::{DType, Device, Result, Shape, Tensor, Var, bail};
use candle_nn::init::{FanInOut, NormalOrUniform};
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder};

use crate::seeded_random::{Random, key};

/// Tensors by name, sorted, so that every walk over them has one order.
pub type Tensors = BTreeMap<String, Tensor>;

/// Where networks find their weights, and which of these are trained.
pub struct Parameters {
    /// `None`: everything is given, and a network that asks for more is refused.
    seed: Option<u64>,
    trained: Mutex<BTreeMap<String, Var>>,
    frozen: Tensors,
    device: Device,
}

impl Parameters {
    /// Fresh weights: each by the hint of the layer that asks for it, from `seed` and its own name alone.
    pub fn seeded(seed: u64, device: &Device) -> Self {
        Self { seed: Some(seed), trained: Mutex::default(), frozen: Tensors::new(), device: device.clone() }
    }

    /// Given weights; those whose name `is_trained` names will learn (they are copied, one at a time, and their originals
    /// given back), the others stay as they are.
    pub fn given(tensors: Tensors, is_trained: impl Fn(&str) -> bool, device: &Device) -> Result<Self> {
        let mut trained = BTreeMap::new();
        let mut frozen = Tensors::new();
        for (name, tensor) in tensors {
            let tensor = tensor.to_device(device)?.to_dtype(DType::F32)?.contiguous()?;
            if is_trained(&name) {
                trained.insert(name, Var::from_tensor(&tensor)?);
            } else {
                frozen.insert(name, tensor);
            }
        }
        Ok(Self { seed: None, trained: Mutex::new(trained), frozen, device: device.clone() })
    }

    /// The same, with fresh weights where none are given.
    #[must_use]
    pub fn or_seeded(self, seed: u64) -> Self {
        Self { seed: Some(seed), ..self }
    }

    /// What networks are built from.
    pub fn builder(&self) -> VarBuilder<'_> {
        VarBuilder::from_backend(Box::new(self), DType::F32, self.device.clone())
    }

    /// The trained weights by name.
    pub fn trained(&self) -> BTreeMap<String, Var> {
        self.trained.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Where the weights are.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The weights that stay.
    pub fn frozen(&self) -> &Tensors {
        &self.frozen
    }
}

/// A short name for exactly these values of the tensors whose names begin with `prefix`.
pub fn weights_fingerprint(tensors: &Tensors, prefix: &str) -> Result<String> {
    let mut state = 0;
    for (name, tensor) in tensors.iter().filter(|(name, _)| name.starts_with(prefix)) {
        state = name.bytes().fold(state, |state, byte| key(&[state, u64::from(byte)]));
        let values = tensor.flatten_all()?.to_dtype(DType::F32)?.to_vec1::<f32>()?;
        state = values.iter().fold(state, |state, value| key(&[state, u64::from(value.to_bits())]));
    }
    Ok(format!("{state:016x}"))
}

impl SimpleBackend for &Parameters {
    fn get(&self, shape: Shape, name: &str, hint: Init, dtype: DType, device: &Device) -> Result<Tensor> {
        let mut trained = self.trained.lock().unwrap_or_else(PoisonError::into_inner);
        let known = trained.get(name).map(Var::as_tensor).or_else(|| self.frozen.get(name));
        let tensor = match (known, self.seed) {
            (Some(tensor), _) => tensor.clone(),
            (None, Some(seed)) => {
                let var = Var::from_vec(initial(&shape, hint, seed, name), shape.clone(), device)?;
                trained.entry(name.to_owned()).or_insert(var).as_tensor().clone()
            }
            (None, None) => bail!("the stage before gives no tensor {name}: was it made with another architecture?"),
        };
        if *tensor.shape() != shape {
            bail!("tensor {name} is {:?} where the network needs {shape:?}: another architecture?", tensor.shape());
        }
        tensor.to_dtype(dtype)
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> Result<Tensor> {
        bail!("tensor {name} was asked for without its shape")
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.seed.is_some() || self.frozen.contains_key(name) || self.trained().contains_key(name)
    }
}

/// First values of a tensor, row-major.
fn initial(shape: &Shape, hint: Init, seed: u64, name: &str) -> Vec<f32> {
    let letters: Vec<u64> = name.bytes().map(u64::from).collect();
    let mut random = Random::new(key(&[seed, key(&letters)]));
    let mut fill = |mut draw: Box<dyn FnMut(&mut Random) -> f64>| -> Vec<f32> {
        (0..shape.elem_count()).map(|_| draw(&mut random) as f32).collect()
    };
    match hint {
        Init::Const(value) => fill(Box::new(move |_| value)),
        Init::Randn { mean, stdev } => fill(Box::new(move |random| mean + stdev * random.normal())),
        Init::Uniform { lo, up } => fill(Box::new(move |random| lo + (up - lo) * random.uniform())),
        Init::Kaiming { dist, fan, non_linearity } => {
            let deviation = non_linearity.gain() / (fan_of(fan, shape) as f64).sqrt();
            match dist {
                NormalOrUniform::Normal => fill(Box::new(move |random| deviation * random.normal())),
                NormalOrUniform::Uniform => {
                    let bound = 3f64.sqrt() * deviation;
                    fill(Box::new(move |random| bound * (2.0 * random.uniform() - 1.0)))
                }
            }
        }
    }
}

fn fan_of(fan: FanInOut, shape: &Shape) -> usize {
    fan.for_shape(shape).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HINT: Init = Init::Uniform { lo: -0.5, up: 0.5 };

    #[test]
    fn fresh_weights_depend_on_seed_and_name_alone() -> Result<()> {
        let values = |seed, names: &[&str]| -> Result<Vec<Vec<f32>>> {
            let parameters = Parameters::seeded(seed, &Device::Cpu);
            let builder = parameters.builder();
            names.iter().map(|name| builder.get_with_hints(6, name, HINT)?.to_vec1()).collect()
        };
        let ab = values(1, &["a", "b"])?;
        let ba = values(1, &["b", "a"])?;
        assert_eq!(ab[0], ba[1]);
        assert_eq!(ab[1], ba[0]);
        assert_ne!(ab[0], ab[1]);
        assert_ne!(ab[0], values(2, &["a"])?[0]);
        assert!(ab[0].iter().all(|x| (-0.5..0.5).contains(x)));
        Ok(())
    }

    #[test]
    fn given_weights_are_complete_or_refused() -> Result<()> {
        let tensors = Tensors::from([
            ("net.a".into(), Tensor::ones(3, DType::F32, &Device::Cpu)?),
            ("text.b".into(), Tensor::ones(2, DType::F32, &Device::Cpu)?),
        ]);
        let parameters = Parameters::given(tensors, |name| name.starts_with("net."), &Device::Cpu)?;
        assert_eq!(parameters.trained().keys().collect::<Vec<_>>(), ["net.a"]);
        assert_eq!(parameters.frozen().keys().collect::<Vec<_>>(), ["text.b"]);
        let builder = parameters.builder();
        assert!(builder.pp("net").get(3, "a")?.is_variable());
        assert!(!builder.pp("text").get(2, "b")?.is_variable());
        assert!(builder.get(4, "net.a").unwrap_err().to_string().contains("net.a"));
        assert!(builder.get(1, "net.c").unwrap_err().to_string().contains("net.c"));
        Ok(())
    }
}
