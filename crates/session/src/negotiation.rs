//! The media of a call: offers and answers (RFC 3264) carried across the fence.
//!
//! An offer of one side is rewritten for the other: our address and port, our origin, the
//! profile and keys (RFC 4568) that the far peer's policy wants. The answer goes the other way,
//! and both sides of each media stream are set to what was agreed. It does not matter which
//! message carries which: INVITE and 200, or 200 and ACK, or a re-INVITE.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ringfence_base::{Entropy, Instant, ListenerId};
use ringfence_detect::media::Heard;
use ringfence_dialog::Owner;
use ringfence_media::{
    DropReason, Framing, Keying, LatchPolicy, PayloadType, PayloadTypes, Plane, RateLimit,
    Security, SideConfig, StreamId, Tone, ToneRules,
};
use ringfence_rtp::quality;
use ringfence_rtp::srtp::{Context, MasterKey, Suite};
use ringfence_sdp::{
    Codec, Crypto, Direction, Forbidden, Hide, Media, MediaKind, Proto, SessionDescription, hide,
    offer_answer,
};
use smallvec::SmallVec;

use crate::call::Side;
use crate::carriage::{FAX_RATE, STREAMS_MAX, carriage};
use crate::cdr::MediaRecord;
use crate::codecs;
use crate::dtmf;
use crate::plan::{MediaPolicy, Peer};
use crate::refusal::RefusalReason;

mod answered_here;

pub(crate) use answered_here::AnsweredHere;

/// The media side of a call.
#[derive(Debug, Default)]
pub(crate) struct Negotiation {
    lines: SmallVec<[Line; 1]>,
    /// What our descriptions towards each side are called in their `o=` lines.
    origins: [OurOrigin; 2],
    pending: Option<Box<Pending>>,
    /// The callee's peer refused SRTP, and may be called without it.
    srtp_refused: bool,
    /// The caller was answered by the edge: what the callee is offered is as open as in a new call.
    callee_is_open: bool,
    /// The last description of each side, as it came.
    last: [Option<Box<[u8]>>; 2],
    /// The last description that each side was given.
    sent: [Option<Box<[u8]>>; 2],
}

/// An offer that waits while another one is exchanged.
#[derive(Debug)]
pub(crate) struct SavedOffer(Option<Box<Pending>>);

#[derive(Clone, Copy, Debug, Default)]
struct OurOrigin {
    session_id: u64,
    version: u64,
}

/// One m-line that is relayed, or was refused.
#[derive(Debug, Default)]
struct Line {
    stream: Option<StreamId>,
    /// Per side.
    keys: [Option<Box<Keys>>; 2],
    /// First codec of the last answer.
    codec: Option<Box<str>>,
    /// Both sides send and receive.
    two_way: bool,
}

/// The SRTP keys in force on one side.
#[derive(Debug)]
struct Keys {
    suite: Suite,
    ours: MasterKey,
    peers: MasterKey,
}

/// An offer that has no final answer.
#[derive(Debug)]
struct Pending {
    from: Side,
    /// As it came.
    offer: SessionDescription,
    /// As we sent it on.
    sent: SessionDescription,
    lines: SmallVec<[OfferedLine; 1]>,
    /// The last answer that went to the offerer.
    answered: Option<Vec<u8>>,
}

#[derive(Debug, Default)]
struct OfferedLine {
    /// The offerer's key that we chose, and the tag of its line.
    chosen: Option<(u32, Suite, MasterKey)>,
    /// Our key towards the offerer, for the answer.
    reply: Option<MasterKey>,
    /// The keys that we offered to the other side; the tag is the position plus one.
    offered: SmallVec<[(Suite, MasterKey); 4]>,
}

/// What the machine needs from its surroundings.
pub(crate) struct Surroundings<'a> {
    pub(crate) now: Instant,
    /// What the call is known by to the media plane.
    pub(crate) owner: Owner,
    pub(crate) plane: &'a mut Plane,
    pub(crate) entropy: &'a mut dyn Entropy,
    /// Per side.
    pub(crate) sides: [SideFacts<'a>; 2],
}

