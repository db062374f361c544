//! What all shards, references and effects of one kind of entity share.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use griot_actor::deadlines::Deadlines;
use griot_actor::mailbox::{Sender, TrySendError};
use griot_core::{CoreError, Decision, Effect, EffectId, Entity, Handle, Seq, shard_of};
use griot_journal::{Journal, Metadata, Snapshot, SnapshotStore};
use tokio::sync::{Semaphore, oneshot};

use crate::delivery::{Answered, Asked, BoxDelivery, Look, Settle, Target};
use crate::effects::Effects;
use crate::entities::CommandFn;
use crate::error::Failure;
use crate::gathering::Away;
use crate::health::Health;
use crate::keys::CommandKey;
use crate::metrics::Metrics;
use crate::router::Router;
use crate::shard::ShardMessage;
use crate::{AskError, Clock, Limits};

/// Snapshots of one kind being saved at a time; one more is left out, for it is only a cache.
pub(crate) const SNAPSHOT_SAVES_MAX: usize = 64;

/// How many sets of deadlines a kind has; threads beyond that share them.
pub(crate) const DEADLINE_SETS: usize = 64;

static THREADS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// The number of this thread among those that ever asked.
    static THREAD: usize = THREADS.fetch_add(1, Ordering::Relaxed);
}

/// One kind of entity, running.
pub(crate) struct Kind<E: Entity> {
    pub(crate) limits: Arc<Limits>,
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) snapshots: Arc<dyn SnapshotStore>,
    pub(crate) clock: Clock,
    /// Of the asks under way, by the thread they began on, so that threads do not wait for each other.
    pub(crate) deadlines: Vec<Arc<Deadlines>>,
    pub(crate) effects: Effects,
    pub(crate) metrics: Metrics,
    pub(crate) health: Arc<Health>,
    pub(crate) router: Arc<Router>,
    pub(crate) recoveries: Arc<Semaphore>,
    pub(crate) snapshot_saves: Arc<Semaphore>,
    pub(crate) entities_per_shard_max: usize,
    pub(crate) commands: HashMap<&'static str, CommandFn<E>>,
    pub(crate) shards: Vec<Sender<ShardMessage<E>>>,
    pub(crate) away: Away,
    pub(crate) closed: AtomicBool,
}

impl<E: Entity> fmt::Debug for Kind<E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Kind")
            .field("kind", &E::KIND)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// Where the answer to a command of the type `C` comes.
pub(crate) type Answer<E, C> =
    oneshot::Receiver<Answered<<E as Handle<C>>::Reply, <E as Handle<C>>::Error>>;

/// How a command is to be delivered.
#[derive(Debug, Default)]
pub(crate) struct Terms {
    pub(crate) key: Option<CommandKey>,
    pub(crate) settles: Option<EffectId>,
    pub(crate) metadata: Metadata,
}

impl Terms {
    /// Most commands have none; those that wait in a mailbox should be small.
    fn boxed(self) -> Option<Box<Self>> {
        let is_plain = self.key.is_none() && self.settles.is_none() && self.metadata.is_empty();
        (!is_plain).then(|| Box::new(self))
    }
}

impl<E: Entity> Kind<E> {
    /// The deadlines that an ask that begins on this thread is one of.
    pub(crate) fn deadlines(&self) -> Arc<Deadlines> {
        let thread = THREAD.with(|thread| *thread) % self.deadlines.len().max(1);
        let deadlines = self.deadlines.get(thread);
        deadlines.map_or_else(Deadlines::new, Arc::clone)
    }

    fn place_of(&self, target: &Target) -> usize {
        usize::try_from(shard_of(target.hash, self.limits.shards)).unwrap_or(usize::MAX)
    }

    fn shard_of(&self, target: &Target) -> Result<&Sender<ShardMessage<E>>, Failure> {
        self.shards
            .get(self.place_of(target))
            .ok_or(Failure::Unavailable)
    }

