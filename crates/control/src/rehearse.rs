//! `ringfence route test`: from what a person types to the session's rehearsal and back.

use ringfence_base::{Entropy, Instant, UnixTime};
use ringfence_session::plan::{Peer, PeerId, PeerKind, Plan};
use ringfence_session::registrar::group::GroupId;
use ringfence_session::rehearsal::{self, Outcome, Question, Rehearsal, Source};

use crate::api::{ApiError, RouteAnswer, RouteOutcome, RouteQuery, RouteStep, RouteWay};

/// Days as `--at` names them.
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// What `plan` would do with the call of `query`. `live` if the plan is a running edge's.
///
/// # Errors
/// A name that is nobody's, a number that is none, a time that is none: and what to write instead.
pub fn rehearse(
    plan: &Plan,
    query: &RouteQuery,
    live: bool,
    moment: (Instant, UnixTime),
    entropy: &mut dyn Entropy,
) -> Result<RouteAnswer, ApiError> {
    let at = query.at.as_deref().map(time).transpose()?;
    let (source, calling) = source(plan, query)?;
    let question = Question {
        called: &query.called,
        calling: calling.as_deref(),
        private: query.private,
        source,
        live,
    };
    let rehearsal = rehearsal::rehearse(plan, moment, &question, entropy)
        .map_err(|error| ApiError::new(error.to_string(), "write it like +13305550100"))?;
    let mut answer = answer(rehearsal, live);
    if let Some(at) = at {
        answer.steps.push(RouteStep {
            topic: "time".to_owned(),
            text: format!("{at}: no rule of routing depends on the time"),
        });
    }
    Ok(answer)
}

fn answer(rehearsal: Rehearsal, live: bool) -> RouteAnswer {
    let steps = rehearsal.steps.into_iter().map(|step| RouteStep {
        topic: step.topic.to_owned(),
        text: step.text,
    });
    let ways = rehearsal.ways.into_iter().map(|way| RouteWay {
        peer: way.peer,
        place: way.place,
        priority: way.rank.priority,
        weight: way.rank.weight,
        calls: way.channels.0,
        channels: way.channels.1,
        why: way.why,
    });
    RouteAnswer {
        live,
        steps: steps.collect(),
        ways: ways.collect(),
        outcome: match rehearsal.outcome {
            Outcome::Refused { status, reason } => RouteOutcome::Refused {
                status,
                reason: reason.as_str().to_owned(),
            },
            Outcome::Rings { user } => RouteOutcome::Rings { user },
            Outcome::Sent {
                peer,
                called,
                calling,
            } => RouteOutcome::Sent {
                peer,
                called,
                calling,
            },
        },
    }
}

/// Who calls, and with which number.
fn source(plan: &Plan, query: &RouteQuery) -> Result<(Source, Option<String>), ApiError> {
    let fix = "`ringfence lines` and `ringfence phones list` show the names";
    if let Some(name) = &query.via {
        let source = named(plan, name);
        let source =
            source.ok_or_else(|| ApiError::new(format!("nobody is called {name:?}"), fix))?;
        return Ok((source, query.from.clone()));
    }
    let Some(from) = &query.from else {
        return Ok((outside(plan)?, None));
    };
    if let Some(source) = named(plan, from) {
        let calling = own_number(plan, &source);
        return Ok((source, calling));
    }
    if let Some(source) = owner(plan, from) {
        return Ok((source, Some(from.clone())));
    }
    Ok((outside(plan)?, Some(from.clone())))
}

/// `carrier-a`, `trunk.carrier-a`, `remote/alice`.
fn named(plan: &Plan, name: &str) -> Option<Source> {
    if let Some((group, user)) = name.split_once('/') {
        let place = plan.phones.iter().position(|known| known.key == group)?;
        let user = plan.phones.get(place)?.index_of(user.as_bytes())?;
        return Some(Source::Phone(GroupId::new(place as u16), user));
    }
    let found = peers(plan).find(|(_, peer)| {
        let kind = match peer.kind {
            PeerKind::Pbx => "pbx.",
            PeerKind::Phones => return false,
            PeerKind::Trunk => "trunk.",
        };
        peer.key == name || name.strip_prefix(kind) == Some(&peer.key)
    });
    found.map(|(id, _)| Source::Peers(vec![id]))
}

