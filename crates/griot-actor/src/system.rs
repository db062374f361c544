//! A world of actors: their names, their dead letters, their common end.

use std::any::Any;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::timeout_at;

use crate::actor_ref::{AnyActor, Shared};
use crate::cell::Cell;
use crate::control::{Control, DRAIN, KILL};
use crate::dead_letter::DeadLetters;
use crate::deadlines::{Deadlines, from_now};
use crate::mailbox::mailbox;
use crate::{Actor, ActorRef, Failure, Supervision};

/// Where actors live and have names. A value like any other: two systems know nothing of each other,
/// and a test makes its own. Clones are the same system.
#[derive(Clone)]
pub struct System {
    inner: Arc<Inner>,
}

struct Inner {
    registry: Mutex<Registry>,
    unnamed: AtomicU64,
    dead_letters: DeadLetters,
    deadlines: Arc<Deadlines>,
}

#[derive(Default)]
struct Registry {
    /// By age, so that the youngest can go first.
    actors: BTreeMap<u64, Entry>,
    names: HashMap<Arc<str>, u64>,
    next_id: u64,
}

struct Entry {
    actor: Arc<dyn AnyActor>,
    rank: Rank,
}

/// Who ends an actor at a shutdown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rank {
    /// The system.
    Root,
    /// Its parent.
    Child,
}

/// How an actor is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Under which it can be looked up; without one it gets a number.
    pub name: Option<String>,
    /// How many messages wait in its mailbox at most, besides the batch it works through.
    pub mailbox_capacity: usize,
    /// What happens when it fails.
    pub supervision: Supervision,
}

impl Default for Settings {
    /// No name, room for 1,024 messages, ten restarts a minute.
    fn default() -> Self {
        Self {
            name: None,
            mailbox_capacity: 1024,
            supervision: Supervision::default(),
        }
    }
}

/// The name is in use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an actor named `{name}` is running; choose another name or end that one first")]
pub struct NameTaken {
    /// The name.
    pub name: String,
}

/// How a shutdown went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shutdown {
    /// Actors that ended by themselves within the deadline.
    pub drained: usize,
    /// Actors that had to be killed.
    pub killed: usize,
}

/// Where a child's failure goes.
pub(crate) struct Parent {
    pub(crate) name: Arc<str>,
    pub(crate) escalate: Box<dyn Fn(Failure) + Send + Sync>,
}

impl System {
    /// A system without actors.
    pub fn new() -> Self {
        Self {
            inner: Arc::new(Inner {
                registry: Mutex::new(Registry::default()),
                unnamed: AtomicU64::new(0),
                dead_letters: DeadLetters::new(),
                deadlines: Deadlines::new(),
            }),
        }
    }

