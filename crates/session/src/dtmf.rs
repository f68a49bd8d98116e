//! Digits between peers that convey them differently, as telephone events (RFC 4733), by INFO or as
//! tones in G.711 sound: what each is offered, and how they are carried across.
//!
//! Digits are what people dial, and their secrets: nothing here prints one, and the ladder cuts them
//! out.

use std::time::Duration;

use ringfence_base::Instant;
use ringfence_dialog::Owner;
use ringfence_media::{G711, ToldTone, Tone, ToneRules, ToneWay};
use ringfence_rtp::telephone_event::event_of_digit;
use ringfence_sdp::{Attribute, Media, MediaKind};
use ringfence_sip::Method;

use crate::call::{CallKey, Phase, Side};
use crate::core::Core;
use crate::outgoing::InDialog;
use crate::plan::Peer;

/// How a peer sends digits and wants them (`dtmf`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dtmf {
    /// As tones in its sound, which has to be G.711.
    InBand,
    /// By INFO, `application/dtmf-relay` or `application/dtmf`.
    Info,
    /// Whatever it does passes as it is.
    #[default]
    Pass,
    /// As telephone events in its RTP.
    Rfc4733,
}

/// What digits towards a peer with [`Dtmf::Info`] are written as.
const RELAY: &[u8] = b"application/dtmf-relay";
/// The body is one digit.
const PLAIN: &[u8] = b"application/dtmf";
/// How long a digit lasts whose INFO does not say so.
const DURATION: Duration = Duration::from_millis(160);
/// The events of an `a=fmtp`: the sixteen digits (RFC 4733 §2.4.1).
const EVENTS: &str = "0-15";
const ENCODING: &str = "telephone-event";

/// The ways of both sides, if digits are to be converted between them.
pub(crate) fn conversion(peers: [&Peer; 2]) -> Option<[Dtmf; 2]> {
    let ways = peers.map(|peer| peer.policy.dtmf);
    let [a, b] = ways;
    (a != b && !ways.contains(&Dtmf::Pass)).then_some(ways)
}

/// Makes an offer fit the way of the peer that it goes to.
pub(crate) fn shape_offer(towards: Dtmf, out: &mut Media) {
    if out.kind != MediaKind::Audio {
        return;
    }
    if towards != Dtmf::Rfc4733 {
        remove_events(out);
    } else if events(out).is_none()
        && let Some(number) = free_payload_type(out)
    {
        add_events(out, number);
    }
}

/// Makes an answer to an offer of `from` fit its way, and says what is to be converted. `offered`
/// is the offer as it came, `sent` as it went on, `answered` the answer as it came.
pub(crate) fn shape_answer(
    (ways, from): ([Dtmf; 2], Side),
    (offered, sent): (&Media, &Media),
    answered: &Media,
    out: &mut Media,
    owner: Owner,
) -> Option<ToneRules> {
    if out.kind != MediaKind::Audio {
        return None;
    }
    let offerers = ways[from.index()];
    if offerers != Dtmf::Rfc4733 {
        remove_events(out);
    }
    let clock_rate = answered
        .codecs()
        .find(|codec| !codec.is(ENCODING))?
        .clock_rate;
    let numbers = if offerers == Dtmf::Rfc4733 {
        let (number, clock) = events(offered)?;
        (clock == clock_rate).then_some((number, number))
    } else {
        let both = events(sent).zip(events(answered));
        both.and_then(|((receive, clock), (send, _))| {
            (clock == clock_rate).then_some((receive, send))
        })
    };
    let way = |dtmf| match dtmf {
        Dtmf::InBand => g711(answered).map(ToneWay::Sound),
        Dtmf::Info => Some(ToneWay::Signalling),
        Dtmf::Pass => None,
        Dtmf::Rfc4733 => numbers.map(|(receive, send)| ToneWay::Events { receive, send }),
    };
    let [a, b] = ways.map(way);
    let ways = [a?, b?];
    if offerers == Dtmf::Rfc4733 {
        let (number, _) = numbers?;
        add_events(out, number);
    }
    Some(ToneRules {
        ways,
        clock_rate,
        owner: owner.0,
    })
}

/// The payload types of G.711, if it is what is spoken: the first codec of the answer.
fn g711(answered: &Media) -> Option<G711> {
    let first = answered.codecs().find(|codec| !codec.is(ENCODING))?;
    if !first.is("PCMU") && !first.is("PCMA") {
        return None;
    }
    let number = |name| {
        let codec = answered.codecs().find(|codec| codec.is(name))?;
        Some(codec.payload_type)
    };
    Some(G711 {
        a: number("PCMA"),
        mu: number("PCMU"),
    })
}

/// Payload type and clock of telephone events.
fn events(media: &Media) -> Option<(u8, u32)> {
    let codec = media.codecs().find(|codec| codec.is(ENCODING))?;
    Some((codec.payload_type, codec.clock_rate))
}

fn remove_events(media: &mut Media) {
    let gone: Vec<String> = media
        .codecs()
        .filter(|codec| codec.is(ENCODING))
        .map(|codec| codec.payload_type.to_string())
        .collect();
    media.retain_formats(|format| gone.iter().all(|gone| gone.as_bytes() != format));
}

/// Adds telephone events with the clock of G.711 and most others.
fn add_events(media: &mut Media, number: u8) {
    remove_events(media);
    let number = number.to_string();
    let formats: Vec<String> = media
        .formats()
        .map(|format| String::from_utf8_lossy(format).into_owned())
        .chain([number.clone()])
        .collect();
    media.set_formats(formats.iter().map(String::as_str));
    let rate = media
        .codecs()
        .find(|codec| !codec.is(ENCODING))
        .map_or(8_000, |codec| codec.clock_rate);
    let map = format!("{number} {ENCODING}/{rate}");
    media.attributes.push(Attribute::new("rtpmap", map));
    let events = format!("{number} {EVENTS}");
    media.attributes.push(Attribute::new("fmtp", events));
}

