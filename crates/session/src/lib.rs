//! The B2BUA: access, admission, routing, calls, topology hiding, CDRs. No networking, no clock.
