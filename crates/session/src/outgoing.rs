//! Messages that we write: always from our own parts, never by editing what was received.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use ringfence_base::{Flow, Instant, Transport};
use ringfence_dialog::dialog::{Dialog, RequestVia};
use ringfence_dialog::{Branch, ClientId, LocalCallId, RequestKind, Tag};
use ringfence_sip::write::MessageWriter;
use ringfence_sip::{HeaderName, Message, Method, Uri};

use crate::call::{Call, CallKey, Phase, Side};
use crate::core::Core;
use crate::diversion::Diversions;
use crate::headers::{self, Forbidden};
use crate::identity::Wording;
use crate::location::Location;
use crate::methods::{RELIABLE, ReliableProvisional};
use crate::numbering::NumberingPlan;
use crate::plan::{Listener, Peer, Plan};
use crate::registrar::Target;
use crate::session_timer;

/// Hops that a request of our own making may take (RFC 3261 §8.1.1.6).
pub(crate) const MAX_FORWARDS: u8 = 70;

/// A host as it stands in a URI or a Via: IPv6 in brackets.
pub(crate) struct UriHost(pub(crate) IpAddr);

impl fmt::Display for UriHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(ip) => ip.fmt(f),
            IpAddr::V6(ip) => write!(f, "[{ip}]"),
        }
    }
}

/// Our address towards a peer.
pub(crate) fn our_address(plan: &Plan, flow: &Flow) -> Option<SocketAddr> {
    plan.listener(flow.listener)
        .and_then(|listener: &Listener| listener.address(flow.transport))
}

/// How we are called towards a peer: the name that it knows us by, or our address.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OurName<'a> {
    address: SocketAddr,
    name: Option<&'a str>,
}

impl<'a> OurName<'a> {
    /// Our name towards `peer` at our `address`.
    pub(crate) fn new(peer: &'a Peer, address: SocketAddr) -> OurName<'a> {
        OurName {
            address,
            name: peer.policy.contact_host.as_deref(),
        }
    }

    /// Without the port.
    pub(crate) fn host(self) -> OurHost<'a> {
        OurHost(self)
    }
}

impl fmt::Display for OurName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name {
            Some(name) => write!(f, "{name}:{}", self.address.port()),
            None => self.address.fmt(f),
        }
    }
}

/// [`OurName`] without its port.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OurHost<'a>(OurName<'a>);

impl fmt::Display for OurHost<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.name {
            Some(name) => f.write_str(name),
            None => UriHost(self.0.address.ip()).fmt(f),
        }
    }
}

/// `<sip:host:port;transport=tls>`: our Contact towards a peer.
pub(crate) fn contact(address: impl fmt::Display, transport: Transport) -> String {
    match transport {
        Transport::Udp => format!("<sip:{address}>"),
        // RFC 7118 §5.2 has one name for both.
        Transport::Ws | Transport::Wss => format!("<sip:{address};transport=ws>"),
        other => format!("<sip:{address};transport={other}>"),
    }
}

/// Everything an initial INVITE is made of.
pub(crate) struct Invite<'a> {
    pub(crate) peer: &'a Peer,
    /// The contact of a phone, if it goes to one.
    pub(crate) target: Option<&'a Target>,
    pub(crate) ours: SocketAddr,
    pub(crate) wording: Wording,
    pub(crate) display: Option<&'a [u8]>,
    pub(crate) tag: Tag,
    pub(crate) call_id: LocalCallId,
    pub(crate) branch: Branch,
    pub(crate) max_forwards: u8,
    /// Whether the callee may send provisional responses reliably.
    pub(crate) reliable: bool,
    /// Who transferred the call (RFC 3892), under our own host.
    pub(crate) referred_by: Option<String>,
    /// The signatures of the calling number.
    pub(crate) signatures: Vec<String>,
    pub(crate) body: Option<&'a [u8]>,
    /// Who diverted the call.
    pub(crate) diversions: Diversions,
    /// Where an emergency caller is.
    pub(crate) location: Option<Location<'a>>,
    pub(crate) numbering: Option<&'static NumberingPlan>,
}

