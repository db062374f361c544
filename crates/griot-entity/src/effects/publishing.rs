//! Publications: how they go out, in the order in which their entity decided on them.

use std::collections::{HashMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use griot_core::{Effect, EffectId, Entity, EntityId, Publication};
use griot_journal::BoxFuture;

use super::lane::{Ended, Job, Perform};
use crate::delivery::Target;
use crate::kind::Kind;

/// Takes publications to a broker: one at a time of each entity. It is done once the broker has the
/// publication durably; an error is tried again, with growing pauses, for as long as it takes.
///
/// The text that it is given is the publication's id: the same each time, so that the broker can
/// tell a repeat.
pub type Publish =
    Arc<dyn Fn(String, Publication) -> BoxFuture<'static, Result<(), PublishError>> + Send + Sync>;

/// Why a publication is not out, in words for the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PublishError(pub String);

/// One attempt: publish, unless that is done already, and record that it is.
pub(crate) fn perform<E: Entity>(kind: &Arc<Kind<E>>, publish: Publish) -> Perform {
    let kind = Arc::clone(kind);
    Arc::new(move |job: Job, turn| {
        let (kind, publish) = (Arc::clone(&kind), Arc::clone(&publish));
        Box::pin(async move {
            let Effect::Publication(publication) = &job.record.effect else {
                return Ended::Settled;
            };
            if job.outcome.is_none() && !attempt(&publish, &job, publication).await {
                return Ended::Again;
            }
            drop(turn);
            let entity = Target::new(job.entity.clone());
            let recorded = kind.settle(entity, job.record.id).await;
            super::call::settled(&kind, &job, recorded, Ok(Bytes::new()))
        })
    })
}

/// Whether the broker has it.
async fn attempt(publish: &Publish, job: &Job, publication: &Publication) -> bool {
    let id = job.record.id.key(&job.entity);
    let mut publication = publication.clone();
    let key = &mut publication.key;
    key.get_or_insert_with(|| job.entity.as_str().to_owned());
    let topic = publication.topic.clone();
    // It may panic before it gives a future, so it is called inside.
    let publishing = AssertUnwindSafe(async { publish(id, publication).await }).catch_unwind();
    let reason = match publishing.await {
        Ok(Ok(())) => return true,
        Ok(Err(PublishError(reason))) => reason,
        Err(_) => "the publisher panicked".to_owned(),
    };
    tracing::warn!(
        entity = %job.entity, topic, attempt = job.attempts, reason,
        "a publication is not out yet, it is tried again; later ones of its entity wait"
    );
    false
}

/// Keeps the order of each entity's effects: one of them is under way, the others queue behind it.
#[derive(Default)]
pub(crate) struct Queues(HashMap<EntityId, VecDeque<Box<Job>>>);

impl Queues {
    /// Takes an effect in; gives it back where nothing of its entity is under way: it is now.
    pub(crate) fn enter(&mut self, job: Box<Job>) -> Option<Box<Job>> {
        if let Some(queue) = self.0.get_mut(&job.entity) {
            queue.push_back(job);
            return None;
        }
        self.0.insert(job.entity.clone(), VecDeque::new());
        Some(job)
    }

    /// The next of an entity, now that the one under way is done.
    pub(crate) fn next(&mut self, entity: &EntityId) -> Option<Box<Job>> {
        let next = self.0.get_mut(entity)?.pop_front();
        if next.is_none() {
            self.0.remove(entity);
        }
        next
    }

    /// Takes one out that waits in its queue; whether it did.
    pub(crate) fn withdraw(&mut self, entity: &EntityId, effect: EffectId) -> bool {
        let Some(queue) = self.0.get_mut(entity) else {
            return false;
        };
        let before = queue.len();
        queue.retain(|job| job.record.id != effect);
        queue.len() < before
    }
}
