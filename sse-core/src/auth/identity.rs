//! [`Identity`]: who is signed in, by the application's own word.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{
    digest::Digest,
    granted::{Grant, Granted},
    stamp::Stamp,
};
use crate::topic::{TopicError, TopicPattern};

/// Who is signed in, for applications with sessions of their own: what [`Auth::admit`](crate::Auth::admit) lets in.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use sse_core::{Identity, TopicError};
///
/// /// What the application knows of a request that bears its session's cookie.
/// struct User {
///     name: String,
///     session: String,
///     signed_in: SystemTime,
/// }
///
/// impl TryFrom<&User> for Identity {
///     type Error = TopicError;
///
///     fn try_from(user: &User) -> Result<Self, TopicError> {
///         Ok(Identity::new(&user.name)
///             .topics(["news"])?
///             .exact_topic(format!("user/{}", user.name))?
///             .session(&user.session)
///             .signed_in_at(user.signed_in)
///             .until(user.signed_in + Duration::from_secs(12 * 3600)))
///     }
/// }
/// ```
///
/// `Debug` shows nothing of it.
#[derive(Clone)]
pub struct Identity {
    subject: Box<str>,
    granted: Vec<TopicPattern>,
    everything: bool,
    session: Option<Box<str>>,
    signed_in_at: Option<SystemTime>,
    until: Option<SystemTime>,
}

impl Identity {
    /// Somebody of this name, or number: what [`revoke_subject`](crate::Revocations::revoke_subject) knows them by. No
    /// topic is granted yet.
    pub fn new(subject: impl Into<String>) -> Self {
        Self {
            subject: subject.into().into(),
            granted: Vec::new(),
            everything: false,
            session: None,
            signed_in_at: None,
            until: None,
        }
    }

    /// Grants topics, or all that begin alike: `news`, `team/7/*`. Names with a part that somebody chose belong in
    /// [`exact_topic`](Self::exact_topic).
    ///
    /// # Errors
    /// [`TopicError::Name`] for what could be no topic's name.
    pub fn topics<T: TryInto<TopicPattern, Error: Into<TopicError>>>(
        mut self,
        patterns: impl IntoIterator<Item = T>,
    ) -> Result<Self, TopicError> {
        for pattern in patterns {
            self.granted.push(pattern.try_into().map_err(Into::into)?);
        }
        Ok(self)
    }

    /// Grants the topic of this name alone, whatever the name ends with.
    ///
    /// # Errors
    /// [`TopicError::Name`] for what is not a topic's name.
    pub fn exact_topic(mut self, name: impl AsRef<str>) -> Result<Self, TopicError> {
        self.granted.push(TopicPattern::exact(name)?);
        Ok(self)
    }

    /// **Grants every topic.**
    #[must_use]
    pub fn every_topic(mut self) -> Self {
        self.everything = true;
        self
    }

    /// The session's id, by which [`revoke_session`](crate::Revocations::revoke_session) ends its streams. It is
    /// remembered by a hash.
    #[must_use]
    pub fn session(mut self, id: impl Into<String>) -> Self {
        self.session = Some(id.into().into());
        self
    }

    /// When they signed in (default: long ago). Whoever signs in again after
    /// [`revoke_subject`](crate::Revocations::revoke_subject) is let in if this says so; without it, they are not for
    /// as long as the revocation is remembered.
    #[must_use]
    pub fn signed_in_at(mut self, at: SystemTime) -> Self {
        self.signed_in_at = Some(at);
        self
    }

    /// When it expires: streams end then, and the next request is the application's to judge (default: never).
    #[must_use]
    pub fn until(mut self, until: SystemTime) -> Self {
        self.until = Some(until);
        self
    }

    /// Who it is.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The id of the session, where there is one; of a token its `sid`.
    pub fn session_id(&self) -> Option<&str> {
        self.session.as_deref()
    }

    /// Whoever has this token. What it grants is not repeated.
    #[cfg(feature = "jwt")]
    pub(super) fn of(stamp: &Stamp) -> Self {
        let session = stamp.session_id.clone();
        Self { session, until: Some(stamp.ends_at), ..Self::new(&*stamp.subject) }
    }

    pub(super) fn into_parts(self) -> (Arc<Stamp>, Granted) {
        let granted = match self.everything {
            true => Granted::All,
            false => Granted::new(self.granted.into_iter().map(Grant::Pattern)),
        };
        let session = self.session.as_deref().map(Digest::of_session);
        let since_1970 = |at: SystemTime| at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let ends_at = self.until.unwrap_or_else(|| SystemTime::UNIX_EPOCH + FOREVER);
        let stamp = Stamp {
            subject_key: Digest::of_subject(&self.subject),
            subject: self.subject,
            id: None,
            key: session.unwrap_or_else(Digest::random),
            session,
            session_id: self.session,
            issued_at: self.signed_in_at.map(|at| since_1970(at).as_secs_f64()),
            expires_at: ends_at,
            ends_at,
        };
        (Arc::new(stamp), granted)
    }
}

impl From<&Self> for Identity {
    fn from(identity: &Self) -> Self {
        identity.clone()
    }
}

/// As far as seconds in 32 bits reach: the year 2106.
const FOREVER: Duration = Duration::from_secs(u32::MAX as u64);

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}
