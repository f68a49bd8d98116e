//! Traces of events, a JSON object in each line: what scenarios are tested on.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use ringfence_base::{Flow, HashKey, Instant, ListenerId, Transport};
use ringfence_detect::event::{
    Asked, Attestation, BindingChange, CallRef, CallStep, CredentialsOutcome, Direction, Diversion,
    EndedBy, Event, Fingerprint, Forgery, MethodKind, PeerRef, Principal, Proof, Refusal, Shape,
    SiteRef, Source, Tells, What,
};
use ringfence_detect::name::Name;
use ringfence_sip::{Defects, Method};
use serde::Deserialize;

use super::ScenarioError;

/// An event as it is written in a trace. What is not said is as it is for most.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Traced {
    /// Seconds since the trace began.
    pub at: f64,
    /// Address, and port if it matters.
    pub from: String,
    /// What happened: the field `what` of a scenario.
    pub what: String,
    /// The field `who`; `stranger`.
    #[serde(default)]
    pub who: Option<String>,
    /// The field `transport`; `udp`.
    #[serde(default)]
    pub transport: Option<String>,
    /// Whether the address is proved; over a stream it is.
    #[serde(default)]
    pub proven: bool,
    /// How it is built; 1.
    #[serde(default)]
    pub build: Option<u64>,
    /// The field `method`; `REGISTER`.
    #[serde(default)]
    pub method: Option<String>,
    /// The field `target`.
    #[serde(default)]
    pub target: Option<String>,
    /// The field `account`.
    #[serde(default)]
    pub account: Option<String>,
    /// The field `reason`; `stranger`.
    #[serde(default)]
    pub reason: Option<String>,
    /// The field `outcome`; `wrong`.
    #[serde(default)]
    pub outcome: Option<String>,
    /// The field `forgery`; `tag`.
    #[serde(default)]
    pub forgery: Option<String>,
    /// The field `step`; `offered`.
    #[serde(default)]
    pub step: Option<String>,
    /// The field `direction`; `inbound`.
    #[serde(default)]
    pub direction: Option<String>,
    /// The field `calling`.
    #[serde(default)]
    pub calling: Option<String>,
    /// The field `called`.
    #[serde(default)]
    pub called: Option<String>,
    /// The field `calling_is_own`.
    #[serde(default)]
    pub calling_is_own: bool,
    /// The field `attestation`; `none`.
    #[serde(default)]
    pub attestation: Option<String>,
}

/// Reads a trace; empty lines and lines that begin with `#` are left out.
///
/// # Errors
/// The first line that is wrong.
pub fn parse(file: &Path, text: &str, key: HashKey) -> Result<Vec<Event>, ScenarioError> {
    let mut events = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let event = serde_json::from_str::<Traced>(line)
            .map_err(|error| error.to_string())
            .and_then(|traced| event(&traced, key, events.len() as u64));
        events.push(event.map_err(|message| ScenarioError {
            file: file.to_owned(),
            line: number + 1,
            message,
        })?);
    }
    Ok(events)
}

fn one_of<T: Copy>(
    field: &str,
    word: Option<&String>,
    words: &[(&str, T)],
    usual: T,
) -> Result<T, String> {
    let Some(word) = word else { return Ok(usual) };
    let found = words.iter().find(|(name, _)| name == word);
    found.map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<&str> = words.iter().map(|(name, _)| *name).collect();
        format!("{field}: write one of {}", names.join(", "))
    })
}

fn event(traced: &Traced, key: HashKey, number: u64) -> Result<Event, String> {
    if !(0.0..1e9).contains(&traced.at) {
        return Err("at: write seconds since the trace began".to_owned());
    }
    let with_port = || {
        traced
            .from
            .parse::<std::net::IpAddr>()
            .map(|ip| SocketAddr::new(ip, 5060))
    };
    let remote = traced.from.parse::<SocketAddr>().or_else(|_| with_port());
    let remote = remote.map_err(|_| "from: write an address, like 203.0.113.9".to_owned())?;
    let transports: Vec<(&str, Transport)> = Transport::ALL
        .into_iter()
        .map(|transport| (transport.uri_name(), transport))
        .collect();
    let transport = one_of(
        "transport",
        traced.transport.as_ref(),
        &transports,
        Transport::Udp,
    )?;
    let first = PeerRef::new(0);
    let phone = Principal::Phone {
        group: first,
        user: 0,
    };
    let whos = [
        ("stranger", Principal::Stranger),
        ("trunk", Principal::Trunk(first)),
        ("pbx", Principal::Pbx(first)),
        ("phone", phone),
    ];
    let principal = one_of("who", traced.who.as_ref(), &whos, Principal::Stranger)?;
    let proof = if traced.proven {
        Proof::NonceEchoed
    } else {
        Proof::None
    };
    let flow = Flow {
        transport,
        ..Flow::udp(ListenerId::new(0), remote)
    };
    Ok(Event {
        at: Instant::ZERO + Duration::from_secs(1) + Duration::from_secs_f64(traced.at),
        source: Source::of(&flow, proof, principal),
        what: what(traced, key, number)?,
    })
}

