//! Where a group keeps its place in a log, and which of its members is the active one.
//!
//! Who is active says a quorum queue with a single active consumer, the *seat*: it holds a token, and
//! whoever is given it is active until its channel ends. What the group has settled stands in a stream, the
//! *notes*: each holds all that its writer knew. A member that becomes active writes one, and reads all
//! until its own comes round: whatever was confirmed to a member before lies before it. Notes are in a
//! stream since reading takes nothing away: what a queue had given to a member that is gone would come
//! back at a moment of its own.

use std::time::Instant;

use futures_util::StreamExt;
use griot_events::BrokerError;
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation, Consumer, PublisherConfirm};
use serde::{Deserialize, Serialize};

use crate::cursor::Cursor;
use crate::fault;
use crate::link::{GOODBYE, Link};
use crate::logs;
use crate::reading::Reading;

/// What to call this in errors.
const WHAT: &str = "the place of a group";

/// "Keep it on disk", as AMQP spells it.
const PERSISTENT: u8 = 2;

/// How many bytes of notes are kept: all but the last are there for a member that reads them just now.
const NOTES_BYTES_MAX: i64 = 4 << 20;

/// They are dropped by so many.
const NOTES_BYTES_SEGMENT: i64 = 1 << 20;

/// How many notes are asked for at a time.
const NOTES_AHEAD: usize = 256;

/// What a member writes down.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    #[serde(flatten)]
    known: Cursor,
    /// Its writer, where it is to come round.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    round: Option<u64>,
}

/// The queue and the stream of a group's place in a log.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    pub(crate) seat: String,
    pub(crate) notes: String,
}

/// A member's claim to the seat, for as long as its channel lasts.
pub(crate) struct Place {
    link: Link,
    names: Names,
    channel: Channel,
    tokens: Consumer,
    /// The last token that was given.
    token: u64,
    saving: Option<Saving>,
}

/// A note on its way.
struct Saving {
    confirm: PublisherConfirm,
    /// What the ledger called it.
    version: u64,
    began: Instant,
}

/// Something to [take in](Place::take).
pub(crate) enum Incoming {
    Token(Option<lapin::Result<Delivery>>),
    Saved(lapin::Result<Confirmation>),
}

/// What came of it.
pub(crate) enum Change {
    /// This member is the active one, and this is what its group has settled.
    Active(Cursor),
    /// What the ledger knew at this version is written down.
    Saved(u64),
}

impl Place {
    /// Claims the seat, and writes down what this member knows.
    pub(crate) async fn open(
        link: &Link,
        names: Names,
        known: Option<Cursor>,
    ) -> Result<Self, BrokerError> {
        link.answer(WHAT, Self::claim(link, names, known)).await?
    }

    async fn claim(link: &Link, names: Names, known: Option<Cursor>) -> Result<Self, BrokerError> {
        declare_notes(link, &names.notes).await?;
        let channel = declare_seat(link, &names.seat).await?;
        let failed = |error| fault::of(WHAT, error);
        let confirming = channel.confirm_select(ConfirmSelectOptions::default());
        confirming.await.map_err(failed)?;
        let tokens = channel.basic_consume(
            names.seat.as_str().into(),
            "".into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        );
        let tokens = tokens.await.map_err(failed)?;
        let place = Self {
            link: link.clone(),
            names,
            channel,
            tokens,
            token: 0,
            saving: None,
        };
        if let Some(known) = known {
            place.write(Note { known, round: None }).await?;
        }
        place.refresh().await?;
        Ok(place)
    }

    /// Awaits what comes next. Dropped, nothing is lost.
    pub(crate) async fn next(&mut self) -> Incoming {
        tokio::select! {
            token = self.tokens.next() => Incoming::Token(token),
            saved = saved(&mut self.saving) => Incoming::Saved(saved),
        }
    }

    /// Takes in what came.
    ///
    /// # Errors
    ///
    /// Where the claim is lost.
    pub(crate) async fn take(&mut self, incoming: Incoming) -> Result<Option<Change>, BrokerError> {
        match incoming {
            Incoming::Token(Some(Ok(token))) => self.given(token.delivery_tag).await,
            Incoming::Token(Some(Err(error))) => Err(fault::of(WHAT, error)),
            Incoming::Token(None) => Err(fault::gone(&self.names.seat)),
            Incoming::Saved(outcome) => self.saved(outcome).map(Some),
        }
    }

    /// Keeps the newest token: the seat is never without one.
    async fn given(&mut self, token: u64) -> Result<Option<Change>, BrokerError> {
        let before = std::mem::replace(&mut self.token, token);
        if before == 0 {
            // One that was given too often the server would take for harmful, and drop.
            self.refresh().await?;
            let gathered = self.link.answer(WHAT, self.gather()).await?;
            return gathered.map(|known| Some(Change::Active(known)));
        }
        let all = BasicAckOptions { multiple: true };
        let told = self.channel.basic_ack(before, all).await;
        told.map_err(|error| fault::of(WHAT, error))?;
        Ok(None)
    }

    /// All that was written down before now.
    async fn gather(&self) -> Result<Cursor, BrokerError> {
        let mut reading = Reading::begin(&self.link, &self.names.notes, 0, NOTES_AHEAD).await?;
        let mut known = Cursor::default();
        let own = fastrand::u64(..);
        self.write(Note {
            known: known.clone(),
            round: Some(own),
        })
        .await?;
        while let Some(note) = reading.messages.next().await {
            let note = note.map_err(|error| fault::of(WHAT, error))?;
            reading.note(&note);
            reading.ask_for_more().await;
            match serde_json::from_slice::<Note>(&note.data) {
                Ok(note) if note.round == Some(own) => return Ok(known),
                Ok(note) => known.merge(&note.known),
                Err(error) => {
                    tracing::warn!(%error, notes = self.names.notes, "this is no note of ours, passed over");
                }
            }
        }
        Err(fault::gone(&self.names.notes))
    }

