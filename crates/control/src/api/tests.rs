//! Golden files: what is in them stays as it is.

use std::time::Duration;

use insta::assert_snapshot;
use ringfence_base::net::Transport;
use ringfence_base::{UnixTime, WorkerIndex};
use ringfence_session::call_id::CallId;
use ringfence_session::cdr;
use ringfence_session::usage::Health;
use ringfence_session::view;
use ringfence_stir::{Attestation, Verstat};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::*;
use crate::diff::{Change, Effect};

/// 2026-11-22T19:36:00Z.
const NOON: i64 = 1_795_376_160_000_000;

fn at(seconds_later: i64) -> UnixTime {
    UnixTime::from_micros(NOON + seconds_later * 1_000_000)
}

/// The JSON of `value`, after a check that it reads back as the same.
#[track_caller]
fn golden<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(value: &T) -> String {
    let text = serde_json::to_string_pretty(value).unwrap();
    assert_eq!(&serde_json::from_str::<T>(&text).unwrap(), value);
    text
}

fn health() -> Health {
    Health {
        calls: 0,
        answered: None,
        heard: None,
        options_answered: None,
        options_round_trip: None,
        options_missed: 0,
    }
}

fn line(health: &Health) -> Line {
    let interval = Duration::from_secs(30);
    Line {
        kind: "trunk".into(),
        name: "carrier-a".into(),
        site: "summit".into(),
        tenant: "summit".into(),
        peer: "sip:198.51.100.20:5061;transport=tls".into(),
        transport: "tls".into(),
        media: "srtp".into(),
        verdict: judge(health, at(0), interval, true),
        heard: health.heard.map(|heard| Seen::new(heard, at(0))),
        options: OptionsView::new(health, at(0), interval),
        registration: None,
        calls: health.calls,
        channels: 8,
    }
}

pub(crate) fn sample_cdr() -> cdr::Cdr {
    let media = cdr::MediaRecord {
        codec: "PCMU".into(),
        srtp: Some("AEAD_AES_128_GCM".into()),
        srtp_refused: false,
        packets_received: 3_000,
        packets_sent: 2_990,
        packets_lost: 2,
        packets_refused: 1,
        jitter_us: 1_250,
        mos: Some(4.37),
    };
    cdr::Cdr {
        id: CallId::new(at(0), WorkerIndex::new(1), 7),
        tenant: "summit".into(),
        site: "summit".into(),
        direction: cdr::Direction::Inbound,
        from: "+15550100".into(),
        to: "+13305550100".into(),
        emergency: false,
        ingress: cdr::LegRecord {
            peer: "trunk.carrier-a".into(),
            call_id: "a84b4c76e66710".into(),
            local_tag: "8321234356".into(),
            remote_tag: "1928301774".into(),
            remote: "198.51.100.20:5061".parse().unwrap(),
            transport: Transport::Tls,
            status: Some(200),
            media: Some(media),
        },
        egress: Some(cdr::LegRecord {
            peer: "pbx.main".into(),
            call_id: "5f1b".into(),
            local_tag: "77".into(),
            remote_tag: String::new(),
            remote: "192.0.2.10:5060".parse().unwrap(),
            transport: Transport::Udp,
            status: Some(200),
            media: None,
        }),
        started: at(0),
        ringing: Some(at(1)),
        answered: Some(at(3)),
        ended: at(63),
        outcome: cdr::Outcome::Answered,
        status: 200,
        q850: 16,
        ended_by: cdr::EndedBy::Caller,
        rule: "trunk.carrier-a -> site.summit -> pbx.main".into(),
        caller_id: Some(cdr::CallerId {
            verstat: Verstat::Passed,
            attestation: Some(Attestation::B),
            origid: Some("7f4a".into()),
        }),
    }
}

#[test]
fn status_is_stable() {
    let status = Status {
        version: "0.1.0".into(),
        edge: "summit-edge".into(),
        started: at(-3600).into(),
        uptime_s: 3600,
        workers: 2,
        calls: 3,
        calls_total: 120,
        calls_failed: 1,
        strangers_total: 4_000,
        draining: false,
        media_relay: "kernel (lo)".to_owned(),
        records: RecordsStatus {
            state: RecordsState::Failing,
            waiting: 4,
            written: 117,
            lost: 0,
            error: Some("the disk is full".into()),
        },
        listeners: vec![ListenerStatus {
            name: "outside".into(),
            udp: Some("203.0.113.10:5060".parse().unwrap()),
            tcp: None,
            tls: Some("[2001:db8::10]:5061".parse().unwrap()),
            ws: None,
            wss: None,
            media: Some("203.0.113.10:30000-30999".into()),
            media_pairs: 500,
            media_pairs_used: 3,
            connections: 1,
            certificate_ends: Some(at(86_400).into()),
        }],
        memory: MemoryStatus {
            resident_bytes: 40_000_000,
        },
        config: ConfigStatus {
            file: "ringfence.toml".into(),
            applied: at(-3600).into(),
            waiting_for_restart: vec![],
        },
        warnings: vec!["records wait in memory: the disk is full".into()],
    };
    assert!(status.is_degraded());
    assert_snapshot!(golden(&status));
}

