//! A cable that carries bare IP packets, without frames: two `tun` interfaces, and this process
//! between them.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;

use anyhow::{Context, bail};

use crate::namespace::Namespace;

const DEVICE: &str = "/dev/net/tun";
/// How long a side without packets waits before it looks whether it is to end.
const LOOK_MS: i32 = 100;

/// A tunnel between two namespaces; its interfaces go with it.
#[derive(Debug)]
pub struct Tunnel {
    over: Arc<AtomicBool>,
    sides: Vec<JoinHandle<()>>,
}

impl Tunnel {
    /// Lays one: the interface `name` in both namespaces, up.
    ///
    /// # Errors
    /// When this machine has no such interfaces.
    pub fn lay(name: &str, here: &Namespace, there: &Namespace) -> anyhow::Result<Tunnel> {
        let ends = [open(name, here)?, open(name, there)?];
        here.run(&format!("ip link set {name} up"))?;
        there.run(&format!("ip link set {name} up"))?;
        let over = Arc::new(AtomicBool::new(false));
        let [here, there] = ends;
        let mut tunnel = Tunnel {
            over: Arc::clone(&over),
            sides: Vec::new(),
        };
        for (from, to) in [(here.try_clone()?, there.try_clone()?), (there, here)] {
            let over = Arc::clone(&over);
            tunnel
                .sides
                .push(std::thread::spawn(move || carry(from, to, &over)));
        }
        Ok(tunnel)
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.over.store(true, Relaxed);
        for side in self.sides.drain(..) {
            let _ended = side.join();
        }
    }
}

fn carry(mut from: File, mut to: File, over: &AtomicBool) {
    let mut packet = [0; 65_536];
    while !over.load(Relaxed) {
        let mut ready = libc::pollfd {
            fd: from.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one descriptor, which is open, and room for the answer about it.
        if unsafe { libc::poll(&raw mut ready, 1, LOOK_MS) } > 0
            && let Ok(length) = from.read(&mut packet)
        {
            // What does not fit is lost, as on any cable.
            let _sent = to.write(&packet[..length]);
        }
    }
}

/// Makes an interface of a namespace and opens its other end.
fn open(name: &str, namespace: &Namespace) -> anyhow::Result<File> {
    let _there = namespace.enter();
    let file = OpenOptions::new().read(true).write(true).open(DEVICE);
    let file = file.context(DEVICE)?;
    // SAFETY: zeroes are a valid request.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    let room = request.ifr_name.len() - 1;
    for (to, byte) in request.ifr_name.iter_mut().zip(name.bytes().take(room)) {
        *to = byte as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI) as i16;
    // SAFETY: the descriptor is open, and the request lives as long as the call.
    if unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) } != 0 {
        let error = std::io::Error::last_os_error();
        bail!("no interface {name}: {error}");
    }
    Ok(file)
}
