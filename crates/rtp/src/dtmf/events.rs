//! Digits out of telephone events (RFC 4733 §2.5).
//!
//! An event is a run of packets with one RTP timestamp, the last of them sent three times; any of
//! them may be lost, late or doubled. What names an event is its timestamp, so the first packet
//! that arrives tells the digit and no other one does. Left out: events beyond the sixteen digits,
//! and volumes, which are the sender's word about nothing.

use crate::Header;
use crate::telephone_event::{LAST_DTMF, TelephoneEvent};

/// Reads one sender's telephone events.
#[derive(Clone, Debug, Default)]
pub struct EventReader {
    last: Option<Heard>,
}

/// The event that is on, or was last.
#[derive(Clone, Copy, Debug)]
struct Heard {
    ssrc: u32,
    timestamp: u32,
    event: u8,
    duration: u16,
    ended: bool,
}

/// A sender that counts its timestamp on within an event does so by no more than this many ticks a
/// packet: 100 ms at 8 kHz.
const STEP_MAX: u32 = 800;
/// A segment of a long event lasts at least so long (RFC 4733 §2.5.1.3): all that fits, less one
/// packet of 100 ms.
const SEGMENT_MIN: u16 = u16::MAX - STEP_MAX as u16;

impl EventReader {
    /// A packet of the event payload type: the digit, if it begins one.
    pub fn read(&mut self, header: &Header, payload: &[u8]) -> Option<char> {
        let event = TelephoneEvent::parse(payload).ok()?;
        if event.event > LAST_DTMF {
            return None;
        }
        let heard = Heard {
            ssrc: header.ssrc.raw(),
            timestamp: header.timestamp,
            event: event.event,
            duration: event.duration,
            ended: event.end,
        };
        let is_new = self
            .last
            .is_none_or(|last| last.is_followed_by(&heard, header.marker));
        match &mut self.last {
            Some(last) if !is_new => last.absorb(&heard),
            last => *last = Some(heard),
        }
        if is_new { event.digit() } else { None }
    }
}

impl Heard {
    /// Whether `next` is another event.
    fn is_followed_by(&self, next: &Heard, marker: bool) -> bool {
        if self.ssrc != next.ssrc {
            return true;
        }
        let step = next.timestamp.wrapping_sub(self.timestamp);
        if step == 0 || step > u32::MAX / 2 {
            // The same one again, or one from before that was late.
            return false;
        }
        if marker || self.event != next.event {
            return true;
        }
        // Not marked as new: the next segment of a long event, or a sender that lets its clock run.
        let segment =
            self.duration >= SEGMENT_MIN && step.abs_diff(self.duration.into()) <= STEP_MAX;
        let running = !self.ended && step <= STEP_MAX && next.duration > self.duration;
        !(segment || running)
    }

