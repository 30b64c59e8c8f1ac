//! The SDKs of two model vendors, as they answer for a server that speaks as theirs do.

use std::{net::SocketAddr, path::Path, process::Stdio, time::Duration};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

use crate::{
    clients::{folder, node, npm, output, python},
    left_out,
};

/// Longer than any pause in an answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// An SDK that the tests let ask a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sdk {
    /// `openai` from npm.
    OpenAiNpm,
    /// `openai` from `PyPI`.
    OpenAiPypi,
    /// `@anthropic-ai/sdk` from npm.
    AnthropicNpm,
    /// `anthropic` from `PyPI`.
    AnthropicPypi,
}

impl Sdk {
    /// Starts a process that asks through it. `None` where it is not installed, which is said once then.
    ///
    /// # Panics
    ///
    /// When it is missing although `SSE_TESTS_REQUIRE_ALL` is `1`.
    pub fn start(self) -> Option<Asking> {
        let missing = self.missing();
        left_out(
            self.package(),
            &missing.as_slice().iter().map(|why| format!("{self:?}: {why}")).collect::<Vec<_>>(),
        );
        if missing.is_some() {
            return None;
        }
        let (program, script) = match self {
            Self::OpenAiNpm | Self::AnthropicNpm => ("node".into(), "sdk.mjs"),
            Self::OpenAiPypi | Self::AnthropicPypi => (python(), "sdk.py"),
        };
        let mut child = Command::new(program)
            .arg(folder().join(script))
            .arg(if self.is_openai() { "openai" } else { "anthropic" })
            // Nothing of this machine's settings for the vendors' own servers, nor a proxy on the way to ours.
            .envs(["OPENAI_LOG", "ANTHROPIC_LOG"].map(|name| (name, "off")))
            .env("NO_PROXY", "127.0.0.1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the SDK's process starts");
        let input = child.stdin.take().expect("a pipe");
        let output = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        Some(Asking { _child: child, input, output })
    }

    /// Whether it speaks OpenAI's language.
    pub fn is_openai(self) -> bool {
        matches!(self, Self::OpenAiNpm | Self::OpenAiPypi)
    }

    fn package(self) -> &'static str {
        match self {
            Self::OpenAiNpm => "openai of npm",
            Self::OpenAiPypi => "openai of PyPI",
            Self::AnthropicNpm => "@anthropic-ai/sdk of npm",
            Self::AnthropicPypi => "anthropic of PyPI",
        }
    }

    fn missing(self) -> Option<String> {
        match self {
            Self::OpenAiNpm => npm(&node(), "openai"),
            Self::AnthropicNpm => npm(&node(), "@anthropic-ai/sdk"),
            Self::OpenAiPypi => pypi("openai"),
            Self::AnthropicPypi => pypi("anthropic"),
        }
    }
}

/// Found, not imported: that takes seconds.
fn pypi(package: &str) -> Option<String> {
    let find = format!("import importlib.util, sys; sys.exit(importlib.util.find_spec('{package}') is None)");
    let python = python();
    output(Path::new(&python), &["-c", &find])
        .is_none()
        .then(|| format!("the Python environment tests/clients/.venv has no {package}"))
}

/// What an SDK gives its caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// A piece of the answer.
    Text(String),
    /// The answer is over, for this reason; an empty one where none was given.
    End(String),
    /// An exception, and the status of the answer where it knows one.
    Failed(String, Option<u64>),
    /// The caller has had enough.
    Aborted,
}

/// A process that asks through an SDK, one question after the other; killed when dropped.
#[derive(Debug)]
pub struct Asking {
    // Kept for its end.
    _child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Asking {
    /// Asks a model for an answer, to be aborted after so many words.
    pub async fn ask(&mut self, addr: SocketAddr, body: Value, abort_after: Option<usize>) {
        let task = json!({ "origin": format!("http://{addr}"), "ask": body, "abort_after": abort_after });
        self.input.write_all(format!("{task}\n").as_bytes()).await.expect("the SDK's process runs");
    }

    /// What comes next of the answer.
    pub async fn next(&mut self) -> Said {
        let line = timeout(PATIENCE, self.output.next_line()).await.expect("the SDK says something in time");
        let line = line.expect("a pipe").expect("the SDK's process runs");
        let said: Value = serde_json::from_str(&line).expect("JSON");
        let data = said["data"].as_str().unwrap_or_default().to_owned();
        match said["type"].as_str() {
            Some("text") => Said::Text(data),
            Some("end") => Said::End(data),
            Some("error") => Said::Failed(data, said["status"].as_u64()),
            Some("aborted") => Said::Aborted,
            _ => panic!("not known: {line}"),
        }
    }

    /// The rest of the answer: its words, and what came behind them.
    pub async fn rest(&mut self) -> (Vec<String>, Said) {
        let mut words = Vec::new();
        loop {
            match self.next().await {
                Said::Text(word) => words.push(word),
                last => return (words, last),
            }
        }
    }
}
