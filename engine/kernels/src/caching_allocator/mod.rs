//! An allocator that keeps large blocks for the next layer. A feature map of a decoder takes a hundred megabytes. Asking
//! the system for fresh memory costs more than the arithmetic of some layers, because every page is cleared when it is
//! first touched.
//!
//! Large blocks are parts of one reserved range of addresses, so memory that one layer freed can be cut and joined for
//! another. `ranges` keeps the books, `pages` talks to the system. If nothing can be reserved, all blocks are the
//! system's. Change here which blocks are kept.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::{Mutex, MutexGuard, PoisonError};

mod pages;
mod ranges;

use ranges::Ranges;

/// Blocks smaller than this are the system's business.
const SMALLEST: usize = 1 << 18;

/// The system's allocator, except that the memory of large blocks is used again after they are freed. A program declares
/// it as its `#[global_allocator]`.
pub struct CachingAllocator {
    ranges: Mutex<Ranges>,
}

impl CachingAllocator {
    /// With nothing reserved yet.
    pub const fn new() -> Self {
        Self { ranges: Mutex::new(Ranges::NONE) }
    }

    /// A block, and whether it is known to hold zeros; `None` where it has to be the system's.
    fn take(&self, wanted: Layout) -> Option<(*mut u8, bool)> {
        if !is_large(wanted) {
            return None;
        }
        let place = {
            let mut ranges = self.lock();
            if ranges.is_unset() {
                ranges.set(pages::reserve());
            }
            ranges.take(pages::rounded(wanted.size()))?
        };
        if place.fresh {
            self.trim();
        }
        Some((std::ptr::with_exposed_provenance_mut(place.start), place.fresh))
    }

    /// Whether the block was one of these.
    fn give(&self, block: *mut u8, wanted: Layout) -> bool {
        let given = is_large(wanted) && self.lock().give(block.expose_provenance(), pages::rounded(wanted.size()));
        if given {
            self.trim();
        }
        given
    }

    /// Gives the system back what need not be kept. That takes a while: without the lock, and the range out of the books.
    fn trim(&self) {
        loop {
            let surplus = self.lock().surplus();
            let Some((start, len)) = surplus else { return };
            pages::release(start, len);
            self.lock().released(start, len);
        }
    }

    // The lock does not allocate, and nothing can panic while it is held.
    fn lock(&self) -> MutexGuard<'_, Ranges> {
        self.ranges.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for CachingAllocator {
    fn default() -> Self {
        Self::new()
    }
}

fn is_large(layout: Layout) -> bool {
    layout.size() >= SMALLEST && layout.align() <= pages::PAGE && layout.size() <= isize::MAX as usize / 2
}

#[allow(unsafe_code)]
// SAFETY: small blocks are `System`'s, and large ones outside the reserved stretch; a part of that belongs to one owner at
// a time, is as long as `rounded` makes it, and starts at a page.
unsafe impl GlobalAlloc for CachingAllocator {
    unsafe fn alloc(&self, wanted: Layout) -> *mut u8 {
        match self.take(wanted) {
            Some((block, _)) => block,
            // SAFETY: the caller's promise, as it was given.
            None => unsafe { System.alloc(wanted) },
        }
    }

    unsafe fn alloc_zeroed(&self, wanted: Layout) -> *mut u8 {
        let Some((block, zeros)) = self.take(wanted) else {
            // SAFETY: the caller's promise, as it was given.
            return unsafe { System.alloc_zeroed(wanted) };
        };
        if !zeros {
            // SAFETY: the block is `wanted.size()` bytes, and nobody's yet.
            unsafe { block.write_bytes(0, wanted.size()) };
        }
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, wanted: Layout) {
        if !self.give(block, wanted) {
            // SAFETY: what was not taken from the reserved stretch is the system's, with the layout that it was given for.
            unsafe { System.dealloc(block, wanted) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(unsafe_code)]
    fn a_freed_block_is_given_out_again_whole_or_in_parts() {
        let allocator = CachingAllocator::new();
        let layout = |values: usize| Layout::array::<f32>(values).unwrap();
        // SAFETY: every block is freed once, with its layout.
        unsafe {
            let first = allocator.alloc(layout(1 << 22));
            first.write_bytes(7, layout(1 << 22).size());
            allocator.dealloc(first, layout(1 << 22));
            let half = allocator.alloc_zeroed(layout(1 << 21));
            let other = allocator.alloc_zeroed(layout(1 << 21));
            if cfg!(any(target_os = "linux", target_os = "macos")) {
                assert_eq!(half, first);
                assert_eq!(other, first.add(layout(1 << 21).size()));
            }
            for block in [half, other] {
                assert!(std::slice::from_raw_parts(block, layout(1 << 21).size()).iter().all(|byte| *byte == 0));
                allocator.dealloc(block, layout(1 << 21));
            }
        }
    }

    /// What blocks hold stays theirs, whatever is freed, kept, handed back to the system and given out again beside them.
    #[test]
    #[allow(unsafe_code)]
    fn blocks_of_several_threads_keep_what_they_hold() {
        let allocator = CachingAllocator::new();
        std::thread::scope(|scope| {
            for thread in 0..4u8 {
                let allocator = &allocator;
                scope.spawn(move || {
                    let mut held: Vec<(*mut u8, Layout, u8)> = Vec::new();
                    let check = |(block, layout, mark): (*mut u8, Layout, u8)| {
                        // SAFETY: the block is this thread's, and `size` bytes long.
                        let bytes = unsafe { std::slice::from_raw_parts(block, layout.size()) };
                        assert!(bytes.iter().step_by(509).all(|byte| *byte == mark));
                        assert_eq!(bytes.last(), Some(&mark));
                        // SAFETY: allocated with this layout, freed once.
                        unsafe { allocator.dealloc(block, layout) };
                    };
                    let mut state = u64::from(thread) + 1;
                    for round in 0..400u32 {
                        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                        let random = (state >> 33) as usize;
                        if held.len() > 12 || random.is_multiple_of(3) && !held.is_empty() {
                            check(held.swap_remove(random % held.len()));
                        } else {
                            let size = SMALLEST + random % (6 << 20);
                            let (layout, mark) = (Layout::array::<u8>(size).unwrap(), round as u8 ^ thread << 6);
                            // SAFETY: not empty; written only where it was given.
                            let block = unsafe {
                                let block = allocator.alloc(layout);
                                assert!(!block.is_null());
                                block.write_bytes(mark, size);
                                block
                            };
                            held.push((block, layout, mark));
                        }
                    }
                    held.into_iter().for_each(check);
                });
            }
        });
    }
}
