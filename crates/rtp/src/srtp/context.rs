//! One direction of SRTP and SRTCP: which index a packet has, whether it is new, where its trailer lies.
//!
//! Protecting refuses repeated indices just as unprotecting does: the relay's input is another peer, and
//! two packets under one index would give away both (and with GCM the authentication key, RFC 7714 §8.4).

use std::fmt;

use smallvec::SmallVec;

use super::error::{KeyError, SrtpError};
use super::key::{MasterKey, Mki};
use super::suite::Suite;
use super::transform::{PacketId, RTCP_HEADER_LEN, Transform};
use super::window::{IndexError, ReplayWindow};
use crate::header::Header;

/// Sources that one context follows; beyond, the one unused for longest is forgotten and counted
/// ([`Context::evicted_sources`]). A PBX may change its SSRC with each announcement it plays.
pub const MAX_SOURCES: usize = 64;

/// The E flag of SRTCP's index word: encrypted.
const ENCRYPTED: u32 = 1 << 31;
const INDEX_WORD_LEN: usize = 4;

/// One direction of a media stream: either protects or unprotects, RTP and RTCP, all its sources.
pub struct Context {
    transform: Transform,
    /// Most recently used first.
    sources: SmallVec<[Source; 1]>,
    suite: Suite,
    mki: Mki,
    /// The index of the next SRTCP packet. One counter for all sources: it stays unique even when a
    /// source was forgotten.
    rtcp_sent: u32,
    evicted: u32,
}

#[derive(Clone, Copy)]
struct Source {
    ssrc: u32,
    rtp: ReplayWindow,
    rtcp: ReplayWindow,
}

impl Context {
    /// Derives the session keys of `key`.
    pub fn new(suite: Suite, key: &MasterKey) -> Result<Context, KeyError> {
        Ok(Context {
            transform: Transform::new(suite, key)?,
            sources: SmallVec::new(),
            suite,
            mki: key.mki(),
            rtcp_sent: 0,
            evicted: 0,
        })
    }

    /// Protects the RTP packet `buf[..len]` in place and gives its new length. `buf` needs room for
    /// [`super::MAX_OVERHEAD`] more bytes at most.
    #[inline]
    pub fn protect_rtp(&mut self, buf: &mut [u8], len: usize) -> Result<usize, SrtpError> {
        let overhead = self.suite.rtp_tag_len() + self.mki.bytes().len();
        let protected_len = len.saturating_add(overhead);
        let (packet, trailer) = split(buf, len, protected_len)?;
        let header = Header::parse(packet).map_err(|_| SrtpError::Malformed)?;
        let id = self.next_rtp(header)?;

        let tag = self
            .transform
            .seal_rtp(id, packet, usize::from(header.header_len))?;
        let tag = tag
            .get(..self.suite.rtp_tag_len())
            .ok_or(SrtpError::Cipher)?;
        match &self.transform {
            Transform::AesCm(_) => write(trailer, &[self.mki.bytes(), tag]),
            Transform::AesGcm(_) => write(trailer, &[tag, self.mki.bytes()]),
        }
        self.source(id.ssrc).rtp.accept(id.index);
        Ok(protected_len)
    }

    /// Verifies and decrypts the SRTP packet `buf[..len]` in place and gives the RTP packet's length.
    #[inline]
    pub fn unprotect_rtp(&mut self, buf: &mut [u8], len: usize) -> Result<usize, SrtpError> {
        let (tag_len, mki_len) = (self.suite.rtp_tag_len(), self.mki.bytes().len());
        let plain_len = len
            .checked_sub(tag_len + mki_len)
            .ok_or(SrtpError::TooShort)?;
        let (packet, trailer) = split(buf, plain_len, len).map_err(|_| SrtpError::TooShort)?;
        let header = Header::parse(packet).map_err(|_| SrtpError::Malformed)?;
        let id = self.next_rtp(header)?;

        let (mki, tag) = match &self.transform {
            Transform::AesCm(_) => cut(trailer, mki_len)?,
            Transform::AesGcm(_) => swap(cut(trailer, tag_len)?),
        };
        self.check_mki(mki)?;
        self.transform
            .open_rtp(id, packet, usize::from(header.header_len), tag)?;
        self.source(id.ssrc).rtp.accept(id.index);
        Ok(plain_len)
    }

    /// Protects the RTCP compound packet `buf[..len]` in place and gives its new length. `buf` needs
    /// room for [`super::MAX_OVERHEAD`] more bytes at most.
    pub fn protect_rtcp(&mut self, buf: &mut [u8], len: usize) -> Result<usize, SrtpError> {
        let overhead = self.suite.rtcp_tag_len() + INDEX_WORD_LEN + self.mki.bytes().len();
        let protected_len = len.saturating_add(overhead);
        let (packet, trailer) = split(buf, len, protected_len)?;
        let ssrc = rtcp_ssrc(packet)?;
        if self.rtcp_sent & ENCRYPTED != 0 {
            return Err(SrtpError::KeyExhausted);
        }
        let id = PacketId {
            ssrc,
            index: u64::from(self.rtcp_sent),
        };
        let word = (ENCRYPTED | self.rtcp_sent).to_be_bytes();

        let tag = self.transform.seal_rtcp(id, packet, word)?;
        let tag = tag
            .get(..self.suite.rtcp_tag_len())
            .ok_or(SrtpError::Cipher)?;
        match &self.transform {
            Transform::AesCm(_) => write(trailer, &[&word, self.mki.bytes(), tag]),
            Transform::AesGcm(_) => write(trailer, &[tag, &word, self.mki.bytes()]),
        }
        self.rtcp_sent += 1;
        Ok(protected_len)
    }

