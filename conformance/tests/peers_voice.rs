//! Digits, end to end: a real phone outside that is asked by voice hears them, presses them, and talks with
//! a real phone inside; and the keys of one phone reach another that knows them by INFO.

use std::path::Path;
use std::time::Duration;

use ringfence_conformance::scene::{A_WHILE, Scene};
use ringfence_peers::baresip::{self, Baresip};
use ringfence_peers::edge::Setup;
use ringfence_peers::tone::{Audio, RATE};
use ringfence_peers::wait;

const OUTSIDE_HZ: u32 = 440;
const INSIDE_HZ: u32 = 1_500;
/// What a digit sounds like here.
const DIGIT_HZ: [u32; 10] = [500, 600, 700, 800, 900, 1_000, 1_100, 1_200, 1_300, 1_400];
/// Samples that a digit is looked for in at a time: 20 ms.
const WINDOW: usize = 160;

/// Prompts that a program can understand: a tone for each digit, and a breath for all else.
fn write_prompts(folder: &Path) {
    let part = |hertz, milliseconds: usize| {
        let mut audio = Audio::tone(hertz, 1);
        audio.samples.truncate(milliseconds * RATE as usize / 1_000);
        audio
    };
    for (digit, hertz) in DIGIT_HZ.into_iter().enumerate() {
        let file = folder.join(format!("{digit}.wav"));
        part(hertz, 300).write(&file).expect("a prompt");
    }
    for name in ["ask", "ask-kindly", "thanks", "callback"] {
        let mut audio = part(OUTSIDE_HZ, 100);
        audio.samples.fill(0);
        audio
            .write(&folder.join(format!("{name}.wav")))
            .expect("a prompt");
    }
}

/// The digits that are said in what was heard so far.
fn digits(heard: &Audio) -> Vec<usize> {
    let (mut found, mut last, mut running) = (Vec::new(), None, 0);
    for window in heard.samples.chunks_exact(WINDOW) {
        let said = DIGIT_HZ
            .iter()
            .position(|hertz| share(window, *hertz) > 0.8);
        running = if said == last { running + 1 } else { 1 };
        last = said;
        if let (Some(digit), 5) = (said, running) {
            found.push(digit);
        }
    }
    found
}

fn share(window: &[i16], hertz: u32) -> f64 {
    let (mut real, mut imaginary, mut power) = (0.0, 0.0, 0.0);
    for (place, sample) in window.iter().enumerate() {
        let turn = std::f64::consts::TAU * f64::from(hertz) * place as f64 / f64::from(RATE);
        let sample = f64::from(*sample);
        real += sample * turn.cos();
        imaginary += sample * turn.sin();
        power += sample * sample;
    }
    let count = window.len() as f64;
    let loud = power / count > 1_000_000.0;
    if loud {
        2.0 * (real * real + imaginary * imaginary) / (power * count)
    } else {
        0.0
    }
}

