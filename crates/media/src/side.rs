//! One side of a stream: judges what its peer sends, and sends to it.
//!
//! The order of the checks is the point. What costs nothing comes first; nothing is believed, and
//! no state changes, before the source has a claim and the packet is authentic; the rate is
//! charged to the holder only; the direction is checked last, because an SRTP sender that is on
//! hold still advances its packet index (RFC 3711 §3.3.1).

use std::net::SocketAddr;
use std::time::Duration;

use ringfence_base::Instant;
use ringfence_rtp::quality::StreamStats;
use ringfence_rtp::rtcp::{self, Compound, Packet, RoundTrip};
use ringfence_rtp::srtp::SrtpError;
use ringfence_rtp::{Header, RtpView, Ssrc};
use thiserror::Error;

use crate::config::{Direction, Framing, Keying, LatchPolicy, Security, SideConfig};
use crate::counters::{DropReason, Drops};
use crate::crypto::Crypto;
use crate::endpoint::{Endpoint, PackedIp};
use crate::fast_path::{FastCount, FastKey, FastRule};
use crate::latch::{Claim, Evidence, Latch, Refusal, Rules};
use crate::payload::{PayloadType, PayloadTypes};
use crate::plane::Forward;
use crate::ports::{PairIndex, PortPair, SocketIndex};
use crate::rate::{Rate, RateLimit};
use crate::report::{PeerReport, SideReport};
use crate::rtcp_latch::RtcpLatch;

mod udptl;

pub use udptl::UDPTL_MAX;

/// Why a side was not configured. Nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ConfigureError {
    /// The description names this very stream's ports: media would go round in a circle.
    #[error("the description names the stream's own ports")]
    OwnAddress,
    /// A key is to be kept that the side does not have.
    #[error("there is no key to keep")]
    NoKeyToKeep,
}

/// A side. Fields that every packet needs come first.
pub(crate) struct SideState {
    latch: Latch,
    rate: Rate,
    last_heard: Instant,
    /// SRTP, unless the side is plain.
    crypto: Option<Box<Crypto>>,
    rtp_socket: SocketIndex,
    rtcp_socket: SocketIndex,
    sent_packets: u32,
    flags: Flags,
    payload_types: PayloadTypes,
    stats: StreamStats,

    known_host: PackedIp,
    rtcp_latch: RtcpLatch,
    name: u64,
    round_trip: RoundTrip,
    reported: Reported,
    fax_datagrams: u32,
    drops: Drops,
    /// Foreign RTP while the peer was heard: see [`SideReport::beside`].
    beside: u32,
    pair: PairIndex,
}

#[derive(Clone, Copy)]
struct Flags {
    configured: bool,
    heard: bool,
    rtcp_mux: bool,
    framing: Framing,
    policy: LatchPolicy,
    direction: Direction,
    /// Number of the last packet's payload type that had a codec; [`NO_AUDIO`] before.
    audio: u8,
}

/// The last report block of the peer, packed.
#[derive(Clone, Copy, Default)]
struct Reported {
    lost: i32,
    jitter_us: u32,
    fraction_lost: u8,
    is_there: bool,
}

/// What a side's RTCP says about the stream of the side across.
pub(crate) struct Across {
    /// The synchronisation source that the side across sends.
    pub(crate) ssrc: Option<Ssrc>,
    /// The clock of its audio.
    pub(crate) clock_rate: u32,
}

const NO_AUDIO: u8 = u8::MAX;

/// Whoever was heard so lately is heard still: five packet times.
const BESIDE: Duration = Duration::from_millis(100);

impl SideState {
    /// A side that accepts nothing yet. `name` becomes its RTCP CNAME.
    pub(crate) fn new(pair: PairIndex, ports: PortPair, name: u64) -> SideState {
        SideState {
            latch: Latch::new(),
            rate: Rate::new(RateLimit::default()),
            last_heard: Instant::ZERO,
            crypto: None,
            rtp_socket: ports.rtp,
            rtcp_socket: ports.rtcp,
            sent_packets: 0,
            flags: Flags {
                configured: false,
                heard: false,
                rtcp_mux: false,
                framing: Framing::Rtp,
                policy: LatchPolicy::Strict,
                direction: Direction::SendRecv,
                audio: NO_AUDIO,
            },
            payload_types: PayloadTypes::default(),
            stats: StreamStats::default(),
            known_host: PackedIp::NONE,
            rtcp_latch: RtcpLatch::new(),
            name,
            round_trip: RoundTrip::default(),
            reported: Reported::default(),
            fax_datagrams: 0,
            drops: Drops::default(),
            beside: 0,
            pair,
        }
    }

