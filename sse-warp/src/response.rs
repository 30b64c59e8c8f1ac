//! [`Sse`] and [`Error`]: a stream and a refusal as warp replies.

use std::{
    convert::Infallible,
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_core::Stream;
use sse_core::{EventStream, Refusal, Source, Subscription};
use sync_wrapper::SyncWrapper;
use warp::{
    Reply,
    http::{HeaderName, HeaderValue, StatusCode},
    reject::Reject,
    reply::Response,
};

/// Sends an [`EventStream`]: `Sse` alone is that of a hub, `Sse<S>` that of a stream of the application's own.
#[derive(Debug)]
#[must_use = "a reply does nothing unless it is returned"]
pub struct Sse<S = Subscription>(pub EventStream<S>);

impl<S: Source + Send + 'static> Reply for Sse<S> {
    fn into_response(self) -> Response {
        let mut head = Response::default();
        for (name, value) in self.0.headers() {
            append(&mut head, name, &value);
        }
        let body = Body(SyncWrapper::new(Box::pin(self.0)));
        let mut response = warp::reply::stream(body).into_response();
        *response.headers_mut() = std::mem::take(head.headers_mut());
        response
    }
}

/// warp wants its body `Sync`; an application's stream need not be.
struct Body<S>(SyncWrapper<Pin<Box<EventStream<S>>>>);

impl<S: Source> Stream for Body<S> {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.get_mut().as_mut().poll_next(cx).map(|chunk| chunk.map(Ok))
    }
}

/// Any error of the library as a reply, so that a handler may return `Result<Sse<_>, Error>`.
#[derive(Clone, Debug)]
pub struct Error(Refusal);

impl Error {
    /// What it is as an answer: a status, header fields and a sentence, for an error type of your own.
    pub fn refusal(&self) -> &Refusal {
        &self.0
    }
}

impl<E: Into<Refusal>> From<E> for Error {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Error {}

/// For filters that reject with it: it turns into a `Rejection` by `?`, and `recover` finds it.
impl Reject for Error {}

impl Reply for Error {
    fn into_response(self) -> Response {
        let mut response = self.0.body().to_owned().into_response();
        *response.status_mut() =
            StatusCode::from_u16(self.0.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        // warp has called it plain text, also where there is none.
        response.headers_mut().clear();
        for (name, value) in self.0.headers() {
            append(&mut response, name, value);
        }
        response
    }
}

/// What cannot stand in a header is left out.
fn append(response: &mut Response, name: &str, value: &str) {
    if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_str(value)) {
        // Several of one name are several cookies.
        response.headers_mut().append(name, value);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        net::SocketAddr,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        task::{Wake, Waker},
        time::Duration,
    };

    use async_stream::stream;
    use sse_core::{Event, Hub, Request, RequestHead, Subscription};
    use tokio::time::sleep;

    use super::*;

    /// How much one body is given at a time.
    const TURN: usize = 16 * 1024;

    fn reader<S: Source>(stream: EventStream<S>) -> Reader<S> {
        Reader { body: Box::pin(Body(SyncWrapper::new(Box::pin(stream)))), woken: Arc::default() }
    }

    struct Head(String);

    impl RequestHead for Head {
        fn method(&self) -> &str {
            "GET"
        }

        fn headers<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
            (name == "last-event-id").then_some(self.0.as_bytes()).into_iter()
        }

        fn query(&self) -> Option<&str> {
            None
        }

        fn peer(&self) -> Option<SocketAddr> {
            None
        }
    }

    /// Counts how often it was woken.
    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// A body, polled again where it was woken and not otherwise, as the server does.
    struct Reader<S> {
        body: Pin<Box<Body<S>>>,
        woken: Arc<Count>,
    }

