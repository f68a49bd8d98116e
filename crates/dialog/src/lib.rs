//! The RFC 3261 transaction machines with RFC 6026, and dialogs. No networking, no clock.
