//! Events as bytes, so that they can be kept and judged again.
//!
//! A record is a tag, the time since the record before it, who, and what: 20 to 80 bytes. Numbers
//! are written seven bits to a byte, enumerations by numbers of their own that a release never
//! changes. Records stand one behind the other in a block; whoever keeps blocks frames and checks
//! them, and says with [`VERSION`] which records are in them.
//!
//! Left out on purpose: the scope and flow label of an IPv6 address, which name a link of the host
//! and not a sender; anything secret, which no event has.
//!
//! Numbers and addresses of people are in here, in clear: whoever keeps the bytes protects them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use ringfence_base::{HashKey, Instant, ListenerId, Transport, UnixTime};
use ringfence_sip::Defects;

use crate::event::{
    Asked, Attestation, BindingChange, CallRef, CallStep, CredentialsOutcome, Direction, Diversion,
    EndedBy, Event, Fingerprint, Forgery, MethodKind, PeerRef, Principal, Proof, Refusal, Shape,
    SiteRef, Source, Tells, What,
};
use crate::name::{NAME_TEXT_MAX, Name};

/// The version of the records. Whatever changes one changes it; a new kind of record does not, and
/// is damage to an older program.
pub const VERSION: u8 = 1;
/// Most bytes of one record.
pub const RECORD_BYTES_MAX: usize = 256;

/// What was kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kept {
    /// Something happened.
    Event {
        /// When, on the wall clock.
        at: UnixTime,
        /// Who and what; its own time is zero.
        event: Event,
    },
    /// A registration of an earlier process was known from the start.
    Place {
        /// From where.
        address: IpAddr,
        /// Whose.
        account: Name,
    },
}

/// Bytes that are no records of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// They end inside of a record.
    #[error("a record has no end")]
    Short,
    /// A field has a value that it cannot have.
    #[error("a record has no sense in its {0}")]
    Value(&'static str),
}

/// Writes the records of one block.
#[derive(Clone, Copy, Debug)]
pub struct Encoder {
    last: i64,
}

impl Encoder {
    /// For a block whose times are counted from `base`.
    pub const fn new(base: UnixTime) -> Encoder {
        Encoder {
            last: base.as_micros(),
        }
    }

    /// Appends an event that happened `at`.
    pub fn event(&mut self, out: &mut Vec<u8>, at: UnixTime, event: &Event) {
        out.push(tag(&event.what));
        let step = at.as_micros().wrapping_sub(self.last);
        self.last = at.as_micros();
        number(out, (step.wrapping_shl(1) ^ (step >> 63)).cast_unsigned());
        put_source(out, &event.source);
        put_what(out, &event.what);
    }

    /// Appends a registration that an earlier process saw.
    pub fn place(&mut self, out: &mut Vec<u8>, address: IpAddr, account: Name) {
        out.push(PLACE);
        put_address(out, address);
        put_name(out, account);
    }
}

/// Reads the records of one block. Ends after the first that has no sense.
#[derive(Clone, Debug)]
pub struct Decoder<'a> {
    bytes: Bytes<'a>,
    key: HashKey,
    last: i64,
}

impl<'a> Decoder<'a> {
    /// Over a block whose times are counted from `base`. `key` is the one that the reader's names
    /// are hashed under.
    pub const fn new(key: HashKey, base: UnixTime, bytes: &'a [u8]) -> Decoder<'a> {
        Decoder {
            bytes: Bytes(bytes),
            key,
            last: base.as_micros(),
        }
    }

    fn record(&mut self) -> Result<Kept, DecodeError> {
        let tag = self.bytes.byte()?;
        if tag == PLACE {
            return Ok(Kept::Place {
                address: {
                    let is_v6 = self.bytes.flag("address")?;
                    self.bytes.address(is_v6)?
                },
                account: self.bytes.name(self.key)?,
            });
        }
        let step = self.bytes.number()?;
        let step = (step >> 1).cast_signed() ^ -((step & 1).cast_signed());
        self.last = self.last.wrapping_add(step);
        let source = self.bytes.source()?;
        let what = self.bytes.what(self.key, tag)?;
        Ok(Kept::Event {
            at: UnixTime::from_micros(self.last),
            event: Event {
                at: Instant::ZERO,
                source,
                what,
            },
        })
    }
}

impl Iterator for Decoder<'_> {
    type Item = Result<Kept, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.bytes.0.is_empty() {
            return None;
        }
        let record = self.record();
        if record.is_err() {
            self.bytes = Bytes(&[]);
        }
        Some(record)
    }
}

