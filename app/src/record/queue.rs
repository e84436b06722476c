//! A queue to a thread that writes a file, so that whoever records never waits for the disk: what finds no room is
//! counted. (`tracing-appender` does the same; it brings six more crates for dates in file names, and drops what still
//! waits a second after the end.)

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};

/// A bounded queue and the thread at its end.
pub(super) struct Queue<T> {
    sender: Mutex<Option<Sender<T>>>,
    lost: AtomicU64,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl<T: Send + 'static> Queue<T> {
    /// Starts the thread; it ends when `write` does, which must be when the queue is closed. At most `room` items wait.
    pub fn start(name: &str, room: usize, write: impl FnOnce(Receiver<T>) + Send + 'static) -> io::Result<Self> {
        let (sender, items) = bounded(room);
        let writer = std::thread::Builder::new().name(name.to_owned()).spawn(move || write(items))?;
        Ok(Self { sender: Mutex::new(Some(sender)), lost: AtomicU64::new(0), writer: Mutex::new(Some(writer)) })
    }

    /// Queues an item, or counts it as lost if there is no room; returns at once. `false` if it was lost.
    pub fn send(&self, item: T) -> bool {
        let lost = lock(&self.sender).as_ref().is_some_and(|sender| sender.try_send(item).is_err());
        if lost {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        !lost
    }

    /// How many items were lost since this was last asked.
    pub fn take_lost(&self) -> u64 {
        self.lost.swap(0, Ordering::Relaxed)
    }

    /// Counts items that were reported as lost, if that report was itself lost.
    pub fn still_lost(&self, count: u64) {
        self.lost.fetch_add(count, Ordering::Relaxed);
    }

    /// Writes all that waits, then this last item, and nothing from then on.
    pub fn finish(&self, last: Option<T>) {
        let sender = lock(&self.sender).take();
        if let (Some(sender), Some(last)) = (sender, last) {
            // Waits for room. Fails only if the thread has panicked, which leaves nothing to do.
            sender.send(last).ok();
        }
        if let Some(writer) = lock(&self.writer).take() {
            writer.join().ok();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn what_finds_no_room_is_counted_and_the_last_item_always_arrives() {
        let (go, wait) = bounded::<()>(0);
        let written: Arc<Mutex<Vec<u32>>> = Arc::default();
        let keep = written.clone();
        let queue = Queue::start("test", 2, move |items| {
            wait.recv().ok();
            items.iter().for_each(|item| lock(&keep).push(item));
        });
        let queue = queue.expect("a thread");
        assert_eq!([1, 2, 3, 4].map(|item| queue.send(item)), [true, true, false, false]);
        assert_eq!((queue.take_lost(), queue.take_lost()), (2, 0));
        drop(go);
        queue.finish(Some(5));
        assert_eq!(*lock(&written), [1, 2, 5]);
        assert!(queue.send(6), "after the end nothing is wanted any more, and nothing is lost");
        assert_eq!((lock(&written).len(), queue.take_lost()), (3, 0));
    }
}
