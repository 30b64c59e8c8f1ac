//! The two ways into a hub: its own API, and a real server over a real socket.

use std::{
    future::poll_fn,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread,
};

use futures_util::{Stream as _, task::AtomicWaker};
use sse_core::{EventStream, Hub, Request, Subscription, SubscriptionHandle, Topics};
use tokio::runtime;

use crate::topics::{TopicSet, names};

#[derive(Clone, Debug)]
pub(crate) enum Door {
    Memory(Hub),
    Socket { client: reqwest::Client, addr: SocketAddr },
}

/// An open stream.
pub(crate) enum Body {
    Memory(Box<Polled>),
    Socket(reqwest::Response),
}

impl Door {
    /// Opens a stream; `None` while the server stops. In memory, its body may have been in another runtime first.
    ///
    /// # Errors
    /// Any other answer.
    pub(crate) async fn open(
        &self,
        topics: TopicSet,
        id: Option<&str>,
        moves: bool,
    ) -> Result<Option<Body>, String> {
        match self {
            Self::Memory(hub) => {
                let request = Request::new(&head("GET", id), hub.lifecycle());
                match hub.open(&request, names(topics)) {
                    Ok(stream) => {
                        let polled = Polled::new(stream);
                        let polled = if moves { polled.elsewhere() } else { polled };
                        Ok(Some(Body::Memory(Box::new(polled))))
                    }
                    Err(refusal) if hub.lifecycle().is_stopping() && refusal.status() == 503 => Ok(None),
                    Err(refusal) => Err(refusal.to_string()),
                }
            }
            Self::Socket { client, addr } => {
                let request = client.get(url(*addr, topics));
                let request = if let Some(id) = id { request.header("last-event-id", id) } else { request };
                match request.send().await {
                    Ok(answer) if answer.status() == 200 => Ok(Some(Body::Socket(answer))),
                    Ok(answer) if answer.status() == 503 => Ok(None),
                    Ok(answer) => Err(format!("{answer:?}")),
                    Err(error) => Err(format!("{error:?}")),
                }
            }
        }
    }

    /// Asks for the head alone.
    ///
    /// # Errors
    /// A body, or a refusal.
    pub(crate) async fn head(&self, topics: TopicSet, id: Option<&str>) -> Result<(), String> {
        match self {
            Self::Memory(hub) => {
                let request = Request::new(&head("HEAD", id), hub.lifecycle());
                let stream = hub.open(&request, names(topics)).map_err(|refusal| refusal.to_string())?;
                match Polled::new(stream).next().await {
                    None => Ok(()),
                    Some(bytes) => Err(format!("HEAD was answered with {bytes:?}")),
                }
            }
            Self::Socket { client, addr } => {
                let answer =
                    client.head(url(*addr, topics)).send().await.map_err(|error| format!("{error:?}"))?;
                let status = answer.status();
                let body = answer.bytes().await.map_err(|error| format!("{error:?}"))?;
                if status == 200 && body.is_empty() {
                    Ok(())
                } else {
                    Err(format!("HEAD: {status} {body:?}"))
                }
            }
        }
    }
}

fn url(addr: SocketAddr, topics: TopicSet) -> String {
    let names: Vec<String> = names(topics).iter().map(|name| format!("topic={name}")).collect();
    format!("http://{addr}/events?{}", names.join("&"))
}

impl Body {
    /// The next bytes; `None` at a clean end.
    ///
    /// # Errors
    /// The connection broke.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<u8>>, String> {
        match self {
            Self::Memory(polled) => Ok(polled.next().await),
            Self::Socket(answer) => match answer.chunk().await {
                Ok(chunk) => Ok(chunk.map(Vec::from)),
                Err(error) => Err(format!("{error:?}")),
            },
        }
    }

    pub(crate) fn handle(&self) -> Option<SubscriptionHandle> {
        match self {
            Self::Memory(polled) => Some(polled.stream.handle()),
            Self::Socket(_) => None,
        }
    }
}

/// A body that is polled only when it asked for it: a task that looks for other reasons would hide a lost wake-up.
pub(crate) struct Polled {
    stream: Pin<Box<EventStream<Subscription>>>,
    /// Now the one, now the other, as if the body moved between tasks.
    bells: [Arc<Bell>; 2],
    polls: usize,
    /// What it gave to a runtime that has gone since.
    first: Option<Vec<u8>>,
}

#[derive(Default)]
struct Bell {
    rung: AtomicBool,
    task: AtomicWaker,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.rung.store(true, Ordering::SeqCst);
        self.task.wake();
    }
}

impl Polled {
    fn new(stream: EventStream<Subscription>) -> Self {
        let polled = Self { stream: Box::pin(stream), bells: Default::default(), polls: 0, first: None };
        polled.bells[0].rung.store(true, Ordering::SeqCst);
        polled
    }

    /// Has it polled for the first time in a runtime that ends at once.
    fn elsewhere(mut self) -> Self {
        let poll = || {
            let runtime = runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(poll_fn(|cx| Poll::Ready(self.poll(cx))))
        };
        let polled = thread::scope(|scope| scope.spawn(poll).join().expect("a poll"));
        if let Poll::Ready(first) = polled {
            self.first = first;
        }
        self
    }

    async fn next(&mut self) -> Option<Vec<u8>> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Vec<u8>>> {
        self.bell().task.register(cx.waker());
        if !self.bell().rung.swap(false, Ordering::SeqCst) {
            return Poll::Pending;
        }
        self.polls += 1;
        let bell = self.bell();
        bell.task.register(cx.waker());
        let waker = Waker::from(Arc::clone(&bell));
        let polled = self.stream.as_mut().poll_next(&mut Context::from_waker(&waker));
        if polled.is_ready() {
            // Whoever was given something asks again.
            bell.rung.store(true, Ordering::SeqCst);
        }
        polled.map(|chunk| chunk.map(Vec::from))
    }

    /// That of the last poll: three times the one, three times the other.
    fn bell(&self) -> Arc<Bell> {
        Arc::clone(&self.bells[self.polls / 3 % 2])
    }
}

/// What the hub looks at in a request.
fn head(method: &str, id: Option<&str>) -> http::Request<()> {
    let head = http::Request::builder().method(method);
    let head = id.into_iter().fold(head, |head, id| head.header("last-event-id", id));
    head.body(()).expect("a request")
}

pub(crate) fn topics(set: TopicSet) -> Topics {
    Topics::new(names(set)).expect("names of topics")
}
