//! The edge under test: configured, started as `ringfence run`, asked and stopped.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use anyhow::{Context, bail};
use tempfile::TempDir;

use crate::net::{self, Network};
use crate::process::Process;
use crate::wait;

/// Names the binary under test; without it the workspace's is built once.
const BINARY: &str = "RINGFENCE_BIN";

/// The profile with which it is built; `release` without it.
const PROFILE: &str = "RINGFENCE_PROFILE";

/// Hosts of the claimed networks: the edge on each side, the carrier and the PBX.
pub const EDGE: u8 = 1;
/// The carrier's host, outside.
pub const CARRIER: u8 = 20;
/// The PBX's host, inside.
pub const PBX: u8 = 10;

/// What a test may want to differ.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Worker threads; `None` for the edge's own choice.
    pub workers: Option<u8>,
    /// `rtp`, `srtp` or `either`, towards the carrier.
    pub trunk_media: &'static str,
    /// `udp`, `tcp` or `tls`, towards the carrier.
    pub trunk_transport: &'static str,
    /// A further source address of the carrier.
    pub trunk_accept: Option<&'static str>,
    /// `udp` or `tcp`, towards the PBX.
    pub pbx_transport: &'static str,
    /// `channels` of the trunk, the PBX and the site; 0 is no limit.
    pub channels: u32,
    /// Whether every called number passes.
    pub any_number: bool,
    /// Pairs of media ports on each side.
    pub media_pairs: u16,
    /// A certificate chain and a key, as PEM; TLS is offered outside with them.
    pub identity: Option<(String, String)>,
    /// Whether TLS 1.2 will do there, which the edge speaks only where it is told to.
    pub tls12: bool,
    /// Authorities that sign the carrier's certificate, as PEM.
    pub trunk_ca: Option<String>,
    /// Further lines for `[edge]`, `[trunk.carrier]` and `[pbx.main]`, and further tables.
    pub edge_lines: String,
    /// Further lines of the trunk.
    pub trunk_lines: String,
    /// Further lines of the PBX.
    pub pbx_lines: String,
    /// Further tables.
    pub tables: String,
}

impl Default for Setup {
    fn default() -> Setup {
        Setup {
            workers: None,
            trunk_media: "rtp",
            trunk_transport: "udp",
            trunk_accept: None,
            pbx_transport: "udp",
            channels: 0,
            any_number: true,
            media_pairs: 500,
            identity: None,
            tls12: false,
            trunk_ca: None,
            edge_lines: String::new(),
            trunk_lines: String::new(),
            pbx_lines: String::new(),
            tables: String::new(),
        }
    }
}

impl Setup {
    /// For phones whose media and TLS connections come from the machine's own loopback address
    /// whatever address they are told to live on, as baresip's do: to the edge they are phones
    /// behind NAT.
    pub fn for_baresip() -> Setup {
        let symmetric = "symmetric_media = true".to_owned();
        Setup {
            trunk_accept: Some("127.0.0.1"),
            trunk_lines: symmetric.clone(),
            pbx_lines: symmetric,
            ..Setup::default()
        }
    }
}

/// A running edge between a carrier at [`CARRIER`] outside and a PBX at [`PBX`] inside.
#[derive(Debug)]
pub struct Edge {
    process: Process,
    folder: TempDir,
    metrics: SocketAddrV4,
    outside: SocketAddrV4,
    outside_tls: SocketAddrV4,
    inside: SocketAddrV4,
}

impl Edge {
    /// Writes the configuration and starts the edge; it serves when this returns.
    ///
    /// # Errors
    /// When it cannot be built, refuses its configuration or does not serve soon.
    pub fn start(network: &Network, setup: &Setup) -> anyhow::Result<Edge> {
        let folder = tempfile::tempdir()?;
        let (outside, inside) = (network.outside(EDGE), network.inside(EDGE));
        let metrics = net::free_port(inside)?;
        let text = configuration(network, setup, folder.path(), metrics);
        std::fs::write(folder.path().join("ringfence.toml"), text)?;
        if let Some((chain, key)) = &setup.identity {
            std::fs::write(folder.path().join("edge.pem"), chain)?;
            write_private(&folder.path().join("edge.key"), key)?;
        }
        if let Some(ca) = &setup.trunk_ca {
            std::fs::write(folder.path().join("ca.pem"), ca)?;
        }
        let process = run(folder.path())?;
        let mut edge = Edge {
            process,
            folder,
            metrics,
            outside: SocketAddrV4::new(outside, network.sip_port()),
            outside_tls: SocketAddrV4::new(outside, network.tls_port()),
            inside: SocketAddrV4::new(inside, network.sip_port()),
        };
        edge.wait_until_serving()?;
        Ok(edge)
    }

