//! A feature that plugs in by reading what happened before: how often did a ride's address change?

use std::collections::BTreeMap;

use griot::core::Offset;
use griot::journal::{Filter, Journal, JournalError};
use griot::prelude::Entity;

use crate::ride::Ride;

/// Events looked at together.
const PAGE_EVENTS: usize = 1_024;

/// How often the address of each ride changed, since the first one. Nothing was prepared for the
/// question: the events were there.
///
/// # Errors
///
/// What the journal says when it cannot be read.
pub async fn count(journal: &dyn Journal) -> Result<BTreeMap<String, u64>, JournalError> {
    let rides = Filter {
        kind: Some(Ride::KIND.to_owned()),
        tag: None,
    };
    let mut counts = BTreeMap::new();
    let mut after = Offset::ZERO;
    loop {
        let page = journal.tail(after, &rides, PAGE_EVENTS).await?;
        for recorded in &page.events {
            let count = counts.entry(recorded.entity.id().to_owned()).or_default();
            *count += u64::from(recorded.event.name == "RideAddressChanged");
        }
        if page.next == after {
            return Ok(counts);
        }
        after = page.next;
    }
}
