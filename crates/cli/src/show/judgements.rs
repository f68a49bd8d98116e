//! What detection says, for people. Texts of peers come escaped; they are escaped again here, for
//! another edge may have written them.

use std::fmt::Write;

use ringfence_base::text::Escaped;
use ringfence_control::api::{Blocks, Explanation, Incidents, Judgement};

use crate::paint::{Paint, Tone};

/// `ringfence incidents`.
pub(crate) fn incidents_text(incidents: &Incidents, paint: Paint) -> String {
    let mut out = String::new();
    if incidents.open.is_empty() {
        out.push_str("no incident is open\n");
    }
    for incident in &incidents.open {
        let mark = paint.tone(Tone::Bad, format!("● {}", incident.kind));
        let _ = writeln!(
            out,
            "{mark}  #{} {} since {}: {} events, {} addresses",
            incident.incident,
            incident.technique,
            incident.first,
            incident.events,
            incident.sources
        );
        let _ = writeln!(out, "  {}", Safe(&incident.why));
    }
    past(&mut out, &incidents.past);
    if incidents.events_lost > 0 {
        let lost = incidents.events_lost;
        let _ = writeln!(out, "{lost} events were lost before they were judged");
    }
    out
}

/// `ringfence blocks`.
pub(crate) fn blocks_text(blocks: &Blocks) -> String {
    let mut out = String::new();
    for block in &blocks.blocks {
        let until = block.until.map(|until| until.to_string());
        let _ = writeln!(
            out,
            "{:8} {:40} until {}{}",
            block.action.as_deref().unwrap_or("-"),
            Safe(&block.subject).to_string(),
            until.unwrap_or_default(),
            match &block.stands {
                Some(stands) => format!("  in {}", Safe(stands)),
                None => "  observed only".to_owned(),
            }
        );
        let _ = writeln!(out, "  {}", Safe(&block.why));
    }
    if blocks.blocks.is_empty() {
        out.push_str("nobody is slowed, limited or blocked\n");
    }
    out
}

/// `ringfence explain`.
pub(crate) fn explain_text(explanation: &Explanation, paint: Paint) -> String {
    let mut out = String::new();
    let about = Safe(&explanation.about).to_string();
    let _ = writeln!(out, "{}", paint.tone(Tone::Dim, about));
    let _ = writeln!(out, "{}", Safe(&explanation.why));
    if let Some(harm) = &explanation.harm {
        let _ = writeln!(out, "a ban would meet {}", Safe(harm));
    }
    for decision in &explanation.in_force {
        let _ = writeln!(out, "in force: {}", Safe(&decision.why));
    }
    for call in &explanation.calls {
        let _ = writeln!(
            out,
            "{}  {} -> {}  {}, {}",
            call.started,
            Safe(&call.from),
            Safe(&call.to),
            call.outcome,
            Safe(&call.rule)
        );
    }
    past(&mut out, &explanation.past);
    out
}

fn past(out: &mut String, past: &[Judgement]) {
    for judgement in past {
        let _ = writeln!(
            out,
            "{}  {:9} {}",
            judgement.at,
            judgement.what,
            Safe(&judgement.why)
        );
    }
}

struct Safe<'a>(&'a str);

impl std::fmt::Display for Safe<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A backslash of an escape that is there already stays one.
        for (place, part) in self.0.split('\\').enumerate() {
            if place > 0 {
                f.write_str("\\")?;
            }
            write!(f, "{}", Escaped(part.as_bytes()))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_attacker_wrote_does_not_drive_the_terminal() {
        let text = Safe("a\\x1b \x1b[2J").to_string();
        assert_eq!(text, "a\\x1b \\x1b[2J");
    }
}
