//! The examples keep one HTTP contract, in a real browser and under real signals.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failure is a failed test")]

use std::time::Duration;

use sse_tests::{
    browser::Browser,
    clients::{self, Client},
    examples::Example,
    http,
    proxy::Proxy,
    servers::Framework,
};

async fn id_of(addr: std::net::SocketAddr, path: &str, body: &[u8]) -> String {
    let (status, answer) = http::post(addr, path, body).await;
    assert_eq!(status, 202, "{answer}");
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer.as_object().unwrap().len(), 1);
    answer["id"].as_str().unwrap().to_owned()
}

async fn quickstart_keeps_its_contract(framework: Framework) {
    let example = Example::start(framework, "quickstart").await;
    let addr = example.addr;
    let mut page = http::get(addr, "/").await;
    assert!(page.header("content-type").unwrap().starts_with("text/html"));
    assert!(page.rest().await.contains("EventSource(\"/events\")"));

    let mut news = http::get(addr, "/events").await;
    news.until(|text| text.contains("\n\n")).await;
    let mut two = http::get(addr, "/events?topic=public/a&topic=public%2Fb%20c").await;
    two.until(|text| text.contains("\n\n")).await;

    let id = id_of(addr, "/publish", "hello\nthere".as_bytes()).await;
    assert_eq!(
        news.until(|text| text.contains("\n\n")).await,
        format!("data: hello\ndata: there\nid: {id}\n\n")
    );
    let id = id_of(addr, "/publish?topic=public/b+c&topic=news&topic=public%2Fa", b"both").await;
    for stream in [&mut news, &mut two] {
        assert_eq!(stream.until(|text| text.contains("\n\n")).await, format!("data: both\nid: {id}\n\n"));
    }

    // With `data: ` and the end of its line, it is all that an event may have.
    let largest = vec![b'x'; (256 << 10) - 7];
    id_of(addr, "/publish?topic=public/large", &largest).await;
    let long_topic = format!("/publish?topic={}", "x".repeat(257));
    let bad: [(&str, &[u8], u16); 7] = [
        ("/publish?topic=a%0Ab", b"x", 400),
        ("/publish?topic=%7F", b"x", 400),
        ("/publish?topic=%ff", b"x", 400),
        ("/publish?topic=", b"x", 400),
        (&long_topic, b"x", 400),
        ("/publish", b"\xff\xfe", 400),
        ("/publish", &[largest.as_slice(), b"x"].concat(), 413),
    ];
    for (path, body, expected) in bad {
        let (status, sentence) = http::post(addr, path, body).await;
        assert_eq!(status, expected, "{path}: {sentence}");
        let one = !sentence.is_empty() && !sentence.contains(['\n', '<', '{']);
        assert!(one, "{path}: {sentence:?}");
    }
    // Nothing else was disturbed.
    let id = id_of(addr, "/publish", b"").await;
    assert_eq!(news.until(|text| text.contains("\n\n")).await, format!("data: \nid: {id}\n\n"));
    only_public_topics_are_open(addr).await;
}

/// What people copy must not let anyone read anything, nor publish where others read.
async fn only_public_topics_are_open(addr: std::net::SocketAddr) {
    const REFUSED: &str = "A topic is not among those allowed here.";
    for query in
        ["topic=news", "topic=public/x", "topic=public%2F", "topic=public/x&topic=news&topic=public/y"]
    {
        let mut answer = http::get(addr, &format!("/events?{query}")).await;
        assert_eq!(answer.status, 200, "{query}");
        answer.until(|text| text.contains("\n\n")).await;
        id_of(addr, &format!("/publish?{query}"), b"x").await;
        let seen = http::events(&answer.until(|text| text.contains("\n\n")).await);
        assert_eq!(seen.iter().map(|event| &*event.data).collect::<Vec<_>>(), ["x"], "{query}");
    }
    for query in [
        "topic=private",
        "topic=user/bob",
        "topic=newsletter",
        "topic=public",
        "topic=Public/x",
        "topic=*",
        "topic=%20news",
        "topic=news&topic=private",
        "topic=private&topic=public/x",
    ] {
        let path = format!("/events?{query}");
        for mut answer in [http::get(addr, &path).await, http::resume(addr, &path, b"x-1").await] {
            assert_eq!(answer.status, 403, "{query}");
            assert!(answer.header("content-type").unwrap().starts_with("text/plain"));
            assert_eq!(answer.header("cache-control"), Some("no-store"));
            assert_eq!(answer.rest().await, REFUSED, "{query}");
        }
        let answer = http::post(addr, &format!("/publish?{query}"), b"x").await;
        assert_eq!(answer, (403, REFUSED.to_owned()), "{query}");
    }
}