/// What is to be known about one side.
#[derive(Clone, Copy)]
pub(crate) struct SideFacts<'a> {
    pub(crate) peer: &'a Peer,
    pub(crate) listener: ListenerId,
    /// Our address in descriptions.
    pub(crate) media_address: IpAddr,
    /// Where the peer's signalling comes from.
    pub(crate) signalling_host: IpAddr,
    /// Whether its signalling is encrypted.
    pub(crate) secure_signalling: bool,
}

/// Why media cannot be bridged, and the SIP status that says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MediaRefusal {
    pub(crate) reason: RefusalReason,
    pub(crate) status: u16,
}

pub(crate) const NOT_ACCEPTABLE: MediaRefusal = MediaRefusal {
    reason: RefusalReason::Media,
    status: 488,
};
const MALFORMED: MediaRefusal = MediaRefusal {
    reason: RefusalReason::Malformed,
    status: 400,
};

impl Negotiation {
    /// Takes an offer of `from`; returns the offer for the other side.
    pub(crate) fn offer(
        &mut self,
        around: &mut Surroundings<'_>,
        from: Side,
        body: &[u8],
    ) -> Result<Vec<u8>, MediaRefusal> {
        let offer = SessionDescription::parse(body).map_err(|_| MALFORMED)?;
        let to = from.other();
        let mut sent = self.hidden(around, &offer, to);
        let mut lines = SmallVec::new();
        for (index, media) in offer.media.iter().enumerate() {
            let Some(out) = sent.media.get_mut(index) else {
                return Err(MALFORMED);
            };
            if self.lines.len() <= index {
                self.lines.push(Line::default());
            }
            let line = self.offer_line(around, from, index, media, out)?;
            lines.push(line.unwrap_or_else(|| {
                out.reject();
                OfferedLine::default()
            }));
        }
        if sent.active_media().next().is_none() && offer.active_media().next().is_some() {
            self.close_unused(around.plane);
            return Err(NOT_ACCEPTABLE);
        }
        let bytes = sent.to_bytes();
        self.last[from.index()] = Some(body.into());
        self.sent[to.index()] = Some(bytes.as_slice().into());
        self.pending = Some(Box::new(Pending {
            from,
            offer,
            sent,
            lines,
            answered: None,
        }));
        Ok(bytes)
    }

    /// Takes an answer to the pending offer; returns the answer for the offerer. May be called
    /// again (183, then 200) until [`Negotiation::settle`].
    pub(crate) fn answer(
        &mut self,
        around: &mut Surroundings<'_>,
        body: &[u8],
    ) -> Result<Vec<u8>, MediaRefusal> {
        let mut answer = SessionDescription::parse(body).map_err(|_| MALFORMED)?;
        let mut pending = self.pending.take().ok_or(NOT_ACCEPTABLE)?;
        offer_answer::mend_answer(&pending.sent, &mut answer);
        let result = self.answer_pending(around, &pending, &answer);
        pending.answered = result.as_ref().ok().cloned();
        if let Ok(bytes) = &result {
            let from = pending.from;
            self.last[from.other().index()] = Some(body.into());
            self.sent[from.index()] = Some(bytes.as_slice().into());
        }
        self.pending = Some(pending);
        result
    }

    /// The answer that a 183 carried, for a 200 that says nothing more.
    pub(crate) fn last_answer(&self) -> Option<Vec<u8>> {
        self.pending.as_ref()?.answered.clone()
    }

    /// Answers the pending offer with what `of` said last.
    pub(crate) fn answer_again(
        &mut self,
        around: &mut Surroundings<'_>,
        of: Side,
    ) -> Result<Vec<u8>, MediaRefusal> {
        let body = self.last[of.index()].clone().ok_or(NOT_ACCEPTABLE)?;
        self.answer(around, &body)
    }

