//! A lane: the queue of one kind of effect, and how many of it run at a time.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use griot_actor::mailbox::Receiver;
use griot_core::{CallFailed, Effect, EffectId, EffectRecord, EntityId, Timestamp};
use griot_journal::BoxFuture;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::publishing::Queues;
use crate::Clock;
use crate::batch::DueEffect;

/// The longest sleep until a due time: a clock that was set is noticed within this.
const SLEEP_MAX: Duration = Duration::from_secs(1);

/// How many outcomes of a lane may wait for their entities, beyond the attempts that run.
const OUTCOMES_WAITING_MAX: usize = 4_096;

/// An effect in a lane.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) entity: EntityId,
    pub(crate) record: EffectRecord,
    /// When it may be performed next.
    due: Timestamp,
    /// How often it was tried since the program started.
    pub(crate) attempts: u32,
    /// When it was tried first since the program started.
    pub(crate) first_attempt: Option<Instant>,
    /// What came of it, where that could not be brought back yet.
    pub(crate) outcome: Option<Result<Bytes, CallFailed>>,
}

impl Job {
    pub(crate) fn new(effect: DueEffect) -> Self {
        let due = match effect.record.effect {
            Effect::Timer { due, .. } => due,
            _ => effect.at,
        };
        Self {
            entity: effect.entity,
            record: effect.record,
            due,
            attempts: 0,
            first_attempt: None,
            outcome: None,
        }
    }
}

pub(crate) enum LaneMessage {
    Perform(Box<Job>),
    Withdraw { entity: EntityId, effect: EffectId },
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Its outcome is durable, or somebody else's was.
    Settled,
    /// It is to be tried again after a pause.
    Again,
    /// It has an outcome that could not be brought back: only that is to be tried again.
    Undelivered(Result<Bytes, CallFailed>),
}

/// The leave to run an attempt. It is given back with the attempt's end, so that an outcome which
/// waits for its entity, however long, holds up no other attempt.
pub(crate) type Turn = OwnedSemaphorePermit;

/// Performs an effect once.
pub(crate) type Perform = Arc<dyn Fn(Job, Turn) -> BoxFuture<'static, Ended> + Send + Sync>;

/// How fast a lane goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) concurrency_max: usize,
    pub(crate) first_backoff: Duration,
    pub(crate) backoff_max: Duration,
}

/// The task of a lane.
pub(crate) struct Lane {
    name: String,
    pace: Pace,
    perform: Perform,
    clock: Clock,
    mailbox: Receiver<LaneMessage>,
    /// By due time, then in the order of arrival.
    waiting: BTreeMap<(Timestamp, u64), Box<Job>>,
    /// Where each job waits; `None` while it runs.
    places: HashMap<(EntityId, EffectId), Option<(Timestamp, u64)>>,
    /// Where the order of each entity's effects is kept.
    queues: Option<Queues>,
    /// Attempts, and outcomes on their way to their entities.
    running: JoinSet<(Box<Job>, Ended)>,
    turns: Arc<Semaphore>,
    arrivals: u64,
}

impl Lane {
    pub(crate) fn new(
        name: String,
        pace: Pace,
        perform: Perform,
        clock: Clock,
        mailbox: Receiver<LaneMessage>,
    ) -> Self {
        Self {
            name,
            pace,
            perform,
            clock,
            mailbox,
            waiting: BTreeMap::new(),
            places: HashMap::new(),
            queues: None,
            running: JoinSet::new(),
            turns: Arc::new(Semaphore::new(
                pace.concurrency_max.min(Semaphore::MAX_PERMITS),
            )),
            arrivals: 0,
        }
    }

    /// The same lane, which performs the effects of each entity one after the other.
    #[must_use]
    pub(crate) fn in_order(mut self) -> Self {
        self.queues = Some(Queues::default());
        self
    }

