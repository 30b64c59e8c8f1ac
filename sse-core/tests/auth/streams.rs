//! Streams that are open in a token's name.

use std::{future::poll_fn, pin::pin, time::Duration};

use futures_core::Stream;
use futures_util::StreamExt;
use sse_core::{
    Auth, Event, EventStream, Hub, Lifecycle, Received, Start, StreamOptions, Subscription, Topic,
};
use tokio::time::{Instant, timeout};

use super::{Build, Head, answer, auth, authorize, bearer, builder, token};

async fn open(hub: &Hub, auth: &Auth, head: &Head) -> EventStream<Subscription> {
    let client = auth.authorize(head, hub.lifecycle()).await.unwrap();
    hub.open(&client, client.granted_topics().unwrap()).unwrap()
}

/// What comes until the end, and when that is.
async fn rest(stream: EventStream<Subscription>) -> (String, Duration) {
    let started = Instant::now();
    let chunks: Vec<_> = timeout(Duration::from_secs(7200), stream.collect()).await.unwrap();
    (String::from_utf8(chunks.concat()).unwrap(), started.elapsed())
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_with_its_token_and_nothing_comes_after() {
    let (hub, auth) = (Hub::new(), auth());
    let stream = open(&hub, &auth, &bearer(&token("ada_short"))).await;
    let publisher = hub.clone();
    let publishing = tokio::spawn(async move {
        for n in 0..100 {
            publisher.publish("news", Event::new(n.to_string())).await.unwrap();
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
    let (text, after) = rest(stream).await;
    // Three seconds and the leeway of thirty.
    assert!(after >= Duration::from_secs(32) && after <= Duration::from_secs(34), "{after:?}");
    assert!(text.contains("data: 31\n") && !text.contains("data: 34\n"), "{text}");
    // Clean: between two events, with a time to come back.
    let (_, farewell) = text.rsplit_once("\n\n").unwrap();
    assert!(farewell.starts_with("retry: ") && farewell.ends_with('\n'), "{farewell:?}");
    assert_eq!(hub.stats().subscribers, 0);
    assert_eq!(hub.lifecycle().streams(), 0);
    // The same leeway: the token is refused by then.
    assert_eq!(answer(&authorize(&auth, &bearer(&token("ada_short"))).await).0, 401);
    publishing.abort();
}

#[tokio::test(start_paused = true)]
async fn a_quiet_stream_ends_too_and_tells_before() {
    let hub = Hub::new();
    let auth = builder().expiry_notice(Duration::from_secs(20)).build().unwrap();
    let (text, after) = rest(open(&hub, &auth, &bearer(&token("ada_short"))).await).await;
    assert!(after >= Duration::from_secs(32) && after <= Duration::from_secs(34), "{after:?}");
    assert_eq!(text.matches("event: sse-auth\n").count(), 1, "{text}");
    let left: u64 =
        text.split("{\"expires_in\":").nth(1).unwrap().split('}').next().unwrap().parse().unwrap();
    assert!((18..=20).contains(&left), "{left}");
    assert!(text.find("sse-position").unwrap() < text.find("sse-auth").unwrap());

    // Without it there is no such event, and a notice longer than the token comes right after the opening.
    let (text, _) = rest(open(&hub, &super::auth(), &bearer(&token("ada_short"))).await).await;
    assert!(!text.contains("sse-auth"));
    let auth = builder().expiry_notice(Duration::from_secs(3600)).build().unwrap();
    let (text, _) = rest(open(&hub, &auth, &bearer(&token("ada_short"))).await).await;
    assert_eq!(text.matches("event: sse-auth\n").count(), 1, "{text}");
    assert!(text.find("sse-position").unwrap() < text.find("sse-auth").unwrap());
}

#[tokio::test(start_paused = true)]
async fn an_own_stream_ends_with_its_token_and_by_revocation() {
    let auth = auth();
    let lifecycle = Lifecycle::new();
    let client = auth.authorize(&bearer(&token("ada_short")), &lifecycle).await.unwrap();
    let stream = EventStream::open(&client, futures_util::stream::pending::<Event>()).unwrap();
    let started = Instant::now();
    assert_eq!(stream.collect::<Vec<_>>().await.len(), 2 + 2, "the opening, two keep-alives, the farewell");
    assert!(started.elapsed() <= Duration::from_secs(34));

    let client = auth.authorize(&bearer(&token("ada")), &lifecycle).await.unwrap();
    let mut stream = pin!(EventStream::open(&client, futures_util::stream::pending::<Event>()).unwrap());
    stream.next().await.unwrap();
    let waiting = Instant::now();
    let revoke = async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(auth.revocations().revoke(&client).await.unwrap(), 1);
    };
    let (last, ()) = tokio::join!(stream.next(), revoke);
    assert!(String::from_utf8_lossy(&last.unwrap()).starts_with("retry: "));
    assert_eq!(stream.next().await, None);
    assert!(waiting.elapsed() < Duration::from_secs(6), "{:?}", waiting.elapsed());
    assert_eq!(lifecycle.streams(), 0);
    // A request that was let in before cannot open one any more.
    let late = EventStream::open(&client, futures_util::stream::pending::<Event>()).unwrap_err();
    assert_eq!(late.status(), 401);
}

#[tokio::test(start_paused = true)]
async fn a_wall_clock_that_jumps_ends_a_stream_at_its_next_wake() {
    use std::sync::atomic::{AtomicU64, Ordering};

    static JUMP: AtomicU64 = AtomicU64::new(0);
    let clock = super::clock();
    let verifier =
        super::verifier().clock(move || clock() + Duration::from_secs(JUMP.load(Ordering::SeqCst)));
    let auth =
        Auth::builder(verifier.build().unwrap()).grants(sse_core::Grants::claim("topics")).build().unwrap();
    let hub = Hub::new();
    let mut stream = pin!(open(&hub, &auth, &bearer(&token("ada"))).await);
    stream.next().await.unwrap();
    JUMP.store(3600, Ordering::SeqCst);
    let started = Instant::now();
    while stream.next().await.is_some() {}
    assert!(started.elapsed() <= Duration::from_secs(16), "{:?}", started.elapsed());
}

#[tokio::test]
async fn who_lost_a_topic_gets_nothing_of_it_replayed() {
    let (hub, auth) = (Hub::new(), auth());
    let start = hub.position();
    let publish =
        async |topic: &str, text: &str| hub.publish(topic, Event::new(text.to_owned())).await.unwrap();
    publish("news", "one").await;
    publish("user/ada", "private").await;
    publish("news", "two").await;
    let resume = async |token: String| {
        let head = bearer(&token).header("last-event-id", start.to_string());
        let mut stream = pin!(open(&hub, &auth, &head).await);
        String::from_utf8(stream.next().await.unwrap().to_vec()).unwrap()
    };
    let before = resume(super::text("/grants/claim")).await;
    assert!(before.contains("data: one\n") && before.contains("data: private\n"), "{before}");
    let after = resume(super::text("/grants/news_only")).await;
    assert!(after.contains("data: one\n") && after.contains("data: two\n"), "{after}");
    assert!(!after.contains("private"), "{after}");
    // And asking for it by name opens nothing at all.
    let client = authorize(&auth, &bearer(&super::text("/grants/news_only"))).await.unwrap();
    assert_eq!(hub.open(&client, ["news", "user/ada"]).unwrap_err().status(), 403);
}

#[tokio::test]
async fn a_head_holds_nothing_and_a_dropped_stream_leaves_the_list() {
    let (hub, auth) = (Hub::new(), auth());
    let head = bearer(&token("ada")).at("HEAD", "/events");
    let _held = open(&hub, &auth, &head).await;
    assert_eq!(auth.revocations().revoke_topic(&Topic::new("news").unwrap()).await.unwrap(), 0);
    let auth = super::auth();
    drop(open(&hub, &auth, &bearer(&token("ada"))).await);
    let _held = open(&hub, &auth, &bearer(&token("ada"))).await;
    assert_eq!(auth.revocations().revoke_subject("ada").await.unwrap(), 1);
    // A subscription without a request is the application's own.
    drop(hub.subscribe("user/eve", Start::Now));
}

/// Whatever opens a subscription, filtered or not, and whatever the method.
#[tokio::test]
async fn a_subscription_is_opened_only_where_its_topics_are_granted() {
    let (hub, auth) = (Hub::new(), auth());
    let as_it_is = |event: &Received| Some(event.frame().clone());
    for (method, topics, expected) in [
        ("GET", &["news"][..], None),
        ("GET", &["user/eve"], Some(403)),
        ("GET", &["news", "user/eve"], Some(403)),
        ("HEAD", &["news"], None),
        ("HEAD", &["user/eve"], Some(403)),
    ] {
        let head = bearer(&token("ada")).at(method, "/events");
        let client = auth.authorize(&head, hub.lifecycle()).await.unwrap();
        let events = || hub.subscribe(topics, Start::Oldest).unwrap();
        let options = StreamOptions::new().no_retry();
        for refused in [
            EventStream::open(&client, events()).map(drop),
            EventStream::open(&client, events().filter_map(as_it_is)).map(drop),
            EventStream::open_with(&client, events(), options).map(drop),
            hub.open(&client, topics).map(|stream| drop(stream.filter_map(as_it_is))),
        ] {
            assert_eq!(refused.err().map(|refusal| refusal.status()), expected, "{method} {topics:?}");
        }
        let streams = [EventStream::open(&client, events()).ok()];
        let open = usize::from(expected.is_none() && method == "GET");
        assert_eq!((hub.lifecycle().streams(), hub.stats().subscribers), (open, open));
        drop(streams);
    }
}

/// Nothing is due but its expiry, and it is polled for little else.
#[tokio::test(start_paused = true)]
async fn a_stream_that_says_nothing_ends_with_its_token_all_the_same() {
    let hub = Hub::builder().positions(false).build();
    for (notice, expected) in [(0, ""), (20, "event: sse-auth\ndata: {\"expires_in\":20}\n\n")] {
        let auth = builder().expiry_notice(Duration::from_secs(notice)).build().unwrap();
        let client = auth.authorize(&bearer(&token("ada_short")), hub.lifecycle()).await.unwrap();
        let options = StreamOptions::new().opening_comment(false).no_retry().no_keep_alive();
        let mut stream = Box::pin(hub.open_with(&client, "news", options).unwrap());
        let (mut polls, mut text) = (0, Vec::new());
        while let Some(chunk) = poll_fn(|cx| {
            polls += 1;
            stream.as_mut().poll_next(cx)
        })
        .await
        {
            text.extend_from_slice(&chunk);
        }
        assert_eq!(String::from_utf8(text).unwrap(), expected);
        assert!(polls < 20, "{polls} polls");
    }
}

#[tokio::test]
async fn a_stopping_server_tells_an_allowed_origin() {
    let auth = builder().allowed_origins(["https://app.example"]).build().unwrap();
    let hub = Hub::new();
    let head = bearer(&token("ada")).header("origin", "https://app.example");
    let client = auth.authorize(&head, hub.lifecycle()).await.unwrap();
    hub.lifecycle().stop();
    let refusal = hub.open(&client, "news").unwrap_err();
    assert_eq!(refusal.status(), 503);
    assert_eq!(super::field(&refusal, "access-control-allow-origin"), Some("https://app.example"));
}

/// A client that reads nothing has its body blocked: what it holds is freed all the same, and it is off the list of
/// those that can be revoked.
#[tokio::test(start_paused = true)]
async fn a_stream_that_nobody_polls_is_freed_when_it_expires_or_is_revoked() {
    const SOON: Duration = Duration::from_secs(1);
    for revoked in [false, true] {
        let (hub, auth) = (Hub::new(), auth());
        let stream = open(&hub, &auth, &bearer(&token("ada_short"))).await;
        let start = Instant::now();
        let held = || (hub.lifecycle().streams(), hub.stats().subscribers);
        if revoked {
            tokio::time::sleep(Duration::from_secs(5)).await;
            assert_eq!(auth.revocations().revoke_subject("ada").await.unwrap(), 1);
        }
        assert_eq!(held(), (1, 1));
        while held() != (0, 0) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // Three seconds and the leeway of thirty.
        let due = Duration::from_secs(if revoked { 5 } else { 33 });
        assert!(start.elapsed() <= due + SOON && start.elapsed() >= due - SOON, "{:?}", start.elapsed());
        assert_eq!(auth.revocations().revoke_subject("ada").await.unwrap(), 0);
        let (rest, _) = rest(stream).await;
        assert!(rest.contains("retry: ") && !rest.contains("data: "), "{rest:?}");
    }
}
