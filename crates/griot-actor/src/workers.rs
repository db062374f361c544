//! The actor without state: a crew of numbered workers on one inbox, and an output for their results.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::oneshot;

use crate::actor_ref::AnyActor;
use crate::control::{Control, DRAIN, KILL};
use crate::dead_letter::DeadCause;
use crate::foreman::Foreman;
use crate::mailbox::{Closed, Receiver, Sender, TrySendError, mailbox};
use crate::recipient::{Deliver, Recipient};
use crate::system::Rank;
use crate::{Ended, Failure, NameTaken, System};

/// Workers who share one inbox of `M` and may each produce an `O`.
///
/// Worker 1 to N each take the next message when they are done with the last, so the order in which
/// messages are finished is not the order in which they were sent. A processor that fails or panics
/// reports to the exception handler, and the worker goes on.
///
/// ```
/// # #[tokio::main] async fn main() {
/// use griot_actor::{Crew, Exception, System, Workers};
///
/// let system = System::new();
/// let halves = Workers::spawn(
///     &system,
///     Crew { name: "halves", workers: 3, ..Crew::default() },
///     async |_worker, number: u32| match number % 2 {
///         0 => Ok(Some(number / 2)),
///         _ => Err("odd"),
///     },
///     |worker, exception: Exception<_>| eprintln!("worker {worker}: {exception}"),
/// )
/// .unwrap();
/// halves.tell(42).await.unwrap();
/// halves.drain().await;
/// # }
/// ```
pub struct Workers<M, O> {
    pub(crate) shared: Arc<Shared<M, O>>,
}

/// How many work, and on how much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crew<'a> {
    /// The name, unique among actors.
    pub name: &'a str,
    /// The number of workers, at least 1. They are numbered from 1.
    pub workers: usize,
    /// How many messages wait in the inbox at most, besides the batch being worked through.
    pub inbox_capacity: usize,
}

impl Default for Crew<'_> {
    /// One worker, and room for 1,024 messages.
    fn default() -> Self {
        Self {
            name: "workers",
            workers: 1,
            inbox_capacity: 1024,
        }
    }
}

/// What an exception handler is told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Exception<E> {
    /// The processor's own error.
    #[error("{0}")]
    Failed(E),
    /// The processor panicked with this message.
    #[error("the processor panicked: {0}")]
    Panicked(Arc<str>),
    /// There was a result, and the output takes no more.
    #[error("the output `{0}` has ended; drain a pipeline from its first stage to its last")]
    Undelivered(Arc<str>),
}

pub(crate) struct Shared<M, O> {
    pub(crate) name: Arc<str>,
    pub(crate) system: System,
    pub(crate) sender: Sender<M>,
    pub(crate) control: Control<M>,
    pub(crate) inbox: tokio::sync::Mutex<Inbox<M>>,
    output: Mutex<Option<Recipient<O>>>,
}

/// What is waiting, shared by the workers.
pub(crate) struct Inbox<M> {
    receiver: Receiver<M>,
    batch: VecDeque<M>,
}

impl<M> Inbox<M> {
    /// Everything not begun, once nobody else is at work.
    pub(crate) fn take_rest(&mut self) -> VecDeque<M> {
        self.receiver.close();
        self.receiver.try_receive_batch(&mut self.batch);
        std::mem::take(&mut self.batch)
    }
}

impl<M: Send + 'static, O: Send + 'static> Workers<M, O> {
    /// Starts the crew. `process` gets the worker's number and a message and gives a result for the
    /// output, or none, or an error for `exception`.
    ///
    /// # Errors
    ///
    /// [`NameTaken`] if the name is in use.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime, or if there are no workers or no room in the inbox.
    pub fn spawn<E, F>(
        system: &System,
        crew: Crew<'_>,
        process: impl Fn(usize, M) -> F + Send + Sync + 'static,
        exception: impl Fn(usize, Exception<E>) + Send + Sync + 'static,
    ) -> Result<Self, NameTaken>
    where
        E: Send + 'static,
        F: Future<Output = Result<Option<O>, E>> + Send + 'static,
    {
        assert!(crew.workers >= 1, "a crew needs at least 1 worker");
        let (sender, receiver) = mailbox(crew.inbox_capacity);
        let shared = Arc::new(Shared {
            name: Arc::from(crew.name),
            system: system.clone(),
            sender,
            control: Control::new(),
            inbox: tokio::sync::Mutex::new(Inbox {
                receiver,
                batch: VecDeque::new(),
            }),
            output: Mutex::new(None),
        });
        let id = system.enter(
            &shared.name,
            Arc::clone(&shared) as Arc<dyn AnyActor>,
            Rank::Root,
        )?;
        let work = Arc::new(Work {
            shared: Arc::clone(&shared),
            process,
            exception,
        });
        let foreman = Foreman::new(Arc::clone(&shared), id);
        tokio::spawn(foreman.lead(crew.workers, move |worker, stop| {
            let work = Arc::clone(&work);
            async move { work.until(stop, worker).await }
        }));
        Ok(Self { shared })
    }
}

impl<M: Send + 'static, O: Send + 'static> Workers<M, O> {
    /// The crew's name.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Sends every result to `output` from now on. Without an output, results are dropped.
    pub fn direct_to(&self, output: Recipient<O>) {
        *self
            .shared
            .output
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(output);
    }

