//! Events read on this side, and what a filter leaves of them for a client.

use super::*;

fn texts(events: &[Received]) -> Vec<String> {
    events.iter().map(|event| event.data().into_owned()).collect()
}

/// What is there now.
fn read(events: &mut Subscription) -> Vec<Received> {
    let mut context = Context::from_waker(Waker::noop());
    let mut all = Vec::new();
    while let Poll::Ready(Some(event)) = Pin::new(&mut *events).poll_next(&mut context) {
        all.push(event);
    }
    all
}

#[tokio::test]
async fn a_subscription_yields_events() {
    let hub = builder().build();
    let event = Event::json(&[1, 2]).unwrap().name("numbers").unwrap().comment("c");
    let first = hub.publish_now(["a", "b"], event.clone()).unwrap();
    publish(&hub, &["other"], "other");
    let second = publish(&hub, &["a"], "one\ntwo");
    let mut events = hub.subscribe("a", Start::Oldest).unwrap();
    let got = read(&mut events);
    assert_eq!(texts(&got), ["[1,2]", "one\ntwo"]);
    assert_eq!((got[0].id(), got[1].id()), (first, second));
    assert_eq!((got[0].name(), got[1].name()), (Some("numbers"), None));
    assert_eq!(got[0].topics(), &Topics::new(["a", "b"]).unwrap());
    assert_eq!(got[0].json::<Vec<u8>>().unwrap(), [1, 2]);
    assert!(got[1].json::<Vec<u8>>().is_err());
    assert_eq!(got[0].to_event(), event);
    assert!(got[0].frame().as_bytes().ends_with(format!("id: {first}\n\n").as_bytes()));
    // Live, one at a time, by a real runtime.
    let live = tokio::spawn(async move { events.take(3).collect::<Vec<_>>().await });
    for n in 0..3 {
        publish(&hub, &["a"], n.to_string());
        tokio::task::yield_now().await;
    }
    assert_eq!(texts(&timeout(SOON, live).await.unwrap().unwrap()), ["0", "1", "2"]);
}

#[tokio::test]
async fn a_subscription_yields_gaps_and_values() {
    let hub = latest().max_events(3).build();
    let mut events = hub.subscribe(["a", "price/x"], Start::Now).unwrap();
    for n in 0..5 {
        publish(&hub, &["a"], n.to_string());
    }
    let got = read(&mut events);
    assert!(got[0].is_gap() && got[0].name() == Some("sse-gap"));
    assert_eq!(got[0].topics(), &Topics::try_from("a").unwrap());
    assert_eq!(got[0].json::<serde_json::Value>().unwrap()["reason"], "lagged");
    assert_eq!(texts(&got[1..]), ["2", "3", "4"]);
    publish(&hub, &["price/x", "price/y"], "9");
    let mut fresh = hub.subscribe(["price/x", "price/y"], Start::Now).unwrap();
    let got = read(&mut fresh);
    assert_eq!(texts(&got), ["9"]);
    assert_eq!(got[0].topics(), &Topics::new(["price/x", "price/y"]).unwrap());
}

#[tokio::test]
async fn a_subscription_ends_with_the_server_and_counts_as_a_stream() {
    let hub = builder().build();
    let mut events = hub.subscribe("a", Start::Now).unwrap();
    assert_eq!(hub.lifecycle().streams(), 0);
    assert_eq!(read(&mut events).len(), 0);
    assert_eq!(hub.lifecycle().streams(), 1);
    let mut waiting = hub.subscribe("a", Start::Now).unwrap();
    let waiting = tokio::spawn(async move { waiting.next().await.map(|event| event.id()) });
    tokio::task::yield_now().await;
    publish(&hub, &["b"], "b");
    hub.lifecycle().stop();
    assert_eq!(timeout(SOON, waiting).await.unwrap().unwrap(), None);
    assert!(events.next().await.is_none());
    publish(&hub, &["a"], "too late");
    assert!(events.next().await.is_none());
    // One that comes when the server stops already is given what is there.
    let mut late = hub.subscribe("a", Start::Oldest).unwrap();
    assert_eq!(late.next().await.unwrap().data(), "too late");
    assert!(late.next().await.is_none() && late.next().await.is_none());
    // Nobody waits for those that have ended.
    assert_eq!(hub.lifecycle().streams(), 0);
    drop((events, late));
}

