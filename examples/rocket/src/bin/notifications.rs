//! Notifications for those who are signed in, on Rocket: `cargo run -p example-rocket --bin notifications`
//!
//! The login is a demo: it asks nobody for a password. What else to set stands in `examples/auth`.

use std::time::Duration;

use auth::{Rules, now_millis, own_topic};
use rocket::{
    Responder, State, get,
    http::{Header, Status},
    post,
    response::content::RawHtml,
    routes,
    serde::{
        Deserialize,
        json::{Json, Value, json},
    },
};
use sse_rocket::{
    Authorized, Error, Event, EventName, Hub, Lifecycle, Sse, StreamOptions, Topic, TrustedOrigin,
};

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

/// An answer that sets a cookie.
#[derive(Responder)]
struct WithCookie<T> {
    inner: T,
    cookie: Header<'static>,
}

fn with_cookie<T>(inner: T, cookie: String) -> WithCookie<T> {
    WithCookie { inner, cookie: Header::new("set-cookie", cookie) }
}

#[post("/login", data = "<login>")]
fn login(_page: TrustedOrigin, rules: &State<Rules>, login: Json<Login>) -> Result<WithCookie<Value>, Error> {
    let token = rules.sign_in(&login.user)?;
    let cookie = rules.auth.login_cookie(&token, rules.ttl);
    Ok(with_cookie(json!({ "token": token }), cookie))
}

#[get("/events")]
fn events(client: Authorized, hub: &State<Hub>) -> Result<Sse, Error> {
    client.subscribe(hub, client.granted_topics()?)
}

#[post("/notify", data = "<note>")]
async fn notify(client: Authorized, hub: &State<Hub>, note: Json<Note>) -> Result<(Status, Value), Error> {
    let topic = note.to.as_deref().map_or_else(|| Ok(Topic::new("news")?), own_topic)?;
    let text = json!({
        "from": client.subject(), "to": note.to, "title": note.title, "body": note.body, "at": now_millis(),
    });
    let id = hub.publish(topic, Event::json(&text)?.name("notification")?).await?;
    Ok((Status::Accepted, json!({ "id": id })))
}

#[post("/logout")]
async fn logout(client: Authorized, rules: &State<Rules>) -> Result<WithCookie<Status>, Error> {
    rules.auth.revocations().revoke(&client).await?;
    Ok(with_cookie(Status::NoContent, rules.auth.logout_cookie()))
}

#[post("/ticket")]
async fn ticket(client: Authorized, rules: &State<Rules>) -> Result<Value, Error> {
    let ticket = rules.auth.issue_ticket(&client, client.granted_topics()?).await?;
    Ok(json!({ "ticket": ticket.as_str(), "expires_in": ticket.expires_in().as_secs() }))
}

#[get("/healthz")]
fn healthz() -> &'static str {
    "ok"
}

#[get("/readyz")]
fn readyz(hub: &State<Hub>) -> (Status, &'static str) {
    match hub.is_ready() {
        true => (Status::Ok, "ready"),
        false => (Status::ServiceUnavailable, "not ready"),
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
    let lifecycle = Lifecycle::builder().window(Duration::from_secs(5)).limits(&auth::limits()).build();
    let rules = Rules::from_env()?;
    let hub = Hub::builder().lifecycle(&lifecycle).stream_options(watched());
    let hub = engine::hub(hub, &rules.auth).await?; // one process: `hub.build()`
    let routes = routes![page, login, events, notify, logout, ticket, healthz, readyz, metrics];
    let rocket = rocket::custom(config)
        .attach(sse_rocket::with_hub(&hub))
        .attach(sse_rocket::with_auth(&rules.auth))
        .manage(rules)
        .mount("/", routes);
    lifecycle.limit(rocket.launch()).await.transpose()?; // however long a client takes
    Ok(())
}
