//! The registration of one trunk: when to send which REGISTER (RFC 3261 §10.2, RFC 5626 §4.5).
//!
//! It knows no sockets and no transactions: it is told of answers and silence, and says what to do.

use std::net::SocketAddr;
use std::time::Duration;

use ringfence_base::net::{ConnectionId, Flow, ListenerId, Transport};
use ringfence_base::time::WallAnchor;
use ringfence_base::{Entropy, Instant};
use ringfence_dialog::{Branch, ClientId, LocalCallId, Tag};
use ringfence_sip::digest::{Challenge, next_nonce, strongest};
use ringfence_sip::write::MessageWriter;
use ringfence_sip::{HeaderName, Message, Method};

use super::answer::{Lifetime, Unfit, bindings, lifetime, service_route};
use super::view::{OtherContact, RegistrationState, RegistrationView, Trouble};
use crate::account::{Account, Registering};
use crate::authentication::{Unanswered, Use, cnonce, credentials};
use crate::headers;
use crate::outgoing::MAX_FORWARDS;

/// Shortest lifetime that is believed, in seconds: a carrier that grants less makes us renew no
/// more often than this allows.
const LIFETIME_LEAST: u32 = 20;

/// Longest lifetime that is believed, in seconds: a day.
const LIFETIME_MOST: u32 = 86_400;

/// The first wait after a failure (RFC 5626 §4.5 has 30 s; a business that cannot be called does
/// not wait that long the first time).
const BACK_OFF_BASE: Duration = Duration::from_secs(5);

/// The longest wait after silence and faults of the carrier.
const BACK_OFF_MOST: Duration = Duration::from_secs(300);

/// The longest wait after a refusal, which no patience mends (RFC 5626 §4.5's max-time).
const REFUSED_MOST: Duration = Duration::from_secs(1800);

/// The longest Retry-After that is heeded, in seconds.
const RETRY_AFTER_MOST: u32 = 3600;

/// Without a success for this long, or with one longer ago, a hint that the carrier has forgotten
/// us is followed at once.
const HINT_APART: Duration = Duration::from_secs(30);

/// What a registration is about. While this stays the same, so does the registration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Subject {
    pub(super) account: Account,
    pub(super) registering: Registering,
    pub(super) listener: ListenerId,
    pub(super) transport: Transport,
    /// Our own address towards the carrier.
    pub(super) ours: SocketAddr,
    /// The Request-URI: the registrar.
    pub(super) registrar: String,
    /// The address of record.
    pub(super) address_of_record: String,
    /// The user in our Contact; empty in bulk registration.
    pub(super) contact_user: String,
}

/// One trunk's registration.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) subject: Subject,
    /// The registrar's addresses, best first.
    pub(super) addresses: Vec<SocketAddr>,
    /// The REGISTER that waits for its answer.
    pub(super) open: Option<ClientId>,
    call_id: LocalCallId,
    tag: Tag,
    cseq: u32,
    /// Lifetime to ask for, in seconds.
    wanted: u32,
    kept: Option<Kept>,
    /// Challenges answered, and 423s obeyed, in this exchange.
    answered: u8,
    raised: bool,
    target: usize,
    bound_until: Option<Instant>,
    succeeded: Option<Instant>,
    connection: Option<ConnectionId>,
    next: Option<Instant>,
    leaving: bool,
    trouble: Option<Trouble>,
    last_code: Option<u16>,
    attempts: u64,
    failures: u32,
    oddities: u64,
    others: Vec<OtherContact>,
    others_total: u32,
    service_route: Option<String>,
}

/// The carrier's last challenge, so that a refresh need not be challenged again.
#[derive(Debug)]
struct Kept {
    header: HeaderName,
    challenge: Challenge,
    nc: u32,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The registration is over.
    Done,
    /// Send a REGISTER now, in the same exchange.
    Send,
    /// Begin an exchange then.
    Wait(Instant),
}