#[tokio::test]
async fn a_subscription_that_was_read_before_it_was_opened_counts_once() {
    let hub = builder().build();
    let mut events = hub.subscribe("a", Start::Now).unwrap();
    assert_eq!(read(&mut events).len(), 0);
    let request = Request::new(&resume(None), hub.lifecycle());
    let mut client = Client::reading(EventStream::open(&request, events).unwrap(), None);
    client.drain();
    assert_eq!(hub.lifecycle().streams(), 1);
    publish(&hub, &["a"], "a");
    assert_eq!(client.said(), ["a"]);
}

#[tokio::test]
async fn a_subscription_with_much_to_read_lets_others_have_their_turn() {
    let hub = builder().build();
    for n in 0..1000 {
        publish(&hub, &["a"], n.to_string());
    }
    let count = Arc::<AtomicUsize>::default();
    let mut events = hub.subscribe("a", Start::Oldest).unwrap();
    let counts = Arc::clone(&count);
    let reader = tokio::spawn(async move {
        while counts.fetch_add(1, Ordering::SeqCst) < 1000 {
            events.next().await.unwrap();
        }
    });
    tokio::task::yield_now().await;
    assert!((1..1000).contains(&count.load(Ordering::SeqCst)));
    timeout(SOON, reader).await.unwrap().unwrap();
}

fn even(event: &Received) -> Option<Event> {
    let n: u32 = event.data().parse().unwrap();
    n.is_multiple_of(2).then(|| Event::new(format!("{}", n / 2)))
}

fn filtered(hub: &Hub, last: Option<&str>, options: StreamOptions) -> Client<impl Source + use<>> {
    let request = Request::new(&resume(last), hub.lifecycle());
    Client::reading(hub.open_with(&request, "a", options).unwrap().filter_map(even), last)
}

#[tokio::test]
async fn a_filter_changes_and_leaves_out() {
    let hub = builder().build();
    let mut client = filtered(&hub, None, hub.stream_options());
    let ids: Vec<EventId> = (0..10).map(|n| publish(&hub, &["a"], n.to_string())).collect();
    assert_eq!(client.said(), ["0", "1", "2", "3", "4"]);
    // Under the ids of the events that they come from.
    assert_eq!(client.id(), ids[8].to_string());
    let id = client.id().to_owned();
    let mut client = filtered(&hub, Some(&id), hub.stream_options());
    assert_eq!(client.said(), [""; 0]);
    publish(&hub, &["a"], "20");
    assert_eq!(client.said(), ["10"]);
}

#[tokio::test]
async fn a_filter_lets_gaps_through() {
    let hub = builder().max_events(4).build();
    let start = hub.position().to_string();
    for n in 0..10 {
        publish(&hub, &["a"], n.to_string());
    }
    let mut client = filtered(&hub, Some(&start), hub.stream_options());
    assert_eq!(client.said(), ["trimmed:a", "3", "4"]);
}

#[tokio::test(start_paused = true)]
async fn a_filter_moves_the_position_over_what_it_leaves_out() {
    let hub = Hub::builder().max_events(4).build();
    let mut client = filtered(&hub, None, hub.stream_options());
    client.drain();
    let opened = client.id().to_owned();
    for n in 0..20 {
        publish(&hub, &["a"], (2 * n + 1).to_string());
        assert_eq!(client.drain(), []);
    }
    assert_eq!(client.id(), opened);
    advance(Duration::from_secs(15)).await;
    assert_eq!(client.drain()[0].name, "sse-position");
    let id = client.id().to_owned();
    assert_eq!(id, hub.position().to_string());
    // So that it comes back without a gap.
    let mut client = filtered(&hub, Some(&id), hub.stream_options());
    publish(&hub, &["a"], "8");
    assert_eq!(client.said(), ["4"]);
}

