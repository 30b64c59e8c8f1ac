//! Wakers and whatever listens to the log are other people's code: they may come back to the hub and to the
//! lifecycle, and they may panic.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod get;

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    task::{Context, Poll, Wake, Waker},
    thread,
    time::Duration,
};

use futures_core::Stream;
use get::get;
use sse_core::{Event, EventStream, Hub, Lifecycle, Request, Subscription};
use tokio::runtime;
use tracing::{Metadata, span};

type Body<S> = Pin<Box<EventStream<S>>>;

fn open(hub: &Hub) -> Body<Subscription> {
    Box::pin(hub.open(&Request::new(&get(), hub.lifecycle()), "a").unwrap())
}

fn own(lifecycle: &Lifecycle) -> Body<impl Stream<Item = Event>> {
    let events = futures_util::stream::pending();
    Box::pin(EventStream::open(&Request::new(&get(), lifecycle), events).unwrap())
}

/// Polls until it sleeps.
fn drain<S>(body: &mut Body<S>, waker: &Waker)
where
    EventStream<S>: Stream,
{
    while let Poll::Ready(Some(_)) = body.as_mut().poll_next(&mut Context::from_waker(waker)) {}
}

/// Deadlocks are found, not waited for.
fn within_reason(test: impl FnOnce() + Send + 'static) {
    let (tx, rx) = mpsc::channel();
    let runs = thread::spawn(move || {
        test();
        tx.send(()).unwrap();
    });
    match rx.recv_timeout(Duration::from_secs(30)) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("it waits for itself"),
        _ => runs.join().unwrap(),
    }
}

/// Looks at everything when it is woken, and when it is dropped.
struct Curious {
    hub: Hub,
    dropped: Arc<AtomicUsize>,
    woken: Arc<AtomicUsize>,
}

impl Curious {
    fn look(&self) {
        self.hub.stats();
        self.hub.lifecycle().streams();
        self.hub.publish_now("b", "x").unwrap();
    }
}

impl Wake for Curious {
    fn wake(self: Arc<Self>) {
        self.look();
        self.woken.fetch_add(1, Ordering::SeqCst);
    }
}

impl Drop for Curious {
    fn drop(&mut self) {
        self.look();
        self.dropped.fetch_add(1, Ordering::SeqCst);
    }
}

/// Makes wakers, and counts them.
#[derive(Clone)]
struct Crowd {
    hub: Hub,
    dropped: Arc<AtomicUsize>,
    woken: Arc<AtomicUsize>,
}

impl Crowd {
    fn new(hub: &Hub) -> Self {
        Self { hub: hub.clone(), dropped: Arc::default(), woken: Arc::default() }
    }

    fn waker(&self) -> Waker {
        let Self { hub, dropped, woken } = self.clone();
        Waker::from(Arc::new(Curious { hub, dropped, woken }))
    }

    fn counts(&self) -> (usize, usize) {
        (self.woken.swap(0, Ordering::SeqCst), self.dropped.swap(0, Ordering::SeqCst))
    }
}

/// In a runtime whose task wakes, and where the publisher does it.
fn everywhere(test: impl Fn(&Hub, &dyn Fn()) + Send + 'static) {
    within_reason(move || {
        test(&Hub::new(), &|| {});
        let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _context = runtime.enter();
        test(&Hub::new(), &|| {
            runtime.block_on(async {
                for _ in 0..20 {
                    tokio::task::yield_now().await;
                }
            });
        });
    });
}

#[test]
fn a_waker_may_come_back_when_another_takes_its_place() {
    everywhere(|hub, _| {
        let crowd = Crowd::new(hub);
        let (mut of_hub, mut of_app) = (open(hub), own(hub.lifecycle()));
        for n in 1..5 {
            drain(&mut of_hub, &crowd.waker());
            drain(&mut of_app, &crowd.waker());
            assert_eq!(crowd.dropped.load(Ordering::SeqCst), 2 * (n - 1));
        }
        drop((of_hub, of_app));
        assert_eq!(crowd.counts(), (0, 8));
    });
}

#[test]
fn a_waker_may_come_back_when_it_is_woken() {
    everywhere(|hub, run| {
        let crowd = Crowd::new(hub);
        let mut bodies: Vec<_> = (0..40).map(|_| open(hub)).collect();
        bodies.iter_mut().for_each(|body| drain(body, &crowd.waker()));
        let mut of_app = own(hub.lifecycle());
        drain(&mut of_app, &crowd.waker());
        run();
        hub.publish_now("a", "x").unwrap();
        run();
        assert_eq!(crowd.counts(), (40, 0));
        bodies.iter_mut().for_each(|body| drain(body, &crowd.waker()));
        run();
        crowd.counts();
        hub.lifecycle().stop();
        assert_eq!(crowd.counts().0, 41);
        drop((bodies, of_app));
        assert_eq!((hub.stats().subscribers, hub.lifecycle().streams()), (0, 0));
    });
}

/// One of forty panics.
struct Nervous(usize, Arc<AtomicUsize>);

impl Wake for Nervous {
    fn wake(self: Arc<Self>) {
        self.1.fetch_add(1, Ordering::SeqCst);
        assert!(self.0 != 7 && self.0 != 30, "a waker that panics");
    }
}

#[test]
fn a_waker_that_panics_takes_no_other_with_it() {
    everywhere(|hub, run| {
        let woken = Arc::<AtomicUsize>::default();
        let wakers: Vec<_> = (0..40).map(|n| Waker::from(Arc::new(Nervous(n, Arc::clone(&woken))))).collect();
        let mut of_hub: Vec<_> = (0..40).map(|_| open(hub)).collect();
        let mut of_app: Vec<_> = (0..40).map(|_| own(hub.lifecycle())).collect();
        of_hub.iter_mut().zip(&wakers).for_each(|(body, waker)| drain(body, waker));
        run();
        for data in ["one", "two"] {
            hub.publish_now("a", data).unwrap();
            run();
            assert_eq!(woken.swap(0, Ordering::SeqCst), 40, "{data}");
            of_hub.iter_mut().zip(&wakers).for_each(|(body, waker)| drain(body, waker));
        }
        of_app.iter_mut().zip(&wakers).for_each(|(body, waker)| drain(body, waker));
        hub.lifecycle().stop();
        assert_eq!(woken.load(Ordering::SeqCst), 80);
    });
}

/// Asks for the open streams at every line of the log.
struct Nosy(Lifecycle, Arc<Mutex<Vec<usize>>>);

impl tracing::Subscriber for Nosy {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        if event.metadata().target().starts_with("sse_core") {
            self.1.lock().unwrap().push(self.0.streams());
        }
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

#[test]
fn whoever_listens_to_the_log_may_ask_for_the_streams() {
    within_reason(|| {
        let hub = Hub::new();
        let _stays = open(&hub);
        let asked = Arc::default();
        let nosy = Nosy(hub.lifecycle().clone(), Arc::clone(&asked));
        // With one listener alone, `tracing` may take what another thread has first come by for disabled.
        let _second = tracing::Dispatch::new(Nosy(Lifecycle::new(), Arc::default()));
        tracing::subscriber::with_default(nosy, || {
            let mut runtime = runtime::Builder::new_current_thread();
            runtime.enable_all().start_paused(true).build().unwrap().block_on(async {
                hub.lifecycle().stop();
                hub.lifecycle().stopped().await;
            });
        });
        assert_eq!(*asked.lock().unwrap(), [1, 1], "when it stops, and when that took too long");
    });
}