    /// What `side` said last, for somebody else to hear: whoever was on hold no longer is.
    pub(crate) fn transferable(&self, side: Side) -> Option<Vec<u8>> {
        let last = self.last[side.index()].as_deref()?;
        let mut description = SessionDescription::parse(last).ok()?;
        for media in &mut description.media {
            if !media.is_rejected() {
                media.set_direction(Direction::SendRecv);
            }
        }
        Some(description.to_bytes())
    }

    /// `side`'s leg came from another call, where it said this last.
    pub(crate) fn remember(&mut self, side: Side, description: &[u8]) {
        self.last[side.index()] = Some(description.into());
    }

    /// The description that `side` was given last.
    pub(crate) fn last_sent(&self, side: Side) -> Option<&[u8]> {
        self.sent[side.index()].as_deref()
    }

    /// The callee's peer refused the pending offer. Whether that offer had SRTP that this peer may
    /// do without; if so, the next offer to it goes in the clear. Once only, and never when the
    /// caller has had an answer already.
    pub(crate) fn fall_back(&mut self, callee: &Peer) -> bool {
        let offered = self.pending.as_ref().is_some_and(|pending| {
            let secure = pending.lines.iter().any(|line| !line.offered.is_empty());
            pending.from == Side::A && pending.answered.is_none() && secure
        });
        let may = callee.media == MediaPolicy::Either && !self.srtp_refused;
        self.srtp_refused |= offered && may;
        offered && may
    }

    /// Lays the pending offer aside for another exchange.
    pub(crate) fn save_offer(&mut self) -> SavedOffer {
        SavedOffer(self.pending.take())
    }

    /// The other exchange is over.
    pub(crate) fn restore_offer(&mut self, saved: SavedOffer, plane: &mut Plane) {
        self.pending = saved.0;
        if self.pending.is_none() {
            self.close_unused(plane);
        }
    }

    /// An answer for the pending offer's side that refuses every stream of it (RFC 3264 §6).
    pub(crate) fn refuse_offer(&mut self, around: &mut Surroundings<'_>) -> Option<Vec<u8>> {
        let pending = self.pending.take()?;
        let mut answer = self.hidden(around, &pending.offer, pending.from);
        for media in &mut answer.media {
            media.reject();
        }
        Some(answer.to_bytes())
    }

    /// The pending offer was refused: all is as it was before it (RFC 6141 §3.3).
    pub(crate) fn abandon(&mut self, plane: &mut Plane) {
        self.pending = None;
        self.close_unused(plane);
    }

    /// Forgets the pending offer: it was answered for good, or refused.
    pub(crate) fn settle(&mut self) {
        self.pending = None;
        self.callee_is_open = false;
    }

    /// Whether any stream is meant to carry sound both ways, so that silence means something.
    pub(crate) fn expects_media(&self) -> bool {
        self.lines
            .iter()
            .any(|line| line.stream.is_some() && line.two_way)
    }

    /// Sends a digit that came by INFO on as events or tones, if a stream takes it.
    pub(crate) fn send_tone(&self, now: Instant, plane: &mut Plane, tone: Tone) -> bool {
        self.streams()
            .any(|stream| plane.send_tone(now, stream, tone))
    }

    /// When anything was last heard, on any stream, from either side.
    pub(crate) fn last_heard(&self, plane: &Plane) -> Option<Instant> {
        self.streams()
            .flat_map(|stream| Side::BOTH.map(|side| plane.last_packet(stream, side.media_side())))
            .flatten()
            .max()
    }

