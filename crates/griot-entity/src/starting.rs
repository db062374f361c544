//! How a registered kind of entity comes to run: shards claimed, effects without an outcome taken up.

use std::any::Any;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use futures_util::future::try_join_all;
use griot_actor::deadlines::Deadlines;
use griot_actor::mailbox::{Receiver, mailbox};
use griot_core::{Effect, Entity, EntityId, stable_hash};
use griot_journal::{BoxFuture, Journal, ShardId, SnapshotStore, Unsettled};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

use crate::batch::DueEffect;
use crate::delivery::Target;
use crate::effects::Effects;
use crate::effects::call::{CallPolicy, settled};
use crate::effects::lane::{Ended, Job, Lane, LaneMessage, Pace, Perform};
use crate::effects::publishing::{self, Publish};
use crate::entities::{CommandFn, Entities};
use crate::error::Failure;
use crate::gathering::Away;
use crate::health::Health;
use crate::keys::CommandKey;
use crate::kind::{DEADLINE_SETS, Kind, SNAPSHOT_SAVES_MAX, Terms};
use crate::metrics::Metrics;
use crate::router::{Addressee, Router};
use crate::shard::{Shard, ShardMessage};
use crate::{Clock, EntityError};

/// Effects read at a time when a kind starts.
const UNSETTLED_PAGE: usize = 1_024;

/// What all kinds of a runtime share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) snapshots: Arc<dyn SnapshotStore>,
    pub(crate) clock: Clock,
    pub(crate) health: Arc<Health>,
    pub(crate) router: Arc<Router>,
    pub(crate) publish: Option<Publish>,
}

/// A kind that is registered, with its type erased.
pub(crate) trait Registered: Send {
    fn name(&self) -> &'static str;
    fn prepare(self: Box<Self>, shared: Shared) -> Result<Box<dyn Prepared>, EntityError>;
}

/// A kind whose parts exist and know each other, but that nothing has been given to yet.
pub(crate) trait Prepared: Send {
    fn addressee(&self) -> Arc<dyn Addressee>;
    fn start(self: Box<Self>) -> BoxFuture<'static, Result<Running, EntityError>>;
}

/// A kind that runs.
pub(crate) struct Running {
    pub(crate) kind: Arc<dyn Any + Send + Sync>,
    pub(crate) control: Arc<dyn Control>,
    pub(crate) stop_lanes: watch::Sender<bool>,
    pub(crate) lanes: Vec<JoinHandle<()>>,
    pub(crate) shards: Vec<JoinHandle<()>>,
}

/// What the runtime does with a running kind.
pub(crate) trait Control: Send + Sync {
    /// Turns commands from outside away from now on.
    fn close(&self);
    /// Tells the shards to finish what they have.
    fn drain_shards(&self);
    /// How many effects have no outcome yet.
    fn effects(&self) -> usize;
}

impl<E: Entity> Control for Kind<E> {
    fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    fn drain_shards(&self) {
        for shard in &self.shards {
            // One that has ended is drained.
            let _ = shard.send_now(ShardMessage::Drain);
        }
    }

    fn effects(&self) -> usize {
        self.effects.count()
    }
}

/// Weak, because the kind holds the router that holds this.
struct KindAddressee<E: Entity> {
    kind: Weak<Kind<E>>,
    commands: HashMap<&'static str, CommandFn<E>>,
}

impl<E: Entity> Addressee for KindAddressee<E> {
    fn knows(&self, command: &str) -> bool {
        self.commands.contains_key(command)
    }

    fn deliver(
        &self,
        to: EntityId,
        command: String,
        payload: Bytes,
        key: String,
    ) -> BoxFuture<'static, Result<(), Failure>> {
        let (Some(deliver), Some(kind)) =
            (self.commands.get(command.as_str()), self.kind.upgrade())
        else {
            return Box::pin(std::future::ready(Err(Failure::Unavailable)));
        };
        let key = CommandKey {
            key,
            fingerprint: stable_hash(&payload),
        };
        let terms = Terms {
            key: Some(key),
            ..Terms::default()
        };
        deliver(kind, Target::new(to), payload, terms)
    }
}

