//! The site of the world: addresses, identities, and the plan of the edge.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ringfence_base::ListenerId;
use ringfence_base::net::Transport;
use ringfence_session::methods::Methods;
use ringfence_session::plan::{
    Limits, Listener, MediaPolicy, NumberRange, Peer, PeerKind, Plan, Site, SiteId, Strangers,
    Tenant, TenantId,
};

use crate::agent::{Identity, Side};

/// The listener of a side.
pub(crate) const fn listener_of(side: Side) -> ListenerId {
    ListenerId::new(match side {
        Side::Outside => 0,
        Side::Inside => 1,
    })
}

/// The edge's signalling address on a side.
pub(crate) fn edge_address(side: Side) -> SocketAddr {
    match side {
        Side::Outside => SocketAddr::from(([203, 0, 113, 10], 5060)),
        Side::Inside => SocketAddr::from(([192, 0, 2, 2], 5060)),
    }
}

/// The stranger's address.
pub(crate) fn stranger() -> SocketAddr {
    SocketAddr::from(([203, 0, 113, 66], 5060))
}

/// The agent of a side.
pub(crate) fn identity_of(side: Side) -> Identity {
    let edge = edge_address(side);
    match side {
        Side::Outside => Identity {
            side,
            signalling: SocketAddr::from(([198, 51, 100, 20], 5060)),
            media: [198, 51, 100, 21].into(),
            edge,
            mark: "outsecret",
        },
        Side::Inside => Identity {
            side,
            signalling: SocketAddr::from(([192, 0, 2, 10], 5060)),
            media: [192, 0, 2, 11].into(),
            edge,
            mark: "insecret",
        },
    }
}

/// The addresses of a side that the other side must never see.
pub(crate) const fn addresses_of(side: Side) -> &'static [[u8; 4]] {
    match side {
        Side::Outside => &[[198, 51, 100, 20], [198, 51, 100, 21], [203, 0, 113, 10]],
        Side::Inside => &[[192, 0, 2, 2], [192, 0, 2, 10], [192, 0, 2, 11]],
    }
}

/// The plan: one carrier, one phone system. `channels` limits the site.
pub(crate) fn plan(channels: u32) -> Plan {
    Plan {
        stir: None,
        edge_name: "world".into(),
        listeners: vec![
            listener("outside", Side::Outside),
            listener("inside", Side::Inside),
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
            // The ends are of equal length and in order.
            numbers: NumberRange::new("+13305550100", "+13305550149")
                .into_iter()
                .collect(),
            any_number: false,
            channels,
            emergency: vec!["911".into()],
            policy: Default::default(),
            usage: Arc::default(),
        }],
        peers: vec![
            peer("carrier", PeerKind::Trunk, Side::Outside),
            peer("main", PeerKind::Pbx, Side::Inside),
        ],
        phones: Vec::new(),
        limits: Limits {
            calls_max: 100,
            ring_timeout: Duration::from_secs(20),
            silence_timeout: Duration::from_secs(30),
            call_duration_max: Duration::from_secs(60),
            drain_timeout: Duration::from_secs(3),
            trace_bytes: 1 << 16,
        },
    }
}

fn listener(name: &str, side: Side) -> Listener {
    let address = edge_address(side);
    Listener {
        name: name.into(),
        udp: Some(address),
        tcp: None,
        tls: None,
        ws: None,
        wss: None,
        ws_origins: Vec::new(),
        media: Some(address.ip()),
        strangers: Strangers::Silence,
    }
}

fn peer(key: &str, kind: PeerKind, side: Side) -> Peer {
    let address = identity_of(side).signalling;
    Peer {
        key: key.into(),
        kind,
        site: SiteId::new(0),
        listener: listener_of(side),
        transport: Transport::Udp,
        host: address.ip().to_string(),
        port: None,
        addresses: vec![address],
        accept: Vec::new(),
        tls_names: Vec::new(),
        media: MediaPolicy::Rtp,
        suites: Vec::new(),
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
        usage: Arc::default(),
    }
}
