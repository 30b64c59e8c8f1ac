//! Who is on a topic.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use std::{pin::Pin, time::Duration};

use futures_util::{StreamExt, stream};
use sse_core::{
    Auth, Authorized, Event, EventStream, Hub, Identity, Presence, PresenceBuilder, Request, Start,
    Subscription, Topics,
};
use tokio::time::{advance, sleep};

type Open = Pin<Box<EventStream<Subscription>>>;

struct House {
    hub: Hub,
    presence: Presence,
    auth: Auth,
}

impl House {
    fn new(presence: PresenceBuilder) -> Self {
        let hub = Hub::new();
        Self { presence: presence.build(&hub), hub, auth: Auth::sessions().build().unwrap() }
    }

    fn signed_in(&self, who: &str) -> Authorized<Identity> {
        let identity = Identity::new(who).every_topic();
        self.auth.admit(&http::Request::new(()), self.hub.lifecycle(), identity).unwrap()
    }

    fn open(&self, who: &str, topics: &str) -> Open {
        Box::pin(self.hub.open(&self.signed_in(who), topics).unwrap())
    }

    fn who(&self, topic: &str) -> String {
        self.presence.who(topic).join(" ")
    }

    /// What was published to this topic, in order.
    async fn told(&self, topic: &str) -> Vec<String> {
        let mut events = self.hub.subscribe(topic, Start::Oldest).unwrap();
        let mark = self.hub.stats().events.to_string();
        self.hub.publish(topic, Event::new(&*mark).name("mark").unwrap()).await.unwrap();
        let mut told = Vec::new();
        while let Some(event) = events.next().await
            && event.data() != mark
        {
            if event.name() != Some("mark") {
                told.push(format!("{} {}", event.name().unwrap(), event.data()));
            }
        }
        told
    }
}

#[tokio::test(start_paused = true)]
async fn one_person_is_there_once_and_until_the_last_tab_is_closed() {
    let house = House::new(Presence::builder().announce("room/*"));
    let first = house.open("ada", "room/1");
    let second = house.open("ada", "room/1");
    let bob = house.open("bob", "room/1");
    assert_eq!((house.who("room/1"), house.who("room/2")), ("ada bob".to_owned(), String::new()));
    drop(first);
    assert!(house.presence.is_there("room/1", "ada"));
    drop(second);
    assert!(!house.presence.is_there("room/1", "ada"));
    assert_eq!(house.presence.count("room/1"), 1);
    drop(bob);
    let expected = [
        "join {\"who\":\"ada\"}",
        "join {\"who\":\"bob\"}",
        "leave {\"who\":\"ada\"}",
        "leave {\"who\":\"bob\"}",
    ];
    assert_eq!(house.told("room/1").await, expected);
    assert_eq!(format!("{:?}", house.presence), "Presence { topics: 0, away: 0, .. }", "nothing is left");
}

#[tokio::test(start_paused = true)]
async fn a_reload_is_no_leave() {
    let house = House::new(Presence::builder().announce("room/*").grace(Duration::from_secs(5)));
    let tab = house.open("ada", "room/1");
    for _ in 0..3 {
        drop(house.open("ada", "room/1"));
    }
    drop(tab);
    sleep(Duration::from_secs(4)).await;
    assert_eq!(house.who("room/1"), "ada");
    let tab = house.open("ada", "room/1");
    sleep(Duration::from_secs(20)).await;
    assert_eq!(house.who("room/1"), "ada", "who is back is not given up when the old time is over");
    drop(tab);
    sleep(Duration::from_secs(4)).await;
    drop(house.open("ada", "room/1"));
    sleep(Duration::from_secs(4)).await;
    assert_eq!(house.who("room/1"), "ada", "the grace time is that of the last leave");
    assert_eq!(house.told("room/1").await, ["join {\"who\":\"ada\"}"]);
    // By itself: nobody looks meanwhile.
    sleep(Duration::from_secs(2)).await;
    assert_eq!(house.told("room/1").await.last().unwrap(), "leave {\"who\":\"ada\"}");
    assert_eq!(house.who("room/1"), "");
}

/// There is room for so many who are away: one person takes no more of it than one place.
#[tokio::test(start_paused = true)]
async fn whoever_reloads_again_and_again_is_away_once() {
    let house = House::new(Presence::builder().grace(Duration::from_secs(5)));
    let bob = house.open("bob", "room/1");
    drop(bob);
    for _ in 0..1000 {
        drop(house.open("ada", "room/1"));
    }
    assert_eq!(format!("{:?}", house.presence), "Presence { topics: 1, away: 2, .. }");
    assert_eq!(house.who("room/1"), "ada bob");
    sleep(Duration::from_secs(6)).await;
    assert_eq!(format!("{:?}", house.presence), "Presence { topics: 0, away: 0, .. }");
}

