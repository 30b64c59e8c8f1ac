//! A node in a process of its own, which is killed and started again.

use std::{
    collections::HashMap,
    fs,
    net::SocketAddr,
    path::PathBuf,
    process::Stdio,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use sse_tests::{left_out, servers::Framework};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::{Child, ChildStdin, Command},
    sync::{Mutex as AsyncMutex, oneshot},
};

/// What became of a publication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// It is there, under this id.
    Published(String),
    /// It may be there.
    Unknown,
    /// It is not there.
    NotPublished,
}

type Waiting = Arc<Mutex<HashMap<usize, oneshot::Sender<String>>>>;

struct Process {
    child: Child,
    stdin: ChildStdin,
    waiting: Waiting,
}

/// How far a clock is ahead.
const AHEAD: Duration = Duration::from_secs(3600);

/// The library that shows a program another time, of Debian's package `libfaketime`; `LIBFAKETIME` may name another one.
fn other_time() -> Option<PathBuf> {
    let named = std::env::var_os("LIBFAKETIME").map(PathBuf::from);
    let folders = fs::read_dir("/usr/lib").into_iter().flatten().flatten().map(|folder| folder.path());
    let library = named
        .into_iter()
        .chain(folders.map(|folder| folder.join("faketime/libfaketimeMT.so.1")))
        .find(|path| path.is_file());
    let missing = library.is_none().then(|| "a node whose clock is ahead: no libfaketime".to_owned());
    left_out("clocks", &missing.into_iter().collect::<Vec<_>>());
    library
}

/// A node, running or not.
pub(crate) struct Node {
    framework: Framework,
    url: String,
    /// What shows it another time.
    other_time: Option<PathBuf>,
    process: AsyncMutex<Option<Process>>,
    addr: Mutex<Option<SocketAddr>>,
    next: AtomicUsize,
}

impl Node {
    pub(crate) fn new(framework: Framework, url: &str) -> Self {
        Self {
            framework,
            url: url.to_owned(),
            other_time: None,
            process: AsyncMutex::default(),
            addr: Mutex::default(),
            next: AtomicUsize::new(0),
        }
    }

    /// One whose clock is an hour ahead.
    pub(crate) fn ahead(framework: Framework, url: &str) -> Self {
        Self { other_time: other_time(), ..Self::new(framework, url) }
    }

    /// Where it listens, if it runs.
    pub(crate) fn addr(&self) -> Option<SocketAddr> {
        *self.addr.lock().expect("not poisoned")
    }

    /// Starts it; whether it came up: not where its engine is away.
    pub(crate) async fn start(&self) -> bool {
        let mut command = Command::new(env!("CARGO_BIN_EXE_node-server"));
        let mut ahead = Duration::ZERO;
        if let Some(library) = &self.other_time {
            ahead = AHEAD;
            command.env("LD_PRELOAD", library);
            command.envs([("FAKETIME", "+3600"), ("FAKETIME_DONT_FAKE_MONOTONIC", "1")]);
        }
        let mut child = command
            .args([self.framework.name(), &self.url])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("the server starts");
        let stdin = child.stdin.take().expect("a pipe");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let Ok(Some(line)) = lines.next_line().await else {
            let _ = child.wait().await;
            return false;
        };
        let (addr, time) = line.split_once(' ').expect("an address and a time");
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(time.parse().expect("a number"));
        let off = time.duration_since(SystemTime::now()).unwrap_or_default();
        assert!(off.abs_diff(ahead) < Duration::from_secs(60), "its clock is {off:?} ahead");
        let waiting = Waiting::default();
        let waits = Arc::clone(&waiting);
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                let (number, said) = line.split_once(' ').expect("an answer");
                let number = number.parse().expect("a number");
                if let Some(sender) = waits.lock().expect("not poisoned").remove(&number) {
                    let _ = sender.send(said.to_owned());
                }
            }
            // Nobody answers the others any more.
            waits.lock().expect("not poisoned").clear();
        });
        *self.process.lock().await = Some(Process { child, stdin, waiting });
        *self.addr.lock().expect("not poisoned") = Some(addr.parse().expect("an address"));
        true
    }

    /// Kills it at once.
    pub(crate) async fn kill(&self) {
        *self.addr.lock().expect("not poisoned") = None;
        if let Some(mut process) = self.process.lock().await.take() {
            process.child.kill().await.expect("it runs");
        }
    }

    /// Publishes through it.
    pub(crate) async fn publish(&self, topic: &str, data: &str) -> Said {
        let (sender, said) = oneshot::channel();
        {
            let mut process = self.process.lock().await;
            let Some(process) = &mut *process else { return Said::NotPublished };
            let number = self.next.fetch_add(1, Ordering::SeqCst);
            process.waiting.lock().expect("not poisoned").insert(number, sender);
            let line = format!("{number} {topic} {data}\n");
            if process.stdin.write_all(line.as_bytes()).await.is_err() {
                return Said::Unknown;
            }
        }
        match said.await.as_deref() {
            Ok("not published") => Said::NotPublished,
            Ok("unknown") | Err(_) => Said::Unknown,
            Ok(id) => Said::Published(id.to_owned()),
        }
    }
}
