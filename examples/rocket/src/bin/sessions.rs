//! Notifications for those whom a session of the application's own knows, on Rocket with its private cookies:
//! `cargo run -p example-rocket --features sessions --bin sessions`
//!
//! `SESSION_TTL` is in seconds; `ROCKET_SECRET_KEY` seals the cookie (random when unset; a release build asks for it).
//! The login is a demo: it asks nobody for a password.

use std::time::{Duration, SystemTime};

use auth::{now_millis, own_topic, random_id, ttl_from_env};
use rocket::{
    Request, State, catch, catchers, get,
    http::{Cookie, CookieJar, Status},
    outcome::IntoOutcome,
    post,
    request::{FromRequest, Outcome},
    response::content::RawHtml,
    routes,
    serde::{
        Deserialize, Serialize,
        json::{self, Json, Value, json},
    },
    time,
};
use sse_rocket::{
    Auth, Authorized, Error, Event, EventName, Hub, Identity, Lifecycle, Sse, StreamOptions, Topic,
    TopicError, TrustedOrigin,
};

/// Who is signed in, as the private cookie keeps it.
#[derive(Serialize, Deserialize)]
#[serde(crate = "rocket::serde")]
struct User {
    name: String,
    /// Of this sign-in alone.
    session: String,
    signed_in: SystemTime,
    until: SystemTime,
}

/// The guard that the application has anyway.
#[rocket::async_trait]
impl<'r> FromRequest<'r> for User {
    type Error = ();

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, ()> {
        let cookie = request.cookies().get_private("session");
        let user = cookie.and_then(|cookie| json::from_str(cookie.value()).ok());
        user.or_error((Status::Unauthorized, ()))
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

#[catch(401)]
fn signed_out() -> &'static str {
    "Please sign in."
}

#[derive(Deserialize)]
#[serde(crate = "rocket::serde")]
struct Login {
    user: String,
}

#[derive(Deserialize)]
#[serde(crate = "rocket::serde")]
struct Note {
    /// A user, or nobody for all.
    to: Option<String>,
    title: String,
    body: String,
}

#[post("/login", data = "<login>")]
fn login(
    _page: TrustedOrigin,
    cookies: &CookieJar<'_>,
    ttl: &State<Duration>,
    login: Json<Login>,
) -> Result<Value, Error> {
    let Login { user: name } = login.into_inner();
    own_topic(&name)?;
    let now = SystemTime::now();
    let user = User { name, session: random_id(), signed_in: now, until: now + **ttl };
    // `HttpOnly`, `SameSite=Strict`, `Secure` with Rocket's own TLS; behind a proxy with TLS say `.secure(true)`.
    let cookie = Cookie::build(("session", json!(user).to_string()));
    cookies.add_private(cookie.max_age(time::Duration::seconds(ttl.as_secs() as i64)));
    Ok(json!({}))
}

#[get("/events")]
fn events(client: Authorized<User>, hub: &State<Hub>) -> Result<Sse, Error> {
    client.subscribe(hub, client.granted_topics()?)
}

#[post("/notify", data = "<note>")]
async fn notify(
    client: Authorized<User>,
    hub: &State<Hub>,
    note: Json<Note>,
) -> Result<(Status, Value), Error> {
    let topic = note.to.as_deref().map_or_else(|| Ok(Topic::new("news")?), own_topic)?;
    let from = &client.user().name;
    let text =
        json!({ "from": from, "to": note.to, "title": note.title, "body": note.body, "at": now_millis() });
    let id = hub.publish(topic, Event::json(&text)?.name("notification")?).await?;
    Ok((Status::Accepted, json!({ "id": id })))
}

/// The cookie may be kept by others: what it says of the session does not count from here on.
#[post("/logout")]
async fn logout(
    client: Authorized<User>,
    cookies: &CookieJar<'_>,
    auth: &State<Auth>,
) -> Result<Status, Error> {
    auth.revocations().revoke(&client).await?;
    cookies.remove_private("session");
    Ok(Status::NoContent)
}

#[get("/healthz")]
fn healthz() -> &'static str {
    "ok"
}

#[get("/readyz")]
fn readyz(hub: &State<Hub>) -> (Status, &'static str) {
    match hub.is_ready() {
        true => (Status::Ok, "ready"),
        false => (Status::ServiceUnavailable, "stopping"),
    }
}

#[get("/metrics")]
fn metrics(hub: &State<Hub>) -> String {
    auth::metrics(hub)
}

#[get("/")]
fn page() -> RawHtml<&'static str> {
    RawHtml(include_str!("../../../notifications.html"))
}

/// Pages see this event where they would see no comment, and reconnect when a line has gone silent.
fn watched() -> StreamOptions {
    StreamOptions::new().keep_alive_event(Event::new("{}").named(EventName::from_static("ping")))
}

#[rocket::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    auth::install_metrics()?;
    let port: u16 = std::env::var("PORT").unwrap_or_else(|_| "8080".into()).parse()?;
    let config = rocket::Config::figment()
        .merge(("port", port))
        .merge(("shutdown.grace", 1))
        .merge(("shutdown.mercy", 1));
    println!("http://127.0.0.1:{port}");
    let lifecycle = Lifecycle::builder().window(Duration::from_secs(5)).build();
    let hub = Hub::builder().lifecycle(&lifecycle).stream_options(watched()).build();
    let ttl = ttl_from_env("SESSION_TTL")?;
    let auth = Auth::sessions()
        .allowed_hosts(["127.0.0.1", "localhost", "[::1]"])
        .expiry_notice(Duration::from_secs(20))
        .build()?;
    let rocket = rocket::custom(config)
        .attach(sse_rocket::with_hub(&hub))
        .attach(sse_rocket::with_auth(&auth))
        .manage(ttl)
        .register("/", catchers![signed_out])
        .mount("/", routes![page, login, events, notify, logout, healthz, readyz, metrics]);
    lifecycle.limit(rocket.launch()).await.transpose()?; // however long a client takes
    Ok(())
}
