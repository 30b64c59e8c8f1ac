//! A stand-in for a language model, and its answers in the words of two APIs: what the `chat` examples share. Copy
//! it, and put a model of your own in the place of [`Question::answer`].
#![allow(missing_docs, reason = "an example")]

pub mod anthropic;
pub mod openai;

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use async_stream::stream;
use futures_util::Stream;
use serde::Deserialize;
use tokio::time::sleep;

const ANSWER: &str = include_str!("../../answer.txt");

/// What an answer ends with that the server has no time to finish. Read event by event, the SDKs of both vendors take a
/// stream that ends without a word for a whole answer.
const RESTARTING: &str = "The server is restarting, ask again.";

/// What both APIs are asked, as far as it matters here. A body that asks for something else is no `Question`: the
/// framework refuses it as it refuses any bad JSON.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Body")]
pub struct Question {
    pub model: String,
    pub prompt: String,
    pub max_tokens: usize,
}

#[derive(Deserialize)]
struct Body {
    model: String,
    messages: Vec<Message>,
    #[serde(alias = "max_completion_tokens")]
    max_tokens: Option<usize>,
    #[serde(default)]
    stream: bool,
}

#[derive(Deserialize)]
struct Message {
    role: String,
    content: Option<Content>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Deserialize)]
struct Part {
    #[serde(default)]
    text: String,
}

impl TryFrom<Body> for Question {
    type Error = &'static str;

    fn try_from(body: Body) -> Result<Self, Self::Error> {
        if !body.stream {
            return Err("this server only streams: ask with `\"stream\": true`");
        }
        let said = body.messages.into_iter().rfind(|message| message.role == "user");
        let prompt = match said.and_then(|message| message.content) {
            Some(Content::Text(text)) => text,
            Some(Content::Parts(parts)) => parts.into_iter().map(|part| part.text).collect(),
            None => String::new(),
        };
        if prompt.is_empty() {
            return Err("there is no prompt: the user has said nothing");
        }
        Ok(Self { model: body.model, prompt, max_tokens: body.max_tokens.unwrap_or(usize::MAX) })
    }
}

/// Why a model stops in the middle.
#[derive(Debug)]
pub struct Overloaded;

impl fmt::Display for Overloaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("The model is overloaded, try again later.")
    }
}

impl Question {
    /// The answer, word by word, with the blanks and line breaks behind them. Which one, the model's name decides:
    /// `echo` says the prompt again, `slow` thinks before it speaks and takes its time, `overloaded` breaks off, and
    /// any other is quick.
    pub fn answer(&self) -> impl Stream<Item = Result<String, Overloaded>> + use<> {
        let Self { model, prompt, max_tokens } = self.clone();
        stream! {
            let text = if model == "echo" { prompt.as_str() } else { ANSWER };
            let (thinks, at_once, pause) = if model == "slow" { (2000, 1, 100) } else { (0, 16, 2) };
            sleep(Duration::from_millis(thinks)).await;
            for (n, word) in text.split_inclusive(' ').take(max_tokens).enumerate() {
                if model == "overloaded" && n == 20 {
                    yield Err(Overloaded);
                    return;
                }
                if n % at_once == 0 {
                    sleep(Duration::from_millis(pause)).await;
                }
                yield Ok(word.to_owned());
            }
        }
    }

    /// Whether that is all, or only as much as was asked for.
    fn is_cut(&self) -> bool {
        let text = if self.model == "echo" { self.prompt.as_str() } else { ANSWER };
        text.split_inclusive(' ').nth(self.max_tokens).is_some()
    }
}

/// A name for an answer, which no other has.
fn id(prefix: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    format!("{prefix}{:016x}", NEXT.fetch_add(1, Ordering::Relaxed))
}