    /// Applies a description. `own` are the stream's own RTP addresses.
    pub(crate) fn configure(
        &mut self,
        now: Instant,
        config: SideConfig,
        own: [Endpoint; 2],
    ) -> Result<(), ConfigureError> {
        let remote = Endpoint::destination(config.remote);
        let remote_rtcp = match config.remote_rtcp {
            Some(_) => Endpoint::destination(config.remote_rtcp),
            None => remote.next_port(),
        };
        if own
            .into_iter()
            .any(|own| names_port_of(own, remote) || names_port_of(own, remote_rtcp))
        {
            return Err(ConfigureError::OwnAddress);
        }
        let was_secured = self.is_secured();
        self.take_keys(now, config.security)?;

        let known_host = PackedIp::new(config.signalling_host);
        let is_same_peer = self.flags.configured
            && self.latch.described() == remote
            && self.flags.policy == config.latch
            && self.known_host == known_host
            && self.is_secured() == was_secured;
        if !is_same_peer {
            self.latch.reset(remote);
            if let Some(crypto) = &mut self.crypto {
                crypto.forget_previous();
            }
        }
        if !is_same_peer || self.rtcp_latch.described() != remote_rtcp {
            self.rtcp_latch.reset(remote_rtcp);
        }
        self.known_host = known_host;
        self.payload_types = config.payload_types;
        self.rate.set(config.rate);
        self.flags = Flags {
            configured: true,
            rtcp_mux: config.rtcp_mux,
            framing: config.framing,
            policy: config.latch,
            direction: config.direction,
            ..self.flags
        };
        Ok(())
    }

    /// Media may come from now on.
    pub(crate) fn expect_media(&mut self, now: Instant) {
        self.latch.expect(now);
    }

    /// Judges an RTP packet of the peer: its length in the clear.
    #[inline]
    pub(crate) fn receive_rtp(
        &mut self,
        now: Instant,
        from: Endpoint,
        buf: &mut [u8],
        len: usize,
    ) -> Result<usize, DropReason> {
        let packet = buf.get(..len).ok_or(DropReason::Size)?;
        let header = Header::parse(packet).map_err(|_| DropReason::Malformed)?;
        let claim = match self.admit(now, from) {
            Ok(claim) => claim,
            Err(reason) => return Err(self.refuse_source(now, reason)),
        };
        let payload_type = self
            .payload_types
            .find(header.payload_type)
            .ok_or(DropReason::PayloadType)?;
        let len = match &mut self.crypto {
            None => len,
            Some(crypto) => crypto.unprotect_rtp(now, buf, len).map_err(of_unprotect)?,
        };
        if header.padding {
            let packet = buf.get(..len).ok_or(DropReason::Size)?;
            RtpView::parse(packet).map_err(|_| DropReason::Malformed)?;
        }
        if claim != Claim::Holder
            && let Err(reason) = self.take_latch(now, claim, from, header)
        {
            return Err(self.refuse_source(now, reason));
        }
        self.heard(now);
        if !self.rate.charge(now) {
            return Err(DropReason::Rate);
        }
        self.count(now, header, payload_type, len);
        if !self.flags.direction.peer_sends() {
            return Err(DropReason::Direction);
        }
        Ok(len)
    }

    /// Sends the RTP packet `buf[..len]` to the peer.
    #[inline]
    pub(crate) fn send_rtp(&mut self, buf: &mut [u8], len: usize) -> Result<Forward, DropReason> {
        if !self.flags.direction.peer_receives() {
            return Err(DropReason::Direction);
        }
        let to = self
            .latch
            .destination()
            .addr()
            .ok_or(DropReason::NoDestination)?;
        let len = match &mut self.crypto {
            None => len,
            Some(crypto) => crypto
                .protect_rtp(buf, len)
                .map_err(|_| DropReason::Unprotectable)?,
        };
        self.sent_packets = self.sent_packets.saturating_add(1);
        Ok(Forward {
            socket: self.rtp_socket,
            to,
            len,
        })
    }

