//! UDP sockets straight on the system calls.
//!
//! Signalling is read and written in batches (`recvmmsg`, `sendmmsg`): few sockets, many packets
//! each. Media is read and written one packet at a time (`recvfrom`, `sendto`): many sockets, one
//! packet each. Kernel drops come from `SO_MEMINFO` when somebody asks, which costs nothing per
//! packet (a `SO_RXQ_OVFL` control message costs some on each).
//!
//! Left out on purpose: segmentation offload (it helps only bursts of one flow) and io_uring (no
//! cheaper than this on loopback, and often forbidden in containers).

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use bytes::Bytes;
use socket2::{Domain, Protocol, Socket, Type};

/// Datagrams received or sent by one system call.
pub const BATCH: usize = 32;

/// Room for one received datagram: the largest that UDP can carry. Slots are spaced by one cache
/// line more than a power of two, so that message heads do not fall on the same cache sets.
const SLOT: usize = 65_536 + 64;

/// How a socket is bound.
#[derive(Clone, Copy, Debug, Default)]
pub struct BindOptions {
    /// Share the address with the sockets of other workers (`SO_REUSEPORT`).
    pub shared: bool,
    /// Wanted receive and send buffer in bytes; the kernel may give less. `None` keeps its
    /// default.
    pub buffer: Option<usize>,
}

/// A bound, non-blocking UDP socket.
#[derive(Debug)]
pub struct UdpSocket {
    fd: OwnedFd,
    local: SocketAddr,
}

impl UdpSocket {
    /// Binds to `address` (port 0: any free one).
    pub fn bind(address: SocketAddr, options: BindOptions) -> io::Result<UdpSocket> {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::DGRAM,
            Some(Protocol::UDP),
        )?;
        socket.set_nonblocking(true)?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        if options.shared {
            socket.set_reuse_port(true)?;
        }
        if let Some(bytes) = options.buffer {
            grow_buffers(&socket, bytes);
        }
        socket.bind(&address.into())?;
        let local = socket.local_addr()?.as_socket().unwrap_or(address);
        Ok(UdpSocket {
            fd: socket.into(),
            local,
        })
    }

    /// The bound address.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Receives one datagram into `buffer`. The length is the datagram's own: more than
    /// `buffer.len()` says that it was cut.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let mut address = RawAddress::EMPTY;
        let mut length = RawAddress::SIZE;
        // SAFETY: buffer and address are valid for the lengths given and outlive the call.
        let received = unsafe {
            libc::recvfrom(
                self.fd.as_raw_fd(),
                buffer.as_mut_ptr().cast(),
                buffer.len(),
                libc::MSG_TRUNC,
                (&raw mut address).cast(),
                &mut length,
            )
        };
        let received = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
        Ok((
            received,
            address.decode().ok_or(io::ErrorKind::InvalidData)?,
        ))
    }

    /// Sends one datagram.
    pub fn send(&self, bytes: &[u8], to: SocketAddr) -> io::Result<()> {
        let (address, length) = RawAddress::encode(to);
        // SAFETY: bytes and address are valid for the lengths given and outlive the call.
        let sent = unsafe {
            libc::sendto(
                self.fd.as_raw_fd(),
                bytes.as_ptr().cast(),
                bytes.len(),
                0,
                (&raw const address).cast(),
                length,
            )
        };
        if sent < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(())
        }
    }

    /// Datagrams that the kernel dropped on this socket because its buffer was full.
    pub fn kernel_drops(&self) -> u64 {
        let mut info = [0u32; 9];
        let mut length = size_of_val(&info) as libc::socklen_t;
        // SAFETY: `info` is valid for `length` bytes; the kernel writes at most that many.
        let result = unsafe {
            libc::getsockopt(
                self.fd.as_raw_fd(),
                libc::SOL_SOCKET,
                SO_MEMINFO,
                info.as_mut_ptr().cast(),
                &mut length,
            )
        };
        if result == 0 {
            u64::from(info[SK_MEMINFO_DROPS])
        } else {
            0
        }
    }
}

