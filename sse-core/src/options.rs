//! [`StreamOptions`]: how an open stream behaves, whatever feeds it.

use std::time::Duration;

#[cfg(feature = "limits")]
use crate::limits::Limits;
use crate::{
    event::RETRY_LIMITS,
    frame::Frame,
    log::{OnGap, OnLag, Policy, ReplayCap, Start},
};

/// How a stream begins, what it says while nothing happens, and when it ends. The defaults suit browsers behind
/// common proxies.
///
/// A [`Hub`](crate::Hub) has some for all of its streams
/// ([`HubBuilder::stream_options`](crate::HubBuilder::stream_options)), and one endpoint may have others:
///
/// ```
/// use sse_core::{EventStream, Hub, Refusal, Request, Start, Subscription};
///
/// // A chat: who comes in sees the last twenty lines, who comes back what was said meanwhile.
/// fn chat(request: &Request, hub: &Hub) -> Result<EventStream<Subscription>, Refusal> {
///     hub.open_with(request, "chat", hub.stream_options().start(Start::Last(20)))
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamOptions {
    pub(crate) start: Start,
    on_gap: OnGap,
    on_lag: OnLag,
    /// Caps on replay that were asked for.
    replay_events: Option<u32>,
    replay_bytes: Option<u32>,
    max_age: Duration,
    /// What of it counts as long as the stream is open.
    pub(crate) rhythm: Rhythm,
    /// What is sent in place of the comment that keeps a connection alive.
    pub(crate) keep_alive_event: Option<Frame>,
    #[cfg(feature = "limits")]
    pub(crate) limits: Option<Limits>,
    /// What is sent last when the server stops.
    pub(crate) farewell: Option<Frame>,
}

/// In milliseconds: every open stream has its own copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rhythm {
    keep_alive: u32,
    /// Zero tells the client nothing.
    retry: u32,
    pub(crate) keeps_alive: bool,
    pub(crate) opening_comment: bool,
    /// How many keep-alives of those that come early are still to come.
    early: u8,
}

impl StreamOptions {
    /// Begins with what comes next; keep-alive after 15 s of silence, reconnect after about 3 s, end after at most
    /// one hour.
    pub fn new() -> Self {
        Self {
            start: Start::default(),
            on_gap: OnGap::default(),
            on_lag: OnLag::default(),
            replay_events: None,
            replay_bytes: None,
            max_age: Duration::from_secs(3600),
            rhythm: Rhythm {
                keep_alive: 15_000,
                retry: RETRY,
                keeps_alive: true,
                opening_comment: true,
                early: 0,
            },
            keep_alive_event: None,
            #[cfg(feature = "limits")]
            limits: None,
            farewell: None,
        }
    }

    /// Where a client without a `Last-Event-ID` begins (default: with what is published from now on). Of a
    /// hub's streams only.
    #[must_use]
    pub fn start(mut self, start: Start) -> Self {
        self.start = start;
        self
    }

    /// What follows once a client has been told that it lost events (default: everything that is still kept),
    /// whether it came back too late or reads too slowly. Of a hub's streams only.
    #[must_use]
    pub fn on_gap(mut self, then: OnGap) -> Self {
        self.on_gap = then;
        self
    }

    /// What becomes of an open stream whose client reads so slowly that it loses events (default: as
    /// [`on_gap`](Self::on_gap) says). Of a hub's streams only.
    #[must_use]
    pub fn on_lag(mut self, then: OnLag) -> Self {
        self.on_lag = then;
        self
    }

    /// How many events of the past one connection is sent, at least one (default: 10,000, as many as a hub keeps by
    /// default; `usize::MAX` for all that are kept). A client that is owed more gets a clean end, comes back after its
    /// `retry`, and goes on where it was: nothing is left out, and what is no longer kept by then is told as a gap.
    ///
    /// Whoever asks with an old id is sent the past, as often as it likes: with this, how much it can have at a time is
    /// not all. Of a hub's streams only.
    #[must_use]
    pub fn max_replay_events(mut self, events: usize) -> Self {
        self.replay_events = Some(u32::try_from(events).unwrap_or(u32::MAX));
        self
    }

