//! Bounded hand-over to a worker from other threads.
//!
//! Many producers, one consumer, a fixed number of places and a wake-up. A full ring refuses and
//! counts; it never waits, since the one who hands over is a worker too. The queue itself is the
//! standard library's array channel, which takes no lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use crate::epoll::Waker;

/// The consumer's end.
pub type RingReceiver<T> = Receiver<T>;

/// A producer's end. Cloning it is cheap.
pub struct RingSender<T> {
    queue: SyncSender<T>,
    waker: Waker,
    refused: Arc<AtomicU64>,
}

/// A ring with `capacity` places whose consumer is woken by `waker`.
pub fn ring<T>(capacity: usize, waker: Waker) -> (RingSender<T>, RingReceiver<T>) {
    let (queue, receiver) = sync_channel(capacity);
    (
        RingSender {
            queue,
            waker,
            refused: Arc::new(AtomicU64::new(0)),
        },
        receiver,
    )
}

impl<T> RingSender<T> {
    /// Hands `item` over, or gives it back (and counts) when the ring is full or its worker gone.
    pub fn push(&self, item: T) -> Result<(), T> {
        match self.queue.try_send(item) {
            Ok(()) => {
                self.waker.wake();
                Ok(())
            }
            Err(TrySendError::Full(item) | TrySendError::Disconnected(item)) => {
                self.refused.fetch_add(1, Relaxed);
                Err(item)
            }
        }
    }

    /// How many items were refused since the start.
    pub fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }
}

impl<T> Clone for RingSender<T> {
    fn clone(&self) -> RingSender<T> {
        RingSender {
            queue: self.queue.clone(),
            waker: self.waker.clone(),
            refused: Arc::clone(&self.refused),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::epoll::Poller;
    use std::time::Duration;

    #[test]
    fn what_is_handed_over_wakes_the_worker_and_a_full_ring_refuses_and_counts() {
        let mut poller = Poller::new().unwrap();
        let waker = Waker::new(&poller, 1).unwrap();
        let (sender, receiver) = ring(2, waker.clone());
        let from_elsewhere = sender.clone();
        assert!(waker.doze());
        std::thread::spawn(move || {
            assert_eq!(from_elsewhere.push('a'), Ok(()));
            assert_eq!(from_elsewhere.push('b'), Ok(()));
            assert_eq!(from_elsewhere.push('c'), Err('c'));
        })
        .join()
        .unwrap();
        assert_eq!(poller.wait(Some(Duration::from_secs(5))).unwrap(), 1);
        waker.clear();
        assert!(waker.take());
        assert_eq!(receiver.try_iter().collect::<String>(), "ab");
        assert_eq!(sender.refused(), 1);
        drop(receiver);
        assert_eq!(
            sender.push('d'),
            Err('d'),
            "a worker that is gone refuses as well"
        );
    }
}
