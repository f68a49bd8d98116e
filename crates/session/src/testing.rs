//! A small plan for this crate's unit tests.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ringfence_base::net::{ListenerId, Transport};
use ringfence_rtp::srtp::Suite;

use crate::methods::Methods;
use crate::plan::{
    Limits, Listener, MediaPolicy, Network, NumberRange, Peer, PeerId, PeerKind, Plan, Site,
    SiteId, Strangers, Tenant, TenantId,
};
use crate::usage::Usage;

pub(crate) const LISTEN_OUTSIDE: ListenerId = ListenerId::new(0);
pub(crate) const LISTEN_INSIDE: ListenerId = ListenerId::new(1);
pub(crate) const TRUNK: PeerId = PeerId::new(0);
pub(crate) const PBX: PeerId = PeerId::new(1);

/// Summit Motors: one carrier outside, one PBX inside.
pub(crate) fn plan() -> Plan {
    Plan {
        stir: None,
        edge_name: "summit-edge".into(),
        listeners: vec![
            listener("outside", "203.0.113.10"),
            listener("inside", "192.0.2.2"),
        ],
        tenants: vec![Tenant {
            key: "summit".into(),
            name: "Summit Motors".into(),
            country: "US".into(),
            spend: Arc::default(),
        }],
        sites: vec![Site {
            key: "summit".into(),
            tenant: TenantId::new(0),
            numbers: vec![NumberRange::new("+13305550100", "+13305550149").unwrap()],
            any_number: false,
            channels: 8,
            emergency: vec!["911".into(), "933".into()],
            policy: Default::default(),
            usage: Arc::default(),
        }],
        peers: vec![
            peer(
                "carrier-a",
                PeerKind::Trunk,
                LISTEN_OUTSIDE,
                "198.51.100.20:5060",
            ),
            peer("main", PeerKind::Pbx, LISTEN_INSIDE, "192.0.2.10:5060"),
        ],
        phones: Vec::new(),
        limits: Limits {
            trace_bytes: 1 << 16,
            ..Limits::default()
        },
    }
}

fn listener(name: &str, address: &str) -> Listener {
    let at = |port| Some(SocketAddr::new(address.parse().unwrap(), port));
    Listener {
        name: name.into(),
        udp: at(5060),
        tcp: at(5060),
        tls: at(5061),
        ws: None,
        wss: None,
        ws_origins: Vec::new(),
        media: Some(address.parse().unwrap()),
        strangers: Strangers::Silence,
    }
}

fn peer(key: &str, kind: PeerKind, listener: ListenerId, address: &str) -> Peer {
    let address: SocketAddr = address.parse().unwrap();
    let block = match kind {
        PeerKind::Trunk => Network::new("198.51.100.0".parse().unwrap(), 24),
        PeerKind::Pbx | PeerKind::Phones => Network::new(address.ip(), 32),
    };
    Peer {
        key: key.into(),
        kind,
        site: SiteId::new(0),
        listener,
        transport: Transport::Udp,
        host: address.ip().to_string(),
        port: None,
        addresses: vec![address],
        accept: block.into_iter().collect(),
        tls_names: Vec::new(),
        media: MediaPolicy::Rtp,
        suites: vec![Suite::AesCm128HmacSha1_80],
        symmetric_media: false,
        pass_headers: Vec::new(),
        channels: 0,
        calls_per_second: 0,
        policy: Default::default(),
        options_interval: Duration::ZERO,
        methods: Methods::of_kind(kind),
        failover: Default::default(),
        ranks: Vec::new(),
        account: None,
        usage: Arc::<Usage>::default(),
    }
}

/// A second carrier of the same site, at an address outside of the first one's block.
pub(crate) fn second_trunk() -> Peer {
    peer(
        "carrier-b",
        PeerKind::Trunk,
        LISTEN_OUTSIDE,
        "203.0.113.50:5060",
    )
}
