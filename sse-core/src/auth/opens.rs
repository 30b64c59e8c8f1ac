//! [`Opens`]: what a ticket opens, as nodes tell each other.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};

use super::{claims::Claims, digest::Digest, stamp::Stamp};
use crate::topic::Topics;

/// What a ticket opens: whose token it was made with, and which topics at which path.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Opens {
    subject: Box<str>,
    subject_key: Digest,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<Box<str>>,
    key: Digest,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    session_id: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    issued_at: Option<f64>,
    /// Nanoseconds since 1970, as the next.
    expires_at: u64,
    ends_at: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    issuer: Option<String>,
    /// The payload of the token, which has been verified.
    claims: String,
    topics: Vec<String>,
    path: String,
}

impl Opens {
    pub(super) fn new(claims: &Claims, topics: &Topics, path: &str) -> Self {
        let stamp = claims.stamp();
        Self {
            subject: stamp.subject.clone(),
            subject_key: stamp.subject_key,
            id: stamp.id.clone(),
            key: stamp.key,
            session_id: stamp.session_id.clone(),
            issued_at: stamp.issued_at,
            expires_at: nanos(stamp.expires_at),
            ends_at: nanos(stamp.ends_at),
            issuer: claims.issuer().map(str::to_owned),
            claims: String::from_utf8_lossy(claims.payload()).into_owned(),
            topics: topics.iter().map(|topic| topic.as_str().to_owned()).collect(),
            path: path.to_owned(),
        }
    }

    /// Nothing where the topics are none.
    pub(super) fn read(self) -> Option<(Claims, Topics, Arc<str>)> {
        let topics = Topics::new(&self.topics).ok()?;
        let stamp = Stamp {
            subject: self.subject,
            subject_key: self.subject_key,
            id: self.id,
            key: self.key,
            session: self.session_id.as_deref().map(Digest::of_session),
            session_id: self.session_id,
            issued_at: self.issued_at,
            expires_at: time(self.expires_at),
            ends_at: time(self.ends_at),
        };
        Some((Claims::new(stamp, self.issuer, self.claims.into_bytes()), topics, self.path.into()))
    }
}

fn nanos(time: SystemTime) -> u64 {
    let since_1970 = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_1970.as_nanos()).unwrap_or(u64::MAX)
}

fn time(nanos: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_ticket_opens_is_the_same_on_the_other_node() {
        let stamp = Stamp {
            subject: "ada".into(),
            subject_key: Digest::of_subject("ada"),
            id: Some("7".into()),
            key: Digest::of_token_id("7"),
            session: Some(Digest::of_session("s")),
            session_id: Some("s".into()),
            issued_at: Some(1_700_000_000.0),
            expires_at: Stamp::never(),
            ends_at: time(1_700_000_030_123_456_789),
        };
        let claims = Claims::new(stamp, Some("issuer".into()), br#"{"sub":"ada","x":1}"#.to_vec());
        let topics = Topics::new(["user/\u{e4}", "news"]).unwrap();
        let written = serde_json::to_vec(&Opens::new(&claims, &topics, "/events")).unwrap();
        let (read, same, path) = serde_json::from_slice::<Opens>(&written).unwrap().read().unwrap();
        assert_eq!((same, &*path, read.issuer()), (topics, "/events", Some("issuer")));
        assert_eq!((read.subject(), read.token_id(), read.expires_at()), ("ada", Some("7"), None));
        assert_eq!((read.issued_at(), read.payload()), (claims.issued_at(), claims.payload()));
        assert_eq!(read.stamp().ends_at, claims.stamp().ends_at);
        assert!(read.stamp().session == claims.stamp().session && read.stamp().key == claims.stamp().key);
    }
}