    /// Judges an RTCP packet of the peer: its length in the clear, rewritten for the side across.
    pub(crate) fn receive_rtcp(
        &mut self,
        now: Instant,
        from: Endpoint,
        buf: &mut [u8],
        len: usize,
        across: &Across,
    ) -> Result<usize, DropReason> {
        let claim = if self.flags.rtcp_mux {
            Some(self.admit(now, from)?)
        } else if self.rtcp_latch.admits(self.rtcp_rules(), from) {
            None
        } else {
            return Err(DropReason::ForeignSource);
        };
        let len = match &mut self.crypto {
            None => len,
            Some(crypto) => crypto.unprotect_rtcp(now, buf, len).map_err(of_unprotect)?,
        };
        let packet = buf.get(..len).ok_or(DropReason::Size)?;
        let compound = Compound::parse_reduced_size(packet).map_err(|_| DropReason::Malformed)?;
        if !self.is_own_source(compound.sender()) {
            return Err(DropReason::RtcpContent);
        }
        match claim {
            None => self.rtcp_latch.commit(from),
            Some(claim) => self
                .latch
                .commit_rtcp(now, claim, from, self.is_secured())
                .map_err(of_refusal)?,
        }
        self.heard(now);
        if !self.rate.charge(now) {
            return Err(DropReason::Rate);
        }
        self.read_reports(now, &compound, across);
        rtcp::sanitise(buf, len, &self.cname()).ok_or(DropReason::RtcpContent)
    }

    /// Sends the RTCP packet `buf[..len]` to the peer.
    pub(crate) fn send_rtcp(
        &mut self,
        now: Instant,
        buf: &mut [u8],
        len: usize,
    ) -> Result<Forward, DropReason> {
        let (socket, to) = if self.flags.rtcp_mux {
            (self.rtp_socket, self.latch.destination())
        } else {
            let (described, holder) = (self.latch.described(), self.latch.holder());
            (
                self.rtcp_socket,
                self.rtcp_latch.destination(described, holder),
            )
        };
        let to = to.addr().ok_or(DropReason::NoDestination)?;
        if let Some(info) = buf.get(..len).and_then(sender_info) {
            self.round_trip.on_sender_info_sent(now, &info);
        }
        let len = match &mut self.crypto {
            None => len,
            Some(crypto) => crypto
                .send
                .protect_rtcp(buf, len)
                .map_err(|_| DropReason::Unprotectable)?,
        };
        Ok(Forward { socket, to, len })
    }

    /// What the side's packets are.
    #[inline]
    pub(crate) const fn framing(&self) -> Framing {
        self.flags.framing
    }

    /// Whether the side was described.
    pub(crate) const fn is_configured(&self) -> bool {
        self.flags.configured
    }

    /// Whether RTCP shares the RTP port.
    pub(crate) const fn rtcp_mux(&self) -> bool {
        self.flags.rtcp_mux
    }

    /// What the side across needs to know to read its peer's reports.
    pub(crate) fn as_seen_across(&self) -> Across {
        let clock_rate = self.audio().map_or(0, |audio| audio.clock_rate);
        Across {
            ssrc: self.stats.ssrc(),
            clock_rate,
        }
    }

    /// When the peer was last heard.
    pub(crate) fn last_heard(&self) -> Option<Instant> {
        self.flags.heard.then_some(self.last_heard)
    }

    /// The side's port pair.
    pub(crate) const fn pair(&self) -> PairIndex {
        self.pair
    }

    /// Round trip between here and the peer.
    pub(crate) fn round_trip(&self) -> Option<Duration> {
        self.round_trip.last()
    }

    /// Counts who sends RTP while the source that is listened to sends as well: a peer that moves is
    /// not in two places at once.
    #[cold]
    fn refuse_source(&mut self, now: Instant, reason: DropReason) -> DropReason {
        let beside = self.flags.heard && now.saturating_since(self.last_heard) < BESIDE;
        if reason == DropReason::ForeignSource && beside {
            self.beside = self.beside.saturating_add(1);
        }
        reason
    }

    /// Counts a packet that arrived here and was dropped.
    pub(crate) fn count_drop(&mut self, reason: DropReason) {
        self.drops.count(reason);
    }

    /// The state for the record. `one_way_delay` is the whole path's.
    pub(crate) fn report(
        &self,
        one_way_delay: Duration,
        since: &FastCount,
        sent_since: u64,
    ) -> SideReport {
        let mut stats = self.stats.clone();
        stats.absorb(&since.passed);
        let mut drops = self.drops;
        drops.count_many(DropReason::Rate, since.over_rate);
        let codec = self.audio().and_then(|audio| audio.codec);
        SideReport {
            packets: stats.packets() + u64::from(self.fax_datagrams),
            bytes: stats.bytes(),
            lost: stats.lost(),
            loss: stats.loss(),
            duplicates: stats.duplicates(),
            reordered: stats.reordered(),
            jitter: stats.jitter(),
            mos: codec.and_then(|codec| stats.mos(codec, one_way_delay)),
            codec,
            ssrc_changes: stats.ssrc_changes(),
            suite: self.crypto.as_ref().map(|crypto| crypto.receive.suite()),
            sent_packets: u64::from(self.sent_packets) + sent_since,
            peer_reported: self.reported.unpack(),
            round_trip: self.round_trip(),
            latched: self.latch.holder().addr(),
            last_packet: self.last_heard().max(since.last_arrival()),
            drops,
            beside: self.beside,
        }
    }

