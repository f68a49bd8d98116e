//! 3xx (RFC 3261 §8.1.3.4), followed where the policy of the peer that redirects says so.
//!
//! Only numbers are taken from its Contacts, never addresses: each goes through the routes, the
//! numbers that may be shown and the limits of a new call of that peer.

use std::sync::Arc;

use ringfence_base::Instant;
use ringfence_sip::{Contact, Index, Message, NameAddr};

use crate::admission::admit;
use crate::call::{CallKey, Side, Stage};
use crate::core::Core;
use crate::hunt::hunt;
use crate::identity;
use crate::methods::Redirects;
use crate::numbering;
use crate::routing::route;
use crate::spend::{Asking, Pin};

/// How often one call may be redirected.
const REDIRECTS_MAX: u8 = 5;
/// Contacts of one response that are looked at.
const CONTACTS_MAX: usize = 5;

impl Core {
    /// A 3xx to the call's first INVITE. Whether the call goes on elsewhere.
    pub(crate) fn follow_redirect(
        &mut self,
        now: Instant,
        key: CallKey,
        message: &Message<'_>,
    ) -> bool {
        let moved = message
            .status()
            .is_some_and(|status| (300..=302).contains(&status.raw()));
        let Some(call) = self.call(key).filter(|_| moved) else {
            return false;
        };
        let (plan, id) = (Arc::clone(&call.plan), call.id);
        let by = call.leg(Side::B).peer;
        let follows = plan
            .peer(by)
            .is_some_and(|peer| peer.methods.redirects == Redirects::Follow);
        // What the caller has heard cannot be taken back.
        let heard = call.media.last_answer().is_some() || call.provisionals.needs_no_answer();
        if !follows || heard || call.redirects >= REDIRECTS_MAX {
            return false;
        }
        let Some(Stage::Pending { request, .. }) = call.bridge.as_ref().map(|it| &it.stage) else {
            return false;
        };
        let request = request.clone();
        // A second redirection is not by the number that the tokens name.
        let verified = call.identity.verified.clone();
        let mut index = Index::default();
        let Ok(invite) = index.parse(&request) else {
            return false;
        };
        for target in targets(message) {
            let Ok(mut route) = route(&plan, &[by], &target) else {
                continue;
            };
            let Ok(mut identity) = identity::identify(&plan, &route, &invite) else {
                continue;
            };
            identity.divert(verified.as_deref(), &invite);
            let ways = self.ways(now, &plan, &route);
            let Ok((mut admission, first)) = admit(&plan, &route, &ways, now) else {
                continue;
            };
            let asking = Asking {
                id,
                phone: None,
                request: &invite,
                pin: Pin::Absent,
            };
            let spends = self.may_spend(now, &mut route, &identity, &asking, &mut admission);
            if spends.is_err() {
                continue;
            }
            let (Some(way), Some(call)) = (ways.get(first).copied(), self.call_mut(key)) else {
                continue;
            };
            route.go_to(&plan, way.peer);
            call.redirects += 1;
            call.kept_admission = call.admission.replace(admission);
            call.route.called = route.called;
            call.route.emergency |= route.emergency;
            call.route.go_on(&plan, way.peer, " (redirected)");
            call.identity = identity;
            call.hunt = hunt(&ways, first);
            return self.send_to(now, key, way);
        }
        false
    }
}

/// The numbers in the Contacts of a redirection, those of the highest `q` first (RFC 3261 §20.10).
pub(crate) fn targets(message: &Message<'_>) -> Vec<String> {
    let mut found: Vec<(u16, String)> = message
        .contacts()
        .take(CONTACTS_MAX)
        .filter_map(|contact| match contact {
            Ok(Contact::Address(address)) => {
                Some((quality(&address), numbering::called_in(&address.uri)?))
            }
            _ => None,
        })
        .collect();
    found.sort_by_key(|(quality, _)| std::cmp::Reverse(*quality));
    found.into_iter().map(|(_, number)| number).collect()
}

/// `q` in thousandths; 1 if there is none.
fn quality(address: &NameAddr<'_>) -> u16 {
    let q = address.params.get(b"q").flatten();
    let q: Option<f32> = q.and_then(|q| std::str::from_utf8(q).ok()?.parse().ok());
    q.map_or(1000, |q| (q.clamp(0.0, 1.0) * 1000.0) as u16)
}
