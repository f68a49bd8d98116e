//! What was learned of a site over weeks is known again after a restart.

mod support;

use ringfence_base::UnixTime;
use ringfence_detect::tdos::baseline::{Baseline, HourOfWeek};
use ringfence_store::{Entry, Habits, Records, SqliteOptions, SqliteRecords};
use support::{Agent, CallFacts, Net, Setup, write_config};

/// Strangers who are usual at the site, after a first call.
fn usual(setup: &Setup) -> f64 {
    let (carrier, pbx) = (Agent::bind(setup.net.carrier), Agent::bind(setup.net.pbx));
    let call = CallFacts::new("first", "+13305550100", setup.outside());
    let invite = carrier.request(&call, "INVITE", 1, &carrier.sdp());
    carrier.send(&invite, setup.outside());
    let invite = pbx.expect("INVITE");
    pbx.send(&pbx.answer(&invite, "486 Busy Here", ""), setup.inside());
    carrier.expect("SIP/2.0 486");
    let defence = setup.edge.defences().into_iter().next().expect("a site");
    defence.usual_strangers.expect("a call was offered")
}

/// A baseline of six hundred strangers in every hour of the week.
fn busy() -> Vec<u8> {
    let mut baseline = Baseline::new(8);
    let hour = |hour: i64| HourOfWeek::of(UnixTime::from_micros(hour * 3_600_000_000), 0);
    for at in 0..168 * 60 {
        baseline.turn_to(hour(at));
        for _ in 0..600 {
            baseline.note(hour(at), 1.0, false);
            baseline.note_known(false);
            baseline.note_known(false);
        }
    }
    baseline.take_changed().expect("learned")
}

fn start(net: Net, habits: &[(&str, Vec<u8>)]) -> Setup {
    let text = net.config("", "").replace(
        "emergency = [\"911\"]",
        "emergency = [\"911\"]\ntdos = \"enforce\"",
    );
    let folder = tempfile::tempdir().expect("a folder");
    let _file = write_config(folder.path(), &text);
    let data = folder.path().join("data");
    std::fs::create_dir_all(&data).expect("a folder for data");
    let entries: Vec<Entry> = habits
        .iter()
        .map(|(site, state)| {
            Entry::Habits(Box::new(Habits {
                site: (*site).to_owned(),
                what: "strangers".to_owned(),
                state: state.clone(),
            }))
        })
        .collect();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let path = data.join("records.sqlite3");
        let bytes_max = None;
        let store = SqliteRecords::open(SqliteOptions { path, bytes_max }).await;
        let store = store.expect("a database");
        store.write(&entries).await.expect("written");
        store.close().await;
    });
    Setup::in_folder(net, folder, &text)
}

#[test]
fn how_many_strangers_are_usual_is_known_again_and_nonsense_is_learned_anew() {
    let known = start(Net::new(), &[("summit", busy()), ("closed-shop", busy())]);
    let usual_there = usual(&known);
    assert!((300.0..900.0).contains(&usual_there), "{usual_there}");
    let nonsense = start(Net::new(), &[("summit", b"nonsense".to_vec())]);
    let usual_there = usual(&nonsense);
    assert!(usual_there < 30.0, "{usual_there}");
}
