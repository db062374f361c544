//! A group of subscribers: who has which slice, and what is out with whom. Pure: time comes in.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::acked::Acked;
use super::slice::{Slice, admits};
use super::source::{PAGE_MESSAGES_MAX, PAGE_MESSAGES_MIN};

/// How long a member may take to let go of a slice.
pub const REVOCATION_MAX: Duration = Duration::from_secs(30);

/// A number that no other member had.
pub(super) type MemberId = u64;

#[derive(Debug, Default)]
pub(super) struct Group {
    members: BTreeMap<MemberId, Member>,
    slices: BTreeMap<Slice, Progress>,
    deliveries: u64,
}

#[derive(Debug)]
pub(super) struct Member {
    pub(super) topics: Vec<String>,
    pub(super) in_flight_max: usize,
    pub(super) lease: Option<Duration>,
    /// Wakes it: something of its changed.
    pub(super) wake: Arc<Notify>,
    out: usize,
    revoked: Vec<Slice>,
    /// Where it looked last, so that each slice gets its turn.
    looked: Option<Slice>,
}

/// How far a group has come in one slice.
#[derive(Debug, Default)]
struct Progress {
    acked: Acked,
    /// The highest message there is.
    tip: u64,
    /// The lowest that was never out.
    next: u64,
    owner: Option<MemberId>,
    moving: Option<Moving>,
    out: BTreeMap<u64, Out>,
    /// Those to be given again, before all others.
    back: BTreeSet<u64>,
    redelivered: HashMap<u64, u32>,
}

/// A slice that its owner was asked to let go of.
#[derive(Debug)]
struct Moving {
    to: MemberId,
    deadline: Instant,
}

#[derive(Debug)]
struct Out {
    delivery: u64,
    deadline: Option<Instant>,
}

/// What a member is to read: from which sequence, up to which, and how many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) slice: Slice,
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) limit: usize,
}

/// A message that is the member's: the number of this delivery, and how many there were before.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) delivery: u64,
    pub(super) redelivered: u32,
}

impl Member {
    pub(super) fn new(topics: Vec<String>, in_flight_max: usize, lease: Option<Duration>) -> Self {
        Self {
            topics,
            in_flight_max,
            lease,
            wake: Arc::default(),
            out: 0,
            revoked: Vec::new(),
            looked: None,
        }
    }

    fn wants(&self, slice: &Slice) -> bool {
        let mut topics = self.topics.iter();
        topics.any(|pattern| admits(pattern, &slice.topic))
    }
}

impl Group {
    /// Whether it knows how far it has come in a slice.
    pub(super) fn knows(&self, slice: &Slice) -> bool {
        self.slices.contains_key(slice)
    }

    /// Whether somebody here subscribed to its topic.
    pub(super) fn wants(&self, slice: &Slice) -> bool {
        let mut members = self.members.values();
        members.any(|member| member.wants(slice))
    }

    /// A slice has messages up to `tip`. Of one that is new, `acked` are acknowledged.
    pub(super) fn extend(&mut self, slice: &Slice, tip: u64, acked: Acked, now: Instant) {
        let Some(progress) = self.slices.get_mut(slice) else {
            let next = acked.through() + 1;
            let progress = Progress {
                acked,
                tip,
                next,
                ..Progress::default()
            };
            self.slices.insert(slice.clone(), progress);
            self.share(now);
            return;
        };
        progress.tip = progress.tip.max(tip);
        let owner = progress.owner;
        self.wake(owner);
    }

    pub(super) fn join(&mut self, id: MemberId, member: Member, now: Instant) {
        self.members.insert(id, member);
        self.share(now);
    }

    /// The member is gone: what it had goes to the others.
    pub(super) fn leave(&mut self, id: MemberId, now: Instant) {
        self.members.remove(&id);
        for progress in self.slices.values_mut() {
            if progress.owner == Some(id) {
                progress.take_back();
                progress.owner = None;
                progress.moving = None;
            } else if progress
                .moving
                .as_ref()
                .is_some_and(|moving| moving.to == id)
            {
                progress.moving = None;
            }
        }
        self.share(now);
    }

    /// The member let go of these slices.
    pub(super) fn release(&mut self, id: MemberId, slices: &[Slice], now: Instant) {
        for slice in slices {
            let Some(progress) = self.slices.get_mut(slice) else {
                continue;
            };
            if progress.owner != Some(id) {
                continue;
            }
            let Some(moving) = progress.moving.take() else {
                continue;
            };
            let returned = progress.take_back();
            progress.owner = Some(moving.to);
            if let Some(member) = self.members.get_mut(&id) {
                member.out = member.out.saturating_sub(returned);
                member.wake.notify_one();
            }
            self.wake(Some(moving.to));
        }
        self.share(now);
    }

