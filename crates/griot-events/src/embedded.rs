//! The broker that is part of the program: durable, on a journal, any number of groups.
//!
//! How it is made:
//!
//! - A topic has 16 slices, its partitions. A message goes to the one that its key hashes to; without
//!   a key, to the one of its message id; without either, to each in turn. A slice is an entity of the
//!   kind `griot.topic` named `topic#number`, and a message is one event of it: name and payload are
//!   the event's, key and headers stand in its metadata. So an offset is a sequence of the journal,
//!   without a gap, and a reader needs nothing but the journal.
//! - One task publishes. What waits while an append is under way goes into the next one, in order and
//!   all or nothing: many publishers share one sync.
//! - A message id is a command key of the journal. A message that is published again with its id is
//!   confirmed and not stored, as long as the journal knows the id: at least the newest
//!   [`KEYS_KEPT`](griot_journal::KEYS_KEPT) of each slice.
//! - What a group has acknowledged of a slice (all up to a watermark, and ranges above it) is an
//!   entity of the kind `griot.group` named `group/topic#number`, whose newest event says all. One
//!   other task writes it, for all acknowledgements that came meanwhile. An acknowledgement that
//!   is lost with the program is a message given again; a message is never lost.
//! - The members of a group share its slices evenly. Where one joins or leaves, a slice whose
//!   messages are out is moved once its owner has let go of it, so that a key is never with two
//!   members. A member reads one page at a time from the journal: nothing else is held in memory.
//! - What [`Retention`] says need not be kept is deleted from the journal, once a minute and when it is
//!   opened: nobody is given it any more. **It frees no space** on a journal that only hides what it
//!   deletes, as the embedded log does; there it keeps new groups from reading all of the past.
//! - Both tasks own their shard by its epoch. Fenced off, they claim it anew; where nobody knows
//!   whether an append is stored they claim it, look, and append it again if it is not.
//!
//! It serves one program. Two brokers on one journal lose nothing, but both give every message.

mod acked;
mod book;
mod group;
mod ledger;
mod record;
mod retention;
mod slice;
mod source;
mod state;
mod trimmer;
mod writer;

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use griot_core::{EntityId, Publication};
use griot_journal::Journal;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

pub use book::ACKS_WAITING_MAX;
pub use group::REVOCATION_MAX;
pub use record::MESSAGE_BYTES_MAX;
pub use retention::{Retention, Unacknowledged};
pub use source::PAGE_MESSAGES_MAX;
pub use writer::PUBLISHES_WAITING_MAX;

use crate::{BoxFuture, Broker, BrokerError, Source, Subscription};
use book::{Ack, Book};
use ledger::{Ledger, unreachable};
use slice::Slice;
use source::Member;
use state::Shared;
use trimmer::Trimmer;
use writer::{Request, Writer};

/// Entities that are listed at a time while opening.
const NAMES_AT_ONCE: usize = 1_024;

/// How a broker in the program behaves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EmbeddedOptions {
    /// How long a message stays a member's without a sign of life. `None`, the default, for as long
    /// as the member lives: it is in the same program, and leaves when it is dropped.
    pub lease: Option<Duration>,
    /// How long messages are kept: by default for ever.
    pub retention: Retention,
}

/// The broker in the program. Dropped or closed, it leaves the journal open.
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// use std::sync::Arc;
/// use griot_events::embedded::{EmbeddedBroker, EmbeddedOptions};
/// use griot_events::{Broker, Producer, Message};
/// use griot_journal::MemoryJournal;
///
/// let journal = Arc::new(MemoryJournal::new());
/// let broker = EmbeddedBroker::open(journal, EmbeddedOptions::default()).await?;
/// let producer = Producer::new(Arc::new(broker));
/// producer.publish(Message::json("orders", &"a chair")?.key("CUST-001")).await?;
/// # Ok::<(), griot_events::BrokerError>(()) }).unwrap();
/// ```
pub struct EmbeddedBroker {
    handles: Arc<Handles>,
    publishes: Mutex<Option<mpsc::Sender<Request>>>,
    options: EmbeddedOptions,
    /// The task that trims, where one does.
    trimming: Mutex<JoinSet<()>>,
    /// Both tasks listen: it is closed once they have ended.
    alive: watch::Sender<()>,
}

