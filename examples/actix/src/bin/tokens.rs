//! A model's answer, word by word, on actix-web: `cargo run -p example-actix --bin tokens`

use std::time::Duration;

use actix_web::{App, HttpServer, Responder, get, rt::time::sleep, web};
use async_stream::stream;
use sse_actix::{Error, Event, Lifecycle, SseRequest};

/// Stands for the model: its words as it would give them, with their leading spaces and line breaks.
const ANSWER: &str = include_str!("../../../answer.txt");

#[get("/events")]
async fn answer(request: SseRequest) -> Result<impl Responder, Error> {
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
async fn page() -> impl Responder {
    web::Html::new(include_str!("../../../tokens.html"))
}

#[actix_web::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port: u16 = std::env::var("PORT").unwrap_or_else(|_| "8080".into()).parse()?;
    let lifecycle = Lifecycle::builder().window(Duration::from_secs(5)).build();
    let stop = lifecycle.stop_on_signal();
    let of_app = lifecycle.clone();
    let app = move || App::new().configure(sse_actix::with_lifecycle(&of_app)).service(answer).service(page);
    let server = HttpServer::new(app)
        .h1_allow_half_closed(false)
        .shutdown_signal(stop)
        .shutdown_timeout(3)
        .listen(sse_actix::listener(("127.0.0.1", port))?)?;
    println!("http://127.0.0.1:{port}");
    lifecycle.limit(server.run()).await.transpose()?;
    Ok(())
}
