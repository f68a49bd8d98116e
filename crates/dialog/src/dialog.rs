//! The state of a dialog (RFC 3261 §12): its name, its sequence numbers, its remote target and its
//! route set.
//!
//! All text lies in one allocation, because tens of thousands of dialogs are kept at once.
//!
//! Left out on purpose: offer and answer, session timers, and what ends a dialog, for the call
//! that has the dialog knows those; and the secure flag, for we neither make nor demand `sips`
//! targets (RFC 5630 tells why nobody should).

use std::fmt::Display;
use std::net::SocketAddr;

use ringfence_base::Transport;
use ringfence_sip::write::MessageWriter;
use ringfence_sip::{HeaderError, HeaderName, Message, Method, NameAddr, Scheme, StatusCode, Uri};
use smallvec::SmallVec;

use crate::cookie::Tag;
use crate::text::{Text, TextTooLong};

/// One dialog, seen from our end.
#[derive(Clone, Debug)]
pub struct Dialog {
    text: Text<FIELDS>,
    /// Of the last request that we sent.
    local_cseq: u32,
    /// Of the last INVITE that we sent.
    invite_cseq: u32,
    /// Of the last request that the peer sent, if it sent one.
    remote_cseq: Option<u32>,
    confirmed: bool,
    /// The first route does not know loose routing (§12.2.1.1).
    strict_route: bool,
}

/// A dialog could not be made, or a request does not fit into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DialogError {
    /// A header that the dialog needs is missing or unreadable.
    #[error("the dialog needs a header that is not there or not readable")]
    Header(#[source] HeaderError),
    /// The response is not to a request with our tag.
    #[error("the response has not our tag")]
    NotOurs,
    /// The request is older than one that came before, or its repetition (§12.2.2).
    #[error("the request is out of order")]
    OutOfOrder,
    /// Call-ID, tags, addresses and routes are longer than a dialog keeps.
    #[error("the dialog's headers are too long")]
    TooLong,
}

impl Dialog {
    /// The dialog that we, the UAS, make by answering `request` with `local_tag` (§12.1.1). Early
    /// until [`confirm`](Dialog::confirm).
    pub fn uas(request: &Message<'_>, local_tag: &Tag) -> Result<Dialog, DialogError> {
        let from = request.from()?;
        let to = request.to()?;
        let contact = request
            .contact()?
            .ok_or(HeaderError::Missing(HeaderName::Contact))?;
        let tag = to.tag().unwrap_or(local_tag.as_bytes());
        let local: SmallVec<[u8; 128]> = match to.tag() {
            Some(_) => to.raw.into(),
            None => [to.raw, b";tag=", tag].concat().into(),
        };
        let routes = RouteSet::new(request, false)?;
        Ok(Dialog {
            text: Text::new([
                request.call_id()?,
                tag,
                from.tag().unwrap_or_default(),
                &local,
                from.raw,
                contact.raw_uri(),
                &routes.joined,
            ])?,
            local_cseq: 0,
            invite_cseq: 0,
            remote_cseq: Some(request.cseq()?.number),
            confirmed: false,
            strict_route: routes.strict,
        })
    }

    /// The dialog that a response to our INVITE makes, which we sent with `local_tag` (§12.1.2):
    /// early by a provisional one with a To tag, confirmed by a 2xx. A response repeats what the
    /// dialog needs of the request. Without a Contact, as many a 183 is, its To is the remote
    /// target.
    pub fn uac(response: &Message<'_>, local_tag: &Tag) -> Result<Dialog, DialogError> {
        let from = response.from()?;
        if from.tag().and_then(Tag::from_bytes) != Some(*local_tag) {
            return Err(DialogError::NotOurs);
        }
        let to = response.to()?;
        let contact = response.contact()?;
        let routes = RouteSet::new(response, true)?;
        let cseq = response.cseq()?.number;
        Ok(Dialog {
            text: Text::new([
                response.call_id()?,
                local_tag.as_bytes(),
                to.tag().unwrap_or_default(),
                from.raw,
                to.raw,
                contact.map_or(to.raw_uri(), |contact| contact.raw_uri()),
                &routes.joined,
            ])?,
            local_cseq: cseq,
            invite_cseq: cseq,
            remote_cseq: None,
            confirmed: response.status().is_some_and(StatusCode::is_success),
            strict_route: routes.strict,
        })
    }

    /// As UAS: our 2xx has gone out.
    pub fn confirm(&mut self) {
        self.confirmed = true;
    }

