//! [`TopicPattern`]: one topic, or many whose names begin alike.

use super::{Topic, TopicError};

/// One topic by its name, or all whose names begin alike: `news`, `news/*`, `*`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TopicPattern(Pattern);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Pattern {
    Exact(Topic),
    Prefix(Box<str>),
}

impl TopicPattern {
    /// Reads a pattern: a `*` at the end stands for any rest, anywhere else for itself.
    ///
    /// # Errors
    /// [`TopicError::Name`] for what could be no topic's name.
    pub fn new(pattern: impl AsRef<str>) -> Result<Self, TopicError> {
        let topic = Topic::new(pattern)?;
        Ok(Self(match topic.as_str().strip_suffix('*') {
            Some(prefix) => Pattern::Prefix(prefix.into()),
            None => Pattern::Exact(topic),
        }))
    }

    /// The topic of this name alone, whatever the name ends with.
    ///
    /// For names with a part that comes from elsewhere: `user/` and a name that somebody chose.
    ///
    /// # Errors
    /// As [`Topic::new`].
    pub fn exact(name: impl AsRef<str>) -> Result<Self, TopicError> {
        Topic::new(name).map(|topic| Self(Pattern::Exact(topic)))
    }

    /// All topics whose names begin like this, and are longer or the same.
    ///
    /// # Errors
    /// As [`Topic::new`], for the empty prefix too.
    pub fn prefix(prefix: impl AsRef<str>) -> Result<Self, TopicError> {
        Topic::new(prefix).map(|prefix| Self(Pattern::Prefix(prefix.as_str().into())))
    }

    /// The topic, where it is one.
    #[cfg(feature = "auth")]
    pub(crate) fn as_exact(&self) -> Option<&Topic> {
        match &self.0 {
            Pattern::Exact(topic) => Some(topic),
            Pattern::Prefix(_) => None,
        }
    }

    /// Whether the topic is meant.
    pub fn matches(&self, topic: &Topic) -> bool {
        match &self.0 {
            Pattern::Exact(exact) => exact == topic,
            Pattern::Prefix(prefix) => topic.as_str().starts_with(&**prefix),
        }
    }
}

impl TryFrom<&str> for TopicPattern {
    type Error = TopicError;

    fn try_from(pattern: &str) -> Result<Self, TopicError> {
        Self::new(pattern)
    }
}

impl TryFrom<&&str> for TopicPattern {
    type Error = TopicError;

    fn try_from(pattern: &&str) -> Result<Self, TopicError> {
        Self::new(pattern)
    }
}

impl TryFrom<String> for TopicPattern {
    type Error = TopicError;

    fn try_from(pattern: String) -> Result<Self, TopicError> {
        Self::new(pattern)
    }
}

impl TryFrom<&String> for TopicPattern {
    type Error = TopicError;

    fn try_from(pattern: &String) -> Result<Self, TopicError> {
        Self::new(pattern)
    }
}

impl From<&Self> for TopicPattern {
    fn from(pattern: &Self) -> Self {
        pattern.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_exact_or_prefixes() {
        let matches =
            |pattern, topic| TopicPattern::new(pattern).unwrap().matches(&Topic::new(topic).unwrap());
        assert!(matches("news", "news") && !matches("news", "newsletter"));
        assert!(matches("news/*", "news/a/b") && !matches("news/*", "news"));
        assert!(matches("*", "x") && !matches("a*b", "aXb") && matches("a*b", "a*b"));
        assert!(TopicPattern::new("").is_err());
    }
}
