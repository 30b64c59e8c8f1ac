//! JetStream's API: requests with one answer, over one connection.
//!
//! By its own JSON and not by the client's types: no field goes out that nats-server 2.9 does not know, and would
//! silently leave out.

use std::{error::Error, fmt, time::Duration};

use async_nats::{Client, HeaderMap, Message, Request, RequestErrorKind};
use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::sync::watch;

/// How long an answer of the API's may take.
const PATIENCE: Duration = Duration::from_secs(4);

/// `stream not found`
pub(crate) const NO_STREAM: u32 = 10059;
/// `stream name already in use`
pub(crate) const NAME_IN_USE: u32 = 10058;
/// `no message found`
pub(crate) const NO_MESSAGE: u32 = 10037;
/// `expected stream does not match`
pub(crate) const OTHER_STREAM: u32 = 10060;

/// What the server has denied on this connection: it says so by the way, not in an answer.
pub(crate) type Denials = watch::Receiver<Vec<String>>;

#[derive(Clone, Debug)]
pub(crate) struct Api {
    client: Client,
    denials: Denials,
}

impl Api {
    pub(crate) fn new(client: Client, denials: Denials) -> Self {
        Self { client, denials }
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// A call of JetStream's own: `STREAM.INFO.…`.
    pub(crate) async fn call<T: DeserializeOwned>(
        &self,
        name: &str,
        body: Option<&impl Serialize>,
    ) -> Result<T, ApiError> {
        let body = match body {
            Some(body) => serde_json::to_vec(body).map_err(|_| ApiError::Malformed)?.into(),
            None => Bytes::new(),
        };
        parsed(&self.ask(name, body).await?.payload)
    }

    /// A call whose answer does not matter.
    pub(crate) async fn try_call(&self, name: &str, body: &impl Serialize) -> Result<(), ApiError> {
        let body = serde_json::to_vec(body).map_err(|_| ApiError::Malformed)?;
        self.ask(name, body.into()).await.map(|_| ())
    }

    async fn ask(&self, name: &str, body: Bytes) -> Result<Message, ApiError> {
        let subject = format!("$JS.API.{name}");
        let mut denials = self.denials.clone();
        tokio::select! {
            answer = self.request(&subject, None, body, PATIENCE) => answer,
            denied = denied(&mut denials, &subject) => Err(denied),
        }
    }

    /// Appends to a stream.
    pub(crate) async fn append(
        &self,
        subject: &str,
        headers: HeaderMap,
        payload: Bytes,
        patience: Duration,
    ) -> Result<Ack, ApiError> {
        let answer = self.request(subject, Some(headers), payload, patience).await;
        match answer {
            Ok(answer) => parsed(&answer.payload),
            // Only where the answer stays away: a denial may be a later record's.
            Err(ApiError::TimedOut) => Err(self.denial(subject).unwrap_or(ApiError::TimedOut)),
            Err(error) => Err(error),
        }
    }

    /// Whether this connection may append to a subject. Nothing is appended: the stream is told that it is the wrong one.
    pub(crate) async fn may_append(&self, subject: &str) -> Result<(), ApiError> {
        let mut headers = HeaderMap::new();
        headers.insert(async_nats::header::NATS_EXPECTED_STREAM, "-");
        let mut denials = self.denials.clone();
        let answer = tokio::select! {
            answer = self.append(subject, headers, Bytes::new(), PATIENCE) => answer,
            denied = denied(&mut denials, subject) => Err(denied),
        };
        match answer {
            Err(ApiError::Refused { err_code: OTHER_STREAM, .. }) | Ok(_) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn request(
        &self,
        subject: &str,
        headers: Option<HeaderMap>,
        payload: Bytes,
        patience: Duration,
    ) -> Result<Message, ApiError> {
        let mut request = Request::new().payload(payload).timeout(None);
        if let Some(headers) = headers {
            request = request.headers(headers);
        }
        // Around the whole: the client's own does not count the time in its queue.
        let answer =
            tokio::time::timeout(patience, self.client.send_request(subject.to_owned(), request)).await;
        let error = match answer {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => error,
            Err(_) => return Err(ApiError::TimedOut),
        };
        Err(match error.kind() {
            RequestErrorKind::NoResponders => ApiError::NoResponders,
            RequestErrorKind::TimedOut => ApiError::TimedOut,
            RequestErrorKind::MaxPayloadExceeded | RequestErrorKind::InvalidSubject => ApiError::Refused {
                err_code: 0,
                description: "it is larger than the server's max_payload".into(),
            },
            RequestErrorKind::Other => ApiError::Closed("it was cut".into()),
        })
    }

    fn denial(&self, subject: &str) -> Option<ApiError> {
        self.denials.borrow().iter().find(|denied| is_about(denied, subject)).cloned().map(ApiError::Denied)
    }
}

async fn denied(denials: &mut Denials, subject: &str) -> ApiError {
    loop {
        if let Some(denied) = denials.borrow_and_update().iter().find(|denied| is_about(denied, subject)) {
            return ApiError::Denied(denied.clone());
        }
        if denials.changed().await.is_err() {
            return std::future::pending().await;
        }
    }
}

/// Answers come to an inbox: a connection that may not subscribe to it gets none at all.
fn is_about(denied: &str, subject: &str) -> bool {
    denied.ends_with(&format!("publish to {subject}")) || denied.starts_with("subscribe to _INBOX.")
}

/// What a line of the server's says that it denies: `Permissions Violation for Publish to "x"`.
pub(crate) fn denied_operation(line: &str) -> Option<String> {
    let rest = line.trim_matches('\'').strip_prefix("Permissions Violation for ")?;
    let (verb, rest) = rest.split_once(" to ")?;
    let verb = match verb {
        "Publish" => "publish",
        "Subscription" => "subscribe",
        _ => return None,
    };
    let subject = rest.trim_start_matches('"').split('"').next()?;
    // Each connection has an inbox of its own.
    let subject = if subject.starts_with("_INBOX.") { "_INBOX.>" } else { subject };
    Some(format!("{verb} to {subject}"))
}

fn parsed<T: DeserializeOwned>(answer: &[u8]) -> Result<T, ApiError> {
    #[derive(Deserialize)]
    struct Answer {
        error: Option<Refusal>,
    }
    #[derive(Deserialize)]
    struct Refusal {
        #[serde(default)]
        err_code: u32,
        #[serde(default)]
        description: String,
    }
    let refusal = serde_json::from_slice::<Answer>(answer).map_err(|_| ApiError::Malformed)?.error;
    match refusal {
        Some(Refusal { err_code, description }) => Err(ApiError::Refused { err_code, description }),
        None => serde_json::from_slice(answer).map_err(|_| ApiError::Malformed),
    }
}

/// What a stream says to a record.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Ack {
    pub(crate) seq: u64,
    #[serde(default)]
    pub(crate) duplicate: bool,
}

/// No answer, or none that helps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ApiError {
    NoResponders,
    Denied(String),
    Refused { err_code: u32, description: String },
    TimedOut,
    Closed(String),
    Malformed,
}

impl ApiError {
    pub(crate) fn code(&self) -> Option<u32> {
        match self {
            Self::Refused { err_code, .. } => Some(*err_code),
            _ => None,
        }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoResponders => {
                f.write_str("no stream takes it: it was deleted, or JetStream is not there")
            }
            Self::Denied(operation) => write!(f, "the server denies this user to {operation}"),
            Self::Refused { description, .. } => write!(f, "the server refused it: {description}"),
            Self::TimedOut => f.write_str("the server did not answer in time"),
            Self::Closed(reason) => write!(f, "the connection is over: {reason}"),
            Self::Malformed => f.write_str("the server's answer is not understood"),
        }
    }
}

impl Error for ApiError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_denied_is_read_from_the_servers_line() {
        let denied =
            denied_operation("Permissions Violation for Publish to \"$JS.API.STREAM.INFO.sse-hub\"").unwrap();
        assert_eq!(denied, "publish to $JS.API.STREAM.INFO.sse-hub");
        assert!(is_about(&denied, "$JS.API.STREAM.INFO.sse-hub"));
        assert!(!is_about(&denied, "$JS.API.STREAM.INFO.sse-hub2"));
        let denied = denied_operation("Permissions Violation for Subscription to \"_INBOX.a.*\"").unwrap();
        assert_eq!(denied, "subscribe to _INBOX.>");
        assert!(is_about(&denied, "anything"));
        assert_eq!(denied_operation("Stale Connection"), None);
    }
}
