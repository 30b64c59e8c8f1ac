//! [`Request`]: what the library needs to know of a request before it opens a stream.

#[cfg(feature = "limits")]
use std::net::IpAddr;
use std::{borrow::Cow, fmt, net::SocketAddr, sync::Arc};

use crate::{
    last_event_id::LastEventId,
    lease::{Access, Lease},
    lifecycle::{Life, Lifecycle, Permit},
    metrics::{self, Asked, Refused},
    options::{Rhythm, StreamOptions},
    refusal::{Field, Refusal},
    topic::{TopicError, TopicPattern, Topics},
};
#[cfg(feature = "limits")]
use crate::{
    limits::{Asker, Limits, Over},
    topic::Topic,
};

/// What an adapter shows of its framework's request.
pub trait RequestHead {
    /// The method, in capitals.
    fn method(&self) -> &str;

    /// The first value of a header field, `name` in lower case. As bytes: ids may be any UTF-8, and what is
    /// not even that must not turn a browser away.
    fn header<'a>(&'a self, name: &'a str) -> Option<&'a [u8]> {
        self.headers(name).next()
    }

    /// Every value of a header field, in order, `name` in lower case.
    ///
    /// HTTP/2 may split `Cookie` over several fields, and two fields `Authorization` are one too many.
    fn headers<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]>;

    /// The host and port that the client asked for: the header `Host`, or where HTTP/2 has none, its
    /// `:authority`.
    fn host(&self) -> Option<Cow<'_, str>> {
        self.header("host").map(String::from_utf8_lossy)
    }

    /// The path, as it was sent. Where an adapter does not show it, tickets open nothing.
    fn path(&self) -> &str {
        ""
    }

    /// The query string, without the question mark.
    fn query(&self) -> Option<&str>;

    /// The address at the other end of the connection, not one that a header claims.
    fn peer(&self) -> Option<SocketAddr>;
}

/// A request for a stream, owned: its position, its query and where it comes from.
///
/// Adapters make it (`SseRequest` in each of them); [`Hub::open`](crate::Hub::open) and
/// [`EventStream::open`](crate::EventStream::open) take it.
#[derive(Clone)]
pub struct Request {
    lifecycle: Lifecycle,
    last_event_id: Option<LastEventId>,
    query: Box<str>,
    peer: Option<SocketAddr>,
    #[cfg(feature = "limits")]
    client: Option<IpAddr>,
    is_head: bool,
    #[cfg(feature = "auth")]
    accepts_events: bool,
    is_browser: bool,
    asked: Asked,
    // What authorisation allows; without it everything is.
    access: Option<Arc<dyn Access>>,
}

impl Request {
    /// Reads what is needed from a framework's request.
    pub fn new(head: &impl RequestHead, lifecycle: &Lifecycle) -> Self {
        let query = head.query().unwrap_or_default();
        let last_event_id = head
            .header("last-event-id")
            .and_then(LastEventId::from_bytes)
            .or_else(|| LastEventId::from_query(query));
        let accepts_events = head
            .headers("accept")
            .any(|accept| String::from_utf8_lossy(accept).to_ascii_lowercase().contains("text/event-stream"));
        Self {
            lifecycle: lifecycle.clone(),
            last_event_id,
            query: query.into(),
            peer: head.peer(),
            #[cfg(feature = "limits")]
            client: client_address(head, lifecycle),
            is_head: head.method() == "HEAD",
            #[cfg(feature = "auth")]
            accepts_events,
            is_browser: accepts_events && head.header("sec-fetch-mode").is_some(),
            asked: Asked::now(),
            access: None,
        }
    }

    /// The same request, authorised.
    #[cfg(feature = "auth")]
    pub(crate) fn with_access(mut self, access: Arc<dyn Access>) -> Self {
        self.access = Some(access);
        self
    }

    /// Where the client says it is: the header `Last-Event-ID`, else the query parameter `last_event_id` or
    /// `lastEventId`. An empty one counts as none
    /// ([HTML §9.2.4](https://html.spec.whatwg.org/multipage/server-sent-events.html#the-last-event-id-header)).
    pub fn last_event_id(&self) -> Option<&LastEventId> {
        self.last_event_id.as_ref()
    }

