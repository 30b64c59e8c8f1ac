//! Streams and the threads that serve them: a publisher that keeps its thread, bodies that move from runtime to
//! runtime, runtimes that stand still or are gone.
//!
//! Nothing here goes by the clock but the patience with which a failure is waited for.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod get;

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread,
    time::{Duration, Instant},
};

use futures_core::Stream;
use futures_util::StreamExt;
use get::get;
use sse_core::{Event, EventStream, Hub, HubBuilder, Lifecycle, Request, Start, StreamOptions, Subscription};
use tokio::{
    runtime::{self, Runtime},
    sync::mpsc,
    time::timeout,
};

/// Long enough for a loaded machine.
const SOON: Duration = Duration::from_secs(30);

/// Streams that nothing but events wakes.
fn quiet() -> HubBuilder {
    Hub::builder().stream_options(StreamOptions::new().keep_alive(Duration::from_secs(600)))
}

/// A keep-alive soon comes, and is the only thing that does.
const LIVELY: Duration = Duration::from_millis(20);

fn lively() -> Hub {
    Hub::builder().stream_options(StreamOptions::new().keep_alive(LIVELY)).build()
}

fn multi_thread() -> Runtime {
    runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// Stands still outside `block_on`.
fn current_thread() -> Runtime {
    runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

type Body<S> = Pin<Box<EventStream<S>>>;

fn open(hub: &Hub) -> Body<Subscription> {
    Box::pin(hub.open(&Request::new(&get(), hub.lifecycle()), "a").unwrap())
}

/// A stream of the application's own, and what feeds it.
fn own(options: StreamOptions) -> (mpsc::UnboundedSender<Event>, Body<impl Stream<Item = Event> + Send>) {
    let (tx, mut rx) = mpsc::unbounded_channel();
    let events = futures_util::stream::poll_fn(move |cx| rx.poll_recv(cx));
    (tx, Box::pin(EventStream::open_with(&Request::new(&get(), &Lifecycle::new()), events, options).unwrap()))
}

#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Polls until it sleeps; what came.
fn drain<S>(body: &mut Body<S>, waker: &Waker) -> String
where
    EventStream<S>: Stream<Item = bytes::Bytes>,
{
    let mut read = String::new();
    let mut cx = Context::from_waker(waker);
    while let Poll::Ready(Some(chunk)) = body.as_mut().poll_next(&mut cx) {
        read.push_str(std::str::from_utf8(&chunk).unwrap());
    }
    read
}

/// Asleep in this runtime, as a task of it that will never run again.
fn sleep_in<S>(runtime: &Runtime, body: &mut Body<S>)
where
    EventStream<S>: Stream<Item = bytes::Bytes>,
{
    runtime.block_on(poll_fn(|cx| {
        drain(body, cx.waker());
        Poll::Ready(())
    }));
}

fn sleep_in_stream(runtime: &Runtime, events: &mut Subscription) {
    runtime.block_on(poll_fn(|cx| {
        assert!(events.poll_next_unpin(cx).is_pending());
        Poll::Ready(())
    }));
}

/// The next chunk, to a task of this runtime.
fn next<S>(runtime: &Runtime, body: &mut Body<S>) -> String
where
    EventStream<S>: Stream<Item = bytes::Bytes>,
{
    runtime.block_on(async {
        let chunk = timeout(SOON, body.next()).await.unwrap().unwrap();
        String::from_utf8(chunk.to_vec()).unwrap()
    })
}

/// The next chunk, to a task of this runtime that slept before `cause`, and is not polled unless it is woken.
fn woken<S>(runtime: &Runtime, body: &mut Body<S>, cause: impl FnOnce()) -> String
where
    EventStream<S>: Stream<Item = bytes::Bytes>,
{
    let start = Instant::now();
    let mut cause = Some(cause);
    let chunk = poll_fn(|cx| {
        if let Some(cause) = cause.take() {
            drain(body, cx.waker());
            cause();
            return Poll::Pending;
        }
        assert!(start.elapsed() < SOON, "nobody wakes it");
        body.as_mut().poll_next(cx)
    });
    let chunk = runtime.block_on(async { timeout(SOON, chunk).await.unwrap().unwrap() });
    String::from_utf8(chunk.to_vec()).unwrap()
}

fn publish(hub: &Hub, data: &str) {
    hub.publish_now("a", data.to_owned()).unwrap();
}

/// Holds this thread until so many have come.
fn compute_until(got: &AtomicUsize, count: usize, what: &str) {
    let start = Instant::now();
    while got.load(Ordering::SeqCst) < count {
        assert!(start.elapsed() < SOON, "{what}: {} of {count}", got.load(Ordering::SeqCst));
        thread::sleep(Duration::from_micros(50));
    }
}

/// Holds this thread of a runtime until another one has taken something over from it.
///
/// tokio's threads may miss a call: one that goes to sleep while another looks for work does not look itself, and is
/// not called if it is not asleep yet. From here on this thread looks for none.
fn until_another_is_free() {
    let ran = Arc::<AtomicUsize>::default();
    let start = Instant::now();
    while ran.load(Ordering::SeqCst) == 0 {
        assert!(start.elapsed() < SOON, "this thread is alone");
        // The first of two is what another thread can take.
        for _ in 0..2 {
            let ran = Arc::clone(&ran);
            tokio::spawn(async move { ran.fetch_add(1, Ordering::SeqCst) });
        }
        thread::sleep(Duration::from_millis(1));
    }
}

// A publisher that goes on computing

/// Each of several publishes of one task reaches everybody before that task lets go of its thread.
fn computing_delays_nobody(hub: &Hub, subscribers: usize) {
    let runtime = multi_thread();
    let got = Arc::<AtomicUsize>::default();
    for _ in 0..subscribers {
        let (mut body, got) = (open(hub), Arc::clone(&got));
        runtime.spawn(async move {
            while let Some(chunk) = body.next().await {
                let opening = usize::from(chunk.starts_with(b":\n"));
                let events = chunk.windows(7).filter(|window| window == b"data: x").count();
                got.fetch_add(opening + events, Ordering::SeqCst);
            }
        });
    }
    let mut expected = subscribers;
    compute_until(&got, expected, "opened");
    for round in 0..30 {
        let (hub, publisher_got) = (hub.clone(), Arc::clone(&got));
        let publisher = async move {
            let mut expected = expected;
            until_another_is_free();
            for n in 0..3 {
                hub.publish("a", "x").await.unwrap();
                expected += subscribers;
                compute_until(&publisher_got, expected, &format!("round {round}, event {n}"));
            }
        };
        runtime.block_on(runtime.spawn(publisher)).unwrap();
        expected += 3 * subscribers;
        assert_eq!(got.load(Ordering::SeqCst), expected);
    }
}

#[test]
fn a_publisher_that_goes_on_computing_delays_nobody() {
    for subscribers in [1, 4, 300] {
        computing_delays_nobody(&quiet().build(), subscribers);
    }
}

#[test]
fn nor_does_it_where_the_hub_lingers() {
    computing_delays_nobody(&quiet().linger(Duration::from_millis(2)).build(), 40);
}

/// What wakes a crowd is not bound to a thread that somebody else comes to keep.
#[test]
fn nor_does_one_of_a_crowd_that_goes_on_computing() {
    const CROWD: usize = 300;
    let (hub, runtime) = (quiet().build(), multi_thread());
    let got = Arc::<AtomicUsize>::default();
    for n in 0..CROWD {
        let (mut body, got) = (open(&hub), Arc::clone(&got));
        runtime.spawn(async move {
            body.next().await.unwrap();
            // That it waits is known before the event comes: it is polled once more.
            tokio::select! { biased; _ = body.next() => panic!("too early"), () = async {} => {} }
            got.fetch_add(1, Ordering::SeqCst);
            body.next().await.unwrap();
            let before = got.fetch_add(1, Ordering::SeqCst) + 1;
            // One that is woken early.
            if before == CROWD + 10 {
                until_another_is_free();
                compute_until(&got, 2 * CROWD, &format!("subscriber {n} computes"));
            }
        });
    }
    compute_until(&got, CROWD, "opened");
    publish(&hub, "x");
    compute_until(&got, 2 * CROWD, "read");
}

// Bodies that move

#[test]
fn a_body_that_has_moved_is_woken_where_it_is() {
    let (first, second) = (current_thread(), multi_thread());
    for _ in 0..20 {
        let hub = quiet().build();
        let mut body = open(&hub);
        sleep_in(&first, &mut body);
        assert!(woken(&second, &mut body, || publish(&hub, "one")).starts_with("data: one\n"));
        assert!(woken(&second, &mut body, || publish(&hub, "two")).starts_with("data: two\n"));

        let (tx, mut body) = own(StreamOptions::new());
        sleep_in(&first, &mut body);
        assert_eq!(woken(&second, &mut body, || tx.send(Event::new("x")).unwrap()), "data: x\n\n");
    }
}

#[test]
fn its_keep_alives_come_too() {
    let (first, second) = (current_thread(), multi_thread());
    let mut of_hub = open(&lively());
    sleep_in(&first, &mut of_hub);
    let (_tx, mut of_app) = own(StreamOptions::new().keep_alive(LIVELY));
    sleep_in(&first, &mut of_app);
    for _ in 0..5 {
        assert_eq!(next(&second, &mut of_hub), ":\n");
        assert_eq!(next(&second, &mut of_app), ":\n");
    }
}

#[test]
fn a_body_outlives_the_runtime_that_it_was_first_polled_in() {
    for is_polled_between in [false, true] {
        let (first, second) = (multi_thread(), multi_thread());
        let hub = lively();
        let mut of_hub = open(&hub);
        let (tx, mut of_app) = own(StreamOptions::new().keep_alive(LIVELY));
        sleep_in(&first, &mut of_hub);
        sleep_in(&first, &mut of_app);
        if is_polled_between {
            sleep_in(&second, &mut of_hub);
            sleep_in(&second, &mut of_app);
        }
        drop(first);
        for _ in 0..3 {
            assert_eq!(next(&second, &mut of_hub), ":\n");
            assert_eq!(next(&second, &mut of_app), ":\n");
        }
        publish(&hub, "x");
        tx.send(Event::new("x")).unwrap();
        let comes = async |body: &mut Pin<&mut (dyn Stream<Item = bytes::Bytes> + Send)>| {
            while !body.next().await.unwrap().starts_with(b"data: x\n") {}
        };
        second.block_on(async {
            timeout(SOON, comes(&mut pin!(of_hub))).await.unwrap();
            timeout(SOON, comes(&mut pin!(of_app))).await.unwrap();
        });
        assert_eq!((hub.stats().subscribers, hub.lifecycle().streams()), (0, 0));
    }
}

#[test]
fn a_body_may_move_back_and_forth() {
    let (first, second) = (current_thread(), current_thread());
    let hub = quiet().build();
    let mut body = open(&hub);
    let mut others = [open(&hub), open(&hub)];
    sleep_in(&first, &mut others[0]);
    sleep_in(&second, &mut others[1]);
    sleep_in(&first, &mut body);
    for n in 0..100 {
        let (from, to) = if n % 2 == 0 { (&first, &second) } else { (&second, &first) };
        // Sometimes the event comes before it has moved.
        if n % 3 == 0 {
            publish(&hub, "x");
            assert!(next(to, &mut body).starts_with("data: x\n"));
        }
        assert!(woken(to, &mut body, || publish(&hub, "x")).starts_with("data: x\n"), "{n}");
        if n % 5 == 0 {
            sleep_in(from, &mut body);
            sleep_in(to, &mut body);
        }
    }
    assert_eq!(hub.stats().subscribers, 3);
    drop((body, others));
    assert_eq!((hub.stats().subscribers, hub.stats().topics), (0, 1), "the topic has events");
}

/// As a stream of events, and as the source of a body after that.
#[test]
fn a_subscription_that_has_moved_is_woken_where_it_is() {
    let runtimes = [current_thread(), current_thread(), current_thread()];
    let hub = quiet().build();
    let mut events = hub.subscribe("a", Start::Now).unwrap();
    for runtime in [0, 1, 0, 1].map(|n| &runtimes[n]) {
        let (start, mut cause) = (Instant::now(), Some(()));
        let received = poll_fn(|cx| {
            assert!(start.elapsed() < SOON, "nobody wakes it");
            let next = events.poll_next_unpin(cx);
            if cause.take().is_some() {
                assert!(next.is_pending());
                publish(&hub, "x");
            }
            next
        });
        let received = runtime.block_on(async { timeout(SOON, received).await.unwrap().unwrap() });
        assert_eq!(received.data(), "x");
        sleep_in_stream(runtime, &mut events);
    }
    let request = Request::new(&get(), hub.lifecycle());
    let mut body = Box::pin(EventStream::open(&request, events).unwrap());
    assert!(woken(&runtimes[2], &mut body, || publish(&hub, "x")).starts_with("data: x\n"));
}

/// The waker tells nothing of a runtime, and is the same all the time.
#[test]
fn a_task_of_no_runtime_may_outlive_one() {
    let flag = Arc::<Flag>::default();
    let waker = Waker::from(Arc::clone(&flag));
    let woken = || flag.0.swap(false, Ordering::SeqCst);
    let hub = lively();
    let (tx, mut of_app) = own(StreamOptions::new().keep_alive(LIVELY));
    let mut of_hub = open(&hub);
    let first = multi_thread();
    {
        let _context = first.enter();
        drain(&mut of_hub, &waker);
        drain(&mut of_app, &waker);
    }
    drop(first);
    assert!(woken());
    // Outside any runtime: whatever is due is found when it is polled.
    for _ in 0..3 {
        drain(&mut of_hub, &waker);
        drain(&mut of_app, &waker);
        thread::sleep(LIVELY * 2);
        assert_eq!((drain(&mut of_hub, &waker), drain(&mut of_app, &waker)), (":\n".into(), ":\n".into()));
    }
    woken();
    publish(&hub, "x");
    assert!(woken());
    assert!(drain(&mut of_hub, &waker).starts_with("data: x\n"));
    tx.send(Event::new("x")).unwrap();
    assert!(woken());
    assert_eq!(drain(&mut of_app, &waker), "data: x\n\n");
    // And in another one.
    let second = multi_thread();
    let _context = second.enter();
    drain(&mut of_hub, &waker);
    woken();
    let start = Instant::now();
    while !woken() {
        assert!(start.elapsed() < SOON, "its timer does not go");
        thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(drain(&mut of_hub, &waker), ":\n");
    woken();
    hub.lifecycle().stop();
    assert!(woken());
    assert!(drain(&mut of_hub, &waker).starts_with("retry: "));
}

#[test]
fn one_outside_any_runtime_is_delayed_by_none() {
    let hub = quiet().build();
    let flag = Arc::<Flag>::default();
    let waker = Waker::from(Arc::clone(&flag));
    let mut outside = open(&hub);
    drain(&mut outside, &waker);
    let stands_still = current_thread();
    let mut inside = open(&hub);
    sleep_in(&stands_still, &mut inside);
    publish(&hub, "x");
    assert!(flag.0.load(Ordering::SeqCst));
    assert!(drain(&mut outside, &waker).starts_with("data: x\n"));
    assert!(next(&stands_still, &mut inside).starts_with("data: x\n"));
}

/// What a runtime did not come to do for those who only slept there is done when it goes.
#[test]
fn a_runtime_that_goes_leaves_nobody_asleep() {
    const COUNT: usize = 400;
    let hub = quiet().build();
    let first = current_thread();
    let flags: Vec<Arc<Flag>> = (0..COUNT).map(|_| Arc::default()).collect();
    let mut bodies: Vec<_> = flags.iter().map(|_| open(&hub)).collect();
    first.block_on(async {
        for (body, flag) in bodies.iter_mut().zip(&flags) {
            drain(body, &Waker::from(Arc::clone(flag)));
        }
    });
    let woken = || flags.iter().filter(|flag| flag.0.load(Ordering::SeqCst)).count();
    flags.iter().for_each(|flag| flag.0.store(false, Ordering::SeqCst));
    publish(&hub, "x");
    assert_eq!(woken(), 0, "it stands still");
    drop(first);
    assert_eq!(woken(), COUNT);
    for (body, flag) in bodies.iter_mut().zip(&flags) {
        assert!(drain(body, &Waker::from(Arc::clone(flag))).starts_with("data: x\n"));
        flag.0.store(false, Ordering::SeqCst);
    }
    publish(&hub, "y");
    assert_eq!(woken(), COUNT);
}

/// A timer that is first polled by a task which has used up its turn is not polled at all.
#[tokio::test(start_paused = true)]
async fn the_keep_alive_comes_however_busy_the_task_was() {
    let hub = Hub::new();
    let mut body = open(&hub);
    poll_fn(|cx| {
        while pin!(tokio::task::consume_budget()).poll(cx).is_ready() {}
        drain(&mut body, cx.waker());
        Poll::Ready(())
    })
    .await;
    let chunk = timeout(Duration::from_secs(16), body.next()).await.unwrap().unwrap();
    assert_eq!(chunk, ":\n");
}
