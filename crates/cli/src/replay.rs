//! `ringfence replay`: detection over a capture, on the capture's own time; over what the edge kept,
//! see [`stored`].

mod stored;

use std::fs::File;
use std::io::Write;

use anyhow::Context;
use ringfence_base::text::Escaped;
use ringfence_control::{config, scenario};
use ringfence_detect::event::PeerRef;
use ringfence_detect::own::Network;
use ringfence_detect::scenario::Scenario;
use ringfence_edge::resolve::resolve;
use ringfence_replay::engine::{Replayed, Setting, replay};
use ringfence_replay::report::{MessageLine, Report};
use ringfence_session::plan::{PeerKind, Plan};

use crate::Exit;
use crate::args::{ReplayOptions, Target};

/// Replays a capture. Something hostile in it is an answer, not a failure.
pub(crate) fn run(target: &Target, options: &ReplayOptions, json: bool) -> anyhow::Result<Exit> {
    let Some(capture) = &options.capture else {
        return stored::run(target, options, json);
    };
    let setting = setting(target, options)?;
    let name = Escaped(capture.as_os_str().as_encoded_bytes()).to_string();
    let file = File::open(capture).with_context(|| format!("{name} cannot be opened"))?;
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let mut failed = None;
    let each = |line: &MessageLine| {
        if !options.per_message || failed.is_some() {
            return;
        }
        let written = match json {
            true => serde_json::to_writer(&mut out, line)
                .map_err(Into::into)
                .and_then(|()| writeln!(out)),
            false => writeln!(out, "{}", message_text(line)),
        };
        failed = written.err();
    };
    let replayed = replay(file, &setting, each).with_context(|| name.clone())?;
    if let Some(error) = failed {
        return Err(error).context("the answer cannot be written");
    }
    match json {
        true => writeln!(out, "{}", serde_json::to_string(&replayed.report)?)?,
        false => write!(out, "{}", text(&replayed.report))?,
    }
    out.flush()?;
    say_unread(&name, &replayed);
    Ok(Exit::Ok)
}

/// Who is who, by the configuration if it is named or there.
fn setting(target: &Target, options: &ReplayOptions) -> anyhow::Result<Setting> {
    let mut setting = Setting {
        local: options.local.clone(),
        ..Setting::default()
    };
    setting.scenarios = scenarios(options)?;
    let wanted = options.site.is_some() || target.config != config_by_default();
    if !wanted && !target.config.exists() {
        return Ok(setting);
    }
    let config = config::load(&target.config)?.config;
    let ask = |wanted: &_| resolve(&config.edge.dns, wanted);
    let plan = ringfence_control::compile(&config, &ask).plan;
    setting.peers = peers(&plan, site(&plan, options)?);
    setting.modes = config.detect;
    setting.lists = config.lists();
    Ok(setting)
}

fn scenarios(options: &ReplayOptions) -> anyhow::Result<Vec<Scenario>> {
    let mut all = Vec::new();
    for path in &options.scenario {
        let scenarios = scenario::load(path)?;
        anyhow::ensure!(
            !scenarios.is_empty(),
            "{}: there is no scenario in this folder",
            path.display()
        );
        all.extend(scenarios);
    }
    Ok(all)
}

/// The site that is asked about, by its place in the plan.
fn site(plan: &Plan, options: &ReplayOptions) -> anyhow::Result<Option<usize>> {
    let Some(name) = &options.site else {
        return Ok(None);
    };
    let place = plan.sites.iter().position(|site| *site.key == **name);
    let place = place.with_context(|| format!("there is no [site.{name}] in the configuration"));
    place.map(Some)
}

fn peers(plan: &Plan, site: Option<usize>) -> Vec<(Network, PeerRef, bool)> {
    let mut all = Vec::new();
    for (index, peer) in plan.peers.iter().enumerate() {
        let elsewhere = site.is_some_and(|site| usize::from(peer.site.raw()) != site);
        if peer.kind == PeerKind::Phones || elsewhere {
            continue;
        }
        let id = PeerRef::new(index as u16);
        let hosts = peer.addresses.iter().map(|host| Network::host(host.ip()));
        let blocks = peer.accept.iter().map(|network| {
            let (address, prefix) = network.parts();
            Network::new(address, prefix)
        });
        let trunk = peer.kind == PeerKind::Trunk;
        all.extend(hosts.chain(blocks).map(|network| (network, id, trunk)));
    }
    all
}

fn config_by_default() -> std::path::PathBuf {
    "ringfence.toml".into()
}

/// What could not be read is told, and changes nothing.
fn say_unread(name: &str, replayed: &Replayed) {
    let skipped = replayed.skipped;
    if skipped.total() > 0 {
        eprintln!(
            "{name}: of {} packets {} were broken, {} of an unknown link type; {} packets in \
             fragments were not whole; {} streams ceased to be SIP",
            replayed.packets, skipped.broken, skipped.link_type, skipped.fragments, skipped.streams
        );
    }
    if replayed.left_out > 0 {
        eprintln!(
            "{name}: {} more findings and decisions are left out",
            replayed.left_out
        );
    }
}

fn message_text(line: &MessageLine) -> String {
    let state = match (line.known, line.hostile) {
        (true, _) => "known",
        (false, true) => "hostile",
        (false, false) => "-",
    };
    format!(
        "{:>7} {:>5.1} {state:<8} {:<10} {} > {} {}",
        line.message,
        line.score,
        line.what,
        line.source,
        line.destination,
        line.tells.join(" ")
    )
}

fn text(report: &Report) -> String {
    let mut text = format!(
        "{} messages, {} of them hostile\n",
        report.messages, report.hostile_messages
    );
    for finding in &report.findings {
        text += &format!(
            "found {} (messages {} to {}, {}): {}\n",
            finding.kind,
            finding.first_message,
            finding.last_message,
            finding.messages,
            finding.why
        );
    }
    for decision in &report.decisions {
        text += &format!(
            "{} after message {}: {}\n",
            decision.mode, decision.after_message, decision.why
        );
    }
    if report.findings.is_empty() {
        text += "nothing found\n";
    }
    text
}
