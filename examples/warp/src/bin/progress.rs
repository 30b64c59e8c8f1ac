//! Long jobs that tell how far they are, on warp: `cargo run -p example-warp --bin progress`

use std::time::Duration;

use jobs::{Jobs, Order, TOPICS};
use sse_warp::{Error, Hub, Lifecycle, Sse, SseRequest};
use warp::{Filter, Reply, http::StatusCode, reply};

/// The present state of the jobs that `?topic=` names, and then every change.
fn events(request: SseRequest, hub: Hub) -> Result<Sse, Error> {
    request.subscribe(&hub, request.topics([""; 0], [TOPICS])?)
}

async fn start(order: Order, jobs: Jobs) -> Result<impl Reply, Error> {
    Ok(reply::with_status(reply::json(&jobs.start(order).await?), StatusCode::ACCEPTED))
}

fn cancel(job: String, jobs: &Jobs) -> StatusCode {
    if jobs.cancel(&job) { StatusCode::NO_CONTENT } else { StatusCode::NOT_FOUND }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port: u16 = std::env::var("PORT").unwrap_or_else(|_| "8080".into()).parse()?;
    let lifecycle = Lifecycle::builder().window(Duration::from_secs(5)).build();
    let hub = Hub::builder().latest(TOPICS.try_into()?).lifecycle(&lifecycle).build();
    let jobs = Jobs::new(&hub);
    let page = warp::path::end().and(warp::get()).map(|| reply::html(include_str!("../../../progress.html")));
    let events = warp::path!("events")
        .and(warp::get())
        .and(sse_warp::request(&hub))
        .and(sse_warp::with_hub(&hub))
        .map(events);
    let started = jobs.clone();
    let start = warp::path!("jobs")
        .and(warp::post())
        .and(warp::body::content_length_limit(64 << 10))
        .and(warp::body::json())
        .then(move |order: Order| start(order, started.clone()));
    let cancel = warp::path!("jobs" / String).and(warp::delete()).map(move |job: String| cancel(job, &jobs));
    let routes = page.or(events).or(start).or(cancel);

    let listener = sse_warp::listener(("127.0.0.1", port))?;
    println!("http://127.0.0.1:{port}");
    Ok(sse_warp::serve(warp::service(routes), &hub).run(listener).await?)
}
