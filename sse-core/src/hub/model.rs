//! The log and the cursor against a model: whatever is published, dropped, cut, resumed and restarted, every
//! subscriber gets each event of its topics exactly once and in order, or a gap that names it.

use std::{
    collections::{BTreeSet, HashMap},
    time::{Duration, Instant},
};

use proptest::prelude::*;

use super::{
    cursor::{Cursor, Followed, OnGap, Policy, ReplayCap, Start},
    log::{Limits, Log, Member},
    tail::Tails,
};
use crate::{batch::Batch, event::Event, frame::Draft, id::EventId, topic::Topic};

const TOPICS: [&str; 4] = ["a", "b", "c", "d"];
const CLIENTS: usize = 3;
const NODES: usize = 2;

#[derive(Clone, Debug)]
enum Op {
    /// Publishes to the topics in this set.
    Publish(u8),
    /// A node takes over what the engine has, up to so many events.
    Mirror(usize, usize),
    /// Time passes.
    Age(u64),
    /// A client that is away comes to this node and says where it is.
    Connect(usize, usize),
    /// A client is given what is due, up to so many bytes.
    Take(usize, usize),
    /// A client's connection is cut after so many of the events under way.
    Cut(usize, usize),
    /// A node loses the next events of the engine.
    Hole(usize, usize),
    /// The log begins a new life: in memory a restarted process, with an engine a new epoch on every node.
    Restart,
    /// A node is started anew beside an engine that kept so many events.
    Warm(usize, usize),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (1u8..16).prop_map(Op::Publish),
        4 => (0..NODES, 1usize..6).prop_map(|(node, n)| Op::Mirror(node, n)),
        2 => (0u64..4).prop_map(Op::Age),
        6 => (0..CLIENTS, 0..NODES).prop_map(|(client, node)| Op::Connect(client, node)),
        8 => (0..CLIENTS, 1usize..400).prop_map(|(client, limit)| Op::Take(client, limit)),
        3 => (0..CLIENTS, 0usize..5).prop_map(|(client, n)| Op::Cut(client, n)),
        1 => (0..NODES, 1usize..4).prop_map(|(node, n)| Op::Hole(node, n)),
        1 => Just(Op::Restart),
        1 => (0..NODES, 0usize..8).prop_map(|(node, n)| Op::Warm(node, n)),
    ]
}

#[derive(Clone, Debug)]
struct Setup {
    fed: bool,
    limits: Limits,
    policy: Policy,
    topics: [u8; CLIENTS],
}

fn setup() -> impl Strategy<Value = Setup> {
    let on_gap = prop_oneof![4 => Just(OnGap::Continue), 1 => Just(OnGap::Now), 1 => Just(OnGap::Close)];
    let limits = (
        1usize..12,
        100usize..2000,
        3u64..20,
        proptest::option::of(1usize..4),
        prop_oneof![
            3 => Just(1000usize), 1 => 0usize..3
        ],
    );
    (any::<bool>(), limits, on_gap, proptest::option::of(1usize..4), [1u8..16, 1u8..16, 1u8..16]).prop_map(
        |(fed, (events, bytes, age, per_topic, idle_topics), on_gap, replay, topics)| Setup {
            fed,
            limits: Limits { events, bytes, age: Duration::from_secs(age), per_topic, idle_topics },
            policy: Policy { on_gap, replay: replay.map(|events| ReplayCap { events, bytes: 10_000 }) },
            topics,
        },
    )
}

/// What was really published: number, epoch, sequence, topics.
#[derive(Clone, Debug)]
struct Published {
    number: usize,
    id: EventId,
    topics: u8,
}

struct Node {
    log: Log,
    /// How many of the engine's events it has seen, present or lost.
    mirrored: usize,
    /// The numbers that it ever held.
    held: BTreeSet<usize>,
    /// What it is known to have lost whole: everything in front of this.
    breaks: Vec<usize>,
    tails: Tails,
}

#[derive(Clone, Debug, PartialEq)]
enum Item {
    Event { number: usize, id: EventId },
    Gap { id: EventId, topics: BTreeSet<String>, reason: String },
    Position { id: EventId },
}