#[test]
fn lines_are_stable() {
    let works = Health {
        calls: 2,
        answered: Some(at(-40)),
        heard: Some(at(-1)),
        options_answered: Some(at(-12)),
        options_round_trip: Some(Duration::from_micros(12_345)),
        options_missed: 0,
    };
    assert_snapshot!(golden(&Lines {
        at: at(0).into(),
        lines: vec![line(&works), line(&health())],
    }));
}

#[test]
fn calls_are_stable() {
    let cdr = sample_cdr();
    let leg = |leg: &cdr::LegRecord| view::LegView {
        peer: leg.peer.clone(),
        remote: leg.remote,
        transport: leg.transport,
        call_id: leg.call_id.clone(),
        media: leg.media.clone(),
        media_local: Vec::new(),
    };
    let mut call = view::CallView {
        id: cdr.id,
        tenant: cdr.tenant.clone(),
        site: cdr.site.clone(),
        direction: cdr.direction,
        emergency: cdr.emergency,
        from: cdr.from.clone(),
        to: cdr.to.clone(),
        state: view::CallState::Up,
        started: cdr.started,
        answered: cdr.answered,
        ingress: leg(&cdr.ingress),
        egress: leg(cdr.egress.as_ref().unwrap()),
        rule: cdr.rule.clone(),
    };
    let answered = ActiveCall::new(&call, at(13));
    assert_eq!(answered.seconds, 10, "since the answer");
    (call.state, call.answered) = (view::CallState::Ringing, None);
    let ringing = ActiveCall::new(&call, at(2));
    assert_eq!(ringing.seconds, 2, "since the INVITE");
    assert_snapshot!(golden(&Calls {
        at: at(13).into(),
        total: 5,
        calls: vec![answered, ringing]
    }));
}

#[test]
fn records_are_stable() {
    let record = CallRecord::from(&sample_cdr());
    assert_snapshot!(golden(&Records {
        records: vec![record],
        next: 41
    }));
}

#[test]
fn a_trace_is_stable() {
    let entry = TraceEntry {
        at: at(0).into(),
        leg: LegName::Ingress,
        direction: Direction::Received,
        remote: "198.51.100.20:5061".parse().unwrap(),
        transport: "tls".into(),
        summary: "INVITE".into(),
        text: "INVITE sip:+13305550100@203.0.113.10 SIP/2.0\r\n…".into(),
    };
    assert_snapshot!(golden(&Trace {
        id: sample_cdr().id.to_string(),
        entries: vec![entry],
        truncated: false,
    }));
}

#[test]
fn doctor_reload_and_errors_are_stable() {
    let check = |name: &str, state| Check {
        name: name.into(),
        state,
        message: "208 KiB of 4 MiB".into(),
        fix: Some("run: sysctl -w net.core.rmem_max=4194304".into()),
    };
    let doctor = Doctor {
        checks: vec![
            check("a", CheckState::Unknown),
            check("receive buffers", CheckState::Warning),
        ],
    };
    assert_eq!(doctor.state(), CheckState::Warning);
    assert_eq!(Doctor::default().state(), CheckState::Ok);
    let change = Change {
        key: "trunk.carrier-a.channels".into(),
        from: Some("8".into()),
        to: None,
        effect: Effect::Restart,
    };
    let diagnostics = crate::config::parse("x = 1", "ringfence.toml".as_ref()).unwrap_err();
    let reload = Reload {
        applied: true,
        changes: vec![ChangeView::from(&change)],
        diagnostics: diagnostics.diagnostics,
    };
    let error = ApiError::new("there is no call 0123456789abc", "see `ringfence calls`");
    assert_eq!(
        error.to_string(),
        "there is no call 0123456789abc; see `ringfence calls`"
    );
    let hang_up = HangUp {
        id: sample_cdr().id.to_string(),
        found: true,
    };
    assert_snapshot!(
        [
            golden(&doctor),
            golden(&reload),
            golden(&error),
            golden(&hang_up)
        ]
        .join("\n")
    );
}

#[test]
fn a_time_reads_back_and_nonsense_does_not() {
    let time = Timestamp(UnixTime::from_micros(NOON + 123_456));
    assert_eq!(time.to_string(), "2026-11-22T19:36:00.123456Z");
    assert_eq!("2026-11-22T20:36:00.123456+01:00".parse(), Ok(time));
    assert!("yesterday".parse::<Timestamp>().is_err());
    assert_eq!(
        Timestamp(at(0)).age_seconds(at(-5)),
        0,
        "a clock that stepped back"
    );
}

#[test]
fn a_call_of_a_clock_that_stepped_back_has_no_negative_length() {
    let mut cdr = sample_cdr();
    cdr.ended = at(-10);
    assert_eq!(CallRecord::from(&cdr).seconds, 0.0);
}
