//! Follows the log: reads it in order, notices by itself what is missing or replaced, and goes on where it was.

mod kept;
mod position;

use std::{collections::VecDeque, pin::Pin, sync::Arc, time::Duration};

use futures_util::stream;
use sse_core::{EventId, Fed, Past, Tail};
use tokio::time::{Instant, sleep, sleep_until};

use self::{
    kept::{Kept, is_alive, kept_of, next_kept},
    position::{KeptRecords, Position, certain, end_of_past, is_intact, is_log, pass},
};
use crate::{
    api::ApiError,
    epoch::{Epoch, Marker},
    keeper::Keeper,
    link::{Link, StreamInfo},
    reader::{Delivery, From, Reader},
    seen::Seen,
};

/// How often the log is asked for its newest record.
const TICK: Duration = Duration::from_millis(500);
/// After so many ticks it is looked how much room there is for kept records.
const LOOK_FOR_ROOM: u32 = 20;
/// After so many ticks without a record although there are some, it is asked what became of them.
const STALLED: u32 = 2;
/// Before a link is tried again that was lost at once, at first and how many times that at most.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: u32 = 64;

pub(crate) fn follow(keeper: Arc<Keeper>, past: Past) -> Tail {
    let follower = Follower {
        keeper,
        past,
        link: None,
        position: None,
        out: VecDeque::new(),
        is_away: false,
        failures: 0,
    };
    Box::pin(stream::unfold(follower, |mut follower| async move { Some((follower.next().await, follower)) }))
}

struct Follower {
    keeper: Arc<Keeper>,
    past: Past,
    /// What is read over at the moment.
    link: Option<Session>,
    /// Behind what was given; none before the beginning.
    position: Option<Position>,
    /// What was found and not yet given.
    out: VecDeque<Fed>,
    is_away: bool,
    /// Links that were lost since everything was well.
    failures: u32,
}

/// What belongs to one link.
struct Session {
    link: Arc<Link>,
    kept: Option<Kept>,
    reader: Option<Reader>,
    /// The place among what the reader sends that was read last.
    place: u64,
    asking: Option<Asking>,
    next_tick: Instant,
    ticks: u32,
    /// The newest record, when it was asked for: told when everything up to it was given.
    head: Option<(u64, std::time::Instant)>,
    /// The position at the last tick, and for how many ticks it has not moved although there is more.
    stalled: (u64, u32),
}

/// A question for the newest record that is under way.
type Asking = Pin<Box<dyn Future<Output = Answer> + Send>>;

struct Answer {
    info: Result<StreamInfo, ApiError>,
    asked: std::time::Instant,
    /// What had been read when it was asked.
    read: u64,
}

enum Step {
    Over(String),
    Kept(Result<Option<Delivery>, ApiError>),
    Read(Result<Delivery, ApiError>),
    Told(Box<Answer>),
    Tick,
}

impl Follower {
    async fn next(&mut self) -> Fed {
        loop {
            if let Some(fed) = self.out.pop_front() {
                return fed;
            }
            if let Err(error) = self.step().await {
                self.lose(error.to_string());
            }
        }
    }

    fn lose(&mut self, reason: String) {
        if let Some(session) = self.link.take() {
            session.link.connection.give_up(&reason);
        }
        if let Some(position) = &mut self.position
            && position.kept == KeptRecords::Asked
        {
            position.kept = KeptRecords::Owed;
        }
        self.failures = self.failures.saturating_add(1);
        // The first of all is the beginning.
        if !self.is_away && self.position.is_some() {
            self.is_away = true;
            self.out.push_back(Fed::Away { reason });
        }
    }

