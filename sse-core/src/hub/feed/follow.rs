//! [`Follow`]: the one task that takes what the engine has into the log.

use std::{future::poll_fn, task::Poll, time::Duration};

use tokio::{
    sync::oneshot,
    task::yield_now,
    time::{Instant, sleep, timeout_at},
};

use super::Feed;
use crate::{
    engine::{Fed, Tail},
    frame::Frame,
    hub::{
        Hub, WeakHub,
        inner::{HubState, Inner},
    },
    id::EventId,
    metrics::{self, Count, Took},
    nodes::{Loss, Told},
    record::{Notice, Record, Unreadable},
    topic::Topics,
};

/// How many steps are taken under one lock.
const AT_ONCE: usize = 64;

/// After how long an engine is followed anew that has given up, against its contract.
const AGAIN: Duration = Duration::from_secs(1);

/// An engine that has not told for so long where it stands is away, whatever keeps it: it does so every second.
const SILENT: Duration = Duration::from_secs(5);

/// Takes what the engine has into the log.
pub(super) struct Follow {
    hub: WeakHub,
    tail: Tail,
    ready: Option<oneshot::Sender<()>>,
    /// When the engine has last told where it stands. None while it is away, and before all.
    told: Option<Instant>,
    /// Whether the tail is another one than before, and has not come to where the log stands.
    is_anew: bool,
}

/// What is done with one [`Fed`].
enum Step {
    Append {
        id: EventId,
        topics: Topics,
        frame: Frame,
        age: Duration,
    },
    /// No event, but the engine's id; and perhaps something that is told, so long ago.
    Pass(EventId, Option<(Notice, Duration)>),
    /// Something that was kept.
    Kept(Notice),
    Hole(EventId),
    /// An event that cannot be read.
    LostEvent(EventId),
    Seam {
        start: EventId,
        kept: Option<u64>,
    },
    /// It begins behind this.
    Begin(EventId),
    Head(EventId, std::time::Instant),
    Away,
}

/// What is told when the lock is free.
enum Word {
    Notice(Notice, Told),
    Lost(Loss),
}

impl Follow {
    pub(super) fn new(hub: &Hub, tail: Tail, ready: oneshot::Sender<()>) -> Self {
        Self { hub: hub.downgrade(), tail, ready: Some(ready), told: None, is_anew: false }
    }

    /// Until the hub is dropped.
    pub(super) async fn run(mut self) {
        let _gone = Gone(self.hub.clone());
        let mut feds = Vec::new();
        loop {
            let is_open = self.next(&mut feds).await;
            let Some(hub) = self.hub.upgrade() else {
                return;
            };
            let Some(feed) = &hub.0.feed else {
                return;
            };
            feed.note_thread();
            let is_full = feds.len() >= AT_ONCE;
            take(&hub.0, feed, feds.drain(..), &mut self.ready, &mut self.is_anew);
            if !is_open {
                tracing::error!(engine = feed.engine.name(), "the engine has stopped telling what happens");
                hub.0.lock().log.engine_is_away();
                feed.note(true);
                let past = hub.0.lock().log.limits().past();
                self.tail = feed.engine.tail(past);
                self.told = None;
                self.is_anew = true;
                drop(hub);
                sleep(AGAIN).await;
            } else if is_full {
                drop(hub);
                yield_now().await;
            }
        }
    }

    /// Waits for something, and takes what is there with it. Whether there may be more.
    async fn next(&mut self, feds: &mut Vec<Fed>) -> bool {
        let tail = &mut self.tail;
        let some = poll_fn(|cx| {
            while feds.len() < AT_ONCE {
                match tail.as_mut().poll_next(cx) {
                    Poll::Ready(Some(fed)) => feds.push(fed),
                    Poll::Ready(None) => return Poll::Ready(false),
                    Poll::Pending if feds.is_empty() => return Poll::Pending,
                    Poll::Pending => break,
                }
            }
            Poll::Ready(true)
        });
        let is_open = match self.told {
            Some(told) => timeout_at(told + SILENT, some).await.unwrap_or(true),
            None => some.await,
        };
        self.listen(feds);
        is_open
    }

