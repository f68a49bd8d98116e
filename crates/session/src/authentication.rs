//! A carrier challenges a request of ours: the same request again, with credentials (RFC 3261
//! §22.2, RFC 7616 §3.4).
//!
//! What is sent again is our own message, so its parts are copied: a new branch, the next CSeq, the
//! credentials. It goes over the flow of the first try, because a carrier with several addresses
//! knows its nonce at one of them only. A password is tried once; a nonce that was merely stale,
//! once more.

use ringfence_base::Entropy;
use ringfence_sip::digest::{
    Algorithm, Answer, Challenge, ChallengeError, Credentials, Ha1, strongest,
};
use ringfence_sip::write::MessageWriter;
use ringfence_sip::{HeaderName, Message};

use crate::account::Account;

/// Most sets of credentials of one request: a proxy's and the server's behind it, and one more.
const CREDENTIALS_MAX: usize = 3;

/// Credentials for one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Authorization {
    pub(crate) header: HeaderName,
    /// For the realm of these credentials.
    pub(crate) realm: Box<[u8]>,
    pub(crate) value: Vec<u8>,
}

/// Why a challenge is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unanswered {
    /// It cannot be.
    #[error("the challenge cannot be answered")]
    Challenge(#[source] ChallengeError),
    /// There is no password, or an empty one.
    #[error("there is no password")]
    NoPassword,
    /// It is for another realm than the configured one.
    #[error("the challenge is for another realm")]
    Realm,
    /// Our answer was not taken: the password is wrong, or the carrier challenges for ever.
    #[error("the credentials were refused")]
    Refused,
}

/// The credentials that `request`, our own, must have after `response`.
pub(crate) fn authorize(
    request: &Message<'_>,
    response: &Message<'_>,
    account: &Account,
    entropy: &mut dyn Entropy,
) -> Result<Authorization, Unanswered> {
    let (header, challenge) = strongest(response).map_err(Unanswered::Challenge)?;
    let mut tries = 0u8;
    let mut sets = 0;
    for value in [HeaderName::Authorization, HeaderName::ProxyAuthorization]
        .into_iter()
        .flat_map(|name| request.headers(name).map(move |value| (name, value)))
    {
        sets += 1;
        let Ok(given) = Credentials::parse(value.1) else {
            return Err(Unanswered::Refused);
        };
        if value.0 == header && given.realm == &*challenge.realm {
            tries = match given.cnonce.first() {
                Some(b'1') if given.nonce != &*challenge.nonce => 1,
                // A second time; or the very same nonce again; or, without a cnonce, who knows.
                _ => u8::MAX,
            };
        }
    }
    let again = tries == 0 || (tries == 1 && challenge.stale);
    if !again || (tries == 0 && sets >= CREDENTIALS_MAX) {
        return Err(Unanswered::Refused);
    }
    let method = request.method().ok_or(Unanswered::Refused)?;
    let uri = request.request_uri().ok_or(Unanswered::Refused)?;
    let use_of = Use {
        method: method.as_bytes(),
        uri,
        nc: 1,
        cnonce: cnonce(tries + 1, entropy),
    };
    credentials(&challenge, header, account, &use_of)
}

/// What credentials are for, and how often their nonce was used.
pub(crate) struct Use<'a> {
    pub(crate) method: &'a [u8],
    pub(crate) uri: &'a [u8],
    pub(crate) nc: u32,
    pub(crate) cnonce: String,
}

/// Our random token. Its first digit says which try it is: a response that does not convince
/// comes back beside the request that it was in, so nothing else need remember.
pub(crate) fn cnonce(tries: u8, entropy: &mut dyn Entropy) -> String {
    format!("{tries}{:016x}", entropy.next_u64())
}

/// The credentials for one request.
pub(crate) fn credentials(
    challenge: &Challenge,
    header: HeaderName,
    account: &Account,
    use_of: &Use<'_>,
) -> Result<Authorization, Unanswered> {
    let other_realm = |realm: &String| realm.as_bytes() != &*challenge.realm;
    if account.realm.as_ref().is_some_and(other_realm) {
        return Err(Unanswered::Realm);
    }
    let username = account.username.as_bytes();
    let algorithm: Algorithm = challenge.algorithm;
    let ha1 = Ha1::new(
        algorithm,
        username,
        &challenge.realm,
        account.password.expose(),
    )
    .map_err(|_| Unanswered::NoPassword)?;
    let answer = Answer {
        username,
        ha1: &ha1,
        method: use_of.method,
        uri: use_of.uri,
        cnonce: use_of.cnonce.as_bytes(),
        nc: use_of.nc,
    };
    let value = challenge.answer(&answer).ok_or(Unanswered::Refused)?;
    Ok(Authorization {
        header,
        realm: challenge.realm.clone(),
        value,
    })
}

