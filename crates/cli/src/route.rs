//! `ringfence route test`: by the running edge if there is one, else by the configuration alone.

use std::fmt::Write;

use hyper::Method;
use ringfence_base::text::Escaped;
use ringfence_control::api::{RouteAnswer, RouteOutcome, RouteQuery, RouteWay, paths};
use ringfence_control::config;
use ringfence_control::rehearse::rehearse;
use ringfence_edge::clock::{Clock, unix_now};
use ringfence_edge::entropy::SystemEntropy;
use ringfence_edge::resolve::resolve;

use crate::Exit;
use crate::args::{RouteOptions, Target};
use crate::client::{self, ClientError};
use crate::paint::{Paint, Tone};

/// Says what would become of a call. Refused is an answer, too: exit code 3.
pub(crate) fn test(
    target: &Target,
    options: &RouteOptions,
    json: bool,
    paint: Paint,
) -> anyhow::Result<Exit> {
    let query = RouteQuery {
        called: options.called.clone(),
        from: options.from.clone(),
        via: options.via.clone(),
        private: options.private,
        at: options.at.clone(),
    };
    let answer = match options.offline {
        true => offline(target, &query)?,
        false => live(target, &query)?,
    };
    if json {
        println!("{}", serde_json::to_string_pretty(&answer)?);
    } else {
        print!("{}", text(&answer, paint));
    }
    Ok(match answer.outcome {
        RouteOutcome::Refused { .. } => Exit::Degraded,
        RouteOutcome::Rings { .. } | RouteOutcome::Sent { .. } => Exit::Ok,
    })
}

fn live(target: &Target, query: &RouteQuery) -> anyhow::Result<RouteAnswer> {
    let path = format!("{}?{}", paths::ROUTE, query.to_query());
    let answer = client::ask(target, Method::GET, &path);
    match answer {
        Err(error) if target.socket.is_none() => match error.downcast_ref::<ClientError>() {
            Some(ClientError::NotRunning { .. }) => offline(target, query),
            _ => Err(error),
        },
        answer => answer,
    }
}

fn offline(target: &Target, query: &RouteQuery) -> anyhow::Result<RouteAnswer> {
    let config = config::load(&target.config)?.config;
    let ask = |wanted: &_| resolve(&config.edge.dns, wanted);
    let plan = ringfence_control::compile(&config, &ask).plan;
    let moment = (Clock::start().now(), unix_now());
    Ok(rehearse(
        &plan,
        query,
        false,
        moment,
        &mut SystemEntropy::new(),
    )?)
}

fn text(answer: &RouteAnswer, paint: Paint) -> String {
    let mut out = String::new();
    let by = match answer.live {
        true => "by the running edge, as it stands now",
        false => "by the configuration alone; no edge was asked",
    };
    let _ = writeln!(out, "{}", paint.tone(Tone::Dim, by));
    for step in &answer.steps {
        let _ = writeln!(out, "{:10} {}", step.topic, Escaped(step.text.as_bytes()));
    }
    for way in &answer.ways {
        let _ = writeln!(out, "{:10} {}", "", way_text(way));
    }
    let _ = match &answer.outcome {
        RouteOutcome::Refused { status, reason } => {
            let verdict = format!("refused with {status} ({reason})");
            writeln!(out, "{}", paint.tone(Tone::Bad, verdict))
        }
        RouteOutcome::Rings { user } => {
            let verdict = format!("rings phone user {}", Escaped(user.as_bytes()));
            writeln!(out, "{}", paint.tone(Tone::Good, verdict))
        }
        RouteOutcome::Sent {
            peer,
            called,
            calling,
        } => {
            let calling = calling.as_deref().unwrap_or("anonymous");
            let (called, calling) = (Escaped(called.as_bytes()), Escaped(calling.as_bytes()));
            let verdict = format!("goes to {peer}: {calling} calls {called}");
            writeln!(out, "{}", paint.tone(Tone::Good, verdict))
        }
    };
    out
}

fn way_text(way: &RouteWay) -> String {
    let place = way.place.map_or("-".to_owned(), |place| place.to_string());
    let room = match way.channels {
        0 => format!("{} calls", way.calls),
        channels => format!("{} of {channels} channels", way.calls),
    };
    let (peer, priority, weight) = (&way.peer, way.priority, way.weight);
    let why = way
        .why
        .as_deref()
        .map_or(String::new(), |why| format!("; {why}"));
    format!("{place}. {peer} (priority {priority}, weight {weight}, {room}){why}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_reads_from_top_to_bottom() {
        let way = |peer: &str, place, why: Option<&str>| RouteWay {
            peer: peer.into(),
            place,
            priority: 1,
            weight: 1,
            calls: 2,
            channels: 0,
            why: why.map(str::to_owned),
        };
        let answer = RouteAnswer {
            live: false,
            steps: Vec::new(),
            ways: vec![
                way("trunk a", Some(1), None),
                way("trunk b", None, Some("its name has no address")),
            ],
            outcome: RouteOutcome::Sent {
                peer: "trunk a".into(),
                called: "+1".into(),
                calling: None,
            },
        };
        let text = text(&answer, Paint::plain());
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        assert_eq!(
            lines[1..],
            [
                "1. trunk a (priority 1, weight 1, 2 calls)",
                "-. trunk b (priority 1, weight 1, 2 calls); its name has no address",
                "goes to trunk a: anonymous calls +1"
            ]
        );
    }
}
