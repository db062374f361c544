//! Calls: how the world outside is asked, how often, and what a call's function is told.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use griot_core::{Call, CallFailed, Effect, EffectId, Entity, EntityId, Handle, Outcome, codec};
use griot_journal::BoxFuture;

use super::lane::{Ended, Job, Pace, Perform};
use crate::delivery::Target;
use crate::error::Failure;
use crate::kind::{Kind, Terms};

/// How a kind of call is made: how many at a time, how long each may take, how it is retried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallPolicy {
    /// Calls of this kind at a time. One that waits for its retry does not count, nor does one whose
    /// outcome waits for its entity; of those there are 4,096 at most.
    pub concurrency_max: usize,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// The pause after the first failure; it doubles with each, and half of it is random.
    pub first_backoff: Duration,
    /// The longest pause.
    pub backoff_max: Duration,
    /// For how long a failing call is tried again, since its first attempt in this process; then
    /// its outcome is [`CallFailed::GaveUp`].
    pub give_up_after: Duration,
}

impl Default for CallPolicy {
    fn default() -> Self {
        Self {
            concurrency_max: 256,
            timeout: Duration::from_secs(10),
            first_backoff: Duration::from_millis(50),
            backoff_max: Duration::from_secs(10),
            give_up_after: Duration::from_mins(5),
        }
    }
}

impl CallPolicy {
    pub(crate) fn pace(&self) -> Pace {
        Pace {
            concurrency_max: self.concurrency_max.max(1),
            first_backoff: self.first_backoff,
            backoff_max: self.backoff_max,
        }
    }
}

/// What a call's function knows beside the call itself.
#[derive(Clone, Debug)]
pub struct CallContext {
    entity: EntityId,
    effect: EffectId,
    attempt: u32,
}

impl CallContext {
    /// Whose call it is.
    pub fn entity(&self) -> &EntityId {
        &self.entity
    }

    /// Which effect of that entity it is.
    pub fn effect(&self) -> EffectId {
        self.effect
    }

    /// The key that stays the same across retries and restarts, for the other side to tell a repeat.
    pub fn key(&self) -> String {
        self.effect.key(&self.entity)
    }

    /// Which attempt this is since the program started, from 1.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }
}

/// Why an attempt at a call has no output.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// It may work later: it is tried again.
    #[error("{0}")]
    Retry(String),
    /// It will not work: its outcome is [`CallFailed::Refused`].
    #[error("{0}")]
    Fail(String),
}

impl CallError {
    /// It may work later, for the reason given.
    pub fn retry(reason: impl ToString) -> Self {
        Self::Retry(reason.to_string())
    }

    /// It will not work, for the reason given.
    pub fn fail(reason: impl ToString) -> Self {
        Self::Fail(reason.to_string())
    }
}

/// A call's function with its types erased: recorded call in, recorded output out.
pub(crate) type CallFn =
    Arc<dyn Fn(Bytes, CallContext) -> BoxFuture<'static, Result<Bytes, CallError>> + Send + Sync>;

/// Brings an outcome back to its entity and waits until that is durable.
pub(crate) type OutcomeFn<E> = fn(
    Arc<Kind<E>>,
    Job,
    Bytes,
    Result<Bytes, CallFailed>,
) -> BoxFuture<'static, Result<(), Failure>>;

/// A kind of call, as registered.
pub(crate) struct CallKind<E: Entity> {
    pub(crate) name: &'static str,
    pub(crate) policy: CallPolicy,
    pub(crate) function: CallFn,
    pub(crate) outcome: OutcomeFn<E>,
}

