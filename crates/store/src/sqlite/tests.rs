//! What is acknowledged is there, what is not stays with the caller, and nobody reads another
//! tenant's records.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use ringfence_base::WorkerIndex;
use ringfence_base::net::Transport;
use ringfence_control::api::CallRecord;
use ringfence_detect::callers::{CallerKey, Kept};
use ringfence_session::cdr::{CallerId, Cdr, Direction, EndedBy, LegRecord, MediaRecord, Outcome};
use ringfence_session::view::{CallState, CallView, LegView};
use ringfence_stir::{Attestation, Verstat};

use super::*;

const START: i64 = 1_795_376_160_000_000;

fn at(seconds: i64) -> UnixTime {
    UnixTime::from_micros(START + seconds * 1_000_000)
}

fn id(number: u32) -> CallId {
    CallId::new(at(0), WorkerIndex::new(0), number)
}

fn remote() -> SocketAddr {
    "198.51.100.20:5061".parse().unwrap()
}

fn cdr(number: u32, tenant: &str) -> Cdr {
    let leg = |peer: &str, media| LegRecord {
        peer: peer.to_owned(),
        call_id: format!("call-{number}@{peer}"),
        local_tag: "ours".into(),
        remote_tag: "theirs".into(),
        remote: remote(),
        transport: Transport::Tls,
        status: Some(200),
        media,
    };
    let media = MediaRecord {
        codec: "PCMU".into(),
        srtp: Some("AEAD_AES_128_GCM".into()),
        srtp_refused: true,
        packets_received: 3_000,
        packets_sent: 2_990,
        packets_lost: 2,
        packets_refused: 1,
        jitter_us: 1_250,
        mos: Some(4.37),
    };
    Cdr {
        id: id(number),
        tenant: tenant.into(),
        site: "summit".into(),
        direction: Direction::Inbound,
        from: "+15550100".into(),
        to: "+13305550100".into(),
        emergency: false,
        ingress: leg("trunk.carrier-a", Some(media)),
        egress: number.is_multiple_of(2).then(|| leg("pbx.main", None)),
        started: at(0),
        ringing: Some(at(1)),
        answered: Some(at(3)),
        ended: at(60),
        outcome: Outcome::Answered,
        status: 200,
        q850: 16,
        ended_by: EndedBy::Caller,
        rule: "trunk.carrier-a -> site.summit -> pbx.main".into(),
        caller_id: number.is_multiple_of(2).then(|| CallerId {
            verstat: Verstat::Passed,
            attestation: Some(Attestation::A),
            origid: Some("7f4a".into()),
        }),
    }
}

fn ended(number: u32, tenant: &str) -> Entry {
    Entry::Ended(Box::new(cdr(number, tenant)))
}

fn started(number: u32, tenant: &str) -> Entry {
    let leg = |peer: &str| LegView {
        peer: peer.to_owned(),
        remote: remote(),
        transport: Transport::Udp,
        call_id: format!("call-{number}@{peer}"),
        media: None,
        media_local: Vec::new(),
    };
    Entry::Started(Box::new(CallView {
        id: id(number),
        tenant: tenant.into(),
        site: "summit".into(),
        direction: Direction::Inbound,
        emergency: false,
        from: "+15550100".into(),
        to: "+13305550100".into(),
        state: CallState::Trying,
        started: at(0),
        answered: None,
        ingress: leg("trunk.carrier-a"),
        egress: leg("pbx.main"),
        rule: "a rule".into(),
    }))
}

async fn open(folder: &Path) -> SqliteRecords {
    let path = folder.join("data").join("records.sqlite3");
    SqliteRecords::open(SqliteOptions {
        path,
        bytes_max: None,
    })
    .await
    .unwrap()
}

fn ids(stored: &[Stored]) -> Vec<String> {
    stored
        .iter()
        .map(|stored| stored.record.id.clone())
        .collect()
}

fn names(numbers: &[u32]) -> Vec<String> {
    numbers
        .iter()
        .map(|&number| id(number).to_string())
        .collect()
}

