//! Writing a session description in the order of RFC 8866 §5.

use std::io::Write;

use crate::address::{Address, Connection};
use crate::attribute::Attributes;
use crate::description::{Line, SessionDescription};
use crate::media::Media;

impl SessionDescription {
    /// Appends the description to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"v=0\r\no=");
        let origin = &self.origin;
        out.extend_from_slice(or_dash(origin.username.as_bytes()));
        number(out, b' ', origin.session_id);
        number(out, b' ', origin.version);
        out.push(b' ');
        write_address(out, &origin.address);
        end(out);
        write_line(out, b's', or_dash(self.session_name.as_bytes()));
        for letter in *b"iuep" {
            write_lines(out, &self.lines, |line| line == letter);
        }
        write_connection(out, self.connection.as_ref());
        write_lines(out, &self.lines, |line| line == b'b');
        write_lines(out, &self.lines, |line| matches!(line, b't' | b'r' | b'z'));
        write_lines(out, &self.lines, |line| line == b'k');
        write_attributes(out, &self.attributes);
        for media in &self.media {
            write_media(out, media);
        }
    }

    /// The description as it is sent.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(512);
        self.write(&mut out);
        out
    }
}

fn write_media(out: &mut Vec<u8>, media: &Media) {
    out.extend_from_slice(b"m=");
    out.extend_from_slice(media.kind.as_bytes());
    number(out, b' ', u64::from(media.port));
    if media.port_count != 1 {
        number(out, b'/', u64::from(media.port_count));
    }
    out.push(b' ');
    out.extend_from_slice(media.proto.as_bytes());
    if !media.formats.is_empty() {
        out.push(b' ');
        out.extend_from_slice(media.formats.as_bytes());
    }
    end(out);
    write_lines(out, &media.lines, |line| line == b'i');
    write_connection(out, media.connection.as_ref());
    write_lines(out, &media.lines, |line| line == b'b');
    write_lines(out, &media.lines, |line| line == b'k');
    write_attributes(out, &media.attributes);
}

fn write_connection(out: &mut Vec<u8>, connection: Option<&Connection>) {
    let Some(connection) = connection else { return };
    out.extend_from_slice(b"c=");
    write_address(out, &connection.address);
    if let Some(ttl) = connection.ttl {
        number(out, b'/', u64::from(ttl));
    }
    if let Some(count) = connection.count {
        number(out, b'/', u64::from(count));
    }
    end(out);
}

fn write_address(out: &mut Vec<u8>, address: &Address) {
    out.extend_from_slice(b"IN ");
    out.extend_from_slice(address.family().as_bytes());
    out.push(b' ');
    match address {
        // Writing to a vector cannot fail.
        Address::Ip(ip) => drop(write!(out, "{ip}")),
        Address::Name { name, .. } => out.extend_from_slice(or_dash(name.as_bytes())),
    }
}

fn write_attributes(out: &mut Vec<u8>, attributes: &Attributes) {
    for attribute in attributes {
        write_line(out, b'a', attribute.as_bytes());
    }
}

fn write_lines(out: &mut Vec<u8>, lines: &[Line], wanted: impl Fn(u8) -> bool) {
    for line in lines.iter().filter(|line| wanted(line.letter)) {
        write_line(out, line.letter, line.text.as_bytes());
    }
}

fn write_line(out: &mut Vec<u8>, letter: u8, text: &[u8]) {
    out.extend_from_slice(&[letter, b'=']);
    out.extend_from_slice(text);
    end(out);
}

fn end(out: &mut Vec<u8>) {
    out.extend_from_slice(b"\r\n");
}

fn or_dash(text: &[u8]) -> &[u8] {
    if text.is_empty() { b"-" } else { text }
}

fn number(out: &mut Vec<u8>, before: u8, mut value: u64) {
    out.push(before);
    let start = out.len();
    loop {
        out.push(b'0' + (value % 10) as u8);
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out[start..].reverse();
}
