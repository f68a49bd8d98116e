//! Via (RFC 3261 §20.42, RFC 3581 for `rport`).

use crate::host::port;
use crate::lex::{Cursor, is_lws, number};
use crate::{Host, Params, SyntaxError};

/// What a branch of RFC 3261 starts with (§8.1.1.7).
pub const BRANCH_COOKIE: &[u8] = b"z9hG4bK";

/// One Via value.
#[derive(Clone, Copy, Debug)]
pub struct Via<'a> {
    /// The transport's name as written: `UDP`, `TCP`, `TLS`, …
    pub transport: &'a [u8],
    /// The host of the sent-by.
    pub host: Host<'a>,
    /// The port of the sent-by.
    pub port: Option<u16>,
    /// The branch, never empty.
    pub branch: Option<&'a [u8]>,
    /// The address a server on the way saw the request come from.
    pub received: Option<&'a [u8]>,
    /// `Some(None)`: the response is asked for at the source port. `Some(Some(port))`: answered.
    pub rport: Option<Option<u16>>,
    /// The multicast address (or any other) the response is asked for at.
    pub maddr: Option<&'a [u8]>,
    /// The hop limit that goes with a multicast `maddr`.
    pub ttl: Option<u8>,
    /// All parameters.
    pub params: Params<'a>,
    /// This value as received.
    pub raw: &'a [u8],
}

impl<'a> Via<'a> {
    /// Parses one value: no comma outside quotes.
    pub fn parse(raw: &'a [u8]) -> Result<Via<'a>, SyntaxError> {
        let mut cursor = Cursor::new(raw);
        let transport = read_protocol(&mut cursor)?;
        let (host, port) = read_sent_by(&mut cursor)?;
        let mut via = Via {
            transport,
            host,
            port,
            branch: None,
            received: None,
            rport: None,
            maddr: None,
            ttl: None,
            params: Params::parse(cursor.rest())?,
            raw,
        };
        via.read_params()?;
        Ok(via)
    }

    /// Whether the branch is unique by RFC 3261: it starts with the cookie and goes on
    /// (RFC 4475 §3.2.1). Otherwise transactions are matched as RFC 2543 did.
    pub fn has_rfc3261_branch(&self) -> bool {
        self.branch.is_some_and(|branch| {
            branch
                .split_at_checked(BRANCH_COOKIE.len())
                .is_some_and(|(cookie, id)| {
                    cookie.eq_ignore_ascii_case(BRANCH_COOKIE) && !id.is_empty()
                })
        })
    }

    fn read_params(&mut self) -> Result<(), SyntaxError> {
        const BAD: SyntaxError = SyntaxError::Parameter;
        for param in self.params.iter() {
            let value = param.value.filter(|value| !value.is_empty());
            let is = |name: &[u8]| param.name.eq_ignore_ascii_case(name);
            let twice = if is(b"branch") {
                self.branch.replace(value.ok_or(BAD)?).is_some()
            } else if is(b"received") {
                self.received.replace(value.ok_or(BAD)?).is_some()
            } else if is(b"rport") {
                self.rport.replace(value.map(port).transpose()?).is_some()
            } else if is(b"maddr") {
                self.maddr.replace(value.ok_or(BAD)?).is_some()
            } else if is(b"ttl") {
                let ttl = value
                    .and_then(number)
                    .and_then(|ttl| u8::try_from(ttl).ok());
                self.ttl.replace(ttl.ok_or(BAD)?).is_some()
            } else {
                false
            };
            if twice {
                return Err(BAD);
            }
        }
        Ok(())
    }
}

/// `SIP / 2.0 / transport LWS`
fn read_protocol<'a>(cursor: &mut Cursor<'a>) -> Result<&'a [u8], SyntaxError> {
    const BAD: SyntaxError = SyntaxError::Version;
    let name = cursor.token().ok_or(BAD)?;
    read_slash(cursor)?;
    let version = cursor.token().ok_or(BAD)?;
    read_slash(cursor)?;
    let transport = cursor.token().ok_or(BAD)?;
    if !name.eq_ignore_ascii_case(b"SIP") || version != b"2.0" || !cursor.skip_lws() {
        return Err(BAD);
    }
    Ok(transport)
}

