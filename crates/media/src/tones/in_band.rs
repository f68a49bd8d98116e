//! Digits as tones in the sound (ITU-T Q.23), put there for a side that knows them by no other way,
//! and taken out of what it sends.
//!
//! Tones take the place of G.711 sound sample by sample; the source, the numbering and the clock
//! stay those of the sender. A sender of telephone events (RFC 4733 §2.5.1) sends them instead of
//! its sound, so each of them becomes a packet of sound that covers what its duration has grown by
//! since the one before; of a sender that sends both, the sound of that time is dropped. A tone
//! lasts as long as the event, but [`TONE_MIN`] at least, and silence follows it, so that Q.24
//! receivers tell two digits apart.
//!
//! Tones are heard by [`SoundReader`]: a digit is sure after 26 to 38 ms. From the packet on in which
//! a tone may have begun, silence takes the place of the sound. Of a digit whose low tone is between
//! 4 dB softer and 6 dB louder than its high one no more than 23 ms leak, less than a Q.24 receiver may
//! take for a digit. Where the low tone is 8 dB louder, near the limit of what the reader takes,
//! one in twenty-five leaks more, up to 80 ms, and a few are not heard at all. Speech that is
//! like a tone for a moment loses a packet. The echo of a tone that was put in is no digit.
//!
//! What it does not do is cut an event short that lost its ends: it goes on for [`GRACE`].

use std::collections::VecDeque;
use std::iter::Zip;
use std::time::Duration;

use ringfence_base::Instant;
use ringfence_rtp::dtmf::{BLOCK, EventReader, SoundReader};
use ringfence_rtp::g711::{
    ALAW_SILENCE, CLOCK_RATE, ULAW_SILENCE, decode_alaw, decode_ulaw, encode_alaw, encode_ulaw,
};
use ringfence_rtp::telephone_event::{LAST_DTMF, TelephoneEvent, event_of_digit};
use ringfence_rtp::{Header, tone};

use super::{HEADER_LEN, TONE_WAIT, TONES_WAITING_MAX, Tone};
use crate::plane::TAIL;
use crate::voice::Law;

/// The payload types of G.711 on a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct G711 {
    /// PCMA.
    pub a: Option<u8>,
    /// PCMU.
    pub mu: Option<u8>,
}

/// Samples a millisecond.
const MILLISECOND: u32 = CLOCK_RATE / 1_000;
/// Least length of a tone: 70 ms.
const TONE_MIN: u32 = 70 * MILLISECOND;
/// Silence behind a tone: 50 ms.
const PAUSE: u32 = 50 * MILLISECOND;
/// How much longer than its last packet said an event may last of which no end was seen: 60 ms.
const GRACE: u32 = 60 * MILLISECOND;
/// Sound of one packet at most: two events in a row may be lost and leave no gap in the tone.
const CARRIED_MAX: u32 = 60 * MILLISECOND;
/// Sound of a packet that has no length of its own.
const PACKET: u32 = 20 * MILLISECOND;
/// An event that begins so far back is not new sound but the sound's that is already sent: 1 s.
const OVERLAP_MAX: u32 = CLOCK_RATE;
/// How long after a tone its echo may come.
const ECHO: Duration = Duration::from_millis(500);
/// A gap of so many samples at most is taken for lost packets, and for silence.
const GAP_MAX: u32 = 60 * MILLISECOND;
/// Samples of a digit before it is sure.
const SURE_AFTER: u32 = 2 * BLOCK as u32;
/// Samples behind a digit before its end is sure.
const OVER_AFTER: u32 = 3 * BLOCK as u32;
/// Peak of the low tone, -8 dBm0.
const LOW_PEAK: i16 = 8_911;
/// Peak of the high tone, -6 dBm0: lines damp high tones more.
const HIGH_PEAK: i16 = 11_217;

impl G711 {
    /// Which one a payload type is.
    pub(super) fn law(self, payload_type: u8) -> Option<Law> {
        match Some(payload_type) {
            number if number == self.mu => Some(Law::Mu),
            number if number == self.a => Some(Law::A),
            _ => None,
        }
    }

    /// One that there is.
    fn any(self) -> Option<(u8, Law)> {
        let mu = self.mu.map(|number| (number, Law::Mu));
        mu.or(self.a.map(|number| (number, Law::A)))
    }
}

