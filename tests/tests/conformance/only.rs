//! What concerns one framework alone.

use std::time::Duration;

use sse_core::Hub;
use sse_tests::{
    http,
    servers::{App, Framework},
};

/// actix-web's `Compress` would hold events back; it leaves streams alone.
#[tokio::test]
async fn actix_compression_leaves_streams_alone() {
    let server = Framework::Actix.serve(App::new(Hub::new())).await;
    let accept: [(&str, &[u8]); 1] = [("Accept-Encoding", b"gzip")];
    let mut answer = http::send(server.addr, "GET", "/compressed/events", &accept, b"").await;
    assert_eq!(answer.header("content-encoding"), Some("identity"));
    answer.until(|text| text.contains("sse-position")).await;
    server.hub.publish("news", "at once").await.unwrap();
    let event = answer.until(|text| text.contains("\n\n"));
    tokio::time::timeout(Duration::from_millis(500), event).await.unwrap();
}

/// Forgotten configuration is an error that says so, not a stream that no stop ends.
#[tokio::test]
async fn a_missing_plug_in_is_noticed() {
    use actix_web::{App as ActixApp, Responder, test, web};

    async fn stream(request: sse_actix::SseRequest) -> impl Responder {
        format!("{:?}", request.last_event_id())
    }
    let app = test::init_service(ActixApp::new().route("/", web::get().to(stream))).await;
    let answer = test::call_service(&app, test::TestRequest::get().to_request()).await;
    assert_eq!(answer.status(), 500);

    #[rocket::get("/")]
    fn route(request: sse_rocket::SseRequest) -> String {
        format!("{:?}", request.last_event_id())
    }
    let config = rocket::Config::figment().merge(("log_level", "off"));
    let rocket = rocket::custom(config).mount("/", rocket::routes![route]);
    let error = rocket.ignite().await.err().map(|error| error.kind().to_string());
    assert!(error.is_some_and(|error| error.contains("sentinel")));
}
