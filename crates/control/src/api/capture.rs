//! What a capture may be asked for, and how it is spelled in a URL.

use serde::{Deserialize, Serialize};

/// The question of `GET /v1/capture`. What is not said is not asked for; all that is said must
/// hold. The answer is a pcapng file that grows until a limit is met or the reader goes away.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaptureQuery {
    /// A call in progress, by its id: both its legs.
    pub call: Option<String>,
    /// Calls from or to this number, however either side writes it.
    pub number: Option<String>,
    /// What comes from or goes to this address or block (`192.0.2.0/24`).
    pub address: Option<String>,
    /// What comes from or goes to this trunk, PBX or group of phones, by its name.
    pub trunk: Option<String>,
    /// Messages of this method, and responses to them.
    pub method: Option<String>,
    /// RTP and RTCP too.
    #[serde(default)]
    pub media: bool,
    /// Ends after so many seconds.
    pub seconds: Option<u64>,
    /// Ends after so many packets.
    pub packets: Option<u64>,
    /// Ends before the file grows beyond so many bytes.
    pub bytes: Option<u64>,
}

impl CaptureQuery {
    /// As the query of a URL: `call=0123&media=true`.
    pub fn to_query(&self) -> String {
        let number = |value: Option<u64>| value.map(|value| value.to_string());
        let fields = [
            ("call", self.call.clone()),
            ("number", self.number.clone()),
            ("address", self.address.clone()),
            ("trunk", self.trunk.clone()),
            ("method", self.method.clone()),
            ("media", self.media.then(|| "true".to_owned())),
            ("seconds", number(self.seconds)),
            ("packets", number(self.packets)),
            ("bytes", number(self.bytes)),
        ];
        let said = fields.into_iter().filter_map(|(name, value)| {
            let value = value?;
            Some(format!("{name}={}", percent_encoded(&value)))
        });
        said.collect::<Vec<String>>().join("&")
    }
}

/// RFC 3986 §2.1: all but unreserved characters.
pub(crate) fn percent_encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_says_only_what_is_asked_for_and_is_safe_in_a_url() {
        let query = CaptureQuery {
            number: Some("+1330 555&x=1".to_owned()),
            media: true,
            packets: Some(7),
            ..CaptureQuery::default()
        };
        assert_eq!(
            query.to_query(),
            "number=%2B1330%20555%26x%3D1&media=true&packets=7"
        );
        assert_eq!(CaptureQuery::default().to_query(), "");
    }
}
