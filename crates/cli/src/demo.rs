//! `ringfence demo`: the real edge on real sockets, between simulated peers.
#![allow(clippy::disallowed_methods)] // the demo lives in real time

mod attacked;

use std::fs;
use std::io::{IsTerminal, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::Context;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};
use ringfence_control::config;
use ringfence_edge::{Edge, Options};
use ringfence_sim::live::{Demo, DemoConfig, Report};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use self::attacked::Attacked;
use crate::Exit;
use crate::args::DemoOptions;
use crate::paint::{Paint, Tone, seconds};
use crate::show;

/// How long each end of a call speaks.
const TALK: Duration = Duration::from_secs(4);
/// Numbers of the demo's site.
const FIRST_NUMBER: u64 = 13_305_550_100;
const NUMBERS: u64 = 50;

/// Who sits where. Inside and outside differ in the third byte, so that a leak can be told.
struct Places {
    edge_outside: IpAddr,
    edge_inside: IpAddr,
    carrier: SocketAddr,
    pbx: SocketAddr,
    attacker: IpAddr,
    outside_udp: u16,
    outside_tls: u16,
    inside_udp: u16,
    outside_media: (u16, u16),
    inside_media: (u16, u16),
}

/// Runs the main job on this machine.
pub(crate) fn demo(options: &DemoOptions, json: bool) -> anyhow::Result<Exit> {
    let temporary = tempfile::Builder::new()
        .prefix("ringfence-demo-")
        .tempdir()?;
    let folder = match &options.keep {
        Some(folder) => {
            fs::create_dir_all(folder).with_context(|| format!("{}", folder.display()))?;
            folder.clone()
        }
        None => temporary.path().to_owned(),
    };
    let places = Places::find()?;
    let certificates = Certificates::make(&folder, &places)?;
    let file = folder.join("ringfence.toml");
    let attacked = Attacked::find()?;
    attacked.write_phones(&folder)?;
    let text = places.configuration() + &attacked.configuration();
    fs::write(&file, text)?;
    let loaded = config::load(&file)?;
    let edge = Edge::start(loaded.config, Options::default()).context("the edge does not start")?;
    let edge = Arc::new(edge);
    let demo = Demo::start(DemoConfig {
        edge_outside_tls: SocketAddr::new(places.edge_outside, places.outside_tls),
        edge_outside_udp: SocketAddr::new(places.edge_outside, places.outside_udp),
        edge_outside_tcp: SocketAddr::new(places.edge_outside, places.outside_udp),
        edge_outside_media: places.outside_media.0..=places.outside_media.1,
        edge_inside_udp: SocketAddr::new(places.edge_inside, places.inside_udp),
        carrier: places.carrier,
        pbx: places.pbx,
        attacker: places.attacker,
        numbers: (0..NUMBERS)
            .map(|n| format!("+{}", FIRST_NUMBER + n))
            .collect(),
        carrier_server: certificates.server,
        carrier_client: certificates.client,
        seed: options.seed,
        calls_per_second: options.rate,
        talk: TALK,
        siege: attacked.siege(
            &edge,
            (
                SocketAddr::new(places.edge_outside, places.outside_udp),
                SocketAddr::new(places.edge_inside, places.inside_udp),
            ),
            options.length,
            options.seed,
        ),
    })
    .context("the simulated peers do not start")?;
    let end = options.length.map(|length| Instant::now() + length);
    watch(&edge, &demo, end, &file, json)?;
    let report = demo.finish();
    edge.drain();
    edge.join();
    let faults = report.faults();
    if json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("\n{}", summary(&report, Paint::of_stdout()));
        if let Some(folder) = &options.keep {
            println!("kept: {}", folder.display());
        }
    }
    for fault in &faults {
        eprintln!("ringfence demo: {fault}");
    }
    Ok(if faults.is_empty() {
        Exit::Ok
    } else {
        Exit::Failed
    })
}