#[tokio::test(start_paused = true)]
async fn a_filter_that_gives_comments_moves_the_position_too() {
    let hub = Hub::builder().max_events(4).build();
    let open = |last: Option<String>| {
        let request = Request::new(&resume(last.as_deref()), hub.lifecycle());
        let stream = hub.open(&request, "a").unwrap();
        Client::reading(stream.filter_map(|event| Some(Frame::comment(&event.data()))), None)
    };
    let mut client = open(None);
    client.drain();
    // It is never so quiet that it would be kept alive.
    for n in 0..40 {
        publish(&hub, &["a"], n.to_string());
        client.drain();
        advance(Duration::from_secs(1)).await;
    }
    assert_eq!(client.parser.comments().len(), 1 + 40);
    let mut client = open(Some(client.id().to_owned()));
    assert_eq!(client.said(), [""; 0]);
    // At the opening too, so that nobody is without one.
    let mut client = open(None);
    publish(&hub, &["a"], "x");
    client.drain();
    assert_eq!(client.id(), hub.position().to_string());
}

#[tokio::test]
async fn a_filter_that_leaves_everything_out_lets_others_have_their_turn() {
    let hub = builder().max_events(100_000).build();
    let start = hub.position().to_string();
    for n in 0..10_000 {
        publish(&hub, &["a"], (2 * n + 1).to_string());
    }
    publish(&hub, &["a"], "2");
    let mut client = filtered(&hub, Some(&start), hub.stream_options());
    let mut polls = 0;
    let mut messages = Vec::new();
    while messages.is_empty() {
        client.woken.0.store(false, Ordering::SeqCst);
        messages.extend(client.take().into_iter().filter(|message| message.name != "sse-position"));
        polls += 1;
        assert!(
            polls == 1 || !messages.is_empty() || client.woken.0.load(Ordering::SeqCst),
            "it sleeps too early"
        );
        assert!(polls < 1000);
    }
    assert!(polls > 20, "{polls}");
    assert_eq!(messages[0].data, "1");
}

#[tokio::test]
async fn what_is_left_out_does_not_count_against_a_cap_on_replay() {
    let hub = builder().build();
    let start = hub.position().to_string();
    for n in [1, 3, 5, 7, 2, 9, 4, 11, 6, 13] {
        publish(&hub, &["a"], n.to_string());
    }
    for options in
        [options().max_replay_events(2), options().max_replay_bytes(120), options().max_replay_bytes(0)]
    {
        let (mut id, mut all, mut connections) = (start.clone(), Vec::new(), 0);
        loop {
            let mut client = filtered(&hub, Some(&id), options.clone());
            let said = client.said();
            assert!(!said.is_empty() || !client.ended, "it is sent away with nothing");
            all.extend(said);
            client.id().clone_into(&mut id);
            connections += 1;
            if !client.ended {
                break;
            }
        }
        assert_eq!(all, ["1", "2", "3"]);
        assert!(connections > 1);
    }
}

#[tokio::test]
async fn a_filter_may_give_frames_texts_and_errors() {
    let hub = builder().build();
    let request = Request::new(&resume(None), hub.lifecycle());
    let open = || hub.open(&request, "a").unwrap();
    let as_is = |event: &Received| Some(event.frame().clone());
    let mut client = Client::reading(open().filter_map(as_is), None);
    let id = publish(&hub, &["a"], "x");
    assert_eq!(client.said(), ["x"]);
    assert_eq!(client.id(), id.to_string());
    let mut client = Client::reading(open().filter_map(|event| Some(format!("<{}>", event.data()))), None);
    let other = Event::new("own id").id("mine").unwrap();
    let mut own = Client::reading(open().filter_map(move |_| Some(other.clone())), None);
    let mut fails =
        Client::reading(open().filter_map(|event| Some(event.json::<Event2>().map(|_| ""))), None);
    let id = publish(&hub, &["a"], "y").to_string();
    assert_eq!((client.said(), client.id()), (vec!["<y>".to_owned()], id.as_str()));
    assert_eq!((own.said(), own.id()), (vec!["own id".to_owned()], id.as_str()));
    assert_eq!(fails.said(), [""; 0]);
    assert!(fails.ended);
}

