//! The control API, metrics, reload, and what refuses a start.

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

use ringfence_control::api::{
    ApiError, AttackMode, CallRecord, CallerStanding, CallersImported, Calls, CheckState, Doctor,
    Explanation, HangUp, LineState, Lines, Records, Reload, RouteAnswer, RouteOutcome,
    ScenarioList, Status, Trace,
};
use ringfence_edge::{Edge, Options, StartError, doctor};
use serde::de::DeserializeOwned;
use support::{Agent, CallFacts, Net, PATIENCE, Setup, eventually, header, write_config};

/// One request over any stream: the status code and the body.
fn ask(mut stream: impl Read + Write, method: &str, path: &str) -> (u16, String) {
    let request = format!("{method} {path} HTTP/1.1\r\nHost: edge\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, body.to_owned())
}

#[track_caller]
fn api<T: DeserializeOwned>(setup: &Setup, method: &str, path: &str, expected: u16) -> T {
    let stream = UnixStream::connect(setup.edge.control_path()).unwrap();
    let (status, body) = ask(stream, method, path);
    assert_eq!(status, expected, "{body}");
    serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}"))
}

fn scrape(setup: &Setup, path: &str) -> (u16, String) {
    ask(
        TcpStream::connect(setup.edge.metrics_addr().unwrap()).unwrap(),
        "GET",
        path,
    )
}

/// A call from the carrier, answered by the PBX.
fn set_up(setup: &Setup, carrier: &Agent, pbx: &Agent, id: &str) -> CallFacts {
    let mut call = CallFacts::new(id, "+13305550100", setup.outside());
    carrier.send(
        &carrier.request(&call, "INVITE", 1, &carrier.sdp()),
        setup.outside(),
    );
    let invite = pbx.expect("INVITE");
    pbx.send(&pbx.answer(&invite, "200 OK", &pbx.sdp()), setup.inside());
    call.answered(&carrier.expect("SIP/2.0 200"));
    carrier.send(&carrier.request(&call, "ACK", 1, ""), setup.outside());
    pbx.expect("ACK");
    call
}

#[test]
fn the_api_shows_a_call_while_it_is_up_and_its_record_after() {
    let setup = Setup::start(2);
    let (carrier, pbx) = (Agent::bind(setup.net.carrier), Agent::bind(setup.net.pbx));
    let mode = std::fs::metadata(setup.edge.control_path())
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600, "nobody else may connect");
    let mut followed = UnixStream::connect(setup.edge.control_path()).unwrap();
    followed.set_read_timeout(Some(PATIENCE)).unwrap();
    followed
        .write_all(b"GET /v1/calls/follow HTTP/1.1\r\nHost: edge\r\n\r\n")
        .unwrap();
    let mut followed = BufReader::new(followed).lines().map(Result::unwrap);
    assert!(
        followed.by_ref().any(|line| line.is_empty()),
        "the end of the head"
    );

    set_up(&setup, &carrier, &pbx, "shown");
    let calls: Calls = api(&setup, "GET", "/v1/calls?limit=5", 200);
    let call = &calls.calls[0];
    assert_eq!(
        (calls.total, call.from.as_str(), call.to.as_str()),
        (1, "+13125550001", "+13305550100")
    );
    assert_eq!(call.rule, "trunk carrier-a -> site summit -> pbx main");
    let lines: Lines = api(&setup, "GET", "/v1/lines", 200);
    let states: Vec<_> = lines
        .lines
        .iter()
        .map(|l| (l.name.as_str(), l.verdict.state, l.calls))
        .collect();
    assert_eq!(
        states,
        [("carrier-a", LineState::Up, 1), ("main", LineState::Up, 1)]
    );
    let trace: Trace = api(&setup, "GET", &format!("/v1/calls/{}/trace", call.id), 200);
    let ladder: Vec<&str> = trace
        .entries
        .iter()
        .map(|entry| entry.summary.as_str())
        .collect();
    assert_eq!(ladder.first(), Some(&"INVITE"));
    assert!(
        ladder.contains(&"200 OK (INVITE)") && ladder.contains(&"ACK"),
        "{ladder:?}"
    );
    assert!(!trace.truncated);

    let path = format!("/v1/calls/{}/hangup", call.id);
    let hung: HangUp = api(&setup, "POST", &path, 200);
    assert!(hung.found);
    let bye = pbx.expect("BYE");
    pbx.send(&pbx.answer(&bye, "200 OK", ""), setup.inside());
    let bye = carrier.expect("BYE");
    carrier.send(&carrier.answer(&bye, "200 OK", ""), setup.outside());
    let line = followed.find(|line| line.starts_with('{')).unwrap();
    let record: CallRecord = serde_json::from_str(&line).unwrap();
    assert_eq!(
        (
            &record.id,
            record.outcome.as_str(),
            record.ended_by.as_str()
        ),
        (&call.id, "answered", "edge")
    );
    let records: Records = api(&setup, "GET", "/v1/records?after=0", 200);
    assert_eq!(records.records, std::slice::from_ref(&record));
    let one: CallRecord = api(&setup, "GET", &format!("/v1/records/{}", call.id), 200);
    assert_eq!(one, record);
    let status: Status = api(&setup, "GET", "/v1/status", 200);
    assert_eq!(
        (status.calls, status.calls_total, status.records.written),
        (0, 1, 1)
    );
    assert!(!status.is_degraded());
}