/// 101 by custom, else the first free dynamic number.
fn free_payload_type(media: &Media) -> Option<u8> {
    std::iter::once(101)
        .chain(96..=127)
        .find(|number| media.payload_types().all(|used| used != *number))
}

/// The digit of an INFO, if it carries one.
pub(crate) fn of_info(media_type: &[u8], body: &[u8]) -> Option<Tone> {
    let body = std::str::from_utf8(body).ok()?;
    if media_type.eq_ignore_ascii_case(PLAIN) {
        return Tone::new(event_of(body.trim())?, DURATION);
    }
    if !media_type.eq_ignore_ascii_case(RELAY) {
        return None;
    }
    let field = |name: &str| {
        body.lines().find_map(|line| {
            let (key, value) = line.split_once('=')?;
            key.trim()
                .eq_ignore_ascii_case(name)
                .then_some(value.trim())
        })
    };
    let millis = field("Duration").and_then(|millis| millis.parse::<u16>().ok());
    let duration = millis.map_or(DURATION, |millis| Duration::from_millis(millis.into()));
    Tone::new(event_of(field("Signal")?)?, duration)
}

/// A digit as it is written, or `10` for the star and `11` for the hash.
fn event_of(signal: &str) -> Option<u8> {
    let mut characters = signal.chars();
    match (characters.next()?, characters.next()) {
        (digit, None) => event_of_digit(digit),
        ('1', Some(second @ ('0' | '1'))) if characters.next().is_none() => {
            event_of_digit(if second == '0' { '*' } else { '#' })
        }
        _ => None,
    }
}

/// The body of an INFO that carries a digit.
fn body_of(tone: Tone) -> Option<String> {
    let (digit, millis) = (tone.digit()?, tone.duration().as_millis());
    Some(format!("Signal={digit}\r\nDuration={millis}\r\n"))
}

impl Core {
    /// The digits that media has taken out of its packets go on as INFO.
    pub(crate) fn carry_tones(&mut self, now: Instant) {
        while let Some(ToldTone { owner, side, tone }) = self.media.told_tone() {
            let (key, _) = CallKey::from_owner(Owner(owner));
            let to = match side {
                ringfence_media::Side::A => Side::B,
                ringfence_media::Side::B => Side::A,
            };
            let Some(body) = body_of(tone) else { continue };
            self.current = Some(key);
            if self.call(key).is_some_and(|call| call.phase == Phase::Up) {
                let content = InDialog {
                    body: Some((RELAY, body.as_bytes())),
                    ..InDialog::default()
                };
                self.send_in_dialog(now, key, to, Method::Info, content);
            }
        }
    }

    /// Whether an INFO of `side` was a digit for a peer that knows it otherwise; the status for it.
    pub(crate) fn take_info_tone(
        &mut self,
        now: Instant,
        key: CallKey,
        side: Side,
        (media_type, body): (&[u8], &[u8]),
    ) -> Option<u16> {
        let tone = of_info(media_type, body)?;
        if side == Side::A && self.is_asked(key) {
            let digit = tone.digit()?;
            self.on_pressed(now, key, digit);
            return Some(200);
        }
        let call = self.call(key)?;
        let peers = [call.peer(Side::A)?, call.peer(Side::B)?];
        if conversion(peers)?[side.index()] != Dtmf::Info {
            return None;
        }
        let call = self.calls.get(key.slot as usize)?;
        let sent = call.media.send_tone(now, &mut self.media, tone);
        Some(if sent { 200 } else { 503 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(media_type: &str, body: &str, expected: Option<(u8, u64)>) {
        let tone = of_info(media_type.as_bytes(), body.as_bytes());
        let seen = tone.map(|tone| (tone.event(), tone.duration().as_millis() as u64));
        assert_eq!(seen, expected, "{body}");
    }

    #[test]
    fn an_info_is_read_in_either_form() {
        check(
            "application/dtmf-relay",
            "Signal=5\r\nDuration=160\r\n",
            Some((5, 160)),
        );
        check(
            "application/dtmf-relay",
            "Signal= #\nDuration= 250",
            Some((11, 250)),
        );
        check("Application/DTMF-Relay", "signal=10\r\n", Some((10, 160)));
        check("application/dtmf-relay", "Signal=11", Some((11, 160)));
        check("application/dtmf", "7", Some((7, 160)));
        check("application/dtmf", " D\r\n", Some((15, 160)));
    }

    #[test]
    fn what_is_no_digit_is_none() {
        check("application/dtmf-relay", "Duration=160\r\n", None);
        check("application/dtmf-relay", "Signal=12\r\n", None);
        check("application/dtmf-relay", "Signal=\r\n", None);
        check("application/dtmf", "12", None);
        check("application/dtmf", "", None);
        check("text/plain", "5", None);
    }

    #[test]
    fn a_duration_is_kept_within_reason() {
        check(
            "application/dtmf-relay",
            "Signal=1\r\nDuration=0",
            Some((1, 40)),
        );
        check(
            "application/dtmf-relay",
            "Signal=1\r\nDuration=65535",
            Some((1, 5_000)),
        );
        check(
            "application/dtmf-relay",
            "Signal=1\r\nDuration=-5",
            Some((1, 160)),
        );
    }

    #[test]
    fn what_is_written_reads_back() {
        for event in 0..16 {
            let tone = Tone::new(event, Duration::from_millis(200)).unwrap();
            assert_eq!(
                of_info(RELAY, body_of(tone).unwrap().as_bytes()),
                Some(tone)
            );
        }
    }
}
