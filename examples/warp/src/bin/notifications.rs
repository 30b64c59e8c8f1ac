//! Notifications for those who are signed in, on warp: `cargo run -p example-warp --bin notifications`
//!
//! The login is a demo: it asks nobody for a password. What else to set stands in `examples/auth`.

use std::time::Duration;

use auth::{Rules, now_millis, own_topic};
use serde::Deserialize;
use serde_json::json;
use sse_warp::{Authorized, Error, Event, EventName, Hub, Lifecycle, Sse, StreamOptions, Topic, with_hub};
use warp::{
    Filter, Reply,
    http::{StatusCode, header::SET_COOKIE},
    reply::{json as to_json, with_header, with_status},
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

fn login(rules: Rules, login: Login) -> Result<impl Reply, Error> {
    let token = rules.sign_in(&login.user)?;
    let cookie = rules.auth.login_cookie(&token, rules.ttl);
    Ok(with_header(to_json(&json!({ "token": token })), SET_COOKIE, cookie))
}

fn events(client: Authorized, hub: Hub) -> Result<Sse, Error> {
    client.subscribe(&hub, client.granted_topics()?)
}

async fn notify(client: Authorized, hub: Hub, note: Note) -> Result<impl Reply, Error> {
    let topic = note.to.as_deref().map_or_else(|| Ok(Topic::new("news")?), own_topic)?;
    let text = json!({
        "from": client.subject(), "to": note.to, "title": note.title, "body": note.body, "at": now_millis(),
    });
    let id = hub.publish(topic, Event::json(&text)?.name("notification")?).await?;
    Ok(with_status(to_json(&json!({ "id": id })), StatusCode::ACCEPTED))
}

async fn logout(client: Authorized, rules: Rules) -> Result<impl Reply, Error> {
    rules.auth.revocations().revoke(&client).await?;
    Ok(with_header(StatusCode::NO_CONTENT, SET_COOKIE, rules.auth.logout_cookie()))
}

async fn ticket(client: Authorized, rules: Rules) -> Result<impl Reply, Error> {
    let ticket = rules.auth.issue_ticket(&client, client.granted_topics()?).await?;
    Ok(to_json(&json!({ "ticket": ticket.as_str(), "expires_in": ticket.expires_in().as_secs() })))
}

fn readyz(hub: Hub) -> impl Reply {
    match hub.is_ready() {
        true => with_status("ready", StatusCode::OK),
        false => with_status("not ready", StatusCode::SERVICE_UNAVAILABLE),
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
    let rules = Rules::from_env()?;
    let lifecycle = Lifecycle::builder().window(Duration::from_secs(5)).limits(&auth::limits()).build();
    let hub = Hub::builder().lifecycle(&lifecycle).stream_options(watched());
    let hub = engine::hub(hub, &rules.auth).await?; // one process: `hub.build()`

    let client = sse_warp::authorized(&rules.auth, &hub);
    let trusted = sse_warp::trusted_origin(&rules.auth);
    let with_rules = warp::any().map(move || rules.clone());
    let hub_too = client.clone().and(with_hub(&hub));
    let rules_too = client.and(with_rules.clone());
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
            .and(with_rules)
            .and(form)
            .map(login)
            .or(warp::path!("notify").and(hub_too).and(note).then(notify))
            .or(warp::path!("logout").and(rules_too.clone()).then(logout))
            .or(warp::path!("ticket").and(rules_too).then(ticket)),
    );
    let routes = gets.or(posts).recover(sse_warp::recover);

    let listener = sse_warp::listener(("127.0.0.1", port))?;
    println!("http://127.0.0.1:{port}");
    Ok(sse_warp::serve(warp::service(routes), &hub).run(listener).await?)
}