    /// How many bytes of the past one connection is sent, as [`max_replay_events`](Self::max_replay_events); the
    /// first event may have more (default: 1 MiB; `usize::MAX` for all that are kept).
    #[must_use]
    pub fn max_replay_bytes(mut self, bytes: usize) -> Self {
        self.replay_bytes = Some(u32::try_from(bytes).unwrap_or(u32::MAX));
        self
    }

    /// How a client's subscription is treated.
    pub(crate) fn policy(&self) -> Policy {
        self.policy_with(ReplayCap::DEFAULT)
    }

    /// How one is that is read on this side. It has nobody who would come back for the rest, so that only a cap that
    /// was asked for counts.
    pub(crate) fn policy_of_reader(&self) -> Policy {
        self.policy_with(ReplayCap::NONE)
    }

    fn policy_with(&self, default: ReplayCap) -> Policy {
        let replay = ReplayCap {
            events: self.replay_events.unwrap_or(default.events),
            bytes: self.replay_bytes.unwrap_or(default.bytes),
        };
        Policy { on_gap: self.on_gap, on_lag: self.on_lag, replay }
    }

    /// After how long without traffic a comment is sent, within 10 ms and 10 minutes (default 15 s).
    ///
    /// It keeps proxies from closing an idle connection, and writing is how a server learns that a client has gone
    /// without a word. Where it learns of it in no other way, on Rocket and over HTTP/2 on actix-web, the first ones come
    /// when a stream is 1, 2, 4, 8 and 16 s old, and those that follow denser than this (at the defaults after 12.75 s on
    /// Rocket, 8.25 s over HTTP/2 on actix-web): see
    /// [`EventStream::noticed_by_writing`](crate::EventStream::noticed_by_writing).
    #[must_use]
    pub fn keep_alive(mut self, after: Duration) -> Self {
        let after = after.clamp(Duration::from_millis(10), Duration::from_secs(600));
        self.rhythm.keep_alive = after.as_millis() as u32;
        self.rhythm.keeps_alive = true;
        self
    }

    /// Sends nothing while nothing happens, except a position that a hub's client needs.
    ///
    /// Proxies close such a connection after a minute or so, and a client whose machine has vanished is noticed
    /// only when an event is sent. Of a tab that was closed, Rocket learns by writing alone; warp, and actix-web
    /// with `h1_allow_half_closed(false)`, learn of it at once.
    #[must_use]
    pub fn no_keep_alive(mut self) -> Self {
        self.rhythm.keeps_alive = false;
        self
    }

    /// Keeps the connection alive with this event in place of a comment, for pages that watch whether their stream
    /// still lives: a browser shows them no comment. It should have a name, so that nobody takes it for a message. An
    /// id of its own is left out: it would be the client's position. Clients that read each event alike, as those of
    /// OpenAI's API, take it for something said.
    ///
    /// ```
    /// use sse_core::{Event, EventName, StreamOptions};
    ///
    /// const PING: EventName = EventName::from_static("ping");
    ///
    /// let options = StreamOptions::new().keep_alive_event(Event::new("{}").named(PING));
    /// ```
    #[must_use]
    pub fn keep_alive_event(mut self, event: impl Into<Frame>) -> Self {
        self.keep_alive_event = Some(event.into().without_id());
        self
    }

    /// The last event of a stream that ends because the server stops (default: none), for clients that would take its
    /// end for the end of what is said, or come back only when they are told to. One that has said all by then goes
    /// without. An id of its own is left out: it would be the client's position.
    ///
    /// ```
    /// use sse_core::{Event, EventName, StreamOptions};
    ///
    /// const RESTART: EventName = EventName::from_static("restart");
    ///
    /// let options = StreamOptions::new().farewell(Event::new("{}").named(RESTART));
    /// ```
    #[must_use]
    pub fn farewell(mut self, event: impl Into<Frame>) -> Self {
        self.farewell = Some(event.into().without_id());
        self
    }

