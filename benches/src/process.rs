//! Server processes: started on a core of their own, measured through /proc, ended when dropped.

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::thread::{CpuSet, sched_setaffinity};

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
    /// Where callgrind writes.
    counts: Option<PathBuf>,
}

impl Process {
    /// Starts a server on core 0; the caller stays on core 1.
    ///
    /// The name is that of a program, or of a kind of `peer`.
    pub fn start(programs: &Path, name: &str) -> Self {
        Self::run(command(programs, name), None)
    }

    /// [`start`](Self::start) under callgrind.
    pub fn start_counted(programs: &Path, name: &str) -> Self {
        let counted = command(programs, name);
        let out = programs.join(format!("{name}.callgrind"));
        let _ = std::fs::remove_file(&out);
        let mut command = Command::new("valgrind");
        command
            .args(["--tool=callgrind", &format!("--callgrind-out-file={}", out.display())])
            .arg(counted.get_program())
            .args(counted.get_args());
        Self::run(command, Some(out))
    }

    fn run(mut command: Command, counts: Option<PathBuf>) -> Self {
        let addr =
            TcpListener::bind(("127.0.0.1", 0)).and_then(|free| free.local_addr()).expect("a free port");
        pin(0);
        let child = command
            .env("PORT", addr.port().to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a server");
        pin(1);
        let mut process = Self { child, addr, counts };
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
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("its threads");
        let nanos = tasks.flatten().filter_map(|task| {
            let stat = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
            stat.split_whitespace().next()?.parse::<u64>().ok()
        });
        Duration::from_nanos(nanos.sum())
    }

    /// Ends a server that was started under callgrind; how many instructions it executed.
    pub fn instructions(mut self) -> u64 {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("a process");
        self.child.wait().expect("a child");
        let counts = std::fs::read_to_string(self.counts.as_ref().expect("counts")).expect("counts");
        let line = counts
            .lines()
            .rev()
            .find_map(|line| line.strip_prefix("totals:").or_else(|| line.strip_prefix("summary:")));
        line.expect("a sum").trim().parse().expect("a number")
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
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(programs: &Path, name: &str) -> Command {
    if name.starts_with("ours-") {
        return Command::new(programs.join(name));
    }
    let mut command = Command::new(programs.join("peer"));
    command.arg(name);
    command
}
