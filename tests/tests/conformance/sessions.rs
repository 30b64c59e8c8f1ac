//! Sessions of the application's own, as each adapter asks for them.

use std::{
    sync::{Arc, Mutex, atomic::Ordering},
    time::{Duration, Instant, SystemTime},
};

use sse_core::{Auth, AuthBuilder, Hub, Identity, Topic, TopicError, Topics};
use sse_tests::{
    http::{self, Answer},
    servers::{App, Framework, Server, User},
};

pub(super) struct Served {
    pub(super) server: Server,
    pub(super) app: App,
}

impl Served {
    pub(super) async fn start(framework: Framework) -> Self {
        let auth = Auth::sessions().expiry_notice(Duration::from_secs(2));
        Self::with(framework, auth.allowed_origins(["https://app.example"])).await
    }

    pub(super) async fn with(framework: Framework, auth: AuthBuilder) -> Self {
        let auth = auth.build().unwrap();
        let app = App { auth, ..App::new(Hub::new()) };
        Self { server: framework.serve(app.clone()).await, app }
    }

    pub(super) async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        http::send(self.server.addr, method, path, &headers, b"").await
    }

    async fn get(&self, path: &str, user: &User) -> Answer {
        self.send("GET", path, &[("Cookie", &user.cookie())]).await
    }

    /// As every `EventSource` asks.
    async fn asks_for_a_stream(&self, user: &User) -> Answer {
        let cookie = user.cookie();
        let origin = ("Origin", "https://app.example");
        self.send("GET", "/session", &[("Cookie", &cookie), ("Accept", "text/event-stream"), origin]).await
    }

    pub(super) async fn open(&self, user: &User) -> Answer {
        let mut answer = self.get("/session", user).await;
        assert_eq!(answer.status, 200);
        answer.until(|text| text.contains("\n\n")).await;
        answer
    }

    /// Nothing is opened with it any more, and who asks for a stream is told not to come back.
    async fn is_revoked(&self, framework: Framework, user: &User) {
        let mut answer = self.asks_for_a_stream(user).await;
        says_nothing_but_stop(&mut answer, Some("https://app.example")).await;
        self.is_out(framework, user).await;
    }

    /// What the core says of a session that is over, and on Rocket in the words of the application.
    async fn is_out(&self, framework: Framework, user: &User) {
        for path in ["/session", "/session/user"] {
            let mut answer = self.get(path, user).await;
            assert_eq!((answer.status, answer.header("www-authenticate")), (401, Some("Session")));
            assert_eq!(answer.header("cache-control"), Some("no-store"));
            let expected = match framework {
                Framework::Rocket => "Who are you?",
                _ => "The session is over, please sign in.",
            };
            assert_eq!(answer.rest().await, expected);
        }
    }

    /// So many streams are open and no more, once those who have left are noticed: by writing alone on Rocket. A stream
    /// gives up its place, its subscription and its lease one after the other.
    pub(super) async fn is_idle(&self, streams: usize) {
        let start = Instant::now();
        let open = format!("open: {streams},");
        loop {
            let hub = &self.server.hub;
            let counts = (hub.lifecycle().streams(), hub.stats().subscribers);
            let auth = format!("{:?}", self.app.auth);
            if counts == (streams, streams) && auth.contains(&open) {
                break;
            }
            assert!(start.elapsed() < Duration::from_secs(60), "{counts:?}, {auth}");
            hub.publish("news", "is anybody there?").await.unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn looked(&self) -> usize {
        self.app.looked.swap(0, Ordering::SeqCst)
    }
}

/// A 204 that a page of this origin can read.
pub(super) async fn says_nothing_but_stop(answer: &mut Answer, origin: Option<&str>) {
    assert_eq!((answer.status, answer.header("cache-control")), (204, Some("no-store")));
    for name in ["content-type", "content-length", "transfer-encoding", "www-authenticate", "x-app"] {
        assert_eq!(answer.header(name), None, "{name}");
    }
    assert_eq!(answer.header("access-control-allow-origin"), origin);
    assert_eq!(answer.header("vary").map(str::to_ascii_lowercase).as_deref(), origin.map(|_| "origin"));
    assert!(answer.is_silent_for(Duration::from_millis(50)).await);
}

/// The stream ends by itself, within a second.
pub(super) async fn ends(mut stream: Answer) {
    let before = Instant::now();
    stream.rest().await;
    assert!(before.elapsed() < Duration::from_secs(1));
}

pub(crate) async fn the_application_says_who_sees_what(framework: Framework) {
    let served = Served::start(framework).await;
    let ada = User::new("ada", "1");
    let mut stream = served.open(&ada).await;
    for (topic, text) in [("user/bob", "not mine"), ("user/ada", "mine"), ("news", "ours")] {
        served.server.hub.publish(topic, text).await.unwrap();
    }
    let text = stream.until(|text| text.contains("ours") && text.ends_with("\n\n")).await;
    let seen: Vec<_> = http::events(&text).into_iter().map(|seen| seen.data).collect();
    assert_eq!(seen, ["mine", "ours"]);
    assert_eq!(served.get("/session/user", &ada).await.rest().await, "ada 1");
    let refused = served.get("/session?topic=user/bob", &ada).await;
    assert_eq!((refused.status, refused.header("www-authenticate")), (403, None));
    let mut head = served.send("HEAD", "/session", &[("Cookie", &ada.cookie())]).await;
    assert_eq!((head.status, head.header("content-type")), (200, Some("text/event-stream")));
    assert_eq!(head.rest().await, "");
    assert_eq!(served.server.hub.lifecycle().streams(), 1);
    // A session is for its own routes; those of tokens stay shut.
    assert_eq!(served.get("/private", &ada).await.status, 401);
}

pub(crate) async fn what_the_application_refuses_it_refuses_in_its_own_way(framework: Framework) {
    let served = Served::start(framework).await;
    for path in ["/session", "/session/user"] {
        for cookie in ["", "session=", "session=ada", "session=ada.1.x.y"] {
            let mut answer = served.send("GET", path, &[("Cookie", cookie)]).await;
            assert_eq!((answer.status, answer.header("x-app")), (401, Some("own")), "{path} {cookie}");
            assert_eq!(answer.header("www-authenticate"), None);
            assert_eq!(answer.rest().await, "Who are you?");
        }
    }
    let answer = served.send("GET", "/session", &[("Cookie", "session=guest")]).await;
    assert_eq!((answer.status, answer.header("location")), (303, Some("/login")));
    assert_eq!(served.server.hub.lifecycle().streams(), 0);
}

pub(crate) async fn another_sites_page_is_turned_away_before_the_application_looks(framework: Framework) {
    let served = Served::start(framework).await;
    let cookie = User::new("ada", "1").cookie();
    let own = format!("http://{}", served.server.addr);
    let from = |site: &'static str, mode: &'static str| [("Sec-Fetch-Site", site), ("Sec-Fetch-Mode", mode)];
    for (method, path, from) in [
        ("GET", "/session", &from("cross-site", "cors")[..]),
        ("GET", "/session", &from("cross-site", "no-cors")),
        ("GET", "/session", &from("same-origin", "navigate")),
        ("GET", "/session", &[("Origin", "https://evil.example")]),
        ("GET", "/session", &[("Origin", "null")]),
        ("GET", "/session/user", &from("cross-site", "cors")),
        ("POST", "/session/out", &from("same-site", "cors")),
        ("POST", "/session/out", &[("Origin", "https://evil.example")]),
    ] {
        let headers = [&[("Cookie", cookie.as_str())], from].concat();
        let mut answer = served.send(method, path, &headers).await;
        assert_eq!(answer.status, 403, "{method} {path} {from:?}");
        assert_eq!(answer.rest().await, "The request comes from another site.");
    }
    assert_eq!(served.looked(), 0);
    for from in [&[][..], &from("same-origin", "cors"), &from("same-site", "cors"), &[("Origin", &own)]] {
        let headers = [&[("Cookie", cookie.as_str())], from].concat();
        assert_eq!(served.send("GET", "/session/user", &headers).await.status, 200, "{from:?}");
        assert_eq!(served.looked(), 1);
    }
}

pub(crate) async fn a_session_ends_and_its_streams_with_it(framework: Framework) {
    let served = Served::start(framework).await;
    let revocations = served.app.auth.revocations();
    let (one, two, bob) = (User::new("ada", "1"), User::new("ada", "2"), User::new("bob", "3"));
    let first = served.open(&one).await;
    let (second, mut other) = (served.open(&two).await, served.open(&bob).await);

    // Signed out: of this session alone.
    let mut out = served.send("POST", "/session/out", &[("Cookie", &one.cookie())]).await;
    assert_eq!((out.status, out.rest().await.as_str()), (200, "1"));
    ends(first).await;
    served.is_revoked(framework, &one).await;

    // Ended, and back at once.
    assert_eq!(revocations.end_session("2").await.unwrap(), 1);
    ends(second).await;
    let second = served.open(&two).await;
    assert_eq!(revocations.revoke_session("2").await.unwrap(), 1);
    ends(second).await;
    served.is_revoked(framework, &two).await;

    let third = served.open(&User::new("ada", "4")).await;
    assert!(other.goes_on_for(Duration::from_millis(200)).await);
    assert_eq!(revocations.revoke_subject("ada").await.unwrap(), 1);
    ends(third).await;
    served.is_revoked(framework, &User::new("ada", "4")).await;
    // Whoever has signed in since is welcome.
    let again = User { signed_in: SystemTime::now() + Duration::from_secs(1), ..User::new("ada", "5") };
    served.open(&again).await;
    assert!(other.goes_on_for(Duration::from_millis(200)).await);
}

pub(crate) async fn a_topic_is_taken_from_all_who_have_it(framework: Framework) {
    let served = Served::start(framework).await;
    let revocations = served.app.auth.revocations();
    let (ada, bob) = (User::new("ada", "1"), User::new("bob", "2"));
    let (first, mut other) = (served.open(&ada).await, served.get("/session?topic=user/bob", &bob).await);
    let news = Topic::new("news").unwrap();
    assert_eq!(revocations.end_topic(&news).await.unwrap(), 1);
    ends(first).await;
    let first = served.open(&ada).await;
    assert_eq!(revocations.revoke_topic(&news).await.unwrap(), 1);
    ends(first).await;
    let cookie = ada.cookie();
    let ask = async |path: &str, accept: &str| {
        served.send("GET", path, &[("Cookie", &cookie), ("Accept", accept)]).await
    };
    // Of what is asked for nothing is left, or something is.
    let mut answer = ask("/session?topic=news", "text/event-stream").await;
    assert!(answer.status == 204 && answer.is_silent_for(Duration::from_millis(50)).await);
    for (path, accept) in [
        ("/session?topic=news", "*/*"),
        ("/session", "text/event-stream"),
        ("/session?topic=user/bob", "text/event-stream"),
    ] {
        let answer = ask(path, accept).await;
        assert_eq!((answer.status, answer.header("www-authenticate")), (403, None), "{path} {accept}");
    }
    assert_eq!(ask("/session?topic=user/ada", "text/event-stream").await.status, 200);
    other.until(|text| text.contains("\n\n")).await;
    assert!(other.goes_on_for(Duration::from_millis(100)).await);
}

pub(crate) async fn a_session_is_over_on_time(framework: Framework) {
    let served = Served::start(framework).await;
    let until = SystemTime::now() + Duration::from_secs(3);
    let user = User { until, ..User::new("ada", "1") };
    let mut stream = served.open(&user).await;
    let text = stream.until(|text| text.contains("\n\n")).await;
    assert_eq!(http::events(&text)[0].kind, "sse-auth");
    stream.rest().await;
    let late = SystemTime::now().duration_since(until).expect("not before");
    assert!(late < Duration::from_secs(1), "{late:?}");
    // By itself: it is for the application to renew.
    assert_eq!(served.asks_for_a_stream(&user).await.status, 401);
    served.is_out(framework, &user).await;
}

pub(crate) async fn a_user_who_is_nobody_is_the_servers_fault(framework: Framework) {
    let served = Served::start(framework).await;
    // No name of a topic is as long.
    let user = User::new(&"x".repeat(300), "1");
    for path in ["/session", "/session/user"] {
        let mut answer = served.get(path, &user).await;
        assert_eq!(answer.status, 500, "{path}");
        assert_eq!(answer.rest().await, "The server cannot tell who is asking.", "{path}");
    }
    assert_eq!(served.looked(), 2);
}

/// The application's function is asked once a second, and each event waits for its answer.
pub(crate) async fn what_is_taken_away_leaves_an_open_stream(framework: Framework) {
    let granted = Arc::new(Mutex::new(Some(vec!["news", "user/ada"])));
    let now = Arc::clone(&granted);
    let ask = move |client: Identity, _: Option<Topics>| {
        let granted = now.lock().unwrap().clone();
        async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            granted.map(|topics| Identity::new(client.subject()).topics(topics)).transpose()
        }
    };
    let auth = Auth::sessions().reauthorize_every::<_, _, TopicError>(Duration::from_secs(1), ask);
    let served = Served::with(framework, auth).await;
    let mut stream = served.open(&User::new("ada", "1")).await;
    let publish = async |topic: &str, text: &str| served.server.hub.publish(topic, text).await.unwrap();
    publish("user/ada", "mine").await;
    stream.until(|text| text.contains("mine") && text.ends_with("\n\n")).await;

    *granted.lock().unwrap() = Some(vec!["news"]);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    publish("user/ada", "no longer mine").await;
    publish("news", "ours").await;
    let text = stream.until(|text| text.contains("ours") && text.ends_with("\n\n")).await;
    assert!(!text.contains("no longer"), "{text}");

    *granted.lock().unwrap() = None;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    publish("news", "no longer ours").await;
    let rest = stream.rest().await;
    assert!(!rest.contains("no longer"), "{rest}");
    // It may come back: who is signed in is the application's to say.
    served.open(&User::new("ada", "1")).await;
}