    /// Sends a message, and waits for room in the inbox first if there is none.
    ///
    /// # Errors
    ///
    /// [`Closed`] hands the message back if the crew has ended. It counts as a dead letter.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it is ready, the message was not sent.
    pub async fn tell(&self, message: M) -> Result<(), Closed<M>> {
        let sent = self.shared.sender.send(message).await;
        sent.inspect_err(|_| self.shared.dead(DeadCause::Ended))
    }

    /// Sends a message if there is room for it now.
    ///
    /// # Errors
    ///
    /// [`TrySendError`] hands the message back. If the crew has ended it counts as a dead letter.
    pub fn try_tell(&self, message: M) -> Result<(), TrySendError<M>> {
        self.shared.sender.try_send(message).inspect_err(|error| {
            if !error.is_full() {
                self.shared.dead(DeadCause::Ended);
            }
        })
    }

    /// This crew as one of those that take an `M`.
    pub fn recipient(&self) -> Recipient<M> {
        Recipient::new(self.clone())
    }

    /// Lets each worker finish its message, and gives every message that was accepted and not begun,
    /// also those accepted meanwhile: processed + pending = sent. The first caller gets them.
    ///
    /// # Cancel safety
    ///
    /// Dropped once polled, the crew stops and what was pending counts as dead letters.
    pub async fn stop(&self) -> Vec<M> {
        let pending = match self.shared.control.stop() {
            Some(pending) => pending.await.unwrap_or_default(),
            None => VecDeque::new(),
        };
        self.ended().await;
        pending.into()
    }

    /// Takes no more messages, processes all that were accepted, and ends.
    ///
    /// # Cancel safety
    ///
    /// Dropped once polled, the crew drains on.
    pub async fn drain(&self) -> Ended {
        self.shared.control.raise(DRAIN);
        self.ended().await
    }

    /// Ends every worker in the middle of whatever it does. What is pending counts as dead letters.
    ///
    /// # Cancel safety
    ///
    /// Dropped once polled, the crew ends.
    pub async fn kill(&self) -> Ended {
        self.shared.control.raise(KILL);
        self.ended().await
    }

    /// Waits for the end, however it comes. The name is free by then.
    ///
    /// # Cancel safety
    ///
    /// It can be dropped and called again.
    pub async fn ended(&self) -> Ended {
        // The sender is dropped unused only with the foreman's task, as by the end of the runtime.
        self.shared.control.wait().await.unwrap_or(Ended::Killed)
    }
}

impl<M, O> Shared<M, O> {
    pub(crate) fn dead(&self, cause: DeadCause) {
        self.system
            .dead_letters()
            .record(&self.name, std::any::type_name::<M>(), cause);
    }

    /// The next message; `None` when the inbox is closed and empty.
    async fn next(&self) -> Option<M> {
        let inbox = &mut *self.inbox.lock().await;
        loop {
            if let Some(message) = inbox.batch.pop_front() {
                return Some(message);
            }
            if !inbox.receiver.receive_batch(&mut inbox.batch).await {
                return None;
            }
        }
    }

    fn output(&self) -> Option<Recipient<O>> {
        self.output
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// What every worker of a crew does.
struct Work<M, O, P, X> {
    shared: Arc<Shared<M, O>>,
    process: P,
    exception: X,
}

impl<M, O, P, X> Work<M, O, P, X>
where
    M: Send + 'static,
    O: Send + 'static,
{
    async fn until<E, F>(&self, mut stop: tokio::sync::watch::Receiver<bool>, worker: usize)
    where
        P: Fn(usize, M) -> F,
        F: Future<Output = Result<Option<O>, E>>,
        X: Fn(usize, Exception<E>),
    {
        loop {
            let message = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return,
                message = self.shared.next() => message,
            };
            let Some(message) = message else { return };
            let processed = AssertUnwindSafe(async { (self.process)(worker, message).await });
            let exception = match processed.catch_unwind().await {
                Ok(Ok(None)) => continue,
                Ok(Ok(Some(result))) => match self.deliver(result).await {
                    Ok(()) => continue,
                    Err(to) => Exception::Undelivered(to),
                },
                Ok(Err(error)) => Exception::Failed(error),
                Err(panic) => Exception::Panicked(Failure::panic_text(&*panic)),
            };
            let told = AssertUnwindSafe(|| (self.exception)(worker, exception));
            if std::panic::catch_unwind(told).is_err() {
                tracing::error!(crew = %self.shared.name, worker, "the exception handler panicked");
            }
        }
    }

    async fn deliver(&self, result: O) -> Result<(), Arc<str>> {
        match self.shared.output() {
            Some(output) => output
                .tell(result)
                .await
                .map_err(|_| Arc::from(output.name())),
            None => Ok(()),
        }
    }
}

impl<M, O> Clone for Workers<M, O> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<M, O> fmt::Debug for Workers<M, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workers")
            .field("name", &self.shared.name)
            .finish_non_exhaustive()
    }
}

impl<M: Send + 'static, O: Send + 'static> Deliver<M> for Workers<M, O> {
    fn name(&self) -> &str {
        Self::name(self)
    }

    fn try_deliver(&self, message: M) -> Result<(), TrySendError<M>> {
        self.try_tell(message)
    }

    fn deliver(&self, message: M) -> BoxFuture<'_, Result<(), Closed<M>>> {
        Box::pin(self.tell(message))
    }
}

impl<M: Send + 'static, O: Send + 'static> AnyActor for Shared<M, O> {
    fn raise(&self, flag: u8) {
        self.control.raise(flag);
    }

    fn wait(&self) -> oneshot::Receiver<Ended> {
        self.control.wait()
    }
}
