//! What nobody means to do, one thing after another.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use futures_util::StreamExt;
use sse_core::{
    Auth, Authorized, EventStream, Hub, Identity, Refusal, Subscription, SubscriptionHandle, Topic, Topics,
};
use tokio::time::{sleep, timeout};

use super::{clock, get};

type Stream = Pin<Box<EventStream<Subscription>>>;

fn sessions() -> Auth {
    Auth::sessions().clock(clock()).expiry_notice(Duration::from_secs(30)).build().unwrap()
}

fn admit(auth: &Auth, hub: &Hub, who: Identity) -> Result<Authorized<Identity>, Refusal> {
    auth.admit(&get(), hub.lifecycle(), who)
}

fn open(auth: &Auth, hub: &Hub, who: Identity) -> Stream {
    let client = admit(auth, hub, who).unwrap();
    Box::pin(hub.open(&client, client.granted_topics().unwrap()).unwrap())
}

fn ada() -> Identity {
    Identity::new("ada").topics(["news"]).unwrap().session("1")
}

async fn ends(stream: &mut Stream) -> bool {
    timeout(Duration::from_secs(1), async { while stream.next().await.is_some() {} }).await.is_ok()
}

fn open_streams(auth: &Auth) -> String {
    format!("{:?}", auth.revocations())
}

/// Each request looks at as many topics as it has, not at each for each.
#[tokio::test]
async fn thousands_of_topics_of_one_person_take_no_time() {
    const TOPICS: usize = 20_000;
    let (auth, hub) = (sessions(), Hub::new());
    let many = |name: &str| {
        let topics = (0..TOPICS).map(|n| format!("team/{n}"));
        topics.fold(Identity::new(name), |identity, topic| identity.exact_topic(topic).unwrap())
    };
    let identity = many("ada");
    let start = Instant::now();
    let mut stream = open(&auth, &hub, identity);
    // In the square it is twelve seconds where nothing is optimised, on a machine that does nothing else.
    eprintln!("{TOPICS} topics: {:?}", start.elapsed());
    assert!(start.elapsed() < Duration::from_secs(6), "{:?}", start.elapsed());
    hub.publish(format!("team/{}", TOPICS - 1), "last").await.unwrap();
    while !String::from_utf8_lossy(&stream.next().await.unwrap()).contains("last") {}
    assert_eq!(auth.revocations().end_topic(&Topic::new("team/0").unwrap()).await.unwrap(), 1);
    assert!(ends(&mut stream).await);
    drop(stream);
    assert_eq!((hub.stats().topics, hub.stats().subscribers), (1, 0));
    assert!(open_streams(&auth).contains("open: 0"));
}

