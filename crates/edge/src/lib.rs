//! The running process: sockets, TLS, workers, metrics, drain and reload.
//!
//! This is the only place with sockets, threads, clocks and files on the call path. One
//! [`worker`] per core owns its sockets, its connections, its media ports and one
//! `session::Core`; nothing is shared between workers but bounded rings. The data plane has no
//! async runtime; the control socket, the metrics endpoint and the records writer run on threads
//! of their own.

mod acme;
mod capture;
pub mod clock;
pub mod doctor;
pub mod entropy;
pub mod epoll;
pub mod host;
mod http;
pub mod judge;
mod kernel;
pub mod records;
pub mod resolve;
pub mod ring;
mod run;
mod signers;
pub mod sources;
pub mod stream;
pub mod tap;
pub mod throttle;
pub mod tls;
mod token;
mod traces;
pub mod udp;
mod view;
pub mod worker;

pub use run::{Edge, Options, ReloadError, StartError, WorkerSilent};