struct Parts<E: Entity> {
    kind: Arc<Kind<E>>,
    shards: Vec<Receiver<ShardMessage<E>>>,
    lanes: Vec<Lane>,
}

impl<E: Entity> Registered for Entities<E> {
    fn name(&self) -> &'static str {
        E::KIND
    }

    fn prepare(self: Box<Self>, shared: Shared) -> Result<Box<dyn Prepared>, EntityError> {
        let Self {
            limits,
            calls,
            commands,
        } = *self;
        limits.check()?;
        EntityId::new(E::KIND, "x")?;
        let lane_mailbox = || mailbox::<LaneMessage>(1);
        let (timers, timers_mailbox) = lane_mailbox();
        let (messages, messages_mailbox) = lane_mailbox();
        let publishing = shared.publish.map(|publish| (publish, lane_mailbox()));
        let publications = publishing.as_ref().map(|(_, (sender, _))| sender.clone());
        let mut call_lanes = HashMap::new();
        let mut call_mailboxes = Vec::new();
        for call in calls {
            let (sender, receiver) = lane_mailbox();
            call_lanes.insert(call.name, sender);
            call_mailboxes.push((call, receiver));
        }
        let mailboxes = (0..limits.shards).map(|_| mailbox(limits.mailbox_commands_max));
        let (senders, receivers) = mailboxes.unzip();
        let shards = usize::try_from(limits.shards).unwrap_or(usize::MAX);
        let kind = Arc::new(Kind {
            journal: shared.journal,
            snapshots: shared.snapshots,
            clock: shared.clock,
            deadlines: (0..DEADLINE_SETS).map(|_| Deadlines::new()).collect(),
            effects: Effects::new(
                call_lanes,
                timers,
                messages,
                publications,
                limits.effects_max,
            ),
            metrics: Metrics::new(E::KIND),
            health: shared.health,
            router: shared.router,
            recoveries: Arc::new(Semaphore::new(
                limits.recoveries_max.min(Semaphore::MAX_PERMITS),
            )),
            snapshot_saves: Arc::new(Semaphore::new(SNAPSHOT_SAVES_MAX)),
            entities_per_shard_max: limits.entities_in_memory_max.div_ceil(shards),
            commands,
            shards: senders,
            away: Away::default(),
            closed: AtomicBool::new(false),
            limits: Arc::new(limits),
        });
        let pace = CallPolicy::default().pace();
        let lane = |name: String, pace: Pace, perform, mailbox| {
            Lane::new(name, pace, perform, kind.clock, mailbox)
        };
        let mut lanes = vec![
            lane("timer".into(), pace, perform_timer(&kind), timers_mailbox),
            lane(
                "message".into(),
                pace,
                perform_message(&kind),
                messages_mailbox,
            ),
        ];
        if let Some((publish, (_, mailbox))) = publishing {
            let perform = publishing::perform(&kind, publish);
            lanes.push(lane("publication".into(), pace, perform, mailbox).in_order());
        }
        for (call, mailbox) in call_mailboxes {
            let (name, pace) = (call.name.to_owned(), call.policy.pace());
            lanes.push(lane(name, pace, call.perform(Arc::clone(&kind)), mailbox));
        }
        Ok(Box::new(Parts {
            kind,
            shards: receivers,
            lanes,
        }))
    }
}

impl<E: Entity> Prepared for Parts<E> {
    fn addressee(&self) -> Arc<dyn Addressee> {
        Arc::new(KindAddressee {
            kind: Arc::downgrade(&self.kind),
            commands: self.kind.commands.clone(),
        })
    }

