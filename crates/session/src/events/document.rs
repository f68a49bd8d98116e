//! What of an event document may be seen on the other side.
//!
//! Documents name users by URIs with the hosts of their own side. Each host becomes the one by which
//! the other side knows us, and whatever stands behind the host goes. Of dialogs (RFC 4235 §4.1) the
//! Call-ID and the tags are left out, which are optional, and their ids become others, since some
//! phone systems make them of a Call-ID.

use ringfence_base::HashKey;

use super::package::Package;
use crate::headers::Forbidden;

/// Longest document that passes, in bytes.
pub(super) const DOCUMENT_MAX: usize = 16_384;

/// How documents are changed on their way to one side.
pub(super) struct Disguise<'a> {
    /// The host of users there.
    pub(super) host: &'a str,
    /// What must not be seen there.
    pub(super) forbidden: &'a Forbidden,
    /// Makes other ids of ids.
    pub(super) key: HashKey,
}

impl Disguise<'_> {
    /// The document as the other side may see it; `None` if it cannot be made out.
    pub(super) fn of(&self, package: Package, document: &[u8]) -> Option<Vec<u8>> {
        let text = std::str::from_utf8(document).ok()?;
        let mut text = self.with_other_hosts(text);
        if package == Package::Dialog {
            text = self.without_names_of_dialogs(&text)?;
        }
        let host = self.host.as_bytes();
        Some(self.forbidden.replaced(text.as_bytes(), host))
    }

    /// With our host in each URI of a user.
    fn with_other_hosts(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, scheme, uri)) = next_uri(rest) {
            let (uri, after) = uri.split_at(end_of_uri(uri));
            out.push_str(before);
            out.push_str(scheme);
            if let Some((user, _)) = uri.split_once('@') {
                let name = user.split([';', ':']).next().unwrap_or_default();
                out.push_str(name);
                out.push('@');
            }
            out.push_str(self.host);
            rest = after;
        }
        out.push_str(rest);
        out
    }

    /// Without what tells in an XML document which dialogs of the other side are meant.
    fn without_names_of_dialogs(&self, text: &str) -> Option<String> {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, tag)) = rest.split_once('<') {
            let (tag, after) = split_tag(tag)?;
            out.push_str(before);
            out.push('<');
            self.write_tag(tag, &mut out)?;
            out.push('>');
            rest = after;
        }
        out.push_str(rest);
        Some(out)
    }

    fn write_tag(&self, tag: &str, out: &mut String) -> Option<()> {
        let name_end = tag.find(|c: char| c.is_ascii_whitespace());
        let (name, mut rest) = tag.split_at(name_end.unwrap_or(tag.len()));
        out.push_str(name);
        let is_dialog = name.rsplit(':').next() == Some("dialog");
        // A declaration or a comment has nothing that could be named so.
        if !is_dialog {
            out.push_str(rest);
            return Some(());
        }
        while let Some((attribute, value)) = rest.split_once('=') {
            let value = value.trim_ascii_start();
            let quote = value.chars().next().filter(|c| "\"'".contains(*c))?;
            let (value, after) = value.get(1..)?.split_once(quote)?;
            match attribute.trim_ascii() {
                "call-id" | "local-tag" | "remote-tag" => {}
                "id" => {
                    let id = self.key.hash64(value);
                    out.push_str(&format!(" id=\"{id:016x}\""));
                }
                _ => {
                    out.push_str(attribute);
                    out.push('=');
                    out.push(quote);
                    out.push_str(value);
                    out.push(quote);
                }
            }
            rest = after;
        }
        out.push_str(rest);
        Some(())
    }
}

/// The next URI of a user: what stands before it, its scheme with the colon, and what follows.
fn next_uri(text: &str) -> Option<(&str, &str, &str)> {
    const SCHEMES: [&str; 4] = ["sip:", "sips:", "pres:", "im:"];
    let mut from = 0;
    while let Some(colon) = text.get(from..)?.find(':') {
        let colon = from + colon + 1;
        let head = text.get(..colon)?;
        let bare = head.get(..head.len() - 1)?;
        let word = bare
            .trim_end_matches(|c: char| c.is_ascii_alphanumeric())
            .len();
        let scheme = text.get(word..colon)?;
        if SCHEMES
            .iter()
            .any(|known| known.eq_ignore_ascii_case(scheme))
        {
            return Some((text.get(..word)?, scheme, text.get(colon..)?));
        }
        from = colon;
    }
    None
}

