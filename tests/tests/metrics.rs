//! What the notifications examples tell at `/metrics`, against what their clients were sent; and `docs/metrics.md` and
//! `docs/grafana.json` tried against a real Prometheus.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failure is a failed test")]

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use sse_tests::{
    examples::Example,
    http::{self, Answer},
    nats::Nats,
    on_each_framework,
    prometheus::{Prometheus, promtool},
    servers::Framework,
};
use tokio::time::sleep;

const PAGE: &str = include_str!("../../docs/metrics.md");
const DASHBOARD: &str = include_str!("../../docs/grafana.json");

/// Longer than a keep-alive, by which Rocket finds out that a client has left.
const PATIENCE: Duration = Duration::from_secs(40);

on_each_framework! {
    counts_are_what_clients_were_sent
}

async fn start(framework: Framework) -> Example {
    Example::start(framework, "notifications").await
}

async fn sign_in(addr: SocketAddr, user: &str) -> String {
    let body = json!({ "user": user }).to_string();
    let mut answer =
        http::send(addr, "POST", "/login", &[("Content-Type", b"application/json")], body.as_bytes()).await;
    let answer: Value = serde_json::from_str(&answer.rest().await).unwrap();
    format!("Bearer {}", answer["token"].as_str().unwrap())
}

async fn open(addr: SocketAddr, token: &str, id: Option<&str>) -> Answer {
    let mut headers = vec![("Authorization", token.as_bytes())];
    headers.extend(id.map(|id| ("Last-Event-ID", id.as_bytes())));
    http::send(addr, "GET", "/events", &headers, b"").await
}

async fn post(addr: SocketAddr, token: &str, path: &str, body: &Value) -> u16 {
    let headers = [("Authorization", token.as_bytes()), ("Content-Type", b"application/json")];
    http::send(addr, "POST", path, &headers, body.to_string().as_bytes()).await.status
}

async fn notify(addr: SocketAddr, token: &str) {
    let note = json!({ "title": "a", "body": "b" });
    assert_eq!(post(addr, token, "/notify", &note).await, 202);
}

async fn scrape(addr: SocketAddr) -> BTreeMap<String, f64> {
    let mut answer = http::get(addr, "/metrics").await;
    assert_eq!(answer.status, 200);
    let text = answer.rest().await;
    let series = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.rsplit_once(' '));
    series.map(|(name, value)| (name.to_owned(), value.parse().unwrap())).collect()
}

fn ended(reason: &str) -> String {
    format!("sse_streams_ended_total{{reason=\"{reason}\"}}")
}

/// Until a series has this value.
async fn until(addr: SocketAddr, series: &str, value: f64) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let all = scrape(addr).await;
        if all.get(series) == Some(&value) {
            return;
        }
        assert!(Instant::now() < deadline, "{series} is not {value}: {all:#?}");
        sleep(Duration::from_millis(50)).await;
    }
}