    /// Starts it again after it has ended, with the same configuration and data.
    ///
    /// # Errors
    /// As [`Edge::start`].
    pub fn restart(&mut self) -> anyhow::Result<()> {
        self.process.stop();
        self.process = run(self.folder.path())?;
        self.wait_until_serving()
    }

    /// The process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Where carriers reach it over UDP and TCP.
    pub fn outside(&self) -> SocketAddrV4 {
        self.outside
    }

    /// Where carriers reach it over TLS.
    pub fn outside_tls(&self) -> SocketAddrV4 {
        self.outside_tls
    }

    /// Where the PBX reaches it.
    pub fn inside(&self) -> SocketAddrV4 {
        self.inside
    }

    /// The folder of its configuration and data.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Runs a subcommand with `--json` against it and parses what it prints.
    ///
    /// # Errors
    /// When it fails or prints no JSON.
    pub fn ask(&self, arguments: &[&str]) -> anyhow::Result<serde_json::Value> {
        let output = self.command(arguments)?;
        let text = String::from_utf8_lossy(&output.stdout);
        serde_json::from_str(&text).with_context(|| {
            let errors = String::from_utf8_lossy(&output.stderr);
            format!("ringfence {arguments:?}: {} {text}{errors}", output.status)
        })
    }

    /// Runs a subcommand with `--json` against it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn command(&self, arguments: &[&str]) -> anyhow::Result<Output> {
        let mut command = Command::new(binary()?);
        command.current_dir(self.folder.path()).args(arguments);
        command.args(["--config", "ringfence.toml", "--json"]);
        command.output().context("could not start ringfence")
    }

    /// The value of a metric, summed over its labels; 0 when there is none.
    ///
    /// # Errors
    /// When metrics are not served.
    pub fn metric(&self, name: &str) -> anyhow::Result<f64> {
        let text = self.metrics()?;
        Ok(text
            .lines()
            .filter(|line| {
                let rest = line.strip_prefix(name);
                rest.is_some_and(|rest| rest.starts_with([' ', '{']))
            })
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum())
    }

    /// The metrics that are not zero, for what is said when a test fails.
    pub fn counted(&self) -> String {
        let text = self.metrics().unwrap_or_else(|error| error.to_string());
        let zero = |line: &&str| !line.starts_with('#') && !line.ends_with(" 0");
        text.lines().filter(zero).collect::<Vec<_>>().join("\n")
    }

    /// All metrics, as Prometheus reads them.
    ///
    /// # Errors
    /// When they are not served.
    pub fn metrics(&self) -> anyhow::Result<String> {
        let mut stream = TcpStream::connect(self.metrics)?;
        stream.set_read_timeout(Some(wait::SOON))?;
        let request = "GET /metrics HTTP/1.1\r\nHost: edge\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes())?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        if !text.starts_with("HTTP/1.1 200") {
            bail!("metrics: {}", text.lines().next().unwrap_or_default());
        }
        Ok(text)
    }

    fn wait_until_serving(&mut self) -> anyhow::Result<()> {
        let (outside, metrics) = (self.outside, self.metrics);
        let process = &mut self.process;
        let ready = wait::until_true("the edge serving", wait::SOON, || {
            let serving = net::is_bound(outside, true) && net::is_bound(metrics, false);
            serving || !process.is_running()
        });
        if ready.is_err() || !process.is_running() {
            bail!("the edge did not start:\n{}", process.tail());
        }
        Ok(())
    }
}

