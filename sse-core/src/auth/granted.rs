//! [`Granted`]: the topics that somebody may have.

#[cfg(feature = "jwt")]
mod url_pattern;

#[cfg(feature = "jwt")]
pub(super) use self::url_pattern::UrlPattern;
#[cfg(feature = "jwt")]
use super::template::Template;
use crate::topic::{Topic, TopicPattern, Topics};

/// What one token, or one session, opens.
pub(super) enum Granted {
    All,
    /// Topics by their names, sorted: an application may name thousands. And what is matched one by one.
    Some(Vec<Topic>, Vec<Grant>),
}

pub(super) enum Grant {
    Pattern(TopicPattern),
    #[cfg(feature = "jwt")]
    Template(Template),
    #[cfg(feature = "jwt")]
    Url(UrlPattern),
}

impl Granted {
    pub(super) fn new(grants: impl IntoIterator<Item = Grant>) -> Self {
        let (mut exact, mut others) = (Vec::new(), Vec::new());
        for grant in grants {
            match grant.as_exact() {
                Some(topic) => exact.push(topic.clone()),
                None => others.push(grant),
            }
        }
        exact.sort_unstable();
        Self::Some(exact, others)
    }

    /// These topics alone.
    #[cfg(feature = "jwt")]
    pub(super) fn only(topics: &Topics) -> Self {
        // Sorted, as they are.
        Self::Some(topics.iter().cloned().collect(), Vec::new())
    }

    pub(super) fn allows(&self, topic: &Topic) -> bool {
        match self {
            Self::All => true,
            Self::Some(exact, others) => {
                exact.binary_search(topic).is_ok() || others.iter().any(|grant| grant.matches(topic))
            }
        }
    }

    pub(super) fn allows_all(&self, topics: &Topics) -> bool {
        topics.iter().all(|topic| self.allows(topic))
    }

    /// The topics that are granted by their names.
    pub(super) fn exact(&self) -> impl Iterator<Item = &Topic> {
        match self {
            Self::All => [].iter(),
            Self::Some(exact, _) => exact.iter(),
        }
    }
}

impl Grant {
    fn as_exact(&self) -> Option<&Topic> {
        match self {
            Self::Pattern(pattern) => pattern.as_exact(),
            #[cfg(feature = "jwt")]
            Self::Template(_) | Self::Url(_) => None,
        }
    }

    fn matches(&self, topic: &Topic) -> bool {
        match self {
            Self::Pattern(pattern) => pattern.matches(topic),
            #[cfg(feature = "jwt")]
            Self::Template(template) => template.matches(topic.as_str()),
            #[cfg(feature = "jwt")]
            Self::Url(pattern) => pattern.matches(topic.as_str()),
        }
    }
}
