//! Long jobs that tell how far they are, on actix-web: `cargo run -p example-actix --bin progress`

use std::time::Duration;

use actix_web::{App, HttpResponse, HttpServer, Responder, delete, get, http::StatusCode, post, web};
use jobs::{Jobs, Order, TOPICS};
use sse_actix::{Error, Hub, Lifecycle, Sse, SseRequest};

/// The present state of the jobs that `?topic=` names, and then every change.
#[get("/events")]
async fn events(request: SseRequest, hub: web::Data<Hub>) -> Result<Sse, Error> {
    request.subscribe(&hub, request.topics([""; 0], [TOPICS])?)
}

#[post("/jobs")]
async fn start(jobs: web::Data<Jobs>, order: web::Json<Order>) -> Result<impl Responder, Error> {
    Ok(HttpResponse::Accepted().json(jobs.start(order.into_inner()).await?))
}

#[delete("/jobs/{job}")]
async fn cancel(jobs: web::Data<Jobs>, job: web::Path<String>) -> impl Responder {
    HttpResponse::new(if jobs.cancel(&job) { StatusCode::NO_CONTENT } else { StatusCode::NOT_FOUND })
}

#[get("/")]
async fn page() -> impl Responder {
    web::Html::new(include_str!("../../../progress.html"))
}

#[actix_web::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port: u16 = std::env::var("PORT").unwrap_or_else(|_| "8080".into()).parse()?;
    let lifecycle = Lifecycle::builder().window(Duration::from_secs(5)).build();
    let hub = Hub::builder().latest(TOPICS.try_into()?).lifecycle(&lifecycle).build();
    let stop = lifecycle.stop_on_signal();
    let jobs = web::Data::new(Jobs::new(&hub));
    let app = move || {
        App::new()
            .configure(sse_actix::with_hub(&hub))
            .app_data(jobs.clone())
            .service(events)
            .service(start)
            .service(cancel)
            .service(page)
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