    /// Runs until told to stop; then starts nothing more and waits for what is running.
    pub(crate) async fn run(mut self, mut stopping: watch::Receiver<bool>) {
        let mut inbox = VecDeque::new();
        loop {
            let pause = self.start_due();
            tokio::select! {
                biased;
                _ = stopping.wait_for(|stopping| *stopping) => break,
                Some(ended) = self.running.join_next() => self.finish(ended),
                open = self.mailbox.receive_batch(&mut inbox) => {
                    if !open {
                        break;
                    }
                    for message in inbox.drain(..) {
                        self.take(message);
                    }
                }
                _ = Arc::clone(&self.turns).acquire_owned(), if pause.is_none() => {}
                () = sleep(pause.unwrap_or(SLEEP_MAX)) => {}
            }
        }
        while self.running.join_next().await.is_some() {}
    }

    fn take(&mut self, message: LaneMessage) {
        match message {
            LaneMessage::Perform(job) => {
                let first = match &mut self.queues {
                    Some(queues) => queues.enter(job),
                    None => Some(job),
                };
                if let Some(job) = first {
                    self.wait(job);
                }
            }
            LaneMessage::Withdraw { entity, effect } => self.withdraw(entity, effect),
        }
    }

    fn withdraw(&mut self, entity: EntityId, effect: EffectId) {
        let queues = self.queues.as_mut();
        if queues.is_some_and(|queues| queues.withdraw(&entity, effect)) {
            return;
        }
        let name = (entity, effect);
        // One that runs is not started again.
        if let Some(Some(place)) = self.places.remove(&name) {
            self.waiting.remove(&place);
            self.go_on(&name.0);
        }
    }

    /// An effect of the entity is done: its next one may come.
    fn go_on(&mut self, entity: &EntityId) {
        let next = self.queues.as_mut().and_then(|queues| queues.next(entity));
        if let Some(next) = next {
            self.wait(next);
        }
    }

    fn wait(&mut self, job: Box<Job>) {
        self.arrivals = self.arrivals.wrapping_add(1);
        let place = (job.due, self.arrivals);
        self.places
            .insert((job.entity.clone(), job.record.id), Some(place));
        self.waiting.insert(place, job);
    }

    /// Starts what is due and has room; says how long nothing more can be, `None` where the next
    /// turn that is given back will be taken.
    fn start_due(&mut self) -> Option<Duration> {
        let now = self.clock.now();
        let running_max = self
            .pace
            .concurrency_max
            .saturating_add(OUTCOMES_WAITING_MAX);
        while self.running.len() < running_max {
            let Some(first) = self.waiting.first_entry() else {
                break;
            };
            let (due, _) = *first.key();
            if due > now {
                return Some(due.since(now).min(SLEEP_MAX));
            }
            let turn = Arc::clone(&self.turns).try_acquire_owned().ok()?;
            let mut job = first.remove();
            self.places
                .insert((job.entity.clone(), job.record.id), None);
            job.attempts = job.attempts.saturating_add(1);
            job.first_attempt.get_or_insert_with(Instant::now);
            let performing = (self.perform)((*job).clone(), turn);
            self.running.spawn(async move { (job, performing.await) });
        }
        Some(SLEEP_MAX)
    }

    fn finish(&mut self, ended: Result<(Box<Job>, Ended), tokio::task::JoinError>) {
        let (mut job, ended) = match ended {
            Ok(ended) => ended,
            Err(error) => {
                // Attempts catch their panics, and nobody aborts them but the end of the program.
                return tracing::error!(lane = %self.name, %error, "an attempt was cut off; the effect runs at the next start");
            }
        };
        let is_wanted = self
            .places
            .remove(&(job.entity.clone(), job.record.id))
            .is_some();
        match ended {
            Ended::Settled => return self.go_on(&job.entity),
            Ended::Again => {}
            Ended::Undelivered(outcome) => job.outcome = Some(outcome),
        }
        if is_wanted {
            metrics::counter!("griot_effect_retries_total", "effect" => self.name.clone())
                .increment(1);
            job.due = self.clock.now().after(self.backoff(job.attempts));
            self.wait(job);
        } else {
            self.go_on(&job.entity);
        }
    }

    /// Exponential backoff with equal jitter: half of it is fixed, half is random.
    ///
    /// Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    fn backoff(&self, attempts: u32) -> Duration {
        let doublings = attempts.saturating_sub(1).min(30);
        let full = self
            .pace
            .first_backoff
            .saturating_mul(1 << doublings)
            .min(self.pace.backoff_max);
        full.mul_f64(0.5 + fastrand::f64() / 2.0)
    }
}
