//! `ringfence callers`: who is known to the business.

mod files;

use std::fmt::Write;
use std::path::Path;

use anyhow::Context;
use hyper::Method;
use ringfence_base::text::Escaped;
use ringfence_control::api::{
    CallBacks, CallerStanding, CallersImport, CallersImported, IMPORT_MAX, KnownCallersStatus,
    paths,
};

use crate::Exit;
use crate::args::{CallersCommand, CallersFormat, Target};
use crate::client;
use crate::paint::{Paint, Tone};
use crate::show::print;

/// Largest file that is read.
const FILE_BYTES_MAX: u64 = 256 << 20;
/// Refused numbers that are shown one by one.
const REFUSED_SHOWN: usize = 20;

/// Runs a command; none is `status`.
pub(crate) fn run(
    target: &Target,
    command: Option<CallersCommand>,
    json: bool,
    paint: Paint,
) -> anyhow::Result<Exit> {
    match command.unwrap_or(CallersCommand::Status) {
        CallersCommand::Status => {
            let answer: KnownCallersStatus = client::ask(target, Method::GET, paths::CALLERS)?;
            print(&answer, json, || status(&answer))?;
        }
        CallersCommand::Import {
            file,
            tenant,
            format,
            dry_run,
        } => {
            let answer = import(target, &file, tenant, format, dry_run)?;
            print(&answer, json, || imported(&answer, dry_run, paint))?;
        }
        CallersCommand::CallBack { since, tenant } => {
            let mut path = format!("{}?since={}", paths::CALL_BACK, since.as_secs());
            if let Some(tenant) = tenant {
                let _ = write!(path, "&tenant={}", client::escaped(&tenant));
            }
            let answer: CallBacks = client::ask(target, Method::GET, &path)?;
            print(&answer, json, || call_backs(&answer))?;
        }
        CallersCommand::Show { number, tenant } => {
            let path = path_of(&number, tenant.as_deref());
            let answer: CallerStanding = client::ask(target, Method::GET, &path)?;
            print(&answer, json, || standing(&answer))?;
        }
        CallersCommand::Forget { number, tenant } => {
            let path = path_of(&number, tenant.as_deref());
            let answer: CallerStanding = client::ask(target, Method::DELETE, &path)?;
            print(&answer, json, || standing(&answer))?;
        }
    }
    Ok(Exit::Ok)
}

fn import(
    target: &Target,
    file: &Path,
    tenant: Option<String>,
    format: CallersFormat,
    dry_run: bool,
) -> anyhow::Result<CallersImported> {
    let shown = file.display();
    let size = std::fs::metadata(file).with_context(|| format!("{shown} cannot be read"))?;
    anyhow::ensure!(
        size.len() <= FILE_BYTES_MAX,
        "{shown} is larger than 256 MiB: split it"
    );
    let bytes = std::fs::read(file).with_context(|| format!("{shown} cannot be read"))?;
    let read = files::read(file, &bytes, format).with_context(|| format!("{shown}"))?;
    let mut all = CallersImported::default();
    for numbers in read.numbers.chunks(IMPORT_MAX) {
        let piece = CallersImport {
            tenant: tenant.clone(),
            talked: read.talked,
            dry_run,
            numbers: numbers.to_vec(),
        };
        let done: CallersImported = client::tell(target, Method::POST, paths::CALLERS, &piece)?;
        all.tenant = done.tenant;
        all.taken += done.taken;
        all.new += done.new;
        all.own += done.own;
        all.refused.extend(done.refused);
        all.remembered = done.remembered;
    }
    Ok(all)
}

/// The path of one number, whatever is in it.
fn path_of(number: &str, tenant: Option<&str>) -> String {
    let mut path = format!("{}/{}", paths::CALLERS, client::escaped(number));
    if let Some(tenant) = tenant {
        let _ = write!(path, "?tenant={}", client::escaped(tenant));
    }
    path
}

fn status(answer: &KnownCallersStatus) -> String {
    let mut out = String::new();
    for row in &answer.tenants {
        let _ = writeln!(
            out,
            "{}  {} numbers are remembered",
            row.tenant, row.remembered
        );
    }
    out
}

fn imported(answer: &CallersImported, dry_run: bool, paint: Paint) -> String {
    let mut out = String::new();
    let verb = if dry_run {
        "would be known"
    } else {
        "are known"
    };
    let _ = writeln!(
        out,
        "{} numbers {verb} to {}, {} of them new; {} are its own or extensions, {} are no numbers",
        answer.taken,
        answer.tenant,
        answer.new,
        answer.own,
        answer.refused.len()
    );
    for refused in answer.refused.iter().take(REFUSED_SHOWN) {
        let line = format!(
            "  {}: \"{}\": {}",
            Escaped(refused.place.as_bytes()),
            Escaped(refused.text.as_bytes()),
            refused.why
        );
        let _ = writeln!(out, "{}", paint.tone(Tone::Bad, line));
    }
    if answer.refused.len() > REFUSED_SHOWN {
        let more = answer.refused.len() - REFUSED_SHOWN;
        let _ = writeln!(out, "  and {more} more; --json lists all");
    }
    let _ = writeln!(out, "{} numbers are remembered now", answer.remembered);
    out
}

fn call_backs(answer: &CallBacks) -> String {
    let mut out = String::new();
    for caller in &answer.callers {
        let number = Escaped(caller.number.as_bytes()).to_string();
        let times = match caller.times {
            1 => "once".to_owned(),
            times => format!("{times} times"),
        };
        let _ = writeln!(
            out,
            "{}  {number:<16}  {times} at {} ({})",
            caller.last,
            caller.site,
            Escaped(caller.called.as_bytes())
        );
    }
    if answer.callers.is_empty() {
        let _ = writeln!(out, "nobody waits for a call back");
    }
    if answer.without_number > 0 {
        let _ = writeln!(
            out,
            "calls without a number that can be called: {}",
            answer.without_number
        );
    }
    if answer.left_out > 0 {
        let more = answer.left_out;
        let _ = writeln!(out, "calls of further numbers, older than these: {more}");
    }
    let _ = writeln!(out, "from {} on", answer.since);
    out
}

fn standing(answer: &CallerStanding) -> String {
    format!("{}  {}: {}\n", answer.number, answer.standing, answer.why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_for_a_call_back_is_shown_safely() {
        let nobody = call_backs(&CallBacks::default());
        assert!(nobody.starts_with("nobody waits"), "{nobody}");
        let answer = CallBacks {
            callers: vec![ringfence_control::api::CallBack {
                tenant: "summit".into(),
                site: "hq".into(),
                number: "+12165550123".into(),
                called: "+13305550100\u{1b}[2J".into(),
                times: 3,
                first: Default::default(),
                last: Default::default(),
            }],
            without_number: 2,
            ..CallBacks::default()
        };
        let shown = call_backs(&answer);
        assert!(shown.contains("+12165550123      3 times at hq"), "{shown}");
        assert!(shown.contains("can be called: 2") && !shown.contains('\u{1b}'));
    }

    #[test]
    fn numbers_are_written_safely_into_the_path() {
        assert_eq!(
            path_of("+1 330/555", Some("a&b")),
            "/v1/callers/%2B1%20330%2F555?tenant=a%26b"
        );
    }
}