    /// Puts a new token into the seat. The server takes a consumer that keeps one for half an hour for
    /// dead.
    pub(crate) async fn refresh(&self) -> Result<(), BrokerError> {
        self.confirmed(self.send(&self.names.seat, b"").await?)
            .await
    }

    fn saved(&mut self, outcome: lapin::Result<Confirmation>) -> Result<Change, BrokerError> {
        let saving = self.saving.take();
        match (outcome, saving) {
            (Ok(Confirmation::Ack(None)), Some(saving)) => Ok(Change::Saved(saving.version)),
            (Err(error), _) => Err(fault::of(WHAT, error)),
            _ => Err(fault::gone(&self.names.notes)),
        }
    }

    /// Whether this member has the token.
    pub(crate) fn is_active(&self) -> bool {
        self.token > 0
    }

    /// Whether a note may be written: one at a time.
    pub(crate) fn is_idle(&self) -> bool {
        self.saving.is_none()
    }

    /// Begins to write down what is known.
    pub(crate) async fn save(&mut self, known: Cursor, version: u64) -> Result<(), BrokerError> {
        let confirm = self.begin(Note { known, round: None }).await?;
        self.saving = Some(Saving {
            confirm,
            version,
            began: Instant::now(),
        });
        Ok(())
    }

    /// Whether the server answers.
    ///
    /// # Errors
    ///
    /// Where a note was not confirmed in time.
    pub(crate) fn check(&self) -> Result<(), BrokerError> {
        let wait = self.link.options.timeout;
        match &self.saving {
            Some(saving) if saving.began.elapsed() > wait => Err(fault::late(WHAT, wait)),
            _ => Ok(()),
        }
    }

    /// Writes down what is known, and gives the seat up. Says which version was written last.
    pub(crate) async fn leave(
        mut self,
        last: Option<(Cursor, u64)>,
    ) -> Result<Option<u64>, BrokerError> {
        let link = self.link.clone();
        let left = async {
            let mut written = None;
            if let Some(saving) = self.saving.take() {
                self.confirmed(saving.confirm).await?;
                written = Some(saving.version);
            }
            if let Some((known, version)) = last {
                self.write(Note { known, round: None }).await?;
                written = Some(version);
            }
            let goodbye = self.channel.close(GOODBYE, "goodbye".into()).await;
            goodbye.map_err(|error| fault::of(WHAT, error))?;
            Ok(written)
        };
        link.answer(WHAT, left).await?
    }

    async fn write(&self, note: Note) -> Result<(), BrokerError> {
        self.confirmed(self.begin(note).await?).await
    }

    async fn begin(&self, note: Note) -> Result<PublisherConfirm, BrokerError> {
        let refused = |error: serde_json::Error| BrokerError::Refused {
            what: WHAT,
            reason: error.to_string(),
        };
        let note = serde_json::to_vec(&note).map_err(refused)?;
        self.send(&self.names.notes, &note).await
    }

    async fn send(&self, queue: &str, payload: &[u8]) -> Result<PublisherConfirm, BrokerError> {
        let mandatory = BasicPublishOptions {
            mandatory: true,
            ..BasicPublishOptions::default()
        };
        let properties = BasicProperties::default().with_delivery_mode(PERSISTENT);
        let sent =
            self.channel
                .basic_publish("".into(), queue.into(), mandatory, payload, properties);
        sent.await.map_err(|error| fault::of(WHAT, error))
    }

    async fn confirmed(&self, confirm: PublisherConfirm) -> Result<(), BrokerError> {
        let confirmed = self.link.answer(WHAT, confirm).await?;
        match confirmed.map_err(|error| fault::of(WHAT, error))? {
            Confirmation::Ack(None) => Ok(()),
            _ => Err(fault::gone(&self.names.notes)),
        }
    }
}

async fn saved(saving: &mut Option<Saving>) -> lapin::Result<Confirmation> {
    match saving {
        Some(saving) => (&mut saving.confirm).await,
        None => std::future::pending().await,
    }
}

async fn declare_notes(link: &Link, stream: &str) -> Result<(), BrokerError> {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), logs::text("stream"));
    let (all, segment) = (NOTES_BYTES_MAX, NOTES_BYTES_SEGMENT);
    arguments.insert("x-max-length-bytes".into(), AMQPValue::LongLongInt(all));
    arguments.insert(
        "x-stream-max-segment-size-bytes".into(),
        AMQPValue::LongLongInt(segment),
    );
    if let Some(replicas) = link.options.replicas {
        let size = AMQPValue::LongLongInt(replicas.into());
        arguments.insert("x-initial-cluster-size".into(), size);
    }
    let declared = logs::declare(link, WHAT, stream, arguments).await?;
    declared
        .map(drop)
        .ok_or_else(|| logs::refused(WHAT, stream))
}

async fn declare_seat(link: &Link, queue: &str) -> Result<Channel, BrokerError> {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), logs::text("quorum"));
    arguments.insert("x-single-active-consumer".into(), AMQPValue::Boolean(true));
    if let Some(replicas) = link.options.replicas {
        let size = AMQPValue::LongLongInt(replicas.into());
        arguments.insert("x-quorum-initial-group-size".into(), size);
    }
    let declared = logs::declare(link, WHAT, queue, arguments).await?;
    declared.ok_or_else(|| logs::refused(WHAT, queue))
}