    /// Verifies and decrypts the SRTCP packet `buf[..len]` in place and gives the RTCP packet's length.
    pub fn unprotect_rtcp(&mut self, buf: &mut [u8], len: usize) -> Result<usize, SrtpError> {
        let (tag_len, mki_len) = (self.suite.rtcp_tag_len(), self.mki.bytes().len());
        let plain_len = len
            .checked_sub(tag_len + INDEX_WORD_LEN + mki_len)
            .ok_or(SrtpError::TooShort)?;
        let (packet, trailer) = split(buf, plain_len, len).map_err(|_| SrtpError::TooShort)?;
        let ssrc = rtcp_ssrc(packet)?;

        let (word, mki, tag) = match &self.transform {
            Transform::AesCm(_) => {
                let (word, rest) = cut(trailer, INDEX_WORD_LEN)?;
                let (mki, tag) = cut(rest, mki_len)?;
                (word, mki, tag)
            }
            Transform::AesGcm(_) => {
                let (tag, rest) = cut(trailer, tag_len)?;
                let (word, mki) = cut(rest, INDEX_WORD_LEN)?;
                (word, mki, tag)
            }
        };
        let word = *word
            .first_chunk::<INDEX_WORD_LEN>()
            .ok_or(SrtpError::TooShort)?;
        let index = u32::from_be_bytes(word);
        if index & ENCRYPTED == 0 {
            return Err(SrtpError::Unencrypted);
        }
        let id = PacketId {
            ssrc,
            index: u64::from(index & !ENCRYPTED),
        };
        self.known(ssrc)
            .map_or(Ok(()), |source| source.rtcp.check(id.index))?;
        self.check_mki(mki)?;

        self.transform.open_rtcp(id, packet, word, tag)?;
        self.source(ssrc).rtcp.accept(id.index);
        Ok(plain_len)
    }

    /// Forgotten sources: more than [`MAX_SOURCES`] took part under one key.
    pub fn evicted_sources(&self) -> u32 {
        self.evicted
    }

    /// The suite.
    pub fn suite(&self) -> Suite {
        self.suite
    }

    /// The index that this packet has, if it is a new one.
    #[inline]
    fn next_rtp(&self, header: Header) -> Result<PacketId, SrtpError> {
        let ssrc = header.ssrc.raw();
        let index = match self.known(ssrc) {
            None => u64::from(header.seq),
            Some(source) => {
                let index = source.rtp.estimate(header.seq)?;
                source.rtp.check(index)?;
                index
            }
        };
        Ok(PacketId { ssrc, index })
    }

    #[inline]
    fn known(&self, ssrc: u32) -> Option<&Source> {
        self.sources.iter().find(|source| source.ssrc == ssrc)
    }

    /// The source's state, made if need be. Only for packets that are authentic.
    #[inline]
    fn source(&mut self, ssrc: u32) -> &mut Source {
        match self.sources.iter().position(|source| source.ssrc == ssrc) {
            Some(0) => {}
            Some(at) => self.sources[..=at].rotate_right(1),
            None => self.insert(ssrc),
        }
        &mut self.sources[0]
    }

    #[cold]
    fn insert(&mut self, ssrc: u32) {
        if self.sources.len() >= MAX_SOURCES {
            self.sources.pop();
            self.evicted = self.evicted.saturating_add(1);
        }
        let (rtp, rtcp) = (ReplayWindow::default(), ReplayWindow::default());
        self.sources.insert(0, Source { ssrc, rtp, rtcp });
    }

    #[inline]
    fn check_mki(&self, mki: &[u8]) -> Result<(), SrtpError> {
        if mki == self.mki.bytes() {
            Ok(())
        } else {
            Err(SrtpError::MkiMismatch)
        }
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Context({}, {} sources)", self.suite, self.sources.len())
    }
}

impl From<IndexError> for SrtpError {
    fn from(error: IndexError) -> SrtpError {
        match error {
            IndexError::Exhausted => SrtpError::KeyExhausted,
            IndexError::Replayed => SrtpError::Replayed,
        }
    }
}

/// `buf[..at]` and `buf[at..end]`.
#[inline]
fn split(buf: &mut [u8], at: usize, end: usize) -> Result<(&mut [u8], &mut [u8]), SrtpError> {
    buf.get_mut(..end)
        .and_then(|buf| buf.split_at_mut_checked(at))
        .ok_or(SrtpError::BufferTooSmall)
}

#[inline]
fn cut(bytes: &[u8], at: usize) -> Result<(&[u8], &[u8]), SrtpError> {
    bytes.split_at_checked(at).ok_or(SrtpError::TooShort)
}

fn swap<T>((a, b): (T, T)) -> (T, T) {
    (b, a)
}

/// Writes the parts one after the other; `to` has just their length.
#[inline]
fn write(mut to: &mut [u8], parts: &[&[u8]]) {
    for part in parts {
        let Some((here, rest)) = to.split_at_mut_checked(part.len()) else {
            return;
        };
        here.copy_from_slice(part);
        to = rest;
    }
}

fn rtcp_ssrc(packet: &[u8]) -> Result<u32, SrtpError> {
    let Some(header) = packet.first_chunk::<RTCP_HEADER_LEN>() else {
        return Err(SrtpError::TooShort);
    };
    let [first, _, _, _, s0, s1, s2, s3] = *header;
    if first >> 6 != 2 {
        return Err(SrtpError::Malformed);
    }
    Ok(u32::from_be_bytes([s0, s1, s2, s3]))
}

#[cfg(test)]
mod tests;
