//! Parked entities: how one is parked, and tried again.

use std::sync::Arc;

use griot_core::Seq;
use griot_journal::{RecordedEvent, SeqRange};

use crate::attempt::Interrupted;
use crate::caller::Unhandled;
use crate::group::Group;
use crate::worker::{Worker, describe};
use crate::{Asked, Parked, ProjectionError, Target};

impl<T: Target> Worker<T> {
    /// Parks the entity from this event on, and moves past the event.
    pub(crate) async fn park(
        &mut self,
        event: &RecordedEvent,
        reason: String,
    ) -> Result<(), Interrupted> {
        let mut transaction = self.target.begin().await?;
        let mut standing = self.here(&mut transaction).await?;
        let parked = Parked {
            entity: event.entity.clone(),
            seq: event.seq,
            reason,
            asked: Asked::No,
        };
        let parking = self.target.park(&mut transaction, &self.slice, &parked);
        parking.await?;
        standing.offset = event.offset;
        Ok(self.commit(transaction, &standing).await?)
    }

    /// Tries every parked entity again that somebody asked for.
    pub(crate) async fn retry_parked(&mut self) -> Result<(), Interrupted> {
        let mut reading = self.target.begin_reading().await?;
        let all = self.target.parked(&mut reading, &self.slice).await?;
        drop(reading);
        self.metrics.parked(all.len());
        for parked in all {
            if parked.asked == Asked::Retry {
                self.retry(parked).await?;
            }
        }
        self.retry_asked = false;
        Ok(())
    }

    /// Handles the events of a parked entity up to where the slice stands, a batch at a time.
    async fn retry(&mut self, mut parked: Parked) -> Result<(), Interrupted> {
        loop {
            let limit = self.projection.limits.batch_events_max;
            let range = SeqRange {
                from: parked.seq,
                to: Seq::MAX,
                limit,
            };
            let events = self.journal.events(&parked.entity, range).await;
            let events = events.map_err(ProjectionError::from)?;
            let mut transaction = self.target.begin().await?;
            let mut standing = self.here(&mut transaction).await?;
            // What lies beyond comes by itself, once the entity is not parked any more.
            let passed = events.iter().filter(|event| event.offset <= self.offset);
            let passed: Vec<_> = passed.cloned().map(Arc::new).collect();
            let mut out = Vec::new();
            for event in &passed {
                // By itself, also where its handler takes batches: so what failed is known.
                let group = Group::of(&self.projection.readings, event);
                match self.handle(transaction, &group, &mut out).await {
                    Ok(back) => transaction = back,
                    Err(Unhandled::Database(error)) => return Err(error.into()),
                    Err(Unhandled::Failed(failure)) => {
                        parked.reason = describe(event, &failure);
                        parked.asked = Asked::No;
                        return self.keep(&parked).await;
                    }
                }
                standing.events += 1;
            }
            self.caller.publish(out).await?;
            let (target, slice) = (self.target.clone(), self.slice.clone());
            match passed.last() {
                Some(last) if passed.len() == limit => {
                    parked.seq = last.seq.next();
                    target.park(&mut transaction, &slice, &parked).await?;
                    self.commit(transaction, &standing).await?;
                }
                _ => {
                    let entity = &parked.entity;
                    target.unpark(&mut transaction, &slice, entity).await?;
                    self.commit(transaction, &standing).await?;
                    return Ok(());
                }
            }
        }
    }

    /// Stores what is known of a parked entity now.
    async fn keep(&mut self, parked: &Parked) -> Result<(), Interrupted> {
        let mut transaction = self.target.begin().await?;
        let standing = self.here(&mut transaction).await?;
        let parking = self.target.park(&mut transaction, &self.slice, parked);
        parking.await?;
        Ok(self.commit(transaction, &standing).await?)
    }
}