/// An enumeration without fields, as one byte.
trait Coded: Sized {
    fn code(self) -> u8;
    fn of(code: u8) -> Option<Self>;
}

/// One table for both ways; a variant that is missing does not compile. Numbers are for ever.
macro_rules! coded {
    ($type:ty { $($variant:ident = $code:literal),* $(,)? }) => {
        impl Coded for $type {
            fn code(self) -> u8 {
                match self { $(<$type>::$variant => $code),* }
            }

            fn of(code: u8) -> Option<$type> {
                match code { $($code => Some(<$type>::$variant),)* _ => None }
            }
        }
    };
}

coded!(Transport { Udp = 0, Tcp = 1, Tls = 2, Ws = 3, Wss = 4 });
coded!(Proof { None = 0, ViaCookieReturned = 1, NonceEchoed = 2, StreamEstablished = 3 });
coded!(MethodKind {
    Ack = 0, Bye = 1, Cancel = 2, Info = 3, Invite = 4, Message = 5, Notify = 6, Options = 7,
    Prack = 8, Publish = 9, Refer = 10, Register = 11, Subscribe = 12, Update = 13, Unknown = 14,
});
coded!(Refusal {
    CallingNumber = 0, Credentials = 1, DialogUnknown = 2, Limit = 3, Malformed = 4, Number = 5,
    Policy = 6, Stranger = 7,
});
coded!(CredentialsOutcome {
    Right = 0, Stale = 1, Replayed = 2, Wrong = 3, WrongAccount = 4, WrongForgedNonce = 5,
});
coded!(Forgery { ByeWhileTalking = 0, Cseq = 1, Replaces = 2, Source = 3, Tag = 4 });
coded!(Direction { Inbound = 0, Internal = 1, Outbound = 2 });
coded!(Attestation { Absent = 0, A = 1, B = 2, C = 3, Invalid = 4 });
coded!(Diversion { Redirected = 0, Forwarded = 1, FeatureCode = 2 });
coded!(EndedBy { Caller = 0, Callee = 1, Edge = 2 });

const PLACE: u8 = 0;
const REQUEST: u8 = 1;
const STRAY_RESPONSE: u8 = 2;
const DEFECTIVE: u8 = 3;
const UNPARSEABLE: u8 = 4;
const STREAM_WITHOUT_MESSAGE: u8 = 5;
const REFUSED: u8 = 6;
const CHALLENGED: u8 = 7;
const CREDENTIALS: u8 = 8;
const REGISTERED: u8 = 9;
const ALIEN_BINDING: u8 = 10;
const FORGED: u8 = 11;
const CALL_OFFERED: u8 = 12;
const CALL_RINGING: u8 = 13;
const CALL_ANSWERED: u8 = 14;
const CALL_ENDED: u8 = 15;
const CALL_FAILED: u8 = 16;
const ASKED_FOR_CREDENTIALS: u8 = 17;
const DIVERTED: u8 = 18;

const fn tag(what: &What) -> u8 {
    match what {
        What::Request(_) => REQUEST,
        What::StrayResponse => STRAY_RESPONSE,
        What::Defective { .. } => DEFECTIVE,
        What::Unparseable { .. } => UNPARSEABLE,
        What::StreamWithoutMessage => STREAM_WITHOUT_MESSAGE,
        What::Refused { .. } => REFUSED,
        What::Challenged(_) => CHALLENGED,
        What::Credentials { .. } => CREDENTIALS,
        What::Registered { .. } => REGISTERED,
        What::AlienBinding { .. } => ALIEN_BINDING,
        What::Forged { .. } => FORGED,
        What::AskedForCredentials { .. } => ASKED_FOR_CREDENTIALS,
        What::Diverted { .. } => DIVERTED,
        What::Call { step, .. } => match step {
            CallStep::Offered { .. } => CALL_OFFERED,
            CallStep::Ringing => CALL_RINGING,
            CallStep::Answered => CALL_ANSWERED,
            CallStep::Ended { .. } => CALL_ENDED,
            CallStep::Failed { .. } => CALL_FAILED,
        },
    }
}

