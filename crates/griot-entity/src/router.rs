//! How a message finds the kind of entity that it is for.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use griot_core::EntityId;
use griot_journal::BoxFuture;

use crate::error::Failure;

/// A kind of entity as seen by messages from others.
pub(crate) trait Addressee: Send + Sync {
    fn knows(&self, command: &str) -> bool;

    /// Delivers a recorded command under `key` and waits until its decision is durable.
    fn deliver(
        &self,
        to: EntityId,
        command: String,
        payload: Bytes,
        key: String,
    ) -> BoxFuture<'static, Result<(), Failure>>;
}

/// Every kind of entity that runs, by name. Complete before the first command is decided.
#[derive(Default)]
pub(crate) struct Router(OnceLock<HashMap<&'static str, Arc<dyn Addressee>>>);

impl Router {
    pub(crate) fn complete(&self, kinds: HashMap<&'static str, Arc<dyn Addressee>>) {
        // Set once, when the runtime starts.
        let _ = self.0.set(kinds);
    }

    pub(crate) fn knows(&self, kind: &str, command: &str) -> bool {
        self.find(kind).is_some_and(|kind| kind.knows(command))
    }

    pub(crate) fn find(&self, kind: &str) -> Option<&Arc<dyn Addressee>> {
        self.0.get()?.get(kind)
    }
}
