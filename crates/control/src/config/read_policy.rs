//! Numbers and identity: the keys of a peer, and the dial plan of a site (`[[site.NAME.dial]]`).

use ringfence_session::dtmf::Dtmf;
use ringfence_session::numbering::{DIAL_RULES_MAX, DialPattern, E164, NumbersIn, NumbersOut};
use ringfence_session::plan::PeerKind;
use ringfence_session::policy::{CallingNumber, DiversionPolicy, PeerPolicy};

use super::model::{DialTo, Dialling};
use super::read_stir;
use super::table::Section;
use super::values;

/// The words of `numbers_in`.
pub(crate) const NUMBERS_IN: [(&str, NumbersIn); 4] = [
    ("auto", NumbersIn::Auto),
    ("e164", NumbersIn::E164),
    ("national", NumbersIn::National),
    ("as-is", NumbersIn::AsIs),
];

/// The words of `numbers_out`.
pub(crate) const NUMBERS_OUT: [(&str, NumbersOut); 4] = [
    ("e164-plus", NumbersOut::E164Plus),
    ("e164", NumbersOut::E164),
    ("national", NumbersOut::National),
    ("as-is", NumbersOut::AsIs),
];

/// The words of `calling_number`.
pub(crate) const CALLING_NUMBER: [(&str, CallingNumber); 3] = [
    ("replace", CallingNumber::Replace),
    ("refuse", CallingNumber::Refuse),
    ("any", CallingNumber::Any),
];

/// The words of `dtmf`.
pub(crate) const DTMF: [(&str, Dtmf); 4] = [
    ("pass", Dtmf::Pass),
    ("rfc4733", Dtmf::Rfc4733),
    ("info", Dtmf::Info),
    ("in-band", Dtmf::InBand),
];

/// The words of `diversion`.
pub(crate) const DIVERSION: [(&str, DiversionPolicy); 4] = [
    ("drop", DiversionPolicy::Drop),
    ("pass", DiversionPolicy::Pass),
    ("diversion", DiversionPolicy::Diversion),
    ("history-info", DiversionPolicy::HistoryInfo),
];

