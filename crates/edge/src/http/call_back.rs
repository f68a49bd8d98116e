//! Whom to call back, read out of the records page by page, the newest first.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use ringfence_base::UnixTime;
use ringfence_control::api::{CallBackList, CallBackQuery, CallBacks, Read, read_number};
use ringfence_store::{PAGE_MAX, QueryError, Records, Scope, Stored};

use super::callers::tenant_of;
use super::control::{Answer, Edge};
use crate::clock::unix_now;

/// How far back is looked when nobody says so, in seconds: a day.
const SINCE_DEFAULT: u64 = 24 * 3_600;
/// Farthest that is looked back, in seconds: ten years.
const SINCE_MAX: u64 = 3_660 * 86_400;
/// Most records that are looked at: those of some days of a flood.
const RECORDS_MAX: i64 = 500_000;

pub(super) async fn list(
    State(shared): Edge,
    Query(query): Query<CallBackQuery>,
) -> Answer<CallBacks> {
    let plan = Arc::clone(&shared.applied.load().plan);
    let scope = match query.tenant.as_deref() {
        Some(key) => Scope::Tenant(&tenant_of(&plan, Some(key))?.key),
        None => Scope::Fleet,
    };
    let now = unix_now();
    let back = query.since.unwrap_or(SINCE_DEFAULT).min(SINCE_MAX) as i64;
    let since = UnixTime::from_micros(now.as_micros() - back * 1_000_000);
    let number = |tenant: &str, text: &str| {
        let tenant = plan.tenants.iter().find(|own| own.key == tenant)?;
        match read_number(&plan, tenant, text) {
            Read::Number(number) => Some(number),
            Read::Own | Read::Refused(_) => None,
        }
    };
    let made = gather(&*shared.store, scope, (now, since), number).await?;
    Ok(Json(made))
}

async fn gather(
    store: &impl Records,
    scope: Scope<'_>,
    (now, since): (UnixTime, UnixTime),
    number: impl Fn(&str, &str) -> Option<String>,
) -> Result<CallBacks, QueryError> {
    let mut list = CallBackList::default();
    let mut page = store.recent(scope, PAGE_MAX).await?;
    let floor = page
        .first()
        .map_or(0, |newest| newest.sequence - RECORDS_MAX);
    let mut oldest = now;
    while let Some(last) = page.last().map(|stored| stored.sequence) {
        for stored in &page {
            if stored.record.ended.0 < since {
                return Ok(list.finish(now.into(), since.into()));
            }
            oldest = oldest.min(stored.record.started.0);
            list.take(&stored.record, &number);
        }
        page = page_before(store, scope, last, floor).await?;
    }
    // What is older was not looked at, if there is any.
    let since = if floor > 0 { oldest } else { since };
    Ok(list.finish(now.into(), since.into()))
}

/// Records that were written before `sequence` and after `floor`, the newest first; empty when there
/// are none.
async fn page_before(
    store: &impl Records,
    scope: Scope<'_>,
    sequence: i64,
    floor: i64,
) -> Result<Vec<Stored>, QueryError> {
    let mut end = sequence;
    // Places that nobody has (records of others, forgotten ones) are passed over.
    let floor = floor.max(0);
    while end > floor + 1 {
        let start = (end - i64::from(PAGE_MAX) - 1).max(floor);
        let mut page = store.after(scope, start, PAGE_MAX).await?;
        page.retain(|stored| stored.sequence < end);
        if !page.is_empty() {
            page.reverse();
            return Ok(page);
        }
        end = start + 1;
    }
    Ok(Vec::new())
}

#[cfg(test)]
mod tests {
    use ringfence_session::call_id::CallId;
    use ringfence_session::cdr::Outcome;
    use ringfence_session::screening::NOTED;
    use ringfence_store::{Entry, SqliteOptions, SqliteRecords};

    use super::*;

    const SECOND: i64 = 1_000_000;

    /// A record of the tenant `tenant`, so many seconds after the first.
    fn entry(number: i64, tenant: &str, from: &str, noted: bool) -> Entry {
        let mut cdr = crate::records::record();
        cdr.id = CallId::from_raw(number as u64 + 1);
        (cdr.tenant, cdr.from) = (tenant.to_owned(), from.to_owned());
        cdr.started = UnixTime::from_micros(number * SECOND);
        cdr.ended = cdr.started;
        cdr.outcome = Outcome::Refused;
        if noted {
            cdr.rule = format!("asked ({NOTED})");
        }
        Entry::Ended(cdr)
    }

    #[tokio::test]
    async fn all_pages_are_looked_at_and_no_farther_back_than_was_asked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("records.sqlite3");
        let options = SqliteOptions {
            path,
            bytes_max: None,
        };
        let store = SqliteRecords::open(options).await.unwrap();
        let pages = i64::from(PAGE_MAX) * 2;
        let mut entries = vec![
            entry(0, "a", "+12165550100", true),
            entry(1, "b", "+12165550101", true),
        ];
        entries.extend((2..pages).map(|number| entry(number, "b", "+12165550199", false)));
        entries.push(entry(pages, "a", "+12165550102", true));
        store.write(&entries).await.unwrap();
        let now = UnixTime::from_micros(pages * SECOND);
        let found = async |scope, since: i64| {
            let times = (now, UnixTime::from_micros(since * SECOND));
            let read = |_: &str, text: &str| Some(text.to_owned());
            let made = gather(&store, scope, times, read).await.unwrap();
            let callers = made.callers.into_iter();
            let numbers: Vec<String> = callers.map(|caller| caller.number).collect();
            numbers.join(" ")
        };
        let all = "+12165550102 +12165550101 +12165550100";
        assert_eq!(found(Scope::Fleet, 0).await, all);
        assert_eq!(
            found(Scope::Tenant("a"), 0).await,
            "+12165550102 +12165550100"
        );
        assert_eq!(found(Scope::Tenant("b"), 0).await, "+12165550101");
        assert_eq!(found(Scope::Fleet, 1).await, "+12165550102 +12165550101");
        assert_eq!(found(Scope::Tenant("nobody"), 0).await, "");
    }
}
