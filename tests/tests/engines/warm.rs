//! A node that starts has the past, as far as it is to have it.

use sse_tests::engines::{Kind, Running};

use super::{
    client::{Client, numbered},
    node::{builder, has, node, with},
};

pub(crate) async fn a_later_node_has_the_past(kind: Kind) {
    let Some(log) = Running::start(kind).await else { return };
    let first = node(&log).await;
    let before = first.position();
    let mut ids = Vec::new();
    for n in 0..50 {
        ids.push(first.publish("news", format!("news-{n}")).await.expect("it is there"));
    }
    let later = node(&log).await;
    // It is ready: it has all that was there when it began.
    assert_eq!(later.position(), ids[49]);
    assert_eq!(later.stats().events, 50);
    let mut client = Client::after(&later, &["news"], before);
    assert_eq!(client.upto("news-49").await, numbered("news", 0..50));
    let mut client = Client::after(&later, &["news"], ids[20]);
    assert_eq!(client.upto("news-49").await, numbered("news", 21..50));
    // A new client begins with what comes.
    let mut client = Client::new(&later, &["news"]).await;
    first.publish("news", "end").await.expect("it is there");
    assert_eq!(client.short().await, "end");
}

pub(crate) async fn a_later_node_has_no_more_than_its_limits(kind: Kind) {
    let Some(log) = Running::start(kind).await else { return };
    let first = node(&log).await;
    let mut ids = Vec::new();
    for n in 0..50 {
        ids.push(first.publish("news", format!("news-{n}")).await.expect("it is there"));
    }
    let few = with(builder().max_events(10), log.connect().await).await;
    assert_eq!(few.stats().events, 10);
    let mut client = Client::after(&few, &["news"], ids[20]);
    assert_eq!(client.short().await, "gap:trimmed");
    assert_eq!(client.upto("news-49").await, numbered("news", 40..50));
    let mut client = Client::after(&few, &["news"], ids[39]);
    assert_eq!(client.upto("news-49").await, numbered("news", 40..50));
    // Of bytes likewise.
    let small = with(builder().max_bytes(600), log.connect().await).await;
    let kept = small.stats().events;
    assert!((2..20).contains(&kept), "{kept}");
    let mut client = Client::after(&small, &["news"], ids[5]);
    assert_eq!(client.short().await, "gap:trimmed");
    assert_eq!(client.upto("news-49").await, numbered("news", 50 - kept..50));
    // And it stays so.
    let end = few.publish("news", "end").await.expect("it is there");
    has(&few, end).await;
    assert_eq!(few.stats().events, 10);
}

pub(crate) async fn the_first_node_of_all_begins_with_nothing(kind: Kind) {
    let Some(log) = Running::start(kind).await else { return };
    let (a, b) = (node(&log).await, node(&log).await);
    assert_eq!(a.position(), b.position());
    assert_eq!((a.position().sequence(), a.stats().events), (0, 0));
    // A page that was rendered before anything was said misses nothing.
    let mut client = Client::after(&a, &["news"], b.position());
    b.publish("news", "first").await.expect("it is there");
    assert_eq!(client.short().await, "first");
    // Whoever comes from another life of the log is told, and gets all there is.
    let id = a.publish("news", "second").await.expect("it is there");
    has(&a, id).await;
    let mut client = Client::after(&a, &["news"], "00000000000000ab-12");
    assert_eq!(client.upto("second").await, ["gap:restarted", "first", "second"]);
}

pub(crate) async fn an_old_id_at_a_later_node(kind: Kind) {
    let Some(log) = Running::start(kind).await else { return };
    let first = node(&log).await;
    let mut ids = Vec::new();
    for n in 0..50 {
        ids.push(first.publish("news", format!("news-{n}")).await.expect("it is there"));
    }
    has(&first, ids[49]).await;
    log.trim(5).await;
    // What was there before the engine lost it is still here.
    let mut client = Client::after(&first, &["news"], ids[20]);
    assert_eq!(client.upto("news-49").await, numbered("news", 21..50));
    let later = node(&log).await;
    let kept = later.stats().events;
    assert!((5..50).contains(&kept), "{kept}");
    let mut client = Client::after(&later, &["news"], ids[1]);
    assert_eq!(client.short().await, "gap:trimmed");
    assert_eq!(client.upto("news-49").await, numbered("news", 50 - kept..50));
    // The last that was trimmed is the last that can be resumed from exactly.
    let mut client = Client::after(&later, &["news"], ids[49 - kept]);
    assert_eq!(client.upto("news-49").await, numbered("news", 50 - kept..50));
    // Of topics that nobody has heard of it is not known that nothing was lost.
    let mut client = Client::after(&later, &["quiet"], ids[1]);
    assert_eq!(client.short().await, "gap:trimmed");
}
