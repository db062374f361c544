//! The list of orders, kept up with the journal.

use crate::index::{Index, Query, Summary, UnknownAfter};
use crate::order::{Order, OrderEvent};
use futures_util::FutureExt;
use griot::core::{Entity, Offset, read_event};
use griot::journal::{EventRecord, Filter, Journal, JournalError, RecordedEvent};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::watch;
use uuid::Uuid;

/// Events read at a time.
const PAGE_EVENTS: usize = 1_024;

/// The pause before a journal that could not be read is read again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The longest a list waits to show what was durable when it was asked for.
const CATCH_UP_MAX: Duration = Duration::from_secs(1);

/// The list, and whether it has caught up with the journal.
#[derive(Debug)]
pub(crate) struct Listing {
    index: RwLock<Index>,
    /// How far the journal had come when this process began: what is behind it happened in here.
    began: Offset,
    caught_up: AtomicBool,
    /// How far it has read.
    reached: watch::Sender<Offset>,
}

impl Listing {
    /// An empty list, in a process that found the journal at `began`.
    pub(crate) fn new(began: Offset) -> Self {
        Self {
            index: RwLock::default(),
            began,
            caught_up: AtomicBool::new(false),
            reached: watch::Sender::default(),
        }
    }

    pub(crate) fn is_caught_up(&self) -> bool {
        self.caught_up.load(Ordering::Acquire)
    }

    /// Waits until the list shows what is durable now, so that a client finds the order it has just
    /// placed; not for long, for a list that is a little behind is better than none.
    pub(crate) async fn catch_up(&self, journal: &dyn Journal) {
        let reached = *self.reached.borrow();
        let Some(tip) = tip_beyond(journal, reached) else {
            return;
        };
        let mut reaching = self.reached.subscribe();
        let caught_up = reaching.wait_for(|reached| *reached >= tip);
        let _ = tokio::time::timeout(CATCH_UP_MAX, caught_up).await;
    }

    pub(crate) fn list(&self, query: &Query) -> Result<Vec<Summary>, UnknownAfter> {
        self.index
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .list(query)
    }

    /// Reads the journal from its beginning and follows it until it closes.
    pub(crate) async fn follow(self: Arc<Self>, journal: Arc<dyn Journal>) {
        let filter = Filter {
            kind: Some(Order::KIND.to_owned()),
            tag: None,
        };
        let mut after = Offset::ZERO;
        loop {
            match self.follow_on(&*journal, &filter, after).await {
                Ok(next) => after = next,
                Err(error @ (JournalError::Closed | JournalError::Poisoned { .. })) => {
                    tracing::info!(%error, "the list of orders ends with the journal");
                    return;
                }
                Err(error) => {
                    tracing::error!(%error, "the list of orders cannot go on, it is tried again");
                    tokio::time::sleep(RETRY_AFTER).await;
                }
            }
        }
    }

    /// Takes in the next page, or waits for one.
    async fn follow_on(
        &self,
        journal: &dyn Journal,
        filter: &Filter,
        after: Offset,
    ) -> Result<Offset, JournalError> {
        let page = journal.tail(after, filter, PAGE_EVENTS).await?;
        self.apply(&page.events);
        self.reached.send_replace(page.next);
        if page.next > after {
            return Ok(page.next);
        }
        if !self.caught_up.swap(true, Ordering::AcqRel) {
            tracing::info!("the list of orders has caught up with the journal");
        }
        journal.advanced(after).await?;
        Ok(after)
    }

    fn apply(&self, events: &[RecordedEvent]) {
        let events: Vec<_> = events
            .iter()
            .filter_map(|event| Some((event, read(event)?)))
            .collect();
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        for (recorded, (id, event)) in &events {
            index.apply(*id, recorded.seq, event);
            if recorded.offset > self.began {
                let name = recorded.event.name.to_string();
                metrics::counter!("orders_events_total", "event" => name).increment(1);
            }
        }
    }
}

/// How far the journal has come, where that is beyond `reached`.
pub(crate) fn tip_beyond(journal: &dyn Journal, reached: Offset) -> Option<Offset> {
    // Ready at once where the journal is ahead.
    journal.advanced(reached).now_or_never()?.ok()
}

/// An event this program cannot read is left out of the list, loudly; the order itself says why.
fn read(recorded: &RecordedEvent) -> Option<(Uuid, OrderEvent)> {
    let EventRecord {
        name,
        version,
        payload,
        ..
    } = &recorded.event;
    let event = read_event(name, *version, payload)
        .inspect_err(|error| tracing::error!(entity = %recorded.entity, seq = %recorded.seq, %error, "the list of orders leaves out an event"))
        .ok()?;
    Some((Uuid::try_parse(recorded.entity.id()).ok()?, event))
}

#[cfg(test)]
mod tests {
    use super::*;
    use griot::core::{EntityId, Seq, Timestamp};
    use metrics_exporter_prometheus::PrometheusBuilder;

    fn completed(offset: u64) -> RecordedEvent {
        RecordedEvent {
            offset: Offset(offset),
            entity: EntityId::new(Order::KIND, &Uuid::from_u64_pair(0, offset).to_string())
                .unwrap(),
            seq: Seq(1),
            at: Timestamp::from_micros(0),
            event: EventRecord {
                name: "OrderCompleted".into(),
                version: 1,
                tags: Vec::new(),
                payload: "{}".into(),
            },
            metadata: Vec::new(),
        }
    }

    #[test]
    fn what_happens_while_the_list_catches_up_is_counted_and_what_happened_before_is_not() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let counted = recorder.handle();
        let listing = Listing::new(Offset(3));
        assert!(!listing.is_caught_up());
        metrics::with_local_recorder(&recorder, || {
            listing.apply(&(1..=5).map(completed).collect::<Vec<_>>());
        });
        let rendered = counted.render();
        let line = "orders_events_total{event=\"OrderCompleted\"} 2";
        assert!(rendered.contains(line), "{rendered}");
    }
}
