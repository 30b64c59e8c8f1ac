//! A stream of one server's hub, opened by a request of another's: both count it, and either ends it.

#![allow(clippy::unwrap_used, reason = "tests")]

mod get;

use std::{pin::Pin, time::Duration};

use futures_util::StreamExt;
use get::get;
use sse_core::{EventStream, Hub, Lifecycle, Request, Subscription};
use tokio::time::timeout;

fn open(hub: &Hub, server: &Lifecycle) -> Pin<Box<EventStream<Subscription>>> {
    Box::pin(hub.open(&Request::new(&get(), server), "a").unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_stream_counts_with_both_servers_and_ends_with_either() {
    for stops_hub in [true, false] {
        let (hub, server) = (Hub::new(), Lifecycle::new());
        let mut stream = open(&hub, &server);
        assert_eq!((hub.lifecycle().streams(), server.streams()), (1, 1));
        stream.next().await.unwrap();
        hub.publish("a", "x").await.unwrap();
        assert!(stream.next().await.unwrap().starts_with(b"data: x\n"));
        // Asleep, in a task of its own.
        let rest = tokio::spawn(async move { stream.collect::<Vec<_>>().await.concat() });
        tokio::task::yield_now().await;
        let (stopped, other) =
            if stops_hub { (hub.lifecycle(), &server) } else { (&server, hub.lifecycle()) };
        stopped.stop();
        let rest = timeout(Duration::from_secs(1), rest).await.unwrap().unwrap();
        assert!(rest.starts_with(b"retry: ") && rest.iter().filter(|byte| **byte == b'\n').count() == 1);
        assert_eq!((hub.lifecycle().streams(), server.streams()), (0, 0));
        timeout(Duration::from_secs(1), stopped.stopped()).await.unwrap();
        // The next is refused, and holds no place with the one that goes on.
        let refusal = hub.open(&Request::new(&get(), &server), "a").unwrap_err();
        assert_eq!((refusal.status(), other.streams(), hub.stats().subscribers), (503, 0, 0));
        assert!(!other.is_stopping());
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_owed_is_sent_whichever_stops() {
    for stops_hub in [true, false] {
        let (hub, server) = (Hub::new(), Lifecycle::new());
        let mut stream = open(&hub, &server);
        stream.next().await.unwrap();
        for data in ["x", "y"] {
            hub.publish("a", data).await.unwrap();
        }
        if stops_hub {
            hub.lifecycle().stop();
        } else {
            server.stop();
        }
        let rest = String::from_utf8(stream.by_ref().collect::<Vec<_>>().await.concat()).unwrap();
        assert!(rest.starts_with("data: x\n") && rest.contains("data: y\n"), "{rest}");
    }
}

#[tokio::test]
async fn one_server_counts_its_stream_once() {
    let server = Lifecycle::new();
    let hub = Hub::builder().lifecycle(&server).build();
    let stream = open(&hub, &server);
    assert_eq!((hub.lifecycle().streams(), server.streams()), (1, 1));
    drop(stream);
    let (stream, other) = (open(&hub, &Lifecycle::new()), Hub::new());
    assert_eq!(server.streams(), 1);
    drop(stream);
    assert_eq!((server.streams(), other.lifecycle().streams()), (0, 0));
}