/// Shows what goes on until the time is up or Ctrl-C: in place on a terminal, a line every few
/// seconds elsewhere, nothing but the end with `--json`.
fn watch(
    edge: &Edge,
    demo: &Demo,
    end: Option<Instant>,
    file: &Path,
    json: bool,
) -> anyhow::Result<()> {
    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&interrupted);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let terminal = std::io::stdout().is_terminal() && !json;
    let paint = Paint::of_stdout();
    let start = Instant::now();
    let mut last_line = None;
    if !json {
        eprintln!(
            "ask it from elsewhere: ringfence --config {} status",
            file.display()
        );
    }
    runtime.block_on(async {
        loop {
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(500)) => {}
                _ = tokio::signal::ctrl_c() => flag.store(true, Relaxed),
            }
            let over = end.is_some_and(|end| Instant::now() >= end);
            if over || interrupted.load(Relaxed) {
                return anyhow::Ok(());
            }
            if json {
                continue;
            }
            let report = demo.report();
            let passed = start.elapsed().as_secs();
            let mut out = std::io::stdout().lock();
            if terminal {
                // The edge's own view needs a runtime of its own.
                let view = std::thread::scope(|scope| {
                    scope
                        .spawn(|| board(edge, paint))
                        .join()
                        .unwrap_or_default()
                });
                write!(out, "\x1b[H\x1b[2J{view}\n{}", summary(&report, paint))?;
                out.flush()?;
            } else if last_line.is_none_or(|last| passed >= last + 5) {
                last_line = Some(passed);
                writeln!(out, "{}", line(passed, &report))?;
            }
        }
    })
}

/// Lines and calls, as the edge sees them.
fn board(edge: &Edge, paint: Paint) -> String {
    let calls = edge.calls().map(|mut calls| {
        calls.calls.truncate(8);
        show::calls_text(&calls, paint)
    });
    format!(
        "{}\n{}",
        show::lines_text(&edge.lines(), paint),
        calls.unwrap_or_default()
    )
}

fn line(passed: u64, report: &Report) -> String {
    let (calls, media, attacker) = (report.calls, report.media, report.attacker);
    format!(
        "{:>5} calls {}/{}/{}  lost {}/{}  audio {}  leaks {}  attacker {} requests, {} bytes back{}",
        seconds(passed),
        calls.tried,
        calls.answered,
        calls.ended_normally,
        media.outside_to_inside.lost + media.inside_to_outside.lost,
        media.outside_to_inside.sent + media.inside_to_outside.sent,
        match (media.audio_matched, media.outside_to_inside.sent) {
            (true, _) => "matches",
            (false, 0) => "-",
            (false, _) => "DIFFERS",
        },
        report.leaks,
        attacker.requests,
        attacker.bytes_answered,
        attacked::line(report),
    )
}

/// What has come of it so far, for people.
fn summary(report: &Report, paint: Paint) -> String {
    let (calls, media, attacker) = (report.calls, report.media, report.attacker);
    let good = |ok: bool, text: String| paint.tone(if ok { Tone::Good } else { Tone::Bad }, text);
    let way = |name: &str, way: ringfence_sim::live::Way| {
        format!(
            "{name} {} packets, {}",
            way.sent,
            good(way.lost == 0, format!("{} lost", way.lost))
        )
    };
    let silent = attacker.bytes_answered == 0;
    format!(
        "calls     {} tried, {} answered, {} ended normally; ringing after {} ms (p99 {} ms)\n\
         sound     {}; {}; {}\n\
         hidden    {}\n\
         scanner   {} requests, {} bytes sent, {}, {}, {}\n",
        calls.tried,
        calls.answered,
        calls.ended_normally,
        report.setup_ms.p50,
        report.setup_ms.p99,
        way("SRTP to RTP", media.outside_to_inside),
        way("RTP to SRTP", media.inside_to_outside),
        match (media.audio_matched, media.outside_to_inside.sent) {
            (true, _) => good(true, "every packet heard is the one that was said".into()),
            (false, 0) => "nothing compared yet".into(),
            (false, _) => good(false, "what was heard is not what was said".into()),
        },
        good(
            report.leaks == 0,
            format!("{} inside identifiers seen outside", report.leaks)
        ),
        attacker.requests,
        attacker.bytes_sent,
        good(silent, format!("{} bytes back", attacker.bytes_answered)),
        good(
            attacker.users_disclosed == 0,
            format!("{} users learned", attacker.users_disclosed)
        ),
        good(
            attacker.calls_placed == 0,
            format!("{} calls placed", attacker.calls_placed)
        ),
    ) + &attacked::summary(report, paint)
}

impl Places {
    /// Free ports on loopback addresses.
    fn find() -> anyhow::Result<Places> {
        let host = |third, fourth| IpAddr::V4(Ipv4Addr::new(127, 0, third, fourth));
        let (edge_outside, edge_inside) = (host(0, 10), host(1, 10));
        let (carrier, pbx) = (host(0, 20), host(1, 20));
        Ok(Places {
            edge_outside,
            edge_inside,
            carrier: SocketAddr::new(carrier, free_tcp(carrier)?),
            pbx: SocketAddr::new(pbx, free_udp(pbx)?),
            attacker: host(0, 66),
            outside_udp: free_both(edge_outside)?,
            outside_tls: free_tcp(edge_outside)?,
            inside_udp: free_udp(edge_inside)?,
            outside_media: free_range(edge_outside)?,
            inside_media: free_range(edge_inside)?,
        })
    }

