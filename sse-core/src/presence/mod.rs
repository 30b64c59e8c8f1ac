//! [`Presence`]: who has a stream of a topic open.

mod crowds;
mod news;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use tokio::{
    runtime::Handle,
    task::yield_now,
    time::{Instant, sleep_until},
};

use self::{
    crowds::{Crowd, Crowds},
    news::News,
};
use crate::{
    end_reason::EndReason,
    hub::{Hub, WeakHub},
    lifecycle::{OpenStream, StreamObserver},
    topic::{Topic, TopicPattern, Topics},
};

/// So many are given up at a time, under one lock and in one turn of a task: a crowd that leaves holds nobody up.
const AT_ONCE: usize = 64;

/// Who is on a topic: whoever has a stream of it open, by the subject of the token or session that the stream was
/// opened with. Cheap to clone; clones are one.
///
/// One person with two tabs is there once. A reload is no leave, as long as it takes no longer than the
/// [grace time](PresenceBuilder::grace). Topics that an open stream is given and loses by a
/// [`SubscriptionHandle`](crate::SubscriptionHandle) count. Streams that nobody is signed in for are
/// [counted](Self::anonymous), and have no name.
///
/// It knows the streams of this process alone, and those that open after it was built. Where several processes have one
/// hub, each announces who comes to it and who leaves it.
///
/// ```
/// use std::time::Duration;
/// use sse_core::{Hub, Presence};
///
/// let hub = Hub::new();
/// // Whoever reads `room/7` is told as events `join` and `leave` who else does.
/// let presence = Presence::builder().grace(Duration::from_secs(5)).announce("room/*").build(&hub);
///
/// // In a handler of the room's page:
/// let there: Vec<String> = presence.who("room/7");
/// # assert!(there.is_empty());
/// ```
#[derive(Clone)]
pub struct Presence(Arc<Inner>);

struct Inner {
    grace: Duration,
    topics: Option<Vec<TopicPattern>>,
    announce: Vec<TopicPattern>,
    hub: WeakHub,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    crowds: Crowds,
    news: News,
    /// Whether a task waits for the first of those who are away.
    is_waited_for: bool,
}

/// How [`Presence`] is built.
#[derive(Clone, Debug, Default)]
#[must_use = "a builder does nothing before it has built"]
pub struct PresenceBuilder {
    grace: Duration,
    topics: Option<Vec<TopicPattern>>,
    announce: Vec<TopicPattern>,
}

impl PresenceBuilder {
    /// For how long somebody whose last stream has ended is still there, at most one hour (default 0 s). A browser that
    /// reloads a page is back within a second, and one that was sent away comes back after about three.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace.min(Duration::from_secs(3600));
        self
    }

    /// Of which topics it is known who is there; given several times, of each (default: of all). A pattern that is no
    /// valid one is of none.
    pub fn topics(mut self, topics: impl TryInto<TopicPattern>) -> Self {
        self.topics.get_or_insert_default().extend(topics.try_into().ok());
        self
    }

    /// On which topics it is published who comes and goes; given several times, on each (default: on none). The events are
    /// named `join` and `leave`, and their data is `{"who":"ada"}`; whoever comes is told of themselves too. A pattern that is no valid one announces nothing.
    ///
    /// **Whoever may read such a topic learns the subjects of all who do.**
    pub fn announce(mut self, topics: impl TryInto<TopicPattern>) -> Self {
        self.announce.extend(topics.try_into().ok());
        self
    }

    /// Begins with the streams that open from now on, of the hub's [`Lifecycle`](crate::Lifecycle): where several hubs share
    /// one, with those of all of them.
    pub fn build(self, hub: &Hub) -> Presence {
        let Self { grace, topics, announce } = self;
        let state = Mutex::default();
        let presence = Presence(Arc::new(Inner { grace, topics, announce, hub: hub.downgrade(), state }));
        hub.lifecycle().observe(presence.clone());
        presence
    }
}

impl Presence {
    /// Of all topics, without a grace time, and nothing is announced.
    pub fn builder() -> PresenceBuilder {
        PresenceBuilder::default()
    }

    /// Who is on a topic, in order of their names, each once.
    pub fn who(&self, topic: impl AsRef<str>) -> Vec<String> {
        let people = |crowd: &Crowd| crowd.people.keys().map(|who| String::from(&**who)).collect();
        self.look(topic.as_ref(), people)
    }

    /// How many are on a topic who have a name.
    pub fn count(&self, topic: impl AsRef<str>) -> usize {
        self.look(topic.as_ref(), |crowd| crowd.people.len())
    }

