//! [`HubBuilder`]: what a hub keeps, and how it treats its subscribers.

use std::{sync::Arc, time::Duration};

use super::{
    Hub,
    feed::EngineHubBuilder,
    inner::{Inner, Settings},
};
use crate::{
    engine::Engine,
    id::EventId,
    lifecycle::Lifecycle,
    log::{Limits, Log},
    options::StreamOptions,
    topic::TopicPattern,
};

/// The shortest time for which an event may be kept.
const SHORTEST_AGE: Duration = Duration::from_secs(1);

/// Limits and policies of a [`Hub`].
#[derive(Clone, Debug)]
pub struct HubBuilder {
    limits: Limits,
    settings: Settings,
}

impl Default for HubBuilder {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            settings: Settings {
                max_event_bytes: 256 << 10,
                positions: true,
                latest: Vec::new(),
                linger: None,
                options: StreamOptions::new(),
                lifecycle: Lifecycle::new(),
                name: "hub".into(),
            },
        }
    }
}

impl HubBuilder {
    /// How many events are kept for replay, at least one (default 10,000).
    #[must_use]
    pub fn max_events(mut self, events: usize) -> Self {
        self.limits.events = events.max(1);
        self
    }

    /// How many bytes of encoded events are kept (default 16 MiB). The newest event is kept in any case.
    #[must_use]
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.limits.bytes = bytes;
        self
    }

    /// How long an event is kept, at least one second (default 1 h): subscribers are sent it from the log, and one
    /// that expires before they are is a gap.
    #[must_use]
    pub fn max_age(mut self, age: Duration) -> Self {
        self.limits.age = age.max(SHORTEST_AGE);
        self
    }

    /// How many events are kept of each topic (default: as many as the hub keeps in all), so that a busy topic
    /// cannot push out a quiet one's past.
    ///
    /// A cap, not a promise: the hub's own limits go first. An event on several topics stays as long as it is
    /// among the last of one of them.
    #[must_use]
    pub fn max_events_per_topic(mut self, events: usize) -> Self {
        self.limits.per_topic = Some(events.max(1));
        self
    }

    /// The largest event that may be published (default 256 KiB): its bytes as they are sent, without the id. On
    /// one line that is its data and seven bytes; each line break in the data adds six, and name and comment
    /// count too.
    #[must_use]
    pub fn max_event_bytes(mut self, bytes: usize) -> Self {
        self.settings.max_event_bytes = bytes;
        self
    }

    /// Topics of which only the latest value counts: a progress, a price, a presence.
    ///
    /// A client that comes, or comes back, gets the present value first, and values that others have
    /// superseded are no loss to anybody. A value leaves with the hub's own limits like any event.
    #[must_use]
    pub fn latest(mut self, topics: TopicPattern) -> Self {
        self.settings.latest.push(topics);
        self
    }

    /// Whether streams carry `sse-position` events (default: yes).
    ///
    /// Without them a client that is cut before its first event comes back without a position and misses what
    /// was published meanwhile.
    #[must_use]
    pub fn positions(mut self, on: bool) -> Self {
        self.settings.positions = on;
        self
    }

    /// Merges events into fewer writes (default: off): the first goes out at once, and those that follow within
    /// this time go out together at its end. At most one second.
    ///
    /// For dashboards: at 500 events a second to 200 clients, 5 ms take less than half of the server's time for each
    /// event and make it arrive 2.3 ms later at the median, 5.5 at the 99th percentile. Timers have a resolution of
    /// 1 ms. Where events are further apart than this, nothing is merged and they only come later. Under load
    /// events merge by themselves, without it.
    #[must_use]
    pub fn linger(mut self, within: Duration) -> Self {
        let within = within.min(Duration::from_secs(1));
        self.settings.linger = (!within.is_zero()).then_some(within);
        self
    }

    /// How this hub's streams begin, live and end, where [`Hub::open_with`] does not say otherwise.
    #[must_use]
    pub fn stream_options(mut self, options: StreamOptions) -> Self {
        self.settings.options = options;
        self
    }

    /// Shares the open streams with others that end when the server stops.
    #[must_use]
    pub fn lifecycle(mut self, lifecycle: &Lifecycle) -> Self {
        self.settings.lifecycle = lifecycle.clone();
        self
    }

    /// What it is called, by the label `hub`, where metrics are told of what it holds (default: `hub`). Where there are
    /// several hubs, each needs its own.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.settings.name = name.into().into();
        self
    }

    /// The hub. Its log is empty and in a new epoch.
    pub fn build(self) -> Hub {
        let log = Log::new(self.limits, EventId::start(), false, true);
        Hub(Arc::new(Inner::new(log, self.settings, None)))
    }

    /// A hub of several processes, each with the same engine: a log that they share. All else is as with one process:
    /// ids, replay and gaps hold on every node. What the [limits](Self::max_events) say of the log is how much of it this
    /// process mirrors; the engine's own settings say how much it keeps.
    ///
    /// The next step is [`build`](EngineHubBuilder::build), which waits until this node has caught up.
    pub fn engine(self, engine: impl Engine) -> EngineHubBuilder {
        EngineHubBuilder::new(self.limits, self.settings, engine)
    }
}
