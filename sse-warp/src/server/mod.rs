//! [`serve`]: warp's filters on a server made for streams.

#[cfg(feature = "http2")]
mod first_bytes;

use std::{
    convert::Infallible,
    future::{Future, poll_fn, ready},
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

use futures_core::Stream;
use hyper::{body::Incoming, server::conn::http1, service::Service as _};
#[cfg(feature = "http2")]
use hyper_util::{rt::TokioExecutor, server::conn::auto};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use sse_core::Lifecycle;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::{Sleep, sleep, timeout},
};
use tower_service::Service;
use warp::{http::Request, reply::Response};

use crate::PeerAddr;

/// Within which the time for a head may be: with a longer one hyper's clock overflows.
const HEAD_TIMES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(365 * 86_400));

/// How long no connection is accepted after one could not be, for want of descriptors most often.
const PAUSE: Duration = Duration::from_millis(100);

/// As many bytes hyper collects of a body while its socket is full, and reads of a request's head. By default it takes
/// 408 KiB from each body whose client reads nothing, which others have to wait for; a head of 64 KiB is more than
/// clients and proxies send.
const BUFFER: usize = 64 << 10;

/// HTTP/2 asks a silent client whether it is still there after this long, and waits as long for an answer.
#[cfg(feature = "http2")]
const PING: Duration = Duration::from_secs(20);

/// A server for what `warp::service` makes of filters: it writes an event with less work than `warp::serve`, cuts
/// requests that do not get on, and ends its streams before it ends.
///
/// ```no_run
/// use sse_warp::{Error, Hub, Sse, SseRequest};
/// use warp::Filter;
///
/// # async fn main_() -> std::io::Result<()> {
/// let hub = Hub::new();
/// let events = |request: SseRequest, hub: Hub| request.subscribe(&hub, request.topics("news", ["news"])?);
/// let routes = warp::path!("events")
///     .and(sse_warp::request(&hub))
///     .and(sse_warp::with_hub(&hub))
///     .map(move |request, hub| -> Result<Sse, Error> { events(request, hub) });
/// let listener = sse_warp::listener(("127.0.0.1", 8080))?;
/// sse_warp::serve(warp::service(routes), &hub).run(listener).await
/// # }
/// ```
///
/// Over HTTP/1.1 the head of a request may have 64 KiB; one of more than 128 is answered 431, between them it depends on
/// how it arrives. For a client that reads nothing no more than 64 KiB and a chunk are kept of a body.
///
/// SIGTERM and Ctrl-C end the streams as [`Lifecycle::stop_on_signal`] says, then the server, which does not wait for a
/// client that stopped reading.
///
/// `warp::addr::remote()` knows no address here, since warp keeps its own to itself: the extension [`PeerAddr`] has it
/// (`warp::ext::get::<PeerAddr>()`), and [`SseRequest`](crate::SseRequest) looks there.
pub fn serve<S, T: AsRef<Lifecycle>>(service: S, lifecycle: &T) -> Server<S> {
    Server {
        service,
        lifecycle: lifecycle.as_ref().clone(),
        head_timeout: Some(Duration::from_secs(10)),
        #[cfg(feature = "http2")]
        http2: false,
    }
}

/// What [`serve`] makes.
#[derive(Clone, Debug)]
#[must_use = "a server does nothing until it runs"]
pub struct Server<S> {
    service: S,
    lifecycle: Lifecycle,
    head_timeout: Option<Duration>,
    #[cfg(feature = "http2")]
    http2: bool,
}

