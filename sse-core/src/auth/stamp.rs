//! [`Stamp`]: what is remembered of who was let in.

#[cfg(feature = "jwt")]
use std::time::Duration;
use std::time::SystemTime;

use super::digest::Digest;

/// What is remembered of a token, or of a session of the application's, while something is open in its name.
#[cfg_attr(not(feature = "jwt"), expect(dead_code, reason = "claims show them"))]
pub(super) struct Stamp {
    pub(super) subject: Box<str>,
    pub(super) subject_key: Digest,
    pub(super) id: Option<Box<str>>,
    /// Of the id, or where there is none, of what was signed.
    pub(super) key: Digest,
    /// Of the session that it belongs to, where there is one.
    pub(super) session: Option<Digest>,
    pub(super) session_id: Option<Box<str>>,
    /// Seconds since 1970; fractions are allowed.
    pub(super) issued_at: Option<f64>,
    pub(super) expires_at: SystemTime,
    /// [`expires_at`](Self::expires_at) and the leeway.
    pub(super) ends_at: SystemTime,
}

impl Stamp {
    /// When what never expires does: as far as seconds in 32 bits reach, the year 2106.
    #[cfg(feature = "jwt")]
    pub(super) fn never() -> SystemTime {
        SystemTime::UNIX_EPOCH + NEVER
    }

    /// A token without `iat` is as old as can be. Never zero: that is the floor of the beginning.
    pub(super) fn issued(&self) -> f64 {
        self.issued_at.unwrap_or(f64::MIN_POSITIVE).max(f64::MIN_POSITIVE)
    }

    /// Until when it matters that the token was revoked, in seconds since 1970; the last of them for one that never
    /// expires.
    pub(super) fn until(&self) -> u32 {
        let since_1970 = self.ends_at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        u32::try_from(since_1970.as_secs()).map_or(u32::MAX, |seconds| seconds.saturating_add(1))
    }
}

/// See [`Stamp::never`].
#[cfg(feature = "jwt")]
pub(super) const NEVER: Duration = Duration::from_secs(u32::MAX as u64);
