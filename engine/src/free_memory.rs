//! How much memory is still available. Each system is asked in its own way; add another system here.
//!
//! The crate `sysinfo` (0.40) answers this too. It counts the file cache of a control group as used, so in a container
//! the mapped weights of one model would keep the next one from being opened. On Windows it brings `windows` and `winapi`
//! for the one call that is made here.

/// Bytes that can still be allocated without swapping; `None` if the system does not say.
pub(crate) fn available() -> Option<u64> {
    system::available()
}

/// What the kernel calls available or what this process's control groups leave, whichever is less.
#[cfg(target_os = "linux")]
mod system {
    use std::fs;
    use std::path::Path;

    pub fn available() -> Option<u64> {
        let system = kibibytes(&fs::read_to_string("/proc/meminfo").ok()?, "MemAvailable:")?;
        let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        Some(groups.lines().filter_map(group_leaves).fold(system, u64::min))
    }

    /// The value of one line of /proc/meminfo, in bytes.
    pub(super) fn kibibytes(meminfo: &str, key: &str) -> Option<u64> {
        let value = meminfo.lines().find_map(|line| line.strip_prefix(key))?;
        value.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
    }

    /// What a control group and the groups above it leave. `line` is a line of /proc/self/cgroup: `0::/path` in version
    /// 2, `4:memory:/path` in version 1. In a container the path may not exist; then the root of the mount is used.
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
            // Cached files, such as mapped weights, are dropped when memory is allocated.
            let stat = fs::read_to_string(folder.join("memory.stat")).unwrap_or_default();
            let field = |key: &&str| stat.lines().find_map(|line| line.strip_prefix(*key)?.trim().parse::<u64>().ok());
            let cached: u64 = cache.iter().filter_map(field).sum();
            Some(limit.saturating_sub(usage.saturating_sub(cached)))
        };
        let path = Path::new(path.trim_start_matches('/'));
        path.ancestors().filter_map(|group| leaves(&Path::new(root).join(group))).min()
    }
}

/// Unused memory or what can still be committed, whichever is less.
#[cfg(windows)]
mod system {
    use windows_sys::Win32::System::SystemInformation::{GlobalMemoryStatusEx, MEMORYSTATUSEX};

    pub fn available() -> Option<u64> {
        let mut status = MEMORYSTATUSEX { dwLength: size_of::<MEMORYSTATUSEX>() as u32, ..MEMORYSTATUSEX::default() };
        // SAFETY: the structure lives on this stack frame and states its own size.
        #[expect(unsafe_code, reason = "the system's own call")]
        let known = unsafe { GlobalMemoryStatusEx(&raw mut status) } != 0;
        known.then(|| status.ullAvailPhys.min(status.ullAvailPageFile))
    }
}

/// The machine's whole memory, an upper bound: macOS compresses and swaps before it refuses.
#[cfg(target_os = "macos")]
mod system {
    pub fn available() -> Option<u64> {
        let (mut bytes, mut length) = (0_u64, size_of::<u64>());
        // SAFETY: the name ends in a zero, and `length` is the size of `bytes`.
        #[expect(unsafe_code, reason = "the system's own call")]
        let failed = unsafe {
            let value = (&raw mut bytes).cast();
            libc::sysctlbyname(c"hw.memsize".as_ptr(), value, &raw mut length, std::ptr::null_mut(), 0)
        };
        (failed == 0 && length == size_of::<u64>()).then_some(bytes)
    }
}

#[cfg(not(any(target_os = "linux", target_os = "macos", windows)))]
mod system {
    pub fn available() -> Option<u64> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(any(target_os = "linux", target_os = "macos", windows))]
    #[test]
    fn the_system_says_how_much_memory_is_left() {
        let available = available().expect("an answer");
        assert!((1 << 20..1 << 50).contains(&available), "{available}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_line_of_meminfo_is_in_kibibytes() {
        let text = "MemTotal: 9 kB\nMemAvailable:    2048 kB\n";
        assert_eq!(system::kibibytes(text, "MemAvailable:"), Some(2 << 20));
    }
}
