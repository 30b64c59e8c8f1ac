//! [`SseFairing`]: the hub as managed state, and the end of the streams before the end of the server.

use std::time::Duration;

use rocket::{
    Build, Orbit, Rocket,
    fairing::{self, Fairing, Info, Kind},
};
use sse_core::{Hub, Lifecycle, ListenOptions};

/// A fairing that makes a [`Hub`] available to handlers as `&State<Hub>`, and
/// [`SseRequest`](crate::SseRequest) with it.
///
/// It takes SIGTERM and Ctrl-C over from Rocket, which would cut open streams: it ends them first, then has
/// Rocket shut down.
pub fn with_hub(hub: &Hub) -> SseFairing {
    SseFairing { hub: Some(hub.clone()), ..with_lifecycle(hub.lifecycle()) }
}

/// A fairing that makes [`SseRequest`](crate::SseRequest) available to handlers, for applications without a
/// hub. It takes over the signals as [`with_hub`] does.
pub fn with_lifecycle(lifecycle: &Lifecycle) -> SseFairing {
    SseFairing { lifecycle: lifecycle.clone(), hub: None, listen: Some(ListenOptions::new()) }
}

/// What [`with_hub`] and [`with_lifecycle`] attach.
#[derive(Clone, Debug)]
pub struct SseFairing {
    lifecycle: Lifecycle,
    hub: Option<Hub>,
    listen: Option<ListenOptions>,
}

impl SseFairing {
    /// With which options Rocket's socket listens, once it has lifted off; `None` leaves it as Rocket made it, with a
    /// backlog of 128. Rocket binds it by itself: see [`ListenOptions::set_on_found`] for where that is possible.
    #[must_use]
    pub fn listen(mut self, options: impl Into<Option<ListenOptions>>) -> Self {
        self.listen = options.into();
        self
    }
}

/// Of the socket that Rocket listens on, as far as is known before it does.
pub(crate) struct UserTimeout(pub(crate) Duration);

#[rocket::async_trait]
impl Fairing for SseFairing {
    fn info(&self) -> Info {
        Info { name: "Server-Sent Events", kind: Kind::Ignite | Kind::Liftoff | Kind::Singleton }
    }

    async fn on_ignite(&self, rocket: Rocket<Build>) -> fairing::Result {
        let figment =
            rocket.figment().clone().merge(("shutdown.ctrlc", false)).merge(("shutdown.signals", [""; 0]));
        let user_timeout =
            UserTimeout(self.listen.as_ref().map_or(Duration::ZERO, ListenOptions::cuts_after));
        let rocket = rocket.configure(figment).manage(self.lifecycle.clone()).manage(user_timeout);
        Ok(match &self.hub {
            Some(hub) => rocket.manage(hub.clone()),
            None => rocket,
        })
    }

    async fn on_liftoff(&self, rocket: &Rocket<Orbit>) {
        let addr = (rocket.config().address, rocket.config().port).into();
        self.listen.as_ref().map(|options| options.set_on_found(addr));
        let lifecycle = self.lifecycle.clone();
        let shutdown = rocket.shutdown();
        rocket::tokio::spawn(async move {
            rocket::tokio::select! {
                () = lifecycle.stop_on_signal() => shutdown.notify(),
                // The application shuts down by itself: its grace period runs already, and then it cuts what is open.
                () = shutdown.clone() => lifecycle.stop_at_once(),
            }
        });
    }
}
