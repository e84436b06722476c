//! An allocator that keeps large blocks for the next layer. A feature map of a decoder has a hundred megabytes; asking
//! the system for one anew costs more than the arithmetic of some layers, as every page is cleared at its first touch.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Blocks smaller than this are the system's business.
const SMALLEST: usize = 1 << 18;
/// Blocks are kept for reuse up to this many bytes in all.
const KEPT: usize = 1 << 29;
/// So many bytes may always be kept: all that a small model works with.
const ALWAYS: usize = 1 << 26;
/// Blocks are kept for reuse up to this number.
const SLOTS: usize = 128;
/// A block that so many later allocations had no use for goes back to the system: weights that were packed, the feature
/// maps of another size.
const PATIENCE: u64 = 2048;
/// Every large block starts at a whole vector, so that one of a size serves any alignment up to it.
const ALIGNMENT: usize = 64;
/// What a huge page holds. Blocks of two and more ask for them: a block of a hundred megabytes then meets the system fifty
/// times instead of twenty-five thousand, and the processor finds its way in it without walking the page table.
const HUGE_PAGE: usize = 1 << 21;

/// The system's allocator, but for large blocks that were freed: those are given out again for the same size. To be
/// declared `#[global_allocator]` by a program.
pub struct Recycler {
    free: Mutex<Free>,
}

struct Free {
    /// The latest last.
    blocks: [Block; SLOTS],
    count: usize,
    bytes: usize,
    /// Bytes of the large blocks that are in use, and the most there ever were.
    used: usize,
    most_used: usize,
    /// Large allocations so far.
    clock: u64,
}

#[derive(Clone, Copy)]
struct Block {
    address: usize,
    size: usize,
    freed: u64,
}

const NO_BLOCKS: Free = Free {
    blocks: [Block { address: 0, size: 0, freed: 0 }; SLOTS],
    count: 0,
    bytes: 0,
    used: 0,
    most_used: 0,
    clock: 0,
};

impl Recycler {
    /// With nothing kept yet.
    pub const fn new() -> Self {
        Self { free: Mutex::new(NO_BLOCKS) }
    }

    /// A kept block. Where there is none, others make room for the new one.
    fn take(&self, size: usize) -> Option<usize> {
        let kept = self.lock().take(size);
        if kept.is_none() {
            loop {
                let surplus = self.lock().surplus();
                let Some(block) = surplus else { break };
                release(block.address, block.size);
            }
        }
        kept
    }

    /// A kept block, or a fresh one; null where the system has none.
    fn block(&self, wanted: Layout) -> *mut u8 {
        let size = rounded(wanted.size());
        self.take(size).map_or_else(|| fresh(size), std::ptr::with_exposed_provenance_mut)
    }

    // The lock does not allocate, and nothing can panic while it is held.
    fn lock(&self) -> MutexGuard<'_, Free> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Recycler {
    fn default() -> Self {
        Self::new()
    }
}

impl Free {
    /// Counts a block of this size as used, and gives one where one is kept.
    fn take(&mut self, size: usize) -> Option<usize> {
        self.clock += 1;
        self.used += size;
        self.most_used = self.most_used.max(self.used);
        let at = self.blocks[..self.count].iter().rposition(|block| block.size == size)?;
        Some(self.remove(at).address)
    }

    /// The block that was not asked for the longest, where what is kept would make the process larger than what it uses
    /// ever did.
    fn surplus(&mut self) -> Option<Block> {
        let over = self.bytes > ALWAYS && self.used + self.bytes > self.most_used;
        if over { self.oldest() } else { None }
    }

    /// Whether there was room.
    fn keep(&mut self, address: usize, size: usize) -> bool {
        let fits = self.count < SLOTS && self.bytes + size <= KEPT;
        if fits {
            self.blocks[self.count] = Block { address, size, freed: self.clock };
            self.count += 1;
            self.bytes += size;
        }
        fits
    }

    /// The block that was not asked for the longest.
    fn oldest(&mut self) -> Option<Block> {
        (self.count > 0).then(|| self.remove(0))
    }

    /// The same, where it waited in vain.
    fn outdated(&mut self) -> Option<Block> {
        (self.count > 0 && self.clock - self.blocks[0].freed > PATIENCE).then(|| self.remove(0))
    }

    fn remove(&mut self, at: usize) -> Block {
        let block = self.blocks[at];
        self.blocks.copy_within(at + 1..self.count, at);
        self.count -= 1;
        self.bytes -= block.size;
        block
    }
}

/// Sizes come in eight steps to a power of two, so that a block serves feature maps of nearly its size.
fn rounded(size: usize) -> usize {
    let step = (size.next_power_of_two() / 16).max(4096);
    size.next_multiple_of(step)
}

fn layout(size: usize) -> Option<Layout> {
    Layout::from_size_align(size, if size < 2 * HUGE_PAGE { ALIGNMENT } else { HUGE_PAGE }).ok()
}