/// Where a URI ends in a text, or in a document of XML.
fn end_of_uri(text: &str) -> usize {
    let ends = |(at, c): &(usize, char)| {
        let rest = text.get(*at..).unwrap_or_default();
        let entities = ["&apos;", "&gt;", "&lt;", "&quot;"];
        c.is_whitespace()
            || "\"'<>,".contains(*c)
            || entities.iter().any(|entity| rest.starts_with(entity))
    };
    text.char_indices()
        .find(ends)
        .map_or(text.len(), |(at, _)| at)
}

/// A tag up to its `>`, which may also stand inside quotes, and what follows.
fn split_tag(text: &str) -> Option<(&str, &str)> {
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '>') => return Some((text.get(..at)?, text.get(at + 1..)?)),
            (None, _) => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn disguised(package: Package, document: &str) -> Option<String> {
        let mut forbidden = Forbidden::default();
        forbidden.address("192.0.2.10".parse().unwrap());
        let disguise = Disguise {
            host: "summit.example",
            forbidden: &forbidden,
            key: HashKey::from_bytes([1; 16]),
        };
        let document = disguise.of(package, document.as_bytes())?;
        Some(String::from_utf8(document).unwrap())
    }

    #[track_caller]
    fn check(package: Package, document: &str, expected: &str) {
        assert_eq!(disguised(package, document).as_deref(), Some(expected));
    }

    #[test]
    fn users_are_at_our_host_and_nothing_is_behind_it() {
        check(
            Package::MessageSummary,
            "Messages-Waiting: yes\r\nMessage-Account: sip:7002@192.0.2.10:5080;x=y\r\n",
            "Messages-Waiting: yes\r\nMessage-Account: sip:7002@summit.example\r\n",
        );
        check(
            Package::Presence,
            "<presence entity='pres:a@10.1.1.1'><contact>SIPS:b:pw@[2001:db8::1]</contact><note>at \
             192.0.2.10</note><contact>sip:10.9.9.9</contact>tel:+1</presence>",
            "<presence entity='pres:a@summit.example'><contact>SIPS:b@summit.example</contact>\
             <note>at summit.example</note><contact>sip:summit.example</contact>tel:+1</presence>",
        );
    }

    #[test]
    fn a_dialog_has_no_call_id_and_no_tags_on_the_other_side_rfc4235_4_1() {
        let document = "<?xml version=\"1.0\"?><dialog-info entity=\"sip:7002@10.0.0.1\">\
            <dialog id=\"abc@10.0.0.1\" call-id='x>y' local-tag=\"1\" direction=\"initiator\"\
            \n remote-tag=\"2\"><state>early</state></dialog></dialog-info>";
        let seen = disguised(Package::Dialog, document).unwrap();
        for secret in ["10.0.0.1", "call-id", "tag", "abc"] {
            assert!(!seen.contains(secret), "{secret} in {seen}");
        }
        for kept in [
            "entity=\"sip:7002@summit.example\"",
            " id=\"",
            " direction=\"initiator\"",
            "><state>early</state></dialog></dialog-info>",
        ] {
            assert!(seen.contains(kept), "{kept} in {seen}");
        }
        for broken in ["<dialog id=>", "<dialog id=\"x>", "<dialog", "a<b"] {
            assert_eq!(disguised(Package::Dialog, broken), None, "{broken}");
        }
    }

    proptest! {
        #[test]
        fn whatever_a_document_is_our_peers_address_is_not_in_it(
            parts in proptest::collection::vec(prop_oneof![
                Just("192.0.2.10"), Just("sip:"), Just("@"), Just("<dialog "), Just("\""),
                Just(">"), Just("id="), Just(" "), Just("\u{fc}:"), Just("'"), Just("pres:7"),
            ], 0..20),
        ) {
            for package in Package::ALL {
                if let Some(seen) = disguised(package, &parts.concat()) {
                    prop_assert!(!seen.contains("192.0.2.10"), "{seen}");
                }
            }
        }
    }
}
