//! What a carrier knows us by: a user name and a password, and whether we register with them.

use std::time::Duration;

use ringfence_base::{HashKey, Secret};

/// An account at a carrier. Its challenges (RFC 3261 §22) are answered with it, on every request
/// that they meet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The user name in our credentials.
    pub username: String,
    /// The password, known in clear because the realm, which is hashed with it, is the carrier's
    /// word of the moment.
    pub password: Secret,
    /// The only realm that is answered; `None` answers any of the carrier's.
    pub realm: Option<String>,
    /// Registration with it, if the carrier wants that.
    pub registration: Option<Registering>,
}

/// How a trunk registers (RFC 3261 §10, RFC 6140).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registering {
    /// The user of the address of record.
    pub user: String,
    /// Its domain, which is also the registrar's; `None` is the peer's own host.
    pub domain: Option<String>,
    /// The lifetime that is asked for.
    pub expires: Duration,
    /// The user in our Contact; `None` is one that says nothing.
    pub contact_user: Option<String>,
    /// Register all of a site's numbers at once (RFC 6140).
    pub bulk: bool,
}

impl Registering {
    /// The user in our Contact. Unless configured, it is the same at each start, lest the carrier
    /// keeps a binding of before beside the new one; and it tells nothing but that it is ours.
    pub fn contact_user(&self, edge: &str, peer: &str) -> String {
        if let Some(user) = &self.contact_user {
            return user.clone();
        }
        let parts = [edge, peer, &self.user].map(str::as_bytes);
        let hash = HashKey::from_bytes(*b"ringfence-trunks").hash128(&parts);
        format!("t{:015x}", hash & 0x0fff_ffff_ffff_ffff)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_contact_says_nothing_and_stays_the_same() {
        let mut registering = Registering {
            user: "summit".into(),
            domain: None,
            expires: Duration::from_secs(600),
            contact_user: None,
            bulk: false,
        };
        let user = registering.contact_user("edge", "carrier-b");
        assert_eq!(user, registering.contact_user("edge", "carrier-b"));
        assert_ne!(user, registering.contact_user("edge", "carrier-c"));
        assert!(user.len() == 16 && !user.contains("summit"));
        registering.contact_user = Some("main".into());
        assert_eq!(registering.contact_user("edge", "carrier-b"), "main");
    }

    #[test]
    fn an_account_prints_no_password() {
        let account = Account {
            username: "summit".into(),
            password: Secret::new(b"hunter2".to_vec()),
            realm: None,
            registration: None,
        };
        assert!(!format!("{account:?}").contains("hunter2"));
    }
}