    /// The query string, without the question mark. It may hold secrets: keep it out of logs.
    pub fn query(&self) -> &str {
        &self.query
    }

    /// The topics that the query string asks for with `topic=`, or else `default`, if all of them are among the
    /// allowed ones: names, or what they begin with (`public/*`).
    ///
    /// ```
    /// # use sse_core::{EventStream, Hub, Refusal, Request, Subscription};
    /// const OPEN: [&str; 2] = ["news", "public/*"]; // all that anybody may read
    ///
    /// fn events(request: &Request, hub: &Hub) -> Result<EventStream<Subscription>, Refusal> {
    ///     hub.open(request, request.topics("news", OPEN)?)
    /// }
    /// ```
    ///
    /// Whoever asks, the answer is the same: what some may read and others not is for `Authorized`, whose
    /// `granted_topics` takes the place of this.
    ///
    /// # Errors
    /// A 403 for the whole request where one topic, the default included, is not [among](Topics::among) them, and
    /// a 400 for what [`Topics::from_query`] refuses.
    pub fn topics<T, I>(&self, default: T, allowed: I) -> Result<Topics, Refusal>
    where
        T: TryInto<Topics, Error: Into<TopicError>>,
        I: IntoIterator,
        I::Item: TryInto<TopicPattern>,
    {
        let topics = self.any_topics(default)?;
        topics.among(allowed).map_err(|error| self.refuse(error))
    }

    /// The topics that the query string asks for, whatever they are: **anybody may read anything in the hub**,
    /// other people's topics included. For hubs that hold nothing but what is public, and for handlers that decide
    /// by themselves.
    ///
    /// # Errors
    /// A 400 for what [`Topics::from_query`] refuses.
    pub fn any_topics<T>(&self, default: T) -> Result<Topics, Refusal>
    where
        T: TryInto<Topics, Error: Into<TopicError>>,
    {
        Topics::from_query(&self.query, default).map_err(|error| self.refuse(error))
    }

    /// Header fields that every answer to this request bears: those of CORS and a cookie, where authorisation
    /// calls for them. Streams and the refusals of this crate have them already.
    pub fn response_headers(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.fields().iter().map(|(name, value)| (*name, &**value))
    }

    pub(crate) fn fields(&self) -> &[Field] {
        self.access.as_ref().map_or(&[], |access| access.headers())
    }

    /// A refusal that a page of another origin can read too, if that origin is allowed.
    pub fn refuse(&self, why: impl Into<Refusal>) -> Refusal {
        let headers = self.response_headers();
        headers.fold(why.into(), |refusal, (name, value)| refusal.with(name, value.to_owned()))
    }

    /// The address at the other end of the connection: of the proxy, where there is one.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// Where the client is: at the other end of the connection, or where the
    /// [trusted proxies](crate::LimitsBuilder::trusted_proxies) in front of the server say. An address of IPv4 in IPv6's
    /// form is in its own.
    #[cfg(feature = "limits")]
    pub fn client_address(&self) -> Option<IpAddr> {
        self.client
    }

    /// Whether it asks for a stream by its `Accept`, as every `EventSource` does.
    #[cfg(feature = "auth")]
    pub(crate) fn accepts_events(&self) -> bool {
        self.accepts_events
    }

    /// Whether it is a browser's `EventSource`, for which any status but 200 is the end.
    #[cfg(feature = "auth")]
    pub(crate) fn is_browser(&self) -> bool {
        self.is_browser
    }

    /// Whether only the head of the answer is asked for.
    pub(crate) fn is_head(&self) -> bool {
        self.is_head
    }

    /// Whether these topics are granted to the one who asks.
    pub(crate) fn admit(&self, topics: &Topics) -> Result<(), Refusal> {
        match &self.access {
            Some(access) => access.admit(topics).map_err(|refusal| self.refuse(refusal)),
            None => Ok(()),
        }
    }

