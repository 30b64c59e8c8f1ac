//! A node in a process of its own, which is killed and started again.

use std::{
    collections::HashMap,
    net::SocketAddr,
    process::Stdio,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use sse_tests::servers::Framework;
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

/// A node, running or not.
pub(crate) struct Node {
    framework: Framework,
    url: String,
    process: AsyncMutex<Option<Process>>,
    addr: Mutex<Option<SocketAddr>>,
    next: AtomicUsize,
}

impl Node {
    pub(crate) fn new(framework: Framework, url: &str) -> Self {
        Self {
            framework,
            url: url.to_owned(),
            process: AsyncMutex::default(),
            addr: Mutex::default(),
            next: AtomicUsize::new(0),
        }
    }

    /// Where it listens, if it runs.
    pub(crate) fn addr(&self) -> Option<SocketAddr> {
        *self.addr.lock().expect("not poisoned")
    }

    /// Starts it; whether it came up: not where its engine is away.
    pub(crate) async fn start(&self) -> bool {
        let mut child = Command::new(env!("CARGO_BIN_EXE_node-server"))
            .args([self.framework.name(), &self.url])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("the server starts");
        let stdin = child.stdin.take().expect("a pipe");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let Ok(Some(addr)) = lines.next_line().await else {
            let _ = child.wait().await;
            return false;
        };
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
