//! Many threads, many subscribers.

use super::*;

const CROWD_TOPICS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
const PUBLISHERS: usize = 4;
const ROUNDS: usize = 8;
const BURST: usize = 300;
const SUBSCRIBERS: usize = 36;

struct Reader {
    topics: Vec<&'static str>,
    /// It sees nothing up to the first, everything behind the second.
    bounds: (u64, u64),
    seen: Vec<(u64, String)>,
}

impl Reader {
    /// Opens at once, so that it is there for the mark that ends the round.
    fn open(hub: &Hub, resumes: bool, rng: &mut StdRng) -> (Self, Client) {
        let count = rng.random_range(1..4);
        let topics: Vec<&str> = CROWD_TOPICS.sample(rng, count).copied().collect();
        let before = hub.position();
        let client =
            if resumes { Client::after(hub, &topics, before) } else { Client::open(hub, &topics, None) };
        let after = if resumes { before } else { hub.position() };
        let bounds = (seq(&before.to_string()), seq(&after.to_string()));
        (Self { topics, bounds, seen: Vec::new() }, client)
    }

    /// Reads until the last mark: now fast, now slowly, and cut at any byte.
    async fn run(mut self, hub: Hub, mut client: Client, marks: mpsc::UnboundedSender<usize>) -> Self {
        let mut rng = StdRng::from_rng(&mut rand::rng());
        loop {
            for left in (0..rng.random_range(1..30)).rev() {
                let chunk = client.stream.next().await.unwrap();
                let is_cut = left == 0 && !client.id().is_empty();
                let upto = if is_cut { rng.random_range(0..=chunk.len()) } else { chunk.len() };
                client.parser.push(&chunk[..upto]);
                for message in client.parser.messages() {
                    if message.name == "sse-position" {
                        continue;
                    }
                    assert_eq!(message.name, "message", "{message:?}");
                    self.seen.push((seq(&message.last_event_id), message.data.clone()));
                    if let Some(round) = message.data.strip_prefix("mark ") {
                        let round = round.parse().unwrap();
                        marks.send(round).unwrap();
                        if round == ROUNDS - 1 {
                            return self;
                        }
                    }
                }
                match rng.random_range(0..12) {
                    0 => sleep(Duration::from_millis(rng.random_range(0..4))).await,
                    1..4 => tokio::task::yield_now().await,
                    _ => {}
                }
            }
            client = client.again(&hub, &self.topics);
        }
    }

    fn judge(&self, published: &BTreeMap<u64, (Vec<&str>, String)>) {
        let (before, after) = self.bounds;
        // A client without an id begins somewhere while it opens, and from there on misses nothing.
        let first = self.seen.first().unwrap().0;
        assert!(first > before, "{first} is older than the stream");
        let mine: Vec<(u64, String)> = published
            .iter()
            .filter(|(_, (topics, _))| topics.iter().any(|topic| self.topics.contains(topic)))
            .map(|(&seq, (_, data))| (seq, data.clone()))
            .filter(|(seq, _)| *seq >= first || *seq > after)
            .collect();
        assert_eq!(self.seen.len(), mine.len());
        assert_eq!(self.seen, mine);
    }
}

