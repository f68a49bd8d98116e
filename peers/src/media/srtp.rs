//! SRTP of the load by libsrtp2: another's code than the one under test. It is opened when it is
//! needed, so that nothing else of the workspace has to be linked with it.

use std::ffi::{CStr, c_int, c_uint, c_ulong, c_void};

use anyhow::{bail, ensure};

use super::KEY_LENGTH;

const NAME: &CStr = c"libsrtp2.so.1";

/// `ssrc_any_inbound` and `ssrc_any_outbound`.
const ANY_INBOUND: c_int = 2;
const ANY_OUTBOUND: c_int = 3;

/// Packets behind the newest that are still taken.
const WINDOW: c_ulong = 1_024;

/// Bytes that protection may add to a packet.
pub const TRAILER_MAX: usize = 144;

/// `srtp_crypto_policy_t`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct CryptoPolicy {
    cipher_type: u32,
    cipher_key_len: c_int,
    auth_type: u32,
    auth_key_len: c_int,
    auth_tag_len: c_int,
    sec_serv: c_int,
}

/// `srtp_policy_t` of version 2.
#[repr(C)]
struct Policy {
    ssrc_type: c_int,
    ssrc_value: c_uint,
    rtp: CryptoPolicy,
    rtcp: CryptoPolicy,
    key: *const u8,
    keys: *mut c_void,
    num_master_keys: c_ulong,
    deprecated_ekt: *mut c_void,
    window_size: c_ulong,
    allow_repeat_tx: c_int,
    enc_xtn_hdr: *mut c_int,
    enc_xtn_hdr_count: c_int,
    next: *mut Policy,
}

type Create = unsafe extern "C" fn(*mut *mut c_void, *const Policy) -> c_int;
type Transform = unsafe extern "C" fn(*mut c_void, *mut c_void, *mut c_int) -> c_int;
type SetPolicy = unsafe extern "C" fn(*mut CryptoPolicy);

/// The library, opened.
pub struct Library {
    create: Create,
    protect: Transform,
    unprotect: Transform,
    default_policy: SetPolicy,
}

/// One direction of one session.
pub struct Direction {
    context: *mut c_void,
    transform: Transform,
}

// SAFETY: a context may be used by any thread, one at a time; `&mut self` sees to that.
unsafe impl Send for Direction {}

impl Library {
    /// Opens the library.
    pub fn load() -> anyhow::Result<Library> {
        // SAFETY: the name is a C string; the library's constructors have no conditions.
        let handle = unsafe { libc::dlopen(NAME.as_ptr(), libc::RTLD_NOW) };
        if handle.is_null() {
            bail!("libsrtp2 is missing: apt-get install libsrtp2-1");
        }
        let symbol = |name: &CStr| {
            // SAFETY: the handle is open and stays so; the name is a C string.
            let found = unsafe { libc::dlsym(handle, name.as_ptr()) };
            if found.is_null() {
                bail!("libsrtp2 has no {name:?}")
            } else {
                Ok(found)
            }
        };
        // SAFETY: these are the signatures in srtp.h of every version 2.
        let library = unsafe {
            let init: unsafe extern "C" fn() -> c_int = std::mem::transmute(symbol(c"srtp_init")?);
            ensure!(init() == 0, "srtp_init failed");
            Library {
                create: std::mem::transmute::<*mut c_void, Create>(symbol(c"srtp_create")?),
                protect: std::mem::transmute::<*mut c_void, Transform>(symbol(c"srtp_protect")?),
                unprotect: std::mem::transmute::<*mut c_void, Transform>(symbol(
                    c"srtp_unprotect",
                )?),
                // AES_CM_128_HMAC_SHA1_80 is the library's default.
                default_policy: std::mem::transmute::<*mut c_void, SetPolicy>(symbol(
                    c"srtp_crypto_policy_set_rtp_default",
                )?),
            }
        };
        Ok(library)
    }

    /// What we send, under our key.
    pub fn outbound(&self, key: &[u8]) -> anyhow::Result<Direction> {
        self.direction(key, ANY_OUTBOUND, self.protect)
    }

    /// What we receive, under the other's key.
    pub fn inbound(&self, key: &[u8]) -> anyhow::Result<Direction> {
        self.direction(key, ANY_INBOUND, self.unprotect)
    }

    fn direction(
        &self,
        key: &[u8],
        ssrc_type: c_int,
        transform: Transform,
    ) -> anyhow::Result<Direction> {
        ensure!(key.len() == KEY_LENGTH, "a key of {} bytes", key.len());
        let mut crypto = CryptoPolicy::default();
        // SAFETY: it fills the structure that it is given.
        unsafe { (self.default_policy)(&raw mut crypto) };
        let policy = Policy {
            ssrc_type,
            ssrc_value: 0,
            rtp: crypto,
            rtcp: crypto,
            key: key.as_ptr(),
            keys: std::ptr::null_mut(),
            num_master_keys: 0,
            deprecated_ekt: std::ptr::null_mut(),
            window_size: WINDOW,
            allow_repeat_tx: 0,
            enc_xtn_hdr: std::ptr::null_mut(),
            enc_xtn_hdr_count: 0,
            next: std::ptr::null_mut(),
        };
        let mut context = std::ptr::null_mut();
        // SAFETY: the policy and the key live through the call, which copies what it keeps.
        let status = unsafe { (self.create)(&raw mut context, &raw const policy) };
        ensure!(status == 0 && !context.is_null(), "srtp_create: {status}");
        Ok(Direction { context, transform })
    }
}

impl Direction {
    /// Protects or opens the first `length` bytes of `packet` in place; the new length, or `None`
    /// when the packet is refused. Sessions live as long as the benchmark, so nothing is freed.
    pub fn apply(&mut self, packet: &mut [u8], length: usize) -> Option<usize> {
        assert!(
            length + TRAILER_MAX <= packet.len(),
            "no room for the trailer"
        );
        let mut length = c_int::try_from(length).ok()?;
        // SAFETY: the context is this direction's own, and the packet has room for a trailer.
        let status =
            unsafe { (self.transform)(self.context, packet.as_mut_ptr().cast(), &raw mut length) };
        if status == 0 {
            usize::try_from(length).ok()
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_protected_can_be_opened_and_not_by_another_key() {
        let Ok(library) = Library::load() else {
            return crate::tools::skip("bench::srtp", "missing libsrtp2.so.1");
        };
        let mut packet = vec![0u8; 512];
        (packet[0], packet[3], packet[11]) = (0x80, 1, 9);
        let plain = packet.clone();
        let key = [7; KEY_LENGTH];
        let mut out = library.outbound(&key).expect("made");
        assert_eq!(out.apply(&mut packet, 172), Some(182));
        let mut copy = packet.clone();
        assert_eq!(
            library
                .inbound(&[8; KEY_LENGTH])
                .expect("made")
                .apply(&mut copy, 182),
            None
        );
        assert_eq!(
            library.inbound(&key).expect("made").apply(&mut packet, 182),
            Some(172)
        );
        assert_eq!(packet[..172], plain[..172]);
    }
}