#[test]
fn what_is_not_there_is_said_with_a_way_out() {
    let setup = Setup::start(1);
    for (path, status) in [
        ("/v1/nothing", 404),
        ("/v1/calls/short/trace", 400),
        ("/v1/calls/0000000000000/trace", 404),
        ("/v1/calls/7zzzzzzzzzzzz/trace", 404),
        ("/v1/records/0000000000000", 404),
    ] {
        let error: ApiError = api(&setup, "GET", path, status);
        assert!(!error.fix.is_empty());
    }
}

#[test]
fn metrics_count_what_happened() {
    let setup = Setup::start(2);
    let (carrier, pbx) = (Agent::bind(setup.net.carrier), Agent::bind(setup.net.pbx));
    set_up(&setup, &carrier, &pbx, "counted");
    assert_eq!(scrape(&setup, "/healthz"), (200, "ok\n".to_owned()));
    let (status, text) = scrape(&setup, "/metrics");
    assert_eq!(status, 200);
    let sum = |name: &str| -> f64 {
        let lines = text
            .lines()
            .filter(|line| line.starts_with(&format!("{name}{{")));
        lines
            .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
            .sum()
    };
    assert_eq!(sum("ringfence_calls_tried_total"), 1.0);
    assert_eq!(sum("ringfence_calls"), 1.0);
    assert_eq!(sum("ringfence_media_streams"), 1.0);
    assert_eq!(sum("ringfence_peer_calls"), 2.0);
    assert_eq!(sum("ringfence_kernel_drops_total"), 0.0);
    assert!(sum("ringfence_datagrams_received_total") >= 3.0);
}

#[test]
fn a_reload_changes_what_can_change_and_drops_no_call() {
    let setup = Setup::start(2);
    let (carrier, pbx) = (Agent::bind(setup.net.carrier), Agent::bind(setup.net.pbx));
    let call = set_up(&setup, &carrier, &pbx, "kept");
    let text = setup.net.config("workers = 2", "");
    let ip = setup.net.edge;
    write_config(
        setup.folder.path(),
        &text.replace("channels = 8", "channels = 0x"),
    );
    let refused: Reload = api(&setup, "POST", "/v1/reload", 200);
    assert!(!refused.applied && !refused.diagnostics.is_empty());
    let changed = text.replace("channels = 8", "channels = 1").replace(
        &format!("udp = \"{ip}:5060\""),
        &format!("udp = \"{ip}:5999\""),
    );
    write_config(setup.folder.path(), &changed);
    let report: Reload = api(&setup, "POST", "/v1/reload", 200);
    let changes: Vec<_> = report
        .changes
        .iter()
        .map(|c| (c.key.as_str(), c.effect.as_str()))
        .collect();
    assert_eq!(
        changes,
        [
            ("listen.outside.udp", "restart"),
            ("site.summit.channels", "now")
        ]
    );
    let status: Status = api(&setup, "GET", "/v1/status", 200);
    assert_eq!(status.config.waiting_for_restart.len(), 1);
    // The call counts under the new plan too: its channel is the only one.
    let second = CallFacts::new("second", "+13305550100", setup.outside());
    carrier.send(
        &carrier.request(&second, "INVITE", 1, &carrier.sdp()),
        setup.outside(),
    );
    let refusal = carrier.expect("SIP/2.0 ");
    let refusal = if refusal.starts_with("SIP/2.0 100") {
        carrier.expect("SIP/2.0 ")
    } else {
        refusal
    };
    assert!(
        refusal.starts_with("SIP/2.0 486") || refusal.starts_with("SIP/2.0 503"),
        "{refusal}"
    );
    carrier.send(&carrier.request(&second, "ACK", 1, ""), setup.outside());
    carrier.send(&carrier.request(&call, "BYE", 2, ""), setup.outside());
    let bye = pbx.expect("BYE");
    pbx.send(&pbx.answer(&bye, "200 OK", ""), setup.inside());
    carrier.expect("SIP/2.0 200");
}

