//! The map of rules, as system calls.
//!
//! Taking a rule out and reading its last counts must be one step, or packets in between are
//! counted nowhere; the loader's own map type has no such call.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use aya::maps::Map;

use super::rule::{Key, Rule};

const BPF_MAP_LOOKUP_ELEM: i32 = 1;
const BPF_MAP_UPDATE_ELEM: i32 = 2;
const BPF_MAP_LOOKUP_AND_DELETE_ELEM: i32 = 21;
/// Only if there is no such rule yet.
const BPF_NOEXIST: u64 = 1;

/// The rules in the kernel. Shared by threads: each call is atomic.
pub(super) struct Rules {
    map: OwnedFd,
}

/// The part of `union bpf_attr` for elements of maps.
#[repr(C)]
struct ElementAttributes {
    map: u32,
    key: u64,
    value: u64,
    flags: u64,
}

impl Rules {
    /// The map that the loader made.
    pub(super) fn of(map: &Map) -> Result<Rules, RulesError> {
        let Map::HashMap(data) = map else {
            return Err(RulesError::NotAHash);
        };
        let map = data.fd().as_fd().try_clone_to_owned();
        map.map(|map| Rules { map }).map_err(RulesError::System)
    }

    /// Adds a rule; refuses one that is there.
    pub(super) fn insert(&self, key: &Key, rule: &Rule) -> io::Result<()> {
        self.call(
            BPF_MAP_UPDATE_ELEM,
            key,
            std::ptr::from_ref(rule) as u64,
            BPF_NOEXIST,
        )
    }

    /// A copy of a rule.
    pub(super) fn get(&self, key: &Key) -> Option<Rule> {
        self.read(BPF_MAP_LOOKUP_ELEM, key)
    }

    /// Takes a rule out.
    pub(super) fn take(&self, key: &Key) -> Option<Rule> {
        self.read(BPF_MAP_LOOKUP_AND_DELETE_ELEM, key)
    }

    fn read(&self, command: i32, key: &Key) -> Option<Rule> {
        let mut rule = MaybeUninit::<Rule>::zeroed();
        self.call(command, key, rule.as_mut_ptr() as u64, 0).ok()?;
        // SAFETY: the call wrote the whole value, and every bit pattern is a `Rule`.
        Some(unsafe { rule.assume_init() })
    }

    fn call(&self, command: i32, key: &Key, value: u64, flags: u64) -> io::Result<()> {
        let attributes = ElementAttributes {
            map: self.map.as_raw_fd() as u32,
            key: std::ptr::from_ref(key) as u64,
            value,
            flags,
        };
        // SAFETY: key and value point to a `Key` and a `Rule`, whose sizes are those of the map,
        // and live until the call returns.
        let result = unsafe {
            libc::syscall(
                libc::SYS_bpf,
                command,
                std::ptr::from_ref(&attributes),
                size_of::<ElementAttributes>(),
            )
        };
        if result < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }
}

/// Why the map cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum RulesError {
    #[error("the map of rules is of another kind")]
    NotAHash,
    #[error("the map of rules cannot be shared")]
    System(#[source] io::Error),
}
