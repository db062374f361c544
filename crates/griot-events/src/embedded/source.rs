//! A member of a group, and the receipts of what it was given.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use griot_core::Seq;
use griot_journal::{RecordedEvent, SeqRange};
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep_until};

use super::book::Ack;
use super::group::{Group, MemberId, Taken, Wanted};
use super::ledger::unreachable;
use super::slice::Slice;
use super::{Handles, record};
use crate::{BoxFuture, BrokerError, Delivery, Event, Incoming, Receipt, Source};

/// Messages that a member reads from the journal at a time, at most.
pub const PAGE_MESSAGES_MAX: usize = 256;

/// As many as that it reads at a time where there are, however few of a slice may be in flight.
pub(super) const PAGE_MESSAGES_MIN: usize = 8;

/// A member's place in its group; dropped, it leaves.
pub(super) struct Member {
    pub(super) handles: Arc<Handles>,
    pub(super) group: Arc<str>,
    pub(super) id: MemberId,
    pub(super) wake: Arc<Notify>,
    pub(super) lease: Option<Duration>,
    /// What was read and not given yet.
    pub(super) page: VecDeque<(Slice, RecordedEvent)>,
}

/// What a member does next.
enum Step {
    End,
    Give(Incoming),
    Read(Wanted),
    Wait(Option<Instant>),
}

/// What a member wants to hear of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wants {
    Everything,
    Changes,
}

impl Member {
    fn step(&mut self, wants: Wants) -> Step {
        let handles = Arc::clone(&self.handles);
        let mut state = handles.shared.lock();
        if state.closed {
            return Step::End;
        }
        let now = Instant::now();
        let Some(group) = state.group_mut(&self.group) else {
            return Step::End;
        };
        if let Some(incoming) = self.give(group, wants, now) {
            return Step::Give(incoming);
        }
        if wants == Wants::Changes {
            return Step::Wait(group.expire(now));
        }
        // What comes back now goes before what is left of the page: that is read again.
        let deadline = group.expire(now);
        match group.wanted(self.id) {
            Some(wanted) => Step::Read(wanted),
            None => Step::Wait(deadline),
        }
    }

    /// What need not be waited for.
    fn give(&mut self, group: &mut Group, wants: Wants, now: Instant) -> Option<Incoming> {
        let revoked = group.revoked(self.id);
        if !revoked.is_empty() {
            return Some(self.revoke(revoked));
        }
        while wants == Wants::Everything
            && group.has_room(self.id)
            && let Some((slice, event)) = self.page.pop_front()
        {
            if let Some(taken) = group.take(self.id, &slice, event.seq.get(), now) {
                return Some(Incoming::Delivery(self.deliver(&slice, event, &taken)));
            }
        }
        None
    }

    fn deliver(&self, slice: &Slice, event: RecordedEvent, taken: &Taken) -> Delivery {
        let receipt = Out {
            handles: Arc::clone(&self.handles),
            group: Arc::clone(&self.group),
            slice: slice.clone(),
            seq: event.seq.get(),
            delivery: taken.delivery,
            is_settled: false,
        };
        Delivery {
            event: Event::new(record::content(slice, event, taken.redelivered)),
            receipt: Box::new(receipt),
        }
    }

    /// Asks to let go of slices, and passes them on once that is said, or can be said no more.
    fn revoke(&self, slices: Vec<Slice>) -> Incoming {
        let (released, heard) = oneshot::channel();
        let name = |slice: &Slice| (slice.topic.to_string(), slice.partition);
        let partitions = slices.iter().map(name).collect();
        let (handles, group, id) = (Arc::clone(&self.handles), Arc::clone(&self.group), self.id);
        tokio::spawn(async move {
            // Dropped unsent, it says the same.
            let _ = heard.await;
            let mut state = handles.shared.lock();
            if let Some(group) = state.group_mut(&group) {
                group.release(id, &slices, Instant::now());
            }
        });
        Incoming::Revoked {
            partitions,
            released,
        }
    }

    async fn hear(&mut self, wants: Wants) -> Option<Result<Incoming, BrokerError>> {
        let wake = Arc::clone(&self.wake);
        loop {
            match self.step(wants) {
                Step::End => return None,
                Step::Give(incoming) => return Some(Ok(incoming)),
                Step::Read(wanted) => {
                    if let Err(error) = self.read(wanted).await {
                        return Some(Err(error));
                    }
                }
                Step::Wait(None) => wake.notified().await,
                Step::Wait(Some(deadline)) => tokio::select! {
                    () = wake.notified() => {}
                    () = sleep_until(deadline) => {}
                },
            }
        }
    }

