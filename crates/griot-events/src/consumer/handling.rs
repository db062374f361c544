//! Handling: attempts at a message or a batch, and what its answer asks for.

use std::convert::Infallible;
use std::future::poll_fn;
use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use griot_core::Publication;
use tokio::time::sleep;
use tower::Service;
use uuid::Uuid;

use super::metrics::Settled;
use super::stop::Stop;
use super::work::Shared;
use crate::producer::is_passing;
use crate::{Answer, BrokerError, Event, MESSAGE_ID, dead_letter};

/// Has one message handled, or one batch. Where one of its methods gives `None` it stays undone, since
/// it is to stop.
pub(super) struct Handling<'a, S> {
    pub(super) shared: &'a Shared,
    pub(super) service: S,
    pub(super) stop: Stop,
}

impl<S> Handling<'_, S>
where
    S: Service<Event, Response = Answer, Error = Infallible> + Send,
    S::Future: Send,
{
    /// Handles it until it is settled; an error says why it is not worth another attempt. It is given
    /// up after so many attempts, where there is a number, and after `panics_max` panics.
    pub(super) async fn handle(
        &mut self,
        event: &mut Event,
        attempts_max: Option<u32>,
    ) -> Option<Result<Settled, String>> {
        let (mut attempts, mut panics) = (0, 0);
        loop {
            let reason = match self.attempt(event).await? {
                Ok(Answer::Ack) => return Some(Ok(Settled::Acked)),
                Ok(Answer::Publish(publications)) => {
                    let publications = self.named(event, publications);
                    // In boxes of their own, like all that few messages need: each message's task has
                    // room for the largest of what it may wait for.
                    let published = Box::pin(self.publish(publications)).await?;
                    let published = published.map(|()| Settled::Published);
                    return Some(
                        published.map_err(|error| format!("its answer was not published: {error}")),
                    );
                }
                Ok(Answer::DeadLetter { reason }) => return Some(Err(reason)),
                Ok(Answer::Retry { reason }) => {
                    tracing::debug!(
                        reason,
                        id = event.id(),
                        attempt = event.attempt(),
                        "a message is handled again"
                    );
                    reason
                }
                Err(panic) => {
                    panics += 1;
                    self.shared.metrics.panicked();
                    tracing::error!(
                        panic,
                        id = event.id(),
                        attempt = event.attempt(),
                        "a handler panicked"
                    );
                    let reason = format!("its handler panicked {panics} times: {panic}");
                    if panics >= self.shared.limits.panics_max {
                        return Some(Err(reason));
                    }
                    reason
                }
            };
            attempts += 1;
            if attempts_max.is_some_and(|max| attempts >= max) {
                return Some(Err(reason));
            }
            self.shared.metrics.retried();
            Box::pin(self.pause(event.attempt().saturating_sub(1))).await?;
            *event = event.next_attempt();
        }
    }

    /// Runs the handler once; an error is what it panicked with.
    async fn attempt(&mut self, event: &Event) -> Option<Result<Answer, String>> {
        let _running = match self.shared.handlers.try_acquire() {
            Ok(running) if !self.stop.is_asked() => running,
            Ok(_) => return None,
            Err(_) => tokio::select! {
                biased;
                () = self.stop.asked() => return None,
                // It is never closed.
                running = self.shared.handlers.acquire() => running.ok()?,
            },
        };
        let service = &mut self.service;
        let handled = async {
            match poll_fn(|cx| service.poll_ready(cx)).await {
                Ok(()) => service.call(event.clone()).await,
                Err(never) => match never {},
            }
        };
        let handled = AssertUnwindSafe(handled).catch_unwind().await;
        Some(match handled {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(never)) => match never {},
            Err(panic) => Err(text_of(panic.as_ref())),
        })
    }

    /// Publishes, in order, until the broker has them all: what fails and may work is tried again.
    async fn publish(&mut self, mut left: Vec<Publication>) -> Option<Result<(), BrokerError>> {
        for attempt in 0.. {
            if left.is_empty() {
                break;
            }
            let outcomes = self.shared.broker.publish(left.clone()).await;
            let mut again = Vec::new();
            for (publication, outcome) in left.into_iter().zip(outcomes) {
                match outcome {
                    Err(BrokerError::Closed) => return None,
                    Err(error) if is_passing(&Err(error.clone())) => {
                        tracing::warn!(%error, topic = publication.topic, "a publication is tried again");
                        again.push(publication);
                    }
                    Err(error) => return Some(Err(error)),
                    Ok(()) => {}
                }
            }
            left = again;
            if !left.is_empty() {
                self.pause(attempt).await?;
            }
        }
        Some(Ok(()))
    }

    /// Gives the message to its dead-letter topic, however long that takes.
    pub(super) async fn bury(&mut self, event: &Event, reason: &str) -> Option<Settled> {
        tracing::warn!(
            reason,
            id = event.id(),
            topic = event.topic(),
            "a message becomes a dead letter"
        );
        for attempt in 0.. {
            let letter = dead_letter(event, reason);
            match self.publish(vec![letter]).await? {
                Ok(()) => break,
                Err(error) => {
                    tracing::error!(%error, id = event.id(), "a dead letter was refused: its key waits");
                    self.pause(attempt).await?;
                }
            }
        }
        Some(Settled::DeadLettered)
    }

    /// Each has an id that is the same when the message is handled again.
    fn named(&self, event: &Event, mut publications: Vec<Publication>) -> Vec<Publication> {
        let id = id_of_all(event.all());
        for (number, publication) in publications.iter_mut().enumerate() {
            let mut headers = publication.headers.iter();
            if !headers.any(|(name, _)| name.eq_ignore_ascii_case(MESSAGE_ID)) {
                let id = format!("{}:{id}:{number}", self.shared.group);
                publication.headers.push((MESSAGE_ID.to_owned(), id));
            }
        }
        publications
    }

    /// Waits before the next attempt; `None` where it is to stop instead.
    async fn pause(&mut self, attempt: u32) -> Option<()> {
        let delay = self.shared.limits.backoff.delay(attempt);
        tokio::select! {
            biased;
            () = self.stop.asked() => None,
            () = sleep(delay) => Some(()),
        }
    }
}

/// What identifies a message, or these together: the answer to others is another one.
fn id_of_all(events: &[Event]) -> String {
    match events {
        [event] => event.id(),
        events => {
            let ids: Vec<String> = events.iter().map(Event::id).collect();
            // Told apart where an id has a line's end in it, too.
            let ids = format!("{ids:?}");
            Uuid::new_v5(&Uuid::NAMESPACE_OID, ids.as_bytes()).to_string()
        }
    }
}

pub(super) fn text_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "something that is not text".to_owned())
}