/// Puts digits into the sound towards one side.
#[derive(Default)]
pub(super) struct Mouth {
    player: Player,
    reader: EventReader,
    heard: Option<Heard>,
    /// End of what was sent so far, on the sender's clock.
    covered: u32,
    /// What the sender's sound was last.
    audio: Option<(u8, Law)>,
}

/// The event that is on, or was last.
struct Heard {
    ssrc: u32,
    start: u32,
    /// Timestamp of its segment.
    timestamp: u32,
    /// Length of the segments before.
    base: u32,
    duration: u16,
    ended: bool,
}

impl Mouth {
    /// Queues a digit. `false`: there are too many.
    pub(super) fn push(&mut self, now: Instant, tone: Tone) -> bool {
        let total = tone.duration().as_millis() as u32 * MILLISECOND;
        self.player.push(Digit {
            tone,
            total: total.max(TONE_MIN),
            event: None,
            until: now + TONE_WAIT,
        })
    }

    /// Whether this digit was put in so lately that it may come back as an echo.
    pub(super) fn echoes(&self, now: Instant, event: u8) -> bool {
        let said = self.player.said;
        said.is_some_and(|(said, at)| said == event && now.saturating_since(at) < ECHO)
    }

    /// A packet of a sender whose digits come by signalling.
    pub(super) fn overlay(&mut self, now: Instant, g711: G711, packet: &mut [u8]) {
        let Ok(header) = Header::parse(packet) else {
            return;
        };
        if let Some(law) = g711.law(header.payload_type)
            && !header.padding
            && let Some(sound) = packet.get_mut(usize::from(header.header_len)..)
        {
            self.player.fill(now, law, sound);
        }
    }

    /// A packet `buf[..len]` of a sender of telephone events `receive`: its length as it goes on;
    /// `None` if it goes no further. The caller closes up the numbering.
    pub(super) fn carry(
        &mut self,
        now: Instant,
        (g711, receive): (G711, u8),
        buf: &mut [u8],
        len: usize,
    ) -> Option<usize> {
        let packet = buf.get_mut(..len)?;
        let Ok(header) = Header::parse(packet) else {
            return Some(len);
        };
        if header.payload_type == receive {
            let payload = packet.get(usize::from(header.header_len)..)?;
            let length = self.hear(now, &header, payload)?;
            return self.speak(now, g711, length, buf);
        }
        let Some(law) = g711.law(header.payload_type) else {
            return Some(len);
        };
        self.audio = Some((header.payload_type, law));
        if let Some(heard) = &self.heard
            && heard.ssrc == header.ssrc.raw()
        {
            let sent = self.covered.wrapping_sub(heard.start);
            if header.timestamp.wrapping_sub(heard.start) < sent {
                return None;
            }
        }
        self.overlay(now, g711, packet);
        let samples = len.saturating_sub(header.header_len.into()) as u32;
        self.covered = header.timestamp.wrapping_add(samples);
        Some(len)
    }

    /// An event: how many samples of sound it stands for.
    fn hear(&mut self, now: Instant, header: &Header, payload: &[u8]) -> Option<u32> {
        let event = TelephoneEvent::parse(payload).ok()?;
        if event.event > LAST_DTMF {
            return None;
        }
        let is_new = self.reader.read(header, payload).is_some();
        if is_new {
            self.heard = Some(Heard::new(header));
            if self.covered.wrapping_sub(header.timestamp) > OVERLAP_MAX {
                self.covered = header.timestamp;
            }
        }
        let heard = self.heard.as_mut()?;
        heard.extend(header, event)?;
        let length = heard.base.wrapping_add(heard.duration.into());
        let grace = if heard.ended { 0 } else { GRACE };
        let total = length.saturating_add(grace).max(TONE_MIN);
        if is_new {
            self.player.push(Digit {
                tone: Tone::new(event.event, super::DURATION_MIN)?,
                total,
                event: Some(heard.start),
                until: now + TONE_WAIT,
            });
        } else {
            self.player.extend(heard.start, total);
        }
        let end = heard.start.wrapping_add(length);
        match end.wrapping_sub(self.covered) {
            grown @ 1..=0x7fff_ffff => {
                self.covered = end;
                Some(grown)
            }
            // An end that is repeated carries what is left of a tone that was begun late, or
            // that is shorter than a tone may be.
            _ if heard.ended && self.player.is_busy() => {
                self.covered = self.covered.wrapping_add(PACKET);
                Some(PACKET)
            }
            _ => None,
        }
    }

