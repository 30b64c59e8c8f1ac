//! What the servers other than ours publish through: `tokio::sync::broadcast`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;

pub const EPOCH: u64 = 0x0123_4567_89ab_cdef;

/// The bytes that ours sends for the same event.
pub fn frame(body: &[u8], seq: usize) -> Bytes {
    let mut out = Vec::with_capacity(body.len() + 64);
    out.extend_from_slice(b"data: ");
    out.extend_from_slice(body);
    out.extend_from_slice(format!("\nid: {EPOCH:016x}-{seq}\n\n").as_bytes());
    out.into()
}

/// Bytes of the form that ours opens a stream with.
fn opening() -> Bytes {
    format!(":\nretry: 3000\nevent: sse-position\ndata: {{}}\nid: {EPOCH:016x}-0\n\n").into()
}

/// An event that was encoded once, for everybody.
#[derive(Clone, Debug)]
pub struct Encoded(pub Bytes);

/// An event that every stream encodes for itself.
#[derive(Clone, Debug)]
pub struct Text {
    pub data: String,
    pub id: String,
}

pub trait Published: Clone + Send + Sync + 'static {
    fn new(body: &str, seq: usize) -> Self;
}

impl Published for Encoded {
    fn new(body: &str, seq: usize) -> Self {
        Self(frame(body.as_bytes(), seq))
    }
}

impl Published for Text {
    fn new(body: &str, seq: usize) -> Self {
        Self { data: body.to_owned(), id: format!("{EPOCH:016x}-{seq}") }
    }
}

#[derive(Clone, Debug)]
pub struct Channel<E> {
    sender: broadcast::Sender<E>,
    seq: Arc<AtomicUsize>,
}

pub fn channel<E: Published>() -> Channel<E> {
    Channel { sender: broadcast::Sender::new(1024), seq: Arc::default() }
}

impl<E: Published> Channel<E> {
    pub fn publish(&self, body: &str) {
        let seq = self.seq.fetch_add(1, Ordering::SeqCst) + 1;
        let _ = self.sender.send(E::new(body, seq));
    }
}

/// What is published from now on.
pub fn live<E: Published>(channel: &Channel<E>) -> impl Stream<Item = E> + Send + Sync + Unpin + use<E> {
    BroadcastStream::new(channel.sender.subscribe()).filter_map(|event| std::future::ready(event.ok()))
}

/// [`live`], behind the bytes that ours opens a stream with.
pub fn opened(channel: &Channel<Encoded>) -> impl Stream<Item = Encoded> + Send + Sync + use<> {
    let (mut live, mut opens) = (live(channel), true);
    // `once` and `chain` would add to what each event costs.
    stream::poll_fn(move |cx| {
        if opens {
            opens = false;
            return Poll::Ready(Some(Encoded(opening())));
        }
        live.poll_next_unpin(cx)
    })
}
