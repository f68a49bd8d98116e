//! What was found: a finding says what somebody did, by which evidence, how sure that is, whether
//! the source could have been made up, and until when it counts. Findings of one campaign make an
//! incident.
//!
//! Plain types without a serialisation of their own: the store and the command line write their
//! fields, and [`Finding::explain`] is the sentence for a person.

use std::fmt::{self, Write};
use std::net::IpAddr;

use ringfence_base::Instant;

use crate::event::{CallRef, Fingerprint, PeerRef, Proof, SiteRef};
use crate::name::Name;

/// What kind of thing was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// A contact that is not ours is bound to a trunk's account at its carrier.
    AlienBinding,
    /// A calling number that cannot come from there: the customer's own, from outside.
    CallerIdImpossible,
    /// The password of an account works from a new place after failures.
    Compromise,
    /// Something that the lines hang on ends soon, or leaves the customer's hands.
    Custody,
    /// A peer asks for our credentials where no peer should.
    DigestLeak,
    /// A request claims a dialog of somebody else.
    DialogForgery,
    /// Many accounts or numbers are asked for, to learn which exist.
    Enumeration,
    /// More requests than anybody has use for.
    Flood,
    /// Calls are diverted to a new number by whoever took an account.
    ForwardTakeover,
    /// Passwords of one account are tried.
    Guessing,
    /// Messages that break the standard, over and over.
    Malformed,
    /// The sound of a call is aimed at from outside.
    MediaAttack,
    /// Credentials that were used before come again.
    NonceReplay,
    /// The customer's PBX does what its owner does not.
    PbxTakeover,
    /// A trunk fails: it is silent, or refuses what it should carry.
    ProviderTrouble,
    /// A registration appears from a new place, device or build.
    RegistrationHijack,
    /// Somebody looks for what is here.
    Scan,
    /// One password, or few, is tried on many accounts.
    Spraying,
    /// Known pairs of account and password are tried, one try for each account.
    Stuffing,
    /// Calls are made to hold the lines, so that nobody else gets through.
    TelephonyDenial,
    /// Calls are made for the money that their destination pays.
    TollFraud,
    /// Calls that ring once, to be called back dearly.
    Wangiri,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 22] = [
        Kind::AlienBinding,
        Kind::CallerIdImpossible,
        Kind::Compromise,
        Kind::Custody,
        Kind::DigestLeak,
        Kind::DialogForgery,
        Kind::Enumeration,
        Kind::Flood,
        Kind::ForwardTakeover,
        Kind::Guessing,
        Kind::Malformed,
        Kind::MediaAttack,
        Kind::NonceReplay,
        Kind::PbxTakeover,
        Kind::ProviderTrouble,
        Kind::RegistrationHijack,
        Kind::Scan,
        Kind::Spraying,
        Kind::Stuffing,
        Kind::TelephonyDenial,
        Kind::TollFraud,
        Kind::Wangiri,
    ];

    /// Its name in records, commands and configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::AlienBinding => "alien-binding",
            Kind::CallerIdImpossible => "caller-id-impossible",
            Kind::Compromise => "compromise",
            Kind::Custody => "custody",
            Kind::DigestLeak => "digest-leak",
            Kind::DialogForgery => "dialog-forgery",
            Kind::Enumeration => "enumeration",
            Kind::Flood => "flood",
            Kind::ForwardTakeover => "forward-takeover",
            Kind::Guessing => "guessing",
            Kind::Malformed => "malformed",
            Kind::MediaAttack => "media-attack",
            Kind::NonceReplay => "nonce-replay",
            Kind::PbxTakeover => "pbx-takeover",
            Kind::ProviderTrouble => "provider-trouble",
            Kind::RegistrationHijack => "registration-hijack",
            Kind::Scan => "scan",
            Kind::Spraying => "spraying",
            Kind::Stuffing => "stuffing",
            Kind::TelephonyDenial => "telephony-denial",
            Kind::TollFraud => "toll-fraud",
            Kind::Wangiri => "wangiri",
        }
    }

    /// The kind of that name.
    pub fn parse(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// The technique of MITRE ATT&CK that fits best.
    pub const fn technique(self) -> &'static str {
        match self {
            Kind::AlienBinding | Kind::ForwardTakeover => "T1557",
            Kind::CallerIdImpossible => "T1656",
            Kind::Compromise | Kind::PbxTakeover => "T1078",
            Kind::Custody => "T1531",
            Kind::DigestLeak => "T1187",
            Kind::DialogForgery => "T1565.002",
            Kind::Enumeration => "T1087",
            Kind::Flood => "T1498.001",
            Kind::Guessing => "T1110.001",
            Kind::Malformed => "T1190",
            Kind::MediaAttack => "T1040",
            Kind::NonceReplay => "T1550",
            Kind::RegistrationHijack => "T1098",
            Kind::Scan => "T1595",
            Kind::Spraying => "T1110.003",
            Kind::Stuffing => "T1110.004",
            Kind::ProviderTrouble | Kind::TelephonyDenial => "T1499",
            Kind::TollFraud => "T1496",
            Kind::Wangiri => "T1598.004",
        }
    }

    /// What was done, for a sentence: "198.51.100.7 …".
    pub const fn phrase(self) -> &'static str {
        match self {
            Kind::AlienBinding => "has contacts at the carrier that are not ours",
            Kind::CallerIdImpossible => {
                "called from outside under one of the customer's own numbers"
            }
            Kind::Compromise => {
                "logged in with the right password from a new place, after failures"
            }
            Kind::Custody => "hangs on something that ends soon",
            Kind::DigestLeak => "asked for our credentials where no peer should",
            Kind::DialogForgery => "sent requests into calls of others",
            Kind::Enumeration => "asks which accounts or numbers exist",
            Kind::Flood => "sends more requests than anybody has use for",
            Kind::ForwardTakeover => "diverts calls to a new number",
            Kind::Guessing => "tries passwords",
            Kind::Malformed => "sends messages that break the standard",
            Kind::MediaAttack => "sends to media ports of others",
            Kind::NonceReplay => "repeats credentials that were used before",
            Kind::PbxTakeover => "makes calls that its owner does not make",
            Kind::ProviderTrouble => "does not carry calls as it should",
            Kind::RegistrationHijack => "registered from a new place",
            Kind::Scan => "looks for what is here",
            Kind::Spraying => "tries few passwords on many accounts",
            Kind::Stuffing => "tries stolen passwords, one on each account",
            Kind::TelephonyDenial => "holds the lines with calls",
            Kind::TollFraud => "makes calls for the money that their destination pays",
            Kind::Wangiri => "rings once, to be called back dearly",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Who or what something is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// An account (the user part of an address of record).
    Account(Name),
    /// An account, as it is tried from one address: what loses where an office shares it.
    AccountFrom(Name, IpAddr),
    /// An address.
    Address(IpAddr),
    /// A call.
    Call(CallRef),
    /// One program, wherever it sends from.
    Fingerprint(Fingerprint),
    /// A calling or called number.
    Number(Name),
    /// A configured trunk or PBX, or a group of phones.
    Peer(PeerRef),
    /// A site.
    Site(SiteRef),
    /// Nobody in particular: the edge as a whole.
    Edge,
}

