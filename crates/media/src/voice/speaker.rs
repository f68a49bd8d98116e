//! What is said, packet by packet: RTP of G.711 (RFC 3550 §5.1, RFC 3551 §4.5.14).

use std::collections::VecDeque;
use std::time::Duration;

use ringfence_base::Instant;
use ringfence_rtp::g711::{ULAW_SILENCE, decode_ulaw, encode_alaw};

use super::{Law, Sound};

/// Sound in a packet.
pub const PACKET_TIME: Duration = Duration::from_millis(20);
/// Samples in a packet.
const SAMPLES: usize = 160;
/// Bytes of an RTP header without sources and extensions.
const HEADER: usize = 12;
/// Whoever is later than so leaves out what should have been said.
const LATE_MAX: Duration = Duration::from_millis(200);
/// Parts that one script has.
const PARTS_MAX: usize = 64;

/// A piece of what is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Again and again, until something else is to be said.
    Loop(Sound),
    /// Nothing, for so long.
    Pause(Duration),
    /// Once.
    Sound(Sound),
}

impl Part {
    /// How long it takes; a loop, for its first round.
    pub fn duration(&self) -> Duration {
        match self {
            Part::Loop(sound) | Part::Sound(sound) => {
                Duration::from_micros(sound.len() as u64 * 125)
            }
            Part::Pause(pause) => *pause,
        }
    }

    fn samples(&self) -> usize {
        usize::try_from(self.duration().as_micros() / 125).unwrap_or(usize::MAX)
    }

    fn sample(&self, place: usize) -> u8 {
        match self {
            Part::Loop(sound) | Part::Sound(sound) => sound.get(place).copied(),
            Part::Pause(_) => None,
        }
        .unwrap_or(ULAW_SILENCE)
    }
}

/// Says parts one after the other, and silence when there is none left.
#[derive(Debug)]
pub(crate) struct Speaker {
    parts: VecDeque<Part>,
    /// Samples said of the first part.
    place: usize,
    next_at: Instant,
    ssrc: u32,
    seq: u16,
    timestamp: u32,
    payload_type: u8,
    law: Law,
    marker: bool,
}

impl Speaker {
    /// A silent one. `name` makes its numbers, which must be hard to guess (RFC 3550 §5.1).
    pub(crate) fn new(now: Instant, payload_type: u8, law: Law, name: [u64; 2]) -> Speaker {
        Speaker {
            parts: VecDeque::new(),
            place: 0,
            next_at: now,
            ssrc: name[0] as u32,
            // Low, so that it does not go round soon: an SRTP receiver might lose count (RFC 3711).
            seq: (name[0] >> 32) as u16 & 0x7fff,
            timestamp: name[1] as u32,
            payload_type,
            law,
            marker: true,
        }
    }

    /// Says these parts from the next packet on, instead of what was to come.
    pub(crate) fn say(&mut self, parts: impl IntoIterator<Item = Part>) {
        self.parts = parts.into_iter().take(PARTS_MAX).collect();
        self.place = 0;
        self.marker = true;
    }

    /// When the next packet is due.
    pub(crate) const fn next_at(&self) -> Instant {
        self.next_at
    }

    /// Writes the packet that is due at `now`: its length.
    pub(crate) fn packet(&mut self, now: Instant, buf: &mut [u8]) -> Option<usize> {
        let out = buf.get_mut(..HEADER + SAMPLES)?;
        if now.saturating_since(self.next_at) > LATE_MAX {
            let missed = now.saturating_since(self.next_at).as_millis() / PACKET_TIME.as_millis();
            let missed = u32::try_from(missed).unwrap_or(u32::MAX);
            self.timestamp = self
                .timestamp
                .wrapping_add(missed.wrapping_mul(SAMPLES as u32));
            self.next_at = now;
            self.marker = true;
        }
        let (head, payload) = out.split_at_mut(HEADER);
        let marker = u8::from(std::mem::take(&mut self.marker)) << 7;
        let [seq_hi, seq_lo] = self.seq.to_be_bytes();
        let [t0, t1, t2, t3] = self.timestamp.to_be_bytes();
        let [s0, s1, s2, s3] = self.ssrc.to_be_bytes();
        let second = marker | self.payload_type & 0x7f;
        let header = [0x80, second, seq_hi, seq_lo, t0, t1, t2, t3, s0, s1, s2, s3];
        head.copy_from_slice(&header);
        for byte in payload {
            let sample = self.next_sample();
            *byte = match self.law {
                Law::A => encode_alaw(decode_ulaw(sample)),
                Law::Mu => sample,
            };
        }
        self.seq = self.seq.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(SAMPLES as u32);
        self.next_at += PACKET_TIME;
        Some(HEADER + SAMPLES)
    }