fn start(folder: &Path, text: &str) -> Result<Edge, StartError> {
    let file = write_config(folder, text);
    Edge::start(
        ringfence_control::load(&file).unwrap().config,
        Options::default(),
    )
}

#[test]
fn a_second_edge_with_the_same_folder_or_addresses_is_refused_and_says_all() {
    let setup = Setup::start(2);
    let text = setup.net.config("workers = 2", "");
    let again = start(setup.folder.path(), &text);
    assert!(matches!(again, Err(StartError::Running { .. })));
    let elsewhere = tempfile::tempdir().unwrap();
    match start(elsewhere.path(), &text) {
        Err(StartError::Bind { errors }) => {
            // Two listeners with UDP, TCP and media each.
            assert_eq!(errors.len(), 6, "{errors:?}");
        }
        other => panic!("{:?}", other.err()),
    }
}

#[test]
fn a_media_port_in_use_is_skipped_and_said() {
    let net = Net::new();
    let _taken = UdpSocket::bind(SocketAddr::new(net.edge, 30_005)).unwrap();
    let setup = Setup::with(net, &net.config("workers = 3", ""));
    let status = setup.edge.status().unwrap();
    let outside = &status.listeners[0];
    assert_eq!((outside.media_pairs, outside.media_pairs_used), (19, 0));
    assert_eq!(
        status.warnings,
        ["listen.outside.media: 1 port pairs are in use by others"]
    );
}

#[test]
fn the_doctor_looks_at_a_running_and_a_stopped_edge() {
    let setup = Setup::start(1);
    let report: Doctor = api(&setup, "GET", "/v1/doctor", 200);
    let state = |report: &Doctor, name: &str| {
        report
            .checks
            .iter()
            .find(|check| check.name == name)
            .map(|check| check.state)
    };
    assert_eq!(state(&report, "data folder"), Some(CheckState::Ok));
    assert_eq!(
        state(&report, "line trunk.carrier-a"),
        Some(CheckState::Unknown)
    );
    let file = setup.folder.path().join("ringfence.toml");
    let config = ringfence_control::load(&file).unwrap().config;
    let report = doctor::check_stopped(&config);
    assert_eq!(
        state(&report, "address listen.outside.udp"),
        Some(CheckState::Failed)
    );
    setup.edge.stop();
    setup.edge.join();
    let report = doctor::check_stopped(&config);
    assert_eq!(state(&report, "addresses"), Some(CheckState::Ok));
}

/// A far side that answers the first request it gets, `change` being what the way back does to it.
fn answering(
    agent: Agent,
    status: &'static str,
    change: fn(String) -> String,
) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let (request, from) = agent.receive();
        let answer = change(agent.answer(&request, status, ""));
        agent.send(&answer, from);
    })
}

