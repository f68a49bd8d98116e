//! Toll fraud is stopped here: before an outbound call leaves, its tenant's judge is asked
//! (`ringfence_detect::fraud`), and again while the call is up.
//!
//! The judge of a tenant is shared by the workers behind a lock of that tenant's own, held for one
//! question at a time, and survives a reload (`Plan::adopt_usage`). A call's `Meter` travels with
//! the channels that it holds, so a leg that a transfer moves goes on costing.
//!
//! A caller with the tenant's PIN dials `*PIN*number`. The PIN is taken out before anything else
//! looks at the number, and is cut out of traces.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use ringfence_base::{HashKey, Instant, KeyedMap, Secret, UnixTime};
use ringfence_detect::event::PeerRef;
use ringfence_detect::finding::Subject;
use ringfence_detect::fraud::judge::{Attempt, Judge, Status};
use ringfence_detect::fraud::meter::Ticket;
use ringfence_detect::fraud::policy::Policy;
use ringfence_detect::fraud::verdict::{Cut, Decision, Verdict};
use ringfence_detect::name::Name;
use ringfence_sip::{HeaderName, Message};

use crate::access::Candidates;
use crate::admission::Admission;
use crate::call::{Call, CallKey};
use crate::call_id::CallId;
use crate::cdr::{Direction, EndedBy};
use crate::core::Core;
use crate::event::Event;
use crate::identity::Identity;
use crate::numbering::Number;
use crate::plan::{Plan, Site, SiteId, Tenant};
use crate::policy::CallingNumber;
use crate::registrar::Caller;
use crate::routing::Route;
use crate::supervise::AlarmKind;

/// Digits of a PIN.
pub const PIN_DIGITS: std::ops::RangeInclusive<usize> = 4..=16;

/// How often a call that costs is looked at.
const LOOK: Duration = Duration::from_secs(5);

/// Q.850 cause of a call that the money fuse ended: facility rejected. Nothing else here has it.
pub const FUSE_CAUSE: u8 = 29;

/// Wrong PINs of one caller, and of one tenant, before no PIN is taken for a while.
const WRONG_OF_CALLER: u32 = 5;
const WRONG_OF_TENANT: u32 = 30;

/// How long that while is.
const WRONG_FOR: Duration = Duration::from_secs(15 * 60);

/// Most callers whose wrong PINs are counted; beyond, they count for the tenant alone.
const WRONG_CALLERS_MAX: usize = 1024;

/// A tenant's guard against toll fraud.
#[derive(Debug, Default)]
pub struct Guard {
    policy: Option<Policy>,
    pin: Option<Secret>,
    state: Arc<State>,
}

/// What workers share, and what a reload keeps.
#[derive(Debug, Default)]
struct State {
    desk: OnceLock<Mutex<Desk>>,
}

#[derive(Debug)]
struct Desk {
    key: HashKey,
    judge: Judge,
    /// Wrong PINs, and since when.
    wrong: KeyedMap<u64, Wrong>,
    wrong_in_all: Wrong,
}

impl Guard {
    /// A guard who follows `policy`. A PIN that is not [`PIN_DIGITS`] digits is none.
    pub fn new(mut policy: Policy, pin: Option<Secret>) -> Guard {
        let pin = pin.filter(|pin| is_pin(pin.expose()));
        policy.has_pin = pin.is_some();
        Guard {
            policy: Some(policy),
            pin,
            state: Arc::default(),
        }
    }

    /// Takes over what `old` has learned and counts.
    pub(crate) fn adopt(&mut self, old: &Guard) {
        self.state = Arc::clone(&old.state);
        if let (Some(policy), Some(desk)) = (&self.policy, self.state.desk.get()) {
            lock(desk).judge.set_policy(policy.clone());
        }
    }

    /// How the tenant stands; `None` before the first call was judged.
    pub fn status(&self, at: UnixTime) -> Option<Status> {
        let desk = self.state.desk.get()?;
        Some(lock(desk).judge.status(at))
    }

