//! A guesser, a stolen password, and toll fraud with it; and the staff whose phones these are.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use ringfence_detect::fraud::destinations::{Country, Destinations};

use super::Stage;
use super::agent::{Agent, Credentials};
use super::caller::{Manners, call};
use super::report::{Fraudster, Guesser};

/// Tries from each address.
const TRIES_EACH: u64 = 6;
/// Between two tries.
const PACE: Duration = Duration::from_millis(40);
/// Dear numbers: premium in the country, a satellite, and an island.
const DEAR: [&str; 3] = ["+19005550123", "+881612345678", "+2526123456"];
/// An ordinary number abroad.
const ABROAD: &str = "+442079460123";

/// All of it, in order.
pub(super) fn run(stage: &Stage) {
    if !stage.at(Duration::from_millis(300)) {
        return;
    }
    stage.siege().report.siege.attackers.guesser = Some(Guesser::default());
    let config = &stage.config;
    for (user, from) in config.users.iter().zip(config.phones) {
        let credentials = Credentials {
            user: &user.name,
            password: &user.secret,
        };
        let place = stage.outside(from, &config.realm);
        let phone = Agent::new(place, config.seed ^ 0x10);
        let status = phone.ok().and_then(|mut phone| phone.register(credentials));
        let registered = status == Some(200);
        stage
            .siege()
            .report
            .siege
            .legitimate
            .phones
            .note(registered);
    }
    guess(stage);
    steal(stage);
    call_abroad(stage);
}

fn guess(stage: &Stage) {
    let config = &stage.config;
    let [victim, _] = &config.users;
    let mut number = 0;
    for from in &config.guessers {
        let place = stage.outside(*from, &config.realm);
        let Ok(mut agent) = Agent::new(place, config.seed ^ 0x20) else {
            continue;
        };
        if let Some(guesser) = &mut stage.siege().report.siege.attackers.guesser {
            guesser.addresses += 1;
        }
        for _ in 0..TRIES_EACH {
            if stage.stopped() {
                return;
            }
            number += 1;
            let credentials = Credentials {
                user: &victim.name,
                password: &format!("summer{number}"),
            };
            let status = agent.register(credentials);
            if let Some(guesser) = &mut stage.siege().report.siege.attackers.guesser {
                guesser.tries += 1;
                guesser.got_in += u64::from(status == Some(200));
                guesser.unanswered += u64::from(status.is_none());
            }
            if status.is_none() {
                // Nobody answers here any more: on to the next address.
                break;
            }
            std::thread::sleep(PACE);
        }
    }
}

/// The right password, from where the user has never been; then its use.
fn steal(stage: &Stage) {
    let config = &stage.config;
    let [victim, _] = &config.users;
    let credentials = Credentials {
        user: &victim.name,
        password: &victim.secret,
    };
    let place = stage.outside(config.thief, &config.realm);
    let Ok(mut thief) = Agent::new(place, config.seed ^ 0x30) else {
        return;
    };
    if stage.stopped() {
        return;
    }
    stage.marks().stolen = Some(Instant::now());
    let status = thief.register(credentials);
    {
        let mut totals = stage.siege();
        let attackers = &mut totals.report.siege.attackers;
        if let Some(guesser) = &mut attackers.guesser {
            guesser.stolen_worked = status == Some(200);
        }
        attackers.fraudster = Some(Fraudster::default());
    }
    let before = stage.at_carrier.load(Relaxed);
    let manners = Manners {
        human: false,
        talk: Duration::from_secs(5),
    };
    for number in DEAR {
        if stage.stopped() {
            return;
        }
        let outcome = call(
            &mut thief,
            &victim.name,
            number,
            Some(credentials),
            manners,
            &mut || {},
        );
        let home = Country::new("US").unwrap_or_default();
        let price = Destinations::shipped().find(number, home).per_minute;
        let mut totals = stage.siege();
        if let Some(fraudster) = &mut totals.report.siege.attackers.fraudster {
            fraudster.tried += 1;
            fraudster.stopped_before_setup += u64::from(outcome.refused.is_some() && !outcome.rang);
            fraudster.leaked += price.for_time(outcome.talked).as_units();
            fraudster.reached_carrier = stage.at_carrier.load(Relaxed) - before;
        }
    }
}

fn call_abroad(stage: &Stage) {
    let config = &stage.config;
    let ([_, staff], [_, from]) = (&config.users, config.phones);
    let credentials = Credentials {
        user: &staff.name,
        password: &staff.secret,
    };
    let place = stage.outside(from, &config.realm);
    let Ok(mut phone) = Agent::new(place, config.seed ^ 0x40) else {
        return;
    };
    if stage.stopped() {
        return;
    }
    let manners = Manners {
        human: true,
        talk: Duration::from_secs(2),
    };
    let outcome = call(
        &mut phone,
        &staff.name,
        ABROAD,
        Some(credentials),
        manners,
        &mut || {},
    );
    let mut totals = stage.siege();
    let legitimate = &mut totals.report.siege.legitimate;
    legitimate.staff_abroad.note(outcome.connected);
}
