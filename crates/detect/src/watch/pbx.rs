//! What a PBX or phone asks for that its owner would not: calls in other people's names. One such call
//! is a forward that somebody set up wrongly; several to different numbers are a PBX in other hands.

use std::time::Duration;

use ringfence_base::{HashKey, Instant};

use crate::event::{Asked, PeerRef, Principal, Refusal, Source};
use crate::finding::{Confidence, Finding, Kind, Subject, Value};
use crate::sketch::{Tier, Tiered};
use crate::watch::recent::Recent;

/// Peers that are remembered.
const PEERS_MAX: usize = 4_096;
/// Different numbers called within [`SOON`] that are too many.
const CALLED: usize = 5;
/// How soon.
const SOON: Duration = Duration::from_secs(3600);

/// Calls of peers that show numbers which are not theirs to show.
#[derive(Debug)]
pub(crate) struct Foreign {
    peers: Tiered<PeerRef, Recent<CALLED>>,
}

impl Foreign {
    /// None yet.
    pub(crate) fn new(key: HashKey) -> Foreign {
        Foreign {
            peers: Tiered::new(key, PEERS_MAX),
        }
    }

    /// A call was refused.
    pub(crate) fn on_refused(
        &mut self,
        now: Instant,
        source: &Source,
        reason: Refusal,
        asked: &Asked,
    ) -> Option<Finding> {
        let (Refusal::CallingNumber, Principal::Pbx(peer) | Principal::Phone { group: peer, .. }) =
            (reason, source.principal)
        else {
            return None;
        };
        let recent = self.peers.touch(peer, Tier::Own)?;
        let called = recent.note(now, asked.target.hash(), SOON);
        if called < CALLED {
            return None;
        }
        let mut finding = Finding::new(Kind::PbxTakeover, Subject::Peer(peer), now);
        finding.source = Some(source.address());
        finding.proof = source.proof;
        finding.confidence = Confidence::new(70);
        finding.note(
            "numbers called within an hour in the name of others",
            Value::Count(called as u64),
        );
        finding.note("the last one", Value::Text(asked.target));
        Some(finding)
    }

    /// Bytes on the heap, about.
    pub(crate) fn memory(&self) -> usize {
        self.peers.memory()
    }
}
