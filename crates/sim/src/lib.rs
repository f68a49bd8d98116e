//! The seeded world, and simulated peers on real sockets.

pub mod agent;
pub mod business;
pub mod fraud;
pub mod live;
pub mod perimeter;
pub mod world;
