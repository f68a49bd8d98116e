//! Packets out of a capture file: pcap (microseconds and nanoseconds, either byte order) and
//! pcapng (draft-ietf-opsawg-pcapng). One packet is held at a time.
//!
//! Left out on purpose: compressed files, the modified pcap of old tools, name and statistics
//! blocks (skipped).

use std::io::{self, Read};

/// Most bytes of one packet or block: what tools write at most is 262,144.
pub const BLOCK_MAX: u32 = 1 << 20;
/// Interfaces of one section.
const INTERFACES_MAX: usize = 1_024;

const MAGIC_MICROS: u32 = 0xa1b2_c3d4;
const MAGIC_NANOS: u32 = 0xa1b2_3c4d;
const SECTION: u32 = 0x0a0d_0d0a;
const BYTE_ORDER: u32 = 0x1a2b_3c4d;

/// What a capture is wrong in, and where.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// A block or packet says that it is longer than any.
    #[error("byte {offset}: {what} of {length} bytes; at most {BLOCK_MAX} are read")]
    Length {
        /// Where it begins.
        offset: u64,
        /// What.
        what: &'static str,
        /// How long it says it is.
        length: u32,
    },
    /// The file contradicts itself.
    #[error("byte {offset}: {what}")]
    Malformed {
        /// Where.
        offset: u64,
        /// In what.
        what: &'static str,
    },
    /// No capture at all.
    #[error("byte 0: neither pcap nor pcapng (a compressed file has to be unpacked first)")]
    NotACapture,
    /// Reading failed.
    #[error("byte {offset}: reading failed")]
    Read {
        /// Where.
        offset: u64,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It ends in the middle.
    #[error("byte {offset}: the file ends inside {what}")]
    Truncated {
        /// Where what is cut off begins.
        offset: u64,
        /// What.
        what: &'static str,
    },
}

/// One packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Nanoseconds since 1970; 0 if the capture does not say.
    pub at: u64,
    /// The link type (LINKTYPE_ of tcpdump.org).
    pub link: u32,
    /// Its bytes, from the link's header on.
    pub data: &'a [u8],
}

#[derive(Clone, Copy, Debug)]
struct Interface {
    link: u32,
    snap: u32,
    /// Ticks in a second.
    ticks: u64,
    /// Seconds to add.
    offset: i64,
}

#[derive(Debug)]
enum Kind {
    Classic { link: u32, nanos: bool },
    Next { interfaces: Vec<Interface> },
}

/// Reads packet after packet.
#[derive(Debug)]
pub struct Capture<R> {
    from: R,
    offset: u64,
    big: bool,
    kind: Kind,
    buffer: Vec<u8>,
    latest: u64,
}

impl<R: Read> Capture<R> {
    /// Reads the head of a capture.
    ///
    /// # Errors
    /// When it is none, or broken.
    pub fn open(from: R) -> Result<Capture<R>, CaptureError> {
        let mut capture = Capture {
            from,
            offset: 0,
            big: false,
            kind: Kind::Next {
                interfaces: Vec::new(),
            },
            buffer: Vec::new(),
            latest: 0,
        };
        match capture.fill(4, "its first four bytes") {
            Ok(true) => {}
            Ok(false) | Err(CaptureError::Truncated { .. }) => {
                return Err(CaptureError::NotACapture);
            }
            Err(error) => return Err(error),
        }
        let magic = number32(false, &capture.buffer, 0);
        match magic {
            Some(SECTION) => capture.section(0)?,
            Some(MAGIC_MICROS | MAGIC_NANOS) => capture.classic(magic == Some(MAGIC_NANOS))?,
            Some(other) if [MAGIC_MICROS, MAGIC_NANOS].contains(&other.swap_bytes()) => {
                capture.big = true;
                capture.classic(other.swap_bytes() == MAGIC_NANOS)?;
            }
            _ => return Err(CaptureError::NotACapture),
        }
        Ok(capture)
    }