    /// The slices that the member is to let go of.
    pub(super) fn revoked(&mut self, id: MemberId) -> Vec<Slice> {
        let member = self.members.get_mut(&id);
        member.map_or_else(Vec::new, |member| std::mem::take(&mut member.revoked))
    }

    /// Ends leases and revocations whose time is up; says when to look again.
    pub(super) fn expire(&mut self, now: Instant) -> Option<Instant> {
        let mut earliest: Option<Instant> = None;
        let mut soonest = |deadline: Instant| {
            earliest = Some(earliest.map_or(deadline, |earliest| earliest.min(deadline)));
        };
        let mut late = Vec::new();
        for (slice, progress) in &mut self.slices {
            if let (Some(owner), Some(moving)) = (progress.owner, &progress.moving) {
                if moving.deadline <= now {
                    late.push((owner, slice.clone()));
                } else {
                    soonest(moving.deadline);
                }
            }
            let owner = progress.owner.and_then(|id| self.members.get_mut(&id));
            let Some(owner) = owner.filter(|member| member.lease.is_some()) else {
                continue;
            };
            for seq in progress.ended(now) {
                progress.put_back(seq);
                owner.out = owner.out.saturating_sub(1);
                owner.wake.notify_one();
            }
            for out in progress.out.values() {
                out.deadline.into_iter().for_each(&mut soonest);
            }
        }
        for (owner, slice) in late {
            self.release(owner, &[slice], now);
        }
        earliest
    }

    /// Where the member finds its next messages, if it may have more.
    pub(super) fn wanted(&mut self, id: MemberId) -> Option<Wanted> {
        let member = self.members.get_mut(&id)?;
        if member.out >= member.in_flight_max {
            return None;
        }
        let ready = self.slices.iter().filter_map(|(slice, progress)| {
            let (from, to) = progress.ready(id)?;
            Some((slice, from, to))
        });
        let ready: Vec<_> = ready.collect();
        let after = |slice: &Slice| member.looked.as_ref().is_some_and(|looked| slice > looked);
        let next = ready.iter().find(|(slice, ..)| after(slice));
        let &(slice, from, to) = next.or(ready.first())?;
        member.looked = Some(slice.clone());
        // All slices that have something come to be in flight together, so that as many keys do.
        let limit = member.in_flight_max / ready.len() / 2;
        Some(Wanted {
            slice: slice.clone(),
            from,
            to,
            limit: limit.clamp(PAGE_MESSAGES_MIN, PAGE_MESSAGES_MAX),
        })
    }

    /// Whether the member may have one more.
    pub(super) fn has_room(&self, id: MemberId) -> bool {
        let member = self.members.get(&id);
        member.is_some_and(|member| member.out < member.in_flight_max)
    }

    /// Makes a message that the member has read its own; `None` where it is not, or not now.
    pub(super) fn take(
        &mut self,
        id: MemberId,
        slice: &Slice,
        seq: u64,
        now: Instant,
    ) -> Option<Taken> {
        let member = self.members.get_mut(&id)?;
        let progress = self.slices.get_mut(slice)?;
        if progress.owner != Some(id) || progress.moving.is_some() {
            return None;
        }
        match progress.back.first() {
            Some(&first) if first == seq => {
                progress.back.remove(&seq);
            }
            None if seq >= progress.next => progress.next = seq + 1,
            _ => return None,
        }
        if progress.acked.contains(seq) {
            return None;
        }
        self.deliveries += 1;
        let out = Out {
            delivery: self.deliveries,
            deadline: member.lease.map(|lease| now + lease),
        };
        progress.out.insert(seq, out);
        member.out += 1;
        Some(Taken {
            delivery: self.deliveries,
            redelivered: progress.redelivered.get(&seq).copied().unwrap_or(0),
        })
    }

    /// Nothing is kept between `from` and `to`: the reader passes it.
    pub(super) fn pass(&mut self, wanted: &Wanted) {
        if let Some(progress) = self.slices.get_mut(&wanted.slice) {
            progress.next = progress.next.max(wanted.to + 1);
            progress.back = progress.back.split_off(&(wanted.to + 1));
        }
    }

    /// The message is done. It is so also where it is not out with this delivery any more.
    pub(super) fn acknowledge(&mut self, slice: &Slice, seq: u64) {
        let Some(progress) = self.slices.get_mut(slice) else {
            return;
        };
        progress.acked.add(seq);
        progress.back.remove(&seq);
        progress.redelivered.remove(&seq);
        if progress.out.remove(&seq).is_some() {
            let owner = progress.owner;
            self.less_out(owner);
        }
    }

    /// The message comes back undone, if it is out with this delivery.
    pub(super) fn give_back(&mut self, slice: &Slice, seq: u64, delivery: u64) {
        let Some(progress) = self.slices.get_mut(slice) else {
            return;
        };
        if progress.is_out(seq, delivery) {
            progress.put_back(seq);
            let owner = progress.owner;
            self.less_out(owner);
        }
    }

