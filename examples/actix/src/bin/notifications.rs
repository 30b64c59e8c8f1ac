//! Notifications for those who are signed in, on actix-web: `cargo run -p example-actix --bin notifications`
//!
//! The login is a demo: it asks nobody for a password. What else to set stands in `examples/auth`.

use std::time::Duration;

use actix_web::{App, HttpResponse, HttpServer, Responder, get, http::header::SET_COOKIE, post, route, web};
use auth::{Rules, now_millis, own_topic};
use serde::Deserialize;
use serde_json::json;
use sse_actix::{
    Authorized, Error, Event, EventName, Hub, Lifecycle, Sse, StreamOptions, Topic, TrustedOrigin,
};

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
    rules: web::Data<Rules>,
    login: web::Json<Login>,
) -> Result<impl Responder, Error> {
    let token = rules.sign_in(&login.user)?;
    let cookie = rules.auth.login_cookie(&token, rules.ttl);
    Ok(HttpResponse::Ok().insert_header((SET_COOKIE, cookie)).json(json!({ "token": token })))
}

#[route("/events", method = "GET", method = "HEAD")]
async fn events(client: Authorized, hub: web::Data<Hub>) -> Result<Sse, Error> {
    client.subscribe(&hub, client.granted_topics()?)
}

#[post("/notify")]
async fn notify(
    client: Authorized,
    hub: web::Data<Hub>,
    note: web::Json<Note>,
) -> Result<impl Responder, Error> {
    let topic = note.to.as_deref().map_or_else(|| Ok(Topic::new("news")?), own_topic)?;
    let text = json!({
        "from": client.subject(), "to": note.to, "title": note.title, "body": note.body, "at": now_millis(),
    });
    let id = hub.publish(topic, Event::json(&text)?.name("notification")?).await?;
    Ok(HttpResponse::Accepted().json(json!({ "id": id })))
}

#[post("/logout")]
async fn logout(client: Authorized, rules: web::Data<Rules>) -> Result<impl Responder, Error> {
    rules.auth.revocations().revoke(&client).await?;
    Ok(HttpResponse::NoContent().insert_header((SET_COOKIE, rules.auth.logout_cookie())).finish())
}

#[post("/ticket")]
async fn ticket(client: Authorized, rules: web::Data<Rules>) -> Result<impl Responder, Error> {
    let ticket = rules.auth.issue_ticket(&client, client.granted_topics()?).await?;
    let expires_in = ticket.expires_in().as_secs();
    Ok(HttpResponse::Ok().json(json!({ "ticket": ticket.as_str(), "expires_in": expires_in })))
}

#[get("/healthz")]
async fn healthz() -> &'static str {
    "ok"
}

#[get("/readyz")]
async fn readyz(hub: web::Data<Hub>) -> impl Responder {
    match hub.is_ready() {
        true => HttpResponse::Ok().body("ready"),
        false => HttpResponse::ServiceUnavailable().body("not ready"),
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
    let port: u16 = std::env::var("PORT").unwrap_or_else(|_| "8080".into()).parse()?;
    let rules = Rules::from_env()?;
    let lifecycle = Lifecycle::builder().window(Duration::from_secs(5)).limits(&auth::limits()).build();
    let hub = Hub::builder().lifecycle(&lifecycle).stream_options(watched());
    let hub = engine::hub(hub, &rules.auth).await?; // one process: `hub.build()`
    let stop = lifecycle.stop_on_signal();
    let app = move || {
        App::new()
            .configure(sse_actix::with_hub(&hub))
            .configure(sse_actix::with_auth(&rules.auth))
            .app_data(web::Data::new(rules.clone()))
            .service(page)
            .service(login)
            .service(events)
            .service(notify)
            .service(logout)
            .service(ticket)
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