impl AsFd for UdpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

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

/// A `sockaddr` that is IPv4 or IPv6, in 28 bytes.
#[repr(C)]
#[derive(Clone, Copy)]
union RawAddress {
    v4: libc::sockaddr_in,
    v6: libc::sockaddr_in6,
}

impl RawAddress {
    const SIZE: libc::socklen_t = size_of::<RawAddress>() as libc::socklen_t;
    const EMPTY: RawAddress = RawAddress {
        v6: libc::sockaddr_in6 {
            sin6_family: 0,
            sin6_port: 0,
            sin6_flowinfo: 0,
            sin6_addr: libc::in6_addr { s6_addr: [0; 16] },
            sin6_scope_id: 0,
        },
    };

    fn encode(address: SocketAddr) -> (RawAddress, libc::socklen_t) {
        let mut raw = RawAddress::EMPTY;
        match address {
            SocketAddr::V4(address) => {
                raw.v4 = libc::sockaddr_in {
                    sin_family: libc::AF_INET as libc::sa_family_t,
                    sin_port: address.port().to_be(),
                    sin_addr: libc::in_addr {
                        s_addr: address.ip().to_bits().to_be(),
                    },
                    sin_zero: [0; 8],
                };
                (raw, size_of::<libc::sockaddr_in>() as libc::socklen_t)
            }
            SocketAddr::V6(address) => {
                raw.v6 = libc::sockaddr_in6 {
                    sin6_family: libc::AF_INET6 as libc::sa_family_t,
                    sin6_port: address.port().to_be(),
                    sin6_flowinfo: address.flowinfo(),
                    sin6_addr: libc::in6_addr {
                        s6_addr: address.ip().octets(),
                    },
                    sin6_scope_id: address.scope_id(),
                };
                (raw, RawAddress::SIZE)
            }
        }
    }

    fn decode(&self) -> Option<SocketAddr> {
        // SAFETY: the value was zeroed or filled by the kernel in full for its family; both
        // variants begin with the family and every bit pattern is valid for each field.
        unsafe {
            match i32::from(self.v4.sin_family) {
                libc::AF_INET => {
                    let ip = Ipv4Addr::from_bits(u32::from_be(self.v4.sin_addr.s_addr));
                    Some(SocketAddrV4::new(ip, u16::from_be(self.v4.sin_port)).into())
                }
                libc::AF_INET6 => {
                    let ip = Ipv6Addr::from(self.v6.sin6_addr.s6_addr);
                    let port = u16::from_be(self.v6.sin6_port);
                    let scope = self.v6.sin6_scope_id;
                    Some(SocketAddrV6::new(ip, port, self.v6.sin6_flowinfo, scope).into())
                }
                _ => None,
            }
        }
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

/// Asks for large buffers: beyond the host's limit where we may, else up to it.
fn grow_buffers(socket: &Socket, bytes: usize) {
    let size = i32::try_from(bytes).unwrap_or(i32::MAX);
    for (force, plain) in [
        (libc::SO_RCVBUFFORCE, libc::SO_RCVBUF),
        (libc::SO_SNDBUFFORCE, libc::SO_SNDBUF),
    ] {
        if !set_option(socket, force, size) {
            set_option(socket, plain, size);
        }
    }
}

fn set_option(socket: &Socket, option: i32, value: i32) -> bool {
    // SAFETY: `value` is a valid `int` for the length given and outlives the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            option,
            (&raw const value).cast(),
            size_of::<i32>() as libc::socklen_t,
        )
    };
    result == 0
}

