//! What is counted, as a Prometheus exporter shows it, against what clients were sent.
//!
//! Counts are those of the process, so all of it is one test.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "tests")]

use std::{
    collections::BTreeMap,
    convert::Infallible,
    pin::Pin,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use futures_util::{FutureExt, Stream, StreamExt, stream};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use sse_core::{
    Auth, EndReason, Engine, EngineError, EngineFuture, Event, EventId, EventStream, Fed, Hub, Identity,
    Lifecycle, Limits, OnGap, OnLag, OpenStream, Past, Publication, Published, Request, Start,
    StreamObserver, StreamOptions, Tail, Topics,
};
use tokio::sync::mpsc;

/// A stream, what is done to it, and why it ends then.
type Case<'a> = (EndReason, Body, Box<dyn FnOnce() + 'a>);

type Body = Pin<Box<dyn Stream<Item = bytes::Bytes>>>;

/// The reasons of which observers were told, in order.
#[derive(Clone, Default)]
struct Ends(Arc<Mutex<Vec<EndReason>>>);

impl StreamObserver for Ends {
    fn ended(&self, _: &OpenStream, reason: EndReason) {
        self.0.lock().unwrap().push(reason);
    }
}

impl Ends {
    fn take(&self) -> Vec<EndReason> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// Every series, by its name and labels.
struct Scrape(BTreeMap<String, f64>);

impl Scrape {
    fn of(hub: &Hub, prometheus: &PrometheusHandle) -> Self {
        hub.record_metrics();
        let text = prometheus.render();
        let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        let series = lines.map(|line| line.rsplit_once(' ').unwrap());
        Self(series.map(|(name, value)| (name.to_owned(), value.parse().unwrap())).collect())
    }

    fn get(&self, series: &str) -> f64 {
        *self.0.get(series).unwrap_or_else(|| panic!("{series} is not among {:?}", self.0.keys()))
    }