    /// The policy.
    pub fn policy(&self) -> Option<&Policy> {
        self.policy.as_ref()
    }

    fn desk(&self, key: HashKey) -> Option<MutexGuard<'_, Desk>> {
        let policy = self.policy.as_ref()?;
        let desk = self.state.desk.get_or_init(|| {
            Mutex::new(Desk {
                key,
                judge: Judge::new(policy.clone(), key),
                wrong: key.map(),
                wrong_in_all: (0, Instant::ZERO),
            })
        });
        Some(lock(desk))
    }

    /// Whether no PIN of a caller is taken just now, however right it is.
    pub(crate) fn pins_are_locked(&self, key: HashKey, now: Instant, who: &PinCaller) -> bool {
        let Some(desk) = self.desk(key) else {
            return true;
        };
        let (of_caller, of_tenant) = desk.wrong_of(desk.caller(&who.parts()), now);
        is_locked(of_caller, of_tenant)
    }

    /// Whether `digits` is the PIN, in a time that says nothing; never, after too many wrong ones.
    pub(crate) fn takes_pin(
        &self,
        key: HashKey,
        now: Instant,
        who: &PinCaller,
        digits: &[u8],
    ) -> bool {
        let (Some(pin), Some(mut desk)) = (&self.pin, self.desk(key)) else {
            return false;
        };
        let right = is_same(pin.expose().trim_ascii(), digits);
        let caller = desk.caller(&who.parts());
        let (of_caller, of_tenant) = desk.wrong_of(caller, now);
        if is_locked(of_caller, of_tenant) {
            return false;
        }
        if right {
            return true;
        }
        desk.wrong_in_all = (of_tenant.0 + 1, of_tenant.1);
        if desk.wrong.len() >= WRONG_CALLERS_MAX {
            desk.wrong.retain(|_, (_, since)| now - *since <= WRONG_FOR);
        }
        if desk.wrong.len() < WRONG_CALLERS_MAX {
            desk.wrong.insert(caller, (of_caller.0 + 1, of_caller.1));
        }
        false
    }
}

/// Wrong PINs, and since when they are counted.
type Wrong = (u32, Instant);

/// Whether no PIN is taken after so many wrong ones of a caller and of its tenant.
const fn is_locked(of_caller: Wrong, of_tenant: Wrong) -> bool {
    of_caller.0 >= WRONG_OF_CALLER || of_tenant.0 >= WRONG_OF_TENANT
}

impl Desk {
    /// Wrong PINs of a caller and of the tenant that still count.
    fn wrong_of(&self, caller: u64, now: Instant) -> (Wrong, Wrong) {
        let fresh = |wrong: Wrong| match now - wrong.1 > WRONG_FOR {
            true => (0, now),
            false => wrong,
        };
        let of_caller = self.wrong.get(&caller).copied().unwrap_or((0, now));
        (fresh(of_caller), fresh(self.wrong_in_all))
    }

    fn caller(&self, parts: &[&[u8]]) -> u64 {
        self.key.hash128(parts) as u64
    }
}

fn lock(desk: &Mutex<Desk>) -> MutexGuard<'_, Desk> {
    desk.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Compares in a time that depends on the lengths alone.
fn is_same(secret: &[u8], given: &[u8]) -> bool {
    let differing = secret
        .iter()
        .zip(given)
        .fold(0, |differing, (a, b)| differing | (a ^ b));
    std::hint::black_box(differing) == 0 && secret.len() == given.len()
}

/// Whether a secret can be a PIN: digits, of the right number.
pub fn is_pin(secret: &[u8]) -> bool {
    let digits = secret.trim_ascii();
    PIN_DIGITS.contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit)
}

/// `*PIN*number`: the PIN and the number.
fn split_pin(called: &str) -> Option<(&str, &str)> {
    let (pin, number) = called.strip_prefix('*')?.split_once('*')?;
    let good = is_pin(pin.as_bytes()) && !number.is_empty();
    good.then_some((pin, number))
}

