//! What an agent writes: session descriptions and the headers that name it.

use ringfence_base::Flow;
use ringfence_base::Instant;
use ringfence_dialog::ServerId;
use ringfence_sdp::SessionDescription;
use ringfence_sip::write::{MessageWriter, response_to};
use ringfence_sip::{HeaderName, Message, StatusCode};

use crate::agent::leg::audio_port;
use crate::agent::{Agent, Fault};

impl Agent {
    /// A session description of `call`: an offer of both codecs by the caller, the codec of the
    /// call otherwise.
    pub(crate) fn description(&mut self, call: usize, direction: &str) -> String {
        let (mark, media) = (self.identity.mark, self.identity.media);
        let leg = &mut self.legs[call];
        leg.descriptions += 1;
        let formats = match leg.is_caller && leg.descriptions == 1 && !leg.script.offerless {
            true => "0 8".to_owned(),
            false => leg.codec.to_string(),
        };
        format!(
            "v=0\r\no={mark} 77 {version} IN IP4 {media}\r\ns={mark} session\r\n\
             c=IN IP4 {media}\r\nt=0 0\r\nm=audio {port} RTP/AVP {formats}\r\n\
             a=candidate:1 1 UDP 1 {media} {port} typ host\r\na=ptime:20\r\na={direction}\r\n",
            version = leg.descriptions,
            port = audio_port(call),
        )
    }

    /// Learns where the audio of `call` goes from the peer's description.
    pub(crate) fn learn(&mut self, call: usize, body: &[u8], is_answer: bool) {
        let description = SessionDescription::parse(body).ok();
        let media = description.as_ref().and_then(|description| {
            let (_, media) = description.active_media().next()?;
            let address = description.rtp_address(media)?;
            Some((address, media.payload_types().next()?))
        });
        let leg = &mut self.legs[call];
        // An answer that refuses everything: the BYE comes next (RFC 3261 §13.2.2.4).
        let refused = description.is_some_and(|description| {
            !description.media.is_empty() && description.active_media().next().is_none()
        });
        if refused && is_answer {
            leg.remote = None;
            return;
        }
        let Some((address, codec)) = media else {
            self.faults.push(Fault::Description { call });
            return;
        };
        leg.remote = Some(address);
        if is_answer {
            leg.codec = codec;
        }
    }

    /// The headers that name this agent.
    pub(crate) fn sign(&self, writer: &mut MessageWriter<'_>, software: HeaderName) {
        let (mark, signalling) = (self.identity.mark, self.identity.signalling);
        writer
            .header_fmt(
                HeaderName::Contact,
                format_args!("<sip:{mark}@{signalling}>"),
            )
            .header_fmt(software, format_args!("{mark} 9.9"))
            .raw_header(b"X-Host", signalling.to_string().as_bytes())
            .raw_header(b"Warning", format!("399 {mark} \"{mark}\"").as_bytes());
    }

    /// Answers a request outside of any INVITE's story.
    pub(crate) fn reply(
        &mut self,
        now: Instant,
        flow: Flow,
        server: ServerId,
        request: &Message<'_>,
        status: u16,
    ) {
        let tag = self.cookies.new_tag(&mut self.entropy);
        let code = StatusCode::of(status);
        let mut bytes = Vec::new();
        let tag = Some(tag.as_bytes());
        let mut writer = response_to(&mut bytes, request, flow.remote, code, "", tag);
        self.sign(&mut writer, HeaderName::Server);
        writer.finish();
        self.transactions.respond(now, server, code, bytes.into());
    }
}
