//! What is published under a key, on a hub without an engine.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_key_publishes_once_for_two_minutes() {
    let hub = builder().build();
    let mut client = Client::open(&hub, &["a", "b"], None);
    assert_eq!(client.said(), NOTHING);
    let first = hub.publish_once("order-1", "a", "first").await.unwrap();
    assert!(first.is_new);
    // Whatever it is that is published again, and wherever.
    for _ in 0..2 {
        let again = hub.publish_once("order-1", "b", "again").await.unwrap();
        assert_eq!((again.id, again.is_new), (first.id, false));
        tokio::time::sleep(Duration::from_secs(59)).await;
    }
    assert!(hub.publish_once("order-2", "a", "other").await.unwrap().is_new);
    assert_eq!(client.said(), ["first", "other"]);
    // Two minutes after it was published, however often it was asked for since.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let late = hub.publish_once("order-1", "a", "late").await.unwrap();
    assert!(late.is_new && late.id.sequence() > first.id.sequence());
    assert_eq!(client.said(), ["late"]);
    for key in ["", "with a blank", "näme", &"x".repeat(129)] {
        assert_eq!(hub.publish_once(key, "a", "x").await, Err(PublishError::Key), "{key}");
    }
    assert_eq!(client.said(), NOTHING);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_that_race_with_one_key_one_publishes() {
    let hub = builder().build();
    let mut client = Client::open(&hub, &["a"], None);
    for round in 0..50 {
        let mut tasks = Vec::new();
        for n in 0..16 {
            let hub = hub.clone();
            tasks.push(tokio::spawn(async move {
                hub.publish_once(&format!("round-{round}"), "a", n.to_string()).await.unwrap()
            }));
        }
        let mut published = Vec::new();
        for task in tasks {
            published.push(task.await.unwrap());
        }
        assert_eq!(published.iter().filter(|published| published.is_new).count(), 1);
        assert!(published.iter().all(|one| one.id == published[0].id));
        assert_eq!(client.said().len(), 1);
    }
}
