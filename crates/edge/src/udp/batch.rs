//! Many datagrams by one system call: `recvmmsg` and `sendmmsg`.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;

use bytes::Bytes;

use super::UdpSocket;
use super::address::RawAddress;

/// Datagrams received or sent by one system call.
pub const BATCH: usize = 32;

/// Room for one received datagram: the largest that UDP can carry. Slots are spaced by one cache
/// line more than a power of two, so that message heads do not fall on the same cache sets.
const SLOT: usize = 65_536 + 64;

/// Receives datagrams of one socket in batches. One per worker: the buffers are reused.
pub struct ReceiveBatch {
    buffers: Vec<u8>,
    headers: Vec<libc::mmsghdr>,
    slices: Vec<libc::iovec>,
    addresses: Vec<RawAddress>,
}

// SAFETY: the raw pointers inside point into the vectors of the same value, are written anew
// before each system call and are never used between calls.
unsafe impl Send for ReceiveBatch {}

impl ReceiveBatch {
    /// Buffers for [`BATCH`] datagrams. Pages that no datagram reached are never resident.
    pub fn new() -> ReceiveBatch {
        ReceiveBatch {
            buffers: vec![0; BATCH * SLOT],
            headers: empty_headers(),
            slices: vec![EMPTY_SLICE; BATCH],
            addresses: vec![RawAddress::EMPTY; BATCH],
        }
    }

    /// Receives what waits on `socket`, at most [`BATCH`] datagrams; 0 when nothing waits.
    pub fn receive(&mut self, socket: &UdpSocket) -> io::Result<usize> {
        for (index, buffer) in self.buffers.chunks_exact_mut(SLOT).enumerate() {
            self.slices[index] = libc::iovec {
                iov_base: buffer.as_mut_ptr().cast(),
                iov_len: buffer.len(),
            };
            let header = &mut self.headers[index].msg_hdr;
            header.msg_iov = &raw mut self.slices[index];
            header.msg_name = (&raw mut self.addresses[index]).cast();
            header.msg_namelen = RawAddress::SIZE;
        }
        // SAFETY: each header points to one slice and one address inside `self`, which is
        // borrowed for the whole call and whose vectors do not move.
        let count = unsafe {
            libc::recvmmsg(
                socket.fd.as_raw_fd(),
                self.headers.as_mut_ptr(),
                BATCH as u32,
                0,
                std::ptr::null_mut(),
            )
        };
        match usize::try_from(count) {
            Ok(count) => Ok(count),
            Err(_) => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
                error => Err(error),
            },
        }
    }

    /// The `index`th datagram of the last batch and its sender; `None` for a sender that is no
    /// internet address.
    pub fn datagram(&self, index: usize) -> Option<(&[u8], SocketAddr)> {
        let length = self.headers.get(index)?.msg_len as usize;
        let start = index * SLOT;
        let bytes = self.buffers.get(start..start + length.min(SLOT))?;
        Some((bytes, self.addresses[index].decode()?))
    }
}

impl Default for ReceiveBatch {
    fn default() -> ReceiveBatch {
        ReceiveBatch::new()
    }
}

/// Collects datagrams to send on one socket and sends them by one system call.
pub struct SendBatch {
    waiting: Vec<(Bytes, SocketAddr)>,
    headers: Vec<libc::mmsghdr>,
    slices: Vec<libc::iovec>,
    addresses: Vec<RawAddress>,
}

// SAFETY: as for `ReceiveBatch`: pointers live only within `flush`.
unsafe impl Send for SendBatch {}

/// What became of a flushed batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flushed {
    /// Datagrams the kernel took.
    pub sent: u64,
    /// Datagrams it refused (no room, no route, too large). Retransmission repairs the first.
    pub refused: u64,
}

impl SendBatch {
    /// An empty batch.
    pub fn new() -> SendBatch {
        SendBatch {
            waiting: Vec::with_capacity(BATCH),
            headers: empty_headers(),
            slices: vec![EMPTY_SLICE; BATCH],
            addresses: vec![RawAddress::EMPTY; BATCH],
        }
    }

    /// Adds a datagram; flush when it says the batch is full.
    #[must_use]
    pub fn push(&mut self, bytes: Bytes, to: SocketAddr) -> bool {
        self.waiting.push((bytes, to));
        self.waiting.len() >= BATCH
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Sends all that waits, in order. A datagram that the kernel refuses is skipped.
    pub fn flush(&mut self, socket: &UdpSocket) -> Flushed {
        let mut flushed = Flushed::default();
        if let [(bytes, to)] = self.waiting.as_slice() {
            match socket.send(bytes, *to) {
                Ok(()) => flushed.sent = 1,
                Err(_) => flushed.refused = 1,
            }
            self.waiting.clear();
            return flushed;
        }
        let count = self.waiting.len().min(BATCH);
        for (index, (bytes, to)) in self.waiting.iter().take(count).enumerate() {
            let (address, length) = RawAddress::encode(*to);
            self.addresses[index] = address;
            self.slices[index] = libc::iovec {
                iov_base: bytes.as_ptr().cast_mut().cast(),
                iov_len: bytes.len(),
            };
            let header = &mut self.headers[index].msg_hdr;
            header.msg_iov = &raw mut self.slices[index];
            header.msg_name = (&raw mut self.addresses[index]).cast();
            header.msg_namelen = length;
        }
        let mut next = 0;
        while next < count {
            // SAFETY: headers `next..count` point to slices and addresses inside `self` and to
            // bytes that `self.waiting` keeps alive; the kernel only reads them.
            let sent = unsafe {
                libc::sendmmsg(
                    socket.fd.as_raw_fd(),
                    self.headers.as_mut_ptr().add(next),
                    (count - next) as u32,
                    0,
                )
            };
            match usize::try_from(sent) {
                Ok(sent) if sent > 0 => {
                    next += sent;
                    flushed.sent += sent as u64;
                }
                _ if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => {}
                _ => {
                    next += 1;
                    flushed.refused += 1;
                }
            }
        }
        self.waiting.clear();
        flushed
    }
}

impl Default for SendBatch {
    fn default() -> SendBatch {
        SendBatch::new()
    }
}

const EMPTY_SLICE: libc::iovec = libc::iovec {
    iov_base: std::ptr::null_mut(),
    iov_len: 0,
};

fn empty_headers() -> Vec<libc::mmsghdr> {
    // SAFETY: `mmsghdr` is plain integers and pointers; all zero is a valid, empty header.
    let empty: libc::mmsghdr = unsafe { std::mem::zeroed() };
    let mut headers = vec![empty; BATCH];
    headers
        .iter_mut()
        .for_each(|header| header.msg_hdr.msg_iovlen = 1);
    headers
}