struct Client {
    topics: u8,
    cursor: Option<(usize, Cursor)>,
    opened: bool,
    under_way: Vec<Item>,
    id: Option<EventId>,
    /// Everything published from here on concerns it.
    from: usize,
    received: BTreeSet<usize>,
    last: Option<usize>,
    excused: BTreeSet<usize>,
}

struct World {
    setup: Setup,
    now: Instant,
    epoch: u64,
    /// The first event of the present epoch.
    epoch_from: usize,
    published: Vec<Published>,
    nodes: Vec<Node>,
    clients: Vec<Client>,
}

fn names(set: u8) -> Vec<Topic> {
    (0..TOPICS.len())
        .filter(|bit| set & (1 << bit) != 0)
        .map(|bit| Topic::new(TOPICS[bit]).unwrap())
        .collect()
}

fn never_latest(_: &Topic) -> bool {
    false
}

/// A parser of its own, for what the encoder writes.
fn parse(bytes: &[u8]) -> Vec<Item> {
    let text = std::str::from_utf8(bytes).unwrap();
    text.split_terminator("\n\n")
        .map(|block| {
            let fields: HashMap<&str, &str> =
                block.lines().map(|line| line.split_once(": ").unwrap()).collect();
            let id = fields["id"].parse().unwrap();
            match fields.get("event").copied() {
                Some("sse-gap") => {
                    let gap: serde_json::Value = serde_json::from_str(fields["data"]).unwrap();
                    let topics = gap["topics"].as_array().unwrap();
                    let topics = topics.iter().map(|topic| topic.as_str().unwrap().to_owned()).collect();
                    Item::Gap { id, topics, reason: gap["reason"].as_str().unwrap().to_owned() }
                }
                Some("sse-position") => Item::Position { id },
                _ => Item::Event { number: fields["data"].parse().unwrap(), id },
            }
        })
        .collect()
}

impl World {
    fn new(setup: Setup) -> Self {
        let epoch = 1;
        let nodes = if setup.fed { NODES } else { 1 };
        let start = EventId { epoch, seq: 0 };
        Self {
            now: Instant::now(),
            epoch,
            epoch_from: 0,
            published: Vec::new(),
            nodes: (0..nodes).map(|_| Node::new(&setup, start, 0)).collect(),
            clients: setup.topics.iter().map(|&topics| Client::new(topics)).collect(),
            setup,
        }
    }

    fn step(&mut self, op: &Op) {
        match *op {
            Op::Publish(topics) => {
                let seq = (self.published.len() - self.epoch_from + 1) as u64;
                let id = EventId { epoch: self.epoch, seq };
                self.published.push(Published { number: self.published.len(), id, topics });
                if !self.setup.fed {
                    self.mirror(0, 1);
                }
            }
            Op::Mirror(node, n) if self.setup.fed => self.mirror(node, n),
            Op::Age(seconds) => {
                self.now += Duration::from_secs(seconds);
            }
            Op::Connect(client, node) => self.connect(client, node % self.nodes.len()),
            Op::Take(client, limit) => self.take(client, limit),
            Op::Cut(client, n) => self.cut(client, n),
            Op::Hole(node, n) if self.setup.fed => {
                let node = &mut self.nodes[node];
                let lost = n.min(self.published.len() - node.mirrored);
                if lost > 0 {
                    node.mirrored += lost;
                    node.log.hole(self.published[node.mirrored - 1].id);
                    node.breaks.push(node.mirrored);
                }
            }
            Op::Restart => self.restart(),
            Op::Warm(node, kept) if self.setup.fed => {
                let from = self.published.len().saturating_sub(kept).max(self.epoch_from);
                let seq = (from - self.epoch_from) as u64;
                self.disconnect_all(node);
                self.nodes[node] = Node::new(&self.setup, EventId { epoch: self.epoch, seq }, from);
                self.mirror(node, usize::MAX);
            }
            Op::Mirror(..) | Op::Hole(..) | Op::Warm(..) => {}
        }
    }