    /// The rule by which packets of this side could go to `far` without us, if they are so regular.
    /// `own` are our addresses on this side and on the far one.
    pub(crate) fn fast_rule(&self, far: &SideState, own: [SocketAddr; 2]) -> Option<FastRule> {
        let sides = [self, far];
        let is_open = |side: &&SideState| {
            !side.is_secured()
                && side.flags.framing == Framing::Rtp
                && side.flags.direction == Direction::SendRecv
                && !side.latch.holder().is_none()
        };
        if !sides.iter().all(is_open) {
            return None;
        }
        let clock_rate = self.audio()?.clock_rate;
        let mut payload_types = 0_u128;
        for payload_type in self.payload_types.iter() {
            if payload_type.clock_rate != clock_rate {
                return None;
            }
            payload_types |= 1 << u32::from(payload_type.number);
        }
        let (interval, tolerance) = self.rate.limit();
        Some(FastRule {
            key: FastKey {
                local: own[0],
                remote: self.latch.holder().addr()?,
            },
            source: own[1],
            destination: far.latch.destination().addr()?,
            ssrc: self.stats.ssrc()?.raw(),
            payload_types,
            clock_rate,
            interval,
            tolerance,
            progress: self.stats.progress(),
        })
    }

    /// Whether packets of this side still are what `rule` takes them for.
    pub(crate) fn follows(&self, far: &SideState, rule: &FastRule) -> bool {
        self.latch.holder() == Endpoint::new(rule.key.remote)
            && far.latch.destination() == Endpoint::new(rule.destination)
            && self
                .stats
                .ssrc()
                .is_some_and(|ssrc| ssrc.raw() == rule.ssrc)
    }

    /// Takes over what was forwarded to `far` without us.
    pub(crate) fn absorb(&mut self, far: &mut SideState, since: &FastCount) {
        let passed = &since.passed;
        self.stats.absorb(passed);
        if let Some(at) = since.last_arrival() {
            self.heard(self.last_heard.max(at));
        }
        let sent = u32::try_from(passed.packets).unwrap_or(u32::MAX);
        far.sent_packets = far.sent_packets.saturating_add(sent);
        self.drops.count_many(DropReason::Rate, since.over_rate);
    }

    #[inline]
    fn admit(&self, now: Instant, from: Endpoint) -> Result<Claim, DropReason> {
        self.latch
            .admit(now, self.rules(), from, self.last_heard)
            .map_err(of_refusal)
    }

    #[inline]
    fn rules(&self) -> Rules {
        Rules {
            policy: self.flags.policy,
            known_host: self.known_host,
            secured: self.is_secured(),
        }
    }

    /// RTCP is believed from where RTP comes from, under the policy that asks for it.
    fn rtcp_rules(&self) -> Rules {
        let holder = self.latch.holder();
        let known_host = if holder.is_none() {
            self.known_host
        } else {
            holder.ip()
        };
        Rules {
            known_host,
            ..self.rules()
        }
    }

    #[cold]
    fn take_latch(
        &mut self,
        now: Instant,
        claim: Claim,
        from: Endpoint,
        header: Header,
    ) -> Result<(), DropReason> {
        let evidence = Evidence {
            authenticated: self.is_secured(),
            ssrc: header.ssrc.raw(),
            sequence: header.seq,
            previous: self
                .stats
                .ssrc()
                .zip(self.stats.highest_seq())
                .map(|(ssrc, highest)| (ssrc.raw(), highest as u16)),
        };
        self.latch
            .commit(now, claim, from, evidence)
            .map_err(of_refusal)?;
        self.rtcp_latch.forget();
        Ok(())
    }

    #[inline]
    const fn is_secured(&self) -> bool {
        self.crypto.is_some()
    }

    #[inline]
    fn heard(&mut self, now: Instant) {
        self.last_heard = now;
        self.flags.heard = true;
    }

    #[inline]
    fn count(&mut self, now: Instant, header: Header, payload_type: PayloadType, len: usize) {
        let Header {
            seq,
            timestamp,
            ssrc,
            ..
        } = header;
        self.stats
            .on_packet(now, seq, timestamp, payload_type.clock_rate, ssrc, len);
        if payload_type.codec.is_some() {
            self.flags.audio = payload_type.number;
        }
    }

