//! How the streams of a hub are made, and what is different about those that are there already.

use serde::{Deserialize, Serialize};

use crate::{connect_error::ConnectError, settings::Settings};

/// A stream's settings, as far as nats-server 2.9 has them and we care.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct StreamConfig {
    pub(crate) name: String,
    pub(crate) description: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) subjects: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sources: Vec<Source>,
    retention: String,
    discard: String,
    storage: String,
    max_consumers: i64,
    max_msgs: i64,
    max_msgs_per_subject: i64,
    max_msg_size: i64,
    pub(crate) max_bytes: i64,
    pub(crate) max_age: u64,
    pub(crate) num_replicas: usize,
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) duplicate_window: u64,
    deny_delete: bool,
    deny_purge: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Source {
    name: String,
    filter_subject: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl StreamConfig {
    fn new(settings: &Settings, name: String, identity: Identity) -> Self {
        Self {
            name,
            description: identity.to_string(),
            retention: "limits".into(),
            discard: "old".into(),
            storage: "file".into(),
            max_consumers: -1,
            max_msgs: -1,
            max_msgs_per_subject: -1,
            max_msg_size: -1,
            max_bytes: -1,
            num_replicas: settings.replicas,
            deny_delete: true,
            deny_purge: true,
            ..Self::default()
        }
    }

    /// The log itself.
    pub(crate) fn log(settings: &Settings, names: &Names, identity: Identity) -> Self {
        Self {
            subjects: vec![names.subjects(identity.base)],
            max_bytes: settings.max_bytes as i64,
            max_age: settings.retention.as_nanos() as u64,
            duplicate_window: settings.duplicate_window().as_nanos() as u64,
            ..Self::new(settings, names.log(), identity)
        }
    }

    /// What is kept beyond it: a copy of the latest record of each name.
    pub(crate) fn kept(settings: &Settings, names: &Names, base: u64) -> Self {
        Self {
            sources: vec![Source { name: names.log(), filter_subject: names.all_kept(base) }],
            max_msgs_per_subject: 1,
            max_bytes: settings.max_kept_bytes as i64,
            max_age: settings.keep_for.as_nanos() as u64,
            ..Self::new(settings, names.kept_log(base), Identity { base, server: String::new() })
        }
    }

    /// Which epoch it is now, for as long as the log is there.
    pub(crate) fn epochs(settings: &Settings, names: &Names) -> Self {
        let mut config = Self::new(settings, names.epochs_log(), Identity::default());
        config.description = "sse-nats: the epochs of the log".into();
        config.subjects = vec![format!("{}.*", names.epochs_log())];
        config.max_msgs_per_subject = 1;
        config.max_msgs = 1024;
        config
    }

    /// That of this name has to be for the same: hubs can have names so that one's streams are the other's.
    pub(crate) fn must_serve(&self, other: &Self) -> Result<(), ConnectError> {
        let is_there = |subject: &String| {
            other
                .subjects
                .iter()
                .any(|other| other.trim_end_matches('>') == subject.trim_end_matches('*') || other == subject)
        };
        if self.subjects.iter().all(is_there) { Ok(()) } else { Err(other.foreign()) }
    }

    fn foreign(&self) -> ConnectError {
        ConnectError::new(format!(
            "the stream {} is another hub's, or was not made by this library: set another `name`, or delete it if nothing \
             uses it",
            self.name
        ))
    }

    /// The settings of another one that are not as these; what names it and what it is known by are not looked at.
    pub(crate) fn differences(&self, other: &Self) -> Vec<String> {
        let mut found = Vec::new();
        let mut look = |name: &str, wanted: String, is: String| {
            if wanted != is {
                found.push(format!("{name} is {is} and not {wanted}"));
            }
        };
        look("retention", self.retention.clone(), other.retention.clone());
        look("discard", self.discard.clone(), other.discard.clone());
        look("storage", self.storage.clone(), other.storage.clone());
        for (name, wanted, is) in [
            ("max_age", self.max_age as i64, other.max_age as i64),
            ("max_bytes", self.max_bytes, other.max_bytes),
            ("max_msgs", self.max_msgs, other.max_msgs),
            ("max_msgs_per_subject", self.max_msgs_per_subject, other.max_msgs_per_subject),
            ("max_msg_size", self.max_msg_size, other.max_msg_size),
            ("num_replicas", self.num_replicas as i64, other.num_replicas as i64),
        ] {
            look(name, wanted.to_string(), is.to_string());
        }
        if self.duplicate_window > 0 {
            look("duplicate_window", self.duplicate_window.to_string(), other.duplicate_window.to_string());
        }
        look("deny_delete", self.deny_delete.to_string(), other.deny_delete.to_string());
        look("deny_purge", self.deny_purge.to_string(), other.deny_purge.to_string());
        found
    }
}

/// What a log is known by: random bits, and the server that it was made on where that is one by itself. They stand in
/// its description.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) base: u64,
    pub(crate) server: String,
}

impl std::fmt::Display for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "sse-nats epoch={:016x}", self.base)?;
        if self.server.is_empty() { Ok(()) } else { write!(f, " server={}", self.server) }
    }
}

impl Identity {
    pub(crate) fn of(config: &StreamConfig, names: &Names) -> Result<Self, ConnectError> {
        let foreign = || config.foreign();
        let rest = config.description.strip_prefix("sse-nats epoch=").ok_or_else(foreign)?;
        let (base, server) = match rest.split_once(" server=") {
            Some((base, server)) => (base, server.to_owned()),
            None => (rest, String::new()),
        };
        let base =
            (base.len() == 16).then(|| u64::from_str_radix(base, 16).ok()).flatten().ok_or_else(foreign)?;
        if !config.subjects.contains(&names.subjects(base)) {
            return Err(foreign());
        }
        Ok(Self { base, server })
    }
}

/// The names of a hub's streams and subjects. Those of records hold what the log is known by: a node that has not noticed
/// yet that the log was deleted and made anew cannot publish to the new one.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    root: String,
}

impl Names {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self { root: format!("sse-{}", settings.name) }
    }

    pub(crate) fn log(&self) -> String {
        self.root.clone()
    }

    pub(crate) fn kept_log(&self, base: u64) -> String {
        format!("{}-kept-{base:016x}", self.root)
    }

    pub(crate) fn epochs_log(&self) -> String {
        format!("{}-epochs", self.root)
    }

    pub(crate) fn subjects(&self, base: u64) -> String {
        format!("{}.{base:016x}.>", self.root)
    }

    pub(crate) fn record(&self, base: u64) -> String {
        format!("{}.{base:016x}.record", self.root)
    }

    pub(crate) fn all_kept(&self, base: u64) -> String {
        format!("{}.{base:016x}.kept.*", self.root)
    }

    pub(crate) fn kept(&self, base: u64, name: &str) -> String {
        format!("{}.{base:016x}.kept.{name}", self.root)
    }

    pub(crate) fn epoch(&self, base: u64) -> String {
        format!("{}.{base:016x}.epoch", self.root)
    }

    pub(crate) fn present_epoch(&self, base: u64) -> String {
        format!("{}-epochs.{base:016x}", self.root)
    }
}
