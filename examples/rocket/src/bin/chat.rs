//! A model behind two APIs that clients know, on Rocket: `cargo run -p example-rocket --bin chat`

use std::time::Duration;

use model::{Question, anthropic, openai};
use rocket::{post, routes, serde::json::Json};
use sse_rocket::{Error, Lifecycle, Source, Sse, SseRequest};

/// For OpenAI's clients, whose base URL is `http://127.0.0.1:8080/v1` then.
#[post("/v1/chat/completions", data = "<question>")]
fn completions(request: SseRequest, question: Json<Question>) -> Result<Sse<impl Source + use<>>, Error> {
    request.stream_with(openai::completion(&question), openai::options())
}

/// For Anthropic's clients, whose base URL is `http://127.0.0.1:8080` then.
#[post("/v1/messages", data = "<question>")]
fn messages(request: SseRequest, question: Json<Question>) -> Result<Sse<impl Source + use<>>, Error> {
    request.stream_with(anthropic::message(&question), anthropic::options())
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
    let rocket = rocket::custom(config).attach(fairing).mount("/", routes![completions, messages]);
    lifecycle.limit(rocket.launch()).await.transpose()?; // however long a client takes
    Ok(())
}
