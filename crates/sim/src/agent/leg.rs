//! One agent's part of a call, and its audio.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use ringfence_base::{Flow, Instant};
use ringfence_dialog::dialog::Dialog;
use ringfence_dialog::{ClientId, ServerId, Tag};
use ringfence_rtp::{PacketKind, RtpView, classify};

use crate::agent::audio::{PACKETS, Voice};
use crate::agent::script::{Action, Script};
use crate::agent::{Agent, Datagram, Fault, Identity};

/// One agent's part of a call.
pub struct Leg {
    pub(crate) call: usize,
    pub(crate) script: Script,
    pub(crate) is_caller: bool,
    pub(crate) state: LegState,
    /// The host is gone: it neither hears nor says anything.
    pub(crate) gone: bool,
    pub(crate) call_id: Vec<u8>,
    /// The INVITE that began it, sent or received.
    pub(crate) invite: Bytes,
    pub(crate) client: Option<ClientId>,
    pub(crate) server: Option<(ServerId, Flow, Tag)>,
    /// More than one where several phones answered.
    pub(crate) dialogs: Vec<Dialog>,
    /// Our tags of the dialogs in which an ACK came.
    pub(crate) acknowledged: Vec<Vec<u8>>,
    /// Our tags of the dialogs in which a BYE came.
    pub(crate) ended: Vec<Vec<u8>>,
    pub(crate) cancelled: bool,
    pub(crate) re_invites_open: u8,
    /// Re-INVITEs that we said 200 to, with their sequence numbers.
    pub(crate) re_invites_answered: Vec<(ServerId, u32)>,
    pub(crate) status: Option<u16>,
    pub(crate) remote: Option<SocketAddr>,
    pub(crate) codec: u8,
    pub(crate) on_hold: bool,
    pub(crate) descriptions: u32,
    pub(crate) speaking: bool,
    pub(crate) spoken: u8,
    /// One bit for each packet number heard.
    pub(crate) heard: u16,
}

/// Where a leg stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LegState {
    /// It has not begun.
    Idle,
    /// It has ended.
    Over,
    /// An INVITE waits for its final answer, or a 2xx for its ACK.
    Setup,
    /// It is answered.
    Up,
}

impl Leg {
    pub(crate) fn new(identity: &Identity, call: usize, script: Script) -> Leg {
        Leg {
            call,
            script,
            is_caller: script.caller == identity.side,
            state: LegState::Idle,
            gone: false,
            call_id: Vec::new(),
            invite: Bytes::new(),
            client: None,
            server: None,
            dialogs: Vec::new(),
            acknowledged: Vec::new(),
            ended: Vec::new(),
            cancelled: false,
            re_invites_open: 0,
            re_invites_answered: Vec::new(),
            status: None,
            remote: None,
            codec: script.codec,
            on_hold: false,
            descriptions: 0,
            speaking: false,
            spoken: 0,
            heard: 0,
        }
    }

    /// The re-INVITE of the peer with this sequence number.
    pub(crate) fn re_invite_of(&self, cseq: u32) -> Option<ServerId> {
        let mut answered = self.re_invites_answered.iter();
        answered
            .find(|(_, number)| *number == cseq)
            .map(|(server, _)| *server)
    }

    /// Where it stands.
    pub fn state(&self) -> LegState {
        self.state
    }

    /// Whether the host is gone.
    pub fn is_gone(&self) -> bool {
        self.gone
    }

    /// Whether it is the caller's.
    pub fn is_caller(&self) -> bool {
        self.is_caller
    }

    /// Its Call-ID; empty before the call.
    pub fn call_id(&self) -> &[u8] {
        &self.call_id
    }

    /// The final status that the caller got.
    pub fn status(&self) -> Option<u16> {
        self.status
    }

    /// How many of its phones answered and never got a BYE.
    pub fn phones_left(&self) -> usize {
        let is_left = |dialog: &&Dialog| !self.ended.iter().any(|tag| tag == dialog.local_tag());
        self.dialogs.iter().filter(is_left).count()
    }

    /// How many audio packets it sent.
    pub fn spoken(&self) -> u32 {
        u32::from(self.spoken)
    }

    /// How many different audio packets it heard.
    pub fn heard(&self) -> u32 {
        self.heard.count_ones()
    }
}

/// The audio port of a call, on either agent.
pub(crate) const fn audio_port(call: usize) -> u16 {
    40_000 + 4 * call as u16
}

impl Agent {
    pub(crate) fn begin_audio(&mut self, now: Instant, call: usize) {
        let leg = &mut self.legs[call];
        if leg.remote.is_some() && !std::mem::replace(&mut leg.speaking, true) {
            self.tasks.schedule(now, (call, Action::Speak(0)));
        }
    }

    pub(crate) fn speak(&mut self, now: Instant, call: usize, number: u8) {
        let voice = self.voice(call, false);
        let leg = &mut self.legs[call];
        let Some(remote) = leg.remote.filter(|_| leg.state != LegState::Over) else {
            return;
        };
        let from = SocketAddr::new(self.identity.media, audio_port(call));
        if !leg.on_hold {
            leg.spoken += 1;
            let bytes = voice.packet(number, leg.codec).into();
            self.out.push_back(Datagram {
                from,
                to: remote,
                bytes,
            });
        }
        if number == PACKETS / 2 {
            let std::net::IpAddr::V4(address) = self.identity.media else {
                return;
            };
            let cname = format!("{}@{address}", self.identity.mark);
            self.out.push_back(Datagram {
                from: SocketAddr::new(from.ip(), from.port() + 1),
                to: SocketAddr::new(remote.ip(), remote.port() + 1),
                bytes: voice.report(&cname, address.octets()).into(),
            });
        }
        if number + 1 < PACKETS {
            self.tasks
                .schedule(now + PACKET_TIME, (call, Action::Speak(number + 1)));
        }
    }

    /// A datagram for an audio port.
    pub(crate) fn hear(&mut self, datagram: &Datagram) {
        let offset = usize::from(datagram.to.port().saturating_sub(audio_port(0)));
        let call = offset / 4;
        let Some(leg) = self.legs.get(call).filter(|leg| !leg.gone) else {
            return;
        };
        if offset % 4 != 0 || classify(&datagram.bytes) != PacketKind::Rtp {
            return;
        }
        let voice = self.voice(call, true);
        let recognised = RtpView::parse(&datagram.bytes)
            .ok()
            .filter(|packet| packet.payload_type() == leg.codec)
            .and_then(|packet| voice.recognise(packet.payload()));
        match recognised {
            Some(number) => self.legs[call].heard |= 1 << number,
            None => self.faults.push(Fault::Audio {
                call,
                bytes: datagram.bytes.len(),
            }),
        }
    }

    fn voice(&self, call: usize, of_peer: bool) -> Voice {
        Voice {
            key: self.audio_key,
            call,
            caller: self.legs[call].is_caller != of_peer,
        }
    }
}

const PACKET_TIME: Duration = Duration::from_millis(20);

const _: () = assert!(PACKETS <= 16, "`heard` has one bit for each");
