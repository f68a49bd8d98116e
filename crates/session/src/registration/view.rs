//! What people may know of a trunk's registration.

use ringfence_base::UnixTime;

/// Other contacts of our address of record that are kept, at most.
pub(crate) const OTHERS_MAX: usize = 16;

/// Longest URI of such a contact that is kept, in bytes.
pub(crate) const OTHER_URI_MAX: usize = 256;

/// A trunk's registration as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistrationView {
    /// Where it stands.
    pub state: RegistrationState,
    /// What is wrong, if something is.
    pub trouble: Option<Trouble>,
    /// `sip:carrier.example`.
    pub registrar: String,
    /// `sip:summit@carrier.example`.
    pub address_of_record: String,
    /// Our Contact there.
    pub contact: String,
    /// Until when the binding lasts at the carrier.
    pub expires: Option<UnixTime>,
    /// When the next REGISTER goes out.
    pub next: Option<UnixTime>,
    /// The last final status.
    pub last_code: Option<u16>,
    /// REGISTERs sent.
    pub attempts: u64,
    /// Exchanges in a row that failed.
    pub failures: u32,
    /// Answers that made no sense, or asked for what nobody should: lived with, and counted.
    pub oddities: u64,
    /// Contacts of our address of record that are not ours, as the carrier last listed them.
    pub others: Vec<OtherContact>,
    /// How many it listed, also those that are not kept.
    pub others_total: u32,
    /// The Route that the carrier wants in our requests (Service-Route, RFC 3608).
    pub service_route: Option<String>,
}

impl RegistrationView {
    /// Where it stands at `now`: a binding that has run out is none, even if nothing was sent
    /// since.
    pub fn state_at(&self, now: UnixTime) -> RegistrationState {
        let lasts = self.expires.is_some_and(|expires| expires > now);
        match self.state {
            RegistrationState::Registered if !lasts => RegistrationState::Failed,
            state => state,
        }
    }
}

/// A contact that somebody else registered under our address of record. What it says is the
/// carrier's word: escape it wherever it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherContact {
    /// Its URI.
    pub uri: String,
    /// Seconds that it lasts, if the carrier said so.
    pub expires: Option<u32>,
}

/// Where a registration stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegistrationState {
    /// No binding; the next try waits for its time.
    Failed,
    /// The binding is there.
    Registered,
    /// The first try is on its way.
    Registering,
    /// The binding was taken back: the edge drains, or the trunk no longer registers.
    Unregistered,
}

impl RegistrationState {
    /// In a word.
    pub const fn as_str(self) -> &'static str {
        match self {
            RegistrationState::Failed => "not registered",
            RegistrationState::Registered => "registered",
            RegistrationState::Registering => "registering",
            RegistrationState::Unregistered => "unregistered",
        }
    }
}

/// What is wrong with a registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The carrier keeps bindings for an absurd time: this many seconds, 0 for less than one.
    AbsurdExpires(u32),
    /// The interval that the carrier demands in its 423 is absent or absurd.
    AbsurdInterval,
    /// The challenge is for another realm than the configured one.
    ChallengeRealm,
    /// The challenge cannot be answered: no Digest, or none of its algorithms is known.
    ChallengeUnknown,
    /// The trunk's name has no address, or the listener none for its transport.
    NoAddress,
    /// No answer.
    NoAnswer,
    /// The password is empty.
    NoPassword,
    /// The answer does not list our contact.
    NotListed,
    /// The answer cannot be read.
    Nonsense,
    /// User name or password are wrong.
    Password,
    /// Another status than a registrar's yes.
    Refused(u16),
    /// The carrier dropped the binding in the moment it made it.
    Removed,
    /// No connection.
    Transport,
}

impl Trouble {
    /// In words.
    pub fn words(self) -> String {
        let words = match self {
            Trouble::AbsurdExpires(0) => {
                "the carrier keeps the binding for less than a second; it is renewed less often"
            }
            Trouble::AbsurdExpires(seconds) => {
                return format!(
                    "the carrier keeps the binding for {seconds} s, which is absurd; it is renewed \
                     at a sane interval"
                );
            }
            Trouble::AbsurdInterval => "the carrier demands an absurd interval (423)",
            Trouble::ChallengeRealm => "the carrier's challenge is for another realm",
            Trouble::ChallengeUnknown => "the carrier's challenge is of no kind that is known",
            Trouble::NoAddress => "the carrier's name has no address",
            Trouble::NoAnswer => "the carrier does not answer",
            Trouble::NoPassword => "the password is empty",
            Trouble::NotListed => "the carrier's answer does not list our contact",
            Trouble::Nonsense => "the carrier's answer makes no sense",
            Trouble::Password => "the carrier refuses the user name or the password",
            Trouble::Refused(420) => "the carrier does not know bulk registration (420)",
            Trouble::Refused(code) => return format!("the carrier answers {code}"),
            Trouble::Removed => "the carrier dropped the binding at once",
            Trouble::Transport => "the carrier cannot be connected to",
        };
        words.to_owned()
    }
}
