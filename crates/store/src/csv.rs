//! Records as a table for spreadsheets (RFC 4180).
//!
//! What a stranger wrote into a call must not run in the reader's spreadsheet: a text that starts
//! like a formula gets an apostrophe in front, and control characters are spelled out. A number in
//! international form (`+13305550100`) stays as it is, since no formula can be made of digits.

use std::fmt::Write;

use ringfence_base::text::Escaped;
use ringfence_control::api::{CallRecord, RecordLeg};

/// The first line, with its end.
pub fn header() -> String {
    let legs = ["ingress", "egress"].iter().flat_map(|leg| {
        LEG_COLUMNS
            .iter()
            .map(move |column| format!("{leg}_{column}"))
    });
    let columns: Vec<String> = COLUMNS
        .iter()
        .map(|&name| name.to_owned())
        .chain(legs)
        .collect();
    columns.join(",") + "\r\n"
}

/// A record's line, with its end.
pub fn line(record: &CallRecord) -> String {
    let mut line = Line::default();
    line.text(&record.id);
    line.text(&record.tenant);
    line.text(&record.site);
    line.text(&record.direction);
    line.text(&record.from);
    line.text(&record.to);
    line.plain(record.emergency);
    line.plain(record.started);
    line.maybe(record.ringing);
    line.maybe(record.answered);
    line.plain(record.ended);
    line.plain(format_args!("{:.3}", record.seconds));
    line.text(&record.outcome);
    line.plain(record.status);
    line.plain(record.q850);
    line.text(&record.ended_by);
    line.text(&record.rule);
    let caller = record.caller_id.as_ref();
    line.text(caller.map_or("", |caller| &caller.verstat));
    line.text(
        caller
            .and_then(|caller| caller.attestation.as_deref())
            .unwrap_or_default(),
    );
    line.text(
        caller
            .and_then(|caller| caller.origid.as_deref())
            .unwrap_or_default(),
    );
    line.leg(Some(&record.ingress));
    line.leg(record.egress.as_ref());
    line.text.push_str("\r\n");
    line.text
}

const COLUMNS: [&str; 20] = [
    "id",
    "tenant",
    "site",
    "direction",
    "from",
    "to",
    "emergency",
    "started",
    "ringing",
    "answered",
    "ended",
    "seconds",
    "outcome",
    "status",
    "q850",
    "ended_by",
    "rule",
    "verstat",
    "attestation",
    "origid",
];

const LEG_COLUMNS: [&str; 13] = [
    "peer",
    "call_id",
    "remote",
    "transport",
    "status",
    "codec",
    "srtp",
    "srtp_refused",
    "packets_received",
    "packets_sent",
    "packets_lost",
    "jitter_ms",
    "mos",
];

#[derive(Default)]
struct Line {
    text: String,
}

impl Line {
    /// A text that somebody else may have written.
    fn text(&mut self, value: &str) {
        let shown = Escaped(value.as_bytes()).to_string();
        let formula = if starts_like_a_formula(&shown) {
            "'"
        } else {
            ""
        };
        self.separate();
        self.text.push('"');
        self.text.push_str(formula);
        self.text.push_str(&shown.replace('"', "\"\""));
        self.text.push('"');
    }

    /// A value of ours that holds no comma, quote or line end.
    fn plain(&mut self, value: impl std::fmt::Display) {
        self.separate();
        write!(self.text, "{value}").expect("writing to a string does not fail");
    }

    fn maybe(&mut self, value: Option<impl std::fmt::Display>) {
        match value {
            Some(value) => self.plain(value),
            None => self.plain(""),
        }
    }

    fn leg(&mut self, leg: Option<&RecordLeg>) {
        let Some(leg) = leg else {
            LEG_COLUMNS.iter().for_each(|_| self.plain(""));
            return;
        };
        self.text(&leg.peer);
        self.text(&leg.call_id);
        self.plain(leg.remote);
        self.text(&leg.transport);
        self.maybe(leg.status);
        let media = leg.media.as_ref();
        self.text(media.map_or("", |media| &media.codec));
        self.text(media.and_then(|media| media.srtp.as_deref()).unwrap_or(""));
        self.maybe(media.map(|media| media.srtp_refused));
        self.maybe(media.map(|media| media.packets_received));
        self.maybe(media.map(|media| media.packets_sent));
        self.maybe(media.map(|media| media.packets_lost));
        self.maybe(media.map(|media| media.jitter_ms));
        self.maybe(media.and_then(|media| media.mos));
    }

    fn separate(&mut self) {
        if !self.text.is_empty() {
            self.text.push(',');
        }
    }
}

fn starts_like_a_formula(text: &str) -> bool {
    match text.trim_start().as_bytes() {
        [b'+', digits @ ..] => digits.is_empty() || !digits.iter().all(u8::is_ascii_digit),
        [first, ..] => b"=-@|%".contains(first),
        [] => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: &str, expected: &str) {
        let mut line = Line::default();
        line.text(value);
        assert_eq!(line.text, expected);
    }

    #[test]
    fn a_formula_of_a_stranger_does_not_run() {
        check("=cmd|'/c calc'!A0", "\"'=cmd|'/c calc'!A0\"");
        check("@SUM(1)", "\"'@SUM(1)\"");
        check("-2+3", "\"'-2+3\"");
        check(" =1", "\"' =1\"");
        check("+1+cmd", "\"'+1+cmd\"");
        check("\t=1", "\"\\x09=1\"");
    }

    #[test]
    fn a_number_and_a_plain_text_stay() {
        check("+13305550100", "\"+13305550100\"");
        check("911", "\"911\"");
        check("", "\"\"");
    }

    #[test]
    fn quotes_commas_and_line_ends_stay_within_the_cell() {
        check("a\"b,c\r\nd", "\"a\"\"b,c\\x0d\\x0ad\"");
        check("\u{202e}evil\u{1b}[31m", "\"\\u{202e}evil\\x1b[31m\"");
    }
}