/// Puts `x` in the place of the digits of every `:*PIN*` in a message, byte for byte.
pub fn hide_pins(text: &mut [u8]) {
    let mut rest = text;
    while let Some(at) = rest.windows(2).position(|pair| pair == b":*") {
        rest = rest.split_at_mut(at + 2).1;
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if PIN_DIGITS.contains(&digits) && rest.get(digits) == Some(&b'*') {
            rest.iter_mut().take(digits).for_each(|byte| *byte = b'x');
        }
    }
}

/// Whose wrong PINs are counted, and by whom: a phone's user, else the number that a PBX shows.
#[derive(Clone)]
pub(crate) struct PinCaller {
    pub(crate) guard: Arc<Guard>,
    site: SiteId,
    peer: Box<str>,
    user: Box<str>,
}

impl PinCaller {
    const fn parts(&self) -> [&[u8]; 2] {
        [self.peer.as_bytes(), self.user.as_bytes()]
    }
}

/// What became of the PIN in front of a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Pin {
    /// There was none.
    #[default]
    Absent,
    /// It is the tenant's.
    Right,
    /// It is not.
    Wrong,
}

/// Who asks to call out.
pub(crate) struct Asking<'a, 'm> {
    /// The call that is to be made.
    pub(crate) id: CallId,
    /// The phone, if it is one.
    pub(crate) phone: Option<Caller>,
    pub(crate) request: &'a Message<'m>,
    pub(crate) pin: Pin,
}

/// The meter of a call that costs. Dropped without a word, the call counts as never made.
#[derive(Debug)]
pub(crate) struct Meter {
    state: Arc<State>,
    ticket: Option<Ticket>,
}

impl Meter {
    fn with<T>(&self, work: impl FnOnce(&mut Judge, Ticket) -> T) -> Option<T> {
        let (desk, ticket) = (self.state.desk.get()?, self.ticket?);
        Some(work(&mut lock(desk).judge, ticket))
    }

    pub(crate) fn answered(&self, at: UnixTime) {
        self.with(|judge, ticket| judge.answered(ticket, at));
    }

    pub(crate) fn end(mut self, at: UnixTime) {
        self.with(|judge, ticket| judge.ended(ticket, at));
        self.ticket = None;
    }

    fn check(&self, at: UnixTime) -> Option<Cut> {
        self.with(|judge, ticket| judge.check(ticket, at)).flatten()
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.with(|judge, ticket| judge.abandoned(ticket));
    }
}

impl Core {
    /// Takes the PIN out of a dialled number. Help is not asked for one.
    pub(crate) fn take_pin(
        &self,
        now: Instant,
        phone: Option<Caller>,
        candidates: &Candidates,
        message: &Message<'_>,
        called: &mut String,
    ) -> Pin {
        let Some((pin, number)) = split_pin(called) else {
            return Pin::Absent;
        };
        let Some(who) = self.pin_caller(phone, candidates, message) else {
            return Pin::Absent;
        };
        let site = self.plan.site(who.site);
        let right = site.is_some_and(|site| site.is_emergency(number))
            || who.guard.takes_pin(self.hash, now, &who, pin.as_bytes());
        *called = number.to_owned();
        if right { Pin::Right } else { Pin::Wrong }
    }

    /// Who of the house calls, where a PIN lets calls through.
    pub(crate) fn pin_caller(
        &self,
        phone: Option<Caller>,
        candidates: &Candidates,
        message: &Message<'_>,
    ) -> Option<PinCaller> {
        let peer = candidates
            .iter()
            .filter_map(|id| self.plan.peer(*id))
            .find(|peer| peer.kind != crate::plan::PeerKind::Trunk)?;
        let site = self.plan.site(peer.site)?;
        let guard = &self.plan.tenant_of(site)?.spend;
        guard.pin.as_ref()?;
        let from = message.from().ok();
        let calling = from.and_then(|from| crate::numbering::calling_of(&from.uri));
        let user = phone.and_then(|caller| self.user_name(caller)).or(calling);
        Some(PinCaller {
            guard: Arc::clone(guard),
            site: peer.site,
            peer: peer.key.as_str().into(),
            user: user.unwrap_or_default().into(),
        })
    }

