//! Notifications for those whom a session of the application's own knows, on warp:
//! `cargo run -p example-warp --features sessions --bin sessions`
//!
//! `SESSION_TTL` is in seconds. The login is a demo: it asks nobody for a password.

use std::{
    collections::HashMap,
    future::ready,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use auth::{now_millis, own_topic, random_id, ttl_from_env};
use serde::Deserialize;
use serde_json::json;
use sse_warp::{
    Auth, Authorized, Error, Event, EventName, Hub, Identity, Lifecycle, Sse, StreamOptions, Topic,
    TopicError, with_auth, with_hub,
};
use warp::{
    Filter, Rejection, Reply,
    http::{StatusCode, header::SET_COOKIE},
    reject::{self, Reject},
    reply::{json as to_json, with_header, with_status},
};

/// Who is signed in, as the store keeps it.
#[derive(Clone)]
struct User {
    name: String,
    session: String,
    signed_in: SystemTime,
    until: SystemTime,
}

/// What they may see, and until when.
impl TryFrom<&User> for Identity {
    type Error = TopicError;

    fn try_from(user: &User) -> Result<Self, TopicError> {
        Ok(Self::new(&user.name)
            .topics(["news"])?
            .exact_topic(format!("user/{}", user.name))?
            .session(&user.session)
            .signed_in_at(user.signed_in)
            .until(user.until))
    }
}

/// The sessions by their ids; a table of a database would do.
#[derive(Clone)]
struct Store {
    users: Arc<Mutex<HashMap<String, User>>>,
    ttl: Duration,
}

impl Store {
    fn users(&self) -> MutexGuard<'_, HashMap<String, User>> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sign_in(&self, name: String) -> String {
        let (id, now) = (random_id(), SystemTime::now());
        let user = User { name, session: id.clone(), signed_in: now, until: now + self.ttl };
        let mut users = self.users();
        users.retain(|_, user| user.until > now);
        users.insert(id.clone(), user);
        id
    }
}

#[derive(Debug)]
struct SignedOut;

impl Reject for SignedOut {}

/// The filter that the application has anyway.
fn signed_in(store: &Store) -> impl Filter<Extract = (User,), Error = Rejection> + Clone + use<> {
    let store = store.clone();
    warp::cookie::optional("session").and_then(move |id: Option<String>| {
        let user = id.and_then(|id| store.users().get(&id).cloned());
        ready(user.ok_or_else(|| reject::custom(SignedOut)))
    })
}

async fn please_sign_in(rejection: Rejection) -> Result<impl Reply, Rejection> {
    match rejection.find::<SignedOut>() {
        Some(_) => Ok(with_status("Please sign in.", StatusCode::UNAUTHORIZED)),
        None => Err(rejection),
    }
}

/// For TLS, add `Secure`, and `__Host-` before the name.
fn cookie(id: &str, ttl: Duration) -> String {
    format!("session={id}; Path=/; HttpOnly; SameSite=Strict; Max-Age={}", ttl.as_secs())
}

#[derive(Deserialize)]
struct Login {
    user: String,
}

#[derive(Deserialize)]
struct Note {
    /// A user, or nobody for all.
    to: Option<String>,
    title: String,
    body: String,
}

fn login(store: Store, login: Login) -> Result<impl Reply, Error> {
    own_topic(&login.user)?;
    let id = store.sign_in(login.user);
    Ok(with_header(to_json(&json!({})), SET_COOKIE, cookie(&id, store.ttl)))
}

fn events(client: Authorized<User>, hub: Hub) -> Result<Sse, Error> {
    client.subscribe(&hub, client.granted_topics()?)
}

async fn notify(client: Authorized<User>, hub: Hub, note: Note) -> Result<impl Reply, Error> {
    let topic = note.to.as_deref().map_or_else(|| Ok(Topic::new("news")?), own_topic)?;
    let from = &client.user().name;
    let text =
        json!({ "from": from, "to": note.to, "title": note.title, "body": note.body, "at": now_millis() });
    let id = hub.publish(topic, Event::json(&text)?.name("notification")?).await?;
    Ok(with_status(to_json(&json!({ "id": id })), StatusCode::ACCEPTED))
}

async fn logout(client: Authorized<User>, store: Store, auth: Auth) -> Result<impl Reply, Error> {
    auth.revocations().revoke(&client).await?;
    store.users().remove(&client.user().session);
    Ok(with_header(StatusCode::NO_CONTENT, SET_COOKIE, cookie("", Duration::ZERO)))
}

fn readyz(hub: Hub) -> impl Reply {
    match hub.is_ready() {
        true => with_status("ready", StatusCode::OK),
        false => with_status("stopping", StatusCode::SERVICE_UNAVAILABLE),
    }
}

/// Pages see this event where they would see no comment, and reconnect when a line has gone silent.
fn watched() -> StreamOptions {
    StreamOptions::new().keep_alive_event(Event::new("{}").named(EventName::from_static("ping")))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    auth::install_metrics()?;
    let port: u16 = std::env::var("PORT").unwrap_or_else(|_| "8080".into()).parse()?;
    let store = Store { users: Arc::default(), ttl: ttl_from_env("SESSION_TTL")? };
    let auth = Auth::sessions()
        .allowed_hosts(["127.0.0.1", "localhost", "[::1]"])
        .expiry_notice(Duration::from_secs(20))
        .build()?;
    let lifecycle = Lifecycle::builder().window(Duration::from_secs(5)).build();
    let hub = Hub::builder().lifecycle(&lifecycle).stream_options(watched()).build();

    let client = sse_warp::authorized_as(&auth, &hub, signed_in(&store));
    let trusted = sse_warp::trusted_origin(&auth);
    let with_store = warp::any().map(move || store.clone());
    let hub_too = client.clone().and(with_hub(&hub));
    let note = warp::body::content_length_limit(64 << 10).and(warp::body::json());
    let form = warp::body::content_length_limit(1 << 10).and(warp::body::json());
    let page = include_str!("../../../notifications.html");
    let gets = warp::get().or(warp::head()).unify().and(
        warp::path::end()
            .map(move || warp::reply::html(page))
            .or(warp::path!("events").and(hub_too.clone()).map(events))
            .or(warp::path!("healthz").map(|| "ok"))
            .or(warp::path!("readyz").and(with_hub(&hub)).map(readyz))
            .or(warp::path!("metrics").and(with_hub(&hub)).map(|hub| auth::metrics(&hub))),
    );
    let posts = warp::post().and(
        warp::path!("login")
            .and(trusted)
            .and(with_store.clone())
            .and(form)
            .map(login)
            .or(warp::path!("notify").and(hub_too).and(note).then(notify))
            .or(warp::path!("logout").and(client).and(with_store).and(with_auth(&auth)).then(logout)),
    );
    let routes = gets.or(posts).recover(sse_warp::recover).recover(please_sign_in);

    let listener = sse_warp::listener(("127.0.0.1", port))?;
    println!("http://127.0.0.1:{port}");
    Ok(sse_warp::serve(warp::service(routes), &hub).run(listener).await?)
}