/// What sources and receipts need of the broker.
struct Handles {
    journal: Arc<dyn Journal>,
    shared: Arc<Shared>,
    acks: Mutex<Option<mpsc::Sender<Ack>>>,
}

impl Handles {
    fn acks(&self) -> Option<mpsc::Sender<Ack>> {
        let acks = self.acks.lock().unwrap_or_else(PoisonError::into_inner);
        acks.clone()
    }
}

impl fmt::Debug for EmbeddedBroker {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = formatter.debug_struct("EmbeddedBroker");
        debug
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl EmbeddedBroker {
    /// Opens the broker whose messages are in `journal`, on the runtime that this is called in.
    ///
    /// # Errors
    ///
    /// [`BrokerError::Unreachable`] where the journal cannot be read or claimed.
    ///
    /// # Cancel safety
    ///
    /// Dropped, nothing has changed but the epochs of two shards.
    pub async fn open(
        journal: Arc<dyn Journal>,
        options: EmbeddedOptions,
    ) -> Result<Self, BrokerError> {
        let shared = Arc::new(Shared::default());
        let mut messages = Ledger::new(Arc::clone(&journal), record::TOPIC_KIND);
        let mut notes = Ledger::new(Arc::clone(&journal), "griot.group");
        messages.claim().await?;
        notes.claim().await?;
        find_slices(journal.as_ref(), &shared).await?;
        let (publishes, requests) = mpsc::channel(PUBLISHES_WAITING_MAX);
        let (acks, taken) = mpsc::channel(ACKS_WAITING_MAX);
        let (alive, listener) = watch::channel(());
        let writer = Writer {
            ledger: messages,
            shared: Arc::clone(&shared),
            turn: 0,
        };
        let book = Book {
            journal: Arc::clone(&journal),
            ledger: notes,
            shared: Arc::clone(&shared),
        };
        let mut trimming = JoinSet::new();
        if options.retention != Retention::default() {
            let journal = Arc::clone(&journal);
            let trimmer = Trimmer::new(journal, Arc::clone(&shared), options.retention);
            trimming.spawn(trimmer.run());
        }
        tokio::spawn(writer.run(requests, listener.clone()));
        tokio::spawn(book.run(taken, listener));
        let handles = Handles {
            journal,
            shared,
            acks: Mutex::new(Some(acks)),
        };
        Ok(Self {
            handles: Arc::new(handles),
            publishes: Mutex::new(Some(publishes)),
            options,
            trimming: Mutex::new(trimming),
            alive,
        })
    }

    /// Writes down that there is this group, so that what it has not acknowledged is kept, also when the
    /// program ends before it acknowledged anything.
    async fn make_known(
        &self,
        group: &Arc<str>,
        slices: &[(Slice, acked::Acked)],
    ) -> Result<(), BrokerError> {
        let mut answers = Vec::new();
        for (slice, acked) in slices {
            if *acked != acked::Acked::default() {
                continue;
            }
            let acks = self.handles.acks().ok_or(BrokerError::Closed)?;
            let (answer, answered) = oneshot::channel();
            let (group, slice) = (Arc::clone(group), slice.clone());
            let note = Ack {
                group,
                slice,
                answer,
            };
            acks.send(note).await.map_err(|_| BrokerError::Closed)?;
            answers.push(answered);
        }
        for answered in answers {
            answered.await.unwrap_or(Err(BrokerError::Closed))?;
        }
        Ok(())
    }

    fn publishes(&self) -> Option<mpsc::Sender<Request>> {
        let publishes = self.publishes.lock();
        publishes.unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn join(&self, subscription: Subscription) -> Result<Member, BrokerError> {
        let Subscription {
            topics,
            group,
            in_flight_max,
            ..
        } = subscription;
        if topics.is_empty() || group.is_empty() || in_flight_max == 0 {
            return Err(BrokerError::Refused {
                what: "a subscription without a topic, a group or room for a message",
                reason: "name at least one topic and a group, and take in at least one".to_owned(),
            });
        }
        let name: Arc<str> = group.into();
        // What a group has acknowledged is read outside of the lock. A slice that comes into being
        // meanwhile has nothing acknowledged.
        let slices = self.handles.shared.lock().unknown(&name, &topics);
        let mut known = Vec::with_capacity(slices.len());
        for slice in slices {
            let acked = book::read(self.handles.journal.as_ref(), &name, &slice).await?;
            known.push((slice, acked));
        }
        if self.options.retention != Retention::default() {
            self.make_known(&name, &known).await?;
        }
        let mut state = self.handles.shared.lock();
        if state.closed {
            return Err(BrokerError::Closed);
        }
        let now = Instant::now();
        let member = group::Member::new(topics.clone(), in_flight_max, self.options.lease);
        let (id, wake) = (state.next_member(), Arc::clone(&member.wake));
        state.group_or_new(&name).join(id, member, now);
        for (slice, acked) in known {
            let tip = state.tip(&slice);
            state.group_or_new(&name).extend(&slice, tip, acked, now);
        }
        for slice in state.unknown(&name, &topics) {
            let tip = state.tip(&slice);
            let acked = acked::Acked::default();
            state.group_or_new(&name).extend(&slice, tip, acked, now);
        }
        Ok(Member {
            handles: Arc::clone(&self.handles),
            group: name,
            id,
            wake,
            lease: self.options.lease,
            page: VecDeque::new(),
        })
    }
}

impl Broker for EmbeddedBroker {
    fn publish(
        &self,
        publications: Vec<Publication>,
    ) -> BoxFuture<'_, Vec<Result<(), BrokerError>>> {
        Box::pin(async move {
            let count = publications.len();
            let closed = || vec![Err(BrokerError::Closed); count];
            let Some(publishes) = self.publishes() else {
                return closed();
            };
            let (answer, answered) = oneshot::channel();
            let request = Request {
                publications,
                answer,
            };
            if publishes.send(request).await.is_err() {
                return closed();
            }
            drop(publishes);
            answered.await.unwrap_or_else(|_| closed())
        })
    }

    fn subscribe(
        &self,
        subscription: Subscription,
    ) -> BoxFuture<'_, Result<Box<dyn Source>, BrokerError>> {
        Box::pin(async move {
            let member = self.join(subscription).await?;
            Ok(Box::new(member) as Box<dyn Source>)
        })
    }

