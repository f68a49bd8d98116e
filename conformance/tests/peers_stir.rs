//! A carrier that signs: SIPp calls with an Identity header, the edge fetches the certificate from
//! an https server of the test, and SIPp as the phone system is told what came of it.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use ringfence_base::Secret;
use ringfence_conformance::certificates::Authority;
use ringfence_conformance::scene::{A_WHILE, From, Scene};
use ringfence_peers::edge::Setup;
use ringfence_peers::sipp::{UAC_CALL, UAS_CALL};
use ringfence_peers::wait;
use ringfence_stir::{Attestation, Claims, Dest, Guard, Orig, Signer};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Tokens that were signed.
static SIGNED: AtomicU64 = AtomicU64::new(0);

const CALLING: &str = "12155551212";
const CALLED: &str = "13305550100";
/// `id-pe-TNAuthList`, and a list of one service provider code.
const TN_AUTH_LIST: [u64; 9] = [1, 3, 6, 1, 5, 5, 7, 1, 26];
const PROVIDER: &[u8] = b"\x30\x08\xa0\x06\x16\x04709J";

/// An https server at the loopback address that sends `body` to whoever asks.
fn serve(identity: (String, String), body: String) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let at = listener.local_addr().expect("an address");
    let chain = CertificateDer::from_pem_slice(identity.0.as_bytes()).expect("a certificate");
    let key = PrivateKeyDer::from_pem_slice(identity.1.as_bytes()).expect("a key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![chain], key)
        .expect("an identity");
    let config = Arc::new(config);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { return };
            let tls = rustls::ServerConnection::new(Arc::clone(&config)).expect("TLS");
            let mut tls = rustls::StreamOwned::new(tls, stream);
            let mut request = [0; 4096];
            if tls.read(&mut request).is_ok() {
                let length = body.len();
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
                let _ = tls.write_all(format!("{head}{body}").as_bytes());
                tls.conn.send_close_notify();
                let _ = tls.flush();
            }
        }
    });
    at
}

/// The authority of the numbers, the certificate of a provider, and its key.
fn provider() -> (String, String, Secret) {
    let authority = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let root = params.self_signed(&authority).expect("signed").pem();
    let issuer = Issuer::new(params, authority);
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::default();
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let list = CustomExtension::from_oid_content(&TN_AUTH_LIST, PROVIDER.to_vec());
    params.custom_extensions = vec![list];
    let leaf = params.signed_by(&key, &issuer).expect("signed").pem();
    (root, leaf, Secret::new(key.serialize_pem().into_bytes()))
}

fn identity(signer: &Signer, calling: &str) -> String {
    #[allow(clippy::disallowed_methods)] // the edge under test reads the same clock
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let claims = Claims {
        attest: Some(Attestation::A),
        dest: Dest {
            tn: vec![CALLED.to_owned()],
            uri: Vec::new(),
        },
        div: None,
        iat: now.expect("after 1970").as_secs(),
        orig: Orig::Tn(calling.to_owned()),
        // Two tokens of one second that say the same would be one token used twice.
        origid: Some(format!(
            "123e4567-e89b-12d3-a456-{:012x}",
            SIGNED.fetch_add(1, Relaxed)
        )),
    };
    signer.sign(Some("shaken"), &claims).expect("signed")
}

/// A caller who shows [`CALLING`] and sends `identity`.
fn caller(identity: &str) -> String {
    UAC_CALL
        .replace(
            "<sip:alice@[local_ip]:[local_port]>;tag",
            "<sip:+CALLING@[local_ip]>;tag",
        )
        .replace("CALLING", CALLING)
        .replacen(
            "Max-Forwards: 70",
            &format!("Max-Forwards: 70\nIdentity: {identity}"),
            1,
        )
}

/// A phone system that takes calls only with `verstat` in From.
fn callee(verstat: &str) -> String {
    let check = format!(
        "<recv request=\"INVITE\" rrs=\"true\"><action><ereg \
         regexp=\"sip:.{CALLING};verstat={verstat}@\" search_in=\"hdr\" header=\"From:\" \
         check_it=\"true\" assign_to=\"told\"/></action></recv><Reference variables=\"told\"/>"
    );
    UAS_CALL.replacen("<recv request=\"INVITE\" rrs=\"true\"></recv>", &check, 1)
}

