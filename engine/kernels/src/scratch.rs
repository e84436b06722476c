//! Memory that a thread keeps from one call to the next, because fresh pages cost more than the work in them. It holds
//! anything: whoever takes it writes before reading.

use std::cell::RefCell;

/// Buffers that are in use at once on one thread, one inside the other.
const DEEPEST: usize = 4;

/// Values of a buffer that is kept: the tiles of a decoder that sixteen threads transform at once. Larger ones are the
/// allocator's to keep.
const LARGEST: usize = 16 << 20;

thread_local! {
    static FREE: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
}

/// Calls `work` with `len` values that hold anything.
pub(crate) fn with<R>(len: usize, work: impl FnOnce(&mut [f32]) -> R) -> R {
    if len == 0 {
        return work(&mut []);
    }
    let mut buffer = FREE.with_borrow_mut(Vec::pop).unwrap_or_default();
    if buffer.len() < len {
        // Not lengthened: what it holds is of no use.
        buffer = vec![0.0; len];
    }
    let result = work(&mut buffer[..len]);
    FREE.with_borrow_mut(|free| {
        if free.len() < DEEPEST && buffer.len() <= LARGEST {
            free.push(buffer);
        }
    });
    result
}
