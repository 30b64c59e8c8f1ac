//! Each cap, up to it and over it.

use super::*;

/// Opens as many as there may be, and one more; then one again in a place that has become free. Returns what the one
/// too many was told.
#[track_caller]
fn at_most(most: usize, limits: &Limits, open: impl Fn() -> Result<Open, Refusal>) -> Refusal {
    let mut streams: Vec<_> = (0..most).map(|_| open().unwrap()).collect();
    let refusal = open().unwrap_err();
    assert_eq!(limits.streams(), most, "nobody is sent away for a new one");
    streams.pop();
    streams.push(open().unwrap());
    assert_eq!(open().unwrap_err().status(), refusal.status());
    drop(streams);
    assert_eq!(limits.streams(), 0);
    refusal
}

fn is_told_to_come_back(refusal: &Refusal, status: u16) {
    assert_eq!(refusal.status(), status, "{refusal}");
    let after: u32 = field(refusal, "retry-after").unwrap().parse().unwrap();
    assert!((5..=9).contains(&after), "{after}");
    assert_eq!(field(refusal, "cache-control"), Some("no-store"));
    assert!(refusal.body().ends_with("please come back."), "{refusal}");
}

#[tokio::test]
async fn streams_in_all() {
    let (hub, limits) = hub_with(Limits::builder().max_streams(3));
    is_told_to_come_back(&at_most(3, &limits, || open(&hub, head())), 503);
    is_told_to_come_back(&at_most(3, &limits, || open_as(&hub, "ada")), 503);
    // Those of the application's own are the server's too.
    let own = || EventStream::open(&read(&hub, head()), stream::pending::<&str>());
    let streams = [own(), own(), own()].map(Result::unwrap);
    assert_eq!(own().unwrap_err().status(), 503);
    assert_eq!(open(&hub, head()).unwrap_err().status(), 503);
    drop(streams);
    let (shut, limits) = hub_with(Limits::builder().max_streams(0));
    is_told_to_come_back(&at_most_none(&limits, || open(&shut, head())), 503);
}

fn at_most_none(limits: &Limits, open: impl Fn() -> Result<Open, Refusal>) -> Refusal {
    let refusal = open().unwrap_err();
    assert_eq!(limits.streams(), 0);
    refusal
}

#[tokio::test]
async fn a_browser_is_told_in_the_form_that_it_obeys() {
    let (hub, _) = hub_with(Limits::builder().max_streams(1));
    let _one = open(&hub, in_browser(head())).unwrap();
    let refusal = open(&hub, in_browser(head())).unwrap_err();
    assert_eq!((refusal.status(), field(&refusal, "content-type")), (200, Some("text/event-stream")));
    let retry = refusal.body().strip_prefix("retry: ").and_then(|body| body.strip_suffix("\n:\n")).unwrap();
    assert!((5_000..=7_500).contains(&retry.parse::<u32>().unwrap()), "{retry}");
    assert_eq!(field(&refusal, "retry-after"), None);
}

#[tokio::test]
async fn streams_of_a_subject() {
    let (hub, limits) = hub_with(Limits::builder().max_streams_per_subject(2));
    let _others = [open_as(&hub, "bob").unwrap(), open_as(&hub, "bob").unwrap()];
    let _guests = [(); 5].map(|()| open(&hub, head()).unwrap());
    let before = limits.streams();
    let streams = [open_as(&hub, "ada").unwrap(), open_as(&hub, "ada").unwrap()];
    is_told_to_come_back(&open_as(&hub, "ada").unwrap_err(), 429);
    is_told_to_come_back(&open_as(&hub, "bob").unwrap_err(), 429);
    // Nobody in particular is nobody's other self.
    let _nameless = [(); 3].map(|()| open_as(&hub, "").unwrap());
    drop(streams);
    assert_eq!(limits.streams(), before + 3);
    assert!(open_as(&hub, "ada").is_ok());
}

#[tokio::test]
async fn streams_of_an_address() {
    let (hub, limits) = hub_with(Limits::builder().max_streams_per_address(2));
    for (one, same, other) in [
        ("192.0.2.1", "::ffff:192.0.2.1", "192.0.2.2"),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::2", "2001:db8:1:3::1"),
    ] {
        is_told_to_come_back(&at_most(2, &limits, || open(&hub, from(one))), 429);
        let streams = [open(&hub, from(one)).unwrap(), open(&hub, from(same)).unwrap()];
        for over in [one, same] {
            assert_eq!(open(&hub, from(over)).unwrap_err().status(), 429, "{over}");
        }
        assert!(open(&hub, from(other)).is_ok());
        drop(streams);
    }
    // Where it is not known, nothing is counted.
    let _nowhere = [(); 5].map(|()| open(&hub, head()).unwrap());
}

#[tokio::test]
async fn streams_of_a_topic() {
    let (hub, limits) = hub_with(Limits::builder().max_streams_per_topic(2));
    let open = |topics: &[&str]| hub.open(&read(&hub, head()), topics).map(Box::pin);
    let mut streams = vec![open(&["a", "b"]).unwrap(), open(&["b", "c"]).unwrap(), open(&["a"]).unwrap()];
    for full in [&["a"][..], &["b"], &["c", "b"], &["d", "a"]] {
        is_told_to_come_back(&open(full).unwrap_err(), 503);
    }
    // Who was refused for one has taken none of the others.
    streams.extend([open(&["c", "d"]).unwrap(), open(&["d"]).unwrap()]);
    assert_eq!(limits.streams(), 5);
    drop(streams.remove(0));
    assert!(open(&["a", "b"]).is_ok());
}

