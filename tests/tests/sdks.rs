//! The `chat` examples, asked by the SDKs of the vendors whose APIs they speak, and by others who mean no good.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failure is a failed test")]

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use sse_core::Hub;
use sse_tests::{
    examples::Example,
    http,
    sdks::{Said, Sdk},
    servers::{App, Framework},
};
use tokio::{io::AsyncWriteExt, net::TcpStream, time::sleep};

const ANSWER: &str = include_str!("../../examples/answer.txt");

/// Longer than anything that a test waits for.
const PATIENCE: Duration = Duration::from_secs(20);

/// What would be events of its own where words are sent as they are, and what would be lost.
const HOSTILE: &str = "a\r\nb\rc\n\n\ndata: [DONE]\n\nevent: error\ndata: {\"error\": {}}\n\nid: 1\nretry: 1\n: x\n\n  \
                       \u{2028}\u{2029}\u{85}\u{feff}\u{0}\u{1f30a}\t end ";

fn body(model: &str, prompt: &str) -> Value {
    json!({ "model": model, "max_tokens": 100_000, "messages": [{ "role": "user", "content": prompt }] })
}

async fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "not in time: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}

async fn is_understood(framework: Framework, sdk: Sdk) {
    let Some(mut asking) = sdk.start() else {
        return;
    };
    let mut example = Example::start(framework, "chat").await;
    let addr = example.addr;
    let reason =
        |openai: &str, anthropic: &str| Said::End(if sdk.is_openai() { openai } else { anthropic }.into());

    // A whole answer, to the letter.
    asking.ask(addr, body("stand-in", "Why?"), None).await;
    let (words, end) = asking.rest().await;
    assert_eq!(words.concat(), ANSWER, "{sdk:?}");
    assert!(words.len() > 3000, "word by word");
    assert_eq!(end, reason("stop", "end_turn"));

    asking.ask(addr, body("echo", HOSTILE), None).await;
    let (words, end) = asking.rest().await;
    assert_eq!(words.concat(), HOSTILE, "{sdk:?}");
    assert_eq!(end, reason("stop", "end_turn"));

    // Cut by what was asked for; a prompt in parts, and with what was said before.
    let parts = json!([{ "type": "text", "text": "one two " }, { "type": "text", "text": "three four" }]);
    let mut cut = body("echo", "");
    cut["max_tokens"] = 3.into();
    cut["messages"] = json!([
        { "role": "user", "content": "before" },
        { "role": "assistant", "content": "so it is" },
        { "role": "user", "content": parts },
    ]);
    asking.ask(addr, cut, None).await;
    let (words, end) = asking.rest().await;
    assert_eq!(words, ["one ", "two ", "three "]);
    assert_eq!(end, reason("length", "max_tokens"));

    // An error in the middle is an exception in the caller.
    asking.ask(addr, body("overloaded", "Why?"), None).await;
    let (words, end) = asking.rest().await;
    assert_eq!(words.len(), 20);
    let Said::Failed(message, _) = &end else { panic!("{sdk:?}: {end:?}") };
    assert!(message.contains("The model is overloaded, try again later."), "{message}");

    // As is one before the stream, with its status.
    asking.ask(addr, body("echo", ""), None).await;
    let refused = if framework == Framework::Rocket { 422 } else { 400 };
    let (words, end) = asking.rest().await;
    assert!(words.is_empty() && matches!(end, Said::Failed(_, Some(status)) if status == refused), "{end:?}");

    // The server ends, cleanly and in time, and its caller does not take half an answer for a whole one.
    asking.ask(addr, body("slow", "Why?"), None).await;
    assert!(matches!(asking.next().await, Said::Text(_)));
    example.signal("TERM").await;
    let (_, end) = asking.rest().await;
    let Said::Failed(message, _) = &end else { panic!("{sdk:?}: {end:?}") };
    assert!(message.contains("The server is restarting, ask again."), "{message}");
    assert_eq!(example.code(Duration::from_secs(10)).await, Some(0));

    // Whoever aborts frees his place: the answer would have gone on for minutes.
    let server = framework.serve(App::new(Hub::new())).await;
    let lifecycle = server.hub.lifecycle();
    asking.ask(server.addr, body("slow", "Why?"), Some(2)).await;
    assert!(matches!(asking.next().await, Said::Text(_)), "{sdk:?}");
    assert_eq!(asking.rest().await, (vec!["The ".to_owned()], Said::Aborted), "{sdk:?}");
    wait_until("the place is free", || lifecycle.streams() == 0).await;
}

async fn the_sdks_of_vendors_understand_answers(framework: Framework) {
    // Side by side: most of it is waiting.
    let sdks = [Sdk::OpenAiNpm, Sdk::OpenAiPypi, Sdk::AnthropicNpm, Sdk::AnthropicPypi];
    futures_util::future::join_all(sdks.map(|sdk| is_understood(framework, sdk))).await;
}

sse_tests::on_each_framework! {
    the_sdks_of_vendors_understand_answers
    the_bytes_are_those_of_the_vendors
    bad_questions_are_refused_before_the_stream
    whoever_leaves_frees_his_place
    questions_that_break_off_leave_nothing_behind
    a_thousand_answers_leave_nothing_behind
}

const PATHS: [&str; 2] = ["/v1/chat/completions", "/v1/messages"];

async fn post(addr: SocketAddr, path: &str, body: &[u8]) -> http::Answer {
    http::send(addr, "POST", path, &[("Content-Type", b"application/json")], body).await
}

fn streamed(model: &str, prompt: &str) -> Vec<u8> {
    let mut body = body(model, prompt);
    body["stream"] = true.into();
    body.to_string().into_bytes()
}

