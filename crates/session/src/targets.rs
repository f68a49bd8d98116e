//! From a peer's name to its addresses: the selection of RFC 3263 §4 as a machine.
//!
//! NAPTR says which transport, SRV which hosts, ports, priorities and weights, A and AAAA where
//! they are. The machine says what to ask ([`Selection::poll_query`]) and is told the answers
//! ([`Selection::handle_answer`]); who asks, and when again, is the edge's affair. Order among
//! the targets is made for each call ([`crate::ways`]), so that weights hold over calls.
//!
//! What a server answers is bounded here: records, targets, addresses. A server that fails is not
//! one that says no: with `keep_on_failure` a failed query ends the selection, so that whoever
//! has an older answer keeps it, and an outage of NAPTR changes nobody's transport.
//!
//! Left out: DNSSEC, and NAPTR records that are no plain replacement (RFC 3263 has no others).

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ringfence_base::net::Transport;

use crate::failover::Rank;

/// Records of one answer that are looked at.
pub const RECORDS_MAX: usize = 32;
/// Hosts of one peer.
pub const HOSTS_MAX: usize = 16;
/// Addresses of one host.
pub const ADDRESSES_PER_HOST_MAX: usize = 8;
/// Addresses of one peer.
pub const ADDRESSES_MAX: usize = 16;
/// Longest host name (RFC 1035 §2.3.4).
const NAME_MAX: usize = 255;
/// The shortest and the longest time for which an answer is kept.
pub const TTL_MIN: Duration = Duration::from_secs(10);
/// See [`TTL_MIN`].
pub const TTL_MAX: Duration = Duration::from_secs(3600);

/// What is to be found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The host name, no address.
    pub host: String,
    /// The port, if the URI has one: then there are no NAPTR and no SRV.
    pub port: Option<u16>,
    /// The transport, if the URI has one: then there is no NAPTR.
    pub transport: Option<Transport>,
    /// What we speak, best first; the choice is among these.
    pub supported: Vec<Transport>,
    /// Whether our own address is IPv4, so that only such are of use.
    pub ipv4: bool,
    /// Whether a query that fails ends the selection, since there is an older answer to keep.
    pub keep_on_failure: bool,
}

/// A question for a name server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Query {
    /// A or AAAA, whichever `ipv4` of [`Wanted`] says, of this host.
    Addresses(String),
    /// NAPTR of this domain.
    Naptr(String),
    /// SRV of this service.
    Srv(String),
}

/// An answer. An empty one says that there is no such record; a failure is an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Addresses of a host.
    Addresses(Vec<IpAddr>),
    /// NAPTR records.
    Naptr(Vec<Naptr>),
    /// SRV records.
    Srv(Vec<Srv>),
}

/// A NAPTR record (RFC 3403 §4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Naptr {
    /// Lower comes first.
    pub order: u16,
    /// Lower comes first among those of one order.
    pub preference: u16,
    /// `s`: the replacement is looked up as SRV.
    pub flags: String,
    /// `SIP+D2U`, `SIP+D2T`, `SIPS+D2T`.
    pub service: String,
    /// Where to look next.
    pub replacement: String,
}

/// An SRV record (RFC 2782).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Srv {
    /// Priority and weight.
    pub rank: Rank,
    /// The port.
    pub port: u16,
    /// The host; `.` says that the service is not offered.
    pub target: String,
}

/// Where a peer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Targets {
    /// How it is reached.
    pub transport: Transport,
    /// Its addresses, by priority; never empty.
    pub addresses: Vec<SocketAddr>,
    /// Priority and weight of each address; empty when the order alone counts.
    pub ranks: Vec<Rank>,
    /// For how long this holds.
    pub ttl: Duration,
}

/// Why a name leads nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoTargets {
    /// A name server gave no answer, or a broken one.
    #[error("the name servers do not answer")]
    Failed,
    /// The domain says that it has no such service (RFC 2782: a target of `.`).
    #[error("its SRV records say that it has no such service")]
    NotOffered,
    /// There is no address of our family.
    #[error("it has no address that the listener can reach")]
    NoAddress,
}

