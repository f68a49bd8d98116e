//! SIP messages: framing, header index, typed headers, URIs, writing. No networking, no clock.
