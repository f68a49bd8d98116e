//! Readiness by epoll, and wake-ups between threads by eventfd.
//!
//! Level-triggered on purpose: a socket that still has something to read is reported again, so a
//! busy one cannot starve the others and nothing is lost when a turn stops early.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Most readiness events taken in one turn.
pub const EVENTS_MAX: usize = 512;

/// What a file descriptor is watched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Bytes to read, or a connection to accept.
    Read,
    /// Bytes to read, or room to write.
    ReadWrite,
    /// Room to write only: what arrives stays in the kernel.
    Write,
}

impl Interest {
    const fn bits(self) -> u32 {
        (match self {
            Interest::Read => libc::EPOLLIN | libc::EPOLLRDHUP,
            Interest::ReadWrite => libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP,
            Interest::Write => libc::EPOLLOUT,
        }) as u32
    }
}

/// One ready file descriptor.
#[derive(Clone, Copy, Debug)]
pub struct Ready {
    /// The token it was added with.
    pub token: u64,
    /// There is something to read (or an end of stream, or an error to fetch).
    pub readable: bool,
    /// There is room to write (or an error to fetch).
    pub writable: bool,
}

/// An epoll instance with its event buffer.
pub struct Poller {
    epoll: OwnedFd,
    events: Vec<libc::epoll_event>,
    ready: usize,
}

impl Poller {
    /// A poller that watches nothing yet.
    pub fn new() -> io::Result<Poller> {
        // SAFETY: no pointer is passed; the result is checked before it becomes an owned fd.
        let epoll = owned(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        Ok(Poller {
            epoll,
            events: vec![libc::epoll_event { events: 0, u64: 0 }; EVENTS_MAX],
            ready: 0,
        })
    }

    /// Watches `fd`; events carry `token`. The fd leaves the poller when it is closed.
    pub fn add(&self, fd: BorrowedFd<'_>, token: u64, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd.as_raw_fd(), token, interest)
    }

    /// Changes what `fd` is watched for.
    pub fn modify(&self, fd: BorrowedFd<'_>, token: u64, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd.as_raw_fd(), token, interest)
    }

    /// Waits until something is ready or `timeout` (rounded up to milliseconds; `None` is for
    /// ever) has passed. Returns how many are ready; [`Poller::ready`] gives each.
    pub fn wait(&mut self, timeout: Option<Duration>) -> io::Result<usize> {
        let millis = timeout.map_or(-1, |timeout| {
            i32::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX)
        });
        // SAFETY: the buffer is valid for `EVENTS_MAX` events and outlives the call.
        let count = unsafe {
            libc::epoll_wait(
                self.epoll.as_raw_fd(),
                self.events.as_mut_ptr(),
                EVENTS_MAX as i32,
                millis,
            )
        };
        self.ready = match usize::try_from(count) {
            Ok(count) => count,
            Err(_) => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::Interrupted => 0,
                error => return Err(error),
            },
        };
        Ok(self.ready)
    }

    /// The `index`th ready one of the last [`Poller::wait`].
    pub fn ready(&self, index: usize) -> Ready {
        let event = self.events[index];
        let hangup = (libc::EPOLLERR | libc::EPOLLHUP) as u32;
        let read = (libc::EPOLLIN | libc::EPOLLRDHUP) as u32 | hangup;
        Ready {
            token: event.u64,
            readable: event.events & read != 0,
            writable: event.events & (libc::EPOLLOUT as u32 | hangup) != 0,
        }
    }

    fn control(&self, verb: i32, fd: RawFd, token: u64, interest: Interest) -> io::Result<()> {
        let mut event = libc::epoll_event {
            events: interest.bits(),
            u64: token,
        };
        // SAFETY: `event` is valid during the call; the kernel copies it.
        let result = unsafe { libc::epoll_ctl(self.epoll.as_raw_fd(), verb, fd, &mut event) };
        if result < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(())
        }
    }
}

/// Wakes one poller from other threads.
///
/// The poller's thread brackets its wait with [`Waker::doze`] and [`Waker::rouse`]: one that is
/// awake looks at its queues by itself before it waits again, and waking it costs no system call.
#[derive(Clone)]
pub struct Waker {
    inner: Arc<WakerInner>,
}

struct WakerInner {
    eventfd: OwnedFd,
    /// There is work in a queue that the poller's thread has not begun to take.
    pending: AtomicBool,
    /// The poller's thread waits, or is about to.
    dozing: AtomicBool,
}

