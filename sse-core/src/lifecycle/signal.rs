//! [`Signals`]: those that stop a server.

/// SIGTERM and Ctrl-C; elsewhere than on Unix, Ctrl-C alone.
pub(super) struct Signals {
    #[cfg(unix)]
    each: Vec<tokio::signal::unix::Signal>,
}

#[cfg(unix)]
impl Signals {
    /// From now on none is missed, however late it is waited for.
    pub(super) fn listen() -> Self {
        use tokio::signal::unix::{SignalKind, signal};

        let kinds = [(SignalKind::terminate(), "SIGTERM"), (SignalKind::interrupt(), "Ctrl-C")];
        let listen = |(kind, name)| match signal(kind) {
            Ok(signal) => Some(signal),
            Err(error) => {
                tracing::error!(%error, "{name} cannot be listened for");
                None
            }
        };
        Self { each: kinds.into_iter().filter_map(listen).collect() }
    }

    /// Waits for the next.
    pub(super) async fn received(&mut self) {
        use std::{future::poll_fn, task::Poll};

        poll_fn(|cx| {
            let mut each = self.each.iter_mut();
            if each.any(|signal| signal.poll_recv(cx).is_ready()) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

#[cfg(not(unix))]
impl Signals {
    pub(super) fn listen() -> Self {
        Self {}
    }

    pub(super) async fn received(&mut self) {
        if let Err(error) = tokio::signal::ctrl_c().await {
            tracing::error!(%error, "Ctrl-C cannot be listened for");
            std::future::pending::<()>().await;
        }
    }
}
