//! `[listen.NAME]`.

use ringfence_session::plan::Strangers;

use super::files;
use super::model::{Edge, Listen, SecretSource};
use super::read_acme;
use super::report::Report;
use super::table::{Named, Section};
use super::values;

/// Reads a listener and what it needs in itself: a transport, and what TLS takes.
pub(super) fn read(report: &mut Report<'_>, named: &Named<'_>, edge: &Edge) -> Listen {
    let path = format!("listen.{}", named.name);
    let mut section = Section::new(report, &path, named.table);
    let udp = section.parsed("udp", |text| values::socket_address(text, 5060));
    let tcp = section.parsed("tcp", |text| values::socket_address(text, 5060));
    let tls = section.parsed("tls", |text| values::socket_address(text, 5061));
    let ws = section.parsed("ws", |text| values::socket_address(text, 80));
    let wss = section.parsed("wss", |text| values::socket_address(text, 443));
    let ws_origins = section.list("ws_origins", values::origin);
    let mut certificate = section.path("certificate");
    let mut key = section.secret("key");
    let acme = section.table("acme");
    let client_ca = section.path("client_ca");
    let tls12 = section.boolean("tls12");
    let media = section.parsed("media", values::media_range);
    let strangers = section.one_of(
        "strangers",
        &[
            ("silence", Strangers::Silence),
            ("forbid", Strangers::Forbid),
        ],
    );
    let no_transport = !["udp", "tcp", "tls", "ws", "wss"]
        .iter()
        .any(|key| section.has(key));
    if no_transport && !section.report().incomplete {
        let fix = "add udp = \"ADDRESS:5060\", tcp = \"ADDRESS:5060\" or tls = \"ADDRESS:5061\"";
        section.report().error(&path, "listens on nothing", fix);
    }
    if (section.has("tls") || section.has("wss")) && acme.is_some() {
        for key in ["certificate", "key"] {
            if section.has(key) {
                let key = section.key(key);
                let fix = "take it out, or take acme out";
                section.report().error(&key, "is brought by acme", fix);
            }
        }
    } else if section.has("tls") || section.has("wss") {
        section.require(
            "certificate",
            "tls needs it: write certificate = \"edge.pem\"",
        );
        section.require("key", "tls needs it: write key = \"edge.key\"");
    } else {
        for key in ["certificate", "key", "acme", "client_ca", "tls12"] {
            if section.has(key) {
                let key = section.key(key);
                let fix = "add tls = \"ADDRESS:5061\" or take it out";
                section
                    .report()
                    .warning(&key, "has no use without tls", fix);
            }
        }
    }
    if section.has("ws_origins") && !section.has("ws") && !section.has("wss") {
        let key = section.key("ws_origins");
        let fix = "add wss = \"ADDRESS:443\" or take it out";
        section
            .report()
            .warning(&key, "has no use without ws or wss", fix);
    }
    section.finish();
    let acme = acme.and_then(|table| read_acme::read(report, &format!("{path}.acme"), table));
    if acme.is_some() {
        let identity = edge.acme_identity(named.name);
        certificate = Some(identity.clone());
        key = Some(SecretSource::File(identity));
    }
    let listen = Listen {
        name: named.name.to_owned(),
        udp,
        tcp,
        tls,
        ws,
        wss,
        ws_origins: ws_origins.unwrap_or_default(),
        certificate,
        key,
        acme,
        client_ca,
        tls12: tls12.unwrap_or_default(),
        media,
        strangers: strangers.unwrap_or_default(),
    };
    check_files(report, &path, &listen);
    listen
}

fn check_files(report: &mut Report<'_>, path: &str, listen: &Listen) {
    let certificate = listen.certificate.as_deref();
    let key: Option<&SecretSource> = listen.key.as_ref();
    if listen.acme.is_none() {
        files::check_identity(report, path, certificate, key);
    }
    if let Some(file) = &listen.client_ca {
        files::check_authorities(report, &format!("{path}.client_ca"), file);
    }
    if let Some(media) = listen.media.filter(|media| media.last % 2 == 0) {
        let message = format!("ends with the even port {}, which stays unused", media.last);
        let host = media.to_string();
        let host = host.rsplit_once(':').map_or("", |(host, _)| host);
        let fix = format!("write \"{host}:{}-{}\"", media.first, media.last - 1);
        report.warning(&format!("{path}.media"), message, fix);
    }
}
