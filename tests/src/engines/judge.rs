//! What clients were sent, held against an engine's log: each event of a client's topics once and in order, or a gap that
//! names it.

use std::collections::{HashMap, HashSet};

use serde_json::Value;
use sse_core::EventId;

/// An event as it stands in an engine's log.
#[derive(Clone, Debug)]
pub struct Logged {
    /// Its place.
    pub id: EventId,
    /// Its topics.
    pub topics: Vec<String>,
    /// Its data.
    pub data: String,
}

impl Logged {
    /// Reads a record; `None` where it is no event.
    pub fn read(id: EventId, record: &[u8]) -> Option<Self> {
        let record: Value = serde_json::from_slice(record).ok()?;
        if record["kind"] != "event" {
            return None;
        }
        let topics = record["topics"].as_array()?.iter().filter_map(|topic| Some(topic.as_str()?.to_owned()));
        let lines = record["frame"].as_str()?.lines().filter_map(|line| line.strip_prefix("data: "));
        Some(Self { id, topics: topics.collect(), data: lines.collect::<Vec<_>>().join("\n") })
    }
}

/// What a client was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sent {
    /// An event: its id and data.
    Event(String, String),
    /// A gap: its data.
    Gap(String),
}

/// How much was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Events that clients were given.
    pub events: usize,
    /// Gaps that they were told.
    pub gaps: usize,
    /// Events that are missing, each named by a gap.
    pub excused: usize,
    /// Events that they were given before the engine lost them, which they were told.
    pub void: usize,
}

impl std::ops::AddAssign for Figures {
    fn add_assign(&mut self, other: Self) {
        self.events += other.events;
        self.gaps += other.gaps;
        self.excused += other.excused;
        self.void += other.void;
    }
}

/// All events that an engine has had.
#[derive(Debug)]
pub struct Judge {
    log: Vec<Logged>,
    places: HashMap<String, usize>,
    void: HashSet<String>,
    epochs: Vec<u64>,
}

/// A gap: which topics it names, and up to which place in the log; `None` where its end is not in there.
struct Told {
    topics: Vec<String>,
    upto: Option<usize>,
}

impl Judge {
    /// Of all that was in the log, in its order, but for what it has taken back; and of that.
    pub fn new(log: Vec<Logged>, void: impl IntoIterator<Item = EventId>) -> Self {
        let places = log.iter().enumerate().map(|(place, event)| (event.id.to_string(), place)).collect();
        let void = void.into_iter().map(|id| id.to_string()).collect();
        Self { log, places, void, epochs: Vec::new() }
    }

    /// The same, with all epochs in their order: also those of which no event is left, which gaps may name.
    #[must_use]
    pub fn in_epochs(mut self, epochs: Vec<u64>) -> Self {
        self.epochs = epochs;
        self
    }

    /// How many events there are.
    pub fn len(&self) -> usize {
        self.log.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.log.is_empty()
    }

    /// How often each is in the log, by its data.
    pub fn counts(&self) -> HashMap<&str, usize> {
        let mut counts = HashMap::new();
        for event in &self.log {
            *counts.entry(event.data.as_str()).or_default() += 1;
        }
        counts
    }

    /// Whether there is an event of this id, or was.
    pub fn knows(&self, id: &str) -> bool {
        self.places.contains_key(id) || self.void.contains(id)
    }

    /// The first event behind this position.
    fn behind(&self, position: &str) -> Option<usize> {
        let (epoch, seq) = position.trim_end_matches('~').split_once('-')?;
        let (epoch, seq) = (u64::from_str_radix(epoch, 16).ok()?, seq.parse::<u64>().ok()?);
        let Some(first) = self.log.iter().position(|event| event.id.epoch() == epoch) else {
            // Nothing of it is left: what comes next is of one that began later.
            let later = &self.epochs[self.epochs.iter().position(|known| *known == epoch)? + 1..];
            let next = self.log.iter().position(|event| later.contains(&event.id.epoch()));
            return Some(next.unwrap_or(self.log.len()));
        };
        let of_epoch = self.log[first..].iter().take_while(|event| event.id.epoch() == epoch);
        Some(first + of_epoch.take_while(|event| event.id.sequence() <= seq).count())
    }