/// Of several in one application, that of the longest path counts.
#[tokio::test]
async fn on_rocket_each_path_has_its_own() {
    use rocket::{
        config::LogLevel,
        get,
        http::{Header, Status},
        local::asynchronous::Client,
        routes,
    };
    use sse_rocket::Authorized;

    #[get("/")]
    fn index(client: Authorized<User>) -> String {
        client.user().name.clone()
    }

    let (hub, app) = (Hub::new(), App::new(Hub::new()));
    let auth = |origin: &str| Auth::sessions().allowed_origins([origin]).build().unwrap();
    let (all, admin) = (auth("https://app.example"), auth("https://admin.example"));
    for attached in [["/", "/admin"], ["/admin", "/"]] {
        let config = rocket::Config { log_level: LogLevel::Off, ..rocket::Config::default() };
        let rocket = rocket::custom(&config).manage(app.clone()).attach(sse_rocket::with_hub(&hub));
        let rocket = attached.into_iter().fold(rocket, |rocket, base| {
            let auth = if base == "/" { &all } else { &admin };
            rocket.attach(sse_rocket::with_auth_at(base, auth))
        });
        let mounts = ["/", "/admin", "/administration"];
        let rocket = mounts.into_iter().fold(rocket, |rocket, base| rocket.mount(base, routes![index]));
        let client = Client::tracked(rocket).await.unwrap();
        let user = User::new("ada", if attached[0] == "/" { "1" } else { "2" });
        let status = async |path: &str, origin: &'static str| {
            let (name, value) = (String::from("session"), user.cookie().split_off("session=".len()));
            let request = client.get(path.to_owned()).cookie((name, value));
            let request = request.header(Header::new("origin", origin));
            let response = request.dispatch().await;
            let vary = response.headers().get("vary").count();
            assert!(vary <= 1, "one answers");
            response.status()
        };
        assert_eq!(status("/", "https://app.example").await, Status::Ok);
        assert_eq!(status("/administration", "https://app.example").await, Status::Ok);
        assert_eq!(status("/admin", "https://app.example").await, Status::Forbidden);
        assert_eq!(status("/admin", "https://admin.example").await, Status::Ok);
        assert_eq!(status("/", "https://admin.example").await, Status::Forbidden);
        admin.revocations().revoke_session(&user.id).await.unwrap();
        assert_eq!(status("/admin", "https://admin.example").await, Status::Unauthorized);
        assert_eq!(status("/", "https://app.example").await, Status::Ok);
        let preflight = |path: &'static str| {
            let request = client.req(rocket::http::Method::Options, path);
            let request = request.header(Header::new("origin", "https://admin.example"));
            request.header(Header::new("access-control-request-method", "GET")).dispatch()
        };
        assert_eq!(preflight("/admin").await.status(), Status::NoContent);
        assert_eq!(preflight("/").await.status(), Status::Forbidden);
    }
}

