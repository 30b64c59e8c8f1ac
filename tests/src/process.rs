//! A server in a process of its own: its processor time can be told from the test's, and one that hangs is
//! ended without waiting for it.

use std::{
    fs,
    io::Write as _,
    net::SocketAddr,
    process::{ExitStatus, Stdio},
    sync::Once,
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::Mutex,
    time::{Instant, sleep, timeout},
};

use crate::servers::Framework;

/// Longer than anything that a test waits for.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server's process; killed when dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    pid: u32,
    pipes: Mutex<(ChildStdin, Lines<BufReader<ChildStdout>>)>,
    /// Where it listens.
    pub addr: SocketAddr,
}

impl Process {
    /// Starts the program `sweep-server`, which stands at this path, for a framework.
    pub async fn start(program: &str, framework: Framework) -> Self {
        Self::start_with(program, framework, None).await
    }

    /// [`start`](Self::start), with so many streams at the most.
    pub async fn start_with(program: &str, framework: Framework, streams: Option<usize>) -> Self {
        let mut child = Command::new(program)
            .arg(framework.name())
            .args(streams.map(|streams| streams.to_string()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the server starts");
        let input = child.stdin.take().expect("a pipe");
        let mut output = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let addr = timeout(PATIENCE, output.next_line()).await.expect("the server listens in time");
        let addr = addr.expect("a pipe").expect("an address").parse().expect("an address");
        let pid = child.id().expect("the server runs");
        Self { child, pid, pipes: Mutex::new((input, output)), addr }
    }

    /// Publishes events of [`data`](crate::traffic::data) without a pause between them. The position before,
    /// and their ids.
    pub async fn publish(&self, topic: &str, len: usize, count: usize) -> (String, Vec<String>) {
        let answer = self.ask(&format!("publish {topic} {len} {count}\n")).await;
        let mut ids = answer.split(' ').map(str::to_owned);
        (ids.next().expect("a position"), ids.collect())
    }

    /// How many streams are open.
    pub async fn streams(&self) -> usize {
        self.ask("streams\n").await.parse().expect("a number")
    }

    /// Has it stop as a signal would; how it ended.
    pub async fn stop(mut self) -> ExitStatus {
        // It may have ended before it could answer.
        self.pipes.lock().await.0.write_all(b"stop\n").await.expect("the server runs");
        let ended = timeout(Duration::from_secs(60), self.child.wait()).await;
        ended.expect("the server ends in time").expect("a process of this one's")
    }

    /// Its memory that is not shared, in KiB.
    pub fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).expect("the server runs");
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        let memory = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
        memory.expect("Linux says so")
    }

    async fn ask(&self, command: &str) -> String {
        let (input, output) = &mut *self.pipes.lock().await;
        input.write_all(command.as_bytes()).await.expect("the server runs");
        let answer = timeout(PATIENCE, output.next_line()).await.expect("the server answers in time");
        answer.expect("a pipe").expect("the server runs")
    }

    /// Waits until the server has nothing to do: for a third of a second its threads ask for less than a tenth
    /// of a processor.
    ///
    /// # Errors
    /// What they asked for, when they never come to rest.
    pub async fn idle(&self) -> Result<(), String> {
        const WINDOW: Duration = Duration::from_millis(300);
        if self.asked().is_zero() {
            not_measured();
            return Ok(());
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (start, before) = (Instant::now(), self.asked());
            sleep(WINDOW).await;
            let asked = self.asked().saturating_sub(before).as_secs_f64() / start.elapsed().as_secs_f64();
            if asked < 0.1 {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(format!("its threads ask for {:.0} % of a processor", asked * 100.0));
            }
        }
    }

    /// The processor time that the threads have asked for so far: what they got, and what they waited for it.
    /// One that spins asks for all there is, even where a busy machine gives it little.
    fn asked(&self) -> Duration {
        let threads = fs::read_dir(format!("/proc/{}/task", self.pid)).into_iter().flatten().flatten();
        let nanos = threads.filter_map(|thread| {
            let times = fs::read_to_string(thread.path().join("schedstat")).ok()?;
            let mut times = times.split(' ').map_while(|time| time.parse::<u64>().ok());
            Some(times.next()? + times.next()?)
        });
        Duration::from_nanos(nanos.sum())
    }
}

/// Says once that the system does not tell what threads ask for; where everything must be tested, that is a
/// failure.
fn not_measured() {
    static SAID: Once = Once::new();
    let reason = "this system does not tell a thread's processor time (/proc/<pid>/task/<id>/schedstat)";
    assert!(std::env::var_os("SSE_TESTS_REQUIRE_ALL").is_none_or(|all| all != "1"), "{reason}");
    SAID.call_once(|| {
        // Unlike eprint!, this is not captured by the test harness.
        let _ = writeln!(std::io::stderr(), "left out: whether the server is idle afterwards: {reason}");
    });
}
