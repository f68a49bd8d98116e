//! `sendrecv`, `sendonly`, `recvonly`, `inactive` (RFC 8866 §6.7) and how answers mirror them.

/// Which way media flows, seen from whoever wrote the description.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Both ways; what no attribute means.
    #[default]
    SendRecv,
    /// The writer only sends.
    SendOnly,
    /// The writer only receives.
    RecvOnly,
    /// Neither way.
    Inactive,
}

impl Direction {
    /// The attribute's name.
    pub const fn name(self) -> &'static str {
        match self {
            Direction::Inactive => "inactive",
            Direction::RecvOnly => "recvonly",
            Direction::SendOnly => "sendonly",
            Direction::SendRecv => "sendrecv",
        }
    }

    /// The direction that an attribute's name means, case apart.
    pub fn from_name(name: &str) -> Option<Direction> {
        [
            Direction::SendRecv,
            Direction::SendOnly,
            Direction::RecvOnly,
            Direction::Inactive,
        ]
        .into_iter()
        .find(|direction| direction.name().eq_ignore_ascii_case(name))
    }

    /// Built from its two halves.
    pub const fn new(sends: bool, receives: bool) -> Direction {
        match (sends, receives) {
            (true, true) => Direction::SendRecv,
            (true, false) => Direction::SendOnly,
            (false, true) => Direction::RecvOnly,
            (false, false) => Direction::Inactive,
        }
    }

    /// Whether the writer sends.
    pub const fn sends(self) -> bool {
        matches!(self, Direction::SendRecv | Direction::SendOnly)
    }

    /// Whether the writer receives.
    pub const fn receives(self) -> bool {
        matches!(self, Direction::SendRecv | Direction::RecvOnly)
    }

    /// The same flow seen from the other end.
    pub const fn reversed(self) -> Direction {
        Direction::new(self.receives(), self.sends())
    }

    /// The answer to this offer from an end that would like `wanted`: never more than the offer
    /// allows (RFC 3264 §6.1).
    pub const fn answer(self, wanted: Direction) -> Direction {
        Direction::new(
            wanted.sends() && self.receives(),
            wanted.receives() && self.sends(),
        )
    }

    /// Whether `answer` is one that RFC 3264 §6.1 allows to this offer.
    pub const fn allows_answer(self, answer: Direction) -> bool {
        (!answer.sends() || self.receives()) && (!answer.receives() || self.sends())
    }
}
