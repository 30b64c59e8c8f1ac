//! Answers as OpenAI's chat completions stream them: unnamed events, `[DONE]` behind the last.

use std::time::{SystemTime, UNIX_EPOCH};

use async_stream::stream;
use futures_util::Stream;
use serde_json::{Value, json};
use sse_core::{Event, EventError, StreamOptions};

use crate::{Question, RESTARTING, id};

/// Its clients never reconnect, and take whatever has data for a chunk, a ping by name too: while the model is silent,
/// comments, which they skip.
pub fn options() -> StreamOptions {
    StreamOptions::new().opening_comment(false).no_retry().farewell(failure(RESTARTING))
}

pub fn completion(question: &Question) -> impl Stream<Item = Result<Event, EventError>> + use<> {
    let (model, words, is_cut) = (question.model.clone(), question.answer(), question.is_cut());
    let id = id("chatcmpl-");
    let created = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let chunk = move |delta: Value, finish_reason: Option<&str>| {
        Event::json(&json!({
            "id": id,
            "object": "chat.completion.chunk",
            "created": created,
            "model": model,
            "choices": [{ "index": 0, "delta": delta, "finish_reason": finish_reason }],
        }))
    };
    stream! {
        yield chunk(json!({ "role": "assistant", "content": "" }), None);
        for await word in words {
            match word {
                Ok(word) => yield chunk(json!({ "content": word }), None),
                Err(overloaded) => {
                    yield Ok(failure(&overloaded.to_string()));
                    return;
                }
            }
        }
        yield chunk(json!({}), Some(if is_cut { "length" } else { "stop" }));
        yield Ok(Event::new("[DONE]"));
    }
}

/// Without a name: its clients look for `error` in the data.
fn failure(message: &str) -> Event {
    let error = json!({ "message": message, "type": "server_error", "param": null, "code": null });
    Event::new(json!({ "error": error }).to_string())
}
