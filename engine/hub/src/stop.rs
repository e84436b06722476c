//! The flag that ends a download at once, also while it waits for the network.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::{Error, Result};

/// Shared between whoever may stop a download and the download. Copies are the same flag.
#[derive(Clone, Default)]
pub struct Stop(Arc<Inner>);

#[derive(Default)]
struct Inner {
    state: Mutex<State>,
    woken: Condvar,
}

#[derive(Default)]
struct State {
    stopped: bool,
    /// What ends whatever cannot see the flag.
    ends: Vec<Box<dyn FnOnce() + Send>>,
}

impl Stop {
    /// Ends it. What has arrived is kept.
    pub fn stop(&self) {
        let ends = {
            let mut state = self.state();
            state.stopped = true;
            std::mem::take(&mut state.ends)
        };
        self.0.woken.notify_all();
        for end in ends {
            end();
        }
    }

    /// Whether it was stopped.
    pub fn is_stopped(&self) -> bool {
        self.state().stopped
    }

    pub(crate) fn check(&self) -> Result<()> {
        if self.is_stopped() { Err(Error::Stopped) } else { Ok(()) }
    }

    /// Waits, but not beyond the stop.
    pub(crate) fn sleep(&self, duration: Duration) -> Result<()> {
        let end = Instant::now() + duration;
        let mut state = self.state();
        while !state.stopped {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            state = self.0.woken.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        Err(Error::Stopped)
    }

    /// Runs `end` when it is stopped; at once if it has been.
    pub(crate) fn on_stop(&self, end: impl FnOnce() + Send + 'static) {
        let mut state = self.state();
        if state.stopped {
            drop(state);
            end();
        } else {
            state.ends.push(Box::new(end));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stop").field("stopped", &self.is_stopped()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_ends_what_waits_and_what_cannot_see_it() {
        let stop = Stop::default();
        assert!(stop.sleep(Duration::from_millis(1)).is_ok());
        let (sender, receiver) = std::sync::mpsc::channel();
        stop.on_stop(move || sender.send("ended").expect("somebody listens"));
        let sleeper = std::thread::spawn({
            let stop = stop.clone();
            move || stop.sleep(Duration::from_hours(1))
        });
        stop.stop();
        assert!(sleeper.join().expect("no panic").expect_err("stopped").is_stopped());
        assert_eq!(receiver.recv(), Ok("ended"));
        assert!(stop.check().is_err());
        let (sender, receiver) = std::sync::mpsc::channel();
        stop.on_stop(move || sender.send(()).expect("somebody listens"));
        assert_eq!(receiver.recv(), Ok(()), "at once");
    }
}