    /// As UAC: the 2xx has come. It says anew who answered, where he is and by which route
    /// (§13.2.2.4).
    pub fn confirm_with(&mut self, response: &Message<'_>) -> Result<(), DialogError> {
        let to = response.to()?;
        let contact = response.contact()?;
        let routes = RouteSet::new(response, true)?;
        self.text = Text::new([
            self.call_id(),
            self.local_tag(),
            to.tag().unwrap_or_default(),
            self.text.get(LOCAL_ADDRESS),
            to.raw,
            contact
                .as_ref()
                .map_or(self.remote_target(), NameAddr::raw_uri),
            &routes.joined,
        ])?;
        self.strict_route = routes.strict;
        self.confirmed = true;
        Ok(())
    }

    /// Whether a request from the peer, or a response to a request of ours, belongs to this
    /// dialog.
    pub fn matches(&self, message: &Message<'_>) -> bool {
        let (local, remote) = if message.is_request() {
            (message.to(), message.from())
        } else {
            (message.from(), message.to())
        };
        message
            .call_id()
            .is_ok_and(|call_id| call_id == self.call_id())
            && local.is_ok_and(|local| local.tag().unwrap_or_default() == self.local_tag())
            && remote.is_ok_and(|remote| remote.tag().unwrap_or_default() == self.remote_tag())
    }

    /// Takes note of a request's sequence number (§12.2.2). An ACK and a CANCEL have the number of
    /// their INVITE and always pass.
    pub fn check_request(&mut self, request: &Message<'_>) -> Result<(), DialogError> {
        let cseq = request.cseq()?;
        if matches!(cseq.method, Method::Ack | Method::Cancel) {
            return Ok(());
        }
        if self.remote_cseq.is_some_and(|last| cseq.number <= last) {
            return Err(DialogError::OutOfOrder);
        }
        self.remote_cseq = Some(cseq.number);
        Ok(())
    }

    /// Takes the remote target from the Contact of a target refresh request (INVITE, UPDATE) or of
    /// a 2xx to ours (§12.2). Without a readable Contact of sensible length it stays.
    pub fn refresh_target(&mut self, message: &Message<'_>) {
        if let Ok(Some(contact)) = message.contact()
            && contact.raw_uri() != self.remote_target()
            && let Ok(text) = self.text.with(TARGET, contact.raw_uri())
        {
            self.text = text;
        }
    }

    /// Starts a request within the dialog (§12.2.1.1): its request line, Via with `rport`, Route,
    /// Max-Forwards, From, To, Call-ID and CSeq. It has the next sequence number; an ACK, which is
    /// the one for the 2xx to our last INVITE, has that INVITE's (§13.2.2.4).
    ///
    /// `branch` is [`branch`](crate::Transactions::branch) of the request's transaction, of an ACK
    /// [`ack_branch`](crate::Transactions::ack_branch).
    pub fn write_request<'b>(
        &mut self,
        buffer: &'b mut Vec<u8>,
        method: Method<'_>,
        transport: Transport,
        sent_by: impl Display,
        branch: impl AsRef<[u8]>,
        max_forwards: u8,
    ) -> MessageWriter<'b> {
        let cseq = self.take_cseq(method);
        let strict = first_route(self.route_set()).filter(|_| self.strict_route);
        let uri = strict.map_or(self.remote_target(), |route| route.raw_uri());
        let mut writer = MessageWriter::request(buffer, method, without_headers(uri));
        writer.via(transport, sent_by, branch, true);
        if strict.is_some() {
            writer.header(HeaderName::Route, self.strict_routes());
        } else if !self.route_set().is_empty() {
            writer.header(HeaderName::Route, self.route_set());
        }
        writer
            .header_fmt(HeaderName::MaxForwards, format_args!("{max_forwards}"))
            .header(HeaderName::From, self.text.get(LOCAL_ADDRESS))
            .header(HeaderName::To, self.text.get(REMOTE_ADDRESS))
            .header(HeaderName::CallId, self.call_id())
            .header_fmt(HeaderName::CSeq, format_args!("{cseq} {method}"));
        writer
    }

    /// The address that a request goes to by the first route, or else by the remote target, if
    /// its host is an address and no name.
    pub fn next_hop(&self) -> Option<SocketAddr> {
        let route = first_route(self.route_set());
        let uri = match route {
            Some(route) => route.uri,
            None => Uri::parse(self.remote_target()).ok()?,
        };
        let is_tls = uri.scheme == Scheme::Sips
            || uri.param(b"transport").flatten().and_then(Transport::parse) == Some(Transport::Tls);
        let transport = if is_tls {
            Transport::Tls
        } else {
            Transport::Udp
        };
        let port = uri.port.unwrap_or(transport.default_port());
        Some(SocketAddr::new(uri.host?.ip()?, port))
    }

    /// The Call-ID.
    pub fn call_id(&self) -> &[u8] {
        self.text.get(CALL_ID)
    }

    /// Our tag.
    pub fn local_tag(&self) -> &[u8] {
        self.text.get(LOCAL_TAG)
    }

    /// The peer's tag; empty if it is of RFC 2543 and has none.
    pub fn remote_tag(&self) -> &[u8] {
        self.text.get(REMOTE_TAG)
    }

    /// The peer's From or To, with its tag.
    pub fn remote_address(&self) -> &[u8] {
        self.text.get(REMOTE_ADDRESS)
    }

    /// The URI that the peer wants requests at.
    pub fn remote_target(&self) -> &[u8] {
        self.text.get(TARGET)
    }

    /// The routes, comma-separated, in the order in which our requests take them.
    pub fn route_set(&self) -> &[u8] {
        self.text.get(ROUTES)
    }

    /// The sequence number of our last request; 0 if there was none.
    pub const fn local_cseq(&self) -> u32 {
        self.local_cseq
    }

    /// The sequence number of the peer's last request.
    pub const fn remote_cseq(&self) -> Option<u32> {
        self.remote_cseq
    }

    /// Whether a 2xx has confirmed the dialog.
    pub const fn is_confirmed(&self) -> bool {
        self.confirmed
    }

    fn take_cseq(&mut self, method: Method<'_>) -> u32 {
        if method == Method::Ack {
            return self.invite_cseq;
        }
        self.local_cseq += 1;
        if method == Method::Invite {
            self.invite_cseq = self.local_cseq;
        }
        self.local_cseq
    }

    /// The Route behind a first route that routes strictly: the others, and the remote target last.
    fn strict_routes(&self) -> Vec<u8> {
        let mut routes = Vec::with_capacity(self.route_set().len());
        for route in ringfence_sip::Values::new(self.route_set()).skip(1) {
            routes.extend_from_slice(route);
            routes.extend_from_slice(b", ");
        }
        routes.push(b'<');
        routes.extend_from_slice(self.remote_target());
        routes.push(b'>');
        routes
    }
}