#[tokio::test]
async fn a_record_reads_back_as_it_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let records = open(folder.path()).await;
    records
        .write(&[ended(1, "summit"), ended(2, "summit")])
        .await
        .unwrap();
    for number in [1, 2] {
        let stored = records
            .by_id(Scope::Fleet, id(number))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(stored.record, CallRecord::from(&cdr(number, "summit")));
    }
    assert_eq!(records.by_id(Scope::Fleet, id(3)).await.unwrap(), None);
    records.close().await;
    let records = open(folder.path()).await;
    assert_eq!(
        records.count(Scope::Fleet).await.unwrap(),
        2,
        "after a restart"
    );
}

#[tokio::test]
async fn pages_run_both_ways() {
    let folder = tempfile::tempdir().unwrap();
    let records = open(folder.path()).await;
    let entries: Vec<Entry> = (0..5).map(|number| ended(number, "summit")).collect();
    records.write(&entries).await.unwrap();
    assert_eq!(
        ids(&records.recent(Scope::Fleet, 2).await.unwrap()),
        names(&[4, 3])
    );
    let first = records.after(Scope::Fleet, 0, 3).await.unwrap();
    assert_eq!(ids(&first), names(&[0, 1, 2]));
    let rest = records
        .after(Scope::Fleet, first[2].sequence, PAGE_MAX)
        .await
        .unwrap();
    assert_eq!(ids(&rest), names(&[3, 4]));
    assert!(
        records
            .after(Scope::Fleet, rest[1].sequence, 9)
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn a_batch_that_is_written_again_stays_once() {
    let folder = tempfile::tempdir().unwrap();
    let records = open(folder.path()).await;
    let batch = [started(1, "summit"), ended(1, "summit"), ended(2, "summit")];
    records.write(&batch).await.unwrap();
    records.write(&batch).await.unwrap();
    records.write(&[]).await.unwrap();
    assert_eq!(records.count(Scope::Fleet).await.unwrap(), 2);
}

#[tokio::test]
async fn a_tenant_reads_its_own_records_only_even_of_the_same_id() {
    let folder = tempfile::tempdir().unwrap();
    let records = open(folder.path()).await;
    let mut twin = cdr(1, "acme");
    twin.started = at(1);
    let twin = Entry::Ended(Box::new(twin));
    records
        .write(&[ended(1, "summit"), twin, ended(2, "acme")])
        .await
        .unwrap();
    let (summit, acme) = (Scope::Tenant("summit"), Scope::Tenant("acme"));
    assert_eq!(records.count(summit).await.unwrap(), 1);
    assert_eq!(records.count(acme).await.unwrap(), 2);
    assert_eq!(ids(&records.recent(summit, 9).await.unwrap()), names(&[1]));
    assert_eq!(
        ids(&records.after(acme, 0, 9).await.unwrap()),
        names(&[1, 2])
    );
    let found = records.by_id(acme, id(1)).await.unwrap().unwrap();
    assert_eq!(found.record.tenant, "acme");
    assert_eq!(records.by_id(summit, id(2)).await.unwrap(), None);
}

#[tokio::test]
async fn a_query_without_a_tenant_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let records = open(folder.path()).await;
    let nobody = Scope::Tenant("");
    assert!(matches!(
        records.count(nobody).await,
        Err(QueryError::NoTenant)
    ));
    assert!(matches!(
        records.recent(nobody, 9).await,
        Err(QueryError::NoTenant)
    ));
    assert!(matches!(
        records.after(nobody, 0, 9).await,
        Err(QueryError::NoTenant)
    ));
    assert!(matches!(
        records.by_id(nobody, id(1)).await,
        Err(QueryError::NoTenant)
    ));
}

#[tokio::test]
async fn a_call_that_a_crash_left_open_becomes_an_interrupted_record() {
    let folder = tempfile::tempdir().unwrap();
    let records = open(folder.path()).await;
    let answered = Entry::Answered {
        id: id(2),
        at: at(4),
    };
    let batch = [
        started(1, "summit"),
        started(2, "summit"),
        answered,
        started(3, "summit"),
    ];
    records.write(&batch).await.unwrap();
    records.write(&[ended(3, "summit")]).await.unwrap();
    drop(records);
    let records = open(folder.path()).await;
    assert_eq!(records.close_interrupted().await.unwrap(), 2);
    assert_eq!(records.close_interrupted().await.unwrap(), 0, "once");
    assert_eq!(records.count(Scope::Fleet).await.unwrap(), 3);
    let ringing = records
        .by_id(Scope::Fleet, id(1))
        .await
        .unwrap()
        .unwrap()
        .record;
    assert_eq!(
        (ringing.outcome.as_str(), ringing.status),
        ("interrupted", 0)
    );
    let up = records
        .by_id(Scope::Fleet, id(2))
        .await
        .unwrap()
        .unwrap()
        .record;
    assert_eq!(
        (up.outcome.as_str(), up.status, up.ended_by.as_str()),
        ("interrupted", 200, "edge")
    );
    assert_eq!(
        (up.answered.unwrap().0, up.ended.0),
        (at(4), at(60)),
        "last known to run"
    );
    assert_eq!(up.ingress.call_id, "call-2@trunk.carrier-a");
    assert_eq!(up.egress.unwrap().peer, "pbx.main");
}

#[tokio::test]
async fn many_marks_at_once_keep_apart() {
    let folder = tempfile::tempdir().unwrap();
    let records = open(folder.path()).await;
    let numbers = 0..45u32; // 32 + 8 + 5 × 1 rows
    let starts: Vec<Entry> = numbers
        .clone()
        .map(|number| started(number, "summit"))
        .collect();
    let answers = |number| Entry::Answered {
        id: id(number),
        at: at(i64::from(number)),
    };
    let answers: Vec<Entry> = numbers.clone().skip(1).map(answers).collect();
    let ends: Vec<Entry> = numbers
        .clone()
        .filter(|n| n % 2 == 1)
        .map(|number| ended(number, "summit"))
        .collect();
    for batch in [starts, answers, ends] {
        records.write(&batch).await.unwrap();
    }
    assert_eq!(records.close_interrupted().await.unwrap(), 23);
    for number in numbers {
        let record = records
            .by_id(Scope::Fleet, id(number))
            .await
            .unwrap()
            .unwrap()
            .record;
        let answered = record.answered.map(|answered| answered.0);
        let (outcome, expected) = match number {
            0 => ("interrupted", None),
            odd if odd % 2 == 1 => ("answered", Some(at(3))),
            even => ("interrupted", Some(at(i64::from(even)))),
        };
        assert_eq!(
            (record.outcome.as_str(), answered),
            (outcome, expected),
            "call {number}"
        );
    }
}

#[tokio::test]
async fn a_full_disk_is_told_and_the_batch_stays_with_the_caller() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("records.sqlite3");
    let small = SqliteOptions {
        path: path.clone(),
        bytes_max: Some(200_000),
    };
    let records = SqliteRecords::open(small).await.unwrap();
    let mut next = 0;
    let (batch, error) = loop {
        let batch: Vec<Entry> = (next..next + 50)
            .map(|number| ended(number, "summit"))
            .collect();
        match records.write(&batch).await {
            Ok(()) => next += 50,
            Err(error) => break (batch, error),
        }
        assert!(next < 10_000, "the bound does not hold");
    };
    assert!(matches!(error, WriteError::DiskFull { .. }), "{error:?}");
    assert!(next > 0, "something fitted");
    let written = records.count(Scope::Fleet).await.unwrap();
    assert_eq!(
        written,
        u64::from(next),
        "all of a batch or none of it, and reading goes on"
    );
    assert!(
        matches!(
            records.write(&batch).await,
            Err(WriteError::DiskFull { .. })
        ),
        "again"
    );
    // Room again: the oldest records go, and the very batch that was refused gets in.
    assert_eq!(records.prune(at(61)).await.unwrap(), u64::from(next));
    records.write(&batch).await.unwrap();
    assert_eq!(records.count(Scope::Fleet).await.unwrap(), 50);
}

