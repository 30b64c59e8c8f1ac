//! Reads a stream in order, a bounded number of records at a time, by a consumer that the server forgets when nobody asks
//! for more.

use std::time::{Duration, Instant};

use async_nats::{HeaderMap, StatusCode, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt as _;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    api::{Api, ApiError},
    timestamp::{nanoseconds, rfc3339},
};

/// What is asked for at once.
const BATCH: usize = 256;
const BATCH_BYTES: usize = 4 << 20;
/// How long the server looks for it before it says that there is no more.
const PULL: Duration = Duration::from_secs(20);
/// When the server forgets a consumer whose node is gone.
const FORGOTTEN: Duration = Duration::from_secs(30);

/// How long a kept record is of use, in milliseconds: a header of it.
pub(crate) const LIFETIME: &str = "Sse-Lifetime";

/// Where a reader begins.
#[derive(Clone, Copy, Debug)]
pub(crate) enum From<'a> {
    /// At a position.
    Seq(u64),
    /// At a moment, in nanoseconds of the server's clock.
    Time(i64),
    /// At all that is there, of some subjects.
    All(&'a str),
    /// At the last one of each of some subjects.
    LastOfEach(&'a str),
    /// At a position, and without what the records hold.
    Heads(u64),
}

/// The server's clock, as it was read once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    nanoseconds: i64,
    at: Instant,
}

impl Clock {
    /// In nanoseconds since 1970.
    pub(crate) fn now(&self) -> i64 {
        let since = i64::try_from(self.at.elapsed().as_nanos()).unwrap_or(i64::MAX);
        self.nanoseconds.saturating_add(since)
    }

    /// How long ago that was; nothing where it is still to come.
    pub(crate) fn age(&self, nanoseconds: i64) -> Duration {
        Duration::from_nanos(u64::try_from(self.now().saturating_sub(nanoseconds)).unwrap_or(0))
    }
}

/// A record as it was stored.
#[derive(Debug)]
pub(crate) struct Delivery {
    pub(crate) seq: u64,
    /// Its place among all that this consumer has sent: one more than the last.
    pub(crate) place: u64,
    pub(crate) time: i64,
    /// How many more there are at the moment.
    pub(crate) pending: u64,
    pub(crate) subject: String,
    pub(crate) headers: Option<HeaderMap>,
    pub(crate) payload: Bytes,
}

#[derive(Debug)]
pub(crate) struct Reader {
    api: Api,
    stream: String,
    consumer: String,
    /// Where records are asked for.
    subject: String,
    inbox: String,
    messages: Subscriber,
    /// How many of those asked for have not come.
    wanted: usize,
    /// How many may be asked for at once.
    batch: usize,
    /// Whether the next one is larger than what is asked for at once.
    is_large: bool,
    /// The server that it reads on, in a cluster.
    pub(crate) server: Option<String>,
    pub(crate) clock: Clock,
    /// How many records there were when it began.
    pub(crate) pending: u64,
}

impl Reader {
    pub(crate) async fn open(api: &Api, stream: &str, from: From<'_>) -> Result<Self, ApiError> {
        #[derive(Deserialize)]
        struct Created {
            name: String,
            created: String,
            #[serde(default)]
            num_pending: u64,
            cluster: Option<Cluster>,
        }
        #[derive(Deserialize)]
        struct Cluster {
            leader: Option<String>,
        }
        let inbox = api.client().new_inbox();
        let messages = api.client().subscribe(inbox.clone()).await;
        let messages = messages.map_err(|_| ApiError::Closed("it was cut".into()))?;
        let mut config = json!({
            "ack_policy": "none",
            "replay_policy": "instant",
            "inactive_threshold": FORGOTTEN.as_nanos() as u64,
            "mem_storage": true,
            "num_replicas": 1,
            "deliver_policy": "all",
        });
        match from {
            From::Seq(seq) | From::Heads(seq) => {
                config["headers_only"] = matches!(from, From::Heads(_)).into();
                config["deliver_policy"] = "by_start_sequence".into();
                config["opt_start_seq"] = seq.into();
            }
            From::Time(time) => {
                config["deliver_policy"] = "by_start_time".into();
                config["opt_start_time"] = rfc3339(time).ok_or(ApiError::Malformed)?.into();
            }
            From::All(subject) => config["filter_subject"] = subject.into(),
            From::LastOfEach(subject) => {
                config["deliver_policy"] = "last_per_subject".into();
                config["filter_subject"] = subject.into();
            }
        }
        let body = json!({ "stream_name": stream, "config": config });
        let asked = Instant::now();
        let created: Created = api.call(&format!("CONSUMER.CREATE.{stream}"), Some(&body)).await?;
        // It was read somewhere in between.
        let at = asked + asked.elapsed() / 2;
        let nanoseconds = nanoseconds(&created.created).ok_or(ApiError::Malformed)?;
        Ok(Self {
            api: api.clone(),
            subject: format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{}", created.name),
            stream: stream.to_owned(),
            consumer: created.name,
            inbox,
            messages,
            wanted: 0,
            batch: BATCH,
            is_large: false,
            server: created.cluster.and_then(|cluster| cluster.leader),
            clock: Clock { nanoseconds, at },
            pending: created.num_pending,
        })
    }

