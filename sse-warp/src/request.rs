//! [`request`]: the filter that reads what opening a stream takes.

use std::{borrow::Cow, convert::Infallible, net::SocketAddr, ops::Deref};

use sse_core::{Hub, Lifecycle, Request, RequestHead};
use warp::{
    Filter,
    host::Authority,
    http::{HeaderMap, HeaderValue, Method},
};

/// A filter that gives a handler the [`Hub`].
pub fn with_hub(hub: &Hub) -> impl Filter<Extract = (Hub,), Error = Infallible> + Clone + use<> {
    let hub = hub.clone();
    warp::any().map(move || hub.clone())
}

/// A filter that reads what opening a stream takes: the client's position, its query, its address.
///
/// The streams end when the lifecycle says so; a [`Hub`] brings one.
pub fn request<T: AsRef<Lifecycle>>(
    lifecycle: &T,
) -> impl Filter<Extract = (SseRequest,), Error = Infallible> + Clone + use<T> {
    let lifecycle = lifecycle.as_ref().clone();
    head().map(move |head: Head| SseRequest(Request::new(&head, &lifecycle)))
}

pub(crate) fn head() -> impl Filter<Extract = (Head,), Error = Infallible> + Clone {
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    // It refuses a host that cannot be read; that is not for us to say.
    let host = warp::host::optional().or(warp::any().map(|| None)).unify();
    let peer = warp::ext::optional::<PeerAddr>().and(warp::addr::remote());
    let peer = peer.map(|own: Option<PeerAddr>, warps| own.map(|PeerAddr(addr)| addr).or(warps));
    warp::method()
        .and(warp::header::headers_cloned())
        .and(query)
        .and(host)
        .and(peer)
        .map(|method, headers, query, host, peer| Head { method, headers, query, host, peer })
}

/// The client's address, as an extension of a request that reaches warp through `warp::service`.
///
/// `warp::serve` knows the address, but behind a server of one's own nobody tells warp: insert this into the
/// request's extensions there, and [`request`] finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddr(pub SocketAddr);

/// What the [`request`] filter extracts.
#[derive(Clone, Debug)]
pub struct SseRequest(Request);

impl Deref for SseRequest {
    type Target = Request;

    fn deref(&self) -> &Request {
        &self.0
    }
}

pub(crate) struct Head {
    method: Method,
    headers: HeaderMap,
    query: String,
    host: Option<Authority>,
    peer: Option<SocketAddr>,
}

impl RequestHead for Head {
    fn method(&self) -> &str {
        self.method.as_str()
    }

    fn headers(&self, name: &str) -> Vec<&[u8]> {
        self.headers.get_all(name).iter().map(HeaderValue::as_bytes).collect()
    }

    fn host(&self) -> Option<Cow<'_, str>> {
        self.host.as_ref().map(|host| host.as_str().into())
    }

    fn query(&self) -> Option<&str> {
        Some(&self.query)
    }

    fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }
}