    fn user_name(&self, caller: Caller) -> Option<String> {
        user_in(&self.plan, caller)
    }

    /// Asks the tenant's judge whether a call may leave, and hangs its meter on what it holds.
    ///
    /// # Errors
    ///
    /// The sentence that says why not.
    pub(crate) fn may_spend(
        &mut self,
        now: Instant,
        route: &mut Route,
        identity: &Identity,
        asking: &Asking<'_, '_>,
        admission: &mut Admission,
    ) -> Result<(), Box<str>> {
        let plan = Arc::clone(&self.plan);
        self.may_spend_in(&plan, now, route, identity, asking, admission)
    }

    /// The same for a call that began under `plan`.
    pub(crate) fn may_spend_in(
        &mut self,
        plan: &Plan,
        now: Instant,
        route: &mut Route,
        identity: &Identity,
        asking: &Asking<'_, '_>,
        admission: &mut Admission,
    ) -> Result<(), Box<str>> {
        if route.direction != Direction::Outbound {
            return Ok(());
        }
        let Some((site, tenant)) = tenant_of(plan, route) else {
            return Ok(());
        };
        let ingress = plan.peer(route.ingress);
        let peer = ingress.map(|peer| peer.key.as_str()).unwrap_or_default();
        let user = asking.phone.and_then(|caller| user_in(plan, caller));
        let user = user.or_else(|| identity.real.clone()).unwrap_or_default();
        let account = asking.phone.and_then(|phone| {
            let group = plan.phone_group(phone.group)?;
            let name = Name::of_account(self.name_key(), user.as_bytes(), &group.realm);
            Some(name)
        });
        let Some(mut desk) = tenant.spend.desk(self.hash) else {
            return Ok(());
        };
        let verdict = {
            let attempt = Attempt {
                at: self.anchor.unix_time(now),
                called: &international(&route.called),
                caller: desk.caller(&[peer.as_bytes(), user.as_bytes()]),
                foreign_number: shows_foreign_number(plan, route, site, identity, asking.request),
                pin: asking.pin == Pin::Right,
                suspect: account.is_some_and(|account| self.is_restricted(account)),
                emergency: route.emergency,
            };
            desk.judge.judge(&attempt)
        };
        drop(desk);
        let meter = verdict.ticket.map(|ticket| Meter {
            state: Arc::clone(&tenant.spend.state),
            ticket: Some(ticket),
        });
        if let Some(meter) = meter {
            admission.attach(meter);
        }
        let subject = match account {
            Some(account) => Subject::Account(account),
            None => Subject::Peer(PeerRef::new(route.ingress.raw())),
        };
        self.tell_verdict(asking.id, tenant, subject, &verdict);
        match verdict.goes_on() {
            true if verdict.decision == Decision::Allow => Ok(()),
            true => {
                route.rule.push_str(" (observed: ");
                route.rule.push_str(&verdict.sentence);
                route.rule.push(')');
                route.rule_stem = route.rule.len();
                Ok(())
            }
            false => Err(verdict.sentence.into()),
        }
    }

    fn tell_verdict(&mut self, call: CallId, tenant: &Tenant, subject: Subject, verdict: &Verdict) {
        if verdict.decision == Decision::Allow {
            return;
        }
        self.counters.spending_observed += u64::from(!verdict.enforced);
        self.emit(Event::SpendingStopped {
            call,
            tenant: tenant.key.clone(),
            subject,
            verdict: Box::new(verdict.clone()),
        });
    }