impl<S> Server<S>
where
    S: Service<Request<Incoming>, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    /// After how long a connection is closed whose client has not sent the whole head of a request (default 10 s, within
    /// 100 ms and a year; `None`: never). It counts from the end of the last answer too, so it is also how long an idle connection is kept,
    /// and it bounds the handshake of [`run_with`](Self::run_with). An open stream is not idle.
    ///
    /// Behind a proxy that keeps its connections open, longer than the proxy does (nginx: `keepalive_timeout`, 60 s).
    ///
    /// Over HTTP/2 it is the time for the first bytes alone: afterwards a connection is kept, idle or not, for as long as
    /// its client answers a ping every 20 s.
    pub fn head_timeout(mut self, after: impl Into<Option<Duration>>) -> Self {
        self.head_timeout = after.into().map(|after| after.clamp(HEAD_TIMES.0, HEAD_TIMES.1));
        self
    }

    /// Speaks HTTP/2 too, with clients that begin with it: after TLS has agreed on it, or by prior knowledge.
    ///
    /// Browsers speak it over TLS alone. A connection costs about 7 KiB more memory then, over HTTP/1.1 too.
    #[cfg(feature = "http2")]
    pub fn http2(mut self) -> Self {
        self.http2 = true;
        self
    }

    /// Serves the connections of a listener until the streams have ended, by a signal or by [`Lifecycle::stop`].
    ///
    /// Where a connection cannot be accepted, for want of descriptors most often, it pauses and goes on.
    ///
    /// # Errors
    /// When the listener cannot be used at all.
    pub async fn run(self, listener: std::net::TcpListener) -> io::Result<()> {
        self.run_with(listener, |socket| ready(Ok(socket))).await
    }

    /// [`run`](Self::run), where each connection is first made another: by TLS. A client that fails in it, or does not
    /// get on, is closed and costs no other anything.
    ///
    /// With `tokio-rustls`, whose acceptor is cheap to clone:
    ///
    /// ```text
    /// let server = sse_warp::serve(warp::service(routes), &hub);
    /// server.run_with(listener, move |socket| acceptor.accept(socket)).await
    /// ```
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn run_with<I, F>(
        self,
        listener: std::net::TcpListener,
        handshake: impl FnMut(TcpStream) -> F,
    ) -> io::Result<()>
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        F: Future<Output = io::Result<I>> + Send + 'static,
    {
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        // Dropped when no more are accepted, so that who comes then is refused and goes elsewhere.
        let accept = move |cx: &mut Context<'_>| {
            listener.poll_accept(cx).map_ok(|(socket, peer)| (socket, Some(peer))).map(Some)
        };
        self.serve_all(accept, handshake).await;
        Ok(())
    }

    /// [`run`](Self::run) on connections of any kind, each with the client's address if it has one. Where they end, the
    /// server does as after a signal.
    pub async fn run_on<I>(self, connections: impl Stream<Item = io::Result<(I, Option<SocketAddr>)>>)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut connections = pin!(connections);
        self.serve_all(|cx| connections.as_mut().poll_next(cx), |connection| ready(Ok(connection))).await;
    }

    async fn serve_all<C, I, F>(
        self,
        accept: impl FnMut(&mut Context<'_>) -> Poll<Option<io::Result<(C, Option<SocketAddr>)>>>,
        handshake: impl FnMut(C) -> F,
    ) where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        F: Future<Output = io::Result<I>> + Send + 'static,
    {
        let lifecycle = self.lifecycle.clone();
        // When the time is over, this drops the connections that are left.
        lifecycle.limit(self.until_ended(accept, handshake)).await;
    }

    async fn until_ended<C, I, F>(
        self,
        mut accept: impl FnMut(&mut Context<'_>) -> Poll<Option<io::Result<(C, Option<SocketAddr>)>>>,
        mut handshake: impl FnMut(C) -> F,
    ) where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        F: Future<Output = io::Result<I>> + Send + 'static,
    {
        let (ending, told) = watch::channel(());
        let mut open = JoinSet::new();
        let mut stop = pin!(self.lifecycle.stop_on_signal());
        let mut pause = pin!(None::<Sleep>);
        let mut was_refused = false;
        loop {
            let next = poll_fn(|cx| {
                // Those that have ended.
                while let Poll::Ready(Some(_)) = open.poll_join_next(cx) {}
                if stop.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(None);
                }
                if let Some(pause) = pause.as_mut().as_pin_mut()
                    && pause.poll(cx).is_pending()
                {
                    return Poll::Pending;
                }
                pause.set(None);
                accept(cx).map(Some)
            });
            match next.await {
                Some(Some(Ok((connection, peer)))) => {
                    was_refused = false;
                    open.spawn(self.clone().connection(handshake(connection), peer, told.clone()));
                }
                // It left while it waited.
                Some(Some(Err(error))) if is_the_clients(&error) => {}
                Some(Some(Err(error))) => {
                    if !std::mem::replace(&mut was_refused, true) {
                        tracing::warn!(%error, "cannot accept connections; goes on trying");
                    }
                    pause.set(Some(sleep(PAUSE)));
                }
                Some(None) => {
                    self.lifecycle.stop();
                    stop.as_mut().await;
                    break;
                }
                None => break,
            }
        }
        drop(accept);
        drop(ending);
        while open.join_next().await.is_some() {}
    }

    /// Serves one connection, to its end.
    async fn connection<I>(
        self,
        handshake: impl Future<Output = io::Result<I>>,
        peer: Option<SocketAddr>,
        told: watch::Receiver<()>,
    ) where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let handshake = timeout(self.head_timeout.unwrap_or(Duration::MAX), handshake);
        let Ok(Ok(io)) = handshake.await else {
            return;
        };
        let service = TowerToHyperService::new(self.service);
        let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
            if let Some(peer) = peer {
                request.extensions_mut().insert(PeerAddr(peer));
            }
            service.call(request)
        });
        #[cfg(feature = "http2")]
        if self.http2 {
            let mut http = auto::Builder::new(TokioExecutor::new());
            http.http1().writev(false).max_buf_size(BUFFER).timer(TokioTimer::new());
            http.http1().header_read_timeout(self.head_timeout);
            http.http2().timer(TokioTimer::new()).keep_alive_interval(PING).keep_alive_timeout(PING);
            let io = TokioIo::new(first_bytes::FirstBytes::new(io, self.head_timeout));
            let connection = http.serve_connection_with_upgrades(io, service).into_owned();
            return until_told(connection, auto::UpgradeableConnection::graceful_shutdown, told).await;
        }
        let mut http = http1::Builder::new();
        // One copy into a flat buffer is less work than a write of three parts.
        http.writev(false).max_buf_size(BUFFER);
        http.timer(TokioTimer::new()).header_read_timeout(self.head_timeout);
        let connection = http.serve_connection(TokioIo::new(io), service).with_upgrades();
        until_told(connection, http1::UpgradeableConnection::graceful_shutdown, told).await;
    }
}

/// Runs a connection to its end, which after the word is that of the answer under way. How a client went is nobody's
/// business.
async fn until_told<C: Future>(connection: C, end: impl FnOnce(Pin<&mut C>), mut told: watch::Receiver<()>) {
    // In a box: else the task keeps its room twice.
    let mut connection = Box::pin(connection);
    let mut end = Some(end);
    let mut told = pin!(told.changed());
    poll_fn(|cx| {
        if end.is_some() && told.as_mut().poll(cx).is_ready() {
            // Nobody says it: the sender is dropped.
            if let Some(end) = end.take() {
                end(connection.as_mut());
            }
        }
        connection.as_mut().poll(cx)
    })
    .await;
}

fn is_the_clients(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};

    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}
