//! Topics of a stream that is open already.

use std::time::Duration;

use sse_core::{Hub, StreamOptions, SubscriptionHandle, Topics};
use sse_tests::{
    http::{self, Seen},
    servers::{App, Framework, Server},
};
use tokio::time::sleep;

/// A server, a stream of `news`, and its handle.
async fn open(framework: Framework) -> (Server, http::Answer, SubscriptionHandle) {
    let mut app = App::new(Hub::new());
    app.endpoints.insert("x", StreamOptions::new());
    let opened = app.opened.clone();
    let server = framework.serve(app).await;
    let mut answer = http::get(server.addr, "/with/x?topic=news").await;
    answer.until(|text| text.contains("\n\n")).await;
    let handle = opened.lock().unwrap().pop().unwrap();
    (server, answer, handle)
}

fn topics(name: &str) -> Topics {
    Topics::new([name]).unwrap()
}

async fn until(answer: &mut http::Answer, last: &str) -> Vec<Seen> {
    let text = answer.until(|text| http::events(text).iter().any(|seen| seen.data == last)).await;
    http::events(&text)
}

pub(crate) async fn an_open_stream_is_given_topics_and_loses_them(framework: Framework) {
    let (server, mut answer, handle) = open(framework).await;
    let publish = async |topic: &str, text: &str| server.hub.publish(topic, text.to_owned()).await.unwrap();
    publish("room/1", "before it was added").await;
    assert!(handle.add(&topics("room/1")));
    // Twice is once.
    assert!(handle.add(&topics("room/1")));
    publish("room/1", "a").await;
    publish("news", "b").await;
    let seen = until(&mut answer, "b").await;
    assert_eq!(seen.iter().map(|seen| &*seen.data).collect::<Vec<_>>(), ["a", "b"], "{seen:?}");
    assert!(handle.remove(&topics("room/1")));
    assert!(handle.remove(&topics("room/1")) && handle.remove(&topics("never there")));
    publish("room/1", "after it was taken away").await;
    let id = publish("news", "c").await;
    let seen = until(&mut answer, "c").await;
    assert_eq!(seen.iter().map(|seen| &*seen.data).collect::<Vec<_>>(), ["c"], "{seen:?}");
    // All are gone: it lives on, and can be given others.
    assert!(handle.remove(&topics("news")));
    publish("news", "to nobody").await;
    assert!(handle.add(&topics("room/2")));
    publish("room/2", "d").await;
    let seen = until(&mut answer, "d").await;
    assert_eq!(seen.len(), 1, "{seen:?}");
    // Its id is a position, good for whatever it asks for then.
    drop(answer);
    let path = "/with/x?topic=news&topic=room/2";
    let mut back = http::resume(server.addr, path, id.to_string().as_bytes()).await;
    let seen = until(&mut back, "d").await;
    assert_eq!(seen.iter().map(|seen| &*seen.data).collect::<Vec<_>>(), ["to nobody", "d"]);
    for _ in 0..2000 {
        if !handle.add(&topics("news")) {
            return;
        }
        // Until the server has noticed that the client is gone.
        publish("room/2", "e").await;
        sleep(Duration::from_millis(10)).await;
    }
    panic!("the stream has long ended");
}

/// What is published while topics come and go: all of those that are there, from when they were added on; nothing of one
/// while it is not.
pub(crate) async fn changing_topics_amid_traffic_loses_and_repeats_nothing(framework: Framework) {
    const EACH: usize = 3000;
    const ROOMS: usize = 10;
    let (server, mut answer, handle) = open(framework).await;
    let hub = server.hub.clone();
    let publisher = tokio::spawn(async move {
        let mut published = Vec::new();
        for n in 0..EACH {
            for topic in ["news".to_owned(), format!("room/{}", n % ROOMS), "noise".to_owned()] {
                let id = hub.publish(&*topic, n.to_string()).await.unwrap();
                published.push((topic, number(&id.to_string())));
            }
            if n % 20 == 0 {
                sleep(Duration::from_millis(1)).await;
            }
        }
        hub.publish("news", "end").await.unwrap();
        published
    });
    let hub = server.hub.clone();
    let changer = tokio::spawn(async move {
        let position = || number(&hub.position().to_string());
        // From where on a room's events are certain to come; between where none of the noise may.
        let (mut rooms, mut quiet) = (Vec::new(), Vec::new());
        for n in 0..ROOMS {
            assert!(handle.add(&topics(&format!("room/{n}"))));
            rooms.push(position());
            assert!(handle.add(&topics("noise")));
            sleep(Duration::from_millis(4)).await;
            assert!(handle.remove(&topics("noise")));
            let from = position();
            sleep(Duration::from_millis(4)).await;
            quiet.push(from..position());
        }
        (rooms, quiet)
    });
    let seen = until(&mut answer, "end").await;
    let (published, (rooms, quiet)) = (publisher.await.unwrap(), changer.await.unwrap());
    assert!(seen.iter().all(|seen| seen.kind != "sse-gap"), "a gap, where nothing was lost");
    let came: Vec<u64> = seen.iter().filter_map(|seen| seen.id.as_deref()).map(number).collect();
    assert!(came.is_sorted_by(|one, next| one < next), "something came twice or out of order");
    let mut noise = 0;
    for (topic, at) in &published {
        let comes = came.binary_search(at).is_ok();
        let room = topic.strip_prefix("room/").map(|room| rooms[room.parse::<usize>().unwrap()]);
        if topic == "news" || room.is_some_and(|since| *at > since) {
            assert!(comes, "{at} of {topic} is missing");
        } else if topic == "noise" {
            noise += usize::from(comes);
            assert!(
                !comes || !quiet.iter().any(|quiet| quiet.contains(&(at - 1))),
                "{at} of {topic} has come"
            );
        }
    }
    assert!(published.iter().any(|(_, at)| *at < rooms[ROOMS - 1]), "all was published too late");
    println!("{noise} of the noise, {} in all", seen.len());
}

fn number(id: &str) -> u64 {
    id.split_once('-').unwrap().1.parse().unwrap()
}
