//! What is counted, by name, and how it reaches the recorder of the crate `metrics`.
//!
//! Counts are kept here and handed over as totals, at most once a second and whenever somebody asks: so nothing is
//! looked up while events are delivered, and a recorder that is installed late still gets all of them. Without the
//! feature `metrics` nothing is counted.

use std::time::Duration;

use crate::end_reason::EndReason;

/// A counter, with each value that its label may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Count {
    Opened,
    Ended,
    Published,
    Delivered,
    SentBytes,
    SentChunks,
    KeepAlives,
    Resumes,
    Gaps,
    Refusals,
    EngineRecords,
    EngineUnreadable,
    EngineHoles,
    EngineSeams,
    EngineAway,
    EnginePublishFailures,
}

/// What became of a client that came back with its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resumed {
    /// It was sent what it had missed, and nothing was lost.
    Exact,
    /// Some of it had left the log.
    Trimmed,
    /// It was the position of another log.
    Restarted,
    /// It was no position.
    Unknown,
}

/// Why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(all(feature = "jwks", feature = "limits")), expect(dead_code, reason = "a feature's own"))]
pub(crate) enum Refused {
    /// The server stops.
    Stopping,
    /// A limit of the whole server.
    Streams,
    Topic,
    Subject,
    Address,
    Rate,
    TooManyTopics,
    /// No token.
    NoToken,
    /// A token that cannot be read.
    Malformed,
    /// A token, or a session, that is wrong or expired.
    Invalid,
    /// A token, a session, a subject or a topic that was revoked.
    Revoked,
    NotGranted,
    /// A page of another site, or a host that is not ours.
    Origin,
    /// No keys at the moment.
    NoKeys,
    /// No room for tickets at the moment.
    Full,
    /// The hub's engine does not answer at the moment.
    EngineAway,
}

/// Counts something once.
#[inline]
pub(crate) fn count(what: Count) {
    add(what, 0, 1);
}

pub(crate) fn resumed(outcome: Resumed) {
    add(Count::Resumes, outcome as usize, 1);
}

pub(crate) fn refused(reason: Refused) {
    add(Count::Refusals, reason as usize, 1);
    flush();
}

pub(crate) fn opened() {
    count(Count::Opened);
    flush();
}

pub(crate) fn ended(reason: EndReason, after: Duration) {
    add(Count::Ended, reason as usize, 1);
    took(Took::Stream, after);
    flush();
}

/// What takes time.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Took {
    /// From the request to the first byte.
    #[cfg_attr(not(feature = "metrics"), expect(dead_code, reason = "nobody takes the time"))]
    Opening,
    /// From the opening to the end.
    Stream,
    /// From an engine's log to this node.
    Engine,
}

/// When a request came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked(#[cfg(feature = "metrics")] std::time::Instant);

impl Asked {
    pub(crate) fn now() -> Self {
        Self(
            #[cfg(feature = "metrics")]
            std::time::Instant::now(),
        )
    }

    /// The first byte of its stream is on its way.
    pub(crate) fn answered(self) {
        #[cfg(feature = "metrics")]
        took(Took::Opening, self.0.elapsed());
    }
}

#[cfg(not(feature = "metrics"))]
mod off {
    use super::*;

    #[inline]
    pub(crate) fn add(_: Count, _: usize, _: u64) {}

    #[inline]
    pub(crate) fn took(_: Took, _: Duration) {}

    #[inline]
    pub(crate) fn flush() {}
}

#[cfg(not(feature = "metrics"))]
pub(crate) use self::off::{add, flush, took};

#[cfg(feature = "metrics")]
pub(crate) use self::on::{HubGauges, add, flush, record, record_hub, took};

#[cfg(feature = "metrics")]
mod on {
    use std::{
        sync::{
            LazyLock,
            atomic::{AtomicU64, Ordering},
        },
        time::Instant,
    };

    use metrics::{
        SharedString, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
    };

    use super::*;

