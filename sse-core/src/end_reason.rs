//! [`EndReason`]: why a stream ended.

use std::fmt;

/// Why a stream ended: the label `reason` of `sse_streams_ended_total`, a field of the stream's span, and what a
/// [`StreamObserver`](crate::StreamObserver) is told.
///
/// A client comes back after each of them by itself, unless it was told otherwise; `Gone` alone is the client's doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EndReason {
    /// The application's own stream has said all: `finished`.
    Finished,
    /// The application's own stream, or its filter, yielded an error: `failed`.
    Failed,
    /// It was as old as [`max_age`](crate::StreamOptions::max_age) allows: `max_age`.
    MaxAge,
    /// The token or the session that it was opened with expired: `expired`.
    Expired,
    /// The token, its subject, its session or a topic was revoked, or whoever was asked again said no: `revoked`.
    Revoked,
    /// The application ended it by a [`SubscriptionHandle`](crate::SubscriptionHandle): `closed`.
    Closed,
    /// The server stops: `stopping`.
    Stopping,
    /// The client read so slowly that events were lost to it, and [`OnLag::Reconnect`](crate::OnLag) has it come back:
    /// `lagged`.
    Lagged,
    /// The client was told of a loss, and [`OnGap::Close`](crate::OnGap) ends its stream then: `gap`.
    Gap,
    /// It was sent as much of the past as one connection is
    /// ([`max_replay_events`](crate::StreamOptions::max_replay_events)), and comes back for the rest: `replay_cap`.
    ReplayCap,
    /// The client left, or could not be reached any more: `gone`.
    Gone,
}

impl EndReason {
    /// All of them, in the order of their numbers.
    pub(crate) const ALL: [Self; 11] = [
        Self::Finished,
        Self::Failed,
        Self::MaxAge,
        Self::Expired,
        Self::Revoked,
        Self::Closed,
        Self::Stopping,
        Self::Lagged,
        Self::Gap,
        Self::ReplayCap,
        Self::Gone,
    ];

    /// In one word: `finished`, `max_age`, `gone`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Failed => "failed",
            Self::MaxAge => "max_age",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::Closed => "closed",
            Self::Stopping => "stopping",
            Self::Lagged => "lagged",
            Self::Gap => "gap",
            Self::ReplayCap => "replay_cap",
            Self::Gone => "gone",
        }
    }
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_its_number() {
        for (number, reason) in EndReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, number, "{reason}");
        }
    }
}