impl<E: Entity> CallKind<E> {
    pub(crate) fn new<C, F, Fut>(policy: CallPolicy, function: F) -> Self
    where
        C: Call,
        E: Handle<Outcome<C>>,
        F: Fn(C, CallContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<C::Output, CallError>> + Send + 'static,
    {
        let function: CallFn = Arc::new(move |payload, context| {
            let called =
                codec::decode_json::<C>(C::NAME, &payload).map(|call| function(call, context));
            Box::pin(async move {
                let output = called.map_err(CallError::retry)?.await?;
                codec::encode_json("a call's output", &output).map_err(CallError::retry)
            })
        });
        Self {
            name: C::NAME,
            policy,
            function,
            outcome: |kind, job, payload, result| {
                Box::pin(bring_back::<E, C>(kind, job, payload, result))
            },
        }
    }

    /// One attempt: run the function, unless it has come to an outcome already, and bring that back.
    pub(crate) fn perform(self, kind: Arc<Kind<E>>) -> Perform {
        let Self {
            policy,
            function,
            outcome,
            ..
        } = self;
        Arc::new(move |job, turn| {
            let (kind, function) = (Arc::clone(&kind), Arc::clone(&function));
            Box::pin(async move {
                let Effect::Call { payload, .. } = &job.record.effect else {
                    return Ended::Settled;
                };
                let payload = payload.clone();
                let result = match &job.outcome {
                    Some(result) => result.clone(),
                    None => match attempt(&function, &policy, &job, payload.clone()).await {
                        Some(result) => result,
                        None => return Ended::Again,
                    },
                };
                drop(turn);
                let delivered = outcome(Arc::clone(&kind), job.clone(), payload, result.clone());
                settled(&kind, &job, delivered.await, result)
            })
        })
    }
}

/// What an attempt ended with whose outcome was brought back, or was not.
pub(crate) fn settled<E: Entity>(
    kind: &Kind<E>,
    job: &Job,
    delivered: Result<(), Failure>,
    outcome: Result<Bytes, CallFailed>,
) -> Ended {
    match delivered {
        Ok(()) | Err(Failure::Settled) => {
            kind.effects.withdraw(&job.entity, job.record.id);
            Ended::Settled
        }
        Err(failure) => {
            tracing::warn!(
                entity = %job.entity, effect = job.record.effect.name(), ?failure,
                "an effect's outcome could not be recorded yet, it is tried again"
            );
            Ended::Undelivered(outcome)
        }
    }
}

/// Runs a call's function once; `None` where it is to be run again.
async fn attempt(
    function: &CallFn,
    policy: &CallPolicy,
    job: &Job,
    payload: Bytes,
) -> Option<Result<Bytes, CallFailed>> {
    let context = CallContext {
        entity: job.entity.clone(),
        effect: job.record.id,
        attempt: job.attempts,
    };
    // The function itself may panic before it gives a future, so it is called inside.
    let calling = AssertUnwindSafe(async { function(payload, context).await }).catch_unwind();
    let result = match tokio::time::timeout(policy.timeout, calling).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(CallError::retry("the call's function panicked")),
        Err(_) => Err(CallError::Retry(format!(
            "no answer within {:?}",
            policy.timeout
        ))),
    };
    let reason = match result {
        Ok(output) => return Some(Ok(output)),
        Err(CallError::Fail(reason)) => return Some(Err(CallFailed::Refused { reason })),
        Err(CallError::Retry(reason)) => reason,
    };
    tracing::debug!(
        entity = %job.entity, call = job.record.effect.name(), attempt = job.attempts, reason,
        "a call failed"
    );
    let first = job.first_attempt;
    let tried_for = first.map_or(Duration::ZERO, |first| first.elapsed());
    let attempts = job.attempts;
    (tried_for >= policy.give_up_after).then_some(Err(CallFailed::GaveUp { reason, attempts }))
}

async fn bring_back<E, C>(
    kind: Arc<Kind<E>>,
    job: Job,
    payload: Bytes,
    result: Result<Bytes, CallFailed>,
) -> Result<(), Failure>
where
    C: Call,
    E: Handle<Outcome<C>>,
{
    let undecodable = |error| {
        tracing::error!(entity = %job.entity, call = C::NAME, %error, "a call's outcome cannot be read");
        Failure::Unavailable
    };
    let call = codec::decode_json::<C>(C::NAME, &payload).map_err(undecodable)?;
    let result = match result {
        Ok(output) => Ok(codec::decode_json::<C::Output>(C::NAME, &output).map_err(undecodable)?),
        Err(failed) => Err(failed),
    };
    let effect = job.record.id;
    let outcome = Outcome {
        call,
        effect,
        result,
    };
    let terms = Terms {
        settles: Some(effect),
        ..Terms::default()
    };
    kind.deliver(Target::new(job.entity.clone()), outcome, terms)
        .await
}
