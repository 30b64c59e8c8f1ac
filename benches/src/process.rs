//! Server processes: started on a core of their own, measured through /proc, ended when dropped.

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::{
    process::{Pid, Signal, kill_process},
    thread::{CpuSet, sched_setaffinity},
};

use crate::calls::{Calls, calls};

/// Keeps this thread, and what it starts from now on, on one core.
pub fn pin(core: usize) {
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set).expect("a core to run on");
}

/// Builds the servers; the folder they are in.
pub fn programs() -> PathBuf {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let status = Command::new(cargo)
        .args(["build", "--quiet", "--release", "--package", "sse-benches", "--bins"])
        .args(cfg!(feature = "metrics").then_some("--features=metrics"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .expect("cargo");
    assert!(status.success(), "the servers do not build");
    std::env::current_exe().expect("a program").parent().expect("a folder").to_owned()
}

#[derive(Debug)]
pub struct Process {
    child: Child,
    pub addr: SocketAddr,
    /// Where the tool writes that it runs under.
    out: Option<PathBuf>,
}

impl Process {
    /// Starts a server on core 0; the caller stays on core 1.
    ///
    /// The name is that of a program, or of a kind of `peer` with what it takes.
    pub fn start(programs: &Path, name: &str) -> Self {
        Self::run(command(programs, name), None)
    }

    /// [`start`](Self::start), with the large buffers of each connection on pages of their own.
    ///
    /// Elsewhere it is chance how many pages they touch: that goes by how a connection's blocks, of which there are
    /// thousands alike, come to lie.
    pub fn start_paged(programs: &Path, name: &str) -> Self {
        let mut command = command(programs, name);
        command.env("GLIBC_TUNABLES", "glibc.malloc.mmap_threshold=8000:glibc.malloc.mmap_max=1000000");
        Self::run(command, None)
    }

    /// [`start`](Self::start) under callgrind.
    pub fn start_counted(programs: &Path, name: &str) -> Self {
        let out = programs.join(format!("{name}.callgrind"));
        let mut valgrind = Command::new("valgrind");
        valgrind.args(["--tool=callgrind", &format!("--callgrind-out-file={}", out.display())]);
        Self::under(valgrind, out, &command(programs, name))
    }

    /// [`start`](Self::start) under strace, which counts the system calls of all threads.
    pub fn start_traced(programs: &Path, name: &str) -> Self {
        let out = programs.join(format!("{name}.strace"));
        let mut strace = Command::new("strace");
        strace.args(["-f", "-c", "-o"]).arg(&out);
        Self::under(strace, out, &command(programs, name))
    }

    fn under(mut tool: Command, out: PathBuf, server: &Command) -> Self {
        let _ = std::fs::remove_file(&out);
        tool.arg(server.get_program()).args(server.get_args());
        Self::run(tool, Some(out))
    }

    fn run(mut command: Command, out: Option<PathBuf>) -> Self {
        let addr =
            TcpListener::bind(("127.0.0.1", 0)).and_then(|free| free.local_addr()).expect("a free port");
        pin(0);
        let child = command
            .env("PORT", addr.port().to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{} cannot be started: {error}", command.get_program().display()));
        pin(1);
        let mut process = Self { child, addr, out };
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(addr).is_err() {
            assert!(Instant::now() < deadline, "{command:?} does not listen");
            assert!(process.child.try_wait().expect("a child").is_none(), "{command:?} ended");
            std::thread::sleep(Duration::from_millis(20));
        }
        process
    }

    /// The time that its threads have had on a core.
    pub fn cpu(&self) -> Duration {
        cpu(&self.child)
    }

    /// Ends a server that was started under callgrind; how many instructions it executed.
    pub fn instructions(self) -> u64 {
        let counts = self.end(Signal::TERM);
        let line = counts
            .lines()
            .rev()
            .find_map(|line| line.strip_prefix("totals:").or_else(|| line.strip_prefix("summary:")));
        line.expect("a sum").trim().parse().expect("a number")
    }

    /// Ends a server that was started under strace; its system calls by kind.
    pub fn calls(self) -> Calls {
        // At once: what a server does when it stops in order is no part of an event.
        calls(&self.end(Signal::KILL))
    }

    /// Ends a server that runs under a tool; what the tool wrote.
    fn end(mut self, signal: Signal) -> String {
        kill_process(self.server(), signal).expect("a process");
        self.child.wait().expect("a child");
        std::fs::read_to_string(self.out.as_ref().expect("a tool")).expect("what it wrote")
    }

    /// The server itself: of strace it is a child.
    fn server(&self) -> Pid {
        let child = self.child.id();
        let children = std::fs::read_to_string(format!("/proc/{child}/task/{child}/children"));
        let traced =
            children.ok().and_then(|pids| Pid::from_raw(pids.split_whitespace().next()?.parse().ok()?));
        traced.unwrap_or_else(|| Pid::from_child(&self.child))
    }

    /// The most memory it had resident so far, in KiB.
    pub fn peak(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("its state");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a line");
        line.trim().trim_end_matches("kB").trim().parse().expect("a number")
    }

    /// Resident memory, in KiB.
    pub fn resident(&self) -> f64 {
        let rollup = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", self.child.id()));
        let rollup = rollup.expect("its memory");
        let line = rollup.lines().find_map(|line| line.strip_prefix("Rss:")).expect("a line");
        line.trim().trim_end_matches("kB").trim().parse().expect("a number")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            // A tracer ends with what it traces, but not the other way round.
            let _ = kill_process(self.server(), Signal::KILL);
            let _ = self.child.wait();
        }
    }
}

fn command(programs: &Path, name: &str) -> Command {
    if name.starts_with("ours-") {
        return Command::new(programs.join(name));
    }
    let mut command = Command::new(programs.join("peer"));
    command.args(name.split(' '));
    command
}

/// The time that a process' threads have had on a core.
pub fn cpu(child: &Child) -> Duration {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", child.id())).expect("its threads");
    let nanos = tasks.flatten().filter_map(|task| {
        let stat = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        stat.split_whitespace().next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanos.sum())
}
