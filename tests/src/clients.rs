//! Clients written by others, each reporting the list of events it received.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use eventsource_stream::{EventStreamError, Eventsource as _};
use futures_util::StreamExt as _;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::browser::{self, Browser};
use crate::left_out;

/// A client that the tests run against a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Client {
    /// `EventSource` in Chromium.
    Chromium,
    /// `EventSource` in Firefox.
    Firefox,
    /// `eventsource` from npm.
    EventSource,
    /// `EventSource` of `undici` from npm, which Node.js also ships.
    Undici,
    /// `eventsource-parser` from npm, with a loop around it.
    EventSourceParser,
    /// `@microsoft/fetch-event-source` from npm.
    FetchEventSource,
    /// `httpx-sse` from `PyPI`, with a loop around it.
    HttpxSse,
    /// The crate `eventsource-stream` over `reqwest`, with a loop around it.
    EventsourceStream,
}

impl Client {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Chromium,
        Self::Firefox,
        Self::EventSource,
        Self::Undici,
        Self::EventSourceParser,
        Self::FetchEventSource,
        Self::HttpxSse,
        Self::EventsourceStream,
    ];

    /// The name of its package.
    pub fn name(self) -> &'static str {
        match self {
            Self::Chromium => "chromium",
            Self::Firefox => "firefox",
            Self::EventSource => "eventsource",
            Self::Undici => "undici",
            Self::EventSourceParser => "eventsource-parser",
            Self::FetchEventSource => "fetch-event-source",
            Self::HttpxSse => "httpx-sse",
            Self::EventsourceStream => "eventsource-stream",
        }
    }
}

impl std::fmt::Display for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// An event as the client reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// The event type, `message` when the server named none.
    pub kind: String,
    /// The data.
    pub data: String,
    /// What the client reports as the last event id.
    pub id: String,
}

/// Everything that a client reported.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// The events in the order of arrival.
    pub events: Vec<Received>,
    /// How many connections were opened.
    pub opened: usize,
}

/// What a client is told to do.
#[derive(Debug, Clone, Copy)]
pub struct Task<'a> {
    /// The URL of the stream.
    pub url: &'a str,
    /// Names of events to listen for, besides `message` and `until`.
    pub types: &'a [&'a str],
    /// The name of the event after which the client closes. It is reported too.
    pub until: &'a str,
    /// How long to wait for that event.
    pub timeout: Duration,
    /// Further request headers. Browsers permit none.
    pub headers: &'a [(&'a str, &'a str)],
}

/// Runs `client` until the event `until` and returns the events it reported.
pub async fn collect(
    client: Client,
    url: &str,
    types: &[&str],
    until: &str,
    timeout: Duration,
) -> Result<Vec<Received>, String> {
    let task = Task { url, types, until, timeout, headers: &[] };
    Ok(run(client, task).await?.events)
}

/// Like [`collect`], with request headers and the number of connections.
pub async fn run(client: Client, task: Task<'_>) -> Result<Report, String> {
    match client {
        Client::Chromium | Client::Firefox => in_browser(client, task).await,
        Client::EventSource | Client::Undici | Client::EventSourceParser | Client::FetchEventSource => {
            let mut command = tokio::process::Command::new("node");
            command.arg("--disable-warning=UNDICI-ES").arg(folder().join("client.mjs"));
            script(command, client, task).await
        }
        Client::HttpxSse => {
            let mut command = tokio::process::Command::new(python());
            command.arg(folder().join("client.py"));
            script(command, client, task).await
        }
        Client::EventsourceStream => tokio::time::timeout(task.timeout, eventsource_stream(task))
            .await
            .unwrap_or_else(|_| Err(late(client, task))),
    }
    .map_err(|error| format!("{client}: {error}"))
}

/// The clients that cannot run here, each with one sentence why.
pub fn missing() -> Vec<(Client, String)> {
    // Looked up once: it starts Node.js and Python.
    static MISSING: OnceLock<Vec<(Client, String)>> = OnceLock::new();
    MISSING
        .get_or_init(|| {
            let node = node();
            Client::ALL
                .into_iter()
                .filter_map(|client| {
                    let reason = match client {
                        Client::Chromium => browser::chromedriver().and_then(|_| browser::chromium()).err(),
                        Client::Firefox => browser::geckodriver().and_then(|_| browser::firefox()).err(),
                        Client::EventSource => npm(&node, "eventsource"),
                        Client::Undici => npm(&node, "undici"),
                        Client::EventSourceParser => npm(&node, "eventsource-parser"),
                        Client::FetchEventSource => npm(&node, "@microsoft/fetch-event-source"),
                        Client::HttpxSse => httpx_sse(),
                        Client::EventsourceStream => None,
                    };
                    Some((client, reason?))
                })
                .collect()
        })
        .clone()
}