#[test]
fn a_signed_call_reaches_the_phone_system_verified_rfc8224_6_2() {
    let test = "a_signed_call_reaches_the_phone_system_verified_rfc8224_6_2";
    let (root, leaf, key) = provider();
    let web = Authority::new();
    let at = serve(web.identity(IpAddr::from([127, 0, 0, 1])), leaf);
    let folder = tempfile::tempdir().expect("a folder");
    let (anchors, ca) = (
        folder.path().join("sti-ca.pem"),
        folder.path().join("web-ca.pem"),
    );
    std::fs::write(&anchors, root).expect("written");
    std::fs::write(&ca, web.pem()).expect("written");
    let setup = Setup {
        trunk_lines: "trust = false\nstir = { verify = \"refuse\" }".to_owned(),
        pbx_lines: "verstat = \"user\"\ntrust = false".to_owned(),
        tables: format!(
            "[stir]\nanchors = {anchors:?}\nca = {ca:?}\nfetch_from = [\"127.0.0.0/8\"]\n"
        ),
        workers: Some(1),
        ..Setup::default()
    };
    let Some(scene) = Scene::open(test, &["sipp"], &setup) else {
        return;
    };
    let guard = Guard::with_networks(vec![(IpAddr::from([127, 0, 0, 0]), 8)]);
    let signer = Signer::new(&key, &format!("https://{at}/a.pem"), &guard).expect("a signer");
    // On a machine that stands still the certificate may come too late for the first call, which
    // goes on without it.
    let fetched = |scene: &Scene| {
        let metrics = scene.edge.metrics().expect("metrics");
        let passed = |line: &&str| {
            line.starts_with("ringfence_callers_verified_total") && line.contains("\"passed\"")
        };
        let line = metrics.lines().find(passed).unwrap_or_default().to_owned();
        !line.ends_with(" 0") && !line.is_empty()
    };
    wait::until_true("a verified call", 2 * A_WHILE, || {
        let first = caller(&identity(&signer, CALLING));
        let [made, _] = scene.calls(From::Carrier, [&*first, UAS_CALL], 1);
        assert_eq!((made.succeeded, made.failed), (1, 0));
        fetched(&scene)
    })
    .expect("the certificate is fetched");
    let good = identity(&signer, CALLING);
    let scenarios = [&*caller(&good), &*callee("TN-Validation-Passed")];
    let [made, taken] = scene.calls(From::Carrier, scenarios, 1);
    assert_eq!((made.succeeded, made.failed, taken.failed), (1, 0, 0));
    // Another's number: refused with 438, and the phone system hears nothing of it.
    let forged = caller(&identity(&signer, "12155550000"));
    let forged = forged.replace(
        "<recv response=\"200\" rtd=\"1\" rrs=\"true\"></recv>",
        "<recv response=\"438\" rtd=\"1\" rrs=\"true\" next=\"refused\"></recv>",
    );
    let mut caller = scene.caller(From::Carrier, &refused(&forged));
    caller.calls = Some(1);
    let made = caller.run(A_WHILE).expect("calls");
    assert_eq!((made.succeeded, made.failed), (1, 0));
    wait::until_true("the records", A_WHILE, || {
        let records = scene.edge.ask(&["calls", "--records", "100"]);
        let records = records.unwrap_or_default().to_string();
        let said = |words: &str| records.contains(words);
        said("caller verified, attestation A")
            && said("the token names another caller")
            && said(r#""attestation":"A""#)
            && said(r#""verstat":"TN-Validation-Failed""#)
    })
    .expect("records that say it");
}

/// The scenario up to its final response, with the ACK of a failure.
fn refused(scenario: &str) -> String {
    let (head, _) = scenario.split_once("  <send>\n").expect("an ACK");
    let ack = "<send><![CDATA[\nACK sip:[service]@[remote_ip]:[remote_port] SIP/2.0\n[last_Via:]\n\
        [last_From:]\n[last_To:]\n[last_Call-ID:]\nCSeq: 1 ACK\nMax-Forwards: 70\n\
        Content-Length: 0\n\n]]></send>\n</scenario>\n";
    format!("{}{ack}", head.replace(" next=\"refused\"", ""))
}
