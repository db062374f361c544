//! The runtime: the kinds of entities that run on one journal.

use std::any::{Any, TypeId};
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use griot_actor::deadlines::FAR;
use griot_core::{Entity, EntityId};
use griot_journal::{Journal, SnapshotStore};
use tokio::time::Instant;

use crate::effects::publishing::Publish;
use crate::entities::Entities;
use crate::health::Health;
use crate::kind::Kind;
use crate::router::Router;
use crate::starting::{Prepared, Registered, Running, Shared};
use crate::{Clock, EntityError, EntityRef};

/// Entities on a journal, running.
///
/// Cheap to clone. Dropping the last clone ends the tasks at once, as a crash would; what was
/// acknowledged is safe either way. [`drain`](Griot::drain) ends it in good order.
#[derive(Clone)]
pub struct Griot(Arc<Inner>);

struct Inner {
    journal: Arc<dyn Journal>,
    snapshots: Arc<dyn SnapshotStore>,
    health: Arc<Health>,
    kinds: HashMap<TypeId, Arc<dyn Any + Send + Sync>>,
    running: Mutex<Vec<Running>>,
}

impl fmt::Debug for Griot {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Griot")
            .field("kinds", &self.0.kinds.len())
            .finish_non_exhaustive()
    }
}

/// What is about to run.
pub struct GriotBuilder {
    shared: Shared,
    kinds: Vec<(TypeId, Box<dyn Registered>)>,
}

impl fmt::Debug for GriotBuilder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds: Vec<_> = self.kinds.iter().map(|(_, kind)| kind.name()).collect();
        formatter
            .debug_struct("GriotBuilder")
            .field("kinds", &kinds)
            .finish_non_exhaustive()
    }
}

impl GriotBuilder {
    /// Adds a kind of entity.
    #[must_use]
    pub fn entity<E: Entity>(mut self, entities: Entities<E>) -> Self {
        self.kinds.push((TypeId::of::<E>(), Box::new(entities)));
        self
    }

    /// Takes the time from another clock.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.shared.clock = clock;
        self
    }

    /// Delivers the publications of all entities. Without it a decision that publishes is refused.
    #[must_use]
    pub fn publisher(mut self, publish: Publish) -> Self {
        self.shared.publish = Some(publish);
        self
    }

    /// The journal it will run on.
    pub fn journal(&self) -> &Arc<dyn Journal> {
        &self.shared.journal
    }

    /// Claims every shard, takes up the effects that have no outcome yet, and runs.
    ///
    /// # Errors
    ///
    /// A kind registered twice, a limit that cannot work, or what the journal says.
    ///
    /// # Cancel safety
    ///
    /// Dropped while awaited, nothing runs; shards may have been claimed.
    pub async fn start(self) -> Result<Griot, EntityError> {
        let Self { shared, kinds } = self;
        let mut names = HashSet::new();
        let mut prepared: Vec<(TypeId, &'static str, Box<dyn Prepared>)> = Vec::new();
        for (type_id, kind) in kinds {
            let name = kind.name();
            if !names.insert(name) {
                return Err(EntityError::RegisteredTwice(name));
            }
            prepared.push((type_id, name, kind.prepare(shared.clone())?));
        }
        let addressees = prepared
            .iter()
            .map(|(_, name, kind)| (*name, kind.addressee()));
        shared.router.complete(addressees.collect());
        let mut kinds = HashMap::new();
        let mut running = Cut(Vec::new());
        for (type_id, _, kind) in prepared {
            let kind = kind.start().await?;
            kinds.insert(type_id, Arc::clone(&kind.kind));
            running.0.push(kind);
        }
        Ok(Griot(Arc::new(Inner {
            journal: shared.journal,
            snapshots: shared.snapshots,
            health: shared.health,
            kinds,
            running: Mutex::new(std::mem::take(&mut running.0)),
        })))
    }
}

