//! [`Topic`] and [`Topics`]: what events are published to and clients subscribe to.

mod pattern;

use std::{borrow::Borrow, convert::Infallible, fmt, sync::Arc};

pub use self::pattern::TopicPattern;
use crate::{query::query_values, refusal::Refusal};

/// Longest topic name, in bytes.
pub const MAX_TOPIC_BYTES: usize = 256;

/// Most topics that [`Topics::from_query`] takes from one request.
pub const MAX_TOPICS_PER_QUERY: usize = 32;

/// The name of a topic: 1 to 256 bytes of text without control characters. Names are exact, there are no
/// wildcards. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Topic(Arc<str>);

impl Topic {
    /// Checks a name.
    ///
    /// # Errors
    /// [`TopicError::Name`] when it is empty, longer than [`MAX_TOPIC_BYTES`] or holds a control character.
    pub fn new(name: impl AsRef<str>) -> Result<Self, TopicError> {
        let name = name.as_ref();
        let reason = if name.is_empty() {
            "must not be empty"
        } else if name.len() > MAX_TOPIC_BYTES {
            "must not be longer than 256 bytes"
        } else if name.chars().any(char::is_control) {
            "must not hold control characters"
        } else {
            return Ok(Self(name.into()));
        };
        Err(TopicError::Name(reason))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Borrow<str> for Topic {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// One or more topics, each once.
///
/// Whatever takes topics takes anything that turns into them: `"news"`, `["news", "user/ada"]`, a `Vec`, a
/// [`Topic`] or `&Topics`, and types of your own:
///
/// ```
/// use sse_core::{Hub, TopicError, Topics};
///
/// enum Channel<'a> {
///     News,
///     User(&'a str),
/// }
///
/// impl TryFrom<Channel<'_>> for Topics {
///     type Error = TopicError;
///
///     fn try_from(channel: Channel<'_>) -> Result<Self, TopicError> {
///         match channel {
///             Channel::News => "news".try_into(),
///             Channel::User(name) => format!("user/{name}").try_into(),
///         }
///     }
/// }
///
/// async fn tell(hub: &Hub) -> Result<(), Box<dyn std::error::Error>> {
///     hub.publish(Channel::News, "hello").await?;
///     hub.publish(Channel::User("ada"), "hello, Ada").await?;
///     Ok(())
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topics(Arc<[Topic]>);

impl Topics {
    /// Checks and collects names; a name given twice counts once.
    ///
    /// # Errors
    /// [`TopicError`] when the list is empty or one of the names is not valid.
    pub fn new<T: AsRef<str>>(names: impl IntoIterator<Item = T>) -> Result<Self, TopicError> {
        let mut topics = names.into_iter().map(Topic::new).collect::<Result<Vec<_>, _>>()?;
        topics.sort_unstable();
        topics.dedup();
        if topics.is_empty() {
            return Err(TopicError::None);
        }
        Ok(Self(topics.into()))
    }

    /// Some that are topics already, perhaps none.
    pub(crate) fn of(mut topics: Vec<Topic>) -> Self {
        topics.sort_unstable();
        topics.dedup();
        Self(topics.into())
    }

    /// The topics that a query string names with `topic=`, which may stand there more than once; `default`
    /// where it names none. **Whatever the client wishes**: [`among`](Self::among) says what it may have.
    ///
    /// ```
    /// use sse_core::Topics;
    ///
    /// let topics = Topics::from_query("topic=news&topic=user%2Fada", "news")?;
    /// assert_eq!(topics, Topics::new(["news", "user/ada"])?);
    /// # Ok::<(), sse_core::TopicError>(())
    /// ```
    ///
    /// # Errors
    /// [`TopicError::Query`] when a name is wrongly percent-encoded or not UTF-8, [`TopicError::TooMany`]
    /// above [`MAX_TOPICS_PER_QUERY`], and what [`new`](Self::new) refuses.
    pub fn from_query<T>(query: &str, default: T) -> Result<Self, TopicError>
    where
        T: TryInto<Self, Error: Into<TopicError>>,
    {
        let names = query_values(query, &["topic"])
            .map(|value| value.ok_or(TopicError::Query))
            .take(MAX_TOPICS_PER_QUERY + 1)
            .collect::<Result<Vec<_>, _>>()?;
        if names.len() > MAX_TOPICS_PER_QUERY {
            return Err(TopicError::TooMany);
        }
        if names.is_empty() {
            return default.try_into().map_err(Into::into);
        }
        Self::new(names)
    }

    /// The topics themselves, if each of them is among these: [patterns](TopicPattern), or their texts.
    ///
    /// ```
    /// use sse_core::Topics;
    ///
    /// let allowed = ["news", "public/*"];
    /// assert!(Topics::new(["news", "public/a"])?.among(allowed).is_ok());
    /// assert!(Topics::new(["news", "user/ada"])?.among(allowed).is_err());
    /// # Ok::<(), sse_core::TopicError>(())
    /// ```
    ///
    /// A text that is not a valid pattern allows nothing. For a name with a part chosen by a user, use
    /// [`TopicPattern::exact`], which takes a final `*` literally.
    ///
    /// # Errors
    /// [`TopicError::NotAllowed`] where one of them is not, however many are.
    pub fn among<I>(self, allowed: I) -> Result<Self, TopicError>
    where
        I: IntoIterator,
        I::Item: TryInto<TopicPattern>,
    {
        let allowed: Vec<_> = allowed.into_iter().filter_map(|pattern| pattern.try_into().ok()).collect();
        let is_allowed = |topic| allowed.iter().any(|pattern| pattern.matches(topic));
        if self.iter().all(is_allowed) { Ok(self) } else { Err(TopicError::NotAllowed) }
    }

    /// The topics, ordered by name.
    pub fn iter(&self) -> std::slice::Iter<'_, Topic> {
        self.0.iter()
    }
}

impl<'a> IntoIterator for &'a Topics {
    type Item = &'a Topic;
    type IntoIter = std::slice::Iter<'a, Topic>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl From<Topic> for Topics {
    fn from(topic: Topic) -> Self {
        Self(Arc::new([topic]))
    }
}

impl From<&Self> for Topics {
    fn from(topics: &Self) -> Self {
        topics.clone()
    }
}

impl TryFrom<&str> for Topics {
    type Error = TopicError;

    fn try_from(name: &str) -> Result<Self, TopicError> {
        Topic::new(name).map(Self::from)
    }
}

impl TryFrom<String> for Topics {
    type Error = TopicError;

    fn try_from(name: String) -> Result<Self, TopicError> {
        Topic::new(name).map(Self::from)
    }
}

impl TryFrom<&String> for Topics {
    type Error = TopicError;

    fn try_from(name: &String) -> Result<Self, TopicError> {
        Topic::new(name).map(Self::from)
    }
}

impl<T: AsRef<str>> TryFrom<&[T]> for Topics {
    type Error = TopicError;

    fn try_from(names: &[T]) -> Result<Self, TopicError> {
        Self::new(names)
    }
}

impl<T: AsRef<str>> TryFrom<Vec<T>> for Topics {
    type Error = TopicError;

    fn try_from(names: Vec<T>) -> Result<Self, TopicError> {
        Self::new(names)
    }
}

impl<T: AsRef<str>, const N: usize> TryFrom<[T; N]> for Topics {
    type Error = TopicError;

    fn try_from(names: [T; N]) -> Result<Self, TopicError> {
        Self::new(names)
    }
}

impl AsRef<str> for Topic {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// Why a text is not a [`Topic`], or a list not [`Topics`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TopicError {
    /// The name is not allowed; the text says what it must be.
    Name(&'static str),
    /// There is no topic in the list.
    None,
    /// A `topic=` in the query string is not percent-encoded UTF-8.
    Query,
    /// The request names more than [`MAX_TOPICS_PER_QUERY`] topics.
    TooMany,
    /// The request names a topic that is not among the allowed ones.
    NotAllowed,
}

impl fmt::Display for TopicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(reason) => write!(f, "a topic {reason}"),
            Self::None => f.write_str("at least one topic must be named"),
            Self::Query => f.write_str("a topic must be percent-encoded UTF-8"),
            Self::TooMany => f.write_str("a request may name at most 32 topics"),
            Self::NotAllowed => f.write_str("a topic is not among those allowed here"),
        }
    }
}