    /// Takes an engine for away that gives records, or nothing, and does not tell where it stands.
    fn listen(&mut self, feds: &mut Vec<Fed>) {
        for fed in &*feds {
            match fed {
                Fed::Head { .. } => self.told = Some(Instant::now()),
                Fed::Away { .. } => self.told = None,
                _ => {}
            }
        }
        if self.told.is_some_and(|told| told.elapsed() >= SILENT) {
            self.told = None;
            let reason = format!("for {} s it has not told where it stands", SILENT.as_secs());
            feds.push(Fed::Away { reason });
        }
    }
}

/// Decodes before the lock is taken, and tells after it.
fn take(
    inner: &Inner,
    feed: &Feed,
    feds: impl Iterator<Item = Fed>,
    ready: &mut Option<oneshot::Sender<()>>,
    is_anew: &mut bool,
) {
    let mut steps = Vec::new();
    let mut is_ready = ready.is_none();
    for fed in feds {
        match fed {
            Fed::Begin { start, .. } => steps.push(Step::Begin(start)),
            Fed::Kept { record } => match Record::read(&record) {
                Ok(Record::Notice(notice)) => steps.push(Step::Kept(notice)),
                Ok(_) | Err(_) => metrics::count(Count::EngineUnreadable),
            },
            Fed::Record { id, age, record } => {
                metrics::count(Count::EngineRecords);
                if is_ready {
                    metrics::took(Took::Engine, age);
                }
                match Record::read(&record) {
                    Ok(Record::Event(topics, draft)) => {
                        // By this node's clock it may be of tomorrow.
                        let age = if is_ready { Duration::ZERO } else { age };
                        steps.push(Step::Append { id, topics, frame: draft.seal(id), age });
                    }
                    Ok(Record::Notice(notice)) => {
                        steps.push(Step::Pass(id, Some((notice, age))));
                    }
                    Ok(Record::Unknown) => {
                        metrics::count(Count::EngineUnreadable);
                        steps.push(Step::Pass(id, None));
                    }
                    Err(Unreadable { is_event }) => {
                        metrics::count(Count::EngineUnreadable);
                        tracing::error!(%id, "an event in the engine's log cannot be read: its clients are told of a gap");
                        steps.push(if is_event { Step::LostEvent(id) } else { Step::Hole(id) });
                    }
                }
            }
            Fed::Hole { upto } => steps.push(Step::Hole(upto)),
            Fed::Seam { start, kept } => steps.push(Step::Seam { start, kept }),
            Fed::Head { id, asked } => {
                is_ready = true;
                steps.push(Step::Head(id, asked));
            }
            Fed::Away { reason } => {
                tracing::warn!(engine = feed.engine.name(), reason, "the engine does not answer");
                steps.push(Step::Away);
            }
        }
    }
    let is_known =
        steps.iter().any(|step| !matches!(step, Step::Append { .. } | Step::Pass(..) | Step::Kept(_)));
    let mut steps = steps.into_iter().peekable();
    while steps.peek().is_some() {
        let mut words = Vec::new();
        let is_away = inner.change(|state| {
            // Nobody is given what comes behind a notice before that was told: it may be about them.
            while words.is_empty()
                && let Some(step) = steps.next()
            {
                let (holes, seams, lossy_seams) = (state.holes, state.seams, state.lossy_seams);
                let counts = !*is_anew || state.finds_its_place(&step, is_anew);
                let word = if counts { apply(inner, state, step) } else { None };
                // What a notice was behind is lost before it.
                if state.seams > seams {
                    words.push(Word::Lost(Loss::Seam { is_known: state.lossy_seams > lossy_seams }));
                }
                if state.holes > holes {
                    words.push(Word::Lost(Loss::Missed));
                }
                words.extend(word);
            }
            state.log.is_away()
        });
        feed.note(is_away);
        tell(feed, &words);
    }
    inner.wake_parked(is_known);
    if is_ready && let Some(ready) = ready.take() {
        // Nobody waits any more where it cannot be sent.
        let _ = ready.send(());
    }
}

