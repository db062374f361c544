//! One message, from its turn in its lane until it is settled.

use std::convert::Infallible;
use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use griot_core::Publication;
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::time::{MissedTickBehavior, interval, sleep};
use tower::Service;

use super::limits::ConsumerLimits;
use super::metrics::{Metrics, Settled};
use crate::producer::is_passing;
use crate::{Answer, Broker, BrokerError, Delivery, Event, MESSAGE_ID, Receipt, dead_letter};

/// What the work on all messages shares.
pub(super) struct Shared {
    pub(super) broker: Arc<dyn Broker>,
    pub(super) group: String,
    pub(super) limits: ConsumerLimits,
    pub(super) lease: Option<Duration>,
    /// Handlers that may run.
    pub(super) handlers: Semaphore,
    pub(super) metrics: Metrics,
}

/// One message to work on.
pub(super) struct Work<S> {
    pub(super) shared: Arc<Shared>,
    pub(super) service: S,
    pub(super) delivery: Delivery,
    /// Told when the message before it in its lane is done; dropped where that one goes back.
    pub(super) turn: Option<oneshot::Receiver<()>>,
    /// Told when this one is done, so that the next has its turn.
    pub(super) next: oneshot::Sender<()>,
    /// Turns true when nothing new is to begin.
    pub(super) stop: watch::Receiver<bool>,
}

impl<S> Work<S>
where
    S: Service<Event, Response = Answer, Error = Infallible> + Send,
    S::Future: Send,
{
    /// Handles the message and settles it.
    pub(super) async fn run(self) {
        let Self {
            shared,
            service,
            delivery: Delivery { event, receipt },
            turn,
            next,
            stop,
        } = self;
        if event.redelivered() > 0 {
            shared.metrics.redelivered();
        }
        let handling = Handling {
            shared: &shared,
            service,
            stop,
        };
        let kept = keep(receipt.as_ref(), shared.lease);
        let outcome = tokio::select! {
            outcome = handling.run(event.clone(), turn) => outcome,
            () = kept => None,
        };
        if outcome.is_some() {
            // The next of the lane begins while the broker hears of this one. Dropped unsent, as it
            // is when this is aborted, the next does not overtake: it goes back as well.
            let _ = next.send(());
        }
        let (settled, told) = match outcome {
            Some(settled) => (settled, receipt.ack().await),
            None => (Settled::GivenBack, receipt.give_back().await),
        };
        match told {
            Ok(()) => shared.metrics.settled(settled),
            Err(error) => {
                shared.metrics.settled(Settled::Unheard);
                tracing::warn!(%error, group = shared.group, id = event.id(), "the broker did not hear that a message is settled: it may be given again");
            }
        }
    }
}

/// Extends the lease for ever, at a third of it.
async fn keep(receipt: &dyn Receipt, lease: Option<Duration>) {
    let Some(lease) = lease else {
        return std::future::pending().await;
    };
    let mut ticks = interval((lease / 3).max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first tick is at once, and the lease is new then.
    ticks.tick().await;
    loop {
        ticks.tick().await;
        if let Err(error) = receipt.extend().await {
            tracing::warn!(%error, ?receipt, "a lease was not extended: the message may be given again");
        }
    }
}

struct Handling<'a, S> {
    shared: &'a Shared,
    service: S,
    stop: watch::Receiver<bool>,
}

impl<S> Handling<'_, S>
where
    S: Service<Event, Response = Answer, Error = Infallible> + Send,
    S::Future: Send,
{
    /// Handles the message until it is done; `None` where it stays undone, since it is to stop.
    async fn run(
        mut self,
        mut event: Event,
        turn: Option<oneshot::Receiver<()>>,
    ) -> Option<Settled> {
        if let Some(turn) = turn {
            let stopped = async {
                // An error says that nobody can stop it any more but by dropping it.
                if self.stop.wait_for(|stop| *stop).await.is_err() {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                biased;
                () = stopped => return None,
                turn = turn => turn.ok()?,
            }
        }
        let mut panics = 0;
        loop {
            match self.attempt(&event).await? {
                Ok(Answer::Ack) => return Some(Settled::Acked),
                Ok(Answer::Publish(publications)) => {
                    let publications = self.named(&event, publications);
                    match self.publish(publications).await? {
                        Ok(()) => return Some(Settled::Published),
                        Err(error) => {
                            let reason = format!("its answer was not published: {error}");
                            return self.bury(&event, &reason).await;
                        }
                    }
                }
                Ok(Answer::DeadLetter { reason }) => return self.bury(&event, &reason).await,
                Ok(Answer::Retry { reason }) => {
                    tracing::debug!(
                        reason,
                        id = event.id(),
                        attempt = event.attempt(),
                        "a message is handled again"
                    );
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
                    if panics >= self.shared.limits.panics_max {
                        let reason = format!("its handler panicked {panics} times: {panic}");
                        return self.bury(&event, &reason).await;
                    }
                }
            }
            self.shared.metrics.retried();
            self.pause(event.attempt().saturating_sub(1)).await?;
            event = event.next_attempt();
        }
    }

    /// Runs the handler once; an error is what it panicked with.
    async fn attempt(&mut self, event: &Event) -> Option<Result<Answer, String>> {
        let _running = tokio::select! {
            biased;
            Ok(_) = self.stop.wait_for(|stop| *stop) => return None,
            // It is never closed.
            running = self.shared.handlers.acquire() => running.ok()?,
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
    async fn bury(&mut self, event: &Event, reason: &str) -> Option<Settled> {
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
        for (number, publication) in publications.iter_mut().enumerate() {
            let mut headers = publication.headers.iter();
            if !headers.any(|(name, _)| name.eq_ignore_ascii_case(MESSAGE_ID)) {
                let id = format!("{}:{}:{number}", self.shared.group, event.id());
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
            Ok(_) = self.stop.wait_for(|stop| *stop) => None,
            () = sleep(delay) => Some(()),
        }
    }
}

fn text_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "something that is not text".to_owned())
}