#[tokio::test]
async fn whoever_has_any_name_is_let_in_and_revoked_by_it() {
    let (auth, hub) = (sessions(), Hub::new());
    let long = "x".repeat(1 << 20);
    let names = ["", " ", "\0", "a\r\nset-cookie: x=y", "*", "user/*", "\u{202e}eda", "ada\u{0}", &long];
    for name in names {
        let who = || Identity::new(name).topics(["news"]).unwrap().session(name);
        let mut stream = open(&auth, &hub, who());
        let mut other = open(&auth, &hub, ada());
        assert!(auth.revocations().revoke_subject(name).await.unwrap() == 1, "{:?}", name.get(..9));
        assert!(ends(&mut stream).await && !ends(&mut other).await);
        assert_eq!(admit(&auth, &hub, who()).unwrap_err().status(), 401);
        assert_eq!(auth.revocations().revoke_session(name).await.unwrap(), 0);
        // What cannot be a topic is none.
        let exact = Identity::new(name).exact_topic(name);
        assert_eq!(exact.is_ok(), Topic::new(name).is_ok());
        if let Ok(exact) = exact {
            assert!(
                !admit(&auth, &hub, exact.session("2")).is_ok_and(|client| client.granted("news").is_ok())
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn any_time_is_one_that_a_session_may_end_at() {
    let hub = Hub::new();
    let auth = Auth::sessions()
        .clock(clock())
        .expiry_notice(Duration::from_secs(u64::MAX))
        .reauthorize_every(Duration::MAX, |_, _| async { Err::<Option<Identity>, _>("nobody is asked") })
        .build()
        .unwrap();
    let second = Duration::from_secs(1);
    let year_9999 = SystemTime::UNIX_EPOCH + Duration::from_secs(253_402_300_799);
    let latest = SystemTime::UNIX_EPOCH + Duration::from_secs(i64::MAX as u64);
    let earliest = SystemTime::UNIX_EPOCH - Duration::from_secs(1 << 40);
    let mut sessions = 0;
    for (until, is_over) in [
        (earliest, true),
        (SystemTime::UNIX_EPOCH, true),
        (clock()() - second, true),
        (clock()(), true),
        (clock()() + second * 60, false),
        (year_9999, false),
        (latest, false),
    ] {
        for signed_in in [earliest, SystemTime::UNIX_EPOCH, clock()(), year_9999, latest] {
            sessions += 1;
            let who = || ada().session(sessions.to_string()).until(until).signed_in_at(signed_in);
            let admitted = admit(&auth, &hub, who());
            assert_eq!(admitted.is_err(), is_over, "{until:?} {signed_in:?}");
            let Ok(client) = admitted else {
                continue;
            };
            let mut stream = Box::pin(hub.open(&client, "news").unwrap());
            assert!(!ends(&mut stream).await);
            assert_eq!(auth.revocations().revoke(&client).await.unwrap(), 1);
            assert!(ends(&mut stream).await);
            drop(stream);
            assert_eq!(admit(&auth, &hub, who()).unwrap_err().status(), 401);
        }
    }
}

/// Whose function ends the very stream that it is asked about, by its handle, by a revocation, by its topic.
#[tokio::test(start_paused = true)]
async fn a_stream_may_be_ended_by_what_it_calls() {
    for how in ["handle", "session", "topic", "stop"] {
        let hub = Hub::new();
        let (handle, slot) =
            (Arc::new(Mutex::new(None::<SubscriptionHandle>)), Arc::new(Mutex::new(None::<Auth>)));
        let (shared, auth, stopped) = (Arc::clone(&handle), Arc::clone(&slot), hub.clone());
        let ask = move |client: Identity, _: Option<Topics>| {
            let handle = shared.lock().unwrap().clone().unwrap();
            let auth = auth.lock().unwrap().clone().unwrap();
            match how {
                "handle" => assert!(handle.end() && handle.end()),
                "session" => assert_eq!(super::now(auth.revocations().revoke_session("1")), 1),
                "topic" => {
                    assert_eq!(super::now(auth.revocations().end_topic(&Topic::new("news").unwrap())), 1);
                }
                _ => stopped.lifecycle().stop(),
            }
            async move { Ok::<_, String>(Some(client)) }
        };
        let auth =
            Auth::sessions().clock(clock()).reauthorize_every(Duration::from_secs(1), ask).build().unwrap();
        *slot.lock().unwrap() = Some(auth.clone());
        let mut stream = open(&auth, &hub, ada());
        *handle.lock().unwrap() = Some(stream.handle());
        assert!(
            timeout(Duration::from_secs(20), async { while stream.next().await.is_some() {} }).await.is_ok()
        );
        let handle = handle.lock().unwrap().take().unwrap();
        assert!(!handle.end() && !handle.end(), "{how}");
        drop(stream);
        assert!(open_streams(&auth).contains("open: 0"), "{how}");
        assert_eq!(hub.stats().subscribers, 0, "{how}");
    }
}

/// And by what chooses its events.
#[tokio::test(start_paused = true)]
async fn a_stream_may_be_ended_by_what_chooses_its_events() {
    for how in ["handle", "revoke", "remove"] {
        let (auth, hub) = (sessions(), Hub::new());
        let client = admit(&auth, &hub, ada()).unwrap();
        let stream = hub.open(&client, "news").unwrap();
        let (handle, revocations) = (stream.handle(), auth.revocations().clone());
        let news = Topics::new(["news"]).unwrap();
        let mut stream = Box::pin(stream.filter_map(move |event| {
            match how {
                "handle" => assert!(handle.end()),
                "revoke" => assert_eq!(super::now(revocations.revoke_subject("ada")), 1),
                _ => assert!(handle.remove(&news)),
            }
            Some(sse_core::Event::new(event.data()))
        }));
        for n in 0..3 {
            hub.publish("news", n.to_string()).await.unwrap();
        }
        let mut text = String::new();
        while let Ok(Some(chunk)) = timeout(Duration::from_secs(20), stream.next()).await {
            text.push_str(&String::from_utf8_lossy(&chunk));
        }
        drop(stream);
        assert!(open_streams(&auth).contains("open: 0"), "{how}: {text}");
        assert_eq!(hub.stats().subscribers, 0, "{how}");
    }
}

/// It is a topic's name and nothing else, even where it could be a pattern.
#[tokio::test(start_paused = true)]
async fn a_topic_that_is_ended_or_revoked_is_no_pattern() {
    let (auth, hub) = (sessions(), Hub::new());
    let who = || Identity::new("ada").topics(["team/*"]).unwrap().session("1");
    let client = admit(&auth, &hub, who()).unwrap();
    let mut stream = Box::pin(hub.open(&client, "team/7").unwrap());
    let mut literal = Box::pin(hub.open(&client, Topics::new(["team/*"]).unwrap()).unwrap());
    let star = Topic::new("team/*").unwrap();
    assert_eq!(auth.revocations().end_topic(&star).await.unwrap(), 1);
    assert!(ends(&mut literal).await && !ends(&mut stream).await);
    assert_eq!(auth.revocations().revoke_topic(&star).await.unwrap(), 0);
    assert!(hub.open(&client, "team/8").is_ok());
    assert_eq!(hub.open(&client, Topics::new(["team/*"]).unwrap()).unwrap_err().status(), 403);
}

/// Topics go one by one, come back in the answer alone, and the last that goes ends it.
#[tokio::test(start_paused = true)]
async fn what_was_taken_away_does_not_come_back_with_an_answer() {
    let answers = ["news team", "team", "news team", "news", "news team"];
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let ask = move |client: Identity, _: Option<Topics>| {
        let n = counted.fetch_add(1, Ordering::SeqCst);
        let topics = answers[n.min(answers.len() - 1)].split(' ');
        let identity = Identity::new(client.subject()).topics(topics).map(Some);
        async move { identity }
    };
    let auth =
        Auth::sessions().clock(clock()).reauthorize_every(Duration::from_secs(60), ask).build().unwrap();
    let hub = Hub::new();
    let mut stream = open(&auth, &hub, Identity::new("ada").topics(["news", "team"]).unwrap().session("1"));
    let reading = tokio::spawn(async move {
        let mut text = String::new();
        while let Some(chunk) = stream.next().await {
            text.push_str(&String::from_utf8_lossy(&chunk));
        }
        text
    });
    for n in 1..=6 {
        while asked.load(Ordering::SeqCst) < n.min(4) {
            sleep(Duration::from_millis(100)).await;
        }
        sleep(Duration::from_millis(100)).await;
        hub.publish("news", format!("news {n}")).await.unwrap();
        hub.publish("team", format!("team {n}")).await.unwrap();
    }
    let text = reading.await.unwrap();
    let said: Vec<_> =
        text.lines().filter_map(|line| line.strip_prefix("data: ")).filter(|said| *said != "{}").collect();
    assert_eq!(said, ["news 1", "team 1", "team 2", "team 3"]);
    assert_eq!(asked.load(Ordering::SeqCst), 4);
    // By a new request it does.
    assert!(admit(&auth, &hub, ada()).is_ok_and(|client| hub.open(&client, "news").is_ok()));
}

/// What a hundred thousand sign-outs leave behind is looked up, not looked through.
#[tokio::test]
async fn a_hundred_thousand_sign_outs_slow_nobody_down() {
    const MANY: usize = 100_000;
    let (auth, hub) = (sessions(), Hub::new());
    let mut stream = open(&auth, &hub, Identity::new("bob").topics(["news"]).unwrap().session("b"));
    let a_thousand = || {
        let start = Instant::now();
        for n in 0..1000 {
            drop(open(&auth, &hub, ada().session(format!("fresh {n}"))));
        }
        start.elapsed()
    };
    let before = a_thousand();
    for n in 0..MANY {
        assert_eq!(auth.revocations().revoke_session(&n.to_string()).await.unwrap(), 0);
    }
    let after = a_thousand();
    eprintln!("a thousand streams opened in {before:?}, after {MANY} sign-outs in {after:?}");
    // A hundred thousand looked through for each would be minutes.
    assert!(after < before * 20 + Duration::from_secs(2), "{before:?} {after:?}");
    assert!(admit(&auth, &hub, ada().session("99999")).is_err() && !ends(&mut stream).await);
    assert!(open_streams(&auth).contains("open: 1"));
}
