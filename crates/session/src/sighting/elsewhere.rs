//! What detection is told when somebody sends calls elsewhere, or asks for our credentials.

use ringfence_base::{Flow, Instant};
use ringfence_detect::event::{Diversion, MethodKind, Proof, SiteRef, Source, What};
use ringfence_detect::name::Name;
use ringfence_sip::{HeaderName, Index, Message, NameAddr};

use super::principal_of;
use crate::access::Candidates;
use crate::call::{CallKey, Side};
use crate::cdr::Direction;
use crate::challenged::Challenged;
use crate::core::Core;
use crate::numbering::calling_of;
use crate::plan::PeerKind;
use crate::routing::Route;

/// Codes before a number that ask a carrier to send all calls of the line there: of North America
/// (`*72`, `*90`, `*92`), and of the rest of the world (3GPP TS 22.030 §6.5.2: `*SC*number#`,
/// `**SC*number#` with 21, 61, 62, 67, 002 or 004).
const CODES_AMERICAN: [&str; 3] = ["72", "90", "92"];
const CODES: [&str; 6] = ["21", "61", "62", "67", "002", "004"];

impl Core {
    /// A call goes out that sends another one on, or a code that sends all of them on.
    pub(crate) fn see_forwarded(
        &mut self,
        now: Instant,
        (flow, message): (&Flow, &Message<'_>),
        route: &Route,
        (calling, called): (Option<&str>, &str),
    ) {
        let Some(key) = self.watched() else { return };
        if route.direction != Direction::Outbound || route.emergency {
            return;
        }
        let (by, to, way) = match forwards_to(called) {
            Some(to) => (calling.map(str::to_owned), to, Diversion::FeatureCode),
            None => match diverted_by(message) {
                Some(by) => (Some(by), called, Diversion::Forwarded),
                None => return,
            },
        };
        let by = by.unwrap_or_default();
        let candidates = Candidates::from_slice(&[route.ingress]);
        let source = Source::of(flow, Proof::None, principal_of(&self.plan, &candidates));
        let what = What::Diverted {
            site: SiteRef::new(route.site.raw()),
            by: Name::new(key, by.as_bytes()),
            to: Name::new(key, to.as_bytes()),
            way,
        };
        self.see(now, source, what);
    }

    /// A call of a carrier was answered by its phone or PBX with 3xx.
    pub(crate) fn see_redirected(&mut self, now: Instant, key: CallKey, message: &Message<'_>) {
        let Some(names) = self.watched() else { return };
        let moved = message
            .status()
            .is_some_and(|status| status.raw() / 100 == 3);
        let Some(call) = self.call(key).filter(|_| moved) else {
            return;
        };
        let leg = call.leg(Side::B);
        let inside = call
            .plan
            .peer(leg.peer)
            .is_some_and(|peer| peer.kind != PeerKind::Trunk);
        if call.route.direction != Direction::Inbound || !inside {
            return;
        }
        let Some(to) = crate::redirect::targets(message).into_iter().next() else {
            return;
        };
        let candidates = Candidates::from_slice(&[leg.peer]);
        let principal = principal_of(&call.plan, &candidates);
        let what = What::Diverted {
            site: SiteRef::new(call.route.site.raw()),
            by: Name::new(names, call.facts.to.as_bytes()),
            to: Name::new(names, to.as_bytes()),
            way: Diversion::Redirected,
        };
        // It answered a request of ours: our branch came back.
        let source = Source::of(&leg.flow, Proof::ViaCookieReturned, principal);
        self.see(now, source, what);
    }

    /// A peer answered a request with 401 or 407, and there are no credentials for it. Nothing is
    /// given away; that it asks is what an attacker does who called us to get a digest of ours.
    pub(crate) fn see_asked_for_credentials(
        &mut self,
        now: Instant,
        challenged: &Challenged,
        candidates: &Candidates,
    ) {
        if self.watched().is_none() {
            return;
        }
        let mut index = Index::default();
        let Ok(request) = index.parse(&challenged.request) else {
            return;
        };
        let within = request.to().is_ok_and(|to| to.tag().is_some());
        let principal = principal_of(&self.plan, candidates);
        // A carrier or PBX may ask for what it was not given by mistake: that is no attack.
        if !within && principal.is_own() {
            return;
        }
        let method = request.method().map_or(MethodKind::Unknown, Into::into);
        let source = Source::of(&challenged.flow, Proof::ViaCookieReturned, principal);
        self.see(now, source, What::AskedForCredentials { method, within });
    }
}

/// Where a dialled code sends calls. `None`: it is none.
fn forwards_to(called: &str) -> Option<&str> {
    let rest = called.strip_prefix('*')?;
    let american = CODES_AMERICAN
        .iter()
        .find_map(|code| rest.strip_prefix(code));
    let rest = rest.strip_prefix('*').unwrap_or(rest);
    let other = CODES
        .iter()
        .find_map(|code| rest.strip_prefix(code)?.strip_prefix('*'));
    let number = other.or(american)?;
    // 3GPP has more behind another asterisk: which services, after how long.
    let number = number.split(['*', '#']).next().unwrap_or_default();
    let digits = number.strip_prefix('+').unwrap_or(number);
    let is_number = digits.len() >= 3 && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then_some(number)
}

/// Who diverted the call last (RFC 5806 §5; the last but one of RFC 7044).
fn diverted_by(message: &Message<'_>) -> Option<String> {
    let number = |value: &[u8]| calling_of(&NameAddr::parse(value).ok()?.uri);
    let mut diversions = message.values(HeaderName::Diversion);
    if let Some(value) = diversions.next() {
        return number(value);
    }
    let history: Vec<&[u8]> = message.values(HeaderName::HistoryInfo).take(32).collect();
    let before = history.len().checked_sub(2)?;
    number(history.get(before)?)
}

#[cfg(test)]
mod tests {
    use super::forwards_to;

    #[test]
    fn codes_that_send_calls_elsewhere() {
        for (called, to) in [
            ("*7215550001111", Some("15550001111")),
            ("*72+15550001111", Some("+15550001111")),
            ("*21*015550001111#", Some("015550001111")),
            ("**61*015550001111*11*20#", Some("015550001111")),
            ("**004*+4930123456#", Some("+4930123456")),
            ("*72", None),
            ("#21#", None),
            ("*67015550001111", None),
            ("*493817*+442079460000", None),
            ("+15550001111", None),
            ("*72;evil", None),
        ] {
            assert_eq!(forwards_to(called), to, "{called}");
        }
    }
}
