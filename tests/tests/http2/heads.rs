//! Heads of requests that are too large, or do not end.

use sse_tests::{
    h2::{Connection, block, flag, frame, kind},
    servers::Framework,
};

use super::{Target, open};

sse_tests::on_each_framework! {
    a_head_without_end
    heads_as_large_as_can_be
    heads_that_unfold
}

/// The most that a frame holds.
const FRAME: usize = 16_384;

/// HEADERS, and CONTINUATION for ever (VU#421644): the server ends it before it has read much.
async fn a_head_without_end(framework: Framework) {
    let target = Target::start(framework).await;
    let mut bystander = target.bystander().await;
    for rest in [
        frame(kind::CONTINUATION, 0, 1, &filler()).repeat(4_000),
        frame(kind::CONTINUATION, 0, 1, &[]).repeat(1_000_000),
    ] {
        let mut client = target.connect().await;
        client.send(&frame(kind::HEADERS, flag::END_STREAM, 1, &block("/events", &[]))).await.unwrap();
        let seen = client.flood(&rest).await;
        assert!(seen.is_closed || seen.go_away.is_some(), "{seen:?}");
        println!("{framework}: {seen:?}");
    }
    bystander.is_served(&target).await;
    drop(bystander);
    target.has_recovered("a head without end").await;
}

/// Part of a head: fields that are forgotten, none of which is large.
fn filler() -> Vec<u8> {
    let field = [&[0, 3][..], b"x-a", &[100], &[b'x'; 100]].concat();
    field.repeat(FRAME / field.len())
}

/// 320 KiB of fields with each request: it is answered, on warp refused, and others are served.
async fn heads_as_large_as_can_be(framework: Framework) {
    let target = Target::start(framework).await;
    let mut bystander = target.bystander().await;
    let mut clients = Vec::new();
    let mut refused = 0;
    while clients.len() < 4 {
        let mut client = target.connect().await;
        if is_answered(&mut client).await {
            assert!(framework != Framework::Warp, "warp takes such heads now: say so in the documents");
        } else {
            // Others only where the machine is so busy that it takes longer than they wait for the answer to a ping.
            refused += 1;
            assert!(
                framework == Framework::Warp || refused < 10,
                "such heads are refused: say so in the documents"
            );
            if framework != Framework::Warp {
                continue;
            }
        }
        clients.push(client);
    }
    bystander.is_served(&target).await;
    drop((clients, bystander));
    target.has_recovered("large heads").await;
}

async fn is_answered(client: &mut Connection) -> bool {
    let stream = client.stream();
    let mut bytes = frame(kind::HEADERS, flag::END_STREAM, stream, &block("/events", &[]));
    bytes.extend(frame(kind::CONTINUATION, 0, stream, &filler()).repeat(20));
    bytes.extend(frame(kind::CONTINUATION, flag::END_HEADERS, stream, &[]));
    let seen = client.flood(&bytes).await;
    if seen.answers > 0 || seen.go_away.is_some() || seen.is_closed {
        return seen.answers > 0;
    }
    loop {
        match client.next().await {
            Some(next) if next.kind == kind::HEADERS => return next.is_ok(),
            Some(next) if next.kind != kind::GOAWAY => {}
            _ => return false,
        }
    }
}

/// A field of 4,000 bytes is said once, then named by one byte 16,000 times: 16 KiB that unfold to 64 MB.
async fn heads_that_unfold(framework: Framework) {
    let target = Target::start(framework).await;
    let mut bystander = target.bystander().await;
    let mut clients = Vec::new();
    for _ in 0..10 {
        let mut client = target.connect().await;
        open(&mut client, 1, "/events").await;
        let mut bytes = Vec::new();
        for n in 0..5 {
            let stream = client.stream();
            let mut head = block("/events", &[]);
            if n == 0 {
                // With the length 3900 in HPACK's form, to be remembered.
                head.extend([&[0x40, 3][..], b"x-a", &[0x7f, 0xbd, 0x1d], &[b'x'; 3_900]].concat());
            }
            head.resize(FRAME, 0x80 | 62);
            bytes.extend(frame(kind::HEADERS, flag::END_STREAM | flag::END_HEADERS, stream, &head));
        }
        client.flood(&bytes).await;
        clients.push(client);
    }
    bystander.is_served(&target).await;
    drop((clients, bystander));
    target.has_recovered("heads that unfold").await;
}
