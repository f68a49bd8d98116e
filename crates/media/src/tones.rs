//! Digits on their way between sides that convey them differently: as telephone events (RFC 4733),
//! by signalling only (INFO), or as tones in G.711 sound.
//!
//! Events are taken out of the one side's packets and told to the session, [`Plane::told_tone`];
//! the numbering of the packets that go on closes up behind them. Digits of the other side are
//! put in the place of its sound, packet by packet: the source, the numbering and the clock are
//! those of the sound, and there is no timer. So a side that sends no sound sends no digit; what waits
//! for longer than [`TONE_WAIT`] is dropped, lest it is dialled much later. Tones in the sound are
//! `in_band.rs`.
//!
//! Digits are what people dial, and their secrets: nothing here prints one.
//!
//! [`Plane::told_tone`]: crate::Plane::told_tone

mod in_band;

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use ringfence_base::Instant;
use ringfence_rtp::Header;
use ringfence_rtp::telephone_event::{LAST_DTMF, PAYLOAD_LEN, TelephoneEvent};

pub use in_band::G711;

use in_band::{Listener, Mouth};

use crate::config::Side;

/// How long a digit may wait for the packets that carry it.
pub const TONE_WAIT: Duration = Duration::from_secs(5);
/// Digits that wait on one stream.
pub const TONES_WAITING_MAX: usize = 32;
/// Told digits that nobody has fetched, on all streams of a worker.
pub(crate) const TONES_TOLD_MAX: usize = 64;
/// Least time between two digits that are told: nobody dials faster (RFC 4733 §2.5.1.1 keeps 40 ms of
/// tone and of pause), and each costs a request.
const TOLD_EVERY: Duration = Duration::from_millis(60);

const DURATION_MIN: Duration = Duration::from_millis(40);
const DURATION_MAX: Duration = Duration::from_secs(5);
/// Pause behind a digit.
const PAUSE: Duration = Duration::from_millis(60);
/// How often the end of an event is sent (RFC 4733 §2.5.1.4).
const ENDS: u8 = 3;
/// -10 dBm0.
const VOLUME: u8 = 10;
/// An RTP header without sources and extensions.
const HEADER_LEN: usize = 12;
/// The longest step of the clock between two packets, in packets of 20 ms.
const STEP_MAX: u32 = 10;

/// One key of a keypad, and for how long it was pressed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Tone {
    /// Event code (RFC 4733 §3.2), 0..=15.
    event: u8,
    duration: Duration,
}

impl Tone {
    /// The tone of an event code; `None` if it is no digit. The duration is kept between 40 ms and 5 s.
    pub fn new(event: u8, duration: Duration) -> Option<Tone> {
        (event <= LAST_DTMF).then(|| Tone {
            event,
            duration: duration.clamp(DURATION_MIN, DURATION_MAX),
        })
    }

    /// Its event code.
    pub const fn event(self) -> u8 {
        self.event
    }

    /// Its key: `0`-`9`, `*`, `#`, `A`-`D`.
    pub fn digit(self) -> Option<char> {
        let event = TelephoneEvent {
            event: self.event,
            end: true,
            volume: 0,
            duration: 0,
        };
        event.digit()
    }

    /// How long it lasts.
    pub const fn duration(self) -> Duration {
        self.duration
    }
}

impl fmt::Debug for Tone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tone(…)")
    }
}

/// How a side of a stream conveys digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToneWay {
    /// As telephone events (RFC 4733).
    Events {
        /// The payload type of its events.
        receive: u8,
        /// The payload type of events towards it.
        send: u8,
    },
    /// By signalling only.
    Signalling,
    /// As tones in its sound, if that is G.711.
    Sound(G711),
}

/// What a stream does with digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ToneRules {
    /// The ways of side A and side B.
    pub ways: [ToneWay; 2],
    /// Ticks of the event clock, and of the sound, per second.
    pub clock_rate: u32,
    /// What told digits are known by.
    pub owner: u64,
}