    async fn step(&mut self) -> Result<(), ApiError> {
        let Some(session) = &mut self.link else { return self.attach().await };
        if let Some(position) = &mut self.position
            && position.kept == KeptRecords::Owed
        {
            if let Some(kept) = session.kept.take() {
                kept.reader.close().await;
            }
            session.kept = Some(kept_of(&session.link, false).await?);
            position.kept = KeptRecords::Asked;
        }
        let step = tokio::select! {
            reason = session.link.connection.over() => Step::Over(reason),
            delivery = next_kept(&mut session.kept) => Step::Kept(delivery),
            delivery = next_of(&mut session.reader) => Step::Read(delivery),
            told = answer(&mut session.asking) => Step::Told(Box::new(told)),
            () = sleep_until(session.next_tick), if session.asking.is_none() => Step::Tick,
        };
        match step {
            Step::Over(reason) => Err(ApiError::Closed(reason)),
            Step::Kept(delivery) => self.take_kept(delivery?).await,
            Step::Read(Ok(delivery)) => self.take(delivery).await,
            // The server has forgotten the consumer, which may mean that it was restarted behind another one.
            Step::Read(Err(ApiError::NoResponders)) => self.resume().await,
            Step::Read(Err(error)) => Err(error),
            Step::Tick => {
                let link = Arc::clone(&session.link);
                let read = self.position.as_ref().map_or(0, |position| position.seq);
                session.next_tick = Instant::now() + TICK;
                session.ticks += 1;
                if session.ticks.is_multiple_of(LOOK_FOR_ROOM) {
                    // By itself: that stream may be on a server that does not answer.
                    tokio::spawn(Arc::clone(&link).look_for_room());
                }
                session.asking = Some(Box::pin(async move {
                    let asked = std::time::Instant::now();
                    Answer { info: link.info().await, asked, read }
                }));
                Ok(())
            }
            Step::Told(told) => {
                session.asking = None;
                let Answer { info, asked, read } = *told;
                self.judge(info?, asked, read).await
            }
        }
    }

    /// Waits for a link and begins or goes on over it.
    async fn attach(&mut self) -> Result<(), ApiError> {
        if self.failures > 1 {
            let pause = FIRST_PAUSE * 2u32.saturating_pow(self.failures - 2).min(LONGEST_PAUSE);
            sleep(pause.mul_f64(rand::random_range(0.5..1.0))).await;
        }
        let mut presence = self.keeper.presence.clone();
        let link = presence.wait_for(|presence| presence.link().is_some()).await;
        let link = link.map(|presence| presence.link().map(Arc::clone)).ok();
        let link = match link {
            Some(Some(link)) => link,
            Some(None) => return Ok(()),
            // Its runtime is gone, and nothing will come any more.
            None if self.is_away || self.position.is_none() => return std::future::pending().await,
            None => return Err(ApiError::Closed("the runtime that it was connected in is gone".into())),
        };
        self.link = Some(Session {
            link: Arc::clone(&link),
            kept: None,
            reader: None,
            place: 0,
            asking: None,
            next_tick: Instant::now(),
            ticks: 0,
            head: None,
            stalled: (0, 0),
        });
        match &self.position {
            None => self.begin(&link).await,
            Some(_) => self.resume().await,
        }
    }

    /// Where the past that was asked for begins.
    async fn begin(&mut self, link: &Arc<Link>) -> Result<(), ApiError> {
        let state = link.info().await?.state;
        // Any consumer tells the server's time.
        let reader = link.read(&link.names.log(), From::Seq(state.last_seq + 1)).await?;
        let clock = reader.clock;
        reader.close().await;
        let age = i64::try_from(self.past.age.as_nanos()).unwrap_or(i64::MAX);
        let since = clock.now().saturating_sub(age).max(0);
        let reader = link.read(&link.names.log(), From::Time(since)).await?;
        let by_age = reader.pending;
        reader.close().await;
        // Roughly, by the records that are there; a record takes more there than what it holds.
        let mean = (state.bytes / state.messages.max(1)).max(1);
        let by_bytes = (self.past.bytes as u64).saturating_mul(2) / mean;
        let count = by_age.min(self.past.events as u64).min(by_bytes);
        let from = (state.last_seq + 1).saturating_sub(count).max(state.first_seq).max(1);
        // Asked after the newest: what is not there now begins behind that.
        let start = link.next_at(from).await?.map_or(state.last_seq, |first| first - 1);
        let epoch = link.epoch_at(start).await?;
        let is_first = start == epoch.since;
        self.out.push_back(Fed::Begin { start: EventId::new(epoch.id, start), is_first });
        self.position = Some(Position {
            base: link.base,
            epoch,
            seq: start,
            seen: Seen::default(),
            past: VecDeque::new(),
            kept: KeptRecords::Owed,
        });
        self.read_on(start).await
    }

