//! [`Clients`] and their [`Connection`]s: one way to read for each protocol.

use std::{net::SocketAddr, time::Duration};

use sse_tests::http::{self, Answer};
use tokio::{
    net::TcpSocket,
    time::{sleep, timeout},
};

use crate::case::{Case, Protocol, Reader};

/// After this long without a byte the server hangs. Shorter than the patience of [`http`], whose panics do not
/// tell which case it was.
const PATIENCE: Duration = Duration::from_secs(19);

/// A slow reader's window and pause.
const SLOW: (usize, Duration) = (3001, Duration::from_millis(1));

/// The clients of one server.
#[derive(Clone, Debug)]
pub(crate) struct Clients {
    addr: SocketAddr,
    quick: reqwest::Client,
    slow: reqwest::Client,
}

/// An answer being read.
#[derive(Debug)]
pub(crate) enum Connection {
    Http1(Answer),
    Http2(reqwest::Response, Duration),
}

impl Clients {
    pub(crate) fn new(addr: SocketAddr) -> Self {
        let builder = || reqwest::Client::builder().http2_prior_knowledge();
        let slow = builder().http2_initial_stream_window_size(SLOW.0 as u32);
        Self { addr, quick: builder().build().unwrap(), slow: slow.build().unwrap() }
    }

    /// Sends the request and reads the head.
    pub(crate) async fn open(
        &self,
        case: &Case,
        path: &str,
        last: Option<&str>,
    ) -> Result<Connection, String> {
        let connection = timeout(PATIENCE, async {
            match case.protocol {
                Protocol::Http1 => self.http1(case, path, last).await,
                Protocol::Http2 => self.http2(case, path, last).await,
            }
        });
        let connection = connection.await.map_err(|_| "there is no answer".to_owned())??;
        if case.reader == Reader::Slow {
            // Long enough for the server to fill what there is.
            sleep(Duration::from_millis(30)).await;
        }
        Ok(connection)
    }

    async fn http1(&self, case: &Case, path: &str, last: Option<&str>) -> Result<Connection, String> {
        let socket = TcpSocket::new_v4().unwrap();
        if case.reader == Reader::Slow {
            socket.set_recv_buffer_size(SLOW.0 as u32).unwrap();
        }
        let socket = socket.connect(self.addr).await.map_err(|error| error.to_string())?;
        let headers: Vec<(&str, &[u8])> =
            last.into_iter().map(|last| ("Last-Event-ID", last.as_bytes())).collect();
        let mut answer = http::send_over(socket, "GET", path, &headers, b"").await;
        if case.reader == Reader::Slow {
            answer.slow(SLOW.0, SLOW.1);
        }
        match answer.status {
            200 => Ok(Connection::Http1(answer)),
            status => Err(format!("the answer is {status}")),
        }
    }

    async fn http2(&self, case: &Case, path: &str, last: Option<&str>) -> Result<Connection, String> {
        let (client, pause) = match case.reader {
            Reader::Slow => (&self.slow, SLOW.1),
            _ => (&self.quick, Duration::ZERO),
        };
        let mut request = client.get(format!("http://{}{path}", self.addr));
        if let Some(last) = last {
            request = request.header("Last-Event-ID", last);
        }
        let answer = request.send().await.map_err(|error| format!("{error:?}"))?;
        let answer = answer.error_for_status().map_err(|error| error.to_string())?;
        Ok(Connection::Http2(answer, pause))
    }
}

impl Connection {
    /// The next bytes; `None` after a clean end.
    pub(crate) async fn read(&mut self) -> Result<Option<Vec<u8>>, String> {
        let read = timeout(PATIENCE, async {
            match self {
                Self::Http1(answer) => Ok(answer.chunk().await),
                Self::Http2(answer, pause) => {
                    if !pause.is_zero() {
                        sleep(*pause).await;
                    }
                    let chunk = answer.chunk().await.map_err(|error| format!("{error:?}"))?;
                    Ok(chunk.map(Vec::from))
                }
            }
        });
        read.await.unwrap_or_else(|_| Err(format!("nothing came for {PATIENCE:?}")))
    }
}