    impl<S: Source> Reader<S> {
        /// What it gives until it is pending or at its end, and whether it has ended.
        fn read(&mut self) -> (String, bool) {
            let waker = Waker::from(Arc::clone(&self.woken));
            let mut context = Context::from_waker(&waker);
            let mut all = Vec::new();
            loop {
                let before = self.woken.0.load(Ordering::SeqCst);
                match self.body.as_mut().poll_next(&mut context) {
                    Poll::Ready(Some(Ok(chunk))) => {
                        assert!(!chunk.is_empty() && chunk.ends_with(b"\n"), "{chunk:?}");
                        all.extend_from_slice(&chunk);
                    }
                    Poll::Ready(None) => return (String::from_utf8(all).unwrap(), true),
                    Poll::Pending if self.woken.0.load(Ordering::SeqCst) > before => {}
                    Poll::Pending => return (String::from_utf8(all).unwrap(), false),
                }
            }
        }

        /// The same, without the opening.
        fn read_first(&mut self) -> (String, bool) {
            let (all, ended) = self.read();
            (all.splitn(3, '\n').nth(2).unwrap().to_owned(), ended)
        }

        /// Waits until it was woken once more than so often.
        async fn wakes(&self, before: usize) {
            for _ in 0..20_000 {
                if self.woken.0.load(Ordering::SeqCst) > before {
                    return;
                }
                sleep(Duration::from_millis(1)).await;
            }
            panic!("a wake-up is lost");
        }
    }

    fn open_hub(hub: &Hub, after: &str) -> Reader<Subscription> {
        let request = Request::new(&Head(after.to_owned()), hub.lifecycle());
        reader(hub.open(&request, "news").unwrap())
    }

    fn open_own(count: usize, len: usize, ends: bool) -> Reader<impl Stream<Item = Event>> {
        let events = stream! {
            for _ in 0..count {
                yield Event::new("x".repeat(len));
            }
            if !ends {
                std::future::pending::<()>().await;
            }
        };
        let request = Request::new(&Head(String::new()), Hub::new().lifecycle());
        reader(EventStream::open(&request, events).unwrap())
    }

    fn publish(hub: &Hub, count: usize, len: usize) -> String {
        let data = "x".repeat(len);
        let publish = |_| {
            let id = hub.publish_blocking("news", data.as_str()).unwrap();
            format!("data: {data}\nid: {id}\n\n")
        };
        (0..count).map(publish).collect()
    }

    /// Numbers and sizes of events: all sizes with which one ends near the end of a turn, few and many.
    fn events() -> impl Iterator<Item = (usize, usize)> {
        let sizes = [0, 1, 100, 1000, 5000, 20_000].into_iter().chain(TURN - 70..=TURN + 2);
        let counts = [1, 2, 3, 5, 13, 40];
        sizes.flat_map(move |len| counts.map(|count| (count, len))).chain([(2000, 0), (2000, 20)])
    }

    #[tokio::test]
    async fn hub_events_are_whole_and_wake() {
        for (count, len) in events() {
            let hub = Hub::new();
            let start = hub.position().to_string();
            let replayed = publish(&hub, count, len);
            let mut reader = open_hub(&hub, &start);
            assert_eq!(reader.read_first(), (replayed, false), "{count} x {len}");
            let before = reader.woken.0.load(Ordering::SeqCst);
            let live = publish(&hub, count, len);
            reader.wakes(before).await;
            assert_eq!(reader.read(), (live, false), "{count} x {len}");
        }
    }

    #[tokio::test]
    async fn own_events_are_whole_and_end_where_they_end() {
        for (count, len) in events() {
            let expected = format!("data: {}\n\n", "x".repeat(len)).repeat(count);
            for ends in [true, false] {
                let mut reader = open_own(count, len, ends);
                assert_eq!(reader.read_first(), (expected.clone(), ends), "{count} x {len}");
                assert_eq!(reader.read(), (String::new(), ends));
            }
        }
    }

    #[test]
    fn what_cannot_stand_in_a_header_is_left_out() {
        let mut response = Response::default();
        for (name, value) in
            [("", "x"), ("a b", "x"), ("é", "x"), ("a\n", "x"), ("x-a", "a\nb"), ("X-B", "x")]
        {
            append(&mut response, name, value);
        }
        assert_eq!(response.headers().len(), 1);
        assert_eq!(response.headers().get("x-b").map(HeaderValue::as_bytes), Some(b"x".as_slice()));
    }
}