    /// The media of one leg so far.
    pub(crate) fn record(&self, plane: &Plane, side: Side) -> Option<MediaRecord> {
        let line = self.lines.iter().find(|line| line.stream.is_some())?;
        let report = plane.stats(line.stream?)?;
        let here = match side {
            Side::A => &report.a,
            Side::B => &report.b,
        };
        Some(MediaRecord {
            codec: line.codec.as_deref().unwrap_or_default().to_owned(),
            srtp: line.keys[side.index()]
                .as_ref()
                .map(|keys| keys.suite.name().to_owned()),
            srtp_refused: self.srtp_refused && side == Side::B,
            packets_received: here.packets,
            packets_sent: here.sent_packets,
            packets_lost: here.lost,
            packets_refused: here.drops.total(),
            jitter_us: u32::try_from(here.jitter.as_micros()).unwrap_or(u32::MAX),
            mos: here.mos,
        })
    }

    /// What came to the ports of both legs of each stream, for detection.
    pub(crate) fn heard(&self, plane: &Plane) -> impl Iterator<Item = [Heard; 2]> {
        let reports = self.streams().filter_map(|stream| plane.stats(stream));
        reports.map(|report| {
            [&report.a, &report.b].map(|side| Heard {
                own: side.packets,
                beside: side.beside,
                source_changes: side.ssrc_changes,
                other_types: side.drops.of(DropReason::PayloadType),
                too_fast: side.drops.of(DropReason::Rate),
                forged: side.drops.of(DropReason::AuthenticationFailed),
            })
        })
    }

    /// Whether an offer asks for RTP in the clear on a leg that has keys in force.
    pub(crate) fn drops_encryption(&self, from: Side, offer: &[u8]) -> bool {
        let keyed = |line: &Line| line.keys[from.index()].is_some();
        let offer = SessionDescription::parse(offer);
        self.lines.iter().any(keyed)
            && offer.is_ok_and(|offer| {
                let mut protos = offer.active_media().map(|(_, media)| &media.proto);
                protos.any(|proto| proto.is_rtp() && !proto.is_secure())
            })
    }

    /// Our media addresses on one leg, of RTP.
    pub(crate) fn local_addrs(&self, plane: &Plane, side: Side) -> Vec<SocketAddr> {
        let local = |stream| plane.local_addr(stream, side.media_side());
        self.streams().filter_map(local).collect()
    }

    /// Closes all streams.
    pub(crate) fn close(&mut self, plane: &mut Plane) {
        for line in self.lines.drain(..) {
            if let Some(stream) = line.stream {
                plane.close_stream(stream);
            }
        }
        self.pending = None;
    }

    /// Forgets all that was said, and closes the streams: the offer goes to somebody else.
    pub(crate) fn restart(&mut self, plane: &mut Plane) {
        self.close(plane);
        self.origins = Default::default();
        self.srtp_refused = false;
    }

