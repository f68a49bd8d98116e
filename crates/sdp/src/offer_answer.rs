//! The offer/answer model (RFC 3264): what an offer, its answer and the next offer owe each other.
//!
//! Pure checks over two descriptions. [`mend_answer`] first makes an answer as strict as the offer
//! allows where real peers are careless; [`check_answer`] then refuses what cannot be mended.

use smallvec::SmallVec;
use thiserror::Error;

use crate::description::SessionDescription;
use crate::media::{Media, Proto};
use crate::{Codec, Connection, Crypto};

/// Why an offer cannot be answered. `media` counts from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum OfferError {
    /// A media description has no `c=` line, neither its own nor the session's.
    #[error("media {media} has no connection address")]
    NoConnection {
        /// Its position.
        media: usize,
    },
    /// A media description lists no format.
    #[error("media {media} lists no format")]
    NoFormats {
        /// Its position.
        media: usize,
    },
}

/// Checks an offer by itself (RFC 3264 §5). Refused media descriptions may be anything.
pub fn check_offer(offer: &SessionDescription) -> Result<(), OfferError> {
    for (index, media) in offer.active_media() {
        if offer.connection(media).is_none() {
            return Err(OfferError::NoConnection { media: index });
        }
        if media.formats().next().is_none() {
            return Err(OfferError::NoFormats { media: index });
        }
    }
    Ok(())
}

/// Why a later offer does not follow an earlier description of the same session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NewOfferError {
    /// Media descriptions are never removed, only refused (RFC 3264 §8).
    #[error("{offered} media descriptions after {before}")]
    FewerMedia {
        /// How many there were.
        before: usize,
        /// How many there are.
        offered: usize,
    },
}

/// Checks an offer against the last description of the session (RFC 3264 §8).
pub fn check_new_offer(
    before: &SessionDescription,
    offer: &SessionDescription,
) -> Result<(), NewOfferError> {
    let (before, offered) = (before.media.len(), offer.media.len());
    if offered < before {
        Err(NewOfferError::FewerMedia { before, offered })
    } else {
        Ok(())
    }
}

/// Why an answer does not fit its offer. `media` counts from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AnswerError {
    /// SRTP without exactly one acceptable key line that takes up one of the offer's (RFC 4568
    /// §5.1.3), or keys where none were offered.
    #[error("media {media} does not choose one of the offered keys")]
    Crypto {
        /// Its position.
        media: usize,
    },
    /// A direction that the offer does not allow (§6.1).
    #[error("media {media} answers with a direction that was not offered")]
    Direction {
        /// Its position.
        media: usize,
    },
    /// Another kind of media.
    #[error("media {media} is of another kind than offered")]
    Kind {
        /// Its position.
        media: usize,
    },
    /// Not as many media descriptions as the offer (§6).
    #[error("{answered} media descriptions for {offered}")]
    MediaCount {
        /// In the offer.
        offered: usize,
        /// In the answer.
        answered: usize,
    },
    /// No format in common with the offer (§6.1).
    #[error("media {media} has no format in common with the offer")]
    NoCommonFormat {
        /// Its position.
        media: usize,
    },
    /// No `c=` line for it.
    #[error("media {media} has no connection address")]
    NoConnection {
        /// Its position.
        media: usize,
    },
    /// A port where the offer had refused the stream with 0 (§6).
    #[error("media {media} was not offered")]
    NotOffered {
        /// Its position.
        media: usize,
    },
    /// Another transport than offered (§6.1).
    #[error("media {media} has another transport than offered")]
    Proto {
        /// Its position.
        media: usize,
    },
    /// RTCP on the RTP port although the offer did not allow it (RFC 5761 §5.1.1).
    #[error("media {media} multiplexes RTCP, which was not offered")]
    RtcpMux {
        /// Its position.
        media: usize,
    },
}

/// Takes back what an answer may not say but careless peers do: directions beyond the offer, a
/// profile with or without feedback unlike the offer's, `rtcp-mux` that was not offered.
pub fn mend_answer(offer: &SessionDescription, answer: &mut SessionDescription) {
    for index in 0..answer.media.len().min(offer.media.len()) {
        let (offered, answered) = (&offer.media[index], &answer.media[index]);
        if answered.is_rejected() {
            continue;
        }
        let offered_direction = offer.direction(offered);
        let direction = answer.direction(answered);
        let profile_differs = differs_in_feedback_only(&offered.proto, &answered.proto);
        let media = &mut answer.media[index];
        if !offered_direction.allows_answer(direction) {
            media.set_direction(offered_direction.answer(direction));
        }
        if profile_differs {
            media.proto = offered.proto.clone();
        }
        if !offered.rtcp_mux() {
            media.attributes.remove("rtcp-mux");
            media.attributes.remove("rtcp-mux-only");
        }
    }
}

