//! How often streams may be asked for.

use std::time::Duration;

use tokio::time::advance;

use super::*;

#[tokio::test(start_paused = true)]
async fn connects_a_minute_of_a_subject() {
    let (hub, limits) = hub_with(Limits::builder().max_connects_per_minute_by_subject(6));
    for _ in 0..6 {
        assert!(open_as(&hub, "ada").is_ok());
    }
    let refusal = open_as(&hub, "ada").unwrap_err();
    assert_eq!(refusal.to_string(), "429 Streams are opened too often, please come back.");
    let after: u64 = field(&refusal, "retry-after").unwrap().parse().unwrap();
    assert!((10..=15).contains(&after), "{after}");
    assert!(open_as(&hub, "bob").is_ok() && open(&hub, head()).is_ok());
    // Whoever waits as long as it is told is let in.
    advance(Duration::from_secs(after)).await;
    assert!(open_as(&hub, "ada").is_ok());
    assert_eq!(limits.streams(), 0);
}

#[tokio::test(start_paused = true)]
async fn connects_a_minute_of_an_address() {
    let (hub, _) = hub_with(Limits::builder().max_connects_per_minute_by_address(2));
    for n in 1..=2 {
        assert!(open(&hub, from(&format!("2001:db8:0:1::{n}"))).is_ok());
    }
    let browser = open(&hub, in_browser(from("2001:db8:0:1::3"))).unwrap_err();
    assert_eq!(browser.status(), 200);
    let retry = browser.body().strip_prefix("retry: ").unwrap().split('\n').next().unwrap();
    assert!((30_000..=45_000).contains(&retry.parse::<u32>().unwrap()), "{retry}");
    assert_eq!(open(&hub, from("2001:db8:0:1::3")).unwrap_err().status(), 429);
    assert!(open(&hub, from("2001:db8:0:2::3")).is_ok());
    // A HEAD opens nothing.
    for _ in 0..5 {
        assert!(open(&hub, from("192.0.2.1").method("HEAD")).is_ok());
    }
    assert!(open(&hub, from("192.0.2.1")).is_ok());
}
