//! A shard: one task that owns a slice of the entities of one kind.
//!
//! It decides every command at once on the state as it will be, gathers the decisions into a batch
//! while the journal makes the last one durable, and releases each answer when its batch is. One
//! batch is on its way at a time; reads and rejections wait for the batch that they rest on.

mod append;
mod decide;
mod failure;
mod recovering;

use std::collections::VecDeque;
use std::future::{pending, poll_fn, ready};
use std::hint::black_box;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::BytesMut;
use griot_actor::mailbox::{Receiver, Sender};
use griot_core::{Entity, Epoch, Timestamp};
use griot_journal::{Batch, BoxFuture, JournalError, ShardId};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::batch::{Building, InFlight, Pending, Spare};
use crate::delivery::BoxDelivery;
use crate::error::Failure;
use crate::gathering::Gathering;
use crate::kind::Kind;
use crate::recovery::{Recovered, RecoveryError};
use crate::table::Table;

/// How often a shard looks for idle entities.
const TICK: Duration = Duration::from_secs(1);
/// Decisions between two looks at whether the journal is free for the next batch.
const DECISIONS_PER_LOOK: usize = 256;
/// Commands whose entities are looked up together.
const LOOKED_UP_AHEAD: usize = 16;
/// Answers given out before those who got them may run.
const ANSWERS_PER_TURN: usize = 128;
/// What payloads of events are cut from.
const BUFFER_BYTES: usize = 64 * 1024;
/// How long a shard waits before it claims again after a claim failed.
const CLAIM_BACKOFF: Duration = Duration::from_millis(500);

/// What a shard's mailbox holds.
pub(crate) enum ShardMessage<E: Entity> {
    Deliver(BoxDelivery<E>),
    /// A recovery ended.
    Recovered {
        slot: u32,
        recovered: Box<Result<Recovered<E>, RecoveryError>>,
    },
    /// Finish what is here, then end.
    Drain,
}

/// The task's state.
pub(crate) struct Shard<E: Entity> {
    kind: Arc<Kind<E>>,
    id: ShardId,
    epoch: Epoch,
    mailbox: Receiver<ShardMessage<E>>,
    /// Taken from the mailbox, and not looked at yet.
    inbox: VecDeque<ShardMessage<E>>,
    /// Its own mailbox, for recoveries that end.
    sender: Sender<ShardMessage<E>>,
    table: Table<E>,
    building: Building<E>,
    in_flight: Option<InFlight<E>>,
    /// Memory of batches that are done, for the next ones.
    spare: Spare<E>,
    durable_batch: u64,
    /// Before the next batch is closed.
    gathering: Option<Gathering>,
    /// Answers that may go out, in order.
    releasing: VecDeque<BoxDelivery<E>>,
    /// Under way after the shard may have lost its ownership; nothing is decided meanwhile.
    claiming: Option<BoxFuture<'static, Result<Epoch, JournalError>>>,
    /// Slots to recover once the shard is owned again.
    lost: Vec<u32>,
    /// Slots whose state was forgotten, and the batch that must be durable before they are recovered.
    broken: Vec<(u64, u32)>,
    recovering: usize,
    /// Where the payloads of events are written.
    buffer: BytesMut,
    now: Timestamp,
    tick: u32,
    draining: bool,
}

impl<E: Entity> Shard<E> {
    pub(crate) fn new(
        kind: Arc<Kind<E>>,
        id: ShardId,
        epoch: Epoch,
        mailbox: Receiver<ShardMessage<E>>,
        sender: Sender<ShardMessage<E>>,
    ) -> Self {
        let now = kind.clock.now();
        Self {
            kind,
            id,
            epoch,
            mailbox,
            inbox: VecDeque::new(),
            sender,
            table: Table::default(),
            building: Building::new(1),
            in_flight: None,
            spare: Spare::default(),
            durable_batch: 0,
            gathering: None,
            releasing: VecDeque::new(),
            claiming: None,
            lost: Vec::new(),
            broken: Vec::new(),
            recovering: 0,
            buffer: BytesMut::with_capacity(BUFFER_BYTES),
            now,
            tick: 1,
            draining: false,
        }
    }

