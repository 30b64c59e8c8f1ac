//! What holds on all nodes of a hub: what was revoked, what was ended, tickets.

mod engine;
mod revoking;
mod tickets;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use futures_util::{Stream, StreamExt};
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::json;
use sse_core::{Auth, Authorized, EventStream, Grants, Hub, Identity, Refusal, Subscription, Tickets};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep},
};

use self::engine::Log;
use super::{Head, bearer, get, text, verifier};

/// Long beyond what anything here takes.
const LONG: Duration = Duration::from_secs(20);

/// What several nodes have in common: the log, and the time.
#[derive(Clone)]
struct Cluster {
    log: Log,
    start: Instant,
}

/// One process of several.
struct Node {
    hub: Hub,
    auth: Auth,
    sessions: Auth,
    delay: watch::Sender<Duration>,
}

impl Cluster {
    fn new() -> Self {
        Self { log: Log::new(), start: Instant::now() }
    }

    fn now(&self) -> SystemTime {
        self.clock()()
    }

    fn clock(&self) -> impl Fn() -> SystemTime + Clone + Send + Sync + 'static {
        let start = self.start;
        let then = SystemTime::UNIX_EPOCH + Duration::from_secs(super::DATA["now"].as_u64().unwrap());
        move || then + start.elapsed()
    }

    async fn node(&self) -> Node {
        self.node_ahead(Duration::ZERO).await
    }

    /// One whose wall clock is ahead.
    async fn node_ahead(&self, ahead: Duration) -> Node {
        let (engine, delay) = self.log.engine();
        let clock = self.clock();
        let clock = move || clock() + ahead;
        let auth = Auth::builder(verifier().clock(clock.clone()).build().unwrap())
            .grants(Grants::claim("topics"))
            .tickets(Tickets::new("/events").cookie("sse_ticket"))
            .build()
            .unwrap();
        let sessions = Auth::sessions().clock(clock).build().unwrap();
        let hub = Hub::builder().engine(engine).share(&auth).share_as("sessions", &sessions);
        Node { hub: hub.build().await.unwrap(), auth, sessions, delay }
    }

    async fn nodes(&self) -> [Node; 2] {
        [self.node().await, self.node().await]
    }

    /// A token of this moment.
    fn token(&self, subject: &str, id: &str, lifetime: Duration) -> String {
        let now = self.now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let claims = json!({
            "sub": subject, "jti": id, "iss": "sse-example", "aud": "sse-example", "iat": now,
            "exp": now + lifetime.as_secs(), "sid": format!("sid-{id}"), "topics": ["news", format!("user/{subject}")],
            "more": "of the application's",
        });
        let key = EncodingKey::from_secret(text("/secret").as_bytes());
        encode(&Header::default(), &claims, &key).unwrap()
    }

    fn hour(&self, subject: &str, id: &str) -> String {
        self.token(subject, id, Duration::from_secs(3600))
    }
}

impl Node {
    async fn authorize(&self, head: &Head) -> Result<Authorized, Refusal> {
        self.auth.authorize(head, self.hub.lifecycle()).await
    }

    async fn client(&self, token: &str) -> Authorized {
        self.authorize(&bearer(token)).await.unwrap()
    }

    async fn status(&self, token: &str) -> u16 {
        super::answer(&self.authorize(&bearer(token)).await).0
    }

    async fn open(&self, token: &str) -> Open {
        Open::new(self.hub.open(&self.client(token).await, "news").unwrap())
    }

    fn admit(&self, who: Identity) -> Result<Authorized<Identity>, Refusal> {
        self.sessions.admit(&get(), self.hub.lifecycle(), who)
    }
}

/// A stream that somebody reads.
struct Open {
    has_ended: Arc<AtomicBool>,
    reader: JoinHandle<()>,
}

impl Open {
    fn new(stream: EventStream<Subscription>) -> Self {
        let has_ended = Arc::<AtomicBool>::default();
        let ended = Arc::clone(&has_ended);
        let reader = tokio::spawn(async move {
            drain(stream).await;
            ended.store(true, Ordering::SeqCst);
        });
        Self { has_ended, reader }
    }

    fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::SeqCst)
    }

    /// Within how long it has.
    async fn ends(&self) -> Duration {
        let start = Instant::now();
        until("it ends", || self.has_ended()).await;
        start.elapsed()
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

async fn drain(stream: impl Stream) {
    stream.for_each(|_| async {}).await;
}

/// Waits until something is so.
async fn until(what: &str, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < LONG, "not in time: {what}");
        sleep(Duration::from_millis(5)).await;
    }
}

/// Time for everything that is on its way, and more.
async fn settle() {
    sleep(Duration::from_secs(2)).await;
}