    /// How long clients wait before they reconnect, within 100 ms and one day (default 3 s).
    ///
    /// Every connection is told its own time between half and one and a half of this, so that a fleet which
    /// lost its server at once does not come back at once.
    #[must_use]
    pub fn retry(mut self, after: Duration) -> Self {
        self.rhythm.retry = after.clamp(RETRY_LIMITS.0, RETRY_LIMITS.1).as_millis() as u32;
        self
    }

    /// Tells clients no reconnection time, for those that do not know the field: browsers take three to five
    /// seconds of their own then, all of them alike.
    #[must_use]
    pub fn no_retry(mut self) -> Self {
        self.rhythm.retry = 0;
        self
    }

    /// Whether a stream begins with a comment (default: yes).
    ///
    /// It has the head of the answer pass proxies at once. Without it, and without a `retry`, nothing is sent before
    /// there is something to say. The head itself does not wait for that on actix-web, Rocket and warp, so `onopen`
    /// fires without a proxy; one in between may hold it back until the first byte.
    #[must_use]
    pub fn opening_comment(mut self, on: bool) -> Self {
        self.rhythm.opening_comment = on;
        self
    }

    /// After how long a stream is ended, at least one second (default 1 h); the client reconnects and goes on
    /// where it was. Each stream gets a random 80 to 100 % of it.
    #[must_use]
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = age.clamp(Duration::from_secs(1), Duration::from_secs(365 * 86_400));
        self
    }

    /// Limits for the streams of this endpoint, or of all that share them, besides those of the server's
    /// [`Lifecycle`](crate::Lifecycle) (default: none).
    #[cfg(feature = "limits")]
    #[must_use]
    pub fn limits(mut self, limits: &Limits) -> Self {
        self.limits = Some(limits.clone());
        self
    }

    /// This connection's own age limit.
    pub(crate) fn jittered_max_age(&self) -> Duration {
        self.max_age.mul_f64(rand::random_range(0.8..=1.0))
    }
}

impl Rhythm {
    /// After how long without traffic something is done about it.
    pub(crate) fn keep_alive(self) -> Duration {
        let after = match self.early {
            0 => self.keep_alive,
            // After 1, 1, 2, 4 and 8 s: when the stream is 1, 2, 4, 8 and 16 s old.
            left => self.keep_alive.min(1000 << EARLY.saturating_sub(left).saturating_sub(1)),
        };
        Duration::from_millis(after.into())
    }

    /// Only a write shows that the client has gone, and only once a socket has been given up that took one for that long.
    pub(crate) fn find_by_writing(&mut self, user_timeout: Duration) {
        self.early = EARLY;
        // Twice this and the timeout is 1.1 times what was asked for and the timeout, whenever else is written.
        let denser = (11 * u128::from(self.keep_alive) + user_timeout.as_millis()) / 20;
        self.keep_alive = u32::try_from(denser).unwrap_or(u32::MAX).min(self.keep_alive);
    }

    /// One was due.
    pub(crate) fn kept_alive(&mut self) {
        self.early = self.early.saturating_sub(1);
    }

    /// This connection's own reconnection time, for a client that must be given one.
    pub(crate) fn retry(self) -> Duration {
        let after = if self.retry == 0 { RETRY } else { self.retry };
        Duration::from_millis(after.into())
            .mul_f64(rand::random_range(0.5..1.5))
            .clamp(RETRY_LIMITS.0, RETRY_LIMITS.1)
    }

    /// Whether a stream begins with something of its own.
    pub(crate) fn says_hello(self) -> bool {
        self.opening_comment || self.retry != 0
    }

    /// The line that tells the client of it; empty where it is not told.
    pub(crate) fn retry_line(self) -> String {
        match self.retry {
            0 => String::new(),
            _ => format!("retry: {}\n", self.retry().as_millis()),
        }
    }
}

/// In milliseconds, where nobody says otherwise.
const RETRY: u32 = 3_000;

/// How many keep-alives come early where a stream begins with them: until they are as far apart as others are.
const EARLY: u8 = 5;

impl Default for StreamOptions {
    fn default() -> Self {
        Self::new()
    }
}