    /// Runs until it is told to drain and has.
    pub(crate) async fn run(mut self) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        while !self.is_drained() {
            let takes_more = self.has_room() && self.inbox.is_empty();
            tokio::select! {
                biased;
                result = appended(&mut self.in_flight) => self.finish_batch(result),
                claimed = claimed(&mut self.claiming) => self.finish_claim(claimed),
                _ = ticks.tick() => self.sweep(),
                _ = self.mailbox.receive_batch(&mut self.inbox), if takes_more => {
                    self.kind.away.came(self.inbox.len());
                }
                () = ready(()), if self.has_more_to_do() => {}
            }
            self.take_in();
            let gathers = self.gathers();
            if !gathers {
                self.submit();
            }
            if self.release() || gathers {
                next_turn().await;
            }
        }
        self.mailbox.close();
        self.refuse_all();
    }

    /// Whether the next batch waits for those who were answered.
    fn gathers(&mut self) -> bool {
        let may_grow = !self.draining && self.batch_has_room();
        let away = &self.kind.away;
        let goes_on = may_grow
            && self
                .gathering
                .as_mut()
                .is_some_and(|gathering| gathering.goes_on(away));
        if !goes_on {
            self.gathering = None;
        }
        goes_on
    }

    /// Whether it can go on without waiting for anybody.
    fn has_more_to_do(&self) -> bool {
        self.gathering.is_some()
            || !self.releasing.is_empty()
            || (!self.inbox.is_empty() && self.has_room())
    }

    /// Whether another decision may be taken in. Where not, a batch, a claim or the release of
    /// answers is under way, and its end makes room.
    fn has_room(&self) -> bool {
        let in_flight = self.in_flight.as_ref();
        let held = in_flight.map_or(0, |in_flight| in_flight.pending.held.len());
        let held = held + self.releasing.len();
        self.claiming.is_none()
            && self.batch_has_room()
            && self.building.pending.held.len() + held < self.kind.limits.held_answers_max
    }

    fn batch_has_room(&self) -> bool {
        let limits = &self.kind.limits;
        self.building.appends.len() < limits.batch_appends_max
            && self.building.bytes < limits.batch_bytes_max
    }

    fn is_drained(&self) -> bool {
        self.draining
            && self.mailbox.is_empty()
            && self.inbox.is_empty()
            && self.in_flight.is_none()
            && self.building.appends.is_empty()
            && self.releasing.is_empty()
            && self.recovering == 0
            && self.broken.is_empty()
            && self.claiming.is_none()
    }

    /// Takes in what has come, for as long as there is room.
    fn take_in(&mut self) {
        if self.inbox.is_empty() {
            return;
        }
        self.now = self.kind.clock.now();
        let mut decisions: usize = 0;
        loop {
            if !self.has_room() {
                self.submit();
                if !self.has_room() {
                    return;
                }
            }
            if decisions.is_multiple_of(LOOKED_UP_AHEAD) {
                self.look_ahead();
            }
            let Some(message) = self.inbox.pop_front() else {
                return;
            };
            match message {
                ShardMessage::Deliver(delivery) => self.accept(delivery),
                ShardMessage::Recovered { slot, recovered } => {
                    self.finish_recovery(slot, *recovered);
                }
                ShardMessage::Drain => self.draining = true,
            }
            decisions += 1;
            if decisions.is_multiple_of(DECISIONS_PER_LOOK) {
                self.submit();
            }
        }
    }

    /// Touches the entities of the next few commands, step by step: each step waits for memory, and
    /// does so for several at a time where nothing else stands between. Soon after they are found in
    /// the processor's cache.
    fn look_ahead(&self) {
        let number = |at: usize| match self.inbox.get(at) {
            Some(ShardMessage::Deliver(delivery)) => self.table.guess(delivery.target().hash),
            _ => None,
        };
        let numbers: [Option<u32>; LOOKED_UP_AHEAD] = std::array::from_fn(number);
        for slot in numbers.into_iter().flatten() {
            // Without it the compiler would leave the reading out.
            black_box(self.table.get(slot).map(|slot| slot.seq));
        }
    }

    /// Gives the journal the next batch, if it has none of this shard.
    fn submit(&mut self) {
        let waits = self.in_flight.is_some() || self.claiming.is_some();
        if waits || self.gathering.is_some() || self.building.appends.is_empty() {
            return;
        }
        let next = self.spare.next(&self.building);
        let Building {
            appends, pending, ..
        } = std::mem::replace(&mut self.building, next);
        self.kind.metrics.batch_appends(appends.len());
        let batch = Batch {
            shard: self.id.clone(),
            epoch: self.epoch,
            appends,
        };
        self.append(Arc::new(batch), pending);
    }

    fn append(&mut self, batch: Arc<Batch>, pending: Pending<E>) {
        let journal = Arc::clone(&self.kind.journal);
        let appends = Arc::clone(&batch);
        self.in_flight = Some(InFlight {
            batch,
            pending,
            began: std::time::Instant::now(),
            appending: Box::pin(async move { journal.append(appends).await }),
        });
    }

    /// Makes everything visible that rests on a batch that is durable now.
    fn make_visible(&mut self, mut pending: Pending<E>, took: Duration) {
        self.durable_batch = pending.number;
        self.kind.metrics.answered(pending.held.len());
        self.kind.away.answered(pending.held.len());
        self.gathering = Some(Gathering::after(took));
        let answers = pending.held.drain(..).map(|held| held.delivery);
        self.releasing.extend(answers);
        self.spare.held = pending.held;
        let decided = pending.effects.len();
        for due in pending.effects {
            // One that was withdrawn in the batch that records it must not start.
            let name = (due.entity.clone(), due.record.id);
            if pending.withdrawn.is_empty() || !pending.withdrawn.contains(&name) {
                self.kind.effects.perform(due);
            }
        }
        for (entity, effect) in pending.withdrawn {
            self.kind.effects.withdraw(&entity, effect);
        }
        self.kind.effects.expected_no_more(decided);
        for snapshot in pending.snapshots {
            self.kind.save_snapshot(snapshot);
        }
        self.recover_broken();
    }

    /// Gives some answers out; whether there were any. The askers get their turn before the next
    /// ones: what they and the shard write for each other is in the processor's cache then.
    fn release(&mut self) -> bool {
        let count = self.releasing.len().min(ANSWERS_PER_TURN);
        for delivery in self.releasing.drain(..count) {
            delivery.release();
        }
        count > 0
    }

    fn sweep(&mut self) {
        if self.in_flight.is_none() && self.building.is_empty() {
            // Nothing is under way: the memory of a burst is given back.
            self.spare = Spare::default();
            self.building.shrink();
            self.releasing.shrink_to_fit();
            self.inbox.shrink_to_fit();
        }
        self.tick = self.tick.saturating_add(1);
        let idle_ticks =
            u32::try_from(self.kind.limits.passivate_after.as_secs()).unwrap_or(u32::MAX);
        let before = self.tick.saturating_sub(idle_ticks);
        // Twice round within the idle time, so that nobody overstays by more than half of it.
        let steps = 64
            + self.table.len().saturating_mul(2) / usize::try_from(idle_ticks.max(1)).unwrap_or(1);
        let left = self
            .table
            .sweep(steps, usize::MAX, self.durable_batch, before);
        self.kind.metrics.passivated(left);
        self.kind
            .metrics
            .in_memory(self.id.number, self.table.len());
    }

    fn turn_away(&self, delivery: BoxDelivery<E>, failure: Failure) {
        self.kind.metrics.turned_away(failure);
        delivery.fail(failure);
    }
}

/// Lets those run who are ready to in this thread. `yield_now` of tokio would look for input, too,
/// with a call to the system in every turn.
async fn next_turn() {
    let mut had = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut had, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

async fn appended<E: Entity>(
    in_flight: &mut Option<InFlight<E>>,
) -> Result<griot_journal::Appended, griot_journal::AppendError> {
    match in_flight {
        Some(in_flight) => (&mut in_flight.appending).await,
        None => pending().await,
    }
}

async fn claimed(
    claiming: &mut Option<BoxFuture<'static, Result<Epoch, JournalError>>>,
) -> Result<Epoch, JournalError> {
    match claiming {
        Some(claiming) => claiming.await,
        None => pending().await,
    }
}

impl<E: Entity> Shard<E> {
    /// Claims the shard anew, after a pause where the last claim failed.
    fn claim(&mut self, not_before: Instant) {
        let journal = Arc::clone(&self.kind.journal);
        let shard = self.id.clone();
        self.claiming = Some(Box::pin(async move {
            sleep_until(not_before).await;
            journal.claim(&shard).await
        }));
    }
}
