//! Headless Chromium and Firefox, driven through chromedriver and geckodriver.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use fantoccini::{Client, ClientBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::oneshot;

use crate::program;

const START_TIMEOUT: Duration = Duration::from_secs(30);

/// How often a driver is started at the most.
const ATTEMPTS: usize = 3;

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

/// Starts the driver and waits until standard input is closed, which the kernel does even when
/// the test process is killed. Then ends everything that carries the profile's name in its
/// environment or command line, which is the driver and all that it started.
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
    /// Starts chromedriver and a headless Chromium.
    pub async fn start() -> Result<Self, String> {
        Self::start_with(&[]).await
    }

    /// Like [`Browser::start`], with more command line switches for the browser.
    pub async fn start_with(args: &[&str]) -> Result<Self, String> {
        let chromium = chromium()?;
        let driver = Driver::start(&chromedriver()?, |_| vec!["--port=0".into()]).await?;
        let profile = format!("--user-data-dir={}", driver.profile.path().display());
        let args: Vec<&str> = ARGS.iter().chain(args).copied().chain([&*profile]).collect();
        let capabilities = json!({
            "browserName": "chrome",
            "goog:chromeOptions": { "binary": chromium, "args": args },
        });
        Self::connect(driver, capabilities).await
    }

    /// Starts geckodriver and a headless Firefox.
    pub async fn start_firefox() -> Result<Self, String> {
        Self::start_firefox_with(&json!({})).await
    }

    /// Like [`Browser::start_firefox`], with settings as `about:config` names them.
    pub async fn start_firefox_with(settings: &Value) -> Result<Self, String> {
        let firefox = firefox()?;
        let driver = Driver::start(&geckodriver()?, |profile| {
            let args = ["--port=0", "--websocket-port=0", "--profile-root"].map(OsString::from);
            args.into_iter().chain([profile.into()]).collect()
        })
        .await?;
        let capabilities = json!({
            "browserName": "firefox",
            "moz:firefoxOptions": { "binary": firefox, "args": ["-headless"], "prefs": settings },
        });
        Self::connect(driver, capabilities).await
    }

    async fn connect(driver: Driver, capabilities: Value) -> Result<Self, String> {
        let Value::Object(capabilities) = capabilities else { unreachable!("written as an object above") };
        let mut builder = ClientBuilder::new(HttpConnector::new());
        builder.capabilities(capabilities);
        let address = format!("http://127.0.0.1:{}", driver.port);
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
    pub async fn run(&self, script: &str) -> Value {
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

/// The geckodriver program: `$GECKODRIVER`, the one that `tests/run` has built, or the first one on the path.
pub fn geckodriver() -> Result<PathBuf, String> {
    let built = concat!(env!("CARGO_MANIFEST_DIR"), "/clients/.geckodriver/bin/geckodriver");
    program("GECKODRIVER", &[built, "geckodriver"])
        .ok_or_else(|| "geckodriver is not installed (or set GECKODRIVER)".to_owned())
}

/// The browser program: `$FIREFOX`, or the first one on the path.
pub fn firefox() -> Result<PathBuf, String> {
    program("FIREFOX", &["firefox-esr", "firefox"])
        .ok_or_else(|| "Firefox is not installed (or set FIREFOX)".to_owned())
}

/// A running chromedriver or geckodriver under its supervisor.
#[derive(Debug)]
struct Driver {
    supervisor: Child,
    // Closing it tells the supervisor to end everything.
    stdin: Option<ChildStdin>,
    profile: TempDir,
    port: u16,
}

impl Driver {
    /// Starts the program with the arguments that it takes for this folder, on a port that it picks and prints.
    ///
    /// One that has nothing to say is started anew: it is rare, and nothing of ours.
    async fn start(program: &Path, args: impl Fn(&Path) -> Vec<OsString>) -> Result<Self, String> {
        let mut started = Self::start_once(program, &args).await;
        for _ in 1..ATTEMPTS {
            if let Err(error) = &started {
                eprintln!("{}: {error}; it is started anew", program.display());
                started = Self::start_once(program, &args).await;
            }
        }
        started
    }

    async fn start_once(program: &Path, args: impl Fn(&Path) -> Vec<OsString>) -> Result<Self, String> {
        use std::os::unix::process::CommandExt as _;

        let profile = tempfile::Builder::new()
            .prefix("sse-tests-browser-")
            .tempdir()
            .map_err(|error| format!("no folder for the browser profile: {error}"))?;
        let mut supervisor = Command::new("sh")
            .args(["-c", SUPERVISOR, "sh"])
            .arg(program)
            .args(args(profile.path()))
            .env("SSE_TESTS_PROFILE", profile.path())
            // Where Firefox keeps what is not in its profile.
            .env("HOME", profile.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // Ctrl-C must not end the supervisor before it has cleaned up.
            .process_group(0)
            .spawn()
            .map_err(|error| format!("the driver did not start: {error}"))?;
        let stdin = supervisor.stdin.take();
        let stdout = supervisor.stdout.take();
        let mut driver = Self { supervisor, stdin, profile, port: 0 };
        let (sender, port) = oneshot::channel();
        if let Some(stdout) = stdout {
            // Reads to the end, as the driver would block on a full pipe. Ends with the driver.
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
        driver.port = tokio::time::timeout(START_TIMEOUT, port)
            .await
            .map_err(|_| format!("the driver named no port within {START_TIMEOUT:?}"))?
            .map_err(|_| "the driver ended before it named its port".to_owned())?;
        Ok(driver)
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

/// The port in "ChromeDriver was started successfully on port 12345." and "Listening on 127.0.0.1:12345".
fn port_in(line: &str) -> Option<u16> {
    let (_, port) = ["started successfully on port ", "Listening on 127.0.0.1:"]
        .iter()
        .find_map(|before| line.split_once(before))?;
    port.trim_end().trim_end_matches('.').parse().ok()
}
