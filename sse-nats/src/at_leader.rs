//! A reader where a stream's leader is.
//!
//! What is accepted is what that one has. Another replica may not have come so far, and may have a record of its own at a
//! position: one that was under way when all of them were killed. It is the server that chooses where a reader is, so some
//! are made until one is there.

use std::{collections::HashMap, time::Duration};

use tokio::time::{sleep, timeout};

use crate::{
    api::ApiError,
    link::Link,
    reader::{From, Reader},
};

/// How many readers are made: of five servers one is not where it should be in 0.1 % of all cases.
const TRIES: usize = 32;
/// How long each may take, at first and at most: a replica that is not well never answers. And how many may not: what
/// takes longer everywhere is not made quicker by asking again, for each is work for the whole cluster.
const FIRST_PATIENCE: Duration = Duration::from_millis(500);
const LONGEST_PATIENCE: Duration = Duration::from_secs(1);
const UNANSWERED: usize = 8;
/// Before a stream that has no leader is looked at again.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// How long a record's head may take to come.
const HEAD_PATIENCE: Duration = Duration::from_secs(4);

impl Link {
    /// A reader of one of the streams of this log, where its leader is.
    pub(crate) async fn read(&self, stream: &str, from: From<'_>) -> Result<Reader, ApiError> {
        if self.replicas > 1 {
            let (mut patience, mut unanswered) = (FIRST_PATIENCE, 0);
            for _ in 0..TRIES {
                let info = self.info_of(stream).await?;
                let Some(leader) = info.leader() else {
                    sleep(LOOK_AGAIN).await;
                    continue;
                };
                let opened = tokio::select! {
                    opened = timeout(patience, Reader::open(self.api(), stream, from)) => opened,
                    reason = self.connection.over() => return Err(ApiError::Closed(reason)),
                };
                let reader = match opened {
                    Ok(Err(ApiError::TimedOut)) | Err(_) => {
                        patience = (patience * 2).min(LONGEST_PATIENCE);
                        unanswered += 1;
                        if unanswered < UNANSWERED { continue } else { break }
                    }
                    Ok(opened) => opened?,
                };
                if reader.server.as_deref().is_none_or(|server| server == leader) {
                    return Ok(reader);
                }
                reader.close().await;
            }
        }
        Reader::open(self.api(), stream, from).await
    }

    /// When the records of the log from one position to another were stored, of those that are still there.
    pub(crate) async fn times(&self, first: u64, last: u64) -> Result<HashMap<u64, i64>, ApiError> {
        let mut reader = self.read(&self.names.log(), From::Heads(first)).await?;
        let (mut times, mut left) = (HashMap::new(), reader.pending);
        while left > 0 {
            let head = timeout(HEAD_PATIENCE, reader.next()).await.map_err(|_| ApiError::TimedOut)??;
            // Each of them, or nothing is said of those that are missing.
            if head.place != times.len() as u64 + 1 {
                return Err(ApiError::TimedOut);
            }
            if head.seq <= last {
                times.insert(head.seq, head.time);
            }
            left = if head.seq < last { head.pending } else { 0 };
        }
        reader.close().await;
        Ok(times)
    }
}
