//! What the frameworks' own compression does to streams.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sse_core::Hub;
use sse_tests::{
    browser::Browser,
    clients::{self, Client},
    http,
    servers::{App, Framework, Server},
};

const EVENTS: usize = 40;

/// Short ones, and long ones that compress well; no two alike.
fn data(n: usize) -> String {
    format!("{n} {}", "abc ".repeat(n * n))
}

/// `Compress` takes what has an encoding for encoded.
#[tokio::test]
async fn actix_compression_leaves_streams_alone() {
    let server = Framework::Actix.serve(App::new(Hub::new())).await;
    for accepted in ["gzip", "deflate", "br", "gzip, deflate, br"] {
        let accept: [(&str, &[u8]); 1] = [("Accept-Encoding", accepted.as_bytes())];
        let mut answer = http::send(server.addr, "GET", "/compressed/events", &accept, b"").await;
        assert_eq!(answer.header("content-encoding"), Some("identity"));
        answer.until(|text| text.contains("sse-position") && text.ends_with("\n\n")).await;
        for n in 0..EVENTS {
            let id = server.hub.publish("news", data(n)).await.unwrap();
            let frame = format!("data: {}\nid: {id}\n\n", data(n));
            assert_eq!(answer.until(|text| text.len() >= frame.len()).await, frame);
        }
    }
}

/// Where something takes the streams' `Content-Encoding` away, `Compress` encodes, and holds nothing back.
#[tokio::test]
async fn actix_compression_would_hold_nothing_back() {
    let server = Framework::Actix.serve(App::new(Hub::new())).await;
    for encoding in ["gzip", "deflate", "br"] {
        arrives(&server, "/encoded/events", encoding).await;
    }
}

/// As on actix-web; but it adds an encoding to that of the streams, which the next test is about. Its `deflate` comes
/// without zlib's frame: Chromium takes that, this client does not.
#[tokio::test]
async fn warp_compression_would_hold_nothing_back() {
    let server = Framework::Warp.serve(App::new(Hub::new())).await;
    for (path, encoding) in [("gzip", "gzip"), ("brotli", "br")] {
        let mut answer = http::get(server.addr, &format!("/{path}/events")).await;
        let headers = answer.headers.iter().filter(|(name, _)| name == "content-encoding");
        let encodings: Vec<&str> = headers.map(|(_, value)| value.as_str()).collect();
        assert_eq!(encodings, ["identity", encoding]);
        assert!(!answer.chunk().await.unwrap().starts_with(b":\n"));
        arrives(&server, &format!("/bare/{path}/events"), encoding).await;
    }
}

/// A client that decodes gets each event before the next is published.
async fn arrives(server: &Server, path: &str, encoding: &str) {
    let client = reqwest::Client::builder();
    let client = client.gzip(encoding == "gzip").deflate(encoding == "deflate").brotli(encoding == "br");
    let url = format!("http://{}{path}", server.addr);
    let mut answer = client.build().unwrap().get(url).send().await.unwrap();
    // It takes the field away from what it decodes.
    assert_eq!(answer.headers().get("content-encoding"), None);
    let mut text = String::new();
    let mut read = async |end: &str| {
        while !text.ends_with(end) {
            let chunk = tokio::time::timeout(Duration::from_secs(20), answer.chunk()).await;
            let chunk = chunk.unwrap_or_else(|_| panic!("{path}: never came: {end:.40?}")).unwrap();
            text.push_str(std::str::from_utf8(&chunk.expect("the stream goes on")).unwrap());
        }
    };
    read("\n\n").await;
    for n in 0..EVENTS {
        let id = server.hub.publish("news", data(n)).await.unwrap();
        read(&format!("data: {}\nid: {id}\n\n", data(n))).await;
    }
}

/// No browser takes `identity, gzip` for gzip: it shows what is compressed as it is, and no error.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chromium_reads_nothing_of_a_stream_in_warp_compression() {
    if !clients::available().contains(&Client::Chromium) {
        return;
    }
    let server = Framework::Warp.serve(App::new(Hub::new())).await;
    let browser = Browser::start().await.unwrap();
    for path in ["gzip", "deflate", "brotli"] {
        browser.client().goto(&format!("http://{}/blank", server.addr)).await.unwrap();
        browser.run(&READ.replace("PATH", path)).await;
        browser.wait_for("opened == 3 && text").await;
        for n in 0..EVENTS {
            server.hub.publish("news", data(n)).await.unwrap();
            // Each before the next is published.
            browser.wait_for(&format!("[1, 2].every(n => seen[n] == {})", n + 1)).await;
        }
        // What `fetch` gets is not what was published either.
        let read = browser.run("return [seen, errors, text.includes('30 abc abc')]").await;
        assert_eq!(read, serde_json::json!([[0, EVENTS, EVENTS], 0, false]), "{path}");
    }
    browser.close().await;
}

/// A stream encoded, encoded where it did not say `identity`, and as it is. Not more of them: at most six connections
/// are opened to a server, and the next page needs one.
const READ: &str = "
    window.seen = [0, 0, 0];
    window.opened = window.errors = 0;
    window.text = '';
    ['/PATH/events', '/bare/PATH/events', '/events'].forEach((path, n) => {
        const source = new EventSource(path);
        source.onopen = () => opened++;
        source.onmessage = () => seen[n]++;
        source.onerror = () => errors++;
    });
    fetch('/PATH/events').then(async answer => {
        const decoder = new TextDecoder();
        for await (const chunk of answer.body) {
            text += decoder.decode(chunk, { stream: true });
        }
    });
";

/// The figures in the READMEs of `sse-actix` and `sse-warp`: milliseconds from `publish` to Chromium's `onmessage`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "figures, to be taken with --release on a quiet machine"]
async fn figures() {
    let paths = [
        (Framework::Actix, "/events"),
        (Framework::Actix, "/compressed/events"),
        (Framework::Actix, "/encoded/events"),
        (Framework::Warp, "/events"),
        (Framework::Warp, "/bare/gzip/events"),
        (Framework::Warp, "/bare/deflate/events"),
        (Framework::Warp, "/bare/brotli/events"),
    ];
    let browser = Browser::start().await.unwrap();
    for (framework, path) in paths {
        let server = framework.serve(App::new(Hub::new())).await;
        for size in [20, 600, 5_000] {
            browser.client().goto(&format!("http://{}/blank", server.addr)).await.unwrap();
            browser.run(&TIMES.replace("PATH", path)).await;
            browser.wait_for("opened").await;
            let mut published = Vec::new();
            for _ in 0..=200 {
                published.push(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64() * 1000.0);
                // Text as JSON is: neither all alike nor without any pattern.
                let number = || rand::random_range(0..1000);
                let parts = std::iter::repeat_with(|| format!("{{\"value\":{:03}}},", number()));
                let data: String = parts.take(size / 14 + 1).collect();
                server.hub.publish("news", data).await.unwrap();
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            browser.wait_for("times.length == 201").await;
            let times = browser.run("return times").await;
            let times = times.as_array().unwrap().iter().map(|time| time.as_f64().unwrap());
            let mut delays: Vec<f64> =
                times.zip(published).map(|(seen, published)| seen - published).collect();
            delays.sort_by(f64::total_cmp);
            println!("{framework} {path} {size} bytes: p50 {:.1} p99 {:.1}", delays[100], delays[198]);
        }
    }
    browser.close().await;
}

const TIMES: &str = "
    window.times = [];
    window.opened = false;
    const source = new EventSource('PATH');
    source.onopen = () => opened = true;
    source.onmessage = () => times.push(performance.timeOrigin + performance.now());
";