impl DialogError {
    /// What to answer a request with that had this error.
    pub const fn status(&self) -> StatusCode {
        match self {
            DialogError::Header(_) | DialogError::NotOurs => StatusCode::of(400),
            DialogError::OutOfOrder => StatusCode::of(500),
            DialogError::TooLong => StatusCode::of(513),
        }
    }
}

impl From<HeaderError> for DialogError {
    fn from(error: HeaderError) -> DialogError {
        DialogError::Header(error)
    }
}

impl From<TextTooLong> for DialogError {
    fn from(TextTooLong: TextTooLong) -> DialogError {
        DialogError::TooLong
    }
}

/// The Record-Route of a message, as our Route.
struct RouteSet {
    joined: SmallVec<[u8; 256]>,
    strict: bool,
}

impl RouteSet {
    /// Reads and checks every value; the UAC takes them in reverse order (§12.1.2).
    fn new(message: &Message<'_>, reverse: bool) -> Result<RouteSet, DialogError> {
        let mut routes: SmallVec<[NameAddr<'_>; 4]> = SmallVec::new();
        for value in message.values(HeaderName::RecordRoute) {
            let header = HeaderName::RecordRoute;
            let route =
                NameAddr::parse(value).map_err(|fault| HeaderError::Malformed { header, fault })?;
            if routes.len() >= MAX_ROUTES {
                return Err(DialogError::TooLong);
            }
            routes.push(route);
        }
        if reverse {
            routes.reverse();
        }
        let mut joined = SmallVec::new();
        for route in &routes {
            if !joined.is_empty() {
                joined.extend_from_slice(b", ");
            }
            joined.extend_from_slice(route.raw);
        }
        let strict = routes
            .first()
            .is_some_and(|route| route.uri.param(b"lr").is_none());
        Ok(RouteSet { joined, strict })
    }
}

fn first_route(routes: &[u8]) -> Option<NameAddr<'_>> {
    NameAddr::parse(ringfence_sip::Values::new(routes).next()?).ok()
}

/// A Request-URI has no headers (§19.1.1, table 1).
fn without_headers(uri: &[u8]) -> &[u8] {
    uri.split(|&byte| byte == b'?').next().unwrap_or_default()
}

/// How many proxies may record themselves.
const MAX_ROUTES: usize = 32;

// The places of the dialog's texts.
const CALL_ID: usize = 0;
const LOCAL_TAG: usize = 1;
const REMOTE_TAG: usize = 2;
/// Our From or To, with its tag.
const LOCAL_ADDRESS: usize = 3;
const REMOTE_ADDRESS: usize = 4;
const TARGET: usize = 5;
const ROUTES: usize = 6;
const FIELDS: usize = 7;