#[test]
fn a_stranger_hears_digits_presses_them_and_is_put_through_rfc4733() {
    let name = "a_stranger_hears_digits_presses_them_and_is_put_through_rfc4733";
    let prompts = tempfile::tempdir().expect("a folder");
    write_prompts(prompts.path());
    let setup = Setup {
        channels: 8,
        tables: format!(
            "[site.summit.screening]\nprompts = \"{}\"\ntime = \"30s\"",
            prompts.path().display()
        ),
        ..Setup::for_baresip()
    };
    let Some(scene) = Scene::open(name, &["baresip"], &setup) else {
        return;
    };
    let mut outside = phone(scene.carrier(), "+12165550123", OUTSIDE_HZ);
    let mut inside = phone(scene.pbx(), "+13305550100", INSIDE_HZ);
    let on = scene
        .edge
        .ask(&["attack-mode", "on", "--for", "1h"])
        .expect("attack mode");
    assert_eq!(on["sites"][0]["voice"], true, "{on}");
    assert!(on["sites"][0]["attack_until"].is_string(), "{on}");

    outside
        .command(
            "dial",
            &format!("sip:+13305550100@{}", scene.edge.outside()),
        )
        .expect("dialled");
    outside
        .wait_for("CALL_ESTABLISHED", A_WHILE)
        .expect("answered by the edge");
    let asked = wait::until("a digit", A_WHILE, || {
        let found = digits(&outside.heard().ok()?);
        (!found.is_empty()).then_some(found)
    });
    let asked = asked.unwrap_or_else(|error| panic!("{error}:\n{}", scene.edge.counted()));
    for digit in &asked[..1] {
        outside
            .command("sndcode", &digit.to_string())
            .expect("pressed");
        wait::measure_for(Duration::from_millis(300));
    }
    inside
        .wait_for("CALL_ESTABLISHED", A_WHILE)
        .expect("put through");
    wait::until_true("both heard enough", A_WHILE, || {
        let tail = tail_of(&outside);
        inside.heard_seconds() > 4.0 && tail.is_some_and(|tail| tail.share_at(INSIDE_HZ) > 0.9)
    })
    .unwrap_or_else(|error| panic!("{error}:\n{}", scene.edge.counted()));
    outside.command("hangup", "").expect("hung up");
    outside.wait_for("CALL_CLOSED", A_WHILE).expect("closed");
    inside
        .wait_for("CALL_CLOSED", A_WHILE)
        .expect("closed inside");
    let heard = inside.heard().expect("a recording");
    assert!(
        heard.share_at(OUTSIDE_HZ) > 0.9,
        "{}",
        heard.share_at(OUTSIDE_HZ)
    );
    for hertz in DIGIT_HZ {
        assert!(
            heard.share_at(hertz) < 0.02,
            "a prompt went inside: {hertz} Hz"
        );
    }
    let status = scene
        .edge
        .ask(&["attack-mode", "off"])
        .expect("attack mode");
    let site = &status["sites"][0];
    assert_eq!(
        (&site["screened"], &site["passed"]),
        (&1.into(), &1.into()),
        "{site}"
    );
    assert!(site["attack_until"].is_null(), "{site}");
}

const PIN: &str = "493817";
const SATELLITE: &str = "+881612345678";

#[test]
fn a_phone_whose_call_is_stopped_presses_the_pin_and_talks_rfc4733() {
    let name = "a_phone_whose_call_is_stopped_presses_the_pin_and_talks_rfc4733";
    let folder = tempfile::tempdir().expect("a folder");
    let pin = folder.path().join("pin");
    std::fs::write(&pin, PIN).expect("a PIN");
    // What is said is a tone each, so that a program understands it.
    for (prompt, hertz) in [("pin-ask", 700), ("pin-again", 900), ("pin-refused", 1_100)] {
        let file = folder.path().join(format!("{prompt}.wav"));
        Audio::tone(hertz, 1).write(&file).expect("a prompt");
    }
    let setup = Setup {
        tables: format!(
            "[tenant.summit.fraud]\npin = {{ file = \"{}\" }}\n\
             [site.summit.screening]\nprompts = \"{}\"",
            pin.display(),
            folder.path().display()
        ),
        ..Setup::for_baresip()
    };
    let Some(scene) = Scene::open(name, &["baresip"], &setup) else {
        return;
    };
    let mut outside = phone(scene.carrier(), SATELLITE, OUTSIDE_HZ);
    let mut inside = phone(scene.pbx(), "+13305550100", INSIDE_HZ);
    let dial = format!("sip:{SATELLITE}@{}", scene.edge.inside());
    inside.command("dial", &dial).expect("dialled");
    inside
        .wait_for("CALL_ESTABLISHED", A_WHILE)
        .expect("answered by the edge");
    says(&inside, &scene, 700);
    press(&mut inside, "000000#");
    says(&inside, &scene, 900);
    press(&mut inside, &format!("{PIN}#"));
    outside
        .wait_for("CALL_ESTABLISHED", A_WHILE)
        .unwrap_or_else(|error| panic!("{error}:\n{}", scene.edge.counted()));
    wait::until_true("both heard enough", A_WHILE, || {
        let tail = tail_of(&inside);
        outside.heard_seconds() > 4.0 && tail.is_some_and(|tail| tail.share_at(OUTSIDE_HZ) > 0.9)
    })
    .unwrap_or_else(|error| panic!("{error}:\n{}", scene.edge.counted()));
    inside.command("hangup", "").expect("hung up");
    inside.wait_for("CALL_CLOSED", A_WHILE).expect("closed");
    outside
        .wait_for("CALL_CLOSED", A_WHILE)
        .expect("closed outside");
    let heard = outside.heard().expect("a recording");
    assert!(
        heard.share_at(INSIDE_HZ) > 0.9,
        "{}",
        heard.share_at(INSIDE_HZ)
    );
    let record = wait::until("a record", A_WHILE, || {
        let calls = scene.edge.ask(&["calls", "--records", "1"]).ok()?;
        let rule = calls.to_string();
        rule.contains("the PIN was right").then_some(rule)
    });
    let record = record.expect("it is written down");
    assert!(!record.contains(PIN), "{record}");

    // Who does not know it hears whom to ask, and nobody is called.
    inside
        .command("dial", &dial.replace(SATELLITE, "+881612345679"))
        .expect("dialled");
    inside
        .wait_for("CALL_ESTABLISHED", A_WHILE)
        .expect("answered by the edge");
    for _ in 0..3 {
        press(&mut inside, "111111#");
    }
    inside
        .wait_for("CALL_CLOSED", A_WHILE)
        .expect("let go in the end");
}

