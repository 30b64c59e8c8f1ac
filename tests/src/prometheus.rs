//! A Prometheus of Debian's package, which scrapes servers of the tests.

use std::{
    io::Write as _,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    process::{Child, Command},
    time::sleep,
};

use crate::{addrs::free_addr, left_out, program};

/// Longer than anything that a test waits for.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running Prometheus; killed when dropped.
#[derive(Debug)]
pub struct Prometheus {
    // Kept for its end.
    _child: Child,
    addr: SocketAddr,
    client: reqwest::Client,
    // Holds what it has stored.
    _folder: TempDir,
}

impl Prometheus {
    /// Whether it and `promtool` are installed. What is not is named on standard error, once.
    ///
    /// # Panics
    ///
    /// When one is missing although `SSE_TESTS_REQUIRE_ALL` is `1`.
    pub fn is_available() -> bool {
        let missing: Vec<String> = ["prometheus", "promtool"]
            .into_iter()
            .filter(|name| path(name).is_none())
            .map(|name| format!("{name}: it is not installed (or set {})", name.to_ascii_uppercase()))
            .collect();
        left_out("Prometheus", &missing);
        missing.is_empty()
    }

    /// Starts one that scrapes `/metrics` of these every second.
    pub async fn start(targets: &[SocketAddr]) -> Self {
        let folder = TempDir::new().expect("a folder");
        let file = folder.path().join("prometheus.yml");
        let targets: Vec<String> = targets.iter().map(|target| format!("'{target}'")).collect();
        let configuration = format!(
            "global: {{ scrape_interval: 1s, scrape_timeout: 1s }}\nscrape_configs:\n  - job_name: sse\n    \
             static_configs: [{{ targets: [{}] }}]\n",
            targets.join(", ")
        );
        std::fs::write(&file, configuration).expect("a file");
        promtool(&["check", "config", &file.display().to_string()], "").await.expect("a right configuration");
        let addr = free_addr();
        let log = std::fs::File::create(folder.path().join("log")).expect("a file");
        let child = Command::new(path("prometheus").expect("it is installed"))
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address={addr}"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file"))
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .expect("Prometheus starts");
        let client = reqwest::Client::builder().timeout(PATIENCE).build().expect("a client");
        let prometheus = Self { _child: child, addr, client, _folder: folder };
        let deadline = Instant::now() + PATIENCE;
        while prometheus.ask("vector(1)").await.is_err() {
            assert!(Instant::now() < deadline, "Prometheus is not ready: {}", prometheus.log());
            sleep(Duration::from_millis(100)).await;
        }
        prometheus
    }

    /// The values that an expression has at this moment, one for each series.
    ///
    /// # Errors
    /// What Prometheus has against it.
    pub async fn ask(&self, expression: &str) -> Result<Vec<f64>, String> {
        let mut url = url::Url::parse(&format!("http://{}/api/v1/query", self.addr)).expect("a URL");
        url.query_pairs_mut().append_pair("query", expression);
        let answer = self.client.get(url).send().await.map_err(|error| error.to_string())?;
        let text = answer.text().await.map_err(|error| error.to_string())?;
        let answer: Value = serde_json::from_str(&text).map_err(|_| text)?;
        let result = answer["data"]["result"].as_array().ok_or_else(|| answer.to_string())?;
        let scalar = (answer["data"]["resultType"] == "scalar").then(|| &result[1]);
        let values = result.iter().map(|series| &series["value"][1]);
        let values: Vec<_> = scalar.map_or_else(|| values.collect(), |scalar| vec![scalar]);
        let number = |value: &Value| value.as_str().and_then(|text| text.parse().ok());
        Ok(values.into_iter().map(|value| number(value).expect("a number")).collect())
    }

    /// Asks until there are values, each of them a number.
    ///
    /// # Panics
    /// When there are none for a minute.
    pub async fn until_answered(&self, expression: &str) -> Vec<f64> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let values = self.ask(expression).await.unwrap_or_else(|error| panic!("{expression}: {error}"));
            if !values.is_empty() && values.iter().all(|value| value.is_finite()) {
                return values;
            }
            assert!(Instant::now() < deadline, "{expression}: {values:?}");
            sleep(Duration::from_millis(250)).await;
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self._folder.path().join("log")).unwrap_or_default()
    }
}

/// Runs `promtool`; what it has to say.
///
/// # Errors
/// The same, where it finds fault.
pub async fn promtool(arguments: &[&str], input: &str) -> Result<String, String> {
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(input.as_bytes()).expect("a file");
    std::io::Seek::rewind(&mut file).expect("a file");
    let output = Command::new(path("promtool").expect("it is installed"))
        .args(arguments)
        .stdin(file)
        .output()
        .await
        .expect("promtool runs");
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    if output.status.success() { Ok(text) } else { Err(text) }
}

fn path(name: &str) -> Option<PathBuf> {
    program(&name.to_ascii_uppercase(), &[name]).filter(|path| Path::new(path).is_file())
}