/// A digit that was taken out of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ToldTone {
    /// Whose: [`ToneRules::owner`].
    pub owner: u64,
    /// The side that it came from.
    pub side: Side,
    /// The digit.
    pub tone: Tone,
}

/// The digits of a stream.
pub(crate) struct Tones {
    pub(crate) rules: ToneRules,
    /// A digit that has just ended.
    pub(crate) told: Option<ToldTone>,
    heard: Option<Heard>,
    last_told: Option<Instant>,
    /// Packets taken out so far.
    taken: u16,
    waiting: VecDeque<(Tone, Instant)>,
    sending: Option<Sending>,
    /// No digit begins before this, on the sound's clock.
    pause_until: Option<u32>,
    last_timestamp: Option<u32>,
    /// Tones towards the side that knows digits as sound.
    mouth: Mouth,
    /// Tones of that side.
    listener: Listener,
}

/// An event that comes in.
struct Heard {
    timestamp: u32,
    event: u8,
    duration: u16,
    told: bool,
}

/// An event that goes out.
struct Sending {
    event: u8,
    start: u32,
    total: u32,
    is_first: bool,
    ends_left: u8,
    /// Duration that the end was sent with.
    ended_at: u16,
    ssrc: u32,
    /// It is a tone that goes on.
    is_held: bool,
}

impl Tones {
    pub(crate) fn new(rules: ToneRules) -> Tones {
        Tones {
            rules,
            told: None,
            heard: None,
            last_told: None,
            taken: 0,
            waiting: VecDeque::new(),
            sending: None,
            pause_until: None,
            last_timestamp: None,
            mouth: Mouth::default(),
            listener: Listener::default(),
        }
    }

    /// An RTP packet `buf[..len]` that came from `side` and was accepted: its length as it goes on;
    /// `None` if it goes no further.
    #[cold]
    pub(crate) fn pass(
        &mut self,
        now: Instant,
        side: Side,
        buf: &mut [u8],
        len: usize,
    ) -> Option<usize> {
        let [a, b] = self.rules.ways;
        let (from, to) = match side {
            Side::A => (a, b),
            Side::B => (b, a),
        };
        match (from, to) {
            (ToneWay::Events { receive, .. }, ToneWay::Signalling) => {
                let taken = self.take(now, receive, buf.get_mut(..len)?);
                taken.map_or_else(
                    |tone| {
                        self.told = tone.map(|tone| ToldTone {
                            owner: self.rules.owner,
                            side,
                            tone,
                        });
                        None
                    },
                    |()| Some(len),
                )
            }
            (ToneWay::Events { receive, .. }, ToneWay::Sound(g711)) => {
                let Some(len) = self.mouth.carry(now, (g711, receive), buf, len) else {
                    self.taken = self.taken.wrapping_add(1);
                    return None;
                };
                self.close_up(buf);
                Some(len)
            }
            (ToneWay::Signalling, ToneWay::Events { send, .. }) => {
                let packet = buf.get_mut(..len)?;
                self.substitute(now, send, packet).or(Some(len))
            }
            (ToneWay::Signalling, ToneWay::Sound(g711)) => {
                self.mouth.overlay(now, g711, buf.get_mut(..len)?);
                Some(len)
            }
            (ToneWay::Sound(g711), ToneWay::Events { send, .. }) => {
                let packet = buf.get_mut(..len)?;
                if let Some(ended) = self.listen(now, g711, packet) {
                    self.let_go(ended);
                }
                self.substitute(now, send, packet).or(Some(len))
            }
            (ToneWay::Sound(g711), ToneWay::Signalling) => {
                let ended = self.listen(now, g711, buf.get_mut(..len)?);
                let tone = ended.filter(|_| self.may_tell(now));
                self.told = tone.map(|tone| ToldTone {
                    owner: self.rules.owner,
                    side,
                    tone,
                });
                self.waiting.clear();
                Some(len)
            }
            _ => Some(len),
        }
    }