/// Writes `request`, our own, again: with `branch`, the next CSeq and the credentials. Gives the
/// CSeq; `None` if the request cannot be read back.
pub(crate) fn write_again(
    out: &mut Vec<u8>,
    request: &Message<'_>,
    branch: impl AsRef<[u8]>,
    authorization: &Authorization,
) -> Option<u32> {
    let method = request.method()?;
    let cseq = request.cseq().ok()?.number.checked_add(1)?;
    let via = request.header(HeaderName::Via)?;
    let start = via.windows(BRANCH.len()).position(|at| at == BRANCH)?;
    let mut new_via = via.get(..start + BRANCH.len())?.to_vec();
    new_via.extend_from_slice(branch.as_ref());
    let mut writer = MessageWriter::request(out, method, request.request_uri()?);
    let mut content_type = None;
    for field in request.fields() {
        match field.name {
            HeaderName::Via => writer.header(HeaderName::Via, &new_via),
            HeaderName::CSeq => {
                writer.header_fmt(HeaderName::CSeq, format_args!("{cseq} {method}"));
                writer.header(authorization.header, &authorization.value)
            }
            HeaderName::ContentLength => continue,
            HeaderName::ContentType => {
                content_type = Some(field.value);
                continue;
            }
            name if name == authorization.header && is_for(field.value, &authorization.realm) => {
                continue;
            }
            _ => writer.raw_header(field.raw_name, field.value),
        };
    }
    match content_type {
        Some(content_type) => writer.body(content_type, request.body()),
        None => writer.finish(),
    }
    Some(cseq)
}

/// Our Via ends in its branch.
const BRANCH: &[u8] = b";branch=";

fn is_for(value: &[u8], realm: &[u8]) -> bool {
    Credentials::parse(value).is_ok_and(|given| given.realm == realm)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringfence_base::Secret;
    use ringfence_base::entropy::SeededEntropy;
    use ringfence_sip::Index;

    const REQUEST: &str = "BYE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;rport;branch=old\r\n\
        CSeq: 7 BYE\r\nX: y\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nhi";

    fn account() -> Account {
        Account {
            username: "summit".into(),
            password: Secret::new(b"s3cret".to_vec()),
            realm: None,
            registration: None,
        }
    }

    /// Answers challenges one after the other; gives the last request, or why there is none.
    fn answered(challenges: &[&str]) -> Result<String, Unanswered> {
        let mut request = REQUEST.as_bytes().to_vec();
        let mut entropy = SeededEntropy::new(1);
        for challenge in challenges {
            let response = format!("SIP/2.0 {challenge}\r\nContent-Length: 0\r\n\r\n");
            let (mut first, mut second) = (Index::default(), Index::default());
            let ours = first.parse(&request).unwrap();
            let response = second.parse(response.as_bytes()).unwrap();
            let authorization = authorize(&ours, &response, &account(), &mut entropy)?;
            let mut out = Vec::new();
            write_again(&mut out, &ours, "new", &authorization).unwrap();
            request = out;
        }
        Ok(String::from_utf8(request).unwrap())
    }

    #[test]
    fn a_challenged_request_goes_again_under_the_next_cseq_rfc3261_22_2() {
        let text = answered(&[
            "401 No\r\nWWW-Authenticate: Digest realm=\"r\", nonce=\"n\", qop=\"auth\"",
        ])
        .unwrap();
        for line in [
            "branch=new\r\n",
            "CSeq: 8 BYE\r\n",
            "X: y\r\n",
            "\r\n\r\nhi",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
        assert!(!text.contains("branch=old") && !text.contains("s3cret"));
        assert_eq!(text.matches("Content-Length").count(), 1);
    }

    #[test]
    fn a_password_is_tried_once_and_a_stale_nonce_once_more() {
        let ask = |nonce: &str, more: &str| {
            format!("401 No\r\nWWW-Authenticate: Digest realm=\"r\", nonce=\"{nonce}\"{more}")
        };
        let (first, again) = (ask("1", ", qop=\"auth\""), ask("2", ", qop=\"auth\""));
        let stale = ask("2", ", qop=\"auth\", stale=true");
        let stale_again = ask("3", ", qop=\"auth\", stale=true");
        assert_eq!(answered(&[&first, &again]), Err(Unanswered::Refused));
        let text = answered(&[&first, &stale]).unwrap();
        assert_eq!(text.matches("Authorization:").count(), 1, "{text}");
        let end = answered(&[&first, &stale, &stale_again]);
        assert_eq!(end, Err(Unanswered::Refused));
        let old = [ask("1", ""), ask("2", ", stale=true")];
        assert_eq!(answered(&[&old[0], &old[1]]), Err(Unanswered::Refused));
    }

    #[test]
    fn a_proxy_and_the_server_behind_it_are_both_answered_rfc3261_22_3() {
        let text = answered(&[
            "407 No\r\nProxy-Authenticate: Digest realm=\"p\", nonce=\"1\", qop=\"auth\"",
            "401 No\r\nWWW-Authenticate: Digest realm=\"r\", nonce=\"2\", qop=\"auth\"",
        ])
        .unwrap();
        assert!(text.contains("Proxy-Authorization: Digest") && text.contains("\r\nAuthorization"));
        assert!(text.contains("CSeq: 9 BYE"));
    }

    #[test]
    fn realms_without_end_are_not_answered() {
        let ask = |realm: u32| {
            format!(
                "401 No\r\nWWW-Authenticate: Digest realm=\"{realm}\", nonce=\"n\", qop=\"auth\""
            )
        };
        let all: Vec<String> = (0..4).map(ask).collect();
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        assert!(answered(&all[..3]).is_ok());
        assert_eq!(answered(&all), Err(Unanswered::Refused));
    }
}
