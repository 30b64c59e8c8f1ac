//! Holds what a client was sent against what was published.

use std::time::{Duration, Instant};

use sse_core::OnGap;

use crate::{
    published::{Book, Published},
    record::{Came, Entry, Gap, Said},
    setup::Setup,
    topics::{Interest, TOPICS, TopicSet, iter, names},
};

/// How long a stream may take to give out what it owes when the server stops. On a busy machine one may not be polled in that
/// time, and is freed: its client has the id of the last event that it was given, and knows where to go on.
const LAST: Duration = Duration::from_secs(1);

/// What happened to whom nothing wrong was done.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Figures {
    pub(crate) deliveries: usize,
    pub(crate) connections: usize,
    pub(crate) gaps: usize,
    pub(crate) values: usize,
}

impl std::ops::AddAssign for Figures {
    fn add_assign(&mut self, other: Self) {
        self.deliveries += other.deliveries;
        self.connections += other.connections;
        self.gaps += other.gaps;
        self.values += other.values;
    }
}

/// What all clients of a run have in common.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trial<'a> {
    pub(crate) setup: &'a Setup,
    pub(crate) book: &'a Book,
    /// When the server was about to be stopped.
    pub(crate) stopped: Option<Instant>,
}

/// # Errors
/// The first thing that is wrong, and what led to it.
pub(crate) fn judge(trial: Trial<'_>, entries: &[Entry]) -> Result<Figures, String> {
    let mut judge = Judge::new(trial, entries);
    for (index, entry) in entries.iter().enumerate() {
        if let Err(what) = judge.step(entry) {
            let from = entries[..index].iter().rposition(|entry| matches!(entry, Entry::Open { .. }));
            let from = from.unwrap_or(0);
            let mut story: Vec<String> =
                entries[from..=index].iter().map(|entry| format!("{entry:?}")).collect();
            if story.len() > 20 {
                story.splice(2..story.len() - 16, ["…".to_owned()]);
            }
            return Err(format!("{what}\n  {}", story.join("\n  ")));
        }
    }
    Ok(judge.figures)
}

struct Judge<'a> {
    trial: Trial<'a>,
    /// By sequence: it came as itself or as a value, at some time.
    ever: Vec<bool>,
    /// By sequence: it has come by now, or a gap has told that it will not.
    told: Vec<bool>,
    interest: Interest,
    came: Came,
    opened: Instant,
    /// The last id of the connection.
    last: u64,
    /// All up to here that was owed was there.
    judged: u64,
    /// How many messages the connection has had.
    messages: usize,
    last_is_gap: bool,
    /// Whether present values may come out of order: at a beginning without a position, and where a gap leads to now.
    values_due: bool,
    /// The newest event that the client has of each topic, in all and on this connection.
    newest: [u64; TOPICS],
    on_connection: [u64; TOPICS],
    figures: Figures,
}

impl<'a> Judge<'a> {
    fn new(trial: Trial<'a>, entries: &[Entry]) -> Self {
        let len = trial.book.len() as usize + 1;
        let mut judge = Self {
            trial,
            ever: vec![false; len],
            told: vec![false; len],
            interest: Interest::default(),
            came: Came::New,
            opened: Instant::now(),
            last: 0,
            judged: 0,
            messages: 0,
            last_is_gap: false,
            values_due: false,
            newest: [0; TOPICS],
            on_connection: [0; TOPICS],
            figures: Figures::default(),
        };
        for entry in entries {
            if let Entry::Message { id, said: Said::Event { number, .. } } = entry
                && let Some(event) = judge.event(id.unwrap_or_default(), *number)
            {
                judge.ever[event.seq as usize] = true;
            }
        }
        judge
    }

