//! Signals. A test file of its own, since they go to the whole process.

mod support;

use std::process::Command;

use ringfence_edge::{Edge, Options};
use support::{Net, eventually, write_config};

fn send(signal: &str) {
    let process = std::process::id().to_string();
    assert!(
        Command::new("kill")
            .args([signal, &process])
            .status()
            .unwrap()
            .success()
    );
}

#[test]
fn sighup_reloads_and_sigterm_drains() {
    let net = Net::new();
    let folder = tempfile::tempdir().unwrap();
    let text = net.config("workers = 2", "");
    let file = write_config(folder.path(), &text);
    let config = ringfence_control::load(&file).unwrap().config;
    let edge = Edge::start(
        config,
        Options {
            signals: true,
            ..Options::default()
        },
    )
    .unwrap();
    let applied = edge.status().unwrap().config.applied;
    write_config(folder.path(), &text.replace("channels = 8", "channels = 9"));
    send("-HUP");
    eventually("the reload", || {
        (edge.status().unwrap().config.applied > applied).then_some(())
    });
    send("-TERM");
    edge.join();
    assert!(edge.status().is_err());
}
