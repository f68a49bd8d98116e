//! `ringfence doctor`.

use hyper::Method;
use ringfence_base::text::Escaped;
use ringfence_control::api::{CheckState, Doctor, paths};
use ringfence_control::config;

use crate::Exit;
use crate::args::Target;
use crate::client::{self, ClientError};
use crate::paint::{Paint, Tone};

/// Looks at the host and the set-up: through the running edge if there is one, else by itself.
pub(crate) fn doctor(target: &Target, json: bool, paint: Paint) -> anyhow::Result<Exit> {
    let report: Doctor = match client::ask(target, Method::GET, paths::DOCTOR) {
        Ok(report) => report,
        Err(error) => match error.downcast_ref::<ClientError>() {
            Some(ClientError::NotRunning { .. }) if target.socket.is_none() => {
                let loaded = config::load(&target.config)?;
                ringfence_edge::doctor::check_stopped(&loaded.config)
            }
            _ => return Err(error),
        },
    };
    if json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        for check in &report.checks {
            let (tone, word) = match check.state {
                CheckState::Ok => (Tone::Good, "ok"),
                CheckState::Unknown => (Tone::Dim, "unknown"),
                CheckState::Warning => (Tone::Warn, "warning"),
                CheckState::Failed => (Tone::Bad, "failed"),
            };
            let word = paint.tone(tone, format!("{word:8}"));
            println!(
                "{word} {:28} {}",
                check.name,
                Escaped(check.message.as_bytes())
            );
            if let Some(fix) = check.fix.as_ref().filter(|_| check.state != CheckState::Ok) {
                println!("         {:28} fix: {fix}", "");
            }
        }
    }
    Ok(match report.state() {
        CheckState::Ok | CheckState::Unknown => Exit::Ok,
        CheckState::Warning => Exit::Degraded,
        CheckState::Failed => Exit::Failed,
    })
}
