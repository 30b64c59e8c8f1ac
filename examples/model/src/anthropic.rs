//! Answers as Anthropic's Messages API streams them: named events whose data has the name as `type`.

use std::time::Duration;

use async_stream::stream;
use futures_util::Stream;
use serde_json::{Value, json};
use sse_core::{Event, EventError, EventName, StreamOptions};

use crate::{Question, RESTARTING, id};

const PING: EventName = EventName::from_static("ping");

/// Its clients never reconnect, and skip what is called `ping`.
pub fn options() -> StreamOptions {
    StreamOptions::new()
        .opening_comment(false)
        .no_retry()
        .keep_alive(Duration::from_secs(1))
        .keep_alive_event(ping())
        .farewell(failure(RESTARTING))
}

pub fn message(question: &Question) -> impl Stream<Item = Result<Event, EventError>> + use<> {
    let (model, words, is_cut) = (question.model.clone(), question.answer(), question.is_cut());
    let input_tokens = question.prompt.split_whitespace().count();
    stream! {
        yield event("message_start", json!({ "message": {
            "id": id("msg_"),
            "type": "message",
            "role": "assistant",
            "content": [],
            "model": model,
            "stop_reason": null,
            "stop_sequence": null,
            "usage": { "input_tokens": input_tokens, "output_tokens": 0 },
        } }));
        yield event("content_block_start", json!({ "index": 0, "content_block": { "type": "text", "text": "" } }));
        yield Ok(ping());
        let mut output_tokens = 0;
        for await word in words {
            match word {
                Ok(word) => {
                    let delta = json!({ "type": "text_delta", "text": word });
                    yield event("content_block_delta", json!({ "index": 0, "delta": delta }));
                    output_tokens += 1;
                }
                Err(overloaded) => {
                    yield Ok(failure(&overloaded.to_string()));
                    return;
                }
            }
        }
        yield event("content_block_stop", json!({ "index": 0 }));
        let stop_reason = if is_cut { "max_tokens" } else { "end_turn" };
        yield event("message_delta", json!({
            "delta": { "stop_reason": stop_reason, "stop_sequence": null },
            "usage": { "output_tokens": output_tokens },
        }));
        yield event("message_stop", json!({}));
    }
}

fn event(kind: &str, mut data: Value) -> Result<Event, EventError> {
    data["type"] = kind.into();
    Event::json(&data)?.name(kind)
}

fn ping() -> Event {
    Event::new(r#"{"type": "ping"}"#).named(PING)
}

fn failure(message: &str) -> Event {
    let error = json!({ "type": "error", "error": { "type": "overloaded_error", "message": message } });
    Event::new(error.to_string()).named(EventName::ERROR)
}