/// Two tabs, one connection that dies: what was missed arrives once.
async fn quickstart_survives_a_cut_in_a_browser(framework: Framework) {
    if !clients::available().contains(&Client::Chromium) {
        return;
    }
    let example = Example::start(framework, "quickstart").await;
    let proxy = Proxy::start(example.addr, std::iter::empty()).await.unwrap();
    let browser = Browser::start().await.unwrap();
    let tab = browser.client();
    let url = format!("http://{}/", proxy.addr());
    tab.goto(&url).await.unwrap();
    let first = tab.window().await.unwrap();
    let second = tab.new_window(true).await.unwrap().handle;
    tab.switch_to_window(second.clone()).await.unwrap();
    tab.goto(&url).await.unwrap();
    for window in [&second, &first] {
        tab.switch_to_window(window.clone()).await.unwrap();
        browser.wait_for("document.getElementById('state').className === 'open'").await;
    }
    id_of(example.addr, "/publish", b"before").await;
    browser.wait_for("document.querySelectorAll('#log li').length === 1").await;
    proxy.cut_all();
    for n in 1..=3 {
        id_of(example.addr, "/publish", format!("missed {n}").as_bytes()).await;
    }
    for window in [&first, &second] {
        tab.switch_to_window(window.clone()).await.unwrap();
        browser.wait_for("document.querySelectorAll('#log li').length >= 4").await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        let lines = "return [...document.querySelectorAll('#log li')].map(li => li.firstChild.data)";
        let lines = tab.execute(lines, Vec::new()).await.unwrap();
        assert_eq!(lines, serde_json::json!(["missed 3", "missed 2", "missed 1", "before"]));
    }
    browser.close().await;
}

const ANSWER: &str = include_str!("../../examples/answer.txt");

async fn tokens_arrive_whole_and_end(framework: Framework) {
    let example = Example::start(framework, "tokens").await;
    // Several readers of one answer, which takes its time.
    let (whole, rest) =
        tokio::join!(async { http::get(example.addr, "/events").await.rest().await }, async {
            http::resume(example.addr, "/events", b"2000").await.rest().await
        },);
    let seen = http::events(&whole);
    let (end, words) = seen.split_last().unwrap();
    assert_eq!(end.kind, "end");
    let text: String = words.iter().map(|word| word.data.as_str()).collect();
    assert_eq!(text, ANSWER);
    assert!(words.len() > 3000);
    // Cut after a word, it goes on with the next.
    assert_eq!(http::events(&rest), seen[2000..]);
}

/// The connection dies in the middle of a long answer, and the page shows all of it in the end.
async fn a_page_shows_a_long_answer_whole(framework: Framework) {
    if !clients::available().contains(&Client::Chromium) {
        return;
    }
    let example = Example::start(framework, "tokens").await;
    let proxy = Proxy::start(example.addr, std::iter::empty()).await.unwrap();
    let browser = Browser::start().await.unwrap();
    browser.client().goto(&format!("http://{}/", proxy.addr())).await.unwrap();
    browser.run("document.getElementById('ask').click()").await;
    let len = ANSWER.encode_utf16().count();
    let wait_for = async |parts: usize| {
        let shown = "document.getElementById('answer').textContent.length";
        browser.wait_for(&format!("{shown} > {}", len * parts / 8)).await;
    };
    wait_for(2).await;
    wait_for(4).await;
    let connections = proxy.connections();
    proxy.cut_all();
    wait_for(6).await;
    assert!(proxy.connections() > connections, "nothing was cut");
    browser.wait_for("document.getElementById('state').textContent === 'done'").await;
    assert_eq!(browser.run("return document.getElementById('answer').textContent").await, ANSWER);
    // And what is seen of it: no blank is lost in the layout, and the page has followed to the last line.
    assert_eq!(browser.run("return document.getElementById('answer').innerText").await, ANSWER);
    browser.wait_for("innerHeight + scrollY >= document.documentElement.scrollHeight - 1").await;
    browser.close().await;
}

async fn signals_end_with_zero(framework: Framework) {
    for (bin, signal) in [("quickstart", "TERM"), ("quickstart", "INT"), ("tokens", "TERM")] {
        ends_with_zero(framework, bin, signal).await;
    }
}

async fn ends_with_zero(framework: Framework, bin: &str, signal: &str) {
    let mut example = Example::start(framework, bin).await;
    let mut streams = Vec::new();
    for _ in 0..3 {
        let mut stream = http::get(example.addr, "/events").await;
        stream.until(|text| text.contains("retry")).await;
        streams.push(stream);
    }
    let output = example.output();
    assert!(!output.to_lowercase().contains("warn"), "a plain stream is no reason for a warning: {output}");
    example.signal(signal).await;
    // A cut stream would fail here.
    for stream in &mut streams {
        assert!(stream.rest().await.ends_with('\n'));
    }
    assert_eq!(example.code(Duration::from_secs(10)).await, Some(0), "{bin} {signal}");
}

async fn a_client_that_does_not_read_holds_nothing_up(framework: Framework) {
    let mut example = Example::start(framework, "quickstart").await;
    let mut stalled = http::get(example.addr, "/events").await;
    stalled.until(|text| text.contains("\n\n")).await;
    let body = vec![b'x'; 200_000];
    for _ in 0..500 {
        id_of(example.addr, "/publish", &body).await;
    }
    // 100 MB went by; the log keeps 16 MiB.
    if let Some(peak) = example.peak_memory() {
        assert!(peak < 100 << 20, "{} MiB", peak >> 20);
    }
    example.signal("TERM").await;
    assert_eq!(example.code(Duration::from_secs(10)).await, Some(0));
}

sse_tests::on_each_framework! {
    quickstart_keeps_its_contract
    quickstart_survives_a_cut_in_a_browser
    tokens_arrive_whole_and_end
    a_page_shows_a_long_answer_whole
    signals_end_with_zero
    a_client_that_does_not_read_holds_nothing_up
}