    /// How many streams of a topic are open for which nobody is signed in.
    pub fn anonymous(&self, topic: impl AsRef<str>) -> usize {
        self.look(topic.as_ref(), |crowd| crowd.anonymous)
    }

    /// Whether somebody is on a topic.
    pub fn is_there(&self, topic: impl AsRef<str>, who: &str) -> bool {
        self.look(topic.as_ref(), |crowd| crowd.people.contains_key(who))
    }

    fn look<T: Default>(&self, topic: &str, look: impl FnOnce(&Crowd) -> T) -> T {
        let Ok(topic) = Topic::new(topic) else {
            return T::default();
        };
        let now = Instant::now();
        while self.0.give_up(now, AT_ONCE) {}
        self.0.lock().crowds.get(&topic).map(look).unwrap_or_default()
    }
}

impl StreamObserver for Presence {
    fn opened(&self, stream: &OpenStream) {
        self.0.change(stream, stream.topics(), None);
    }

    fn changed(&self, stream: &OpenStream, before: &Topics) {
        self.0.change(stream, stream.topics(), Some(before));
    }

    fn ended(&self, stream: &OpenStream, _: EndReason) {
        self.0.change(stream, &Topics::of(Vec::new()), Some(stream.topics()));
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn counts(&self, topic: &Topic) -> bool {
        self.topics.as_ref().is_none_or(|topics| topics.iter().any(|pattern| pattern.matches(topic)))
    }

    fn announces(&self, topic: &Topic) -> bool {
        self.announce.iter().any(|pattern| pattern.matches(topic))
    }

    /// A stream has these topics, and had those before.
    fn change(self: &Arc<Self>, stream: &OpenStream, now: &Topics, before: Option<&Topics>) {
        let at = Instant::now();
        self.give_up(at, AT_ONCE);
        let had = |topic: &Topic| before.into_iter().flatten().any(|had| had == topic);
        let has = |topic: &Topic| now.iter().any(|has| has == topic);
        let mut state = self.lock();
        for topic in now.iter().filter(|topic| self.counts(topic) && !had(topic)) {
            if let Some(change) = state.crowds.comes(topic, stream.shared_subject()) {
                state.news.push(change);
            }
        }
        for topic in before.into_iter().flatten().filter(|topic| self.counts(topic) && !has(topic)) {
            state.crowds.goes(topic, stream.shared_subject(), at + self.grace);
        }
        drop(state);
        // As many at least as have just gone.
        self.give_up(at, AT_ONCE + before.map_or(0, |before| before.iter().len()));
        self.wait();
    }

    /// Those who were away for too long have left: the first of them, at most so many. Whether there may be more.
    fn give_up(self: &Arc<Self>, now: Instant, most: usize) -> bool {
        let mut state = self.lock();
        let mut given_up = 0;
        while given_up < most
            && let Some(change) = state.crowds.give_up(now)
        {
            state.news.push(change);
            given_up += 1;
        }
        drop(state);
        self.publish();
        given_up == most
    }

    /// Sees to it that those who are away are given up in time. Without a runtime that is when somebody looks.
    fn wait(self: &Arc<Self>) {
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let mut state = self.lock();
        if state.crowds.next().is_none() || std::mem::replace(&mut state.is_waited_for, true) {
            return;
        }
        drop(state);
        runtime.spawn(Wait { inner: Arc::downgrade(self), is_over: false }.run());
    }

    /// When the next is given up. With none, nobody waits any more.
    fn next(&self) -> Option<Instant> {
        let mut state = self.lock();
        let next = state.crowds.next();
        state.is_waited_for = next.is_some();
        next
    }
}

/// Dropped with its runtime, it leaves its place to the next.
struct Wait {
    inner: Weak<Inner>,
    is_over: bool,
}

impl Wait {
    async fn run(mut self) {
        while let Some(next) = self.inner.upgrade().and_then(|inner| inner.next()) {
            sleep_until(next).await;
            if let Some(inner) = self.inner.upgrade() {
                inner.give_up(Instant::now(), AT_ONCE);
            }
            // Others have their turn, however many are to go.
            yield_now().await;
        }
        self.is_over = true;
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        if let Some(inner) = self.inner.upgrade().filter(|_| !self.is_over) {
            inner.lock().is_waited_for = false;
        }
    }
}

/// Numbers alone: neither who nor where.
impl fmt::Debug for Presence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (topics, away) = self.0.lock().crowds.sizes();
        f.debug_struct("Presence").field("topics", &topics).field("away", &away).finish_non_exhaustive()
    }
}