/// How a drain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Effects that have no outcome yet. They are recorded, and go on at the next start.
    pub effects_left: usize,
    /// Whether everything ended by itself within the deadline.
    pub in_time: bool,
}

impl Griot {
    /// Begins with a journal, and a store for snapshots.
    pub fn builder(journal: Arc<dyn Journal>, snapshots: Arc<dyn SnapshotStore>) -> GriotBuilder {
        GriotBuilder {
            shared: Shared {
                journal,
                snapshots,
                clock: Clock::system(),
                health: Arc::default(),
                router: Arc::new(Router::default()),
                publish: None,
            },
            kinds: Vec::new(),
        }
    }

    /// A reference to the entity `id` of the kind `E`, which need not exist yet.
    ///
    /// # Errors
    ///
    /// An id that no entity can have, or a kind that is not registered.
    pub fn entity<E: Entity>(&self, id: &str) -> Result<EntityRef<E>, EntityError> {
        let id = EntityId::new(E::KIND, id)?;
        let kind = self.0.kinds.get(&TypeId::of::<E>()).cloned();
        let kind = kind.and_then(|kind| kind.downcast::<Kind<E>>().ok());
        let kind = kind.ok_or(EntityError::NotRegistered(E::KIND))?;
        Ok(EntityRef::new(kind, id))
    }

    /// The journal everything is recorded in.
    pub fn journal(&self) -> &Arc<dyn Journal> {
        &self.0.journal
    }

    /// The store of snapshots.
    pub fn snapshots(&self) -> &Arc<dyn SnapshotStore> {
        &self.0.snapshots
    }

    /// What keeps entities from being served, in the journal's words; `None` where nothing does.
    pub fn trouble(&self) -> Option<String> {
        self.0.health.current()
    }

    /// How many effects have no outcome yet.
    pub fn effects(&self) -> usize {
        let running = self
            .0
            .running
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        running.iter().map(|kind| kind.control.effects()).sum()
    }

    /// Ends in good order: turns commands away, lets running effects come to their outcome and
    /// starts no more, finishes what the shards have, and closes the journal. What is still running
    /// at the deadline is cut off, as a crash would; nothing acknowledged is lost.
    ///
    /// # Cancel safety
    ///
    /// Dropped while awaited, the tasks are cut off.
    pub async fn drain(&self, deadline: Duration) -> Drained {
        let until = Instant::now() + deadline.min(FAR);
        let mut running = {
            let mut running = self
                .0
                .running
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            Cut(std::mem::take(&mut *running))
        };
        if running.0.is_empty() {
            // Another drain is under way, or was: it closes the journal when it is done.
            return Drained {
                effects_left: 0,
                in_time: true,
            };
        }
        let ending = async {
            for kind in &running.0 {
                kind.control.close();
                kind.stop_lanes.send_replace(true);
            }
            for lane in running.0.iter_mut().flat_map(|kind| &mut kind.lanes) {
                let _ = lane.await;
            }
            for kind in &running.0 {
                kind.control.drain_shards();
            }
            for shard in running.0.iter_mut().flat_map(|kind| &mut kind.shards) {
                let _ = shard.await;
            }
        };
        let in_time = tokio::time::timeout_at(until, ending).await.is_ok();
        let effects_left = running.0.iter().map(|kind| kind.control.effects()).sum();
        drop(running);
        let closed = tokio::time::timeout_at(until, self.0.journal.close()).await;
        Drained {
            effects_left,
            in_time: in_time && closed.is_ok(),
        }
    }
}

/// Kinds whose tasks end at once when it is dropped.
struct Cut(Vec<Running>);

impl Drop for Cut {
    fn drop(&mut self) {
        cut_off(&self.0);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        cut_off(
            self.running
                .get_mut()
                .unwrap_or_else(PoisonError::into_inner),
        );
    }
}

fn cut_off(running: &[Running]) {
    for kind in running {
        for task in kind.lanes.iter().chain(&kind.shards) {
            task.abort();
        }
    }
}