    fn streams(&self) -> impl Iterator<Item = StreamId> + '_ {
        self.lines.iter().filter_map(|line| line.stream)
    }

    /// A refused first offer leaves no stream behind; a refused later one leaves all as it was.
    fn close_unused(&mut self, plane: &mut Plane) {
        for line in &mut self.lines {
            if line.codec.is_none()
                && let Some(stream) = line.stream.take()
            {
                plane.close_stream(stream);
            }
        }
    }

    /// `description` without a trace of its side, as ours towards `to`.
    fn hidden(
        &mut self,
        around: &mut Surroundings<'_>,
        description: &SessionDescription,
        to: Side,
    ) -> SessionDescription {
        let origin = &mut self.origins[to.index()];
        if origin.session_id == 0 {
            // 63 bits, so that every peer can read it as a signed number.
            origin.session_id = around.entropy.next_u64() >> 1;
        }
        origin.version += 1;
        let other = &around.sides[to.other().index()];
        let mut copy = description.clone();
        let forbidden = [other.signalling_host, other.media_address].map(Forbidden::Address);
        let hidden = Hide {
            address: around.sides[to.index()].media_address,
            session_id: origin.session_id,
            version: origin.version,
            forbidden: &forbidden,
        };
        hide::hide(&mut copy, &hidden);
        copy
    }

    /// Prepares one m-line of an offer. `None`: it cannot be relayed and goes on as refused.
    fn offer_line(
        &mut self,
        around: &mut Surroundings<'_>,
        from: Side,
        index: usize,
        media: &Media,
        out: &mut Media,
    ) -> Result<Option<OfferedLine>, MediaRefusal> {
        let to = from.other();
        let (here, there) = (around.sides[from.index()], around.sides[to.index()]);
        let mut offered = OfferedLine::default();
        let framing = match carriage(media, [here.peer, there.peer]) {
            Some(framing) if !media.is_rejected() => framing,
            _ => return Ok(None),
        };
        if framing == Framing::Udptl {
            if Side::BOTH
                .iter()
                .any(|side| !self.may_be_plain(around, *side))
            {
                return Ok(None);
            }
            let Some(stream) = self.stream_of(around, index)? else {
                return Ok(None);
            };
            point_to_us(around, out, stream, to);
            return Ok(Some(offered));
        }
        match (media.proto.is_secure(), here.peer.media) {
            (true, MediaPolicy::Rtp) | (false, MediaPolicy::Srtp) => return Ok(None),
            (true, _) => {
                let Some(chosen) = choose_crypto(media, here.peer) else {
                    return Ok(None);
                };
                offered.reply = Some(self.our_key(around, from, index, chosen.1));
                offered.chosen = Some(chosen);
            }
            (false, _) => {}
        }
        if !codecs::filter(out, &here.peer.policy.codecs, &there.peer.policy.codecs) {
            return Ok(None);
        }
        if let Some(ways) = dtmf::conversion(around.peers()) {
            dtmf::shape_offer(ways[to.index()], out);
        }
        let Some(stream) = self.stream_of(around, index)? else {
            return Ok(None);
        };
        let secure = match there.peer.media {
            MediaPolicy::Srtp => true,
            MediaPolicy::Rtp => false,
            MediaPolicy::Either => {
                let line = &self.lines[index];
                match (&line.keys[to.index()], &line.codec) {
                    (Some(_), _) => true,
                    // A stream that was agreed on as it is stays so.
                    (None, Some(_)) if !self.callee_is_open => false,
                    (None, _) => there.secure_signalling && !self.srtp_refused,
                }
            }
        };
        point_to_us(around, out, stream, to);
        out.proto = media.proto.with_security(secure);
        if secure {
            offered.offered = self.offered_keys(around, to, index);
            let lines: SmallVec<[Crypto; 4]> = offered
                .offered
                .iter()
                .enumerate()
                .map(|(place, (suite, key))| {
                    Crypto::new(place as u32 + 1, suite.name(), bare(&key.to_inline()))
                })
                .collect();
            out.set_crypto(&lines);
        }
        Ok(Some(offered))
    }

    /// The stream of an m-line, opened if there is none. `None`: there is no room for one more
    /// beside those that there are.
    fn stream_of(
        &mut self,
        around: &mut Surroundings<'_>,
        index: usize,
    ) -> Result<Option<StreamId>, MediaRefusal> {
        if let Some(stream) = self.lines[index].stream {
            return Ok(Some(stream));
        }
        let others = self.streams().count();
        if others >= STREAMS_MAX {
            return Ok(None);
        }
        let (a, b) = (around.sides[0].listener, around.sides[1].listener);
        match around.plane.open_stream(around.now, a, b) {
            Ok(stream) => {
                self.lines[index].stream = Some(stream);
                Ok(Some(stream))
            }
            Err(_) if others > 0 => Ok(None),
            Err(_) => Err(MediaRefusal {
                reason: RefusalReason::MediaPorts,
                status: 503,
            }),
        }
    }

    /// Whether something that cannot be encrypted may pass on a side: not where the sound is, or is
    /// to be.
    fn may_be_plain(&self, around: &Surroundings<'_>, side: Side) -> bool {
        let facts = &around.sides[side.index()];
        let secured = self
            .lines
            .iter()
            .any(|line| line.keys[side.index()].is_some());
        let agreed = self.lines.iter().any(|line| line.codec.is_some());
        match facts.peer.media {
            MediaPolicy::Rtp => true,
            MediaPolicy::Srtp => false,
            MediaPolicy::Either => !secured && (agreed || !facts.secure_signalling),
        }
    }

    /// The keys that we offer to `to`: the one in force, or one for each suite of its policy.
    fn offered_keys(
        &self,
        around: &mut Surroundings<'_>,
        to: Side,
        index: usize,
    ) -> SmallVec<[(Suite, MasterKey); 4]> {
        if let Some(keys) = &self.lines[index].keys[to.index()] {
            return SmallVec::from_iter([(keys.suite, keys.ours.clone())]);
        }
        let suites = &around.sides[to.index()].peer.suites;
        suites
            .iter()
            .take(4)
            .map(|&suite| (suite, MasterKey::generate(suite, around.entropy)))
            .collect()
    }

    /// Our key towards `side` under `suite`: the one in force if the suite is the same, so that
    /// no key stream is ever used twice.
    fn our_key(
        &self,
        around: &mut Surroundings<'_>,
        side: Side,
        index: usize,
        suite: Suite,
    ) -> MasterKey {
        match &self.lines[index].keys[side.index()] {
            Some(keys) if keys.suite == suite => keys.ours.clone(),
            _ => MasterKey::generate(suite, around.entropy),
        }
    }

    fn answer_pending(
        &mut self,
        around: &mut Surroundings<'_>,
        pending: &Pending,
        answer: &SessionDescription,
    ) -> Result<Vec<u8>, MediaRefusal> {
        offer_answer::check_answer(&pending.sent, answer).map_err(|_| NOT_ACCEPTABLE)?;
        let (from, to) = (pending.from, pending.from.other());
        let mut out = self.hidden(around, answer, from);
        // First everything is checked, then everything is changed.
        let mut agreed: SmallVec<[Agreed; 1]> = SmallVec::new();
        for (index, media) in answer.media.iter().enumerate() {
            let (Some(out_media), Some(offered)) =
                (out.media.get_mut(index), pending.lines.get(index))
            else {
                return Err(NOT_ACCEPTABLE);
            };
            let (Some(offer_media), Some(sent_media)) = (
                pending.offer.media.get(index),
                pending.sent.media.get(index),
            ) else {
                return Err(NOT_ACCEPTABLE);
            };
            out_media.proto = offer_media.proto.clone();
            if media.is_rejected() || sent_media.is_rejected() {
                out_media.reject();
                continue;
            }
            let stream = self.lines.get(index).and_then(|line| line.stream);
            let stream = stream.ok_or(NOT_ACCEPTABLE)?;
            let far = answered_keys(media, offered)?;
            let near = offered
                .chosen
                .as_ref()
                .zip(offered.reply.as_ref())
                .map(|((_, suite, peers), ours)| (*suite, ours.clone(), peers.clone()));
            point_to_us(around, out_media, stream, from);
            if let (Some((tag, suite, _)), Some(reply)) = (&offered.chosen, &offered.reply) {
                out_media.set_crypto(&[Crypto::new(*tag, suite.name(), bare(&reply.to_inline()))]);
            }
            let tones = dtmf::conversion(around.peers()).and_then(|ways| {
                let offers = (offer_media, sent_media);
                dtmf::shape_answer((ways, from), offers, media, out_media, around.owner)
            });
            // What the offerer may send is what it is told.
            let accepted = if tones.is_some() { &*out_media } else { media };
            let near_direction = pending.offer.direction(offer_media);
            let far_direction = answer.direction(media);
            let near_side = described(&pending.offer, offer_media, near_direction, accepted);
            let far_side = described(answer, media, far_direction, sent_media);
            agreed.push(Agreed {
                index,
                stream,
                codec: codec_name(media),
                tones,
                two_way: far_direction == Direction::SendRecv,
                sides: [(from, near_side, near), (to, far_side, far)],
            });
        }
        for (index, line) in self.lines.iter_mut().enumerate() {
            if agreed.iter().all(|agreed| agreed.index != index)
                && let Some(stream) = std::mem::take(line).stream
            {
                around.plane.close_stream(stream);
            }
        }
        for agreed in agreed {
            self.agree(around, agreed)?;
        }
        Ok(out.to_bytes())
    }

    /// Sets both sides of a stream to what was agreed on.
    fn agree(&mut self, around: &mut Surroundings<'_>, agreed: Agreed) -> Result<(), MediaRefusal> {
        let line = self.lines.get_mut(agreed.index).ok_or(NOT_ACCEPTABLE)?;
        line.codec = Some(agreed.codec);
        line.two_way = agreed.two_way;
        for (side, described, keys) in agreed.sides {
            let security = rekey(&mut line.keys[side.index()], keys)?;
            let facts = &around.sides[side.index()];
            let latch = match facts.peer.symmetric_media {
                true => LatchPolicy::Symmetric,
                false => LatchPolicy::SameAddress,
            };
            let config = SideConfig {
                signalling_host: Some(facts.signalling_host),
                latch,
                security,
                ..described
            };
            around
                .plane
                .configure_side(around.now, agreed.stream, side.media_side(), config)
                .map_err(|_| NOT_ACCEPTABLE)?;
        }
        around.plane.set_tones(agreed.stream, agreed.tones);
        Ok(())
    }
}

