//! Supervision: panics, restarts, backoff, limits, escalation; and timers.
#![cfg(not(loom))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use griot_actor::{
    Actor, ActorRef, AskError, AtLimit, Backoff, Context, Ended, Failure, Handle, Probe, Recipient,
    Settings, Supervision, System, Terminated, TestClock,
};
use tokio::time::Instant;

const SOON: Duration = Duration::from_hours(1);

/// Counts, and fails when told to.
struct Fragile {
    generation: u32,
    count: u32,
}

#[derive(PartialEq)]
struct Count;
#[derive(PartialEq)]
struct Panic;
#[derive(PartialEq)]
struct Fail;
#[derive(PartialEq)]
struct Generation;

impl Actor for Fragile {
    type Messages = (Count, Panic, Fail, Generation);
}

impl Handle<Count> for Fragile {
    type Reply = u32;

    async fn handle(&mut self, _: Count, _: &mut Context<Self>) -> u32 {
        self.count += 1;
        self.count
    }
}

impl Handle<Panic> for Fragile {
    type Reply = ();

    async fn handle(&mut self, _: Panic, _: &mut Context<Self>) {
        panic!("told to in generation {}", self.generation);
    }
}

impl Handle<Fail> for Fragile {
    type Reply = &'static str;

    async fn handle(&mut self, _: Fail, cx: &mut Context<Self>) -> &'static str {
        cx.fail("told to");
        "failing"
    }
}

impl Handle<Generation> for Fragile {
    type Reply = u32;

    async fn handle(&mut self, _: Generation, _: &mut Context<Self>) -> u32 {
        self.generation
    }
}

fn supervision(restarts_max: u32) -> Supervision {
    Supervision {
        restarts_max,
        within: Duration::from_mins(1),
        backoff: Backoff {
            first: Duration::from_secs(1),
            max: Duration::from_secs(4),
        },
        at_limit: AtLimit::Escalate,
    }
}

fn fragile(system: &System, supervision: Supervision) -> ActorRef<Fragile> {
    let mut generation = 0;
    let settings = Settings {
        name: Some("fragile".into()),
        supervision,
        ..Settings::default()
    };
    let factory = move || {
        generation += 1;
        Fragile {
            generation,
            count: 0,
        }
    };
    system.spawn_with(settings, factory).unwrap()
}

/// Moves the clock in small steps, so that everything happens at its time.
async fn pass(clock: &TestClock, time: Duration) {
    const STEP: Duration = Duration::from_millis(100);
    for _ in 0..time.as_millis() / STEP.as_millis() {
        clock.advance(STEP).await;
    }
}

#[tokio::test]
async fn a_panic_is_caught_and_the_actor_is_made_anew_under_the_same_reference() {
    let _clock = TestClock::stop();
    let system = System::new();
    let actor = fragile(&system, supervision(10));
    assert_eq!(actor.ask(Count, SOON).await, Ok(1));
    assert_eq!(actor.ask(Count, SOON).await, Ok(2));
    assert_eq!(actor.ask(Panic, SOON).await, Err(AskError::Unanswered));
    assert_eq!(actor.ask(Count, SOON).await, Ok(1), "the state is new");
    assert_eq!(actor.ask(Generation, SOON).await, Ok(2));
    let found = system
        .lookup::<Fragile>("fragile")
        .expect("it kept its name");
    assert_eq!(found.ask(Generation, SOON).await, Ok(2));
}

#[tokio::test]
async fn messages_wait_in_the_mailbox_over_a_restart() {
    let _clock = TestClock::stop();
    let system = System::new();
    let actor = fragile(&system, supervision(10));
    actor.tell(Panic).await.unwrap();
    for _ in 0..5 {
        actor.tell(Count).await.unwrap();
    }
    assert_eq!(actor.ask(Count, SOON).await, Ok(6), "none was lost");
    assert_eq!(system.dead_letters().count(), 0);
}

#[tokio::test]
async fn restarts_wait_for_a_backoff_that_doubles_up_to_its_limit_and_is_jittered() {
    let _clock = TestClock::stop();
    let system = System::new();
    let actor = fragile(&system, supervision(10));
    for whole in [1, 2, 4, 4] {
        let before = Instant::now();
        actor.tell(Panic).await.unwrap();
        actor.ask(Generation, SOON).await.unwrap();
        let waited = before.elapsed();
        let whole = Duration::from_secs(whole);
        assert!(
            waited >= whole / 2,
            "{waited:?} is less than half of {whole:?}"
        );
        assert!(
            waited <= whole + Duration::from_millis(2),
            "{waited:?} is more than {whole:?}"
        );
    }
}

