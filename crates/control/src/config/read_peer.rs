//! `[trunk.NAME]` and `[pbx.NAME]`: the same keys for both.

use std::time::Duration;

use ringfence_base::net::Transport;
use ringfence_session::plan::{MediaPolicy, PeerKind};

use crate::profile::Profile;

use super::files;
use super::model::{Peer, PeerTls, PeerUri, kind_name};
use super::read_account;
use super::read_failover;
use super::read_methods;
use super::read_policy;
use super::read_site::LIMIT_MAX;
use super::report::Report;
use super::table::{Named, Section};
use super::values;

/// The tables that a peer may name.
pub(super) struct Names<'s> {
    pub(super) listeners: Vec<&'s str>,
    pub(super) sites: Vec<&'s str>,
}

/// Reads all peers, trunks first.
pub(super) fn all(
    report: &mut Report<'_>,
    trunks: &[Named<'_>],
    pbxs: &[Named<'_>],
    names: &Names<'_>,
) -> Vec<Peer> {
    let trunks = trunks.iter().map(|named| (PeerKind::Trunk, named));
    let pbxs = pbxs.iter().map(|named| (PeerKind::Pbx, named));
    trunks
        .chain(pbxs)
        .map(|(kind, named)| read(report, kind, named, names))
        .collect()
}

fn read(report: &mut Report<'_>, kind: PeerKind, named: &Named<'_>, names: &Names<'_>) -> Peer {
    let path = format!("{}.{}", kind_name(kind), named.name);
    let mut section = Section::new(report, &path, named.table);
    let profile = section.parsed("profile", values::profile);
    section.fall_back_to(profile.and_then(Profile::defaults));
    let site = section.reference("site", "site", &names.sites);
    section.require("site", "write site = \"NAME\" of a [site.NAME] table");
    let listen = section.reference("listen", "listen", &names.listeners);
    section.require("listen", "write listen = \"NAME\" of a [listen.NAME] table");
    let uri = section.parsed("peer", values::peer_uri);
    section.require("peer", "write peer = \"sip:ADDRESS:5060\"");
    let accept = section.list("accept", values::network);
    let media = section.one_of(
        "media",
        &[
            ("rtp", MediaPolicy::Rtp),
            ("srtp", MediaPolicy::Srtp),
            ("either", MediaPolicy::Either),
        ],
    );
    let crypto = section.list("crypto", values::suite);
    if section.has("crypto") && crypto.as_ref().is_some_and(Vec::is_empty) {
        let (key, fix) = (
            section.key("crypto"),
            "name a suite, or leave the key out for all",
        );
        if section.report().good(&key) {
            section.report().error(&key, "is empty", fix);
        }
    }
    let symmetric_media = section.boolean("symmetric_media");
    let pass_headers = section.list("pass_headers", values::passed_header);
    let channels = section.integer("channels", 0..=LIMIT_MAX);
    let calls_per_second = section.integer("calls_per_second", 0..=LIMIT_MAX);
    let interval = Duration::from_secs(5)..=Duration::from_secs(3600);
    let options_interval = section.duration("options_interval", interval, true);
    let policy = read_policy::peer(&mut section, kind);
    let methods = read_methods::read(&mut section, kind);
    let failover = read_failover::read(&mut section);
    let account = read_account::read(&mut section, kind);
    let tls = read_tls(&mut section);
    section.finish();
    let peer = Peer {
        name: named.name.to_owned(),
        kind,
        site: site.unwrap_or_default(),
        listen: listen.unwrap_or_default(),
        profile: profile.map(|profile| profile.name.to_owned()),
        uri: uri.unwrap_or(NO_PEER),
        accept: accept.unwrap_or_default(),
        media: media.unwrap_or_default(),
        crypto: crypto.unwrap_or_else(|| values::SUITES.to_vec()),
        symmetric_media: symmetric_media.unwrap_or_default(),
        pass_headers: pass_headers.unwrap_or_default(),
        channels: channels.unwrap_or_default() as u32,
        calls_per_second: calls_per_second.unwrap_or_default() as u32,
        options_interval: options_interval.unwrap_or_default(),
        policy,
        methods,
        failover,
        account,
        tls,
    };
    check_tls(report, &path, &peer);
    peer
}

/// Stands in for a faulty `peer`; such a configuration is not used.
const NO_PEER: PeerUri = PeerUri {
    host: String::new(),
    port: None,
    transport: Transport::Udp,
    transport_given: false,
};

fn read_tls(section: &mut Section<'_, '_, '_>) -> PeerTls {
    PeerTls {
        ca: section.path("ca"),
        server_name: section.parsed("tls_server_name", values::certificate_name),
        names: section
            .list("tls_names", values::certificate_name)
            .unwrap_or_default(),
        tls12: section.boolean("tls12").unwrap_or_default(),
        certificate: section.path("certificate"),
        key: section.secret("key"),
    }
}

/// The certificates of a peer, and keys that only TLS uses.
fn check_tls(report: &mut Report<'_>, path: &str, peer: &Peer) {
    let key = |key: &str| format!("{path}.{key}");
    if report.good(&key("peer")) && peer.uri.transport != Transport::Tls {
        for unused in ["ca", "certificate", "key", "tls12", "tls_server_name"] {
            let unused = key(unused);
            if report.has(&unused) {
                let fix = "write ;transport=tls in peer or take it out";
                report.warning(
                    &unused,
                    "has no use, since the peer is not reached over TLS",
                    fix,
                );
            }
        }
        if peer.uri.port == Some(Transport::Tls.default_port()) {
            let message = format!(
                "uses port 5061, which is for TLS, over {}",
                peer.uri.transport
            );
            report.warning(
                &key("peer"),
                message,
                format!("write \"{};transport=tls\"?", peer.uri),
            );
        }
    }
    let (has_certificate, has_key) = (report.has(&key("certificate")), report.has(&key("key")));
    if has_certificate && !has_key {
        report.error(
            &key("key"),
            "is missing",
            "a certificate needs it: write key = \"client.key\"",
        );
    } else if has_key && !has_certificate {
        let fix = "a key needs it: write certificate = \"client.pem\"";
        report.error(&key("certificate"), "is missing", fix);
    }
    let tls = &peer.tls;
    files::check_identity(report, path, tls.certificate.as_deref(), tls.key.as_ref());
    if let Some(file) = &tls.ca {
        files::check_authorities(report, &key("ca"), file);
    }
}
