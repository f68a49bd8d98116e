//! The questions to a running edge, and their answers for people.

mod calls;
mod judgements;
mod ladder;
mod lines;
mod registrations;
mod sdp_changes;
mod spending;
mod status;

use hyper::Method;
use ringfence_control::api::{
    ApiError, Blocks, CallRecord, Calls, Explanation, HangUp, Incidents, Lifted, Lines, Records,
    Registrations, Reload, Spending, Status, Trace, paths,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Exit;
use crate::args::Target;
use crate::client::{self, ClientError};
use crate::paint::Paint;

pub(crate) use calls::text as calls_text;
pub(crate) use lines::text as lines_text;

/// `ringfence status`.
pub(crate) fn status(target: &Target, json: bool, paint: Paint) -> anyhow::Result<Exit> {
    let status: Status = client::ask(target, Method::GET, paths::STATUS)?;
    print(&status, json, || status::text(&status, paint))?;
    Ok(if status.is_degraded() {
        Exit::Degraded
    } else {
        Exit::Ok
    })
}

/// `ringfence lines`.
pub(crate) fn lines(target: &Target, json: bool, paint: Paint) -> anyhow::Result<Exit> {
    let lines: Lines = client::ask(target, Method::GET, paths::LINES)?;
    print(&lines, json, || lines::text(&lines, paint))?;
    Ok(if lines::any_down(&lines) {
        Exit::Degraded
    } else {
        Exit::Ok
    })
}

/// `ringfence fraud`.
pub(crate) fn fraud(target: &Target, json: bool, paint: Paint) -> anyhow::Result<Exit> {
    let spending: Spending = client::ask(target, Method::GET, paths::FRAUD)?;
    print(&spending, json, || spending::text(&spending, paint))?;
    Ok(if spending::any_alarm(&spending) {
        Exit::Degraded
    } else {
        Exit::Ok
    })
}

/// `ringfence registrations`.
pub(crate) fn registrations(target: &Target, json: bool, paint: Paint) -> anyhow::Result<Exit> {
    let registrations: Registrations = client::ask(target, Method::GET, paths::REGISTRATIONS)?;
    print(&registrations, json, || {
        registrations::text(&registrations, paint)
    })?;
    Ok(if registrations::any_missing(&registrations) {
        Exit::Degraded
    } else {
        Exit::Ok
    })
}

/// `ringfence calls`.
pub(crate) fn calls(
    target: &Target,
    records: Option<u32>,
    json: bool,
    paint: Paint,
) -> anyhow::Result<Exit> {
    if let Some(count) = records {
        let path = format!("{}?limit={count}", paths::RECORDS);
        let records: Records = client::ask(target, Method::GET, &path)?;
        print(&records, json, || {
            calls::records_text(&records.records, paint)
        })?;
        return Ok(Exit::Ok);
    }
    let calls: Calls = client::ask(target, Method::GET, paths::CALLS)?;
    print(&calls, json, || calls::text(&calls, paint))?;
    Ok(Exit::Ok)
}

/// `ringfence calls --follow`: in place on a terminal, a block (or one line of JSON) each second
/// elsewhere.
pub(crate) fn follow(target: &Target, json: bool, paint: Paint) -> anyhow::Result<Exit> {
    use std::io::{IsTerminal, Write};
    let terminal = std::io::stdout().is_terminal();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    loop {
        let calls: Calls = client::ask(target, Method::GET, paths::CALLS)?;
        let mut out = std::io::stdout().lock();
        let written = match (json, terminal) {
            (true, _) => writeln!(out, "{}", serde_json::to_string(&calls)?),
            (false, true) => write!(out, "\x1b[H\x1b[2J{}", calls::text(&calls, paint)),
            (false, false) => writeln!(out, "{}", calls::text(&calls, paint)),
        };
        if written.and_then(|()| out.flush()).is_err() {
            return Ok(Exit::Ok); // the reader has gone
        }
        let interrupted = runtime.block_on(async {
            tokio::select! {
                () = tokio::time::sleep(std::time::Duration::from_secs(1)) => false,
                _ = tokio::signal::ctrl_c() => true,
            }
        });
        if interrupted {
            return Ok(Exit::Ok);
        }
    }
}

/// `ringfence calls trace ID`: the ladder, and the record when the call is over.
pub(crate) fn trace(target: &Target, id: &str, json: bool, paint: Paint) -> anyhow::Result<Exit> {
    let id = call_id(id)?;
    let trace: Trace = client::ask(target, Method::GET, &paths::TRACE.replace("{id}", &id))?;
    let record = optional(client::ask(
        target,
        Method::GET,
        &paths::RECORD.replace("{id}", &id),
    ))?;
    #[derive(Serialize)]
    struct Whole<'a> {
        #[serde(flatten)]
        trace: &'a Trace,
        record: Option<&'a CallRecord>,
        /// What the edge made of each session description.
        sdp: &'a [sdp_changes::SdpChange],
    }
    let changes = sdp_changes::of(&trace);
    let whole = Whole {
        trace: &trace,
        record: record.as_ref(),
        sdp: &changes,
    };
    print(&whole, json, || {
        ladder::text(&trace, record.as_ref(), paint) + &sdp_changes::text(&trace, &changes, paint)
    })?;
    Ok(Exit::Ok)
}