    /// A family of counters.
    struct Family {
        name: &'static str,
        unit: Unit,
        help: &'static str,
        /// The label and its values, where there is one.
        label: &'static str,
        values: &'static [&'static str],
    }

    const UNLABELLED: &[&str] = &[""];

    const REASONS: [&str; EndReason::ALL.len()] = {
        let mut names = [""; EndReason::ALL.len()];
        let mut at = 0;
        while at < names.len() {
            names[at] = EndReason::ALL[at].as_str();
            at += 1;
        }
        names
    };

    const fn plain(name: &'static str, unit: Unit, help: &'static str) -> Family {
        Family { name, unit, help, label: "", values: UNLABELLED }
    }

    /// In the order of [`Count`].
    const FAMILIES: [Family; 16] = [
        plain("sse_streams_opened_total", Unit::Count, "Streams that were opened"),
        Family {
            name: "sse_streams_ended_total",
            unit: Unit::Count,
            help: "Streams that ended, by reason",
            label: "reason",
            values: &REASONS,
        },
        plain("sse_events_published_total", Unit::Count, "Events that were published to hubs"),
        plain("sse_events_delivered_total", Unit::Count, "Events that were given out to clients' streams"),
        plain("sse_sent_bytes_total", Unit::Bytes, "Bytes of bodies that were given out to clients' streams"),
        plain("sse_sent_chunks_total", Unit::Count, "Chunks in which they were given out"),
        plain("sse_keep_alives_total", Unit::Count, "Keep-alives that were given out"),
        Family {
            name: "sse_resumes_total",
            unit: Unit::Count,
            help: "Clients that came back with a position, by what became of it",
            label: "outcome",
            values: &["exact", "trimmed", "restarted", "unknown"],
        },
        Family {
            name: "sse_gaps_total",
            unit: Unit::Count,
            help: "Losses that clients were told of, by reason",
            label: "reason",
            values: &["lagged", "restarted", "trimmed", "unknown"],
        },
        Family {
            name: "sse_refusals_total",
            unit: Unit::Count,
            help: "Requests that were refused, by reason",
            label: "reason",
            values: &[
                "stopping",
                "streams",
                "topic",
                "subject",
                "address",
                "rate",
                "too_many_topics",
                "no_token",
                "malformed",
                "invalid",
                "revoked",
                "not_granted",
                "origin",
                "no_keys",
                "full",
                "engine_away",
            ],
        },
        plain("sse_engine_records_total", Unit::Count, "Records that were read from an engine's log"),
        plain(
            "sse_engine_unreadable_total",
            Unit::Count,
            "Records of an engine's log that this version cannot read",
        ),
        plain("sse_engine_holes_total", Unit::Count, "Losses on the way from an engine"),
        plain("sse_engine_seams_total", Unit::Count, "New epochs of an engine's log"),
        plain("sse_engine_away_total", Unit::Count, "How often an engine ceased to answer"),
        Family {
            name: "sse_engine_publish_failures_total",
            unit: Unit::Count,
            help: "Events that were not published, or may not have been",
            label: "outcome",
            values: &["not_published", "unknown"],
        },
    ];

    const STREAMS_OPEN: &str = "sse_streams_open";
    const OPENING: &str = "sse_stream_opening_seconds";
    const DURATION: &str = "sse_stream_duration_seconds";
    const ENGINE_DELAY: &str = "sse_engine_delay_seconds";
    const SUBSCRIBERS: &str = "sse_subscribers";
    const TOPICS: &str = "sse_topics";
    const LOG_EVENTS: &str = "sse_log_events";
    const LOG_BYTES: &str = "sse_log_bytes";
    const LOG_OLDEST: &str = "sse_log_oldest_age_seconds";
    const LAG_EVENTS: &str = "sse_lag_events";
    const LAG_SECONDS: &str = "sse_lag_seconds";
    const ENGINE_AWAY: &str = "sse_engine_away_seconds";

    /// No label has more values.
    const VALUES: usize = 16;

    static TOTALS: [[AtomicU64; VALUES]; FAMILIES.len()] =
        [const { [const { AtomicU64::new(0) }; VALUES] }; FAMILIES.len()];

    #[inline]
    pub(crate) fn add(what: Count, value: usize, more: u64) {
        if let Some(total) = TOTALS[what as usize].get(value) {
            total.fetch_add(more, Ordering::Relaxed);
        }
    }

    pub(crate) fn took(what: Took, time: Duration) {
        let name = match what {
            Took::Opening => OPENING,
            Took::Stream => DURATION,
            Took::Engine => ENGINE_DELAY,
        };
        histogram!(name).record(time);
    }

    /// Hands the totals over if that was not done within the last second.
    pub(crate) fn flush() {
        static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let now = BEGAN.elapsed().as_secs();
        let next = NEXT.load(Ordering::Relaxed);
        let is_mine =
            now >= next && NEXT.compare_exchange(next, now + 1, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if is_mine {
            hand_over();
        }
    }

    fn hand_over() {
        let mut ended = 0;
        // What ends has been opened: counted the other way round there might be less than none.
        for (family, totals) in FAMILIES.iter().zip(&TOTALS).rev() {
            for (value, total) in family.values.iter().zip(totals) {
                let total = total.load(Ordering::Relaxed);
                let counter = match family.label {
                    "" => counter!(family.name),
                    label => counter!(family.name, label => *value),
                };
                counter.absolute(total);
                if family.name == FAMILIES[Count::Ended as usize].name {
                    ended += total;
                }
                if family.name == FAMILIES[Count::Opened as usize].name {
                    gauge!(STREAMS_OPEN).set(total.saturating_sub(ended) as f64);
                }
            }
        }
    }

    /// Hands over all that is counted, described.
    pub(crate) fn record() {
        for family in &FAMILIES {
            describe_counter!(family.name, family.unit, family.help);
        }
        describe_gauge!(STREAMS_OPEN, Unit::Count, "Streams that are open");
        describe_histogram!(OPENING, Unit::Seconds, "From a request to the first byte of its stream");
        describe_histogram!(DURATION, Unit::Seconds, "How long streams were open that have ended");
        describe_histogram!(
            ENGINE_DELAY,
            Unit::Seconds,
            "From an engine's log to this node, by the engine's clock"
        );
        hand_over();
    }

    /// What a hub holds, and how far its subscribers are.
    pub(crate) struct HubGauges {
        pub(crate) subscribers: usize,
        pub(crate) topics: usize,
        pub(crate) events: usize,
        pub(crate) bytes: usize,
        pub(crate) oldest_age: Duration,
        /// At the 99th percentile, and of the slowest.
        pub(crate) lag: [(&'static str, usize, Duration); 2],
        /// Where there is an engine, for how long it has not answered.
        pub(crate) away: Option<Duration>,
    }

    pub(crate) fn record_hub(name: &str, gauges: &HubGauges) {
        describe_gauge!(SUBSCRIBERS, Unit::Count, "Subscriptions of a hub");
        describe_gauge!(TOPICS, Unit::Count, "Topics that a hub knows");
        describe_gauge!(LOG_EVENTS, Unit::Count, "Events that a hub keeps for replay");
        describe_gauge!(LOG_BYTES, Unit::Bytes, "Encoded size of the events that a hub keeps");
        describe_gauge!(LOG_OLDEST, Unit::Seconds, "Age of the oldest event that a hub keeps");
        describe_gauge!(LAG_EVENTS, Unit::Count, "Events that a hub's subscribers have yet to be given");
        describe_gauge!(LAG_SECONDS, Unit::Seconds, "How long the oldest of these has been waiting");
        let hub = SharedString::from(name.to_owned());
        gauge!(SUBSCRIBERS, "hub" => hub.clone()).set(gauges.subscribers as f64);
        gauge!(TOPICS, "hub" => hub.clone()).set(gauges.topics as f64);
        gauge!(LOG_EVENTS, "hub" => hub.clone()).set(gauges.events as f64);
        gauge!(LOG_BYTES, "hub" => hub.clone()).set(gauges.bytes as f64);
        gauge!(LOG_OLDEST, "hub" => hub.clone()).set(gauges.oldest_age);
        if let Some(away) = gauges.away {
            describe_gauge!(ENGINE_AWAY, Unit::Seconds, "For how long a hub's engine has not answered");
            gauge!(ENGINE_AWAY, "hub" => hub.clone()).set(away);
        }
        for (rank, events, waits) in gauges.lag {
            gauge!(LAG_EVENTS, "hub" => hub.clone(), "rank" => rank).set(events as f64);
            gauge!(LAG_SECONDS, "hub" => hub.clone(), "rank" => rank).set(waits);
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn every_value_has_a_name_and_a_place() {
            for family in &FAMILIES {
                assert!(family.values.len() <= VALUES, "{}", family.name);
                assert!(family.name.ends_with("_total"), "{}", family.name);
            }
            assert_eq!(
                FAMILIES[Count::Refusals as usize].values[Refused::EngineAway as usize],
                "engine_away"
            );
            assert_eq!(FAMILIES[Count::Refusals as usize].values.len(), Refused::EngineAway as usize + 1);
            assert_eq!(FAMILIES[Count::Resumes as usize].values.len(), Resumed::Unknown as usize + 1);
            assert_eq!(FAMILIES.len(), Count::EnginePublishFailures as usize + 1);
        }
    }
}
