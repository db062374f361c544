//! How actors end: stop, drain, kill, names, watchers, children, shutdown.
#![cfg(not(loom))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use griot_actor::{
    Actor, ActorRef, Context, DeadCause, Ended, Handle, Pending, Probe, Recipient, Settings,
    Shutdown, System, Terminated,
};
use tokio::sync::Semaphore;

const SOON: Duration = Duration::from_secs(10);

/// Adds what it is told, each number only after the gate lets it through.
struct Adder {
    gate: Option<Arc<Semaphore>>,
    sum: Arc<AtomicU64>,
    stopped: Arc<AtomicU64>,
}

struct StopYourself;

impl Actor for Adder {
    type Messages = (u64, StopYourself);

    async fn stopped(&mut self, _: &mut Context<Self>) {
        self.stopped.fetch_add(1, Ordering::SeqCst);
    }
}

impl Handle<u64> for Adder {
    type Reply = u64;

    async fn handle(&mut self, number: u64, _: &mut Context<Self>) -> u64 {
        if let Some(gate) = &self.gate {
            gate.acquire().await.unwrap().forget();
        }
        self.sum.fetch_add(number, Ordering::SeqCst) + number
    }
}

impl Handle<StopYourself> for Adder {
    type Reply = ();

    async fn handle(&mut self, _: StopYourself, cx: &mut Context<Self>) {
        cx.stop();
    }
}

#[derive(Default)]
struct Stand {
    system: System,
    sum: Arc<AtomicU64>,
    stopped: Arc<AtomicU64>,
    gate: Option<Arc<Semaphore>>,
}

impl Stand {
    fn gated() -> (Self, Arc<Semaphore>) {
        let gate = Arc::new(Semaphore::new(0));
        (
            Self {
                gate: Some(Arc::clone(&gate)),
                ..Self::default()
            },
            gate,
        )
    }

    fn spawn(&self, name: &str) -> ActorRef<Adder> {
        let (gate, sum) = (self.gate.clone(), Arc::clone(&self.sum));
        let stopped = Arc::clone(&self.stopped);
        let factory = move || Adder {
            gate: gate.clone(),
            sum: Arc::clone(&sum),
            stopped: Arc::clone(&stopped),
        };
        let settings = Settings {
            name: Some(name.to_owned()),
            mailbox_capacity: 16,
            ..Settings::default()
        };
        self.system.spawn_with(settings, factory).unwrap()
    }

    fn sum(&self) -> u64 {
        self.sum.load(Ordering::SeqCst)
    }
}

fn sum_of(pending: Vec<Pending<Adder>>) -> u64 {
    pending
        .into_iter()
        .map(|pending| pending.into_message::<u64, _>().unwrap())
        .sum()
}

