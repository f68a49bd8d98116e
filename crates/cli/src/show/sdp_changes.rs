//! What the edge made of a session description on its way to the other leg, line by line.

use std::fmt::Write;

use ringfence_base::text::Escaped;
use ringfence_control::api::{Direction, LegName, Timestamp, Trace, TraceEntry};
use serde::Serialize;

use crate::paint::{Paint, Tone};

/// Lines of a description that are compared; a longer one is compared so far.
const LINES_MAX: usize = 400;

/// One description before and after the edge.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct SdpChange {
    /// When it went out.
    at: Timestamp,
    /// The leg that it came from.
    from: LegName,
    /// The message that brought it.
    received: String,
    /// The message that took it on.
    sent: String,
    /// Every line, in order.
    lines: Vec<Line>,
}

/// One line of the comparison.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Line {
    /// `-` came and did not go out, `+` went out and had not come, a space did both.
    mark: char,
    /// The line as it was written.
    text: String,
}

/// Every description of `trace` that came on one leg and went out on the other.
pub(crate) fn of(trace: &Trace) -> Vec<SdpChange> {
    let mut changes = Vec::new();
    // The newest description that came on each leg and has not gone out.
    let (mut of_caller, mut of_callee) = (None::<&TraceEntry>, None::<&TraceEntry>);
    for entry in &trace.entries {
        let Some(after) = description(entry) else {
            continue;
        };
        let (own, other) = match entry.leg {
            LegName::Ingress => (&mut of_caller, &mut of_callee),
            LegName::Egress => (&mut of_callee, &mut of_caller),
        };
        match entry.direction {
            Direction::Received => *own = Some(entry),
            Direction::Sent => {
                let before = other
                    .take()
                    .and_then(|came| Some((came, description(came)?)));
                let Some((came, before)) = before else {
                    continue;
                };
                changes.push(SdpChange {
                    at: entry.at,
                    from: came.leg,
                    received: came.summary.clone(),
                    sent: entry.summary.clone(),
                    lines: compare(&before, &after),
                });
            }
        }
    }
    changes
}

/// The comparisons for people: below the ladder, only what changed.
pub(crate) fn text(trace: &Trace, changes: &[SdpChange], paint: Paint) -> String {
    let mut out = String::new();
    let start = trace
        .entries
        .first()
        .map_or(0, |entry| entry.at.0.as_micros());
    for change in changes {
        let after = (change.at.0.as_micros() - start) as f64 / 1e6;
        let way = match change.from {
            LegName::Ingress => "caller to callee",
            LegName::Egress => "callee to caller",
        };
        let _ = writeln!(
            out,
            "{after:>10.6}  SDP from {way}: {} became {}",
            Escaped(change.received.as_bytes()),
            Escaped(change.sent.as_bytes()),
        );
        for line in change.lines.iter().filter(|line| line.mark != ' ') {
            let tone = if line.mark == '+' {
                Tone::Good
            } else {
                Tone::Bad
            };
            let shown = format!("{} {}", line.mark, Escaped(line.text.as_bytes()));
            let _ = writeln!(out, "{:>10}  {}", "", paint.tone(tone, shown));
        }
        if change.lines.iter().all(|line| line.mark == ' ') {
            let _ = writeln!(out, "{:>10}  unchanged", "");
        }
    }
    out
}

/// The lines of the session description that a message carries.
fn description(entry: &TraceEntry) -> Option<Vec<&str>> {
    let (_, body) = entry.text.split_once("\r\n\r\n")?;
    // Of a body of several parts, the part that is one.
    let start = body.find("v=0")?;
    let lines = body.get(start..)?.lines().take(LINES_MAX);
    let lines = lines.take_while(|line| line.as_bytes().get(1) == Some(&b'='));
    Some(lines.collect())
}

