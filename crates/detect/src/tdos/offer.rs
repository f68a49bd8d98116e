//! What is known of a call when it is offered, and what is ruled about it.

use ringfence_base::Instant;

use super::baseline::HourOfWeek;
use crate::callers::{CallerKey, Standing};
use crate::event::CallRef;

/// A call that the carrier offers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Offer {
    /// The call.
    pub call: CallRef,
    /// When.
    pub at: Instant,
    /// The hour of the week, where the site is.
    pub hour: HourOfWeek,
    /// Who calls; none is a hidden number.
    pub caller: Option<CallerKey>,
    /// What that caller is to the business.
    pub standing: Standing,
    /// Somebody answers an emergency call of the site (RFC 7090, and there was one lately).
    pub emergency: bool,
    /// Where it comes from.
    pub upstream: Upstream,
    /// So many times as many strangers as usual are usual now, going by other businesses
    /// ([`super::climate::usual_now`]); 1 where nothing is known of others.
    pub elsewhere: f64,
}

/// Where a call comes from, as far as the carrier shows it. Weak evidence all of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Upstream {
    /// How the INVITE is built, and by what route it came; 0 is unknown.
    pub fingerprint: u64,
    /// The `origid` of its PASSporT (RFC 8588), hashed; 0 is none.
    pub origid: u64,
    /// Who vouches for the number.
    pub attestation: Attestation,
    /// Whether the number can be a caller's.
    pub number: CallingNumber,
}

/// How far somebody vouches for a calling number (RFC 8588 §4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Attestation {
    /// Full.
    A,
    /// Partial.
    B,
    /// Gateway.
    C,
    /// Not signed.
    #[default]
    None,
}

/// Whether a calling number can be one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CallingNumber {
    /// Kept back.
    Hidden,
    /// No number of its numbering plan: nobody can have it.
    Impossible,
    /// A subscriber's, for all one can see.
    #[default]
    Subscriber,
}

impl CallingNumber {
    /// Reads a calling number in international form (`+` and digits); none is kept back.
    pub fn read(number: Option<&str>) -> CallingNumber {
        let Some(number) = number else {
            return CallingNumber::Hidden;
        };
        let digits = number.strip_prefix('+').unwrap_or_default().as_bytes();
        let is_number = digits.iter().all(u8::is_ascii_digit);
        let possible = is_number
            && match digits {
                // North America: neither area code nor exchange begins with 0 or 1 (E.164 zone 1).
                [b'1', rest @ ..] => match rest {
                    [area, a, b, exchange, ..] => {
                        let service = (*a, *b) == (b'1', b'1');
                        rest.len() == 10 && *area > b'1' && !service && *exchange > b'1'
                    }
                    _ => false,
                },
                [b'0', ..] => false,
                _ => (7..=15).contains(&digits.len()),
            };
        match possible {
            true => CallingNumber::Subscriber,
            false => CallingNumber::Impossible,
        }
    }
}

impl Upstream {
    /// What speaks for an attack in it, in nats. B- and C-signed calls have been several times
    /// likelier to be robocalls than others; a full attestation says little.
    pub fn tells(&self) -> f64 {
        let attestation = match self.attestation {
            Attestation::A => -0.1,
            Attestation::B => 0.3,
            Attestation::C => 0.6,
            Attestation::None => 0.1,
        };
        let number = match self.number {
            CallingNumber::Hidden => 0.3,
            CallingNumber::Impossible => 1.2,
            CallingNumber::Subscriber => 0.0,
        };
        attestation + number
    }
}

/// What is done with an offered call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on to the site.
    Admit,
    /// It is answered here and asked for digits.
    Screen {
        /// Whether callers are told first that calls under the site's number were forged: many
        /// of them may be people who call back.
        kindly: bool,
    },
    /// It is refused.
    Shed {
        /// 486 or 608: final for the call, and no carrier fails over for it.
        status: u16,
    },
}

/// A verdict and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ruling {
    /// What is done.
    pub verdict: Verdict,
    /// The sentence for a person.
    pub why: String,
}

/// How a challenge ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Challenge {
    /// The right digits.
    Passed,
    /// Wrong digits, or none in time.
    Failed,
    /// The caller hung up.
    HungUp,
    /// It never began: the call could not be answered here. Says nothing about the caller.
    Unasked,
}

/// Something that must be done to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The time for the digits is over: the call goes to voicemail, or its number is noted for a
    /// call back and it is ended. The machine holds it as gone.
    LeaveToCallBack(CallRef),
    /// Somebody calls for help and every channel is in use: this call is ended. The machine holds it
    /// as gone.
    EndForEmergency(CallRef),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_nobody_can_have_are_impossible() {
        let read = |number| CallingNumber::read(Some(number));
        for good in ["+13305550100", "+4915112345678", "+442071838750"] {
            assert_eq!(read(good), CallingNumber::Subscriber, "{good}");
        }
        for bad in [
            "+11305550100",
            "+13301550100",
            "+1330555010",
            "+0123456789",
            "anonymous",
            "",
            "+19115550100",
        ] {
            assert_eq!(read(bad), CallingNumber::Impossible, "{bad}");
        }
        assert_eq!(CallingNumber::read(None), CallingNumber::Hidden);
    }
}
