//! What one poll of an [`EventStream`](super::EventStream) does.

use std::{future::Future, pin::pin, task::Context};

use bytes::Bytes;
use tokio::{
    runtime::Handle,
    task::unconstrained,
    time::{Instant, sleep_until},
};

use super::{COMMENT, Parts};
use crate::{
    batch::Batch,
    end_reason::EndReason,
    frame::Frame,
    lease::Lease,
    lifecycle::{Life, Permit},
    recheck::Verdict,
    source::Source,
    topic::Topics,
};

impl<S: Source> Parts<'_, S> {
    /// Whether this task is the one that is woken.
    #[inline]
    pub(super) fn is_registered(&self, cx: &Context<'_>) -> bool {
        self.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()))
    }

    /// Has this task woken by whatever may wake the stream. Whether it was registered already.
    pub(super) fn register(&mut self, cx: &mut Context<'_>) -> bool {
        if self.is_registered(cx) {
            return true;
        }
        *self.waker = Some(cx.waker().clone());
        self.permits().for_each(|permit| permit.register(cx.waker()));
        if let Some(lease) = self.lease() {
            lease.register(cx.waker());
        }
        // It may be in another runtime by now, and the first stand still or be gone, its timers with it. A
        // subscription may have been read elsewhere before.
        self.timer.set(None);
        if let Some(source) = self.source.as_mut().as_pin_mut() {
            source.moved();
        }
        false
    }

    /// Its places among the open streams.
    pub(super) fn permits(&self) -> impl Iterator<Item = &Permit> {
        let other = self.extra.as_ref().and_then(|extra| extra.permit.as_ref());
        self.permit.iter().chain(other)
    }

    /// Whether nothing may be sent before it is known whether the stream may go on. Leaves topics that it may not.
    pub(super) fn is_held_up(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(lease) = self.lease().filter(|lease| lease.is_questioned()) else {
            return false;
        };
        let verdict = lease.recheck(cx);
        if !matches!(verdict, Verdict::Wait) {
            // It was set to when an answer would be late, and the end or the next question may come before.
            self.timer.set(None);
        }
        match verdict {
            Verdict::Go | Verdict::End => false,
            Verdict::Still { lost, .. } => {
                if let (Some(permit), Some(extra)) = (&self.permit, &self.extra) {
                    extra.keep_until(permit, *self.ends_at);
                }
                if !lost.is_empty()
                    && let Some(source) = self.source.as_mut().as_pin_mut()
                    && !source.leave(&Topics::of(lost))
                    && let Some(lease) = self.lease()
                {
                    // Nothing is left of it.
                    lease.end();
                }
                false
            }
            // It has ended meanwhile.
            Verdict::Wait if self.extra.as_ref().is_some_and(|extra| extra.is_over()) => false,
            // When it is time to leave, nobody waits for an answer.
            Verdict::Wait if self.permits().any(Permit::is_leaving) => {
                if let Some(lease) = self.lease() {
                    lease.end();
                }
                false
            }
            Verdict::Wait => {
                let now = Instant::now();
                let at = self.lease().map(|lease| lease.wake_at(now));
                self.set_timer(at.unwrap_or(now), cx);
                true
            }
        }
    }

    /// What is due, and whether the stream is over: then nothing more is sent, even if the source has more.
    pub(super) fn gather(
        &mut self,
        cx: &mut Context<'_>,
        limit: usize,
        calm: Option<Instant>,
        expired: Option<bool>,
    ) -> (Batch, Option<EndReason>) {
        let expired = expired.unwrap_or_else(|| self.extra.as_ref().is_some_and(|extra| extra.is_over()));
        let leaves = self.permits().any(Permit::is_leaving);
        let cut = match expired {
            // When it is time to leave, nobody waits for an answer.
            true if leaves => Some(EndReason::Stopping),
            true => Some(self.lease().map_or(EndReason::Expired, |lease| lease.end_reason())),
            false if calm.is_none() && Instant::now() >= *self.ends_at => Some(EndReason::MaxAge),
            // Why, was told when it was freed.
            false if calm.is_none() && self.permits().any(Permit::is_gone) => Some(EndReason::Closed),
            false => None,
        };
        let held = self.extra.as_mut().and_then(|extra| extra.held.take()).filter(|_| cut.is_none());
        let mut batch = Batch::earlier_than(calm, limit, held);
        let left = leaves && std::mem::replace(self.stopping, true);
        let mut over = cut;
        if let Some(mut source) = self.source.as_mut().as_pin_mut() {
            if leaves && !left {
                source.as_mut().finish();
            }
            // One of the application's own is looked at once more, and what it gives then is sent.
            if cut.is_none() && !batch.is_full() && (S::OWES || !left) {
                let life = self.permit.as_ref().and_then(Permit::life).filter(|_| !S::OWES);
                let span = life.map(|life| life.span().enter());
                let idle = source.poll_batch(cx, &mut batch).is_pending();
                drop(span);
                over = (leaves && idle).then_some(EndReason::Stopping);
            }
        }
        let says_all = batch.is_ended() && !S::OWES;
        if leaves && if S::OWES { batch.is_ended() } else { !batch.holds_back() } {
            let said = batch.end_reason().filter(|_| says_all);
            over = over.or(said).or(Some(EndReason::Stopping));
        }
        if over.is_some()
            && leaves
            && cut.is_none()
            && !says_all
            && let Some(farewell) = self.extra.as_ref().and_then(|extra| extra.farewell.clone())
        {
            batch.force(farewell);
        }
        if *self.opened
            && over.is_none()
            && !batch.is_ended()
            && let Some(notice) = self.lease().and_then(Lease::notice)
        {
            batch.force(notice.into_bytes());
        }
        (batch, over)
    }

    /// What is sent where no event is due: at the opening, and after a silence. Whether anything is.
    pub(super) fn tick(&mut self, now: Instant, batch: &mut Batch) -> bool {
        let Some(mut source) = self.source.as_mut().as_pin_mut() else {
            return false;
        };
        if !*self.opened {
            if let Some(frame) = source.as_mut().greeting() {
                batch.force(frame.into_bytes());
                return true;
            }
            if self.rhythm.says_hello() {
                return true;
            }
            *self.opened = true;
        }
        if now < *self.last_traffic + self.rhythm.keep_alive() {
            return false;
        }
        self.rhythm.kept_alive();
        if let Some(life) = self.permit.as_ref().and_then(Permit::life)
            && self.rhythm.keeps_alive
        {
            life.kept_alive();
        }
        let event = self.extra.as_ref().and_then(|extra| extra.keep_alive.clone());
        let position = source.heartbeat().map(Frame::into_bytes);
        match (position, event) {
            (position, Some(event)) if self.rhythm.keeps_alive => {
                position.into_iter().chain([event]).for_each(|frame| batch.force(frame));
            }
            (Some(position), _) => batch.force(position),
            (None, _) if self.rhythm.keeps_alive => batch.force(Bytes::from_static(COMMENT)),
            // As if it had been: the next look is as far away.
            (None, _) => *self.last_traffic = now,
        }
        !batch.is_empty()
    }

    /// Sets the timer to when the stream must look again.
    pub(super) fn sleep(&mut self, now: Instant, cx: &mut Context<'_>) {
        let target = [
            Some(*self.last_traffic + self.rhythm.keep_alive()),
            Some(*self.ends_at),
            self.source_wakes_at(),
            self.lease().map(|lease| lease.wake_at(now)),
        ];
        self.set_timer(target.into_iter().flatten().min().unwrap_or(*self.ends_at), cx);
    }

    fn set_timer(&mut self, target: Instant, cx: &mut Context<'_>) {
        // It stays where it was while events flow: one that fires early is set anew then.
        if let Some(timer) = self.timer.as_ref().as_pin_ref()
            && !timer.is_elapsed()
            && timer.deadline() <= target
        {
            return;
        }
        // Never the old one: with its runtime gone it has elapsed, and cannot be set again.
        self.timer.set(Handle::try_current().is_ok().then(|| sleep_until(target)));
        if let Some(timer) = self.timer.as_mut().as_pin_mut() {
            // However much the task has done in this turn: a timer that is not polled never fires.
            if pin!(unconstrained(timer)).poll(cx).is_ready() {
                cx.waker().wake_by_ref();
            }
        }
    }

    /// The chunk, with what belongs to the opening and to the end; `None` where the stream has ended without.
    pub(super) fn seal(&mut self, mut batch: Batch, over: Option<EndReason>) -> Option<Bytes> {
        let ended = over.or_else(|| batch.end_reason());
        *self.paused = batch.is_full() && ended.is_none();
        *self.last_traffic = batch.now();
        let events = batch.events();
        let (mut chunk, held) = batch.into_parts();
        if held.is_some() {
            self.extra.get_or_insert_default().held = held;
        }
        // `retry` is never closed by a blank line of its own: a block of nothing else is an empty message to
        // some clients. At the start it belongs to the first event, at the end the client takes it by itself.
        if !std::mem::replace(self.opened, true) {
            if let Some(life) = self.life() {
                life.answered();
            }
            let comment = if self.rhythm.opening_comment { COMMENT } else { b"" };
            chunk.prepend(&[comment, self.rhythm.retry_line().as_bytes()].concat());
        }
        if over.is_some() || (*self.stopping && ended.is_some()) {
            chunk.append(self.rhythm.retry_line().into());
        }
        if let Some(life) = self.life().filter(|_| chunk.len() > 0) {
            life.gave(events, chunk.len());
        }
        if let Some(reason) = ended {
            self.source.set(None);
            *self.extra = None;
            self.timer.set(None);
            // Whoever is told of the end finds all of it gone.
            if let Some(permit) = self.permit.take() {
                permit.end(reason);
            }
        }
        (chunk.len() > 0).then(|| chunk.into_bytes())
    }

    /// What is told of it, where somebody wants to know.
    pub(super) fn life(&self) -> Option<&Life> {
        self.permit.as_ref()?.life()
    }

    pub(super) fn lease(&mut self) -> Option<&mut Lease> {
        self.extra.as_mut()?.lease.as_mut()
    }

    pub(super) fn source_wakes_at(&self) -> Option<Instant> {
        self.source.as_ref().as_pin_ref()?.wake_at()
    }
}
