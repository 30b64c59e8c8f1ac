//! [`Keys`]: a set of keys, fixed or fetched.

use std::{fmt, sync::Arc};

#[cfg(feature = "jwks")]
use super::jwks::{FetchedKeys, Remote};
use super::{key::Key, key_error::KeyError, key_set::KeySet};

/// The keys that tokens are verified with. Cheap to clone.
///
/// A token that names a key (`kid`) is verified with that key; one that names none with the only key of its
/// algorithm, if there is only one.
#[derive(Clone)]
pub struct Keys(pub(super) Source);

#[derive(Clone)]
pub(super) enum Source {
    Fixed(Arc<KeySet>),
    #[cfg(feature = "jwks")]
    Remote(Arc<Remote>),
}

impl Keys {
    /// A fixed set.
    ///
    /// # Errors
    /// [`KeyError::Duplicate`] when two have the same id, [`KeyError::Empty`] when there is none.
    pub fn new(keys: impl IntoIterator<Item = Key>) -> Result<Self, KeyError> {
        KeySet::new(keys).map(Self::fixed)
    }

    /// A fixed set as a JWK set ([RFC 7517 §5](https://www.rfc-editor.org/rfc/rfc7517#section-5)).
    ///
    /// Keys that are for something else, of an unknown kind or too weak are left out, and the log says how
    /// many.
    ///
    /// # Errors
    /// [`KeyError::Format`] when it is no such document, [`KeyError::Duplicate`] when two keys have the same
    /// id, be they of use or not, [`KeyError::Mixed`] when secrets stand among public keys, [`KeyError::Empty`] when
    /// none is left, [`KeyError::TooLarge`].
    pub fn jwks(json: impl AsRef<[u8]>) -> Result<Self, KeyError> {
        KeySet::read(json.as_ref()).map(Self::fixed)
    }

    fn fixed(set: KeySet) -> Self {
        Self(Source::Fixed(Arc::new(set)))
    }
}

#[cfg(feature = "jwks")]
impl Keys {
    /// The JWK set of an issuer, had by a function that fetches its document.
    ///
    /// This crate has no HTTP client; the function is the application's, and so is how careful it is: `https`
    /// alone, no redirect to another host, no more than 256 KiB read (what is larger is refused here, but it
    /// was read by then). It is given five seconds.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # async fn http_get(_: &str) -> Result<(Vec<u8>, Option<Duration>), std::io::Error> { Ok((vec![], None)) }
    /// use sse_core::{FetchedKeys, Keys};
    ///
    /// let keys = Keys::remote(|| async {
    ///     let (body, max_age) = http_get("https://issuer.example/.well-known/jwks.json").await?;
    ///     Ok::<_, std::io::Error>(FetchedKeys::new(body, max_age))
    /// });
    /// ```
    ///
    /// - The first request fetches; so does [`warm_up`](Self::warm_up) before there is any. From then on a set is
    ///   fetched again when four fifths of its `max_age` have passed (within one minute and one day; ten minutes
    ///   where it has none), whether or not anybody asks, in the runtime of the first request.
    /// - No request waits for that: who has a key of the set at hand is answered at once. A key that its issuer
    ///   takes away is good until the next fetch.
    /// - A token with an unknown key id causes one fetch, at most every 30 s however many there are. While that may
    ///   not be yet, and until a set of at least half a minute later does not have the id either, such a token is
    ///   told to come back (503, or a stream that ends at once): a key may be used a moment before it is published.
    /// - While fetches fail, or bring a document that is no key set or has no usable key, the last good set
    ///   stays, for at most 24 hours; the function is called again after one second, two, and up to 30. With
    ///   no set, requests get a 503.
    /// - A document with secrets (`oct`) among public keys is none; both of two keys with the same id are left out.
    pub fn remote<F, Fut, D, E>(fetch: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: std::future::Future<Output = Result<D, E>> + Send + 'static,
        D: Into<FetchedKeys>,
        E: fmt::Display,
    {
        Self(Source::Remote(Arc::new(Remote::new(fetch))))
    }

    /// Fetches a remote set now, so that the first request need not wait; whether keys are there. Other sets
    /// always are.
    ///
    /// For readiness and for a start that fails early.
    pub async fn warm_up(&self) -> bool {
        match &self.0 {
            Source::Fixed(_) => true,
            Source::Remote(remote) => remote.current().await.is_ok(),
        }
    }
}

impl From<Key> for Keys {
    fn from(key: Key) -> Self {
        Self::fixed(KeySet::one(key))
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Source::Fixed(set) => f.debug_tuple("Keys").field(&set.keys()).finish(),
            #[cfg(feature = "jwks")]
            Source::Remote(_) => f.write_str("Keys(remote)"),
        }
    }
}