impl Surroundings<'_> {
    fn peers(&self) -> [&Peer; 2] {
        self.sides.map(|side| side.peer)
    }
}

/// An m-line that both sides agreed on.
struct Agreed {
    index: usize,
    stream: StreamId,
    codec: Box<str>,
    tones: Option<ToneRules>,
    two_way: bool,
    sides: [(Side, SideConfig, AgreedKeys); 2],
}

/// Suite, our key, the peer's key.
type AgreedKeys = Option<(Suite, MasterKey, MasterKey)>;

/// The offerer's first acceptable crypto line, in our order of preference for this peer.
fn choose_crypto(media: &Media, peer: &Peer) -> Option<(u32, Suite, MasterKey)> {
    let offered: SmallVec<[Crypto; 4]> = media.crypto().flatten().take(8).collect();
    peer.suites.iter().find_map(|&suite| {
        offered.iter().find_map(|crypto| {
            (Suite::parse(crypto.suite.as_bytes()) == Some(suite) && crypto.is_acceptable())
                .then(|| Some((crypto.tag, suite, one_key(suite, crypto)?)))?
        })
    })
}

/// The key of the answer, under one of the suites that we offered.
fn answered_keys(media: &Media, offered: &OfferedLine) -> Result<AgreedKeys, MediaRefusal> {
    if offered.offered.is_empty() {
        return Ok(None);
    }
    let crypto = media.crypto().flatten().next().ok_or(NOT_ACCEPTABLE)?;
    let place = (crypto.tag as usize).checked_sub(1).ok_or(NOT_ACCEPTABLE)?;
    let (suite, ours) = offered.offered.get(place).ok_or(NOT_ACCEPTABLE)?;
    if Suite::parse(crypto.suite.as_bytes()) != Some(*suite) || !crypto.is_acceptable() {
        return Err(NOT_ACCEPTABLE);
    }
    let peers = one_key(*suite, &crypto).ok_or(NOT_ACCEPTABLE)?;
    Ok(Some((*suite, ours.clone(), peers)))
}

