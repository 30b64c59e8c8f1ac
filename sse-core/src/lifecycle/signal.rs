//! The signals that stop a server.

/// Waits for SIGTERM or Ctrl-C; elsewhere than on Unix for Ctrl-C alone.
#[cfg(unix)]
pub(super) async fn received() {
    use super::first::first;
    use tokio::signal::unix::{SignalKind, signal};

    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            let terminated = async {
                terminate.recv().await;
            };
            first(terminated, ctrl_c()).await;
        }
        Err(error) => {
            tracing::error!(%error, "SIGTERM cannot be listened for");
            ctrl_c().await;
        }
    }
}

#[cfg(not(unix))]
pub(super) async fn received() {
    ctrl_c().await;
}

async fn ctrl_c() {
    if let Err(error) = tokio::signal::ctrl_c().await {
        tracing::error!(%error, "Ctrl-C cannot be listened for");
        std::future::pending::<()>().await;
    }
}
