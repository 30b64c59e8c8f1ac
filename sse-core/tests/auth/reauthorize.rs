//! Asked again, while a stream is open.

use std::{
    future::pending,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, SystemTime},
};

use futures_util::{FutureExt, StreamExt, future::BoxFuture};
use sse_core::{Auth, EventStream, Hub, Identity, Subscription, Topics};
use tokio::time::{Instant, advance, sleep};

use super::{clock, get};

type Answer = Result<Option<Identity>, &'static str>;

type Answers = Box<dyn Fn() -> BoxFuture<'static, Answer> + Send>;

/// What is answered, and how often it was asked.
#[derive(Clone)]
struct Oracle {
    answer: Arc<Mutex<Answers>>,
    asked: Arc<AtomicUsize>,
}

impl Oracle {
    fn new(answer: impl Fn() -> BoxFuture<'static, Answer> + Send + 'static) -> Self {
        Self { answer: Arc::new(Mutex::new(Box::new(answer))), asked: Arc::default() }
    }

    fn answers(&self, answer: impl Fn() -> BoxFuture<'static, Answer> + Send + 'static) {
        *self.answer.lock().unwrap() = Box::new(answer);
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn auth(&self) -> Auth {
        let oracle = self.clone();
        let ask = move |_: Identity, _: Option<Topics>| {
            oracle.asked.fetch_add(1, Ordering::SeqCst);
            (oracle.answer.lock().unwrap())()
        };
        Auth::sessions().clock(clock()).reauthorize_every(Duration::from_secs(60), ask).build().unwrap()
    }
}

fn ada(topics: &[&str]) -> Identity {
    Identity::new("ada").topics(topics.iter().copied()).unwrap().session("1")
}

fn still(topics: &'static [&'static str]) -> impl Fn() -> BoxFuture<'static, Answer> + Send {
    move || async move { Ok(Some(ada(topics))) }.boxed()
}

type Stream = Pin<Box<EventStream<Subscription>>>;

fn open(auth: &Auth, hub: &Hub) -> Stream {
    let client = auth.admit(&get(), hub.lifecycle(), ada(&["news", "team"])).unwrap();
    Box::pin(hub.open(&client, client.granted_topics().unwrap()).unwrap())
}

/// What the stream gives now, and whether it has ended. Comments and positions left out.
async fn read(stream: &mut Stream) -> (Vec<String>, bool) {
    let mut said = Vec::new();
    // Time goes on by itself in between, for what was woken.
    for _ in 0..20 {
        let waker = std::task::Waker::noop();
        match stream.as_mut().poll_next_unpin(&mut Context::from_waker(waker)) {
            Poll::Ready(Some(bytes)) => {
                let text = String::from_utf8(bytes.to_vec()).unwrap();
                said.extend(text.lines().filter_map(|line| line.strip_prefix("data: ")).map(str::to_owned));
            }
            Poll::Ready(None) => return (said, true),
            Poll::Pending => tokio::task::yield_now().await,
        }
    }
    said.retain(|data| data != "{}");
    (said, false)
}

