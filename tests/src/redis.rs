//! A Redis of Debian's package, with a folder of its own.

use std::{
    net::SocketAddr,
    process::Stdio,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, ChildStdin, Command},
    time::{sleep, timeout},
};

use crate::{addrs::free_addr, left_out, program};

/// Longer than anything that a test waits for.
const PATIENCE: Duration = Duration::from_secs(30);

/// Tells the server's process, and ends it when standard input is closed, which the kernel does even when the test
/// process is killed.
const SUPERVISOR: &str = r#"
"$@" </dev/null >>log 2>&1 &
echo $!
read -r _
kill -KILL $!
wait
"#;

/// A Redis, running or not; ended when dropped. What it has stored is in a folder that goes with it.
#[derive(Debug)]
pub struct Redis {
    options: Vec<String>,
    addr: SocketAddr,
    running: Option<Running>,
    folder: TempDir,
}

#[derive(Debug)]
struct Running {
    supervisor: Child,
    // Closing it tells the supervisor to end the server.
    stdin: Option<ChildStdin>,
    pid: Pid,
}

impl Redis {
    /// Whether it is installed. What is not is named on standard error, once.
    ///
    /// # Panics
    ///
    /// When it is missing although `SSE_TESTS_REQUIRE_ALL` is `1`.
    pub fn is_available() -> bool {
        let missing: Vec<String> = ["redis-server", "redis-cli"]
            .into_iter()
            .filter(|name| path(name).is_none())
            .map(|name| format!("{name}: it is not installed (or set {})", variable(name)))
            .collect();
        left_out("Redis", &missing);
        missing.is_empty()
    }

    /// Starts one that stores every write at once.
    pub async fn start() -> Self {
        Self::start_with(&["--appendonly", "yes", "--appendfsync", "always"]).await
    }

    /// Starts one with these options.
    pub async fn start_with(options: &[&str]) -> Self {
        Self::start_at(free_addr(), options).await
    }

    /// The same, at this address.
    pub async fn start_at(addr: SocketAddr, options: &[&str]) -> Self {
        let folder = tempfile::Builder::new().prefix("sse-tests-redis-").tempdir().expect("a folder");
        let options = options.iter().map(ToString::to_string).collect();
        let mut redis = Self { options, addr, running: None, folder };
        redis.run().await;
        redis
    }

    /// Starts one that copies another.
    pub async fn replica_of(other: &Self) -> Self {
        let (host, port) = (other.addr.ip().to_string(), other.addr.port().to_string());
        let replica = Self::start_with(&["--replicaof", &format!("{host} {port}")]).await;
        replica.until("INFO replication", |info| info.contains("master_link_status:up")).await;
        replica
    }

    /// Starts a sentinel, which watches this one under this name and soon gives it up.
    pub async fn sentinel(master: &Self, name: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("sse-tests-redis-").tempdir().expect("a folder");
        let (ip, port) = (master.addr.ip(), master.addr.port());
        let rules = format!(
            "sentinel monitor {name} {ip} {port} 1\nsentinel down-after-milliseconds {name} 500\n\
             sentinel failover-timeout {name} 5000\n"
        );
        std::fs::write(folder.path().join("sentinel.conf"), rules).expect("a file");
        let options = vec!["--sentinel".into()];
        let mut sentinel = Self { options, addr: free_addr(), running: None, folder };
        sentinel.run().await;
        sentinel
    }

    /// Where it listens, or did.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its address as a URL.
    pub fn url(&self) -> String {
        format!("redis://{}", self.addr)
    }

    /// Starts it again, with what it has stored.
    pub async fn run(&mut self) {
        assert!(self.running.is_none(), "it is running");
        let file = self.folder.path().join("sentinel.conf");
        let mut supervisor = Command::new("sh")
            .args(["-c", SUPERVISOR, "sh"])
            .arg(path("redis-server").expect("it is installed"))
            .args(file.exists().then_some(file))
            .args(["--bind", &self.addr.ip().to_string(), "--port", &self.addr.port().to_string()])
            .args(["--daemonize", "no", "--save", "", "--repl-diskless-sync-delay", "0"])
            .args(["--replica-announce-ip", &self.addr.ip().to_string()])
            .args(["--cluster-announce-ip", &self.addr.ip().to_string()])
            .args(&self.options)
            .current_dir(self.folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Ctrl-C must not end the supervisor before it has ended the server.
            .process_group(0)
            .spawn()
            .expect("a shell");
        let stdin = supervisor.stdin.take();
        let mut lines = BufReader::new(supervisor.stdout.take().expect("a pipe")).lines();
        let pid = lines.next_line().await.expect("a pipe").expect("a line");
        let pid = Pid::from_raw(pid.parse().expect("a number")).expect("a process");
        self.running = Some(Running { supervisor, stdin, pid });
        self.until("PING", |answer| answer.contains("PONG") || answer.contains("NOAUTH")).await;
    }

    /// Kills it at once.
    pub async fn kill(&mut self) {
        let Some(mut running) = self.running.take() else { return };
        drop(running.stdin.take());
        timeout(PATIENCE, running.supervisor.wait()).await.expect("it ends in time").expect("a process");
    }

    /// Has it stand still, with its connections open.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Has it go on.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Whether it runs, by our own doing.
    pub fn is_running(&self) -> bool {
        self.running.is_some()
    }

    fn signal(&self, signal: Signal) {
        let running = self.running.as_ref().expect("it is running");
        kill_process(running.pid, signal).expect("a process");
    }

    /// The folder with what it has stored.
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// What it answers to a command, whose words are parted by blanks.
    pub async fn ask(&self, command: &str) -> String {
        self.ask_words(&command.split(' ').collect::<Vec<_>>()).await
    }

    /// What it answers to a command of these words.
    pub async fn ask_words(&self, words: &[&str]) -> String {
        let output = Command::new(path("redis-cli").expect("it is installed"))
            .args(["-h", &self.addr.ip().to_string(), "-p", &self.addr.port().to_string()])
            .args(words)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = timeout(PATIENCE, output).await.expect("it answers in time").expect("a process");
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        if text.is_empty() { String::from_utf8_lossy(&output.stderr).trim().to_owned() } else { text }
    }

    /// Asks until the answer is so.
    ///
    /// # Panics
    /// When it never is.
    pub async fn until(&self, command: &str, is_so: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.ask(command).await;
            if is_so(&answer) {
                return answer;
            }
            let log = || std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "{command}: {answer}\n{}", log());
            sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        if let Some(mut running) = self.running.take() {
            drop(running.stdin.take());
            // It kills the server and ends; its folder must not go before.
            let deadline = Instant::now() + PATIENCE;
            while matches!(running.supervisor.try_wait(), Ok(None)) && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(2));
            }
        }
    }
}

fn path(name: &str) -> Option<std::path::PathBuf> {
    program(&variable(name), &[name])
}

fn variable(name: &str) -> String {
    name.to_ascii_uppercase().replace('-', "_")
}
