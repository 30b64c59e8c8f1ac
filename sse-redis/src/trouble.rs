//! [`Trouble`]: why a server did not do what it was asked.

use std::{error::Error, fmt, time::Duration};

use redis::{ErrorKind, RedisError, ServerErrorKind};

/// Why a server did not do what it was asked. Its text is for the log: it has no credentials.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// Nothing came for so long.
    NoAnswer(Duration),
    /// The connection broke, or the server said no.
    Redis(RedisError),
    /// It said something else than what is written in the script.
    Unexpected(&'static str),
    /// The server follows another one now.
    IsReplica,
    /// Of the sentinels that answer, none knows it.
    NoMaster,
}

impl Trouble {
    /// Whether the server has answered that it has not done it. What a script says in its midst is no such answer.
    pub(crate) fn is_refusal(&self) -> bool {
        let is_midway = |error: &RedisError| error.detail().is_some_and(|text| text.contains("@user_script"));
        match self {
            Self::Redis(error) => {
                matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::Extension) && !is_midway(error)
            }
            Self::NoAnswer(_) | Self::Unexpected(_) | Self::IsReplica | Self::NoMaster => false,
        }
    }

    /// Whether the next try had better be made over another connection, which may lead to another server.
    pub(crate) fn ends_connection(&self) -> bool {
        let Self::Redis(error) = self else { return true };
        let elsewhere = [
            ErrorKind::Server(ServerErrorKind::ReadOnly),
            ErrorKind::Server(ServerErrorKind::MasterDown),
            ErrorKind::Server(ServerErrorKind::BusyLoading),
            ErrorKind::AuthenticationFailed,
        ];
        !self.is_refusal() || elsewhere.contains(&error.kind()) || self.code() == Some("NOAUTH")
    }

    /// The first word of the server's refusal.
    pub(crate) fn code(&self) -> Option<&str> {
        match self {
            Self::Redis(error) => error.code(),
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
            Self::IsReplica => f.write_str("the Redis server at this address is a replica now"),
            Self::NoMaster => f.write_str("no sentinel knows a master of this name"),
        }
    }
}

impl Error for Trouble {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Redis(error) => Some(error),
            _ => None,
        }
    }
}

impl From<RedisError> for Trouble {
    fn from(error: RedisError) -> Self {
        Self::Redis(error)
    }
}
