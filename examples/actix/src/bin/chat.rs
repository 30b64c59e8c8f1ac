//! A model behind two APIs that clients know, on actix-web: `cargo run -p example-actix --bin chat`

use std::time::Duration;

use actix_web::{App, HttpServer, Responder, post, web};
use model::{Question, anthropic, openai};
use sse_actix::{Error, Lifecycle, SseRequest};

/// For OpenAI's clients, whose base URL is `http://127.0.0.1:8080/v1` then.
#[post("/v1/chat/completions")]
async fn completions(request: SseRequest, question: web::Json<Question>) -> Result<impl Responder, Error> {
    request.stream_with(openai::completion(&question), openai::options())
}

/// For Anthropic's clients, whose base URL is `http://127.0.0.1:8080` then.
#[post("/v1/messages")]
async fn messages(request: SseRequest, question: web::Json<Question>) -> Result<impl Responder, Error> {
    request.stream_with(anthropic::message(&question), anthropic::options())
}

#[actix_web::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port: u16 = std::env::var("PORT").unwrap_or_else(|_| "8080".into()).parse()?;
    let lifecycle = Lifecycle::builder().window(Duration::from_secs(5)).build();
    let stop = lifecycle.stop_on_signal();
    let of_app = lifecycle.clone();
    let app = move || {
        App::new().configure(sse_actix::with_lifecycle(&of_app)).service(completions).service(messages)
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
