//! Traces of calls for an OpenTelemetry collector (`edge.traces`, the feature `otel`).
//!
//! A call is one trace, told when its record is on the disk: the call itself, how long it was set
//! up, how long it rang and how long it was answered. Who called whom is not told, for traces leave
//! the house; the call's id leads to its record.

#[cfg(feature = "otel")]
mod otlp;

use std::io;
use std::net::SocketAddr;

use ringfence_session::cdr::Cdr;

#[cfg(feature = "otel")]
pub(crate) use otlp::Traces;

/// Tells nobody: this program was built without `otel`.
#[cfg(not(feature = "otel"))]
pub(crate) struct Traces(());

#[cfg(not(feature = "otel"))]
impl Traces {
    fn to(_: &str, _: SocketAddr) -> io::Result<Traces> {
        let why = "this program was built without it: build with `--features otel`";
        Err(io::Error::new(io::ErrorKind::Unsupported, why))
    }

    fn call(&self, _: &Cdr) {}
}

/// Starts to tell `collector` of the calls of the edge `name`, if there is one.
///
/// # Errors
/// This program was built without the feature, or the system refuses a thread.
pub(crate) fn start(name: &str, collector: Option<SocketAddr>) -> io::Result<Option<Traces>> {
    collector
        .map(|collector| Traces::to(name, collector))
        .transpose()
}

/// Tells of a call that is over, if anybody is told.
pub(crate) fn tell(traces: Option<&Traces>, cdr: &Cdr) {
    if let Some(traces) = traces {
        traces.call(cdr);
    }
}

#[cfg(all(test, not(feature = "otel")))]
mod tests {
    use super::*;

    #[test]
    fn a_program_without_the_feature_says_how_to_get_it() {
        assert!(start("edge", None).unwrap().is_none());
        let error = start("edge", Some("127.0.0.1:4318".parse().unwrap())).err();
        assert!(error.unwrap().to_string().contains("--features otel"));
    }
}
