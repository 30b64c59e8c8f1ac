//! [`Reader`]: what a tail tells, in order, with the rules that hold for each of them.

use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use sse_core::{Engine as _, EventId, Fed, Past, Tail};
use sse_redis::Redis as Log;
use tokio::time::timeout;

use crate::PATIENCE;

/// Everything that a window may have.
pub(crate) fn all() -> Past {
    Past::new(usize::MAX, usize::MAX, Duration::from_secs(3600))
}

/// Reads a tail. The position that a hub would have goes with it, and each step is checked against it.
pub(crate) struct Reader {
    tail: Tail,
    head: Option<EventId>,
    /// The epochs that have ended: none comes again.
    left: Vec<u64>,
    is_away: bool,
}

impl Reader {
    pub(crate) fn new(log: &Log, past: Past) -> Self {
        Self { tail: log.tail(past), head: None, left: Vec::new(), is_away: false }
    }

    /// Which has read all that there is.
    pub(crate) async fn caught_up(log: &Log) -> Self {
        let mut reader = Self::new(log, all());
        reader.until_head().await;
        reader
    }

    pub(crate) fn head(&self) -> EventId {
        self.head.expect("it has begun")
    }

    pub(crate) async fn next(&mut self) -> Fed {
        let fed = timeout(PATIENCE, self.tail.next()).await.expect("something in time").expect("no end");
        match &fed {
            Fed::Begin { start, .. } => {
                assert_eq!(self.head, None, "it begins twice");
                self.head = Some(*start);
            }
            Fed::Record { id, .. } => {
                let head = self.head();
                assert_eq!(*id, EventId::new(head.epoch(), head.sequence() + 1), "behind {head:?}");
                self.head = Some(*id);
            }
            Fed::Hole { upto } => {
                assert_eq!(upto.epoch(), self.head().epoch());
                assert!(
                    upto.sequence() > self.head().sequence(),
                    "{upto:?} is no hole behind {:?}",
                    self.head
                );
                self.head = Some(*upto);
            }
            Fed::Seam { start, kept } => {
                self.left.push(self.head().epoch());
                assert!(!self.left.contains(&start.epoch()), "{start:?} was left before");
                assert!(
                    kept.is_none_or(|kept| kept <= self.head().sequence()),
                    "{kept:?} of {:?}",
                    self.head
                );
                self.head = Some(*start);
            }
            Fed::Head { id, asked } => {
                assert_eq!(*id, self.head(), "there was more");
                assert!(*asked <= Instant::now());
                self.is_away = false;
            }
            Fed::Away { .. } => {
                assert!(!self.is_away, "it is away twice");
                self.is_away = true;
            }
            Fed::Kept { .. } => {}
            other => panic!("{other:?}"),
        }
        fed
    }

    /// The next that is no head and no absence.
    pub(crate) async fn news(&mut self) -> Fed {
        let deadline = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < deadline, "nothing new in time");
            match self.next().await {
                Fed::Head { .. } | Fed::Away { .. } => {}
                fed => return fed,
            }
        }
    }

    /// The next record, of which nothing but heads comes before.
    pub(crate) async fn record(&mut self) -> String {
        match self.news().await {
            Fed::Record { record, .. } => String::from_utf8(record.to_vec()).unwrap(),
            other => panic!("no record, but {other:?}"),
        }
    }

    /// Everything up to the next head, without it.
    pub(crate) async fn until_head(&mut self) -> Vec<Fed> {
        let mut feds = Vec::new();
        loop {
            match self.next().await {
                Fed::Head { .. } => return feds,
                fed => feds.push(fed),
            }
        }
    }

    /// Reads until Redis is away.
    pub(crate) async fn until_away(&mut self) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < deadline, "it is there");
            if let Fed::Away { reason } = self.next().await {
                return reason;
            }
        }
    }
}

/// The texts of the records among these.
pub(crate) fn records(feds: &[Fed]) -> Vec<String> {
    let text = |fed: &Fed| match fed {
        Fed::Record { record, .. } => Some(String::from_utf8(record.to_vec()).unwrap()),
        _ => None,
    };
    feds.iter().filter_map(text).collect()
}
