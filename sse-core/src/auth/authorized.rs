//! [`Authorized`]: a request that was let in.

use std::{fmt, future::Future, sync::Arc, time::Duration};

#[cfg(feature = "jwt")]
use super::{claims::Claims, ticket_store::SessionKey};
use super::{
    denial::{Asker, Denial},
    granted::Granted,
    identity::Identity,
    reauthorize::Reauthorize,
    revocation::Revocations,
    stamp::Stamp,
};
use crate::{
    clock::Clock,
    lease::{Access, Lease, Signal},
    nodes::ShareError,
    refusal::{Field, Refusal},
    request::Request,
    topic::{Topic, TopicError, Topics},
};

/// A request with a good token, or of a good session: what it asks for, who asks, and what that one may see.
///
/// [`Hub::open`](crate::Hub::open) and [`EventStream::open`](crate::EventStream::open) take it like a [`Request`]. A
/// stream that is opened with it
///
/// - has no topic that the token does not grant: asking for one is a 403,
/// - ends when the token expires, or when it is [revoked](Revocations),
/// - bears the header fields of CORS and of a ticket's cookie.
///
/// ```
/// use sse_core::{Auth, EventStream, Hub, Refusal, RequestHead, Subscription};
///
/// async fn events(auth: Auth, hub: Hub, head: &impl RequestHead) -> Result<EventStream<Subscription>, Refusal> {
///     let client = auth.authorize(head, hub.lifecycle()).await?;
///     hub.open(&client, client.granted_topics()?)
/// }
/// ```
///
/// In other handlers it is the proof of who asks. `U` is what the application calls that one, where it signs people in
/// by itself.
#[derive(Clone)]
pub struct Authorized<U = ()> {
    request: Request,
    admission: Arc<Admission>,
    user: U,
}

impl<U> Authorized<U> {
    pub(super) fn new(request: Request, admission: Arc<Admission>, user: U) -> Self {
        Self { request: request.with_access(Arc::clone(&admission) as Arc<dyn Access>), admission, user }
    }

    /// As what the application knows the one who asks: what [`Auth::admit`](crate::Auth::admit) was given.
    pub fn user(&self) -> &U {
        &self.user
    }

    /// The same, and as what the application knows the one who asks.
    pub fn with_user<V>(self, user: V) -> Authorized<V> {
        let Self { request, admission, .. } = self;
        Authorized { request, admission, user }
    }

    /// What was asked: its query, its address, the client's position.
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// Who asks: the token's `sub`, or whom the application has named.
    pub fn subject(&self) -> &str {
        &self.admission.stamp.subject
    }

    /// What the token says; nothing for a session of the application's own.
    #[cfg(feature = "jwt")]
    pub fn claims(&self) -> Option<&Claims> {
        self.admission.token.as_ref().map(|token| &token.claims)
    }

    /// Whether the token grants this topic, and it was not revoked.
    pub fn allows(&self, topic: &Topic) -> bool {
        self.admission.check(&topic.clone().into()).is_ok()
    }

    /// The topics themselves, if all of them are granted.
    ///
    /// # Errors
    /// A [`Refusal`] with 403, whichever is not granted; with 204 where a stream is asked for and all of them were
    /// revoked; with 400 for names that are not topics.
    pub fn granted<T>(&self, topics: T) -> Result<Topics, Refusal>
    where
        T: TryInto<Topics, Error: Into<TopicError>>,
    {
        let topics = topics.try_into().map_err(|error| self.request.refuse(error.into()))?;
        self.admission.check(&topics).map_err(|denial| self.refuse(denial))?;
        Ok(topics)
    }

    /// The topics that the query string asks for with `topic=`, if all of them are granted; where it names none, all
    /// that the token grants by their full names: a stream of everything that is one's own.
    ///
    /// Patterns name no topic, and are left out; a client may ask for what they match.
    ///
    /// # Errors
    /// A [`Refusal`] with 403 for the whole request where one topic is not granted or there is none, and with 400
    /// for what [`Topics::from_query`] refuses.
    pub fn granted_topics(&self) -> Result<Topics, Refusal> {
        let own: Vec<_> = self.admission.granted.exact().collect();
        match Topics::from_query(self.request.query(), own) {
            Ok(topics) => self.granted(topics),
            Err(TopicError::None) => Err(self.refuse(Denial::Scope("the token names no topic"))),
            Err(error) => Err(self.request.refuse(error)),
        }
    }

    pub(super) fn refuse(&self, denial: Denial) -> Refusal {
        self.request.refuse(denial.answer(self.admission.asker))
    }