    /// Whether all nodes know what is revoked of whatever let it in; also where nothing did.
    pub(crate) fn is_shared(&self) -> bool {
        self.access.as_ref().is_none_or(|access| access.is_shared())
    }

    /// Who asks, where somebody knows.
    fn subject(&self) -> Option<&str> {
        self.access.as_ref().and_then(|access| access.subject())
    }

    /// What is told of a stream that opens.
    pub(crate) fn life(&self, topics: Option<&Topics>) -> Option<Arc<Life>> {
        self.lifecycle.life(self.asked, self.subject(), topics, self.last_event_id.is_some())
    }

    /// How long a stream of these topics may be open; nothing where there is no authorisation.
    pub(crate) fn lease(&self, topics: Option<&Topics>) -> Result<Option<Lease>, Refusal> {
        let lease = self.access.as_ref().map(|access| access.lease(topics)).transpose();
        lease.map_err(|refusal| self.refuse(refusal))
    }

    /// A place among the open streams of the request's server, and one among those of `other`, if that is another.
    ///
    /// One that `owes` is fed by a hub. While either stops, and where the limits of either or of the endpoint are reached, a browser's `EventSource` is
    /// told to come back in the one form that it obeys; other clients get a status.
    #[cfg_attr(not(feature = "limits"), expect(unused_variables, reason = "limits count them"))]
    pub(crate) fn permits(
        &self,
        other: Option<&Lifecycle>,
        owes: bool,
        topics: Option<&Topics>,
        options: &StreamOptions,
    ) -> Result<(Permit, Option<Permit>), Refusal> {
        let rhythm = options.rhythm;
        let other = other.filter(|other| !other.is(&self.lifecycle));
        let permit = self.permit(&self.lifecycle, owes, rhythm)?;
        let other_permit = other.map(|other| self.permit(other, owes, rhythm)).transpose()?;
        #[cfg(feature = "limits")]
        let permit = {
            let asker = Asker { subject: self.subject(), address: self.client };
            let enter = |limits: &Limits| {
                let place = limits.enter(asker, topics.into_iter().flatten().map(Topic::as_str));
                place.map_err(|over| self.refuse_over(limits, over, rhythm))
            };
            let places = self.limits(other, options).map(enter).collect::<Result<_, _>>();
            permit.with_places(places?)
        };
        Ok((permit, other_permit))
    }

    /// Whether a request may have so many topics.
    #[cfg_attr(not(feature = "limits"), expect(unused_variables, reason = "nothing limits them"))]
    pub(crate) fn check_topics(
        &self,
        other: Option<&Lifecycle>,
        topics: Option<&Topics>,
        options: &StreamOptions,
    ) -> Result<(), Refusal> {
        #[cfg(feature = "limits")]
        if let Some(topics) = topics {
            let count = topics.iter().len();
            for limits in self.limits(other, options) {
                let checked = limits.check_topics(count);
                checked.map_err(|over| self.refuse_over(limits, over, options.rhythm))?;
            }
        }
        Ok(())
    }