    fn mirror(&mut self, node: usize, n: usize) {
        let node = &mut self.nodes[node];
        for event in self.published.iter().skip(node.mirrored).take(n) {
            let draft = Draft::new(&Event::new(event.number.to_string()));
            let topics = names(event.topics);
            node.log.append(event.id, topics.iter(), never_latest, &draft.seal(event.id), self.now);
            node.held.insert(event.number);
            node.mirrored = event.number + 1;
        }
    }

    fn restart(&mut self) {
        self.epoch += 1;
        self.epoch_from = self.published.len();
        let start = EventId { epoch: self.epoch, seq: 0 };
        if self.setup.fed {
            for node in &mut self.nodes {
                node.log.seam(start);
                node.mirrored = self.epoch_from;
                node.breaks.push(self.epoch_from);
            }
        } else {
            self.disconnect_all(0);
            self.nodes[0] = Node::new(&self.setup, start, self.epoch_from);
        }
    }

    fn disconnect_all(&mut self, node: usize) {
        for client in 0..CLIENTS {
            if self.clients[client].cursor.as_ref().is_some_and(|(at, _)| *at == node) {
                self.cut(client, usize::MAX);
            }
        }
    }

    fn connect(&mut self, index: usize, node: usize) {
        let client = &mut self.clients[index];
        if client.cursor.is_some() {
            return;
        }
        let log = &mut self.nodes[node].log;
        log.trim(self.now);
        let members = names(client.topics)
            .iter()
            .map(|topic| Member { key: log.join(topic, never_latest), since: 0 })
            .collect();
        let start = client.id.map_or(Start::Now, Start::After);
        if client.id.is_none() {
            client.from = self.nodes[node].mirrored;
            client.last = None;
        }
        let log = &self.nodes[node].log;
        client.cursor = Some((node, Cursor::new(log, members, start, self.now)));
        client.opened = false;
    }

    fn take(&mut self, index: usize, limit: usize) {
        let client = &mut self.clients[index];
        let Some((node, cursor)) = &mut client.cursor else {
            return;
        };
        let node = *node;
        let Node { log, tails, .. } = &mut self.nodes[node];
        log.trim(self.now);
        let mut batch = Batch::new(limit, None);
        match cursor.follow(log, &self.setup.policy, tails, limit) {
            None => cursor.take(log, &self.setup.policy, self.now, &mut batch),
            Some(Followed::Nothing) => {}
            Some(Followed::All(bytes) | Followed::Part(bytes)) => batch.push(bytes),
        }
        let mut ended = batch.is_ended();
        if batch.is_empty() && !ended {
            let position = cursor.position(log, !client.opened);
            if let Some(frame) = position {
                batch.push(frame.into_bytes());
            }
        }
        client.opened = true;
        ended |= batch.is_ended();
        let items = parse(&batch.into_parts().0.into_bytes());
        // What is told now is judged now, by what the node still has.
        for item in &items {
            if let Item::Gap { topics, reason, .. } = item {
                self.excuse(index, node, topics, reason);
            }
        }
        self.clients[index].under_way.extend(items);
        if ended {
            self.cut(index, usize::MAX);
        }
    }

    /// What a client has not got of its topics and this node can no longer give it is named by this gap.
    fn excuse(&mut self, index: usize, node: usize, named: &BTreeSet<String>, reason: &str) {
        let on_gap_now = self.setup.policy.on_gap != OnGap::Continue;
        let client = &mut self.clients[index];
        let node = &self.nodes[node];
        let under_way: BTreeSet<usize> = client.under_way.iter().filter_map(Item::number).collect();
        let kept = node.kept(client.topics);
        let from_now = on_gap_now || reason == "unknown" || (reason == "restarted" && self.setup.fed);
        let mut justified = reason == "restarted" || reason == "unknown";
        justified |= self.setup.limits.idle_topics < 1000;
        for event in &self.published[client.from..] {
            let mine = event.topics & client.topics != 0;
            let has = client.received.contains(&event.number) || under_way.contains(&event.number);
            if !mine || has {
                continue;
            }
            if client.excused.contains(&event.number) {
                // A client that came back from before a loss is told of it again.
                justified |= client.last < Some(event.number);
                continue;
            }
            let is_named =
                names(event.topics & client.topics).iter().any(|topic| named.contains(topic.as_str()));
            if !kept.contains(&event.number) && event.number < node.mirrored {
                assert!(is_named || on_gap_now, "the gap does not name {event:?}");
                justified = true;
                client.excused.insert(event.number);
            } else if from_now && event.number < node.mirrored {
                client.excused.insert(event.number);
            }
        }
        // A hole or a new epoch concerns every topic, whether or not something of it was lost.
        justified |= !node.breaks.is_empty();
        assert!(justified, "a gap where nothing was lost: {reason} {named:?}");
    }

