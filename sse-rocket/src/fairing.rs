//! [`SseFairing`]: the hub as managed state, and the end of the streams before the end of the server.

use rocket::{
    Build, Orbit, Rocket,
    fairing::{self, Fairing, Info, Kind},
};
use sse_core::{Hub, Lifecycle};

/// A fairing that makes a [`Hub`] available to handlers as `&State<Hub>`, and
/// [`SseRequest`](crate::SseRequest) with it.
///
/// It takes SIGTERM and Ctrl-C over from Rocket, which would cut open streams: it ends them first, then has
/// Rocket shut down.
pub fn with_hub(hub: &Hub) -> SseFairing {
    SseFairing { lifecycle: hub.lifecycle().clone(), hub: Some(hub.clone()) }
}

/// A fairing that makes [`SseRequest`](crate::SseRequest) available to handlers, for applications without a
/// hub. It takes over the signals as [`with_hub`] does.
pub fn with_lifecycle(lifecycle: &Lifecycle) -> SseFairing {
    SseFairing { lifecycle: lifecycle.clone(), hub: None }
}

/// What [`with_hub`] and [`with_lifecycle`] attach.
#[derive(Clone, Debug)]
pub struct SseFairing {
    lifecycle: Lifecycle,
    hub: Option<Hub>,
}

#[rocket::async_trait]
impl Fairing for SseFairing {
    fn info(&self) -> Info {
        Info { name: "Server-Sent Events", kind: Kind::Ignite | Kind::Liftoff | Kind::Singleton }
    }

    async fn on_ignite(&self, rocket: Rocket<Build>) -> fairing::Result {
        let figment =
            rocket.figment().clone().merge(("shutdown.ctrlc", false)).merge(("shutdown.signals", [""; 0]));
        let rocket = rocket.configure(figment).manage(self.lifecycle.clone());
        Ok(match &self.hub {
            Some(hub) => rocket.manage(hub.clone()),
            None => rocket,
        })
    }

    async fn on_liftoff(&self, rocket: &Rocket<Orbit>) {
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