/// The clients that can run here. The others are named on standard error, once.
///
/// # Panics
///
/// When a client is missing although `SSE_TESTS_REQUIRE_ALL` is `1`.
pub fn available() -> Vec<Client> {
    let missing = missing();
    let reasons: Vec<String> = missing.iter().map(|(client, reason)| format!("{client}: {reason}")).collect();
    left_out("clients", &reasons);
    Client::ALL.into_iter().filter(|client| missing.iter().all(|(other, _)| other != client)).collect()
}

/// Starts one of the two browsers. `None` where it cannot run here, which [`available`] has said then.
///
/// # Panics
///
/// When it does not start, or is missing where [`available`] demands it.
pub async fn browser(client: Client) -> Option<Browser> {
    if !available().contains(&client) {
        return None;
    }
    let browser = match client {
        Client::Firefox => Browser::start_firefox().await,
        _ => Browser::start().await,
    };
    Some(browser.unwrap_or_else(|error| panic!("{client}: {error}")))
}

pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients")
}

pub(crate) fn python() -> PathBuf {
    folder().join(".venv/bin/python")
}

/// Standard output of a program that is expected to succeed.
pub(crate) fn output(program: &Path, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Why Node.js cannot be used, if so.
pub(crate) fn node() -> Option<String> {
    let Some(version) = output(Path::new("node"), &["--version"]) else {
        return Some("Node.js is not installed".to_owned());
    };
    let mut numbers = version.trim_start_matches('v').split('.').map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) if (major, minor) >= (20, 18) => None,
        _ => Some(format!("Node.js {version} is too old, 20.18 or newer is needed")),
    }
}

pub(crate) fn npm(node: &Option<String>, package: &str) -> Option<String> {
    node.clone().or_else(|| {
        let manifest = folder().join("node_modules").join(package).join("package.json");
        (!manifest.is_file()).then(|| format!("the package {package} is not installed in tests/clients"))
    })
}

fn httpx_sse() -> Option<String> {
    output(&python(), &["-c", "import httpx_sse"])
        .is_none()
        .then(|| "the Python environment tests/clients/.venv has no httpx-sse".to_owned())
}

fn late(client: Client, task: Task<'_>) -> String {
    format!("{client} got no \"{}\" event within {:?}", task.until, task.timeout)
}

/// One line or object that a client reported.
fn take(report: &mut Report, value: &Value) -> Result<(), String> {
    if value["open"] == true {
        report.opened += 1;
        return Ok(());
    }
    let text = |key: &str| {
        value[key]
            .as_str()
            .map(str::to_owned)
            .ok_or_else(|| format!("no text \"{key}\" in what it reported: {value}"))
    };
    report.events.push(Received { kind: text("type")?, data: text("data")?, id: text("id")? });
    Ok(())
}