/// `SO_MEMINFO` of `asm-generic/socket.h` (Linux 4.12), absent from the libc crate.
const SO_MEMINFO: i32 = 55;
/// Where `sock_diag.h` puts the drops in it.
const SK_MEMINFO_DROPS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::epoll::{Interest, Poller};
    use std::time::Duration;

    fn bind(address: &str) -> UdpSocket {
        UdpSocket::bind(address.parse().unwrap(), BindOptions::default()).unwrap()
    }

    fn wait_readable(socket: &UdpSocket) {
        let mut poller = Poller::new().unwrap();
        poller.add(socket.as_fd(), 0, Interest::Read).unwrap();
        assert_eq!(
            poller.wait(Some(Duration::from_secs(5))).unwrap(),
            1,
            "nothing came"
        );
    }

    #[track_caller]
    fn check_batch(address: &str, count: usize) {
        let (sender, receiver) = (bind(address), bind(address));
        let mut batch = SendBatch::new();
        for index in 0..count {
            let _ = batch.push(Bytes::from(index.to_string()), receiver.local_addr());
        }
        assert_eq!(
            batch.flush(&sender),
            Flushed {
                sent: count as u64,
                refused: 0
            }
        );
        assert!(batch.is_empty());
        let mut received = ReceiveBatch::new();
        let mut seen = 0;
        while seen < count {
            wait_readable(&receiver);
            for index in 0..received.receive(&receiver).unwrap() {
                let expected = (seen.to_string().into_bytes(), sender.local_addr());
                let (bytes, from) = received.datagram(index).unwrap();
                assert_eq!((bytes.to_vec(), from), expected);
                seen += 1;
            }
        }
        assert_eq!(received.receive(&receiver).unwrap(), 0);
    }

    #[test]
    fn a_batch_arrives_in_order_with_its_sender() {
        check_batch("127.0.0.1:0", BATCH);
        check_batch("127.0.0.1:0", 1);
        check_batch("[::1]:0", 5);
    }

    #[test]
    fn a_refused_datagram_does_not_stop_the_rest() {
        let (sender, receiver) = (bind("127.0.0.1:0"), bind("127.0.0.1:0"));
        let mut batch = SendBatch::new();
        let _ = batch.push(Bytes::from_static(b"one"), receiver.local_addr());
        let _ = batch.push(Bytes::from_static(b"family"), "[::1]:9".parse().unwrap());
        let _ = batch.push(Bytes::from_static(b"two"), receiver.local_addr());
        assert_eq!(
            batch.flush(&sender),
            Flushed {
                sent: 2,
                refused: 1
            }
        );
    }

    #[test]
    fn a_single_packet_goes_and_comes_and_a_cut_one_tells_its_length() {
        let (a, b) = (bind("127.0.0.1:0"), bind("127.0.0.1:0"));
        a.send(b"hello", b.local_addr()).unwrap();
        wait_readable(&b);
        let mut buffer = [0; 4];
        assert_eq!(b.receive(&mut buffer).unwrap(), (5, a.local_addr()));
        assert_eq!(
            b.receive(&mut buffer).unwrap_err().kind(),
            io::ErrorKind::WouldBlock
        );
    }

    #[test]
    fn workers_share_an_address_only_when_both_ask() {
        let shared = BindOptions {
            shared: true,
            buffer: Some(1 << 20),
        };
        let first = UdpSocket::bind("127.0.0.1:0".parse().unwrap(), shared).unwrap();
        assert!(UdpSocket::bind(first.local_addr(), shared).is_ok());
        assert!(UdpSocket::bind(first.local_addr(), BindOptions::default()).is_err());
    }

    #[test]
    fn kernel_drops_are_counted() {
        let options = BindOptions {
            shared: false,
            buffer: Some(1),
        };
        let receiver = UdpSocket::bind("127.0.0.1:0".parse().unwrap(), options).unwrap();
        let sender = bind("127.0.0.1:0");
        assert_eq!(receiver.kernel_drops(), 0);
        for _ in 0..100 {
            sender.send(&[0; 1000], receiver.local_addr()).unwrap();
        }
        assert!(receiver.kernel_drops() > 50);
    }
}
