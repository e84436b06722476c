//! Distribution of work over the threads of the current rayon pool. Results never depend on how many there are.

use rayon::prelude::*;

/// How many tasks can run at once.
pub(crate) fn threads() -> usize {
    rayon::current_num_threads()
}

/// Calls `task` with 0 … `count`, in any order; on the calling thread where there is nothing to share.
pub(crate) fn for_each(count: usize, task: impl Fn(usize) + Sync + Send) {
    if count <= 1 || threads() == 1 {
        (0..count).for_each(task);
    } else {
        (0..count).into_par_iter().for_each(task);
    }
}

/// Like [`for_each`], and collects what the tasks give, in their order.
pub(crate) fn collect<T: Send>(count: usize, task: impl Fn(usize) -> T + Sync + Send) -> Vec<T> {
    if count <= 1 || threads() == 1 {
        (0..count).map(task).collect()
    } else {
        (0..count).into_par_iter().map(task).collect()
    }
}

/// Like [`for_each`], and adds up the f32 buffers of length `len` that the tasks write into, in the tasks' order: the sum
/// does not depend on the number of threads.
pub(crate) fn sum_over(count: usize, len: usize, task: impl Fn(usize, &mut [f32]) + Sync + Send) -> Vec<f32> {
    let mut parts = vec![0.0; count.max(1) * len];
    let target = Shared::new(&mut parts);
    for_each(count, |index| {
        #[allow(unsafe_code)]
        // SAFETY: every task has a buffer of its own.
        task(index, unsafe { target.slice(index * len, len) });
    });
    let (sum, rest) = parts.split_at_mut(len);
    for part in rest.chunks_exact(len.max(1)) {
        sum.iter_mut().zip(part).for_each(|(sum, value)| *sum += value);
    }
    parts.truncate(len);
    parts
}

/// A slice that several tasks write to at once, each to a part of its own.
#[derive(Clone, Copy)]
pub(crate) struct Shared<'a> {
    start: *mut f32,
    len: usize,
    borrow: std::marker::PhantomData<&'a mut [f32]>,
}

// SAFETY: only unsafe functions reach the data, whose contracts forbid that two write, or one reads what another writes.
#[allow(unsafe_code)]
unsafe impl Send for Shared<'_> {}
// SAFETY: as for `Send`.
#[allow(unsafe_code)]
unsafe impl Sync for Shared<'_> {}

impl<'a> Shared<'a> {
    pub(crate) fn new(slice: &'a mut [f32]) -> Self {
        Self { start: slice.as_mut_ptr(), len: slice.len(), borrow: std::marker::PhantomData }
    }

    /// All of it, once every task has written.
    ///
    /// # Safety
    /// While the slice is alive, no part that [`Self::slice`] gave is, and nobody writes through [`Self::start`].
    #[allow(unsafe_code)]
    pub(crate) unsafe fn read(self) -> &'a [f32] {
        // SAFETY: the borrow that this was made of; nobody writes, by the caller's promise.
        unsafe { std::slice::from_raw_parts(self.start, self.len) }
    }

    /// The part `from .. from + len`.
    ///
    /// # Safety
    /// No two parts that are alive at once may overlap.
    #[allow(unsafe_code)]
    pub(crate) unsafe fn slice(self, from: usize, len: usize) -> &'a mut [f32] {
        assert!(from + len <= self.len, "part {from}..{} of a slice of {}", from + len, self.len);
        // SAFETY: in bounds by the check above, disjoint by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(from), len) }
    }

    /// Where it starts, for tasks that write across parts of others, each to values of its own.
    pub(crate) fn start(self) -> *mut f32 {
        self.start
    }
}