    pub(super) fn stamp(&self) -> &Arc<Stamp> {
        &self.admission.stamp
    }

    #[cfg(feature = "jwt")]
    pub(super) fn admission(&self) -> &Admission {
        &self.admission
    }

    fn is_by_token(&self) -> bool {
        #[cfg(feature = "jwt")]
        return self.admission.token.is_some();
        #[cfg(not(feature = "jwt"))]
        false
    }
}

impl Revocations {
    /// The session or the token that a request was let in with, as when somebody signs out; the same person can sign in
    /// again. A session that the application gave no id has no other request by which it could be known: of it the open
    /// streams of this request end alone.
    ///
    /// Returns how many open streams this ends on this node.
    ///
    /// # Errors
    /// [`ShareError`], as [`revoke_subject`](Self::revoke_subject).
    pub fn revoke<U>(
        &self,
        client: &Authorized<U>,
    ) -> impl Future<Output = Result<usize, ShareError>> + Send + use<U> {
        let revocations = self.clone();
        let stamp = Arc::clone(client.stamp());
        let is_known_elsewhere = stamp.session.is_some() || client.is_by_token();
        // It holds nothing of the client: what an application knows of whoever asks may not be fit to be sent about.
        async move {
            let until = stamp.until().min(revocations.until(revocations.now()));
            match is_known_elsewhere {
                true => revocations.revoke_key(stamp.key, until).await,
                false => Ok(revocations.revoke_key_here(stamp.key, until).1),
            }
        }
    }
}

impl<U> AsRef<Request> for Authorized<U> {
    fn as_ref(&self) -> &Request {
        &self.request
    }
}

impl<U> AsRef<Self> for Authorized<U> {
    fn as_ref(&self) -> &Self {
        self
    }
}

/// Neither claims nor query.
impl<U> fmt::Debug for Authorized<U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorized").field("request", &self.request).finish_non_exhaustive()
    }
}

/// What a request was let in with.
pub(super) struct Admission {
    pub(super) asker: Asker,
    pub(super) stamp: Arc<Stamp>,
    pub(super) granted: Granted,
    #[cfg(feature = "jwt")]
    pub(super) token: Option<Token>,
    pub(super) fields: Vec<Field>,
    pub(super) revocations: Revocations,
    pub(super) clock: Clock,
    pub(super) notice: Option<Duration>,
    pub(super) reauthorize: Option<(Reauthorize, Identity)>,
}

/// The token that it was.
#[cfg(feature = "jwt")]
pub(super) struct Token {
    pub(super) claims: Claims,
    /// By the header `Authorization`, which no browser sends by itself.
    pub(super) by_header: bool,
    /// What came of a ticket.
    pub(super) session: Option<SessionKey>,
}

impl Admission {
    pub(super) fn check(&self, topics: &Topics) -> Result<(), Denial> {
        if !self.granted.allows_all(topics) {
            return Err(Denial::Scope("a topic is not granted"));
        }
        self.revocations.check_topics(&self.stamp, topics)
    }
}

impl Access for Admission {
    fn admit(&self, topics: &Topics) -> Result<(), Refusal> {
        self.check(topics).map_err(|denial| denial.answer(self.asker))
    }

    fn lease(&self, topics: Option<&Topics>) -> Result<Lease, Refusal> {
        let stamp = &self.stamp;
        let signal = Arc::new(Signal::default());
        let registration = self.revocations.register(stamp, topics, Arc::clone(&signal));
        let registration = registration.map_err(|denial| denial.answer(self.asker))?;
        #[cfg(feature = "jwt")]
        let registration = {
            let session = self.token.as_ref().and_then(|token| token.session.as_ref());
            (registration, session.map(SessionKey::open))
        };
        let entry = Box::new(registration);
        let recheck = |(reauthorize, identity): &(Reauthorize, Identity)| {
            reauthorize.recheck(identity.clone(), topics, self.clock.now())
        };
        let lease = Lease::new(self.clock.clone(), stamp.ends_at, self.notice, signal, entry);
        Ok(lease.with_recheck(self.reauthorize.as_ref().map(recheck)))
    }

    fn subject(&self) -> Option<&str> {
        Some(&*self.stamp.subject).filter(|subject| !subject.is_empty())
    }

    fn is_shared(&self) -> bool {
        self.revocations.others().joined().is_some()
    }

    fn headers(&self) -> &[Field] {
        &self.fields
    }
}

impl fmt::Debug for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Admission")
    }
}
