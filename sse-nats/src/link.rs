//! A connection whose log was looked at: it is ours, it is there, and its epoch is known. Nothing is published or read
//! over any other.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_nats::HeaderMap;
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use crate::{
    api::{Api, ApiError, NO_MESSAGE, NO_STREAM},
    connect_error::ConnectError,
    connection::Connection,
    epoch::{Epoch, Marker, Present},
    reader::From,
    settings::Settings,
    stream_config::{Identity, Names, StreamConfig},
    timestamp::{from_now, nanoseconds},
};

/// Markers that are looked at for the end of an epoch.
const MAX_MARKERS: usize = 256;
/// After how long a stream that was just made is looked at again.
const SETTLES_WITHIN: Duration = Duration::from_millis(100);
/// How often at the most.
const SETTLES_AFTER: usize = 100;
/// As long as a stream is younger than this, whoever made it may not be done.
const NEW: Duration = Duration::from_secs(1);
/// What a server says of a stream that it is still making.
const NO_TIME: &str = "0001-01-01T00:00:00Z";
/// How long the server may take to accept a record of our own.
const PATIENCE: Duration = Duration::from_secs(4);
/// The client remembers each question that was not answered for as long as its connection is used.
const MAX_UNANSWERED: usize = 10_000;

/// How often a cluster is asked again whether it has no log, where this process never had one and where it had.
const LOOKS: [usize; 2] = [4, 10];
/// Between two of them.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// What nothing is kept under: the names that hubs give are hashes.
const PROBE: &str = "probe";

/// Whether there was a link before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Acquaintance {
    First,
    Return,
}

#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) connection: Connection,
    pub(crate) names: Names,
    /// What the log is known by; its first epoch.
    pub(crate) base: u64,
    /// On how many servers the log is.
    pub(crate) replicas: usize,
    /// For how long the log that is there remembers keys, in nanoseconds.
    pub(crate) duplicate_window: u64,
    /// For how long what is kept stays, in nanoseconds; 0 is for ever.
    pub(crate) keep_for: u64,
    /// The server, where it is the only one and a new one after each start.
    server: String,
    present: Mutex<Epoch>,
    /// Records that were not answered.
    unanswered: AtomicUsize,
    /// Whether half of the room for kept records is taken.
    is_half_full: AtomicBool,
    /// Whether it was said that there is hardly any left.
    has_warned: AtomicBool,
}

/// What is said of a stream.
#[derive(Debug, Deserialize)]
pub(crate) struct StreamInfo {
    pub(crate) config: StreamConfig,
    pub(crate) state: StreamState,
    #[serde(default)]
    created: String,
    cluster: Option<Cluster>,
}

#[derive(Debug, Deserialize)]
struct Cluster {
    #[serde(default)]
    name: String,
    leader: Option<String>,
}

impl StreamInfo {
    /// Whether it was made just now, by a clock like this one, or is being made: then it bears no time that counts.
    fn is_new(&self) -> bool {
        self.is_under_way() || from_now(&self.created).is_some_and(|distance| distance < NEW)
    }

    fn is_under_way(&self) -> bool {
        self.created == NO_TIME
    }

    /// Whether the server that has it is one of several. Of one by itself newer servers say that it leads, in no cluster.
    fn is_in_cluster(&self) -> bool {
        self.cluster.as_ref().is_some_and(|cluster| !cluster.name.is_empty())
    }

    /// The server that leads the stream, in a cluster.
    pub(crate) fn leader(&self) -> Option<&str> {
        self.cluster.as_ref()?.leader.as_deref()
    }
}

#[derive(Debug, Deserialize)]
pub(crate) struct StreamState {
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
    pub(crate) first_seq: u64,
    pub(crate) last_seq: u64,
    last_ts: String,
}

impl StreamState {
    /// When the newest record was stored, where it is still there.
    pub(crate) fn last_time(&self) -> Option<i64> {
        (self.messages > 0).then(|| nanoseconds(&self.last_ts)).flatten()
    }
}