/// Waits until a phone has heard a tone.
fn says(phone: &Baresip, scene: &Scene, hertz: u32) {
    wait::until_true("a prompt", A_WHILE, || {
        let heard = phone.heard().ok();
        heard.is_some_and(|heard| {
            let windows = heard.samples.chunks_exact(WINDOW);
            windows.filter(|window| share(window, hertz) > 0.8).count() > 5
        })
    })
    .unwrap_or_else(|error| panic!("{hertz} Hz: {error}:\n{}", scene.edge.counted()));
}

/// Presses keys one after the other, as fast as people do.
fn press(phone: &mut Baresip, keys: &str) {
    for key in keys.chars() {
        phone.command("sndcode", &key.to_string()).expect("pressed");
        wait::measure_for(Duration::from_millis(300));
    }
}

#[test]
fn keys_that_a_phone_sends_by_rtp_reach_a_phone_system_by_info_rfc4733() {
    let name = "keys_that_a_phone_sends_by_rtp_reach_a_phone_system_by_info_rfc4733";
    let plain = Setup::for_baresip();
    let setup = Setup {
        trunk_lines: format!("{}\ndtmf = \"rfc4733\"", plain.trunk_lines),
        pbx_lines: format!("{}\ndtmf = \"info\"", plain.pbx_lines),
        ..plain
    };
    let Some(scene) = Scene::open(name, &["baresip"], &setup) else {
        return;
    };
    let mut outside = phone(scene.carrier(), "+12165550123", OUTSIDE_HZ);
    let mut inside = phone(scene.pbx(), "+13305550100", INSIDE_HZ);
    outside
        .command(
            "dial",
            &format!("sip:+13305550100@{}", scene.edge.outside()),
        )
        .expect("dialled");
    outside
        .wait_for("CALL_ESTABLISHED", A_WHILE)
        .expect("answered");
    wait::until_true("sound", A_WHILE, || inside.heard_seconds() > 1.0).expect("sound");
    for digit in ["7", "#"] {
        outside.command("sndcode", digit).expect("pressed");
        let line = format!("received DTMF: '{digit}'");
        inside
            .process()
            .wait_for_line(&line, A_WHILE)
            .expect("an INFO");
    }
    outside.command("hangup", "").expect("hung up");
    outside.wait_for("CALL_CLOSED", A_WHILE).expect("closed");
}

fn phone(at: std::net::SocketAddrV4, user: &str, hertz: u32) -> Baresip {
    let setup = baresip::Setup {
        address: *at.ip(),
        port: at.port(),
        user: user.to_owned(),
        transport: "udp",
        srtp: false,
        account: None,
        outbound: None,
        lines: "",
        namespace: None,
        answers: true,
        hertz,
        tls: None,
    };
    Baresip::start(&setup).expect("baresip")
}

/// The last seconds of what a phone has heard.
fn tail_of(phone: &Baresip) -> Option<Audio> {
    let mut heard = phone.heard().ok()?;
    let keep = 3 * heard.rate as usize;
    let from = heard.samples.len().checked_sub(keep)?;
    heard.samples.drain(..from);
    Some(heard)
}