async fn the_bytes_are_those_of_the_vendors(framework: Framework) {
    let server = framework.serve(App::new(Hub::new())).await;
    let text = post(server.addr, PATHS[0], &streamed("echo", "a b")).await.rest().await;
    let blocks: Vec<&str> = text.split_terminator("\n\n").collect();
    assert_eq!((blocks.len(), blocks[4]), (5, "data: [DONE]"));
    for (block, delta) in blocks[..4].iter().zip([
        json!({ "role": "assistant", "content": "" }),
        json!({ "content": "a " }),
        json!({ "content": "b" }),
        json!({}),
    ]) {
        let chunk: Value = serde_json::from_str(block.strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!(chunk["object"], "chat.completion.chunk");
        assert_eq!(chunk["choices"][0]["delta"], delta);
    }

    let text = post(server.addr, PATHS[1], &streamed("echo", "a b")).await.rest().await;
    let seen = http::events(&text);
    assert_eq!(
        text,
        seen.iter().map(|seen| format!("event: {}\ndata: {}\n\n", seen.kind, seen.data)).collect::<String>()
    );
    let kinds: Vec<&str> = seen.iter().map(|seen| &*seen.kind).collect();
    assert_eq!(
        kinds,
        [
            "message_start",
            "content_block_start",
            "ping",
            "content_block_delta",
            "content_block_delta",
            "content_block_stop",
            "message_delta",
            "message_stop"
        ]
    );
    for seen in &seen {
        assert_eq!(serde_json::from_str::<Value>(&seen.data).unwrap()["type"], *seen.kind);
    }

    // While the model thinks, the one is pinged by name.
    let mut slow = post(server.addr, PATHS[1], &streamed("slow", "Why?")).await;
    let text = slow.until(|text| text.contains("content_block_delta")).await;
    assert!(text.matches("event: ping\ndata: {\"type\": \"ping\"}\n\n").count() > 1, "{text}");

    // An error has the name of one, as they send it.
    let text = post(server.addr, PATHS[1], &streamed("overloaded", "Why?")).await.rest().await;
    let last = http::events(&text).pop().unwrap();
    assert_eq!(last.kind, "error");
    assert_eq!(serde_json::from_str::<Value>(&last.data).unwrap()["error"]["type"], "overloaded_error");
}

async fn bad_questions_are_refused_before_the_stream(framework: Framework) {
    let example = Example::start(framework, "chat").await;
    let mut silent = body("echo", "a");
    silent["stream"] = false.into();
    let silent = silent.to_string();
    let bad: [&[u8]; 5] = [b"", b"{", b"{}", &streamed("echo", ""), silent.as_bytes()];
    for path in PATHS {
        for body in bad {
            let mut answer = post(example.addr, path, body).await;
            assert!(matches!(answer.status, 400 | 422), "{}", answer.status);
            assert_ne!(answer.header("content-type"), Some("text/event-stream"));
            answer.rest().await;
        }
        let mut answer = http::get(example.addr, path).await;
        assert!(matches!(answer.status, 404 | 405), "{}", answer.status);
        answer.rest().await;
    }
}

async fn whoever_leaves_frees_his_place(framework: Framework) {
    let server = framework.serve(App::new(Hub::new())).await;
    let lifecycle = server.hub.lifecycle();
    for path in PATHS {
        // While the model still thinks, and in the middle of its answer.
        for word in ["", "The "] {
            let mut answer = post(server.addr, path, &streamed("slow", "Why?")).await;
            answer.until(|text| text.contains(word)).await;
            assert_eq!(lifecycle.streams(), 1, "{path}");
            drop(answer);
            wait_until("the place is free", || lifecycle.streams() == 0).await;
        }
    }
}

async fn questions_that_break_off_leave_nothing_behind(framework: Framework) {
    let example = Example::start(framework, "chat").await;
    let body = streamed("slow", "Why?");
    for path in PATHS {
        for part in [0, 1, body.len() / 2, body.len() - 1] {
            let mut socket = TcpStream::connect(example.addr).await.unwrap();
            let head = format!(
                "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            socket.write_all(head.as_bytes()).await.unwrap();
            socket.write_all(&body[..part]).await.unwrap();
            sleep(Duration::from_millis(20)).await;
        }
        // In the middle of the answer.
        let mut answer = post(example.addr, path, &body).await;
        assert_eq!(answer.status, 200);
        answer.chunk().await.unwrap();
    }
    wait_until("the connections are closed", || example.connections().is_none_or(|open| open == 0)).await;
    let text = post(example.addr, PATHS[0], &streamed("echo", "a")).await.rest().await;
    assert!(text.ends_with("data: [DONE]\n\n"));
}

async fn a_thousand_answers_leave_nothing_behind(framework: Framework) {
    let example = Example::start(framework, "chat").await;
    let body = streamed("echo", HOSTILE);
    let ask = async |times: usize| {
        for n in 0..times {
            let text = post(example.addr, PATHS[n % 2], &body).await.rest().await;
            assert!(text.ends_with("[DONE]\n\n") || text.ends_with("\"message_stop\"}\n\n"), "{text}");
        }
    };
    ask(200).await;
    let warm = example.memory();
    ask(800).await;
    wait_until("the connections are closed", || example.connections().is_none_or(|open| open == 0)).await;
    if let (Some(warm), Some(memory)) = (warm, example.memory()) {
        assert!(
            memory < warm + (4 << 20),
            "{} KiB after 200 answers, {} KiB after 1000",
            warm >> 10,
            memory >> 10
        );
    }
}