/// The selection for one name.
#[derive(Debug)]
pub struct Selection {
    wanted: Wanted,
    queries: VecDeque<Query>,
    /// Transports whose SRV records are still to be tried, best first.
    services: VecDeque<(Transport, String)>,
    transport: Transport,
    /// Hosts in the order of their records.
    hosts: Vec<Host>,
    by_srv: bool,
    ttl: Duration,
    failed: bool,
    not_offered: bool,
    over: bool,
}

#[derive(Debug)]
struct Host {
    name: String,
    port: u16,
    rank: Rank,
    addresses: Option<Vec<IpAddr>>,
}

impl Selection {
    /// Begins to look for `wanted`.
    pub fn new(wanted: Wanted) -> Selection {
        let transport = wanted.transport.unwrap_or(Transport::Udp);
        let mut selection = Selection {
            queries: VecDeque::new(),
            services: VecDeque::new(),
            transport,
            hosts: Vec::new(),
            by_srv: false,
            ttl: TTL_MAX,
            failed: false,
            not_offered: false,
            over: false,
            wanted,
        };
        let host = selection.wanted.host.clone();
        match (selection.wanted.port, selection.wanted.transport) {
            // RFC 3263 §4.2: with a port there is nothing to choose.
            (Some(_), _) => selection.ask_host_itself(),
            (None, Some(transport)) => {
                selection
                    .services
                    .push_back((transport, service_name(transport, &host)));
                selection.ask_next_service();
            }
            (None, None) => selection.queries.push_back(Query::Naptr(host)),
        }
        selection
    }

    /// The next question; `None` when all are asked. Poll again after each answer.
    pub fn poll_query(&mut self) -> Option<Query> {
        self.queries.pop_front()
    }

    /// Takes the answer to `query` and for how long it holds; `None` is a failure.
    pub fn handle_answer(&mut self, query: &Query, answer: Option<(Answer, Duration)>) {
        let Some((answer, ttl)) = answer else {
            self.failed = true;
            if self.wanted.keep_on_failure {
                self.queries.clear();
                self.over = true;
                return;
            }
            return self.go_on_without(query);
        };
        let empty = match &answer {
            Answer::Addresses(found) => found.is_empty(),
            Answer::Naptr(found) => found.is_empty(),
            Answer::Srv(found) => found.is_empty(),
        };
        if !empty {
            self.ttl = self.ttl.min(ttl.max(TTL_MIN));
        }
        match (query, answer) {
            (Query::Naptr(_), Answer::Naptr(records)) => self.on_naptr(records),
            (Query::Srv(_), Answer::Srv(records)) => self.on_srv(records),
            (Query::Addresses(name), Answer::Addresses(found)) => self.on_addresses(name, found),
            // Not what was asked.
            _ => self.go_on_without(query),
        }
    }

    /// The result, once all questions are answered.
    pub fn finish(self) -> Result<Targets, NoTargets> {
        if self.over {
            return Err(NoTargets::Failed);
        }
        let (mut addresses, mut ranks) = (Vec::new(), Vec::new());
        let mut hosts = self.hosts;
        hosts.sort_by_key(|host| (host.rank.priority, host.name.clone(), host.port));
        for host in hosts {
            let mut found = host.addresses.unwrap_or_default();
            // The same answer in another order is the same answer.
            found.sort_unstable();
            found.dedup();
            for (place, ip) in found.into_iter().enumerate() {
                let address = SocketAddr::new(ip, host.port);
                if addresses.contains(&address) || addresses.len() == ADDRESSES_MAX {
                    continue;
                }
                addresses.push(address);
                // Further addresses of a host take no share from the other hosts.
                let weight = if place == 0 { host.rank.weight } else { 0 };
                ranks.push(Rank {
                    weight,
                    ..host.rank
                });
            }
        }
        if addresses.is_empty() {
            return Err(match (self.failed, self.not_offered) {
                (true, _) => NoTargets::Failed,
                (false, true) => NoTargets::NotOffered,
                (false, false) => NoTargets::NoAddress,
            });
        }
        if !self.by_srv {
            ranks.clear();
        }
        Ok(Targets {
            transport: self.transport,
            addresses,
            ranks,
            ttl: self.ttl,
        })
    }

