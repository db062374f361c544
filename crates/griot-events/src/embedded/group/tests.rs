//! A group, with time passed in.

use super::*;
use crate::Partition;

/// A group of one topic with 16 slices of ten messages each.
fn group() -> (Group, Vec<Slice>, Instant) {
    let (mut group, now) = (Group::default(), Instant::now());
    let slice = |number| Slice {
        topic: "orders".into(),
        partition: Partition(number),
    };
    let slices: Vec<_> = (0..16).map(slice).collect();
    for slice in &slices {
        group.extend(slice, 10, Acked::default(), now);
    }
    (group, slices, now)
}

fn member() -> Member {
    Member::new(vec!["orders".to_owned()], 1_000, None)
}

fn held(group: &Group, id: MemberId) -> usize {
    let owned = |progress: &&Progress| progress.owner == Some(id) && progress.moving.is_none();
    group.slices.values().filter(owned).count()
}

#[test]
fn slices_are_shared_evenly_whoever_comes_and_goes() {
    let (mut group, _, now) = group();
    for id in 1..=5 {
        group.join(id, member(), now);
        let counts: Vec<_> = (1..=id).map(|id| held(&group, id)).collect();
        let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
        assert!(most - least <= 1, "{counts:?}");
        assert_eq!(counts.iter().sum::<usize>(), 16);
    }
    for id in 1..=4 {
        group.leave(id, now);
        let left: usize = (id + 1..=5).map(|id| held(&group, id)).sum();
        assert_eq!(left, 16);
    }
}

#[test]
fn a_member_reads_so_few_of_a_slice_that_all_of_them_are_in_flight_together() {
    let (mut group, slices, now) = group();
    group.join(1, member(), now);
    let read: Vec<_> = slices.iter().map_while(|_| group.wanted(1)).collect();
    let all: BTreeSet<_> = read.iter().map(|wanted| &wanted.slice).collect();
    assert_eq!(all.len(), slices.len());
    let most: usize = read.iter().map(|wanted| wanted.limit).sum();
    assert!(most <= 1_000, "{most}");
}

#[test]
fn a_slice_with_messages_out_is_moved_when_it_is_released_or_its_time_is_up() {
    for releases in [true, false] {
        let (mut group, slices, now) = group();
        group.join(1, member(), now);
        for slice in &slices {
            assert!(group.take(1, slice, 1, now).is_some());
        }
        group.join(2, member(), now);
        let revoked = group.revoked(1);
        assert_eq!((revoked.len(), held(&group, 2)), (8, 0));
        let moved = revoked.first().unwrap();
        assert_eq!(group.take(1, moved, 2, now), None, "it is going");
        assert_eq!(group.take(2, moved, 1, now), None, "it has not come");
        let later = now + REVOCATION_MAX;
        if releases {
            group.acknowledge(moved, 1);
            group.release(1, &revoked, now);
        } else {
            assert_eq!(group.expire(now), Some(later));
            group.expire(later);
        }
        assert_eq!(held(&group, 2), 8);
        assert_eq!(group.take(2, moved, 1, later).is_none(), releases);
        assert!(group.take(2, moved, 2, later).is_some());
    }
}

#[test]
fn what_comes_back_goes_before_all_others_and_counts_its_deliveries() {
    let (mut group, slices, now) = group();
    let slice = slices.first().unwrap();
    group.join(1, member(), now);
    let first = group.take(1, slice, 1, now).unwrap();
    assert!(group.take(1, slice, 2, now).is_some());
    group.give_back(slice, 1, first.delivery);
    assert_eq!(group.take(1, slice, 3, now), None);
    let again = group.take(1, slice, 1, now).unwrap();
    assert_eq!((first.redelivered, again.redelivered), (0, 1));
    group.give_back(slice, 1, first.delivery);
    assert!(
        group.take(1, slice, 3, now).is_some(),
        "an old receipt gives nothing back"
    );
}

#[test]
fn a_member_has_no_more_out_than_it_asked_for() {
    let (mut group, slices, now) = group();
    let slice = slices.first().unwrap();
    group.join(1, Member::new(vec![">".to_owned()], 2, None), now);
    for seq in 1..=2 {
        assert!(group.has_room(1) && group.wanted(1).is_some());
        assert!(group.take(1, slice, seq, now).is_some());
    }
    assert!(!group.has_room(1));
    assert_eq!(group.wanted(1), None);
    group.acknowledge(slice, 2);
    assert!(group.has_room(1));
}
