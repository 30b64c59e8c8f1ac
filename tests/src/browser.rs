//! Headless Chromium, driven through chromedriver.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use fantoccini::{Client, ClientBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::oneshot;

use crate::program;

const START_TIMEOUT: Duration = Duration::from_secs(30);

const ARGS: &[&str] = &[
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    // Makes the browser end when chromedriver does, however that happens.
    "--remote-debugging-pipe",
];

/// Starts chromedriver and waits until standard input is closed, which the kernel does even when
/// the test process is killed. Then ends everything that carries the profile's name in its
/// environment or command line, which is chromedriver and all that it started.
const SUPERVISOR: &str = r#"
profile=$SSE_TESTS_PROFILE
"$@" </dev/null &
unset SSE_TESTS_PROFILE
read -r _
rounds=0
left=1
while [ "$left" = 1 ] && [ "$rounds" -lt 100 ]; do
    rounds=$((rounds + 1))
    left=0
    for file in $(printf '%s' "$profile" | grep -lsFf - /proc/[0-9]*/environ /proc/[0-9]*/cmdline); do
        pid=${file#/proc/}
        pid=${pid%/*}
        if [ "$pid" != "$$" ] && kill -KILL "$pid" 2>/dev/null; then
            left=1
        fi
    done
    if [ "$left" = 1 ]; then
        sleep 0.02
    fi
done
rm -rf "$profile"
"#;

/// A browser of its own with an empty profile. Everything it started ends when it is dropped.
#[derive(Debug)]
pub struct Browser {
    client: Client,
    // Dropped after the client.
    _driver: Driver,
}

impl Browser {
    /// Starts chromedriver and a headless browser.
    pub async fn start() -> Result<Self, String> {
        Self::start_with(&[]).await
    }

    /// Like [`Browser::start`], with more command line switches for the browser.
    pub async fn start_with(args: &[&str]) -> Result<Self, String> {
        let chromium = chromium()?;
        let (driver, port) = Driver::start(&chromedriver()?).await?;
        let profile = format!("--user-data-dir={}", driver.profile.path().display());
        let args: Vec<&str> = ARGS.iter().chain(args).copied().chain([&*profile]).collect();
        let capabilities = json!({
            "browserName": "chrome",
            "goog:chromeOptions": { "binary": chromium, "args": args },
        });
        let serde_json::Value::Object(capabilities) = capabilities else {
            unreachable!("written as an object above")
        };
        let mut builder = ClientBuilder::new(HttpConnector::new());
        builder.capabilities(capabilities);
        let address = format!("http://127.0.0.1:{port}");
        let client = tokio::time::timeout(START_TIMEOUT, builder.connect(&address))
            .await
            .map_err(|_| format!("the browser did not start within {START_TIMEOUT:?}"))?
            .map_err(|error| format!("the browser did not start: {error}"))?;
        Ok(Self { client, _driver: driver })
    }

    /// The WebDriver client of this browser.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Runs a script in the present page; what it returns.
    pub async fn run(&self, script: &str) -> serde_json::Value {
        self.client().execute(script, Vec::new()).await.unwrap_or_else(|error| panic!("{script}: {error}"))
    }

    /// Waits until an expression is true in the present page, for half a minute.
    pub async fn wait_for(&self, condition: &str) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
        while self.run(&format!("return Boolean({condition})")).await != true {
            assert!(tokio::time::Instant::now() < deadline, "never true: {condition}");
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    /// Ends the browser the regular way and waits until everything is gone.
    pub async fn close(self) {
        let Self { client, _driver: driver } = self;
        // Dropping the driver ends a browser that does not answer.
        let _ = tokio::time::timeout(Duration::from_secs(5), client.close()).await;
        let _ = tokio::task::spawn_blocking(move || drop(driver)).await;
    }
}

/// The chromedriver program: `$CHROMEDRIVER`, or the first one on the path.
pub fn chromedriver() -> Result<PathBuf, String> {
    program("CHROMEDRIVER", &["chromedriver"])
        .ok_or_else(|| "chromedriver is not installed (or set CHROMEDRIVER)".to_owned())
}

/// The browser program: `$CHROMIUM`, or the first one on the path.
pub fn chromium() -> Result<PathBuf, String> {
    let names = ["chromium", "chromium-browser", "google-chrome", "/usr/bin/chromium"];
    program("CHROMIUM", &names).ok_or_else(|| "Chromium is not installed (or set CHROMIUM)".to_owned())
}

/// A running chromedriver under its supervisor.
#[derive(Debug)]
struct Driver {
    supervisor: Child,
    // Closing it tells the supervisor to end everything.
    stdin: Option<ChildStdin>,
    profile: TempDir,
}

impl Driver {
    async fn start(program: &Path) -> Result<(Self, u16), String> {
        use std::os::unix::process::CommandExt as _;

        let profile = tempfile::Builder::new()
            .prefix("sse-tests-chromium-")
            .tempdir()
            .map_err(|error| format!("no folder for the browser profile: {error}"))?;
        let mut supervisor = Command::new("sh")
            .args(["-c", SUPERVISOR, "sh"])
            .arg(program)
            // chromedriver picks a free port and prints it.
            .arg("--port=0")
            .env("SSE_TESTS_PROFILE", profile.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // Ctrl-C must not end the supervisor before it has cleaned up.
            .process_group(0)
            .spawn()
            .map_err(|error| format!("chromedriver did not start: {error}"))?;
        let stdin = supervisor.stdin.take();
        let stdout = supervisor.stdout.take();
        let driver = Self { supervisor, stdin, profile };
        let (sender, port) = oneshot::channel();
        if let Some(stdout) = stdout {
            // Reads to the end, as chromedriver would block on a full pipe. Ends with chromedriver.
            std::thread::spawn(move || {
                let mut stdout = BufReader::new(stdout);
                let mut line = String::new();
                while matches!(stdout.read_line(&mut line), Ok(read) if read > 0) {
                    if let Some(port) = port_in(&line) {
                        let _ = sender.send(port);
                        break;
                    }
                    line.clear();
                }
                let mut rest = [0; 4096];
                while matches!(stdout.read(&mut rest), Ok(read) if read > 0) {}
            });
        }
        let port = tokio::time::timeout(START_TIMEOUT, port)
            .await
            .map_err(|_| format!("chromedriver named no port within {START_TIMEOUT:?}"))?
            .map_err(|_| "chromedriver ended before it named its port".to_owned())?;
        Ok((driver, port))
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let deadline = Instant::now() + Duration::from_secs(5);
        while matches!(self.supervisor.try_wait(), Ok(None)) {
            if Instant::now() > deadline {
                let _ = self.supervisor.kill();
                let _ = self.supervisor.wait();
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// The port in "ChromeDriver was started successfully on port 12345."
fn port_in(line: &str) -> Option<u16> {
    let (_, port) = line.split_once("started successfully on port ")?;
    port.trim_end().trim_end_matches('.').parse().ok()
}