/// The binary under test.
///
/// # Errors
/// When it cannot be built.
pub fn binary() -> anyhow::Result<PathBuf> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let built = BUILT.get_or_init(|| build().map_err(|error| format!("{error:#}")));
    built.clone().map_err(anyhow::Error::msg)
}

fn build() -> anyhow::Result<PathBuf> {
    if let Some(path) = std::env::var_os(BINARY) {
        return Ok(PathBuf::from(path));
    }
    let profile = std::env::var(PROFILE).unwrap_or_else(|_| "release".to_owned());
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args([
            "build",
            "--package",
            "ringfence",
            "--bin",
            "ringfence",
            "--profile",
            &profile,
        ])
        .args(["--message-format", "json", "--quiet"])
        .output()
        .context("could not start cargo")?;
    if !output.status.success() {
        bail!(
            "the binary does not build:\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .context("cargo names no executable")
}

fn run(folder: &Path) -> anyhow::Result<Process> {
    let mut command = Command::new(binary()?);
    command
        .current_dir(folder)
        .args(["run", "--config", "ringfence.toml"]);
    Process::start("ringfence", &mut command)
}

fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = std::fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    Ok(file.write_all(text.as_bytes())?)
}

fn configuration(network: &Network, setup: &Setup, folder: &Path, metrics: SocketAddrV4) -> String {
    let (outside, inside) = (network.outside(EDGE), network.inside(EDGE));
    let (carrier, pbx) = (network.outside(CARRIER), network.inside(PBX));
    let port = network.sip_port();
    let workers = setup
        .workers
        .map_or(String::new(), |workers| format!("workers = {workers}"));
    let tls = setup.identity.as_ref().map_or(String::new(), |_| {
        let address = format!("{outside}:{}", network.tls_port());
        let tls12 = if setup.tls12 { "tls12 = true\n" } else { "" };
        format!("{tls12}tls = \"{address}\"\ncertificate = \"edge.pem\"\nkey = \"edge.key\"")
    });
    let accept = setup
        .trunk_accept
        .map_or(String::new(), |more| format!(", \"{more}\""));
    let ca = if setup.trunk_ca.is_some() {
        "ca = \"ca.pem\""
    } else {
        ""
    };
    let trunk = peer(carrier, port, setup.trunk_transport);
    let main = peer(pbx, port, setup.pbx_transport);
    let Setup {
        trunk_media,
        channels,
        any_number,
        ..
    } = setup;
    let Setup {
        edge_lines,
        trunk_lines,
        pbx_lines,
        tables,
        ..
    } = setup;
    let media = |address: Ipv4Addr| format!("{address}:10000-{}", 9_999 + 2 * setup.media_pairs);
    let data = folder.join("data").display().to_string();
    let (media_outside, media_inside) = (media(outside), media(inside));
    format!(
        r#"[edge]
name = "under-test"
data = "{data}"
metrics = "{metrics}"
{workers}
{edge_lines}

[listen.outside]
udp = "{outside}:{port}"
tcp = "{outside}:{port}"
{tls}
media = "{media_outside}"

[listen.inside]
udp = "{inside}:{port}"
tcp = "{inside}:{port}"
media = "{media_inside}"

[tenant.summit]
name = "Summit Motors"
country = "US"

[site.summit]
tenant = "summit"
numbers = ["+13305550100-+13305550149"]
any_number = {any_number}
channels = {channels}
emergency = ["911", "933"]

[trunk.carrier]
site = "summit"
listen = "outside"
peer = "{trunk}"
accept = ["{carrier}"{accept}]
media = "{trunk_media}"
channels = {channels}
calls_per_second = 0
{ca}
{trunk_lines}

[pbx.main]
site = "summit"
listen = "inside"
peer = "{main}"
accept = ["{pbx}"]
media = "rtp"
{pbx_lines}

{tables}
"#
    )
}

fn peer(address: Ipv4Addr, port: u16, transport: &str) -> String {
    match transport {
        "udp" => format!("sip:{address}:{port}"),
        "tls" => format!("sip:{address}:{};transport=tls", port + 1),
        other => format!("sip:{address}:{port};transport={other}"),
    }
}
