//! JetStream's API: requests with one answer, over one connection.
//!
//! By its own JSON and not by the client's types: no field goes out that nats-server 2.9 does not know, and would
//! silently leave out.

use std::{
    error::Error,
    fmt,
    pin::pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use async_nats::{Client, HeaderMap, Message, Request, RequestErrorKind};
use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::{sync::watch, time::timeout};

use crate::denials::{Denials, denied, denied_again};

/// How long an answer of the API's may take.
const PATIENCE: Duration = Duration::from_secs(4);
/// How long an answer may come after a denial, which may be that of a later record.
const GRACE: Duration = Duration::from_secs(1);
/// How often the server is asked whether it still denies something.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// `stream not found`
pub(crate) const NO_STREAM: u32 = 10059;
/// `no message found`
pub(crate) const NO_MESSAGE: u32 = 10037;
/// `expected stream does not match`
pub(crate) const OTHER_STREAM: u32 = 10060;
/// `duplicate message id is in process`, from 2.11 on; older ones acknowledge sequence 0.
const IN_PROCESS: u32 = 10158;
/// Storing it failed: with several replicas on the leader alone, perhaps.
pub(crate) const STORE_FAILED: u32 = 10077;

#[derive(Clone, Debug)]
pub(crate) struct Api {
    client: Client,
    denials: watch::Sender<Denials>,
    /// Records that were sent and not answered, whatever became of who waited.
    unanswered: Arc<AtomicUsize>,
    /// When the server was asked last whether it still denies a subject of the stream's.
    asked_again: Arc<Mutex<Option<Instant>>>,
}

impl Api {
    pub(crate) fn new(client: Client, denials: watch::Sender<Denials>) -> Self {
        Self { client, denials, unanswered: Arc::default(), asked_again: Arc::default() }
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
        let mut denials = self.denials.subscribe();
        tokio::select! {
            answer = self.request(&subject, None, body, PATIENCE) => answer,
            operation = denied(&mut denials, &subject) => Err(ApiError::Denied(operation)),
        }
    }

    /// Resolves when the server denies a call, without which nothing comes.
    pub(crate) async fn denied(&self, subject: &str) -> ApiError {
        ApiError::Denied(denied(&mut self.denials.subscribe(), subject).await)
    }

    /// Appends to a stream. What is denied is certainly not there.
    pub(crate) async fn append(
        &self,
        subject: &str,
        headers: HeaderMap,
        payload: Bytes,
        patience: Duration,
    ) -> Result<Ack, ApiError> {
        let denied = self.denials.borrow().of_publish(subject);
        if let Some(operation) = denied {
            self.ask_again(subject, operation).await?;
        }
        let mut denials = self.denials.subscribe();
        let before = denials.borrow_and_update().count(subject);
        self.unanswered.fetch_add(1, Ordering::SeqCst);
        let mut answer = pin!(self.request(subject, Some(headers), payload, patience));
        let answer = tokio::select! {
            answer = &mut answer => answer,
            operation = denied_again(&mut denials, subject, before) => {
                // Of several that are under way one cannot tell which it is, and one that was not answered may be there.
                let is_alone = self.unanswered.load(Ordering::SeqCst) == 1;
                match timeout(GRACE, answer).await {
                    Ok(Ok(answer)) => Ok(answer),
                    _ if is_alone && operation.starts_with("publish") => Err(ApiError::Denied(operation)),
                    _ => Err(ApiError::Unanswerable(operation)),
                }
            }
        };
        if matches!(answer, Ok(_) | Err(ApiError::Denied(_) | ApiError::NoResponders)) {
            self.unanswered.fetch_sub(1, Ordering::SeqCst);
        }
        match parsed::<Ack>(&answer?.payload) {
            // In a cluster: one with this key was proposed, and is not stored yet or never will be.
            Ok(Ack { seq: 0, .. }) | Err(ApiError::Refused { err_code: IN_PROCESS, .. }) => {
                Err(ApiError::UnderWay)
            }
            answer => answer,
        }
    }

    /// Whether the server still denies what it has denied on this connection: permissions change while it is open.
    async fn ask_again(&self, subject: &str, operation: String) -> Result<(), ApiError> {
        {
            let mut asked = self.asked_again.lock().unwrap_or_else(PoisonError::into_inner);
            if asked.is_some_and(|asked| asked.elapsed() < ASK_AGAIN) {
                return Err(ApiError::Denied(operation));
            }
            *asked = Some(Instant::now());
        }
        self.may_append(subject).await?;
        self.denials.send_modify(|denials| denials.forget(&operation));
        Ok(())
    }

    /// Whether this connection may append to a subject. Nothing is appended: the stream is told that it is the wrong one.
    pub(crate) async fn may_append(&self, subject: &str) -> Result<(), ApiError> {
        let mut headers = HeaderMap::new();
        headers.insert(async_nats::header::NATS_EXPECTED_STREAM, "-");
        let mut denials = self.denials.subscribe();
        let before = denials.borrow_and_update().count(subject);
        let answer = tokio::select! {
            answer = self.request(subject, Some(headers), Bytes::new(), PATIENCE) => answer?,
            operation = denied_again(&mut denials, subject, before) => return Err(ApiError::Denied(operation)),
        };
        match parsed::<Ack>(&answer.payload) {
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
        let answer = timeout(patience, self.client.send_request(subject.to_owned(), request)).await;
        let error = match answer {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => error,
            Err(_) => return Err(ApiError::TimedOut),
        };
        Err(match error.kind() {
            RequestErrorKind::NoResponders => ApiError::NoResponders,
            RequestErrorKind::TimedOut => ApiError::TimedOut,
            RequestErrorKind::MaxPayloadExceeded | RequestErrorKind::InvalidSubject => ApiError::TooLarge,
            RequestErrorKind::Other => ApiError::Closed("it was cut".into()),
        })
    }
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
    /// Denied, or accepted and the answer denied.
    Unanswerable(String),
    /// Its key is known, and no record yet.
    UnderWay,
    /// Not even sent.
    TooLarge,
    /// Without a code where it is an error of the cluster's own: nobody leads at this moment.
    Refused {
        err_code: u32,
        description: String,
    },
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
            Self::Denied(operation) => {
                write!(f, "the server denies this user to {operation}: give the user this permission")
            }
            Self::Unanswerable(operation) => write!(
                f,
                "no answer came, and the server denies this user to {operation}: give the user this permission"
            ),
            Self::UnderWay => f.write_str("the server has its key, and has not stored it yet"),
            Self::TooLarge => f.write_str("it is larger than the server's max_payload"),
            Self::Refused { description, .. } => write!(f, "the server refused it: {description}"),
            Self::TimedOut => f.write_str("the server did not answer in time"),
            Self::Closed(reason) => write!(f, "the connection is over: {reason}"),
            Self::Malformed => f.write_str("the server's answer is not understood"),
        }
    }
}

impl Error for ApiError {}
