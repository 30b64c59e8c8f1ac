//! A link that carries nothing for a while and then does again: what browsers have afterwards, and how soon. In network
//! namespaces, where they can be had: the browser in one, the server in another, and between them a router that stops
//! forwarding, so that neither end is told.
//!
//! By default the link is away for some seconds. `SSE_OUTAGE=40,120 cargo test -p sse-tests --test outage -- --nocapture`
//! tries these times, on each framework, with the times that servers and pages have by default.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failure is a failed test")]

use std::{
    process::{Output, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use sse_core::{Event, EventName, Hub, StreamOptions};
use sse_tests::{
    browser::Browser,
    clients::{self, Client},
    left_out,
    servers::{App, Framework},
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::{sleep, timeout},
};

/// Tells the tests that run in a namespace within which framework, and which browser, they are about.
const ABOUT: &str = "SSE_TESTS_OUTAGE";

/// For how long the link is away, in seconds; a list.
const LONG: &str = "SSE_OUTAGE";

/// How soon a page must be live again when the link is back.
const LIVE_WITHIN: Duration = Duration::from_secs(20);

/// After which time a server gives up who acknowledges nothing, by default.
const USER_TIMEOUT: Duration = Duration::from_secs(90);

sse_tests::on_each_framework! {
    chromium_has_everything_afterwards
    firefox_has_everything_afterwards
}

async fn chromium_has_everything_afterwards(framework: Framework) {
    in_a_namespace(framework, Client::Chromium).await;
}

async fn firefox_has_everything_afterwards(framework: Framework) {
    in_a_namespace(framework, Client::Firefox).await;
}

/// This very program again, in a namespace of its own.
async fn in_a_namespace(framework: Framework, client: Client) {
    if !clients::available().contains(&client) {
        return;
    }
    let unshare = |program: &std::path::Path, args: &[&str]| {
        let mut command = Command::new("unshare");
        command.arg("--net").arg("--kill-child").arg(program).args(args);
        command.env(ABOUT, format!("{} {}", framework.name(), client.name()));
        command
    };
    let probe = "ip link add near type veth peer name far && nsenter --version && test -w /proc/sys/net/ipv4/ip_forward";
    if !unshare("sh".as_ref(), &["-c", probe]).output().await.is_ok_and(|output| output.status.success()) {
        let reason =
            "links that are away: no network namespace can be had (root, `unshare`, `nsenter`, `ip`)";
        left_out("network namespaces", &[reason.to_owned()]);
        return;
    }
    let program = std::env::current_exe().unwrap();
    let mut inner = unshare(&program, &["within_a_namespace", "--exact", "--ignored", "--nocapture"]);
    let limit = Duration::from_secs(120) + 2 * outages().iter().sum::<Duration>();
    let output =
        timeout(limit, inner.kill_on_drop(true).output()).await.expect("it comes to an end").unwrap();
    let text = [&output.stdout[..], &output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    assert!(output.status.success() && text.contains("live again"), "{text}");
    text.lines().filter(|line| line.contains("live again")).for_each(|line| println!("{line}"));
}

fn outages() -> Vec<Duration> {
    let long = std::env::var(LONG).unwrap_or_else(|_| "6".to_owned());
    long.split(',').map(|seconds| Duration::from_secs(seconds.trim().parse().expect(LONG))).collect()
}

fn is_long() -> bool {
    std::env::var_os(LONG).is_some()
}

async fn run(program: &str, args: &[&str]) -> Output {
    let output = Command::new(program).args(args).output().await.unwrap();
    assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// Another host: a namespace, as long as this lives.
struct Host {
    _process: Child,
    pid: String,
}

impl Host {
    async fn new() -> Self {
        let process =
            Command::new("unshare").args(["--net", "sleep", "1000"]).kill_on_drop(true).spawn().unwrap();
        let pid = process.id().unwrap().to_string();
        let here = std::fs::read_link("/proc/self/ns/net").unwrap();
        while std::fs::read_link(format!("/proc/{pid}/ns/net")).unwrap() == here {
            sleep(Duration::from_millis(10)).await;
        }
        Self { _process: process, pid }
    }

    async fn run(&self, command: &str) {
        run("nsenter", &["-t", &self.pid, "-n", "sh", "-c", command]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "`in_a_namespace` runs it, in a namespace"]
async fn within_a_namespace() {
    let Ok(about) = std::env::var(ABOUT) else {
        return;
    };
    let (router, far) = (Host::new().await, Host::new().await);
    run("ip", &["link", "set", "lo", "up"]).await;
    run("ip", &["link", "add", "near", "type", "veth", "peer", "name", "left", "netns", &router.pid]).await;
    run("ip", &["addr", "add", "10.98.1.2/24", "dev", "near"]).await;
    run("ip", &["link", "set", "near", "up"]).await;
    router
        .run(&format!(
            "ip addr add 10.98.1.1/24 dev left && ip link set left up
             ip link add right type veth peer name far netns {} && ip addr add 10.98.2.1/24 dev right && ip link set right up
             echo 1 > /proc/sys/net/ipv4/ip_forward",
            far.pid
        ))
        .await;
    run("ip", &["route", "add", "default", "via", "10.98.1.1"]).await;
    far.run(
        "ip link set lo up; ip addr add 10.98.2.2/24 dev far && ip link set far up && ip route add default via 10.98.2.1",
    )
    .await;

    let program = std::env::current_exe().unwrap();
    let mut server = Command::new("nsenter")
        .args(["-t", &far.pid, "-n"])
        .arg(program)
        .args(["at_the_far_end", "--exact", "--ignored", "--nocapture"])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
    let url = loop {
        let line = lines.next_line().await.unwrap().expect("the server has come to an end");
        if let Some((_, url)) = line.split_once("serves ") {
            break url.to_owned();
        }
    };
    let client = Client::ALL.into_iter().find(|client| about.ends_with(client.name())).unwrap();
    let browser = clients::browser(client).await.expect("there was one");
    browser.client().goto(&format!("{url}/blank")).await.unwrap();
    browser.run(&page()).await;
    for reader in READERS {
        browser.wait_for(&format!("window.seen.{reader}.length > 2")).await;
    }
    for away in outages() {
        router.run("echo 0 > /proc/sys/net/ipv4/ip_forward").await;
        sleep(Duration::from_secs(1)).await;
        let before = counts(&browser).await;
        sleep(away).await;
        assert_eq!(counts(&browser).await, before, "the link is there");
        router.run("echo 1 > /proc/sys/net/ipv4/ip_forward").await;
        let back = Instant::now();
        let mut live = [None; READERS.len()];
        while back.elapsed() < LIVE_WITHIN && live.contains(&None) {
            let now = counts(&browser).await;
            for (n, live) in live.iter_mut().enumerate() {
                // Not the bytes that were under way alone.
                if live.is_none() && now[n] > before[n] + (away.as_millis() / EVERY.as_millis()) as u64 {
                    *live = Some(back.elapsed());
                }
            }
            sleep(Duration::from_millis(100)).await;
        }
        let text = live
            .map(|live| live.map_or_else(|| "not".to_owned(), |live| format!("{:.1} s", live.as_secs_f64())));
        println!("{about}: away for {} s, live again after {READERS:?} = {text:?}", away.as_secs());
        for (n, reader) in READERS.iter().enumerate() {
            // Without a watchdog a page does not notice what the server has given up.
            let must = *reader != "plain" || away < USER_TIMEOUT;
            assert!(live[n].is_some() || !must, "{about}, away for {away:?}: {reader} is not live again");
        }
    }
    for reader in READERS {
        let numbers = browser.run(&format!("return window.seen.{reader}")).await;
        let numbers: Vec<u64> = numbers.as_array().unwrap().iter().filter_map(Value::as_u64).collect();
        let expected: Vec<u64> = (numbers[0]..numbers[0] + numbers.len() as u64).collect();
        assert_eq!(numbers, expected, "{reader}: something is missing or has come twice");
    }
    browser.close().await;
}

async fn counts(browser: &Browser) -> [u64; READERS.len()] {
    let counts =
        browser.run("return ['plain', 'watched', 'fetched'].map(name => window.seen[name].length)").await;
    let counts: Vec<u64> = counts.as_array().unwrap().iter().filter_map(Value::as_u64).collect();
    counts.try_into().unwrap()
}

/// A native `EventSource` alone, one with the watchdog of the documents, and `fetch` with the same.
const READERS: [&str; 3] = ["plain", "watched", "fetched"];

/// How often something is published.
const EVERY: Duration = Duration::from_millis(500);

fn page() -> String {
    let text = include_str!("../../docs/production.md");
    let recipe = text.split_once("```js\n").and_then(|(_, code)| code.split_once("```")).expect("code").0;
    let silence = if is_long() { 40_000 } else { 3_000 };
    format!(
        "{recipe}
         const seen = window.seen = {{ plain: [], watched: [], fetched: [] }};
         const plain = window.plain = new EventSource('/events');
         plain.onmessage = event => seen.plain.push(Number(event.data));
         watch('/events', {{ message: event => seen.watched.push(Number(event.data)) }}, {silence});
         (async () => {{
             for (let last = ''; ; await new Promise(resolve => setTimeout(resolve, 500))) {{
                 const abort = new AbortController();
                 let dog;
                 const heard = () => {{ clearTimeout(dog); dog = setTimeout(() => abort.abort(), {silence}); }};
                 try {{
                     heard();
                     const headers = last ? {{ 'Last-Event-ID': last }} : {{}};
                     const answer = await fetch('/events', {{ headers, signal: abort.signal, cache: 'no-store' }});
                     const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
                     for (let rest = ''; ;) {{
                         const {{ value, done }} = await reader.read();
                         if (done) break;
                         heard();
                         const blocks = (rest + value).split('\\n\\n');
                         rest = blocks.pop();
                         for (const block of blocks) {{
                             const field = name => block.match(new RegExp(`^${{name}}: (.*)$`, 'm'))?.[1];
                             last = field('id') ?? last;
                             if (!field('event')) seen.fetched.push(Number(field('data')));
                         }}
                     }}
                 }} catch {{}} finally {{ clearTimeout(dog); }}
             }}
         }})();"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "`within_a_namespace` runs it, in another namespace"]
async fn at_the_far_end() {
    let Ok(about) = std::env::var(ABOUT) else {
        return;
    };
    let framework = Framework::ALL.into_iter().find(|other| about.starts_with(other.name())).unwrap();
    let ping = Event::new("{}").named(EventName::from_static("ping"));
    let mut options = StreamOptions::new().keep_alive_event(ping);
    if !is_long() {
        options = options.keep_alive(Duration::from_secs(1));
    }
    let hub = Hub::builder().stream_options(options).build();
    let server = framework.serve(App { address: [10, 98, 2, 2].into(), ..App::new(hub) }).await;
    println!("serves http://{}", server.addr);
    for n in 0_u64.. {
        server.hub.publish("news", json!(n).to_string()).await.unwrap();
        sleep(EVERY).await;
    }
}
