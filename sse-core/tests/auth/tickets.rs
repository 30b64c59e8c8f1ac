//! One-time tickets.

use std::{collections::BTreeMap, time::Duration};

use futures_util::StreamExt;
use sse_core::{Auth, Authorized, EventStream, Hub, Refusal, Subscription, Tickets, Topic, Topics};

use super::{Build, Head, answer, authorize, bearer, builder, field, get, token, with_cookie};

fn auth() -> Auth {
    builder()
        .tickets(Tickets::new("/events").cookie("sse_ticket"))
        .allowed_origins(["https://app.example"])
        .build()
        .unwrap()
}

async fn ticket(auth: &Auth, topics: &str) -> String {
    let client = authorize(auth, &bearer(&token("ada"))).await.unwrap();
    let ticket = auth.issue_ticket(&client, topics).await.unwrap();
    assert_eq!((ticket.as_str().len(), ticket.expires_in().as_secs()), (32, 30));
    ticket.as_str().to_owned()
}

fn with(ticket: &str) -> Head {
    get().query(format!("ticket={ticket}"))
}

/// The cookie that an answer sets, as the browser sends it back.
fn cookie(client: &Authorized) -> Option<String> {
    let set = client.request().response_headers().find(|(name, _)| *name == "set-cookie")?.1;
    for part in ["; Path=/events;", "; HttpOnly", "; SameSite=Strict"] {
        assert!(set.contains(part), "{set}");
    }
    Some(set.split(';').next().unwrap().to_owned())
}

const INVALID: (u16, &str) = (401, "Bearer error=\"invalid_token\"");

#[tokio::test(start_paused = true)]
async fn a_ticket_opens_its_topics_once_and_its_cookie_again() {
    let (hub, auth) = (Hub::new(), auth());
    let ticket = ticket(&auth, "news").await;
    let client = authorize(&auth, &with(&ticket)).await.unwrap();
    assert_eq!(client.subject(), "ada");
    assert_eq!(client.granted_topics().unwrap(), Topics::new(["news"]).unwrap());
    assert!(!client.allows(&Topic::new("user/ada").unwrap()));
    assert_eq!(hub.open(&client, "user/ada").unwrap_err().status(), 403);
    let stream = hub.open(&client, "news").unwrap();
    assert!(stream.headers().any(|(name, _)| name == "set-cookie"));

    let cookie = cookie(&client).unwrap();
    assert_eq!(answer(&authorize(&auth, &with(&ticket)).await), INVALID);
    // Long after the ticket's own time, and again and again.
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_secs(100)).await;
        let again = authorize(&auth, &with(&ticket).header("cookie", cookie.clone())).await.unwrap();
        assert_eq!(again.subject(), "ada");
        assert!(hub.open(&again, "news").is_ok());
        assert_eq!(self::cookie(&again), None);
    }
    // Not by another site's page, not with another ticket, not without one, not beyond the token.
    let foreign = with(&ticket).header("cookie", cookie.clone()).header("origin", "https://evil.test");
    assert_eq!(answer(&authorize(&auth, &foreign).await).0, 403);
    let other = self::ticket(&auth, "news").await;
    let (name, value) = cookie.split_once('=').unwrap();
    let head = with(&other).header("cookie", cookie.clone());
    assert_eq!(
        authorize(&auth, &head).await.map(|_| ()),
        Ok(()),
        "a ticket of its own, and another's cookie"
    );
    assert_eq!(answer(&authorize(&auth, &get().header("cookie", cookie.clone())).await), (401, "Bearer"));
    let spent = self::ticket(&auth, "news").await;
    let its_own = self::cookie(&authorize(&auth, &with(&spent)).await.unwrap()).unwrap();
    let its_name = its_own.split_once('=').unwrap().0;
    let swapped = with(&spent).header("cookie", format!("{its_name}={value}"));
    assert_eq!(answer(&authorize(&auth, &swapped).await), INVALID);
    let guessed = with(&ticket).header("cookie", format!("{name}={}0", &value[1..]));
    assert_eq!(answer(&authorize(&auth, &guessed).await), INVALID);
    tokio::time::sleep(Duration::from_secs(700)).await;
    let late = with(&ticket).header("cookie", cookie);
    assert_eq!(answer(&authorize(&auth, &late).await), INVALID);
}