impl std::error::Error for TopicError {}

impl From<Infallible> for TopicError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

impl From<TopicError> for Refusal {
    fn from(error: TopicError) -> Self {
        Self::sentence(if error == TopicError::NotAllowed { 403 } else { 400 }, &error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        for name in ["", "a\nb", "\u{7f}", "a\0", "\u{85}"] {
            assert!(Topic::new(name).is_err(), "{name:?}");
        }
        assert!(Topic::new("x".repeat(257)).is_err());
        assert!(Topic::new("x".repeat(256)).is_ok());
        assert!(Topic::new("späti/⚡ 1").is_ok());
    }

    #[test]
    fn topics_are_among_the_allowed_ones_or_all_refused() {
        let among = |topics: &[&str], allowed: &[&str]| Topics::new(topics).unwrap().among(allowed).is_ok();
        let allowed = ["news", "public/*"];
        assert!(among(&["news"], &allowed) && among(&["public/x", "public/", "news"], &allowed));
        for refused in ["private", "newsletter", "public", "Public/x", "*"] {
            assert!(!among(&[refused], &allowed) && !among(&["news", refused], &allowed), "{refused}");
        }
        // What could be no topic's pattern opens nothing.
        assert!(!among(&["news"], &[]) && !among(&["news"], &["", "\n", &"n".repeat(257)]));
        let exact = TopicPattern::exact("user/*").unwrap();
        assert!(Topics::try_from("user/ada").unwrap().among([&exact]).is_err());
        assert!(Topics::try_from("user/*").unwrap().among([exact]).is_ok());
        let refusal = Refusal::from(TopicError::NotAllowed);
        assert_eq!(refusal.to_string(), "403 A topic is not among those allowed here.");
    }

    #[test]
    fn queries_name_topics() {
        let read = |query: &str| Topics::from_query(query, "news");
        assert_eq!(read(""), Topics::try_from("news"));
        assert_eq!(read("other=1&topics=x"), Topics::try_from("news"));
        assert_eq!(read("topic=b&x=y&topic=a&topic=b"), Topics::new(["a", "b"]));
        assert_eq!(read("topic=caf%C3%A9+1"), Topics::try_from("café 1"));
        for query in ["topic=%", "topic=%zz", "topic=%ff", "topic=%4"] {
            assert_eq!(read(query), Err(TopicError::Query), "{query}");
        }
        assert!(matches!(read("topic="), Err(TopicError::Name(_))));
        assert!(matches!(read("topic=%0a"), Err(TopicError::Name(_))));
        assert_eq!(read(&"topic=a&".repeat(33)), Err(TopicError::TooMany));
        assert!(read(&"topic=a&".repeat(32)).is_ok());
    }
}