fn one_key(suite: Suite, crypto: &Crypto) -> Option<MasterKey> {
    let mut keys = crypto.inline_keys();
    let key = MasterKey::from_inline(suite, keys.next()?.as_bytes()).ok()?;
    // Several keys need an MKI to tell them apart, which carriers forbid.
    keys.next().is_none().then_some(key)
}

/// Notes the keys of a side and says what changed for the media plane.
fn rekey(current: &mut Option<Box<Keys>>, agreed: AgreedKeys) -> Result<Security, MediaRefusal> {
    let Some((suite, ours, peers)) = agreed else {
        *current = None;
        return Ok(Security::Plain);
    };
    let before = current.as_ref().filter(|keys| keys.suite == suite);
    let keying = |same: bool, key: &MasterKey| match same {
        true => Ok(Keying::Keep),
        false => Context::new(suite, key)
            .map(Keying::new)
            .map_err(|_| NOT_ACCEPTABLE),
    };
    let receive = keying(
        before.is_some_and(|keys| same_key(&keys.peers, &peers)),
        &peers,
    )?;
    let send = keying(
        before.is_some_and(|keys| same_key(&keys.ours, &ours)),
        &ours,
    )?;
    *current = Some(Box::new(Keys { suite, ours, peers }));
    Ok(Security::Srtp { receive, send })
}