impl Invite<'_> {
    /// Our name towards the peer.
    pub(crate) fn name(&self) -> OurName<'_> {
        OurName::new(self.peer, self.ours)
    }

    /// `sip:called@host:port;transport=tls`.
    pub(crate) fn request_uri(&self) -> String {
        if let Some(target) = self.target {
            return target.uri.to_string();
        }
        let called = &self.wording.called;
        let mut uri = format!("sip:{called}@{}", self.peer.host);
        if let Some(port) = self.peer.port {
            uri.push_str(&format!(":{port}"));
        }
        if self.peer.transport != Transport::Udp {
            uri.push_str(&format!(";transport={}", self.peer.transport));
        }
        uri.push_str(self.wording.parameter(called));
        uri
    }

    /// From, without its tag.
    pub(crate) fn from(&self) -> String {
        let display = self
            .display
            .map(|name| String::from_utf8_lossy(name).into_owned());
        let space = if display.is_some() { " " } else { "" };
        let display = display.unwrap_or_default();
        match &self.wording.calling {
            Some(user) => {
                let uri = self.wording.calling_uri(user, &self.name().host());
                format!("{display}{space}<{uri}>")
            }
            None => "\"Anonymous\" <sip:anonymous@anonymous.invalid>".to_owned(),
        }
    }

    /// To.
    pub(crate) fn to(&self) -> String {
        let called = &self.wording.called;
        let parameter = self.wording.parameter(called);
        format!("<sip:{called}@{}{parameter}>", self.peer.host)
    }

    /// Writes it. `received` is the INVITE of the other leg: what may cross, does.
    pub(crate) fn write(
        &self,
        out: &mut Vec<u8>,
        received: &Message<'_>,
        pass_headers: &[String],
        forbidden: &Forbidden,
    ) {
        let transport = self
            .target
            .map_or(self.peer.transport, |target| target.flow.transport);
        let mut writer = MessageWriter::request(out, Method::Invite, self.request_uri());
        writer.via(transport, self.name(), self.branch, true);
        if let Some(path) = self.target.and_then(|target| target.path.as_deref()) {
            writer.header(HeaderName::Route, path);
        } else if let Some(route) = self.peer.service_route() {
            writer.header(HeaderName::Route, route);
        }
        writer.header_fmt(
            HeaderName::MaxForwards,
            format_args!("{}", self.max_forwards),
        );
        writer.header_fmt(
            HeaderName::From,
            format_args!("{};tag={}", self.from(), self.tag),
        );
        writer.header(HeaderName::To, self.to());
        writer.header(HeaderName::CallId, self.call_id);
        writer.header(HeaderName::CSeq, "1 INVITE");
        writer.header(HeaderName::Contact, contact(self.name(), transport));
        self.peer.methods.write(&mut writer, self.reliable);
        let session = self.peer.methods.session_expires;
        session_timer::write_request(&mut writer, session, None);
        if self.peer.methods.reliable_provisional == ReliableProvisional::Required {
            writer.header(HeaderName::Require, RELIABLE);
        }
        writer.header(HeaderName::Accept, "application/sdp");
        let host = self.name().host();
        self.wording.write(&mut writer, &host);
        for signature in &self.signatures {
            writer.header(HeaderName::Identity, signature);
        }
        if let Some(referred_by) = &self.referred_by {
            writer.header(HeaderName::ReferredBy, referred_by);
        }
        let called = &self.wording.called;
        self.diversions
            .write(&mut writer, self.peer, self.numbering, called, &host);
        let mut located = None;
        if let Some(location) = &self.location {
            // Our own tag is as good a random name as any.
            location.write_headers(&mut writer, &self.tag, &host);
            located = location.body(self.body, &self.tag, &host);
        }
        for (name, value) in headers::passed(received, pass_headers, forbidden) {
            writer.raw_header(name, value);
        }
        match (located, self.body) {
            (Some((content_type, body)), _) => writer.body(content_type, body),
            (None, Some(body)) => writer.body("application/sdp", body),
            (None, None) => writer.finish(),
        }
    }
}

/// What a request inside a dialog carries besides the dialog's own headers.
#[derive(Default)]
pub(crate) struct InDialog<'a> {
    /// Q.850 cause for a Reason header.
    pub(crate) cause: Option<u8>,
    /// CSeq of the INVITE that this is the ACK of.
    pub(crate) ack_of: Option<u32>,
    /// Further headers.
    pub(crate) more: &'a [(HeaderName, &'a str)],
    /// Content type and body.
    pub(crate) body: Option<(&'a [u8], &'a [u8])>,
}

impl Core {
    /// Sends a request inside a leg's dialog. `None` if it has none or no transaction is free.
    pub(crate) fn send_in_dialog(
        &mut self,
        now: Instant,
        key: CallKey,
        side: Side,
        method: Method<'static>,
        content: InDialog<'_>,
    ) -> Option<ClientId> {
        let client = self.transactions.reserve_client().ok()?;
        let branch = self.transactions.branch(client);
        let Some((flow, bytes)) = self.write_in_dialog(now, key, side, method, branch, &content)
        else {
            self.transactions.release_client(client);
            return None;
        };
        let kind = match method {
            Method::Invite => RequestKind::Invite,
            _ => RequestKind::NonInvite,
        };
        let plan = Arc::clone(&self.call(key)?.plan);
        let peer = plan.peer(self.call(key)?.leg(side).peer)?;
        let carried = self.carry(now, &plan, peer, flow, bytes);
        self.send_carried(now, client, kind, carried, key.owner(side));
        Some(client)
    }

