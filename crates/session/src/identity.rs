//! Who is calling: what a caller may present, and what each side is told (RFC 3323, RFC 3325).
//!
//! A phone system presents numbers of its own site only, so that a taken-over one cannot call in
//! somebody else's name. Both sides of a call are told no more than their trust allows: only a
//! peer within the trust domain gets P-Asserted-Identity, and a caller who asked for privacy is
//! anonymous in From.

use ringfence_sip::write::MessageWriter;
use ringfence_sip::{HeaderName, Message, NameAddr};
use ringfence_stir::verifier::IDENTITIES_MAX;
use ringfence_stir::{Identity as Token, Verdict, Verstat};

use crate::cdr::Direction;
use crate::headers;
use crate::numbering::{Number, NumberingPlan, calling_of};
use crate::plan::{Peer, Plan, Site};
use crate::policy::CallingNumber;
use crate::refusal::RefusalReason;
use crate::registrar::presented;
use crate::routing::Route;
use crate::signing::canonical;
use crate::verification::VerstatForm;

/// Values of one header that are looked at.
const VALUES_MAX: usize = 8;

/// What is known of a caller, and what of it may be said.
#[derive(Clone, Debug, Default)]
pub(crate) struct Identity {
    /// The number in From; `None` is anonymous.
    pub(crate) shown: Option<Number>,
    /// The number for a trusted peer.
    pub(crate) asserted: Option<Number>,
    /// What Privacy says to a trusted peer.
    privacy: Option<&'static str>,
    /// The true number, for the record.
    pub(crate) real: Option<String>,
    /// The number that stands in the place of one that may not be presented.
    pub(crate) replaced_by: Option<String>,
    /// What came of the verification of the number that the carrier gives.
    pub(crate) verified: Option<Box<Verified>>,
    /// What a verified call brought along that is diverted.
    pub(crate) diverted: Option<Box<Diverted>>,
}

/// A verified call that goes on to another number (RFC 8946 §4.1).
#[derive(Clone, Debug)]
pub(crate) struct Diverted {
    /// Who calls, in canonical digits.
    pub(crate) orig: String,
    /// Who was called, likewise.
    pub(crate) by: String,
    /// The Identity headers that the call came with.
    pub(crate) tokens: Vec<String>,
}

/// A number, and what is known of who calls from it.
#[derive(Clone, Debug)]
pub(crate) struct Verified {
    /// The number in canonical digits; `None` if there was none to speak of.
    number: Option<String>,
    /// Who is called, likewise, where To and the route say the same.
    called: Option<String>,
    pub(crate) verdict: Verdict,
}

impl Identity {
    /// Keeps the verdict on the caller of `message`, which came by `ingress`.
    pub(crate) fn keep(
        &mut self,
        verdict: &Verdict,
        (ingress, site): (&Peer, &Site),
        called: &Number,
        message: &Message<'_>,
    ) {
        let number = claimed(ingress, site, message);
        let to = to_number(ingress, site, message).and_then(|to| canonical(&to));
        self.verified = Some(Box::new(Verified {
            number: number.and_then(|number| canonical(&number)),
            called: canonical(called).filter(|called| to.as_ref() == Some(called)),
            verdict: verdict.clone(),
        }));
    }

    /// Keeps what a call that was `verified` before brought along in `invite`.
    pub(crate) fn divert(&mut self, verified: Option<&Verified>, invite: &Message<'_>) {
        let passed = verified.filter(|verified| verified.verdict.error.is_none());
        let Some(verified) = passed else { return };
        let (Some(orig), Some(by)) = (&verified.number, &verified.called) else {
            return;
        };
        let token = |value: &[u8]| {
            let sound = !value.iter().any(u8::is_ascii_control) && Token::parse(value).is_ok();
            sound.then(|| String::from_utf8_lossy(value).into_owned())
        };
        let tokens = invite.headers(HeaderName::Identity).take(IDENTITIES_MAX);
        self.diverted = Some(Box::new(Diverted {
            orig: orig.clone(),
            by: by.clone(),
            tokens: tokens.filter_map(token).collect(),
        }));
    }

