//! [`request`]: the filter that reads what opening a stream takes.

use std::{borrow::Cow, convert::Infallible, net::SocketAddr};

use sse_core::{Hub, Lifecycle, Request, RequestHead};
use warp::{
    Filter,
    host::Authority,
    http::{HeaderMap, HeaderValue, Method},
    path::FullPath,
};

use crate::Extracted;

/// A filter that gives a handler the [`Hub`].
pub fn with_hub(hub: &Hub) -> impl Filter<Extract = (Hub,), Error = Infallible> + Clone + use<> {
    let hub = hub.clone();
    warp::any().map(move || hub.clone())
}

/// A filter that gives a handler the [`Lifecycle`], for applications without a hub.
pub fn with_lifecycle(
    lifecycle: &Lifecycle,
) -> impl Filter<Extract = (Lifecycle,), Error = Infallible> + Clone + use<> {
    let lifecycle = lifecycle.clone();
    warp::any().map(move || lifecycle.clone())
}

/// A filter that reads what opening a stream takes: the client's position, its query, its address.
///
/// The streams end when the lifecycle says so; a [`Hub`] brings one.
pub fn request<T: AsRef<Lifecycle>>(
    lifecycle: &T,
) -> impl Filter<Extract = (SseRequest,), Error = Infallible> + Clone + use<T> {
    let lifecycle = lifecycle.as_ref().clone();
    head().map(move |head: Box<Head>| Extracted(Box::new(Request::new(&*head, &lifecycle))))
}

/// In a box, which grows field by field: hyper keeps as much room as a handler's future takes for as long as the
/// connection lives.
pub(crate) fn head() -> impl Filter<Extract = (Box<Head>,), Error = Infallible> + Clone {
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    // It refuses a host that cannot be read; that is not for us to say.
    let host = warp::host::optional().or(warp::any().map(|| None)).unify();
    let peer = warp::ext::optional::<PeerAddr>().and(warp::addr::remote());
    let peer = peer.map(|own: Option<PeerAddr>, warps| own.map(|PeerAddr(addr)| addr).or(warps));
    let headers = warp::header::headers_cloned().map(Box::new);
    let head = warp::method().and(headers).map(|method, headers: Box<HeaderMap>| {
        Box::new(Head { method, headers: *headers, path: None, query: String::new(), host: None, peer: None })
    });
    let path = warp::path::full();
    let head = head.and(path).map(|head: Box<Head>, path| head.with(|head| head.path = Some(path)));
    let head = head.and(query).map(|head: Box<Head>, query| head.with(|head| head.query = query));
    let head = head.and(host).map(|head: Box<Head>, host| head.with(|head| head.host = host));
    head.and(peer).map(|head: Box<Head>, peer| head.with(|head| head.peer = peer))
}

/// The client's address, as an extension of a request that reaches warp through `warp::service`.
///
/// `warp::serve` knows the address, but behind a server of one's own nobody tells warp: insert this into the
/// request's extensions there, and [`request`] finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddr(pub SocketAddr);

/// What the [`request`] filter extracts.
// In a box: hyper keeps the room of whatever a handler's future holds.
pub type SseRequest = Extracted<Box<Request>>;

pub(crate) struct Head {
    method: Method,
    headers: HeaderMap,
    path: Option<FullPath>,
    query: String,
    host: Option<Authority>,
    peer: Option<SocketAddr>,
}

impl Head {
    fn with(mut self: Box<Self>, set: impl FnOnce(&mut Self)) -> Box<Self> {
        set(&mut self);
        self
    }
}

impl RequestHead for Head {
    fn method(&self) -> &str {
        self.method.as_str()
    }

    fn headers<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.headers.get_all(name).iter().map(HeaderValue::as_bytes)
    }

    fn host(&self) -> Option<Cow<'_, str>> {
        self.host.as_ref().map(|host| host.as_str().into())
    }

    fn path(&self) -> &str {
        self.path.as_ref().map_or("", FullPath::as_str)
    }

    fn query(&self) -> Option<&str> {
        Some(&self.query)
    }

    fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }
}