/// On warp there is nothing to forget: the filter takes the [`Auth`].
mod without_auth {
    use super::{Hub, User};

    #[actix_web::test]
    async fn actix_answers_500() {
        use actix_web::{App, http::StatusCode, test, web};
        use sse_actix::Authorized;

        let served = super::App::new(Hub::new());
        let with_hub = sse_actix::with_hub(&served.hub);
        let app = App::new()
            .configure(with_hub)
            .app_data(web::Data::new(served.clone()))
            .route("/", web::get().to(|client: Authorized<User>| async move { client.user().name.clone() }));
        let app = test::init_service(app).await;
        let request = || {
            let cookie = User::new("ada", "1").cookie();
            test::TestRequest::get().insert_header(("cookie", cookie)).to_request()
        };
        assert_eq!(test::call_service(&app, request()).await.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(served.looked.load(super::Ordering::SeqCst), 0);
    }

    #[tokio::test]
    async fn rocket_does_not_launch() {
        use rocket::{config::LogLevel, error::ErrorKind, get, routes};
        use sse_rocket::Authorized;

        #[get("/")]
        fn index(client: Authorized<User>) -> String {
            client.user().name.clone()
        }

        let config = rocket::Config { log_level: LogLevel::Off, ..rocket::Config::default() };
        let rocket = || rocket::custom(&config).mount("/", routes![index]);
        let hub = Hub::new();
        let auth = super::Auth::sessions().build().unwrap();
        for rocket in [
            rocket(),
            rocket().attach(sse_rocket::with_hub(&hub)),
            rocket().attach(sse_rocket::with_auth(&auth)),
        ] {
            let error = rocket.ignite().await.unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::SentinelAborts(_)), "{error}");
        }
        let whole = rocket().attach(sse_rocket::with_hub(&hub)).attach(sse_rocket::with_auth(&auth));
        assert!(whole.ignite().await.is_ok());
    }
}
