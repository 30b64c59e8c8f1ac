//! The same small application on each framework.

mod actix;
mod rocket;
mod warp;

use std::{fmt, net::SocketAddr, pin::Pin, time::Duration};

use futures_util::Stream;
use sse_core::{Auth, Event, Hub, StreamOptions};
use tokio::{sync::oneshot, time::timeout};

use crate::tokens;

/// A stream of the application's own, by name.
pub type OwnStream = Pin<Box<dyn Stream<Item = Result<Event, String>> + Send>>;

/// What a server serves: `/events` from the hub, `/own/{name}` from the application, `/blank` for browsers.
#[derive(Clone, Debug)]
pub struct App {
    /// Behind `/events`.
    pub hub: Hub,
    /// Behind `/own/{name}`.
    pub own: fn(&str) -> OwnStream,
    /// For `/own/{name}`.
    pub options: StreamOptions,
    /// Before `/private`, which is `/events` for those with a token, and `/ticket`.
    pub auth: Auth,
}

impl App {
    /// An application around a hub, whose own streams are empty.
    pub fn new(hub: Hub) -> Self {
        Self {
            hub,
            own: |_| Box::pin(futures_util::stream::empty()),
            options: StreamOptions::new(),
            auth: tokens::auth().build().expect("rules"),
        }
    }
}

/// The frameworks with an adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framework {
    /// actix-web
    Actix,
    /// Rocket
    Rocket,
    /// warp
    Warp,
}

impl Framework {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Actix, Self::Rocket, Self::Warp];

    /// The folder of its examples.
    pub fn name(self) -> &'static str {
        match self {
            Self::Actix => "actix",
            Self::Rocket => "rocket",
            Self::Warp => "warp",
        }
    }

    /// Serves the application on a free port, over HTTP/1.1 and, with prior knowledge, HTTP/2.
    pub async fn serve(self, app: App) -> Server {
        let hub = app.hub.clone();
        let (addr, ended) = match self {
            Self::Actix => actix::serve(app).await,
            Self::Rocket => rocket::serve(app).await,
            Self::Warp => warp::serve(app).await,
        };
        Server { addr, hub, ended: Some(ended) }
    }
}

impl fmt::Display for Framework {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A running server; stopped when dropped.
#[derive(Debug)]
pub struct Server {
    /// Where it listens.
    pub addr: SocketAddr,
    /// Its hub.
    pub hub: Hub,
    ended: Option<oneshot::Receiver<()>>,
}

impl Server {
    /// Stops the server and waits for its end.
    pub async fn stop(mut self) {
        self.hub.lifecycle().stop();
        let ended = self.ended.take().expect("a server is stopped once");
        timeout(Duration::from_secs(10), ended).await.expect("the server ends in time").ok();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.hub.lifecycle().stop();
    }
}
