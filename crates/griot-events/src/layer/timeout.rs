//! A limit on how long handling takes.

use std::time::Duration;

use super::{Around, Next};
use crate::{Answer, Event};

/// Answers [`Answer::Retry`] where handling takes longer than this; the handler's future is dropped.
///
/// Inside of [`Retries`](super::Retries) it limits each attempt, around them all of them together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeout(pub Duration);

impl Around for Timeout {
    async fn around<N: Next>(self, event: Event, next: N) -> Answer {
        let Self(limit) = self;
        let handled = tokio::time::timeout(limit, next.run(event)).await;
        handled.unwrap_or_else(|_| Answer::Retry {
            reason: format!("no answer within {limit:?}"),
        })
    }
}
