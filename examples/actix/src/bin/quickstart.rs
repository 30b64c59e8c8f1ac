//! Topics, replay and a page on actix-web: `cargo run -p example-actix --bin quickstart`

use std::time::Duration;

use actix_web::{App, HttpResponse, HttpServer, Responder, get, post, web};
use sse_actix::{Error, Hub, Lifecycle, Sse, SseRequest};

/// All that anybody may read and publish to; any other topic is a 403. With a sign-in: see `notifications`.
const OPEN: [&str; 2] = ["news", "public/*"];

#[get("/events")]
async fn events(request: SseRequest, hub: web::Data<Hub>) -> Result<Sse, Error> {
    request.subscribe(&hub, request.topics("news", OPEN)?)
}

#[post("/publish")]
async fn publish(request: SseRequest, hub: web::Data<Hub>, body: String) -> Result<impl Responder, Error> {
    let id = hub.publish(request.topics("news", OPEN)?, body).await?;
    Ok(HttpResponse::Accepted().json(serde_json::json!({ "id": id })))
}

#[get("/")]
async fn page() -> impl Responder {
    web::Html::new(include_str!("../../../quickstart.html"))
}

#[actix_web::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port: u16 = std::env::var("PORT").unwrap_or_else(|_| "8080".into()).parse()?;
    let lifecycle = Lifecycle::builder().window(Duration::from_secs(5)).build();
    let hub = Hub::builder().lifecycle(&lifecycle).build();
    let stop = lifecycle.stop_on_signal();
    let app = move || {
        App::new().configure(sse_actix::with_hub(&hub)).service(events).service(publish).service(page)
    };
    let server = HttpServer::new(app)
        .h1_allow_half_closed(false) // or a closed tab goes unnoticed for two keep-alives
        .shutdown_signal(stop) // ends the streams, then the server
        .shutdown_timeout(3)
        .listen(sse_actix::listener(("127.0.0.1", port))?)?;
    println!("http://127.0.0.1:{port}");
    lifecycle.limit(server.run()).await.transpose()?;
    Ok(())
}