const STRANGER: u8 = 0;
const TRUNK: u8 = 1;
const PBX: u8 = 2;
const PHONE: u8 = 3;

/// One byte of kinds: address (1 bit), transport (3), proof (2), principal (2).
fn put_source(out: &mut Vec<u8>, source: &Source) {
    let principal = match source.principal {
        Principal::Stranger => STRANGER,
        Principal::Trunk(_) => TRUNK,
        Principal::Pbx(_) => PBX,
        Principal::Phone { .. } => PHONE,
    };
    let family = u8::from(source.remote.is_ipv6());
    let kinds = source.transport.code() << 1 | source.proof.code() << 4 | principal << 6;
    out.push(family | kinds);
    put_octets(out, source.remote.ip());
    out.extend_from_slice(&source.remote.port().to_le_bytes());
    out.push(source.listener.raw());
    match source.principal {
        Principal::Stranger => {}
        Principal::Trunk(peer) | Principal::Pbx(peer) => number(out, peer.raw().into()),
        Principal::Phone { group, user } => {
            number(out, group.raw().into());
            number(out, user.into());
        }
    }
}

fn put_what(out: &mut Vec<u8>, what: &What) {
    match what {
        What::Request(asked) | What::Challenged(asked) => put_asked(out, asked),
        What::StrayResponse | What::StreamWithoutMessage => {}
        What::Defective { defects, shape } => {
            number(out, defects.bits().into());
            put_shape(out, *shape);
        }
        What::Unparseable { bytes } => number(out, (*bytes).into()),
        What::Refused { reason, asked } => {
            out.push(reason.code());
            put_asked(out, asked);
        }
        What::Credentials {
            account,
            outcome,
            nonce,
            shape,
        } => {
            out.push(outcome.code());
            put_name(out, *account);
            put_hash(out, *nonce);
            put_shape(out, *shape);
        }
        What::Registered {
            account,
            change,
            shape,
        } => {
            put_name(out, *account);
            put_hash(out, change.instance);
            put_hash(out, change.contact);
            out.extend_from_slice(&[change.before, change.after]);
            out.push(u8::from(change.removed_all) | u8::from(change.first_choice) << 1);
            put_shape(out, *shape);
        }
        What::AlienBinding { contact, count } => {
            put_name(out, *contact);
            out.push(*count);
        }
        What::Forged {
            method,
            forgery,
            call,
        } => {
            out.extend_from_slice(&[method.code(), forgery.code(), u8::from(call.is_some())]);
            if let Some(call) = call {
                put_hash(out, call.raw());
            }
        }
        What::AskedForCredentials { method, within } => {
            out.extend_from_slice(&[method.code(), u8::from(*within)]);
        }
        What::Diverted { site, by, to, way } => {
            number(out, site.raw().into());
            out.push(way.code());
            put_name(out, *by);
            put_name(out, *to);
        }
        What::Call { call, site, step } => {
            put_hash(out, call.raw());
            number(out, site.raw().into());
            put_step(out, step);
        }
    }
}

fn put_step(out: &mut Vec<u8>, step: &CallStep) {
    match step {
        CallStep::Offered {
            direction,
            calling,
            called,
            emergency,
            calling_is_own,
            attestation,
            shape,
        } => {
            out.extend_from_slice(&[direction.code(), attestation.code()]);
            out.push(u8::from(*emergency) | u8::from(*calling_is_own) << 1);
            put_name(out, *calling);
            put_name(out, *called);
            put_shape(out, *shape);
        }
        CallStep::Ringing | CallStep::Answered => {}
        CallStep::Ended {
            by,
            talked,
            heard_caller,
            heard_callee,
        } => {
            out.push(by.code());
            put_duration(out, *talked);
            number(out, (*heard_caller).into());
            number(out, (*heard_callee).into());
        }
        CallStep::Failed { status, rang } => {
            number(out, (*status).into());
            put_duration(out, *rang);
        }
    }
}

fn put_asked(out: &mut Vec<u8>, asked: &Asked) {
    out.push(asked.method.code());
    put_name(out, asked.target);
    put_shape(out, asked.shape);
    out.extend_from_slice(&asked.transaction.to_le_bytes());
}