    /// A call was answered: what holds a meter costs from now on.
    pub(crate) fn start_meters(&mut self, now: Instant, key: CallKey) {
        let at = self.unix(now);
        let mut metered = false;
        for meter in self.call(key).into_iter().flat_map(meters_of) {
            meter.answered(at);
            metered = true;
        }
        if metered {
            self.schedule(now, LOOK, key, AlarmKind::Spending);
        }
    }

    /// Looks whether a call may go on costing.
    pub(crate) fn look_at_spending(&mut self, now: Instant, key: CallKey) {
        let at = self.unix(now);
        let Some(call) = self.call(key) else { return };
        let cut = meters_of(call).find_map(|meter| meter.check(at));
        let emergency = call.route.emergency;
        let Some(cut) = cut.filter(|_| !emergency) else {
            return self.schedule(now, LOOK, key, AlarmKind::Spending);
        };
        let (call, ingress) = (call.id, call.route.ingress);
        self.counters.spending_cut += 1;
        let subject = Subject::Peer(PeerRef::new(ingress.raw()));
        let finding = Box::new(cut.finding(subject, now));
        self.emit(Event::SpendingCut { call, finding });
        if let Some(call) = self.call_mut(key) {
            call.route.rule.push_str(" (ended by ");
            call.route.rule.push_str(&cut.sentence);
            call.route.rule.push(')');
        }
        self.end_call(now, key, EndedBy::Edge, Some(FUSE_CAUSE));
    }

    /// A call from outside is over: who rang once is remembered, and who talked.
    pub(crate) fn note_inbound(&self, now: Instant, call: &Call) {
        if call.route.direction != Direction::Inbound || call.route.emergency {
            return;
        }
        let Some((site, tenant)) = tenant_of(&call.plan, &call.route) else {
            return;
        };
        let form = call
            .plan
            .peer(call.route.ingress)
            .map(|peer| peer.policy.numbers_in);
        let from = Number::read(
            &call.facts.from,
            form.unwrap_or_default(),
            site.policy.numbering,
        );
        let (Some(from), Some(mut desk)) = (from.e164, tenant.spend.desk(self.hash)) else {
            return;
        };
        let at = self.unix(now);
        let micros = at
            .as_micros()
            .saturating_sub(call.facts.started.as_micros());
        let rang = Duration::from_micros(u64::try_from(micros).unwrap_or_default());
        let talked = call.facts.answered_at.map(|answered| now - answered);
        desk.judge.inbound(&from.digits(), at, rang, talked);
    }
}

fn user_in(plan: &Plan, caller: Caller) -> Option<String> {
    let group = plan.phone_group(caller.group)?;
    Some(group.user(caller.user)?.name.clone())
}

fn meters_of(call: &Call) -> impl Iterator<Item = &Meter> {
    [&call.admission, &call.kept_admission]
        .into_iter()
        .flatten()
        .filter_map(Admission::meter)
}

fn tenant_of<'p>(plan: &'p Plan, route: &Route) -> Option<(&'p Site, &'p Tenant)> {
    let site = plan.site(route.site)?;
    Some((site, plan.tenant_of(site)?))
}

/// The called number in international form. What is none in the tenant's country is read as a
/// carrier might: after a usual international prefix.
fn international(called: &Number) -> String {
    if let Some(number) = called.e164 {
        return number.digits();
    }
    let text = called.text.trim_start_matches('+');
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits || text.len() <= SHORT_DIGITS {
        // A short code, a feature code or a name: the carrier's own, at home.
        return String::new();
    }
    let prefixes = ["0011", "00", "011", "810"];
    let abroad = prefixes.iter().find_map(|prefix| text.strip_prefix(prefix));
    abroad.unwrap_or(text).to_owned()
}

/// Most digits of a short code.
const SHORT_DIGITS: usize = 7;

