//! `ringfence status` and `ringfence reload` for people.

use std::fmt::Write;

use ringfence_control::api::{RecordsState, Reload, Status};

use crate::paint::{Paint, Tone, seconds};

pub(crate) fn text(status: &Status, paint: Paint) -> String {
    let mut out = String::new();
    let word = match (status.draining, status.is_degraded()) {
        (true, _) => paint.tone(Tone::Warn, "DRAINING"),
        (false, true) => paint.tone(Tone::Warn, "DEGRADED"),
        (false, false) => paint.tone(Tone::Good, "RUNNING"),
    };
    let _ = writeln!(
        out,
        "{} {word}  ringfence {}, up {}, {} workers",
        paint.tone(Tone::Bold, &status.edge),
        status.version,
        seconds(status.uptime_s),
        status.workers,
    );
    let _ = writeln!(
        out,
        "calls      {} now, {} since the start, {} of them not answered",
        status.calls, status.calls_total, status.calls_failed
    );
    let _ = writeln!(
        out,
        "strangers  {} messages refused",
        status.strangers_total
    );
    let _ = writeln!(out, "media      by {}", status.media_relay);
    let records = &status.records;
    let state = match records.state {
        RecordsState::Ok => "ok".to_owned(),
        RecordsState::Failing => paint.tone(Tone::Bad, "FAILING"),
    };
    let _ = writeln!(
        out,
        "records    {state}: {} written, {} waiting, {} lost",
        records.written, records.waiting, records.lost
    );
    if let Some(error) = &records.error {
        let _ = writeln!(out, "           {error}");
    }
    for listener in &status.listeners {
        let mut places = Vec::new();
        for (name, address) in [
            ("udp", listener.udp),
            ("tcp", listener.tcp),
            ("tls", listener.tls),
            ("ws", listener.ws),
            ("wss", listener.wss),
        ] {
            if let Some(address) = address {
                places.push(format!("{name} {address}"));
            }
        }
        let _ = writeln!(
            out,
            "listen     {}: {}; media {} of {} port pairs in use; {} connections",
            listener.name,
            places.join(", "),
            listener.media_pairs_used,
            listener.media_pairs,
            listener.connections,
        );
        if let Some(ends) = listener.certificate_ends {
            let _ = writeln!(out, "           certificate ends {ends}");
        }
    }
    let memory = status.memory.resident_bytes / (1 << 20);
    let _ = writeln!(out, "memory     {memory} MiB resident");
    let _ = writeln!(
        out,
        "config     {}, applied {}",
        status.config.file, status.config.applied
    );
    for key in &status.config.waiting_for_restart {
        let _ = writeln!(out, "           {key} waits for a restart");
    }
    for warning in &status.warnings {
        let _ = writeln!(out, "{}    {warning}", paint.tone(Tone::Warn, "warning"));
    }
    out
}

pub(crate) fn reload_text(reload: &Reload) -> String {
    let mut out = String::new();
    for diagnostic in &reload.diagnostics {
        let _ = writeln!(out, "{diagnostic}");
    }
    let none = || "(none)".to_owned();
    for change in &reload.changes {
        let from = change.from.clone().unwrap_or_else(none);
        let to = change.to.clone().unwrap_or_else(none);
        let later = if change.effect == "restart" {
            "  (after a restart)"
        } else {
            ""
        };
        let _ = writeln!(out, "{}: {from} -> {to}{later}", change.key);
    }
    out.push_str(match (reload.applied, reload.changes.is_empty()) {
        (false, _) => "not applied: the running configuration stays\n",
        (true, true) => "nothing has changed\n",
        (true, false) => "applied\n",
    });
    out
}
