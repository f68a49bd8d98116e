//! `[edge]` and `[limits]`.

use std::time::Duration;

use ringfence_session::plan::Limits;
use toml::de::DeTable;

use super::model::{Edge, Hep, KernelMedia, LogFormat};
use super::report::Report;
use super::table::Section;
use super::values;

/// A Unix socket's path has 108 bytes with the final zero (`man 7 unix`).
const SOCKET_PATH_BYTES_MAX: usize = 107;
const WORKERS_MAX: u64 = 128;
const CALLS_MAX: u64 = 1_000_000;
const TRACE_BYTES_MAX: u64 = 4 << 30;
/// The port that collectors listen on.
const HEP_PORT: u16 = 9060;
/// What an edge is called at a collector when it is not said.
const HEP_ID: u32 = 1;
/// The port of OTLP over HTTP.
const OTLP_PORT: u16 = 4318;
const HOUR: Duration = Duration::from_secs(3600);
const SECOND: Duration = Duration::from_secs(1);

/// Reads both; either may be missing.
pub(super) fn read(
    report: &mut Report<'_>,
    edge: Option<&DeTable<'_>>,
    limits: Option<&DeTable<'_>>,
) -> (Edge, Limits) {
    let empty = DeTable::new();
    let mut bounds = Limits::default();
    let edge = read_edge(report, edge.unwrap_or(&empty), &mut bounds);
    read_limits(report, limits.unwrap_or(&empty), &mut bounds);
    (edge, bounds)
}

fn read_edge(report: &mut Report<'_>, table: &DeTable<'_>, limits: &mut Limits) -> Edge {
    let mut section = Section::new(report, "edge", table);
    let name = section.parsed("name", values::display_name);
    let data = section.path("data");
    let data = data.unwrap_or_else(|| section.report().resolve("ringfence-data"));
    if data.exists() && !data.is_dir() {
        section.report().error(
            "edge.data",
            "is not a folder",
            "name a folder for the database",
        );
    }
    let metrics = section.parsed("metrics", |text| values::socket_address(text, 9464));
    let control = section
        .path("control")
        .unwrap_or_else(|| data.join("control.sock"));
    if control.as_os_str().len() > SOCKET_PATH_BYTES_MAX {
        let key = if section.has("control") {
            "edge.control"
        } else {
            "edge.data"
        };
        let message = format!("makes a control socket path of over {SOCKET_PATH_BYTES_MAX} bytes");
        section.report().error(
            key,
            message,
            "write control = \"/run/ringfence/control.sock\"",
        );
    }
    let dns = section.list("dns", |text| values::socket_address(text, 53));
    let kernel_media = section.one_of(
        "kernel_media",
        &[("auto", KernelMedia::Auto), ("off", KernelMedia::Off)],
    );
    let workers = section.integer("workers", 1..=WORKERS_MAX);
    let log = section.parsed("log", values::log_filter);
    let log_format = section.one_of(
        "log_format",
        &[("json", LogFormat::Json), ("text", LogFormat::Text)],
    );
    if let Some(time) = section.duration("drain_timeout", SECOND..=24 * HOUR, true) {
        limits.drain_timeout = time;
    }
    if let Some(bytes) = section.parsed("trace_memory", trace_memory) {
        limits.trace_bytes = bytes;
    }
    let traces = section.parsed("traces", |text| values::socket_address(text, OTLP_PORT));
    let hep = section.table("hep");
    section.finish();
    let hep = hep.and_then(|table| read_hep(report, table));
    Edge {
        name: name.unwrap_or_else(|| "ringfence".to_owned()),
        data,
        metrics,
        control,
        dns: dns.unwrap_or_default(),
        kernel_media: kernel_media.unwrap_or_default(),
        workers: workers.and_then(|workers| u8::try_from(workers).ok()),
        log: log.unwrap_or_else(|| "info".to_owned()),
        log_format: log_format.unwrap_or_default(),
        hep,
        traces,
    }
}

fn read_hep(report: &mut Report<'_>, table: &DeTable<'_>) -> Option<Hep> {
    let mut section = Section::new(report, "edge.hep", table);
    let collector = section.parsed("collector", |text| values::socket_address(text, HEP_PORT));
    let id = section.integer("id", 0..=u64::from(u32::MAX));
    let password = section.secret("password");
    if let Some(source) = &password
        && let Err(error) = source.read()
    {
        let message = format!("cannot be read: {error}");
        section.report().error(
            "edge.hep.password",
            message,
            "name a file or a variable that holds it",
        );
    }
    section.require("collector", "write collector = \"192.0.2.50:9060\"");
    section.finish();
    Some(Hep {
        collector: collector?,
        id: id.and_then(|id| u32::try_from(id).ok()).unwrap_or(HEP_ID),
        password,
    })
}

fn trace_memory(text: &str) -> Result<usize, values::Fault> {
    let bytes = values::size(text)?;
    let in_range = bytes <= TRACE_BYTES_MAX;
    usize::try_from(bytes)
        .ok()
        .filter(|_| in_range)
        .ok_or_else(|| {
            values::Fault::new("is more than 4GiB for each worker", "write e.g. \"8MiB\"")
        })
}

fn read_limits(report: &mut Report<'_>, table: &DeTable<'_>, limits: &mut Limits) {
    let mut section = Section::new(report, "limits", table);
    if let Some(calls) = section.integer("calls_max", 1..=CALLS_MAX) {
        limits.calls_max = calls as usize;
    }
    if let Some(time) = section.duration("ring_timeout", 5 * SECOND..=HOUR, false) {
        limits.ring_timeout = time;
    }
    if let Some(time) = section.duration("silence_timeout", 5 * SECOND..=24 * HOUR, true) {
        limits.silence_timeout = time;
    }
    if let Some(time) = section.duration("call_duration_max", 60 * SECOND..=168 * HOUR, true) {
        limits.call_duration_max = time;
    }
    section.finish();
}