#[test]
fn the_doctor_asks_the_peers_of_a_stopped_edge_and_finds_what_stands_between() {
    let net = Net::new();
    let folder = tempfile::tempdir().unwrap();
    let file = write_config(folder.path(), &net.config("workers = 1", ""));
    let config = ringfence_control::load(&file).unwrap().config;
    let check = |name: &str| {
        let report = doctor::check_stopped(&config);
        let found = report.checks.iter().find(|check| check.name == name);
        let found = found.unwrap_or_else(|| panic!("no {name} in {report:#?}"));
        (found.state, found.message.clone())
    };
    // Nobody there.
    let (state, message) = check("peer trunk.carrier-a");
    assert_eq!(state, CheckState::Failed);
    assert!(message.contains("nothing listens there"), "{message}");
    // There, and nothing between.
    let rport = |answer: String| {
        let port = header(&answer, "Via").split(':').nth(1).unwrap();
        let port = port.split(';').next().unwrap().to_owned();
        let ip = header(&answer, "Via")
            .split([' ', ':'])
            .nth(1)
            .unwrap()
            .to_owned();
        answer.replace(";rport", &format!(";rport={port};received={ip}"))
    };
    let far = answering(Agent::bind(net.carrier), "200 OK", rport);
    let (state, message) = check("way to trunk.carrier-a");
    far.join().unwrap();
    assert_eq!(state, CheckState::Ok, "{message}");
    // Behind a NAT.
    let far = answering(Agent::bind(net.carrier), "200 OK", |answer| {
        answer.replace(";rport", ";rport=61234;received=198.51.100.7")
    });
    let (state, message) = check("way to trunk.carrier-a");
    far.join().unwrap();
    assert_eq!(state, CheckState::Warning);
    assert!(message.contains("as 198.51.100.7:61234"), "{message}");
    // Behind a router that rewrites SIP.
    let far = answering(Agent::bind(net.carrier), "200 OK", |answer| {
        let via = header(&answer, "Via").to_owned();
        let sent_by = via.split([' ', ';']).nth(1).unwrap().to_owned();
        answer.replace(&via, &via.replace(&sent_by, "192.168.1.1:5060"))
    });
    let (state, message) = check("way to trunk.carrier-a");
    far.join().unwrap();
    assert_eq!(state, CheckState::Failed);
    assert!(message.contains("ALG"), "{message}");
    // It does not know us.
    let far = answering(Agent::bind(net.carrier), "403 Forbidden", |answer| answer);
    let (state, message) = check("peer trunk.carrier-a");
    far.join().unwrap();
    assert_eq!(state, CheckState::Warning);
    assert!(message.contains("does not know this address"), "{message}");
}

#[test]
fn a_call_that_a_crash_cut_off_is_in_the_records_after_the_next_start() {
    let setup = Setup::start(2);
    let (carrier, pbx) = (Agent::bind(setup.net.carrier), Agent::bind(setup.net.pbx));
    set_up(&setup, &carrier, &pbx, "cut-off");
    // What a crash leaves: the database as it is while the call is up.
    let left = tempfile::tempdir().unwrap();
    let file = write_config(left.path(), &Net::new().config("workers = 1", ""));
    let config = ringfence_control::load(&file).unwrap().config;
    let mut attempts = 0;
    let edge = eventually("the mark of the call", || {
        // A folder each time: the last edge may still have its files mapped into memory.
        attempts += 1;
        let mut config = config.clone();
        config.edge.data = left.path().join(format!("data-{attempts}"));
        config.edge.control = config.edge.data.join("control.sock");
        std::fs::create_dir_all(&config.edge.data).unwrap();
        for entry in std::fs::read_dir(setup.folder.path().join("data")).unwrap() {
            let path = entry.unwrap().path();
            if path
                .file_name()
                .unwrap()
                .to_string_lossy()
                .starts_with("records")
            {
                std::fs::copy(&path, config.edge.data.join(path.file_name().unwrap())).unwrap();
            }
        }
        let edge = Edge::start(config.clone(), Options::default()).ok()?;
        let found = Setup {
            net: setup.net,
            folder: tempfile::tempdir().unwrap(),
            edge,
        };
        let page: Records = api(&found, "GET", "/v1/records", 200);
        (page.records.len() == 1 && page.records[0].answered.is_some()).then_some(page)
    });
    assert_eq!(edge.records[0].outcome, "interrupted");
}

