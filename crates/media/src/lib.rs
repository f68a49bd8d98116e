//! Anchored media streams: ports, latching, rewriting, quality. No networking, no clock.
