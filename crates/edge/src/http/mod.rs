//! What the control thread serves: the control API on a Unix socket, metrics on a TCP address.

mod call_back;
mod callers;
mod control;
mod feed;
mod metrics;

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, UnixListener};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::run::StartError;
use crate::run::shared::Shared;

/// Bound sockets, not yet served.
pub(crate) struct Servers {
    control: UnixListener,
    metrics: Option<(TcpListener, SocketAddr)>,
}

impl Servers {
    /// Binds both. To be called inside a runtime's context.
    pub(crate) fn bind(control: &Path, metrics: Option<SocketAddr>) -> Result<Servers, StartError> {
        let serve_error = |what: String| |source| StartError::Serve { what, source };
        let path = control.display().to_string();
        let control = bind_unix(control).map_err(serve_error(format!("the socket {path}")))?;
        let metrics = metrics
            .map(|address| {
                bind_tcp(address).map_err(serve_error(format!("edge.metrics {address}")))
            })
            .transpose()?;
        Ok(Servers { control, metrics })
    }

    pub(crate) fn metrics_addr(&self) -> Option<SocketAddr> {
        self.metrics.as_ref().map(|(_, address)| *address)
    }

    /// Serves. To be called inside a runtime.
    pub(crate) fn serve(self, shared: Arc<Shared>) -> Serving {
        if let Some((listener, _)) = self.metrics {
            let router = metrics::router(Arc::clone(&shared));
            tokio::spawn(async move { axum::serve(listener, router).await });
        }
        let router = control::router(shared);
        let (finish, finished) = oneshot::channel::<()>();
        let control = tokio::spawn(async move {
            let serve = axum::serve(self.control, router);
            serve
                .with_graceful_shutdown(async move { drop(finished.await) })
                .await
        });
        Serving { finish, control }
    }
}

/// The control API at work.
pub(crate) struct Serving {
    finish: oneshot::Sender<()>,
    control: JoinHandle<io::Result<()>>,
}

impl Serving {
    /// Takes no new questions, and lets the answers that are under way come to their end: a capture
    /// that the edge's end has ended is not cut off before its last packets.
    pub(crate) async fn finish(self) {
        drop(self.finish);
        if tokio::time::timeout(FINISH_MAX, self.control)
            .await
            .is_err()
        {
            tracing::warn!("an answer of the control API was cut off");
        }
    }
}

/// How long the last answers may take.
const FINISH_MAX: Duration = Duration::from_secs(2);

/// Whoever owns the folder's lock owns the socket's path too: what is left of an earlier process
/// is removed. Only the owner of the process may connect.
fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

fn bind_tcp(address: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    Ok((TcpListener::from_std(listener)?, address))
}