    /// The payload type of the last audio packet.
    fn audio(&self) -> Option<PayloadType> {
        self.payload_types.find(self.flags.audio)
    }

    /// Whether RTCP of this sender may come from the peer: whoever speaks in the clear must know
    /// the source of the media, which a stranger has to guess.
    fn is_own_source(&self, sender: Option<Ssrc>) -> bool {
        self.is_secured() || self.stats.ssrc().is_none_or(|ssrc| sender == Some(ssrc))
    }

    fn read_reports(&mut self, now: Instant, compound: &Compound<'_>, across: &Across) {
        for block in compound.packets().flat_map(|packet| packet.report_blocks()) {
            if Some(block.ssrc) != across.ssrc {
                continue;
            }
            self.round_trip.on_report_block(now, &block);
            let jitter_us = u64::from(block.jitter) * 1_000_000;
            let jitter_us = jitter_us
                .checked_div(u64::from(across.clock_rate))
                .unwrap_or(0);
            self.reported = Reported {
                lost: block.cumulative_lost,
                jitter_us: u32::try_from(jitter_us).unwrap_or(u32::MAX),
                fraction_lost: block.fraction_lost,
                is_there: true,
            };
        }
    }

    /// Checks everything before it changes anything.
    fn take_keys(&mut self, now: Instant, security: Security) -> Result<(), ConfigureError> {
        match (security, &mut self.crypto) {
            (Security::Plain, crypto) => *crypto = None,
            (
                Security::Srtp {
                    receive: Keying::Keep,
                    send: Keying::Keep,
                },
                Some(_),
            ) => {}
            (
                Security::Srtp {
                    receive: Keying::New(receive),
                    send: Keying::New(send),
                },
                Some(crypto),
            ) => {
                crypto.change_receive(now, receive);
                crypto.send = send;
            }
            (
                Security::Srtp {
                    receive: Keying::New(receive),
                    send: Keying::New(send),
                },
                crypto,
            ) => {
                *crypto = Some(Box::new(Crypto::new(receive, send)));
            }
            (
                Security::Srtp {
                    receive: Keying::New(new),
                    send: Keying::Keep,
                },
                Some(crypto),
            ) => {
                crypto.change_receive(now, new);
            }
            (
                Security::Srtp {
                    receive: Keying::Keep,
                    send: Keying::New(new),
                },
                Some(crypto),
            ) => {
                crypto.send = new;
            }
            (Security::Srtp { .. }, None) => return Err(ConfigureError::NoKeyToKeep),
        }
        Ok(())
    }

    /// The name this stream has in RTCP on the side across: random, the same for its lifetime
    /// (RFC 7022 §4.2).
    fn cname(&self) -> [u8; 16] {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        std::array::from_fn(|digit| DIGITS[(self.name >> (digit * 4) & 0xf) as usize])
    }
}

impl Reported {
    fn unpack(self) -> Option<PeerReport> {
        self.is_there.then(|| PeerReport {
            lost: self.lost,
            recent_loss: f32::from(self.fraction_lost) / 256.0,
            jitter: Duration::from_micros(u64::from(self.jitter_us)),
        })
    }
}

/// Whether `remote` is one of the two ports at `own`.
fn names_port_of(own: Endpoint, remote: Endpoint) -> bool {
    !remote.is_none() && (remote == own || remote == own.next_port())
}

fn sender_info(packet: &[u8]) -> Option<rtcp::SenderInfo> {
    let compound = Compound::parse_reduced_size(packet).ok()?;
    compound.packets().find_map(|packet| match packet {
        Packet::SenderReport(info, ..) => Some(info),
        _ => None,
    })
}

fn of_refusal(refusal: Refusal) -> DropReason {
    match refusal {
        Refusal::Foreign => DropReason::ForeignSource,
        Refusal::Probation => DropReason::Probation,
    }
}

fn of_unprotect(error: SrtpError) -> DropReason {
    match error {
        SrtpError::BufferTooSmall => DropReason::Size,
        SrtpError::Malformed | SrtpError::TooShort => DropReason::Malformed,
        SrtpError::KeyExhausted | SrtpError::Replayed => DropReason::Replayed,
        SrtpError::AuthFailed
        | SrtpError::Cipher
        | SrtpError::MkiMismatch
        | SrtpError::Unencrypted => DropReason::AuthenticationFailed,
    }
}