    /// Takes tones out of a packet of sound; a digit that begins waits to be sent. The digit that is
    /// over with it.
    fn listen(&mut self, now: Instant, g711: G711, packet: &mut [u8]) -> Option<Tone> {
        let told = self.listener.listen(g711, packet);
        if let Some(event) = told.began {
            if self.mouth.echoes(now, event) {
                self.listener.forget();
            } else if let Some(tone) = Tone::new(event, DURATION_MIN)
                && self.waiting.len() < TONES_WAITING_MAX
            {
                self.waiting.push_back((tone, now + TONE_WAIT));
            }
        }
        told.ended
    }

    /// The key of the tone that was heard last is let go.
    fn let_go(&mut self, tone: Tone) {
        match self.sending.as_mut().filter(|sending| sending.is_held) {
            Some(sending) => (sending.total, sending.is_held) = (0, false),
            // It has not been begun yet: it will last as long.
            None => {
                if let Some((waiting, _)) = self.waiting.back_mut()
                    && waiting.event == tone.event
                {
                    *waiting = tone;
                }
            }
        }
    }

    /// Queues a digit that came by signalling. `false`: there are too many, or no side takes it.
    pub(crate) fn push(&mut self, now: Instant, tone: Tone) -> bool {
        let ways = self.rules.ways;
        if !ways.contains(&ToneWay::Signalling) {
            return false;
        }
        if ways.iter().any(|way| matches!(way, ToneWay::Sound(_))) {
            return self.mouth.push(now, tone);
        }
        let has_room = self.waiting.len() < TONES_WAITING_MAX;
        if has_room {
            self.waiting.push_back((tone, now + TONE_WAIT));
        }
        has_room
    }

    /// Closes up the numbering behind packets that were taken out.
    fn close_up(&self, packet: &mut [u8]) {
        if self.taken != 0
            && let Some(field) = packet.get_mut(2..4)
            && let Ok(sequence) = <[u8; 2]>::try_from(&*field)
        {
            let sequence = u16::from_be_bytes(sequence).wrapping_sub(self.taken);
            field.copy_from_slice(&sequence.to_be_bytes());
        }
    }

    /// A packet of the side that speaks RFC 4733. `Err`: it was an event and goes no further; the
    /// digit, if one has just ended.
    fn take(&mut self, now: Instant, receive: u8, packet: &mut [u8]) -> Result<(), Option<Tone>> {
        let Ok(header) = Header::parse(packet) else {
            return Ok(());
        };
        if header.payload_type != receive {
            self.close_up(packet);
            return Ok(());
        }
        self.taken = self.taken.wrapping_add(1);
        let payload = packet.get(usize::from(header.header_len)..);
        let Some(event) = payload.and_then(|it| TelephoneEvent::parse(it).ok()) else {
            return Err(None);
        };
        let mut told = None;
        let is_same = self
            .heard
            .as_ref()
            .is_some_and(|heard| heard.timestamp == header.timestamp);
        if !is_same {
            // The end of the one before may have been lost.
            told = self.tell(now);
            self.heard = Some(Heard {
                timestamp: header.timestamp,
                event: event.event,
                duration: 0,
                told: false,
            });
        }
        if let Some(heard) = &mut self.heard {
            heard.duration = heard.duration.max(event.duration);
        }
        if event.end {
            told = told.or_else(|| self.tell(now));
        }
        Err(told)
    }

    fn tell(&mut self, now: Instant) -> Option<Tone> {
        let clock_rate = self.rules.clock_rate.max(1);
        let heard = self.heard.as_mut().filter(|heard| !heard.told)?;
        heard.told = true;
        let (event, duration) = (heard.event, heard.duration);
        if !self.may_tell(now) {
            return None;
        }
        let millis = u64::from(duration) * 1_000 / u64::from(clock_rate);
        Tone::new(event, Duration::from_millis(millis))
    }

