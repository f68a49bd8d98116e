//! URIs: `sip`, `sips` (RFC 3261 §19.1), `tel` (RFC 3966), and any other scheme kept as it came.

use std::borrow::Cow;
use std::fmt;

use ringfence_base::text::Escaped;

use crate::lex::is_uri;
use crate::{Host, Param, Params, SyntaxError};

/// A URI, its parts still escaped.
#[derive(Clone, Copy)]
pub struct Uri<'a> {
    /// The scheme.
    pub scheme: Scheme<'a>,
    /// The user part; of a `tel` URI, the number. `None` where a scheme has none.
    pub user: Option<&'a [u8]>,
    /// The password after the user's colon. Deprecated, never passed on.
    pub password: Option<&'a [u8]>,
    /// The host; `None` for `tel` and for schemes that are not ours.
    pub host: Option<Host<'a>>,
    /// The port.
    pub port: Option<u16>,
    /// The parameters.
    pub params: Params<'a>,
    /// What follows the `?`, without it.
    pub headers: Option<&'a [u8]>,
    /// The whole URI as it came.
    pub raw: &'a [u8],
}

/// A URI's scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme<'a> {
    /// `sip`
    Sip,
    /// `sips`
    Sips,
    /// `tel`
    Tel,
    /// Any other, as written.
    Other(&'a [u8]),
}

impl<'a> Uri<'a> {
    /// Parses a URI without its angle brackets. Of a scheme that is not ours only the scheme is
    /// read.
    pub fn parse(raw: &'a [u8]) -> Result<Uri<'a>, SyntaxError> {
        let colon = memchr::memchr(b':', raw).ok_or(SyntaxError::Scheme)?;
        let (scheme, rest) = raw.split_at_checked(colon).ok_or(SyntaxError::Scheme)?;
        let scheme = Scheme::parse(scheme)?;
        let rest = rest.get(1..).unwrap_or_default();
        if rest.is_empty() {
            return Err(SyntaxError::Host);
        }
        if !rest.iter().all(|&byte| is_uri(byte)) {
            return Err(SyntaxError::Character);
        }
        let mut uri = Uri {
            scheme,
            user: None,
            password: None,
            host: None,
            port: None,
            params: Params::default(),
            headers: None,
            raw,
        };
        match scheme {
            Scheme::Sip | Scheme::Sips => uri.read_sip(rest)?,
            Scheme::Tel => {
                let (number, params) = split_before(rest, b';');
                if number.is_empty() {
                    return Err(SyntaxError::User);
                }
                uri.user = Some(number);
                uri.params = Params::parse(params)?;
            }
            Scheme::Other(_) => {}
        }
        Ok(uri)
    }

    /// The value of a parameter; see [`Params::get`].
    pub fn param(&self, name: &[u8]) -> Option<Option<&'a [u8]>> {
        self.params.get(name)
    }

    /// The user part with its `%XX` escapes read.
    pub fn user_unescaped(&self) -> Option<Cow<'a, [u8]>> {
        self.user.map(unescape)
    }

    /// Whether it is the URN of an emergency service, `urn:service:sos` or one below it
    /// (RFC 5031 §4.2).
    pub fn is_emergency_service(&self) -> bool {
        const SOS: &[u8] = b"urn:service:sos";
        self.raw
            .split_at_checked(SOS.len())
            .is_some_and(|(head, rest)| {
                head.eq_ignore_ascii_case(SOS) && (rest.is_empty() || rest.starts_with(b"."))
            })
    }

    /// Whether both name the same resource by the rules of RFC 3261 §19.1.4 (of RFC 3966 §4 for
    /// `tel`). Others are the same when their bytes are.
    pub fn equivalent(&self, other: &Uri<'_>) -> bool {
        if self.raw == other.raw {
            return true;
        }
        if self.scheme != other.scheme {
            return false;
        }
        match self.scheme {
            Scheme::Sip | Scheme::Sips => {
                same_escaped(self.user, other.user, false)
                    && same_escaped(self.password, other.password, false)
                    && self.host == other.host
                    && self.port == other.port
                    && self.params_match(other)
                    && same_headers(self.headers, other.headers)
            }
            Scheme::Tel => self.tel_digits().eq(other.tel_digits()) && self.params_match(other),
            Scheme::Other(_) => false,
        }
    }

    /// `userinfo@host:port;params?headers`. No unescaped `@` can stand anywhere but after the
    /// user, so that one is looked for first: user parts may hold `;` and `?`.
    fn read_sip(&mut self, rest: &'a [u8]) -> Result<(), SyntaxError> {
        let rest = match memchr::memchr(b'@', rest) {
            Some(at) => {
                let (userinfo, after) = (rest.get(..at), rest.get(at + 1..));
                let (Some(userinfo), Some(after)) = (userinfo, after) else {
                    return Err(SyntaxError::User);
                };
                let (user, password) = split_before(userinfo, b':');
                if user.is_empty() || memchr::memchr(b'@', after).is_some() {
                    return Err(SyntaxError::User);
                }
                self.user = Some(user);
                self.password = password.get(1..);
                after
            }
            None => rest,
        };
        let (rest, headers) = split_before(rest, b'?');
        self.headers = headers.get(1..);
        let (host_port, params) = split_before(rest, b';');
        let (host, port) = Host::parse_with_port(host_port)?;
        self.host = Some(host);
        self.port = port;
        self.params = Params::parse(params)?;
        Ok(())
    }

    /// A parameter in both must be the same; `user`, `ttl`, `method`, `maddr` and `transport` may
    /// not be in one only.
    fn params_match(&self, other: &Uri<'_>) -> bool {
        let fits = |param: Param<'_>, there: &Params<'_>| match there.get(param.name) {
            Some(value) => same_escaped(param.value, value, true),
            None => !MUST_BE_IN_BOTH
                .iter()
                .any(|name| name.eq_ignore_ascii_case(param.name)),
        };
        self.params.iter().all(|param| fits(param, &other.params))
            && other.params.iter().all(|param| fits(param, &self.params))
    }

    fn tel_digits(&self) -> impl Iterator<Item = u8> + use<'a> {
        let visual = |byte: &u8| !matches!(byte, b'-' | b'.' | b'(' | b')');
        self.user
            .unwrap_or_default()
            .iter()
            .copied()
            .filter(visual)
            .map(|b| b.to_ascii_lowercase())
    }
}

