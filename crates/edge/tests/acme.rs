//! Certificates by ACME from a real authority (pebble), ordered and renewed while the edge runs.

mod support;

use std::io::{ErrorKind, Write as _};
use std::net::{IpAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use ringfence_edge::{Edge, Options};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};
use support::{Net, eventually, write_config};

const DOMAIN: &str = "edge.example";
/// Seconds that a certificate lives: renewed after a few, whatever the machine is busy with.
const LIFE: u32 = 12;

/// Programs that end with the test.
struct Programs(Vec<Child>);

impl Drop for Programs {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// An authority at `ip` that finds every name at `ip` too; `None` where it is not installed.
#[allow(clippy::print_stdout)] // a skipped test says so
fn authority(folder: &Path, ip: IpAddr) -> Option<Programs> {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec![ip.to_string()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    std::fs::write(folder.join("ca.pem"), certificate.pem()).unwrap();
    std::fs::write(folder.join("ca.key"), key.serialize_pem()).unwrap();
    let file = |name: &str| folder.join(name).display().to_string();
    let config = format!(
        "{{\"pebble\": {{\"listenAddress\": \"{ip}:14000\", \
         \"managementListenAddress\": \"{ip}:15000\", \"certificate\": \"{}\", \
         \"privateKey\": \"{}\", \"httpPort\": 5002, \"tlsPort\": 5001, \
         \"certificateValidityPeriod\": {LIFE}}}}}",
        file("ca.pem"),
        file("ca.key"),
    );
    std::fs::write(folder.join("pebble.json"), config).unwrap();
    let names = [
        "-defaultIPv6".to_owned(),
        String::new(),
        "-defaultIPv4".to_owned(),
        ip.to_string(),
        "-dns01".to_owned(),
        format!("{ip}:8053"),
        "-management".to_owned(),
        format!("{ip}:8055"),
    ];
    let off = ["-http01", "", "-https01", "", "-tlsalpn01", ""];
    let mut command = Command::new("pebble-challtestsrv");
    command.args(names).args(off);
    let mut running = Programs(Vec::new());
    let mut pebble = Command::new("pebble");
    let dns = format!("{ip}:8053");
    pebble.args(["-config", &file("pebble.json"), "-dnsserver", &dns]);
    pebble.env("PEBBLE_VA_NOSLEEP", "1");
    for mut command in [command, pebble] {
        match command.stdout(Stdio::null()).stderr(Stdio::null()).spawn() {
            Ok(child) => running.0.push(child),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                println!("skipped: pebble is not installed");
                return None;
            }
            Err(error) => panic!("{error}"),
        }
    }
    for port in [14_000, 8055] {
        eventually("the authority", || TcpStream::connect((ip, port)).ok());
    }
    Some(running)
}

/// Takes what it is shown, whoever signed it: the test compares it itself.
#[derive(Debug)]
struct Anyone;

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let provider = aws_lc_rs::default_provider();
        provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

type Stream = StreamOwned<ClientConnection, TcpStream>;

/// The certificates that the edge shows, and the connection that showed them. A stranger may begin
/// a few handshakes only: `None` beyond.
fn shown(ip: IpAddr) -> Option<(Vec<Vec<u8>>, Stream)> {
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone))
        .with_no_client_auth();
    let name = ServerName::try_from(DOMAIN).unwrap();
    let mut tls = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = TcpStream::connect((ip, 5061)).unwrap();
    while tls.is_handshaking() {
        tls.complete_io(&mut stream).ok()?;
    }
    let chain = tls.peer_certificates().unwrap();
    let chain = chain
        .iter()
        .map(|certificate| certificate.to_vec())
        .collect();
    Some((chain, StreamOwned::new(tls, stream)))
}

#[test]
fn a_certificate_comes_by_itself_and_is_renewed_without_touching_a_connection_rfc8555() {
    let net = Net::new();
    let ip = net.edge;
    let folder = tempfile::tempdir().unwrap();
    let Some(_authority) = authority(folder.path(), ip) else {
        return;
    };
    let acme = format!(
        "[listen.secure]\ntls = \"{ip}:5061\"\n\
         acme = {{ directory = \"https://{ip}:14000/dir\", domains = [\"{DOMAIN}\"], \
         contact = [\"admin@{DOMAIN}\"], http = \"{ip}:5002\", ca = \"ca.pem\", \
         agree_to_terms = true }}\n"
    );
    let file = write_config(folder.path(), &net.config("workers = 1", &acme));
    let loaded = ringfence_control::load(&file).unwrap_or_else(|error| panic!("{error:#?}"));
    let edge = Edge::start(loaded.config, Options::default()).unwrap();
    let identity = folder.path().join("data/acme/secure/identity.pem");
    let kept = || std::fs::read(&identity).ok();
    // At once there is one, of our own; then the authority's, with its issuer's.
    let file = eventually("a certificate of the authority", kept);
    let (first, mut kept_open) = eventually("it in use", || {
        shown(ip).filter(|(chain, _)| chain.len() > 1)
    });
    // Whoever says nothing is soon hung up on.
    let options = format!(
        "OPTIONS sip:{DOMAIN} SIP/2.0\r\nVia: SIP/2.0/TLS phone.invalid;branch=z9hG4bKa\r\n\
         Max-Forwards: 70\r\nFrom: <sip:a@{DOMAIN}>;tag=a\r\nTo: <sip:{DOMAIN}>\r\nCall-ID: a\r\n\
         CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    );
    kept_open.write_all(options.as_bytes()).unwrap();
    let account = identity.with_file_name("account.json");
    for secret in [&identity, &account] {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(secret).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", secret.display());
    }
    eventually("a renewed certificate", || {
        kept().filter(|new| *new != file)
    });
    let second = eventually("it in use", || {
        let (chain, _) = shown(ip)?;
        (chain.first() != first.first()).then_some(chain)
    });
    assert!(second.len() > 1);
    let status = edge.status().unwrap();
    assert_eq!(status.warnings, Vec::<String>::new());
    let listener = status
        .listeners
        .iter()
        .find(|l| l.name == "secure")
        .unwrap();
    assert!(listener.certificate_ends.is_some());
    let open = listener.connections;
    assert!(open >= 1, "the first connection is still there: {open}");
    drop(kept_open);
}

#[test]
fn an_authority_that_cannot_be_reached_is_said_by_the_status() {
    let net = Net::new();
    let ip = net.edge;
    let folder = tempfile::tempdir().unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec![ip.to_string()]).unwrap();
    let pem = params.self_signed(&key).unwrap().pem();
    std::fs::write(folder.path().join("ca.pem"), pem).unwrap();
    let acme = format!(
        "[listen.secure]\ntls = \"{ip}:5061\"\n\
         acme = {{ directory = \"https://{ip}:14000/dir\", domains = [\"{DOMAIN}\"], \
         http = \"{ip}:5002\", ca = \"ca.pem\", agree_to_terms = true }}\n"
    );
    let file = write_config(folder.path(), &net.config("workers = 1", &acme));
    let loaded = ringfence_control::load(&file).unwrap_or_else(|error| panic!("{error:#?}"));
    let edge = Edge::start(loaded.config, Options::default()).unwrap();
    let warning = eventually("a warning", || edge.status().unwrap().warnings.pop());
    let start = "listen.secure.acme: no new certificate: the account is not made";
    assert!(warning.starts_with(start), "{warning}");
    assert!(warning.contains("tried again at"), "{warning}");
    // TLS is there all the same.
    assert_eq!(shown(ip).unwrap().0.len(), 1);
}
