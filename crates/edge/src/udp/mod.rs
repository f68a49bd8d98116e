//! UDP sockets straight on the system calls.
//!
//! Signalling is read and written in batches (`recvmmsg`, `sendmmsg`): few sockets, many packets
//! each. Media is read and written one packet at a time (`recvfrom`, `sendto`): many sockets, one
//! packet each. Kernel drops come from `SO_MEMINFO` when somebody asks, which costs nothing per
//! packet (a `SO_RXQ_OVFL` control message costs some on each).
//!
//! Left out on purpose: segmentation offload (it helps only bursts of one flow) and io_uring (no
//! cheaper than this on loopback, and often forbidden in containers).

mod address;
mod batch;

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use socket2::{Domain, Protocol, Socket, Type};

use address::RawAddress;
pub use batch::{BATCH, Flushed, ReceiveBatch, SendBatch};

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
    use bytes::Bytes;

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