    fn event(&self, id: u64, number: Option<u64>) -> Option<&'a Published> {
        match number {
            Some(number) => self.trial.book.numbered(number),
            None => self.trial.book.get(id),
        }
    }

    fn step(&mut self, entry: &Entry) -> Result<(), String> {
        match entry {
            Entry::Open { came, topics, before, after, at } => {
                self.open(came, *topics, *before, *after);
                self.opened = *at;
            }
            Entry::Add { topics, before, after } => self.interest.add(*topics, *before, *after),
            Entry::Remove { topics } => self.interest.remove(*topics),
            Entry::Message { id, said } => return self.message(id.unwrap_or(self.last), said),
            Entry::Cut | Entry::Broken => {}
            Entry::End { amid, at } => return self.end(*amid, *at),
            Entry::Settled { head, at } => return self.settled(*head, *at),
            Entry::Wrong { what } => return Err(what.clone()),
        }
        Ok(())
    }

    fn open(&mut self, came: &Came, topics: TopicSet, before: u64, after: u64) {
        self.figures.connections += 1;
        (self.messages, self.last_is_gap) = (0, false);
        self.on_connection = [0; TOPICS];
        self.values_due = !matches!(came, Came::After { owed: false, .. });
        let position = match came {
            Came::New | Came::Unreadable(_) => {
                self.interest.begin(topics, before, after);
                before
            }
            Came::After { id, .. } => {
                self.interest.resume(topics, *id);
                *id
            }
            Came::Foreign(_) => {
                self.interest.begin(topics, 0, 0);
                0
            }
        };
        (self.last, self.judged) = (position, position);
        self.came = came.clone();
    }

    fn message(&mut self, id: u64, said: &Said) -> Result<(), String> {
        if id > self.trial.book.len() {
            return Err(format!("the id {id} was never given"));
        }
        if id < self.last {
            return Err(format!("ids go back: {id} behind {}", self.last));
        }
        if self.messages == 0 {
            match (&self.came, said) {
                (Came::Unreadable(_), Said::Gap(gap)) if gap.reason == "unknown" => {}
                (Came::Foreign(_), Said::Gap(gap)) if gap.reason == "restarted" => {}
                (Came::Unreadable(_) | Came::Foreign(_), _) => {
                    return Err("no gap tells of a strange id".into());
                }
                (Came::New | Came::After { .. }, _) => {}
            }
        }
        if self.messages == 0 && matches!(self.came, Came::New | Came::Unreadable(_)) {
            let begins = if let Said::Gap(gap) = said { gap.after } else { None };
            self.interest.began(begins.unwrap_or(id));
        }
        match said {
            Said::Event { fingerprint, number } => self.take(id, *fingerprint, *number)?,
            Said::Position => {}
            Said::Gap(gap) => self.gap(id, gap)?,
        }
        self.advance(id)?;
        self.last = id;
        self.messages += 1;
        self.last_is_gap = matches!(said, Said::Gap(_));
        if let Said::Gap(gap) = said {
            // Those that were due already still are, under the position that the gap has moved to.
            self.values_due |= self.trial.setup.on_gap != OnGap::Continue || gap.reason == "unknown";
        }
        Ok(())
    }

    fn take(&mut self, id: u64, fingerprint: u64, number: Option<u64>) -> Result<(), String> {
        let Some(event) = self.event(id, number) else {
            return Err(format!("event {id} ({number:?}) was never published"));
        };
        let seq = event.seq;
        if event.fingerprint != fingerprint {
            return Err(format!("event {id} is not what was published as {event:?}"));
        }
        let values = self.trial.setup.values();
        let mine = event.topics & self.interest.topics;
        let is_present = self.values_due && mine & values != 0 && seq <= id;
        let is_new = self.interest.allowed(event.topics, seq) != 0 && seq > self.last;
        if seq == id && (is_new || !is_present) {
            self.figures.deliveries += 1;
            self.values_due = false;
            if self.interest.allowed(event.topics, seq) == 0 {
                return Err(format!("an event off its topics: {event:?}"));
            }
            if seq <= self.last {
                return Err(format!("event {seq} came behind {}", self.last));
            }
        } else {
            self.figures.values += 1;
            if !is_present {
                return Err(format!("event {seq} came under the id {id}: {event:?}"));
            }
        }
        for topic in iter(mine & values) {
            if seq < self.on_connection[topic] {
                let newer = self.on_connection[topic];
                return Err(format!("a value goes back in time: {seq} behind {newer} on {topic}"));
            }
            self.on_connection[topic] = seq;
        }
        for topic in iter(event.topics) {
            self.newest[topic] = self.newest[topic].max(seq);
        }
        self.told[seq as usize] = true;
        Ok(())
    }

    /// An id that was sent means: everything up to it was.
    fn advance(&mut self, id: u64) -> Result<(), String> {
        for event in self.trial.book.between(self.judged, id) {
            self.must_have(event, &format!("the id {id}"))?;
        }
        self.judged = self.judged.max(id);
        Ok(())
    }

    fn must_have(&self, event: &Published, by: &str) -> Result<(), String> {
        let owed = self.owed(event);
        if owed == 0 || self.told[event.seq as usize] {
            return Ok(());
        }
        let ever = if self.ever[event.seq as usize] { ", which came later" } else { "" };
        Err(format!("lost in silence by {by}: {event:?}, owed for {:?}{ever}", names(owed)))
    }

    /// For which topics an event must come or a gap tell of it. A value that is superseded is no loss.
    fn owed(&self, event: &Published) -> TopicSet {
        self.interest.owed(event.topics, event.seq) & !self.trial.setup.values()
    }

    fn gap(&mut self, id: u64, gap: &Gap) -> Result<(), String> {
        self.figures.gaps += 1;
        let setup = self.trial.setup;
        let is_first = self.messages == 0;
        if gap.topics == 0 || gap.topics & !self.interest.topics != 0 {
            return Err(format!("a gap names {:?}, which are not the client's", names(gap.topics)));
        }
        let goes_on = setup.on_gap == OnGap::Continue;
        match gap.reason.as_str() {
            "trimmed" | "lagged" => {
                if gap.reason == "trimmed" && !(is_first && matches!(self.came, Came::After { .. })) {
                    return Err("trimmed is for who comes back".into());
                }
                let Some(after) = gap.after.filter(|after| *after >= self.last && *after < gap.upto) else {
                    return Err(format!("a gap from {:?} to {} behind {}", gap.after, gap.upto, self.last));
                };
                if goes_on && id != after && id != gap.upto || !goes_on && id < gap.upto {
                    return Err(format!("a gap from {after} to {} has the id {id}", gap.upto));
                }
                self.advance(after)?;
                self.justify(after, gap, is_first)?;
                let upto = if goes_on { gap.upto } else { id };
                self.excuse(after, upto, (!goes_on).then_some(self.interest.topics), gap);
            }
            "restarted" if is_first && matches!(self.came, Came::Foreign(_)) => {
                if gap.topics != self.interest.topics {
                    return Err("a restart concerns every topic".into());
                }
                let upto = if goes_on { gap.upto } else { id };
                self.excuse(0, upto, (!goes_on).then_some(self.interest.topics), gap);
            }
            "unknown" if is_first && matches!(self.came, Came::Unreadable(_)) => {
                if gap.topics != self.interest.topics {
                    return Err("an unknown position concerns every topic".into());
                }
                self.excuse(self.judged, id, Some(self.interest.topics), gap);
            }
            reason => return Err(format!("no reason for {reason}")),
        }
        Ok(())
    }

    /// Of each topic that a gap names, something was lost, and the client does not have it.
    fn justify(&self, after: u64, gap: &Gap, is_first: bool) -> Result<(), String> {
        let Trial { setup, book, .. } = self.trial;
        if gap.topics & setup.values() != 0 {
            return Err("latest values are never lost".into());
        }
        if setup.flood && is_first {
            // A topic that was forgotten begins anew where some other's last loss was.
            return Ok(());
        }
        for topic in iter(gap.topics) {
            let after = after.max(self.interest.lower(topic));
            let lost = book.of_topic(topic, after, gap.upto).any(|event| {
                !self.ever[event.seq as usize] && book.may_be_lost(setup, event, gap.head, gap.at)
            });
            if !lost {
                return Err(format!("a gap where nothing was lost: {:?}", names(1 << topic)));
            }
        }
        Ok(())
    }

    /// What the gap tells of, and what the hub cannot have any more, need not come. With `all`, neither need
    /// the rest of these topics.
    fn excuse(&mut self, after: u64, upto: u64, all: Option<TopicSet>, gap: &Gap) {
        let Trial { setup, book, .. } = self.trial;
        for event in book.between(after, upto) {
            let owed = self.owed(event);
            if owed == 0 {
                continue;
            }
            let named = owed & !gap.topics == 0 && book.may_be_lost(setup, event, gap.head, gap.at);
            if all.is_some_and(|all| owed & all != 0) || named {
                self.told[event.seq as usize] = true;
            }
        }
    }

    fn end(&self, amid: bool, at: Instant) -> Result<(), String> {
        let Trial { setup, book, stopped } = self.trial;
        if amid {
            return Err("the stream ended in the middle of an event".into());
        }
        let closed = setup.on_gap == OnGap::Close && self.last_is_gap;
        let capped = setup.replay.is_some() && self.messages > 0;
        if closed || capped {
            return Ok(());
        }
        let Some(stopped) = stopped.filter(|stopped| *stopped <= at) else {
            return Err("the stream ended, and nobody had it end".into());
        };
        if self.opened >= stopped || at >= stopped + LAST {
            return Ok(());
        }
        for event in book.between(self.judged, book.len()).iter().filter(|event| event.after < stopped) {
            self.must_have(event, "the end, although published before the stop")?;
        }
        Ok(())
    }

    fn settled(&mut self, head: u64, at: Instant) -> Result<(), String> {
        let Trial { setup, book, .. } = self.trial;
        for event in book.between(self.judged, head) {
            self.must_have(event, "the end of a round")?;
        }
        self.judged = self.judged.max(head);
        for topic in iter(self.interest.topics & setup.values()) {
            let Some(value) = book.of_topic(topic, 0, head).next() else {
                continue;
            };
            let owed = self.interest.owes_value(topic, value.seq);
            if owed && self.newest[topic] < value.seq && !book.may_be_lost(setup, value, head, at) {
                let newest = self.newest[topic];
                return Err(format!("the latest value of {topic} never came, but {newest}: {value:?}"));
            }
        }
        Ok(())
    }
}