    fn cut(&mut self, index: usize, n: usize) {
        let client = &mut self.clients[index];
        let Some((node, cursor)) = client.cursor.take() else {
            return;
        };
        for member in cursor.members() {
            self.nodes[node].log.leave(member.key);
        }
        for item in std::mem::take(&mut client.under_way).into_iter().take(n) {
            let id = match item {
                Item::Event { number, id } => {
                    let topics = self.published[number].topics;
                    assert!(topics & client.topics != 0, "{number} is not on its topics");
                    assert!(client.received.insert(number), "{number} came twice");
                    assert!(client.last < Some(number), "{number} came after {:?}", client.last);
                    client.last = Some(number);
                    id
                }
                Item::Gap { id, .. } | Item::Position { id } => id,
            };
            if let Some(last) = client.id {
                assert!(last.epoch != id.epoch || last.seq <= id.seq, "{id} after {last}");
            }
            client.id = Some(id);
        }
    }

    /// Everything is mirrored and every client drained; then nothing may be missing.
    fn settle(&mut self) {
        for node in 0..self.nodes.len() {
            self.mirror(node, usize::MAX);
        }
        for client in 0..CLIENTS {
            for _ in 0..200 {
                self.connect(client, 0);
                let before = (self.clients[client].received.len(), self.clients[client].under_way.len());
                self.take(client, 1000);
                let after = (self.clients[client].received.len(), self.clients[client].under_way.len());
                if before == after && self.clients[client].cursor.is_some() {
                    break;
                }
            }
            self.cut(client, usize::MAX);
            let client = &self.clients[client];
            for event in &self.published[client.from..] {
                let mine = event.topics & client.topics != 0;
                let told = client.received.contains(&event.number) || client.excused.contains(&event.number);
                assert!(!mine || told, "{event:?} was lost in silence");
            }
        }
    }
}

impl Item {
    fn number(&self) -> Option<usize> {
        match self {
            Self::Event { number, .. } => Some(*number),
            Self::Gap { .. } | Self::Position { .. } => None,
        }
    }
}

impl Node {
    fn new(setup: &Setup, start: EventId, mirrored: usize) -> Self {
        Self {
            log: Log::new(setup.limits.clone(), start, setup.fed, !setup.fed),
            mirrored,
            held: BTreeSet::new(),
            breaks: if setup.fed && mirrored > 0 { vec![mirrored] } else { Vec::new() },
            tails: Tails::default(),
        }
    }

    /// The numbers of the events on these topics that can still be given.
    fn kept(&self, topics: u8) -> BTreeSet<usize> {
        let members: Vec<Member> = names(topics)
            .iter()
            .filter_map(|topic| Some(Member { key: self.log.key(topic)?, since: 0 }))
            .collect();
        self.log.due(&members, 0).map(|kept| parse(kept.frame.as_bytes())[0].number().unwrap()).collect()
    }
}

impl Client {
    fn new(topics: u8) -> Self {
        Self {
            topics,
            cursor: None,
            opened: false,
            under_way: Vec::new(),
            id: None,
            from: 0,
            received: BTreeSet::new(),
            last: None,
            excused: BTreeSet::new(),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn exactly_once_or_a_gap_that_names_it(setup in setup(), ops in prop::collection::vec(op(), 1..80)) {
        let mut world = World::new(setup);
        for op in &ops {
            world.step(op);
        }
        world.settle();
    }
}