#[tokio::test]
async fn a_database_that_another_program_holds_is_busy_and_then_not() {
    let folder = tempfile::tempdir().unwrap();
    let records = open(folder.path()).await;
    let mut other = records.options.connect().await.unwrap();
    let writer = records.writer.lock().await.take().unwrap();
    writer.close().await.unwrap();
    let quick = records
        .options
        .clone()
        .busy_timeout(Duration::from_millis(200));
    let records = SqliteRecords {
        options: quick,
        ..records
    };
    sqlx::query("BEGIN IMMEDIATE")
        .execute(&mut other)
        .await
        .unwrap();
    let error = records.write(&[ended(1, "summit")]).await.unwrap_err();
    assert!(matches!(error, WriteError::Busy { .. }), "{error:?}");
    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    records.write(&[ended(1, "summit")]).await.unwrap();
}

#[tokio::test]
async fn what_is_no_database_or_of_a_newer_program_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("records.sqlite3");
    let options = SqliteOptions {
        path: path.clone(),
        bytes_max: None,
    };
    std::fs::write(&path, [b'x'; 8192]).unwrap();
    let error = SqliteRecords::open(options.clone()).await.unwrap_err();
    assert!(matches!(error, OpenError::File { .. }), "{error:?}");
    std::fs::remove_file(&path).unwrap();
    let records = SqliteRecords::open(options.clone()).await.unwrap();
    let mut writer = records.writer.lock().await.take().unwrap();
    sqlx::query("PRAGMA user_version = 99")
        .execute(&mut writer)
        .await
        .unwrap();
    writer.close().await.unwrap();
    let error = SqliteRecords::open(options).await.unwrap_err();
    assert!(
        matches!(
            error,
            OpenError::TooNew {
                found: 99,
                known: 8
            }
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn prune_forgets_what_is_old() {
    let folder = tempfile::tempdir().unwrap();
    let records = open(folder.path()).await;
    let mut young = cdr(2, "summit");
    young.ended = at(1_000);
    records
        .write(&[ended(1, "summit"), Entry::Ended(Box::new(young))])
        .await
        .unwrap();
    assert_eq!(records.prune(at(61)).await.unwrap(), 1);
    assert_eq!(records.prune(at(61)).await.unwrap(), 0);
    assert_eq!(
        ids(&records.recent(Scope::Fleet, 9).await.unwrap()),
        names(&[2])
    );
}

#[tokio::test]
async fn text_of_a_stranger_stays_text() {
    let folder = tempfile::tempdir().unwrap();
    let records = open(folder.path()).await;
    let mut hostile = cdr(1, "summit");
    hostile.from = "'); DROP TABLE calls; --".into();
    hostile.to = "a\0b\u{202e}\u{1b}[31m\"é".into();
    records
        .write(&[Entry::Ended(Box::new(hostile.clone()))])
        .await
        .unwrap();
    let found = records
        .by_id(Scope::Fleet, id(1))
        .await
        .unwrap()
        .unwrap()
        .record;
    assert_eq!((found.from, found.to), (hostile.from, hostile.to));
}

#[test]
fn a_csv_line_has_a_cell_for_each_column_with_and_without_a_callee() {
    let columns = crate::csv::header().split(',').count();
    for number in [1, 2] {
        let line = crate::csv::line(&CallRecord::from(&cdr(number, "summit")));
        assert_eq!(line.split(',').count(), columns, "{line}");
        assert!(
            line.contains(",\"+15550100\",\"+13305550100\",false,2026-11-22T"),
            "{line}"
        );
        assert!(line.ends_with("\r\n"));
    }
}

/// Set for the process that is killed: where it writes.
const VICTIM: &str = "RINGFENCE_STORE_TEST_VICTIM";
const BATCH: u32 = 3;

/// Not a test by itself: what the process does that [`sigkill_loses_no_acknowledged_record`]
/// starts and kills. It writes batch after batch and says on stdout what was acknowledged.
#[tokio::test]
async fn victim_of_sigkill() {
    let Some(folder) = std::env::var_os(VICTIM) else {
        return;
    };
    let records = open(Path::new(&folder)).await;
    let mut out = std::io::stdout();
    for first in (0..1_000_000).step_by(BATCH as usize) {
        let mut batch: Vec<Entry> = Vec::new();
        for number in first..first + BATCH {
            batch.extend([started(number, "summit"), ended(number, "summit")]);
        }
        batch.push(started(first + 2_000_000, "summit"));
        records.write(&batch).await.unwrap();
        out.write_all(format!("acknowledged {}\n", first + BATCH).as_bytes())
            .unwrap();
        out.flush().unwrap();
    }
}

#[tokio::test]
async fn sigkill_loses_no_acknowledged_record() {
    for acknowledged_before_kill in [1, 4, 25] {
        let folder = tempfile::tempdir().unwrap();
        let mut victim = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "sqlite::tests::victim_of_sigkill", "--nocapture"])
            .env(VICTIM, folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(victim.stdout.take().unwrap()).lines();
        let mut acknowledged = Vec::new();
        let mut read = |lines: &mut dyn Iterator<Item = std::io::Result<String>>| {
            let line = lines.next()?.unwrap();
            // The test harness writes its own words in front of the first.
            let count = line
                .rsplit_once("acknowledged ")
                .map(|(_, count)| count.parse::<u32>());
            acknowledged.extend(count.transpose().unwrap());
            Some(acknowledged.len())
        };
        while read(&mut lines).expect("the victim lives") < acknowledged_before_kill {}
        victim.kill().unwrap(); // SIGKILL
        while read(&mut lines).is_some() {}
        victim.wait().unwrap();

        let last: u32 = acknowledged.last().copied().unwrap();
        let records = open(folder.path()).await;
        for number in 0..last {
            let found = records.by_id(Scope::Fleet, id(number)).await.unwrap();
            assert!(found.is_some(), "record {number} of {last} is gone");
        }
        let written = records.count(Scope::Fleet).await.unwrap();
        assert!(
            written.is_multiple_of(BATCH.into()),
            "a part of a batch: {written}"
        );
        let batches = written / u64::from(BATCH);
        assert_eq!(
            records.close_interrupted().await.unwrap(),
            batches,
            "one open call a batch"
        );
    }
}

fn binding(contact: &str, transport: Transport) -> ringfence_session::registrar::line::Binding {
    ringfence_session::registrar::line::Binding {
        contact: contact.into(),
        call_id: "call-id".into(),
        cseq: u32::MAX,
        path: Some("<sip:proxy.example;lr>".into()),
        instance: None,
        reg_id: 1,
        q: 500,
        user_agent: Some("Phone 1.0".into()),
        flow: ringfence_base::Flow {
            listener: ringfence_base::ListenerId::new(3),
            transport,
            remote: remote(),
            connection: None,
        },
        flow_lost: false,
        expires: at(600),
        refreshed: at(0),
    }
}

#[tokio::test]
async fn registrations_survive_a_restart_and_the_last_word_of_a_user_counts() {
    let folder = tempfile::tempdir().unwrap();
    let options = || SqliteOptions {
        path: folder.path().join("records.sqlite3"),
        bytes_max: None,
    };
    let registered = |user: &str, bindings| {
        Entry::Registered(Box::new(crate::Registered {
            group: "remote".to_owned(),
            user: user.to_owned(),
            bindings,
        }))
    };
    let (desk, mobile) = (
        binding("sip:alice@10.0.0.1", Transport::Udp),
        binding("sip:alice@10.0.0.2", Transport::Tls),
    );
    let store = SqliteRecords::open(options()).await.unwrap();
    let first = [
        registered("alice", vec![mobile.clone()]),
        registered("bob", vec![mobile.clone()]),
        registered("alice", vec![desk.clone(), mobile.clone()]),
    ];
    store.write(&first).await.unwrap();
    store.write(&[registered("bob", Vec::new())]).await.unwrap();
    store.close().await;
    let store = SqliteRecords::open(options()).await.unwrap();
    let kept = store.registrations().await.unwrap();
    assert_eq!(kept.len(), 1);
    assert_eq!(
        (kept[0].group.as_str(), kept[0].user.as_str()),
        ("remote", "alice")
    );
    assert_eq!(kept[0].bindings, [desk, mobile]);
}

#[tokio::test]
async fn known_callers_survive_a_restart_and_the_forgotten_go() {
    let folder = tempfile::tempdir().unwrap();
    let options = || SqliteOptions {
        path: folder.path().join("records.sqlite3"),
        bytes_max: None,
    };
    let kept = |caller: u64, weight, day: i64, called: Option<i64>| Kept {
        caller: CallerKey::new(caller),
        weight,
        as_of: UnixTime::from_micros(day * 86_400_000_000),
        called: called.map(|day| UnixTime::from_micros(day * 86_400_000_000)),
    };
    let callers = |tenant: &str, kept: Vec<Kept>| {
        Entry::Callers(Box::new(crate::Callers {
            tenant: tenant.to_owned(),
            kept,
        }))
    };
    let store = SqliteRecords::open(options()).await.unwrap();
    let (old, new) = (
        kept(u64::MAX, 1.0, 900, None),
        kept(u64::MAX, 2.0, 1_000, None),
    );
    let (faded, called) = (kept(2, 32.0, 99, None), kept(3, 0.0, 999, Some(999)));
    let many: Vec<Kept> = (10..1_000)
        .map(|caller| kept(caller, 1.0, 500, None))
        .collect();
    store
        .write(&[
            callers("summit", vec![old, faded, called]),
            callers("summit", vec![new]),
            callers("valley", many),
        ])
        .await
        .unwrap();
    store.close().await;
    let store = SqliteRecords::open(options()).await.unwrap();
    let forgotten = UnixTime::from_micros(100 * 86_400_000_000);
    let found = store.callers(forgotten).await.unwrap();
    assert_eq!(found.len(), 2);
    assert_eq!(found[0].tenant, "summit");
    assert_eq!(found[0].kept, [new, called], "the newest first");
    assert_eq!(found[1].kept.len(), 990);
    let none = UnixTime::from_micros(i64::MIN);
    assert_eq!(store.callers(none).await.unwrap()[0].kept.len(), 2);
}

#[tokio::test]
async fn what_was_learned_of_a_site_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let options = || SqliteOptions {
        path: folder.path().join("records.sqlite3"),
        bytes_max: None,
    };
    let habits = |site: &str, what: &str, state: &[u8]| crate::Habits {
        site: site.to_owned(),
        what: what.to_owned(),
        state: state.to_owned(),
    };
    let (old, new) = (
        habits("b", "strangers", &[1, 2]),
        habits("b", "strangers", &[0, 255, 3]),
    );
    let other = habits("b", "silence", b"");
    let entries = [&old, &other, &new, &habits("a", "silence", &[7])];
    let entries = entries.map(|one| Entry::Habits(Box::new(one.clone())));
    let store = SqliteRecords::open(options()).await.unwrap();
    assert!(store.habits().await.unwrap().is_empty());
    store.write(&entries).await.unwrap();
    store.close().await;
    let store = SqliteRecords::open(options()).await.unwrap();
    let found = store.habits().await.unwrap();
    assert_eq!(found, [habits("a", "silence", &[7]), other, new]);
}

