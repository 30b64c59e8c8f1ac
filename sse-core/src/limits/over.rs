//! [`Over`]: which limit is reached.

use std::{fmt, time::Duration};

/// Which limit is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Over {
    /// The server has no place.
    Streams,
    /// One of the topics has none.
    Topic,
    /// The subject has none.
    Subject,
    /// The address has none.
    Address,
    /// The next may come after this time.
    Rate(Duration),
    /// The request asks for more topics than one may.
    Topics { most: usize },
}

impl Over {
    /// The status for those who read one.
    pub(crate) fn status(self) -> u16 {
        match self {
            Self::Streams | Self::Topic => 503,
            Self::Subject | Self::Address | Self::Rate(_) => 429,
            Self::Topics { .. } => 400,
        }
    }

    /// When it is worth to come back, where `usual` is what clients are told otherwise; `None` where it never is.
    pub(crate) fn retry(self, usual: Duration) -> Option<Duration> {
        match self {
            Self::Topics { .. } => None,
            Self::Rate(after) => Some(after.max(usual)),
            // Nobody knows when a place becomes free, and those who wait are many.
            _ => Some(usual.max(SHORTEST)),
        }
    }
}

/// How long those wait at least who found no place.
const SHORTEST: Duration = Duration::from_secs(5);

impl fmt::Display for Over {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Streams => f.write_str("the server has too many open streams, please come back"),
            Self::Topic => f.write_str("a topic has too many open streams, please come back"),
            Self::Subject => f.write_str("you have too many open streams, please come back"),
            Self::Address => f.write_str("your address has too many open streams, please come back"),
            Self::Rate(_) => f.write_str("streams are opened too often, please come back"),
            Self::Topics { most } => write!(f, "a request may name at most {most} topics here"),
        }
    }
}