    /// Whether it is long enough since a digit was told.
    fn may_tell(&mut self, now: Instant) -> bool {
        let may = self.last_told.is_none_or(|last| now >= last + TOLD_EVERY);
        if may {
            self.last_told = Some(now);
        }
        may
    }

    /// A packet of the other side, in whose place a digit may go. Its length then.
    fn substitute(&mut self, now: Instant, send: u8, packet: &mut [u8]) -> Option<usize> {
        let header = Header::parse(packet).ok()?;
        let (timestamp, ssrc) = (header.timestamp, header.ssrc.raw());
        let packet_time = self.rules.clock_rate / 50;
        let step = self
            .last_timestamp
            .replace(timestamp)
            .map(|last| timestamp.wrapping_sub(last))
            .filter(|step| (1..=packet_time * STEP_MAX).contains(step))
            .unwrap_or(packet_time);
        if self
            .sending
            .as_ref()
            .is_some_and(|sending| sending.ssrc != ssrc)
        {
            // Somebody else speaks: the digit is cut off.
            self.sending = None;
        }
        if self.sending.is_none() {
            self.sending = Some(self.begin(now, timestamp, ssrc)?);
        }
        let sending = self.sending.as_mut()?;
        let elapsed = timestamp.wrapping_sub(sending.start).wrapping_add(step);
        let is_end = sending.ends_left < ENDS || elapsed >= sending.total;
        if is_end && sending.ends_left == ENDS {
            sending.ended_at = u16::try_from(elapsed).unwrap_or(u16::MAX);
        }
        let duration = match is_end {
            true => sending.ended_at,
            false => u16::try_from(elapsed).unwrap_or(u16::MAX),
        };
        let event = TelephoneEvent {
            event: sending.event,
            end: is_end,
            volume: VOLUME,
            duration,
        };
        let marker = u8::from(sending.is_first) << 7;
        let [first, second, ..] = packet else {
            return None;
        };
        *first = 2 << 6;
        *second = marker | send & 0x7f;
        packet
            .get_mut(4..8)?
            .copy_from_slice(&sending.start.to_be_bytes());
        let payload = packet.get_mut(HEADER_LEN..HEADER_LEN + PAYLOAD_LEN)?;
        payload.copy_from_slice(&event.to_bytes());
        sending.is_first = false;
        if is_end {
            sending.ends_left -= 1;
            if sending.ends_left == 0 {
                let pause = self.rules.clock_rate / 1_000 * PAUSE.as_millis() as u32;
                self.pause_until = Some(timestamp.wrapping_add(step).wrapping_add(pause));
                self.sending = None;
            }
        }
        Some(HEADER_LEN + PAYLOAD_LEN)
    }

    fn begin(&mut self, now: Instant, timestamp: u32, ssrc: u32) -> Option<Sending> {
        while self.waiting.front().is_some_and(|(_, until)| now >= *until) {
            self.waiting.pop_front();
        }
        if self.waiting.is_empty() {
            return None;
        }
        let early = |until: u32| until.wrapping_sub(timestamp).wrapping_sub(1) < 1 << 30;
        if self.pause_until.is_some_and(early) {
            return None;
        }
        let (tone, _) = self.waiting.pop_front()?;
        let ticks = tone.duration.as_millis() as u32 * (self.rules.clock_rate / 1_000);
        // A tone that is still heard lasts until it is not, or for as long as one event can tell.
        let is_held = self.waiting.is_empty() && self.listener.is_on();
        let ticks = if is_held { u16::MAX.into() } else { ticks };
        Some(Sending {
            event: tone.event,
            start: timestamp,
            total: ticks.min(u32::from(u16::MAX)),
            is_first: true,
            ends_left: ENDS,
            ended_at: 0,
            ssrc,
            is_held,
        })
    }
}