/// Whether the calling number is one of the public network that its site does not own. A diverted
/// call shows another's number by right.
fn shows_foreign_number(
    plan: &Plan,
    route: &Route,
    site: &Site,
    identity: &Identity,
    request: &Message<'_>,
) -> bool {
    let Some(ingress) = plan.peer(route.ingress) else {
        return false;
    };
    let judged = ingress.policy.calling_number != CallingNumber::Any && !site.any_number;
    let diverted = [HeaderName::Diversion, HeaderName::HistoryInfo]
        .into_iter()
        .any(|name| request.header(name).is_some());
    if !judged || diverted || route.caller.is_some() {
        return false;
    }
    let real = identity.real.as_deref().unwrap_or_default();
    let number = Number::read(real, ingress.policy.numbers_in, site.policy.numbering);
    number
        .e164
        .is_some_and(|number| !site.owns(&number.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringfence_detect::fraud::destinations::Country;

    fn guard() -> Guard {
        let policy = Policy::of_country(Country::new("US").unwrap());
        Guard::new(policy, Some(Secret::new(b"493817\n".to_vec())))
    }

    const KEY: HashKey = HashKey::from_bytes([9; 16]);

    #[test]
    fn a_pin_stands_between_stars() {
        assert_eq!(split_pin("*1234*+4420"), Some(("1234", "+4420")));
        assert_eq!(split_pin("*1234*0114420"), Some(("1234", "0114420")));
        for other in [
            "*72",
            "*72*5550100",
            "*12345678901234567*1",
            "*1234*",
            "1234*5",
            "*12a4*5",
        ] {
            assert_eq!(split_pin(other), None, "{other}");
        }
    }

    #[test]
    fn the_pin_is_taken_and_a_guesser_is_not_heard_for_a_while() {
        let guard = Arc::new(guard());
        let takes = |now, caller: &[u8], pin: &[u8]| {
            let who = PinCaller {
                guard: Arc::clone(&guard),
                site: SiteId::new(0),
                peer: "main".into(),
                user: String::from_utf8_lossy(caller).into(),
            };
            let taken = guard.takes_pin(KEY, now, &who, pin);
            assert!(!taken || !guard.pins_are_locked(KEY, now, &who));
            taken
        };
        let (start, later) = (Instant::ZERO, Instant::ZERO + Duration::from_secs(1000));
        assert!(takes(start, b"101", b"493817"));
        for wrong in [&b"493818"[..], b"4938", b"4938170", b"000000", b"1"] {
            assert!(!takes(start, b"101", wrong));
        }
        assert!(!takes(start, b"101", b"493817"), "five were wrong");
        assert!(takes(start, b"102", b"493817"), "the neighbour still may");
        assert!(takes(later, b"101", b"493817"));
        for caller in 0..60u8 {
            assert!(!takes(later, &[caller], b"000000"));
        }
        assert!(
            !takes(later, b"102", b"493817"),
            "somebody tries one by one"
        );
    }

    #[test]
    fn pins_are_hidden_byte_for_byte() {
        let mut text =
            b"INVITE sip:*493817*1 SIP/2.0 <sip:*493817*1@h> sip:*72@h :*123*:*".to_vec();
        hide_pins(&mut text);
        let expected = b"INVITE sip:*xxxxxx*1 SIP/2.0 <sip:*xxxxxx*1@h> sip:*72@h :*123*:*";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_secret_that_is_no_pin_is_none() {
        for bad in ["", "123", "12a4", "12345678901234567"] {
            let policy = Policy::of_country(Country::NONE);
            let guard = Guard::new(policy, Some(Secret::new(bad.into())));
            assert!(
                guard.pin.is_none() && !guard.policy().unwrap().has_pin,
                "{bad}"
            );
        }
    }

    #[test]
    fn numbers_out_of_plan_are_read_as_a_carrier_might() {
        let read = |text: &str| {
            international(&Number {
                text: text.to_owned(),
                e164: None,
            })
        };
        assert_eq!(read("0025261234567"), "25261234567");
        assert_eq!(read("01125261234567"), "25261234567");
        assert_eq!(read("25261234567"), "25261234567");
        for home in ["411", "*67", "bob", "5550100"] {
            assert_eq!(read(home), "", "{home}");
        }
    }
}
