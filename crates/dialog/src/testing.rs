//! A bench for the layer's tests: virtual time, messages as text, and what was sent when.

use std::time::Duration;

use bytes::Bytes;
use ringfence_base::entropy::SeededEntropy;
use ringfence_base::{Flow, Instant, ListenerId, Transport, WorkerIndex};
use ringfence_sip::{Index, StatusCode};

use crate::{
    ClientId, Cookies, Event, Limits, Matched, Owner, RequestKind, ServerId, TimerTable,
    Transactions, Transmit,
};

/// A layer, and the time it believes in.
pub(crate) struct Bench {
    pub(crate) layer: Transactions,
    pub(crate) now: Instant,
    pub(crate) flow: Flow,
    /// What left by the last calls: milliseconds and message.
    pub(crate) sent: Vec<(u64, Transmit)>,
    /// What happened: milliseconds and event.
    pub(crate) events: Vec<(u64, Event)>,
}

impl Bench {
    pub(crate) fn udp() -> Bench {
        Bench::new(Transport::Udp, Limits::default())
    }

    pub(crate) fn tcp() -> Bench {
        Bench::new(Transport::Tcp, Limits::default())
    }

    pub(crate) fn new(transport: Transport, limits: Limits) -> Bench {
        let cookies = Cookies::new([7; 16], WorkerIndex::new(3));
        let mut entropy = SeededEntropy::new(1);
        let remote = "192.0.2.10:5060".parse().unwrap();
        Bench {
            layer: Transactions::new(TimerTable::default(), cookies, &mut entropy, limits),
            now: Instant::ZERO,
            flow: Flow {
                listener: ListenerId::new(0),
                transport,
                remote,
                connection: None,
            },
            sent: Vec::new(),
            events: Vec::new(),
        }
    }

    /// Hands the layer a message that came over the bench's flow.
    pub(crate) fn receive(&mut self, text: impl AsRef<[u8]>) -> Matched {
        let flow = self.flow;
        self.receive_over(&flow, text)
    }

    pub(crate) fn receive_over(&mut self, flow: &Flow, text: impl AsRef<[u8]>) -> Matched {
        let mut index = Index::default();
        let message = index.parse(text.as_ref()).unwrap();
        let matched = self.layer.handle_input(self.now, flow, &message);
        self.drain();
        matched
    }

    /// Receives a new request.
    #[track_caller]
    pub(crate) fn receive_new(&mut self, text: impl AsRef<[u8]>) -> ServerId {
        match self.receive(text) {
            Matched::NewRequest(id) => id,
            other => panic!("expected a new request, got {other:?}"),
        }
    }

    pub(crate) fn respond(&mut self, id: ServerId, code: u16) {
        let text = format!("SIP/2.0 {code} X\r\nContent-Length: 0\r\n\r\n");
        self.layer
            .respond(self.now, id, StatusCode::of(code), Bytes::from(text));
        self.drain();
    }

    /// Sends a request with the owner 42.
    pub(crate) fn send(&mut self, method: &str) -> ClientId {
        let id = self.layer.reserve_client().unwrap();
        let branch = self.layer.branch(id).to_string();
        let kind = match method {
            "INVITE" => RequestKind::Invite,
            _ => RequestKind::NonInvite,
        };
        let bytes = Bytes::from(request(method, &branch));
        self.layer
            .send_request(self.now, id, kind, self.flow, bytes, Owner(42));
        self.drain();
        id
    }

    /// Receives a response to a request of ours.
    pub(crate) fn answer(&mut self, id: ClientId, method: &str, code: u16, tag: &str) -> Matched {
        let branch = self.layer.branch(id).to_string();
        self.receive(response(method, &branch, code, tag))
    }

    pub(crate) fn cancel(&mut self, id: ClientId) {
        self.layer.cancel(self.now, id);
        self.drain();
    }