    /// The verdict, if it is one on `number`.
    fn verstat_of(&self, number: &Number) -> Option<Verstat> {
        let verified = self.verified.as_ref()?;
        let same = verified.number.is_some() && canonical(number) == verified.number;
        same.then(|| verified.verdict.verstat())
    }
}

/// The number in To.
pub(crate) fn to_number(ingress: &Peer, site: &Site, message: &Message<'_>) -> Option<Number> {
    let to = calling_of(&message.to().ok()?.uri)?;
    let (form, plan) = (ingress.policy.numbers_in, site.policy.numbering);
    Some(Number::read(&to, form, plan))
}

/// The number that the carrier `ingress` gives its caller: P-Asserted-Identity if it is believed,
/// else From.
pub(crate) fn claimed(ingress: &Peer, site: &Site, message: &Message<'_>) -> Option<Number> {
    let claims = Claims::read(ingress, site, message);
    claims.asserted.or(claims.from)
}

/// A caller's number may not be presented: 403.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotPresentable;

impl NotPresentable {
    pub(crate) const REASON: RefusalReason = RefusalReason::CallingNumber;
    pub(crate) const STATUS: u16 = 403;
}

/// Judges the caller of `message`, which `route` leads on.
pub(crate) fn identify(
    plan: &Plan,
    route: &Route,
    message: &Message<'_>,
) -> Result<Identity, NotPresentable> {
    let (Some(ingress), Some(site)) = (plan.peer(route.ingress), plan.site(route.site)) else {
        return Err(NotPresentable);
    };
    let claims = Claims::read(ingress, site, message);
    if let Some(caller) = route.caller {
        return Ok(claims.of_a_phone(presented(plan, route, caller), route.emergency));
    }
    match route.direction {
        // Within the site everybody knows everybody.
        Direction::Inbound | Direction::Internal => Ok(claims.of_a_carrier()),
        Direction::Outbound if route.emergency => Ok(claims.of_an_emergency(site)),
        Direction::Outbound => claims.of_a_site(site, ingress),
    }
}

/// What a message says about its caller.
#[derive(Debug)]
struct Claims {
    from: Option<Number>,
    asserted: Option<Number>,
    preferred: Option<Number>,
    privacy: Privacy,
}

impl Claims {
    fn read(ingress: &Peer, site: &Site, message: &Message<'_>) -> Claims {
        let (form, plan) = (ingress.policy.numbers_in, site.policy.numbering);
        let number = |text: String| Number::read(&text, form, plan);
        let first = |name: HeaderName| {
            let mut values = message.values(name).take(VALUES_MAX);
            values.find_map(|value| calling_of(&NameAddr::parse(value).ok()?.uri))
        };
        let from = message.from().ok();
        Claims {
            from: from.and_then(|from| calling_of(&from.uri)).map(number),
            asserted: ingress
                .policy
                .trust
                .then(|| first(HeaderName::PAssertedIdentity).map(number))
                .flatten(),
            preferred: first(HeaderName::PPreferredIdentity).map(number),
            privacy: Privacy::read(message),
        }
    }

    /// From a carrier: its word, as far as it is trusted.
    fn of_a_carrier(self) -> Identity {
        let hidden = self.privacy.wanted();
        let shown = self.from.clone().filter(|_| !hidden);
        Identity {
            real: self.real(),
            privacy: self
                .privacy
                .said(shown.is_none() && self.asserted.is_some()),
            shown,
            asserted: self.asserted,
            replaced_by: None,
            verified: None,
            diverted: None,
        }
    }

    /// A phone is who its credentials say, whatever it writes. It may ask to be hidden, but not
    /// from whoever must call it back to help.
    fn of_a_phone(self, number: Option<Number>, emergency: bool) -> Identity {
        let hidden = self.privacy.wanted() && !emergency;
        let privacy = self.privacy.said(hidden);
        Identity {
            real: number.as_ref().map(|number| number.text.clone()),
            privacy: privacy.filter(|_| !emergency),
            shown: number.clone().filter(|_| !hidden),
            asserted: number,
            replaced_by: None,
            verified: None,
            diverted: None,
        }
    }

