//! Topics, replay and a page on warp: `cargo run -p example-warp --bin quickstart`

use std::time::Duration;

use bytes::Bytes;
use sse_warp::{Error, Hub, Lifecycle, Refusal, Sse, SseRequest, request, with_hub};
use warp::{Filter, Reply, http::StatusCode, reply};

/// All that anybody may read and publish to; any other topic is a 403. With a sign-in: see `notifications`.
const OPEN: [&str; 2] = ["news", "public/*"];

fn events(request: SseRequest, hub: Hub) -> Result<Sse, Error> {
    request.subscribe(&hub, request.topics("news", OPEN)?)
}

async fn publish(request: SseRequest, hub: Hub, body: Bytes) -> Result<impl Reply, Error> {
    let not_text = |_| Refusal::bad_request("The body must be UTF-8.");
    let body = String::from_utf8(body.into()).map_err(not_text)?;
    let id = hub.publish(request.topics("news", OPEN)?, body).await?;
    Ok(reply::with_status(reply::json(&serde_json::json!({ "id": id })), StatusCode::ACCEPTED))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port: u16 = std::env::var("PORT").unwrap_or_else(|_| "8080".into()).parse()?;
    let lifecycle = Lifecycle::builder().window(Duration::from_secs(5)).build();
    let hub = Hub::builder().lifecycle(&lifecycle).build();
    let sse = request(&hub).and(with_hub(&hub));
    let body = warp::body::content_length_limit(256 << 10).and(warp::body::bytes());
    let routes = warp::path!("events")
        .and(warp::get())
        .and(sse.clone())
        .map(events)
        .or(warp::path!("publish").and(warp::post()).and(sse).and(body).then(publish))
        .or(warp::path::end().and(warp::get()).map(|| reply::html(include_str!("../../../quickstart.html"))));

    let listener = sse_warp::listener(("127.0.0.1", port))?;
    println!("http://127.0.0.1:{port}");
    Ok(sse_warp::serve(warp::service(routes), &hub).run(listener).await?)
}
