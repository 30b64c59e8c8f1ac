//! [`Words`]: what the nodes of a hub tell each other of who may see what, as it stands in the engine's log.
//!
//! Tokens, their ids, subjects, sessions and tickets stand there by their digests alone; but what a ticket opens has to
//! be known to every node, and so its topics and the claims of its token stand there too, without the signature.

use serde::{Deserialize, Serialize};

use super::digest::Digest;
#[cfg(feature = "jwt")]
use super::opens::Opens;
use crate::record::{AUTH, Notice};

/// Something that one node says to all.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Words {
    /// Of which `Auth` it is, where a hub shares several.
    pub(super) realm: String,
    /// The node that says it, for as long as that runs.
    pub(super) from: Digest,
    pub(super) said: Said,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Said {
    /// A token, or a session, until then (seconds since 1970).
    Revoked { key: Digest, until: u32 },
    /// What was issued to a subject before that moment, by the clock of the node that revoked it.
    RevokedSubject { key: Digest, moment: f64, until: u32 },
    /// A topic, to all that was issued before that moment.
    RevokedTopic { topic: String, moment: f64, until: u32 },
    /// Streams of a subject that were open when this was said.
    EndedSubject { key: Digest },
    /// Those of a session.
    EndedSession { key: Digest },
    /// Those that have a topic.
    EndedTopic { topic: String },
    /// A ticket that was issued.
    #[cfg(feature = "jwt")]
    Issued { ticket: Digest, lifetime_ms: u64, opens: Opens },
    /// Somebody would use it. The first of one ticket in the log has.
    #[cfg(feature = "jwt")]
    Used {
        ticket: Digest,
        nonce: Digest,
        /// What the browser comes back with: the hash of its cookie.
        session: Digest,
        opens: Opens,
    },
}

impl Said {
    /// The name that it is kept under, of which there is one at a time. None for what is not kept, and for tickets.
    pub(super) fn name(&self) -> Option<[String; 2]> {
        let (kind, what) = match self {
            Self::Revoked { key, .. } => ("key", key.to_string()),
            Self::RevokedSubject { key, .. } => ("subject", key.to_string()),
            Self::RevokedTopic { topic, .. } => ("topic", topic.clone()),
            _ => return None,
        };
        Some([kind.to_owned(), what])
    }
}

impl Words {
    pub(super) fn write(&self) -> Notice {
        // Text and finite numbers alone: it cannot fail.
        Notice { kind: AUTH, body: serde_json::to_value(self).unwrap_or_default() }
    }

    /// Nothing for notices of other kinds, and for what a later version says.
    pub(super) fn read(notice: &Notice) -> Option<Self> {
        if notice.kind != AUTH {
            return None;
        }
        Self::deserialize(&notice.body).inspect_err(|_| tracing::debug!("a notice is not known here")).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_understood_and_what_a_later_version_says_is_skipped() {
        let key = Digest::of_subject("ada");
        let said = Said::RevokedSubject { key, moment: 1_700_000_000.25, until: u32::MAX };
        let notice = Words { realm: "admin".into(), from: Digest::random(), said }.write();
        // Not of a digest, which is hexadecimal.
        assert!(!notice.body.to_string().contains("\"ada"), "{}", notice.body);
        let words = Words::read(&notice).unwrap();
        let Said::RevokedSubject { key: read, moment, until } = words.said else { panic!() };
        assert_eq!((read, moment, until), (key, 1_700_000_000.25, u32::MAX));
        for body in [
            r#"{"realm":"","from":"00000000000000000000000000000001","said":{"later":{}}}"#,
            r#"{"realm":"","from":"1","said":{"ended_topic":{"topic":"a"}}}"#,
            r#"{"realm":"","from":"+0000000000000000000000000000001","said":{"ended_topic":{"topic":"a"}}}"#,
            "null",
        ] {
            let body = serde_json::from_str(body).unwrap();
            assert!(Words::read(&Notice { kind: AUTH, body }).is_none());
        }
        assert!(Words::read(&Notice { kind: "more", ..notice }).is_none());
    }
}
