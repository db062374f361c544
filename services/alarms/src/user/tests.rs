//! Given these events, when this command: then those events and effects. And for every order in which
//! messages can arrive, and digests be asked for between them: nothing is lost, nothing is told twice.

use super::*;
use griot::core::codec::{decode_event, encode_event};
use griot::core::{Cx, Decision, Effect, EntityId, Handle, Seq, Timestamp};
use griot_testkit::{EventsLock, refold};
use proptest::prelude::*;
use std::collections::HashMap;

fn cx() -> Cx<User> {
    let id = EntityId::new(User::KIND, "ann").unwrap();
    Cx::new(id, Seq::ZERO, Timestamp::from_micros(0))
}

/// The moment so many nanoseconds after some other.
fn at(nanos: u32) -> ChangedAt {
    format!("2026-01-31T12:00:00.{nanos:09}Z").parse().unwrap()
}

fn change(alarm_id: &str, status: Status, nanos: u32) -> ChangeStatus {
    ChangeStatus {
        alarm_id: alarm_id.to_owned(),
        status,
        changed_at: at(nanos),
    }
}

fn digest() -> SendDigest {
    SendDigest {
        nothing_new: NothingNew::Silence,
    }
}

/// Decides, and takes in what happened.
fn when<C>(user: &mut User, command: C) -> Decision<User>
where
    User: Handle<C>,
    <User as Handle<C>>::Error: std::fmt::Debug,
{
    let mut cx = cx();
    user.decide(command, &mut cx).unwrap();
    let decision = cx.into_decision();
    assert!(decision.failure.is_none());
    for event in &decision.events {
        user.evolve(event);
    }
    decision
}

/// The names of the events that a change of status makes.
fn heard(user: &mut User, alarm_id: &str, status: Status, nanos: u32) -> Vec<&'static str> {
    let decision = when(user, change(alarm_id, status, nanos));
    assert!(decision.effects.is_empty());
    let names = decision.events.iter().map(|event| encode_event(event));
    names.map(|name| name.unwrap().0).collect()
}

/// The digests that are published, as JSON, and whether more are to come.
fn told(decision: &Decision<User>) -> (Vec<serde_json::Value>, bool) {
    let mut more = false;
    let mut digests = Vec::new();
    for effect in &decision.effects {
        match effect {
            Effect::Publication(publication) => {
                assert_eq!(publication.topic, "AlarmDigest");
                assert_eq!(publication.key.as_deref(), Some("ann"));
                digests.push(serde_json::from_slice(&publication.payload).unwrap());
            }
            Effect::Timer { due, name, .. } => {
                assert_eq!((due.as_micros(), &**name), (0, "SendDigest"));
                more = true;
            }
            other => panic!("{other:?}"),
        }
    }
    (digests, more)
}

/// The alarms that a digest tells of, asked for now.
fn listed(user: &mut User) -> Vec<(String, Status)> {
    let decision = when(user, digest());
    let alarms = decision.events.into_iter().flat_map(|event| match event {
        UserEvent::DigestSent { active_alarms } => active_alarms,
        other => panic!("{other:?}"),
    });
    let alarms = alarms.map(|alarm| (alarm.alarm_id, alarm.status));
    alarms.collect()
}

#[test]
fn the_latest_change_wins_and_a_repeat_or_an_older_one_changes_nothing() {
    use Status::{Cleared, Critical, Warning};
    let mut user = User::default();
    assert_eq!(heard(&mut user, "a", Warning, 5), ["StatusChanged"]);
    assert_eq!(heard(&mut user, "a", Warning, 5), [""; 0]);
    assert_eq!(heard(&mut user, "a", Critical, 4), [""; 0]);
    assert_eq!(heard(&mut user, "a", Cleared, 4), [""; 0]);
    assert_eq!(heard(&mut user, "a", Warning, 6), ["StatusConfirmed"]);
    assert_eq!(heard(&mut user, "a", Cleared, 5), [""; 0]);
    assert_eq!(heard(&mut user, "a", Critical, 7), ["StatusChanged"]);
    assert_eq!(heard(&mut user, "a", Cleared, 8), ["StatusChanged"]);
    assert_eq!(heard(&mut user, "a", Warning, 7), [""; 0]);
    assert_eq!(heard(&mut user, "b", Cleared, 0), ["StatusChanged"]);
}

