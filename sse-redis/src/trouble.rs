//! [`Trouble`]: why a server did not do what it was asked.

use std::{error::Error, fmt, time::Duration};

use redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::node::Node;

/// Why a server did not do what it was asked. Its text is for the log: it has no credentials.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// Nothing came for so long.
    NoAnswer(Duration),
    /// The connection broke, or the server said no.
    Redis(RedisError),
    /// It said something else than what is written in the script.
    Unexpected(&'static str),
    /// Its clock is far from where it was a moment ago, twice: nothing was appended.
    Late,
    /// The server follows another one now.
    IsReplica,
    /// Of the sentinels that answer, none knows it.
    NoMaster,
    /// No server of the cluster has this slot.
    NotServed(u16),
    /// This happened with the server that has the log, as others of its cluster say.
    Elsewhere(Node, Box<Self>),
}

impl Trouble {
    /// Whether the server has answered that it has not done it. What a script says in its midst is no such answer.
    pub(crate) fn is_refusal(&self) -> bool {
        match self {
            Self::Redis(error) => {
                matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::Extension) && !self.is_midway()
            }
            Self::NoAnswer(_)
            | Self::Unexpected(_)
            | Self::Late
            | Self::IsReplica
            | Self::NoMaster
            | Self::NotServed(_)
            | Self::Elsewhere(..) => false,
        }
    }

    /// Whether a script says so that has begun.
    pub(crate) fn is_midway(&self) -> bool {
        matches!(self, Self::Redis(error) if error.detail().is_some_and(|text| text.contains("@user_script")))
    }

    /// Whether the server has not done it because another one of its cluster has the log now.
    pub(crate) fn is_moved(&self) -> bool {
        self.code() == Some("MOVED") && !self.is_midway()
    }

    /// Without where it happened.
    pub(crate) fn into_what(self) -> Self {
        match self {
            Self::Elsewhere(_, trouble) => trouble.into_what(),
            trouble => trouble,
        }
    }

    /// Whether a server has said something at all.
    pub(crate) fn is_said(&self) -> bool {
        match self {
            Self::Redis(error) => !error.is_io_error(),
            Self::NoAnswer(_) => false,
            Self::Unexpected(_) | Self::Late | Self::IsReplica | Self::NoMaster | Self::NotServed(_) => true,
            Self::Elsewhere(_, trouble) => trouble.is_said(),
        }
    }

    /// Whether the next try had better be made over another connection, which may lead to another server.
    pub(crate) fn ends_connection(&self) -> bool {
        let Self::Redis(error) = self else { return true };
        let elsewhere = [
            ErrorKind::Server(ServerErrorKind::ReadOnly),
            ErrorKind::Server(ServerErrorKind::MasterDown),
            ErrorKind::Server(ServerErrorKind::BusyLoading),
            ErrorKind::Server(ServerErrorKind::Moved),
            ErrorKind::Server(ServerErrorKind::ClusterDown),
            ErrorKind::AuthenticationFailed,
        ];
        !self.is_refusal() || elsewhere.contains(&error.kind()) || self.code() == Some("NOAUTH")
    }

    /// The first word of the server's refusal.
    pub(crate) fn code(&self) -> Option<&str> {
        match self {
            Self::Redis(error) => error.code(),
            Self::Elsewhere(_, trouble) => trouble.code(),
            _ => None,
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAnswer(time) => write!(f, "Redis has not answered for {time:?}"),
            Self::Redis(error) => match (error.code(), error.detail()) {
                (Some(code), detail) => write!(f, "Redis answers: {code} {}", detail.unwrap_or_default()),
                // In one line.
                _ => write!(
                    f,
                    "the connection to Redis failed: {}",
                    error.to_string().trim().replace('\n', ", ")
                ),
            },
            Self::Unexpected(what) => write!(f, "Redis holds something unexpected: {what}"),
            Self::Late => f.write_str("the clock of Redis does not stand"),
            Self::IsReplica => f.write_str("the Redis server at this address is a replica now"),
            Self::NoMaster => f.write_str("no sentinel knows a master of this name"),
            Self::NotServed(slot) => write!(f, "no server has slot {slot}, where the log is"),
            Self::Elsewhere(node, trouble) => write!(f, "{trouble} (at {node}, which has the log)"),
        }
    }
}

impl Error for Trouble {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Redis(error) => Some(error),
            Self::Elsewhere(_, trouble) => Some(trouble),
            _ => None,
        }
    }
}

impl From<RedisError> for Trouble {
    fn from(error: RedisError) -> Self {
        Self::Redis(error)
    }
}