    /// RFC 3263 §4.1: the best record that we can follow.
    fn on_naptr(&mut self, mut records: Vec<Naptr>) {
        records.truncate(RECORDS_MAX);
        records.sort_by_key(|record| (record.order, record.preference));
        let usable = records.into_iter().find_map(|record| {
            let transport = match record.service.to_ascii_uppercase().as_str() {
                "SIP+D2U" => Transport::Udp,
                "SIP+D2T" => Transport::Tcp,
                "SIPS+D2T" => Transport::Tls,
                _ => return None,
            };
            let follows = record.flags.eq_ignore_ascii_case("s")
                && is_name(&record.replacement)
                && self.wanted.supported.contains(&transport);
            follows.then(|| (transport, bare(&record.replacement)))
        });
        match usable {
            Some(service) => self.services.push_back(service),
            None => self.try_all_services(),
        }
        self.ask_next_service();
    }

    fn on_srv(&mut self, mut records: Vec<Srv>) {
        records.truncate(RECORDS_MAX);
        records.sort_by_key(|record| record.rank.priority);
        let refuses = |record: &Srv| record.target.is_empty() || record.target == ".";
        self.not_offered |= records.iter().any(refuses);
        let usable = records
            .into_iter()
            .filter(|record| !refuses(record) && is_name(&record.target) && record.port != 0);
        self.hosts = usable
            .take(HOSTS_MAX)
            .map(|record| Host {
                name: bare(&record.target),
                port: record.port,
                rank: record.rank,
                addresses: None,
            })
            .collect();
        if self.hosts.is_empty() {
            return self.ask_next_service();
        }
        self.by_srv = true;
        self.not_offered = false;
        for host in &self.hosts {
            let query = Query::Addresses(host.name.clone());
            if !self.queries.contains(&query) {
                self.queries.push_back(query);
            }
        }
    }

    fn on_addresses(&mut self, name: &str, mut found: Vec<IpAddr>) {
        let ipv4 = self.wanted.ipv4;
        found.retain(|ip| ip.is_ipv4() == ipv4 && !ip.is_unspecified() && !ip.is_multicast());
        found.truncate(ADDRESSES_PER_HOST_MAX);
        for host in self.hosts.iter_mut().filter(|host| host.name == name) {
            host.addresses = Some(found.clone());
        }
    }

    fn go_on_without(&mut self, query: &Query) {
        match query {
            Query::Addresses(_) => {}
            Query::Naptr(_) => {
                self.try_all_services();
                self.ask_next_service();
            }
            Query::Srv(_) => self.ask_next_service(),
        }
    }

    /// RFC 3263 §4.1: without NAPTR, SRV of each transport that we speak.
    fn try_all_services(&mut self) {
        let host = &self.wanted.host;
        let supported = self.wanted.supported.iter();
        self.services = supported
            .map(|&transport| (transport, service_name(transport, host)))
            .collect();
    }

    fn ask_next_service(&mut self) {
        match self.services.pop_front() {
            Some((transport, name)) => {
                self.transport = transport;
                self.queries.push_back(Query::Srv(name));
            }
            // A service that is not offered is not to be had by another way either.
            None if self.not_offered => {}
            None => {
                self.transport = self.wanted.transport.unwrap_or(Transport::Udp);
                self.ask_host_itself();
            }
        }
    }

    /// RFC 3263 §4.2: without SRV, the host itself.
    fn ask_host_itself(&mut self) {
        let name = self.wanted.host.clone();
        let port = self.wanted.port.unwrap_or(self.transport.default_port());
        self.queries.push_back(Query::Addresses(name.clone()));
        self.hosts = vec![Host {
            name,
            port,
            rank: Rank::default(),
            addresses: None,
        }];
    }
}

/// `_sip._udp.example.com` (RFC 3263 §4.1).
fn service_name(transport: Transport, host: &str) -> String {
    let service = match transport {
        Transport::Udp => "_sip._udp",
        Transport::Tcp => "_sip._tcp",
        Transport::Tls => "_sips._tcp",
        // No peer is reached so; RFC 7118 §5.2 has no SRV name either.
        Transport::Ws | Transport::Wss => "_sip._ws",
    };
    format!("{service}.{host}")
}