fn read_slash(cursor: &mut Cursor<'_>) -> Result<(), SyntaxError> {
    cursor.skip_lws();
    if !cursor.eat(b'/') {
        return Err(SyntaxError::Version);
    }
    cursor.skip_lws();
    Ok(())
}

/// `host [COLON port]`, white space around the colon allowed.
fn read_sent_by<'a>(cursor: &mut Cursor<'a>) -> Result<(Host<'a>, Option<u16>), SyntaxError> {
    let host = if cursor.peek() == Some(b'[') {
        let rest = cursor.rest();
        let close = memchr::memchr(b']', rest).ok_or(SyntaxError::Host)?;
        let (host, after) = rest.split_at_checked(close + 1).ok_or(SyntaxError::Host)?;
        *cursor = Cursor::new(after);
        host
    } else {
        cursor.take_while(|byte| !is_lws(byte) && byte != b':' && byte != b';')
    };
    let host = Host::parse(host)?;
    cursor.skip_lws();
    if !cursor.eat(b':') {
        return Ok((host, None));
    }
    cursor.skip_lws();
    let port = port(cursor.take_while(|byte| byte.is_ascii_digit()))?;
    Ok((host, Some(port)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_all_parts() {
        let via = Via::parse(
            b"SIP/2.0/UDP 192.0.2.1:5062;rport=1024;received=192.0.2.9;branch=z9hG4bK1;ttl=1;maddr=m;x",
        )
        .unwrap();
        assert_eq!(via.transport, b"UDP");
        assert_eq!(
            (via.host.to_string().as_str(), via.port),
            ("192.0.2.1", Some(5062))
        );
        assert_eq!(via.branch, Some(&b"z9hG4bK1"[..]));
        assert_eq!(via.received, Some(&b"192.0.2.9"[..]));
        assert_eq!(via.rport, Some(Some(1024)));
        assert_eq!((via.maddr, via.ttl), (Some(&b"m"[..]), Some(1)));
        assert!(via.params.has(b"x") && via.has_rfc3261_branch());
    }

    #[test]
    fn white_space_may_be_anywhere_rfc4475_3_1_1_1() {
        let via = Via::parse(
            b"SIP  / 2.0\r\n  / TCP     [2001:db8::1] : 5060   ;\r\n  branch  =   z9hG4bK9ikj8",
        )
        .unwrap();
        assert_eq!(
            (via.host.to_string().as_str(), via.port),
            ("[2001:db8::1]", Some(5060))
        );
        assert_eq!(via.branch, Some(&b"z9hG4bK9ikj8"[..]));
    }

    #[test]
    fn asks_for_the_source_port_rfc3581() {
        let via = Via::parse(b"SIP/2.0/UDP h;rport;branch=x").unwrap();
        assert_eq!(via.rport, Some(None));
        assert!(!via.has_rfc3261_branch());
    }

    #[test]
    fn a_mere_cookie_is_no_branch_of_rfc3261_rfc4475_3_2_1() {
        assert!(
            !Via::parse(b"SIP/2.0/UDP h;branch=z9hG4bK")
                .unwrap()
                .has_rfc3261_branch()
        );
        assert!(!Via::parse(b"SIP/2.0/UDP h").unwrap().has_rfc3261_branch());
    }

    #[test]
    fn what_is_no_via() {
        for value in [
            &b""[..],
            b"SIP/2.0/UDP",
            b"SIP/2.0/UDP ",
            b"SIP/2.0 UDP h",
            b"SIP/7.0/UDP h",
            b"HTTP/2.0/UDP h",
            b"SIP/2.0/UDP h x",
            b"SIP/2.0/UDP h:0",
            b"SIP/2.0/UDP h:70000",
            b"SIP/2.0/UDP [::1",
            b"SIP/2.0/UDP h;;",
            b"SIP/2.0/UDP h;branch",
            b"SIP/2.0/UDP h;branch=",
            b"SIP/2.0/UDP h;branch=a;branch=b",
            b"SIP/2.0/UDP h;rport=x",
            b"SIP/2.0/UDP h;ttl=256",
        ] {
            assert!(
                Via::parse(value).is_err(),
                "{}",
                String::from_utf8_lossy(value)
            );
        }
    }
}