    /// What a client was sent that has these topics, and was there with this position first. Behind the last event that it
    /// was sent nothing is looked for.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn judge(&self, topics: &[String], start: &str, sent: &[Sent]) -> Result<Figures, String> {
        let is_its = |topic: &String| topics.contains(topic);
        let mut figures = Figures::default();
        // Where nothing of its epoch is in the log, everything behind the first that it was sent is its own.
        let mut next = self.behind(start);
        let mut told: Vec<Told> = Vec::new();
        let mut last = start.to_owned();
        let mut owes_gap = None;
        for sent in sent {
            match sent {
                Sent::Gap(data) => {
                    let gap: Value =
                        serde_json::from_str(data).map_err(|error| format!("{data}: {error}"))?;
                    let named = gap["topics"].as_array().into_iter().flatten();
                    let named: Vec<_> = named.filter_map(|topic| Some(topic.as_str()?.to_owned())).collect();
                    if named.is_empty() || !named.iter().all(is_its) {
                        return Err(format!("a gap of other topics than {topics:?}: {data}"));
                    }
                    let upto = gap["upto"].as_str().and_then(|upto| self.behind(upto));
                    told.push(Told { topics: named, upto });
                    figures.gaps += 1;
                    owes_gap = None;
                }
                Sent::Event(id, data) => {
                    let Some(&place) = self.places.get(id) else {
                        if !self.void.contains(id) {
                            return Err(format!("{data} ({id}) was never in the log"));
                        }
                        owes_gap = Some(data.clone());
                        figures.void += 1;
                        continue;
                    };
                    let event = &self.log[place];
                    if event.data != *data {
                        return Err(format!("{data} has come as {id}, which is {}", event.data));
                    }
                    if !event.topics.iter().any(is_its) {
                        return Err(format!("{data} is not of {topics:?}"));
                    }
                    if let Some(void) = owes_gap {
                        return Err(format!("that {void} is void was not told before {data}"));
                    }
                    let from = next.unwrap_or(place);
                    if place < from {
                        return Err(format!("{data} ({id}) has come again, behind {last}"));
                    }
                    for missing in self.log[from..place].iter().enumerate() {
                        let (offset, missing) = missing;
                        let own: Vec<_> = missing.topics.iter().filter(|topic| is_its(topic)).collect();
                        let names = |gap: &Told| {
                            gap.upto.is_none_or(|upto| from + offset < upto)
                                && own.iter().all(|topic| gap.topics.contains(topic))
                        };
                        if own.is_empty() {
                            continue;
                        }
                        if !told.iter().any(names) {
                            return Err(format!(
                                "{} ({}) of {own:?} is missing between {last} and {id}, and no gap names it",
                                missing.data, missing.id
                            ));
                        }
                        figures.excused += 1;
                    }
                    told.retain(|gap| gap.upto.is_some_and(|upto| upto > place));
                    next = Some(place + 1);
                    last.clone_from(id);
                    figures.events += 1;
                }
            }
        }
        Ok(figures)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge() -> Judge {
        let event = |(epoch, seq, topic): (u64, u64, &str)| Logged {
            id: EventId::new(epoch, seq),
            topics: vec![topic.into()],
            data: format!("{epoch}/{seq}"),
        };
        let log = [(1, 1, "a"), (1, 2, "b"), (1, 3, "a"), (2, 1, "a"), (2, 2, "a")];
        Judge::new(log.map(event).into(), [EventId::new(1, 4)])
    }

    fn sent(all: &[&str]) -> Vec<Sent> {
        let one = |text: &&str| match text.split_once('/') {
            Some((epoch, seq)) => {
                Sent::Event(format!("{:016x}-{seq}", epoch.parse::<u64>().unwrap()), (*text).into())
            }
            None if *text == "lost" => Sent::Event("0000000000000001-4".into(), "lost".into()),
            None => {
                let (upto, topic) = text.split_once(' ').unwrap();
                Sent::Gap(format!(r#"{{"upto":"{upto}","topics":["{topic}"]}}"#))
            }
        };
        all.iter().map(one).collect()
    }

    #[test]
    fn it_finds_what_is_wrong() {
        let judge = judge();
        let of_a = |all: &[&str]| judge.judge(&["a".into()], "0000000000000001-0", &sent(all));
        assert_eq!(of_a(&["1/1", "1/3", "2/1", "2/2"]).map(|figures| figures.events), Ok(4));
        let gap = "0000000000000001-3 a";
        assert_eq!(of_a(&["1/1", gap, "2/1", "2/2"]).map(|figures| figures.excused), Ok(1));
        // A gap may come before what is kept in front of its end.
        assert_eq!(of_a(&[gap, "1/1", "2/1", "2/2"]).map(|figures| figures.excused), Ok(1));
        for wrong in [
            &["1/1", "2/1", "2/2"][..],
            &["1/1", "1/1", "1/3", "2/1", "2/2"],
            &["1/3", "1/1", "2/1", "2/2"],
            &["1/1", "1/2", "1/3", "2/1", "2/2"],
            &["1/1", "1/3", "9/9", "2/1", "2/2"],
            &["1/1", "0000000000000001-3 b", "2/1", "2/2"],
            &["1/1", "0000000000000001-2 a", "2/1", "2/2"],
            &["1/1", "1/3", gap, "2/2"],
            &["1/1", "1/3", "lost", "2/1", "2/2"],
        ] {
            assert!(of_a(wrong).is_err(), "{wrong:?}");
        }
        assert!(of_a(&["1/1", "1/3", "lost", gap, "2/1", "2/2"]).is_ok());
        // Of an epoch of which nothing is left.
        let gap = "0000000000000005-0 a";
        let judge = judge.in_epochs(vec![1, 5, 2]);
        let of_a = |all: &[&str]| judge.judge(&["a".into()], "0000000000000001-0", &sent(all));
        assert_eq!(of_a(&[gap, "1/1", "2/1", "2/2"]).map(|figures| figures.excused), Ok(1));
        assert!(of_a(&[gap, "1/1", "2/2"]).is_err());
    }
}