#[tokio::test]
async fn an_actor_that_fails_too_often_has_failed_for_good() {
    let _clock = TestClock::stop();
    let system = System::new();
    let actor = fragile(&system, supervision(2));
    for _ in 0..3 {
        actor.tell(Panic).await.unwrap();
    }
    actor.tell(Count).await.unwrap();
    let Ended::Failed(failure) = actor.ended().await else {
        panic!("it failed")
    };
    assert!(
        failure.to_string().contains("told to in generation 3"),
        "{failure}"
    );
    assert_eq!(system.dead_letters().count(), 1);
    assert!(actor.tell(Count).await.is_err());
}

#[tokio::test]
async fn failures_that_are_long_past_do_not_count() {
    let clock = TestClock::stop();
    let system = System::new();
    let actor = fragile(&system, supervision(1));
    for generation in 2..6 {
        actor.tell(Panic).await.unwrap();
        assert_eq!(actor.ask(Generation, SOON).await, Ok(generation));
        clock.advance(Duration::from_secs(61)).await;
    }
}

#[tokio::test]
async fn an_actor_that_says_it_failed_is_restarted_after_its_reply() {
    let _clock = TestClock::stop();
    let system = System::new();
    let actor = fragile(&system, supervision(10));
    assert_eq!(actor.ask(Fail, SOON).await, Ok("failing"));
    assert_eq!(actor.ask(Generation, SOON).await, Ok(2));
}

#[tokio::test]
async fn a_stop_during_a_backoff_hands_back_what_is_pending() {
    let clock = TestClock::stop();
    let system = System::new();
    let slow = Backoff {
        first: SOON,
        max: SOON,
    };
    let actor = fragile(
        &system,
        Supervision {
            backoff: slow,
            ..supervision(10)
        },
    );
    actor.tell(Panic).await.unwrap();
    actor.tell(Count).await.unwrap();
    pass(&clock, Duration::from_secs(1)).await;
    let before = Instant::now();
    assert_eq!(
        actor.stop().await.len(),
        1,
        "the one that panicked was processed"
    );
    assert!(
        before.elapsed() < SOON / 2,
        "it did not wait for the backoff"
    );
}

/// Fails to start until its third try.
struct SlowStarter(Arc<AtomicU32>);

impl Actor for SlowStarter {
    type Messages = (Count,);

    async fn started(&mut self, _: &mut Context<Self>) -> Result<(), Failure> {
        match self.0.fetch_add(1, Ordering::SeqCst) {
            0 => Err(Failure::error("not yet")),
            1 => panic!("still not"),
            _ => Ok(()),
        }
    }
}

impl Handle<Count> for SlowStarter {
    type Reply = u32;

    async fn handle(&mut self, _: Count, _: &mut Context<Self>) -> u32 {
        self.0.load(Ordering::SeqCst)
    }
}

#[tokio::test]
async fn an_actor_that_fails_to_start_is_tried_again() {
    let _clock = TestClock::stop();
    let system = System::new();
    let tries = Arc::new(AtomicU32::new(0));
    let actor = system
        .spawn("slow", move || SlowStarter(Arc::clone(&tries)))
        .unwrap();
    assert_eq!(actor.ask(Count, SOON).await, Ok(3));
}

/// Has a child that fails at once, and says how often it was made itself.
struct Parent {
    at_limit: AtLimit,
    to: Recipient<&'static str>,
}

impl Actor for Parent {
    type Messages = (Terminated,);

    async fn started(&mut self, cx: &mut Context<Self>) -> Result<(), Failure> {
        self.to
            .tell("started")
            .await
            .map_err(|_| Failure::error("nobody listens"))?;
        let supervision = Supervision {
            at_limit: self.at_limit,
            ..Supervision::NEVER_RESTART
        };
        let settings = Settings {
            name: Some("child".into()),
            supervision,
            ..Settings::default()
        };
        let child = cx
            .spawn_with(settings, || Fragile {
                generation: 0,
                count: 0,
            })
            .map_err(Failure::error)?;
        cx.watch(&child);
        child
            .tell(Panic)
            .await
            .map_err(|_| Failure::error("the child is gone"))
    }
}

impl Handle<Terminated> for Parent {
    type Reply = ();

    async fn handle(&mut self, Terminated { name, .. }: Terminated, _: &mut Context<Self>) {
        assert!(name.ends_with("/child"), "{name}");
        self.to.tell("child ended").await.unwrap();
    }
}

fn parent(
    system: &System,
    at_limit: AtLimit,
    restarts_max: u32,
) -> (ActorRef<Parent>, Probe<&'static str>) {
    let heard = Probe::new("heard");
    let to = heard.recipient();
    let settings = Settings {
        name: Some("parent".into()),
        supervision: supervision(restarts_max),
        ..Settings::default()
    };
    let parent = system.spawn_with(settings, move || Parent {
        at_limit,
        to: to.clone(),
    });
    (parent.unwrap(), heard)
}

