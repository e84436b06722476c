//! Which device computes, and in which precision. Add another device here.

use candle_core::{DType, Device};

use crate::protocol::{Bf16Products, DeviceChoice, Precision};
use crate::{Error, Result};

/// Opens the device and gives its name: "CPU, 2 threads" or "CUDA 0".
pub fn open(choice: DeviceChoice) -> Result<(Device, String)> {
    match choice {
        DeviceChoice::Cpu => Ok(cpu()),
        DeviceChoice::Cuda => open_cuda(),
        DeviceChoice::Auto => Ok(open_cuda().unwrap_or_else(|_| cpu())),
    }
}

/// Parameters of a U-Net from which on a CPU that multiplies bf16 faster is left to do so. Below it a picture takes a
/// fraction of a second in f32, and nothing is won by rounding.
const LARGE: u64 = 100_000_000;

/// The type that the networks compute in, unless `precision` says otherwise: bf16 on CUDA, and on a CPU that was measured
/// to multiply it faster if the U-Net has many `parameters`; otherwise f32.
pub fn dtype(device: &Device, precision: Option<Precision>, parameters: u64) -> Result<DType> {
    match (precision, device.is_cuda()) {
        (None, false) if parameters >= LARGE && has_fast_bf16() => Ok(DType::BF16),
        (Some(Precision::F32), _) | (None, false) => Ok(DType::F32),
        (Some(Precision::Bf16), _) | (None, true) => Ok(DType::BF16),
        (Some(Precision::F16), true) => Ok(DType::F16),
        (Some(Precision::F16), false) => {
            let message = "f16 is not available on the CPU: choose f32 or bf16, or a CUDA device";
            Err(Error::Setting(message.into()))
        }
    }
}

/// Parameters of a U-Net from which on this choice computes in 16 bits where nothing else is asked for; `None` if it never
/// does. Weights of 16 bits are all that such a model needs.
pub fn sixteen_bits_from(choice: DeviceChoice) -> Option<u64> {
    match open(choice) {
        Ok((device, _)) if device.is_cuda() => Some(0),
        Ok(_) if has_fast_bf16() => Some(LARGE),
        _ => None,
    }
}

/// The protocol's name for a type that [`dtype`] chose.
pub fn precision(dtype: DType) -> Precision {
    match dtype {
        DType::F16 => Precision::F16,
        DType::BF16 => Precision::Bf16,
        _ => Precision::F32,
    }
}

/// How numbers of bf16 are multiplied, if this device and type do that in a way that was measured.
pub fn bf16_products(device: &Device, dtype: DType) -> Option<Bf16Products> {
    (device.is_cpu() && dtype == DType::BF16).then(|| match instaflow_kernels::bf16_products() {
        instaflow_kernels::Bf16Products::Pairs => Bf16Products::Pairs,
        instaflow_kernels::Bf16Products::Widened => Bf16Products::Widened,
    })
}

/// Whether the processor multiplies pairs of bf16 faster than f32. This is measured once, in two milliseconds.
fn has_fast_bf16() -> bool {
    instaflow_kernels::bf16_products() == instaflow_kernels::Bf16Products::Pairs
}

fn cpu() -> (Device, String) {
    let threads = rayon::current_num_threads();
    let plural = if threads == 1 { "" } else { "s" };
    (Device::Cpu, format!("CPU, {threads} thread{plural}"))
}

#[cfg(not(feature = "cuda"))]
fn open_cuda() -> Result<(Device, String)> {
    let message = "this build has no CUDA support: choose the CPU, or build with the feature `cuda`";
    Err(Error::Device(message.into()))
}

#[cfg(feature = "cuda")]
fn open_cuda() -> Result<(Device, String)> {
    // The binding panics if the driver's library is missing. That is an ordinary answer here, so nothing is printed.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let opened = std::panic::catch_unwind(|| Device::new_cuda(0));
    std::panic::set_hook(hook);
    match opened {
        Ok(Ok(device)) => Ok((device, "CUDA 0".into())),
        Ok(Err(error)) => {
            let cause = crate::error::without_backtrace(&error);
            Err(Error::Device(format!(
                "no CUDA device could be opened ({cause}): choose the CPU, or check what nvidia-smi says"
            )))
        }
        Err(_) => Err(Error::Device(
            "the CUDA driver is not installed (libcuda could not be loaded): choose the CPU, or install the driver"
                .into(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_computes_in_f32_and_bf16() {
        let (device, name) = open(DeviceChoice::Cpu).unwrap();
        assert!(name.starts_with("CPU, "), "{name}");
        let chosen = |precision, parameters| dtype(&device, precision, parameters);
        assert_eq!(chosen(None, LARGE - 1).unwrap(), DType::F32);
        let auto = if has_fast_bf16() { DType::BF16 } else { DType::F32 };
        assert_eq!(chosen(None, LARGE).unwrap(), auto);
        assert_eq!(chosen(Some(Precision::F32), LARGE).unwrap(), DType::F32);
        assert_eq!(chosen(Some(Precision::Bf16), 0).unwrap(), DType::BF16);
        let message = chosen(Some(Precision::F16), 0).unwrap_err().to_string();
        assert!(message.contains("choose f32 or bf16"), "{message}");
        assert_eq!(bf16_products(&device, DType::F32), None);
        assert!(bf16_products(&device, DType::BF16).is_some());
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn cuda_is_refused_if_it_is_not_built_in() {
        let message = open(DeviceChoice::Cuda).unwrap_err().to_string();
        assert!(message.contains("feature `cuda`"), "{message}");
        assert!(open(DeviceChoice::Auto).unwrap().0.is_cpu());
    }
}