    /// Writes sound of `length` that ends where the sender's does now, in place of an event.
    fn speak(&mut self, now: Instant, g711: G711, length: u32, buf: &mut [u8]) -> Option<usize> {
        let (number, law) = self.audio.or_else(|| g711.any())?;
        let room = buf.len().saturating_sub(HEADER_LEN + TAIL);
        let length = room.min(length.min(CARRIED_MAX) as usize);
        if length == 0 {
            return None;
        }
        let [first, second, ..] = buf else {
            return None;
        };
        *first = 2 << 6;
        *second = number & 0x7f;
        let timestamp = self.covered.wrapping_sub(length as u32);
        buf.get_mut(4..8)?.copy_from_slice(&timestamp.to_be_bytes());
        let sound = buf.get_mut(HEADER_LEN..HEADER_LEN + length)?;
        sound.fill(silence(law));
        self.player.fill(now, law, sound);
        Some(HEADER_LEN + length)
    }
}

impl Heard {
    fn new(header: &Header) -> Heard {
        Heard {
            ssrc: header.ssrc.raw(),
            start: header.timestamp,
            timestamp: header.timestamp,
            base: 0,
            duration: 0,
            ended: false,
        }
    }

    /// Another packet of it; `None` if it is none, or of a segment that is past.
    fn extend(&mut self, header: &Header, event: TelephoneEvent) -> Option<()> {
        let step = header.timestamp.wrapping_sub(self.timestamp);
        if self.ssrc != header.ssrc.raw() || step > u32::MAX / 2 {
            return None;
        }
        if step > 0 {
            if event.duration < self.duration {
                // The next segment of a long event (RFC 4733 §2.5.1.3); otherwise the sender
                // lets its clock run.
                self.base = header.timestamp.wrapping_sub(self.start);
                self.duration = 0;
            }
            self.timestamp = header.timestamp;
        }
        self.duration = self.duration.max(event.duration);
        self.ended |= event.end;
        Some(())
    }
}

/// Takes digits out of the sound of one side.
#[derive(Default)]
pub(super) struct Listener {
    reader: SoundReader,
    ssrc: Option<u32>,
    /// Timestamp of the sample that comes next.
    expected: Option<u32>,
    /// The digit that is on: its event code, and for how many samples.
    on: Option<(u8, u32)>,
}

/// What a packet of sound told.
#[derive(Default)]
pub(super) struct Told {
    /// Event code of the digit that began.
    pub(super) began: Option<u8>,
    /// The digit that is over.
    pub(super) ended: Option<Tone>,
}

impl Listener {
    /// A packet of the side. Where there is, or may be, a tone in it, it is silence afterwards.
    pub(super) fn listen(&mut self, g711: G711, packet: &mut [u8]) -> Told {
        let mut told = Told::default();
        let Ok(header) = Header::parse(packet) else {
            return told;
        };
        let law = g711.law(header.payload_type);
        let sound = packet.get_mut(usize::from(header.header_len)..);
        let (Some(law), Some(sound), false) = (law, sound, header.padding) else {
            return told;
        };
        let was_on = self.reader.on().is_some();
        if self.follows(&header, sound.len() as u32, &mut told) {
            for byte in &*sound {
                let sample = match law {
                    Law::A => decode_alaw(*byte),
                    Law::Mu => decode_ulaw(*byte),
                };
                self.read(sample, &mut told);
            }
        }
        if was_on || self.reader.suspects() {
            sound.fill(silence(law));
        }
        told
    }

    /// Whether a digit is on.
    pub(super) const fn is_on(&self) -> bool {
        self.on.is_some()
    }

    /// The digit that is on is none.
    pub(super) const fn forget(&mut self) {
        self.on = None;
    }

    /// Finds a packet's place. `false`: it is late, its place is past.
    fn follows(&mut self, header: &Header, samples: u32, told: &mut Told) -> bool {
        let is_same = self.ssrc.replace(header.ssrc.raw()) == Some(header.ssrc.raw());
        let expected = self.expected.filter(|_| is_same);
        let gap = expected.map(|at| header.timestamp.wrapping_sub(at));
        if gap.is_some_and(|gap| gap > u32::MAX / 2) {
            return false;
        }
        match gap {
            Some(gap @ 0..=GAP_MAX) => {
                for _ in 0..gap {
                    self.read(0, told);
                }
            }
            _ => {
                self.reader.interrupt();
                self.end(0, told);
            }
        }
        self.expected = Some(header.timestamp.wrapping_add(samples));
        true
    }