fn tell(feed: &Feed, words: &[Word]) {
    for word in words {
        match word {
            Word::Notice(notice, told) => {
                let mut is_read = feed.shared.is_empty();
                for shared in &feed.shared {
                    is_read |= shared.told(notice, *told);
                }
                if !is_read {
                    metrics::count(Count::EngineUnreadable);
                }
            }
            Word::Lost(loss) => feed.shared.iter().for_each(|shared| shared.lost(*loss)),
        }
    }
}

/// Brings the log to where this step leaves it. Ids are dense: a jump is a loss. Returns what is to be told.
fn apply(inner: &Inner, state: &mut HubState, step: Step) -> Option<Word> {
    match step {
        Step::Append { id, topics, frame, age } => {
            if state.comes_to(id) {
                // Read under the lock: the log's events are in the order of their times.
                let now = Instant::now();
                state.newest = now;
                let since = now.into_std();
                let since = since.checked_sub(age).unwrap_or(since);
                state.append(inner, id, &topics, &frame, since);
            }
        }
        Step::Pass(id, notice) => {
            if state.comes_to(id) {
                state.log.pass(id);
                return notice.map(|(notice, age)| Word::Notice(notice, Told::Ago(age)));
            }
        }
        Step::LostEvent(id) => {
            if state.comes_to(id) {
                state.lost_event(id);
            }
        }
        Step::Kept(notice) => return Some(Word::Notice(notice, Told::Kept)),
        Step::Hole(upto) if upto.epoch == state.log.head().id.epoch => {
            if upto.seq > state.log.head().id.seq {
                state.hole(upto);
            }
        }
        Step::Begin(start) | Step::Hole(start) => state.goes_on_behind(start),
        Step::Seam { start, kept } => state.seam(start, kept),
        Step::Head(id, asked) if id.epoch == state.log.head().id.epoch => state.log.engine_stood(id, asked),
        Step::Head(id, _) => {
            // Against its contract: of what it has there, nothing can be told from what was there before.
            if !state.log.is_away() {
                tracing::error!(%id, "the engine goes on in an epoch that has ended");
            }
            state.log.engine_is_away();
        }
        Step::Away => state.log.engine_is_away(),
    }
    None
}

impl HubState {
    /// Whether this step of a tail that began anew is one behind the log, or may be.
    ///
    /// It begins somewhere in the past, and may come through epochs that the log was in before it.
    fn finds_its_place(&mut self, step: &Step, is_anew: &mut bool) -> bool {
        let (id, is_last) = match step {
            Step::Append { id, .. }
            | Step::Pass(id, _)
            | Step::LostEvent(id)
            | Step::Hole(id)
            | Step::Begin(id) => (*id, false),
            Step::Seam { start, .. } => (*start, false),
            Step::Head(id, _) => (*id, true),
            Step::Away | Step::Kept(_) => return true,
        };
        let is_here = id.epoch == self.log.head().id.epoch;
        if is_last && !is_here {
            // It never came there: what lies between is lost.
            self.seam(id, None);
        }
        *is_anew = !(is_here || is_last);
        is_here || is_last
    }

    /// Whether the record with this id is the next one, once what lies in front of it is taken for lost.
    fn comes_to(&mut self, id: EventId) -> bool {
        let head = self.log.head().id;
        if (id.epoch == head.epoch && id.seq <= head.seq) || self.log.has_left(id.epoch) {
            return false;
        }
        let before = EventId { seq: id.seq.saturating_sub(1), ..id };
        self.goes_on_behind(before);
        true
    }

    /// The next record is the one behind this.
    fn goes_on_behind(&mut self, before: EventId) {
        let head = self.log.head().id;
        if before.epoch != head.epoch {
            // What comes again from before a seam is nothing new.
            if !self.log.has_left(before.epoch) {
                self.seam(before, None);
            }
        } else if before.seq > head.seq {
            self.hole(before);
        }
    }

    fn hole(&mut self, upto: EventId) {
        self.holes += 1;
        self.lost_event(upto);
    }

