//! One message, from its turn in its lane until it is settled.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::{Semaphore, watch};
use tokio::time::{MissedTickBehavior, interval};
use tower::Service;

use super::gather::{Member, Place, Verdict};
use super::handling::{Handling, text_of};
use super::lane::{LaneId, Next, Turn};
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
    /// Its lane, and which of all messages it is.
    pub(super) lane: LaneId,
    pub(super) number: u64,
    /// Turns true when nothing new is to begin.
    pub(super) stop: watch::Receiver<bool>,
    pub(super) task: Task,
}

/// What is to be done about a message.
pub(super) enum Task {
    /// It was settled before, and the broker did not hear of it.
    Acknowledge,
    Handle {
        /// What it hears of the message before it in its lane.
        turn: Option<Turn>,
        /// What it tells the one behind it.
        next: Next,
        /// Where it is gathered with others, if it is.
        place: Option<Place>,
    },
}

/// A work that ended: which one, and what it settled where the broker did not hear of it.
pub(super) struct Ended {
    pub(super) lane: LaneId,
    pub(super) number: u64,
    pub(super) unheard: Option<Mark>,
}

impl<S> Work<S>
where
    S: Service<Event, Response = Answer, Error = Infallible> + Send,
    S::Future: Send,
{
    /// Works until nothing is left to do about the message.
    pub(super) async fn run(self) -> Ended {
        let (lane, number) = (self.lane, self.number);
        // Handlers are guarded by themselves; this is for services and receipts of others.
        let settled = AssertUnwindSafe(self.settle()).catch_unwind().await;
        let unheard = settled.unwrap_or_else(|panic| {
            tracing::error!(
                panic = text_of(&*panic),
                "work on a message ended, it is given again"
            );
            None
        });
        Ended {
            lane,
            number,
            unheard,
        }
    }

    /// Handles the message and settles it; gives its mark where it is done and the broker did not hear
    /// of that.
    async fn settle(self) -> Option<Mark> {
        let Self {
            shared,
            service,
            delivery: Delivery { event, receipt },
            stop,
            task,
            ..
        } = self;
        // A partition is not let go of before its messages are settled at the broker.
        let here = stop.clone();
        let Task::Handle { turn, next, place } = task else {
            return shared.acknowledge(&event, receipt, Settled::Acked).await;
        };
        let Next { done, seated } = next;
        if event.redelivered() > 0 {
            shared.metrics.redelivered();
        }
        let handling = Handling {
            shared: &shared,
            service,
            stop: Stop::Of(stop),
        };
        let seat = place.map(|place| {
            let member = Member {
                event: event.clone(),
                stop: here.clone(),
                seated,
            };
            (place, member)
        });
        let outcome = tokio::select! {
            biased;
            outcome = handled(handling, turn, event.clone(), seat) => outcome,
            () = keep(receipt.as_ref(), shared.lease) => None,
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
async fn handled<S>(
    mut handling: Handling<'_, S>,
    mut turn: Option<Turn>,
    mut event: Event,
    seat: Option<(Place, Member)>,
) -> Option<Settled>
where
    S: Service<Event, Response = Answer, Error = Infallible> + Send,
    S::Future: Send,
{
    if let Some((place, member)) = seat {
        // In boxes, so that the tasks of other messages are the smaller.
        match Box::pin(gathered(&mut handling.stop, &mut turn, member, &place)).await? {
            Verdict::Settled(settled) => return Some(settled),
            Verdict::Unfit(reason) => return Box::pin(handling.bury(&event, &reason)).await,
            Verdict::Alone => event = event.attempt_anew(),
        }
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
