//! Those who publish: tasks, a runtime of their own, and plain threads.

use std::{
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use sse_core::{Event, EventId, Hub};
use tokio::runtime::{self, Handle};

use crate::{
    client::split,
    published::{Published, encoded_len, fingerprint},
    setup::Setup,
    topics::{TOPICS, TopicSet, iter, names},
};

/// What they report when they are done.
pub(crate) type Done = mpsc::Receiver<Vec<Published>>;

/// Has one round published, each publisher in its own way. Numbers go on from round to round.
pub(crate) fn start(
    setup: &Setup,
    round: usize,
    hub: &Hub,
    numbers: &Arc<AtomicU64>,
    tasks: &Handle,
) -> Done {
    let (sender, done) = mpsc::channel();
    for index in 0..setup.publishers {
        let seed = setup.seed ^ ((round as u64) << 32) ^ ((index as u64 + 1) << 48);
        let publisher = Publisher {
            rng: StdRng::seed_from_u64(seed),
            setup: setup.clone(),
            hub: hub.clone(),
            numbers: Arc::clone(numbers),
            published: Vec::new(),
        };
        let sender = sender.clone();
        match index % 3 {
            0 => drop(tasks.spawn(async move { sender.send(publisher.publish().await) })),
            1 => drop(thread::spawn(move || sender.send(publisher.publish_now()))),
            _ => drop(thread::spawn(move || {
                let runtime =
                    runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
                sender.send(runtime.block_on(publisher.publish()))
            })),
        }
    }
    if setup.flood {
        let hub = hub.clone();
        thread::spawn(move || sender.send(flood(&hub, round)));
    }
    done
}

struct Publisher {
    rng: StdRng,
    setup: Setup,
    hub: Hub,
    numbers: Arc<AtomicU64>,
    published: Vec<Published>,
}

/// An event that is about to be published.
struct Draft {
    topics: TopicSet,
    name: &'static str,
    data: String,
    number: Option<u64>,
    before: Instant,
}

impl Publisher {
    async fn publish(mut self) -> Vec<Published> {
        for nth in 0..self.setup.burst {
            let (draft, event) = self.draft();
            let id = self.hub.publish(names(draft.topics), event).await;
            self.published.push(draft.publish(id.expect("a valid event")));
            match self.pause(nth) {
                Some(pause) if pause.is_zero() => tokio::task::yield_now().await,
                Some(pause) => tokio::time::sleep(pause).await,
                None => {}
            }
        }
        self.published
    }

    fn publish_now(mut self) -> Vec<Published> {
        for nth in 0..self.setup.burst {
            let (draft, event) = self.draft();
            let id = self.hub.publish_now(names(draft.topics), event);
            self.published.push(draft.publish(id.expect("a valid event")));
            match self.pause(nth) {
                Some(pause) if pause.is_zero() => thread::yield_now(),
                Some(pause) => thread::sleep(pause),
                None => {}
            }
        }
        self.published
    }

    fn pause(&mut self, nth: usize) -> Option<Duration> {
        if nth == self.setup.burst / 2 {
            // Long enough for what there is to become too old.
            return self.setup.age;
        }
        match self.rng.random_range(0..100) {
            0..20 => Some(Duration::ZERO),
            20..28 => Some(Duration::from_millis(self.rng.random_range(1..10))),
            28 => Some(Duration::from_millis(self.rng.random_range(10..60))),
            _ => None,
        }
    }

    fn draft(&mut self) -> (Draft, Event) {
        let topics = self.topics();
        let value = iter(topics & self.setup.values()).next();
        let number = value.map(|topic| self.numbers.fetch_add(1, Ordering::Relaxed) * 64 + topic as u64);
        let text = text(&mut self.rng);
        let data = if let Some(number) = number { format!("#{number} {text}") } else { text.to_owned() };
        let name = if self.rng.random_bool(0.1) { "tick" } else { "" };
        let mut event = Event::new(data.clone());
        if !name.is_empty() {
            event = event.name(name).expect("a name");
        }
        let data = data.replace("\r\n", "\n").replace('\r', "\n");
        (Draft { topics, name, data, number, before: Instant::now() }, event)
    }

    /// Some topics are busy, some seldom have anything. Of the latest-value topics one at most: two of them have no
    /// common order in which their values could be told.
    fn topics(&mut self) -> TopicSet {
        let count = match self.rng.random_range(0..20) {
            0..12 => 1,
            12..19 => self.rng.random_range(2..4),
            _ => self.rng.random_range(4..9),
        };
        let mut set: TopicSet = 0;
        for _ in 0..count {
            let spread = self.rng.random_range(0.0..1.0_f64);
            let topic = (spread * spread * TOPICS as f64) as usize;
            // The seldom ones are spread over the numbers.
            set |= 1 << (topic * 7 % TOPICS);
        }
        let values = set & self.setup.values();
        set & !values | (values & values.wrapping_neg())
    }
}

impl Draft {
    fn publish(self, id: EventId) -> Published {
        let after = Instant::now();
        let id = id.to_string();
        Published {
            seq: split(&id).expect("an id").1,
            topics: self.topics,
            alone: false,
            fingerprint: fingerprint(self.name, &self.data),
            bytes: encoded_len(self.name, &self.data, &id),
            number: self.number,
            before: self.before,
            after,
        }
    }
}

/// More topics than a hub remembers, each used once.
fn flood(hub: &Hub, round: usize) -> Vec<Published> {
    (0..20_000)
        .map(|n| {
            let draft =
                Draft { topics: 0, name: "", data: String::new(), number: None, before: Instant::now() };
            let id = hub.publish_now(format!("once/{round}/{n}"), "").expect("a valid event");
            Published { alone: true, ..draft.publish(id) }
        })
        .collect()
}

/// Nothing, a word, some lines, or up to 20 KB: lines end in every way, begin with spaces, and are not all ASCII.
fn text(rng: &mut StdRng) -> &'static str {
    static POOL: LazyLock<String> = LazyLock::new(|| {
        let mut rng = StdRng::seed_from_u64(1);
        let mut pool = String::new();
        while pool.len() < 200_000 {
            let words =
                ["tick", " tock", "données", "данные", "値", ":", "data: x", "id: 5", "retry: 1", "🦀", "  "];
            pool.push_str(words[rng.random_range(0..words.len())]);
            if rng.random_bool(0.05) {
                pool.push_str(["\n", "\r\n", "\r", "\n\n"][rng.random_range(0..4)]);
            }
        }
        pool
    });
    let len = match rng.random_range(0..100) {
        0..6 => 0,
        6..70 => rng.random_range(1..60),
        70..95 => rng.random_range(60..600),
        _ => rng.random_range(600..20_000),
    };
    let begin = boundary(&POOL, rng.random_range(0..POOL.len() - len));
    &POOL[begin..boundary(&POOL, begin + len)]
}

/// The last character boundary that is not behind this.
fn boundary(text: &str, at: usize) -> usize {
    (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}
