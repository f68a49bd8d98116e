//! The attendants of a plane: one for each stream that the edge has answered itself.

use std::collections::VecDeque;

use ringfence_base::Instant;
use slab::Slab;

use super::ear::Ear;
use super::speaker::Speaker;
use super::{Law, Part};
use crate::config::Side;
use crate::plane::StreamId;

/// Attendants of one worker. More calls than that are never asked at once: each would need a
/// channel of a site under attack.
pub(crate) const ATTENDANTS_MAX: usize = 4_096;
/// Digits that wait to be taken.
const HEARD_MAX: usize = 1_024;

/// How a side is attended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attend {
    /// The side.
    pub side: Side,
    /// Payload type of the G.711 that was agreed on.
    pub audio: u8,
    /// Which G.711 it is.
    pub law: Law,
    /// Payload type of telephone events, if they were agreed on.
    pub events: Option<u8>,
    /// What [`Heard::owner`] will say.
    pub owner: u64,
}

/// A key that was pressed at an attended side.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Heard {
    /// Whose: [`Attend::owner`].
    pub owner: u64,
    /// Where.
    pub stream: StreamId,
    /// `0`-`9`, `*`, `#`, `A`-`D`. What people dial is their secret: it is not printed.
    pub digit: char,
}

impl std::fmt::Debug for Heard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Heard")
            .field("stream", &self.stream)
            .finish_non_exhaustive()
    }
}

/// An attendant's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AttendantIndex(u16);

struct Attendant {
    owner: u64,
    stream: StreamId,
    side: Side,
    speaker: Speaker,
    ear: Ear,
}

/// All of a plane.
#[derive(Default)]
pub(crate) struct Attendants {
    all: Slab<Attendant>,
    heard: VecDeque<Heard>,
    /// No packet is due before; none is due at all.
    due: Option<Instant>,
    /// How far the round is that looks for packets that are due.
    place: usize,
}

impl Attendants {
    /// A new one; `None` if there are too many.
    pub(crate) fn add(
        &mut self,
        now: Instant,
        stream: StreamId,
        attend: Attend,
        name: [u64; 2],
    ) -> Option<AttendantIndex> {
        if self.all.len() >= ATTENDANTS_MAX {
            return None;
        }
        self.due = Some(self.due.map_or(now, |due| due.min(now)));
        let index = self.all.insert(Attendant {
            owner: attend.owner,
            stream,
            side: attend.side,
            speaker: Speaker::new(now, attend.audio, attend.law, name),
            ear: Ear::new(attend.audio, attend.law, attend.events),
        });
        Some(AttendantIndex(index as u16))
    }

    pub(crate) fn remove(&mut self, index: AttendantIndex) {
        self.all.try_remove(index.0.into());
        if self.all.is_empty() {
            self.due = None;
        }
    }

    pub(crate) fn say(&mut self, index: AttendantIndex, parts: impl IntoIterator<Item = Part>) {
        if let Some(attendant) = self.all.get_mut(index.0.into()) {
            attendant.speaker.say(parts);
        }
    }

    /// A packet of the attended peer, in the clear.
    pub(crate) fn hear(&mut self, now: Instant, index: AttendantIndex, packet: &[u8]) {
        let Some(attendant) = self.all.get_mut(index.0.into()) else {
            return;
        };
        let digit = attendant.ear.hear(now, packet);
        if let Some(digit) = digit
            && self.heard.len() < HEARD_MAX
        {
            let (owner, stream) = (attendant.owner, attendant.stream);
            self.heard.push_back(Heard {
                owner,
                stream,
                digit,
            });
        }
    }

    pub(crate) fn poll_heard(&mut self) -> Option<Heard> {
        self.heard.pop_front()
    }

    pub(crate) fn has_heard(&self) -> bool {
        !self.heard.is_empty()
    }

    /// When the next packet is due, or may be.
    pub(crate) const fn next_at(&self) -> Option<Instant> {
        self.due
    }

    /// Writes one packet that is due at `now`: for whom, and its length. What is due is looked for
    /// in one round through all, however many packets it gives.
    pub(crate) fn speak(
        &mut self,
        now: Instant,
        buf: &mut [u8],
    ) -> Option<(StreamId, Side, usize)> {
        self.due.filter(|due| *due <= now)?;
        let last = self.all.iter().next_back().map(|(place, _)| place);
        while last.is_some_and(|last| self.place <= last) {
            if let Some(attendant) = self.all.get_mut(self.place)
                && attendant.speaker.next_at() <= now
                && let Some(len) = attendant.speaker.packet(now, buf)
            {
                return Some((attendant.stream, attendant.side, len));
            }
            self.place += 1;
        }
        self.place = 0;
        let speakers = self.all.iter().map(|(_, attendant)| &attendant.speaker);
        self.due = speakers.map(Speaker::next_at).min();
        None
    }
}