    /// A site's caller who needs help: always with a number that can be called back.
    fn of_an_emergency(self, site: &Site) -> Identity {
        let own = self.own(site).or(site.policy.main_number.map(Number::from));
        let number = own
            .or_else(|| self.asserted.clone())
            .or_else(|| self.from.clone());
        Identity {
            real: self.real(),
            replaced_by: self.replacement(number.as_ref()),
            shown: number.clone(),
            asserted: number,
            privacy: None,
            verified: None,
            diverted: None,
        }
    }

    /// From a site's phone system: the site's own numbers, by its policy.
    fn of_a_site(self, site: &Site, ingress: &Peer) -> Result<Identity, NotPresentable> {
        let policy = &ingress.policy;
        let hidden = policy.anonymous && (self.privacy.wanted() || self.from.is_none());
        let judged = policy.calling_number != CallingNumber::Any && !site.any_number;
        let own = self.own(site);
        let claimed = self.from.is_some() || self.asserted.is_some() || self.preferred.is_some();
        let refuses = policy.calling_number == CallingNumber::Refuse;
        if judged && refuses && claimed && own.is_none() {
            return Err(NotPresentable);
        }
        let main = site.policy.main_number.map(Number::from);
        let (shown, asserted) = match judged {
            true => {
                let number = own.or(main);
                let from = self.from.clone().filter(|from| owns(site, from));
                (from.or_else(|| number.clone()), number)
            }
            false => {
                let number = self.asserted.clone().or_else(|| self.preferred.clone());
                (
                    self.from.clone().or_else(|| number.clone().or(main)),
                    number,
                )
            }
        };
        let replaced_by = self.replacement(shown.as_ref());
        let shown = shown.filter(|_| !hidden);
        Ok(Identity {
            real: self.real(),
            replaced_by: replaced_by.filter(|_| shown.is_some()),
            privacy: match policy.anonymous {
                true => self.privacy.said(shown.is_none() && asserted.is_some()),
                false => None,
            },
            shown,
            asserted,
            verified: None,
            diverted: None,
        })
    }

    /// The first claim that is a number of the site.
    fn own(&self, site: &Site) -> Option<Number> {
        [&self.asserted, &self.preferred, &self.from]
            .into_iter()
            .flatten()
            .find(|number| owns(site, number))
            .cloned()
    }

    /// The number behind an anonymous From is known from the assertion, if at all.
    fn real(&self) -> Option<String> {
        let number = self.from.as_ref().or(self.asserted.as_ref());
        number.map(|number| number.text.clone())
    }

    fn replacement(&self, shown: Option<&Number>) -> Option<String> {
        let (from, shown) = (self.from.as_ref()?, shown?);
        let same = from.text == shown.text || (from.e164.is_some() && from.e164 == shown.e164);
        (!same).then(|| shown.text.clone())
    }
}

fn owns(site: &Site, number: &Number) -> bool {
    match number.e164 {
        Some(number) => site.owns(&number.to_string()),
        None => site.owns(&number.text),
    }
}

/// What Privacy asks for.
#[derive(Clone, Copy, Debug, Default)]
struct Privacy {
    hide: bool,
    critical: bool,
    none: bool,
}

impl Privacy {
    fn read(message: &Message<'_>) -> Privacy {
        let mut privacy = Privacy::default();
        let value = headers::privacy(message).unwrap_or_default();
        for word in value.split(|byte| b";,".contains(byte)) {
            match word.trim_ascii().to_ascii_lowercase().as_slice() {
                b"id" | b"user" | b"header" => privacy.hide = true,
                b"critical" => privacy.critical = true,
                b"none" => privacy.none = true,
                _ => {}
            }
        }
        privacy
    }