/// `ringfence calls hangup ID`.
pub(crate) fn hang_up(target: &Target, id: &str, json: bool) -> anyhow::Result<Exit> {
    let id = call_id(id)?;
    let answer: HangUp = client::ask(target, Method::DELETE, &paths::CALL.replace("{id}", &id))?;
    print(&answer, json, || match answer.found {
        true => format!("call {id} is being ended\n"),
        false => format!("call {id} is not in progress\n"),
    })?;
    Ok(if answer.found { Exit::Ok } else { Exit::Failed })
}

/// `ringfence incidents`. Degraded while one is open.
pub(crate) fn incidents(
    target: &Target,
    limit: u32,
    json: bool,
    paint: Paint,
) -> anyhow::Result<Exit> {
    let path = format!("{}?limit={limit}", paths::INCIDENTS);
    let incidents: Incidents = client::ask(target, Method::GET, &path)?;
    print(&incidents, json, || {
        judgements::incidents_text(&incidents, paint)
    })?;
    Ok(match incidents.open.is_empty() {
        true => Exit::Ok,
        false => Exit::Degraded,
    })
}

/// `ringfence blocks`.
pub(crate) fn blocks(target: &Target, json: bool) -> anyhow::Result<Exit> {
    let blocks: Blocks = client::ask(target, Method::GET, paths::BLOCKS)?;
    print(&blocks, json, || judgements::blocks_text(&blocks))?;
    Ok(Exit::Ok)
}

/// `ringfence blocks remove`.
pub(crate) fn lift(target: &Target, whose: Option<&str>, json: bool) -> anyhow::Result<Exit> {
    let path = match whose {
        Some(whose) => paths::BLOCK.replace("{whose}", &client::escaped(whose)),
        None => paths::BLOCKS.to_owned(),
    };
    let lifted: Lifted = client::ask(target, Method::DELETE, &path)?;
    print(&lifted, json, || match lifted.lifted {
        0 => "nothing was in force\n".to_owned(),
        count => format!("{count} taken back\n"),
    })?;
    Ok(Exit::Ok)
}

/// `ringfence explain`.
pub(crate) fn explain(
    target: &Target,
    about: &str,
    json: bool,
    paint: Paint,
) -> anyhow::Result<Exit> {
    let path = format!("{}?about={}", paths::EXPLAIN, client::escaped(about));
    let explanation: Explanation = client::ask(target, Method::GET, &path)?;
    print(&explanation, json, || {
        judgements::explain_text(&explanation, paint)
    })?;
    Ok(Exit::Ok)
}

/// `ringfence reload`.
pub(crate) fn reload(target: &Target, json: bool) -> anyhow::Result<Exit> {
    let reload: Reload = client::ask(target, Method::POST, paths::RELOAD)?;
    print(&reload, json, || status::reload_text(&reload))?;
    Ok(if reload.applied {
        Exit::Ok
    } else {
        Exit::Failed
    })
}

/// `ringfence drain`.
pub(crate) fn drain(target: &Target, json: bool) -> anyhow::Result<Exit> {
    let status: Status = client::ask(target, Method::POST, paths::DRAIN)?;
    print(&status, json, || {
        format!(
            "draining: no new calls, {} in progress; the edge stops when they end\n",
            status.calls
        )
    })?;
    Ok(Exit::Ok)
}

fn call_id(text: &str) -> anyhow::Result<String> {
    Ok(text
        .parse::<ringfence_session::call_id::CallId>()?
        .to_string())
}

/// An answer that may be missing.
fn optional<T: DeserializeOwned>(answer: anyhow::Result<T>) -> anyhow::Result<Option<T>> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) => match error.downcast_ref::<ClientError>() {
            Some(ClientError::Api(ApiError { .. })) => Ok(None),
            _ => Err(error),
        },
    }
}

pub(crate) fn print<T: Serialize>(
    value: &T,
    json: bool,
    text: impl FnOnce() -> String,
) -> anyhow::Result<()> {
    if json {
        println!("{}", serde_json::to_string_pretty(value)?);
    } else {
        print!("{}", text());
    }
    Ok(())
}