/// Publishers in threads, readers in tasks. After every burst all fall silent: whoever was not woken is found.
async fn crowd() {
    let hub = builder().max_events(1_000_000).max_bytes(1 << 30).build();
    let mut rng = StdRng::from_rng(&mut rand::rng());
    let (marks, mut marked) = mpsc::unbounded_channel();
    let mut published = BTreeMap::new();
    let mut readers = Vec::new();
    for round in 0..ROUNDS {
        let publishers: Vec<_> = (0..PUBLISHERS)
            .map(|publisher| {
                let hub = hub.clone();
                thread::spawn(move || {
                    let mut rng = StdRng::from_rng(&mut rand::rng());
                    let mut published = Vec::new();
                    for n in 0..BURST {
                        let count = rng.random_range(1..4);
                        let topics: Vec<&str> = CROWD_TOPICS.sample(&mut rng, count).copied().collect();
                        let data = format!("{publisher} {round} {n}");
                        let id = publish(&hub, &topics, data.clone());
                        published.push((seq(&id.to_string()), (topics, data)));
                        if n % 64 == 0 {
                            thread::yield_now();
                        }
                    }
                    published
                })
            })
            .collect();
        // A few more come in every round but the last, while it is noisy.
        for n in 0..SUBSCRIBERS / ROUNDS {
            let (reader, client) = Reader::open(&hub, n % 2 == 0, &mut rng);
            readers.push(tokio::spawn(reader.run(hub.clone(), client, marks.clone())));
            tokio::task::yield_now().await;
        }
        for publisher in publishers {
            let done = tokio::task::spawn_blocking(|| publisher.join().unwrap());
            published.extend(done.await.unwrap());
        }
        let mark = format!("mark {round}");
        let id = publish(&hub, &CROWD_TOPICS, mark.clone());
        published.insert(seq(&id.to_string()), (CROWD_TOPICS.to_vec(), mark));
        for _ in 0..readers.len() {
            let seen = timeout(SOON, marked.recv()).await;
            assert_eq!(seen.unwrap_or_else(|_| panic!("somebody sleeps on in round {round}")), Some(round));
        }
    }
    assert_eq!(published.len(), ROUNDS * (PUBLISHERS * BURST + 1), "an id was given twice");
    for reader in readers {
        timeout(SOON, reader).await.unwrap().unwrap().judge(&published);
    }
    assert_eq!(hub.stats().subscribers, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_sees_every_event_once_in_order_on_many_threads() {
    crowd().await;
}

#[tokio::test]
async fn each_sees_every_event_once_in_order_on_one_thread() {
    crowd().await;
}

/// Whoever has something due is woken, whatever comes and goes between the publishing and its turn.
#[tokio::test]
async fn whoever_is_owed_something_is_woken() {
    const TOPICS: [&str; 4] = ["a", "b", "c", "d"];
    for seed in 0..60 {
        let mut rng = StdRng::seed_from_u64(seed);
        let hub = builder().build();
        let mut clients: Vec<Client> = Vec::new();
        for step in 0..600 {
            let topics: Vec<&str> = {
                let count = rng.random_range(1..=TOPICS.len());
                TOPICS.sample(&mut rng, count).copied().collect()
            };
            let one = (!clients.is_empty()).then(|| rng.random_range(0..clients.len()));
            match (rng.random_range(0..100), one) {
                (0..30, _) | (_, None) => {
                    let mut client = Client::open(&hub, &topics, None);
                    client.drain();
                    clients.push(client);
                }
                (30..50, _) => drop(publish(&hub, &topics, "x")),
                (50..64, Some(one)) => drop(clients.swap_remove(one)),
                (64..72, Some(one)) => drop(clients[one].drain()),
                (72..80, Some(one)) => drop(clients[one].handle().add(&Topics::new(topics).unwrap())),
                (80..88, Some(one)) => drop(clients[one].handle().remove(&Topics::new(topics).unwrap())),
                (88..96, _) => tokio::task::yield_now().await,
                // Half of them at once.
                _ if rng.random_bool(0.2) => clients.truncate(clients.len() / 2),
                _ => {}
            }
            if step % 50 == 49 {
                // The wake task looks at 256 at a time.
                for _ in 0..64 {
                    tokio::task::yield_now().await;
                }
                for client in &mut clients {
                    let woken = client.woken.0.load(Ordering::SeqCst);
                    let due = client.drain();
                    assert!(woken || due.is_empty(), "seed {seed}, step {step}: {due:?}");
                }
            }
        }
        drop(clients);
        assert_eq!((hub.stats().subscribers, hub.lifecycle().streams()), (0, 0));
    }
}

/// A body may move from task to task: who polled last is the one who is woken, by whatever there is.
#[tokio::test(start_paused = true)]
async fn who_polled_last_is_woken() {
    let tasks: [Arc<Flag>; 2] = Default::default();
    // The steps of a case are the digits of its number: a poll by one task, by the other, or an event.
    for case in 0..3_u32.pow(5) * 2 * 3 {
        let hub =
            Hub::builder().stream_options(StreamOptions::new().keep_alive(Duration::from_secs(15))).build();
        let mut client = Client::open(&hub, &["news"], None);
        let mut left = case;
        let mut next = |digits| (left % digits, left /= digits).0 as usize;
        for _ in 0..5 {
            let step = next(3);
            if let Some(task) = tasks.get(step) {
                client.woken = Arc::clone(task);
                client.take();
            } else {
                publish(&hub, &["news"], "x");
                tokio::task::yield_now().await;
            }
        }
        let last = &tasks[next(2)];
        client.woken = Arc::clone(last);
        client.drain();
        let cause = next(3);
        match cause {
            0 => drop(publish(&hub, &["news"], "y")),
            1 => hub.lifecycle().stop(),
            _ => advance(Duration::from_secs(16)).await,
        }
        tokio::task::yield_now().await;
        tokio::task::yield_now().await;
        assert!(last.0.load(Ordering::SeqCst), "case {case}, cause {cause}");
        let read = client.raw.len();
        client.take();
        assert!(client.raw.len() > read, "case {case}, cause {cause}");
    }
}

/// However many there are, a publisher only says that there is something.
#[tokio::test]
async fn a_publisher_wakes_nobody_itself() {
    let hub = builder().build();
    let mut clients: Vec<Client> = (0..300).map(|_| Client::open(&hub, &["a"], None)).collect();
    clients.iter_mut().for_each(|client| drop(client.drain()));
    // The task that wakes them has begun, and sleeps.
    tokio::task::yield_now().await;
    let woken = |clients: &[Client]| clients.iter().filter(|c| c.woken.0.load(Ordering::SeqCst)).count();
    publish(&hub, &["a"], "x");
    assert_eq!(woken(&clients), 0);
    tokio::task::yield_now().await;
    assert!((1..300).contains(&woken(&clients)), "a few at a time");
    for _ in 0..64 {
        tokio::task::yield_now().await;
    }
    assert_eq!(woken(&clients), 300);
}

#[tokio::test]
async fn a_crowd_does_not_keep_the_others_waiting_for_their_turn() {
    let hub = builder().build();
    let mut crowd: Vec<Client> = (0..1000).map(|_| Client::open(&hub, &["crowd"], None)).collect();
    let mut one = Client::open(&hub, &["one"], None);
    crowd.iter_mut().chain([&mut one]).for_each(|client| drop(client.drain()));
    publish(&hub, &["crowd"], "x");
    publish(&hub, &["one"], "x");
    for _ in 0..4 {
        tokio::task::yield_now().await;
    }
    assert!(one.woken.0.load(Ordering::SeqCst));
}

#[tokio::test]
async fn whoever_takes_the_place_of_another_is_not_woken_for_its_topics() {
    let hub = builder().build();
    let mut clients: Vec<Client> = (0..10).map(|_| Client::open(&hub, &["a"], None)).collect();
    clients.remove(4);
    let mut heir = Client::open(&hub, &["b"], None);
    heir.drain();
    // Nor for what was taken away from it.
    heir.handle().add(&Topics::new(["c"]).unwrap());
    heir.handle().remove(&Topics::new(["c"]).unwrap());
    publish(&hub, &["a", "c"], "x");
    for _ in 0..4 {
        tokio::task::yield_now().await;
    }
    assert!(!heir.woken.0.load(Ordering::SeqCst));
}