#[tokio::test(start_paused = true)]
async fn a_ticket_is_good_for_thirty_seconds() {
    let auth = auth();
    let (early, late) = (ticket(&auth, "news").await, ticket(&auth, "news").await);
    tokio::time::sleep(Duration::from_secs(29)).await;
    assert_eq!(answer(&authorize(&auth, &with(&early)).await).0, 200);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(answer(&authorize(&auth, &with(&late)).await), INVALID);
    for none in ["0".repeat(32), "x".into(), "%00".into()] {
        assert_eq!(answer(&authorize(&auth, &with(&none)).await), INVALID, "{none}");
    }
    assert_eq!(answer(&authorize(&auth, &with("")).await), (401, "Bearer"));
    let two = bearer(&token("ada")).query(format!("ticket={early}"));
    assert_eq!(answer(&authorize(&auth, &two).await).0, 400);
}

#[tokio::test(start_paused = true)]
async fn revoking_reaches_tickets_and_what_came_of_them() {
    let auth = auth();
    let (used, unused) = (ticket(&auth, "news").await, ticket(&auth, "news").await);
    let client = authorize(&auth, &with(&used)).await.unwrap();
    let cookie = cookie(&client).unwrap();
    // A session is no stream.
    assert_eq!(auth.revocations().revoke(&client).await.unwrap(), 0);
    assert_eq!(answer(&authorize(&auth, &with(&unused)).await), INVALID);
    let back = with(&used).header("cookie", cookie);
    assert_eq!(answer(&authorize(&auth, &back).await), INVALID);
    // As the browser asks.
    for head in [back, with(&unused)] {
        let head = head.header("accept", "text/event-stream");
        assert_eq!(answer(&authorize(&auth, &head).await), (204, ""));
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_ended_may_come_back_with_the_cookie_of_a_ticket() {
    let (auth, hub) = (auth(), Hub::new());
    let used = ticket(&auth, "news").await;
    let first = authorize(&auth, &with(&used)).await.unwrap();
    let head = with(&used).header("cookie", cookie(&first).unwrap());
    for what in ["subject", "topic"] {
        let mut stream = Box::pin(open(&hub, &auth, head.clone()).await.unwrap());
        let revocations = auth.revocations();
        let ended = match what {
            "subject" => revocations.end_subject("ada").await.unwrap(),
            _ => revocations.end_topic(&sse_core::Topic::new("news").unwrap()).await.unwrap(),
        };
        assert_eq!(ended, 1, "{what}");
        while stream.next().await.is_some() {}
    }
    assert!(open(&hub, &auth, head).await.is_ok());
}

#[tokio::test]
async fn tickets_are_for_who_shows_a_token() {
    let auth = auth();
    let status = |result: Result<_, Refusal>| result.map(|_: sse_core::Ticket| ()).unwrap_err().status();
    let by_cookie = authorize(&auth, &with_cookie(&token("ada"))).await.unwrap();
    assert_eq!(status(auth.issue_ticket(&by_cookie, "news").await), 401);
    let ticket = ticket(&auth, "news").await;
    let by_ticket = authorize(&auth, &with(&ticket)).await.unwrap();
    assert_eq!(status(auth.issue_ticket(&by_ticket, "news").await), 401);
    let head = bearer(&token("ada")).header("origin", "https://app.example");
    let client = authorize(&auth, &head).await.unwrap();
    let forbidden = auth.issue_ticket(&client, "user/eve").await.map(|_| ()).unwrap_err();
    assert_eq!(forbidden.status(), 403);
    assert_eq!(field(&forbidden, "access-control-allow-origin"), Some("https://app.example"));
    assert_eq!(status(super::auth().issue_ticket(&client, "news").await), 500);
}

/// Opens a stream with a ticket, or with what came of it.
async fn open(hub: &Hub, auth: &Auth, head: Head) -> Result<EventStream<Subscription>, Refusal> {
    let client = auth.authorize(&head, hub.lifecycle()).await?;
    hub.open(&client, "news")
}

/// A ticket that was used, and its cookie.
async fn used(auth: &Auth) -> (String, String) {
    let ticket = ticket(auth, "news").await;
    let cookie = cookie(&authorize(auth, &with(&ticket)).await.unwrap()).unwrap();
    (ticket, cookie)
}

async fn comes_back(auth: &Auth, (ticket, cookie): &(String, String)) -> bool {
    authorize(auth, &with(ticket).header("cookie", cookie.clone())).await.is_ok()
}

#[tokio::test(start_paused = true)]
async fn a_ticket_is_for_its_stream_and_for_nothing_else() {
    let auth = auth();
    let ticket = ticket(&auth, "news").await;
    for (method, path) in [
        ("POST", "/notify"),
        ("POST", "/logout"),
        ("POST", "/events"),
        ("DELETE", "/events"),
        ("GET", "/"),
        ("GET", "/events/"),
        ("GET", "/events/more"),
        ("GET", "/other"),
    ] {
        assert_eq!(
            answer(&authorize(&auth, &with(&ticket).at(method, path)).await),
            INVALID,
            "{method} {path}"
        );
    }
    // It was not used up.
    let cookie = cookie(&authorize(&auth, &with(&ticket)).await.unwrap()).unwrap();
    for (method, path) in [("POST", "/notify"), ("POST", "/events"), ("GET", "/other")] {
        let head = with(&ticket).header("cookie", cookie.clone()).at(method, path);
        assert_eq!(answer(&authorize(&auth, &head).await), INVALID, "{method} {path}");
    }
    assert!(comes_back(&auth, &(ticket, cookie)).await);
}

#[tokio::test(start_paused = true)]
async fn a_ticket_can_be_for_another_stream() {
    let tickets = Tickets::new("/events").public_prefix("/api");
    let auth = builder().tickets(tickets).build().unwrap();
    let client = authorize(&auth, &bearer(&token("ada"))).await.unwrap();
    let ticket = auth.issue_ticket_for(&client, "/jobs/7", "news").await.unwrap();
    for path in ["/events", "/jobs/8"] {
        assert_eq!(
            answer(&authorize(&auth, &with(ticket.as_str()).at("GET", path)).await),
            INVALID,
            "{path}"
        );
    }
    let opened = authorize(&auth, &with(ticket.as_str()).at("GET", "/jobs/7")).await.unwrap();
    let set =
        opened.request().response_headers().find(|(name, _)| *name == "set-cookie").unwrap().1.to_owned();
    assert!(set.starts_with("__Secure-sse_ticket_") && set.contains("; Path=/api/jobs/7;"), "{set}");
    for path in ["jobs", "", "/a;b", "/a b", "/a?b"] {
        assert_eq!(
            auth.issue_ticket_for(&client, path, "news").await.map(|_| ()).unwrap_err().status(),
            500,
            "{path}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_request_leaves_a_ticket_alone() {
    let (hub, auth) = (Hub::new(), auth());
    let ticket = ticket(&auth, "news").await;
    for _ in 0..3 {
        let client = authorize(&auth, &with(&ticket).at("HEAD", "/events")).await.unwrap();
        assert!(client.request().response_headers().all(|(name, _)| name != "set-cookie"));
        assert!(hub.open(&client, "news").is_ok());
    }
    assert!(open(&hub, &auth, with(&ticket)).await.is_ok());
    assert!(open(&hub, &auth, with(&ticket)).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn the_oldest_of_the_same_subject_makes_room() {
    let auth = auth();
    let client = authorize(&auth, &bearer(&token("ada"))).await.unwrap();
    let eve = authorize(&auth, &bearer(&token("eve"))).await.unwrap();
    let of_eve = auth.issue_ticket(&eve, "news").await.unwrap();
    let mut out = Vec::new();
    for _ in 0..33 {
        tokio::time::sleep(Duration::from_millis(1)).await;
        out.push(auth.issue_ticket(&client, "news").await.unwrap());
    }
    assert_eq!(answer(&authorize(&auth, &with(out[0].as_str())).await), INVALID);
    for ticket in [&out[1], &out[32], &of_eve] {
        assert_eq!(answer(&authorize(&auth, &with(ticket.as_str())).await).0, 200);
    }
}

#[tokio::test(start_paused = true)]
async fn every_page_load_has_room_and_those_in_use_stay() {
    let (hub, auth) = (Hub::new(), auth());
    let first = used(&auth).await;
    let head = with(&first.0).header("cookie", first.1.clone());
    let _open = open(&hub, &auth, head).await.unwrap();
    let mut closed = Vec::new();
    for _ in 0..64 {
        tokio::time::sleep(Duration::from_millis(1)).await;
        closed.push(used(&auth).await);
    }
    // One too many: of those that are not in use the oldest is gone.
    assert!(comes_back(&auth, &first).await);
    assert!(!comes_back(&auth, &closed[0]).await);
    assert!(comes_back(&auth, &closed[1]).await);
    assert!(comes_back(&auth, &closed[63]).await);
}

#[tokio::test(start_paused = true)]
async fn a_session_ends_a_while_after_its_stream() {
    let (hub, auth) = (Hub::new(), auth());
    let (kept, left) = (used(&auth).await, used(&auth).await);
    let stream = open(&hub, &auth, with(&kept.0).header("cookie", kept.1.clone())).await.unwrap();
    drop(open(&hub, &auth, with(&left.0).header("cookie", left.1.clone())).await.unwrap());
    tokio::time::sleep(Duration::from_secs(290)).await;
    used(&auth).await;
    assert!(comes_back(&auth, &left).await, "a while has not passed");
    tokio::time::sleep(Duration::from_secs(20)).await;
    used(&auth).await;
    assert!(!comes_back(&auth, &left).await);
    assert!(comes_back(&auth, &kept).await);
    drop(stream);
    used(&auth).await;
    assert!(comes_back(&auth, &kept).await);
}

#[tokio::test(start_paused = true)]
async fn sessions_of_many_leave_room_for_a_newcomer() {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    use jsonwebtoken::{Algorithm, EncodingKey, crypto::sign};

    let auth = auth();
    let (_, payload) = token("ada").split_once('.').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let payload = URL_SAFE_NO_PAD.decode(payload.split('.').next().unwrap()).unwrap();
    let key = EncodingKey::from_secret(super::text("/secret").as_bytes());
    let token = |subject: usize| {
        let mut claims: serde_json::Value = serde_json::from_slice(&payload).unwrap();
        claims["sub"] = subject.to_string().into();
        claims["jti"] = subject.to_string().into();
        let part = |json: &str| URL_SAFE_NO_PAD.encode(json);
        let message = format!("{}.{}", part(r#"{"alg":"HS256"}"#), part(&claims.to_string()));
        let signature = sign(message.as_bytes(), &key, Algorithm::HS256).unwrap();
        format!("{message}.{signature}")
    };
    // More than 20,000 sessions, of 320 subjects who have as many as they may.
    for subject in 0..320 {
        let client = authorize(&auth, &bearer(&token(subject))).await.unwrap();
        for _ in 0..64 {
            let ticket = auth.issue_ticket(&client, "news").await.unwrap();
            assert_eq!(answer(&authorize(&auth, &with(ticket.as_str())).await).0, 200);
        }
    }
    // And more than 10,000 tickets.
    for subject in 0..320 {
        let client = authorize(&auth, &bearer(&token(subject))).await.unwrap();
        for _ in 0..32 {
            auth.issue_ticket(&client, "news").await.unwrap();
        }
    }
    let newcomer = used(&auth).await;
    assert!(comes_back(&auth, &newcomer).await);
}

/// What a browser keeps of the cookies for one path.
#[derive(Default)]
struct Jar(BTreeMap<String, String>);

impl Jar {
    /// A page load: a ticket, and its stream with the cookies that there are.
    async fn load(&mut self, auth: &Auth) {
        let cookies: Vec<String> = self.0.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let head = with(&ticket(auth, "news").await).header("cookie", cookies.join("; "));
        let client = authorize(auth, &head).await.unwrap();
        for (_, set) in client.request().response_headers().filter(|(name, _)| *name == "set-cookie") {
            let (name, value) = set.split(';').next().unwrap().split_once('=').unwrap();
            if set.contains("Max-Age=0;") {
                assert!(value.is_empty() && set.contains("; Path=/events;"), "{set}");
                self.0.remove(name);
            } else {
                self.0.insert(name.to_owned(), value.to_owned());
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_cookies_of_many_page_loads_are_taken_back() {
    let auth = auth();
    let mut jar = Jar::default();
    jar.0.insert("sse_ticket_of_another_kind".into(), "x".into());
    jar.0.insert("session".into(), "of the application".into());
    for load in 0..200 {
        jar.load(&auth).await;
        assert!(jar.0.len() <= 2 + 65, "{} cookies after {load} page loads", jar.0.len());
    }
    // Nobody has used them for long: they go a few at a time.
    tokio::time::sleep(Duration::from_secs(301)).await;
    for _ in 0..10 {
        jar.load(&auth).await;
    }
    assert!(jar.0.len() <= 2 + 11, "{} cookies", jar.0.len());
    assert_eq!(jar.0["session"], "of the application");
    assert_eq!(jar.0["sse_ticket_of_another_kind"], "x");
}
