//! Where to compute, in which arithmetic, and how much memory there is for it.

use std::fs;
use std::path::Path;

use candle_core::{DType, Device};

use crate::protocol::{DeviceChoice, Precision};
use crate::{Error, Result};

/// Opens the device and names it for people: "CPU, 2 threads" or "CUDA 0".
pub fn open(choice: DeviceChoice) -> Result<(Device, String)> {
    match choice {
        DeviceChoice::Cpu => Ok(cpu()),
        DeviceChoice::Cuda => open_cuda(),
        DeviceChoice::Auto => Ok(open_cuda().unwrap_or_else(|_| cpu())),
    }
}

/// The type that the networks compute in: f32 on a CPU and bf16 on CUDA, unless asked otherwise.
pub fn dtype(device: &Device, precision: Option<Precision>) -> Result<DType> {
    match (precision, device.is_cuda()) {
        (Some(Precision::F32), _) | (None, false) => Ok(DType::F32),
        (Some(Precision::Bf16), _) | (None, true) => Ok(DType::BF16),
        (Some(Precision::F16), true) => Ok(DType::F16),
        (Some(Precision::F16), false) => {
            let message = "the CPU does not compute in f16: choose f32 or bf16, or a CUDA device";
            Err(Error::Setting(message.into()))
        }
    }
}

/// The arithmetic that [`dtype`] chose, as the protocol names it.
pub fn precision(dtype: DType) -> Precision {
    match dtype {
        DType::F16 => Precision::F16,
        DType::BF16 => Precision::Bf16,
        _ => Precision::F32,
    }
}

/// Bytes that can still be allocated without swapping: what the kernel calls available, or what this process's
/// control group leaves, whichever is less. `None` where the system does not say (anything but Linux).
pub fn available_memory() -> Option<u64> {
    let system = kibibytes(&fs::read_to_string("/proc/meminfo").ok()?, "MemAvailable:")?;
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    Some(groups.lines().filter_map(group_leaves).fold(system, u64::min))
}

fn cpu() -> (Device, String) {
    let threads = rayon::current_num_threads();
    let plural = if threads == 1 { "" } else { "s" };
    (Device::Cpu, format!("CPU, {threads} thread{plural}"))
}

#[cfg(not(feature = "cuda"))]
fn open_cuda() -> Result<(Device, String)> {
    let message = "this build has no CUDA in it: choose the CPU, or build with `--features cuda`";
    Err(Error::Device(message.into()))
}

#[cfg(feature = "cuda")]
fn open_cuda() -> Result<(Device, String)> {
    // The binding panics where the driver's library is missing. That is an answer here, not a fault to print.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let opened = std::panic::catch_unwind(|| Device::new_cuda(0));
    std::panic::set_hook(hook);
    match opened {
        Ok(Ok(device)) => Ok((device, "CUDA 0".into())),
        Ok(Err(error)) => {
            let cause = crate::error::without_backtrace(&error);
            Err(Error::Device(format!(
                "no CUDA device could be opened ({cause}): choose the CPU, or look at what nvidia-smi says"
            )))
        }
        Err(_) => Err(Error::Device(
            "the CUDA driver is not installed (libcuda could not be loaded): choose the CPU, or install the driver"
                .into(),
        )),
    }
}

/// The value of one line of /proc/meminfo, in bytes.
fn kibibytes(meminfo: &str, key: &str) -> Option<u64> {
    let value = meminfo.lines().find_map(|line| line.strip_prefix(key))?;
    value.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// What a control group and the groups above it leave. `line` is one of /proc/self/cgroup: `0::/path` in version 2,
/// `4:memory:/path` in version 1. In a container the path may not exist; its mount's root then stands for it.
fn group_leaves(line: &str) -> Option<u64> {
    let mut fields = line.splitn(3, ':');
    let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
    let (root, limit, usage, cache) = if controllers.is_empty() {
        ("/sys/fs/cgroup", "memory.max", "memory.current", ["inactive_file ", "active_file "])
    } else if controllers.split(',').any(|controller| controller == "memory") {
        let cache = ["total_inactive_file ", "total_active_file "];
        ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", cache)
    } else {
        return None;
    };
    let number = |folder: &Path, file: &str| fs::read_to_string(folder.join(file)).ok()?.trim().parse::<u64>().ok();
    let leaves = |folder: &Path| {
        let limit = number(folder, limit)?;
        let usage = number(folder, usage)?;
        // Cached files, such as weights that were mapped, give way to allocations.
        let stat = fs::read_to_string(folder.join("memory.stat")).unwrap_or_default();
        let field = |key: &&str| stat.lines().find_map(|line| line.strip_prefix(*key)?.trim().parse::<u64>().ok());
        let cached: u64 = cache.iter().filter_map(field).sum();
        Some(limit.saturating_sub(usage.saturating_sub(cached)))
    };
    let path = Path::new(path.trim_start_matches('/'));
    path.ancestors().filter_map(|group| leaves(&Path::new(root).join(group))).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_computes_in_f32_and_bf16() {
        let (device, name) = open(DeviceChoice::Cpu).unwrap();
        assert!(name.starts_with("CPU, "), "{name}");
        assert_eq!(dtype(&device, None).unwrap(), DType::F32);
        assert_eq!(dtype(&device, Some(Precision::F32)).unwrap(), DType::F32);
        assert_eq!(dtype(&device, Some(Precision::Bf16)).unwrap(), DType::BF16);
        let message = dtype(&device, Some(Precision::F16)).unwrap_err().to_string();
        assert!(message.contains("choose f32 or bf16"), "{message}");
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn cuda_is_refused_where_it_is_not_built_in() {
        let message = open(DeviceChoice::Cuda).unwrap_err().to_string();
        assert!(message.contains("--features cuda"), "{message}");
        assert!(open(DeviceChoice::Auto).unwrap().0.is_cpu());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn linux_says_how_much_memory_is_left() {
        let available = available_memory().expect("Linux tells");
        assert!((1 << 20..1 << 50).contains(&available), "{available}");
        assert_eq!(kibibytes("MemTotal: 9 kB\nMemAvailable:    2048 kB\n", "MemAvailable:"), Some(2 << 20));
    }
}
