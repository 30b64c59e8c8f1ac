//! The same small application on each framework.

mod actix;
mod rocket;
mod user;
mod warp;

use std::{
    collections::HashMap,
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::{Stream, stream};
use serde_json::Value;
use sse_core::{
    Auth, Event, EventStream, Hub, ListenOptions, Refusal, Request, Source, StreamOptions, Subscription,
    SubscriptionHandle,
};
use tokio::{sync::oneshot, time::timeout};

pub use self::user::User;
use crate::{tls::Certificate, tokens};

/// A stream of the application's own, by name.
pub type OwnStream = Pin<Box<dyn Stream<Item = Result<Event, String>> + Send>>;

/// What a server serves: `/events` from the hub, `/own/{name}` from the application, `/blank` for browsers; and the
/// model of the `chat` examples, at the paths of two vendors.
#[derive(Clone, Debug)]
pub struct App {
    /// Behind `/events`.
    pub hub: Hub,
    /// Behind `/own/{name}`.
    pub own: fn(&str) -> OwnStream,
    /// For `/own/{name}`.
    pub options: StreamOptions,
    /// For `/with/{name}`, which is `/events` but for these.
    pub endpoints: HashMap<&'static str, StreamOptions>,
    /// Of the streams that `/with/{name}` has opened, to change their topics.
    pub opened: Arc<Mutex<Vec<SubscriptionHandle>>>,
    /// Before `/private`, which is `/events` for those with a token, `/ticket`, and `/session`, which is `/events` for
    /// those whom the application knows by itself.
    pub auth: Auth,
    /// How often `/once` was asked for.
    pub asked: Arc<AtomicUsize>,
    /// How often the application has looked for its own [`User`].
    pub looked: Arc<AtomicUsize>,
    /// Where the server listens.
    pub address: IpAddr,
    /// At which port; at a free one where it is 0.
    pub port: u16,
    /// How it does.
    pub listen: ListenOptions,
    /// For TLS, over which HTTP/2 and HTTP/1.1 are offered.
    pub tls: Option<Certificate>,
    /// For the head of a request, where the framework's own time is not to be waited for.
    pub head_timeout: Option<Duration>,
}

impl App {
    /// An application around a hub, whose own streams are empty.
    pub fn new(hub: Hub) -> Self {
        Self {
            hub,
            own: |_| Box::pin(stream::empty()),
            options: StreamOptions::new(),
            endpoints: HashMap::new(),
            opened: Arc::default(),
            auth: tokens::auth().build().expect("rules"),
            asked: Arc::default(),
            looked: Arc::default(),
            address: Ipv4Addr::LOCALHOST.into(),
            port: 0,
            listen: ListenOptions::new(),
            tls: None,
            head_timeout: None,
        }
    }

    /// `/with/{name}`: the hub's streams as one endpoint has them.
    fn with(&self, request: &Request, name: &str) -> Result<EventStream<Subscription>, Refusal> {
        let options = self.endpoints.get(name).cloned().ok_or_else(|| Refusal::not_found("No endpoint."))?;
        let stream = self.hub.open_with(request, request.any_topics("news")?, options)?;
        self.opened.lock().expect("not poisoned").push(stream.handle());
        Ok(stream)
    }

    /// `/for/{name}`: of all that is said, what is said to one, without to whom.
    fn filtered(&self, request: &Request, name: String) -> Result<EventStream<impl Source + use<>>, Refusal> {
        let stream = self.hub.open(request, request.any_topics("news")?)?;
        Ok(stream.filter_map(move |event| {
            let said: Value = event.json().ok()?;
            (said["to"] == "all" || said["to"] == *name).then(|| Event::json(&said["text"]))
        }))
    }

    /// `/once`: a stream of one event, and for those who have it, no other.
    fn once(&self, request: &Request) -> Result<EventStream<OwnStream>, Refusal> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if request.last_event_id().and_then(|id| id.as_str()) == Some("1") {
            return Err(request.refuse(Refusal::stop_reconnecting()));
        }
        let one = stream::iter([Event::new("all").id("1").map_err(|error| error.to_string())]);
        EventStream::open_with(request, Box::pin(one), self.options.clone())
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

    /// Serves the application on a free port, over HTTP/1.1 and HTTP/2: with prior knowledge, or as TLS agrees on it.
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
    pub async fn stop(self) {
        self.hub.lifecycle().stop();
        timeout(Duration::from_secs(10), self.ended()).await.expect("the server ends in time");
    }

    /// Waits for the end of a server that others stop.
    pub async fn ended(mut self) {
        let ended = self.ended.take().expect("it ends once");
        ended.await.ok();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.hub.lifecycle().stop();
    }
}
