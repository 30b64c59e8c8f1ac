//! [`Server`] and [`Crowd`]: the two sides, each in a process of its own; ended when dropped.

use std::{
    net::SocketAddr,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    sync::OnceLock,
    time::{Duration, Instant},
};

use rustix::{
    process::{Pid, Signal, kill_process},
    thread::{CpuSet, sched_getaffinity, sched_setaffinity},
};
use serde_json::Value;
use sse_benches::pin;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::{sleep, timeout},
};

use crate::server::Settings;

/// Longer than anything that is waited for without being measured.
const PATIENCE: Duration = Duration::from_secs(120);

/// A child that is asked and answers line by line.
#[derive(Debug)]
struct Talking {
    child: Child,
    pid: Pid,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Talking {
    fn start(mut command: Command, core: usize) -> Self {
        pinned(core);
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn();
        pinned(1);
        let mut child = child.expect("a process");
        let input = child.stdin.take().expect("a pipe");
        let output = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let pid = child.id().and_then(|pid| Pid::from_raw(pid as i32)).expect("it runs");
        Self { child, pid, input, output }
    }

    async fn line(&mut self) -> String {
        let line = timeout(PATIENCE, self.output.next_line()).await.expect("it answers in time");
        line.expect("a pipe").expect("it has not ended")
    }

    async fn ask(&mut self, command: &str) -> String {
        self.input.write_all(format!("{command}\n").as_bytes()).await.expect("it runs");
        self.line().await
    }

    fn signal(&self, signal: Signal) {
        kill_process(self.pid, signal).expect("it runs");
    }
}

/// The servers on one core and all else on the other, where both may be used.
fn pinned(core: usize) {
    static BOTH: OnceLock<bool> = OnceLock::new();
    let both = || {
        let mut cores = CpuSet::new();
        cores.set(0);
        cores.set(1);
        // What may not be used the kernel leaves out; what was inherited does not count.
        let _ = sched_setaffinity(None, &cores);
        sched_getaffinity(None).is_ok_and(|cores| cores.is_set(0) && cores.is_set(1))
    };
    if *BOTH.get_or_init(both) {
        pin(core);
    }
}

/// A server of ours.
#[derive(Debug)]
pub(crate) struct Server {
    process: Talking,
    pub(crate) addr: SocketAddr,
}

impl Server {
    pub(crate) async fn start(framework: &str, settings: &Settings) -> Self {
        Self::start_at(framework, settings, "127.0.0.1").await
    }

    pub(crate) async fn start_at(framework: &str, settings: &Settings, host: &str) -> Self {
        let mut command = Command::new(this_program());
        command.args(["serve", framework]).env("SSE_HOST", host);
        for (name, value) in settings.variables() {
            command.env(name, value.to_string());
        }
        let mut process = Talking::start(command, 0);
        let addr = process.line().await.parse().expect("an address");
        Self { process, addr }
    }

    pub(crate) async fn ask(&mut self, command: &str) -> String {
        self.process.ask(command).await
    }

    pub(crate) async fn streams(&mut self) -> usize {
        self.ask("streams").await.parse().expect("a number")
    }

    /// How long it takes from now until so many streams are open and no more; at most `limit`.
    pub(crate) async fn until_streams(&mut self, streams: usize, limit: Duration) -> Option<Duration> {
        let start = Instant::now();
        loop {
            if self.streams().await <= streams {
                return Some(start.elapsed());
            }
            if start.elapsed() > limit {
                return None;
            }
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Resident memory, in KiB.
    pub(crate) fn resident(&self) -> f64 {
        let rollup =
            std::fs::read_to_string(format!("/proc/{}/smaps_rollup", self.process.pid.as_raw_nonzero()));
        let rollup = rollup.expect("its memory");
        let line = rollup.lines().find_map(|line| line.strip_prefix("Rss:")).expect("a line");
        line.trim().trim_end_matches("kB").trim().parse().expect("a number")
    }

    /// The most that was ever resident, in KiB.
    pub(crate) fn peak(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.pid.as_raw_nonzero()));
        let status = status.expect("its memory");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a line");
        line.trim().trim_end_matches("kB").trim().parse().expect("a number")
    }

    pub(crate) fn terminate(&self) {
        self.process.signal(Signal::TERM);
    }

    /// Its exit, within a time.
    pub(crate) async fn exit(&mut self, limit: Duration) -> Option<ExitStatus> {
        timeout(limit, self.process.child.wait()).await.ok().map(|status| status.expect("a child"))
    }
}

/// Clients.
#[derive(Debug)]
pub(crate) struct Crowd(Talking);

impl Crowd {
    /// Streams over HTTP/1.1, or so many on each connection over HTTP/2; waits until all stand.
    pub(crate) async fn hold(addr: SocketAddr, streams: usize, per_connection: usize, path: &str) -> Self {
        let (streams, per_connection) = (streams.to_string(), per_connection.to_string());
        let mut crowd =
            Self::begin(Command::new(this_program()), addr, "hold", &[&streams, &per_connection, path]);
        assert_eq!(crowd.0.line().await, "open");
        crowd
    }

    /// Streams over HTTP/2 that soon take no more, on connections that are well.
    pub(crate) async fn stalled(addr: SocketAddr, streams: usize, per_connection: usize) -> Self {
        let args = [streams.to_string(), per_connection.to_string()];
        let mut crowd =
            Self::begin(Command::new(this_program()), addr, "stall", &args.each_ref().map(String::as_str));
        assert_eq!(crowd.0.line().await, "open");
        crowd
    }

    /// [`hold`](Self::hold) without waiting, by another program that runs this one.
    pub(crate) fn hold_by(command: Command, addr: SocketAddr, streams: usize, per_connection: &str) -> Self {
        Self::begin(command, addr, "hold", &[&streams.to_string(), per_connection, "/events"])
    }

    /// Pages that come back.
    pub(crate) async fn returning(addr: SocketAddr, clients: usize) -> Self {
        let mut crowd = Self::begin(Command::new(this_program()), addr, "return", &[&clients.to_string()]);
        assert_eq!(crowd.0.line().await, "open");
        crowd
    }

    /// One that does what it is told and then says what came out.
    pub(crate) async fn result(addr: SocketAddr, kind: &str, args: &[&str]) -> Value {
        let mut crowd = Self::begin(Command::new(this_program()), addr, kind, args);
        serde_json::from_str(&crowd.line().await).expect("JSON")
    }

    fn begin(mut command: Command, addr: SocketAddr, kind: &str, args: &[&str]) -> Self {
        command.args(["crowd", kind]).arg(addr.to_string()).args(args);
        Self(Talking::start(command, 1))
    }

    pub(crate) async fn line(&mut self) -> String {
        self.0.line().await
    }

    pub(crate) async fn ask(&mut self, command: &str) -> String {
        self.0.ask(command).await
    }

    pub(crate) async fn stats(&mut self) -> Value {
        serde_json::from_str(&self.ask("stats").await).expect("JSON")
    }

    pub(crate) fn pid(&self) -> i32 {
        self.0.pid.as_raw_nonzero().get()
    }

    /// Reads nothing from now on.
    pub(crate) fn freeze(&self) {
        self.0.signal(Signal::STOP);
    }

    /// Ends it as `kill -9` does.
    pub(crate) async fn kill(mut self) {
        self.0.child.kill().await.expect("it runs");
    }
}

pub(crate) fn this_program() -> PathBuf {
    std::env::current_exe().expect("a program")
}