/// Whose number it is: a phone user's, else a site's, whose phone system calls then.
fn owner(plan: &Plan, number: &str) -> Option<Source> {
    for (index, site) in plan.sites.iter().enumerate() {
        let number = rehearsal::international(site, number);
        for (place, group) in plan.phones.iter().enumerate() {
            let here = plan
                .peer(group.peer)
                .is_some_and(|peer| peer.site.index() == index);
            if let (true, Some(user)) = (here, group.index_of_number(&number)) {
                return Some(Source::Phone(GroupId::new(place as u16), user));
            }
        }
        let pbx =
            peers(plan).find(|(_, peer)| peer.site.index() == index && peer.kind == PeerKind::Pbx);
        if let (true, Some((pbx, _))) = (site.owns(&number), pbx) {
            return Some(Source::Peers(vec![pbx]));
        }
    }
    None
}

/// Any carrier: the one whose site is called is meant.
fn outside(plan: &Plan) -> Result<Source, ApiError> {
    let trunks: Vec<PeerId> = peers(plan)
        .filter(|(_, peer)| peer.kind == PeerKind::Trunk)
        .map(|(id, _)| id)
        .collect();
    if trunks.is_empty() {
        let fix = "say with --via who calls";
        return Err(ApiError::new("no trunk is configured", fix));
    }
    Ok(Source::Peers(trunks))
}

/// What a phone system presents when nobody says more: its site's main number.
fn own_number(plan: &Plan, source: &Source) -> Option<String> {
    let Source::Peers(ids) = source else {
        return None;
    };
    let peer = plan.peer(*ids.first()?)?;
    let main = plan.site(peer.site)?.policy.main_number?;
    (peer.kind == PeerKind::Pbx).then(|| main.to_string())
}

fn peers(plan: &Plan) -> impl Iterator<Item = (PeerId, &Peer)> {
    let numbered = plan.peers.iter().enumerate();
    numbered.map(|(index, peer)| (PeerId::new(index as u16), peer))
}

/// `Sat 19:00` or `19:00`, as it is shown.
fn time(text: &str) -> Result<String, ApiError> {
    let wrong = || {
        let error = format!("{text:?} is no time");
        ApiError::new(error, "write it like 'Sat 19:00' or '19:00'")
    };
    let words: Vec<&str> = text.split_whitespace().collect();
    let (day, clock) = match words[..] {
        [clock] => (None, clock),
        [day, clock] => (Some(day), clock),
        _ => return Err(wrong()),
    };
    let day = match day {
        Some(day) => {
            let short = day.get(..3).unwrap_or(day).to_ascii_lowercase();
            let known = DAYS.contains(&short.as_str());
            let name = short.get(..1).unwrap_or_default().to_uppercase()
                + short.get(1..).unwrap_or_default();
            Some(known.then_some(name).ok_or_else(wrong)?)
        }
        None => None,
    };
    let (hour, minute) = clock.split_once(':').ok_or_else(wrong)?;
    let within = |text: &str, end: u8| {
        let good = text.len() <= 2 && text.parse::<u8>().is_ok_and(|value| value < end);
        good.then_some(()).ok_or_else(wrong)
    };
    within(hour, 24)?;
    within(minute, 60)?;
    Ok(day.map_or(String::new(), |day| day + " ") + clock)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_days_and_hours() {
        assert_eq!(time("saturday 19:00").unwrap(), "Sat 19:00");
        assert_eq!(time("7:05").unwrap(), "7:05");
        for bad in [
            "",
            "Sat",
            "Foo 19:00",
            "24:00",
            "19:60",
            "Sat 19:00 x",
            "1900",
        ] {
            assert!(time(bad).is_err(), "{bad}");
        }
    }
}