/// Checks an answer against its offer (RFC 3264 §6, RFC 4568 §5.1.3, RFC 5761 §5.1.1).
pub fn check_answer(
    offer: &SessionDescription,
    answer: &SessionDescription,
) -> Result<(), AnswerError> {
    let (offered, answered) = (offer.media.len(), answer.media.len());
    if offered != answered {
        return Err(AnswerError::MediaCount { offered, answered });
    }
    for (index, (offered, answered)) in offer.media.iter().zip(&answer.media).enumerate() {
        if offered.kind != answered.kind {
            return Err(AnswerError::Kind { media: index });
        }
        if !answered.is_rejected() {
            check_stream(index, (offer, offered), (answer, answered))?;
        }
    }
    Ok(())
}

/// Whether whoever wrote the description wants no media for this stream: by direction, or by the
/// zero address of RFC 2543 (RFC 3264 §8.4). A refused stream is not on hold.
pub fn is_held(description: &SessionDescription, media: &Media) -> bool {
    let zeros = description
        .connection(media)
        .is_some_and(Connection::is_unspecified);
    !media.is_rejected() && (zeros || !description.direction(media).receives())
}

/// Whether there are streams and all of them [are on hold](is_held).
pub fn is_on_hold(description: &SessionDescription) -> bool {
    let mut streams = description.active_media().peekable();
    streams.peek().is_some() && streams.all(|(_, media)| is_held(description, media))
}

/// Whether two media descriptions share a format: an encoding in RTP, whatever payload types the
/// two sides gave it (RFC 3264 §5.1), or a word elsewhere.
pub fn have_common_format(one: &Media, other: &Media) -> bool {
    let same_word = || {
        one.formats()
            .any(|format| other.formats().any(|word| word == format))
    };
    if !one.proto.is_rtp() {
        return same_word();
    }
    // Collected once: looking up a codec reads all `rtpmap` lines.
    let theirs: SmallVec<[Codec<'_>; 8]> = other.codecs().collect();
    one.codecs()
        .any(|codec| theirs.iter().any(|their| their.same_encoding(&codec)))
        || same_unknown_type(one, other)
}

fn check_stream(
    index: usize,
    (offer, offered): (&SessionDescription, &Media),
    (answer, answered): (&SessionDescription, &Media),
) -> Result<(), AnswerError> {
    let media = index;
    if offered.is_rejected() {
        return Err(AnswerError::NotOffered { media });
    }
    if offered.proto != answered.proto {
        return Err(AnswerError::Proto { media });
    }
    if answer.connection(answered).is_none() {
        return Err(AnswerError::NoConnection { media });
    }
    if !have_common_format(offered, answered) {
        return Err(AnswerError::NoCommonFormat { media });
    }
    if !offer
        .direction(offered)
        .allows_answer(answer.direction(answered))
    {
        return Err(AnswerError::Direction { media });
    }
    if answered.rtcp_mux() && !offered.rtcp_mux() {
        return Err(AnswerError::RtcpMux { media });
    }
    if !keys_fit(offered, answered) {
        return Err(AnswerError::Crypto { media });
    }
    Ok(())
}

/// Exactly one line, whose tag and suite the offer had; none if the offer had none.
fn keys_fit(offered: &Media, answered: &Media) -> bool {
    let mut lines = answered.crypto();
    match (lines.next(), lines.next()) {
        // Keys may come by other means than SDES, but not where SDES was offered for SRTP.
        (None, _) => !(offered.proto.is_secure() && offered.attributes.has("crypto")),
        (Some(Ok(chosen)), None) => chosen.is_acceptable() && was_offered(offered, &chosen),
        _ => false,
    }
}

fn was_offered(offered: &Media, chosen: &Crypto) -> bool {
    offered
        .crypto()
        .filter_map(Result::ok)
        .any(|line| line.tag == chosen.tag && line.suite == chosen.suite)
}

/// A payload type that neither side explains, such as a dynamic one without `rtpmap`.
fn same_unknown_type(one: &Media, other: &Media) -> bool {
    one.payload_types().any(|number| {
        one.codec(number).is_none()
            && other.payload_types().any(|theirs| theirs == number)
            && other.codec(number).is_none()
    })
}

fn differs_in_feedback_only(offered: &Proto, answered: &Proto) -> bool {
    offered.is_rtp()
        && answered.is_rtp()
        && offered.has_feedback() != answered.has_feedback()
        && offered.is_secure() == answered.is_secure()
        && offered.is_dtls() == answered.is_dtls()
}