#[tokio::test]
async fn a_child_that_fails_for_good_escalates_to_its_parent() {
    let _clock = TestClock::stop();
    let system = System::new();
    let (parent, mut heard) = parent(&system, AtLimit::Escalate, 2);
    let Ended::Failed(failure) = parent.ended().await else {
        panic!("it failed")
    };
    assert!(matches!(&failure, Failure::Child { child, .. } if &**child == "parent/child"));
    let started = heard
        .take()
        .into_iter()
        .filter(|heard| *heard == "started")
        .count();
    assert_eq!(started, 3, "once, and two restarts");
    assert!(system.is_empty());
}

#[tokio::test]
async fn a_child_that_does_not_escalate_ends_alone() {
    let _clock = TestClock::stop();
    let system = System::new();
    let (parent, mut heard) = parent(&system, AtLimit::End, 2);
    assert_eq!(heard.next(SOON).await, Some("started"));
    assert_eq!(heard.next(SOON).await, Some("child ended"));
    parent.drain().await;
    assert_eq!(heard.take(), Vec::<&str>::new());
}

/// Has a child that never fails.
struct Calm;

impl Actor for Calm {
    type Messages = (Panic,);

    async fn started(&mut self, cx: &mut Context<Self>) -> Result<(), Failure> {
        cx.spawn("child", || Fragile {
            generation: 0,
            count: 0,
        })
        .map_err(Failure::error)?;
        Ok(())
    }
}

impl Handle<Panic> for Calm {
    type Reply = ();

    async fn handle(&mut self, _: Panic, _: &mut Context<Self>) {
        panic!("told to");
    }
}

#[tokio::test]
async fn children_end_before_their_parent_restarts_or_ends() {
    let clock = TestClock::stop();
    let system = System::new();
    let parent = system.spawn("parent", || Calm).unwrap();
    while system.lookup::<Fragile>("parent/child").is_none() {
        tokio::task::yield_now().await;
    }
    let first = system.lookup::<Fragile>("parent/child").unwrap();
    parent.tell(Panic).await.unwrap();
    first.ended().await;
    while system.lookup::<Fragile>("parent/child").is_none() {
        clock.advance(Duration::from_millis(1)).await;
    }
    parent.drain().await;
    assert!(system.is_empty(), "the child ended before its parent");
}

/// Has timers.
struct Alarm {
    to: Recipient<(&'static str, Duration)>,
    since: Instant,
    ticks: u32,
}

#[derive(Clone)]
struct Ring(&'static str);

impl Actor for Alarm {
    type Messages = (Ring, Panic);

    async fn started(&mut self, cx: &mut Context<Self>) -> Result<(), Failure> {
        cx.after(Duration::from_secs(5), Ring("after"));
        cx.every(Duration::from_secs(2), || Ring("every"));
        let never = cx.after(Duration::from_secs(3), Ring("cancelled"));
        cx.cancel(never);
        Ok(())
    }
}

impl Handle<Ring> for Alarm {
    type Reply = ();

    async fn handle(&mut self, Ring(name): Ring, cx: &mut Context<Self>) {
        self.ticks += 1;
        self.to.tell((name, self.since.elapsed())).await.unwrap();
        if self.ticks == 5 {
            cx.stop();
        }
    }
}

impl Handle<Panic> for Alarm {
    type Reply = ();

    async fn handle(&mut self, _: Panic, _: &mut Context<Self>) {
        panic!("told to");
    }
}

fn alarm(system: &System) -> (ActorRef<Alarm>, Probe<(&'static str, Duration)>) {
    let rung = Probe::new("rung");
    let to = rung.recipient();
    let factory = move || Alarm {
        to: to.clone(),
        since: Instant::now(),
        ticks: 0,
    };
    (system.spawn("alarm", factory).unwrap(), rung)
}

fn in_seconds(rung: &[(&'static str, Duration)]) -> Vec<(&'static str, u64)> {
    rung.iter()
        .map(|(name, at)| (*name, at.as_secs()))
        .collect()
}

#[tokio::test]
async fn timers_fire_when_they_are_due_and_end_with_the_actor() {
    let clock = TestClock::stop();
    let system = System::new();
    let (alarm, mut rung) = alarm(&system);
    alarm.ended().await;
    clock.advance(SOON).await;
    assert_eq!(
        in_seconds(&rung.take()),
        [
            ("every", 2),
            ("every", 4),
            ("after", 5),
            ("every", 6),
            ("every", 8)
        ]
    );
}

#[tokio::test]
async fn a_restart_cancels_the_timers_of_the_actor_that_failed() {
    let clock = TestClock::stop();
    let system = System::new();
    let (alarm, mut rung) = alarm(&system);
    pass(&clock, Duration::from_millis(4500)).await;
    assert_eq!(in_seconds(&rung.take()), [("every", 2), ("every", 4)]);
    alarm.tell(Panic).await.unwrap();
    alarm.ended().await;
    assert_eq!(
        in_seconds(&rung.take()),
        [
            ("every", 2),
            ("every", 4),
            ("after", 5),
            ("every", 6),
            ("every", 8)
        ],
        "all of them counted from the restart"
    );
}
