//! Where an emergency caller is: Geolocation and its PIDF-LO body (RFC 6442).
//!
//! Of an emergency call the location crosses the fence, whatever it says: help must find the
//! caller. Of any other call nothing of it does.

use std::fmt;

use ringfence_sip::write::MessageWriter;
use ringfence_sip::{HeaderName, Message};

use crate::body;
use crate::headers::{Forbidden, TEXT_MAX};

/// References to a location that pass (RFC 6442 §4.2 has more than one only for several bodies).
const REFERENCES_MAX: usize = 4;

/// Largest PIDF-LO document that is passed, in bytes.
const DOCUMENT_MAX: usize = 16 << 10;

/// The location of a caller.
#[derive(Debug, Default)]
pub(crate) struct Location<'a> {
    /// URIs that lead to it, for whoever may read them.
    references: Vec<&'a [u8]>,
    /// The document itself.
    document: Option<&'a [u8]>,
    /// `Geolocation-Routing` (RFC 6442 §4.2): whether it may be used to route.
    routing: Option<&'static str>,
}

impl<'a> Location<'a> {
    /// Reads it. A reference with an address of the caller's side leads nowhere from outside.
    pub(crate) fn read(message: &Message<'a>, forbidden: &Forbidden) -> Location<'a> {
        let document = body::location(message).filter(|document| document.len() <= DOCUMENT_MAX);
        let references = message
            .values(HeaderName::Geolocation)
            .take(REFERENCES_MAX)
            .filter_map(reference)
            .filter(|uri| {
                !uri.get(..4)
                    .is_some_and(|cid| cid.eq_ignore_ascii_case(b"cid:"))
            })
            .filter(|uri| uri.len() <= TEXT_MAX && !forbidden.occurs_in(uri))
            .collect();
        let routing = message
            .fields()
            .find(|field| field.raw_name.eq_ignore_ascii_case(ROUTING))
            .and_then(|field| match field.value.to_ascii_lowercase().as_slice() {
                b"yes" => Some("yes"),
                b"no" => Some("no"),
                _ => None,
            });
        Location {
            references,
            document,
            routing,
        }
    }

    /// Writes the headers. `id` is random, `host` ours.
    pub(crate) fn write_headers(
        &self,
        writer: &mut MessageWriter<'_>,
        id: &dyn fmt::Display,
        host: &dyn fmt::Display,
    ) {
        if self.document.is_some() {
            writer.header_fmt(HeaderName::Geolocation, format_args!("<cid:{id}@{host}>"));
        }
        for uri in &self.references {
            let uri = String::from_utf8_lossy(uri);
            writer.header_fmt(HeaderName::Geolocation, format_args!("<{uri}>"));
        }
        let tells = self.document.is_some() || !self.references.is_empty();
        if let Some(routing) = self.routing.filter(|_| tells) {
            writer.raw_header(b"Geolocation-Routing", routing.as_bytes());
        }
    }

    /// The content type and body of both the document and `description`, if there is a document.
    pub(crate) fn body(
        &self,
        description: Option<&[u8]>,
        id: &dyn fmt::Display,
        host: &dyn fmt::Display,
    ) -> Option<(String, Vec<u8>)> {
        let document = self.document?;
        let mut body = Vec::with_capacity(document.len() + 2048);
        if let Some(description) = description {
            let head = format!("--{id}\r\nContent-Type: application/sdp\r\n\r\n");
            body.extend_from_slice(head.as_bytes());
            body.extend_from_slice(description);
            body.extend_from_slice(b"\r\n");
        }
        let head = format!(
            "--{id}\r\nContent-Type: application/pidf+xml\r\nContent-ID: <{id}@{host}>\r\n\r\n"
        );
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(document);
        body.extend_from_slice(format!("\r\n--{id}--\r\n").as_bytes());
        Some((format!("multipart/mixed;boundary={id}"), body))
    }
}

const ROUTING: &[u8] = b"geolocation-routing";

/// The URI of a `locationValue`, without its brackets and parameters.
fn reference(value: &[u8]) -> Option<&[u8]> {
    let rest = value.trim_ascii().strip_prefix(b"<")?;
    let end = rest.iter().position(|&byte| byte == b'>')?;
    let uri = rest.get(..end)?;
    let good = |byte: &u8| byte.is_ascii_graphic() && *byte != b'<';
    (uri.contains(&b':') && uri.iter().all(good)).then_some(uri)
}