    async fn read(&mut self, wanted: Wanted) -> Result<(), BrokerError> {
        let entity = record::entity(&wanted.slice.topic, wanted.slice.partition)?;
        let range = SeqRange {
            from: Seq(wanted.from),
            to: Seq(wanted.to),
            limit: wanted.limit,
        };
        let events = self.handles.journal.events(&entity, range).await;
        let events = events.map_err(unreachable)?;
        let first = events.first().map(|event| event.seq.get());
        if first != Some(wanted.from) {
            // Deleted from the journal meanwhile.
            let to = first.map_or(wanted.to, |first| first.saturating_sub(1));
            let mut state = self.handles.shared.lock();
            if let Some(group) = state.group_mut(&self.group) {
                group.pass(&Wanted {
                    to,
                    ..wanted.clone()
                });
            }
        }
        let slice = wanted.slice;
        self.page = events
            .into_iter()
            .map(|event| (slice.clone(), event))
            .collect();
        Ok(())
    }
}

impl Source for Member {
    fn next(&mut self) -> BoxFuture<'_, Option<Result<Incoming, BrokerError>>> {
        Box::pin(self.hear(Wants::Everything))
    }

    fn next_change(&mut self) -> BoxFuture<'_, Option<Result<Incoming, BrokerError>>> {
        Box::pin(self.hear(Wants::Changes))
    }

    fn at_hand(&mut self) -> Option<Incoming> {
        let handles = Arc::clone(&self.handles);
        let mut state = handles.shared.lock();
        if state.closed {
            return None;
        }
        let group = state.group_mut(&self.group)?;
        self.give(group, Wants::Everything, Instant::now())
    }

    fn lease(&self) -> Option<Duration> {
        self.lease
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut state = self.handles.shared.lock();
        if let Some(group) = state.group_mut(&self.group) {
            group.leave(self.id, Instant::now());
        }
    }
}

/// The receipt of one delivery; dropped unused, it gives the message back.
struct Out {
    handles: Arc<Handles>,
    group: Arc<str>,
    slice: Slice,
    seq: u64,
    delivery: u64,
    is_settled: bool,
}

impl Out {
    fn with_group<T>(&self, change: impl FnOnce(&mut Group) -> T) -> Option<T> {
        let mut state = self.handles.shared.lock();
        state.group_mut(&self.group).map(change)
    }

    fn return_it(&self) {
        self.with_group(|group| group.give_back(&self.slice, self.seq, self.delivery));
    }
}

impl Receipt for Out {
    fn ack(mut self: Box<Self>) -> BoxFuture<'static, Result<(), BrokerError>> {
        Box::pin(async move {
            let acks = self.handles.acks().ok_or(BrokerError::Closed)?;
            self.is_settled = true;
            self.with_group(|group| group.acknowledge(&self.slice, self.seq));
            let (answer, answered) = oneshot::channel();
            let ack = Ack {
                group: Arc::clone(&self.group),
                slice: self.slice.clone(),
                answer,
            };
            acks.send(ack).await.map_err(|_| BrokerError::Closed)?;
            drop(acks);
            answered.await.unwrap_or(Err(BrokerError::Closed))
        })
    }

    fn give_back(mut self: Box<Self>) -> BoxFuture<'static, Result<(), BrokerError>> {
        Box::pin(async move {
            self.is_settled = true;
            self.return_it();
            Ok(())
        })
    }

    fn extend(&self) -> BoxFuture<'_, Result<(), BrokerError>> {
        Box::pin(async move {
            let renew = |group: &mut Group| {
                group.renew(&self.slice, self.seq, self.delivery, Instant::now())
            };
            match self.with_group(renew) {
                Some(true) => Ok(()),
                _ => Err(BrokerError::Refused {
                    what: "a longer lease",
                    reason: "it has ended, and the message is given again".to_owned(),
                }),
            }
        })
    }
}

impl Drop for Out {
    fn drop(&mut self) {
        if !self.is_settled {
            self.return_it();
        }
    }
}

impl fmt::Debug for Out {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            group, slice, seq, ..
        } = self;
        write!(formatter, "Receipt({group}: {slice:?} {seq})")
    }
}
