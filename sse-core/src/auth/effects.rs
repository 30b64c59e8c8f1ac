//! [`Revocations`]: what takes effect on this node, whichever node has said it.

use std::sync::Arc;

use tokio::time::Instant;

use super::{
    digest::Digest,
    open::OpenStream,
    others::Joined,
    registry::{Registry, Since},
    revocation::Revocations,
    said::Said,
};
use crate::{nodes::Told, topic::Topic, wakers::wake_all};

impl Revocations {
    /// Does what another node has done. What was opened by whoever has signed in since stays open.
    pub(super) fn told(&self, said: &Said, when: Told) {
        let now = self.now();
        // Streams that were open then; none are older than this node.
        let before = match when {
            Told::Kept => None,
            Told::Ago(age) => Instant::now().checked_sub(age),
        };
        match said {
            Said::Revoked { key, until } => {
                self.revoke_key_here(*key, *until);
            }
            Said::RevokedSubject { key, moment, until } => {
                let since = Since { moment: *moment, until: *until };
                let mut state = self.lock();
                state.revoke_subject(*key, since, now);
                let number = state.open.next;
                drop(state);
                self.end(self.hash(key), number, |state, open| {
                    open.stamp.subject_key == *key && state.check(&open.stamp).is_err()
                });
            }
            Said::RevokedTopic { topic, moment, until } => {
                let Ok(topic) = Topic::new(topic) else {
                    return;
                };
                let since = Since { moment: *moment, until: *until };
                let mut state = self.lock();
                state.revoke_topic(&topic, since, now);
                let number = state.open.next;
                drop(state);
                let alone = topic.clone().into();
                self.end(self.hash(&topic), number, |state, open| {
                    open.has_topic(&topic) && state.check_topics(&open.stamp, &alone).is_err()
                });
            }
            Said::EndedSubject { key } => {
                before.map(|before| self.end_subject_here(*key, Some(before)));
            }
            Said::EndedSession { key } => {
                before.map(|before| self.end_session_here(*key, Some(before)));
            }
            Said::EndedTopic { topic } => {
                if let (Some(before), Ok(topic)) = (before, Topic::new(topic)) {
                    self.end_topic_here(&topic, Some(before));
                }
            }
            #[cfg(feature = "jwt")]
            Said::Issued { .. } | Said::Used { .. } => {}
        }
    }

    /// This node's own word has come to its place in the log. Where it was long under way, a newer one about the same
    /// thing stands in front of it, and of both the engine keeps this one: nodes that start later would know no other.
    pub(super) fn tell_what_is_newer(&self, said: &Said, joined: &Arc<Joined>) {
        let state = self.lock();
        let newer = match said {
            Said::Revoked { key, until } => state
                .tokens
                .find(key)
                .filter(|known| known.0 > *until)
                .map(|known| (Said::Revoked { key: *key, until: known.0 }, known.0)),
            Said::RevokedSubject { key, moment, until } => {
                state.subjects.find(key).filter(|known| known.is_newer(*moment, *until)).map(
                    |Since { moment, until }| {
                        (Said::RevokedSubject { key: *key, moment: *moment, until: *until }, *until)
                    },
                )
            }
            Said::RevokedTopic { topic, moment, until } => state
                .topics
                .find(&Digest::of_topic(topic))
                .filter(|known| known.is_newer(*moment, *until))
                .map(|Since { moment, until }| {
                    (Said::RevokedTopic { topic: topic.clone(), moment: *moment, until: *until }, *until)
                }),
            _ => None,
        };
        drop(state);
        if let Some((said, until)) = newer {
            joined.tell_later(said, self.left(until));
        }
    }

    pub(super) fn revoke_subject_here(&self, key: Digest, since: Since, now: f64) -> (Since, usize) {
        let mut state = self.lock();
        let since = state.revoke_subject(key, since, now);
        let before = state.open.next;
        drop(state);
        (since, self.end(self.hash(&key), before, |_, open| open.stamp.subject_key == key))
    }

    pub(super) fn revoke_topic_here(&self, topic: &Topic, since: Since, now: f64) -> (Since, usize) {
        let mut state = self.lock();
        let since = state.revoke_topic(topic, since, now);
        let before = state.open.next;
        drop(state);
        (since, self.end(self.hash(topic), before, |_, open| open.has_topic(topic)))
    }

    pub(super) fn revoke_key_here(&self, key: Digest, until: u32) -> (u32, usize) {
        let now = self.now();
        let mut state = self.lock();
        let until = state.revoke_token(key, until, now);
        let before = state.open.next;
        drop(state);
        let streams = self
            .end(self.hash(&key), before, |_, open| open.stamp.key == key || open.stamp.session == Some(key));
        (until, streams)
    }

    pub(super) fn end_subject_here(&self, key: Digest, opened: Option<Instant>) -> usize {
        self.end_opened(self.hash(&key), opened, |open| open.stamp.subject_key == key)
    }

    pub(super) fn end_session_here(&self, key: Digest, opened: Option<Instant>) -> usize {
        self.end_opened(self.hash(&key), opened, |open| open.stamp.session == Some(key))
    }

    pub(super) fn end_topic_here(&self, topic: &Topic, opened: Option<Instant>) -> usize {
        self.end_opened(self.hash(topic), opened, |open| open.has_topic(topic))
    }

    /// Ends streams of this key, of those that were opened by then.
    fn end_opened(&self, key: u64, by: Option<Instant>, which: impl Fn(&OpenStream) -> bool) -> usize {
        let before = self.lock().open.next;
        self.end(key, before, |_, open| which(open) && by.is_none_or(|by| open.since <= by))
    }

    /// Ends streams of this key with a number below `before`, a few at a time, and always while the lock is free:
    /// waking one may end it right here. Those that open meanwhile are looked at when they do.
    fn end(&self, key: u64, before: u64, which: impl Fn(&Registry, &OpenStream) -> bool) -> usize {
        let (mut streams, mut from) = (0, 0);
        loop {
            let state = self.lock();
            let (signals, more) = state.open.some(key, from..before, |open| which(&state, open));
            drop(state);
            streams += signals.len();
            wake_all(signals.iter().filter_map(|signal| signal.revoke()));
            match more {
                Some(next) => from = next,
                None => break,
            }
        }
        if streams > 0 {
            tracing::info!(streams, "ended event streams that were revoked");
        }
        streams
    }
}
