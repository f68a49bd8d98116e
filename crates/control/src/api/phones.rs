//! Phones that register at the edge: who is there, and how they are reached.

use ringfence_base::UnixTime;
use ringfence_session::plan::Plan;
use ringfence_session::registrar::group::PhoneGroup;
use ringfence_session::registrar::line::Binding;
use serde::{Deserialize, Serialize};

use super::time::Timestamp;

/// `ringfence phones list`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Phones {
    /// When this was so.
    pub at: Timestamp,
    /// A row for each user, by group and name.
    pub phones: Vec<Phone>,
}

/// A user, registered or not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Phone {
    /// Key of its group.
    pub group: String,
    /// Key of its site.
    pub site: String,
    /// Its name.
    pub user: String,
    /// Its number, if it has one of its own.
    pub number: Option<String>,
    /// Where it can be reached, the contact that was refreshed last first.
    pub contacts: Vec<PhoneContact>,
}

/// One contact of a user.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PhoneContact {
    /// The URI that the phone named. Written by the phone: escape it where it is shown.
    pub contact: String,
    /// Where its messages come from.
    pub remote: String,
    /// `udp`, `tcp` or `tls`.
    pub transport: String,
    /// Whether there is a way to it: a connection that is closed is none.
    pub reachable: bool,
    /// Seconds until it ends.
    pub expires_s: u64,
    /// When it was made or refreshed.
    pub refreshed: Timestamp,
    /// What the phone calls itself. Written by the phone: escape it where it is shown.
    pub user_agent: Option<String>,
}

impl Phones {
    /// All users of `plan`.
    pub fn new(plan: &Plan, now: UnixTime) -> Phones {
        let users = |group: &PhoneGroup| -> Vec<Phone> {
            let peer = plan.peer(group.peer);
            let site = peer.and_then(|peer| plan.site(peer.site));
            let site = site.map(|site| site.key.clone()).unwrap_or_default();
            let phone = |user: &ringfence_session::registrar::group::PhoneUser| Phone {
                group: group.key.clone(),
                site: site.clone(),
                user: user.name.clone(),
                number: user.number.clone(),
                contacts: user
                    .line
                    .bindings(now)
                    .iter()
                    .map(|binding| PhoneContact::new(binding, now))
                    .collect(),
            };
            group.users().iter().map(phone).collect()
        };
        Phones {
            at: Timestamp(now),
            phones: plan.phones.iter().flat_map(users).collect(),
        }
    }
}

impl PhoneContact {
    fn new(binding: &Binding, now: UnixTime) -> PhoneContact {
        let left = binding.expires.as_micros() - now.as_micros();
        PhoneContact {
            contact: binding.contact.to_string(),
            remote: binding.flow.remote.to_string(),
            transport: binding.flow.transport.uri_name().to_owned(),
            reachable: !binding.flow_lost,
            expires_s: u64::try_from(left / 1_000_000).unwrap_or_default(),
            refreshed: Timestamp(binding.refreshed),
            user_agent: binding.user_agent.as_deref().map(str::to_owned),
        }
    }
}
