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
}

impl Process {
    /// Starts a server on core 0; the caller stays on core 1.
    ///
    /// The name is that of a program, or of a kind of `peer`.
    pub fn start(programs: &Path, name: &str) -> Self {
        let addr =
            TcpListener::bind(("127.0.0.1", 0)).and_then(|free| free.local_addr()).expect("a free port");
        let mut command = match name.strip_prefix("ours-") {
            Some(_) => Command::new(programs.join(name)),
            None => {
                let mut command = Command::new(programs.join("peer"));
                command.arg(name);
                command
            }
        };
        pin(0);
        let child = command
            .env("PORT", addr.port().to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a server");
        pin(1);
        let mut process = Self { child, addr };
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(addr).is_err() {
            assert!(Instant::now() < deadline, "{name} does not listen");
            assert!(process.child.try_wait().expect("a child").is_none(), "{name} ended");
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