    /// How much a counter has grown.
    fn since(&self, before: &Self, series: &str) -> f64 {
        // What nothing was recorded of is not there yet.
        self.get(series) - before.0.get(series).copied().unwrap_or_default()
    }
}

fn request(hub: &Hub) -> Request {
    request_to(hub.lifecycle())
}

fn request_to(lifecycle: &Lifecycle) -> Request {
    Request::new(&http::Request::new(()), lifecycle)
}

fn resume(hub: &Hub, id: impl ToString) -> Request {
    let head = http::Request::builder().header("last-event-id", id.to_string()).body(()).unwrap();
    Request::new(&head, hub.lifecycle())
}

fn open(hub: &Hub) -> Body {
    Box::pin(hub.open(&request(hub), "news").unwrap())
}

/// What there is to read, until the end or until nothing comes any more.
async fn read(body: &mut Body) -> Vec<bytes::Bytes> {
    let mut chunks = Vec::new();
    while let Ok(Some(chunk)) = tokio::time::timeout(Duration::from_millis(50), body.next()).await {
        chunks.push(chunk);
    }
    chunks
}

fn events(chunks: &[bytes::Bytes]) -> f64 {
    let text = String::from_utf8(chunks.concat()).unwrap();
    let data = text.split("\n\n").filter(|block| block.contains("data: ") && !block.contains("event: sse-"));
    data.count() as f64
}

#[tokio::test(start_paused = true)]
async fn counts_are_what_clients_were_sent() {
    let hub = Hub::builder().name("main").build();
    let ends = Ends::default();
    hub.lifecycle().observe(ends.clone());
    // Before there is a recorder.
    let mut early = open(&hub);
    read(&mut early).await;
    hub.publish("news", "early").await.unwrap();
    assert_eq!(events(&read(&mut early).await), 1.0);
    drop(early);
    assert_eq!(ends.take(), [EndReason::Gone]);

    let recorder = PrometheusBuilder::new().build_recorder();
    let prometheus = recorder.handle();
    metrics::set_global_recorder(recorder).unwrap();
    let before = Scrape::of(&hub, &prometheus);
    assert_eq!(before.get("sse_streams_opened_total"), 1.0, "a late recorder has all of it");
    assert_eq!(before.get("sse_streams_ended_total{reason=\"gone\"}"), 1.0);
    assert_eq!(before.get("sse_events_published_total"), 1.0);
    assert_eq!(before.get("sse_events_delivered_total"), 1.0);
    assert_eq!(before.get("sse_streams_open"), 0.0);

    deliveries(&hub, &prometheus).await;
    every_end(&prometheus, &ends).await;
    resumes(&hub, &prometheus).await;
    refusals(&hub, &prometheus).await;
    lag(&prometheus).await;
    engines(&prometheus).await;
}

async fn deliveries(hub: &Hub, prometheus: &PrometheusHandle) {
    let before = Scrape::of(hub, prometheus);
    let mut bodies = [open(hub), open(hub), open(hub)];
    let filtered = hub.open(&request(hub), "news").unwrap();
    let mut filtered: Body =
        Box::pin(filtered.filter_map(|event| (event.data() != "3").then(|| event.data().to_string())));
    let mut own: Body = Box::pin(EventStream::open(&request(hub), stream::iter(["a", "b"])).unwrap());
    let mut chunks = Vec::new();
    for body in bodies.iter_mut().chain([&mut filtered, &mut own]) {
        chunks.extend(read(body).await);
    }
    for at in 0..200 {
        hub.publish("news", at.to_string()).await.unwrap();
        if at % 7 == 0 {
            chunks.extend(read(&mut bodies[0]).await);
        }
    }
    for body in bodies.iter_mut().chain([&mut filtered]) {
        chunks.extend(read(body).await);
    }
    let after = Scrape::of(hub, prometheus);
    let grown = |series: &str| after.since(&before, series);
    assert_eq!(grown("sse_events_published_total"), 200.0);
    assert_eq!(events(&chunks), 3.0 * 200.0 + 199.0 + 2.0);
    assert_eq!(grown("sse_events_delivered_total"), events(&chunks));
    assert_eq!(grown("sse_sent_chunks_total"), chunks.len() as f64);
    assert_eq!(grown("sse_sent_bytes_total"), chunks.iter().map(bytes::Bytes::len).sum::<usize>() as f64);
    assert_eq!(grown("sse_streams_opened_total"), 5.0);
    assert_eq!(after.get("sse_streams_open"), 4.0, "the own stream has ended");
    assert_eq!(after.get("sse_subscribers{hub=\"main\"}"), 4.0);
    assert_eq!(after.get("sse_log_events{hub=\"main\"}"), 201.0);
    assert_eq!(grown("sse_keep_alives_total"), 0.0);
    tokio::time::sleep(Duration::from_secs(16)).await;
    let kept = read(&mut bodies[0]).await;
    assert_eq!(kept.concat(), b":\n");
    assert_eq!(Scrape::of(hub, prometheus).since(&before, "sse_keep_alives_total"), 1.0);
    drop((bodies, filtered));
    let after = Scrape::of(hub, prometheus);
    assert_eq!(after.get("sse_streams_open"), 0.0);
    // Most often an exporter shows them as summaries, which have counts too.
    assert_eq!(after.since(&before, "sse_stream_duration_seconds_count"), 5.0);
    assert_eq!(after.since(&before, "sse_stream_opening_seconds_count"), 5.0);
}

/// Every reason, once, by metrics and observers alike.
async fn every_end(prometheus: &PrometheusHandle, ends: &Ends) {
    let hub = Hub::builder().max_events(20).name("main").build();
    hub.lifecycle().observe(ends.clone());
    let (wall, began) = (SystemTime::now(), tokio::time::Instant::now());
    let auth = Auth::sessions().clock(move || wall + began.elapsed()).build().unwrap();
    let ada = |until: Duration| {
        let identity = Identity::new("ada").every_topic().session("1").until(wall + began.elapsed() + until);
        auth.admit(&http::Request::new(()), hub.lifecycle(), identity).unwrap()
    };
    let with = |options: StreamOptions| -> Body {
        Box::pin(hub.open_with(&request(&hub), "news", options).unwrap())
    };
    let options = || hub.stream_options();
    let hour = Duration::from_secs(3600);
    let stopping = Lifecycle::new();
    stopping.observe(ends.clone());
    let fails = stream::iter([Ok("a"), Err("nothing more")]);
    let handled = hub.open(&request(&hub), "news").unwrap();
    let handle = handled.handle();
    let capped = {
        for at in 0..5 {
            hub.publish("news", at.to_string()).await.unwrap();
        }
        with(options().start(Start::Oldest).max_replay_events(2))
    };
    let unknown = hub.open_with(&resume(&hub, "nonsense"), "news", options().on_gap(OnGap::Close)).unwrap();
    let cases: Vec<Case<'_>> = vec![
        (
            EndReason::Finished,
            Box::pin(EventStream::open(&request(&hub), stream::iter(["a"])).unwrap()),
            Box::new(|| ()),
        ),
        (EndReason::Failed, Box::pin(EventStream::open(&request(&hub), fails).unwrap()), Box::new(|| ())),
        (EndReason::MaxAge, with(options().max_age(Duration::from_secs(2))), Box::new(|| ())),
        (
            EndReason::Expired,
            Box::pin(hub.open(&ada(Duration::from_secs(4)), "news").unwrap()),
            Box::new(|| ()),
        ),
        (
            EndReason::Revoked,
            Box::pin(hub.open(&ada(hour), "news").unwrap()),
            Box::new(|| {
                auth.revocations().revoke_session("1").now_or_never().unwrap().unwrap();
            }),
        ),
        (
            EndReason::Closed,
            Box::pin(handled),
            Box::new(|| {
                handle.end();
            }),
        ),
        (
            EndReason::Stopping,
            Box::pin(EventStream::open(&request_to(&stopping), stream::pending::<Event>()).unwrap()),
            Box::new(|| stopping.stop()),
        ),
        (EndReason::ReplayCap, capped, Box::new(|| ())),
        (
            EndReason::Lagged,
            with(options().on_lag(OnLag::Reconnect)),
            Box::new(|| {
                for at in 0..30 {
                    hub.publish_now("news", at.to_string()).unwrap();
                }
            }),
        ),
        (EndReason::Gap, Box::pin(unknown), Box::new(|| ())),
    ];
    let mut seen = vec![EndReason::Gone];
    for (reason, mut body, end) in cases {
        let before = Scrape::of(&hub, prometheus);
        ends.take();
        let first = tokio::time::timeout(Duration::from_millis(5), body.next()).await;
        end();
        if !matches!(first, Ok(None)) {
            let all = async { while body.next().await.is_some() {} };
            assert!(tokio::time::timeout(Duration::from_secs(60), all).await.is_ok(), "{reason}");
        }
        let after = Scrape::of(&hub, prometheus);
        assert_eq!(ends.take(), [reason], "{reason}");
        for other in seen.iter().chain([&reason]) {
            let series = format!("sse_streams_ended_total{{reason=\"{other}\"}}");
            assert_eq!(
                after.since(&before, &series),
                f64::from(u8::from(*other == reason)),
                "{reason}: {series}"
            );
        }
        drop(body);
        assert_eq!(ends.take(), [], "{reason}: once");
        seen.push(reason);
    }
    let all: Vec<_> = Scrape::of(&hub, prometheus)
        .0
        .into_keys()
        .filter(|series| series.starts_with("sse_streams_ended_total"))
        .collect();
    assert_eq!(all.len(), seen.len(), "each was tried: {all:?}");
}