#[test]
fn of_two_statuses_at_one_moment_the_more_severe_wins_in_any_order() {
    use Status::{Cleared, Critical, Warning};
    for order in [
        [0, 1, 2],
        [0, 2, 1],
        [1, 0, 2],
        [1, 2, 0],
        [2, 0, 1],
        [2, 1, 0],
    ] {
        let mut user = User::default();
        for place in order {
            let status = [Cleared, Warning, Critical][place];
            heard(&mut user, "a", status, 5);
        }
        assert_eq!(listed(&mut user), [("a".to_owned(), Critical)]);
    }
}

#[test]
fn a_digest_lists_what_is_new_and_active_oldest_first_and_as_it_was_sent() {
    let mut user = User::default();
    for (alarm_id, status, changed_at) in [
        (
            "late",
            Status::Critical,
            "2026-01-31T13:00:00.000000001+01:00",
        ),
        ("b", Status::Warning, "2026-01-31T12:00:00.000Z"),
        ("a", Status::Warning, "2026-01-31T11:00:00-01:00"),
        ("over", Status::Cleared, "2026-01-31T12:00:00Z"),
        ("early", Status::Warning, "2026-01-31t11:59:59.999999999z"),
    ] {
        let command = ChangeStatus {
            alarm_id: alarm_id.to_owned(),
            status,
            changed_at: changed_at.parse().unwrap(),
        };
        when(&mut user, command);
    }
    let decision = when(&mut user, digest());
    let expected = serde_json::json!({"UserID": "ann", "ActiveAlarms": [
        {"AlarmID": "early", "Status": "WARNING", "LatestChangedAt": "2026-01-31t11:59:59.999999999z"},
        {"AlarmID": "a", "Status": "WARNING", "LatestChangedAt": "2026-01-31T11:00:00-01:00"},
        {"AlarmID": "b", "Status": "WARNING", "LatestChangedAt": "2026-01-31T12:00:00.000Z"},
        {"AlarmID": "late", "Status": "CRITICAL", "LatestChangedAt": "2026-01-31T13:00:00.000000001+01:00"},
    ]});
    assert_eq!(told(&decision), (vec![expected], false));
}

#[test]
fn where_nothing_is_new_there_is_no_digest_or_an_empty_one_if_wanted() {
    let mut user = User::default();
    assert!(when(&mut user, digest()).effects.is_empty());
    heard(&mut user, "a", Status::Warning, 1);
    assert_eq!(listed(&mut user).len(), 1);
    heard(&mut user, "a", Status::Warning, 2);
    let nothing = when(&mut user, digest());
    assert!(nothing.effects.is_empty() && nothing.events.is_empty());
    let nothing_new = NothingNew::EmptyDigest;
    let (digests, _) = told(&when(&mut user, SendDigest { nothing_new }));
    let empty = serde_json::json!({"UserID": "ann", "ActiveAlarms": []});
    assert_eq!(digests, [empty]);
}

#[test]
fn an_alarm_that_went_away_and_came_back_is_told_again_with_its_latest_moment() {
    let mut user = User::default();
    heard(&mut user, "a", Status::Warning, 1);
    listed(&mut user);
    heard(&mut user, "a", Status::Cleared, 2);
    assert!(!user.is_news("a"));
    heard(&mut user, "a", Status::Warning, 3);
    heard(&mut user, "a", Status::Warning, 4);
    assert_eq!(user.news()[0].latest_changed_at, at(4));
    assert_eq!(listed(&mut user), [("a".to_owned(), Status::Warning)]);
    heard(&mut user, "a", Status::Critical, 5);
    assert_eq!(listed(&mut user), [("a".to_owned(), Status::Critical)]);
    heard(&mut user, "a", Status::Cleared, 6);
    assert_eq!(listed(&mut user), []);
}

