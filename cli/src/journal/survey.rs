//! `griot journal verify` and `griot journal stats`: all of a journal, read once.

use std::collections::{BTreeMap, HashMap};
use std::fmt::{self, Display};
use std::io::{Write, stdout};

use clap::Args;
use griot::core::{EntityId, Offset, Seq, Timestamp};
use griot::journal::{Journal, JournalError, RecordedEvent};

use super::Which;
use super::scan::{self, bar};
use crate::failure::Failure;

/// How many faults are printed.
const FAULTS_SHOWN: usize = 20;

/// Reads all of a journal and says whether it is sound: every checksum of the embedded log, and that no entity's
/// events have a gap, a repetition or another order than their sequences.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  griot journal verify --data-dir /var/lib/griot
  griot journal verify --journal postgres://griot@db.internal/griot")]
pub(super) struct Verify {
    #[command(flatten)]
    which: Which,
}

impl Verify {
    pub(super) async fn run(self) -> Result<(), Failure> {
        // Opening the embedded log reads every frame of it, and says where one is damaged.
        let journal = self.which.open().await?.journal;
        let found = Checked::of(&*journal).await;
        let found = found.map_err(|error| self.which.failed(error))?;
        let Checked {
            events,
            entities,
            faults,
            ..
        } = &found;
        if faults.is_empty() {
            return writeln!(
                stdout(),
                "{events} events of {} entities: all sound",
                entities.len()
            )
            .map_err(Failure::Output);
        }
        let mut out = stdout().lock();
        for fault in faults.iter().take(FAULTS_SHOWN) {
            writeln!(out, "{fault}").map_err(Failure::Output)?;
        }
        let text = format!(
            "{} faults in {events} events of {} entities; restore the journal from a backup",
            faults.len(),
            entities.len()
        );
        Err(Failure::Verdict(text))
    }
}

/// What was read so far.
#[derive(Default)]
struct Checked {
    events: u64,
    offset: Offset,
    /// The last sequence of each, of those that were seen.
    entities: HashMap<EntityId, Seq>,
    faults: Vec<String>,
}

impl Checked {
    async fn of(journal: &dyn Journal) -> Result<Self, JournalError> {
        let mut checked = Self::default();
        let mut firsts = Vec::new();
        scan::events(journal, |event| checked.take(event, &mut firsts)).await?;
        let bar = bar(
            u64::try_from(checked.entities.len()).unwrap_or(u64::MAX),
            "entities",
        );
        for (entity, first) in firsts {
            // A deletion takes away what is first, and the journal knows how far it went.
            let commits = journal.commits(&entity, Seq::ZERO, 0, 1).await?;
            let begins = commits.first().map(|commit| commit.append.expected.next());
            if begins.is_some_and(|begins| begins != first) {
                checked.fault(&entity, first, "events before it are missing");
            }
            let last = journal.last_seq(&entity).await?;
            let seen = checked.entities.get(&entity).copied().unwrap_or_default();
            // What came after it began to read is beyond what was seen.
            if seen > last {
                checked.fault(
                    &entity,
                    seen,
                    "it is beyond the last sequence of its entity",
                );
            }
            bar.inc(1);
        }
        bar.finish_and_clear();
        Ok(checked)
    }

    fn take(&mut self, event: &RecordedEvent, firsts: &mut Vec<(EntityId, Seq)>) {
        self.events += 1;
        if event.offset <= self.offset {
            self.fault(
                &event.entity,
                event.seq,
                "its offset is not beyond the one before it",
            );
        }
        self.offset = event.offset;
        match self.entities.insert(event.entity.clone(), event.seq) {
            None => firsts.push((event.entity.clone(), event.seq)),
            Some(before) if event.seq == before.next() => {}
            Some(before) => {
                let what = format!("it follows event {before}");
                self.fault(&event.entity, event.seq, &what);
            }
        }
    }

    fn fault(&mut self, entity: &EntityId, seq: Seq, what: &str) {
        let offset = self.offset;
        self.faults
            .push(format!("{entity}: event {seq}, by offset {offset}: {what}"));
    }
}

/// Prints what a journal holds, by kind: entities, events and bytes of their payloads, and from when to when.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  griot journal stats
  griot journal stats --journal postgres://griot@db.internal/griot")]
pub(super) struct Stats {
    #[command(flatten)]
    which: Which,
}

impl Stats {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let journal = self.which.open().await?.journal;
        let counted = Counted::of(&*journal).await;
        let counted = counted.map_err(|error| self.which.failed(error))?;
        write!(stdout(), "{counted}").map_err(Failure::Output)
    }
}

#[derive(Default)]
struct Counted {
    kinds: BTreeMap<String, Count>,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
    offset: Offset,
}

#[derive(Default)]
struct Count {
    entities: u64,
    events: u64,
    bytes: u64,
}

impl Counted {
    async fn of(journal: &dyn Journal) -> Result<Self, JournalError> {
        let mut counted = Self::default();
        counted.offset = scan::events(journal, |event| counted.take(event)).await?;
        counted.name_entities(journal).await?;
        Ok(counted)
    }

    fn take(&mut self, event: &RecordedEvent) {
        let count = self
            .kinds
            .entry(event.entity.kind().to_owned())
            .or_default();
        count.events += 1;
        count.bytes += u64::try_from(event.event.payload.len()).unwrap_or(u64::MAX);
        self.first = Some(self.first.map_or(event.at, |first| first.min(event.at)));
        self.last = Some(self.last.map_or(event.at, |last| last.max(event.at)));
    }

    /// Also those whose events are all deleted.
    async fn name_entities(&mut self, journal: &dyn Journal) -> Result<(), JournalError> {
        const PAGE: usize = 10_000;
        let mut after: Option<EntityId> = None;
        loop {
            let page = journal.entities(None, after.as_ref(), PAGE).await?;
            for entity in &page {
                self.kinds
                    .entry(entity.kind().to_owned())
                    .or_default()
                    .entities += 1;
            }
            match page.last() {
                Some(last) => after = Some(last.clone()),
                None => return Ok(()),
            }
        }
    }
}

impl Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut row =
            |kind: &str, entities: &dyn Display, events: &dyn Display, bytes: &dyn Display| {
                writeln!(f, "{kind:<24}{entities:>12}{events:>14}{bytes:>16}")
            };
        row("kind", &"entities", &"events", &"payload bytes")?;
        let mut all = Count::default();
        for (kind, count) in &self.kinds {
            row(kind, &count.entities, &count.events, &count.bytes)?;
            all.entities += count.entities;
            all.events += count.events;
            all.bytes += count.bytes;
        }
        row("all", &all.entities, &all.events, &all.bytes)?;
        let time = |at: Option<Timestamp>| at.map_or_else(|| "-".to_owned(), |at| at.to_string());
        writeln!(f, "\nlast offset   {}", self.offset)?;
        writeln!(f, "first event   {}", time(self.first))?;
        writeln!(f, "last event    {}", time(self.last))
    }
}
