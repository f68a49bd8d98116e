//! The state of a dialog (RFC 3261 §12): its name, its sequence numbers, its remote target and its
//! route set.
//!
//! All text lies in one allocation, because tens of thousands of dialogs are kept at once.
//!
//! Left out on purpose: offer and answer, session timers, and what ends a dialog; the call that
//! has the dialog knows those.

use std::fmt::Display;

use ringfence_base::Transport;
use ringfence_sip::write::MessageWriter;
use ringfence_sip::{HeaderError, HeaderName, Message, Method, NameAddr, Scheme, StatusCode, Uri};
use smallvec::SmallVec;

use crate::cookie::{Branch, Tag};
use crate::text::{Text, TextTooLong};

/// One dialog, seen from our end.
#[derive(Clone, Debug)]
pub struct Dialog {
    text: Text<FIELDS>,
    /// Of the last request that we sent.
    local_cseq: u32,
    /// Of the last request that the peer sent, if it sent one.
    remote_cseq: Option<u32>,
    confirmed: bool,
    secure: bool,
    /// The first route does not know loose routing (§12.2.1.1).
    strict_route: bool,
}

/// A dialog could not be made, or a request does not fit into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DialogError {
    /// A header that the dialog needs is missing or unreadable.
    #[error("the dialog needs a header that is not there or not readable")]
    Header(#[source] HeaderError),
    /// The request is older than one that came before, or its repetition (§12.2.2).
    #[error("the request is out of order")]
    OutOfOrder,
    /// Call-ID, tags, addresses and routes are longer than a dialog keeps.
    #[error("the dialog's headers are too long")]
    TooLong,
}

/// The Via of a request within the dialog.
#[derive(Clone, Copy)]
pub struct RequestVia<'a> {
    /// The transport it is sent over.
    pub transport: Transport,
    /// Our host, with or without a port.
    pub sent_by: &'a dyn Display,
    /// [`branch`](crate::Transactions::branch) of its transaction, or
    /// [`ack_branch`](crate::Transactions::ack_branch).
    pub branch: &'a Branch,
    /// Whether to ask for the response at the source port (RFC 3581).
    pub rport: bool,
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
            remote_cseq: Some(request.cseq()?.number),
            confirmed: false,
            secure: is_secure(request),
            strict_route: routes.strict,
        })
    }

    /// The dialog that `response` makes from our `request` (§12.1.2): early by a provisional one
    /// with a To tag, confirmed by a 2xx. A response without a Contact, as many a 183 is, leaves
    /// the Request-URI as the remote target.
    pub fn uac(request: &Message<'_>, response: &Message<'_>) -> Result<Dialog, DialogError> {
        let from = request.from()?;
        let to = response.to()?;
        let target = match response.contact()? {
            Some(contact) => contact.raw_uri(),
            None => request.request_uri().unwrap_or_default(),
        };
        let routes = RouteSet::new(response, true)?;
        Ok(Dialog {
            text: Text::new([
                request.call_id()?,
                from.tag().unwrap_or_default(),
                to.tag().unwrap_or_default(),
                from.raw,
                to.raw,
                target,
                &routes.joined,
            ])?,
            local_cseq: request.cseq()?.number,
            remote_cseq: None,
            confirmed: response.status().is_some_and(StatusCode::is_success),
            secure: is_secure(request),
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

    /// Whether a request belongs to this dialog.
    pub fn matches_request(&self, request: &Message<'_>) -> bool {
        self.matches(request, request.to(), request.from())
    }

    /// Whether a response to a request of ours belongs to this dialog.
    pub fn matches_response(&self, response: &Message<'_>) -> bool {
        self.matches(response, response.from(), response.to())
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
    /// a 2xx to ours (§12.2). Without a Contact it stays.
    pub fn refresh_target(&mut self, message: &Message<'_>) -> Result<(), DialogError> {
        if let Some(contact) = message.contact()?
            && contact.raw_uri() != self.remote_target()
        {
            self.text = self.text.with(TARGET, contact.raw_uri())?;
        }
        Ok(())
    }

    /// Starts a new request within the dialog, with the next sequence number: its request line,
    /// Via, Max-Forwards, Route, From, To, Call-ID and CSeq (§12.2.1.1).
    pub fn write_request<'b>(
        &mut self,
        buffer: &'b mut Vec<u8>,
        method: Method<'_>,
        via: RequestVia<'_>,
        max_forwards: u8,
    ) -> MessageWriter<'b> {
        self.local_cseq += 1;
        self.write(buffer, method, self.local_cseq, via, max_forwards)
    }

    /// Starts the ACK for the 2xx to our INVITE with this sequence number (§13.2.2.4).
    pub fn write_ack<'b>(
        &self,
        buffer: &'b mut Vec<u8>,
        invite_cseq: u32,
        via: RequestVia<'_>,
        max_forwards: u8,
    ) -> MessageWriter<'b> {
        self.write(buffer, Method::Ack, invite_cseq, via, max_forwards)
    }

    /// A request of the dialog was sent again under this sequence number, with credentials
    /// (RFC 3261 §22.2): the next one is higher.
    pub fn note_sent(&mut self, cseq: u32) {
        self.local_cseq = self.local_cseq.max(cseq);
    }

    /// The URI whose host a request goes to: the first route, or the remote target.
    pub fn next_hop(&self) -> &[u8] {
        first_route(self.route_set()).map_or(self.remote_target(), |route| route.raw_uri())
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

    /// Whether the dialog was made by a request to a `sips` URI (§12.1.1).
    pub const fn is_secure(&self) -> bool {
        self.secure
    }

    fn matches(
        &self,
        message: &Message<'_>,
        local: Result<NameAddr<'_>, HeaderError>,
        remote: Result<NameAddr<'_>, HeaderError>,
    ) -> bool {
        message
            .call_id()
            .is_ok_and(|call_id| call_id == self.call_id())
            && local.is_ok_and(|local| local.tag().unwrap_or_default() == self.local_tag())
            && remote.is_ok_and(|remote| remote.tag().unwrap_or_default() == self.remote_tag())
    }

    fn write<'b>(
        &self,
        buffer: &'b mut Vec<u8>,
        method: Method<'_>,
        cseq: u32,
        via: RequestVia<'_>,
        max_forwards: u8,
    ) -> MessageWriter<'b> {
        let strict = first_route(self.route_set()).filter(|_| self.strict_route);
        let uri = strict.map_or(self.remote_target(), |route| route.raw_uri());
        let mut writer = MessageWriter::request(buffer, method, without_headers(uri));
        writer.via(via.transport, via.sent_by, via.branch, via.rport);
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
            DialogError::Header(_) => StatusCode::of(400),
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

fn is_secure(request: &Message<'_>) -> bool {
    request
        .request_uri()
        .and_then(|uri| Uri::parse(uri).ok())
        .is_some_and(|uri| uri.scheme == Scheme::Sips)
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

#[cfg(test)]
mod tests;