#[test]
fn what_is_too_much_for_one_digest_goes_into_the_next_at_once() {
    let mut user = User::default();
    // A quote is written with two bytes.
    let long = "\"".repeat(1_000);
    for number in 0..1_000_u32 {
        heard(
            &mut user,
            &format!("{number:03}{long}"),
            Status::Warning,
            number,
        );
    }
    let (mut all, mut parts) = (Vec::new(), 0);
    loop {
        let decision = when(&mut user, digest());
        let (digests, more) = told(&decision);
        for digest in &digests {
            assert!(digest.to_string().len() < DIGEST_BYTES_MAX + 1_024);
            all.extend(digest["ActiveAlarms"].as_array().unwrap().clone());
        }
        parts += digests.len();
        if !more {
            break;
        }
    }
    assert_eq!((parts, all.len()), (3, 1_000));
    assert!(all.is_sorted_by_key(|alarm| alarm["LatestChangedAt"].to_string()));
    assert!(when(&mut user, digest()).effects.is_empty());
}

#[test]
fn g10_a_new_alarm_beyond_the_limit_takes_the_place_of_cleared_ones_and_never_of_an_active_one() {
    let mut user = User::default();
    let count = u32::try_from(ALARMS_MAX).unwrap();
    for number in 0..count {
        let active = number % 5 == 0;
        let status = if active {
            Status::Warning
        } else {
            Status::Cleared
        };
        heard(&mut user, &number.to_string(), status, number);
    }
    let decision = when(&mut user, change("new", Status::Critical, 0));
    let [
        UserEvent::ClearedForgotten { alarm_ids },
        UserEvent::StatusChanged { .. },
    ] = &decision.events[..]
    else {
        panic!("{:?}", decision.events)
    };
    // The oldest, by their moments.
    let expected = (0..count)
        .filter(|number| number % 5 != 0)
        .take(CLEARED_FORGOTTEN);
    assert!(
        alarm_ids
            .iter()
            .cloned()
            .eq(expected.map(|number| number.to_string()))
    );
    assert_eq!(user.alarms().count(), ALARMS_MAX - CLEARED_FORGOTTEN + 1);
    assert_eq!(listed(&mut user).len(), ALARMS_MAX / 5 + 1);
}

#[test]
fn g10_a_user_with_the_most_active_alarms_refuses_a_new_one_and_goes_on_with_the_known() {
    let mut user = User::default();
    for number in 0..ALARMS_MAX {
        heard(&mut user, &number.to_string(), Status::Warning, 0);
    }
    let refused = user.decide(change("new", Status::Critical, 1), &mut cx());
    let said = refused.unwrap_err().to_string();
    assert!(said.contains("10000 active alarms"), "{said}");
    assert_eq!(heard(&mut user, "7", Status::Cleared, 1), ["StatusChanged"]);
    let forgotten = ["ClearedForgotten", "StatusChanged"];
    assert_eq!(heard(&mut user, "new", Status::Critical, 1), forgotten);
}

/// What is stored today must be readable for ever, and people read it in histories.
#[test]
fn no_stored_shape_changes_without_a_new_version_and_all_of_the_past_is_read() {
    let samples = golden().into_iter().map(|(event, _)| event);
    EventsLock::at(concat!(env!("CARGO_MANIFEST_DIR"), "/events.lock")).check::<User>(samples);
}