async fn counts_are_what_clients_were_sent(framework: Framework) {
    const EVENTS: usize = 100;
    let mut example = start(framework).await;
    let addr = example.addr;
    let (ada, bob) = (sign_in(addr, "ada").await, sign_in(addr, "bob").await);
    let mut streams =
        vec![open(addr, &ada, None).await, open(addr, &ada, None).await, open(addr, &bob, None).await];
    let mut bodies = Vec::new();
    for stream in &mut streams {
        assert_eq!(stream.status, 200);
        bodies.push(stream.until(|text| text.contains("\n\n")).await);
    }
    until(addr, "sse_streams_open", 3.0).await;
    for _ in 0..EVENTS {
        notify(addr, &bob).await;
    }
    for (stream, body) in streams.iter_mut().zip(&mut bodies) {
        let count = |text: &str| text.matches("event: notification").count();
        *body += &stream.until(|text| count(text) == EVENTS && text.ends_with("\n\n")).await;
    }
    let now = scrape(addr).await;
    assert_eq!(now["sse_events_published_total"], EVENTS as f64);
    assert_eq!(now["sse_events_delivered_total"], (3 * EVENTS) as f64);
    assert_eq!(now["sse_sent_bytes_total"], bodies.iter().map(String::len).sum::<usize>() as f64);
    assert_eq!(now["sse_streams_opened_total"], 3.0);
    assert_eq!(now["sse_stream_opening_seconds_count"], 3.0);
    assert_eq!(now["sse_log_events{hub=\"hub\"}"], EVENTS as f64);
    assert!(now["sse_sent_chunks_total"] <= (3 * EVENTS + 3) as f64, "{now:?}");

    // Who leaves is gone, once the server writes.
    drop(streams.remove(0));
    notify(addr, &bob).await;
    until(addr, &ended("gone"), 1.0).await;
    // Bob signs out.
    assert_eq!(post(addr, &bob, "/logout", &json!({})).await, 204);
    until(addr, &ended("revoked"), 1.0).await;
    let asked = open(addr, &bob, None).await;
    assert_eq!(asked.status, 401);
    assert_eq!(http::get(addr, "/events").await.status, 401);
    let first = bodies[0].lines().find_map(|line| line.strip_prefix("id: ")).unwrap();
    drop(open(addr, &ada, Some(first)).await);
    drop(open(addr, &ada, Some("nonsense")).await);
    let now = scrape(addr).await;
    assert_eq!(
        now["sse_refusals_total{reason=\"revoked\"}"] + now["sse_refusals_total{reason=\"invalid\"}"],
        1.0
    );
    assert_eq!(now["sse_refusals_total{reason=\"no_token\"}"], 1.0);
    assert_eq!(now["sse_resumes_total{outcome=\"exact\"}"], 1.0);
    assert_eq!(now["sse_resumes_total{outcome=\"unknown\"}"], 1.0);

    // Readiness turns with the drain, and what is still open ends by it.
    assert_eq!(http::get(addr, "/readyz").await.status, 200);
    assert_eq!(http::get(addr, "/healthz").await.status, 200);
    let mut seen = Vec::new();
    let left = streams.remove(0);
    example.signal("TERM").await;
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline && seen.is_empty() {
        let mut ready = http::get(addr, "/readyz").await;
        if ready.status == 503 {
            seen.push(ready.rest().await);
        }
    }
    assert_eq!(seen, ["not ready"]);
    drop(left);
    assert_eq!(example.code(PATIENCE).await, Some(0));
}

/// The code of the page in this language.
fn block(language: &str) -> &'static str {
    let (_, rest) = PAGE.split_once(&format!("```{language}\n")).expect("a block");
    rest.split_once("```").expect("its end").0
}

/// Every name that the table of metrics has.
fn documented() -> BTreeMap<&'static str, &'static str> {
    let rows = PAGE.lines().filter_map(|line| line.strip_prefix("| `sse_"));
    rows.map(|row| {
        let mut cells = row.split(" | ");
        let name = cells.next().unwrap().trim_end_matches('`');
        (name, cells.next().unwrap())
    })
    .collect()
}

/// The questions of the dashboard, for servers that are scraped every second.
fn questions() -> Vec<String> {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    let questions = targets.map(|target| target["expr"].as_str().unwrap());
    questions.map(|text| text.replace("$__rate_interval", "30s").replace("$instance", ".*")).collect()
}

/// Servers with an engine behind them have answers to more.
fn is_of_an_engine(question: &str) -> bool {
    ["engine_delay", "engine_away_seconds"].iter().any(|name| question.contains(name))
}