async fn resumes(hub: &Hub, prometheus: &PrometheusHandle) {
    let exact = hub.publish("news", "x").await.unwrap();
    let small = Hub::builder().max_events(2).build();
    let old = small.publish("news", "x").await.unwrap();
    for _ in 0..5 {
        small.publish("news", "x").await.unwrap();
    }
    let cases = [
        (hub, exact.to_string(), "exact"),
        (&small, old.to_string(), "trimmed"),
        (&small, exact.to_string(), "restarted"),
        (hub, "nonsense".to_owned(), "unknown"),
    ];
    for (hub, id, outcome) in cases {
        let before = Scrape::of(hub, prometheus);
        let mut body: Body = Box::pin(hub.open(&resume(hub, id), "news").unwrap());
        let told = String::from_utf8(read(&mut body).await.concat()).unwrap();
        let after = Scrape::of(hub, prometheus);
        for other in ["exact", "trimmed", "restarted", "unknown"] {
            let series = format!("sse_resumes_total{{outcome=\"{other}\"}}");
            assert_eq!(
                after.since(&before, &series),
                f64::from(u8::from(other == outcome)),
                "{outcome}: {series}"
            );
        }
        assert_eq!(told.contains(&format!("\"reason\":\"{outcome}\"")), outcome != "exact", "{told}");
        if outcome != "exact" {
            assert_eq!(after.since(&before, &format!("sse_gaps_total{{reason=\"{outcome}\"}}")), 1.0);
        }
    }
}

