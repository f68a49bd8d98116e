//! Which keys somebody presses: telephone events where they were agreed on, else the sound.
//!
//! A sender of events may let the tone leak into its sound as well; once an event has come, the
//! sound is no longer listened to, and a digit that both tell within a moment is one.

use std::time::Duration;

use ringfence_base::Instant;
use ringfence_rtp::RtpView;
use ringfence_rtp::dtmf::{EventReader, SoundReader};
use ringfence_rtp::g711::{decode_alaw, decode_ulaw};

use super::Law;

/// The same digit by sound and by event within this time was pressed once.
const SAME_KEY: Duration = Duration::from_millis(1_000);
/// A gap of so many samples at most is taken for lost packets, and for silence.
const GAP_MAX: u32 = 480;

/// Hears one sender.
#[derive(Debug)]
pub(crate) struct Ear {
    audio: u8,
    law: Law,
    events: Option<u8>,
    event_reader: EventReader,
    sound_reader: SoundReader,
    /// Timestamp of the sample that comes next.
    expected: Option<u32>,
    /// The last digit that the sound told.
    by_sound: Option<(char, Instant)>,
    sends_events: bool,
}

impl Ear {
    /// One that knows these payload types.
    pub(crate) fn new(audio: u8, law: Law, events: Option<u8>) -> Ear {
        Ear {
            audio,
            law,
            events,
            event_reader: EventReader::default(),
            sound_reader: SoundReader::default(),
            expected: None,
            by_sound: None,
            sends_events: false,
        }
    }

    /// A packet in the clear: the digit that it tells.
    pub(crate) fn hear(&mut self, now: Instant, packet: &[u8]) -> Option<char> {
        let view = RtpView::parse(packet).ok()?;
        if Some(view.payload_type()) == self.events {
            self.sends_events = true;
            let digit = self.event_reader.read(view.header(), view.payload())?;
            let before = self.by_sound.take();
            let again = before
                .is_some_and(|(told, at)| told == digit && now.saturating_since(at) < SAME_KEY);
            return (!again).then_some(digit);
        }
        if view.payload_type() != self.audio || self.sends_events {
            return None;
        }
        let digit = self.listen(view.timestamp(), view.payload())?;
        self.by_sound = Some((digit, now));
        Some(digit)
    }

    fn listen(&mut self, timestamp: u32, payload: &[u8]) -> Option<char> {
        let gap = self.expected.map_or(0, |at| timestamp.wrapping_sub(at));
        if gap > u32::MAX / 2 {
            // A packet that was late: its place is past.
            return None;
        }
        let end = timestamp.wrapping_add(payload.len() as u32);
        self.expected = Some(end);
        let mut told = None;
        match gap {
            0..=GAP_MAX => {
                for _ in 0..gap {
                    told = told.or(self.sound_reader.read(0));
                }
            }
            _ => self.sound_reader.interrupt(),
        }
        for byte in payload {
            let sample = match self.law {
                Law::A => decode_alaw(*byte),
                Law::Mu => decode_ulaw(*byte),
            };
            told = told.or(self.sound_reader.read(sample));
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use ringfence_rtp::g711::{encode_alaw, encode_ulaw};
    use ringfence_rtp::telephone_event::event_of_digit;
    use ringfence_rtp::tone::Tone;

    use super::*;

    struct Caller {
        ear: Ear,
        now: Instant,
        seq: u16,
        timestamp: u32,
        told: String,
    }

    impl Caller {
        fn new(law: Law, events: Option<u8>) -> Caller {
            Caller {
                ear: Ear::new(0, law, events),
                now: Instant::from_nanos(1),
                seq: 0,
                timestamp: u32::MAX - 1_000,
                told: String::new(),
            }
        }

        fn send(&mut self, payload_type: u8, timestamp: u32, payload: &[u8]) {
            let mut packet = vec![0x80, payload_type];
            packet.extend(self.seq.to_be_bytes());
            packet.extend(timestamp.to_be_bytes());
            packet.extend([0, 0, 0, 9]);
            packet.extend(payload);
            self.seq = self.seq.wrapping_add(1);
            self.told.extend(self.ear.hear(self.now, &packet));
        }

        /// A digit in the sound; packets with a number in `lost` do not arrive.
        fn play(&mut self, digit: char, packets: usize, lost: &[usize]) {
            let [low, high] = Tone::dtmf(digit, 6_000, 8_000).unwrap();
            let samples: Vec<i16> = low
                .zip(high)
                .map(|(a, b)| a + b)
                .take(packets * 160)
                .collect();
            for (place, chunk) in samples.chunks(160).chain([&[0; 160][..]; 5]).enumerate() {
                let encode = match self.ear.law {
                    Law::A => encode_alaw,
                    Law::Mu => encode_ulaw,
                };
                let payload: Vec<u8> = chunk.iter().map(|it| encode(*it)).collect();
                if !lost.contains(&place) {
                    self.send(0, self.timestamp, &payload);
                }
                self.timestamp = self.timestamp.wrapping_add(160);
                self.now += Duration::from_millis(20);
            }
        }

        fn event(&mut self, digit: char) {
            let event = event_of_digit(digit).unwrap();
            for step in 1..=5 {
                self.send(101, self.timestamp, &[event, 10, 0, step * 40]);
                self.now += Duration::from_millis(20);
            }
            for _ in 0..3 {
                self.send(101, self.timestamp, &[event, 0x8a, 0, 240]);
            }
            self.timestamp = self.timestamp.wrapping_add(1_600);
        }
    }

    #[test]
    fn digits_are_heard_in_either_law() {
        for law in [Law::A, Law::Mu] {
            let mut caller = Caller::new(law, None);
            for digit in "4711".chars() {
                caller.play(digit, 5, &[]);
            }
            assert_eq!(caller.told, "4711");
        }
    }

    #[test]
    fn a_lost_packet_does_not_split_a_digit() {
        let mut caller = Caller::new(Law::Mu, None);
        caller.play('5', 12, &[6]);
        assert_eq!(caller.told, "5");
    }

    #[test]
    fn digits_come_as_events_rfc4733_2() {
        let mut caller = Caller::new(Law::Mu, Some(101));
        caller.event('4');
        caller.event('4');
        caller.event('#');
        assert_eq!(caller.told, "44#");
    }

    #[test]
    fn a_tone_that_leaks_beside_its_event_is_one_digit() {
        let mut caller = Caller::new(Law::Mu, Some(101));
        caller.play('4', 3, &[]);
        caller.event('4');
        caller.play('4', 5, &[]);
        caller.event('5');
        assert_eq!(caller.told, "45");
    }

    #[test]
    fn a_caller_who_agreed_on_events_and_plays_tones_is_heard() {
        let mut caller = Caller::new(Law::Mu, Some(101));
        caller.play('9', 5, &[]);
        assert_eq!(caller.told, "9");
    }

    #[test]
    fn other_payloads_and_nonsense_are_passed_over() {
        let mut caller = Caller::new(Law::Mu, None);
        caller.send(101, 0, &[5, 0x8a, 0, 160]);
        caller.send(0, 0, &[]);
        assert_eq!(caller.ear.hear(caller.now, &[0x80, 0]), None);
        assert_eq!(caller.told, "");
    }
}
