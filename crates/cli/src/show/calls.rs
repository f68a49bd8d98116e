//! `ringfence calls` for people.

use std::fmt::Write;

use ringfence_base::text::Escaped;
use ringfence_control::api::{ActiveLeg, CallRecord, CallState, Calls};

use crate::paint::{Paint, Tone, seconds};

/// Rows that are shown at once; the total is shown too.
const ROWS_MAX: usize = 200;

pub(crate) fn text(calls: &Calls, paint: Paint) -> String {
    let mut out = String::new();
    if calls.calls.is_empty() {
        out.push_str("no call in progress\n");
        return out;
    }
    let _ = writeln!(
        out,
        "{:13} {:9} {:9} {:>7}  {:18} {:18} {:7} {:>4}  {:>4}  LOST",
        "CALL", "WAY", "STATE", "TIME", "FROM", "TO", "CODEC", "MOS↓", "MOS↑"
    );
    for call in calls.calls.iter().take(ROWS_MAX) {
        let (state, tone) = match call.state {
            CallState::Answered => ("answered", Tone::Good),
            CallState::Ending => ("ending", Tone::Dim),
            CallState::Ringing => ("ringing", Tone::Warn),
            CallState::Trying => ("trying", Tone::Dim),
        };
        let _ = writeln!(
            out,
            "{:13} {:9} {} {:>7}  {:18} {:18} {:7} {:>4}  {:>4}  {}{}",
            call.id,
            call.direction,
            paint.tone(tone, format!("{state:9}")),
            seconds(call.seconds),
            short(&call.from, 18),
            short(&call.to, 18),
            call.ingress
                .media
                .as_ref()
                .map_or("", |media| media.codec.as_str()),
            mos(&call.ingress),
            mos(&call.egress),
            lost(&call.ingress) + lost(&call.egress),
            if call.emergency { "  EMERGENCY" } else { "" },
        );
    }
    let shown = calls.calls.len().min(ROWS_MAX);
    let _ = match calls.total {
        1 => writeln!(out, "1 call"),
        total if total > shown as u64 => writeln!(out, "{shown} of {total} calls"),
        total => writeln!(out, "{total} calls"),
    };
    out
}

pub(crate) fn records_text(records: &[CallRecord], paint: Paint) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "{:13} {:27} {:9} {:18} {:18} {:10} {:>6} {:>5} {:>8}",
        "CALL", "STARTED", "WAY", "FROM", "TO", "OUTCOME", "STATUS", "Q.850", "SECONDS"
    );
    for record in records {
        let tone = if record.outcome == "answered" {
            Tone::Good
        } else {
            Tone::Warn
        };
        let _ = writeln!(
            out,
            "{:13} {:27} {:9} {:18} {:18} {} {:>6} {:>5} {:>8.1}",
            record.id,
            record.started.to_string(),
            record.direction,
            short(&record.from, 18),
            short(&record.to, 18),
            paint.tone(tone, format!("{:10}", record.outcome)),
            record.status,
            record.q850,
            record.seconds,
        );
    }
    out
}

fn mos(leg: &ActiveLeg) -> String {
    leg.media
        .as_ref()
        .and_then(|media| media.mos)
        .map_or("-".to_owned(), |mos| format!("{mos:.1}"))
}

fn lost(leg: &ActiveLeg) -> u64 {
    leg.media.as_ref().map_or(0, |media| media.packets_lost)
}

/// Peer-written text, harmless and at most so many characters wide.
pub(crate) fn short(text: &str, width: usize) -> String {
    let escaped = Escaped(text.as_bytes()).to_string();
    match escaped.chars().count() > width {
        true => escaped.chars().take(width - 1).chain(['…']).collect(),
        false => escaped,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_caller_writes_cannot_drive_the_terminal() {
        assert_eq!(short("+1\u{1b}[2J", 18), "+1\\x1b[2J");
        assert_eq!(short("12345678901234567890", 5), "1234…");
    }
}
