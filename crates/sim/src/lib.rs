//! The seeded world: network, carriers, PBXs, callers and attackers, in virtual time or on real sockets.
