//! `griot journal streams` and `griot journal events`: entities, and what happened to each.

use std::io::{BufWriter, Write, stdout};

use clap::Args;
use griot::core::{EntityId, Seq, Timestamp};
use griot::journal::{RecordedEvent, SeqRange};
use serde::Serialize;
use serde_json::value::RawValue;

use super::{Which, entity};
use crate::failure::Failure;
use crate::payload::Payload;

/// Entities and events that are read at a time.
const PAGE: usize = 1_000;

/// Prints the entities that have a stream, in the order of their names, one a line.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  griot journal streams --kind order | head
  griot journal streams --journal postgres://griot@db.internal/griot")]
pub(super) struct Streams {
    #[command(flatten)]
    which: Which,

    /// Only entities of this kind
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,

    /// At most so many
    #[arg(long, value_name = "N", default_value_t = usize::MAX, hide_default_value = true)]
    limit: usize,
}

impl Streams {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let journal = self.which.open().await?.journal;
        let mut out = BufWriter::new(stdout());
        let mut left = self.limit;
        let mut after: Option<EntityId> = None;
        while left > 0 {
            let kind = self.kind.as_deref();
            let page = journal.entities(kind, after.as_ref(), left.min(PAGE)).await;
            let page = page.map_err(|error| self.which.failed(error))?;
            let Some(last) = page.last() else { break };
            for entity in &page {
                writeln!(out, "{entity}").map_err(Failure::Output)?;
            }
            left -= page.len();
            after = Some(last.clone());
        }
        out.flush().map_err(Failure::Output)
    }
}

/// Prints what happened to an entity, oldest first, one event a line: its sequence, when, what, the particulars.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  griot journal events alarm-user/ann
  griot journal events alarm-user/ann --json | jq .data")]
pub(super) struct Events {
    /// KIND/ID, as `griot journal streams` prints it
    #[arg(value_name = "ENTITY", value_parser = entity)]
    entity: EntityId,

    #[command(flatten)]
    which: Which,

    /// Each event as a line of JSON
    #[arg(long)]
    json: bool,
}

/// An event for machines.
#[derive(Serialize)]
struct Line<'a> {
    entity: &'a EntityId,
    seq: u64,
    offset: u64,
    at: Timestamp,
    event: &'a str,
    version: u16,
    tags: &'a [String],
    metadata: &'a [(String, String)],
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    base64: Option<&'a str>,
}

impl Events {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let journal = self.which.open().await?.journal;
        let mut out = BufWriter::new(stdout());
        let mut from = Seq(1);
        loop {
            let range = SeqRange {
                from,
                limit: PAGE,
                ..SeqRange::ALL
            };
            let events = journal.events(&self.entity, range).await;
            let events = events.map_err(|error| self.which.failed(error))?;
            let Some(last) = events.last() else { break };
            from = last.seq.next();
            for event in &events {
                writeln!(out, "{}", self.line(event)).map_err(Failure::Output)?;
            }
        }
        out.flush().map_err(Failure::Output)?;
        if from == Seq(1) {
            let text = format!(
                "{}: nothing happened to it, or its events are deleted",
                self.entity
            );
            return Err(Failure::Verdict(text));
        }
        Ok(())
    }

    fn line(&self, recorded: &RecordedEvent) -> String {
        let payload = Payload::of(&recorded.event.payload);
        if !self.json {
            let (name, payload) = (&recorded.event.name, payload.one_line());
            return format!(
                "{:>5}  {}  {name}  {payload}",
                recorded.seq.get(),
                recorded.at
            );
        }
        let line = Line {
            entity: &recorded.entity,
            seq: recorded.seq.get(),
            offset: recorded.offset.get(),
            at: recorded.at,
            event: &recorded.event.name,
            version: recorded.event.version,
            tags: &recorded.event.tags,
            metadata: &recorded.metadata,
            data: payload.json(),
            text: payload.text(),
            base64: payload.base64(),
        };
        // Nothing in it can fail to be written; an event is never passed over in silence.
        serde_json::to_string(&line).unwrap_or_else(|error| error.to_string())
    }
}
