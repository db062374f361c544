//! Crews directed into one another: the result of one is the message of the next.

use std::fmt;
use std::sync::Arc;

use crate::actor_ref::AnyActor;
use crate::control::{DRAIN, KILL};
use crate::mailbox::Closed;
use crate::recipient::Recipient;
use crate::workers::Workers;

/// A line of crews that takes an `M` at its first and gives an `O` at its last.
pub struct Pipeline<M, O> {
    entrance: Recipient<M>,
    last: Arc<dyn Fn(Recipient<O>) + Send + Sync>,
    stages: Vec<Arc<dyn AnyActor>>,
}

impl<M: Send + 'static, O: Send + 'static> Pipeline<M, O> {
    /// A pipeline of one crew.
    pub fn start(first: &Workers<M, O>) -> Self {
        Self {
            entrance: first.recipient(),
            last: directing(first.clone()),
            stages: vec![Arc::clone(&first.shared) as Arc<dyn AnyActor>],
        }
    }

    /// Directs the results so far to `next`.
    #[must_use]
    pub fn direct<P: Send + 'static>(mut self, next: &Workers<O, P>) -> Pipeline<M, P> {
        (self.last)(next.recipient());
        self.stages
            .push(Arc::clone(&next.shared) as Arc<dyn AnyActor>);
        Pipeline {
            entrance: self.entrance,
            last: directing(next.clone()),
            stages: self.stages,
        }
    }

    /// Directs the results of the last crew out of the pipeline, to an actor or a probe.
    pub fn direct_to(&self, output: Recipient<O>) {
        (self.last)(output);
    }

    /// Sends a message to the first crew, and waits for room first if there is none.
    ///
    /// # Errors
    ///
    /// [`Closed`] hands the message back if the first crew has ended.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, the message was not sent.
    pub async fn tell(&self, message: M) -> Result<(), Closed<M>> {
        self.entrance.tell(message).await
    }

    /// Drains stage after stage, so that every message that was accepted comes out at the end.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, the stages up to one are drained or draining; call it again.
    pub async fn drain(&self) {
        self.end(DRAIN).await;
    }

    /// Ends every stage in the middle of whatever it does. What is pending counts as dead letters.
    ///
    /// # Cancel safety
    ///
    /// As [`Pipeline::drain`].
    pub async fn kill(&self) {
        self.end(KILL).await;
    }

    async fn end(&self, flag: u8) {
        for stage in &self.stages {
            stage.raise(flag);
            // An error means that its task is gone, which is what we wait for.
            drop(stage.wait().await);
        }
    }
}

fn directing<M: Send + 'static, O: Send + 'static>(
    workers: Workers<M, O>,
) -> Arc<dyn Fn(Recipient<O>) + Send + Sync> {
    Arc::new(move |output| workers.direct_to(output))
}

impl<M, O> fmt::Debug for Pipeline<M, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipeline")
            .field("stages", &self.stages.len())
            .finish_non_exhaustive()
    }
}