    /// To clients it is a hole. It is not one of the notices that are lost with it, for it is none.
    fn lost_event(&mut self, id: EventId) {
        metrics::count(Count::EngineHoles);
        self.log.hole(id);
        self.mark_all();
    }

    fn seam(&mut self, start: EventId, kept: Option<u64>) {
        let head = self.log.head().id;
        if start.epoch == head.epoch || self.log.has_left(start.epoch) {
            return;
        }
        metrics::count(Count::EngineSeams);
        self.seams += 1;
        if let Some(kept) = kept.filter(|kept| *kept > head.seq) {
            self.hole(EventId { seq: kept, ..head });
        }
        if kept != Some(self.log.head().id.seq) {
            self.lossy_seams += 1;
        }
        self.log.seam(start, kept);
        self.mark_all();
    }

    fn mark_all(&mut self) {
        for key in self.log.keys() {
            self.sleepers.mark(key);
        }
    }
}

/// Nobody follows the engine any more: its runtime has ended, or the task with it.
struct Gone(WeakHub);

impl Drop for Gone {
    fn drop(&mut self) {
        if let Some(hub) = self.0.upgrade()
            && let Some(feed) = &hub.0.feed
        {
            hub.0.lock().log.engine_is_away();
            feed.note(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::Pin,
        sync::{Arc, Mutex, OnceLock},
        task::Context,
    };

    use futures_core::Stream;
    use tokio::sync::mpsc;

    use super::*;
    use crate::{
        engine::{Engine, EngineError, EngineFuture, Past, Publication, Published},
        nodes::{Nodes, Shared},
        record::AUTH,
    };

    #[derive(Debug)]
    struct Said(Mutex<Option<mpsc::UnboundedReceiver<Fed>>>);

    impl Engine for Said {
        fn name(&self) -> &'static str {
            "a test"
        }

        fn remembers_keys_for(&self) -> Duration {
            Duration::from_secs(60)
        }

        fn publish(&self, _: Publication) -> EngineFuture<'_, Result<Published, EngineError>> {
            Box::pin(async { Err(EngineError::refused("nothing is published")) })
        }

        fn tail(&self, _: Past) -> Tail {
            Box::pin(Feds(self.0.lock().unwrap().take().unwrap()))
        }
    }

    struct Feds(mpsc::UnboundedReceiver<Fed>);

    impl Stream for Feds {
        type Item = Fed;

        fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Fed>> {
            self.0.poll_recv(cx)
        }
    }

    /// Where the hub is when something is told.
    #[derive(Debug, Default)]
    struct Witness {
        hub: OnceLock<WeakHub>,
        seen: Mutex<Vec<u64>>,
    }

    impl Shared for Witness {
        fn join(&self, _: Nodes) {}

        fn told(&self, _: &Notice, _: Told) -> bool {
            let hub = self.hub.get().and_then(WeakHub::upgrade).unwrap();
            self.seen.lock().unwrap().push(hub.position().sequence());
            true
        }

        fn lost(&self, _: Loss) {}
    }

    #[tokio::test]
    async fn nobody_is_given_what_lies_behind_a_notice_before_it_is_told() {
        let (said, feds) = mpsc::unbounded_channel();
        let id = |n| EventId::new(1, n);
        let head = |n| Fed::Head { id: id(n), asked: std::time::Instant::now() };
        let notice = Notice { kind: AUTH, body: serde_json::Value::Null };
        said.send(Fed::Begin { start: id(0), is_first: true }).unwrap();
        said.send(head(0)).unwrap();
        let witness = Arc::new(Witness::default());
        let builder = Hub::builder().engine(Said(Mutex::new(Some(feds))));
        let hub = builder.share_with(witness.clone()).build().await.unwrap();
        witness.hub.set(hub.downgrade()).unwrap();
        for n in 1..=3 {
            said.send(Fed::Record { id: id(n), age: Duration::ZERO, record: Record::notice(&notice) })
                .unwrap();
        }
        said.send(head(3)).unwrap();
        while witness.seen.lock().unwrap().len() < 3 {
            yield_now().await;
        }
        assert_eq!(*witness.seen.lock().unwrap(), [1, 2, 3]);
    }
}
