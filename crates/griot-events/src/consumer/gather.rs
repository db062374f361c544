//! Batches: messages of many lanes are gathered, handled as one, and told what became of them.
//!
//! Each handler of batches has a task that gathers. A message keeps its own task, which extends its
//! lease and settles it; from there it takes a seat here when it is its turn, or when the one before it
//! in its lane has a seat in the batch that is still open.

use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use tower::Service;

use super::FAR;
use super::handling::Handling;
use super::metrics::Settled;
use super::stop::Stop;
use super::work::Shared;
use crate::{Answer, Batch, Event};

/// A message that is to be in a batch.
pub(super) struct Member {
    pub(super) event: Event,
    /// Turns true when nothing new is to begin.
    pub(super) stop: watch::Receiver<bool>,
    /// Told when it has its seat.
    pub(super) seated: Option<oneshot::Sender<()>>,
}

/// What became of a message in its batch. It goes back where it is told nothing.
pub(super) enum Verdict {
    Settled(Settled),
    /// It was the only one, and is a dead letter.
    Unfit(String),
    /// The batch fell apart: it is handled by itself.
    Alone,
}

/// Where a message is gathered with others, and by what it is known there.
pub(super) struct Place {
    pub(super) calls: mpsc::UnboundedSender<Call>,
    pub(super) lane: u64,
    pub(super) number: u64,
}

/// What the task that gathers is told. There are no more than messages in flight and partitions.
pub(super) enum Call {
    Sit(Seat),
    /// Some of those that wait are to stop.
    Stop,
}

/// A member with its place.
pub(super) struct Seat {
    member: Member,
    lane: u64,
    number: u64,
    /// The one before it in its lane, where that is not done: it may only sit in the same batch.
    behind: Option<u64>,
    verdict: oneshot::Sender<Result<Verdict, Member>>,
}

impl Place {
    /// Takes a seat and waits for the verdict; gives the member back where it may not sit behind the
    /// one it is `behind`. `None` where it goes back.
    pub(super) async fn sit(
        &self,
        member: Member,
        behind: Option<u64>,
    ) -> Option<Result<Verdict, Member>> {
        let (verdict, told) = oneshot::channel();
        let seat = Seat {
            member,
            lane: self.lane,
            number: self.number,
            behind,
            verdict,
        };
        self.calls.send(Call::Sit(seat)).ok()?;
        told.await.ok()
    }
}

/// Gathers the messages for one handler of batches.
pub(super) struct Gatherer<S> {
    pub(super) shared: Arc<Shared>,
    pub(super) service: S,
    pub(super) batch: Batch,
    pub(super) calls: mpsc::UnboundedReceiver<Call>,
}

impl<S> Gatherer<S>
where
    S: Service<Event, Response = Answer, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    /// Runs until nobody can take a seat any more. Dropped, it ends all its batches.
    pub(super) async fn run(mut self) {
        let mut batches = JoinSet::new();
        loop {
            let call = tokio::select! {
                call = self.calls.recv() => call,
                Some(ended) = batches.join_next() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "work on a batch ended, its messages are given again");
                    }
                    continue;
                }
            };
            let Some(call) = call else { return };
            let Call::Sit(first) = call else { continue };
            let seats = self.gather(first).await;
            let (shared, service) = (Arc::clone(&self.shared), self.service.clone());
            batches.spawn(handle(shared, service, seats));
        }
    }

    /// Waits for those that come after the first.
    async fn gather(&mut self, first: Seat) -> Vec<Seat> {
        let end = Instant::now() + self.batch.wait_max.min(FAR);
        let (mut seats, mut numbers) = (Vec::new(), HashSet::new());
        let mut call = Call::Sit(first);
        loop {
            match call {
                Call::Sit(mut seat) => {
                    let behind = seat.behind;
                    if behind.is_none_or(|behind| numbers.contains(&behind)) {
                        numbers.insert(seat.number);
                        if let Some(seated) = seat.member.seated.take() {
                            // Nobody is behind it where this fails.
                            let _ = seated.send(());
                        }
                        seats.push(seat);
                    } else {
                        let _ = seat.verdict.send(Err(seat.member));
                    }
                }
                Call::Stop => {
                    leave(&mut seats);
                    numbers = seats.iter().map(|seat| seat.number).collect();
                }
            }
            if seats.is_empty() || seats.len() >= self.batch.events_max {
                return seats;
            }
            call = match timeout_at(end, self.calls.recv()).await {
                Ok(Some(call)) => call,
                Ok(None) | Err(_) => return seats,
            };
        }
    }
}

/// Has a batch handled, and tells each of it.
async fn handle<S>(shared: Arc<Shared>, service: S, mut seats: Vec<Seat>)
where
    S: Service<Event, Response = Answer, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    loop {
        leave(&mut seats);
        let events = seats.iter().map(|seat| seat.member.event.clone());
        let Some(mut batch) = Event::batch(events) else {
            return;
        };
        let stops = seats.iter().map(|seat| &seat.member.stop);
        let mut handling = Handling {
            shared: &shared,
            service: service.clone(),
            stop: Stop::of_any(stops),
        };
        let attempts_max = batch.is_batch().then_some(shared.limits.batch_attempts_max);
        let outcome = handling.handle(&mut batch, attempts_max).await;
        if let Some(outcome) = outcome {
            return tell(&shared, seats, &outcome);
        }
        // Those that are to stop go back; the others go on, without them.
        for (seat, event) in seats.iter_mut().zip(batch.all()) {
            seat.member.event = event.clone();
        }
        if !seats.iter().any(Seat::is_to_stop) {
            return;
        }
    }
}

fn tell(shared: &Shared, seats: Vec<Seat>, outcome: &Result<Settled, String>) {
    let is_batch = seats.len() > 1;
    if outcome.is_ok() {
        shared.metrics.batch_settled();
    }
    if let Err(reason) = outcome
        && is_batch
    {
        shared.metrics.batch_fell_apart();
        tracing::warn!(
            reason,
            group = shared.group,
            events = seats.len(),
            "a batch falls apart: each of its messages is handled by itself"
        );
    }
    for seat in seats {
        let verdict = match outcome {
            Ok(settled) => Verdict::Settled(*settled),
            Err(_) if is_batch => Verdict::Alone,
            Err(reason) => Verdict::Unfit(reason.clone()),
        };
        // Nobody waits where its task was aborted.
        let _ = seat.verdict.send(Ok(verdict));
    }
}

impl Seat {
    fn is_to_stop(&self) -> bool {
        *self.member.stop.borrow()
    }
}

/// Lets those go that are to stop, and those behind them in their lanes, so that none overtakes.
fn leave(seats: &mut Vec<Seat>) {
    let mut left = HashSet::new();
    seats.retain(|seat| {
        let stays = !seat.is_to_stop() && !left.contains(&seat.lane);
        if !stays {
            left.insert(seat.lane);
        }
        stays
    });
}