async fn said(stream: &mut Stream) -> Vec<String> {
    let (said, ended) = read(stream).await;
    assert!(!ended);
    said
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_is_taken_away_leaves_without_a_reconnect() {
    let (hub, oracle) = (Hub::new(), Oracle::new(still(&["news", "team"])));
    let auth = oracle.auth();
    let mut stream = open(&auth, &hub);
    hub.publish("team", "1").await.unwrap();
    assert_eq!(said(&mut stream).await, ["1"]);
    advance(Duration::from_secs(61)).await;
    hub.publish("team", "2").await.unwrap();
    assert_eq!(said(&mut stream).await, ["2"]);
    assert_eq!(oracle.asked(), 1);
    oracle.answers(still(&["news"]));
    advance(Duration::from_secs(61)).await;
    // Published before it is asked, and after the right to it is gone.
    hub.publish("team", "3").await.unwrap();
    hub.publish("news", "4").await.unwrap();
    assert_eq!(said(&mut stream).await, ["4"]);
    assert_eq!(oracle.asked(), 2);
    // Nothing is left of it.
    oracle.answers(still(&[]));
    advance(Duration::from_secs(61)).await;
    hub.publish("news", "5").await.unwrap();
    assert_eq!(read(&mut stream).await, (vec![], true));
}

#[tokio::test(start_paused = true)]
async fn a_denial_ends_the_stream_and_what_was_due_is_not_sent() {
    let (hub, oracle) = (Hub::new(), Oracle::new(|| async { Ok(None) }.boxed()));
    let auth = oracle.auth();
    let mut stream = open(&auth, &hub);
    said(&mut stream).await;
    advance(Duration::from_secs(61)).await;
    hub.publish("news", "secret").await.unwrap();
    assert_eq!(read(&mut stream).await, (vec![], true));
    // No revocation: it is the application's to say who is signed in.
    assert!(auth.admit(&get(), hub.lifecycle(), ada(&["news"])).is_ok());
    // An answer for somebody else is one, too.
    oracle.answers(|| async { Ok(Some(Identity::new("bob").every_topic())) }.boxed());
    let mut stream = open(&auth, &hub);
    said(&mut stream).await;
    advance(Duration::from_secs(61)).await;
    assert_eq!(read(&mut stream).await, (vec![], true));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_while_the_answer_is_awaited() {
    let slow = || {
        async {
            sleep(Duration::from_secs(3)).await;
            Ok(Some(ada(&["news"])))
        }
        .boxed()
    };
    let (hub, oracle) = (Hub::new(), Oracle::new(slow));
    let auth = oracle.auth();
    let mut stream = open(&auth, &hub);
    said(&mut stream).await;
    advance(Duration::from_secs(61)).await;
    hub.publish(["news", "team"], "1").await.unwrap();
    hub.publish("team", "2").await.unwrap();
    for _ in 0..2 {
        assert_eq!(said(&mut stream).await, [""; 0]);
        advance(Duration::from_secs(1)).await;
    }
    advance(Duration::from_secs(2)).await;
    assert_eq!(said(&mut stream).await, ["1"]);
    assert_eq!(oracle.asked(), 1);
    // By itself: no poll but for what has woken it.
    advance(Duration::from_secs(61)).await;
    hub.publish("news", "3").await.unwrap();
    let start = Instant::now();
    let chunk = loop {
        let chunk = String::from_utf8(stream.next().await.unwrap().to_vec()).unwrap();
        if chunk.contains("data: 3") {
            break chunk;
        }
    };
    assert!(!chunk.contains("data: 2"));
    assert!((3..4).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_error_is_no_denial_for_a_minute() {
    let (hub, oracle) = (Hub::new(), Oracle::new(|| async { Err("the database is away") }.boxed()));
    let auth = oracle.auth();
    let mut stream = open(&auth, &hub);
    said(&mut stream).await;
    advance(Duration::from_secs(61)).await;
    for n in 0..5 {
        hub.publish("news", n.to_string()).await.unwrap();
        assert_eq!(said(&mut stream).await, [n.to_string()]);
        advance(Duration::from_secs(10)).await;
    }
    assert!(oracle.asked() >= 5);
    // It is back: all is as before.
    oracle.answers(still(&["news"]));
    said(&mut stream).await;
    advance(Duration::from_secs(50)).await;
    let asked = oracle.asked();
    said(&mut stream).await;
    advance(Duration::from_secs(61)).await;
    said(&mut stream).await;
    assert!(oracle.asked() <= asked + 2, "{} after {asked}", oracle.asked());
    // It is away for good.
    oracle.answers(|| async { Err("the database is away") }.boxed());
    let mut ended = false;
    for _ in 0..20 {
        advance(Duration::from_secs(10)).await;
        ended |= read(&mut stream).await.1;
    }
    assert!(ended);
}

#[tokio::test(start_paused = true)]
async fn a_function_that_hangs_holds_everything_up_and_ends_the_stream_after_a_minute() {
    let (hub, oracle) = (Hub::new(), Oracle::new(|| pending().boxed()));
    let auth = oracle.auth();
    let mut stream = open(&auth, &hub);
    said(&mut stream).await;
    advance(Duration::from_secs(61)).await;
    let start = Instant::now();
    for n in 0..5 {
        hub.publish("news", n.to_string()).await.unwrap();
        assert_eq!(said(&mut stream).await, [""; 0]);
        advance(Duration::from_secs(11)).await;
    }
    // A question that was lost is not waited for: it is asked anew.
    assert!((4..=6).contains(&oracle.asked()), "{}", oracle.asked());
    while let Some(chunk) = stream.next().await {
        assert!(chunk.starts_with(b"retry: "), "{chunk:?}");
    }
    assert!((55..=60).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
    assert_eq!(hub.stats().subscribers, 0);
}

#[tokio::test(start_paused = true)]
async fn what_was_due_while_nobody_answered_is_sent_once_somebody_does() {
    let (hub, oracle) = (Hub::new(), Oracle::new(|| pending().boxed()));
    let auth = oracle.auth();
    let mut stream = open(&auth, &hub);
    said(&mut stream).await;
    advance(Duration::from_secs(61)).await;
    hub.publish(["news", "team"], "1").await.unwrap();
    hub.publish("team", "2").await.unwrap();
    assert_eq!(said(&mut stream).await, [""; 0]);
    oracle.answers(still(&["news"]));
    advance(Duration::from_secs(11)).await;
    assert_eq!(said(&mut stream).await, ["1"]);
    // Errors first, and then nothing: the last to be heard counts, and the minute is that of both.
    oracle.answers(|| async { Err("the database is away") }.boxed());
    advance(Duration::from_secs(61)).await;
    hub.publish("news", "3").await.unwrap();
    assert_eq!(said(&mut stream).await, ["3"]);
    oracle.answers(|| pending().boxed());
    advance(Duration::from_secs(11)).await;
    let start = Instant::now();
    hub.publish("news", "4").await.unwrap();
    while let Some(chunk) = stream.next().await {
        assert!(chunk.starts_with(b"retry: "), "{chunk:?}");
    }
    assert!((48..=49).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn how_long_is_waited_is_the_applications_to_say() {
    let asked = Arc::new(AtomicUsize::new(0));
    for (timeout, grace, expected) in [(2, 5, 5), (30, 5, 30), (2, 0, 2)] {
        let counted = Arc::clone(&asked);
        let ask = move |_: Identity, _: Option<Topics>| {
            counted.fetch_add(1, Ordering::SeqCst);
            pending::<Answer>()
        };
        let auth = Auth::sessions()
            .clock(clock())
            .reauthorize_timeout(Duration::from_secs(timeout))
            .reauthorize_grace(Duration::from_secs(grace))
            .reauthorize_every(Duration::from_secs(1), ask)
            .build()
            .unwrap();
        let hub = Hub::new();
        let mut stream = open(&auth, &hub);
        let start = Instant::now();
        while stream.next().await.is_some() {}
        let lasted = start.elapsed().as_secs_f64();
        assert!((0.8..1.1).contains(&(lasted - f64::from(expected))), "{timeout} {grace}: {lasted}");
    }
    assert_eq!(asked.load(Ordering::SeqCst), 3 + 1 + 1);
}

/// A stream on which nothing happens: its timer alone wakes it.
#[tokio::test(start_paused = true)]
async fn a_quiet_stream_is_asked_about_as_often_and_ends_on_time() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let until = clock()() + Duration::from_secs(13);
    let ask = move |_: Identity, _: Option<Topics>| {
        counted.fetch_add(1, Ordering::SeqCst);
        async move {
            sleep(Duration::from_millis(20)).await;
            Ok::<_, &str>(Some(ada(&["news", "team"]).until(until)))
        }
    };
    let auth =
        Auth::sessions().clock(clock()).reauthorize_every(Duration::from_secs(1), ask).build().unwrap();
    let hub = Hub::new();
    let mut stream = open(&auth, &hub);
    let start = Instant::now();
    while stream.next().await.is_some() {}
    let lasted = start.elapsed().as_secs_f64();
    assert!((12.9..13.1).contains(&lasted), "{lasted}");
    let asked = asked.load(Ordering::SeqCst);
    assert!((12..=16).contains(&asked), "{asked} times in {lasted} s");
}

/// The clock goes back in the middle of a question, and while there are errors.
#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_back_puts_nothing_off_for_ever() {
    let back = Arc::new(AtomicUsize::new(0));
    let (real, seconds) = (clock(), Arc::clone(&back));
    let now = move || real() - Duration::from_secs(seconds.load(Ordering::SeqCst) as u64);
    let answer = Arc::new(Mutex::new("hang"));
    let told = Arc::clone(&answer);
    let ask = move |_: Identity, _: Option<Topics>| {
        let answer = *told.lock().unwrap();
        async move { if answer == "hang" { pending::<Answer>().await } else { Err(answer) } }
    };
    let auth = Auth::sessions().clock(now).reauthorize_every(Duration::from_secs(60), ask).build().unwrap();
    for (how, after) in [("hang", 3600), ("away", 86_400)] {
        *answer.lock().unwrap() = how;
        let hub = Hub::new();
        let mut stream = open(&auth, &hub);
        said(&mut stream).await;
        advance(Duration::from_secs(61)).await;
        said(&mut stream).await;
        back.fetch_add(after, Ordering::SeqCst);
        let start = Instant::now();
        // Looked at again with the next event, as the clock is, or by its timer.
        while let Some(chunk) = stream.next().await {
            let held = !chunk.windows(6).any(|part| part == b"data: ");
            assert!(held || how == "away", "{chunk:?}");
        }
        assert!(start.elapsed() < Duration::from_secs(130), "{how}: {:?}", start.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn the_end_may_be_put_off_and_brought_forward() {
    let ends = Arc::new(Mutex::new(clock()() + Duration::from_secs(90)));
    let told = Arc::clone(&ends);
    let oracle = Oracle::new(move || {
        let until: SystemTime = *told.lock().unwrap();
        async move { Ok(Some(ada(&["news"]).until(until))) }.boxed()
    });
    let (hub, auth) = (Hub::new(), oracle.auth());
    let mut stream = open(&auth, &hub);
    said(&mut stream).await;
    *ends.lock().unwrap() += Duration::from_secs(3600);
    advance(Duration::from_secs(61)).await;
    said(&mut stream).await;
    advance(Duration::from_secs(45)).await;
    said(&mut stream).await;
    *ends.lock().unwrap() -= Duration::from_secs(3600);
    advance(Duration::from_secs(61)).await;
    assert!(read(&mut stream).await.1);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_streams_are_asked_about_at_their_own_times_and_few_at_once() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (running, highest) = (Arc::clone(&now), Arc::clone(&most));
    let oracle = Oracle::new(move || {
        let (running, highest) = (Arc::clone(&running), Arc::clone(&highest));
        async move {
            highest.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            sleep(Duration::from_millis(20)).await;
            running.fetch_sub(1, Ordering::SeqCst);
            Ok(Some(ada(&["news", "team"])))
        }
        .boxed()
    });
    let (hub, auth) = (Hub::new(), oracle.auth());
    let streams: Vec<_> = (0..1000).map(|_| open(&auth, &hub)).collect();
    let read = streams.into_iter().map(|mut stream| {
        tokio::spawn(async move {
            let mut said = 0;
            while let Some(chunk) = stream.next().await {
                said += String::from_utf8_lossy(&chunk).matches("data: hello").count();
            }
            said
        })
    });
    let read: Vec<_> = read.collect();
    sleep(Duration::from_secs(47)).await;
    assert_eq!(oracle.asked(), 0);
    sleep(Duration::from_secs(6)).await;
    let early = oracle.asked();
    assert!((100..900).contains(&early), "{early} of 1000 in the first half");
    sleep(Duration::from_secs(9)).await;
    assert!((1000..1100).contains(&oracle.asked()), "{}", oracle.asked());
    assert!(most.load(Ordering::SeqCst) <= 32, "{most:?} at once");
    hub.publish("news", "hello").await.unwrap();
    sleep(Duration::from_secs(20)).await;
    hub.lifecycle().stop();
    for read in read {
        assert_eq!(read.await.unwrap(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn clients_that_read_nothing_hold_up_no_question() {
    let slow = || {
        async {
            sleep(Duration::from_secs(1)).await;
            Ok(Some(ada(&["news"])))
        }
        .boxed()
    };
    let (hub, oracle) = (Hub::new(), Oracle::new(slow));
    let auth = oracle.auth();
    let mut stalled: Vec<_> = (0..100).map(|_| open(&auth, &hub)).collect();
    let mut live = open(&auth, &hub);
    for stream in &mut stalled {
        said(stream).await;
    }
    said(&mut live).await;
    advance(Duration::from_secs(61)).await;
    // Asked about, and never polled again.
    for stream in &mut stalled {
        let polled = stream.as_mut().poll_next_unpin(&mut Context::from_waker(std::task::Waker::noop()));
        assert!(polled.is_pending());
    }
    hub.publish("news", "1").await.unwrap();
    let start = Instant::now();
    let chunk = loop {
        let chunk = String::from_utf8(live.next().await.unwrap().to_vec()).unwrap();
        if chunk.contains("data: 1") {
            break chunk;
        }
    };
    assert!(start.elapsed() < Duration::from_secs(6), "{:?} {chunk}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn who_is_revoked_or_over_waits_for_no_answer() {
    let (hub, oracle) = (Hub::new(), Oracle::new(|| pending().boxed()));
    let auth = oracle.auth();
    let mut revoked = open(&auth, &hub);
    let until = ada(&["news"]).until(clock()() + Duration::from_secs(63));
    let client = auth.admit(&get(), hub.lifecycle(), until).unwrap();
    let mut over = Box::pin(hub.open(&client, "news").unwrap());
    said(&mut revoked).await;
    said(&mut over).await;
    advance(Duration::from_secs(61)).await;
    assert_eq!(said(&mut revoked).await, [""; 0]);
    assert_eq!(said(&mut over).await, [""; 0]);
    let start = Instant::now();
    let ended = tokio::spawn(async move { while revoked.next().await.is_some() {} });
    tokio::task::yield_now().await;
    assert_eq!(auth.revocations().revoke_subject("ada").await.unwrap(), 2);
    ended.await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    while over.next().await.is_some() {}
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_function_that_panics_has_not_answered() {
    let (hub, oracle) =
        (Hub::new(), Oracle::new(|| async { panic!("a defect of the application's") }.boxed()));
    let auth = oracle.auth();
    let mut stream = open(&auth, &hub);
    said(&mut stream).await;
    advance(Duration::from_secs(61)).await;
    hub.publish("news", "1").await.unwrap();
    assert_eq!(said(&mut stream).await, ["1"]);
}

#[tokio::test(start_paused = true)]
async fn when_the_server_stops_nobody_waits_for_an_answer() {
    let (hub, oracle) = (Hub::new(), Oracle::new(|| pending().boxed()));
    let auth = oracle.auth();
    let mut stream = open(&auth, &hub);
    said(&mut stream).await;
    advance(Duration::from_secs(61)).await;
    said(&mut stream).await;
    hub.lifecycle().stop();
    let start = Instant::now();
    while stream.next().await.is_some() {}
    assert!(start.elapsed() < Duration::from_secs(1));
}

/// Whatever polls it, an application without tokio among them: there it is looked at when it is polled.
#[test]
fn outside_a_runtime_it_is_asked_too() {
    use std::task::Waker;

    let seconds = Arc::new(AtomicUsize::new(0));
    let shared = Arc::clone(&seconds);
    let start = SystemTime::now();
    let now = move || start + Duration::from_secs(shared.load(Ordering::SeqCst) as u64);
    let answer = Arc::new(Mutex::new(Some(Ok(Some(ada(&["news"]))))));
    let told = Arc::clone(&answer);
    let ask = move |_: Identity, _: Option<Topics>| {
        let answer: Option<Answer> = told.lock().unwrap().clone();
        async move {
            match answer {
                Some(answer) => answer,
                None => pending().await,
            }
        }
    };
    let auth = Auth::sessions().clock(now).reauthorize_every(Duration::from_secs(60), ask).build().unwrap();
    let hub = Hub::new();
    let mut stream = open(&auth, &hub);
    let mut poll = || match stream.as_mut().poll_next_unpin(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(chunk) => chunk.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap()),
        Poll::Pending => Some(String::new()),
    };
    let publish = |text: &str| hub.publish("news", text).now_or_never().unwrap().unwrap();
    poll();
    for at in [61, 122] {
        seconds.store(at, Ordering::SeqCst);
        publish("1");
        assert!(poll().unwrap().contains("data: 1"), "{at}");
    }
    *answer.lock().unwrap() = None;
    for at in [183, 190, 200, 220] {
        seconds.store(at, Ordering::SeqCst);
        publish("2");
        assert_eq!(poll().unwrap(), "", "{at}");
    }
    seconds.store(244, Ordering::SeqCst);
    assert!(poll().unwrap().starts_with("retry: "));
    assert_eq!(poll(), None);
}
