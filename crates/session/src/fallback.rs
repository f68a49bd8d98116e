//! A peer that refuses SRTP with 488: where its configuration says `media = "either"`, it is called
//! once more with plain RTP (RFC 3261 §21.4.26). Never silently: an event, a counter and the call's
//! record say so. A peer with `media = "srtp"` is never offered anything else.

use ringfence_base::Instant;
use ringfence_sip::Message;

use crate::call::{CallKey, Side, Stage};
use crate::core::Core;
use crate::event::Event;

impl Core {
    /// Calls the peer on leg B again with plain RTP, if it refused SRTP and may. Whether it did.
    pub(crate) fn fall_back_to_rtp(
        &mut self,
        now: Instant,
        key: CallKey,
        message: &Message<'_>,
    ) -> bool {
        if message.status().map(|status| status.raw()) != Some(488) {
            return false;
        }
        let Some(call) = self.call_mut(key) else {
            return false;
        };
        let plan = std::sync::Arc::clone(&call.plan);
        let Some(peer) = plan.peer(call.leg(Side::B).peer) else {
            return false;
        };
        let id = call.id;
        let request = match call.bridge.as_ref().map(|bridge| &bridge.stage) {
            Some(Stage::Pending { request, .. }) => request.clone(),
            _ => return false,
        };
        if !call.media.fall_back(peer) {
            return false;
        }
        let mut index = ringfence_sip::Index::default();
        let Ok(request) = index.parse(&request) else {
            return false;
        };
        let description = self.offer_of_caller(key, &request);
        let offer = self.with_media(now, key, |media, around| {
            media.offer(around, Side::A, &description)
        });
        let Some(Ok(offer)) = offer else {
            return false;
        };
        if !self.ask_again(now, key, |_| None, Some(&offer)) {
            return false;
        }
        self.counters.calls_srtp_refused += 1;
        self.emit(Event::SrtpRefused {
            id,
            kind: peer.kind,
            key: peer.key.clone(),
        });
        true
    }
}