    /// Gives a shard a delivery from outside: turned away where its mailbox is full.
    fn offer(&self, delivery: BoxDelivery<E>) -> Result<(), Failure> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Failure::Unavailable);
        }
        let shard = self.shard_of(delivery.target())?;
        shard
            .try_send(ShardMessage::Deliver(delivery))
            .map_err(|error| {
                let failure = match error {
                    TrySendError::Full(_) => Failure::Busy,
                    TrySendError::Closed(_) => Failure::Unavailable,
                };
                self.metrics.turned_away(failure);
                failure
            })
    }

    /// Offers a command from outside and returns where its answer will come.
    pub(crate) fn ask<C>(
        &self,
        target: Target,
        command: C,
        terms: Terms,
    ) -> Result<Answer<E, C>, Failure>
    where
        E: Handle<C>,
        C: Send + 'static,
    {
        let (asker, answer) = oneshot::channel();
        self.offer(Box::new(Asked::<E, C> {
            target,
            command: Some(command),
            terms: terms.boxed(),
            external: true,
            answer: None,
            asker,
        }))?;
        Ok(answer)
    }

    /// Delivers a command from within and waits until its decision is durable. A rejection is a
    /// decision, too.
    pub(crate) async fn deliver<C>(
        &self,
        target: Target,
        command: C,
        terms: Terms,
    ) -> Result<(), Failure>
    where
        E: Handle<C>,
        C: Send + 'static,
    {
        let (asker, answer) = oneshot::channel();
        let id = target.id.clone();
        let shard = self.shard_of(&target)?;
        let delivery = Box::new(Asked::<E, C> {
            target,
            command: Some(command),
            terms: terms.boxed(),
            external: false,
            answer: None,
            asker,
        });
        shard
            .send(ShardMessage::Deliver(delivery))
            .await
            .map_err(|_| Failure::Unavailable)?;
        if answer.await.map_err(|_| Failure::Unavailable)??.is_err() {
            tracing::warn!(entity = %id, command = std::any::type_name::<C>(), "an effect's command was rejected");
        }
        Ok(())
    }

    /// Records that an effect ended that has nothing to tell its entity.
    pub(crate) async fn settle(&self, target: Target, effect: EffectId) -> Result<(), Failure> {
        let (asker, answer) = oneshot::channel();
        let shard = self.shard_of(&target)?;
        let delivery = Box::new(Settle {
            target,
            effect,
            asker,
        });
        shard
            .send(ShardMessage::Deliver(delivery))
            .await
            .map_err(|_| Failure::Unavailable)?;
        answer.await.map_err(|_| Failure::Unavailable)?
    }

    /// Looks at an entity until `look` has seen what it wants, or the time is up.
    pub(crate) async fn look<R: Send + 'static, X>(
        &self,
        target: Target,
        within: Duration,
        look: impl FnMut(&E, Seq) -> Option<R> + Send + 'static,
    ) -> Result<Option<R>, AskError<X>> {
        let (asker, answer) = oneshot::channel();
        self.offer(Box::new(Look {
            target,
            see: Box::new(look),
            seen: None,
            asker,
        }))?;
        match tokio::time::timeout(within, answer).await {
            Ok(Ok(seen)) => Ok(Some(seen?)),
            Ok(Err(_)) => Err(AskError::Unavailable),
            Err(_) => Ok(None),
        }
    }

    /// Whether everything that a decision wants can be performed.
    pub(crate) fn check(&self, decision: &Decision<E>) -> Result<(), CoreError> {
        if let Some(failure) = &decision.failure {
            return Err(CoreError::Encode {
                what: "an effect",
                reason: failure.to_string(),
            });
        }
        for effect in &decision.effects {
            let (what, known) = match effect {
                Effect::Call { name, .. } => ("call", self.effects.knows_call(name)),
                Effect::Timer { name, .. } => ("command", self.commands.contains_key(&**name)),
                Effect::Message { to, name, .. } => {
                    ("message's command", self.router.knows(to.kind(), name))
                }
                Effect::Publication(_) => ("publisher for the topic", self.effects.publishes()),
                _ => continue,
            };
            if !known {
                let name = effect.name().to_owned();
                return Err(CoreError::NotRegistered { what, name });
            }
        }
        Ok(())
    }

    /// Saves a snapshot in the background, unless too many are being saved.
    pub(crate) fn save_snapshot(&self, snapshot: Snapshot) {
        let Ok(permit) = Arc::clone(&self.snapshot_saves).try_acquire_owned() else {
            return;
        };
        let snapshots = Arc::clone(&self.snapshots);
        let keep = self.limits.snapshots_kept;
        tokio::spawn(async move {
            let _permit = permit;
            if let Err(error) = snapshots.save(snapshot, keep).await {
                tracing::warn!(%error, "a snapshot was not saved, recovery replays more events");
            }
        });
    }
}