/// The key without the method's name, which the attribute writes itself.
fn bare(inline: &str) -> &str {
    inline.strip_prefix("inline:").unwrap_or(inline)
}

fn same_key(one: &MasterKey, other: &MasterKey) -> bool {
    *one.to_inline() == *other.to_inline()
}

/// Our address and port in an m-line towards `side`. RTCP is always at the next port.
fn point_to_us(around: &Surroundings<'_>, media: &mut Media, stream: StreamId, side: Side) {
    if let Some(address) = around.plane.local_addr(stream, side.media_side()) {
        media.port = address.port();
    }
    media.connection = None;
    media.set_rtcp_mux(false);
}

/// What a description says about its own side. `accepted` is the other side's description, whose
/// formats are what it may send.
fn described(
    description: &SessionDescription,
    media: &Media,
    direction: Direction,
    accepted: &Media,
) -> SideConfig {
    SideConfig {
        remote: description.rtp_address(media),
        // We never agree to RTCP on the RTP port, so what the description says for that case
        // does not count.
        remote_rtcp: (!media.rtcp_mux())
            .then(|| description.rtcp_address(media))
            .flatten(),
        direction: match direction {
            Direction::SendRecv => ringfence_media::Direction::SendRecv,
            Direction::SendOnly => ringfence_media::Direction::SendOnly,
            Direction::RecvOnly => ringfence_media::Direction::RecvOnly,
            Direction::Inactive => ringfence_media::Direction::Inactive,
        },
        payload_types: payload_types(accepted),
        framing: match media.proto {
            Proto::Udptl => Framing::Udptl,
            _ => Framing::Rtp,
        },
        rate: match media.kind {
            _ if media.proto == Proto::Udptl => RateLimit::per_second(FAX_RATE, FAX_RATE),
            MediaKind::Audio => {
                let packet_time = accepted.ptime().map(|ms| Duration::from_millis(ms.into()));
                RateLimit::for_packet_time(packet_time)
            }
            // A key frame is a burst of packets.
            _ => RateLimit::per_second(5_000, 5_000),
        },
        ..SideConfig::default()
    }
}

/// What may be sent to whoever wrote `media`.
fn payload_types(media: &Media) -> PayloadTypes {
    let mut list = PayloadTypes::default();
    for codec in media.codecs() {
        let signal = ["telephone-event", "CN"]
            .into_iter()
            .any(|name| codec.is(name));
        // A list that is too long, or a number that RTP does not have, ends here: what is not on
        // the list is not relayed.
        let _ = list.push(PayloadType {
            number: codec.payload_type,
            clock_rate: codec.clock_rate,
            codec: (!signal).then(|| quality_codec(&codec)),
        });
    }
    list
}

fn quality_codec(codec: &Codec<'_>) -> quality::Codec {
    quality::Codec::from_encoding_name(codec.encoding.as_bytes())
}

fn codec_name(media: &Media) -> Box<str> {
    if media.proto == Proto::Udptl {
        return "T38".into();
    }
    media
        .codecs()
        .next()
        .map(|codec| codec.encoding.to_ascii_uppercase())
        .unwrap_or_else(|| "?".to_owned())
        .into_boxed_str()
}
