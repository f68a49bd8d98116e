//! Puts `x` in the place of secrets, byte for byte, so that lengths in a message stay true.
//!
//! Which bytes are secret is said in one place for all sinks: [`ringfence_sip::secrets`], and
//! [`ringfence_session::spend`] for PINs that were dialled.

use std::ops::Range;

/// Masks every secret in `message`.
pub fn mask(message: &mut [u8]) {
    ringfence_session::spend::hide_pins(message);
    let places: Vec<Range<usize>> = ringfence_sip::secrets(message).collect();
    for place in places {
        let secret = message.get_mut(place).unwrap_or_default();
        // Folds and quotes stay.
        for byte in secret.iter_mut().filter(|byte| !b"\r\n\"".contains(byte)) {
            *byte = b'x';
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(input: &str, expected: &str) {
        let mut message = input.as_bytes().to_vec();
        mask(&mut message);
        assert_eq!(String::from_utf8(message).unwrap(), expected);
    }

    #[test]
    fn keys_of_media_are_masked_byte_for_byte() {
        check(
            "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:c2VjcmV0|2^31 KDR=0\r\na=ptime:20\r\n",
            "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:xxxxxxxxxxxxx KDR=0\r\na=ptime:20\r\n",
        );
        check(
            "k=base64:c2Vj\r\na=key-mgmt:mikey AQ\r\nv=0",
            "k=xxxxxxxxxxx\r\na=key-mgmt:xxxxxxxx\r\nv=0",
        );
    }

    #[test]
    fn digest_responses_are_masked_on_folded_lines_too() {
        check(
            "AUTHORIZATION: Digest username=\"a\",\r\n response=\"0123\", qop=auth\r\nTo: b\r\n",
            "AUTHORIZATION: Digest username=\"a\",\r\n response=\"xxxx\", qop=auth\r\nTo: b\r\n",
        );
        check(
            "Authentication-Info: rspauth=ab12,nc=1\n",
            "Authentication-Info: rspauth=xxxx,nc=1\n",
        );
    }

    #[test]
    fn dialled_pins_are_masked_byte_for_byte() {
        check(
            "INVITE sip:*493817*15550100@h SIP/2.0\r\nTo: <sip:*493817*15550100@h>\r\n",
            "INVITE sip:*xxxxxx*15550100@h SIP/2.0\r\nTo: <sip:*xxxxxx*15550100@h>\r\n",
        );
    }

    #[test]
    fn what_is_no_secret_stays() {
        let text = "INVITE sip:a SIP/2.0\r\nSubject: response=1 inline:2\r\n\r\nv=0\r\n";
        check(text, text);
        check("", "");
    }
}
