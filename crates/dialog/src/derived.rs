//! The two requests that the layer makes from an INVITE: the ACK for a failure (RFC 3261
//! §17.1.1.3) and the CANCEL (§9.1).
//!
//! Both repeat the INVITE's Request-URI, topmost Via, Call-ID, From, CSeq number and Route. The
//! CANCEL repeats its To, the ACK has the To of the response.

use bytes::Bytes;
use ringfence_sip::write::MessageWriter;
use ringfence_sip::{HeaderName, Index, Message, Method};

/// The ACK for a failure. None if `invite` is no INVITE that we could have sent.
pub(crate) fn ack(index: &mut Index, invite: &[u8], response: &Message<'_>) -> Option<Bytes> {
    let to = response.header(HeaderName::To)?;
    derive(&index.parse(invite).ok()?, Method::Ack, to, None)
}

/// The CANCEL. None if `invite` is no INVITE that we could have sent.
pub(crate) fn cancel(index: &mut Index, invite: &[u8], reason: Option<&str>) -> Option<Bytes> {
    let invite = index.parse(invite).ok()?;
    derive(
        &invite,
        Method::Cancel,
        invite.header(HeaderName::To)?,
        reason,
    )
}

fn derive(
    invite: &Message<'_>,
    method: Method<'_>,
    to: &[u8],
    reason: Option<&str>,
) -> Option<Bytes> {
    let mut buffer = Vec::with_capacity(EXPECTED_LEN);
    let mut writer = MessageWriter::request(&mut buffer, method, invite.request_uri()?);
    writer.header(HeaderName::Via, invite.values(HeaderName::Via).next()?);
    for route in invite.headers(HeaderName::Route) {
        writer.header(HeaderName::Route, route);
    }
    writer.header(HeaderName::MaxForwards, "70");
    writer.header(HeaderName::From, invite.header(HeaderName::From)?);
    writer.header(HeaderName::To, to);
    writer.header(HeaderName::CallId, invite.header(HeaderName::CallId)?);
    let number = invite.cseq().ok()?.number;
    writer.header_fmt(HeaderName::CSeq, format_args!("{number} {method}"));
    if let Some(reason) = reason {
        writer.header(HeaderName::Reason, reason);
    }
    writer.finish();
    // A copy of the exact length: it may stay for 32 s.
    Some(Bytes::copy_from_slice(&buffer))
}

/// Enough for most.
const EXPECTED_LEN: usize = 512;
