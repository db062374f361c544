//! A running actor: its task, from the first message to its end, over every restart.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::task::coop::consume_budget;
use tokio::time::sleep;

use crate::control::{Control, DRAIN, KILL, STOP, URGENT, Urgent};
use crate::dead_letter::DeadCause;
use crate::mailbox::Receiver;
use crate::messages::{Envelope, Messages};
use crate::supervision::{AtLimit, Restarts};
use crate::system::{Parent, Settings};
use crate::{Actor, ActorRef, Context, Ended, Failure};

/// One in this many messages checks whether the actor should let others run.
const MESSAGES_PER_BUDGET_UNIT: u32 = 16;

pub(crate) struct Cell<A: Actor, F> {
    this: ActorRef<A>,
    id: u64,
    parent: Option<Parent>,
    settings: Settings,
    factory: F,
    receiver: Receiver<Envelope<A>>,
    /// Taken from the mailbox and not begun. It outlives a panic.
    batch: VecDeque<Envelope<A>>,
    cx: Context<A>,
    finished: bool,
}

impl<A: Actor, F: FnMut() -> A + Send> Cell<A, F> {
    pub(crate) fn new(
        this: ActorRef<A>,
        id: u64,
        parent: Option<Parent>,
        settings: Settings,
        receiver: Receiver<Envelope<A>>,
        factory: F,
    ) -> Self {
        let cx = Context::new(this.clone());
        let batch = VecDeque::new();
        Self {
            this,
            id,
            parent,
            settings,
            factory,
            receiver,
            batch,
            cx,
            finished: false,
        }
    }

    /// The actor's task.
    pub(crate) async fn run(mut self) {
        let ended = AssertUnwindSafe(self.until_killed()).catch_unwind().await;
        // Only the drop of a killed actor can panic out here.
        self.finish(&ended.unwrap_or(Ended::Killed));
    }

    /// Lives, and drops whatever runs at a kill.
    async fn until_killed(&mut self) -> Ended {
        let this = self.this.clone();
        let control = &this.shared.control;
        let mut life = pin!(self.live());
        poll_fn(|task| {
            control.register(task);
            if control.flags() & KILL != 0 {
                return Poll::Ready(Ended::Killed);
            }
            life.as_mut().poll(task)
        })
        .await
    }

    /// Makes the actor anew after each failure, until it ends or there were too many.
    async fn live(&mut self) -> Ended {
        let mut restarts = Restarts::default();
        loop {
            let outcome = AssertUnwindSafe(self.incarnation()).catch_unwind().await;
            let failure = match outcome {
                Ok(Ok(ended)) => return ended,
                Ok(Err(failure)) => failure,
                Err(panic) => Failure::panic(&*panic),
            };
            self.cx.reset().await;
            let Some(delay) = restarts.next(&self.settings.supervision) else {
                tracing::error!(actor = self.this.name(), %failure, "actor failed for good");
                return Ended::Failed(failure);
            };
            tracing::warn!(actor = self.this.name(), %failure, ?delay, "actor restarts");
            if stopped_within(delay, &self.this.shared.control).await {
                return Ended::Stopped;
            }
        }
    }

    /// One actor value, from the factory to its end or failure.
    async fn incarnation(&mut self) -> Result<Ended, Failure> {
        let mut actor = (self.factory)();
        actor.started(&mut self.cx).await?;
        let ended = self.work(&mut actor).await?;
        self.receiver.close();
        self.cx.stop_children().await;
        actor.stopped(&mut self.cx).await;
        Ok(ended)
    }

    async fn work(&mut self, actor: &mut A) -> Result<Ended, Failure> {
        let this = self.this.clone();
        let control = &this.shared.control;
        loop {
            if let Some(failure) = self.cx.failure.take() {
                return Err(failure);
            }
            let flags = control.flags();
            if flags & STOP != 0 {
                return Ok(Ended::Stopped);
            }
            if let Some(urgent) = self.next_urgent(flags)? {
                self.batch.push_front(urgent);
            } else if flags & DRAIN != 0 && self.is_drained() {
                return Ok(Ended::Drained);
            }
            if self.batch.is_empty() {
                self.wait(flags).await;
            } else {
                let count = MESSAGES_PER_BUDGET_UNIT;
                A::Messages::dispatch(&mut self.batch, count, actor, &mut self.cx).await;
                consume_budget().await;
            }
        }
    }

    /// What goes before the mailbox: notices from the control lane, then timers that are due.
    fn next_urgent(&mut self, flags: u8) -> Result<Option<Envelope<A>>, Failure> {
        if flags & URGENT != 0 {
            match self.this.shared.control.next_urgent() {
                Some(Urgent::Message(message)) => return Ok(Some(message)),
                Some(Urgent::Escalated(failure)) => return Err(failure),
                None => {}
            }
        }
        Ok(self.cx.timers.pop_due())
    }

    /// Ends the intake, and says whether nothing is left to do.
    fn is_drained(&mut self) -> bool {
        if !self.this.shared.sender.is_closed() {
            self.receiver.close();
        }
        self.batch.is_empty() && self.receiver.is_empty()
    }

    /// Waits for a batch, a timer, or another flag than those in `seen`.
    async fn wait(&mut self, seen: u8) {
        let control = &self.this.shared.control;
        poll_fn(|task| {
            if control.flags() != seen {
                return Poll::Ready(());
            }
            if self.cx.timers.poll_due(task).is_ready() {
                return Poll::Ready(());
            }
            self.receiver
                .poll_receive_batch(task, &mut self.batch)
                .map(|_| ())
        })
        .await;
    }
}

/// Waits out a backoff: `true` if the actor is to stop meanwhile.
async fn stopped_within<E>(delay: Duration, control: &Control<E>) -> bool {
    let mut sleep = pin!(sleep(delay));
    // The task is woken by every flag that goes up: see `until_killed`.
    poll_fn(|task| match control.flags() & STOP {
        0 => sleep.as_mut().poll(task).map(|()| false),
        _ => Poll::Ready(true),
    })
    .await
}

impl<A: Actor, F> Cell<A, F> {
    /// Closes the mailbox, frees the name, and only then announces the end and hands back the rest.
    fn finish(&mut self, ended: &Ended) {
        self.finished = true;
        self.receiver.close();
        self.receiver.try_receive_batch(&mut self.batch);
        self.cx.kill_children();
        self.cx.timers.clear();
        let shared = &self.this.shared;
        shared.system.forget(self.id, &shared.name);
        tracing::debug!(actor = self.this.name(), %ended, "actor ended");
        let left = shared
            .control
            .announce(ended, std::mem::take(&mut self.batch));
        for envelope in left {
            shared.dead(&envelope, DeadCause::Abandoned);
        }
        if let (Ended::Failed(failure), AtLimit::Escalate, Some(parent)) =
            (ended, self.settings.supervision.at_limit, &self.parent)
        {
            (parent.escalate)(Failure::Child {
                child: std::sync::Arc::clone(&shared.name),
                failure: Box::new(failure.clone()),
            });
        }
    }
}

impl<A: Actor, F> Drop for Cell<A, F> {
    /// The runtime ended before the actor did.
    fn drop(&mut self) {
        if !self.finished {
            self.finish(&Ended::Killed);
        }
    }
}
