//! What the streams of one worker count.

/// Why a connection was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The far side closed it.
    ByPeer,
    /// No connection was made, or no TLS, in time; or it was refused.
    ConnectFailed,
    /// The system reported an error.
    Error,
    /// Proven nothing and said nothing for too long.
    Idle,
    /// Sent what cannot be cut into messages.
    NotSip,
    /// Began a message and did not end it in time.
    Partial,
    /// Opened and sent no message in time.
    Silent,
    /// Did not read what we sent.
    Stuck,
    /// The TLS handshake or a TLS record failed.
    Tls,
    /// A WebSocket handshake that was none or is not allowed, or frames against RFC 6455.
    WebSocket,
}

impl CloseReason {
    /// Every reason, in the order of the discriminants.
    pub const ALL: [CloseReason; 10] = [
        CloseReason::ByPeer,
        CloseReason::ConnectFailed,
        CloseReason::Error,
        CloseReason::Idle,
        CloseReason::NotSip,
        CloseReason::Partial,
        CloseReason::Silent,
        CloseReason::Stuck,
        CloseReason::Tls,
        CloseReason::WebSocket,
    ];

    /// The name in metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            CloseReason::ByPeer => "by_peer",
            CloseReason::ConnectFailed => "connect_failed",
            CloseReason::Error => "error",
            CloseReason::Idle => "idle",
            CloseReason::NotSip => "not_sip",
            CloseReason::Partial => "partial",
            CloseReason::Silent => "silent",
            CloseReason::Stuck => "stuck",
            CloseReason::Tls => "tls",
            CloseReason::WebSocket => "websocket",
        }
    }
}

/// Counters of one worker's connections.
#[derive(Clone, Debug, Default)]
pub struct StreamCounters {
    /// Connections now.
    pub open: u64,
    /// The same by listener.
    pub open_by_listener: Vec<u64>,
    /// Connections taken from others.
    pub accepted: u64,
    /// Connections opened by us.
    pub connected: u64,
    /// Connections refused because a bound was reached.
    pub refused: u64,
    /// TLS handshakes of strangers refused because their address had begun too many.
    pub handshakes_refused: u64,
    /// Messages received.
    pub messages: u64,
    /// Keep-alives answered.
    pub pings: u64,
    /// Messages that could not be sent.
    pub unsendable: u64,
    /// Connections closed, by reason, in the order of [`CloseReason::ALL`].
    pub closed: [u64; CloseReason::ALL.len()],
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_reasons_is_in_the_order_of_the_counters() {
        assert!(
            CloseReason::ALL
                .iter()
                .enumerate()
                .all(|(index, &r)| r as usize == index)
        );
    }
}
