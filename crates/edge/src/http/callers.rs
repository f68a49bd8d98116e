//! Known callers, asked about and imported.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use ringfence_control::api::{
    CallerStanding, CallersImport, CallersImported, IMPORT_MAX, KnownCallersStatus, Read,
    RefusedNumber, TenantCallers, read_number,
};
use ringfence_detect::callers::Standing;
use ringfence_session::line_guard::Lines;
use ringfence_session::plan::{Plan, Tenant};
use serde::Deserialize;

use super::control::{Answer, Edge, Fault};
use crate::clock::unix_now;
use crate::run::shared::Shared;

/// `?tenant=KEY`.
#[derive(Deserialize)]
pub(super) struct TenantQuery {
    tenant: Option<String>,
}

pub(super) async fn status(State(shared): Edge) -> Json<KnownCallersStatus> {
    let plan = Arc::clone(&shared.applied.load().plan);
    let tenants = plan.tenants.iter().map(|tenant| TenantCallers {
        tenant: tenant.key.clone(),
        remembered: shared.callers.remembered(&plan, tenant),
    });
    Json(KnownCallersStatus {
        at: unix_now().into(),
        tenants: tenants.collect(),
    })
}

pub(super) async fn import(
    State(shared): Edge,
    Json(import): Json<CallersImport>,
) -> Answer<CallersImported> {
    let plan = Arc::clone(&shared.applied.load().plan);
    let tenant = tenant_of(&plan, import.tenant.as_deref())?;
    if import.numbers.len() > IMPORT_MAX {
        let error = format!("more than {IMPORT_MAX} numbers");
        return Err(Fault::bad_request(error, "send them in pieces"));
    }
    let lines = shared.callers.lines(&plan, tenant).ok_or_else(no_site)?;
    let (key, now) = (shared.callers.key(), unix_now());
    let mut done = CallersImported {
        tenant: tenant.key.clone(),
        ..CallersImported::default()
    };
    for given in import.numbers {
        match read_number(&plan, tenant, &given.text) {
            Read::Own => done.own += 1,
            Read::Refused(why) => done.refused.push(RefusedNumber {
                place: given.place,
                text: given.text,
                why: why.to_owned(),
            }),
            Read::Number(number) => {
                let before = match import.dry_run {
                    true => lines.standing(key, &number, now),
                    false => lines.import_one(key, &number, import.talked, now),
                };
                done.taken += 1;
                done.new += usize::from(before == Standing::Stranger);
            }
        }
    }
    if !import.dry_run {
        shared.callers.save(&plan);
    }
    done.remembered = shared.callers.remembered(&plan, tenant);
    Ok(Json(done))
}

pub(super) async fn show(
    State(shared): Edge,
    Path(number): Path<String>,
    Query(query): Query<TenantQuery>,
) -> Answer<CallerStanding> {
    of_number(&shared, &number, &query, |lines, number| {
        lines.standing(shared.callers.key(), number, unix_now())
    })
}

/// What `text` is to each tenant, where it is a number there.
pub(super) fn standings(shared: &Shared, text: &str) -> Vec<CallerStanding> {
    let plan = Arc::clone(&shared.applied.load().plan);
    let standing = |tenant: &Tenant| {
        let Read::Number(number) = read_number(&plan, tenant, text) else {
            return None;
        };
        let lines = shared.callers.lines(&plan, tenant)?;
        let standing = lines.standing(shared.callers.key(), &number, unix_now());
        Some(told(tenant, number, standing))
    };
    plan.tenants.iter().filter_map(standing).collect()
}

pub(super) async fn forget(
    State(shared): Edge,
    Path(number): Path<String>,
    Query(query): Query<TenantQuery>,
) -> Answer<CallerStanding> {
    let forgotten = of_number(&shared, &number, &query, |lines, number| {
        lines.forget(shared.callers.key(), number, unix_now());
        Standing::Stranger
    });
    shared.callers.save(&shared.applied.load().plan);
    forgotten
}

/// Does `work` with a number among its tenant's callers, and says what it is then.
fn of_number(
    shared: &Shared,
    number: &str,
    query: &TenantQuery,
    work: impl FnOnce(&Lines, &str) -> Standing,
) -> Answer<CallerStanding> {
    let plan = Arc::clone(&shared.applied.load().plan);
    let tenant = tenant_of(&plan, query.tenant.as_deref())?;
    let why = match read_number(&plan, tenant, number) {
        Read::Number(number) => {
            let lines = shared.callers.lines(&plan, tenant).ok_or_else(no_site)?;
            let standing = work(lines, &number);
            return Ok(Json(told(tenant, number, standing)));
        }
        Read::Own => "it is an extension or one of the tenant's own numbers",
        Read::Refused(why) => why,
    };
    let shown = ringfence_base::text::Escaped(number.as_bytes());
    Err(Fault::bad_request(
        format!("{shown} is no caller's number: {why}"),
        "write it like +13305550100",
    ))
}

pub(super) fn tenant_of<'a>(plan: &'a Plan, key: Option<&str>) -> Result<&'a Tenant, Fault> {
    match (key, plan.tenants.as_slice()) {
        (None, [only]) => Ok(only),
        (None, _) => Err(Fault::bad_request(
            "there are several tenants",
            "say whose callers they are: --tenant NAME",
        )),
        (Some(key), all) => all.iter().find(|own| own.key == key).ok_or_else(|| {
            let fix = "`ringfence callers status` shows all tenants";
            Fault::not_found("there is no such tenant", fix)
        }),
    }
}

fn told(tenant: &Tenant, number: String, standing: Standing) -> CallerStanding {
    let (standing, why) = match standing {
        Standing::Known => (
            "known",
            "there was an answered call with sound both ways, or it is a contact: it is never asked \
             by voice, and channels are kept for it",
        ),
        Standing::CalledBack => (
            "called-back",
            "the business called it within a day: a call from there is expected",
        ),
        Standing::Stranger => (
            "stranger",
            "no answered call is remembered: while an attack fills the lines it is asked by voice",
        ),
    };
    CallerStanding {
        tenant: tenant.key.clone(),
        number,
        standing: standing.to_owned(),
        why: why.to_owned(),
    }
}

fn no_site() -> Fault {
    Fault::not_found("the tenant has no site", "give it a [site.NAME]")
}
