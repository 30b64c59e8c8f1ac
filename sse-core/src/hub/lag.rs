//! [`Lag`] and [`TopicStats`]: how far a hub's subscribers are, and who reads what. Looked up when somebody asks.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    time::{Duration, Instant},
};

use super::{
    Hub,
    inner::{HubState, Inner},
};
use crate::{id::EventId, log::Behind, topic::Topic};

/// So many topics, of subscribers or of the log, are looked at under one lock: publishers wait no longer than that.
const LOOKS_AT_ONCE: usize = 1024;

/// So many subscribers are looked at in all. Of a larger crowd it is others each time.
const MOST: usize = 16_384;

/// How far behind a hub's subscribers are: what was published to their topics, and has not been given to them yet.
///
/// A subscriber waits because its client reads slowly, or because the server has not come to it yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lag {
    /// How many subscribers were looked at: all, or 16,384 of more than that.
    pub subscribers: usize,
    /// For how many of them there is something.
    pub behind: usize,
    /// How many events the slowest has yet to be given. One on several of its topics counts in each.
    pub max_events: usize,
    /// The same at the 99th percentile.
    pub p99_events: usize,
    /// How long the first event that somebody has yet to be given has waited.
    pub max_wait: Duration,
    /// The same at the 99th percentile.
    pub p99_wait: Duration,
    /// Behind which event the one stands whose next event is the oldest; nobody where nobody is behind.
    pub oldest: Option<EventId>,
}

/// A topic of a hub.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicStats {
    /// Its name.
    pub topic: Topic,
    /// Subscriptions to it.
    pub subscribers: usize,
    /// Events of it in memory.
    pub events: usize,
}

impl Hub {
    /// How far behind the subscribers are. It looks at each of them, a few at a time, which for ten thousand takes
    /// about a millisecond: for a health page or `/metrics`, not for every request.
    pub fn lag(&self) -> Lag {
        let inner = &*self.0;
        let now = tokio::time::Instant::now().into_std();
        let places = inner.lock().slots.capacity();
        let first = if places > MOST { rand::random_range(0..places) } else { 0 };
        let mut events = Vec::new();
        let mut waits = Vec::new();
        let mut oldest: Option<Behind> = None;
        let mut lag = Lag::default();
        let mut seen = 0;
        while seen < places && lag.subscribers < MOST {
            let mut state = inner.lock();
            let mut looks = 0;
            while seen < places && looks < LOOKS_AT_ONCE && lag.subscribers < MOST {
                let place = (first + seen) % places;
                seen += 1;
                looks += 1;
                let HubState { log, slots, .. } = &mut *state;
                let Some(slot) = slots.get(place) else {
                    continue;
                };
                lag.subscribers += 1;
                looks += slot.cursor.members().len();
                let Some(behind) = slot.cursor.lags(log) else {
                    continue;
                };
                lag.behind += 1;
                events.push(behind.events);
                waits.push(now.saturating_duration_since(behind.since));
                if oldest.is_none_or(|oldest| behind.next < oldest.next) {
                    oldest = Some(behind);
                }
            }
        }
        let most = lag.subscribers;
        (lag.p99_events, lag.max_events) = percentiles(events, most);
        (lag.p99_wait, lag.max_wait) = percentiles(waits, most);
        lag.oldest = oldest.map(|behind| behind.after);
        lag
    }

    /// One topic: nothing where the hub does not know it.
    pub fn topic_stats(&self, topic: impl AsRef<str>) -> Option<TopicStats> {
        let topic = Topic::new(topic).ok()?;
        let state = self.0.lock();
        let (topic, subscribers, events) = state.log.audience(state.log.key(&topic)?)?;
        Some(TopicStats { topic, subscribers, events })
    }

    /// The topics with the most subscriptions, the largest first. It looks at every topic, a few at a time.
    pub fn busiest_topics(&self, most: usize) -> Vec<TopicStats> {
        let mut found = BinaryHeap::new();
        let mut from = Some(0);
        while let Some(at) = from {
            let (some, next) = self.0.lock().log.audiences(at, LOOKS_AT_ONCE);
            for (topic, subscribers, events) in some {
                found.push(Reverse((subscribers, Reverse(topic), events)));
                if found.len() > most {
                    found.pop();
                }
            }
            from = next;
        }
        let stats =
            |Reverse((subscribers, Reverse(topic), events))| TopicStats { topic, subscribers, events };
        found.into_sorted_vec().into_iter().map(stats).collect()
    }

    /// Hands over everything that is counted and how this hub is, to the recorder of the crate `metrics`: for the
    /// handler of `/metrics`, or for a task every few seconds. `docs/metrics.md` has all the names.
    ///
    /// The counts are those of the process. What this hub holds and how far its subscribers are ([`lag`](Self::lag)) bears
    /// its [`name`](crate::HubBuilder::name).
    #[cfg(feature = "metrics")]
    pub fn record_metrics(&self) {
        use crate::metrics::{HubGauges, record_hub};

        self.lifecycle().record_metrics();
        let lag = self.lag();
        let stats = self.stats();
        let gauges = HubGauges {
            subscribers: stats.subscribers,
            topics: stats.topics,
            events: stats.events,
            bytes: stats.bytes,
            oldest_age: self.0.oldest_age(),
            lag: [("p99", lag.p99_events, lag.p99_wait), ("max", lag.max_events, lag.max_wait)],
            away: self.0.feed.as_ref().map(|feed| feed.away_for().unwrap_or_default()),
        };
        record_hub(&self.0.settings.name, &gauges);
    }
}

impl Inner {
    /// How old the oldest event is that can be replayed.
    #[cfg_attr(not(feature = "metrics"), expect(dead_code, reason = "metrics show it"))]
    fn oldest_age(&self) -> Duration {
        let now: Instant = tokio::time::Instant::now().into_std();
        let since = self.lock().log.oldest_since();
        since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }
}

/// At the 99th percentile and the largest, where all that are not there are nothing.
fn percentiles<T: Ord + Default + Copy>(mut values: Vec<T>, of: usize) -> (T, T) {
    values.sort_unstable_by_key(|value| Reverse(*value));
    // Above it is one in a hundred.
    let p99 = values.get(of / 100).copied().unwrap_or_default();
    (p99, values.first().copied().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_counts_those_who_wait_for_nothing() {
        assert_eq!(percentiles::<usize>(vec![], 10), (0, 0));
        assert_eq!(percentiles(vec![7], 1), (7, 7));
        assert_eq!(percentiles(vec![7], 100), (0, 7));
        assert_eq!(percentiles(vec![3, 7, 5], 200), (3, 7));
        assert_eq!(percentiles((1..=1000).collect(), 1000), (990, 1000));
    }
}
