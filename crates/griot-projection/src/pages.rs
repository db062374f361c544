//! What the slices of a projection read of the journal: once for all of them, and ahead.

use std::collections::VecDeque;
use std::sync::Arc;

use griot_core::Offset;
use griot_journal::{Filter, Journal, JournalError, RecordedEvent};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

/// Pages that are kept for slices that are behind the first. One that is farther behind reads for itself.
const PAGES_MAX: usize = 4;

/// Reads the journal a page at a time, and the next page while this one is handled.
pub(crate) struct Pages {
    journal: Arc<dyn Journal>,
    filter: Filter,
    events_max: usize,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    pages: VecDeque<Arc<Page>>,
    /// The page behind the last that was read, on its way; dropped, it is not waited for.
    ahead: JoinSet<Result<Page, JournalError>>,
}

/// Events of the journal.
pub(crate) struct Page {
    from: Offset,
    /// Every event beyond `from` and up to here has been looked at.
    pub(crate) next: Offset,
    pub(crate) events: Vec<Arc<RecordedEvent>>,
}

impl Pages {
    pub(crate) fn new(journal: &Arc<dyn Journal>, filter: Filter, events_max: usize) -> Self {
        Self {
            journal: Arc::clone(journal),
            filter,
            events_max,
            kept: Mutex::default(),
        }
    }

    /// A page that begins at or before `after`, and ends beyond it unless there is no more.
    pub(crate) async fn beyond(&self, after: Offset) -> Result<Arc<Page>, JournalError> {
        let mut kept = self.kept.lock().await;
        let mut pages = kept.pages.iter();
        if let Some(page) = pages.find(|page| page.from <= after && after < page.next) {
            return Ok(Arc::clone(page));
        }
        let page = match kept.ahead.join_next().await {
            Some(Ok(Ok(page))) if page.from == after && page.next > after => page,
            // It was not there yet, or it was read for another.
            _ => self.read(after).await?,
        };
        let page = Arc::new(page);
        if page.next > page.from {
            kept.pages.push_back(Arc::clone(&page));
            if kept.pages.len() > PAGES_MAX {
                kept.pages.pop_front();
            }
        }
        if page.is_full(self.events_max) {
            let reading = Self::new(&self.journal, self.filter.clone(), self.events_max);
            let next = page.next;
            kept.ahead.spawn(async move { reading.read(next).await });
        }
        Ok(page)
    }

    async fn read(&self, from: Offset) -> Result<Page, JournalError> {
        let reading = self.journal.tail(from, &self.filter, self.events_max);
        let page = reading.await?;
        Ok(Page {
            from,
            next: page.next,
            events: page.events.into_iter().map(Arc::new).collect(),
        })
    }
}

impl Page {
    /// Whether there may be more behind it already.
    fn is_full(&self, events_max: usize) -> bool {
        let looked_at = self.next.get().saturating_sub(self.from.get());
        usize::try_from(looked_at).is_ok_and(|looked_at| looked_at >= events_max)
    }
}
