//! The log, read step by step, also while somebody deletes events from it.

use std::collections::VecDeque;

use bytes::Bytes;
use griot_journal::JournalError;

use crate::body;
use crate::chain::{chunk, chunk_end};
use crate::link::{Link, Pages};
use crate::read;
use crate::stored::{self, Deed, Slot, Step, StoredAppend};

/// A step, and where it stands.
#[derive(Debug)]
pub(crate) struct Passed {
    pub(crate) number: u64,
    /// The journal's last offset before it.
    pub(crate) begins: u64,
    /// And after it.
    pub(crate) ends: u64,
    /// None where nothing was appended.
    pub(crate) slots: Vec<Slot>,
}

/// Number, offset after it, body.
type Columns = (i64, i64, Vec<u8>);

/// Steps in their order, all of which are there.
pub(crate) struct Steps<'a> {
    link: &'a Link,
    next: u64,
    last: u64,
    /// Of the partition that is read.
    pages: Option<Pages<'a, (&'a String, i64, i64, i64)>>,
    ready: VecDeque<Columns>,
}

impl<'a> Steps<'a> {
    /// From one to another, both included.
    pub(crate) fn of(link: &'a Link, first: u64, last: u64) -> Self {
        Self {
            link,
            next: first,
            last,
            pages: None,
            ready: VecDeque::new(),
        }
    }

    pub(crate) async fn next(&mut self) -> Result<Option<Passed>, JournalError> {
        let number = self.next;
        if number > self.last {
            return Ok(None);
        }
        let (found, ends, column) = self.row().await?.ok_or_else(|| missing(number))?;
        // The log has no holes.
        if found.cast_unsigned() != number {
            return Err(missing(number));
        }
        self.next = number.saturating_add(1);
        if number == chunk_end(chunk(number)) {
            self.pages = None;
        }
        let ends = ends.cast_unsigned();
        let slots = match content(self.link, number, column.into()).await?.deed {
            Some(Deed::Appends(appends)) => appends.slots,
            _ => Vec::new(),
        };
        let events = slots.iter().map(|slot| slot.events);
        let events = events.fold(0, u64::saturating_add);
        Ok(Some(Passed {
            number,
            begins: ends.saturating_sub(events),
            ends,
            slots,
        }))
    }

    async fn row(&mut self) -> Result<Option<Columns>, JournalError> {
        let chunk = chunk(self.next);
        let values = (
            &self.link.journal,
            chunk.cast_signed(),
            self.next.cast_signed(),
            chunk_end(chunk).min(self.last).cast_signed(),
        );
        let pages = || self.link.pages(&self.link.statements.steps, values);
        let pages = self.pages.get_or_insert_with(pages);
        while self.ready.is_empty()
            && let Some(rows) = pages.next().await?
        {
            self.ready = rows.into();
        }
        Ok(self.ready.pop_front())
    }
}

/// What is in a step's column.
pub(crate) async fn content(link: &Link, number: u64, column: Bytes) -> Result<Step, JournalError> {
    let again = || async { Ok(Some(column_of(link, number).await?)) };
    let bytes = body::settled(link, column, again).await?;
    let bytes = bytes.ok_or_else(|| missing(number))?;
    Ok(stored::decoded(bytes, "a step of the log")?)
}

/// What is in a slot's column, of a step and at a place in it.
pub(crate) async fn append(
    link: &Link,
    number: u64,
    place: usize,
    column: Bytes,
) -> Result<StoredAppend, JournalError> {
    let again = || async move {
        let step = content(link, number, column_of(link, number).await?).await?;
        let Some(Deed::Appends(appends)) = step.deed else {
            return Ok(None);
        };
        Ok(appends.slots.into_iter().nth(place).map(|slot| slot.body))
    };
    let bytes = body::settled(link, column, again).await?;
    let bytes = bytes.ok_or_else(|| missing(number))?;
    Ok(stored::decoded(bytes, "an append")?)
}

async fn column_of(link: &Link, number: u64) -> Result<Bytes, JournalError> {
    let found = read::step(link, number).await?;
    Ok(found.ok_or_else(|| missing(number))?.body)
}

pub(crate) fn missing(number: u64) -> JournalError {
    stored::foreign(&format!("step {number} of the log")).into()
}