impl Machine {
    pub(super) fn new(subject: Subject, call_id: LocalCallId, tag: Tag) -> Machine {
        let wanted = u32::try_from(subject.registering.expires.as_secs()).unwrap_or(LIFETIME_MOST);
        Machine {
            subject,
            addresses: Vec::new(),
            open: None,
            call_id,
            tag,
            cseq: 0,
            wanted,
            kept: None,
            answered: 0,
            raised: false,
            target: 0,
            bound_until: None,
            succeeded: None,
            connection: None,
            next: None,
            leaving: false,
            trouble: None,
            last_code: None,
            attempts: 0,
            failures: 0,
            oddities: 0,
            others: Vec::new(),
            others_total: 0,
            service_route: None,
        }
    }

    /// Begins an exchange.
    pub(super) fn begin(&mut self) {
        self.answered = 0;
        self.raised = false;
        self.next = None;
    }

    /// Takes the binding back: whatever is sent from here on does that. Says whether there is one.
    pub(super) fn leave(&mut self, now: Instant) -> bool {
        self.leaving = true;
        self.begin();
        // One that is being made counts as made.
        self.open.is_some() || self.bound_until.is_some_and(|until| until > now)
    }

    pub(super) const fn is_leaving(&self) -> bool {
        self.leaving
    }

    /// Where REGISTERs of this exchange go.
    pub(super) fn flow(&self) -> Option<Flow> {
        let remote = *self
            .addresses
            .get(self.target % self.addresses.len().max(1))?;
        Some(Flow {
            listener: self.subject.listener,
            transport: self.subject.transport,
            remote,
            connection: None,
        })
    }

    /// Writes the next REGISTER.
    pub(super) fn write(
        &mut self,
        out: &mut Vec<u8>,
        branch: Branch,
        entropy: &mut dyn Entropy,
    ) -> Result<(), Trouble> {
        self.cseq = self.cseq.wrapping_add(1).max(1);
        let authorization = self.authorization(entropy)?;
        self.attempts += 1;
        let subject = &self.subject;
        let lifetime = if self.leaving { 0 } else { self.wanted };
        let mut writer = MessageWriter::request(out, Method::Register, &subject.registrar);
        writer.via(subject.transport, subject.ours, branch, true);
        writer.header_fmt(HeaderName::MaxForwards, format_args!("{MAX_FORWARDS}"));
        let aor = &subject.address_of_record;
        writer.header_fmt(HeaderName::From, format_args!("<{aor}>;tag={}", self.tag));
        writer.header_fmt(HeaderName::To, format_args!("<{aor}>"));
        writer.header(HeaderName::CallId, self.call_id);
        writer.header_fmt(HeaderName::CSeq, format_args!("{} REGISTER", self.cseq));
        writer.header_fmt(
            HeaderName::Contact,
            format_args!("<{}>;expires={lifetime}", self.contact()),
        );
        writer.header_fmt(HeaderName::Expires, format_args!("{lifetime}"));
        if subject.registering.bulk {
            // RFC 6140 §5.2.
            writer.header(HeaderName::Require, "gin");
            writer.header(HeaderName::ProxyRequire, "gin");
        }
        if let Some((header, value)) = authorization {
            writer.header(header, value);
        }
        writer.finish();
        Ok(())
    }

    /// `sip:user@host:port;transport=tls`.
    fn contact(&self) -> String {
        let subject = &self.subject;
        let at = if subject.contact_user.is_empty() {
            ""
        } else {
            "@"
        };
        let transport = match subject.transport {
            Transport::Udp => String::new(),
            other => format!(";transport={other}"),
        };
        let bulk = if subject.registering.bulk { ";bnc" } else { "" };
        let (user, ours) = (&subject.contact_user, subject.ours);
        format!("sip:{user}{at}{ours}{transport}{bulk}")
    }

    fn authorization(
        &mut self,
        entropy: &mut dyn Entropy,
    ) -> Result<Option<(HeaderName, Vec<u8>)>, Trouble> {
        let Some(kept) = &mut self.kept else {
            return Ok(None);
        };
        kept.nc = kept.nc.saturating_add(1);
        let use_of = Use {
            method: b"REGISTER",
            uri: self.subject.registrar.as_bytes(),
            nc: kept.nc,
            cnonce: cnonce(1, entropy),
        };
        credentials(&kept.challenge, kept.header, &self.subject.account, &use_of)
            .map(|made| Some((made.header, made.value)))
            .map_err(|why| match why {
                Unanswered::NoPassword => Trouble::NoPassword,
                Unanswered::Realm => Trouble::ChallengeRealm,
                Unanswered::Challenge(_) | Unanswered::Refused => Trouble::ChallengeUnknown,
            })
    }