    /// The next record, as soon as there is one. Nothing is lost where this is dropped before it resolves.
    pub(crate) async fn next(&mut self) -> Result<Delivery, ApiError> {
        let gone = || ApiError::Closed("it was cut".into());
        loop {
            if self.wanted == 0 {
                let batch = if self.is_large { 1 } else { self.batch };
                self.pull(batch).await?;
                self.wanted = batch;
            }
            let message = tokio::select! {
                message = self.messages.next() => message.ok_or_else(gone)?,
                denied = self.api.denied(&self.subject) => return Err(denied),
            };
            match message.status {
                None | Some(StatusCode::OK) => {
                    let Some(meta) = message.reply.as_deref().and_then(Meta::read) else { continue };
                    self.wanted = self.wanted.saturating_sub(1);
                    self.is_large = false;
                    return Ok(Delivery {
                        seq: meta.seq,
                        place: meta.place,
                        time: meta.time,
                        pending: meta.pending,
                        subject: message.subject.to_string(),
                        headers: message.headers,
                        payload: message.payload,
                    });
                }
                Some(StatusCode::IDLE_HEARTBEAT) => {}
                Some(StatusCode::NO_RESPONDERS) => return Err(ApiError::NoResponders),
                // What was asked for has been looked for long enough.
                Some(StatusCode::NOT_FOUND | StatusCode::TIMEOUT) => self.wanted = 0,
                Some(status) => {
                    self.heed(status, &message.description.unwrap_or_default())?;
                    self.wanted = 0;
                }
            }
        }
    }

    /// What was said to a pull: an error where nothing is to be asked for any more.
    fn heed(&mut self, status: StatusCode, text: &str) -> Result<(), ApiError> {
        if text.contains("Deleted") || text.contains("Shutdown") || text.contains("Leadership") {
            return Err(ApiError::NoResponders);
        }
        // A limit of the server's or the account's.
        let limit = text.split_once("MaxRequestBatch of ").and_then(|(_, limit)| limit.trim().parse().ok());
        match limit {
            Some(limit) if limit < self.batch && limit > 0 => self.batch = limit,
            // The first of them is larger than all together may be.
            None if text.contains("MaxBytes") && !self.is_large => self.is_large = true,
            None if text.contains("Batch Completed") => {}
            // To ask once more would be answered in the same way, at once.
            _ => {
                let description = format!("to read: {text} ({status})");
                return Err(ApiError::Refused { err_code: 0, description });
            }
        }
        Ok(())
    }

    /// Whether this connection may ask for records; none is taken where there is none.
    pub(crate) async fn may_pull(self) -> Result<(), ApiError> {
        let name = format!("CONSUMER.MSG.NEXT.{}.{}", self.stream, self.consumer);
        self.api.try_call(&name, &json!({ "batch": 1, "no_wait": true })).await?;
        self.close().await;
        Ok(())
    }

    /// Tells the server that it may forget the consumer at once. It would by itself.
    pub(crate) async fn close(self) {
        let subject = format!("$JS.API.CONSUMER.DELETE.{}.{}", self.stream, self.consumer);
        let _ = self.api.client().publish(subject, Bytes::new()).await;
    }

    async fn pull(&self, batch: usize) -> Result<(), ApiError> {
        #[derive(Serialize)]
        struct Pull {
            batch: usize,
            expires: u64,
            #[serde(skip_serializing_if = "Option::is_none")]
            max_bytes: Option<usize>,
        }
        let max_bytes = (!self.is_large).then_some(BATCH_BYTES);
        let pull = Pull { batch, expires: PULL.as_nanos() as u64, max_bytes };
        let body = serde_json::to_vec(&pull).map_err(|_| ApiError::Malformed)?;
        let subject = self.subject.clone();
        let sent = self.api.client().publish_with_reply(subject, self.inbox.clone(), body.into()).await;
        sent.map_err(|_| ApiError::Closed("it was cut".into()))
    }
}

/// What a record's reply subject says:
/// `$JS.ACK.[<domain>.<account>.]<stream>.<consumer>.<tries>.<seq>.<place>.<time>.<pending>[.<random>]`.
struct Meta {
    seq: u64,
    place: u64,
    time: i64,
    pending: u64,
}

impl Meta {
    fn read(reply: &str) -> Option<Self> {
        let tokens: Vec<_> = reply.strip_prefix("$JS.ACK.")?.split('.').collect();
        let tokens = match tokens.len() {
            7 => &tokens[3..],
            9.. => &tokens[5..],
            _ => return None,
        };
        let number = |index: usize| tokens.get(index)?.parse::<u64>().ok();
        Some(Self {
            seq: number(0)?,
            place: number(1)?,
            time: tokens.get(2)?.parse().ok()?,
            pending: number(3)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_reply_subject_says_is_read() {
        for reply in [
            "$JS.ACK.sse-hub.34n6jZqI.1.7.3.1795622492163886711.12",
            "$JS.ACK.domain.account.sse-hub.34n6jZqI.1.7.3.1795622492163886711.12",
            "$JS.ACK._.account.sse-hub.34n6jZqI.1.7.3.1795622492163886711.12.random",
        ] {
            let meta = Meta::read(reply).unwrap();
            assert_eq!((meta.seq, meta.place, meta.pending), (7, 3, 12), "{reply}");
            assert_eq!(meta.time, 1_795_622_492_163_886_711);
        }
        for reply in ["", "$JS.ACK.", "$JS.ACK.a.b.c", "$JS.ACK.a.b.1.x.3.4.5"] {
            assert!(Meta::read(reply).is_none(), "{reply}");
        }
    }

    #[test]
    fn an_age_is_never_negative() {
        let clock = Clock { nanoseconds: 1_000_000_000, at: Instant::now() };
        assert_eq!(clock.age(i64::MAX), Duration::ZERO);
        assert!(clock.age(0) >= Duration::from_secs(1));
    }
}