    /// Goes on behind what was given, if that is still the same log and the same past.
    async fn resume(&mut self) -> Result<(), ApiError> {
        let (Some(session), Some(position)) = (&mut self.link, &mut self.position) else { return Ok(()) };
        let link = Arc::clone(&session.link);
        session.head = None;
        session.next_tick = Instant::now();
        let info = link.info().await?;
        if !is_log(&link, &info) {
            // Made anew since this link was opened.
            return Err(ApiError::Closed("the stream was deleted and made anew".into()));
        }
        let before_first = info.state.first_seq.max(1) - 1;
        if link.base != position.base {
            let (mut epoch, mut seq) = (link.epoch_at(before_first).await?, before_first);
            let past = position.with_this();
            let has_left = |epoch: Epoch| past.contains(&epoch.id);
            if has_left(epoch) || has_left(link.present()) {
                // It was deleted once, and is put back: what is published there has ids that may have been given since.
                if has_left(link.present()) {
                    link.begin_epoch(link.present(), Some(0)).await?;
                }
                epoch = link.present();
                seq = epoch.since;
            }
            let seen = Seen::default();
            *position = Position { base: link.base, epoch, seq, seen, past, kept: KeptRecords::Owed };
            position.seam(None, &mut self.out);
            return self.read_on(seq).await;
        }
        let present = link.present();
        if present.id == position.epoch.id && !is_intact(&link, position, &info).await?
            || position.past.contains(&present.id)
        {
            let kept = position.seen.last_common(&link, position.seq, info.state.first_seq).await?;
            link.begin_epoch(present, Some(kept.unwrap_or(0))).await?;
        }
        if link.present().id != position.epoch.id {
            let (next, kept) = match link.end_of(position.epoch.id).await? {
                Some((next, kept)) if position.seq > kept => (next, certain(next, kept)),
                Some((next, _)) if position.seq < next.since && is_intact(&link, position, &info).await? => {
                    // Its end is met in its place.
                    let seq = position.seq;
                    return self.read_on(seq).await;
                }
                Some((next, kept)) => {
                    let kept = position.seen.last_common(&link, kept, info.state.first_seq).await?;
                    (next, kept.and_then(|kept| certain(next, kept)))
                }
                None => (end_of_past(&link, position, before_first).await?, None),
            };
            position.enter(next, next.since);
            position.seam(kept, &mut self.out);
        }
        let seq = position.seq;
        self.read_on(seq).await
    }

    /// Reads what lies behind a position, by a new reader.
    async fn read_on(&mut self, seq: u64) -> Result<(), ApiError> {
        let Some(session) = &mut self.link else { return Ok(()) };
        if let Some(reader) = session.reader.take() {
            reader.close().await;
        }
        session.place = 0;
        let link = &session.link;
        session.reader = Some(link.read(&link.names.log(), From::Seq(seq + 1)).await?);
        Ok(())
    }

    async fn take(&mut self, delivery: Delivery) -> Result<(), ApiError> {
        let (Some(session), Some(position)) = (&mut self.link, &mut self.position) else { return Ok(()) };
        let Some(clock) = session.reader.as_ref().map(|reader| reader.clock) else { return Ok(()) };
        if delivery.place <= session.place {
            return Ok(());
        }
        if delivery.place > session.place + 1 {
            // Sent, and lost on the way: once more.
            let seq = position.seq;
            return self.read_on(seq).await;
        }
        session.place = delivery.place;
        if delivery.seq <= position.seq {
            return Ok(());
        }
        let link = Arc::clone(&session.link);
        if delivery.seq > position.seq + 1 {
            pass(&link, position, delivery.seq - 1, &mut self.out).await?;
        }
        position.seq = delivery.seq;
        position.seen.push(delivery.seq, delivery.time);
        if delivery.subject == link.names.epoch(link.base) {
            match Marker::read(&delivery.payload) {
                Some(marker) => {
                    let next = marker.begins(delivery.seq);
                    // One of another epoch came too late to end it: all in front of it is this one's.
                    let kept = match marker.from.id == position.epoch.id {
                        true => certain(next, marker.kept(delivery.seq)),
                        false => Some(delivery.seq - 1),
                    };
                    link.learn(next);
                    position.enter(next, next.since);
                    position.seam(kept, &mut self.out);
                }
                None => position.hole(&mut self.out),
            }
        } else {
            self.out.push_back(Fed::Record {
                id: position.id(),
                age: clock.age(delivery.time),
                record: delivery.payload,
            });
        }
        self.tell_head();
        Ok(())
    }