fn what(traced: &Traced, key: HashKey, number: u64) -> Result<What, String> {
    let name =
        |text: &Option<String>| Name::new(key, text.as_deref().unwrap_or_default().as_bytes());
    let shape = Shape {
        fingerprint: Fingerprint(traced.build.unwrap_or(1)),
        tells: Tells::NONE,
    };
    let method = traced.method.as_deref().unwrap_or("REGISTER");
    let method = MethodKind::from(Method::new(method.as_bytes()));
    let account = traced.account.clone().or_else(|| traced.target.clone());
    let asked = Asked {
        method,
        target: name(&traced.target.clone().or_else(|| traced.account.clone())),
        shape,
        transaction: number + 1,
    };
    Ok(match traced.what.as_str() {
        "request" => What::Request(asked),
        "stray-response" => What::StrayResponse,
        "defective" => What::Defective {
            defects: Defects::NONE,
            shape,
        },
        "unparseable" => What::Unparseable { bytes: 0 },
        "stream-wordless" => What::StreamWithoutMessage,
        "challenged" => What::Challenged(asked),
        "refused" => What::Refused {
            reason: one_of(
                "reason",
                traced.reason.as_ref(),
                &REASONS,
                Refusal::Stranger,
            )?,
            asked,
        },
        "credentials" => What::Credentials {
            account: name(&account),
            outcome: one_of(
                "outcome",
                traced.outcome.as_ref(),
                &OUTCOMES,
                CredentialsOutcome::Wrong,
            )?,
            nonce: number,
            shape,
        },
        "registered" => What::Registered {
            account: name(&account),
            change: BindingChange::default(),
            shape,
        },
        "alien-binding" => What::AlienBinding {
            contact: name(&traced.target),
            count: 1,
        },
        "forged" => What::Forged {
            method,
            forgery: one_of("forgery", traced.forgery.as_ref(), &FORGERIES, Forgery::Tag)?,
            call: None,
        },
        "asked-for-credentials" => What::AskedForCredentials {
            method,
            within: true,
        },
        "diverted" => What::Diverted {
            site: SiteRef::new(0),
            by: name(&traced.calling),
            to: name(&traced.called),
            way: Diversion::Forwarded,
        },
        "call" => What::Call {
            call: CallRef::new(number),
            site: SiteRef::new(0),
            step: step(traced, name, shape)?,
        },
        _ => {
            return Err(
                "what: write request, stray-response, defective, unparseable, stream-wordless, refused, \
                 challenged, credentials, registered, alien-binding, forged, asked-for-credentials, \
                 diverted or call"
                    .to_owned(),
            );
        }
    })
}

fn step(
    traced: &Traced,
    name: impl Fn(&Option<String>) -> Name,
    shape: Shape,
) -> Result<CallStep, String> {
    Ok(match traced.step.as_deref() {
        None | Some("offered") => CallStep::Offered {
            direction: one_of(
                "direction",
                traced.direction.as_ref(),
                &DIRECTIONS,
                Direction::Inbound,
            )?,
            calling: name(&traced.calling),
            called: name(&traced.called),
            emergency: false,
            calling_is_own: traced.calling_is_own,
            attestation: one_of(
                "attestation",
                traced.attestation.as_ref(),
                &ATTESTATIONS,
                Attestation::Absent,
            )?,
            shape,
        },
        Some("ringing") => CallStep::Ringing,
        Some("answered") => CallStep::Answered,
        Some("ended") => CallStep::Ended {
            by: EndedBy::Caller,
            talked: Duration::ZERO,
            heard_caller: 0,
            heard_callee: 0,
        },
        Some("failed") => CallStep::Failed {
            status: 487,
            rang: Duration::ZERO,
        },
        Some(_) => {
            return Err("step: write offered, ringing, answered, ended or failed".to_owned());
        }
    })
}

const REASONS: [(&str, Refusal); 8] = [
    ("calling-number", Refusal::CallingNumber),
    ("credentials", Refusal::Credentials),
    ("dialog-unknown", Refusal::DialogUnknown),
    ("limit", Refusal::Limit),
    ("malformed", Refusal::Malformed),
    ("number", Refusal::Number),
    ("policy", Refusal::Policy),
    ("stranger", Refusal::Stranger),
];

const OUTCOMES: [(&str, CredentialsOutcome); 6] = [
    ("forged-nonce", CredentialsOutcome::WrongForgedNonce),
    ("replayed", CredentialsOutcome::Replayed),
    ("right", CredentialsOutcome::Right),
    ("stale", CredentialsOutcome::Stale),
    ("wrong", CredentialsOutcome::Wrong),
    ("wrong-account", CredentialsOutcome::WrongAccount),
];

const FORGERIES: [(&str, Forgery); 5] = [
    ("bye-while-talking", Forgery::ByeWhileTalking),
    ("cseq", Forgery::Cseq),
    ("replaces", Forgery::Replaces),
    ("source", Forgery::Source),
    ("tag", Forgery::Tag),
];

const DIRECTIONS: [(&str, Direction); 3] = [
    ("inbound", Direction::Inbound),
    ("internal", Direction::Internal),
    ("outbound", Direction::Outbound),
];

const ATTESTATIONS: [(&str, Attestation); 5] = [
    ("a", Attestation::A),
    ("b", Attestation::B),
    ("c", Attestation::C),
    ("invalid", Attestation::Invalid),
    ("none", Attestation::Absent),
];
