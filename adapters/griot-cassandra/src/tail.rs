//! The log, read in the order of its offsets.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use griot_core::Offset;
use griot_journal::{Commit, Filter, JournalError, Page, RecordedEvent};

use crate::chain::{Head, chunk};
use crate::link::Link;
use crate::read::recorded;
use crate::steps::{self, Passed, Steps, missing};
use crate::stored::{self, Slot};

/// How many ends of pages are remembered.
const PLACES_MAX: usize = 1024;

/// Where readers are: the number of a step, by the offset after it.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    places: Mutex<BTreeMap<u64, u64>>,
}

impl Tail {
    /// What [`Journal::tail`](griot_journal::Journal::tail) says, of a log that is so far.
    pub(crate) async fn page(
        &self,
        link: &Link,
        head: Head,
        after: Offset,
        filter: &Filter,
        limit: usize,
    ) -> Result<Page, JournalError> {
        let limit = u64::try_from(limit).unwrap_or(u64::MAX);
        let next = after.get().saturating_add(limit);
        let next = next.min(head.last_offset.get()).max(after.get());
        let mut reading = Reading {
            link,
            filter,
            after: after.get(),
            next,
            events: Vec::new(),
        };
        if next > after.get() {
            let first = self.behind(link, head, after.get()).await?;
            let place = reading.read(first, head.number).await?;
            self.remember(place);
        }
        Ok(Page {
            events: reading.events,
            next: Offset(next),
        })
    }

    /// The number of the first step that ends behind an offset. There is one.
    pub(crate) async fn behind(
        &self,
        link: &Link,
        head: Head,
        offset: u64,
    ) -> Result<u64, JournalError> {
        let mut low = self.known(offset).min(head.number);
        // Mostly it is the next one; it is looked for in twice the distance each time, then in between.
        let (mut high, mut distance) = (head.number, 1_u64);
        while high.saturating_sub(low) > 1 {
            let probe = if distance > 0 {
                low.saturating_add(distance).min(high.saturating_sub(1))
            } else {
                low.midpoint(high)
            };
            if end_of(link, probe).await? > offset {
                high = probe;
                distance = 0;
            } else {
                low = probe;
                distance = distance.saturating_mul(2);
            }
        }
        Ok(high)
    }

    /// The number of a step that ends at or before an offset.
    fn known(&self, offset: u64) -> u64 {
        let places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let known = places.range(..=offset).next_back();
        known.map_or(0, |(_, &number)| number)
    }

    pub(crate) fn remember(&self, (offset, number): (u64, u64)) {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if places.len() >= PLACES_MAX {
            places.clear();
        }
        places.insert(offset, number);
    }
}

async fn end_of(link: &Link, number: u64) -> Result<u64, JournalError> {
    let place = (
        &link.journal,
        chunk(number).cast_signed(),
        number.cast_signed(),
    );
    let rows: Vec<(i64,)> = link.rows(&link.statements.step_end, place).await?;
    let (end,) = rows.first().ok_or_else(|| missing(number))?;
    Ok(end.cast_unsigned())
}

struct Reading<'a> {
    link: &'a Link,
    filter: &'a Filter,
    after: u64,
    next: u64,
    events: Vec<RecordedEvent>,
}

impl Reading<'_> {
    /// Reads from one step on, as far as is asked. Gives a step that is read wholly, and the offset after it.
    async fn read(&mut self, first: u64, last: u64) -> Result<(u64, u64), JournalError> {
        let mut steps = Steps::of(self.link, first, last);
        let mut passed = (0, 0);
        while let Some(step) = steps.next().await? {
            let (number, begins, ends) = (step.number, step.begins, step.ends);
            self.step(step).await?;
            if ends > self.next {
                return Ok((begins, number.saturating_sub(1)));
            }
            passed = (ends, number);
            if ends == self.next {
                break;
            }
        }
        Ok(passed)
    }

    /// Takes what is wanted of a step.
    async fn step(&mut self, step: Passed) -> Result<(), JournalError> {
        let mut before = step.begins;
        for (slot, place) in step.slots.into_iter().zip(0..) {
            let end = before.saturating_add(slot.events);
            if end > self.after && before < self.next && slot.events > 0 {
                self.slot((step.number, place), slot, before).await?;
            }
            before = end;
        }
        Ok(())
    }

    async fn slot(
        &mut self,
        (number, place): (u64, usize),
        slot: Slot,
        before: u64,
    ) -> Result<(), JournalError> {
        let entity = stored::entity(&slot.entity)?;
        let kind = self.filter.kind.as_deref();
        if kind.is_some_and(|kind| entity.kind() != kind) {
            return Ok(());
        }
        let append = steps::append(self.link, number, place, slot.body).await?;
        let first = before.saturating_add(append.gone).saturating_add(1);
        let events = recorded(Commit {
            append: append.append(entity, slot.expected)?,
            offset: Offset(first),
        });
        let (after, next) = (Offset(self.after), Offset(self.next));
        let wanted = events.filter(|event| {
            event.offset > after && event.offset <= next && self.filter.admits(event)
        });
        self.events.extend(wanted);
        Ok(())
    }
}