/// A name without the dot of the root.
fn bare(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

fn is_name(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    !name.is_empty() && name.len() <= NAME_MAX && name.bytes().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn wanted(host: &str) -> Wanted {
        Wanted {
            host: host.into(),
            port: None,
            transport: None,
            supported: vec![Transport::Udp, Transport::Tcp, Transport::Tls],
            ipv4: true,
            keep_on_failure: false,
        }
    }

    fn naptr(order: u16, service: &str, replacement: &str) -> Naptr {
        Naptr {
            order,
            preference: 10,
            flags: "s".into(),
            service: service.into(),
            replacement: replacement.into(),
        }
    }

    fn srv(priority: u16, weight: u16, port: u16, target: &str) -> Srv {
        Srv {
            rank: Rank { priority, weight },
            port,
            target: target.into(),
        }
    }

    /// A zone: what is not in it does not exist.
    fn zone(query: &Query) -> Option<Answer> {
        Some(match query {
            Query::Naptr(name) if name == "carrier.example" => Answer::Naptr(vec![
                naptr(20, "SIP+D2U", "_sip._udp.carrier.example."),
                naptr(10, "SIPS+D2T", "_sips._tcp.carrier.example."),
                naptr(5, "SIP+D2S", "_sip._sctp.carrier.example."),
            ]),
            Query::Srv(name) if name == "_sips._tcp.carrier.example" => {
                Answer::Srv(vec![srv(1, 0, 5061, "tls.carrier.example.")])
            }
            Query::Srv(name) if name == "_sip._udp.carrier.example" => Answer::Srv(vec![
                srv(2, 0, 5080, "b.carrier.example."),
                srv(1, 3, 5060, "a.carrier.example."),
            ]),
            Query::Srv(name) if name == "_sip._udp.gone.example" => {
                Answer::Srv(vec![srv(0, 0, 0, ".")])
            }
            Query::Addresses(name) => Answer::Addresses(match name.as_str() {
                "a.carrier.example" => vec![
                    "198.51.100.2".parse().unwrap(),
                    "198.51.100.1".parse().unwrap(),
                    "2001:db8::1".parse().unwrap(),
                ],
                "b.carrier.example" => vec!["198.51.100.9".parse().unwrap()],
                "tls.carrier.example" => vec!["198.51.100.7".parse().unwrap()],
                "plain.example" => vec!["192.0.2.1".parse().unwrap()],
                _ => vec![],
            }),
            Query::Naptr(_) => Answer::Naptr(vec![]),
            Query::Srv(_) => Answer::Srv(vec![]),
        })
    }

    fn run(
        wanted: Wanted,
        answer: impl Fn(&Query) -> Option<Answer>,
    ) -> Result<Targets, NoTargets> {
        let mut selection = Selection::new(wanted);
        let mut asked = 0;
        while let Some(query) = selection.poll_query() {
            asked += 1;
            assert!(asked <= 4 + HOSTS_MAX, "the number of queries is bounded");
            let answer = answer(&query).map(|answer| (answer, Duration::from_secs(60)));
            selection.handle_answer(&query, answer);
        }
        selection.finish()
    }

    #[track_caller]
    fn check(wanted: Wanted, transport: Transport, addresses: &[&str]) {
        let targets = run(wanted, zone).unwrap();
        let addresses: Vec<SocketAddr> = addresses.iter().map(|a| a.parse().unwrap()).collect();
        assert_eq!(
            (targets.transport, targets.addresses),
            (transport, addresses)
        );
    }

    #[test]
    fn naptr_chooses_the_first_transport_that_we_speak_rfc3263_4_1() {
        check(
            wanted("carrier.example"),
            Transport::Tls,
            &["198.51.100.7:5061"],
        );
        let mut no_tls = wanted("carrier.example");
        no_tls.supported = vec![Transport::Udp, Transport::Tcp];
        let both = [
            "198.51.100.1:5060",
            "198.51.100.2:5060",
            "198.51.100.9:5080",
        ];
        check(no_tls, Transport::Udp, &both);
    }

    #[test]
    fn a_transport_in_the_uri_goes_to_srv_at_once_rfc3263_4_2() {
        let mut udp = wanted("carrier.example");
        udp.transport = Some(Transport::Udp);
        let targets = run(udp, zone).unwrap();
        let rank = |priority, weight| Rank { priority, weight };
        assert_eq!(targets.ranks, [rank(1, 3), rank(1, 0), rank(2, 0)]);
        assert_eq!(targets.ttl, Duration::from_secs(60));
    }

    #[test]
    fn a_port_in_the_uri_goes_to_the_address_at_once_rfc3263_4_2() {
        let mut port = wanted("plain.example");
        port.port = Some(5070);
        check(port, Transport::Udp, &["192.0.2.1:5070"]);
    }

    #[test]
    fn without_naptr_and_srv_the_host_itself_is_taken_rfc3263_4_2() {
        check(wanted("plain.example"), Transport::Udp, &["192.0.2.1:5060"]);
        let mut tls = wanted("plain.example");
        tls.transport = Some(Transport::Tls);
        check(tls, Transport::Tls, &["192.0.2.1:5061"]);
    }

    #[test]
    fn a_target_of_the_root_says_that_there_is_no_service_rfc2782() {
        assert_eq!(
            run(wanted("gone.example"), zone),
            Err(NoTargets::NotOffered)
        );
        assert_eq!(
            run(wanted("nobody.example"), zone),
            Err(NoTargets::NoAddress)
        );
    }

    #[test]
    fn a_failure_is_no_answer_and_an_older_one_is_kept() {
        let broken = |query: &Query| match query {
            Query::Naptr(_) => None,
            other => zone(other),
        };
        let targets = run(wanted("carrier.example"), broken).unwrap();
        assert_eq!(targets.transport, Transport::Udp, "SRV without NAPTR");
        let mut kept = wanted("carrier.example");
        kept.keep_on_failure = true;
        assert_eq!(run(kept, broken), Err(NoTargets::Failed));
        assert_eq!(
            run(wanted("carrier.example"), |_| None),
            Err(NoTargets::Failed)
        );
    }

    #[test]
    fn answers_are_bounded() {
        let flood = |query: &Query| {
            Some(match query {
                Query::Naptr(_) => Answer::Naptr(vec![]),
                Query::Srv(_) => Answer::Srv(
                    (0..1000)
                        .map(|n| srv(n, 1, 5060, &format!("h{n}.carrier.example")))
                        .collect(),
                ),
                Query::Addresses(_) => Answer::Addresses(
                    (1..1000u32)
                        .map(|n| IpAddr::from((0xc633_6400 + n).to_be_bytes()))
                        .collect(),
                ),
            })
        };
        let targets = run(wanted("flood.example"), flood).unwrap();
        assert_eq!(targets.addresses.len(), ADDRESSES_PER_HOST_MAX);
    }

    fn any_answer() -> impl Strategy<Value = Option<Answer>> {
        let name = "[a-z._]{0,12}";
        let naptrs = (any::<u16>(), "[sSau]?", "SIPS?\\+D2[UTS]", name).prop_map(
            |(order, flags, service, replacement)| Naptr {
                order,
                preference: 0,
                flags,
                service,
                replacement,
            },
        );
        let srvs = (any::<u16>(), any::<u16>(), any::<u16>(), name)
            .prop_map(|(p, w, port, target)| srv(p, w, port, &target));
        proptest::option::of(prop_oneof![
            proptest::collection::vec(naptrs, 0..5).prop_map(Answer::Naptr),
            proptest::collection::vec(srvs, 0..40).prop_map(Answer::Srv),
            proptest::collection::vec(any::<IpAddr>(), 0..20).prop_map(Answer::Addresses),
        ])
    }

    proptest! {
        /// Whatever servers answer, the selection ends, within its bounds, with addresses that we
        /// can reach.
        #[test]
        fn any_answers_end_in_bounded_reachable_targets(
            answers in proptest::collection::vec(any_answer(), 1..12),
            port in proptest::option::of(1u16..),
            keep_on_failure: bool,
            ipv4: bool,
        ) {
            let count = std::cell::Cell::new(0);
            let wanted = Wanted { port, keep_on_failure, ipv4, ..wanted("any.example") };
            let result = run(wanted, |_| {
                count.set(count.get() + 1);
                answers[(count.get() - 1) % answers.len()].clone()
            });
            if let Ok(targets) = result {
                prop_assert!((1..=ADDRESSES_MAX).contains(&targets.addresses.len()));
                prop_assert!(targets.addresses.iter().all(|a| a.is_ipv4() == ipv4 && a.port() != 0));
                prop_assert!(targets.ranks.is_empty() || targets.ranks.len() == targets.addresses.len());
                prop_assert!((TTL_MIN..=TTL_MAX).contains(&targets.ttl));
                prop_assert!(targets.ranks.is_sorted_by_key(|rank| rank.priority));
            }
        }
    }
}
