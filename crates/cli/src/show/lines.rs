//! `ringfence lines` for people.

use std::fmt::Write;

use ringfence_control::api::{LineState, Lines};

use crate::paint::{Paint, Tone, seconds};

pub(crate) fn any_down(lines: &Lines) -> bool {
    lines
        .lines
        .iter()
        .any(|line| matches!(line.verdict.state, LineState::Down | LineState::Degraded))
}

pub(crate) fn text(lines: &Lines, paint: Paint) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "{:10} {:24} {:12} {:>9}  {:5} {:6} WHY",
        "STATE", "LINE", "SITE", "CHANNELS", "OVER", "MEDIA"
    );
    for line in &lines.lines {
        let (mark, tone) = match line.verdict.state {
            LineState::Up => ('●', Tone::Good),
            LineState::Degraded => ('◐', Tone::Warn),
            LineState::Stale => ('◌', Tone::Warn),
            LineState::Unknown => ('?', Tone::Dim),
            LineState::Down => ('✕', Tone::Bad),
        };
        let state = paint.tone(tone, format!("{mark} {:8}", line.verdict.state.as_str()));
        let channels = match line.channels {
            0 => format!("{}", line.calls),
            most => format!("{}/{most}", line.calls),
        };
        let mut why = line.verdict.why.clone();
        if let Some(round_trip) = line
            .options
            .as_ref()
            .and_then(|options| options.round_trip_ms)
        {
            let _ = write!(why, "; OPTIONS {round_trip:.1} ms");
        }
        if let Some(heard) = &line.heard {
            let _ = write!(why, "; heard {} ago", seconds(heard.age_s));
        }
        let name = format!("{} {}", line.kind, line.name);
        let _ = writeln!(
            out,
            "{state} {name:24} {:12} {channels:>9}  {:5} {:6} {why}",
            line.site, line.transport, line.media
        );
    }
    if lines.lines.is_empty() {
        out.push_str("no trunk and no PBX is configured\n");
    }
    out
}
