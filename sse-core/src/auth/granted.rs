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
    Some(Vec<Grant>),
}

pub(super) enum Grant {
    Pattern(TopicPattern),
    #[cfg(feature = "jwt")]
    Template(Template),
    #[cfg(feature = "jwt")]
    Url(UrlPattern),
}

impl Granted {
    /// These topics alone.
    #[cfg(feature = "jwt")]
    pub(super) fn only(topics: &Topics) -> Self {
        let exact = |topic: &Topic| TopicPattern::exact(topic).ok().map(Grant::Pattern);
        Self::Some(topics.iter().filter_map(exact).collect())
    }

    pub(super) fn allows(&self, topic: &Topic) -> bool {
        match self {
            Self::All => true,
            Self::Some(grants) => grants.iter().any(|grant| match grant {
                Grant::Pattern(pattern) => pattern.matches(topic),
                #[cfg(feature = "jwt")]
                Grant::Template(template) => template.matches(topic.as_str()),
                #[cfg(feature = "jwt")]
                Grant::Url(pattern) => pattern.matches(topic.as_str()),
            }),
        }
    }

    pub(super) fn allows_all(&self, topics: &Topics) -> bool {
        topics.iter().all(|topic| self.allows(topic))
    }

    /// The topics that are granted by their names.
    pub(super) fn exact(&self) -> impl Iterator<Item = &Topic> {
        let grants = match self {
            Self::All => &[],
            Self::Some(grants) => grants.as_slice(),
        };
        grants.iter().filter_map(|grant| match grant {
            Grant::Pattern(pattern) => pattern.as_exact(),
            #[cfg(feature = "jwt")]
            Grant::Template(_) | Grant::Url(_) => None,
        })
    }
}
