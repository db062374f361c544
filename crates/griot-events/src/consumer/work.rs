//! One message, from its turn in its lane until it is settled.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::time::{MissedTickBehavior, interval};
use tower::Service;

use super::gather::{Member, Place, Verdict};
use super::handling::Handling;
use super::lane::{Next, Turn};
use super::limits::ConsumerLimits;
use super::metrics::{Metrics, Settled};
use super::stop::Stop;
use super::unheard::Mark;
use crate::{Answer, Broker, BrokerError, Delivery, Event, Receipt};

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
    /// What it hears of the message before it in its lane.
    pub(super) turn: Option<Turn>,
    /// What it tells the one behind it.
    pub(super) next: Next,
    /// Turns true when nothing new is to begin.
    pub(super) stop: watch::Receiver<bool>,
    /// Where it is gathered with others, if it is.
    pub(super) place: Option<Place>,
}

impl<S> Work<S>
where
    S: Service<Event, Response = Answer, Error = Infallible> + Send,
    S::Future: Send,
{
    /// Handles the message and settles it; gives its mark where it is done and the broker did not hear
    /// of that.
    pub(super) async fn run(self) -> Option<Mark> {
        let Self {
            shared,
            service,
            delivery: Delivery { event, receipt },
            turn,
            next: Next { done, seated },
            stop,
            place,
        } = self;
        if event.redelivered() > 0 {
            shared.metrics.redelivered();
        }
        // A partition is not let go of before its messages are settled at the broker.
        let _here = stop.clone();
        let member = Member {
            event: event.clone(),
            stop: stop.clone(),
            seated,
        };
        let handling = Handling {
            shared: &shared,
            service,
            stop: Stop::Of(stop),
        };
        let kept = keep(receipt.as_ref(), shared.lease);
        let outcome = tokio::select! {
            outcome = settle(handling, turn, member, place) => outcome,
            () = kept => None,
        };
        let Some(settled) = outcome else {
            match receipt.give_back().await {
                Ok(()) => shared.metrics.settled(Settled::GivenBack),
                Err(error) => shared.not_heard(&event, &error),
            }
            // `done` is dropped unsent, as it is when this is aborted: the next of the lane does not
            // overtake, it goes back as well.
            return None;
        };
        // The next of the lane begins while the broker hears of this one.
        let _ = done.send(());
        shared.acknowledge(&event, receipt, settled).await
    }
}

impl Shared {
    /// Says that a message is done; gives its mark where the broker did not hear of it.
    pub(super) async fn acknowledge(
        &self,
        event: &Event,
        receipt: Box<dyn Receipt>,
        settled: Settled,
    ) -> Option<Mark> {
        match receipt.ack().await {
            Ok(()) => {
                self.metrics.settled(settled);
                None
            }
            Err(error) => {
                self.not_heard(event, &error);
                Some(Mark::of(event))
            }
        }
    }

    fn not_heard(&self, event: &Event, error: &BrokerError) {
        self.metrics.settled(Settled::Unheard);
        tracing::warn!(%error, group = self.group, id = event.id(), "the broker did not hear what became of a message: it may be given again");
    }
}

/// Waits for its turn, and has the message handled, alone or with others. `None` where it stays undone,
/// since it is to stop.
async fn settle<S>(
    mut handling: Handling<'_, S>,
    mut turn: Option<Turn>,
    member: Member,
    place: Option<Place>,
) -> Option<Settled>
where
    S: Service<Event, Response = Answer, Error = Infallible> + Send,
    S::Future: Send,
{
    let mut event = member.event.clone();
    if let Some(place) = place {
        // In boxes, so that the tasks of other messages are the smaller.
        match Box::pin(gathered(&mut handling.stop, &mut turn, member, &place)).await? {
            Verdict::Settled(settled) => return Some(settled),
            Verdict::Unfit(reason) => return Box::pin(handling.bury(&event, &reason)).await,
            Verdict::Alone => event = event.attempt_anew(),
        }
    } else {
        drop(member);
    }
    until_done(&mut handling.stop, &mut turn).await?;
    match handling.handle(&mut event, None).await? {
        Ok(settled) => Some(settled),
        Err(reason) => Box::pin(handling.bury(&event, &reason)).await,
    }
}

/// Has the message take its seat in a batch: beside the one before it in its lane, or when that one is
/// done.
async fn gathered(
    stop: &mut Stop,
    turn: &mut Option<Turn>,
    mut member: Member,
    place: &Place,
) -> Option<Verdict> {
    if let Some(Turn {
        number,
        seated: Some(seated),
        ..
    }) = turn
        && unless_stopped(stop, seated).await?.is_ok()
    {
        member = match place.sit(member, Some(*number)).await {
            Some(Ok(verdict)) => return Some(verdict),
            Some(Err(member)) => member,
            None => {
                // They go back in their order.
                if let Some(turn) = turn.take() {
                    let _ = turn.done.await;
                }
                return None;
            }
        };
    }
    until_done(stop, turn).await?;
    place.sit(member, None).await?.ok()
}

/// Waits until the one before it in its lane is done.
async fn until_done(stop: &mut Stop, turn: &mut Option<Turn>) -> Option<()> {
    match turn.take() {
        Some(turn) => unless_stopped(stop, turn.done).await?.ok(),
        None => Some(()),
    }
}

async fn unless_stopped<T>(stop: &mut Stop, future: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        () = stop.asked() => None,
        output = future => Some(output),
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