impl Subject {
    /// What sort it is, for records.
    pub const fn sort(&self) -> &'static str {
        match self {
            Subject::Account(_) => "account",
            Subject::AccountFrom(..) => "account-from",
            Subject::Address(_) => "address",
            Subject::Call(_) => "call",
            Subject::Fingerprint(_) => "fingerprint",
            Subject::Number(_) => "number",
            Subject::Peer(_) => "peer",
            Subject::Site(_) => "site",
            Subject::Edge => "edge",
        }
    }
}

/// For an operator's screen: the text of a peer is escaped. Peers, sites and calls are numbers
/// here; whoever knows the plan shows their names.
impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Subject::Account(name) | Subject::Number(name) => f.write_str(&name.shown()),
            Subject::AccountFrom(name, address) => write!(f, "{} from {address}", name.shown()),
            Subject::Address(address) => write!(f, "{address}"),
            Subject::Call(call) => write!(f, "call {:016x}", call.raw()),
            Subject::Fingerprint(fingerprint) => write!(f, "program {fingerprint}"),
            Subject::Peer(peer) => write!(f, "peer {}", peer.raw()),
            Subject::Site(site) => write!(f, "site {}", site.raw()),
            Subject::Edge => f.write_str("the edge"),
        }
    }
}

/// How sure something is, in percent: 0 to 100.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Confidence(u8);

impl Confidence {
    /// `percent`, at most 100.
    pub const fn new(percent: u8) -> Confidence {
        Confidence(if percent > 100 { 100 } else { percent })
    }

    /// In percent.
    pub const fn percent(self) -> u8 {
        self.0
    }
}

/// One piece of evidence: what was measured, and the measure.
#[derive(Clone, Debug, PartialEq)]
pub struct Evidence {
    /// What: a few words of ours, `"accounts tried"`.
    pub what: &'static str,
    /// How much, or which.
    pub value: Value,
}

/// A measure.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// How many.
    Count(u64),
    /// How much.
    Number(f64),
    /// A text of a peer: escaped where it is shown.
    Text(Name),
    /// A text of ours.
    Word(&'static str),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Count(count) => write!(f, "{count}"),
            Value::Number(number) => write!(f, "{number:.2}"),
            Value::Text(name) => f.write_str(&name.shown()),
            Value::Word(word) => f.write_str(word),
        }
    }
}

/// Most pieces of evidence of one finding.
pub const EVIDENCE_MAX: usize = 12;