    /// The next packet; `None` at the end.
    ///
    /// # Errors
    /// When the file is broken; nothing can be read after that.
    // Not an iterator: what it returns borrows from it.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Result<Option<Packet<'_>>, CaptureError> {
        match self.kind {
            Kind::Classic { link, nanos } => self.next_classic(link, nanos),
            Kind::Next { .. } => self.next_block(),
        }
    }

    fn classic(&mut self, nanos: bool) -> Result<(), CaptureError> {
        self.must(20, 0, "the file's header")?;
        // The upper bits hold the length of a frame check sequence.
        let link = self.number(16) & 0x0fff_ffff;
        self.kind = Kind::Classic { link, nanos };
        Ok(())
    }

    fn next_classic(&mut self, link: u32, nanos: bool) -> Result<Option<Packet<'_>>, CaptureError> {
        let begins = self.offset;
        if !self.fill(16, "a packet's header")? {
            return Ok(None);
        }
        let (seconds, part, length) = (self.number(0), self.number(4), self.number(8));
        if length > BLOCK_MAX {
            let what = "a packet";
            return Err(CaptureError::Length {
                offset: begins,
                what,
                length,
            });
        }
        self.must(length as usize, begins, "a packet")?;
        let part = u64::from(part) * if nanos { 1 } else { 1_000 };
        let at = u64::from(seconds) * 1_000_000_000 + part;
        let data = &self.buffer;
        Ok(Some(Packet { at, link, data }))
    }

    /// A section's header. Its first four bytes are read.
    fn section(&mut self, begins: u64) -> Result<(), CaptureError> {
        self.must(8, begins, "a section's header")?;
        self.big = match number32(false, &self.buffer, 4) {
            Some(BYTE_ORDER) => false,
            Some(order) if order.swap_bytes() == BYTE_ORDER => true,
            _ => {
                let what = "a section without a byte order";
                return Err(CaptureError::Malformed {
                    offset: begins,
                    what,
                });
            }
        };
        let length = self.number(0);
        self.check_length(begins, length, 28)?;
        self.must(length as usize - 12, begins, "a section's header")?;
        self.check_trailer(begins, length)?;
        self.kind = Kind::Next {
            interfaces: Vec::new(),
        };
        Ok(())
    }

    fn next_block(&mut self) -> Result<Option<Packet<'_>>, CaptureError> {
        loop {
            let begins = self.offset;
            if !self.fill(4, "a block's header")? {
                return Ok(None);
            }
            let kind = self.number(0);
            if kind == SECTION {
                self.section(begins)?;
                continue;
            }
            self.must(4, begins, "a block's header")?;
            let length = self.number(0);
            self.check_length(begins, length, 12)?;
            self.must(length as usize - 8, begins, "a block")?;
            self.check_trailer(begins, length)?;
            self.buffer.truncate(length as usize - 12);
            let span = match kind {
                1 => {
                    self.interface(begins)?;
                    continue;
                }
                2 | 6 => self.enhanced(begins, kind == 2)?,
                3 => self.simple(begins)?,
                _ => continue,
            };
            let (at, link, (from, to)) = span;
            let data = self.buffer.get(from..to).unwrap_or_default();
            return Ok(Some(Packet { at, link, data }));
        }
    }

    fn interface(&mut self, begins: u64) -> Result<(), CaptureError> {
        let malformed = |what| CaptureError::Malformed {
            offset: begins,
            what,
        };
        if self.buffer.len() < 8 {
            return Err(malformed("an interface block that is too short"));
        }
        let mut interface = Interface {
            link: self.half(0).into(),
            snap: self.number(4),
            ticks: 1_000_000,
            offset: 0,
        };
        let mut at = 8;
        while at + 4 <= self.buffer.len() {
            let (code, length) = (self.half(at), usize::from(self.half(at + 2)));
            let Some(value) = self.buffer.get(at + 4..at + 4 + length) else {
                return Err(malformed("an option that is longer than its block"));
            };
            match (code, value) {
                (0, _) => break,
                (9, [exponent]) => {
                    let power = u32::from(exponent & 0x7f);
                    let ticks = match exponent & 0x80 {
                        0 => 10_u64.checked_pow(power),
                        _ => 2_u64.checked_pow(power),
                    };
                    interface.ticks =
                        ticks.ok_or(malformed("a resolution of time beyond reason"))?;
                }
                (14, value) if value.len() == 8 => {
                    let (first, second) = (self.number(at + 4), self.number(at + 8));
                    let (low, high) = if self.big {
                        (second, first)
                    } else {
                        (first, second)
                    };
                    interface.offset = ((u64::from(high) << 32) | u64::from(low)) as i64;
                }
                _ => {}
            }
            at += 4 + length.next_multiple_of(4);
        }
        match &mut self.kind {
            Kind::Next { interfaces } if interfaces.len() < INTERFACES_MAX => {
                interfaces.push(interface);
                Ok(())
            }
            _ => Err(malformed("too many interfaces")),
        }
    }

    fn enhanced(
        &mut self,
        begins: u64,
        obsolete: bool,
    ) -> Result<(u64, u32, (usize, usize)), CaptureError> {
        let malformed = |what| CaptureError::Malformed {
            offset: begins,
            what,
        };
        if self.buffer.len() < 20 {
            return Err(malformed("a packet block that is too short"));
        }
        let number = match obsolete {
            true => usize::from(self.half(0)),
            false => self.number(0) as usize,
        };
        let interface = self
            .interface_at(number)
            .ok_or(malformed("a packet of an unknown interface"))?;
        let ticks = (u64::from(self.number(4)) << 32) | u64::from(self.number(8));
        let length = self.number(12) as usize;
        if length > self.buffer.len() - 20 {
            return Err(malformed("a packet that is longer than its block"));
        }
        let seconds = (ticks / interface.ticks) as i64;
        let seconds = seconds.saturating_add(interface.offset).max(0) as u64;
        let part =
            u128::from(ticks % interface.ticks) * 1_000_000_000 / u128::from(interface.ticks);
        self.latest = seconds
            .saturating_mul(1_000_000_000)
            .saturating_add(part as u64);
        Ok((self.latest, interface.link, (20, 20 + length)))
    }

    fn simple(&mut self, begins: u64) -> Result<(u64, u32, (usize, usize)), CaptureError> {
        let malformed = |what| CaptureError::Malformed {
            offset: begins,
            what,
        };
        if self.buffer.len() < 4 {
            return Err(malformed("a packet block that is too short"));
        }
        let interface = self
            .interface_at(0)
            .ok_or(malformed("a packet of an unknown interface"))?;
        let snap = if interface.snap == 0 {
            u32::MAX
        } else {
            interface.snap
        };
        let length = self.number(0).min(snap) as usize;
        if length > self.buffer.len() - 4 {
            return Err(malformed("a packet that is longer than its block"));
        }
        Ok((self.latest, interface.link, (4, 4 + length)))
    }

    fn interface_at(&self, number: usize) -> Option<Interface> {
        match &self.kind {
            Kind::Next { interfaces } => interfaces.get(number).copied(),
            Kind::Classic { .. } => None,
        }
    }

    fn check_length(&self, offset: u64, length: u32, least: u32) -> Result<(), CaptureError> {
        if length > BLOCK_MAX {
            let what = "a block";
            return Err(CaptureError::Length {
                offset,
                what,
                length,
            });
        }
        if length < least || !length.is_multiple_of(4) {
            let what = "a block whose length cannot be";
            return Err(CaptureError::Malformed { offset, what });
        }
        Ok(())
    }

    /// The last four bytes of the buffer say the block's length again.
    fn check_trailer(&self, offset: u64, length: u32) -> Result<(), CaptureError> {
        match self.buffer.len().checked_sub(4) {
            Some(at) if self.number(at) == length => Ok(()),
            _ => {
                let what = "a block whose two lengths differ";
                Err(CaptureError::Malformed { offset, what })
            }
        }
    }

    /// Reads exactly `count` bytes into the buffer; `false` if the file is at its end.
    fn fill(&mut self, count: usize, what: &'static str) -> Result<bool, CaptureError> {
        let offset = self.offset;
        self.buffer.clear();
        let mut limited = (&mut self.from).take(count as u64);
        let read = limited.read_to_end(&mut self.buffer);
        let read = read.map_err(|source| CaptureError::Read { offset, source })?;
        self.offset += read as u64;
        match read {
            0 if count > 0 => Ok(false),
            read if read == count => Ok(true),
            _ => Err(CaptureError::Truncated { offset, what }),
        }
    }

    fn must(&mut self, count: usize, offset: u64, what: &'static str) -> Result<(), CaptureError> {
        match self.fill(count, what) {
            Ok(true) => Ok(()),
            Ok(false) | Err(CaptureError::Truncated { .. }) => {
                Err(CaptureError::Truncated { offset, what })
            }
            Err(error) => Err(error),
        }
    }

    /// 32 bits of the buffer in the file's byte order.
    fn number(&self, at: usize) -> u32 {
        number32(self.big, &self.buffer, at).unwrap_or_default()
    }

    fn half(&self, at: usize) -> u16 {
        let bytes = self.buffer.get(at..).and_then(|rest| rest.first_chunk());
        let read = if self.big {
            u16::from_be_bytes
        } else {
            u16::from_le_bytes
        };
        bytes.map_or(0, |bytes| read(*bytes))
    }
}

fn number32(big: bool, bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    let read = if big {
        u32::from_be_bytes
    } else {
        u32::from_le_bytes
    };
    Some(read(*bytes))
}
