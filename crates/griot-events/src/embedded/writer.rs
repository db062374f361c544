//! The one task that publishes: what waits goes into one durable append, in order.

use std::collections::{HashMap, HashSet};
use std::mem;
use std::sync::Arc;

use griot_core::{EntityId, Publication, Seq};
use tokio::sync::{mpsc, oneshot, watch};

use super::ledger::{Entry, Failed, Ledger};
use super::record;
use super::state::Shared;
use crate::BrokerError;

/// Calls of `publish` that wait for the one under way, at most; further ones wait to be taken.
pub const PUBLISHES_WAITING_MAX: usize = 1_024;

/// Messages of one append.
const BATCH_MESSAGES_MAX: usize = 4_096;

/// Bytes after which an append takes no more messages; a larger one goes alone.
const BATCH_BYTES_MAX: usize = 8 << 20;

type Outcome = Result<(), BrokerError>;

/// A call of `publish`.
pub(super) struct Request {
    pub(super) publications: Vec<Publication>,
    pub(super) answer: oneshot::Sender<Vec<Outcome>>,
}

pub(super) struct Writer {
    pub(super) ledger: Ledger,
    pub(super) shared: Arc<Shared>,
    pub(super) turn: u32,
}

/// A call under way: its outcomes so far.
struct Call {
    answer: oneshot::Sender<Vec<Outcome>>,
    outcomes: Vec<Outcome>,
}

/// A message on its way: which call's, and which of it.
struct Item {
    call: usize,
    number: usize,
    entry: Entry,
}

impl Writer {
    /// Runs until nobody can publish any more.
    pub(super) async fn run(
        mut self,
        mut requests: mpsc::Receiver<Request>,
        _alive: watch::Receiver<()>,
    ) {
        while let Some(first) = requests.recv().await {
            let mut count = first.publications.len();
            let mut taken = vec![first];
            while count < BATCH_MESSAGES_MAX
                && let Ok(request) = requests.try_recv()
            {
                count += request.publications.len();
                taken.push(request);
            }
            self.publish(taken).await;
        }
    }

    async fn publish(&mut self, requests: Vec<Request>) {
        let mut calls = Vec::with_capacity(requests.len());
        let mut batch = Vec::new();
        let mut bytes = 0;
        for (call, request) in requests.into_iter().enumerate() {
            let Request {
                publications,
                answer,
            } = request;
            let outcomes = vec![Ok(()); publications.len()];
            calls.push(Call { answer, outcomes });
            let mut failed: HashSet<(String, Option<String>)> = HashSet::new();
            for (number, publication) in publications.into_iter().enumerate() {
                let key = (publication.topic.clone(), publication.key.clone());
                let size = record::bytes_of(&publication);
                self.turn = self.turn.wrapping_add(1);
                let entry = match record::entry(publication, self.turn) {
                    _ if failed.contains(&key) => Err(overtaking()),
                    entry => entry,
                };
                match entry {
                    Err(error) => {
                        failed.insert(key);
                        fail(&mut calls, call, number, error);
                    }
                    Ok(entry) => {
                        if bytes + size > BATCH_BYTES_MAX || batch.len() == BATCH_MESSAGES_MAX {
                            self.write(mem::take(&mut batch), &mut calls).await;
                            bytes = 0;
                        }
                        bytes += size;
                        batch.push(Item {
                            call,
                            number,
                            entry,
                        });
                    }
                }
            }
        }
        self.write(batch, &mut calls).await;
        for call in calls {
            // Nobody waits where the future of `publish` was dropped.
            let _ = call.answer.send(call.outcomes);
        }
    }

    /// Appends a batch; messages whose id is known already are left out, for they are there.
    async fn write(&mut self, batch: Vec<Item>, calls: &mut [Call]) {
        // Where an earlier message of a call failed, its later ones do not overtake it.
        let failed = |item: &Item| {
            let call: Option<&Call> = calls.get(item.call);
            call.is_some_and(|call| call.outcomes.iter().any(is_passing))
        };
        let (held_up, batch): (Vec<_>, Vec<_>) = batch.into_iter().partition(failed);
        for item in held_up {
            fail(calls, item.call, item.number, held_up_by_another());
        }
        let mut ids: HashSet<(EntityId, String)> = HashSet::new();
        let mut items = Vec::with_capacity(batch.len());
        let (mut entries, mut repeats) = (Vec::with_capacity(batch.len()), Vec::new());
        for Item {
            call,
            number,
            entry,
        } in batch
        {
            let id = entry.id.clone().map(|id| (entry.entity.clone(), id));
            if id.is_none_or(|id| ids.insert(id)) {
                items.push((call, number));
                entries.push(entry);
            } else {
                repeats.push((call, number));
            }
        }
        while !entries.is_empty() {
            match self.ledger.append(&entries).await {
                Ok(seqs) => return self.announce(&entries, &seqs),
                Err(Failed::Repeated { entity, id }) => {
                    let same = |entry: &Entry| {
                        entry.entity == entity && entry.id.as_deref() == Some(id.as_str())
                    };
                    let Some(place) = entries.iter().position(same) else {
                        break;
                    };
                    entries.remove(place);
                    items.remove(place);
                }
                Err(Failed::Broker(error)) => {
                    tracing::warn!(%error, messages = entries.len(), "messages were not published");
                    for &(call, number) in items.iter().chain(&repeats) {
                        fail(calls, call, number, error.clone());
                    }
                    return;
                }
            }
        }
    }

    fn announce(&self, entries: &[Entry], seqs: &[Seq]) {
        let tips: HashMap<_, _> = entries
            .iter()
            .map(|entry| &entry.entity)
            .zip(seqs)
            .collect();
        let mut state = self.shared.lock();
        for (entity, tip) in tips {
            if let Some(slice) = record::slice(entity) {
                state.extend(slice, tip.get());
            }
        }
    }
}

fn fail(calls: &mut [Call], call: usize, number: usize, error: BrokerError) {
    let call = calls.get_mut(call);
    if let Some(outcome) = call.and_then(|call| call.outcomes.get_mut(number)) {
        *outcome = Err(error);
    }
}

/// An error that may be gone by the next append, so that what follows would overtake.
fn is_passing(outcome: &Outcome) -> bool {
    !matches!(outcome, Ok(()) | Err(BrokerError::Refused { .. }))
}

fn held_up_by_another() -> BrokerError {
    let reason = "a message before it was not published, and it would overtake that one";
    BrokerError::Unreachable(Arc::new(std::io::Error::other(reason)))
}

fn overtaking() -> BrokerError {
    BrokerError::Refused {
        what: "a message that would overtake another of its key",
        reason: "that one was refused: mend or leave out the first, then publish both".to_owned(),
    }
}
