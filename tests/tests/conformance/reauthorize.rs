//! Streams that the application is asked about again while they are open.

use std::{
    collections::HashMap,
    future::pending,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use sse_core::{Auth, Identity, Topics};
use sse_tests::servers::{Framework, User};
use tokio::time::sleep;

use super::sessions::Served;

/// What the application answers.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mood {
    /// As when they signed in.
    Well,
    /// With an error.
    Fails,
    /// Not at all.
    Hangs,
}

/// An application that is asked once a second, waited for a second, and may be silent for three.
struct Asked {
    mood: Arc<Mutex<Mood>>,
    /// How often.
    times: Arc<AtomicUsize>,
    served: Served,
}

impl Asked {
    const GRACE: Duration = Duration::from_secs(3);

    async fn start(framework: Framework) -> Self {
        let (mood, times) = (Arc::new(Mutex::new(Mood::Well)), Arc::new(AtomicUsize::new(0)));
        let (now, counted) = (Arc::clone(&mood), Arc::clone(&times));
        let ask = move |client: Identity, _: Option<Topics>| {
            counted.fetch_add(1, Ordering::SeqCst);
            let mood = *now.lock().unwrap();
            async move {
                match mood {
                    Mood::Well => Ok(Some(Identity::new(client.subject()).every_topic())),
                    Mood::Fails => Err("the database is away"),
                    Mood::Hangs => pending().await,
                }
            }
        };
        let auth = Auth::sessions()
            .reauthorize_every(Duration::from_secs(1), ask)
            .reauthorize_timeout(Duration::from_secs(1))
            .reauthorize_grace(Self::GRACE);
        Self { mood, times, served: Served::with(framework, auth).await }
    }