    /// RFC 3323 §4.2: `none` asks that nothing be hidden, whatever else is said.
    const fn wanted(self) -> bool {
        self.hide && !self.none
    }

    /// What a trusted peer is told: the services `user` and `header` are done here, `id` is left
    /// to whoever leads out of the trust domain.
    const fn said(self, hidden: bool) -> Option<&'static str> {
        match (self.none, self.wanted() || hidden, self.critical) {
            (true, ..) => Some("none"),
            (_, true, true) => Some("id;critical"),
            (_, true, false) => Some("id"),
            _ => None,
        }
    }
}

/// The numbers of a call as one peer is told them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wording {
    /// The user of Request-URI and To.
    pub(crate) called: String,
    /// The user of From; `None` is anonymous.
    pub(crate) calling: Option<String>,
    /// `;user=phone` for them.
    user_phone: bool,
    asserted: Option<String>,
    privacy: Option<&'static str>,
    /// What is known of who calls from the asserted number, or else from the one in From.
    verstat: Option<Verstat>,
    form: VerstatForm,
}

impl Wording {
    /// What `peer` in a country is told.
    pub(crate) fn new(
        peer: &Peer,
        plan: Option<&NumberingPlan>,
        called: &Number,
        identity: &Identity,
    ) -> Wording {
        let policy = &peer.policy;
        let written = |number: &Number| number.written(policy.numbers_out, plan);
        let told = identity.asserted.as_ref().filter(|_| policy.trust);
        let told = told.or(identity.shown.as_ref());
        Wording {
            verstat: told.and_then(|number| identity.verstat_of(number)),
            form: policy.verstat,
            called: written(called),
            calling: identity.shown.as_ref().map(written),
            user_phone: policy.user_phone,
            asserted: identity
                .asserted
                .as_ref()
                .filter(|_| policy.trust)
                .map(written),
            privacy: identity.privacy.filter(|_| policy.trust),
        }
    }

    /// The user of P-Asserted-Identity, if the peer is told.
    pub(crate) fn asserted(&self) -> Option<&str> {
        self.asserted.as_deref()
    }

    /// What Privacy tells the peer.
    pub(crate) const fn privacy(&self) -> Option<&'static str> {
        self.privacy
    }

    /// `;user=phone` if the peer wants it and `user` is a telephone number (RFC 3261 §19.1.1).
    pub(crate) fn parameter(&self, user: &str) -> &'static str {
        let dialled = |byte: u8| byte.is_ascii_digit() || b"+*#".contains(&byte);
        match self.user_phone && user.bytes().all(dialled) {
            true => ";user=phone",
            false => "",
        }
    }

    /// The caller's URI in From.
    pub(crate) fn calling_uri(&self, user: &str, host: &dyn std::fmt::Display) -> String {
        // Where both numbers are told, the word is on the asserted one.
        let verstat = self.verstat.filter(|_| self.asserted.is_none());
        self.uri(user, host, verstat)
    }

    fn uri(&self, user: &str, host: &dyn std::fmt::Display, verstat: Option<Verstat>) -> String {
        let parameter = self.parameter(user);
        match (verstat.map(Verstat::as_str), self.form) {
            (Some(verstat), VerstatForm::Uri) => {
                format!("sip:{user}@{host}{parameter};verstat={verstat}")
            }
            (Some(verstat), VerstatForm::User) => {
                format!("sip:{user};verstat={verstat}@{host}{parameter}")
            }
            _ => format!("sip:{user}@{host}{parameter}"),
        }
    }

    /// Writes P-Asserted-Identity under our host, and Privacy.
    pub(crate) fn write(&self, writer: &mut MessageWriter<'_>, host: &dyn std::fmt::Display) {
        if let Some(user) = &self.asserted {
            let uri = self.uri(user, host, self.verstat);
            writer.header_fmt(HeaderName::PAssertedIdentity, format_args!("<{uri}>"));
        }
        if let Some(privacy) = self.privacy {
            writer.header(HeaderName::Privacy, privacy);
        }
    }
}