/// Until the actor has taken what it was sent out of its mailbox.
async fn until_in_hand(actor: &ActorRef<Adder>) {
    while actor.mailbox_len() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_stop_finishes_the_current_message_and_hands_back_every_pending_one() {
    let (stand, gate) = Stand::gated();
    let actor = stand.spawn("adder");
    for number in 1..=5 {
        actor.tell(number).await.unwrap();
    }
    until_in_hand(&actor).await;
    actor.tell(6).await.unwrap();
    let stopping = tokio::spawn({
        let actor = actor.clone();
        async move { actor.stop().await }
    });
    tokio::task::yield_now().await;
    actor
        .tell(7)
        .await
        .expect("accepted while it finishes the current message");
    gate.add_permits(100);
    let pending = stopping.await.unwrap();
    assert_eq!(pending.len(), 6);
    assert_eq!((stand.sum(), sum_of(pending)), (1, 27));
    assert_eq!(stand.stopped.load(Ordering::SeqCst), 1);
    assert_eq!(stand.system.dead_letters().count(), 0);
    assert!(matches!(actor.ended().await, Ended::Stopped));
    assert!(
        actor.stop().await.is_empty(),
        "they were handed back already"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processed_and_pending_and_refused_make_all_that_was_sent_during_a_stop() {
    for _ in 0..1000 {
        let stand = Stand::default();
        let actor = stand.spawn("adder");
        let senders: Vec<_> = (1..=100_u64)
            .map(|number| {
                let actor = actor.clone();
                tokio::spawn(async move { actor.tell(number).await })
            })
            .collect();
        let mut sum = sum_of(actor.stop().await) + stand.sum();
        for sender in senders {
            sum += sender
                .await
                .unwrap()
                .map_or_else(|refused| refused.0, |()| 0);
        }
        assert_eq!(sum, 5050);
    }
}

#[tokio::test]
async fn a_pending_ask_can_be_redelivered_and_is_answered_by_another_actor() {
    let (stand, gate) = Stand::gated();
    let (first, second) = (stand.spawn("first"), stand.spawn("second"));
    first.tell(1).await.unwrap();
    until_in_hand(&first).await;
    let asking = tokio::spawn({
        let first = first.clone();
        async move { first.ask(41, SOON).await }
    });
    while first.mailbox_len() == 0 {
        tokio::task::yield_now().await;
    }
    gate.add_permits(1);
    for pending in first.stop().await {
        second.redeliver(pending).await.unwrap();
    }
    gate.add_permits(1);
    assert_eq!(asking.await.unwrap(), Ok(42));
}

#[tokio::test]
async fn a_drain_handles_everything_that_was_accepted_and_refuses_the_rest() {
    let (stand, gate) = Stand::gated();
    let actor = stand.spawn("adder");
    for number in 1..=10 {
        actor.tell(number).await.unwrap();
    }
    let draining = tokio::spawn({
        let actor = actor.clone();
        async move { actor.drain().await }
    });
    gate.add_permits(1000);
    assert!(matches!(draining.await.unwrap(), Ended::Drained));
    assert_eq!(stand.sum(), 55);
    assert!(actor.tell(11_u64).await.is_err());
    assert_eq!(stand.stopped.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_kill_ends_the_actor_in_the_middle_of_a_message() {
    let (stand, _gate) = Stand::gated();
    let mut letters = stand.system.dead_letters().subscribe();
    let actor = stand.spawn("adder");
    actor.tell_many([1_u64, 2, 3]).await.unwrap();
    until_in_hand(&actor).await;
    assert!(matches!(
        tokio::time::timeout(SOON, actor.kill()).await,
        Ok(Ended::Killed)
    ));
    assert_eq!(stand.sum(), 0);
    assert_eq!(stand.stopped.load(Ordering::SeqCst), 0);
    for _ in 0..2 {
        let letter = letters.recv().await.unwrap();
        assert_eq!(
            (&*letter.actor, letter.cause),
            ("adder", DeadCause::Abandoned)
        );
    }
    assert_eq!(stand.system.dead_letters().count(), 2);
}

#[tokio::test]
async fn an_actor_that_stops_itself_leaves_dead_letters() {
    let stand = Stand::default();
    let actor = stand.spawn("adder");
    actor.tell(StopYourself).await.unwrap();
    actor.tell(1_u64).await.unwrap();
    assert!(matches!(actor.ended().await, Ended::Stopped));
    assert_eq!((stand.sum(), stand.system.dead_letters().count()), (0, 1));
}

#[tokio::test]
async fn stop_and_kill_pass_ahead_of_a_full_mailbox() {
    let (stand, gate) = Stand::gated();
    let actor = stand.spawn("adder");
    while actor.try_tell(1_u64).is_ok() {}
    gate.add_permits(1);
    let pending = tokio::time::timeout(SOON, actor.stop()).await.unwrap();
    assert!(
        pending.len() >= 15,
        "only {} were handed back",
        pending.len()
    );
}

/// Watches others, and says what it hears and whether the name was free by then.
struct Watcher {
    others: Vec<ActorRef<Adder>>,
    to: Recipient<(String, String, bool)>,
}

struct Nothing;
struct Panic;

impl Actor for Watcher {
    type Messages = (Terminated, Nothing, Panic);

    async fn started(&mut self, cx: &mut Context<Self>) -> Result<(), griot_actor::Failure> {
        self.others.iter().for_each(|other| cx.watch(other));
        Ok(())
    }
}

impl Handle<Terminated> for Watcher {
    type Reply = ();

    async fn handle(&mut self, Terminated { name, ended }: Terminated, cx: &mut Context<Self>) {
        let free = cx.system().lookup::<Adder>(&name).is_none();
        self.to
            .tell((name.to_string(), ended.to_string(), free))
            .await
            .unwrap();
    }
}

impl Handle<Nothing> for Watcher {
    type Reply = ();

    async fn handle(&mut self, _: Nothing, _: &mut Context<Self>) {}
}

impl Handle<Panic> for Watcher {
    type Reply = ();

    async fn handle(&mut self, _: Panic, _: &mut Context<Self>) {
        panic!("as told");
    }
}

#[tokio::test(start_paused = true)]
async fn a_watcher_that_was_restarted_hears_of_an_end_once() {
    let stand = Stand::default();
    let mut heard = Probe::new("heard");
    let (to, others) = (heard.recipient(), vec![stand.spawn("adder")]);
    let factory = move || Watcher {
        others: others.clone(),
        to: to.clone(),
    };
    let watcher = stand.system.spawn("watcher", factory).unwrap();
    for _ in 0..3 {
        watcher.tell(Panic).await.unwrap();
    }
    watcher.ask(Nothing, SOON).await.unwrap();
    let adder = stand.system.lookup::<Adder>("adder").expect("it runs");
    adder.drain().await;
    watcher.drain().await;
    assert_eq!(heard.take().len(), 1);
}

#[tokio::test]
async fn a_watcher_learns_how_an_actor_ended_and_the_name_is_free_by_then() {
    let stand = Stand::default();
    let mut heard = Probe::new("heard");
    let actors = ["stopped", "drained", "killed"].map(|name| stand.spawn(name));
    let to = heard.recipient();
    let others = actors.to_vec();
    let watcher = stand
        .system
        .spawn("watcher", move || Watcher {
            others: others.clone(),
            to: to.clone(),
        })
        .unwrap();
    watcher.ask(Nothing, SOON).await.unwrap();
    actors[0].stop().await;
    actors[1].drain().await;
    actors[2].kill().await;
    for name in ["stopped", "drained", "killed"] {
        let expected = (name.to_owned(), name.to_owned(), true);
        assert_eq!(heard.next(SOON).await, Some(expected));
    }
}

#[tokio::test]
async fn who_watches_an_actor_that_has_ended_learns_it_at_once() {
    let stand = Stand::default();
    let mut heard = Probe::new("heard");
    let actor = stand.spawn("adder");
    actor.drain().await;
    let to = heard.recipient();
    stand
        .system
        .spawn("watcher", move || Watcher {
            others: vec![actor.clone()],
            to: to.clone(),
        })
        .unwrap();
    let expected = ("adder".to_owned(), "drained".to_owned(), true);
    assert_eq!(heard.next(SOON).await, Some(expected));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_is_free_before_the_end_is_announced() {
    let stand = Stand::default();
    for _ in 0..1000 {
        let actor = stand.spawn("adder");
        assert!(stand.system.spawn("adder", Watcher::nobody).is_err());
        actor.stop().await;
    }
}

impl Watcher {
    fn nobody() -> Self {
        Self {
            others: Vec::new(),
            to: Probe::new("nobody").recipient(),
        }
    }
}

#[tokio::test]
async fn an_actor_is_found_by_its_name_and_type_while_it_runs() {
    let stand = Stand::default();
    let actor = stand.spawn("adder");
    let found = stand.system.lookup::<Adder>("adder").expect("it runs");
    assert_eq!(found.ask(5, SOON).await, Ok(5));
    assert!(
        stand.system.lookup::<Watcher>("adder").is_none(),
        "it is of another type"
    );
    assert!(
        System::new().lookup::<Adder>("adder").is_none(),
        "it is in another system"
    );
    actor.drain().await;
    assert!(stand.system.lookup::<Adder>("adder").is_none());
}

/// Passes numbers on to an elder.
struct Forwarder(ActorRef<Adder>);

impl Actor for Forwarder {
    type Messages = (u64,);
}

impl Handle<u64> for Forwarder {
    type Reply = ();

    async fn handle(&mut self, number: u64, _: &mut Context<Self>) {
        self.0.tell(number).await.unwrap();
    }
}

#[tokio::test]
async fn a_shutdown_drains_the_youngest_first_so_that_elders_handle_what_it_sends() {
    let stand = Stand::default();
    let elder = stand.spawn("elder");
    let youngest = stand
        .system
        .spawn("youngest", move || Forwarder(elder.clone()))
        .unwrap();
    youngest.tell_many(1..=100_u64).await.unwrap();
    assert_eq!(
        stand.system.shutdown(SOON).await,
        Shutdown {
            drained: 2,
            killed: 0
        }
    );
    assert_eq!(stand.sum(), 5050);
    assert!(stand.system.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_kills_who_has_not_ended_at_the_deadline() {
    let (stand, _gate) = Stand::gated();
    stand.spawn("stuck").tell(1_u64).await.unwrap();
    let begun = tokio::time::Instant::now();
    let outcome = stand.system.shutdown(Duration::from_secs(20)).await;
    assert_eq!(
        outcome,
        Shutdown {
            drained: 0,
            killed: 1
        }
    );
    assert!(begun.elapsed() < Duration::from_secs(21));
    assert!(stand.system.is_empty());
}

#[test]
fn an_actor_whose_runtime_ends_is_killed_and_leaves_dead_letters() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let stand = Stand::default();
    let actor = runtime.block_on(async {
        let actor = stand.spawn("adder");
        actor.tell(1_u64).await.unwrap();
        actor
    });
    drop(runtime);
    assert!(actor.is_closed());
    assert_eq!(stand.system.dead_letters().count(), 1);
    assert!(stand.system.is_empty());
}
