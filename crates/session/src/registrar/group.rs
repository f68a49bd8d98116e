//! A group of phones (`[phones.NAME]`) and its users, as the plan has them.

use std::sync::Arc;
use std::time::Duration;

use ringfence_base::Entropy;
use ringfence_sip::digest::{Algorithm, EmptyPassword, Ha1};

use super::line::Line;
use crate::plan::PeerId;

ringfence_base::define_id! {
    /// A group of phones, by its index in [`Plan::phones`](crate::plan::Plan::phones).
    pub struct GroupId(u16);
}

/// A group of phones.
#[derive(Debug)]
pub struct PhoneGroup {
    /// The key in the configuration.
    pub key: String,
    /// What calls of its phones go by: site, listener, media policy, limits.
    pub peer: PeerId,
    /// The digest realm, and the domain of its addresses of record.
    pub realm: String,
    /// Shortest registration; a shorter one is answered 423.
    pub expires_min: Duration,
    /// Longest registration; a longer one is shortened.
    pub expires_max: Duration,
    /// Most contacts of one user.
    pub contacts_max: usize,
    /// How long the preferred contacts of a user ring before those of a lower `q` do.
    pub ring_each: Duration,
    /// Whether its registrations are passed on to the site's phone system, which then has its
    /// calls.
    pub passes: bool,
    /// What is offered in challenges, strongest first, and believed in answers.
    pub algorithms: Vec<Algorithm>,
    users: Vec<PhoneUser>,
    /// Numbers in order, each with the index of its user.
    numbers: Vec<(String, usize)>,
}

/// Bounds of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Shortest registration.
    pub expires_min: Duration,
    /// Longest registration.
    pub expires_max: Duration,
    /// Most contacts of one user.
    pub contacts_max: usize,
    /// How long the preferred contacts of a user ring before those of a lower `q` do.
    pub ring_each: Duration,
    /// Whether registrations are passed on to the site's phone system.
    pub passes: bool,
    /// What is asked for, in this order. MD5 alone by default: many phones (baresip 1.0 for one)
    /// give up at a challenge they do not know, also when one they know stands beside it. A secret
    /// that can be guessed falls to either.
    pub algorithms: Vec<Algorithm>,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds {
            expires_min: Duration::from_secs(60),
            expires_max: Duration::from_secs(3600),
            contacts_max: 10,
            ring_each: Duration::from_secs(20),
            passes: false,
            algorithms: vec![Algorithm::Md5],
        }
    }
}

/// One user of a group.
#[derive(Clone, Debug)]
pub struct PhoneUser {
    /// Its name: the user part of its address of record.
    pub name: String,
    /// Its number, in international form, if it has one of its own.
    pub number: Option<String>,
    /// What its password is checked by.
    pub digests: Digests,
    /// Where it can be reached, shared by all workers.
    pub line: Arc<Line>,
}

/// H(user:realm:password) for each algorithm: the password itself is not needed.
#[derive(Clone, Debug)]
pub struct Digests {
    /// RFC 7616 §3.4.2 with MD5.
    pub md5: Ha1,
    /// With SHA-256.
    pub sha256: Ha1,
}

impl Digests {
    /// Of a password.
    ///
    /// # Errors
    /// A user without a password has none.
    pub fn new(user: &str, realm: &str, password: &[u8]) -> Result<Digests, EmptyPassword> {
        let of = |algorithm| Ha1::new(algorithm, user.as_bytes(), realm.as_bytes(), password);
        Ok(Digests {
            md5: of(Algorithm::Md5)?,
            sha256: of(Algorithm::Sha256)?,
        })
    }

    /// Of nobody: what a name that is no user is checked by, so that it costs the same work.
    pub(crate) fn of_nobody(entropy: &mut dyn Entropy) -> Digests {
        Digests {
            md5: Ha1::of_nobody(Algorithm::Md5, entropy),
            sha256: Ha1::of_nobody(Algorithm::Sha256, entropy),
        }
    }

    /// The one of an algorithm, if it is one of those that we offer.
    pub fn of(&self, algorithm: Algorithm) -> Option<&Ha1> {
        match algorithm {
            Algorithm::Md5 => Some(&self.md5),
            Algorithm::Sha256 => Some(&self.sha256),
            Algorithm::Sha512Slash256 => None,
        }
    }
}

impl PhoneGroup {
    /// A group. Of two users with one name or one number the first is kept.
    pub fn new(
        key: &str,
        peer: PeerId,
        realm: &str,
        bounds: Bounds,
        mut users: Vec<PhoneUser>,
    ) -> PhoneGroup {
        users.sort_by(|a, b| a.name.cmp(&b.name));
        users.dedup_by(|later, first| later.name == first.name);
        let mut numbers: Vec<(String, usize)> = users
            .iter()
            .enumerate()
            .filter_map(|(index, user)| Some((user.number.clone()?, index)))
            .collect();
        numbers.sort();
        numbers.dedup_by(|later, first| later.0 == first.0);
        PhoneGroup {
            key: key.to_owned(),
            peer,
            realm: realm.to_owned(),
            expires_min: bounds.expires_min,
            expires_max: bounds.expires_max,
            contacts_max: bounds.contacts_max,
            ring_each: bounds.ring_each,
            passes: bounds.passes,
            algorithms: bounds.algorithms,
            users,
            numbers,
        }
    }

    /// Its users, in order of their names.
    pub fn users(&self) -> &[PhoneUser] {
        &self.users
    }

    /// A user by its index.
    pub fn user(&self, index: usize) -> Option<&PhoneUser> {
        self.users.get(index)
    }

    /// The index of the user `name`.
    pub fn index_of(&self, name: &[u8]) -> Option<usize> {
        self.users
            .binary_search_by(|user| user.name.as_bytes().cmp(name))
            .ok()
    }

    /// The index of the user with `number`, which may lack its `+`.
    pub fn index_of_number(&self, number: &str) -> Option<usize> {
        let number = number.strip_prefix('+').unwrap_or(number);
        let digits = |known: &(String, usize)| known.0.trim_start_matches('+').cmp(number);
        let place = self.numbers.binary_search_by(digits).ok()?;
        self.numbers.get(place).map(|(_, user)| *user)
    }

    /// Takes over the lines of the users of the same name.
    pub(crate) fn adopt_lines(&mut self, old: &PhoneGroup) {
        for user in &mut self.users {
            let before = old.index_of(user.name.as_bytes());
            if let Some(before) = before.and_then(|index| old.user(index)) {
                user.line = Arc::clone(&before.line);
            }
        }
    }
}

/// The device of a GRUU of ours (RFC 5627 §3.2): the `gr` parameter of a Request-URI.
pub(crate) fn gruu_device<'a>(uri: &ringfence_sip::Uri<'a>) -> Option<&'a [u8]> {
    uri.param(b"gr")
        .flatten()
        .filter(|device| !device.is_empty())
}