/// The shortest way from `before` to `after`, by their longest common subsequence.
fn compare(before: &[&str], after: &[&str]) -> Vec<Line> {
    let width = after.len() + 1;
    // How many lines the ends from (i, j) on have in common.
    let mut common = vec![0u16; (before.len() + 1) * width];
    for (i, old) in before.iter().enumerate().rev() {
        for (j, new) in after.iter().enumerate().rev() {
            common[i * width + j] = if old == new {
                common[(i + 1) * width + j + 1] + 1
            } else {
                common[(i + 1) * width + j].max(common[i * width + j + 1])
            };
        }
    }
    let line = |mark, text: &str| Line {
        mark,
        text: text.to_owned(),
    };
    let (mut i, mut j, mut lines) = (0, 0, Vec::new());
    while i < before.len() || j < after.len() {
        match (before.get(i), after.get(j)) {
            (Some(old), Some(new)) if old == new => {
                lines.push(line(' ', old));
                (i, j) = (i + 1, j + 1);
            }
            (Some(old), new)
                if new.is_none() || common[(i + 1) * width + j] >= common[i * width + j + 1] =>
            {
                lines.push(line('-', old));
                i += 1;
            }
            (_, Some(new)) => {
                lines.push(line('+', new));
                j += 1;
            }
            (_, None) => break,
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringfence_base::UnixTime;

    fn entry(ms: i64, leg: LegName, direction: Direction, summary: &str, sdp: &str) -> TraceEntry {
        TraceEntry {
            at: Timestamp(UnixTime::from_micros(ms * 1000)),
            leg,
            direction,
            remote: "192.0.2.10:5060".parse().unwrap(),
            transport: "udp".into(),
            summary: summary.into(),
            text: format!("{summary}\r\nContent-Length: 1\r\n\r\n{sdp}"),
        }
    }

    #[test]
    fn each_description_is_shown_with_what_the_edge_made_of_it() {
        use {Direction::*, LegName::*};
        let outside = "v=0\r\nc=IN IP4 198.51.100.7\r\nm=audio 4000 RTP/SAVP 0\r\n\
                       a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:…\r\na=sendrecv\r\n";
        let inside = "v=0\r\nc=IN IP4 192.0.2.2\r\nm=audio 31000 RTP/AVP 0\r\na=sendrecv\r\n";
        let trace = Trace {
            id: "0123456789abc".into(),
            entries: vec![
                entry(0, Ingress, Received, "INVITE", outside),
                entry(1, Egress, Sent, "INVITE", inside),
                entry(2, Egress, Received, "180 Ringing (INVITE)", ""),
                entry(3, Ingress, Sent, "180 Ringing (INVITE)", ""),
                entry(4, Egress, Received, "200 OK (INVITE)", inside),
                entry(5, Ingress, Sent, "200 OK (INVITE)", outside),
                entry(6, Ingress, Received, "INVITE", inside),
                entry(7, Egress, Sent, "INVITE", inside),
            ],
            truncated: false,
        };
        let changes = of(&trace);
        assert_eq!(changes.len(), 3);
        let expected = "  0.001000  SDP from caller to callee: INVITE became INVITE
            - c=IN IP4 198.51.100.7
            - m=audio 4000 RTP/SAVP 0
            - a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:…
            + c=IN IP4 192.0.2.2
            + m=audio 31000 RTP/AVP 0
  0.005000  SDP from callee to caller: 200 OK (INVITE) became 200 OK (INVITE)
            - c=IN IP4 192.0.2.2
            - m=audio 31000 RTP/AVP 0
            + c=IN IP4 198.51.100.7
            + m=audio 4000 RTP/SAVP 0
            + a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:…
  0.007000  SDP from caller to callee: INVITE became INVITE
            unchanged
";
        let shown = text(&trace, &changes, Paint::plain());
        // Letters beyond ASCII are escaped, since a peer wrote them.
        assert_eq!(
            shown,
            expected.replace('…', &Escaped("…".as_bytes()).to_string())
        );
    }

    #[test]
    fn a_retransmission_and_an_answer_of_our_own_are_no_change() {
        use {Direction::*, LegName::*};
        let sdp = "v=0\r\nm=audio 1 RTP/AVP 0\r\n";
        let trace = Trace {
            id: "0123456789abc".into(),
            entries: vec![
                entry(0, Ingress, Received, "INVITE", sdp),
                entry(1, Ingress, Received, "INVITE", sdp),
                entry(2, Egress, Sent, "INVITE", sdp),
                entry(3, Egress, Sent, "INVITE", sdp),
                entry(4, Ingress, Sent, "200 OK (INVITE)", sdp),
            ],
            truncated: false,
        };
        assert_eq!(of(&trace).len(), 1);
    }
}
