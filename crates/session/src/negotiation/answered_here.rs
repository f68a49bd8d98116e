//! A caller whom the edge answers itself, before anybody is called: with G.711 and telephone events
//! (RFC 4733), under the keys and at the ports that it keeps for the rest of the call.
//!
//! The callee is offered just what the caller agreed to, later. If it agrees to the same, the caller need
//! not be told anything.

use ringfence_media::StreamId;
use ringfence_media::voice::{Attend, Law};
use ringfence_sdp::{Attribute, Direction, Media, MediaKind, Origin, SessionDescription};

use super::{Crypto, Negotiation, Pending, Surroundings, bare, described, point_to_us, rekey};
use crate::call::Side;
use crate::dtmf::{self, Dtmf};
use ringfence_media::{Framing, LatchPolicy, SideConfig};

/// The answer to a caller, and what follows from it.
pub(crate) struct AnsweredHere {
    /// The answer.
    pub(crate) body: Vec<u8>,
    /// What the callee is to be offered.
    pub(crate) offer: Vec<u8>,
    pub(crate) stream: StreamId,
    /// How the caller is attended.
    pub(crate) attend: Attend,
}

/// What of an offer can be answered here.
struct Voice {
    /// Place of the m-line.
    index: usize,
    /// Payload type of G.711.
    audio: u8,
    law: Law,
    events: Option<u8>,
}

impl Negotiation {
    /// Answers the caller's pending offer. `None`: there is no G.711 in it that both sides may
    /// have, or it is on hold; the offer stays pending.
    pub(crate) fn answer_here(
        &mut self,
        around: &mut Surroundings<'_>,
        owner: u64,
    ) -> Option<AnsweredHere> {
        // Events that the callee knows otherwise are the caller's all the same.
        let converted =
            dtmf::conversion(around.peers()).is_some_and(|ways| ways[0] == Dtmf::Rfc4733);
        let voice = find_voice(self.pending.as_deref()?, converted)?;
        let stream = self.lines.get(voice.index)?.stream?;
        let pending = self.pending.take()?;
        let answered = self.answer_voice(around, &pending, &voice, stream, owner);
        if answered.is_none() {
            self.pending = Some(pending);
        }
        answered
    }

    fn answer_voice(
        &mut self,
        around: &mut Surroundings<'_>,
        pending: &Pending,
        voice: &Voice,
        stream: StreamId,
        owner: u64,
    ) -> Option<AnsweredHere> {
        let offered = pending.lines.get(voice.index)?;
        let keep = |format: &[u8]| {
            let number = std::str::from_utf8(format)
                .ok()
                .and_then(|it| it.parse().ok());
            number.is_some() && (number == Some(voice.audio) || number == voice.events)
        };
        let mut out = self.our_own(around, Side::A);
        let mut offer = pending.offer.clone();
        for (index, media) in offer.media.iter_mut().enumerate() {
            let formats = media
                .formats()
                .map(String::from_utf8_lossy)
                .collect::<Vec<_>>();
            let kind = media.kind.clone();
            if index != voice.index {
                let mut refused = Media::new(
                    kind,
                    0,
                    media.proto.clone(),
                    formats.iter().map(AsRef::as_ref).take(1),
                );
                refused.reject();
                out.media.push(refused);
                media.reject();
                continue;
            }
            media.retain_formats(keep);
            out.media
                .push(self.our_voice(around, pending, voice, stream)?);
        }
        let answer_line = out.media.get(voice.index)?;
        let offer_line = pending.offer.media.get(voice.index)?;
        let near = offered
            .chosen
            .as_ref()
            .zip(offered.reply.as_ref())
            .map(|((_, suite, peers), ours)| (*suite, ours.clone(), peers.clone()));
        let line = self.lines.get_mut(voice.index)?;
        let facts = &around.sides[Side::A.index()];
        let config = SideConfig {
            signalling_host: Some(facts.signalling_host),
            latch: match facts.peer.symmetric_media {
                true => LatchPolicy::Symmetric,
                false => LatchPolicy::SameAddress,
            },
            security: rekey(&mut line.keys[Side::A.index()], near).ok()?,
            ..described(&pending.offer, offer_line, Direction::SendRecv, answer_line)
        };
        around
            .plane
            .configure_side(around.now, stream, Side::A.media_side(), config)
            .ok()?;
        line.codec = Some(match voice.law {
            Law::A => "PCMA".into(),
            Law::Mu => "PCMU".into(),
        });
        line.two_way = true;
        for (index, line) in self.lines.iter_mut().enumerate() {
            if index != voice.index
                && let Some(stream) = line.stream.take()
            {
                around.plane.close_stream(stream);
            }
        }
        let (body, offer) = (out.to_bytes(), offer.to_bytes());
        self.sent[Side::A.index()] = Some(body.as_slice().into());
        self.callee_is_open = true;
        Some(AnsweredHere {
            body,
            offer,
            stream,
            attend: Attend {
                side: Side::A.media_side(),
                audio: voice.audio,
                law: voice.law,
                events: voice.events,
                owner,
            },
        })
    }

