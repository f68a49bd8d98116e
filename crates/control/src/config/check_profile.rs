//! A peer against what its profile demands: what is missing, and what to write.

use ringfence_session::plan::PeerKind;
use rustls::client::verify_server_name;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::ParsedCertificate;
use std::path::Path;

use crate::diff::media_name;
use crate::profile::{self, Profile, ProfileKind};
use ringfence_base::net::Transport;
use ringfence_session::plan::MediaPolicy;

use super::model::{Config, Listen, Peer};
use super::read_policy::{NUMBERS_OUT, word};
use super::report::Report;
use super::suggest::listed;

/// Checks one peer, if it has a profile.
pub(super) fn check(report: &mut Report<'_>, config: &Config, peer: &Peer) {
    let Some(profile) = peer.profile.as_deref().and_then(profile::find) else {
        return;
    };
    let mut demand = Demand {
        report,
        path: peer.key(),
        profile,
    };
    let kind = match peer.kind {
        PeerKind::Pbx => ProfileKind::Pbx,
        // Phones have no profile.
        PeerKind::Phones => return,
        PeerKind::Trunk => ProfileKind::Trunk,
    };
    if kind != profile.file.kind {
        let (is, table) = (profile.file.kind.as_str(), kind.as_str());
        demand.error(
            "profile",
            &format!("is a profile of a {is}, and this is a {table}"),
            "see ringfence profiles",
        );
        return;
    }
    signalling(&mut demand, peer);
    media(&mut demand, peer);
    numbers(&mut demand, peer);
    if let Some(listen) = config.listener(&peer.listen) {
        certificates(&mut demand, peer, listen);
    }
}

/// Reports under the profile's name.
struct Demand<'a, 'r> {
    report: &'a mut Report<'r>,
    path: String,
    profile: &'static Profile,
}

impl Demand<'_, '_> {
    fn wants(&self) -> &'static profile::Demands {
        &self.profile.file.demands
    }

    fn error(&mut self, key: &str, message: &str, fix: &str) {
        let key = format!("{}.{key}", self.path);
        let message = format!("{message} (profile {})", self.profile.name);
        self.report.error(&key, message, fix);
    }

    fn warning(&mut self, key: &str, message: &str, fix: &str) {
        let key = format!("{}.{key}", self.path);
        let message = format!("{message} (profile {})", self.profile.name);
        self.report.warning(&key, message, fix);
    }
}

fn signalling(demand: &mut Demand<'_, '_>, peer: &Peer) {
    let wants = demand.wants();
    let transport = peer.uri.transport.uri_name();
    let known = !peer.uri.host.is_empty();
    if known && !wants.transports.is_empty() && !wants.transports.iter().any(|t| t == transport) {
        let takes = listed(wants.transports.iter().map(String::as_str));
        let fix = format!("write ;transport={} in peer", wants.transports.join(" or "));
        let message = format!("is reached over {transport}, and only {takes} is taken");
        demand.error("peer", &message, &fix);
    }
    let below = |domain: &String| {
        let host = peer.uri.host.to_ascii_lowercase();
        host == *domain
            || host
                .strip_suffix(domain)
                .is_some_and(|rest| rest.ends_with('.'))
    };
    if known && !wants.hosts.is_empty() && !wants.hosts.iter().any(below) {
        let domains = listed(wants.hosts.iter().map(String::as_str));
        let message = format!("is no name below {domains}");
        demand.warning("peer", &message, "write the name that the account shows");
    }
    if wants.contact_host && peer.policy.contact_host.is_none() {
        let message = "is missing: our name must stand in Contact, From and Via, not an address";
        demand.error(
            "contact_host",
            message,
            "write contact_host = \"sbc.example.com\"",
        );
    }
    let register = format!("{}.register", demand.path);
    if wants.register && !demand.report.has(&register) {
        let fix = "write register = { username = \"…\", password = { file = \"…\" } }";
        demand.error("register", "is missing: the trunk registers", fix);
    }
    if wants.options && peer.options_interval.is_zero() {
        let message = "is none, and OPTIONS from us are waited for";
        demand.error(
            "options_interval",
            message,
            "write options_interval = \"1m\"",
        );
    }
    let most = wants.calls_per_second_max;
    if most != 0 && (peer.calls_per_second == 0 || peer.calls_per_second > most) {
        let message = match peer.calls_per_second {
            0 => format!("is no limit, and {most} is the most that is taken"),
            number => format!("is {number}, and {most} is the most that is taken"),
        };
        let fix = format!("write calls_per_second = {most} or less, if no more was ordered");
        demand.warning("calls_per_second", &message, &fix);
    }
}