/// Nothing that is published here can be read as this.
#[derive(serde::Deserialize)]
struct Event2 {
    #[expect(dead_code, reason = "never read")]
    never: bool,
}

#[tokio::test]
async fn a_filtered_stream_owes_what_is_due_when_the_server_stops() {
    let hub = builder().build();
    let mut client = filtered(&hub, None, hub.stream_options());
    client.drain();
    publish(&hub, &["a"], "2");
    hub.lifecycle().stop();
    assert_eq!(client.said(), ["1"]);
    assert!(client.ended);
    assert_eq!(hub.stats().subscribers, 0);
}

#[tokio::test]
async fn a_filtered_stream_owes_what_lies_behind_much_that_is_left_out() {
    let hub = builder().build();
    let start = hub.position().to_string();
    let mut live = filtered(&hub, None, hub.stream_options());
    live.drain();
    for n in 0..1000 {
        publish(&hub, &["a"], (2 * n + 1).to_string());
    }
    publish(&hub, &["a"], "2");
    let mut late = filtered(&hub, Some(&start), hub.stream_options());
    hub.lifecycle().stop();
    for client in [&mut live, &mut late] {
        assert_eq!(client.said(), ["1"]);
        assert!(client.ended);
    }
}

#[tokio::test]
async fn a_subscription_that_was_opened_by_hand_is_one_of_the_streams() {
    let hub = builder().build();
    publish(&hub, &["a"], "1");
    let request = Request::new(&resume(None), Hub::new().lifecycle());
    let subscription = hub.subscribe("a", Start::Oldest).unwrap();
    let mut client = Client::reading(EventStream::open(&request, subscription).unwrap(), None);
    assert_eq!(client.said(), ["1"]);
    assert_eq!(hub.lifecycle().streams(), 1);
    hub.lifecycle().stop();
    client.drain();
    assert!(client.ended);
}

/// Threads publish while others read: on this side, and filtered, with every other event left out.
#[test]
fn readers_and_filtered_streams_on_many_threads_get_everything() {
    const EVENTS: usize = 2000;
    let runtime = runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    let hub = builder().max_events(10 * EVENTS).build();
    let finished = |event: &str| event == "end";
    let mut readers = Vec::new();
    for n in 0..20 {
        let mut events = hub.subscribe(["a", "b"], Start::Now).unwrap();
        let request = Request::new(&resume(None), hub.lifecycle());
        let asked = Arc::new(AtomicUsize::new(0));
        let mut left_out = 0;
        let counts = Arc::clone(&asked);
        let stream = hub.open(&request, ["a", "b"]).unwrap().filter_map(move |event| {
            counts.fetch_add(1, Ordering::SeqCst);
            left_out += 1;
            (left_out % 2 == n % 2 || event.data() == "end").then(|| event.frame().clone())
        });
        readers.push(runtime.spawn(async move {
            let mut count = 0;
            while !finished(&events.next().await.unwrap().data()) {
                count += 1;
            }
            count
        }));
        readers.push(runtime.spawn(async move {
            let mut stream = Box::pin(stream);
            while !stream.next().await.unwrap().windows(9).any(|window| window == b"data: end") {}
            asked.load(Ordering::SeqCst) - 1
        }));
    }
    thread::scope(|scope| {
        for topic in ["a", "b"] {
            let hub = &hub;
            scope.spawn(move || {
                for n in 0..EVENTS / 2 {
                    publish(hub, &[topic], n.to_string());
                    if n % 16 == 0 {
                        thread::yield_now();
                    }
                }
            });
        }
    });
    publish(&hub, &["a"], "end");
    for reader in readers {
        let count = runtime.block_on(async { timeout(SOON, reader).await }).unwrap().unwrap();
        assert_eq!(count, EVENTS);
    }
}