#[tokio::test(start_paused = true)]
async fn streams_that_are_older_than_it_take_nobody_away() {
    let hub = Hub::new();
    let auth = Auth::sessions().build().unwrap();
    let open = || {
        let ada = Identity::new("ada").every_topic();
        let ada = auth.admit(&http::Request::new(()), hub.lifecycle(), ada).unwrap();
        hub.open(&ada, "room/1").unwrap()
    };
    let old = open();
    let presence = Presence::builder().build(&hub);
    let new = open();
    assert_eq!(presence.who("room/1"), ["ada"]);
    drop(old);
    assert_eq!(presence.who("room/1"), ["ada"]);
    drop(new);
    assert_eq!(presence.count("room/1"), 0);
}

/// A crowd whose grace time ends in one moment leaves a few at a time: other tasks of the runtime have their turns.
#[tokio::test(start_paused = true)]
async fn a_crowd_that_leaves_holds_nobody_up() {
    const CROWD: usize = 4_000;
    let house = House::new(Presence::builder().announce("room/*").grace(Duration::from_secs(5)));
    let streams: Vec<_> = (0..CROWD).map(|n| house.open(&n.to_string(), "room/1")).collect();
    drop(streams);
    sleep(Duration::from_millis(4_900)).await;
    assert_eq!(house.hub.stats().events, CROWD, "all have joined, and nobody has left");
    advance(Duration::from_millis(200)).await;
    let (mut most, mut told) = (0, CROWD);
    for _ in 0..10 * CROWD {
        tokio::task::yield_now().await;
        let now = house.hub.stats().events;
        (most, told) = (most.max(now - told), now);
    }
    assert_eq!(told, 2 * CROWD, "all have left");
    assert!(most <= CROWD / 4, "{most} left while nobody else had a turn");
    assert_eq!((house.presence.count("room/1"), house.who("room/1")), (0, String::new()));
}

#[tokio::test(start_paused = true)]
async fn topics_of_an_open_stream_count() {
    let house = House::new(Presence::builder().topics("room/*").announce("room/*"));
    let stream = house.open("ada", "news");
    assert_eq!(house.who("news"), "", "only rooms are watched");
    let handle = stream.handle();
    assert!(handle.add(&Topics::new(["room/1", "room/2"]).unwrap()));
    assert_eq!((house.who("room/1"), house.who("room/2")), ("ada".to_owned(), "ada".to_owned()));
    assert!(handle.remove(&Topics::new(["room/1"]).unwrap()));
    assert_eq!((house.who("room/1"), house.who("room/2")), (String::new(), "ada".to_owned()));
    drop(stream);
    assert_eq!(house.who("room/2"), "");
    assert!(!handle.add(&Topics::new(["room/1"]).unwrap()));
    assert_eq!(house.who("room/1"), "");
}

#[tokio::test(start_paused = true)]
async fn who_is_not_signed_in_has_no_name() {
    let house = House::new(Presence::builder().announce("room/*"));
    let request = Request::new(&http::Request::new(()), house.hub.lifecycle());
    let stream = house.hub.open(&request, "room/1").unwrap();
    let own = EventStream::open(&request, stream::pending::<Event>()).unwrap();
    assert_eq!((house.presence.anonymous("room/1"), house.who("room/1")), (1, String::new()));
    drop((stream, own));
    assert_eq!(house.presence.anonymous("room/1"), 0);
    assert_eq!(house.told("room/1").await, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_runtime_that_ends_takes_nobody_with_it() {
    let house = House::new(Presence::builder().grace(Duration::from_secs(1)));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            runtime.block_on(async { drop(house.open("ada", "room/1")) });
        });
    });
    // The next who leaves has somebody wait again.
    drop(house.open("bob", "room/1"));
    sleep(Duration::from_secs(3)).await;
    assert_eq!(house.who("room/1"), "");
}

/// Many threads open, change and close streams of a few people; in the end nobody is there, and joins and leaves of each
/// alternate.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn joins_and_leaves_alternate_under_load() {
    let house = House::new(Presence::builder().announce("room/*"));
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let house = &house;
            scope.spawn(move || {
                for round in 0..300 {
                    let who = ["ada", "bob", "eve"][(thread + round) % 3];
                    let stream = house.open(who, "room/1");
                    let handle = stream.handle();
                    let changes = scope.spawn(move || {
                        handle.add(&Topics::new(["room/2"]).unwrap());
                        handle.remove(&Topics::new(["room/1", "room/2"]).unwrap());
                    });
                    drop(stream);
                    changes.join().unwrap();
                }
            });
        }
    });
    for room in ["room/1", "room/2"] {
        assert_eq!((house.who(room), house.presence.anonymous(room)), (String::new(), 0), "{room}");
        let told = house.told(room).await;
        for who in ["ada", "bob", "eve"] {
            let his: Vec<_> = told.iter().filter(|told| told.contains(who)).collect();
            for pair in his.chunks(2) {
                assert!(pair[0].starts_with("join") && pair[1].starts_with("leave"), "{room}: {pair:?}");
            }
        }
        assert!(room == "room/2" || !told.is_empty());
    }
}
