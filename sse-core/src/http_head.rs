//! A request of the crate `http`, shown as it is.

use std::{borrow::Cow, net::SocketAddr};

use ::http::{Extensions, HeaderMap, HeaderValue, Request, Uri, request::Parts};

use crate::request::RequestHead;

/// With the feature `http`. The host is that of an absolute target (which is where HTTP/2 has it), or else of the
/// header `Host`. The peer is a [`SocketAddr`] among the request's extensions: whoever accepts the connection puts it
/// there.
///
/// ```
/// use sse_core::{Hub, Request};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let hub = Hub::new();
/// let head = http::Request::get("/events?topic=news")
///     .header("last-event-id", hub.position().to_string())
///     .extension(std::net::SocketAddr::from(([127, 0, 0, 1], 50_000)))
///     .body(())?;
/// let request = Request::new(&head, hub.lifecycle());
/// let stream = hub.open(&request, request.topics("news", ["news"])?)?;
/// # assert_eq!(request.last_event_id().and_then(|id| id.as_event_id()), Some(hub.position()));
/// # assert!(request.peer().is_some());
/// # Ok(())
/// # }
/// ```
impl<B> RequestHead for Request<B> {
    fn method(&self) -> &str {
        Self::method(self).as_str()
    }

    fn headers<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        values(Self::headers(self), name)
    }

    fn host(&self) -> Option<Cow<'_, str>> {
        host(self.uri(), Self::headers(self))
    }

    fn path(&self) -> &str {
        self.uri().path()
    }

    fn query(&self) -> Option<&str> {
        self.uri().query()
    }

    fn peer(&self) -> Option<SocketAddr> {
        peer(self.extensions())
    }
}

/// With the feature `http`: as for [`http::Request`](::http::Request), of which these are the parts.
impl RequestHead for Parts {
    fn method(&self) -> &str {
        self.method.as_str()
    }

    fn headers<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        values(&self.headers, name)
    }

    fn host(&self) -> Option<Cow<'_, str>> {
        host(&self.uri, &self.headers)
    }

    fn path(&self) -> &str {
        self.uri.path()
    }

    fn query(&self) -> Option<&str> {
        self.uri.query()
    }

    fn peer(&self) -> Option<SocketAddr> {
        peer(&self.extensions)
    }
}

fn values<'a>(headers: &'a HeaderMap, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    headers.get_all(name).into_iter().map(HeaderValue::as_bytes)
}

// An absolute target counts for more than the header (RFC 9112 §3.2.2); HTTP/2 has nothing else.
fn host<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Option<Cow<'a, str>> {
    let target = uri.authority().map(|authority| authority.as_str().into());
    target.or_else(|| headers.get("host").map(|host| String::from_utf8_lossy(host.as_bytes())))
}

fn peer(extensions: &Extensions) -> Option<SocketAddr> {
    extensions.get().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is seen: method, cookies, host, path, query, port of the peer.
    type Seen = (String, Vec<Vec<u8>>, Option<String>, String, Option<String>, Option<u16>);

    fn seen(head: &impl RequestHead) -> Seen {
        (
            head.method().to_owned(),
            head.headers("cookie").map(<[u8]>::to_vec).collect(),
            head.host().map(Cow::into_owned),
            head.path().to_owned(),
            head.query().map(str::to_owned),
            head.peer().map(|peer| peer.port()),
        )
    }

    #[test]
    fn a_request_and_its_parts_show_the_same() {
        let text = |text: &str| Some(text.to_owned());
        let plain = || Request::head("/a%20b?topic=x&x").header("host", "by-header:8080");
        let cases = [
            (
                plain().header("cookie", "a=b").header("cookie", b"c=\xff".as_slice()),
                (
                    "HEAD".to_owned(),
                    vec![b"a=b".to_vec(), b"c=\xff".to_vec()],
                    text("by-header:8080"),
                    "/a%20b".to_owned(),
                    text("topic=x&x"),
                    None,
                ),
            ),
            (
                plain().uri("https://by-target/").extension(SocketAddr::from(([127, 0, 0, 1], 7))),
                ("HEAD".to_owned(), vec![], text("by-target"), "/".to_owned(), None, Some(7)),
            ),
            (Request::put("/"), ("PUT".to_owned(), vec![], None, "/".to_owned(), None, None)),
        ];
        for (builder, expected) in cases {
            let request = builder.body("a body of any type").unwrap();
            assert_eq!(seen(&request), expected);
            assert_eq!(seen(&request.into_parts().0), expected);
        }
        let none = Request::new(());
        assert_eq!(RequestHead::headers(&none, "no such name\n").count(), 0);
    }
}