    /// Another packet of the same event.
    fn absorb(&mut self, next: &Heard) {
        let step = next.timestamp.wrapping_sub(self.timestamp);
        if self.ssrc != next.ssrc || step > u32::MAX / 2 {
            return;
        }
        if step > 0 {
            (self.timestamp, self.duration, self.ended) =
                (next.timestamp, next.duration, next.ended);
            return;
        }
        self.duration = self.duration.max(next.duration);
        self.ended |= next.ended;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Ssrc;

    struct Sender {
        reader: EventReader,
        told: String,
    }

    impl Sender {
        fn new() -> Sender {
            Sender {
                reader: EventReader::default(),
                told: String::new(),
            }
        }

        fn packet(&mut self, timestamp: u32, marker: bool, payload: [u8; 4]) -> &mut Sender {
            let header = Header {
                ssrc: Ssrc::new(7),
                timestamp,
                seq: 0,
                payload_type: 101,
                marker,
                padding: false,
                header_len: 12,
            };
            self.told.extend(self.reader.read(&header, &payload));
            self
        }

        /// A whole event of 100 ms, as a sender of 20 ms packets sends it.
        fn event(&mut self, timestamp: u32, event: u8) -> &mut Sender {
            for step in 1..=5_u16 {
                let [hi, lo] = (step * 160).to_be_bytes();
                self.packet(timestamp, step == 1, [event, 10, hi, lo]);
            }
            for _ in 0..3 {
                self.packet(timestamp, false, [event, 0x8a, 0x03, 0x20]);
            }
            self
        }
    }

    #[test]
    fn an_event_is_told_once_rfc4733_2_5_1_4() {
        let mut sender = Sender::new();
        sender.event(1_000, 4).event(3_000, 4).event(5_000, 11);
        assert_eq!(sender.told, "44#");
    }

    /// The example of RFC 4733 §5, table 8: "911", each digit of 200, 250 and 200 ms, with the
    /// timestamps there.
    #[test]
    fn the_example_of_the_rfc_is_read_rfc4733_5() {
        let mut sender = Sender::new();
        for (timestamp, event, duration) in
            [(0, 9, 1_600_u16), (11_200, 1, 2_000), (22_560, 1, 640)]
        {
            for packet in 1..=(duration / 400).max(1) {
                let [hi, lo] = (packet * 400).min(duration).to_be_bytes();
                sender.packet(timestamp, packet == 1, [event, 7, hi, lo]);
            }
            for _ in 0..3 {
                let [hi, lo] = duration.to_be_bytes();
                sender.packet(timestamp, false, [event, 0x87, hi, lo]);
            }
        }
        assert_eq!(sender.told, "911");
    }

    #[test]
    fn any_packet_of_an_event_tells_it() {
        let mut sender = Sender::new();
        sender.packet(1_000, false, [5, 0x8a, 3, 0x20]);
        assert_eq!(sender.told, "5", "only its end arrived");
        sender.packet(1_000, true, [5, 10, 0, 160]);
        assert_eq!(sender.told, "5", "its beginning was late");
        sender.event(4_000, 6).packet(1_000, true, [5, 10, 0, 160]);
        assert_eq!(sender.told, "56", "and later still");
    }

    #[test]
    fn a_key_that_is_held_for_long_is_one_digit_rfc4733_2_5_1_3() {
        let mut sender = Sender::new();
        let [hi, lo] = u16::MAX.to_be_bytes();
        sender
            .packet(1_000, true, [5, 10, 0, 160])
            .packet(1_000, false, [5, 10, hi, lo])
            .packet(1_000 + 65_535, false, [5, 10, 0, 160])
            .packet(1_000 + 65_535, false, [5, 0x8a, 3, 0x20]);
        assert_eq!(sender.told, "5");
        sender.event(90_000, 5);
        assert_eq!(sender.told, "55");
    }

    #[test]
    fn a_sender_that_lets_its_clock_run_within_an_event_is_understood() {
        let mut sender = Sender::new();
        for step in 1..=5_u16 {
            let [hi, lo] = (step * 160).to_be_bytes();
            let timestamp = 1_000 + u32::from(step) * 160;
            sender.packet(timestamp, step == 1, [5, 10, hi, lo]);
        }
        assert_eq!(sender.told, "5");
    }

    #[test]
    fn what_is_no_digit_is_none() {
        let mut sender = Sender::new();
        sender.event(1_000, 16).event(2_000, 255);
        assert_eq!(sender.told, "");
    }

    #[test]
    fn the_clock_may_go_round_rfc3550_5_1() {
        let mut sender = Sender::new();
        sender.event(u32::MAX - 100, 1).event(2_000, 1);
        assert_eq!(sender.told, "11");
    }

    proptest! {
        #[test]
        fn any_packets_are_read(packets in prop::collection::vec(any::<(u32, bool, [u8; 4])>(), 0..40)) {
            let mut sender = Sender::new();
            for (timestamp, marker, payload) in packets {
                sender.packet(timestamp, marker, payload);
            }
        }
    }
}