#[test]
fn whom_the_business_called_is_known_after_a_restart() {
    let setup = Setup::start(2);
    let (carrier, pbx) = (Agent::bind(setup.net.carrier), Agent::bind(setup.net.pbx));
    let call = CallFacts::new("out", "+12165550123", setup.inside());
    let invite = pbx.request(&call, "INVITE", 1, &pbx.sdp());
    let invite = invite.replace("+13125550001", "+13305550100");
    pbx.send(&invite, setup.inside());
    let asked = carrier.expect("INVITE");
    let busy = carrier.answer(&asked, "486 Busy Here", "");
    carrier.send(&busy, setup.outside());
    pbx.expect("SIP/2.0 486");
    let known = |edge: &Setup| {
        let defence: AttackMode = api(edge, "GET", "/v1/attack-mode", 200);
        defence.sites[0].known_callers
    };
    eventually("the number", || (known(&setup) == 1).then_some(()));
    let Setup { net, folder, edge } = setup;
    edge.stop();
    edge.join();
    drop(edge);
    let file = folder.path().join("ringfence.toml");
    let config = ringfence_control::load(&file).unwrap().config;
    let edge = Edge::start(config, Options::default()).unwrap();
    let again = Setup { net, folder, edge };
    assert_eq!(known(&again), 1);
}

#[test]
fn numbers_are_imported_shown_and_forgotten() {
    let setup = Setup::start(1);
    let post = |body: serde_json::Value, expected: u16| {
        let mut stream = UnixStream::connect(setup.edge.control_path()).unwrap();
        let body = body.to_string();
        let request = format!(
            "POST /v1/callers HTTP/1.1\r\nHost: edge\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert_eq!(
            answer.split(' ').nth(1),
            Some(&*expected.to_string()),
            "{answer}"
        );
        answer.split_once("\r\n\r\n").unwrap().1.to_owned()
    };
    let order = |dry_run: bool| {
        let texts = [
            "(216) 555-0123",
            "+44 (0)20 7946 0000",
            "101",
            "+13305550100",
            "call me",
            "12",
        ];
        let numbers: Vec<_> = texts
            .iter()
            .map(|text| serde_json::json!({"place": "line 2", "text": text}))
            .collect();
        serde_json::json!({"tenant": null, "talked": false, "dry_run": dry_run, "numbers": numbers})
    };
    for dry_run in [true, false, false] {
        let done: CallersImported = serde_json::from_str(&post(order(dry_run), 200)).unwrap();
        assert_eq!((done.taken, done.own), (2, 3), "{done:?}");
        assert_eq!(done.refused.len(), 1);
        assert_eq!(done.remembered, if dry_run { 0 } else { 2 });
    }
    let show = |method: &str, number: &str| -> CallerStanding {
        api(&setup, method, &format!("/v1/callers/{number}"), 200)
    };
    let known = show("GET", "2165550123");
    assert_eq!(
        (known.number.as_str(), known.standing.as_str()),
        ("+12165550123", "known")
    );
    assert_eq!(show("GET", "%2B442079460000").standing, "known");
    let explained: Explanation = api(&setup, "GET", "/v1/explain?about=2165550123", 200);
    assert!(
        explained.why.starts_with("+12165550123 is known to summit"),
        "{explained:?}"
    );
    let nothing: Explanation = api(&setup, "GET", "/v1/explain?about=nobody", 200);
    assert_eq!(nothing.why, "nothing is known of nobody.");
    assert_eq!(show("DELETE", "2165550123").standing, "stranger");
    assert_eq!(show("GET", "2165550123").standing, "stranger");
    let refused: ApiError = api(&setup, "GET", "/v1/callers/101", 400);
    assert!(refused.error.contains("extension"), "{refused:?}");
    post(
        serde_json::json!({"tenant": "nobody", "talked": false, "dry_run": false, "numbers": []}),
        404,
    );
}

