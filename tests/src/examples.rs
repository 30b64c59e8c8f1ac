//! The examples as a user runs them: built by cargo, started on a port, ended by a signal.

use std::{
    collections::HashMap,
    ffi::OsStr,
    fs::File,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Stdio,
    sync::OnceLock,
    time::Duration,
};

use tokio::{
    net::TcpStream,
    process::{Child, Command},
    sync::Mutex,
    time::{Instant, sleep, timeout},
};

use crate::servers::Framework;

/// A running example; killed when dropped.
#[derive(Debug)]
pub struct Example {
    child: Child,
    /// Where it listens.
    pub addr: SocketAddr,
    log: PathBuf,
}

impl Example {
    /// Builds the example, where that was not done yet, and starts it on a free port.
    pub async fn start(framework: Framework, bin: &str) -> Self {
        Self::start_with(framework, bin, &[]).await
    }

    /// [`start`](Self::start) with more in its environment.
    pub async fn start_with(framework: Framework, bin: &str, env: &[(&str, &str)]) -> Self {
        let feature = if bin == "sessions" { "sessions" } else { "" };
        Self::start_featured(framework, bin, feature, env).await
    }

    /// [`start_with`](Self::start_with), built with a feature of the example's package, or with none (`""`).
    pub async fn start_featured(
        framework: Framework,
        bin: &str,
        feature: &str,
        env: &[(&str, &str)],
    ) -> Self {
        Self::spawn(&build(framework, bin, feature).await, &[], env).await
    }

    /// [`start`](Self::start) by another program, which is given its path as the last argument and becomes it.
    pub async fn start_by(framework: Framework, bin: &str, launcher: &[&str]) -> Self {
        Self::spawn(&build(framework, bin, "").await, launcher, &[]).await
    }

    async fn spawn(program: &Path, launcher: &[&str], env: &[(&str, &str)]) -> Self {
        let addr = free_addr();
        let log = program.with_extension(format!("{}.log", addr.port()));
        let out = File::create(&log).expect("a file");
        let mut words = launcher.iter().map(OsStr::new).chain([program.as_os_str()]);
        let mut child = Command::new(words.next().expect("a program"))
            .args(words)
            .env("PORT", addr.port().to_string())
            .envs(env.iter().copied())
            .stdout(out.try_clone().expect("a file"))
            .stderr(out)
            .kill_on_drop(true)
            .spawn()
            .expect("the example starts");
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(addr).await.is_err() {
            assert!(Instant::now() < deadline, "the example does not listen");
            assert_eq!(child.try_wait().expect("a child"), None, "the example ended");
            sleep(Duration::from_millis(20)).await;
        }
        Self { child, addr, log }
    }

    /// What it has printed so far.
    pub fn output(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).expect("its output")).into_owned()
    }

    /// Sends a signal by name, such as `TERM`.
    pub async fn signal(&self, name: &str) {
        let pid = self.child.id().expect("the example runs").to_string();
        let status = Command::new("kill").args(["-s", name, &pid]).status().await.expect("kill");
        assert!(status.success());
    }

    /// Waits for the end; the exit code.
    pub async fn code(&mut self, within: Duration) -> Option<i32> {
        let status = timeout(within, self.child.wait()).await.expect("the example ends in time");
        status.expect("a child").code()
    }

    /// How many connections it has not closed, those of clients that have gone among them. `None` where the system
    /// does not tell.
    pub fn connections(&self) -> Option<usize> {
        let local = format!("0100007F:{:04X}", self.addr.port());
        let table = std::fs::read_to_string("/proc/net/tcp").ok()?;
        let mut count = 0;
        for line in table.lines() {
            let mut fields = line.split_whitespace().skip(1);
            // Established, or left by the client.
            count +=
                usize::from(fields.next() == Some(&*local) && matches!(fields.nth(1), Some("01" | "08")));
        }
        Some(count)
    }

    /// The memory that it has resident, in bytes. `None` where the system does not tell.
    pub fn memory(&self) -> Option<u64> {
        self.status("VmRSS:")
    }

    /// The most memory it had resident so far, in bytes. `None` where the system does not tell.
    pub fn peak_memory(&self) -> Option<u64> {
        self.status("VmHWM:")
    }

    fn status(&self, field: &str) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()?)).ok()?;
        let line = status.lines().find(|line| line.starts_with(field))?;
        let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
        Some(kib * 1024)
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.log);
    }
}

/// A free port below those that the system gives to clients: nobody else takes it before the example does, and a
/// client that knocks too early cannot end up connected to itself.
fn free_addr() -> SocketAddr {
    let port = || rand::random_range(20_000..32_000);
    let addrs = std::iter::repeat_with(|| SocketAddr::from(([127, 0, 0, 1], port())));
    addrs.take(1000).find(|addr| TcpListener::bind(addr).is_ok()).expect("a free port")
}

/// Builds one example and keeps a copy: the three frameworks' examples have the same names, so that cargo puts
/// them in the same place.
///
/// With all else of the workspace chosen, what lies below it has the features that the tests were built with, and is
/// there already. `.ci/run` checks that each builds by itself.
async fn build(framework: Framework, bin: &str, feature: &str) -> PathBuf {
    static BUILT: OnceLock<Mutex<HashMap<String, PathBuf>>> = OnceLock::new();
    let mut built = BUILT.get_or_init(Mutex::default).lock().await;
    let name = format!("{framework}-{bin}-{feature}");
    if let Some(program) = built.get(&name) {
        return program.clone();
    }
    let package = format!("example-{framework}");
    let others = Framework::ALL.into_iter().filter(|other| *other != framework);
    let others = others.flat_map(|other| ["--exclude".to_owned(), format!("example-{other}")]);
    let feature = (!feature.is_empty()).then(|| format!("--features={package}/{feature}"));
    let output = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--workspace"])
        .args(others)
        .args(["--bin", bin])
        .args(feature)
        .args(["--message-format", "json"])
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")))
        .stderr(Stdio::inherit())
        .output()
        .await
        .expect("cargo");
    assert!(output.status.success(), "{package} does not build");
    let program = String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter_map(|message| message["executable"].as_str().map(PathBuf::from))
        .next_back()
        .expect("an executable");
    // Renamed into place: another test process may be running the last one.
    let copy = program.with_file_name(&name);
    let new = program.with_file_name(format!("{name}.{}", std::process::id()));
    std::fs::copy(&program, &new).and_then(|_| std::fs::rename(&new, &copy)).expect("a copy");
    built.insert(name, copy.clone());
    copy
}