/// The engine goes away and comes back, and the dashboard shows it.
async fn an_outage_is_seen(prometheus: &Prometheus, nats: &mut Nats, node: SocketAddr, questions: &[String]) {
    let of = |name: &str| questions.iter().find(|question| question.contains(name)).expect(name);
    let ada = sign_in(node, "ada").await;
    nats.kill();
    prometheus.until_answered(&format!("{} > 0", of("engine_away_seconds"))).await;
    let note = json!({ "title": "a", "body": "b" });
    assert_eq!(post(node, &ada, "/notify", &note).await, 503, "nobody takes it");
    prometheus.until_answered(&format!("sum({}) > 0", of("engine_publish_failures"))).await;
    nats.restart().await;
    prometheus.until_answered(&format!("{} == 0", of("engine_away_seconds"))).await;
    prometheus.until_answered(&format!("{} > 0", of("engine_away_total"))).await;
    // A server by itself that was started anew is another epoch, and nothing was lost.
    prometheus.until_answered(&format!("{} > 0", of("engine_seams"))).await;
    prometheus.until_answered(&format!("{} == 0", of("engine_holes"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prometheus_answers_every_question_of_the_dashboard() {
    if !Prometheus::is_available() {
        return;
    }
    let rules = tempfile::Builder::new().suffix(".yml").tempfile().unwrap();
    std::fs::write(&rules, block("yaml")).unwrap();
    promtool(&["check", "rules", &rules.path().display().to_string()], "").await.unwrap();

    let mut examples =
        vec![start(Framework::Actix).await, start(Framework::Rocket).await, start(Framework::Warp).await];
    let mut nats = None;
    if Nats::is_available() {
        let server = Nats::start().await;
        let env = [("ENGINE_URL", &*server.url())];
        examples.push(Example::start_featured(Framework::Actix, "notifications", "engines", &env).await);
        nats = Some(server);
    }
    let addrs: Vec<_> = examples.iter().map(|example| example.addr).collect();
    let prometheus = Prometheus::start(&addrs).await;
    let mut streams = Vec::new();
    for &addr in &addrs {
        let ada = sign_in(addr, "ada").await;
        for _ in 0..3 {
            streams.push(open(addr, &ada, None).await);
        }
    }
    prometheus.until_answered(&format!("count(sse_streams_open) == {}", addrs.len())).await;

    // Something goes on until every question has an answer that is a number.
    let questions = questions();
    assert!(questions.len() >= 29, "{questions:?}");
    assert_eq!(questions.iter().filter(|question| question.contains("sse_engine_")).count(), 9);
    let has_engine = nats.is_some();
    let going_on = async {
        loop {
            for &addr in &addrs {
                let ada = sign_in(addr, "ada").await;
                for _ in 0..5 {
                    notify(addr, &ada).await;
                }
                // One that ends at once is a stream too.
                let eve = sign_in(addr, "eve").await;
                let mut short = open(addr, &eve, Some("nonsense")).await;
                short.until(|text| text.contains("\n\n")).await;
                post(addr, &eve, "/logout", &json!({})).await;
            }
            sleep(Duration::from_millis(200)).await;
        }
    };
    let asking = async {
        for question in questions.iter().filter(|question| has_engine || !is_of_an_engine(question)) {
            let values = prometheus.until_answered(question).await;
            println!("{question}: {values:?}");
        }
        // And the alerts' questions are ones that can be asked.
        for rule in block("yaml").lines().filter_map(|line| line.trim().strip_prefix("expr: ")) {
            prometheus.ask(rule).await.unwrap_or_else(|error| panic!("{rule}: {error}"));
        }
    };
    tokio::select! {
        () = going_on => {}
        () = asking => {}
    }
    if let Some(mut nats) = nats {
        an_outage_is_seen(&prometheus, &mut nats, addrs[3], &questions).await;
    }

    let mut text = http::get(addrs[0], "/metrics").await;
    let text = text.rest().await;
    promtool(&["check", "metrics"], &text).await.unwrap();
    // The page has each name with its type, and no other. `--test nodes` has those that are shown with an engine alone.
    let shown: BTreeMap<_, _> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE sse_"))
        .filter_map(|line| line.split_once(' '))
        .collect();
    let mut documented = documented();
    for (name, kind) in [("engine_away_seconds", "gauge"), ("engine_delay_seconds", "histogram")] {
        assert_eq!(documented.remove(name), Some(kind));
    }
    assert_eq!(documented, shown);
    let reasons = |text: &str, start: &str, end: char| -> BTreeSet<String> {
        let parts = text.split(start).skip(1);
        parts.map(|part| part.split(end).next().unwrap().to_owned()).collect()
    };
    let table = PAGE.split_once("### Why streams end").unwrap().1.split_once("###").unwrap().0;
    let told = reasons(&text, "sse_streams_ended_total{reason=\"", '"');
    assert_eq!(
        reasons(table, "\n| `", '`'),
        told.into_iter().collect::<BTreeSet<_>>().into_iter().chain(["reason".to_owned()]).collect()
    );
    let refusals = PAGE.lines().find(|line| line.contains("`sse_refusals_total`")).unwrap();
    for reason in reasons(&text, "sse_refusals_total{reason=\"", '"') {
        assert!(refusals.contains(&format!("`{reason}`")), "{reason}");
    }
}
