//! Checks of the host and the set-up, as data: what was looked at, what was found, what to do.
//!
//! Everything here blocks (files, the resolver) and belongs on no data path.

mod probe;

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use ringfence_base::UnixTime;
use ringfence_control::api::{Check, CheckState, Doctor, Line, LineState, Timestamp};
use ringfence_control::certificate;
use ringfence_control::compile::wanted;
use ringfence_control::config::{Config, FirewallUse};

use crate::clock::unix_now;
use crate::host;
use crate::judge;
use crate::resolve::resolve;
use crate::stream::CONNECTIONS_MAX;
use crate::tls::TlsContext;
use crate::tls::build::TlsError;
use crate::worker::bind::bind_all;

/// A certificate that ends within this time needs somebody.
pub(crate) const CERTIFICATE_SOON: Duration = Duration::from_secs(14 * 86_400);
/// Less free space than this will not last for long.
const DISK_LOW: u64 = 500 << 20;
/// What the signalling sockets ask for.
const BUFFER_WANTED: u64 = 4 << 20;
/// File descriptors beside media ports and connections: database, logs, epoll.
const FILES_BESIDE: u64 = 256;
/// Connections that a host should have descriptors for; the edge takes what it gets.
const CONNECTIONS_EXPECTED: u64 = CONNECTIONS_MAX as u64 / 8;
/// 2026-01-01: no clock that is right says less.
const CLOCK_EARLIEST: UnixTime = UnixTime::from_micros(1_767_225_600_000_000);

/// Checks what can be checked while the edge of `config` is running.
pub fn check_running(config: &Config) -> Doctor {
    let mut checks = vec![
        files(config),
        receive_buffers(),
        clock(),
        data_folder(&config.edge.data),
        disk(&config.edge.data),
    ];
    checks.extend(firewall(config));
    checks.extend(metrics(config));
    checks.extend(certificates(config));
    checks.extend(names(config));
    Doctor { checks }
}

/// Checks everything, the addresses and the peers too: while no edge of `config` is running.
pub fn check_stopped(config: &Config) -> Doctor {
    let mut doctor = check_running(config);
    doctor.checks.extend(addresses(config));
    let plan = ringfence_control::compile(config, &|wanted| resolve(&config.edge.dns, wanted)).plan;
    let context = TlsContext::load(config, &plan);
    let asked = probe::ask_peers(config, &plan, context.as_ref().ok());
    doctor.checks.extend(context.err().map(|error| tls(&error)));
    doctor.checks.extend(asked);
    doctor
}

/// Certificates that do not come, as checks.
pub(crate) fn check_acme(faults: Vec<String>) -> impl Iterator<Item = Check> {
    let fix = "make the domains lead to acme.http of this host, port 80 outside";
    faults
        .into_iter()
        .map(move |found| warning("acme", found, fix))
}

/// What the line board says, as checks.
pub(crate) fn check_lines(lines: &[Line]) -> impl Iterator<Item = Check> {
    lines.iter().map(|line| {
        let name = format!("line {}.{}", line.kind, line.name);
        let found = format!("{}: {}", line.verdict.state.as_str(), line.verdict.why);
        match line.verdict.state {
            LineState::Up => ok(name, found),
            LineState::Unknown | LineState::Stale => Check {
                name,
                state: CheckState::Unknown,
                message: found,
                fix: None,
            },
            LineState::Degraded => warning(name, found, "look at the far side and the way to it"),
            LineState::Down => failed(name, found, "look at the far side and the way to it"),
        }
    })
}

fn files(config: &Config) -> Check {
    let name = "file descriptors";
    let media = config.listeners.iter().filter_map(|listen| listen.media);
    let media: u64 = media.map(|range| 2 * range.pairs().count() as u64).sum();
    let wanted = media + CONNECTIONS_EXPECTED + FILES_BESIDE;
    match host::file_limits() {
        Ok((_, most)) if most >= wanted => ok(name, format!("{most} allowed, {wanted} wanted")),
        Ok((_, most)) => {
            let found = format!("{most} allowed, {wanted} wanted");
            let fix = format!("set LimitNOFILE={wanted} in the service, or ulimit -Hn {wanted}");
            if most < media + FILES_BESIDE {
                failed(name, found, fix)
            } else {
                warning(name, found, fix)
            }
        }
        Err(error) => unknown(name, error),
    }
}