    /// Acknowledges a 2xx to an INVITE of ours with this CSeq (RFC 3261 §13.2.2.4).
    pub(crate) fn send_ack(
        &mut self,
        now: Instant,
        key: CallKey,
        side: Side,
        (client, cseq): (ClientId, u32),
        body: Option<&[u8]>,
    ) {
        let branch = self.transactions.ack_branch();
        let content = InDialog {
            body: body.map(|body| (&b"application/sdp"[..], body)),
            ack_of: Some(cseq),
            ..InDialog::default()
        };
        if let Some((flow, bytes)) =
            self.write_in_dialog(now, key, side, Method::Ack, branch, &content)
        {
            self.transactions.send_ack_2xx(now, client, flow, bytes);
        }
    }

    fn write_in_dialog(
        &mut self,
        now: Instant,
        key: CallKey,
        side: Side,
        method: Method<'static>,
        branch: Branch,
        content: &InDialog<'_>,
    ) -> Option<(Flow, Bytes)> {
        let call = self
            .calls
            .get_mut(key.slot as usize)
            .filter(|call| call.key == key)?;
        let flow = next_hop(call, side)?;
        let ours = our_address(&call.plan, &flow)?;
        let plan = Arc::clone(&call.plan);
        let leg = call.legs.get_mut(side.index())?;
        if matches!(method, Method::Invite) {
            leg.authorization = None;
        }
        let credentials = leg.authorization.clone();
        let credentials = credentials.filter(|_| content.ack_of.is_some());
        let peer = plan.peer(leg.peer)?;
        let ours = OurName::new(peer, ours);
        let methods = Some(&peer.methods);
        let dialog = leg.dialog.as_mut()?;
        let via = RequestVia {
            transport: flow.transport,
            sent_by: &ours,
            branch: &branch,
            rport: true,
        };
        let mut out = std::mem::take(&mut self.scratch);
        out.clear();
        let mut writer = match content.ack_of {
            Some(cseq) => dialog.write_ack(&mut out, cseq, via, MAX_FORWARDS),
            None => dialog.write_request(&mut out, method, via, MAX_FORWARDS),
        };
        if let Some((header, value)) = credentials {
            writer.header(header, value);
        }
        if matches!(method, Method::Invite | Method::Update) {
            writer.header(HeaderName::Contact, contact(ours, flow.transport));
            if let Some(methods) = methods {
                methods.write(&mut writer, false);
                if call.phase == Phase::Up {
                    let timer = call.legs[side.index()].timer.as_ref();
                    session_timer::write_request(&mut writer, methods.session_expires, timer);
                }
            }
        }
        for (name, value) in content.more {
            writer.header(*name, value);
        }
        if let Some(cause) = content.cause {
            writer.header_fmt(HeaderName::Reason, format_args!("Q.850;cause={cause}"));
        }
        match content.body {
            Some((content_type, body)) => writer.body(content_type, body),
            None => writer.finish(),
        }
        self.trace(now, key, (side, true), &flow, &out);
        let bytes = Bytes::copy_from_slice(&out);
        self.scratch = out;
        Some((flow, bytes))
    }
}

/// Where a request of a leg goes.
fn next_hop(call: &Call, side: Side) -> Option<Flow> {
    let leg = call.leg(side);
    Some(next_hop_of(call.peer(side)?, leg.flow, leg.dialog.as_ref()))
}

/// Where a request inside the dialog goes: to the address of its first route or its target if
/// that is an address of the dialog's own peer, else where the peer's messages come from. A Contact
/// is the peer's word, and nobody makes us send elsewhere by a word.
pub(crate) fn next_hop_of(peer: &Peer, flow: Flow, dialog: Option<&Dialog>) -> Flow {
    if flow.transport.is_reliable() || flow.is_within() {
        return flow;
    }
    let named = dialog.and_then(|dialog| {
        let uri = Uri::parse(dialog.next_hop()).ok()?;
        Some(SocketAddr::new(
            uri.host?.ip()?,
            uri.port.unwrap_or(flow.transport.default_port()),
        ))
    });
    match named {
        Some(remote) if is_address_of(peer, remote.ip()) => Flow { remote, ..flow },
        _ => flow,
    }
}

fn is_address_of(peer: &Peer, ip: IpAddr) -> bool {
    let ip = ip.to_canonical();
    peer.addresses
        .iter()
        .any(|address| address.ip().to_canonical() == ip)
        || peer.accept.iter().any(|network| network.contains(ip))
}