/// A block of a rounded size from the system; null where it has none.
#[allow(unsafe_code)]
fn fresh(size: usize) -> *mut u8 {
    let Some(layout) = layout(size) else { return std::ptr::null_mut() };
    // SAFETY: no large block is empty.
    let block = unsafe { System.alloc(layout) };
    #[cfg(target_os = "linux")]
    if layout.align() == HUGE_PAGE && !block.is_null() {
        // SAFETY: the whole of the block, which is this program's. A system without huge pages refuses, which does no harm.
        unsafe { libc::madvise(block.cast(), size, libc::MADV_HUGEPAGE) };
    }
    block
}

#[allow(unsafe_code)]
fn release(address: usize, size: usize) {
    if let Some(layout) = layout(size) {
        // SAFETY: the block came from `System` with this layout.
        unsafe { System.dealloc(std::ptr::with_exposed_provenance_mut(address), layout) }
    }
}

fn is_large(layout: Layout) -> bool {
    layout.size() >= SMALLEST && layout.align() <= ALIGNMENT && layout.size() <= isize::MAX as usize / 2
}

#[allow(unsafe_code)]
// SAFETY: small blocks are `System`'s; a large block has the size that `rounded` makes of its layout's, from its
// allocation to its release, and belongs to one owner at a time.
unsafe impl GlobalAlloc for Recycler {
    unsafe fn alloc(&self, wanted: Layout) -> *mut u8 {
        if !is_large(wanted) {
            return unsafe { System.alloc(wanted) };
        }
        self.block(wanted)
    }

    unsafe fn alloc_zeroed(&self, wanted: Layout) -> *mut u8 {
        if !is_large(wanted) {
            return unsafe { System.alloc_zeroed(wanted) };
        }
        let block = self.block(wanted);
        if !block.is_null() {
            unsafe { block.write_bytes(0, wanted.size()) };
        }
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, wanted: Layout) {
        if !is_large(wanted) {
            return unsafe { System.dealloc(block, wanted) };
        }
        let (address, size) = (block.expose_provenance(), rounded(wanted.size()));
        let outdated = {
            let mut free = self.lock();
            free.used -= size;
            free.outdated()
        };
        if let Some(block) = outdated {
            release(block.address, block.size);
        }
        // Older blocks make room, and where none is left to go this one is released.
        while !self.lock().keep(address, size) {
            let oldest = self.lock().oldest();
            let Some(block) = oldest else { return release(address, size) };
            release(block.address, block.size);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_rounded_up_by_an_eighth_at_most() {
        for size in [SMALLEST, SMALLEST + 1, 1_000_003, 134_217_728, 134_217_729] {
            let rounded = rounded(size);
            assert!(rounded >= size && rounded <= size + size / 8 + 4096, "{size} {rounded}");
            assert_eq!(rounded, super::rounded(rounded), "a block keeps its size");
        }
    }

    #[test]
    #[allow(unsafe_code)]
    fn a_freed_block_is_given_out_again() {
        let recycler = Recycler::new();
        let (large, other) = (Layout::array::<f32>(1 << 20).unwrap(), Layout::array::<f32>(1 << 22).unwrap());
        // SAFETY: every block is freed once, with its layout.
        unsafe {
            let first = recycler.alloc(large);
            first.write_bytes(7, large.size());
            recycler.dealloc(first, large);
            let different = recycler.alloc(other);
            assert_ne!(first, different);
            let again = recycler.alloc_zeroed(large);
            assert_eq!(first, again);
            assert!(std::slice::from_raw_parts(again, large.size()).iter().all(|byte| *byte == 0));
            recycler.dealloc(again, large);
            recycler.dealloc(different, other);
        }
        assert_eq!(recycler.lock().count, 2);
        recycler.lock().clock += PATIENCE + 1;
        // SAFETY: as above.
        unsafe {
            let small = recycler.alloc(large);
            recycler.dealloc(small, large);
        }
        assert_eq!(recycler.lock().count, 1, "what waited in vain is released");
    }

    #[test]
    fn what_is_kept_never_adds_to_the_most_that_was_used() {
        let mut free = NO_BLOCKS;
        let sizes = [ALWAYS, ALWAYS / 2, ALWAYS / 4, 3 * ALWAYS / 4];
        assert!(sizes.iter().all(|&size| free.take(size).is_none()));
        for (address, size) in sizes.into_iter().enumerate() {
            free.used -= size;
            assert!(free.keep(address, size));
        }
        let most = free.most_used;
        assert!(free.take(ALWAYS / 8).is_none(), "no block of this size was kept");
        let released = std::iter::from_fn(|| free.surplus()).map(|block| block.size).collect::<Vec<_>>();
        assert_eq!(released, [ALWAYS], "the oldest goes, and no more than is needed");
        assert!(free.used + free.bytes <= most);
    }

    #[test]
    fn no_more_than_its_share_is_kept() {
        let mut free = NO_BLOCKS;
        for address in 1..1000 {
            let size = rounded(SMALLEST << (address % 9));
            while !free.keep(address, size) {
                assert!(free.oldest().is_some(), "an empty list has room");
            }
            assert!(free.bytes <= KEPT && free.count <= SLOTS);
            assert_eq!(free.bytes, free.blocks[..free.count].iter().map(|block| block.size).sum::<usize>());
        }
        assert!(!free.keep(1, KEPT + 1));
    }
}