fn receive_buffers() -> Check {
    let name = "receive buffers";
    match host::receive_buffer_max() {
        Some(most) if most >= BUFFER_WANTED => ok(name, format!("up to {most} bytes")),
        Some(most) => {
            let found = format!("up to {most} bytes: bursts of signalling may be dropped");
            warning(
                name,
                found,
                format!("run: sysctl -w net.core.rmem_max={BUFFER_WANTED}"),
            )
        }
        None => unknown(name, "the host does not tell net.core.rmem_max"),
    }
}

fn clock() -> Check {
    let now = unix_now();
    let found = Timestamp(now).to_string();
    if now < CLOCK_EARLIEST {
        return failed(
            "clock",
            found,
            "set the clock: certificates and records depend on it",
        );
    }
    match host::clock_is_synchronised() {
        Some(true) => ok("clock", format!("{found}, kept in step")),
        Some(false) => {
            let found = format!("{found}, and nothing keeps it in step");
            warning(
                "clock",
                found,
                "run a time service: systemd-timesyncd or chrony",
            )
        }
        None => ok("clock", found),
    }
}

fn data_folder(folder: &Path) -> Check {
    let shown = folder.display();
    if !folder.exists() {
        let fix = "it is made at the first start";
        let state = CheckState::Unknown;
        let message = format!("{shown} does not exist yet");
        return Check {
            name: "data folder".to_owned(),
            state,
            message,
            fix: Some(fix.to_owned()),
        };
    }
    let probe = folder.join(".doctor");
    let written = std::fs::File::create(&probe)
        .and_then(|mut file| file.write_all(b"ok").and_then(|()| file.sync_all()));
    // What could not be written need not be removed.
    let _ = std::fs::remove_file(&probe);
    match written {
        Ok(()) => ok("data folder", format!("{shown} can be written")),
        Err(error) => {
            let fix = "give the folder to the user that runs the edge";
            failed("data folder", format!("{shown}: {error}"), fix)
        }
    }
}

fn disk(folder: &Path) -> Check {
    let existing = folder
        .ancestors()
        .find(|folder| folder.exists())
        .unwrap_or(Path::new("."));
    match host::free_bytes(existing) {
        Ok(free) if free >= DISK_LOW => ok("disk", format!("{} MB free", free >> 20)),
        Ok(free) => {
            let found = format!(
                "{} MB free: records of calls will not fit for long",
                free >> 20
            );
            warning("disk", found, "make room, or move edge.data")
        }
        Err(error) => unknown("disk", error),
    }
}

fn firewall(config: &Config) -> Option<Check> {
    let name = "firewall";
    let wanted = match config.firewall {
        FirewallUse::Off => return None,
        FirewallUse::Auto => false,
        FirewallUse::Nftables => true,
    };
    Some(match judge::firewall::check() {
        Ok(()) => ok(name, "nftables can be used for blocks"),
        Err(error) => {
            let found = format!("{error}; the edge itself drops what blocked sources send");
            let fix = "install nftables and run the edge with CAP_NET_ADMIN, \
                       or set detect.firewall = \"off\"";
            if wanted {
                warning(name, found, fix)
            } else {
                ok(name, found)
            }
        }
    })
}

fn metrics(config: &Config) -> Option<Check> {
    let address = config.edge.metrics?;
    let found = format!("served at {address}");
    Some(if address.ip().is_loopback() {
        ok("metrics", found)
    } else {
        let fix = "let only your own monitoring reach it, or use a loopback address";
        warning(
            "metrics",
            format!("{found}, to everybody who can reach it"),
            fix,
        )
    })
}

