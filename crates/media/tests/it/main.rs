//! The media plane from outside: what passes, what does not, and where it goes.

mod allocation;
mod attendant;
mod corpus;
mod direction_and_limits;
mod fast_path;
mod fax;
mod kit;
mod latching;
mod properties;
mod rtcp;
mod srtp;
mod two_endpoints;
