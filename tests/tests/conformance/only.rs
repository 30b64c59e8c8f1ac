//! What concerns one framework alone.

use sse_core::{Keys, Lifecycle};
use sse_tests::tokens::{self, Token};

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

/// The application says how Rocket's errors look; what a client must know of them is ours.
#[tokio::test]
async fn rocket_catchers_render_what_authorisation_refuses() {
    use rocket::{
        catch, catchers,
        fairing::AdHoc,
        http::{Accept, Header, Status},
        local::asynchronous::Client,
        routes,
    };

    #[rocket::get("/")]
    fn route(client: sse_rocket::Authorized) -> String {
        client.subject().to_owned()
    }

    #[catch(401)]
    fn sign_in() -> rocket::response::content::RawJson<&'static str> {
        rocket::response::content::RawJson(r#"{"sign_in":"here"}"#)
    }

    #[catch(503)]
    fn later() -> &'static str {
        "later"
    }

    let keys = Keys::remote(|| std::future::ready(Err::<String, _>("connection refused")));
    let auth = tokens::auth_remote(keys).allowed_origins(["https://app.example"]).build().unwrap();
    let lifecycle = Lifecycle::new();
    let config = rocket::Config::figment().merge(("log_level", "off"));
    let rocket = rocket::custom(config)
        .attach(sse_rocket::with_lifecycle(&lifecycle))
        .attach(sse_rocket::with_auth(&auth))
        .attach(AdHoc::on_response("another", |_, response| {
            Box::pin(async move {
                response.set_header(Header::new("x-another", "fairing"));
            })
        }))
        .mount("/", routes![route])
        .mount("/plain", routes![route])
        .register("/", catchers![later])
        .register("/app", catchers![sign_in])
        .mount("/app", routes![route]);
    let client = Client::tracked(rocket).await.unwrap();
    let origin = || Header::new("origin", "https://app.example");

    // Its own catcher, or none for this path.
    for (path, kind, body) in [
        ("/app", "application/json", r#"{"sign_in":"here"}"#),
        ("/plain", "text/plain; charset=utf-8", "A token is needed."),
    ] {
        let answer = client.get(path).header(origin()).dispatch().await;
        assert_eq!(answer.status(), Status::Unauthorized);
        let header = |name: &str| answer.headers().get_one(name).map(str::to_owned);
        assert_eq!(header("content-type").as_deref(), Some(kind));
        assert_eq!(header("www-authenticate").as_deref(), Some("Bearer"));
        assert_eq!(header("cache-control").as_deref(), Some("no-store"));
        assert_eq!(header("access-control-allow-origin").as_deref(), Some("https://app.example"));
        assert_eq!(header("x-content-type-options").as_deref(), Some("nosniff"));
        assert_eq!(header("x-frame-options").as_deref(), Some("SAMEORIGIN"));
        assert_eq!(header("x-another").as_deref(), Some("fairing"));
        assert_eq!(answer.into_string().await.as_deref(), Some(body));
    }
    // A browser's stream is told to come back in the one form that it obeys, catcher or not.
    let token = Token::new("ada", &["news"]).sign_by_provider();
    let bearer = || Header::new("authorization", format!("Bearer {token}"));
    let answer = client.get("/app").header(bearer()).dispatch().await;
    assert_eq!(answer.status(), Status::ServiceUnavailable);
    assert!(answer.headers().contains("retry-after"));
    assert_eq!(answer.into_string().await.as_deref(), Some("later"));
    let accept = Accept::from(rocket::http::MediaType::new("text", "event-stream"));
    let browser =
        client.get("/app").header(bearer()).header(accept).header(Header::new("sec-fetch-mode", "cors"));
    let answer = browser.dispatch().await;
    assert_eq!(answer.status(), Status::Ok);
    assert_eq!(answer.headers().get_one("content-type"), Some("text/event-stream"));
    assert_eq!(answer.headers().get_one("x-frame-options"), Some("SAMEORIGIN"));
    assert!(answer.into_string().await.is_some_and(|body| body.starts_with("retry: ")));
    // A preflight too keeps what others have set.
    let preflight = client.options("/app").header(origin());
    let answer = preflight.header(Header::new("access-control-request-method", "GET")).dispatch().await;
    assert_eq!(answer.status(), Status::NoContent);
    assert_eq!(answer.headers().get_one("content-type"), None);
    assert_eq!(answer.headers().get_one("x-frame-options"), Some("SAMEORIGIN"));
}