async fn refusals(hub: &Hub, prometheus: &PrometheusHandle) {
    let before = Scrape::of(hub, prometheus);
    let full = Lifecycle::builder()
        .limits(&Limits::builder().max_streams(0).max_topics_per_request(1).build())
        .build();
    let empty = || stream::iter(Vec::<Result<Event, Infallible>>::new());
    assert!(EventStream::open(&request_to(&full), empty()).is_err());
    assert!(hub.open(&request_to(&full), Topics::new(["a", "b"]).unwrap()).is_err());
    let stopped = Lifecycle::new();
    stopped.stop();
    assert!(EventStream::open(&request_to(&stopped), empty()).is_err());
    let auth = Auth::sessions().build().unwrap();
    let nobody = auth.admit(&http::Request::new(()), hub.lifecycle(), Identity::new("eve")).unwrap();
    assert!(hub.open(&nobody, "news").is_err());
    let after = Scrape::of(hub, prometheus);
    for reason in ["streams", "too_many_topics", "stopping", "not_granted"] {
        let series = format!("sse_refusals_total{{reason=\"{reason}\"}}");
        assert_eq!(after.since(&before, &series), 1.0, "{series}");
    }
    assert_eq!(after.since(&before, "sse_streams_opened_total"), 0.0);
}

async fn lag(prometheus: &PrometheusHandle) {
    let hub = Hub::builder().name("slow").build();
    let mut bodies: Vec<_> = (0..200).map(|_| open(&hub)).collect();
    let mut others: Body = Box::pin(hub.open(&request(&hub), "others").unwrap());
    for body in bodies.iter_mut().chain([&mut others]) {
        read(body).await;
    }
    let first = hub.position();
    for at in 0..10 {
        hub.publish("news", at.to_string()).await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(4)).await;
    for body in &mut bodies[1..] {
        read(body).await;
    }
    hub.publish("news", "one more").await.unwrap();
    for body in &mut bodies[3..] {
        read(body).await;
    }
    let lag = hub.lag();
    assert_eq!((lag.subscribers, lag.behind, lag.max_events, lag.p99_events), (201, 3, 11, 1), "{lag:?}");
    assert_eq!(lag.oldest, Some(first), "who does not read that topic is not behind");
    assert!(lag.max_wait >= Duration::from_secs(4), "{lag:?}");
    let scrape = Scrape::of(&hub, prometheus);
    assert_eq!(scrape.get("sse_lag_events{hub=\"slow\",rank=\"max\"}"), 11.0);
    assert_eq!(scrape.get("sse_lag_events{hub=\"slow\",rank=\"p99\"}"), 1.0);
    assert!(scrape.get("sse_lag_seconds{hub=\"slow\",rank=\"max\"}") >= 4.0);
    assert!(scrape.get("sse_log_oldest_age_seconds{hub=\"slow\"}") >= 4.0);
    let busiest = hub.busiest_topics(1);
    assert_eq!((busiest[0].topic.as_str(), busiest[0].subscribers, busiest[0].events), ("news", 200, 11));
    assert_eq!(hub.busiest_topics(10).len(), 2);
    assert_eq!(hub.topic_stats("others").unwrap().subscribers, 1);
    assert_eq!(hub.topic_stats("unheard of"), None);
}

