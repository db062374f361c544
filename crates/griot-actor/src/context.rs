//! What an actor can do while it handles a message.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::actor_ref::{AnyActor, wrap};
use crate::control::{KILL, STOP, Watcher};
use crate::messages::{Envelope, Receives};
use crate::system::{NameTaken, Parent, Settings};
use crate::timer::{TimerKey, Timers};
use crate::{Actor, ActorRef, Ended, Failure, System};

/// An actor's own view of itself: its reference, its timers, its children.
pub struct Context<A: Actor> {
    this: ActorRef<A>,
    pub(crate) timers: Timers<Envelope<A>>,
    pub(crate) failure: Option<Failure>,
    children: Vec<Weak<dyn AnyActor>>,
    /// Shared with the actors that are watched; replaced at a restart, which ends all watches.
    alive: Arc<()>,
}

/// An actor that was watched has ended. Its name is free.
#[derive(Debug, Clone)]
pub struct Terminated {
    /// Its name.
    pub name: Arc<str>,
    /// How it ended.
    pub ended: Ended,
}

impl<A: Actor> Context<A> {
    pub(crate) fn new(this: ActorRef<A>) -> Self {
        Self {
            this,
            timers: Timers::new(),
            failure: None,
            children: Vec::new(),
            alive: Arc::new(()),
        }
    }

    /// A reference to this actor.
    pub const fn this(&self) -> &ActorRef<A> {
        &self.this
    }

    /// This actor's name.
    pub fn name(&self) -> &str {
        self.this.name()
    }

    /// The system it lives in.
    pub fn system(&self) -> &System {
        &self.this.shared.system
    }

    /// Ends this actor after the current message. What is pending counts as dead letters, unless
    /// somebody awaits [`ActorRef::stop`].
    pub fn stop(&self) {
        self.this.shared.control.raise(STOP);
    }

    /// Fails this actor after the current message, as a panic would, but with the reply sent.
    pub fn fail(&mut self, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) {
        self.failure = Some(Failure::error(cause));
    }

    /// Sends this actor a message after `delay`, ahead of its mailbox.
    pub fn after<M: Send + 'static, At>(&mut self, delay: Duration, message: M) -> TimerKey
    where
        A: Receives<M, At>,
    {
        self.timers.after(delay, wrap::<A, M, At>(message, None))
    }

    /// Sends this actor a message again and again, the first time after `period`, ahead of its
    /// mailbox. Ticks that it is too slow for are left out.
    pub fn every<M: Send + 'static, At>(
        &mut self,
        period: Duration,
        mut message: impl FnMut() -> M + Send + 'static,
    ) -> TimerKey
    where
        A: Receives<M, At>,
    {
        self.timers
            .every(period, Box::new(move || wrap::<A, M, At>(message(), None)))
    }

    /// Ends a timer; one that has fired for the last time is not there, and that is fine.
    /// A restart and the actor's end cancel all its timers.
    pub fn cancel(&mut self, timer: TimerKey) {
        self.timers.cancel(timer);
    }

    /// Sends this actor a [`Terminated`], ahead of its mailbox, when `other` has ended: at once, if
    /// it already has. A restart ends all watches: begin them in [`Actor::started`].
    pub fn watch<B: Actor, At>(&self, other: &ActorRef<B>)
    where
        A: Receives<Terminated, At>,
    {
        let watcher = Arc::downgrade(&self.this.shared);
        let name = Arc::clone(&other.shared.name);
        let tell = Box::new(move |ended: &Ended| {
            if let Some(watcher) = watcher.upgrade() {
                let ended = ended.clone();
                let notice = wrap::<A, Terminated, At>(Terminated { name, ended }, None);
                watcher.control.urgent(notice);
            }
        });
        let alive = Arc::downgrade(&self.alive);
        other.shared.control.watch(Watcher { alive, tell });
    }

    /// Makes a child named `this/name`. It is stopped before this actor restarts or ends, and one
    /// that fails for good fails this actor too, unless its supervision says otherwise.
    ///
    /// # Errors
    ///
    /// [`NameTaken`] if the name is in use.
    pub fn spawn<B: Actor>(
        &mut self,
        name: &str,
        factory: impl FnMut() -> B + Send + 'static,
    ) -> Result<ActorRef<B>, NameTaken> {
        self.spawn_with(
            Settings {
                name: Some(name.to_owned()),
                ..Settings::default()
            },
            factory,
        )
    }

    /// [`Context::spawn`] with settings.
    ///
    /// # Errors
    ///
    /// [`NameTaken`] if the name is in use.
    pub fn spawn_with<B: Actor>(
        &mut self,
        settings: Settings,
        factory: impl FnMut() -> B + Send + 'static,
    ) -> Result<ActorRef<B>, NameTaken> {
        let parent = self.this.clone();
        let parent = Parent {
            name: Arc::clone(&parent.shared.name),
            escalate: Box::new(move |failure| parent.shared.control.escalate(failure)),
        };
        let child = self.system().start(settings, Some(parent), factory)?;
        if self.children.len() == self.children.capacity() {
            self.children.retain(|child| child.strong_count() > 0);
        }
        let shared: Arc<dyn AnyActor> = Arc::clone(&child.shared) as Arc<dyn AnyActor>;
        self.children.push(Arc::downgrade(&shared));
        Ok(child)
    }

    /// Whether something goes before the next message.
    pub(crate) fn needs_attention(&self) -> bool {
        self.this.shared.control.flags() != 0 || self.failure.is_some() || !self.timers.is_empty()
    }

    /// Ends what the actor value that failed has begun.
    pub(crate) async fn reset(&mut self) {
        self.timers.clear();
        self.failure = None;
        self.alive = Arc::new(());
        self.stop_children().await;
        self.this.shared.control.forget_urgent();
    }

    /// Stops the children and waits for their end: what they hold pending counts as dead letters.
    pub(crate) async fn stop_children(&mut self) {
        for child in self.children.drain(..).rev() {
            if let Some(child) = child.upgrade() {
                child.raise(STOP);
                // An error means the child's task is gone already.
                drop(child.wait().await);
            }
        }
    }

    pub(crate) fn kill_children(&mut self) {
        for child in self.children.drain(..) {
            if let Some(child) = child.upgrade() {
                child.raise(KILL);
            }
        }
    }
}

impl<A: Actor> fmt::Debug for Context<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("name", &self.name())
            .finish_non_exhaustive()
    }
}