    /// Tells of the newest record once everything up to it was given.
    fn tell_head(&mut self) {
        let (Some(session), Some(position)) = (&mut self.link, &self.position) else { return };
        let Some((head, asked)) = session.head else { return };
        if position.seq >= head && position.kept == KeptRecords::Given {
            session.head = None;
            self.is_away = false;
            self.failures = 0;
            self.out.push_back(Fed::Head { id: position.id(), asked });
        }
    }

    /// Holds what the server says of the log against what was read of it.
    async fn judge(
        &mut self,
        info: StreamInfo,
        asked: std::time::Instant,
        read: u64,
    ) -> Result<(), ApiError> {
        let (Some(session), Some(position)) = (&mut self.link, &mut self.position) else { return Ok(()) };
        let link = Arc::clone(&session.link);
        if !is_log(&link, &info) {
            return Err(ApiError::Closed("the stream was deleted and made anew".into()));
        }
        let last = info.state.last_seq;
        if last < read || last == position.seq && !position.seen.may_be(last, info.state.last_time()) {
            return self.resume().await;
        }
        if last <= position.seq {
            session.stalled = (position.seq, 0);
            session.head = Some((last, asked));
            self.tell_head();
            return Ok(());
        }
        session.head.get_or_insert((last, asked));
        session.stalled = match session.stalled {
            (seq, ticks) if seq == position.seq => (seq, ticks + 1),
            _ => (position.seq, 0),
        };
        if session.stalled.1 >= STALLED && position.kept == KeptRecords::Given {
            session.stalled.1 = 0;
            let upto = match link.next_at(position.seq + 1).await? {
                Some(next) => next - 1,
                None => last,
            };
            if upto > position.seq {
                pass(&link, position, upto, &mut self.out).await?;
            }
            self.tell_head();
            let seq = self.position.as_ref().map_or(0, |position| position.seq);
            return self.read_on(seq).await;
        }
        Ok(())
    }

    async fn take_kept(&mut self, delivery: Option<Delivery>) -> Result<(), ApiError> {
        let Some(Kept { reader, is_log, .. }) = self.link.as_mut().and_then(|session| session.kept.take())
        else {
            return Ok(());
        };
        let is_last = delivery.as_ref().is_none_or(|delivery| delivery.pending == 0);
        if let Some(delivery) = delivery
            && is_alive(&delivery, reader.clock)
        {
            self.out.push_back(Fed::Kept { record: delivery.payload });
        }
        let kept = match (is_last, is_log) {
            (false, _) => Some(Kept::after(reader, is_log)),
            (true, false) => {
                reader.close().await;
                let Some(link) = self.link.as_ref().map(|session| Arc::clone(&session.link)) else {
                    return Ok(());
                };
                Some(kept_of(&link, true).await?)
            }
            (true, true) => {
                reader.close().await;
                None
            }
        };
        if kept.is_none() {
            if let Some(position) = &mut self.position
                && position.kept == KeptRecords::Asked
            {
                position.kept = KeptRecords::Given;
            }
            self.tell_head();
        }
        if let Some(session) = &mut self.link {
            session.kept = kept;
        }
        Ok(())
    }
}

async fn next_of(reader: &mut Option<Reader>) -> Result<Delivery, ApiError> {
    match reader {
        Some(reader) => reader.next().await,
        None => std::future::pending().await,
    }
}

async fn answer(asking: &mut Option<Asking>) -> Answer {
    match asking {
        Some(asking) => asking.await,
        None => std::future::pending().await,
    }
}
