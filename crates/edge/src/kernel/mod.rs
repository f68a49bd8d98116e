//! Established plain RTP forwarded inside the kernel, where the host allows it.
//!
//! An eBPF program at the ingress of the listeners' interfaces (`relay.bpf.c`) forwards the packets
//! that [`FastPath`] rules name; a packet costs it a fraction of a microsecond, and the workers
//! nothing. It is attached by links that end with this process, so that nothing stays behind,
//! however the process ends; that needs Linux 6.6 (TCX) and the right to load programs
//! (`CAP_BPF` and `CAP_NET_ADMIN`). Without them, and with `edge.kernel_media = "off"`, user space
//! relays as ever.
//!
//! Left to user space: IPv6, and streams with one peer on this very host and the other not (the
//! kernel would take the forwarded packet for one with a forged source).

mod host;
mod map;
mod rule;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;

use aya::programs::{LinkOrder, SchedClassifier, TcAttachType, tc::TcAttachOptions};
use aya::{Ebpf, EbpfLoader};
use ringfence_media::{FastCount, FastKey, FastPath, FastRule};

use crate::clock::Clock;
use host::{Interfaces, Place};
use map::Rules;
use rule::{Key, Rule};

/// The compiled `relay.bpf.c`.
static OBJECT: &[u8] = include_bytes_aligned!("relay.bpf.o");

/// Bytes of a file, aligned as the loader wants an object.
macro_rules! include_bytes_aligned {
    ($path:expr) => {{
        #[repr(C, align(16))]
        struct Aligned<T: ?Sized>(T);
        static ALIGNED: &Aligned<[u8]> = &Aligned(*include_bytes!($path));
        &ALIGNED.0
    }};
}
use include_bytes_aligned;

/// Why the kernel does not relay. User space does it then.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KernelError {
    /// No interface has one of the media addresses.
    #[error("no interface of this host has an IPv4 media address of a listener")]
    NoInterface,
    /// The program or its map.
    #[error("the kernel does not load the relay")]
    Load(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The attachment to an interface.
    #[error("the kernel does not attach the relay to {interface} (Linux 6.6 or newer can)")]
    Attach {
        /// Which.
        interface: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// The loaded program. It forwards while this or a [`KernelPath`] of it lives.
#[derive(Clone)]
pub(crate) struct KernelRelay {
    loaded: Arc<Loaded>,
    clock: Clock,
}

struct Loaded {
    rules: Rules,
    interfaces: Interfaces,
    /// Dropped last: its links are the attachments.
    _program: Ebpf,
}

impl KernelRelay {
    /// Loads the program and attaches it to the interfaces that have `addresses`.
    pub(crate) fn start(
        addresses: impl IntoIterator<Item = SocketAddr>,
        clock: Clock,
    ) -> Result<KernelRelay, KernelError> {
        let interfaces = Interfaces::with_addresses(addresses);
        if interfaces.is_empty() {
            return Err(KernelError::NoInterface);
        }
        let mut program = EbpfLoader::new().load(OBJECT).map_err(load_error)?;
        let classifier: &mut SchedClassifier = program
            .program_mut("ringfence_relay")
            .ok_or_else(|| KernelError::Load("the program is not in the object".into()))?
            .try_into()
            .map_err(load_error)?;
        classifier.load().map_err(load_error)?;
        for interface in interfaces.names() {
            // Links only: an attachment of the older kind would outlive a killed process.
            let options = TcAttachOptions::TcxOrder(LinkOrder::default());
            classifier
                .attach_with_options(interface, TcAttachType::Ingress, options)
                .map_err(|source| KernelError::Attach {
                    interface: interface.to_owned(),
                    source: Box::new(source),
                })?;
        }
        let map = program
            .map("RULES")
            .ok_or_else(|| KernelError::Load("the map is not in the object".into()))?;
        let rules = Rules::of(map).map_err(load_error)?;
        Ok(KernelRelay {
            loaded: Arc::new(Loaded {
                rules,
                interfaces,
                _program: program,
            }),
            clock,
        })
    }

    /// The interfaces it is attached to.
    pub(crate) fn interfaces(&self) -> impl Iterator<Item = &str> {
        self.loaded.interfaces.names()
    }
}

fn load_error(source: impl std::error::Error + Send + Sync + 'static) -> KernelError {
    KernelError::Load(Box::new(source))
}

impl FastPath for KernelRelay {
    fn install(&mut self, rule: &FastRule) -> bool {
        let interfaces = &self.loaded.interfaces;
        let places = (
            interfaces.place(rule.key.local, rule.key.remote),
            interfaces.place(rule.source, rule.destination),
        );
        let interface = match places {
            (Some(Place::ThisHost), Some(Place::ThisHost)) => 0,
            (Some(Place::Beyond(_)), Some(Place::Beyond(interface))) => interface,
            _ => return false,
        };
        let Some((key, rule)) = Key::new(rule.key).zip(Rule::new(rule, interface)) else {
            return false;
        };
        self.loaded.rules.insert(&key, &rule).is_ok()
    }

    fn read(&self, key: FastKey) -> Option<FastCount> {
        let rule = self.loaded.rules.get(&Key::new(key)?)?;
        Some(rule.count(&self.clock))
    }

    fn remove(&mut self, key: FastKey) -> Option<FastCount> {
        let rule = self.loaded.rules.take(&Key::new(key)?)?;
        Some(rule.count(&self.clock))
    }
}