    /// Those that a stream falls under, each once.
    #[cfg(feature = "limits")]
    fn limits<'a>(
        &'a self,
        other: Option<&'a Lifecycle>,
        options: &'a StreamOptions,
    ) -> impl Iterator<Item = &'a Limits> {
        let own = self.lifecycle.limits();
        let others = other.and_then(Lifecycle::limits).filter(|limits| own != Some(*limits));
        let endpoints = options.limits.as_ref();
        let endpoints = endpoints.filter(|limits| own != Some(*limits) && others != Some(*limits));
        own.into_iter().chain(others).chain(endpoints)
    }

    #[cfg(feature = "limits")]
    fn refuse_over(&self, limits: &Limits, over: Over, rhythm: Rhythm) -> Refusal {
        // Who comes too often fills no log.
        tracing::debug!(status = over.status(), reason = %over, "refused a stream");
        metrics::refused(refused(over));
        let refusal = Refusal::sentence(over.status(), &over);
        // Not all of them at once.
        let retry = over.retry(rhythm.retry()).map(|retry| retry.mul_f64(rand::random_range(1.0..1.5)));
        self.refuse(match retry {
            Some(retry) if self.is_browser && !limits.gives_browsers_the_status() => {
                Refusal::come_back(retry)
            }
            Some(retry) => refusal.retry_after(retry),
            None => refusal,
        })
    }

    fn permit(&self, lifecycle: &Lifecycle, owes: bool, rhythm: Rhythm) -> Result<Permit, Refusal> {
        lifecycle.enter(owes).ok_or_else(|| {
            metrics::refused(Refused::Stopping);
            let refusal = self.later(rhythm, "The server is stopping, please come back.");
            // Or whoever uses the connection again comes back to the server that stops.
            self.refuse(refusal.closing())
        })
    }

    /// What tells a client to come back in a while, in the form that it obeys.
    fn later(&self, rhythm: Rhythm, sentence: &'static str) -> Refusal {
        let retry = rhythm.retry();
        if self.is_browser { Refusal::come_back(retry) } else { Refusal::unavailable(retry, sentence) }
    }

    /// The answer while it is not known what the other nodes have done.
    pub(crate) fn refuse_while_away(&self, rhythm: Rhythm) -> Refusal {
        metrics::refused(Refused::EngineAway);
        self.refuse(self.later(rhythm, "The server cannot reach the others, please come back."))
    }
}

/// As what it is counted.
#[cfg(feature = "limits")]
fn refused(over: Over) -> Refused {
    match over {
        Over::Streams => Refused::Streams,
        Over::Topic => Refused::Topic,
        Over::Subject => Refused::Subject,
        Over::Address => Refused::Address,
        Over::Rate(_) => Refused::Rate,
        Over::Topics { .. } => Refused::TooManyTopics,
    }
}

#[cfg(feature = "limits")]
fn client_address(head: &impl RequestHead, lifecycle: &Lifecycle) -> Option<IpAddr> {
    let peer = head.peer().map(|peer| peer.ip().to_canonical());
    match lifecycle.limits().and_then(Limits::proxies) {
        Some(proxies) => proxies.client(peer, head.headers(proxies.header_name())),
        None => peer,
    }
}

impl AsRef<Self> for Request {
    fn as_ref(&self) -> &Self {
        self
    }
}

/// The query string is left out: it may hold a secret.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("last_event_id", &self.last_event_id)
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(headers: Vec<(&str, &[u8])>, query: &str) -> http::Request<()> {
        let request = http::Request::get(format!("/events?{query}"));
        let request = headers.into_iter().fold(request, |request, (name, value)| request.header(name, value));
        request.body(()).unwrap()
    }

    fn id(headers: Vec<(&str, &[u8])>, query: &str) -> Option<Option<String>> {
        Request::new(&head(headers, query), &Lifecycle::new())
            .last_event_id()
            .map(|id| id.as_str().map(String::from))
    }

    #[test]
    fn the_header_comes_before_the_query_and_empty_is_absent() {
        let text = |text: &str| Some(Some(text.to_owned()));
        assert_eq!(id(vec![], ""), None);
        assert_eq!(id(vec![("last-event-id", b"")], ""), None);
        assert_eq!(id(vec![("last-event-id", b"")], "last_event_id=q"), text("q"));
        assert_eq!(id(vec![("last-event-id", b"h")], "lastEventId=q"), text("h"));
        assert_eq!(id(vec![], "x=1&lastEventId=%C3%A9"), text("é"));
        assert_eq!(id(vec![], "last_event_id="), None);
        assert_eq!(id(vec![], "last_event_id=%ff"), Some(None));
        assert_eq!(id(vec![("last-event-id", b"\xff")], ""), Some(None));
        assert_eq!(id(vec![("last-event-id", &[b'x'; 1025])], ""), Some(None));
        assert!(id(vec![("last-event-id", &[b'x'; 1024])], "").unwrap().is_some());
    }

    #[test]
    fn debug_shows_no_query() {
        let request = Request::new(&head(vec![], "access_token=secret"), &Lifecycle::new());
        assert!(!format!("{request:?}").contains("secret"));
    }
}