    /// A final answer has come over `flow`.
    pub(super) fn on_answer(
        &mut self,
        now: Instant,
        flow: Flow,
        message: &Message<'_>,
        entropy: &mut dyn Entropy,
    ) -> Step {
        let status = message.status().map_or(0, |status| status.raw());
        self.open = None;
        self.last_code = Some(status);
        self.connection = flow.connection;
        match status {
            200..=299 if self.leaving => {
                self.bound_until = None;
                Step::Done
            }
            200..=299 => self.on_success(now, message, entropy),
            401 | 407 => self.on_challenge(now, message, entropy),
            423 if !self.leaving => self.on_too_brief(now, message, entropy),
            _ => {
                let wait = headers::retry_after(message);
                self.fail(now, Trouble::Refused(status), wait, entropy)
            }
        }
    }

    /// No answer came, or no connection; nothing could be sent.
    pub(super) fn on_silence(
        &mut self,
        now: Instant,
        trouble: Trouble,
        entropy: &mut dyn Entropy,
    ) -> Step {
        self.open = None;
        self.fail(now, trouble, None, entropy)
    }

    /// Something says that the carrier may have forgotten us: when to register anew, if earlier
    /// than planned.
    pub(super) fn on_hint(&mut self, now: Instant, entropy: &mut dyn Entropy) -> Option<Step> {
        if self.open.is_some() || self.leaving {
            return None;
        }
        let earliest = self.succeeded.map_or(now, |at| now.max(at + HINT_APART));
        let at = earliest + Duration::from_millis(200 + entropy.below(1800));
        if self.next.is_some_and(|next| next <= at) {
            return None;
        }
        self.next = Some(at);
        Some(Step::Wait(at))
    }

    /// The first contact that the carrier lists and that is not ours, and how many there are.
    pub(super) fn alien(&self) -> Option<(String, u32)> {
        let first = self.others.first()?;
        Some((first.uri.clone(), self.others_total))
    }

    /// The connection over which the carrier answered is gone: it may be the only way for its
    /// calls to us.
    pub(super) fn used(&self, connection: ConnectionId) -> bool {
        self.connection == Some(connection)
    }

    fn on_success(
        &mut self,
        now: Instant,
        message: &Message<'_>,
        entropy: &mut dyn Entropy,
    ) -> Step {
        let found = bindings(message, &self.subject.contact_user, self.subject.ours);
        self.oddities += found.unreadable;
        self.others = found.others;
        self.others_total = found.others_total;
        self.service_route = match service_route(message) {
            Ok(route) => route,
            Err(Unfit) => {
                self.oddities += 1;
                None
            }
        };
        self.note_next_nonce(message);
        let mut trouble = (!found.ours).then_some(Trouble::NotListed);
        let granted = match found.lifetime {
            Some(Lifetime::Seconds(0)) => return self.fail(now, Trouble::Removed, None, entropy),
            None => self.wanted,
            Some(Lifetime::Nonsense) => {
                trouble = Some(Trouble::Nonsense);
                self.wanted
            }
            Some(Lifetime::Moment) => {
                trouble = Some(Trouble::AbsurdExpires(0));
                0
            }
            Some(Lifetime::Seconds(seconds)) => {
                if !(LIFETIME_LEAST..=LIFETIME_MOST).contains(&seconds) {
                    trouble = Some(Trouble::AbsurdExpires(seconds));
                }
                seconds
            }
        };
        self.oddities += u64::from(trouble.is_some());
        self.trouble = trouble;
        self.failures = 0;
        self.succeeded = Some(now);
        let lifetime = Duration::from_secs(granted.clamp(LIFETIME_LEAST, LIFETIME_MOST).into());
        self.bound_until = Some(now + lifetime);
        // At 80 to 90 percent of it, so that a lost REGISTER has time for another.
        let refresh = lifetime / 1000 * (800 + entropy.below(101)) as u32;
        self.wait(now + refresh)
    }

    /// RFC 7616 §3.5: the nonce for the next time.
    fn note_next_nonce(&mut self, message: &Message<'_>) {
        let next = message
            .header(HeaderName::AuthenticationInfo)
            .and_then(next_nonce);
        if let (Some(next), Some(kept)) = (next, &mut self.kept) {
            kept.challenge = kept.challenge.with_nonce(next);
            kept.nc = 0;
        }
    }