/// A record that was asked for by itself.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) seq: u64,
    pub(crate) time: i64,
    pub(crate) data: Vec<u8>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Wanted<'a> {
    At { seq: u64 },
    From { seq: u64, next_by_subj: &'a str },
    Last { last_by_subj: &'a str },
}

impl Link {
    /// Looks at the log, makes what is missing of it, and begins an epoch where something may have been lost.
    pub(crate) async fn open(
        connection: Connection,
        settings: &Settings,
        acquaintance: Acquaintance,
    ) -> Result<(Self, Vec<String>), ConnectError> {
        let names = Names::new(settings);
        let server = connection.name.clone();
        let fail = |what: &str, error: &ApiError| ConnectError::api(&server, what, error);
        let api = connection.api.clone();

        let is_alone = connection.info.jetstream && connection.info.cluster.is_none();
        let alone = if is_alone { connection.info.server_id.clone() } else { String::new() };
        let new = Identity { base: rand::random(), server: alone.clone() };
        let wanted = StreamConfig::log(settings, &names, new);
        let looks = match acquaintance {
            // What one server says of itself is true.
            _ if connection.info.cluster.is_none() => 0,
            Acquaintance::First => LOOKS[0],
            Acquaintance::Return => LOOKS[1],
        };
        let info =
            ensure(&api, &wanted, looks).await.map_err(|error| fail("make the stream of the log", &error))?;
        let identity = Identity::of(&info.config, &names)?;
        let base = identity.base;
        let kept = StreamConfig::kept(settings, &names, base);
        let kept_info =
            ensure(&api, &kept, 0).await.map_err(|error| fail("make the stream of kept records", &error))?;
        let epochs = StreamConfig::epochs(settings, &names);
        let epochs_info =
            ensure(&api, &epochs, 0).await.map_err(|error| fail("make the stream of epochs", &error))?;
        epochs.must_serve(&epochs_info.config)?;
        let mut differences = Vec::new();
        for (wanted, is) in [(wanted, &info), (kept, &kept_info), (epochs, &epochs_info)] {
            let found = wanted.differences(&is.config);
            differences.extend(found.into_iter().map(|found| format!("{}: {found}", wanted.name)));
        }

        let link = Self {
            names,
            base,
            replicas: info.config.num_replicas,
            duplicate_window: info.config.duplicate_window,
            keep_for: kept_info.config.max_age,
            // A stream in a cluster may be on another server than the connection.
            server: if info.is_in_cluster() { String::new() } else { alone },
            present: Mutex::new(Epoch { id: base, since: 0 }),
            unanswered: AtomicUsize::new(0),
            is_half_full: AtomicBool::new(false),
            has_warned: AtomicBool::new(false),
            connection,
        };
        link.note_room(&kept_info);
        link.find_epoch(&identity).await.map_err(|error| fail("find the log's epoch", &error))?;
        Ok((link, differences))
    }

    /// Tries what a hub does later, so that a missing permission is told at once.
    pub(crate) async fn try_permissions(&self) -> Result<(), ConnectError> {
        let fail = |error: ApiError| ConnectError::api(&self.connection.name, "publish", &error);
        let probe = self.names.kept(self.base, PROBE);
        for subject in [self.names.record(self.base), probe.clone(), self.names.epoch(self.base)] {
            self.api().may_append(&subject).await.map_err(fail)?;
        }
        let fail = |error: ApiError| ConnectError::api(&self.connection.name, "read the log", &error);
        // A record would come in the place of the answer, under a subject by which the client does not know it for one. So
        // none is asked for: behind the last one there may be another by now.
        for stream in [self.names.log(), self.names.kept_log(self.base)] {
            let reader = self.read(&stream, From::All(&probe)).await.map_err(fail)?;
            reader.may_pull().await.map_err(fail)?;
        }
        Ok(())
    }

    /// Whether half of the room for kept records is taken, as far as is known.
    pub(crate) fn is_half_full(&self) -> bool {
        self.is_half_full.load(Ordering::Relaxed)
    }

    /// Looks how much room there is for kept records. The oldest make room for the newest, and nobody is asked.
    pub(crate) async fn look_for_room(self: Arc<Self>) {
        match self.info_of(&self.names.kept_log(self.base)).await {
            Ok(info) => self.note_room(&info),
            Err(error) => tracing::debug!("how much room there is for kept records is not known: {error}"),
        }
    }

    fn note_room(&self, kept: &StreamInfo) {
        let Ok(room) = u64::try_from(kept.config.max_bytes) else { return };
        let is_taken = |percent: u64| kept.state.bytes / percent > room / 100;
        self.is_half_full.store(is_taken(50), Ordering::Relaxed);
        if is_taken(90) && !self.has_warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                bytes = kept.state.bytes,
                max_bytes = room,
                "the stream {} is nearly full: the oldest of what was revoked leaves, and nodes that start later let it in. \
                 Set a greater `max_kept_bytes`, also of the stream that is there",
                kept.config.name
            );
        }
    }

    /// Whether the server is the only one.
    pub(crate) fn is_alone(&self) -> bool {
        !self.server.is_empty()
    }

    /// A record was not answered in time.
    pub(crate) fn missed_an_answer(&self) {
        if self.unanswered.fetch_add(1, Ordering::Relaxed) >= MAX_UNANSWERED {
            self.connection.give_up("too many records were not answered");
        }
    }

    /// Looks again which epoch it is.
    pub(crate) async fn look_again(&self) -> Result<(), ApiError> {
        self.find_epoch(&Identity { base: self.base, server: self.server.clone() }).await
    }

    pub(crate) fn api(&self) -> &Api {
        &self.connection.api
    }

    /// What is said of the log.
    pub(crate) async fn info(&self) -> Result<StreamInfo, ApiError> {
        self.info_of(&self.names.log()).await
    }

    /// What is said of one of its streams.
    pub(crate) async fn info_of(&self, stream: &str) -> Result<StreamInfo, ApiError> {
        stream_info(self.api(), stream).await
    }

    /// Which epoch it is now.
    pub(crate) fn present(&self) -> Epoch {
        *self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A later epoch was read of in the log.
    pub(crate) fn learn(&self, epoch: Epoch) {
        let mut present = self.present.lock().unwrap_or_else(PoisonError::into_inner);
        if epoch.since > present.since {
            *present = epoch;
        }
    }

    /// The epoch that the record at a position is of.
    pub(crate) async fn epoch_at(&self, seq: u64) -> Result<Epoch, ApiError> {
        let present = self.present();
        if seq >= present.since {
            return Ok(present);
        }
        Ok(match self.marker(seq + 1).await? {
            Some((_, marker)) => marker.from,
            None => self.present(),
        })
    }

    /// Where an epoch ended: what began then, and up to where the old one is intact.
    pub(crate) async fn end_of(&self, epoch: u64) -> Result<Option<(Epoch, u64)>, ApiError> {
        let mut from = 1;
        for _ in 0..MAX_MARKERS {
            let Some((seq, marker)) = self.marker(from).await? else { return Ok(None) };
            if marker.from.id == epoch {
                return Ok(Some((marker.begins(seq), marker.kept(seq))));
            }
            from = seq + 1;
        }
        Ok(None)
    }

    /// The first marker at or behind a position.
    async fn marker(&self, seq: u64) -> Result<Option<(u64, Marker)>, ApiError> {
        let subject = self.names.epoch(self.base);
        let stored = self.stored(&self.names.log(), Wanted::From { seq, next_by_subj: &subject }).await?;
        Ok(stored.and_then(|stored| Some((stored.seq, Marker::read(&stored.data)?))))
    }

    /// When the record at a position was stored, where it is still there.
    pub(crate) async fn time_of(&self, seq: u64) -> Result<Option<i64>, ApiError> {
        Ok(self.stored(&self.names.log(), Wanted::At { seq }).await?.map(|stored| stored.time))
    }

    /// The first position at or behind this one that there is a record at.
    pub(crate) async fn next_at(&self, seq: u64) -> Result<Option<u64>, ApiError> {
        let wanted = Wanted::From { seq: seq.max(1), next_by_subj: ">" };
        Ok(self.stored(&self.names.log(), wanted).await?.map(|stored| stored.seq))
    }

    /// Looks which epoch it is. Where the server by itself is another one than that which the epoch was begun on, its store
    /// may be an older one: a new epoch begins, before anything is published on this server.
    async fn find_epoch(&self, identity: &Identity) -> Result<(), ApiError> {
        // First what was written last, so that nothing newer is overwritten by what is read now.
        let noted = self.noted().await?;
        let subject = self.names.epoch(self.base);
        let last = self.stored(&self.names.log(), Wanted::Last { last_by_subj: &subject }).await?;
        let last = last.and_then(|stored| Some((stored.seq, Marker::read(&stored.data)?)));
        let noted_epoch = noted.as_ref().map(|(_, present)| present);
        let (epoch, server) = match (&last, noted_epoch) {
            (Some((seq, marker)), _) => (marker.begins(*seq), marker.server.clone()),
            // Its marker has left the log.
            (None, Some(present)) if present.epoch.since <= self.info().await?.state.last_seq => {
                (present.epoch, present.server.clone())
            }
            _ => (Epoch { id: self.base, since: 0 }, identity.server.clone()),
        };
        self.set_present(epoch);
        if server != self.server && !self.server.is_empty() {
            let key = format!("epoch-{:016x}-{}", epoch.id, self.server);
            self.append_marker(epoch, None, &key).await?;
        }
        let present = Present { epoch: self.present(), server: self.server.clone() };
        if present.epoch.since > 0 && noted_epoch.is_none_or(|noted| noted.epoch != present.epoch) {
            self.note(&present, noted.map_or(0, |(seq, _)| seq)).await?;
        }
        Ok(())
    }

    /// Begins an epoch, unless another node has: then it is that one.
    pub(crate) async fn begin_epoch(&self, from: Epoch, kept: Option<u64>) -> Result<(), ApiError> {
        let noted = self.noted().await?.map_or(0, |(seq, _)| seq);
        self.append_marker(from, kept, &format!("epoch-{:016x}-lost", from.id)).await?;
        let present = Present { epoch: self.present(), server: self.server.clone() };
        self.note(&present, noted).await
    }

    async fn append_marker(&self, from: Epoch, kept: Option<u64>, key: &str) -> Result<(), ApiError> {
        let marker = Marker { from, to: rand::random(), kept, server: self.server.clone() };
        let mut headers = HeaderMap::new();
        headers.insert(async_nats::header::NATS_MESSAGE_ID, key);
        let subject = self.names.epoch(self.base);
        let ack = self.api().append(&subject, headers, marker.write(), PATIENCE).await?;
        let marker = match ack.duplicate {
            false => marker,
            true => {
                let stored = self.stored(&self.names.log(), Wanted::At { seq: ack.seq }).await?;
                stored.and_then(|stored| Marker::read(&stored.data)).ok_or(ApiError::Malformed)?
            }
        };
        self.set_present(marker.begins(ack.seq));
        Ok(())
    }

    fn set_present(&self, epoch: Epoch) {
        *self.present.lock().unwrap_or_else(PoisonError::into_inner) = epoch;
    }

    /// The epoch that was written down last, and where.
    async fn noted(&self) -> Result<Option<(u64, Present)>, ApiError> {
        let subject = self.names.present_epoch(self.base);
        let stored = self.stored(&self.names.epochs_log(), Wanted::Last { last_by_subj: &subject }).await?;
        Ok(stored.and_then(|stored| Some((stored.seq, Present::read(&stored.data)?))))
    }

    /// Markers leave the log with their time; which epoch it is stays known.
    async fn note(&self, present: &Present, instead_of: u64) -> Result<(), ApiError> {
        let mut headers = HeaderMap::new();
        let last = instead_of.to_string();
        headers.insert(async_nats::header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, last.as_str());
        let subject = self.names.present_epoch(self.base);
        match self.api().append(&subject, headers, present.write(), PATIENCE).await {
            // Another node was faster.
            Ok(_) | Err(ApiError::Refused { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn stored(&self, stream: &str, wanted: Wanted<'_>) -> Result<Option<Stored>, ApiError> {
        #[derive(Deserialize)]
        struct Answer {
            message: Message,
        }
        #[derive(Deserialize)]
        struct Message {
            seq: u64,
            time: String,
            #[serde(default)]
            data: String,
        }
        let name = format!("STREAM.MSG.GET.{stream}");
        match self.api().call::<Answer>(&name, Some(&wanted)).await {
            Ok(Answer { message }) => {
                use base64::Engine as _;
                let data = base64::engine::general_purpose::STANDARD.decode(message.data);
                Ok(Some(Stored {
                    seq: message.seq,
                    time: nanoseconds(&message.time).ok_or(ApiError::Malformed)?,
                    data: data.map_err(|_| ApiError::Malformed)?,
                }))
            }
            Err(error) if error.code() == Some(NO_MESSAGE) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

async fn find(api: &Api, stream: &str) -> Result<Option<StreamInfo>, ApiError> {
    match stream_info(api, stream).await {
        Err(error) if error.code() == Some(NO_STREAM) => Ok(None),
        answer => answer.map(Some),
    }
}

async fn stream_info(api: &Api, stream: &str) -> Result<StreamInfo, ApiError> {
    api.call(&format!("STREAM.INFO.{stream}"), None::<&()>).await
}

/// The stream that is there, whatever its settings; made where there is none. Of two that make it one is first.
///
/// A cluster that has just come back may not know all its streams yet, and would make an empty one in the place of one that
/// is there: so it is asked again for a while.
async fn ensure(api: &Api, wanted: &StreamConfig, looks: usize) -> Result<StreamInfo, ApiError> {
    let mut found = find(api, &wanted.name).await?;
    for _ in 0..looks {
        if found.is_none() {
            sleep(LOOK_AGAIN).await;
            found = find(api, &wanted.name).await?;
        }
    }
    let mut info = match found {
        Some(info) if !info.is_new() => return Ok(info),
        Some(info) => info,
        None => {
            let made = api.call::<StreamInfo>(&format!("STREAM.CREATE.{}", wanted.name), Some(wanted)).await;
            match (stream_info(api, &wanted.name).await, made) {
                // A server that is asked by two in one moment may say yes to both, or tell one that the subjects are
                // another stream's.
                (Ok(info), _) => info,
                (Err(_), Err(error)) | (Err(error), Ok(_)) => return Err(error),
            }
        }
    };
    // What stays is what counts. And a server may not bear to be asked for records of a stream that is not quite made.
    for _ in 0..SETTLES_AFTER {
        sleep(SETTLES_WITHIN).await;
        let again = stream_info(api, &wanted.name).await?;
        if again.config.description == info.config.description && !again.is_under_way() {
            return Ok(again);
        }
        info = again;
    }
    Err(ApiError::TimedOut)
}