fn put_shape(out: &mut Vec<u8>, shape: Shape) {
    out.extend_from_slice(&shape.fingerprint.0.to_le_bytes());
    number(out, shape.tells.bits().into());
}

/// The text, and the hash where the text may not be all of it.
fn put_name(out: &mut Vec<u8>, name: Name) {
    let text = name.reveal();
    out.push(text.len() as u8);
    out.extend_from_slice(text);
    if text.len() >= NAME_TEXT_MAX {
        out.extend_from_slice(&name.hash().to_le_bytes());
    }
}

/// Many are zero, and else all their bits matter.
fn put_hash(out: &mut Vec<u8>, hash: u64) {
    out.push(u8::from(hash != 0));
    if hash != 0 {
        out.extend_from_slice(&hash.to_le_bytes());
    }
}

/// In nanoseconds, up to 584 years.
fn put_duration(out: &mut Vec<u8>, duration: Duration) {
    number(out, u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
}

fn put_address(out: &mut Vec<u8>, address: IpAddr) {
    out.push(u8::from(address.is_ipv6()));
    put_octets(out, address);
}

fn put_octets(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => out.extend_from_slice(&address.octets()),
        IpAddr::V6(address) => out.extend_from_slice(&address.octets()),
    }
}

/// Seven bits to a byte, the lowest first; the top bit says that there are more (LEB128).
fn number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// What is left to read.
#[derive(Clone, Copy, Debug)]
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(DecodeError::Short)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(DecodeError::Short)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn byte(&mut self) -> Result<u8, DecodeError> {
        self.array().map(|[byte]: [u8; 1]| byte)
    }

    fn number(&mut self) -> Result<u64, DecodeError> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(DecodeError::Value("numbers"))
    }

    fn narrow<T: TryFrom<u64>>(&mut self, field: &'static str) -> Result<T, DecodeError> {
        let number = self.number()?;
        T::try_from(number).map_err(|_| DecodeError::Value(field))
    }

    fn coded<T: Coded>(&mut self, field: &'static str) -> Result<T, DecodeError> {
        T::of(self.byte()?).ok_or(DecodeError::Value(field))
    }

    fn flag(&mut self, field: &'static str) -> Result<bool, DecodeError> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(DecodeError::Value(field)),
        }
    }

    fn flags(&mut self, field: &'static str) -> Result<(bool, bool), DecodeError> {
        match self.byte()? {
            flags @ 0..=3 => Ok((flags & 1 != 0, flags & 2 != 0)),
            _ => Err(DecodeError::Value(field)),
        }
    }

    fn address(&mut self, is_v6: bool) -> Result<IpAddr, DecodeError> {
        Ok(match is_v6 {
            false => Ipv4Addr::from(self.array::<4>()?).into(),
            true => Ipv6Addr::from(self.array::<16>()?).into(),
        })
    }

    fn hash(&mut self) -> Result<u64, DecodeError> {
        match self.flag("hash")? {
            false => Ok(0),
            true => self.array().map(u64::from_le_bytes),
        }
    }

    fn duration(&mut self) -> Result<Duration, DecodeError> {
        self.number().map(Duration::from_nanos)
    }

    fn name(&mut self, key: HashKey) -> Result<Name, DecodeError> {
        let length = usize::from(self.byte()?);
        if length > NAME_TEXT_MAX {
            return Err(DecodeError::Value("text"));
        }
        let text = self.take(length)?;
        let hash = match length < NAME_TEXT_MAX {
            true => 0,
            false => u64::from_le_bytes(self.array()?),
        };
        Ok(Name::restored(key, text, hash))
    }

    fn shape(&mut self) -> Result<Shape, DecodeError> {
        Ok(Shape {
            fingerprint: Fingerprint(u64::from_le_bytes(self.array()?)),
            tells: Tells::from_bits(self.narrow("tells")?),
        })
    }

    fn asked(&mut self, key: HashKey) -> Result<Asked, DecodeError> {
        Ok(Asked {
            method: self.coded("method")?,
            target: self.name(key)?,
            shape: self.shape()?,
            transaction: u64::from_le_bytes(self.array()?),
        })
    }

    fn source(&mut self) -> Result<Source, DecodeError> {
        let kinds = self.byte()?;
        let address = self.address(kinds & 1 != 0)?;
        let port = u16::from_le_bytes(self.array()?);
        let listener = ListenerId::new(self.byte()?);
        let principal = match kinds >> 6 {
            STRANGER => Principal::Stranger,
            TRUNK => Principal::Trunk(PeerRef::new(self.narrow("trunk")?)),
            PBX => Principal::Pbx(PeerRef::new(self.narrow("phone system")?)),
            _ => Principal::Phone {
                group: PeerRef::new(self.narrow("group of phones")?),
                user: self.narrow("user")?,
            },
        };
        Ok(Source {
            remote: SocketAddr::new(address, port),
            listener,
            transport: Coded::of(kinds >> 1 & 7).ok_or(DecodeError::Value("transport"))?,
            proof: Coded::of(kinds >> 4 & 3).ok_or(DecodeError::Value("proof"))?,
            principal,
        })
    }

    fn what(&mut self, key: HashKey, tag: u8) -> Result<What, DecodeError> {
        Ok(match tag {
            REQUEST => What::Request(self.asked(key)?),
            CHALLENGED => What::Challenged(self.asked(key)?),
            STRAY_RESPONSE => What::StrayResponse,
            STREAM_WITHOUT_MESSAGE => What::StreamWithoutMessage,
            DEFECTIVE => What::Defective {
                defects: Defects::from_bits(self.narrow("defects")?),
                shape: self.shape()?,
            },
            UNPARSEABLE => What::Unparseable {
                bytes: self.narrow("length")?,
            },
            REFUSED => What::Refused {
                reason: self.coded("reason")?,
                asked: self.asked(key)?,
            },
            CREDENTIALS => What::Credentials {
                outcome: self.coded("outcome")?,
                account: self.name(key)?,
                nonce: self.hash()?,
                shape: self.shape()?,
            },
            REGISTERED => self.registered(key)?,
            ALIEN_BINDING => What::AlienBinding {
                contact: self.name(key)?,
                count: self.byte()?,
            },
            FORGED => What::Forged {
                method: self.coded("method")?,
                forgery: self.coded("forgery")?,
                call: match self.flag("call")? {
                    false => None,
                    true => Some(CallRef::new(self.hash()?)),
                },
            },
            ASKED_FOR_CREDENTIALS => What::AskedForCredentials {
                method: self.coded("method")?,
                within: self.flag("within")?,
            },
            DIVERTED => What::Diverted {
                site: SiteRef::new(self.narrow("site")?),
                way: self.coded("diversion")?,
                by: self.name(key)?,
                to: self.name(key)?,
            },
            CALL_OFFERED..=CALL_FAILED => What::Call {
                call: CallRef::new(self.hash()?),
                site: SiteRef::new(self.narrow("site")?),
                step: self.step(key, tag)?,
            },
            _ => return Err(DecodeError::Value("kind")),
        })
    }

    fn registered(&mut self, key: HashKey) -> Result<What, DecodeError> {
        let account = self.name(key)?;
        let (instance, contact) = (self.hash()?, self.hash()?);
        let [before, after] = self.array()?;
        let (removed_all, first_choice) = self.flags("bindings")?;
        Ok(What::Registered {
            account,
            change: BindingChange {
                instance,
                contact,
                before,
                after,
                removed_all,
                first_choice,
            },
            shape: self.shape()?,
        })
    }

    fn step(&mut self, key: HashKey, tag: u8) -> Result<CallStep, DecodeError> {
        Ok(match tag {
            CALL_RINGING => CallStep::Ringing,
            CALL_ANSWERED => CallStep::Answered,
            CALL_ENDED => CallStep::Ended {
                by: self.coded("end")?,
                talked: self.duration()?,
                heard_caller: self.narrow("packets")?,
                heard_callee: self.narrow("packets")?,
            },
            CALL_FAILED => CallStep::Failed {
                status: self.narrow("status")?,
                rang: self.duration()?,
            },
            _ => {
                let (direction, attestation) = (self.coded("direction")?, self.coded("attest")?);
                let (emergency, calling_is_own) = self.flags("call")?;
                CallStep::Offered {
                    direction,
                    calling: self.name(key)?,
                    called: self.name(key)?,
                    emergency,
                    calling_is_own,
                    attestation,
                    shape: self.shape()?,
                }
            }
        })
    }
}

#[cfg(test)]
mod tests;
