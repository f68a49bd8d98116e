//! INFO (RFC 6086) inside a call: what a peer's `info` list names is carried across, anything else
//! is answered for what it is. No info package is known, so none is agreed to.

use ringfence_base::Instant;
use ringfence_sip::{HeaderName, Message, Method};

use crate::call::{CallKey, Side};
use crate::cdr::EndedBy;
use crate::core::Core;
use crate::incoming::Reply;
use crate::outgoing::InDialog;
use crate::refusal::RefusalReason;
use crate::setup::forbidden_of;

/// Longest body of an INFO that crosses, in bytes.
const INFO_BODY_MAX: usize = 1_024;

impl Core {
    /// An INFO of either side.
    pub(crate) fn on_info(
        &mut self,
        now: Instant,
        key: CallKey,
        side: Side,
        reply: &Reply<'_, '_>,
    ) {
        let message = reply.request;
        if message.header(HeaderName::InfoPackage).is_some() {
            // RFC 6086 §4.2.2: none was named in a Recv-Info.
            self.refuse(reply.flow, RefusalReason::Method);
            self.respond_with(now, reply, 469, None, |writer| {
                writer.header(HeaderName::RecvInfo, "");
            });
            return;
        }
        if message.body().is_empty() {
            return self.respond(now, reply, 200);
        }
        let content_type = message.header(HeaderName::ContentType).unwrap_or_default();
        let media_type = content_type.split(|&byte| byte == b';').next();
        let media_type = media_type.unwrap_or_default().trim_ascii();
        if let Some(status) = self.take_info_tone(now, key, side, (media_type, message.body())) {
            return self.respond(now, reply, status);
        }
        let Some(call) = self.call(key) else { return };
        let types = call.peer(side).map(|peer| peer.methods.info.clone());
        let types = types.unwrap_or_default();
        let listed = types
            .iter()
            .find(|listed| media_type.eq_ignore_ascii_case(listed.as_bytes()));
        let fits = is_text(message.body()) && message.body().len() <= INFO_BODY_MAX;
        let Some(listed) = listed.filter(|_| fits) else {
            self.refuse(reply.flow, RefusalReason::Media);
            self.respond_with(now, reply, 415, None, |writer| {
                if !types.is_empty() {
                    writer.header(HeaderName::Accept, types.join(", "));
                }
            });
            return;
        };
        if forbidden_of(call, side).occurs_in(message.body()) {
            // It would tell the other side where this one is.
            self.refuse(reply.flow, RefusalReason::Media);
            return self.respond(now, reply, 403);
        }
        let content = InDialog {
            body: Some((listed.as_bytes(), message.body())),
            ..InDialog::default()
        };
        // It is ours to deliver from here on; the far side's answer changes nothing.
        let sent = self
            .send_in_dialog(now, key, side.other(), Method::Info, content)
            .is_some();
        self.respond(now, reply, if sent { 200 } else { 503 });
    }

    /// RFC 3261 §12.2.1.2: 408 and 481 say that the far side has no such dialog any more.
    pub(crate) fn on_info_response(&mut self, now: Instant, key: CallKey, message: &Message<'_>) {
        if message
            .status()
            .is_some_and(|status| matches!(status.raw(), 408 | 481))
        {
            self.end_call(now, key, EndedBy::Edge, None);
        }
    }
}

/// Whether a body is text without control characters.
pub(crate) fn is_text(body: &[u8]) -> bool {
    std::str::from_utf8(body).is_ok_and(|text| {
        !text
            .chars()
            .any(|c| c.is_control() && !"\r\n\t".contains(c))
    })
}
