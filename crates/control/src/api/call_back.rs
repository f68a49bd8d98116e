//! Whom to call back: strangers who were asked by voice during an attack, were not put through, and
//! were told that their number is noted. It is read out of the records of calls.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{CallRecord, Timestamp};

/// Most numbers of a list: the newest.
pub const CALL_BACK_MAX: usize = 1_000;

/// `?since=SECONDS&tenant=KEY`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallBackQuery {
    /// How many seconds back; without it, a day.
    pub since: Option<u64>,
    /// Key of the tenant; without it, all.
    pub tenant: Option<String>,
}

/// `ringfence callers call-back`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallBacks {
    /// When this was so.
    pub at: Timestamp,
    /// From when on records were looked at. Later than what was asked for where there were too many.
    pub since: Timestamp,
    /// Who is to be called back, the newest first; at most [`CALL_BACK_MAX`].
    pub callers: Vec<CallBack>,
    /// Calls of those who did not show a number that can be called.
    pub without_number: u64,
    /// Calls of numbers for which the list had no room.
    pub left_out: u64,
}

/// Somebody to be called back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallBack {
    /// Key of the tenant.
    pub tenant: String,
    /// Key of the site that was called last.
    pub site: String,
    /// The number in international form.
    pub number: String,
    /// The number of the business that was called last, as it was received.
    pub called: String,
    /// How often it was noted, since it last got through if it ever did.
    pub times: u64,
    /// When for the first time.
    pub first: Timestamp,
    /// When for the last time.
    pub last: Timestamp,
}

/// Makes a list of records.
#[derive(Debug, Default)]
pub struct CallBackList {
    /// Those who talked later than the records that come now: by tenant and number.
    talked: BTreeSet<(String, String)>,
    /// The places in `callers`.
    places: BTreeMap<(String, String), usize>,
    made: CallBacks,
}

impl CallBackList {
    /// Takes a record that is older than all that were taken before. `number` reads a number of a
    /// tenant: in international form, or it is none.
    pub fn take(&mut self, record: &CallRecord, number: impl Fn(&str, &str) -> Option<String>) {
        let inbound = record.direction == "inbound";
        let noted = inbound
            && record.outcome == "refused"
            && record.rule.contains(ringfence_session::screening::NOTED);
        let talked = record.outcome == "answered";
        if !noted && !talked {
            return;
        }
        let theirs = if inbound { &record.from } else { &record.to };
        let Some(number) = number(&record.tenant, theirs) else {
            self.made.without_number += u64::from(noted);
            return;
        };
        let key = (record.tenant.clone(), number);
        if talked {
            // What is older than a talk is settled; who is on the list stays there.
            self.talked.insert(key);
        } else if !self.talked.contains(&key) {
            self.note(key, record);
        }
    }

    fn note(&mut self, key: (String, String), record: &CallRecord) {
        let known = self.places.get(&key);
        if let Some(caller) = known.and_then(|place| self.made.callers.get_mut(*place)) {
            caller.times += 1;
            caller.first = record.started;
        } else if self.made.callers.len() < CALL_BACK_MAX {
            self.places.insert(key.clone(), self.made.callers.len());
            let (tenant, number) = key;
            self.made.callers.push(CallBack {
                tenant,
                site: record.site.clone(),
                number,
                called: record.to.clone(),
                times: 1,
                first: record.started,
                last: record.started,
            });
        } else {
            self.made.left_out += 1;
        }
    }

    /// The list, made at `at` of records from `since` on.
    pub fn finish(self, at: Timestamp, since: Timestamp) -> CallBacks {
        CallBacks {
            at,
            since,
            ..self.made
        }
    }
}

#[cfg(test)]
mod tests {
    use ringfence_base::UnixTime;

    use super::*;

    const RULE: &str = "main number (asked by voice) (no digits came; its number is noted for a \
                        call back)";

    fn record(direction: &str, number: &str, at: i64, outcome: &str) -> CallRecord {
        let inbound = direction == "inbound";
        let ours = "+13305550100".to_owned();
        let (from, to) = match inbound {
            true => (number.to_owned(), ours),
            false => (ours, number.to_owned()),
        };
        let at = Timestamp(UnixTime::from_micros(at * 1_000_000));
        let leg = crate::api::RecordLeg {
            peer: "carrier-a".into(),
            call_id: String::new(),
            local_tag: String::new(),
            remote_tag: String::new(),
            remote: "198.51.100.20:5060".parse().unwrap(),
            transport: "udp".into(),
            status: None,
            media: None,
        };
        CallRecord {
            id: "1".into(),
            tenant: "summit".into(),
            site: "hq".into(),
            direction: direction.into(),
            from,
            to,
            emergency: false,
            started: at,
            ringing: None,
            answered: None,
            ended: at,
            seconds: 0.0,
            outcome: outcome.into(),
            status: 603,
            q850: 21,
            ended_by: "edge".into(),
            rule: if outcome == "refused" { RULE } else { "" }.into(),
            caller_id: None,
            ingress: leg,
            egress: None,
        }
    }

    fn list(records: &[CallRecord]) -> CallBacks {
        let mut list = CallBackList::default();
        for record in records.iter().rev() {
            list.take(record, |_, text| {
                text.starts_with('+').then(|| text.to_owned())
            });
        }
        list.finish(Timestamp::default(), Timestamp::default())
    }

    #[test]
    fn who_was_noted_is_listed_once_the_newest_first() {
        let made = list(&[
            record("inbound", "+12165550123", 1, "refused"),
            record("inbound", "+12165550124", 2, "refused"),
            record("inbound", "anonymous", 3, "refused"),
            record("inbound", "+12165550123", 4, "refused"),
        ]);
        let shown: Vec<_> = made
            .callers
            .iter()
            .map(|it| (&*it.number, it.times))
            .collect();
        assert_eq!(shown, [("+12165550123", 2), ("+12165550124", 1)]);
        let first = &made.callers[0];
        assert!(first.first < first.last && first.site == "hq");
        assert_eq!((made.without_number, made.left_out), (1, 0));
    }

    #[test]
    fn who_got_through_since_or_was_called_is_left_out() {
        let made = list(&[
            record("inbound", "+12165550123", 1, "refused"),
            record("inbound", "+12165550124", 2, "refused"),
            record("inbound", "+12165550125", 3, "refused"),
            record("inbound", "+12165550123", 4, "answered"),
            record("outbound", "+12165550124", 5, "answered"),
            record("outbound", "+12165550125", 6, "busy"),
            // A talk settles what was before it, and nothing after it.
            record("inbound", "+12165550123", 7, "refused"),
        ]);
        let shown: Vec<_> = made
            .callers
            .iter()
            .map(|it| (&*it.number, it.times))
            .collect();
        assert_eq!(shown, [("+12165550123", 1), ("+12165550125", 1)]);
    }

    #[test]
    fn a_flood_makes_no_endless_list() {
        let records: Vec<_> = (0..CALL_BACK_MAX + 5)
            .map(|place| {
                record(
                    "inbound",
                    &format!("+1216{place:07}"),
                    place as i64,
                    "refused",
                )
            })
            .collect();
        let made = list(&records);
        assert_eq!((made.callers.len(), made.left_out), (CALL_BACK_MAX, 5));
    }
}