impl<'a> Scheme<'a> {
    fn parse(scheme: &'a [u8]) -> Result<Scheme<'a>, SyntaxError> {
        let [first, rest @ ..] = scheme else {
            return Err(SyntaxError::Scheme);
        };
        let is_rest = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
        if !first.is_ascii_alphabetic() || !rest.iter().all(is_rest) {
            return Err(SyntaxError::Scheme);
        }
        Ok(if scheme.eq_ignore_ascii_case(b"sip") {
            Scheme::Sip
        } else if scheme.eq_ignore_ascii_case(b"sips") {
            Scheme::Sips
        } else if scheme.eq_ignore_ascii_case(b"tel") {
            Scheme::Tel
        } else {
            Scheme::Other(scheme)
        })
    }
}

/// As received, made harmless to show.
impl fmt::Debug for Uri<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Escaped(self.raw).fmt(f)
    }
}

/// Reads `%XX` escapes; anything that is no proper escape stays as it is.
pub fn unescape(bytes: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr(b'%', bytes).is_none() {
        return Cow::Borrowed(bytes);
    }
    Cow::Owned(unescaped(bytes).collect())
}

fn unescaped(mut bytes: &[u8]) -> impl Iterator<Item = u8> {
    std::iter::from_fn(move || {
        let hex = |digit: u8| char::from(digit).to_digit(16);
        let (byte, rest) = match bytes {
            [b'%', high, low, rest @ ..] => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => ((high * 16 + low) as u8, rest),
                _ => (b'%', bytes.get(1..)?),
            },
            [byte, rest @ ..] => (*byte, rest),
            [] => return None,
        };
        bytes = rest;
        Some(byte)
    })
}

fn same_escaped(a: Option<&[u8]>, b: Option<&[u8]>, ignore_case: bool) -> bool {
    match (a, b) {
        (None, None) => true,
        (Some(a), Some(b)) if ignore_case => unescaped(a)
            .map(|byte| byte.to_ascii_lowercase())
            .eq(unescaped(b).map(|byte| byte.to_ascii_lowercase())),
        (Some(a), Some(b)) => unescaped(a).eq(unescaped(b)),
        _ => false,
    }
}

/// The same headers in any order.
fn same_headers(a: Option<&[u8]>, b: Option<&[u8]>) -> bool {
    let (Some(a), Some(b)) = (a, b) else {
        return a.is_none() && b.is_none();
    };
    let has = |headers: &[u8], one: &[u8]| {
        headers
            .split(|&byte| byte == b'&')
            .any(|h| same_escaped(Some(h), Some(one), true))
    };
    let all_in = |a: &[u8], b: &[u8]| a.split(|&byte| byte == b'&').all(|one| has(b, one));
    a.len().max(b.len()) <= MAX_COMPARED_HEADERS && all_in(a, b) && all_in(b, a)
}

/// What stands before the first `byte`, and the rest with it.
fn split_before(bytes: &[u8], byte: u8) -> (&[u8], &[u8]) {
    bytes.split_at(memchr::memchr(byte, bytes).unwrap_or(bytes.len()))
}

const MUST_BE_IN_BOTH: [&[u8]; 5] = [b"maddr", b"method", b"transport", b"ttl", b"user"];

