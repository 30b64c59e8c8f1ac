//! What concerns one framework alone.

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