/// Something that was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// What.
    pub kind: Kind,
    /// About whom.
    pub subject: Subject,
    /// The address of the last event, if it has one.
    pub source: Option<IpAddr>,
    /// What proves that address.
    pub proof: Proof,
    /// The first event that counts.
    pub first: Instant,
    /// The last one.
    pub last: Instant,
    /// How many events.
    pub count: u64,
    /// By what it shows. At most [`EVIDENCE_MAX`].
    pub evidence: Vec<Evidence>,
    /// How sure it is.
    pub confidence: Confidence,
    /// When it no longer counts.
    pub expires: Instant,
}

impl Finding {
    /// A finding of one event at `at`.
    pub fn new(kind: Kind, subject: Subject, at: Instant) -> Finding {
        Finding {
            kind,
            subject,
            source: None,
            proof: Proof::None,
            first: at,
            last: at,
            count: 1,
            evidence: Vec::new(),
            confidence: Confidence::new(50),
            expires: at,
        }
    }

    /// Adds a piece of evidence; one too many is left out.
    pub fn note(&mut self, what: &'static str, value: Value) {
        if self.evidence.len() < EVIDENCE_MAX {
            self.evidence.push(Evidence { what, value });
        }
    }

    /// Whether somebody else could have written the source's address. Then nobody is banned for it.
    pub const fn is_spoofable(&self) -> bool {
        !self.proof.is_proven()
    }

    /// The technique of MITRE ATT&CK.
    pub const fn technique(&self) -> &'static str {
        self.kind.technique()
    }

    /// The sentence for a person: who, what, by which evidence, how sure.
    pub fn explain(&self) -> String {
        self.explain_as(&self.subject.to_string())
    }

    /// The same with a better name for whom it is about, from somebody who knows the plan.
    pub fn explain_as(&self, subject: &str) -> String {
        let phrase = match (self.kind, self.subject) {
            // A call is whom it happens to.
            (Kind::MediaAttack, Subject::Call(_)) => "has sound that somebody meddles with",
            (kind, _) => kind.phrase(),
        };
        let mut text = format!("{subject} {phrase}");
        let seconds = (self.last - self.first).as_secs_f64();
        if self.count > 1 {
            let _ = write!(text, " ({} events in {seconds:.1} s)", self.count);
        }
        for (place, evidence) in self.evidence.iter().enumerate() {
            let before = if place == 0 { ": " } else { ", " };
            let _ = write!(text, "{before}{} {}", evidence.what, evidence.value);
        }
        let _ = write!(text, ". {} % sure", self.confidence.percent());
        text.push_str(match (self.source, self.is_spoofable()) {
            (None, _) => ".",
            (Some(_), true) => "; the source address could be made up, so nobody is banned for it.",
            (Some(_), false) => "; the source address is proved.",
        });
        text
    }
}

/// Findings of one campaign: of one kind, about one subject, close in time.
#[derive(Clone, Debug, PartialEq)]
pub struct Incident {
    /// Counts incidents of a process, from 1.
    pub id: u64,
    /// What its findings are.
    pub kind: Kind,
    /// About whom.
    pub subject: Subject,
    /// When it began.
    pub opened: Instant,
    /// The last event of it.
    pub last: Instant,
    /// Events in it.
    pub events: u64,
    /// Addresses that took part, estimated when they are many.
    pub sources: u64,
    /// The latest finding.
    pub finding: Finding,
    /// When it is over, if nothing follows.
    pub expires: Instant,
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringfence_base::HashKey;
    use std::time::Duration;

    #[test]
    fn names_are_unique_and_read_back() {
        for (place, kind) in Kind::ALL.into_iter().enumerate() {
            assert_eq!(Kind::parse(kind.as_str()), Some(kind));
            assert_eq!(kind as usize, place);
            assert!(kind.technique().starts_with('T'));
        }
        assert_eq!(Kind::parse("nonsense"), None);
    }

    #[test]
    fn a_finding_says_who_what_why_and_how_sure() {
        let at = Instant::from_nanos(1_000_000_000);
        let address: IpAddr = "203.0.113.9".parse().unwrap();
        let mut finding = Finding::new(Kind::Guessing, Subject::Address(address), at);
        finding.last = at + Duration::from_millis(2_500);
        finding.count = 7;
        finding.source = Some(address);
        finding.proof = Proof::NonceEchoed;
        finding.confidence = Confidence::new(99);
        finding.note("wrong passwords", Value::Count(7));
        let account = Name::new(HashKey::from_bytes([0; 16]), b"10\x1b0");
        finding.note("account", Value::Text(account));
        assert_eq!(
            finding.explain(),
            "203.0.113.9 tries passwords (7 events in 2.5 s): wrong passwords 7, account 10\\x1b0. \
             99 % sure; the source address is proved."
        );
        finding.proof = Proof::None;
        assert!(finding.explain().ends_with("so nobody is banned for it."));
    }
}