    fn on_challenge(
        &mut self,
        now: Instant,
        message: &Message<'_>,
        entropy: &mut dyn Entropy,
    ) -> Step {
        let Ok((header, challenge)) = strongest(message) else {
            self.oddities += 1;
            return self.fail(now, Trouble::ChallengeUnknown, None, entropy);
        };
        // What was sent of our own accord was an offer; a password is tried once.
        let again = self.answered == 0 || (self.answered == 1 && challenge.stale);
        if !again {
            self.kept = None;
            return self.fail(now, Trouble::Password, None, entropy);
        }
        self.answered += 1;
        self.kept = Some(Kept {
            header,
            challenge,
            nc: 0,
        });
        Step::Send
    }

    /// 423 (RFC 3261 §10.2.8): the carrier wants longer lifetimes.
    fn on_too_brief(
        &mut self,
        now: Instant,
        message: &Message<'_>,
        entropy: &mut dyn Entropy,
    ) -> Step {
        let least = message.header(HeaderName::MinExpires).map(lifetime);
        match least {
            Some(Lifetime::Seconds(least))
                if least > self.wanted && least <= LIFETIME_MOST && !self.raised =>
            {
                self.wanted = least;
                self.raised = true;
                Step::Send
            }
            _ => {
                self.oddities += 1;
                self.fail(now, Trouble::AbsurdInterval, None, entropy)
            }
        }
    }

    fn fail(
        &mut self,
        now: Instant,
        trouble: Trouble,
        retry_after: Option<u32>,
        entropy: &mut dyn Entropy,
    ) -> Step {
        self.trouble = Some(trouble);
        self.failures = self.failures.saturating_add(1);
        if matches!(trouble, Trouble::Removed) {
            self.bound_until = None;
        }
        if self.leaving {
            return Step::Done;
        }
        let (most, elsewhere) = match trouble {
            Trouble::NoAnswer | Trouble::Transport | Trouble::Refused(500..=599) => {
                (BACK_OFF_MOST, true)
            }
            Trouble::NoAddress => (BACK_OFF_MOST, false),
            _ => (REFUSED_MOST, false),
        };
        if elsewhere {
            self.target = (self.target + 1) % self.addresses.len().max(1);
            // Its nonces were the other member's.
            self.kept = self.kept.take().filter(|_| self.addresses.len() < 2);
        }
        let doubled = BACK_OFF_BASE.saturating_mul(1 << self.failures.saturating_sub(1).min(12));
        let wait = doubled.min(most) / 1000 * (500 + entropy.below(501)) as u32;
        let asked = retry_after.unwrap_or(0).min(RETRY_AFTER_MOST);
        self.wait(now + wait.max(Duration::from_secs(asked.into())))
    }

    fn wait(&mut self, at: Instant) -> Step {
        self.next = Some(at);
        Step::Wait(at)
    }

    /// Until when the binding lasts, if there is one that is to last.
    pub(super) fn bound_until(&self) -> Option<Instant> {
        self.bound_until.filter(|_| !self.leaving)
    }

    /// What people may know at `now`.
    pub(super) fn view(&self, now: Instant, anchor: WallAnchor) -> RegistrationView {
        let bound = self.bound_until.filter(|until| *until > now);
        let state = match (self.leaving, bound) {
            (true, _) => RegistrationState::Unregistered,
            (false, Some(_)) => RegistrationState::Registered,
            (false, None) if self.failures > 0 => RegistrationState::Failed,
            (false, None) => RegistrationState::Registering,
        };
        RegistrationView {
            state,
            trouble: self.trouble.filter(|_| !self.leaving),
            registrar: self.subject.registrar.clone(),
            address_of_record: self.subject.address_of_record.clone(),
            contact: self.contact(),
            expires: bound.map(|until| anchor.unix_time(until)),
            next: self.next.map(|next| anchor.unix_time(next)),
            last_code: self.last_code,
            attempts: self.attempts,
            failures: self.failures,
            oddities: self.oddities,
            others: self.others.clone(),
            others_total: self.others_total,
            service_route: self.service_route.clone(),
        }
    }
}