// Each side writes its own flag and then reads the other's, in one order that both agree on
// (`SeqCst`): either the producer sees that the poller dozes, or the poller sees the work.
impl Waker {
    /// A waker that `poller` reports as readable under `token`.
    pub fn new(poller: &Poller, token: u64) -> io::Result<Waker> {
        let flags = libc::EFD_CLOEXEC | libc::EFD_NONBLOCK;
        // SAFETY: no pointer is passed; the result is checked before it becomes an owned fd.
        let eventfd = owned(unsafe { libc::eventfd(0, flags) })?;
        let inner = Arc::new(WakerInner {
            eventfd,
            pending: AtomicBool::new(false),
            dozing: AtomicBool::new(false),
        });
        // SAFETY: the fd stays open as long as `inner`, which outlives this borrow.
        let fd = unsafe { BorrowedFd::borrow_raw(inner.eventfd.as_raw_fd()) };
        poller.add(fd, token, Interest::Read)?;
        Ok(Waker { inner })
    }

    /// Makes the poller's thread look at its queues. Call it after the work is in them.
    pub fn wake(&self) {
        let first = !self.inner.pending.swap(true, Ordering::SeqCst);
        if first && self.inner.dozing.load(Ordering::SeqCst) {
            let one = 1u64.to_ne_bytes();
            // SAFETY: the buffer is 8 valid bytes. A full counter is still a pending wake-up, so
            // the result does not matter.
            unsafe { libc::write(self.inner.eventfd.as_raw_fd(), one.as_ptr().cast(), 8) };
        }
    }

    /// The poller's thread is about to wait: from now on a waker writes. `false` when there is
    /// work already, so that the wait must not block.
    pub fn doze(&self) -> bool {
        self.inner.dozing.store(true, Ordering::SeqCst);
        !self.inner.pending.load(Ordering::SeqCst)
    }

    /// The poller's thread has waited.
    pub fn rouse(&self) {
        self.inner.dozing.store(false, Ordering::SeqCst);
    }

    /// Whether there is work in the queues; what is queued after this is told anew. The poller's
    /// thread calls it before it empties them.
    pub fn take(&self) -> bool {
        self.inner.pending.swap(false, Ordering::SeqCst)
    }

    /// Clears the event that the poller has reported.
    pub fn clear(&self) {
        let mut count = [0u8; 8];
        // SAFETY: the buffer is 8 valid bytes; an empty counter is an error that changes nothing.
        unsafe { libc::read(self.inner.eventfd.as_raw_fd(), count.as_mut_ptr().cast(), 8) };
    }
}

fn owned(fd: RawFd) -> io::Result<OwnedFd> {
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a non-negative result of the calls above is a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wake_from_elsewhere(waker: &Waker) {
        let remote = waker.clone();
        std::thread::spawn(move || (0..100).for_each(|_| remote.wake()))
            .join()
            .unwrap();
    }

    #[test]
    fn a_wake_up_from_another_thread_is_seen_once_and_can_be_repeated() {
        let mut poller = Poller::new().unwrap();
        let waker = Waker::new(&poller, 7).unwrap();
        for _ in 0..2 {
            assert!(waker.doze());
            wake_from_elsewhere(&waker);
            assert_eq!(poller.wait(Some(Duration::from_secs(5))).unwrap(), 1);
            waker.rouse();
            assert_eq!(poller.ready(0).token, 7);
            waker.clear();
            assert!(waker.take());
            assert!(!waker.take());
            assert_eq!(poller.wait(Some(Duration::ZERO)).unwrap(), 0);
        }
    }

    #[test]
    fn a_thread_that_is_awake_is_told_before_it_waits() {
        let mut poller = Poller::new().unwrap();
        let waker = Waker::new(&poller, 7).unwrap();
        wake_from_elsewhere(&waker);
        assert!(!waker.doze(), "it must not block");
        assert_eq!(
            poller.wait(Some(Duration::ZERO)).unwrap(),
            0,
            "nobody had to write"
        );
        waker.rouse();
        assert!(waker.take());
        assert!(waker.doze());
    }

    #[test]
    fn waits_no_longer_than_told() {
        let mut poller = Poller::new().unwrap();
        assert_eq!(poller.wait(Some(Duration::from_micros(100))).unwrap(), 0);
    }
}
