//! What the sweep's server sends, so that its client can tell every byte of it: data by number and length, and
//! streams of the application's own by name.

use std::{fmt, str::FromStr, sync::LazyLock, time::Duration};

use futures_util::stream;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use sse_core::Event;
use tokio::time::sleep;

use crate::servers::OwnStream;

/// The largest data that there is.
pub const LARGEST: usize = 20_000;

/// The data of the `n`th event of a stream. Neighbours differ from their first byte on, and no part is like
/// another.
pub fn data(n: usize, len: usize) -> &'static str {
    const STARTS: usize = 4099;
    static TEXT: LazyLock<String> = LazyLock::new(|| {
        let mut random = StdRng::seed_from_u64(1);
        (0..STARTS + LARGEST).map(|_| char::from(random.random_range(b'!'..=b'~'))).collect()
    });
    let start = n * 977 % STARTS;
    &TEXT[start..start + len]
}

/// A stream of the application's own: so many events of this length, this far apart, and its end.
///
/// Its name is `<count>-<length>-<milliseconds>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Own {
    /// How many events.
    pub count: usize,
    /// Bytes of each one's data.
    pub len: usize,
    /// How long before each; with nothing they are all there at once.
    pub apart: Duration,
}

impl fmt::Display for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.count, self.len, self.apart.as_millis())
    }
}

impl FromStr for Own {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let bad = || format!("no stream {name}");
        let mut numbers = name.split('-').map(str::parse::<usize>);
        let mut next = || numbers.next().and_then(Result::ok).ok_or_else(bad);
        let (count, len, millis) = (next()?, next()?, next()?);
        Ok(Self { count, len, apart: Duration::from_millis(millis as u64) })
    }
}

/// The stream of this name.
///
/// # Panics
///
/// When it is not the name of an [`Own`].
pub fn own(name: &str) -> OwnStream {
    let own: Own = name.parse().unwrap_or_else(|error| panic!("{error}"));
    Box::pin(stream::unfold(0, move |n| async move {
        if n == own.count {
            return None;
        }
        if !own.apart.is_zero() {
            sleep(own.apart).await;
        }
        Some((Ok(Event::new(data(n, own.len))), n + 1))
    }))
}
