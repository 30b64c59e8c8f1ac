//! A model's answer, word by word, on Rocket: `cargo run -p example-rocket --bin tokens`

use std::time::Duration;

use async_stream::stream;
use rocket::{get, response::content::RawHtml, routes, tokio::time::sleep};
use sse_rocket::{Error, Event, Lifecycle, Source, Sse, SseRequest};

/// Stands for the model: its words as it would give them, with their leading spaces and line breaks.
const ANSWER: &str = include_str!("../../../answer.txt");

#[get("/events")]
fn answer(request: SseRequest) -> Result<Sse<impl Source>, Error> {
    // A client that was cut comes back with the id of the last word it has.
    let has = request.last_event_id().and_then(|id| id.as_str()?.parse().ok()).unwrap_or(0);
    let words = stream! {
        for (n, word) in ANSWER.split_inclusive(' ').enumerate().skip(has) {
            sleep(Duration::from_millis(3)).await;
            yield Event::new(word).id((n + 1).to_string());
        }
        yield Event::new("").name("end");
    };
    request.stream(words)
}

#[get("/")]
fn page() -> RawHtml<&'static str> {
    RawHtml(include_str!("../../../tokens.html"))
}

#[rocket::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port: u16 = std::env::var("PORT").unwrap_or_else(|_| "8080".into()).parse()?;
    let config = rocket::Config::figment()
        .merge(("port", port))
        .merge(("shutdown.grace", 1))
        .merge(("shutdown.mercy", 1));
    println!("http://127.0.0.1:{port}");
    let lifecycle = Lifecycle::builder().window(Duration::from_secs(5)).build();
    let fairing = sse_rocket::with_lifecycle(&lifecycle);
    let rocket = rocket::custom(config).attach(fairing).mount("/", routes![answer, page]);
    lifecycle.limit(rocket.launch()).await.transpose()?; // however long a client takes
    Ok(())
}
