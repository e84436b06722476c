//! The threads that compute.

use rayon::ThreadPoolBuilder;

/// Whether the threads that compute leave the others, such as a window's, a way in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// As the system gives it.
    Normal,
    /// After the window's threads, where the system allows it (Linux): what is drawn on screen comes first.
    BelowWindow,
}

/// Makes the calling thread the first of as many as there are cores, which share the arithmetic that it calls for: one
/// that computes itself hands work over faster than one that waits for others to do it.
pub fn compute_here(priority: Priority) {
    if priority == Priority::BelowWindow {
        lower_priority();
    }
    // A thread that computes already stays where it is.
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

/// Lowers this thread's priority, by as little as lets another in at once: where the window is drawn in software, on the
/// same cores, five such steps tripled the time from key to picture.
fn lower_priority() {
    #[cfg(target_os = "linux")]
    #[allow(unsafe_code)]
    // SAFETY: takes plain numbers; on Linux the calling thread alone is meant. A refusal changes nothing.
    unsafe {
        libc::setpriority(libc::PRIO_PROCESS, 0, 1);
    }
}
