//! A loopback TCP proxy that cuts connections, to test that clients resume.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

/// Connections open at the same time; more are refused.
const MAX_OPEN: usize = 1024;

type Cuts = Box<dyn Iterator<Item = usize> + Send>;

struct Shared {
    upstream: SocketAddr,
    spares_ends: bool,
    cuts: Mutex<Cuts>,
    connections: AtomicUsize,
    cut: AtomicUsize,
}

impl Shared {
    fn next_cut(&self) -> Option<usize> {
        // A panicking iterator poisons the lock; its test fails anyway.
        self.cuts.lock().unwrap_or_else(PoisonError::into_inner).next()
    }
}

/// Forwards TCP connections to one address and cuts them where told. Ends when dropped.
pub struct Proxy {
    addr: SocketAddr,
    shared: Arc<Shared>,
    cut_all: watch::Sender<()>,
    silence_all: watch::Sender<()>,
    task: AbortHandle,
}

impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proxy")
            .field("addr", &self.addr)
            .field("upstream", &self.shared.upstream)
            .field("connections", &self.connections())
            .field("cuts", &self.cuts())
            .finish_non_exhaustive()
    }
}

impl Proxy {
    /// Starts a proxy in front of `upstream`.
    ///
    /// Each connection takes one number from `cuts` when its first response bytes arrive (so idle
    /// connections that browsers open in advance take none) and is cut once it has forwarded that
    /// many response bytes, head included. Without a number left, connections are not cut.
    /// Cuts are by turns a FIN and a RST.
    pub async fn start(
        upstream: SocketAddr,
        cuts: impl Iterator<Item = usize> + Send + 'static,
    ) -> io::Result<Self> {
        Self::start_with(upstream, cuts, false).await
    }

    /// [`start`](Self::start), but never cuts between the last line of an event and the blank line behind it.
    ///
    /// For `@microsoft/fetch-event-source`, which resumes from an id as soon as it has read its line.
    pub async fn start_sparing_ends(
        upstream: SocketAddr,
        cuts: impl Iterator<Item = usize> + Send + 'static,
    ) -> io::Result<Self> {
        Self::start_with(upstream, cuts, true).await
    }

    async fn start_with(
        upstream: SocketAddr,
        cuts: impl Iterator<Item = usize> + Send + 'static,
        spares_ends: bool,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let addr = listener.local_addr()?;
        let shared = Arc::new(Shared {
            upstream,
            spares_ends,
            cuts: Mutex::new(Box::new(cuts)),
            connections: AtomicUsize::new(0),
            cut: AtomicUsize::new(0),
        });
        let (cut_all, signal) = watch::channel(());
        let (silence_all, silent) = watch::channel(());
        let task = tokio::spawn(accept(listener, Arc::clone(&shared), signal, silent)).abort_handle();
        Ok(Self { addr, shared, cut_all, silence_all, task })
    }

    /// Where clients connect to.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// How many connections were accepted so far.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// How many connections were cut so far.
    pub fn cuts(&self) -> usize {
        self.shared.cut.load(Ordering::SeqCst)
    }

    /// Cuts every connection that is open now, whatever number it was given.
    pub fn cut_all(&self) {
        // Without a receiver there is nothing to cut.
        let _ = self.cut_all.send(());
    }

    /// Forwards nothing more on the connections that are open now, and leaves them open: a link that went dead. Those
    /// that come later are forwarded.
    pub fn silence_all(&self) {
        let _ = self.silence_all.send(());
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // Ends the connections too: the task owns them.
        self.task.abort();
    }
}

async fn accept(
    listener: TcpListener,
    shared: Arc<Shared>,
    signal: watch::Receiver<()>,
    silent: watch::Receiver<()>,
) {
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            // Finished connections are taken out, so that the set does not grow.
            Some(_) = open.join_next() => {}
            accepted = listener.accept() => {
                // An error here concerns one connection (it went away before it was accepted).
                let Ok((client, _)) = accepted else { continue };
                if open.len() >= MAX_OPEN {
                    continue;
                }
                shared.connections.fetch_add(1, Ordering::SeqCst);
                // A clone shares what was already seen: only later signals count.
                let (mut signal, mut silent) = (signal.clone(), silent.clone());
                signal.mark_unchanged();
                silent.mark_unchanged();
                open.spawn(connection(client, Arc::clone(&shared), signal, silent));
            }
        }
    }
}

async fn connection(
    mut client: TcpStream,
    shared: Arc<Shared>,
    mut signal: watch::Receiver<()>,
    mut silent: watch::Receiver<()>,
) {
    let Ok(mut upstream) = TcpStream::connect(shared.upstream).await else {
        return;
    };
    // Small writes must arrive as they were made.
    let _ = client.set_nodelay(true);
    let _ = upstream.set_nodelay(true);
    let (client_read, client_write) = client.split();
    let (upstream_read, upstream_write) = upstream.split();
    let cut = tokio::select! {
        cut = downward(upstream_read, client_write, &shared) => cut,
        () = upward(client_read, upstream_write) => false,
        // An error means that the proxy was dropped, which ends this task anyway.
        _ = signal.changed() => true,
        _ = silent.changed() => std::future::pending().await,
    };
    if cut {
        if shared.cut.fetch_add(1, Ordering::SeqCst) % 2 == 1 {
            // No time to linger: closing sends a RST.
            let _ = client.set_zero_linger();
        } else {
            let _ = client.shutdown().await;
        }
    }
}

/// Copies the request and then waits for ever: some clients close their side before the response.
async fn upward(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>) {
    let _ = tokio::io::copy(&mut from, &mut to).await;
    let _ = to.shutdown().await;
    std::future::pending::<()>().await;
}

/// Copies the response; `true` when it was cut, `false` when it ended by itself.
async fn downward(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, shared: &Shared) -> bool {
    let mut buffer = vec![0; 16 * 1024];
    let mut left: Option<Option<usize>> = None;
    loop {
        let Ok(read) = from.read(&mut buffer).await else {
            return false;
        };
        if read == 0 {
            return false;
        }
        let left = left.get_or_insert_with(|| shared.next_cut());
        let (part, cut) = match left {
            Some(left) if *left <= read => {
                let ends = shared.spares_ends && *left > 0 && buffer[*left - 1..read].starts_with(b"\n\n");
                (*left + usize::from(ends), true)
            }
            Some(left) => {
                *left -= read;
                (read, false)
            }
            None => (read, false),
        };
        if to.write_all(&buffer[..part]).await.is_err() {
            return false;
        }
        if cut {
            return true;
        }
    }
}