/// An engine that gives what the test says.
#[derive(Debug)]
struct Said(Mutex<Option<mpsc::UnboundedReceiver<Fed>>>);

impl Engine for Said {
    fn name(&self) -> &'static str {
        "said"
    }

    fn remembers_keys_for(&self) -> Duration {
        Duration::from_secs(60)
    }

    fn publish(&self, _: Publication) -> EngineFuture<'_, Result<Published, EngineError>> {
        unreachable!("nothing is published")
    }

    fn tail(&self, _: Past) -> Tail {
        let feds = self.0.lock().unwrap().take().unwrap();
        Box::pin(stream::unfold(feds, |mut feds| async move { Some((feds.recv().await?, feds)) }))
    }
}

async fn engines(prometheus: &PrometheusHandle) {
    let (said, feds) = mpsc::unbounded_channel();
    let head = |id| Fed::Head { id, asked: std::time::Instant::now() };
    said.send(Fed::Begin { start: EventId::new(1, 0), is_first: true }).unwrap();
    said.send(head(EventId::new(1, 0))).unwrap();
    let engine = Said(Mutex::new(Some(feds)));
    // Of several who are told, each may read what the others cannot.
    let auths = [Auth::sessions().build().unwrap(), Auth::sessions().build().unwrap()];
    let builder = Hub::builder().engine(engine).share(&auths[0]).share_as("other", &auths[1]);
    let hub = builder.build().await.unwrap();
    let before = Scrape::of(&hub, prometheus);
    let records = [
        (r#"{"v":1,"kind":"event","topics":["news"],"frame":"data: x\n"}"#, true),
        (
            r#"{"v":1,"kind":"auth","body":{"realm":"","from":"00000000000000000000000000000001","said":{"later":{}}}}"#,
            false,
        ),
        (r#"{"v":1,"kind":"topic","body":{"topic":"news"}}"#, false),
        (r#"{"v":2,"kind":"later"}"#, false),
        (r#"{"v":9,"kind":"later"}"#, false),
        (r#"{"v":9,"kind":"event","topics":["news"],"frame":"data: x\n"}"#, false),
        ("{}", false),
    ];
    for (n, (record, _)) in (1..).zip(records) {
        let (id, record) = (EventId::new(1, n), record.into());
        said.send(Fed::Record { id, age: Duration::ZERO, record }).unwrap();
    }
    said.send(Fed::Hole { upto: EventId::new(1, 20) }).unwrap();
    said.send(Fed::Seam { start: EventId::new(2, 0), kept: None }).unwrap();
    said.send(Fed::Away { reason: "the test says so".into() }).unwrap();
    while hub.away_for().is_none() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let after = Scrape::of(&hub, prometheus);
    let unread = records.iter().filter(|(_, is_read)| !is_read).count();
    for (series, count) in [
        ("sse_engine_records_total", records.len()),
        ("sse_engine_unreadable_total", unread),
        ("sse_engine_seams_total", 1),
        ("sse_engine_away_total", 1),
    ] {
        assert_eq!(after.since(&before, series), count as f64, "{series}");
    }
    // The hole, and what was an event or may have been one.
    assert_eq!(after.since(&before, "sse_engine_holes_total"), 3.0);
}
