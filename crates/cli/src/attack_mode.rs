//! `ringfence attack-mode`: an operator says that calls hold the lines, or that it is over.

use std::fmt::Write;

use hyper::Method;
use ringfence_control::api::{AttackMode, SiteDefence, paths};

use crate::Exit;
use crate::args::{AttackCommand, AttackedSites, Target};
use crate::client;
use crate::paint::{Paint, Tone};
use crate::show::print;

/// Runs a command; none is `status`.
pub(crate) fn run(
    target: &Target,
    command: Option<AttackCommand>,
    json: bool,
    paint: Paint,
) -> anyhow::Result<Exit> {
    let (method, whom, seconds) = match command {
        Some(AttackCommand::On { length, whom }) => (Method::POST, whom, Some(length.as_secs())),
        Some(AttackCommand::Off { whom }) => (Method::DELETE, whom, None),
        Some(AttackCommand::Status { whom }) => (Method::GET, whom, None),
        None => (Method::GET, AttackedSites::default(), None),
    };
    let answer: AttackMode = client::ask(target, method, &path(&whom, seconds))?;
    print(&answer, json, || text(&answer, paint))?;
    Ok(Exit::Ok)
}

fn path(whom: &AttackedSites, seconds: Option<u64>) -> String {
    let seconds = seconds.map(|seconds| seconds.to_string());
    let fields = [
        ("site", &whom.site),
        ("tenant", &whom.tenant),
        ("seconds", &seconds),
    ];
    let mut path = paths::ATTACK_MODE.to_owned();
    for (name, value) in fields {
        let Some(value) = value else { continue };
        path.push(if path.contains('?') { '&' } else { '?' });
        let _ = write!(path, "{name}={}", client::escaped(value));
    }
    path
}

fn text(answer: &AttackMode, paint: Paint) -> String {
    let mut out = String::new();
    for site in &answer.sites {
        row(&mut out, site, paint);
    }
    out
}

fn row(out: &mut String, site: &SiteDefence, paint: Paint) {
    let state = match (&site.attack_until, &site.alarm_since) {
        (Some(until), _) => paint.tone(Tone::Bad, format!("ATTACK MODE until {until}")),
        (None, Some(since)) => paint.tone(Tone::Bad, format!("ALARM since {since}")),
        (None, None) => paint.tone(Tone::Good, "quiet"),
    };
    let _ = writeln!(
        out,
        "{}  {state}  tdos = {}, {} channels, {} known callers{}",
        site.site,
        site.tdos,
        site.channels,
        site.known_callers,
        match site.usual_strangers {
            Some(usual) => format!(", {usual:.1} strangers an hour are usual"),
            None => String::new(),
        }
    );
    let _ = writeln!(
        out,
        "  let in {}  asked {}  passed {}  refused {}  all lines busy {}",
        site.admitted, site.screened, site.passed, site.shed, site.full
    );
    if site.channels == 0 {
        out.push_str("  without `channels` there is no line to keep: nobody is asked\n");
    } else if !site.voice {
        out.push_str(
            "  nobody is asked by voice: strangers have the lines outside of the reserve\n",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_written_safely_into_the_path() {
        let whom = AttackedSites {
            site: Some("a b&c".into()),
            tenant: Some("summit".into()),
        };
        let expected = "/v1/attack-mode?site=a%20b%26c&tenant=summit&seconds=3600";
        assert_eq!(path(&whom, Some(3_600)), expected);
        assert_eq!(path(&AttackedSites::default(), None), "/v1/attack-mode");
    }

    #[test]
    fn a_site_is_shown_with_what_it_does() {
        let site = SiteDefence {
            site: "summit".into(),
            tenant: "summit".into(),
            tdos: "enforce".into(),
            voice: false,
            channels: 8,
            attack_until: None,
            alarm_since: None,
            admitted: 41,
            screened: 12,
            passed: 9,
            shed: 3,
            full: 0,
            known_callers: 120,
            usual_strangers: Some(7.96),
        };
        let mut out = String::new();
        row(&mut out, &site, Paint::plain());
        let expected = "summit  quiet  tdos = enforce, 8 channels, 120 known callers, \
            8.0 strangers an hour are usual\n  let in 41  asked 12  \
            passed 9  refused 3  all lines busy 0\n  nobody is asked by voice: strangers have the lines \
            outside of the reserve\n";
        assert_eq!(out, expected);
    }
}