/// The word of the configuration for `value`.
pub(crate) fn word<T: PartialEq>(words: &[(&'static str, T)], value: T) -> &'static str {
    let found = words.iter().find(|(_, meant)| *meant == value);
    found.map_or("?", |(word, _)| *word)
}

/// Reads the keys of a trunk or a PBX.
pub(super) fn peer(section: &mut Section<'_, '_, '_>, kind: PeerKind) -> PeerPolicy {
    let usual = PeerPolicy::default();
    let (signing, verification) = read_stir::stir(section, kind);
    PeerPolicy {
        numbers_in: section
            .one_of("numbers_in", &NUMBERS_IN)
            .unwrap_or_default(),
        numbers_out: section
            .one_of("numbers_out", &NUMBERS_OUT)
            .unwrap_or_default(),
        user_phone: section.boolean("user_phone").unwrap_or(usual.user_phone),
        calling_number: section
            .one_of("calling_number", &CALLING_NUMBER)
            .unwrap_or_default(),
        anonymous: section.boolean("anonymous").unwrap_or(usual.anonymous),
        trust: section.boolean("trust").unwrap_or(usual.trust),
        diversion: section.one_of("diversion", &DIVERSION).unwrap_or_default(),
        contact_host: section.parsed("contact_host", values::host_name),
        codecs: section.list("codecs", values::codec).unwrap_or_default(),
        signing,
        verification,
        verstat: read_stir::verstat(section, kind),
        video: section.boolean("video").unwrap_or(usual.video),
        dtmf: section.one_of("dtmf", &DTMF).unwrap_or_default(),
        t38: section.boolean("t38").unwrap_or(usual.t38),
    }
}

/// Reads the keys of a site. `trunks` are all trunks of the file.
pub(super) fn site(
    section: &mut Section<'_, '_, '_>,
    trunks: &[&str],
) -> (Option<E164>, Vec<Dialling>) {
    let main_number = section.parsed("main_number", main_number);
    let tables = section.tables("dial");
    let key = section.key("dial");
    if tables.len() > DIAL_RULES_MAX {
        let message = format!(
            "has {} rules, and {DIAL_RULES_MAX} is the most",
            tables.len()
        );
        section
            .report()
            .error(&key, message, "write fewer, with wider patterns");
    }
    let rules = tables
        .into_iter()
        .take(DIAL_RULES_MAX)
        .filter_map(|(path, table)| {
            let mut rule = Section::new(section.report(), &path, table);
            let rule_read = dial(&mut rule, trunks);
            rule.finish();
            rule_read
        });
    let rules = rules.collect();
    (main_number, rules)
}

fn dial(section: &mut Section<'_, '_, '_>, trunks: &[&str]) -> Option<Dialling> {
    let pattern = section.parsed("match", pattern);
    section.require("match", "write match = \"9.\" (what people dial)");
    let refuse = section.boolean("refuse").unwrap_or_default();
    let strip = section.integer("strip", 0..=32);
    let prepend = section.parsed("prepend", prepend);
    let trunk = section.reference("trunk", "trunk", trunks);
    let pattern = pattern?;
    for unused in ["strip", "prepend", "trunk"] {
        if refuse && section.has(unused) {
            let key = section.key(unused);
            let fix = "take it out, or take out refuse";
            section
                .report()
                .warning(&key, "has no use, since the rule refuses", fix);
        }
    }
    let strip = strip.unwrap_or_default() as usize;
    if strip >= pattern.shortest() && !refuse && prepend.as_deref().is_none_or(str::is_empty) {
        let key = section.key("strip");
        let message = format!("takes away all of \"{pattern}\"");
        let fix = "strip fewer characters, or write a prepend";
        section.report().error(&key, message, fix);
    }
    Some(Dialling {
        pattern,
        to: match refuse {
            true => DialTo::Refuse,
            false => DialTo::Number {
                strip,
                prepend: prepend.unwrap_or_default(),
                trunk,
            },
        },
    })
}

fn pattern(text: &str) -> Result<DialPattern, values::Fault> {
    DialPattern::new(text).ok_or_else(|| {
        values::Fault::new(
            "is no pattern",
            "write up to 32 of 0-9, *, #, +, X (any digit), Z (1-9), N (2-9), and \".\" at the end \
             for whatever follows, e.g. \"9.\"",
        )
    })
}

fn prepend(text: &str) -> Result<String, values::Fault> {
    let digits = text.strip_prefix('+').unwrap_or(text);
    let good = |byte: u8| byte.is_ascii_digit() || byte == b'*' || byte == b'#';
    if digits.len() <= 16 && digits.bytes().all(good) {
        return Ok(text.to_owned());
    }
    Err(values::Fault::new(
        "cannot be dialled",
        "write up to 16 digits, e.g. \"+1330\"",
    ))
}

fn main_number(text: &str) -> Result<E164, values::Fault> {
    let digits = text.strip_prefix('+').unwrap_or_default();
    E164::new(digits).ok_or_else(|| {
        values::Fault::new(
            "is not a number in international form",
            "write \"+\" and all digits, e.g. \"+13305550100\"",
        )
    })
}

#[cfg(test)]
mod tests {
    use crate::config::tests::check;

    const SITE: &str = "channels = 8\nemergency";

    #[track_caller]
    fn rule(text: &str, expected: &str) {
        let (at, rest) = (
            "[trunk.carrier-a]",
            format!("[[site.summit.dial]]\n{text}\n[trunk.carrier-a]"),
        );
        check(at, &rest, expected);
    }

    #[test]
    fn a_faulty_rule_says_what_to_write() {
        rule(
            "match = \"9(.*)\"",
            "site.summit.dial[0].match: \"9(.*)\" is no pattern",
        );
        rule("strip = 1", "site.summit.dial[0].match: is missing");
        rule("match = \"9.\"\nstrip = 2", "takes away all of \"9.\"");
        rule(
            "match = \"9.\"\ntrunk = \"carrier-z\"",
            "names no [trunk.…] table",
        );
        rule(
            "match = \"9.\"\nrefuse = true\nstrip = 1",
            "has no use, since the rule refuses",
        );
        rule("match = \"9.\"\nprepend = \"abc\"", "cannot be dialled");
        rule(
            "match = \"9.\"\nregex = 1",
            "site.summit.dial[0].regex: is an unknown key",
        );
    }

    #[test]
    fn words_of_numbers_and_identity_are_checked() {
        let peer = "calls_per_second = 5";
        check(
            peer,
            "numbers_out = \"e164plus\"",
            "did you mean \"e164-plus\"?",
        );
        check(
            peer,
            "calling_number = \"keep\"",
            "calling_number: \"keep\" is none of the choices",
        );
        check(peer, "trust = \"yes\"", "trust: is a text");
        check(
            SITE,
            "main_number = \"3305550100\"\nemergency",
            "is not a number in international form",
        );
        check(
            SITE,
            "main_number = \"+13305550999\"\nemergency",
            "site.summit.main_number: is not one of the site's numbers",
        );
        check(
            "calls_per_second = 5",
            "anonymous = false",
            "trunk.carrier-a.anonymous: has no use",
        );
    }
}
