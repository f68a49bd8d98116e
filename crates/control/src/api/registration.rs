//! Registrations of trunks, in words.

use ringfence_base::UnixTime;
use ringfence_session::registration::{RegistrationState, RegistrationView};
use serde::{Deserialize, Serialize};

use super::line::{LineState, LineVerdict};
use super::time::Timestamp;

/// `ringfence registrations`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Registrations {
    /// When this was so.
    pub at: Timestamp,
    /// A row for each trunk that is to register, in the configuration's order.
    pub registrations: Vec<Registration>,
}

/// A trunk's registration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Registration {
    /// The trunk's key.
    pub trunk: String,
    /// Key of the site.
    pub site: String,
    /// Key of the tenant.
    pub tenant: String,
    /// `sip:carrier.example`.
    pub registrar: String,
    /// `sip:summit@carrier.example`.
    pub address_of_record: String,
    /// Our Contact there.
    pub contact: String,
    /// `registered`, `registering`, `not registered`, `unregistered`.
    pub state: String,
    /// What is wrong, in words; empty if nothing is.
    pub why: String,
    /// Until when the binding lasts.
    pub expires: Option<Timestamp>,
    /// Seconds until then.
    pub expires_in_s: Option<u64>,
    /// Seconds until the next REGISTER.
    pub next_in_s: Option<u64>,
    /// The last final status.
    pub last_code: Option<u16>,
    /// REGISTERs sent.
    pub attempts: u64,
    /// Exchanges in a row that failed.
    pub failures: u32,
    /// Answers that made no sense: lived with, and counted.
    pub oddities: u64,
    /// Contacts of the same address that are not ours: somebody else registers with this account.
    pub others: Vec<OtherBinding>,
    /// How many the carrier listed, also those that are not kept.
    pub others_total: u32,
    /// The carrier's Service-Route.
    pub service_route: Option<String>,
}

/// A contact that somebody else registered. Its text is the carrier's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OtherBinding {
    /// Its URI.
    pub uri: String,
    /// Seconds that it lasts, if the carrier said so.
    pub expires_s: Option<u32>,
}

impl Registration {
    /// The registration of `trunk` as it stands at `now`.
    pub fn new(
        view: &RegistrationView,
        (trunk, site, tenant): (&str, &str, &str),
        now: UnixTime,
    ) -> Registration {
        let until = |at: UnixTime| {
            let micros = at.as_micros().saturating_sub(now.as_micros());
            u64::try_from(micros / 1_000_000).unwrap_or(0)
        };
        let state = view.state_at(now);
        let expires = view
            .expires
            .filter(|_| state == RegistrationState::Registered);
        Registration {
            trunk: trunk.to_owned(),
            site: site.to_owned(),
            tenant: tenant.to_owned(),
            registrar: view.registrar.clone(),
            address_of_record: view.address_of_record.clone(),
            contact: view.contact.clone(),
            state: state.as_str().to_owned(),
            why: view
                .trouble
                .map(|trouble| trouble.words())
                .unwrap_or_default(),
            expires: expires.map(Timestamp),
            expires_in_s: expires.map(until),
            next_in_s: view.next.map(until),
            last_code: view.last_code,
            attempts: view.attempts,
            failures: view.failures,
            oddities: view.oddities,
            others: view
                .others
                .iter()
                .map(|other| OtherBinding {
                    uri: other.uri.clone(),
                    expires_s: other.expires,
                })
                .collect(),
            others_total: view.others_total,
            service_route: view.service_route.clone(),
        }
    }
}

/// Judges a line by its registration as well: one that should be registered and is not is DOWN,
/// whatever else was proved; one whose refresh fails is DEGRADED.
pub fn judge_registration(
    verdict: LineVerdict,
    view: &RegistrationView,
    now: UnixTime,
) -> LineVerdict {
    let state = view.state_at(now);
    let trouble = view.trouble.map(|trouble| trouble.words());
    let judged = |state, why| LineVerdict {
        state,
        why,
        ..verdict.clone()
    };
    match state {
        RegistrationState::Registered if view.failures > 0 => {
            let why = trouble.unwrap_or_default();
            match verdict.state {
                LineState::Down => verdict,
                _ => judged(
                    LineState::Degraded,
                    format!("its registration could not be renewed: {why}"),
                ),
            }
        }
        RegistrationState::Registered => verdict,
        state => {
            let why = match trouble {
                Some(trouble) => format!("it is {}: {trouble}", state.as_str()),
                None => format!("it is {}", state.as_str()),
            };
            judged(LineState::Down, why)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringfence_session::registration::Trouble;

    const NOW: UnixTime = UnixTime::from_micros(1_795_376_160_000_000);

    fn view(state: RegistrationState, trouble: Option<Trouble>, failures: u32) -> RegistrationView {
        RegistrationView {
            state,
            trouble,
            registrar: "sip:carrier.example".into(),
            address_of_record: "sip:summit@carrier.example".into(),
            contact: "sip:t1@203.0.113.10:5060".into(),
            expires: Some(UnixTime::from_micros(NOW.as_micros() + 90_000_000)),
            next: None,
            last_code: Some(200),
            attempts: 2,
            failures,
            oddities: 0,
            others: Vec::new(),
            others_total: 0,
            service_route: None,
        }
    }

    #[track_caller]
    fn check(view: &RegistrationView, now: UnixTime, expected: LineState, why: &str) {
        let verdict = LineVerdict {
            state: LineState::Up,
            why: "a call was answered 40s ago".into(),
            proof: None,
        };
        let judged = judge_registration(verdict, view, now);
        assert_eq!((judged.state, judged.why.as_str()), (expected, why));
    }

    #[test]
    fn a_line_that_should_be_registered_and_is_not_is_down_with_the_reason() {
        use RegistrationState::{Failed, Registered, Registering};
        check(
            &view(Failed, Some(Trouble::Password), 1),
            NOW,
            LineState::Down,
            "it is not registered: the carrier refuses the user name or the password",
        );
        check(
            &view(Registering, None, 0),
            NOW,
            LineState::Down,
            "it is registering",
        );
        check(
            &view(Registered, Some(Trouble::NoAnswer), 1),
            NOW,
            LineState::Degraded,
            "its registration could not be renewed: the carrier does not answer",
        );
        let fine = view(Registered, None, 0);
        check(&fine, NOW, LineState::Up, "a call was answered 40s ago");
    }

    #[test]
    fn a_binding_that_ran_out_is_none() {
        let view = view(RegistrationState::Registered, None, 0);
        let later = UnixTime::from_micros(NOW.as_micros() + 91_000_000);
        check(&view, later, LineState::Down, "it is not registered");
        let shown = Registration::new(&view, ("carrier-b", "summit", "summit"), NOW);
        assert_eq!(shown.expires_in_s, Some(90));
        let shown = Registration::new(&view, ("carrier-b", "summit", "summit"), later);
        assert_eq!(
            (shown.state.as_str(), shown.expires_in_s),
            ("not registered", None)
        );
    }
}