    /// Sends a request over `flow`, which UDP over the bench's own is kept beside.
    pub(crate) fn send_large(&mut self, method: &str, flow: Flow) -> ClientId {
        let id = self.layer.reserve_client().unwrap();
        let branch = self.layer.branch(id).to_string();
        let kind = match method {
            "INVITE" => RequestKind::Invite,
            _ => RequestKind::NonInvite,
        };
        let bytes = Bytes::from(request(method, &branch));
        let instead = (self.flow, bytes.clone());
        self.layer
            .send_large_request(self.now, id, kind, flow, bytes, Owner(42), instead);
        self.drain();
        id
    }

    pub(crate) fn fail_transport(&mut self) {
        self.fail(&self.flow.clone());
    }

    pub(crate) fn fail(&mut self, flow: &Flow) {
        self.layer.transport_failed(self.now, flow);
        self.drain();
    }

    /// Sends an ACK for the 2xx with this To tag.
    pub(crate) fn ack(&mut self, id: ClientId, tag: &str) {
        let branch = self.layer.ack_branch().to_string();
        let text =
            request("ACK", &branch).replace("To: <sip:b@h>", &format!("To: <sip:b@h>;tag={tag}"));
        self.layer
            .send_ack_2xx(self.now, id, self.flow, Bytes::from(text));
        self.drain();
    }

    /// Lets time pass, jumping from one timer to the next.
    pub(crate) fn run_to(&mut self, ms: u64) {
        let end = at(ms);
        while let Some(due) = self.layer.poll_timeout().filter(|&due| due <= end) {
            self.now = self.now.max(due);
            self.layer.handle_timeout(self.now);
            self.drain();
        }
        self.now = end;
    }

    /// When messages left whose first line starts with `start`, in milliseconds; forgets all that
    /// was sent.
    pub(crate) fn times_of(&mut self, start: &str) -> Vec<u64> {
        let sent = std::mem::take(&mut self.sent);
        sent.iter()
            .filter(|(_, message)| message.bytes.starts_with(start.as_bytes()))
            .map(|(ms, _)| *ms)
            .collect()
    }

    /// The text of the only message that left.
    #[track_caller]
    pub(crate) fn only_sent(&mut self) -> String {
        let sent = std::mem::take(&mut self.sent);
        assert_eq!(sent.len(), 1, "one message");
        String::from_utf8(sent[0].1.bytes.to_vec()).unwrap()
    }

    /// Neither transactions nor timers are left.
    #[track_caller]
    pub(crate) fn assert_idle(&self) {
        assert_eq!(
            (self.layer.client_count(), self.layer.server_count()),
            (0, 0)
        );
        assert_eq!(
            (self.layer.poll_timeout(), self.layer.clients_pending()),
            (None, 0)
        );
    }

    fn drain(&mut self) {
        let ms = (self.now - Instant::ZERO).as_millis() as u64;
        while let Some(transmit) = self.layer.poll_transmit() {
            self.sent.push((ms, transmit));
        }
        while let Some(event) = self.layer.poll_event() {
            self.events.push((ms, event));
        }
    }
}

pub(crate) fn at(ms: u64) -> Instant {
    Instant::ZERO + Duration::from_millis(ms)
}

/// A request with this branch, from `192.0.2.10:5060`.
pub(crate) fn request(method: &str, branch: &str) -> String {
    format!(
        "{method} sip:b@h SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.10:5060;branch={branch};rport\r\n\
         Max-Forwards: 70\r\nRoute: <sip:p1;lr>\r\nRoute: <sip:p2;lr>\r\n\
         From: \"A\" <sip:a@h>;tag=from\r\nTo: <sip:b@h>\r\nCall-ID: call\r\n\
         CSeq: 7 {method}\r\nContent-Length: 0\r\n\r\n"
    )
}

/// A response with this branch; `tag` is the To tag, unless it is empty.
pub(crate) fn response(method: &str, branch: &str, code: u16, tag: &str) -> String {
    let tag = if tag.is_empty() {
        String::new()
    } else {
        format!(";tag={tag}")
    };
    format!(
        "SIP/2.0 {code} X\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch={branch}\r\n\
         From: \"A\" <sip:a@h>;tag=from\r\nTo: <sip:b@h>{tag}\r\nCall-ID: call\r\n\
         CSeq: 7 {method}\r\nContent-Length: 0\r\n\r\n"
    )
}
