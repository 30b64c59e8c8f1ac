//! Long jobs that tell how far they are, on Rocket: `cargo run -p example-rocket --bin progress`

use std::time::Duration;

use jobs::{Jobs, Order, Started, TOPICS};
use rocket::{
    State, delete, get,
    http::Status,
    post,
    response::{content::RawHtml, status::Accepted},
    routes,
    serde::json::Json,
};
use sse_rocket::{Error, Hub, Lifecycle, Sse, SseRequest};

/// The present state of the jobs that `?topic=` names, and then every change.
#[get("/events")]
fn events(request: SseRequest, hub: &State<Hub>) -> Result<Sse, Error> {
    request.subscribe(hub, request.topics([""; 0], [TOPICS])?)
}

#[post("/jobs", data = "<order>")]
async fn start(jobs: &State<Jobs>, order: Json<Order>) -> Result<Accepted<Json<Started>>, Error> {
    Ok(Accepted(Json(jobs.start(order.into_inner()).await?)))
}

#[delete("/jobs/<job>")]
fn cancel(jobs: &State<Jobs>, job: &str) -> Status {
    if jobs.cancel(job) { Status::NoContent } else { Status::NotFound }
}

#[get("/")]
fn page() -> RawHtml<&'static str> {
    RawHtml(include_str!("../../../progress.html"))
}

#[rocket::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port: u16 = std::env::var("PORT").unwrap_or_else(|_| "8080".into()).parse()?;
    let lifecycle = Lifecycle::builder().window(Duration::from_secs(5)).build();
    let hub = Hub::builder().latest(TOPICS.try_into()?).lifecycle(&lifecycle).build();
    let config = rocket::Config::figment()
        .merge(("port", port))
        .merge(("shutdown.grace", 1))
        .merge(("shutdown.mercy", 1));
    println!("http://127.0.0.1:{port}");
    let rocket = rocket::custom(config)
        .attach(sse_rocket::with_hub(&hub))
        .manage(Jobs::new(&hub))
        .mount("/", routes![events, start, cancel, page]);
    lifecycle.limit(rocket.launch()).await.transpose()?;
    Ok(())
}