#[tokio::test]
async fn topics_of_a_request() {
    let (hub, limits) = hub_with(Limits::builder().max_topics_per_request(2));
    assert!(hub.open(&read(&hub, head()), ["a", "b"]).is_ok());
    for head in [head(), in_browser(head()), head().method("HEAD")] {
        let refusal = hub.open(&read(&hub, head), ["a", "b", "c"]).unwrap_err();
        assert_eq!(refusal.to_string(), "400 A request may name at most 2 topics here.");
        assert_eq!(field(&refusal, "retry-after"), None);
    }
    assert_eq!(limits.streams(), 0);
}

#[tokio::test]
async fn an_endpoint_has_limits_besides() {
    let (hub, all) = hub_with(Limits::builder().max_streams(3));
    let few = Limits::builder().max_streams(2).max_topics_per_request(1).build();
    let options = StreamOptions::new().limits(&few);
    let open_few = || hub.open_with(&read(&hub, head()), "news", options.clone()).map(Box::pin);
    let streams = [open_few().unwrap(), open_few().unwrap()];
    assert_eq!((few.streams(), all.streams()), (2, 2));
    assert_eq!(open_few().unwrap_err().status(), 503);
    // What it was refused for takes no place of the server.
    assert_eq!((few.streams(), all.streams(), hub.lifecycle().streams()), (2, 2, 2));
    assert_eq!(hub.open_with(&read(&hub, head()), ["a", "b"], options.clone()).unwrap_err().status(), 400);
    let more = open(&hub, head()).unwrap();
    assert_eq!(open(&hub, head()).unwrap_err().status(), 503);
    drop(streams);
    let own =
        EventStream::open_with(&read(&hub, head()), stream::pending::<&str>(), options.clone()).unwrap();
    assert_eq!((few.streams(), all.streams()), (1, 2));
    drop((own, more));
    // Given twice, it counts once; and so does one that two lifecycles share.
    let twice = StreamOptions::new().limits(&all);
    let _one = hub.open_with(&read(&hub, head()), "news", twice.clone()).unwrap();
    let other = Hub::builder().lifecycle(&Lifecycle::builder().limits(&all).build()).build();
    let _two = other.open_with(&read(&hub, head()), "news", twice).unwrap();
    assert_eq!((few.streams(), all.streams()), (0, 2));
}

#[tokio::test]
async fn a_hub_of_another_lifecycle_has_its_limits_too() {
    let (server, all) = hub_with(Limits::builder().max_streams(5));
    let (hub, own) = hub_with(Limits::builder().max_streams(1));
    let one = hub.open(&read(&server, head()), "news").unwrap();
    assert_eq!((all.streams(), own.streams()), (1, 1));
    assert_eq!(hub.open(&read(&server, head()), "news").unwrap_err().status(), 503);
    assert_eq!((all.streams(), own.streams(), server.lifecycle().streams()), (1, 1, 1));
    drop(one);
    assert_eq!((all.streams(), own.streams()), (0, 0));
}

#[tokio::test]
async fn a_proxy_is_believed_if_it_is_trusted() {
    let proxies = sse_core::TrustedProxies::networks(["10.0.0.0/8"]).unwrap();
    let limits = Limits::builder().max_streams_per_address(1).trusted_proxies(proxies);
    let (hub, _) = hub_with(limits);
    let by = |proxy: &str, said: &str| from(proxy).header("x-forwarded-for", said);
    let address = |head: Builder| read(&hub, head).client_address().unwrap().to_string();
    assert_eq!(address(by("10.0.0.1", "192.0.2.1")), "192.0.2.1");
    let _one = open(&hub, by("10.0.0.1", "192.0.2.1")).unwrap();
    // Whatever it writes in front, and by whichever proxy.
    for same in
        [by("10.0.0.1", "9.9.9.9, 192.0.2.1"), by("10.0.0.2", "192.0.2.1"), by("192.0.2.1", "8.8.8.8")]
    {
        assert_eq!(open(&hub, same).unwrap_err().status(), 429);
    }
    let _others = ["192.0.2.2", "192.0.2.3"].map(|other| open(&hub, by("10.0.0.1", other)).unwrap());
    // Who is not trusted is itself.
    let _eve = open(&hub, by("203.0.113.9", "192.0.2.7")).unwrap();
    assert_eq!(open(&hub, by("203.0.113.9", "192.0.2.8")).unwrap_err().status(), 429);
    assert!(open(&hub, by("10.0.0.1", "192.0.2.8")).is_ok());
    assert_eq!(read(&hub, by("203.0.113.9", "192.0.2.7")).peer().unwrap().ip().to_string(), "203.0.113.9");
}

#[tokio::test]
async fn debug_tells_numbers_alone() {
    let limits = Limits::builder().max_streams_per_subject(5).max_streams_per_address(5);
    let limits = limits.max_connects_per_minute_by_subject(5).max_connects_per_minute_by_address(5);
    let (hub, limits) = hub_with(limits);
    let _ada = open_as(&hub, "ada").unwrap();
    let _there = open(&hub, from("192.0.2.1")).unwrap();
    let text = format!("{limits:?}");
    assert!(text.contains("subjects: 1, addresses: 1") && text.contains("recent_addresses: 1"), "{text}");
    assert!(!text.contains("ada") && !text.contains("192"), "{text}");
}
