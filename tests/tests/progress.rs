//! The `progress` examples: whoever comes late, or back, sees the present state first.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failure is a failed test")]

use std::{collections::VecDeque, net::SocketAddr, time::Duration};

use serde_json::{Value, json};
use sse_tests::{
    clients::{self, Client},
    examples::Example,
    http::{self, Answer, Seen},
    proxy::Proxy,
    servers::Framework,
};

const JSON: (&str, &[u8]) = ("content-type", b"application/json");

async fn order(addr: SocketAddr, order: &Value) -> (u16, String) {
    let mut answer = http::send(addr, "POST", "/jobs", &[JSON], order.to_string().as_bytes()).await;
    (answer.status, answer.rest().await)
}

/// Starts a job: its name, and its topic.
async fn start(addr: SocketAddr, rows: u32) -> (String, String) {
    let (status, answer) = order(addr, &json!({ "file": "a.csv", "rows": rows })).await;
    assert_eq!(status, 202, "{answer}");
    let answer: Value = serde_json::from_str(&answer).unwrap();
    (answer["job"].as_str().unwrap().to_owned(), answer["topic"].as_str().unwrap().to_owned())
}

async fn cancel(addr: SocketAddr, job: &str) -> u16 {
    http::send(addr, "DELETE", &format!("/jobs/{job}"), &[], b"").await.status
}

/// Who follows jobs.
struct Watcher {
    answer: Answer,
    /// Of a chunk with several events, those that were not looked at yet.
    events: VecDeque<Seen>,
}

impl Watcher {
    async fn new(addr: SocketAddr, path: &str, id: Option<&str>) -> Self {
        let answer = match id {
            Some(id) => http::resume(addr, path, id.as_bytes()).await,
            None => http::get(addr, path).await,
        };
        assert_eq!(answer.status, 200);
        Self { answer, events: VecDeque::new() }
    }

    /// The next event, and what it says.
    async fn next(&mut self) -> (Seen, Value) {
        while self.events.is_empty() {
            let text = self.answer.until(|text| text.ends_with("\n\n")).await;
            self.events.extend(http::events(&text).into_iter().filter(|seen| seen.kind != "sse-position"));
        }
        let seen = self.events.pop_front().unwrap();
        let data = serde_json::from_str(&seen.data).unwrap();
        (seen, data)
    }

    /// What the next event of this name says.
    async fn until(&mut self, kind: &str) -> Value {
        loop {
            let (seen, data) = self.next().await;
            if seen.kind == kind {
                return data;
            }
            assert_eq!(seen.kind, "running");
        }
    }
}

async fn who_comes_late_sees_the_present_state(framework: Framework) {
    let example = Example::start(framework, "progress").await;
    let addr = example.addr;
    let (job, topic) = start(addr, 1500).await;
    let path = format!("/events?topic={topic}");
    let mut early = Watcher::new(addr, &path, None).await;
    let (seen, data) = early.next().await;
    assert_eq!((seen.kind.as_str(), &data["job"], &data["rows"]), ("running", &json!(job), &json!(1500)));
    let mut done = data["done"].as_u64().unwrap();
    let (mut id, mut moves) = (seen.id, 0);
    while done < 500 {
        let (seen, data) = early.next().await;
        let now = data["done"].as_u64().unwrap();
        assert!(now > done, "{now} after {done}");
        (id, done, moves) = (seen.id, now, moves + 1);
    }
    assert!(moves > 1, "it has not moved bit by bit");
    // Somebody new, and somebody who was away.
    let mut late = Watcher::new(addr, &path, None).await;
    let mut back = Watcher::new(addr, &path, id.as_deref()).await;
    let (seen, data) = late.next().await;
    assert_eq!(seen.kind, "running");
    assert!(data["done"].as_u64().unwrap() >= done, "{data} after {done}");
    for stream in [&mut early, &mut late, &mut back] {
        let data = stream.until("finished").await;
        assert_eq!((&data["rows"], &data["file"]), (&json!(1500), &json!("a.csv")));
        assert!(data["seconds"].as_f64().unwrap() > 0.0);
    }
    // And long afterwards.
    let (seen, _) = Watcher::new(addr, &path, None).await.next().await;
    assert_eq!(seen.kind, "finished");
    assert_eq!(cancel(addr, &job).await, 404);
}

