//! The list of orders, kept up with the journal.

use crate::index::{Index, Query, Summary, UnknownAfter};
use crate::order::{Order, OrderEvent};
use futures_util::FutureExt;
use griot::core::{Entity, Offset, codec};
use griot::journal::{Filter, Journal, JournalError, RecordedEvent};
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
#[derive(Debug, Default)]
pub(crate) struct Listing {
    index: RwLock<Index>,
    caught_up: AtomicBool,
    /// How far it has read.
    reached: watch::Sender<Offset>,
}

impl Listing {
    pub(crate) fn is_caught_up(&self) -> bool {
        self.caught_up.load(Ordering::Acquire)
    }

    /// Waits until the list shows what is durable now, so that a client finds the order it has just
    /// placed; not for long, for a list that is a little behind is better than none.
    pub(crate) async fn catch_up(&self, journal: &dyn Journal) {
        let reached = *self.reached.borrow();
        // Ready at once where the journal is ahead.
        let Some(Ok(tip)) = journal.advanced(reached).now_or_never() else {
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
        let is_live = self.is_caught_up();
        let events: Vec<_> = events
            .iter()
            .filter_map(|event| Some((event, read(event)?)))
            .collect();
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        for (recorded, (id, event)) in &events {
            index.apply(*id, recorded.offset, recorded.seq, event);
            if is_live {
                let name = recorded.event.name.to_string();
                metrics::counter!("orders_events_total", "event" => name).increment(1);
            }
        }
    }
}

/// An event this program cannot read is left out of the list, loudly; the order itself says why.
fn read(recorded: &RecordedEvent) -> Option<(Uuid, OrderEvent)> {
    let event = codec::decode_event(&recorded.event.name, &recorded.event.payload);
    let event = event
        .inspect_err(|error| tracing::error!(entity = %recorded.entity, seq = %recorded.seq, %error, "the list of orders leaves out an event"))
        .ok()?;
    Some((Uuid::try_parse(recorded.entity.id()).ok()?, event))
}
