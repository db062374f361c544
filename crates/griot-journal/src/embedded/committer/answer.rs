//! What a group of requests is told once its frame is durable, or is not.

use griot_core::{Epoch, Offset};
use metrics::counter;

use super::Committer;
use crate::embedded::queue::Request;
use crate::{AppendError, Appended, JournalError};

/// A request whose answer waits for the frame's sync.
#[derive(Debug)]
pub(super) struct Grouped {
    pub(super) request: Request,
    pub(super) outcome: Outcome,
}

#[derive(Debug)]
pub(super) enum Outcome {
    /// Its appends are staged, so many; the last event's offset.
    Staged(usize, Offset),
    /// The shard's epochs before and from now on.
    Claimed(Epoch, Epoch),
    Done,
    Refused(AppendError),
}

/// What became of a frame.
pub(super) enum Written {
    Durable,
    /// Nothing of it is stored.
    Nothing(JournalError),
    /// Nobody knows.
    Unknown(JournalError),
}

impl Committer {
    /// Answers the group; an error where the journal must stop.
    pub(super) fn answer(&mut self, written: Written) -> Result<(), JournalError> {
        let result = match written {
            Written::Durable => {
                self.answer_durable();
                Ok(())
            }
            Written::Nothing(error) => {
                self.undo();
                self.refuse_all(&AppendError::Refused(error));
                Ok(())
            }
            Written::Unknown(error) => {
                let unknown = AppendError::Unknown(error.clone());
                let appends = self.appends_in_group();
                self.shared.queue.end(error.clone());
                self.shared.poisoned(&error);
                for Grouped { request, outcome } in self.group.drain(..) {
                    request.refuse(match outcome {
                        Outcome::Refused(_) => AppendError::Refused(error.clone()),
                        _ => unknown.clone(),
                    });
                }
                self.shared.queue.answered(appends);
                Err(error)
            }
        };
        self.staged.clear();
        self.frame.clear();
        result
    }

    fn answer_durable(&mut self) {
        let mut staged = self.staged.as_slice();
        for Grouped { request, outcome } in &self.group {
            match (request, outcome) {
                (Request::Append { batch, .. }, &Outcome::Staged(count, _)) => {
                    let (own, rest) = staged.split_at_checked(count).unwrap_or_default();
                    self.shared.index().apply(&batch.appends, own);
                    staged = rest;
                }
                (Request::Delete { entity, to, .. }, Outcome::Done) => {
                    self.shared.index().delete(entity, *to);
                }
                _ => {}
            }
        }
        self.shared.advance();
        self.shared.queue.answered(self.appends_in_group());
        for Grouped { request, outcome } in self.group.drain(..) {
            match (request, outcome) {
                (request, Outcome::Refused(error)) => request.refuse(error),
                (Request::Append { reply, batch, .. }, Outcome::Staged(_, last_offset)) => {
                    // Whoever is told may want its memory for the next one.
                    drop(batch);
                    drop(reply.send(Ok(Appended { last_offset })));
                }
                (Request::Claim { reply, .. }, Outcome::Claimed(_, epoch)) => {
                    drop(reply.send(Ok(epoch)));
                }
                (Request::Delete { reply, .. } | Request::Barrier { reply }, _) => {
                    drop(reply.send(Ok(())));
                }
                _ => {}
            }
        }
    }

    /// Takes everything back that the group staged.
    fn undo(&mut self) {
        let mut index = self.shared.index();
        for Grouped { request, outcome } in self.group.iter().rev() {
            match (request, outcome) {
                (Request::Append { batch, .. }, &Outcome::Staged(count, _)) => {
                    let from = self.staged.len().saturating_sub(count);
                    index.unstage(&batch.appends, self.staged.get(from..).unwrap_or_default());
                    self.staged.truncate(from);
                }
                (Request::Claim { shard, .. }, &Outcome::Claimed(before, _)) => {
                    index.set_epoch(shard, before);
                }
                _ => {}
            }
        }
    }

    /// Tells the group and all that is pending that nothing of them is stored.
    fn refuse_all(&mut self, error: &AppendError) {
        let pending = self.pending.drain(..);
        let group = self.group.drain(..).map(|grouped| grouped.request);
        let all: Vec<_> = group.chain(pending).collect();
        let appends = all
            .iter()
            .filter(|request| matches!(request, Request::Append { .. }))
            .count();
        self.shared.queue.answered(appends);
        for request in all {
            request.refuse(error.clone());
        }
    }

    fn appends_in_group(&self) -> usize {
        let is_append = |grouped: &&Grouped| matches!(grouped.request, Request::Append { .. });
        self.group.iter().filter(is_append).count()
    }

    /// Refuses all that is still waiting; the queue has ended.
    pub(super) fn poison(&mut self, error: &JournalError) {
        tracing::error!(%error, "the journal takes no more until it is opened anew");
        counter!("griot_journal_poisoned_total").increment(1);
        self.shared.queue.take_now(&mut self.fresh);
        self.pending.extend(self.fresh.drain(..));
        self.refuse_all(&AppendError::Refused(error.clone()));
    }
}
