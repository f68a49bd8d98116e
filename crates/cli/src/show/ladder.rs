//! `ringfence calls trace`: the ladder.

use std::fmt::Write;

use ringfence_base::text::Escaped;
use ringfence_control::api::{CallRecord, Direction, LegName, Trace, TraceEntry};

use crate::paint::{Paint, Tone, seconds};
use crate::show::calls::short;

/// Width of one arrow.
const ARROW: usize = 34;

/// The ladder: caller, edge, callee; one row a message, with the time since the first.
pub(crate) fn text(trace: &Trace, record: Option<&CallRecord>, paint: Paint) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "call {}", paint.tone(Tone::Bold, &trace.id));
    let Some(first) = trace.entries.first() else {
        out.push_str("none of its messages is kept any more (trace_memory bounds how many are)\n");
        append_record(&mut out, record);
        return out;
    };
    let caller = far(trace, LegName::Ingress).unwrap_or_default();
    let callee = far(trace, LegName::Egress).unwrap_or_default();
    let _ = writeln!(
        out,
        "{:>10}  {caller:<w$}edge{callee:>w$}",
        "seconds",
        w = ARROW + 3
    );
    let start = first.at.0.as_micros();
    for entry in &trace.entries {
        let after = (entry.at.0.as_micros() - start) as f64 / 1e6;
        let _ = writeln!(out, "{after:>10.6}  {}", row(entry, paint));
    }
    if trace.truncated {
        out.push_str("earlier messages have given way to newer ones\n");
    }
    append_record(&mut out, record);
    out
}

fn row(entry: &TraceEntry, paint: Paint) -> String {
    let label = short(&entry.summary, ARROW - 4);
    let right = matches!(
        (entry.leg, entry.direction),
        (LegName::Ingress, Direction::Received) | (LegName::Egress, Direction::Sent)
    );
    let fill = "─".repeat(ARROW - 3 - label.chars().count().min(ARROW - 4));
    let arrow = if right {
        format!("─ {label} {fill}▶")
    } else {
        format!("◀{fill} {label} ─")
    };
    let tone = match entry
        .text
        .strip_prefix("SIP/2.0 ")
        .and_then(|rest| rest.chars().next())
    {
        Some('1') => Tone::Dim,
        Some('2') => Tone::Good,
        Some(_) => Tone::Bad,
        None => Tone::Bold,
    };
    let arrow = paint.tone(tone, arrow);
    let blank = " ".repeat(ARROW + 1);
    match entry.leg {
        LegName::Ingress => format!("│{arrow}│{blank}│"),
        LegName::Egress => format!("│{blank}│{arrow}│"),
    }
}

/// The far end of a leg: `tls 198.51.100.20:5061`.
fn far(trace: &Trace, leg: LegName) -> Option<String> {
    let entry = trace.entries.iter().find(|entry| entry.leg == leg)?;
    Some(format!("{} {}", entry.transport, entry.remote))
}

fn append_record(out: &mut String, record: Option<&CallRecord>) {
    let Some(record) = record else { return };
    let _ = writeln!(
        out,
        "{} {} -> {}: {} after {} (status {}, Q.850 {}, ended by {})",
        record.direction,
        Escaped(record.from.as_bytes()),
        Escaped(record.to.as_bytes()),
        record.outcome,
        seconds(record.seconds as u64),
        record.status,
        record.q850,
        record.ended_by,
    );
    let _ = writeln!(out, "rule  {}", Escaped(record.rule.as_bytes()));
    for (name, leg) in [
        ("caller", Some(&record.ingress)),
        ("callee", record.egress.as_ref()),
    ] {
        let Some(leg) = leg else { continue };
        let _ = write!(
            out,
            "{name}  {} Call-ID {}",
            leg.peer,
            Escaped(leg.call_id.as_bytes())
        );
        if let Some(media) = &leg.media {
            let _ = write!(
                out,
                "; {} {}: {} packets, {} lost, jitter {:.1} ms, MOS {}",
                Escaped(media.codec.as_bytes()),
                match (&media.srtp, media.srtp_refused) {
                    (Some(suite), _) => suite,
                    (None, true) => "plain RTP, SRTP refused with 488,",
                    (None, false) => "plain RTP",
                },
                media.packets_received,
                media.packets_lost,
                media.jitter_ms,
                media.mos.map_or("-".to_owned(), |mos| format!("{mos:.2}")),
            );
        }
        out.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringfence_base::UnixTime;
    use ringfence_control::api::Timestamp;

    fn entry(ms: i64, leg: LegName, direction: Direction, summary: &str) -> TraceEntry {
        TraceEntry {
            at: Timestamp(UnixTime::from_micros(ms * 1000)),
            leg,
            direction,
            remote: "192.0.2.10:5060".parse().unwrap(),
            transport: "udp".into(),
            summary: summary.into(),
            text: summary.into(),
        }
    }

    #[test]
    fn a_ladder_has_one_row_a_message_and_arrows_that_point() {
        use {Direction::*, LegName::*};
        let trace = Trace {
            id: "0123456789abc".into(),
            entries: vec![
                entry(0, Ingress, Received, "INVITE"),
                entry(1, Egress, Sent, "INVITE"),
                entry(25, Egress, Received, "180 Ringing"),
                entry(26, Ingress, Sent, "180 Ringing"),
            ],
            truncated: false,
        };
        insta::assert_snapshot!(text(&trace, None, Paint::plain()));
    }
}