    /// Starts an actor under a name, with the default [`Settings`]. It lives until it is ended or
    /// fails for good, whether or not anybody keeps a reference.
    ///
    /// # Errors
    ///
    /// [`NameTaken`] if the name is in use.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn spawn<A: Actor>(
        &self,
        name: &str,
        factory: impl FnMut() -> A + Send + 'static,
    ) -> Result<ActorRef<A>, NameTaken> {
        self.spawn_with(
            Settings {
                name: Some(name.to_owned()),
                ..Settings::default()
            },
            factory,
        )
    }

    /// [`System::spawn`] with settings.
    ///
    /// # Errors
    ///
    /// [`NameTaken`] if the name is in use.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime, or if the mailbox's capacity is 0.
    pub fn spawn_with<A: Actor>(
        &self,
        settings: Settings,
        factory: impl FnMut() -> A + Send + 'static,
    ) -> Result<ActorRef<A>, NameTaken> {
        self.start(settings, None, factory)
    }

    pub(crate) fn start<A: Actor>(
        &self,
        settings: Settings,
        parent: Option<Parent>,
        factory: impl FnMut() -> A + Send + 'static,
    ) -> Result<ActorRef<A>, NameTaken> {
        let (sender, receiver) = mailbox(settings.mailbox_capacity);
        let own_name = settings.name.clone().unwrap_or_else(|| self.next_name());
        let name: Arc<str> = match &parent {
            Some(parent) => format!("{}/{own_name}", parent.name).into(),
            None => own_name.into(),
        };
        let control = Control::new();
        let shared = Arc::new(Shared {
            name,
            system: self.clone(),
            sender,
            control,
        });
        let entry = Arc::clone(&shared) as Arc<dyn AnyActor>;
        let rank = if parent.is_some() {
            Rank::Child
        } else {
            Rank::Root
        };
        let id = self.enter(&shared.name, entry, rank)?;
        let this = ActorRef { shared };
        let cell = Cell::new(this.clone(), id, parent, settings, receiver, factory);
        tokio::spawn(cell.run());
        Ok(this)
    }

    fn next_name(&self) -> String {
        format!("#{}", self.inner.unnamed.fetch_add(1, Ordering::Relaxed))
    }

    /// Gives an actor its place and its name.
    pub(crate) fn enter(
        &self,
        name: &Arc<str>,
        actor: Arc<dyn AnyActor>,
        rank: Rank,
    ) -> Result<u64, NameTaken> {
        let mut registry = self.registry();
        if registry.names.contains_key(name) {
            return Err(NameTaken {
                name: name.as_ref().to_owned(),
            });
        }
        let id = registry.next_id;
        registry.next_id += 1;
        registry.actors.insert(id, Entry { actor, rank });
        registry.names.insert(Arc::clone(name), id);
        Ok(id)
    }

    /// The running actor of that name and type.
    pub fn lookup<A: Actor>(&self, name: &str) -> Option<ActorRef<A>> {
        let registry = self.registry();
        let id = registry.names.get(name)?;
        let actor = Arc::clone(&registry.actors.get(id)?.actor);
        drop(registry);
        let any: Arc<dyn Any + Send + Sync> = actor;
        any.downcast::<Shared<A>>()
            .ok()
            .map(|shared| ActorRef { shared })
    }

    /// How many actors are running.
    pub fn len(&self) -> usize {
        self.registry().actors.len()
    }

    /// Whether no actor is running.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Messages that nobody handled.
    pub fn dead_letters(&self) -> &DeadLetters {
        &self.inner.dead_letters
    }

    pub(crate) fn deadlines(&self) -> &Arc<Deadlines> {
        &self.inner.deadlines
    }

    /// Drains every actor, the youngest first: what it sends to its elders while it drains is still
    /// handled. What has not ended at the deadline is killed.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, some actors were told to drain and go on with that.
    pub async fn shutdown(&self, deadline: Duration) -> Shutdown {
        let deadline = from_now(deadline);
        let mut outcome = Shutdown {
            drained: 0,
            killed: 0,
        };
        while let Some(actor) = self.youngest() {
            actor.raise(DRAIN);
            if timeout_at(deadline, actor.wait()).await.is_ok() {
                outcome.drained += 1;
            } else {
                actor.raise(KILL);
                // An error means that its task is gone, which is what we wait for.
                drop(actor.wait().await);
                outcome.killed += 1;
            }
        }
        outcome
    }

    /// Children are ended by their parents.
    fn youngest(&self) -> Option<Arc<dyn AnyActor>> {
        let registry = self.registry();
        let youngest = registry
            .actors
            .values()
            .rev()
            .find(|entry| entry.rank == Rank::Root);
        youngest.map(|entry| Arc::clone(&entry.actor))
    }

    pub(crate) fn forget(&self, id: u64, name: &Arc<str>) {
        let mut registry = self.registry();
        registry.names.remove(name);
        let gone = registry.actors.remove(&id);
        drop(registry);
        drop(gone);
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.inner
            .registry
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for System {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("System")
            .field("actors", &self.len())
            .finish_non_exhaustive()
    }
}
