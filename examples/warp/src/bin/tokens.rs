//! A model's answer, word by word, on warp: `cargo run -p example-warp --bin tokens`

use std::time::Duration;

use async_stream::stream;
use sse_warp::{Error, Event, Lifecycle, SseRequest};
use tokio::time::sleep;
use warp::{Filter, Reply, reply};

/// Stands for the model: its words as it would give them, with their leading spaces and line breaks.
const ANSWER: &str = include_str!("../../../answer.txt");

fn answer(request: SseRequest) -> Result<impl Reply, Error> {
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

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port: u16 = std::env::var("PORT").unwrap_or_else(|_| "8080".into()).parse()?;
    let lifecycle = Lifecycle::builder().window(Duration::from_secs(5)).build();
    let routes = warp::path!("events")
        .and(warp::get())
        .and(sse_warp::request(&lifecycle))
        .map(answer)
        .or(warp::path::end().and(warp::get()).map(|| reply::html(include_str!("../../../tokens.html"))));

    let listener = sse_warp::listener(("127.0.0.1", port))?;
    println!("http://127.0.0.1:{port}");
    Ok(sse_warp::serve(warp::service(routes), &lifecycle).run(listener).await?)
}
