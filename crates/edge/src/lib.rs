//! The running process: sockets, TLS, workers, metrics, drain and reload.
