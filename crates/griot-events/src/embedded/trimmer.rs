//! The one task that deletes what need not be kept.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use griot_core::{EntityId, Seq, Timestamp};
use griot_journal::{Journal, SeqRange};
use tokio::time::{MissedTickBehavior, interval};

use super::ledger::unreachable;
use super::retention::{Retention, Unacknowledged};
use super::slice::Slice;
use super::state::Shared;
use super::{NAMES_AT_ONCE, book, record};
use crate::BrokerError;

/// How often it looks.
const EVERY: Duration = Duration::from_mins(1);

/// Messages whose age is read at a time.
const READ_AT_ONCE: usize = 256;

pub(super) struct Trimmer {
    journal: Arc<dyn Journal>,
    shared: Arc<Shared>,
    retention: Retention,
    /// Up to where each slice was trimmed.
    trimmed: BTreeMap<Slice, u64>,
}

impl Trimmer {
    pub(super) fn new(
        journal: Arc<dyn Journal>,
        shared: Arc<Shared>,
        retention: Retention,
    ) -> Self {
        Self {
            journal,
            shared,
            retention,
            trimmed: BTreeMap::new(),
        }
    }

    /// Runs until it is aborted.
    pub(super) async fn run(mut self) {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(error) = self.trim().await {
                tracing::warn!(%error, "old messages were not deleted, it is tried again");
            }
        }
    }

    async fn trim(&mut self) -> Result<(), BrokerError> {
        let slices = self.shared.lock().slices();
        let noted = match self.retention.unacknowledged {
            Unacknowledged::Kept => self.noted().await?,
            Unacknowledged::Deleted => BTreeSet::new(),
        };
        for (slice, tip) in slices {
            let trimmed = self.trimmed.get(&slice).copied().unwrap_or(0);
            let mut to = self.outdated(&slice, trimmed, tip).await?;
            if to > trimmed && self.retention.unacknowledged == Unacknowledged::Kept {
                to = to.min(self.acknowledged(&slice, &noted).await?);
            }
            if to > trimmed {
                let entity = record::entity(&slice.topic, slice.partition)?;
                let deleted = self.journal.delete(&entity, Seq(to)).await;
                deleted.map_err(unreachable)?;
                tracing::debug!(%entity, to, "old messages were deleted");
                self.trimmed.insert(slice, to);
            }
        }
        Ok(())
    }

    /// Up to where messages need not be kept, as to their age and number.
    async fn outdated(&self, slice: &Slice, trimmed: u64, tip: u64) -> Result<u64, BrokerError> {
        let max = self.retention.messages_max;
        let surplus = max.map_or(0, |max| tip.saturating_sub(max));
        let Some(age_max) = self.retention.age_max else {
            return Ok(surplus);
        };
        let entity = record::entity(&slice.topic, slice.partition)?;
        let now = Timestamp::from_system(SystemTime::now());
        let mut outdated = trimmed.max(surplus);
        while outdated < tip {
            let range = SeqRange {
                from: Seq(outdated + 1),
                to: Seq(tip),
                limit: READ_AT_ONCE,
            };
            let page = self.journal.events(&entity, range).await;
            let page = page.map_err(unreachable)?;
            let mut old = page.iter();
            let young = old.position(|event| now.since(event.at) < age_max);
            let count = young.unwrap_or(page.len());
            match count.checked_sub(1).and_then(|last| page.get(last)) {
                Some(last) => outdated = last.seq.get(),
                None => break,
            }
            if young.is_some() {
                break;
            }
        }
        Ok(outdated)
    }

    /// Up to where every group of the topic has acknowledged a slice. Of which group a note is cannot
    /// always be told from its name; a group too many keeps more.
    async fn acknowledged(
        &self,
        slice: &Slice,
        noted: &BTreeSet<String>,
    ) -> Result<u64, BrokerError> {
        let mut groups = self.shared.lock().groups_of(slice);
        let suffix = format!("/{}", slice.topic);
        let of_topic = noted.iter().filter_map(|name| name.strip_suffix(&suffix));
        groups.extend(of_topic.map(Arc::from));
        let mut through = u64::MAX;
        for group in groups {
            let acked = book::read(self.journal.as_ref(), &group, slice).await?;
            through = through.min(acked.through());
        }
        Ok(through)
    }

    /// The groups and topics there are notes of, as `group/topic`: also of a group that has
    /// acknowledged nothing of some slice, and is not to lose that.
    async fn noted(&self) -> Result<BTreeSet<String>, BrokerError> {
        let mut noted = BTreeSet::new();
        let mut after: Option<EntityId> = None;
        loop {
            let page = self
                .journal
                .entities(Some(book::GROUP_KIND), after.as_ref(), NAMES_AT_ONCE);
            let names = page.await.map_err(unreachable)?;
            let Some(last) = names.last().cloned() else {
                return Ok(noted);
            };
            after = Some(last);
            let topics = names.iter().filter_map(|name| name.id().rsplit_once('#'));
            noted.extend(topics.map(|(topic, _)| topic.to_owned()));
        }
    }
}