    fn read(&mut self, sample: i16, told: &mut Told) {
        let begins = self.reader.read(sample).and_then(event_of_digit);
        if let Some((_, samples)) = &mut self.on {
            *samples = samples.saturating_add(1);
        }
        if let Some(event) = begins {
            self.end(SURE_AFTER, told);
            self.on = Some((event, SURE_AFTER));
            told.began = Some(event);
        } else if self.reader.on().is_none() {
            self.end(OVER_AFTER, told);
        }
    }

    /// The digit that is on has been over for so many samples.
    fn end(&mut self, over_for: u32, told: &mut Told) {
        if let Some((event, samples)) = self.on.take() {
            let millis = samples.saturating_sub(over_for) / MILLISECOND;
            told.ended = Tone::new(event, Duration::from_millis(millis.into()));
        }
    }
}

/// The byte of silence.
const fn silence(law: Law) -> u8 {
    match law {
        Law::A => ALAW_SILENCE,
        Law::Mu => ULAW_SILENCE,
    }
}

/// Digits one after the other, sample by sample.
#[derive(Default)]
struct Player {
    waiting: VecDeque<Digit>,
    on: Option<Playing>,
    /// Samples of silence that are left.
    pause: u32,
    /// The last event code that was put in, and when.
    said: Option<(u8, Instant)>,
}

struct Digit {
    tone: Tone,
    /// Samples.
    total: u32,
    /// Where the event began that it came by.
    event: Option<u32>,
    until: Instant,
}

struct Playing {
    pair: Zip<tone::Tone, tone::Tone>,
    /// Event code.
    code: u8,
    played: u32,
    total: u32,
    event: Option<u32>,
}

impl Player {
    fn push(&mut self, digit: Digit) -> bool {
        let has_room = self.waiting.len() < TONES_WAITING_MAX;
        if has_room {
            self.waiting.push_back(digit);
        }
        has_room
    }

    /// An event lasts longer than it was known to, or has ended.
    fn extend(&mut self, event: u32, total: u32) {
        if let Some(on) = self.on.as_mut().filter(|on| on.event == Some(event)) {
            on.total = total;
        }
        let waiting = self.waiting.back_mut();
        if let Some(digit) = waiting.filter(|digit| digit.event == Some(event)) {
            digit.total = total;
        }
    }

    /// Whether there is a tone to be sent.
    fn is_busy(&self) -> bool {
        let is_on = self.on.as_ref().is_some_and(|on| on.played < on.total);
        is_on || !self.waiting.is_empty()
    }

    /// Replaces sound while there are tones and pauses.
    fn fill(&mut self, now: Instant, law: Law, sound: &mut [u8]) {
        self.replace(now, law, sound);
        if let Some(on) = &self.on {
            self.said = Some((on.code, now));
        }
    }

    fn replace(&mut self, now: Instant, law: Law, sound: &mut [u8]) {
        for byte in sound {
            let Some(sample) = self.sample(now) else {
                return;
            };
            *byte = match law {
                Law::A => encode_alaw(sample),
                Law::Mu => encode_ulaw(sample),
            };
        }
    }

    fn sample(&mut self, now: Instant) -> Option<i16> {
        if let Some(on) = &mut self.on {
            if on.played < on.total {
                on.played += 1;
                let (low, high) = on.pair.next()?;
                return Some(low.saturating_add(high));
            }
            self.on = None;
            self.pause = PAUSE;
        }
        if self.pause > 0 {
            self.pause -= 1;
            return Some(0);
        }
        self.begin(now)
    }

    fn begin(&mut self, now: Instant) -> Option<i16> {
        while let Some(digit) = self.waiting.pop_front() {
            let pair = |peak| tone::Tone::dtmf(digit.tone.digit()?, peak, CLOCK_RATE);
            if now < digit.until
                && let (Some([low, _]), Some([_, high])) = (pair(LOW_PEAK), pair(HIGH_PEAK))
            {
                self.on = Some(Playing {
                    pair: low.zip(high),
                    // The sample that is asked for: both tones begin at zero.
                    code: digit.tone.event(),
                    played: 1,
                    total: digit.total,
                    event: digit.event,
                });
                return Some(0);
            }
        }
        None
    }
}
