//! A panic is an answer.

use std::any::Any;
use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;

use super::{Around, Next};
use crate::{Answer, Event, Partition};

/// Makes [`Answer::Retry`] of a panic. Behind [`Retries`](super::Retries) a handler that panics every
/// time makes a dead letter, and stops nobody else.
#[derive(Clone, Copy, Debug, Default)]
pub struct CatchPanic;

impl Around for CatchPanic {
    async fn around<N: Next>(self, event: Event, next: N) -> Answer {
        let panicked = event.clone();
        // What the handler held is gone with it; what it shares with others is theirs to guard.
        let handled = AssertUnwindSafe(async move { next.run(event).await });
        handled.catch_unwind().await.unwrap_or_else(|panic| {
            let reason = format!("the handler panicked: {}", text(&*panic));
            let (Partition(partition), offset) = panicked.position();
            let topic = panicked.topic();
            tracing::error!(topic, partition, offset, reason, "a handler panicked");
            Answer::Retry { reason }
        })
    }
}

fn text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("not with a text")
}
