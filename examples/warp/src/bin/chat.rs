//! A model behind two APIs that clients know, on warp: `cargo run -p example-warp --bin chat`

use std::time::Duration;

use model::{Question, anthropic, openai};
use sse_warp::{Error, Lifecycle, SseRequest};
use warp::{Filter, Reply};

/// For OpenAI's clients, whose base URL is `http://127.0.0.1:8080/v1` then.
fn completions(request: SseRequest, question: Question) -> Result<impl Reply, Error> {
    request.stream_with(openai::completion(&question), openai::options())
}

/// For Anthropic's clients, whose base URL is `http://127.0.0.1:8080` then.
fn messages(request: SseRequest, question: Question) -> Result<impl Reply, Error> {
    request.stream_with(anthropic::message(&question), anthropic::options())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port: u16 = std::env::var("PORT").unwrap_or_else(|_| "8080".into()).parse()?;
    let lifecycle = Lifecycle::builder().window(Duration::from_secs(5)).build();
    let question = warp::post()
        .and(sse_warp::request(&lifecycle))
        .and(warp::body::content_length_limit(2 << 20))
        .and(warp::body::json());
    let routes = warp::path!("v1" / "chat" / "completions")
        .and(question.clone())
        .map(completions)
        .or(warp::path!("v1" / "messages").and(question).map(messages));

    let listener = sse_warp::listener(("127.0.0.1", port))?;
    println!("http://127.0.0.1:{port}");
    Ok(sse_warp::serve(warp::service(routes), &lifecycle).run(listener).await?)
}