    /// The m-line of our answer.
    fn our_voice(
        &self,
        around: &Surroundings<'_>,
        pending: &Pending,
        voice: &Voice,
        stream: StreamId,
    ) -> Option<Media> {
        let offered = pending.lines.get(voice.index)?;
        let proto = pending.offer.media.get(voice.index)?.proto.clone();
        let numbers = [Some(voice.audio), voice.events];
        let formats: Vec<String> = numbers
            .into_iter()
            .flatten()
            .map(|it| it.to_string())
            .collect();
        let formats = formats.iter().map(String::as_str);
        let mut media = Media::new(MediaKind::Audio, 0, proto, formats);
        let name = match voice.law {
            Law::A => "PCMA",
            Law::Mu => "PCMU",
        };
        let map = format!("{} {name}/8000", voice.audio);
        media.attributes.push(Attribute::new("rtpmap", map));
        if let Some(events) = voice.events {
            let map = format!("{events} telephone-event/8000");
            media.attributes.push(Attribute::new("rtpmap", map));
            let digits = format!("{events} 0-15");
            media.attributes.push(Attribute::new("fmtp", digits));
        }
        media.set_ptime(20);
        media.set_direction(Direction::SendRecv);
        if let (Some((tag, suite, _)), Some(reply)) = (&offered.chosen, &offered.reply) {
            media.set_crypto(&[Crypto::new(*tag, suite.name(), bare(&reply.to_inline()))]);
        }
        point_to_us(around, &mut media, stream, Side::A);
        Some(media)
    }

    /// A description of ours without media, the next one towards `to`.
    fn our_own(&mut self, around: &mut Surroundings<'_>, to: Side) -> SessionDescription {
        let origin = &mut self.origins[to.index()];
        if origin.session_id == 0 {
            origin.session_id = around.entropy.next_u64() >> 1;
        }
        origin.version += 1;
        let address = around.sides[to.index()].media_address;
        let mut own =
            SessionDescription::new(Origin::new(origin.session_id, origin.version, address));
        own.connection = Some(ringfence_sdp::Connection::from(address));
        own
    }

    /// Whether the answer `said`, which the caller was not sent, is another one than it had. From
    /// now on it counts as not said.
    pub(crate) fn keeps_terms(&mut self, had: &[u8], said: &[u8]) -> bool {
        let origin = &mut self.origins[Side::A.index()];
        origin.version = origin.version.saturating_sub(1);
        self.sent[Side::A.index()] = Some(had.into());
        let read = |bytes| SessionDescription::parse(bytes).ok();
        let (Some(had), Some(said)) = (read(had), read(said)) else {
            return false;
        };
        let same = |(one, other): (&Media, &Media)| {
            let rejected = one.is_rejected() && other.is_rejected();
            let formats = one.payload_types().eq(other.payload_types());
            rejected
                || (formats
                    && one.port == other.port
                    && had.direction(one) == said.direction(other))
        };
        had.media.len() == said.media.len() && had.media.iter().zip(&said.media).all(same)
    }

    /// The call goes on to another callee, while the caller's stream is up.
    pub(crate) fn forget_callee(&mut self) {
        self.pending = None;
        self.srtp_refused = false;
        for line in &mut self.lines {
            line.keys[Side::B.index()] = None;
        }
    }
}

/// The first line of sound with G.711 that both sides may have.
fn find_voice(pending: &Pending, converted: bool) -> Option<Voice> {
    let lines = pending
        .offer
        .media
        .iter()
        .zip(&pending.sent.media)
        .enumerate();
    let mut lines = lines.filter(|(_, (offered, sent))| {
        offered.kind == MediaKind::Audio && !offered.is_rejected() && !sent.is_rejected()
    });
    lines.find_map(|(index, (offered, sent))| {
        let two_way = pending.offer.direction(offered) == Direction::SendRecv;
        let rtp = described(&pending.offer, offered, Direction::SendRecv, sent).framing;
        pending
            .offer
            .rtp_address(offered)
            .filter(|_| two_way && rtp == Framing::Rtp)?;
        let passes = |number: u8| sent.payload_types().any(|sent| sent == number);
        let (audio, law) = offered.codecs().find_map(|codec| {
            let law = match codec.encoding.to_ascii_uppercase().as_str() {
                "PCMU" => Law::Mu,
                "PCMA" => Law::A,
                _ => return None,
            };
            let plain = codec.clock_rate == 8_000 && codec.channels == 1;
            (plain && passes(codec.payload_type)).then_some((codec.payload_type, law))
        })?;
        let events = offered
            .telephone_event(8_000)
            .filter(|number| converted || passes(*number));
        Some(Voice {
            index,
            audio,
            law,
            events,
        })
    })
}
