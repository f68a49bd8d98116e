//! Session descriptions and offer/answer. No networking, no clock.
