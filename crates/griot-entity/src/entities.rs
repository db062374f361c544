//! How a kind of entity is registered: its limits, its calls, and the commands that can be recorded.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use griot_core::{Call, DurableCommand, Entity, Handle, Outcome, codec};
use griot_journal::BoxFuture;

use crate::Limits;
use crate::delivery::Target;
use crate::effects::call::{CallContext, CallError, CallKind, CallPolicy};
use crate::error::Failure;
use crate::kind::{Kind, Terms};

/// Delivers a recorded command.
pub(crate) type CommandFn<E> =
    fn(Arc<Kind<E>>, Target, Bytes, Terms) -> BoxFuture<'static, Result<(), Failure>>;

/// A kind of entity, as it is registered with the runtime.
pub struct Entities<E: Entity> {
    pub(crate) limits: Limits,
    pub(crate) calls: Vec<CallKind<E>>,
    pub(crate) commands: HashMap<&'static str, CommandFn<E>>,
}

impl<E: Entity> fmt::Debug for Entities<E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let calls: Vec<_> = self.calls.iter().map(|call| call.name).collect();
        formatter
            .debug_struct("Entities")
            .field("kind", &E::KIND)
            .field("limits", &self.limits)
            .field("calls", &calls)
            .field("commands", &self.commands.keys())
            .finish()
    }
}

impl<E: Entity> Default for Entities<E> {
    fn default() -> Self {
        Self::new()
    }
}

impl<E: Entity> Entities<E> {
    /// A kind with the default limits, no calls and no recorded commands.
    pub fn new() -> Self {
        Self {
            limits: Limits::default(),
            calls: Vec::new(),
            commands: HashMap::new(),
        }
    }

    /// Sets the limits.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Registers the async function that makes the calls `C`.
    ///
    /// It runs at least once for each, on any thread, never while the entity waits. It may be
    /// dropped at its policy's timeout. A panic counts as a failure that is tried again.
    #[must_use]
    pub fn call<C, F, Fut>(mut self, policy: CallPolicy, function: F) -> Self
    where
        C: Call,
        E: Handle<Outcome<C>>,
        F: Fn(C, CallContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<C::Output, CallError>> + Send + 'static,
    {
        self.calls.push(CallKind::new(policy, function));
        self
    }

    /// Registers a command that timers of this kind, or messages to it, may record.
    #[must_use]
    pub fn command<C>(mut self) -> Self
    where
        C: DurableCommand,
        E: Handle<C>,
    {
        let deliver: CommandFn<E> = |kind, target, payload, terms| {
            Box::pin(async move {
                match codec::decode_json::<C>(C::NAME, &payload) {
                    Ok(command) => kind.deliver(target, command, terms).await,
                    Err(error) => {
                        tracing::error!(entity = %target.id, command = C::NAME, %error, "a recorded command cannot be read");
                        Err(Failure::Unavailable)
                    }
                }
            })
        };
        self.commands.insert(C::NAME, deliver);
        self
    }
}