#[test]
fn a_users_scenario_finds_on_live_traffic_and_a_broken_one_leaves_the_running_set() {
    let net = Net::new();
    let folder = tempfile::tempdir().unwrap();
    let scenario = folder.path().join("scenarios/knocks/scenario.toml");
    std::fs::create_dir_all(scenario.parent().unwrap()).unwrap();
    let good = "name = \"knocks\"\nsays = \"A stranger knocks.\"\nfinds = \"scan\"\nlimit = 3\n\
                within = \"10m\"\ngroup = [\"address\"]\n[when]\nwhat = \"refused\"\nmethod = \"OPTIONS\"\n";
    std::fs::write(&scenario, good).unwrap();
    let text = net.config("workers = 1", "[detect]\nscenarios = \"scenarios\"");
    let file = write_config(folder.path(), &text);
    let loaded = ringfence_control::load(&file).unwrap();
    let edge = Edge::start(loaded.config, Options::default()).unwrap();
    let setup = Setup { net, folder, edge };
    let knocks = |list: ScenarioList| {
        let mut all = list.scenarios.into_iter();
        all.find(|it| it.name == "knocks").expect("it is there")
    };
    let listed = || knocks(api(&setup, "GET", "/v1/scenarios", 200));
    assert_eq!((listed().mode.as_str(), listed().found), ("observe", 0));
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    for number in 0..3 {
        let text = format!(
            "OPTIONS sip:100@{0} SIP/2.0\r\nVia: SIP/2.0/UDP {1};branch=z9hG4bK{number}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:a@{1}>;tag={number}\r\nTo: <sip:100@{0}>\r\n\
             Call-ID: {number}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n",
            setup.outside(),
            stranger.local_addr().unwrap(),
        );
        stranger.send_to(text.as_bytes(), setup.outside()).unwrap();
    }
    eventually("the finding", || (listed().found == 1).then_some(()));
    let path = "/v1/scenarios/knocks?mode=enforce";
    assert_eq!(knocks(api(&setup, "POST", path, 200)).mode, "enforce");
    let _: ApiError = api(&setup, "POST", "/v1/scenarios/nobody?mode=enforce", 404);
    let _: ApiError = api(&setup, "POST", "/v1/scenarios/knocks?mode=maybe", 400);
    std::fs::write(&scenario, good.replace("limit = 3", "limit = 0")).unwrap();
    let refused: Reload = api(&setup, "POST", "/v1/reload", 200);
    assert!(!refused.applied);
    let said = format!("{refused:?}");
    assert!(said.contains("scenario.toml:4: limit"), "{said}");
    assert_eq!((listed().mode.as_str(), listed().found), ("enforce", 1));
    // An unchanged file changes nothing, the mode included.
    std::fs::write(&scenario, good).unwrap();
    let applied: Reload = api(&setup, "POST", "/v1/reload", 200);
    assert!(applied.applied);
    assert_eq!((listed().mode.as_str(), listed().found), ("enforce", 1));
}

#[test]
fn two_edges_live_in_one_process_and_a_stopped_one_can_start_again() {
    let (first, second) = (Setup::start(1), Setup::start(2));
    for setup in [&first, &second] {
        let status: Status = api(setup, "GET", "/v1/status", 200);
        assert_eq!(status.calls, 0);
    }
    let (net, folder) = (first.net, first.folder);
    drop(first.edge);
    let again = start(folder.path(), &net.config("workers = 2", "")).unwrap();
    eventually("the edge answering", || again.status().ok());
}

#[test]
fn the_api_tells_what_would_become_of_a_call_by_the_health_of_the_running_edge() {
    let setup = Setup::start(1);
    let (carrier, pbx) = (Agent::bind(setup.net.carrier), Agent::bind(setup.net.pbx));
    set_up(&setup, &carrier, &pbx, "one-channel-taken");
    let ask =
        |query: &str| -> RouteAnswer { api(&setup, "GET", &format!("/v1/route?{query}"), 200) };
    let answer = ask("called=%2B13125550001&from=%2B13305550101");
    assert!(answer.live);
    assert_eq!(
        answer.outcome,
        RouteOutcome::Sent {
            peer: "trunk carrier-a".into(),
            called: "+13125550001".into(),
            calling: Some("+13305550101".into()),
        }
    );
    assert_eq!((answer.ways.len(), answer.ways[0].calls), (1, 1));
    let limits = "site summit: 1 of 8 channels in use";
    assert!(
        answer.steps.iter().any(|step| step.text == limits),
        "{answer:#?}"
    );
    let refused = ask("called=%2B13305550199");
    assert!(matches!(
        refused.outcome,
        RouteOutcome::Refused { status: 404, .. }
    ));
    let bad: ApiError = api(&setup, "GET", "/v1/route?called=1&via=nobody", 400);
    assert!(bad.error.contains("nobody"), "{bad}");
    let bad: ApiError = api(&setup, "GET", "/v1/capture?address=here", 400);
    assert!(bad.fix.contains("192.0.2.0/24"), "{bad}");
}