    fn start(self: Box<Self>) -> BoxFuture<'static, Result<Running, EntityError>> {
        Box::pin(async move {
            let Self {
                kind,
                shards: mailboxes,
                lanes,
            } = *self;
            let ids: Vec<_> = (0..kind.limits.shards)
                .map(|number| ShardId {
                    kind: E::KIND.into(),
                    number,
                })
                .collect();
            let epochs = try_join_all(ids.iter().map(|id| kind.journal.claim(id))).await?;
            // Read before the first command is decided, so that none of them is met twice.
            take_up_effects(&kind).await?;
            let owned = ids.into_iter().zip(epochs);
            let shards = owned
                .zip(mailboxes)
                .zip(&kind.shards)
                .map(|(((id, epoch), mailbox), sender)| {
                    Shard::new(Arc::clone(&kind), id, epoch, mailbox, sender.clone())
                })
                .map(|shard| tokio::spawn(shard.run()))
                .collect();
            let (stop_lanes, stopping) = watch::channel(false);
            let lanes = lanes
                .into_iter()
                .map(|lane| tokio::spawn(lane.run(stopping.clone())))
                .collect();
            Ok(Running {
                control: Arc::clone(&kind) as Arc<dyn Control>,
                kind,
                stop_lanes,
                lanes,
                shards,
            })
        })
    }
}

/// Gives every recorded effect without an outcome to its lane.
async fn take_up_effects<E: Entity>(kind: &Kind<E>) -> Result<(), EntityError> {
    let mut last: Option<Unsettled> = None;
    loop {
        let page = kind
            .journal
            .unsettled(E::KIND, last.as_ref(), UNSETTLED_PAGE)
            .await?;
        for unsettled in &page {
            kind.effects.perform(DueEffect {
                entity: unsettled.entity.clone(),
                at: unsettled.at,
                record: unsettled.record.clone(),
            });
        }
        match page.last() {
            Some(unsettled) => last = Some(unsettled.clone()),
            None => break,
        }
    }
    if kind.effects.count() > 0 {
        tracing::info!(
            kind = E::KIND,
            effects = kind.effects.count(),
            "recorded effects without an outcome go on"
        );
    }
    Ok(())
}

fn perform_timer<E: Entity>(kind: &Arc<Kind<E>>) -> Perform {
    let kind = Arc::clone(kind);
    Arc::new(move |job, turn| {
        let kind = Arc::clone(&kind);
        // All that is left is to wait for its entity.
        drop(turn);
        Box::pin(async move {
            let Effect::Timer { name, payload, .. } = &job.record.effect else {
                return Ended::Settled;
            };
            let Some(deliver) = kind.commands.get(&**name) else {
                tracing::error!(entity = %job.entity, command = %name, "no command of this name is registered: the timer waits until one is");
                return Ended::Again;
            };
            let terms = Terms {
                settles: Some(job.record.id),
                ..Terms::default()
            };
            let target = Target::new(job.entity.clone());
            let delivered = deliver(Arc::clone(&kind), target, payload.clone(), terms).await;
            settled(&kind, &job, delivered, Ok(Bytes::new()))
        })
    })
}

fn perform_message<E: Entity>(kind: &Arc<Kind<E>>) -> Perform {
    let kind = Arc::clone(kind);
    Arc::new(move |job: Job, turn| {
        let kind = Arc::clone(&kind);
        // All that is left is to wait for the two entities.
        drop(turn);
        Box::pin(async move {
            let Effect::Message { to, name, payload } = &job.record.effect else {
                return Ended::Settled;
            };
            let Some(addressee) = kind.router.find(to.kind()) else {
                tracing::error!(entity = %job.entity, %to, "no such kind of entity is registered: the message waits until it is");
                return Ended::Again;
            };
            if job.outcome.is_none() {
                let key = job.record.id.key(&job.entity);
                let command = name.clone().into_owned();
                let delivering = addressee.deliver(to.clone(), command, payload.clone(), key);
                if delivering.await.is_err() {
                    return Ended::Again;
                }
            }
            let sender = Target::new(job.entity.clone());
            let recorded = kind.settle(sender, job.record.id).await;
            settled(&kind, &job, recorded, Ok(Bytes::new()))
        })
    })
}