async fn one_stream_follows_several_jobs(framework: Framework) {
    let example = Example::start(framework, "progress").await;
    let addr = example.addr;
    let (one, topic) = start(addr, 1_000_000).await;
    let (two, other) = start(addr, 1_000_000).await;
    let path = format!("/events?topic={topic}&topic={other}&topic=job/none");
    let mut stream = Watcher::new(addr, &path, None).await;
    assert_eq!(cancel(addr, &one).await, 204);
    assert_eq!(cancel(addr, &one).await, 404);
    assert_eq!(stream.until("cancelled").await["job"], json!(one));
    assert_eq!(cancel(addr, &two).await, 204);
    assert_eq!(stream.until("cancelled").await["job"], json!(two));
    assert_eq!(cancel(addr, "none").await, 404);
}

async fn what_is_no_order_is_refused(framework: Framework) {
    let example = Example::start(framework, "progress").await;
    let addr = example.addr;
    for bad in [
        json!({ "file": "" }),
        json!({ "file": "x".repeat(101) }),
        json!({ "file": "a\nb" }),
        json!({ "file": "a.csv", "rows": 0 }),
        json!({ "file": "a.csv", "rows": 1_000_001 }),
    ] {
        let (status, sentence) = order(addr, &bad).await;
        assert_eq!(status, 400, "{bad}: {sentence}");
        assert!(sentence.ends_with('.') && !sentence.contains(['\n', '<', '{']), "{bad}: {sentence}");
    }
    for bad in [json!({}), json!([]), json!({ "file": 1 }), json!({ "file": "a", "rows": -1 })] {
        let (status, _) = order(addr, &bad).await;
        assert!(matches!(status, 400 | 422), "{bad}: {status}");
    }
    for (query, status) in
        [("", 400), ("?topic=news", 403), ("?topic=job", 403), ("?topic=job/x&topic=x", 403)]
    {
        assert_eq!(http::get(addr, &format!("/events{query}")).await.status, status, "{query}");
    }
    let mut jobs = Vec::new();
    for _ in 0..100 {
        jobs.push(start(addr, 1_000_000).await.0);
    }
    let (status, sentence) = order(addr, &json!({ "file": "a.csv" })).await;
    assert_eq!((status, sentence.as_str()), (429, "Enough jobs are running."));
    assert_eq!(cancel(addr, &jobs[0]).await, 204);
    start(addr, 1).await;
}

/// Reloaded in the middle, and with the line cut, the page shows how far the job is.
async fn a_page_survives_a_reload(framework: Framework) {
    for client in [Client::Chromium, Client::Firefox] {
        let Some(browser) = clients::browser(client).await else {
            continue;
        };
        let example = Example::start(framework, "progress").await;
        let proxy = Proxy::start(example.addr, std::iter::empty()).await.unwrap();
        browser.client().goto(&format!("http://{}/", proxy.addr())).await.unwrap();
        let percent = "parseInt(document.querySelector('.share')?.textContent)";
        let submit =
            "const form = document.getElementById('start'); form.rows.value = 2500; form.requestSubmit()";
        browser.run(submit).await;
        browser.wait_for(&format!("{percent} >= 10")).await;
        browser.client().refresh().await.unwrap();
        browser.wait_for(&format!("{percent} >= 10")).await;
        let title = browser.run("return document.querySelector('h2').textContent").await;
        assert_eq!(title, "customers.csv");
        proxy.cut_all();
        browser.wait_for("document.querySelector('li').className === 'finished'").await;
        assert_eq!(browser.run("return document.querySelector('.share').textContent").await, "100 %");
        browser.wait_for("document.getElementById('state').textContent === 'done'").await;
        // Nobody waits any more.
        let note = "return document.querySelector('.foot span').textContent";
        assert!(browser.run(note).await.as_str().unwrap().starts_with("2,500 rows in "));
        browser.close().await;
    }
}

async fn it_ends_with_zero(framework: Framework) {
    let mut example = Example::start(framework, "progress").await;
    let (_, topic) = start(example.addr, 1_000_000).await;
    let mut stream = Watcher::new(example.addr, &format!("/events?topic={topic}"), None).await;
    stream.next().await;
    example.signal("TERM").await;
    assert!(stream.answer.rest().await.ends_with('\n'));
    assert_eq!(example.code(Duration::from_secs(10)).await, Some(0));
}

sse_tests::on_each_framework! {
    who_comes_late_sees_the_present_state
    one_stream_follows_several_jobs
    what_is_no_order_is_refused
    a_page_survives_a_reload
    it_ends_with_zero
}
