//! A hub and a crowd, drawn from a seed.

use std::time::Duration;

use rand::{RngExt, SeedableRng, rngs::StdRng};
use sse_core::{Hub, OnGap, StreamOptions, TopicPattern};

use crate::topics::{TopicSet, VALUES};

/// What a run is about.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) seed: u64,
    pub(crate) events: usize,
    pub(crate) bytes: usize,
    pub(crate) age: Option<Duration>,
    pub(crate) per_topic: Option<usize>,
    /// Whether there are latest-value topics.
    pub(crate) latest: bool,
    pub(crate) on_gap: OnGap,
    pub(crate) replay: Option<(usize, usize)>,
    linger: Option<Duration>,
    positions: bool,
    /// Whether so many topics are used once that idle ones are forgotten.
    pub(crate) flood: bool,
    /// Whether the server stops in the middle of the last round.
    pub(crate) stops: bool,
    pub(crate) rounds: usize,
    pub(crate) publishers: usize,
    /// How many events each of them publishes in a round.
    pub(crate) burst: usize,
    pub(crate) clients: usize,
}

/// How many different hubs there are: as many seeds in a row have them all.
pub(crate) const SHAPES: u64 = 12;

impl Setup {
    pub(crate) fn new(seed: u64, sockets: bool) -> Self {
        let mut rng = StdRng::seed_from_u64(seed ^ 0x5e7);
        let mut setup = Self {
            seed,
            events: 1_000_000,
            bytes: 1 << 30,
            age: None,
            per_topic: None,
            latest: false,
            on_gap: OnGap::Continue,
            replay: None,
            linger: None,
            positions: true,
            flood: false,
            stops: rng.random_bool(0.4),
            rounds: rng.random_range(2..4),
            publishers: rng.random_range(3..6),
            burst: if sockets { 100 } else { rng.random_range(50..150) },
            clients: if sockets { 36 } else { rng.random_range(200..300) },
        };
        match seed % SHAPES {
            // Nothing can be lost.
            0 => {}
            1 => setup.linger = Some(Duration::from_millis(rng.random_range(1..20))),
            2 => setup.latest = true,
            3 => setup.replay = Some((rng.random_range(1..40), rng.random_range(1_000..100_000))),
            // Much is.
            4 => setup.events = rng.random_range(1..60),
            5 => setup.bytes = rng.random_range(1_000..100_000),
            6 => setup.per_topic = Some(rng.random_range(1..12)),
            7 => setup.age = Some(Duration::from_millis(rng.random_range(1_000..1_300))),
            8 => {
                setup.on_gap = OnGap::Now;
                setup.events = rng.random_range(5..200);
                setup.latest = rng.random_bool(0.5);
            }
            9 => {
                setup.on_gap = OnGap::Close;
                setup.events = rng.random_range(20..400);
            }
            10 => {
                setup.flood = true;
                setup.events = rng.random_range(50..500);
                setup.per_topic = rng.random_bool(0.5).then(|| rng.random_range(1..20));
                (setup.clients, setup.burst) = (40, 40);
                setup.rounds = 2;
            }
            _ => setup.mix(&mut rng),
        }
        setup.positions = rng.random_bool(0.85);
        setup
    }

    /// A bit of everything.
    fn mix(&mut self, rng: &mut StdRng) {
        self.events = rng.random_range(10..3_000);
        self.bytes = rng.random_range(5_000..2_000_000);
        self.age = rng.random_bool(0.5).then(|| Duration::from_millis(rng.random_range(1_000..2_000)));
        self.per_topic = rng.random_bool(0.5).then(|| rng.random_range(1..30));
        self.latest = rng.random_bool(0.6);
        self.replay =
            rng.random_bool(0.3).then(|| (rng.random_range(1..100), rng.random_range(1_000..200_000)));
        self.linger = rng.random_bool(0.3).then(|| Duration::from_millis(rng.random_range(1..10)));
        self.on_gap = match rng.random_range(0..6) {
            0 => OnGap::Now,
            1 => OnGap::Close,
            _ => OnGap::Continue,
        };
    }

    /// The hub. Its streams are never polled but for events: a keep-alive would hide a lost wake-up.
    pub(crate) fn hub(&self) -> Hub {
        let mut options = StreamOptions::new().keep_alive(Duration::from_secs(600)).on_gap(self.on_gap);
        if let Some((events, bytes)) = self.replay {
            options = options.max_replay_events(events).max_replay_bytes(bytes);
        }
        let mut builder = Hub::builder()
            .stream_options(options)
            .max_events(self.events)
            .max_bytes(self.bytes)
            .positions(self.positions);
        if let Some(age) = self.age {
            builder = builder.max_age(age);
        }
        if let Some(events) = self.per_topic {
            builder = builder.max_events_per_topic(events);
        }
        if self.latest {
            builder = builder.latest(TopicPattern::new("value/*").expect("a pattern"));
        }
        if let Some(linger) = self.linger {
            builder = builder.linger(linger);
        }
        builder.build()
    }

    /// The latest-value topics.
    pub(crate) fn values(&self) -> TopicSet {
        if self.latest { VALUES } else { 0 }
    }
}