/// Comparing headers is quadratic; longer ones are not compared but different.
const MAX_COMPARED_HEADERS: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(input: &str, expected: Result<&str, SyntaxError>) {
        let shown = Uri::parse(input.as_bytes()).map(|uri| {
            let text = |part: Option<&[u8]>| part.map(|p| String::from_utf8_lossy(p).into_owned());
            format!(
                "{:?} {} {} {} {} {} {}",
                uri.scheme,
                text(uri.user).unwrap_or("-".into()),
                text(uri.password).unwrap_or("-".into()),
                uri.host.map_or("-".into(), |host| host.to_string()),
                uri.port.map_or("-".into(), |port| port.to_string()),
                if uri.params.is_empty() {
                    "-".into()
                } else {
                    text(Some(uri.params.raw())).unwrap()
                },
                text(uri.headers).unwrap_or("-".into()),
            )
        });
        assert_eq!(shown.as_deref(), expected.as_ref().copied(), "{input}");
    }

    #[test]
    fn parts_of_a_uri() {
        check("sip:a@b", Ok("Sip a - b - - -"));
        check("SIPS:b:5061;lr", Ok("Sips - - b 5061 ;lr -"));
        check(
            "sip:u:p@[2001:db8::1]:5060;x=y?h=v",
            Ok("Sip u p [2001:db8::1] 5060 ;x=y h=v"),
        );
        check("sip:user;par=u%40example.net@example.com", {
            Ok("Sip user;par=u%40example.net - example.com - - -")
        });
        check(
            "tel:+1-330;phone-context=x",
            Ok("Tel +1-330 - - - ;phone-context=x -"),
        );
        check("tel:", Err(SyntaxError::Host));
        check("tel:;x", Err(SyntaxError::User));
        check(
            "soap.beep://192.0.2.103:3002",
            Ok("Other([115, 111, 97, 112, 46, 98, 101, 101, 112]) - - - - - -"),
        );
    }

    #[test]
    fn what_is_no_uri() {
        check("", Err(SyntaxError::Scheme));
        check("example.com", Err(SyntaxError::Scheme));
        check("<sip:user@example.com>", Err(SyntaxError::Scheme));
        check("sip:", Err(SyntaxError::Host));
        check("sip:user@", Err(SyntaxError::Host));
        check("sip:@host", Err(SyntaxError::User));
        check("sip:a@b@c", Err(SyntaxError::User));
        check("sip:user@example.com; lr", Err(SyntaxError::Character));
        check("sip:us\r\ner@example.com", Err(SyntaxError::Character));
        check("sip:user@example.com;;lr", Err(SyntaxError::Parameter));
    }

    #[test]
    fn unescapes_what_is_an_escape() {
        assert_eq!(&*unescape(b"%75se%72"), b"user");
        assert_eq!(&*unescape(b"null-%00-null"), b"null-\0-null");
        assert_eq!(&*unescape(b"%Z%45%4"), b"%ZE%4");
        assert!(matches!(unescape(b"plain"), Cow::Borrowed(b"plain")));
    }

    #[track_caller]
    fn same(a: &str, b: &str, expected: bool) {
        let [a, b] = [a, b].map(|uri| Uri::parse(uri.as_bytes()).unwrap());
        assert_eq!(a.equivalent(&b), expected, "{a:?} {b:?}");
        assert_eq!(b.equivalent(&a), expected, "{b:?} {a:?}");
    }

    #[test]
    fn equivalence_has_the_examples_of_rfc3261_19_1_4() {
        same(
            "sip:%61lice@atlanta.com;transport=TCP",
            "sip:alice@AtLanTa.CoM;Transport=tcp",
            true,
        );
        same(
            "sip:carol@chicago.com",
            "sip:carol@chicago.com;newparam=5",
            true,
        );
        same(
            "sip:carol@chicago.com;security=on",
            "sip:carol@chicago.com;newparam=5",
            true,
        );
        same(
            "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
            "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
            true,
        );
        same(
            "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
            "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
            true,
        );
        same(
            "SIP:ALICE@AtLanTa.CoM;Transport=udp",
            "sip:alice@AtLanTa.CoM;Transport=UDP",
            false,
        );
        same("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060", false);
        same(
            "sip:bob@biloxi.com",
            "sip:bob@biloxi.com;transport=udp",
            false,
        );
        same(
            "sip:bob@biloxi.com",
            "sip:bob@biloxi.com:6000;transport=tcp",
            false,
        );
        same(
            "sip:carol@chicago.com",
            "sip:carol@chicago.com?Subject=next%20meeting",
            false,
        );
        same("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4", false);
        same(
            "sip:carol@chicago.com;security=on",
            "sip:carol@chicago.com;security=off",
            false,
        );
        same("sip:carol@chicago.com", "sips:carol@chicago.com", false);
    }

    #[test]
    fn equivalence_of_numbers_ignores_visual_separators_rfc3966_4() {
        same("tel:+1-330-555-0100", "tel:+1(330)5550100", true);
        same("tel:+13305550100", "tel:+13305550101", false);
    }
}
