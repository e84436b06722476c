//! How the system reserves addresses and takes pages back. Change here to support another system.

/// What every system's pages divide into. Apple's have 16 KiB.
pub(super) const PAGE: usize = 1 << 14;

/// Most that large blocks can have at once. Reserving costs nothing; only what is touched is memory.
#[cfg(any(target_os = "linux", target_os = "macos"))]
const RESERVED: usize = 1 << 38;

/// Whole pages for so many bytes.
pub(super) fn rounded(size: usize) -> usize {
    size.next_multiple_of(PAGE)
}

/// The start and the length of a stretch of addresses whose pages become memory, full of zeros, when they are touched; a
/// length of 0 where the system has none.
#[cfg(any(target_os = "linux", target_os = "macos"))]
pub(super) fn reserve() -> (usize, usize) {
    #[allow(unsafe_code)]
    // SAFETY: a new mapping, anywhere.
    unsafe {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANON | libc::MAP_NORESERVE;
        let start = libc::mmap(std::ptr::null_mut(), RESERVED, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0);
        if start == libc::MAP_FAILED {
            return (0, 0);
        }
        // In pages of two megabytes a feature map is fifty touches instead of twenty-five thousand, and the processor finds
        // its way in it faster. A system without them refuses, which does no harm.
        #[cfg(target_os = "linux")]
        libc::madvise(start, RESERVED, libc::MADV_HUGEPAGE);
        let first = rounded(start.expose_provenance());
        (first, RESERVED - PAGE)
    }
}

/// Gives the memory of some pages back to the system; they will hold zeros.
#[cfg(any(target_os = "linux", target_os = "macos"))]
pub(super) fn release(start: usize, len: usize) {
    #[allow(unsafe_code)]
    // SAFETY: pages of the stretch that nobody uses.
    unsafe {
        let start: *mut u8 = std::ptr::with_exposed_provenance_mut(start);
        #[cfg(target_os = "linux")]
        let given = libc::madvise(start.cast(), len, libc::MADV_DONTNEED) == 0;
        // Advice there does not promise zeros; a new mapping in the old one's place has them.
        #[cfg(not(target_os = "linux"))]
        let given = {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANON | libc::MAP_NORESERVE | libc::MAP_FIXED;
            let protection = libc::PROT_READ | libc::PROT_WRITE;
            libc::mmap(start.cast(), len, protection, flags, -1, 0) != libc::MAP_FAILED
        };
        // A process may have locked its memory: then it stays, and the zeros are ours to write.
        if !given {
            start.write_bytes(0, len);
        }
    }
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
pub(super) fn reserve() -> (usize, usize) {
    (0, 0)
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
pub(super) fn release(_start: usize, _len: usize) {}
