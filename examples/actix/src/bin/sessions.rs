//! Notifications for those whom a session of the application's own knows, on actix-web with `actix-session`:
//! `cargo run -p example-actix --features sessions --bin sessions`
//!
//! `SESSION_TTL` is in seconds; `SESSION_KEY`, 64 bytes or more, seals the cookie (random when unset). The login is a
//! demo: it asks nobody for a password.

use std::{
    env,
    future::{Ready, ready},
    time::{Duration, SystemTime},
};

use actix_session::{
    Session, SessionExt, SessionMiddleware, config::PersistentSession, storage::CookieSessionStore,
};
use actix_web::{
    App, FromRequest, HttpRequest, HttpResponse, HttpServer, Responder,
    cookie::{Key, SameSite, time},
    dev::Payload,
    error::ErrorUnauthorized,
    get, post, route, web,
};
use auth::{now_millis, own_topic, random_id, ttl_from_env};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sse_actix::{
    Auth, Authorized, Error, Event, EventName, Hub, Identity, Lifecycle, Sse, StreamOptions, Topic,
    TopicError, TrustedOrigin,
};

/// Who is signed in, as the session keeps it.
#[derive(Serialize, Deserialize)]
struct User {
    name: String,
    /// Of this sign-in alone.
    session: String,
    signed_in: SystemTime,
    until: SystemTime,
}

/// The extractor that the application has anyway.
impl FromRequest for User {
    type Error = actix_web::Error;
    type Future = Ready<Result<Self, actix_web::Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let user = request.get_session().get("user").map_err(Into::into);
        ready(user.and_then(|user| user.ok_or_else(|| ErrorUnauthorized("Please sign in."))))
    }
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

#[post("/login")]
async fn login(
    _: TrustedOrigin,
    session: Session,
    ttl: web::Data<Duration>,
    login: web::Json<Login>,
) -> Result<impl Responder, actix_web::Error> {
    let Login { user: name } = login.into_inner();
    own_topic(&name).map_err(Error::from)?;
    let now = SystemTime::now();
    session.renew();
    session.insert("user", User { name, session: random_id(), signed_in: now, until: now + **ttl })?;
    Ok(web::Json(json!({})))
}

#[route("/events", method = "GET", method = "HEAD")]
async fn events(client: Authorized<User>, hub: web::Data<Hub>) -> Result<Sse, Error> {
    client.subscribe(&hub, client.granted_topics()?)
}

#[post("/notify")]
async fn notify(
    client: Authorized<User>,
    hub: web::Data<Hub>,
    note: web::Json<Note>,
) -> Result<impl Responder, Error> {
    let topic = note.to.as_deref().map_or_else(|| Ok(Topic::new("news")?), own_topic)?;
    let from = &client.user().name;
    let text =
        json!({ "from": from, "to": note.to, "title": note.title, "body": note.body, "at": now_millis() });
    let id = hub.publish(topic, Event::json(&text)?.name("notification")?).await?;
    Ok(HttpResponse::Accepted().json(json!({ "id": id })))
}

/// The cookie may be kept by others: what it says of the session does not count from here on.
#[post("/logout")]
async fn logout(
    client: Authorized<User>,
    session: Session,
    auth: web::Data<Auth>,
) -> Result<impl Responder, Error> {
    auth.revocations().revoke(&client).await?;
    session.purge();
    Ok(HttpResponse::NoContent())
}

#[get("/healthz")]
async fn healthz() -> &'static str {
    "ok"
}

#[get("/readyz")]
async fn readyz(hub: web::Data<Hub>) -> impl Responder {
    match hub.is_ready() {
        true => HttpResponse::Ok().body("ready"),
        false => HttpResponse::ServiceUnavailable().body("stopping"),
    }
}

#[get("/metrics")]
async fn metrics(hub: web::Data<Hub>) -> String {
    auth::metrics(&hub)
}

#[get("/")]
async fn page() -> impl Responder {
    web::Html::new(include_str!("../../../notifications.html"))
}

/// Pages see this event where they would see no comment, and reconnect when a line has gone silent.
fn watched() -> StreamOptions {
    StreamOptions::new().keep_alive_event(Event::new("{}").named(EventName::from_static("ping")))
}

#[actix_web::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    auth::install_metrics()?;
    let port: u16 = env::var("PORT").unwrap_or_else(|_| "8080".into()).parse()?;
    let ttl = ttl_from_env("SESSION_TTL")?;
    let key = match env::var("SESSION_KEY") {
        Ok(key) => Key::try_from(key.as_bytes())?,
        Err(_) => Key::generate(),
    };
    let auth = Auth::sessions()
        .allowed_hosts(["127.0.0.1", "localhost", "[::1]"])
        .expiry_notice(Duration::from_secs(20))
        .build()?;
    let lifecycle = Lifecycle::builder().window(Duration::from_secs(5)).build();
    let hub = Hub::builder().lifecycle(&lifecycle).stream_options(watched()).build();
    let stop = lifecycle.stop_on_signal();
    let app = move || {
        let lifetime =
            PersistentSession::default().session_ttl(time::Duration::seconds(ttl.as_secs() as i64));
        let sessions = SessionMiddleware::builder(CookieSessionStore::default(), key.clone())
            .cookie_name("session".into())
            .cookie_same_site(SameSite::Strict)
            .cookie_secure(false) // With TLS, leave this out.
            .session_lifecycle(lifetime)
            .build();
        App::new()
            .configure(sse_actix::with_hub(&hub))
            .configure(sse_actix::with_auth(&auth))
            .app_data(web::Data::new(auth.clone()))
            .app_data(web::Data::new(ttl))
            .wrap(sessions)
            .service((page, login, events, notify, logout))
            .service((healthz, readyz, metrics))
    };
    let server = HttpServer::new(app)
        .h1_allow_half_closed(false)
        .shutdown_signal(stop)
        .shutdown_timeout(3)
        .listen(sse_actix::listener(("127.0.0.1", port))?)?;
    println!("http://127.0.0.1:{port}");
    lifecycle.limit(server.run()).await.transpose()?;
    Ok(())
}
