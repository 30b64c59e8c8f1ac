//! Times as the server writes them.

use std::time::Duration;

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// Since 1970.
pub(crate) fn nanoseconds(time: &str) -> Option<i64> {
    let time = OffsetDateTime::parse(time, &Rfc3339).ok()?;
    i64::try_from(time.unix_timestamp_nanos()).ok()
}

/// How far it is from now by this machine's clock, in whichever direction.
pub(crate) fn from_now(time: &str) -> Option<Duration> {
    let time = OffsetDateTime::parse(time, &Rfc3339).ok()?;
    Some((OffsetDateTime::now_utc() - time).unsigned_abs())
}

/// As the server writes it.
pub(crate) fn rfc3339(nanoseconds: i64) -> Option<String> {
    OffsetDateTime::from_unix_timestamp_nanos(nanoseconds.into()).ok()?.format(&Rfc3339).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_to_the_nanosecond() {
        let time = nanoseconds("2026-11-25T16:01:32.163886711Z").unwrap();
        assert_eq!(time, 1_795_622_492_163_886_711);
        assert_eq!(nanoseconds(&rfc3339(time).unwrap()), Some(time));
        assert_eq!(nanoseconds("yesterday"), None);
    }
}
