//! The seeded world, and simulated peers on real sockets.

pub mod live;
