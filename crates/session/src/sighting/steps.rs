//! What detection is told of a call after it was offered: that it was answered, and how it ended.
//! An event is a plain value, and what it says was counted for the record already: nothing is
//! allocated for it.

use std::time::Duration;

use ringfence_base::Instant;
use ringfence_detect::event::{CallRef, CallStep, EndedBy, Proof, SiteRef, Source, What};

use super::principal_of;
use crate::access::Candidates;
use crate::call::{Call, Side};
use crate::cdr::{self, Cdr, LegRecord};
use crate::core::Core;

impl Core {
    /// A call was answered.
    pub(crate) fn see_answered(&mut self, now: Instant, call: (Source, CallRef, SiteRef)) {
        let (source, call, site) = call;
        let step = CallStep::Answered;
        self.see(now, source, What::Call { call, site, step });
    }

    /// A call that was sent on is over. `answered`: since when it was, if it was.
    pub(crate) fn see_ended(
        &mut self,
        now: Instant,
        call: (Source, CallRef, SiteRef),
        answered: Option<Instant>,
        record: &Cdr,
    ) {
        let (source, call, site) = call;
        let step = match answered {
            Some(since) => CallStep::Ended {
                by: match record.ended_by {
                    cdr::EndedBy::Caller => EndedBy::Caller,
                    cdr::EndedBy::Callee => EndedBy::Callee,
                    cdr::EndedBy::Edge => EndedBy::Edge,
                },
                talked: now.saturating_since(since),
                heard_caller: heard(Some(&record.ingress)),
                heard_callee: heard(record.egress.as_ref()),
            },
            None => CallStep::Failed {
                status: record.status,
                rang: record.ringing.map_or(Duration::ZERO, |since| {
                    let micros = record.ended.as_micros() - since.as_micros();
                    Duration::from_micros(u64::try_from(micros).unwrap_or_default())
                }),
            },
        };
        self.see(now, source, What::Call { call, site, step });
    }

    /// Whose call it is, for its events; none while nobody watches. The source is the caller's.
    pub(crate) fn seen_as(&self, call: &Call) -> Option<(Source, CallRef, SiteRef)> {
        self.watched()?;
        let candidates = Candidates::from_slice(&[call.route.ingress]);
        let principal = principal_of(&call.plan, &candidates);
        Some((
            Source::of(&call.leg(Side::A).flow, Proof::None, principal),
            CallRef::new(call.id.raw()),
            SiteRef::new(call.route.site.raw()),
        ))
    }
}

fn heard(leg: Option<&LegRecord>) -> u32 {
    let media = leg.and_then(|leg| leg.media.as_ref());
    media.map_or(0, |media| {
        u32::try_from(media.packets_received).unwrap_or(u32::MAX)
    })
}
