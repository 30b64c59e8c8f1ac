//! Topics, replay and a page on Rocket: `cargo run -p example-rocket --bin quickstart`

use std::time::Duration;

use rocket::serde::json::{Value, json};
use rocket::{Data, State, data::ToByteUnit, get, http::Status, post, response::content::RawHtml, routes};
use sse_rocket::{Error, Hub, Lifecycle, Refusal, Sse, SseRequest};

/// All that anybody may read and publish to; any other topic is a 403. With a sign-in: see `notifications`.
const OPEN: [&str; 2] = ["news", "public/*"];

#[get("/events")]
fn events(request: SseRequest, hub: &State<Hub>) -> Result<Sse, Error> {
    request.subscribe(hub, request.topics("news", OPEN)?)
}

#[post("/publish", data = "<body>")]
async fn publish(request: SseRequest, hub: &State<Hub>, body: Data<'_>) -> Result<(Status, Value), Error> {
    let not_text = |_| Refusal::bad_request("The body must be UTF-8.");
    let body = body.open(256.kibibytes()).into_string().await.map_err(not_text)?;
    if !body.is_complete() {
        return Err(Refusal::too_large("The body is larger than 256 KiB.").into());
    }
    let id = hub.publish(request.topics("news", OPEN)?, body.into_inner()).await?;
    Ok((Status::Accepted, json!({ "id": id })))
}

#[get("/")]
fn page() -> RawHtml<&'static str> {
    RawHtml(include_str!("../../../quickstart.html"))
}

#[rocket::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port: u16 = std::env::var("PORT").unwrap_or_else(|_| "8080".into()).parse()?;
    let config = rocket::Config::figment()
        .merge(("port", port))
        .merge(("shutdown.grace", 1)) // the fairing has ended the streams before
        .merge(("shutdown.mercy", 1));
    println!("http://127.0.0.1:{port}");
    let lifecycle = Lifecycle::builder().window(Duration::from_secs(5)).build();
    let hub = Hub::builder().lifecycle(&lifecycle).build();
    let fairing = sse_rocket::with_hub(&hub);
    let rocket = rocket::custom(config).attach(fairing).mount("/", routes![events, publish, page]);
    lifecycle.limit(rocket.launch()).await.transpose()?; // however long a client takes
    Ok(())
}