    fn is(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    async fn publish(&self, text: &str) {
        self.served.server.hub.publish("news", text).await.unwrap();
    }

    /// Waits until it was asked again, twice: the second time it was asked in this mood.
    async fn asked_again(&self) {
        let before = self.times.load(Ordering::SeqCst);
        let start = Instant::now();
        while self.times.load(Ordering::SeqCst) < before + 2 {
            assert!(start.elapsed() < Duration::from_secs(20), "nobody is asked");
            sleep(Duration::from_millis(5)).await;
        }
    }
}

pub(crate) async fn while_nobody_answers_nothing_is_sent_and_then_it_ends(framework: Framework) {
    let asked = Asked::start(framework).await;
    let mut stream = asked.served.open(&User::new("ada", "1")).await;
    asked.publish("before").await;
    stream.until(|text| text.contains("before") && text.ends_with("\n\n")).await;

    // A pause of the database loses nothing.
    asked.is(Mood::Hangs);
    asked.asked_again().await;
    asked.publish("meanwhile").await;
    assert!(stream.is_silent_for(Duration::from_millis(200)).await);
    asked.is(Mood::Well);
    stream.until(|text| text.contains("meanwhile") && text.ends_with("\n\n")).await;

    asked.is(Mood::Hangs);
    let start = Instant::now();
    asked.asked_again().await;
    asked.publish("never").await;
    let rest = stream.rest().await;
    assert!(!rest.contains("never"), "{rest}");
    // A second before it is asked, and three from then on.
    let lasted = start.elapsed();
    assert!(lasted >= Asked::GRACE, "{lasted:?}");
    // The client comes back to what it has missed.
    asked.is(Mood::Well);
    let _back = asked.served.open(&User::new("ada", "1")).await;
    asked.served.is_idle(1).await;
}

pub(crate) async fn while_the_application_fails_it_goes_on_and_then_it_ends(framework: Framework) {
    let asked = Asked::start(framework).await;
    let mut stream = asked.served.open(&User::new("ada", "1")).await;
    // An error now and then is none too many.
    for n in 0..2 {
        asked.is(Mood::Fails);
        asked.asked_again().await;
        asked.publish(&format!("failed {n}")).await;
        stream.until(|text| text.contains("failed") && text.ends_with("\n\n")).await;
        asked.is(Mood::Well);
        asked.asked_again().await;
    }
    asked.is(Mood::Fails);
    let start = Instant::now();
    asked.asked_again().await;
    asked.publish("still").await;
    let rest = stream.rest().await;
    let lasted = start.elapsed();
    assert!(rest.contains("still"), "{rest}");
    assert!(lasted >= Asked::GRACE, "{lasted:?}");
    asked.served.is_idle(0).await;
}

/// Each person is asked about about once a second, each at their own time; the answer takes a moment.
pub(crate) async fn a_thousand_are_asked_about_and_few_at_once(framework: Framework) {
    const PEOPLE: usize = 1000;
    const AT_ONCE: usize = 32;
    #[derive(Default)]
    struct Seen {
        running: usize,
        most: usize,
        /// By tenths of a second since the first.
        times: HashMap<u128, usize>,
        first: Option<Instant>,
        people: HashMap<String, usize>,
    }
    let seen = Arc::new(Mutex::new(Seen::default()));
    let shared = Arc::clone(&seen);
    let ask = move |client: Identity, _: Option<Topics>| {
        let seen = Arc::clone(&shared);
        async move {
            {
                let mut seen = seen.lock().unwrap();
                seen.running += 1;
                seen.most = seen.most.max(seen.running);
                let first = *seen.first.get_or_insert_with(Instant::now);
                *seen.times.entry(first.elapsed().as_millis() / 100).or_default() += 1;
                *seen.people.entry(client.subject().to_owned()).or_default() += 1;
            }
            sleep(Duration::from_millis(5)).await;
            seen.lock().unwrap().running -= 1;
            Ok::<_, String>(Some(Identity::new(client.subject()).every_topic()))
        }
    };
    // However slow the machine is, an answer comes in time.
    let auth = Auth::sessions()
        .reauthorize_every(Duration::from_secs(4), ask)
        .reauthorize_timeout(Duration::from_secs(60))
        .reauthorize_grace(Duration::from_secs(600));
    let served = Served::with(framework, auth).await;
    let mut streams = Vec::new();
    for hundred in 0..PEOPLE / 100 {
        let users = (0..100).map(|n| User::new("ada", &(hundred * 100 + n).to_string()));
        let users: Vec<_> = users.map(|user| User { name: format!("u{}", user.id), ..user }).collect();
        streams.extend(join_all(users.iter().map(|user| served.open(user))).await);
    }
    assert_eq!(served.server.hub.lifecycle().streams(), PEOPLE);
    let start = Instant::now();
    while seen.lock().unwrap().people.values().filter(|times| **times >= 2).count() < PEOPLE {
        if start.elapsed() > Duration::from_secs(60) {
            let seen = seen.lock().unwrap();
            let mut times = HashMap::<_, usize>::new();
            seen.people.values().for_each(|n| *times.entry(*n).or_default() += 1);
            panic!("{} of {PEOPLE} were asked about, so often: {times:?}", seen.people.len());
        }
        sleep(Duration::from_millis(20)).await;
    }
    {
        let seen = seen.lock().unwrap();
        assert!((1..=AT_ONCE).contains(&seen.most), "{} at once", seen.most);
        let most = seen.times.values().max().unwrap();
        assert!(seen.times.len() >= 8 && *most < PEOPLE / 2, "{most} of {PEOPLE} in a tenth of a second");
    }
    // Nobody was cut, and nobody is held up.
    served.server.hub.publish("news", "all").await.unwrap();
    let read = streams.iter_mut().map(|stream| stream.until(|text| text.contains("data: all\n")));
    join_all(read).await;
    assert_eq!(served.server.hub.lifecycle().streams(), PEOPLE);
    drop(streams);
    served.is_idle(0).await;
    // Nobody is asked about who has left.
    let asked = || seen.lock().unwrap().people.values().sum::<usize>();
    let before = asked();
    sleep(Duration::from_secs(5)).await;
    assert_eq!(asked(), before);
}
