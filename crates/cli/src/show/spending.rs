//! `ringfence fraud`, for people.

use std::fmt::Write;

use ringfence_base::text::Escaped;
use ringfence_control::api::{Spending, TenantSpending};

use crate::paint::{Paint, Tone};

/// All tenants, and what was stopped.
pub(crate) fn text(spending: &Spending, paint: Paint) -> String {
    let mut out = String::new();
    for tenant in &spending.tenants {
        row(&mut out, tenant, paint);
    }
    if spending.tenants.is_empty() {
        out.push_str("no tenant\n");
    }
    out
}

fn row(out: &mut String, tenant: &TenantSpending, paint: Paint) {
    let TenantSpending {
        spent,
        limit,
        currency,
        ..
    } = tenant;
    let state = match &tenant.alarm_until {
        Some(until) => paint.tone(Tone::Bad, format!("ALARM until {until}")),
        None => paint.tone(Tone::Good, "quiet"),
    };
    let _ = writeln!(
        out,
        "{} ({})  {state}  about {spent:.2} of {limit:.2} {currency} today",
        tenant.tenant, tenant.mode
    );
    let _ = writeln!(
        out,
        "  judged {}  asked for a PIN {}  refused {}  ended {}  with PIN {}  observed {}",
        tenant.judged, tenant.asked, tenant.refused, tenant.cut, tenant.pins, tenant.observed
    );
    for class in tenant.today.iter().filter(|class| class.spent > 0.0) {
        let limit = class
            .limit
            .map_or("no limit".to_owned(), |limit| format!("of {limit:.2}"));
        let _ = writeln!(out, "  {}  {:.2} {limit}", class.class, class.spent);
    }
    for stopped in &tenant.stopped {
        let observed = if stopped.enforced { "" } else { " (observed)" };
        let called = Escaped(stopped.called.as_bytes());
        let (at, decision, why) = (&stopped.at, &stopped.decision, &stopped.why);
        let _ = writeln!(out, "  {at}  {decision}{observed}  {called}: {why}");
    }
}

/// Whether an alarm is on.
pub(crate) fn any_alarm(spending: &Spending) -> bool {
    spending
        .tenants
        .iter()
        .any(|tenant| tenant.alarm_until.is_some())
}