    fn check(&self) -> BoxFuture<'_, Result<(), BrokerError>> {
        Box::pin(async move {
            if self.publishes().is_none() {
                return Err(BrokerError::Closed);
            }
            // It answers only while it takes appends.
            let any = self
                .handles
                .journal
                .entities(Some(record::TOPIC_KIND), None, 1);
            any.await.map(drop).map_err(unreachable)
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.handles.shared.lock().close();
        let publishes = self.publishes.lock();
        publishes.unwrap_or_else(PoisonError::into_inner).take();
        let acks = self.handles.acks.lock();
        acks.unwrap_or_else(PoisonError::into_inner).take();
        let trimming = self.trimming.lock();
        trimming.unwrap_or_else(PoisonError::into_inner).abort_all();
        Box::pin(self.alive.closed())
    }
}

/// Learns which slices there are, and how far they go.
async fn find_slices(journal: &dyn Journal, shared: &Shared) -> Result<(), BrokerError> {
    let mut after: Option<EntityId> = None;
    loop {
        let page = journal.entities(Some(record::TOPIC_KIND), after.as_ref(), NAMES_AT_ONCE);
        let names = page.await.map_err(unreachable)?;
        let Some(last) = names.last().cloned() else {
            return Ok(());
        };
        after = Some(last);
        for entity in &names {
            let tip = journal.last_seq(entity).await.map_err(unreachable)?;
            let slice: Option<Slice> = record::slice(entity);
            if let Some(slice) = slice {
                shared.lock().extend(slice, tip.get());
            }
        }
    }
}
