//! RTP, RTCP, SRTP, telephone events, G.711 and quality. No networking, no clock.