fn certificates(config: &Config) -> impl Iterator<Item = Check> {
    config
        .listeners
        .iter()
        .filter(|listen| listen.tls.is_some())
        .map(|listen| {
            let name = format!("certificate listen.{}", listen.name);
            let ends = listen.certificate.as_deref().and_then(certificate::ends);
            if listen.acme.is_some() && ends.is_none() {
                return warning(
                    name,
                    "the first one by acme is not there yet",
                    "run the edge where the authority reaches acme.http",
                );
            }
            let Some(ends) = ends else {
                return unknown(name, "its end cannot be read");
            };
            let found = format!("ends {}", Timestamp(ends));
            let fix = "renew it, then run: ringfence reload";
            let left = ends.as_micros().saturating_sub(unix_now().as_micros());
            match u64::try_from(left).map(Duration::from_micros) {
                Err(_) | Ok(Duration::ZERO) => failed(name, format!("{found}: it is over"), fix),
                Ok(left) if left < CERTIFICATE_SOON => warning(name, found, fix),
                Ok(_) => ok(name, found),
            }
        })
}

fn names(config: &Config) -> impl Iterator<Item = Check> {
    let named = config
        .peers
        .iter()
        .filter(|peer| peer.uri.address().is_none());
    named.map(|peer| {
        let name = format!("name {}", peer.key());
        let host = &peer.uri.host;
        let fix = "correct the name, or the host's resolver";
        match resolve(&config.edge.dns, &wanted(config, peer)) {
            Ok(found) => {
                let over = found.transport;
                let found: Vec<String> = found.addresses.iter().map(|a| a.to_string()).collect();
                ok(name, format!("{host} is {} over {over}", found.join(", ")))
            }
            Err(error) => failed(name, format!("{host}: {error}"), fix),
        }
    })
}

/// Binds all that the edge would bind, and lets it go.
fn addresses(config: &Config) -> Vec<Check> {
    // A refusal would only make the next step report it.
    let _ = host::raise_file_limit();
    let bound = bind_all(&config.listeners, 1);
    let mut checks: Vec<Check> = bound
        .errors
        .iter()
        .map(|error| {
            let fix = "end the program that has it, or write an address of this host";
            let found = format!("{}: {}", error.address, error.source);
            failed(
                format!("address listen.{}.{}", error.listener, error.what),
                found,
                fix,
            )
        })
        .collect();
    checks.extend(bound.media_skipped.iter().map(|(listener, pairs)| {
        let found = format!("{pairs} port pairs are in use by others");
        let fix = "choose a range that nobody else uses";
        warning(format!("address listen.{listener}.media"), found, fix)
    }));
    if checks.is_empty() {
        checks.push(ok("addresses", "all can be bound"));
    }
    checks
}

/// Why the edge would not get its TLS together.
fn tls(error: &TlsError) -> Check {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}"));
    let message = format!("{error}{}", cause.unwrap_or_default());
    let fix = "without it the edge does not start: correct the files that the configuration names";
    failed("tls", message, fix)
}

fn ok(name: impl Into<String>, message: impl Into<String>) -> Check {
    Check {
        name: name.into(),
        state: CheckState::Ok,
        message: message.into(),
        fix: None,
    }
}

fn unknown(name: impl Into<String>, message: impl ToString) -> Check {
    let message = message.to_string();
    Check {
        name: name.into(),
        state: CheckState::Unknown,
        message,
        fix: None,
    }
}

fn warning(name: impl Into<String>, message: impl Into<String>, fix: impl Into<String>) -> Check {
    Check {
        name: name.into(),
        state: CheckState::Warning,
        message: message.into(),
        fix: Some(fix.into()),
    }
}

fn failed(name: impl Into<String>, message: impl Into<String>, fix: impl Into<String>) -> Check {
    Check {
        state: CheckState::Failed,
        ..warning(name, message, fix)
    }
}
