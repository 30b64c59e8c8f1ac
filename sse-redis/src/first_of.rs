//! [`first_of`]: several are asked, and whoever answers first is believed.

use std::{future::Future, time::Duration};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use tokio::time::timeout;

use crate::trouble::Trouble;

/// After this time another one is asked as well.
const HEAD_START: Duration = Duration::from_millis(250);

/// The first good answer of these, which are asked in order: the next one when the one before has failed, or has said
/// nothing for a while, so that a server that is gone without a word holds up nobody.
pub(crate) async fn first_of<T, F>(asked: Vec<F>) -> Result<T, Trouble>
where
    F: Future<Output = Result<T, Trouble>>,
{
    let mut asked = asked.into_iter();
    let mut under_way = FuturesUnordered::new();
    let mut failed = None;
    loop {
        let next = asked.next();
        let is_last = next.is_none();
        under_way.extend(next);
        let answer = match under_way.len() {
            0 => return Err(failed.unwrap_or(Trouble::Unexpected("nobody to ask"))),
            _ if is_last => under_way.next().await,
            _ => timeout(HEAD_START, under_way.next()).await.unwrap_or_default(),
        };
        match answer {
            Some(Ok(answer)) => return Ok(answer),
            // What one says counts for more than that another is not there.
            Some(Err(trouble)) if failed.as_ref().is_none_or(|failed: &Trouble| !failed.is_said()) => {
                failed = Some(trouble);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use futures_util::future::{BoxFuture, FutureExt as _};

    use super::*;

    type Asked = BoxFuture<'static, Result<u32, Trouble>>;

    #[tokio::test(start_paused = true)]
    async fn one_that_says_nothing_holds_up_nobody() {
        let asked: Vec<Asked> = vec![
            pending().boxed(),
            ready(Err(Trouble::IsReplica)).boxed(),
            ready(Ok(3)).boxed(),
            ready(Ok(4)).boxed(),
        ];
        assert_eq!(first_of(asked).await.unwrap(), 3);
        assert!(first_of(Vec::<Asked>::new()).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn what_one_says_counts_for_more_than_that_another_is_not_there() {
        let asked: Vec<Asked> = vec![
            ready(Err(Trouble::NoAnswer(HEAD_START))).boxed(),
            ready(Err(Trouble::NotServed(7))).boxed(),
            ready(Err(Trouble::NoAnswer(HEAD_START))).boxed(),
        ];
        assert!(matches!(first_of(asked).await, Err(Trouble::NotServed(7))));
    }
}