    fn configuration(&self) -> String {
        let Places {
            edge_outside,
            edge_inside,
            carrier,
            pbx,
            ..
        } = self;
        let (udp, tls, inside) = (self.outside_udp, self.outside_tls, self.inside_udp);
        let ((out_first, out_last), (in_first, in_last)) = (self.outside_media, self.inside_media);
        let last = FIRST_NUMBER + NUMBERS - 1;
        format!(
            r#"# Made by `ringfence demo`.
[edge]
name = "demo-edge"
data = "./data"

[listen.outside]
udp = "{edge_outside}:{udp}"
tcp = "{edge_outside}:{udp}"
tls = "{edge_outside}:{tls}"
certificate = "edge.pem"
key = {{ file = "edge.key" }}
media = "{edge_outside}:{out_first}-{out_last}"

[listen.inside]
udp = "{edge_inside}:{inside}"
media = "{edge_inside}:{in_first}-{in_last}"

[tenant.holden]
name = "Holden Motors"
country = "US"

[site.showroom]
tenant = "holden"
numbers = ["+{FIRST_NUMBER}-+{last}"]
channels = 0
emergency = ["911", "933"]

[trunk.carrier-a]
site = "showroom"
listen = "outside"
peer = "sip:{carrier};transport=tls"
accept = ["{}"]
media = "srtp"
ca = "ca.pem"
channels = 0
calls_per_second = 0

[pbx.main]
site = "showroom"
listen = "inside"
peer = "sip:{pbx}"
media = "rtp"
"#,
            carrier.ip(),
        )
    }
}

fn free_udp(host: IpAddr) -> anyhow::Result<u16> {
    Ok(UdpSocket::bind((host, 0))?.local_addr()?.port())
}

fn free_tcp(host: IpAddr) -> anyhow::Result<u16> {
    Ok(TcpListener::bind((host, 0))?.local_addr()?.port())
}

/// A port that is free for datagrams and for streams.
fn free_both(host: IpAddr) -> anyhow::Result<u16> {
    for _ in 0..100 {
        let port = free_tcp(host)?;
        if UdpSocket::bind((host, port)).is_ok() {
            return Ok(port);
        }
    }
    anyhow::bail!("no port of {host} is free for both UDP and TCP")
}

/// 200 ports in a row, of which most are free: the edge does without the others.
fn free_range(host: IpAddr) -> anyhow::Result<(u16, u16)> {
    const COUNT: u16 = 200;
    for first in (20_000..60_000).step_by(1_000) {
        let taken = (first..first + COUNT).filter(|port| UdpSocket::bind((host, *port)).is_err());
        if taken.count() == 0 {
            return Ok((first, first + COUNT - 1));
        }
    }
    anyhow::bail!("no {COUNT} UDP ports in a row are free on {host}")
}

/// An authority, the edge's certificate in files, the carrier's in memory.
struct Certificates {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

impl Certificates {
    fn make(folder: &Path, places: &Places) -> anyhow::Result<Certificates> {
        let authority_key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = params.self_signed(&authority_key)?;
        let issuer = Issuer::new(params, authority_key);
        let leaf = |address: IpAddr| -> anyhow::Result<(String, KeyPair)> {
            let key = KeyPair::generate()?;
            let mut params = CertificateParams::new(Vec::new())?;
            params.subject_alt_names = vec![SanType::IpAddress(address)];
            Ok((params.signed_by(&key, &issuer)?.pem(), key))
        };
        let (edge, edge_key) = leaf(places.edge_outside)?;
        write(folder.join("ca.pem"), &authority.pem())?;
        write(folder.join("edge.pem"), &edge)?;
        write(folder.join("edge.key"), &edge_key.serialize_pem())?;
        let (carrier, carrier_key) = leaf(places.carrier.ip())?;
        let chain = vec![CertificateDer::from_pem_slice(carrier.as_bytes())?];
        let key = PrivateKeyDer::from_pem_slice(carrier_key.serialize_pem().as_bytes())?;
        let versions: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS13];
        let server = ServerConfig::builder_with_protocol_versions(versions)
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        let mut roots = RootCertStore::empty();
        roots.add(authority.der().clone())?;
        let client = ClientConfig::builder_with_protocol_versions(versions)
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Certificates {
            server: Arc::new(server),
            client: Arc::new(client),
        })
    }
}

/// Writes a file that only we can read: some hold keys.
fn write(path: PathBuf, text: &str) -> anyhow::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&path)
        .with_context(|| format!("{}", path.display()))?;
    file.write_all(text.as_bytes())?;
    Ok(())
}
