//! A nats-server of Debian's package with JetStream, on a free port and with a store of its own; and three as a cluster.

mod cluster;
mod operator;

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpStream,
    time::{sleep, timeout},
};

pub use self::{cluster::Cluster, operator::Operator};
use crate::{addrs::free_addr, left_out, program};

/// Longer than anything that a test waits for.
const PATIENCE: Duration = Duration::from_secs(60);
/// Lines of its log that are shown where a test has failed.
const LAST_WORDS: usize = 100;

/// A nats-server; killed when dropped.
#[derive(Debug)]
pub struct Nats {
    child: Option<Child>,
    addr: SocketAddr,
    folder: TempDir,
}

impl Nats {
    /// Whether it is installed. If not, that is named on standard error, once.
    ///
    /// # Panics
    ///
    /// When it is missing although `SSE_TESTS_REQUIRE_ALL` is `1`.
    pub fn is_available() -> bool {
        let missing: Vec<_> = (path().is_none())
            .then(|| "nats-server: it is not installed (or set NATS_SERVER)".to_owned())
            .into_iter()
            .collect();
        left_out("nats-server", &missing);
        missing.is_empty()
    }

    /// Major and minor version.
    ///
    /// # Panics
    ///
    /// When it does not tell.
    pub fn version() -> (u32, u32) {
        let output =
            Command::new(path().expect("it is installed")).arg("--version").output().expect("it runs");
        let text = String::from_utf8_lossy(&output.stdout);
        let version = text.trim().strip_prefix("nats-server: v").expect("a version");
        let mut numbers = version.split('.').map(|number| number.parse().expect("a number"));
        (numbers.next().expect("a major version"), numbers.next().expect("a minor version"))
    }

    /// One with JetStream.
    pub async fn start() -> Self {
        Self::start_with("jetstream { store_dir: \"STORE\" }").await
    }

    /// One with a configuration, in which `STORE` is its folder.
    pub async fn start_with(configuration: &str) -> Self {
        let mut nats = Self::stopped(configuration, free_addr());
        nats.restart().await;
        nats
    }

    /// One with a configuration and an address, that was never started.
    fn stopped(configuration: &str, addr: SocketAddr) -> Self {
        let nats = Self { child: None, addr, folder: TempDir::new().expect("a folder") };
        nats.configure(configuration);
        nats
    }

    fn configure(&self, configuration: &str) {
        let configuration = configuration.replace("STORE", &self.store().display().to_string());
        fs::write(self.folder.path().join("nats.conf"), configuration).expect("a file");
    }

    /// Gives it another configuration while it runs.
    ///
    /// # Panics
    /// When it does not take it.
    pub async fn reconfigure(&self, configuration: &str) {
        let reloads = || self.log().matches("Reloaded server configuration").count();
        let before = reloads();
        self.configure(configuration);
        self.signal(Signal::HUP);
        let deadline = Instant::now() + PATIENCE;
        while reloads() == before {
            assert!(Instant::now() < deadline, "it is not taken: {}", self.log());
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Whether it was started and not killed.
    pub fn runs(&self) -> bool {
        self.child.is_some()
    }

    /// Starts it again, on the same port and with what its store holds.
    ///
    /// # Panics
    /// When it runs.
    pub async fn restart(&mut self) {
        assert!(self.child.is_none(), "it runs");
        let log = fs::File::options().create(true).append(true).open(self.folder.path().join("log"));
        let log = log.expect("a file");
        let child = Command::new(path().expect("it is installed"))
            .arg("--config")
            .arg(self.folder.path().join("nats.conf"))
            .args(["--addr", &self.addr.ip().to_string(), "--port", &self.addr.port().to_string()])
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file"))
            .stderr(log)
            .spawn()
            .expect("nats-server starts");
        self.child = Some(child);
        let deadline = Instant::now() + PATIENCE;
        while !self.greets().await {
            let ended = self.child.as_mut().map(|child| child.try_wait().expect("a child"));
            assert!(matches!(ended, Some(None)), "nats-server has ended: {}", self.log());
            assert!(Instant::now() < deadline, "nats-server is not ready: {}", self.log());
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Whether it says who it is, which it does when JetStream has started.
    async fn greets(&self) -> bool {
        let Ok(stream) = TcpStream::connect(self.addr).await else { return false };
        let mut line = String::new();
        let read = timeout(Duration::from_secs(5), BufReader::new(stream).read_line(&mut line)).await;
        matches!(read, Ok(Ok(_))) && line.starts_with("INFO ")
    }

    /// `nats://127.…:…`
    pub fn url(&self) -> String {
        format!("nats://{}", self.addr)
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Kills it at once.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("it runs");
            child.wait().expect("it runs");
        }
    }

    /// Asks it to end, as whoever stops a machine does, and waits until it has.
    pub fn terminate(&mut self) {
        if self.child.is_some() {
            self.signal(Signal::TERM);
        }
        if let Some(mut child) = self.child.take() {
            child.wait().expect("it runs");
        }
    }

    /// It does nothing more, and its connections stay open.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
        let id = self.child.as_ref().expect("it runs").id();
        let deadline = Instant::now() + PATIENCE;
        // Its threads stop one by one.
        let is_stopped = || {
            let tasks = fs::read_dir(format!("/proc/{id}/task")).expect("it runs");
            tasks.flatten().all(|task| {
                let status = fs::read_to_string(task.path().join("status")).unwrap_or_default();
                status.contains("State:\tT")
            })
        };
        while !is_stopped() {
            assert!(Instant::now() < deadline, "it does not stop");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// It goes on.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let id = self.child.as_ref().expect("it runs").id();
        let pid = Pid::from_raw(id.try_into().expect("a process id")).expect("a process id");
        kill_process(pid, signal).expect("it runs");
    }

    /// What is stored, as it is now. It must not run.
    pub fn copy_store(&self) -> TempDir {
        assert!(self.child.is_none(), "it runs");
        let copy = TempDir::new().expect("a folder");
        copy_folder(&self.store(), copy.path());
        copy
    }

    /// What is on its disk at one moment. It must be frozen.
    pub fn snapshot_store(&self) -> TempDir {
        let copy = TempDir::new().expect("a folder");
        copy_folder(&self.store(), copy.path());
        copy
    }

    /// Puts what was stored once in the place of what is stored now; nothing at all, for `None`. It must not run.
    pub fn replace_store(&self, copy: Option<&TempDir>) {
        assert!(self.child.is_none(), "it runs");
        fs::remove_dir_all(self.store()).expect("a store");
        if let Some(copy) = copy {
            copy_folder(copy.path(), &self.store());
        }
    }

    fn store(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    /// What it has said.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<_> = log.lines().collect();
            let last = &lines[lines.len().saturating_sub(LAST_WORDS)..];
            eprintln!("the last that the nats-server at {} has said:\n{}", self.addr, last.join("\n"));
        }
    }
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("a file");
        }
    }
}

fn path() -> Option<PathBuf> {
    // On Debian only root has /usr/sbin on the path.
    program("NATS_SERVER", &["nats-server", "/usr/sbin/nats-server"])
}