    /// The lease of this delivery begins anew; `false` where it has ended.
    pub(super) fn renew(&mut self, slice: &Slice, seq: u64, delivery: u64, now: Instant) -> bool {
        let Some(progress) = self.slices.get_mut(slice) else {
            return false;
        };
        let owner = progress.owner.and_then(|id| self.members.get(&id));
        let lease = owner.and_then(|member| member.lease);
        let out = progress.out.get_mut(&seq);
        out.filter(|out| out.delivery == delivery)
            .is_some_and(|out| {
                out.deadline = lease.map(|lease| now + lease);
                true
            })
    }

    pub(super) fn acked(&self, slice: &Slice) -> Option<&Acked> {
        self.slices.get(slice).map(|progress| &progress.acked)
    }

    pub(super) fn wake_all(&self) {
        for member in self.members.values() {
            member.wake.notify_one();
        }
    }

    fn wake(&self, id: Option<MemberId>) {
        if let Some(member) = id.and_then(|id| self.members.get(&id)) {
            member.wake.notify_one();
        }
    }

    fn less_out(&mut self, owner: Option<MemberId>) {
        if let Some(member) = owner.and_then(|id| self.members.get_mut(&id)) {
            member.out = member.out.saturating_sub(1);
            member.wake.notify_one();
        }
    }

    /// Gives every slice to a member that wants it, and moves as few as make their numbers even.
    fn share(&mut self, now: Instant) {
        let mut holds: BTreeMap<MemberId, usize> = self.members.keys().map(|id| (*id, 0)).collect();
        let future = |progress: &Progress| {
            let to = progress.moving.as_ref().map(|moving| moving.to);
            to.or(progress.owner)
        };
        for progress in self.slices.values() {
            if let Some(held) = future(progress).and_then(|id| holds.get_mut(&id)) {
                *held += 1;
            }
        }
        for (slice, progress) in &mut self.slices {
            let wanting = self
                .members
                .iter()
                .filter(|(_, member)| member.wants(slice));
            let fewest = wanting.min_by_key(|(id, _)| holds.get(id).copied().unwrap_or(0));
            let Some((&to, _)) = fewest else { continue };
            let count = |id: MemberId| holds.get(&id).copied().unwrap_or(0);
            let now_with = future(progress);
            if now_with.is_some_and(|id| count(id) <= count(to) + 1) {
                continue;
            }
            if let Some(held) = now_with.and_then(|id| holds.get_mut(&id)) {
                *held -= 1;
            }
            *holds.entry(to).or_default() += 1;
            let owner = progress.owner.and_then(|id| self.members.get_mut(&id));
            match owner {
                Some(owner) if !progress.out.is_empty() && progress.owner != Some(to) => {
                    if progress.moving.is_none() {
                        owner.revoked.push(slice.clone());
                    }
                    owner.wake.notify_one();
                    let deadline = now + REVOCATION_MAX;
                    progress.moving = Some(Moving { to, deadline });
                }
                // Asked to let go of it already, it does, and gets it again.
                Some(_) if progress.moving.is_some() => {
                    let deadline = now + REVOCATION_MAX;
                    progress.moving = Some(Moving { to, deadline });
                }
                _ => progress.owner = Some(to),
            }
            if let Some(member) = self.members.get(&to) {
                member.wake.notify_one();
            }
        }
    }
}

impl Progress {
    /// Where its owner finds its next messages: from which, up to which.
    fn ready(&self, owner: MemberId) -> Option<(u64, u64)> {
        let from = self.back.first().copied().unwrap_or(self.next);
        let mine = self.owner == Some(owner) && self.moving.is_none();
        (mine && from <= self.tip).then_some((from, self.tip))
    }

    fn is_out(&self, seq: u64, delivery: u64) -> bool {
        let out = self.out.get(&seq);
        out.is_some_and(|out| out.delivery == delivery)
    }

    /// Those whose lease has ended.
    fn ended(&self, now: Instant) -> Vec<u64> {
        let over = |out: &Out| out.deadline.is_some_and(|deadline| deadline <= now);
        let ended = self.out.iter().filter(|(_, out)| over(out));
        ended.map(|(&seq, _)| seq).collect()
    }

    fn put_back(&mut self, seq: u64) {
        if self.out.remove(&seq).is_some() {
            self.back.insert(seq);
            *self.redelivered.entry(seq).or_default() += 1;
        }
    }

    /// All that is out comes back; says how many those were.
    fn take_back(&mut self) -> usize {
        let out: Vec<u64> = self.out.keys().copied().collect();
        for &seq in &out {
            self.put_back(seq);
        }
        out.len()
    }
}

#[cfg(test)]
mod tests;