#[test]
fn recorded_users_come_to_what_they_came_to() {
    refold::<User>(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/streams"));
}

#[test]
fn the_stored_form_of_each_event_never_changes() {
    for (event, stored) in golden() {
        let (name, payload) = encode_event(&event).unwrap();
        let text = std::str::from_utf8(&payload).unwrap();
        assert_eq!(format!("{name} {text}"), stored);
        assert_eq!(decode_event::<UserEvent>(name, &payload).unwrap(), event);
    }
}

/// Events of each kind, as they are stored.
fn golden() -> [(UserEvent, &'static str); 4] {
    let id = || "a".to_owned();
    [
        (
            UserEvent::StatusChanged {
                alarm_id: id(),
                status: Status::Critical,
                changed_at: at(1),
            },
            r#"StatusChanged {"AlarmID":"a","Status":"CRITICAL","ChangedAt":"2026-01-31T12:00:00.000000001Z"}"#,
        ),
        (
            UserEvent::StatusConfirmed {
                alarm_id: id(),
                changed_at: at(1),
            },
            r#"StatusConfirmed {"AlarmID":"a","ChangedAt":"2026-01-31T12:00:00.000000001Z"}"#,
        ),
        (
            UserEvent::ClearedForgotten {
                alarm_ids: vec![id()],
            },
            r#"ClearedForgotten {"AlarmIDs":["a"]}"#,
        ),
        (
            UserEvent::DigestSent {
                active_alarms: vec![ActiveAlarm {
                    alarm_id: id(),
                    status: Status::Warning,
                    latest_changed_at: at(1),
                }],
            },
            r#"DigestSent {"ActiveAlarms":[{"AlarmID":"a","Status":"WARNING","LatestChangedAt":"2026-01-31T12:00:00.000000001Z"}]}"#,
        ),
    ]
}

/// What can arrive: a change of status, or the wish for a digest.
#[derive(Debug, Clone)]
enum Arrives {
    Change(u8, Status, u32),
    Digest,
}

/// Few alarms, and moments that often meet.
fn changes() -> impl Strategy<Value = Vec<(u8, Status, u32)>> {
    let statuses = vec![Status::Cleared, Status::Warning, Status::Critical];
    let change = (0..4_u8, prop::sample::select(statuses), 0..12_u32);
    prop::collection::vec(change, 0..40)
}

fn arrivals() -> impl Strategy<Value = Vec<Arrives>> {
    let changes = changes().prop_map(|changes| {
        let changes = changes.into_iter();
        changes.map(|(alarm, status, nanos)| Arrives::Change(alarm, status, nanos))
    });
    let digests = prop::collection::vec(any::<prop::sample::Index>(), 0..10);
    (changes, digests).prop_map(|(changes, digests)| {
        let mut arrivals: Vec<_> = changes.collect();
        for digest in digests {
            arrivals.insert(digest.index(arrivals.len() + 1), Arrives::Digest);
        }
        arrivals
    })
}

proptest! {
    #[test]
    fn what_is_known_in_the_end_does_not_depend_on_the_order_or_on_repeats(
        (sent, arrived) in changes().prop_flat_map(|sent| {
            let twice = [sent.clone(), sent.clone()].concat();
            (Just(sent), Just(twice).prop_shuffle())
        })
    ) {
        let mut user = User::default();
        for (alarm, status, nanos) in arrived {
            heard(&mut user, &alarm.to_string(), status, nanos);
        }
        let mut latest: BTreeMap<String, (u32, Status)> = BTreeMap::new();
        for (alarm, status, nanos) in sent {
            let known = latest.entry(alarm.to_string()).or_insert((nanos, status));
            *known = (*known).max((nanos, status));
        }
        let known = user.alarms().map(|(id, alarm)| (id.to_owned(), alarm.clone()));
        let latest = latest.into_iter().map(|(id, (nanos, status))| {
            (id, Alarm { status, latest_changed_at: at(nanos) })
        });
        prop_assert!(known.eq(latest));
    }

    #[test]
    fn every_digest_tells_exactly_what_changed_since_the_last(arrivals in arrivals()) {
        let mut user = User::default();
        // What each alarm was last heard to be, and what the last digest said of it.
        let mut model: HashMap<String, (u32, Status)> = HashMap::new();
        let mut changed: BTreeSet<String> = BTreeSet::new();
        for arrives in arrivals.into_iter().chain([Arrives::Digest]) {
            match arrives {
                Arrives::Change(alarm, status, nanos) => {
                    let id = alarm.to_string();
                    heard(&mut user, &id, status, nanos);
                    let before = model.get(&id).copied();
                    if before.is_none_or(|before| (nanos, status) > before) {
                        model.insert(id.clone(), (nanos, status));
                        if before.is_none_or(|(_, before)| before != status) {
                            changed.insert(id);
                        }
                    }
                }
                Arrives::Digest => {
                    let news = std::mem::take(&mut changed).into_iter();
                    let mut expected: Vec<_> = news
                        .map(|id| (model[&id], id))
                        .filter(|((_, status), _)| status.is_active())
                        .collect();
                    expected.sort_by_key(|((nanos, _), id)| (*nanos, id.clone()));
                    let expected: Vec<_> = expected
                        .into_iter()
                        .map(|((_, status), id)| (id, status))
                        .collect();
                    prop_assert_eq!(listed(&mut user), expected);
                }
            }
        }
        // The state is a snapshot, too.
        let snapshot = serde_json::to_vec(&user).unwrap();
        prop_assert_eq!(serde_json::from_slice::<User>(&snapshot).unwrap(), user);
    }
}