    fn next_sample(&mut self) -> u8 {
        while let Some(part) = self.parts.front() {
            if self.place < part.samples() {
                self.place += 1;
                return part.sample(self.place - 1);
            }
            self.place = 0;
            if matches!(part, Part::Loop(sound) if !sound.is_empty()) {
                continue;
            }
            self.parts.pop_front();
        }
        ULAW_SILENCE
    }
}

#[cfg(test)]
mod tests {
    use ringfence_rtp::RtpView;
    use ringfence_rtp::g711::ALAW_SILENCE;

    use super::*;

    const START: Instant = Instant::from_nanos(1_000_000_000);

    fn speaker(law: Law) -> Speaker {
        Speaker::new(START, 0, law, [0x1234_5678_9abc_def0, 7])
    }

    fn ramp(len: usize) -> Sound {
        (0..len).map(|place| place as u8).collect()
    }

    fn payload(speaker: &mut Speaker) -> Vec<u8> {
        let mut buf = [0; 200];
        let len = speaker.packet(speaker.next_at(), &mut buf).unwrap();
        RtpView::parse(&buf[..len]).unwrap().payload().to_vec()
    }

    #[test]
    fn parts_follow_each_other_without_a_gap() {
        let mut speaker = speaker(Law::Mu);
        let pause = Part::Pause(Duration::from_millis(10));
        speaker.say([Part::Sound(ramp(100)), pause, Part::Sound(ramp(90))]);
        let said = [payload(&mut speaker), payload(&mut speaker)].concat();
        assert_eq!(said[..100], ramp(100)[..]);
        assert!(said[100..180].iter().all(|byte| *byte == ULAW_SILENCE));
        assert_eq!(said[180..270], ramp(90)[..]);
        assert!(said[270..].iter().all(|byte| *byte == ULAW_SILENCE));
    }

    #[test]
    fn a_loop_goes_on_until_something_else_is_said() {
        let mut speaker = speaker(Law::Mu);
        speaker.say([Part::Loop(ramp(100)), Part::Sound(ramp(9))]);
        let said: Vec<u8> = (0..4).flat_map(|_| payload(&mut speaker)).collect();
        assert!(said.chunks(100).all(|round| ramp(100).starts_with(round)));
        speaker.say([Part::Loop(Sound::default())]);
        assert!(
            payload(&mut speaker)
                .iter()
                .all(|byte| *byte == ULAW_SILENCE)
        );
    }

    #[test]
    fn packets_are_numbered_and_the_first_of_a_spurt_is_marked_rfc3551_4_1() {
        let mut speaker = speaker(Law::A);
        let mut seen = Vec::new();
        for place in 0..4 {
            if place == 2 {
                speaker.say([]);
            }
            let mut buf = [0; 200];
            let at = speaker.next_at();
            let len = speaker.packet(at, &mut buf).unwrap();
            let view = RtpView::parse(&buf[..len]).unwrap();
            assert!(view.payload().iter().all(|byte| *byte == ALAW_SILENCE));
            seen.push((view.seq(), view.timestamp(), view.marker()));
            assert_eq!(speaker.next_at(), at + PACKET_TIME);
        }
        let first = seen[0].0;
        assert!(first < 0x8000);
        let expected: Vec<_> = [true, false, true, false]
            .into_iter()
            .enumerate()
            .map(|(place, marker)| (first + place as u16, 7 + 160 * place as u32, marker))
            .collect();
        assert_eq!(seen, expected);
    }

    #[test]
    fn whoever_is_late_leaves_a_gap_in_time_and_sends_no_burst() {
        let mut speaker = speaker(Law::Mu);
        let mut buf = [0; 200];
        speaker.packet(START, &mut buf).unwrap();
        let late = START + Duration::from_secs(2);
        let len = speaker.packet(late, &mut buf).unwrap();
        let view = RtpView::parse(&buf[..len]).unwrap();
        assert_eq!(view.timestamp(), 7 + 160 + 99 * 160);
        assert_eq!(speaker.next_at(), late + PACKET_TIME);
    }
}