/// Runs one of the scripts in `tests/clients`.
async fn script(
    mut command: tokio::process::Command,
    client: Client,
    task: Task<'_>,
) -> Result<Report, String> {
    command
        .args([client.name(), task.url, "--until", task.until])
        .args(["--types", &task.types.join(",")])
        .args(["--timeout", &task.timeout.as_secs_f64().to_string()])
        // The script ends when this pipe does, also if the test process is killed.
        .arg("--parent-pipe")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    for (name, value) in task.headers {
        command.args(["--header", &format!("{name}: {value}")]);
    }
    let mut child = command.spawn().map_err(|error| format!("did not start: {error}"))?;
    let stdin = child.stdin.take();
    let (Some(stdout), Some(mut stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Err("was started without pipes".to_owned());
    };

    let mut report = Report::default();
    let mut errors = String::new();
    let finished = async {
        let read = async {
            let mut lines = BufReader::new(stdout).lines();
            while let Some(line) = lines.next_line().await.map_err(|e| e.to_string())? {
                let value = serde_json::from_str(&line).map_err(|error| format!("not JSON: {error}"))?;
                take(&mut report, &value)?;
            }
            Ok::<_, String>(())
        };
        // Both must be read: the script would block on a full pipe.
        let (read, _) = tokio::join!(read, stderr.read_to_string(&mut errors));
        read?;
        child.wait().await.map_err(|error| error.to_string())
    };
    // The script keeps the time; this is for one that hangs.
    let status = tokio::time::timeout(task.timeout + Duration::from_secs(15), finished).await;
    drop(stdin);
    match status {
        Err(_) => Err(late(client, task)),
        Ok(Err(error)) => Err(error),
        Ok(Ok(status)) if status.success() => Ok(report),
        Ok(Ok(status)) => Err(format!("{status} after {} events: {}", report.events.len(), errors.trim())),
    }
}

/// Opens `arguments[0]` and collects into `window.received`.
const OPEN: &str = r"
const [url, types, until] = arguments;
const source = new EventSource(url);
const state = Object.assign(window, { source, received: [], done: false, failed: false });
source.onopen = () => state.received.push({ open: true });
source.onerror = () => { state.failed = source.readyState === EventSource.CLOSED && !state.done; };
const take = (event) => {
    if (state.done) return;
    state.received.push({ type: event.type, data: event.data, id: event.lastEventId });
    if (event.type === until) {
        state.done = true;
        source.close();
    }
};
for (const type of new Set(['message', ...types, until])) source.addEventListener(type, take);
";

/// Runs the task in a page of `browser`, which is at `/blank` of the URL's origin afterwards.
pub async fn collect_in(browser: &Browser, task: Task<'_>) -> Result<Report, String> {
    if !task.headers.is_empty() {
        return Err("EventSource takes no request headers".to_owned());
    }
    let mut page = url::Url::parse(task.url).map_err(|error| format!("{}: {error}", task.url))?;
    page.set_path("/blank");
    page.set_query(None);
    page.set_fragment(None);
    let page = page.as_str();
    let client = browser.client();
    let deadline = Instant::now() + task.timeout;
    // Behind a proxy that cuts connections the page itself may need another try.
    while let Err(error) = client.goto(page).await {
        if Instant::now() > deadline {
            return Err(format!("{page}: {error}"));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    client
        .execute(OPEN, vec![json!(task.url), json!(task.types), json!(task.until)])
        .await
        .map_err(|error| error.to_string())?;
    loop {
        let state = client
            .execute("return [window.done, window.failed, window.received.length];", Vec::new())
            .await
            .map_err(|error| error.to_string())?;
        if state[0] == true {
            break;
        }
        if state[1] == true {
            return Err(format!("closed for good after {} reports", state[2]));
        }
        if Instant::now() > deadline {
            return Err(format!("no \"{}\" event within {:?}", task.until, task.timeout));
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    let received =
        client.execute("return window.received;", Vec::new()).await.map_err(|error| error.to_string())?;
    let mut report = Report::default();
    for value in received.as_array().into_iter().flatten() {
        take(&mut report, value)?;
    }
    Ok(report)
}

async fn in_browser(client: Client, task: Task<'_>) -> Result<Report, String> {
    // More browsers at once than this only slow each other down.
    static BROWSERS: Semaphore = Semaphore::const_new(2);
    let _permit = BROWSERS.acquire().await.map_err(|e| e.to_string())?;
    let browser = browser(client).await.ok_or("it is not installed")?;
    let report = collect_in(&browser, task).await;
    browser.close().await;
    report
}

async fn eventsource_stream(task: Task<'_>) -> Result<Report, String> {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
    for (name, value) in task.headers {
        let name = HeaderName::try_from(*name).map_err(|error| error.to_string())?;
        let value = HeaderValue::try_from(*value).map_err(|error| error.to_string())?;
        headers.insert(name, value);
    }
    let http = reqwest::Client::builder()
        .no_proxy()
        .default_headers(headers)
        .build()
        .map_err(|error| error.to_string())?;
    let mut report = Report::default();
    let mut last_event_id = String::new();
    let mut retry = Duration::from_secs(3);
    loop {
        let mut request = http.get(task.url);
        if !last_event_id.is_empty() {
            request = request.header("last-event-id", last_event_id.as_bytes());
        }
        // A request that fails is tried again, like a stream that breaks.
        if let Ok(response) = request.send().await {
            let kind = response.headers().get(CONTENT_TYPE);
            let is_stream = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
            if response.status() != 200 || !is_stream {
                return Err(format!("closed for good: status {}, content type {kind:?}", response.status()));
            }
            report.opened += 1;
            let mut events = response.bytes_stream().eventsource();
            while let Some(event) = events.next().await {
                let event = match event {
                    Ok(event) => event,
                    Err(EventStreamError::Transport(_)) => break,
                    Err(error) => return Err(error.to_string()),
                };
                if !event.id.is_empty() {
                    last_event_id.clone_from(&event.id);
                }
                retry = event.retry.unwrap_or(retry);
                let last = event.event == task.until;
                report.events.push(Received { kind: event.event, data: event.data, id: event.id });
                if last {
                    return Ok(report);
                }
            }
        }
        tokio::time::sleep(retry).await;
    }
}
