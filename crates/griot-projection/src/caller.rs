//! What calls handlers, in a transaction that it lends them.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use griot_core::Publication;
use griot_events::{Answer, Broker, Event, Failure, MESSAGE_ID, Router};
use griot_journal::RecordedEvent;
use tower::Service;

use crate::{Fault, Phase, Projection, ProjectionError, Scope, Target};

/// Calls the handlers of a projection, one at a time.
pub(crate) struct Caller<T: Target> {
    target: T,
    router: Router,
    scope: Scope<T>,
    broker: Option<Arc<dyn Broker>>,
}

/// Why an event was not handled.
pub(crate) enum Unhandled {
    /// The handler says so.
    Failed(Failure),
    /// The database could not, which is no fault of the event's.
    Database(ProjectionError),
}

impl<T: Target> Caller<T> {
    /// What the handlers publish goes to the projection's broker.
    pub(crate) fn new(target: &T, projection: &Projection<T>, phase: Phase) -> Self {
        let scope = Scope::new(phase);
        Self {
            target: target.clone(),
            router: projection.router.clone().with_state(scope.clone()),
            scope,
            broker: projection.broker.clone(),
        }
    }

    /// Another transaction begins: what was to be done after the one before is not.
    pub(crate) fn begun(&self) {
        self.scope.begun();
    }

    /// The transaction is committed.
    pub(crate) fn committed(&self) {
        self.scope.committed();
    }

    /// Gives a message, or a batch, to its handler; its publications join `out`, under ids that begin with
    /// `name`. Where it failed, the transaction is rolled back.
    pub(crate) async fn call(
        &mut self,
        transaction: T::Transaction,
        message: Event,
        recorded: &[Arc<RecordedEvent>],
        name: &(dyn Fn() -> String + Sync),
        out: &mut Vec<Publication>,
    ) -> Result<T::Transaction, Unhandled> {
        self.scope.lend(transaction, recorded);
        // What the handler held is gone with it, and the transaction is rolled back.
        let handled = AssertUnwindSafe(self.router.call(message)).catch_unwind();
        let answer = match handled.await {
            Ok(Ok(answer)) => answer,
            Ok(Err(never)) => match never {},
            Err(panic) => Answer::Retry {
                reason: format!("the handler panicked: {}", text(&*panic)),
            },
        };
        let mut transaction = self.scope.take_back();
        let fault = transaction
            .as_mut()
            .and_then(|transaction| self.target.fault(transaction));
        if let Some(Fault::Database(error)) = fault {
            return Err(Unhandled::Database(error));
        }
        self.settle(answer, name, out).map_err(Unhandled::Failed)?;
        let failure = match (transaction, fault) {
            (Some(transaction), None) => return Ok(transaction),
            (_, Some(Fault::Statement(reason))) => Failure::Retry { reason },
            _ => Failure::DeadLetter {
                reason: "the handler kept the transaction: drop it before the handler ends"
                    .to_owned(),
            },
        };
        Err(Unhandled::Failed(failure))
    }

    /// Whether the last handler asked for what only an event of a journal has, and there was none.
    pub(crate) fn missed_the_journal(&self) -> bool {
        self.scope.missed_the_journal()
    }

    /// What an answer comes to; publications join `out`.
    fn settle(
        &self,
        answer: Answer,
        name: &(dyn Fn() -> String + Sync),
        out: &mut Vec<Publication>,
    ) -> Result<(), Failure> {
        match answer {
            Answer::Ack => Ok(()),
            Answer::Retry { reason } => Err(Failure::Retry { reason }),
            Answer::DeadLetter { reason } => Err(Failure::DeadLetter { reason }),
            Answer::Publish(_) if self.scope.phase() == Phase::Rebuilding => Ok(()),
            Answer::Publish(_) if self.broker.is_none() => Err(Failure::DeadLetter {
                reason: "it publishes, and the projection has no broker: give it one with \
                         `publishing_to`"
                    .to_owned(),
            }),
            Answer::Publish(publications) => {
                let name = name();
                for (number, mut publication) in publications.into_iter().enumerate() {
                    let headers = &mut publication.headers;
                    if !headers.iter().any(|(name, _)| name == MESSAGE_ID) {
                        headers.push((MESSAGE_ID.to_owned(), format!("{name}/{number}")));
                    }
                    out.push(publication);
                }
                Ok(())
            }
        }
    }

    /// Publishes what the handlers of a batch answered, before it is committed.
    pub(crate) async fn publish(&self, out: Vec<Publication>) -> Result<(), ProjectionError> {
        if let Some(broker) = &self.broker
            && !out.is_empty()
        {
            for outcome in broker.publish(out).await {
                outcome?;
            }
        }
        Ok(())
    }
}

/// What a panic says.
pub(crate) fn text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("not with a text")
}