#[tokio::test]
async fn what_detection_said_is_found_again_by_its_subject() {
    let folder = tempfile::tempdir().unwrap();
    let options = SqliteOptions {
        path: folder.path().join("records.sqlite3"),
        bytes_max: None,
    };
    let store = SqliteRecords::open(options).await.unwrap();
    let judged = |subject: &str, source: &str| {
        let words = serde_json::json!({
            "at": "2026-11-22T19:36:00Z", "what": "incident", "incident": 1, "kind": "guessing",
            "technique": "T1110.001", "subject_sort": "account-from", "subject": subject,
            "source": source, "spoofable": false, "confidence": 95, "events": 5, "sources": 1,
            "first": "2026-11-22T19:35:00Z", "last": "2026-11-22T19:36:00Z", "action": null,
            "mode": null, "until": null, "harm": null, "why": "because",
        });
        Entry::Judged(Box::new(serde_json::from_value(words).unwrap()))
    };
    let entries = [
        judged("100 from 203.0.113.9", "203.0.113.9"),
        judged("203.0.113.91", "203.0.113.91"),
    ];
    store.write(&entries).await.unwrap();
    let about = async |what: &str| store.judgements(Some(what), 10).await.unwrap().len();
    assert_eq!(about("203.0.113.9").await, 1);
    assert_eq!(about("100").await, 1);
    assert_eq!(about("10").await, 0);
    assert_eq!(store.judgements(None, 10).await.unwrap().len(), 2);
    // The last word on each source and kind.
    store.write(&entries[..1]).await.unwrap();
    let since = |micros| store.incidents_of_sources(UnixTime::from_micros(micros), 10);
    let said = since(0).await.unwrap();
    let sources: Vec<_> = said.iter().map(|said| said.source.as_deref()).collect();
    assert_eq!(sources, [Some("203.0.113.9"), Some("203.0.113.91")]);
    assert!(since(i64::MAX).await.unwrap().is_empty());
}
