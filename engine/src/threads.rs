//! The threads that compute: how many there are and how urgent they are.

use rayon::ThreadPoolBuilder;

/// How urgent the compute threads are compared with others, such as a window's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// The system's default.
    Normal,
    /// Below the window's threads, so that the window stays responsive. Linux only; elsewhere this is the default.
    BelowWindow,
}

/// Creates a pool of one thread per core and makes the calling thread the first of them. What this thread then computes
/// is shared among all of them. A thread of the pool hands out work faster than a thread that only waits for the pool.
pub fn compute_here(priority: Priority) {
    if priority == Priority::BelowWindow {
        lower_priority();
    }
    // This fails if the thread is in a pool already, which then stays as it is.
    let _ = ThreadPoolBuilder::new()
        .use_current_thread()
        .thread_name(|index| format!("compute {index}"))
        .start_handler(move |_| {
            if priority == Priority::BelowWindow {
                lower_priority();
            }
        })
        .build()
        // The pool lives as long as the thread.
        .map(std::mem::forget);
}

/// Lowers this thread's priority by one step, which is enough for another thread to run at once. If the window is
/// drawn in software on the same cores, five steps triple the time from key to picture.
fn lower_priority() {
    #[cfg(target_os = "linux")]
    #[allow(unsafe_code)]
    // SAFETY: the call takes plain numbers. On Linux it concerns the calling thread only. A refusal changes nothing.
    unsafe {
        libc::setpriority(libc::PRIO_PROCESS, 0, 1);
    }
}