fn media(demand: &mut Demand<'_, '_>, peer: &Peer) {
    let wants = demand.wants();
    let media = media_name(peer.media);
    if !wants.media.is_empty() && !wants.media.iter().any(|word| word == media) {
        let fix = format!("write media = \"{}\"", wants.media.join("\" or \""));
        let message = format!("is {media}, which is refused");
        demand.error("media", &message, &fix);
    }
    let over_tls = peer.uri.transport == Transport::Tls;
    if wants.srtp_over_tls_only && over_tls && peer.media == MediaPolicy::Rtp {
        let message = "is plain RTP over TLS, and a secure trunk refuses every plain call";
        demand.error("media", message, "write media = \"srtp\"");
    }
    let secure = peer.media != MediaPolicy::Rtp;
    let shared = |suite: &String| peer.crypto.iter().any(|ours| ours.name() == suite);
    if secure && !wants.suites.is_empty() && !wants.suites.iter().any(shared) {
        let fix = format!("write crypto = [\"{}\"]", wants.suites.join("\", \""));
        demand.error("crypto", "holds no suite that it has", &fix);
    }
    let ours = &peer.policy.codecs;
    let spoken = |codec: &String| {
        codec != "telephone-event" && ours.iter().any(|own| own.eq_ignore_ascii_case(codec))
    };
    if !wants.codecs.is_empty() && !ours.is_empty() && !wants.codecs.iter().any(spoken) {
        let fix = format!("write codecs = [\"{}\"]", wants.codecs.join("\", \""));
        demand.error("codecs", "holds no codec that it speaks", &fix);
    }
}

fn numbers(demand: &mut Demand<'_, '_>, peer: &Peer) {
    let wants = demand.wants();
    let form = word(&NUMBERS_OUT, peer.policy.numbers_out);
    if !wants.numbers_out.is_empty() && !wants.numbers_out.iter().any(|wanted| wanted == form) {
        let takes = listed(wants.numbers_out.iter().map(String::as_str));
        let message = format!("is {form}, and numbers are taken as {takes}");
        let fix = format!(
            "write numbers_out = \"{}\"",
            wants.numbers_out.join("\" or \"")
        );
        demand.warning("numbers_out", &message, &fix);
    }
    if wants.trust && !peer.policy.trust {
        let message = "is false, so no P-Asserted-Identity is sent, which is needed";
        demand.warning("trust", message, "write trust = true");
    }
}

fn certificates(demand: &mut Demand<'_, '_>, peer: &Peer, listen: &Listen) {
    let wants = demand.wants();
    if wants.client_certificate && peer.tls.certificate.is_none() {
        let message = "is missing: both sides show a certificate";
        let fix = "write certificate and key, those of the listener if they are for contact_host";
        demand.error("certificate", message, fix);
    }
    if wants.peer_certificate && peer.tls.names.is_empty() {
        let message = "is missing, so whoever has its address is believed";
        let fix = "write the names of its certificates, and client_ca on the listener";
        demand.warning("tls_names", message, fix);
    }
    let Some(name) = peer.policy.contact_host.as_deref() else {
        return;
    };
    if !wants.certificate_for_contact_host {
        return;
    }
    let shown = [
        (listen.certificate.as_deref(), "listen"),
        (peer.tls.certificate.as_deref(), "certificate"),
    ];
    for (file, key) in shown {
        match file.and_then(|file| names(file, name)) {
            Some(Naming::Another) => {
                let message = format!("shows a certificate that is not for {name}");
                demand.error(
                    key,
                    &message,
                    "take one for that name, or another contact_host",
                );
            }
            Some(Naming::Wildcard) if wants.wildcard_refused => {
                let message = format!("shows a certificate that is for {name} by a wildcard only");
                demand.error(key, &message, "take a certificate for the name itself");
            }
            _ => {}
        }
    }
}

/// How a certificate is for a name.
enum Naming {
    Another,
    Exact,
    Wildcard,
}

/// `None` when the file does not read: that is told elsewhere.
fn names(file: &Path, name: &str) -> Option<Naming> {
    let chain = CertificateDer::pem_file_iter(file).ok()?;
    let certificate = chain.flatten().next()?;
    let parsed = ParsedCertificate::try_from(&certificate).ok()?;
    let server = ServerName::try_from(name.to_owned()).ok()?;
    if verify_server_name(&parsed, &server).is_err() {
        return Some(Naming::Another);
    }
    // A name in a certificate is ASCII as it is read.
    let holds = |text: &str| {
        certificate
            .windows(text.len())
            .any(|part| part == text.as_bytes())
    };
    let parent = name
        .split_once('.')
        .map(|(_, parent)| format!("*.{parent}"));
    let wildcard = parent.is_some_and(|parent| holds(&parent)) && !holds(name);
    Some(if wildcard {
        Naming::Wildcard
    } else {
        Naming::Exact
    })
}
