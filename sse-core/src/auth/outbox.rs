//! [`Outbox`]: what the other nodes could not be told yet, and what they may have to be told again.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Bound,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::record::Notice;

/// How many of each there are at the most.
const MOST: usize = 100_000;
/// How often those that have run out are looked for where there is no room.
const SWEEP: Duration = Duration::from_secs(1);

/// Something for all nodes, until when it matters.
#[derive(Clone, Debug)]
pub(super) struct Letter {
    /// The name that it is kept under, of which there is one at a time.
    pub(super) name: String,
    /// The key of its publication: it is not told twice however often it is tried.
    pub(super) key: String,
    pub(super) notice: Notice,
    pub(super) until: Instant,
}

impl Letter {
    /// For how long it still matters.
    pub(super) fn lifetime(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }
}

/// What was revoked here while the engine was away is told when it is back: whoever has asked for it may not be able to
/// ask again, for they are signed out here.
#[derive(Debug, Default)]
pub(super) struct Outbox(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    untold: BTreeMap<String, Letter>,
    /// The name of the one that was tried last.
    tried: String,
    /// Whether somebody tells them.
    is_served: bool,
    /// What the engine had accepted, the oldest first.
    told: VecDeque<(Instant, Letter)>,
    /// When those that had run out were looked for.
    swept: Option<Instant>,
    /// Whether it was said that some will not be told again.
    is_told_short: bool,
}

impl Outbox {
    /// What has been told. It is remembered for when the engine loses it.
    pub(super) fn was_told(&self, letter: Letter) {
        let mut state = self.lock();
        let has_run_out = |(_, letter): &(Instant, Letter)| letter.lifetime().is_zero();
        while state.told.front().is_some_and(has_run_out) {
            state.told.pop_front();
        }
        if state.told.len() >= MOST {
            state.told.pop_front();
            if !std::mem::replace(&mut state.is_told_short, true) {
                tracing::warn!(
                    remembered = MOST,
                    "more is revoked than is remembered here: if the engine loses it, the other nodes are told of the latest"
                );
            }
        }
        state.told.push_back((Instant::now(), letter));
    }

    /// What could not be told. Whether somebody is to be found who does.
    #[must_use]
    pub(super) fn put(&self, letter: Letter) -> bool {
        let mut state = self.lock();
        if state.untold.len() >= MOST && state.swept.is_none_or(|swept| swept.elapsed() >= SWEEP) {
            state.swept = Some(Instant::now());
            state.untold.retain(|_, letter| !letter.lifetime().is_zero());
        }
        if state.untold.len() >= MOST {
            tracing::error!(
                "too much is revoked while the engine is away: the other nodes will not hear of all of it"
            );
            return false;
        }
        state.untold.insert(letter.name.clone(), letter);
        !std::mem::replace(&mut state.is_served, true)
    }

    /// The engine may have lost what it had accepted within this time. The same.
    #[must_use]
    pub(super) fn put_again(&self, within: Duration) -> bool {
        let mut state = self.lock();
        let first = state.told.partition_point(|(at, _)| at.elapsed() > within);
        // The latest first: what is newer under a name is in there already.
        for (_, letter) in state.told.split_off(first).into_iter().rev() {
            if !letter.lifetime().is_zero() {
                state.untold.entry(letter.name.clone()).or_insert(letter);
            }
        }
        !state.untold.is_empty() && !std::mem::replace(&mut state.is_served, true)
    }

    /// One that is still to be told, each in its turn: one that the engine does not take holds up no other. Where there is
    /// none, whoever asks is no longer needed.
    pub(super) fn next(&self) -> Option<Letter> {
        let mut guard = self.lock();
        let state = &mut *guard;
        loop {
            let behind = (Bound::Excluded(state.tried.as_str()), Bound::Unbounded);
            let next = state.untold.range::<str, _>(behind).next().or_else(|| state.untold.iter().next());
            let next = next.map(|(_, letter)| letter.clone());
            match next {
                Some(late) if late.lifetime().is_zero() => {
                    state.untold.remove(&late.name);
                }
                next => {
                    state.is_served = next.is_some();
                    if let Some(next) = &next {
                        state.tried.clone_from(&next.name);
                    }
                    return next;
                }
            }
        }
    }

    /// It has been told.
    pub(super) fn done(&self, letter: Letter) {
        let mut state = self.lock();
        // Unless something newer has taken its place.
        if state.untold.get(&letter.name).is_some_and(|untold| untold.key == letter.key) {
            state.untold.remove(&letter.name);
        }
        drop(state);
        self.was_told(letter);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(name: &str, key: &str, seconds: u64) -> Letter {
        let notice = Notice { kind: "x", body: serde_json::Value::Null };
        Letter {
            name: name.into(),
            key: key.into(),
            notice,
            until: Instant::now() + Duration::from_secs(seconds),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_is_told_once_and_the_latest_of_a_name() {
        let outbox = Outbox::default();
        assert!(outbox.put(letter("a", "1", 10)));
        assert!(!outbox.put(letter("b", "2", 100)));
        let first = outbox.next().unwrap();
        assert!(!outbox.put(letter(&first.name, "3", 100)));
        outbox.done(first);
        tokio::time::advance(Duration::from_secs(20)).await;
        let mut keys = Vec::new();
        while let Some(letter) = outbox.next() {
            keys.push(letter.key.clone());
            outbox.done(letter);
        }
        assert_eq!(keys.len(), 2, "{keys:?}");
        assert!(keys.contains(&"3".to_owned()));
        // Lost: what still matters is told again, with nobody left who did.
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(!outbox.put_again(Duration::from_millis(1)));
        assert!(outbox.put_again(Duration::from_secs(60)));
        assert_eq!(outbox.lock().untold.len(), 2);
        tokio::time::advance(Duration::from_secs(100)).await;
        assert!(outbox.next().is_none() && !outbox.put_again(Duration::MAX));
    }

    #[tokio::test(start_paused = true)]
    async fn there_are_only_so_many() {
        let outbox = Outbox::default();
        for n in 0..MOST + 10 {
            let _ = outbox.put(letter(&n.to_string(), "", 10));
            outbox.was_told(letter(&n.to_string(), "", 10));
        }
        let state = outbox.lock();
        assert_eq!((state.untold.len(), state.told.len()), (MOST, MOST));
    }
}
