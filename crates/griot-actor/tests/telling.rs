//! Telling and asking: order, bounds, deadlines, and what comes back.
#![cfg(not(loom))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

use std::sync::Arc;
use std::time::Duration;

use griot_actor::{
    Actor, ActorRef, AskError, Context, DeadCause, Handle, Probe, Recipient, Settings, System,
    TestClock, TrySendError,
};
use tokio::sync::Semaphore;

const SOON: Duration = Duration::from_secs(10);

/// Passes on what it is told, each message only after the gate lets it through.
struct Echo {
    gate: Arc<Semaphore>,
    to: Recipient<(usize, u32)>,
}

#[derive(PartialEq)]
struct AskYourself;
#[derive(PartialEq)]
struct Panic;
#[derive(PartialEq)]
struct Count;

impl Actor for Echo {
    type Messages = ((usize, u32), AskYourself, Panic, Count);
}

impl Handle<(usize, u32)> for Echo {
    type Reply = u32;

    async fn handle(&mut self, message: (usize, u32), _: &mut Context<Self>) -> u32 {
        self.gate.acquire().await.unwrap().forget();
        self.to.tell(message).await.unwrap();
        message.1 * 2
    }
}

impl Handle<AskYourself> for Echo {
    type Reply = Result<usize, AskError<Count>>;

    async fn handle(&mut self, _: AskYourself, cx: &mut Context<Self>) -> Self::Reply {
        cx.this().ask(Count, Duration::from_mins(1)).await
    }
}

impl Handle<Panic> for Echo {
    type Reply = ();

    async fn handle(&mut self, _: Panic, _: &mut Context<Self>) {
        panic!("as told");
    }
}

impl Handle<Count> for Echo {
    type Reply = usize;

    async fn handle(&mut self, _: Count, _: &mut Context<Self>) -> usize {
        7
    }
}

struct Stand {
    system: System,
    echo: ActorRef<Echo>,
    out: Probe<(usize, u32)>,
    gate: Arc<Semaphore>,
}

fn stand(mailbox_capacity: usize) -> Stand {
    let (system, out, gate) = (
        System::new(),
        Probe::new("out"),
        Arc::new(Semaphore::new(0)),
    );
    let (to, at_gate) = (out.recipient(), Arc::clone(&gate));
    let settings = Settings {
        name: Some("echo".into()),
        mailbox_capacity,
        ..Settings::default()
    };
    let echo = system
        .spawn_with(settings, move || Echo {
            gate: Arc::clone(&at_gate),
            to: to.clone(),
        })
        .unwrap();
    Stand {
        system,
        echo,
        out,
        gate,
    }
}

impl Stand {
    /// Fills the actor: one message in hand, and the mailbox.
    async fn fill(&self) -> u32 {
        let mut sent = 0;
        loop {
            match self.echo.try_tell((0, sent)) {
                Ok(()) => {
                    sent += 1;
                    for _ in 0..5 {
                        tokio::task::yield_now().await;
                    }
                }
                Err(_) => return sent,
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_messages_of_each_sender_arrive_in_the_order_in_which_they_were_sent() {
    let mut stand = stand(8);
    stand.gate.add_permits(4 * 1000);
    for sender in 0..4 {
        let echo = stand.echo.clone();
        tokio::spawn(async move {
            for number in 0..1000 {
                echo.tell((sender, number)).await.unwrap();
            }
        });
    }
    let mut next = [0; 4];
    for _ in 0..4000 {
        let (sender, number) = stand.out.next(SOON).await.expect("all arrive");
        assert_eq!(number, next[sender]);
        next[sender] += 1;
    }
}

#[tokio::test]
async fn a_tell_waits_while_the_mailbox_is_full() {
    let mut stand = stand(1);
    let sent = stand.fill().await;
    let echo = stand.echo.clone();
    let waiting = tokio::spawn(async move { echo.tell((0, sent)).await });
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(!waiting.is_finished(), "there is no room");
    stand.gate.add_permits(100);
    waiting.await.unwrap().unwrap();
    for number in 0..=sent {
        assert_eq!(stand.out.next(SOON).await, Some((0, number)));
    }
}

#[tokio::test]
async fn a_try_tell_gives_the_message_back_when_the_mailbox_is_full() {
    let stand = stand(2);
    let sent = stand.fill().await;
    assert!(
        sent <= 2 * 2 + 1,
        "twice the capacity, and one in hand: {sent}"
    );
    assert_eq!(stand.echo.try_tell((9, 9)), Err(TrySendError::Full((9, 9))));
    assert_eq!(stand.echo.mailbox_len(), 2);
    assert_eq!(stand.system.dead_letters().count(), 0, "full is not dead");
}

#[tokio::test]
async fn many_are_told_in_order_beyond_the_capacity() {
    let mut stand = stand(3);
    stand.gate.add_permits(100);
    stand
        .echo
        .tell_many((0..100).map(|number| (0, number)))
        .await
        .unwrap();
    for number in 0..100 {
        assert_eq!(stand.out.next(SOON).await, Some((0, number)));
    }
}

#[tokio::test]
async fn an_ask_gives_the_typed_reply() {
    let stand = stand(8);
    stand.gate.add_permits(1);
    assert_eq!(stand.echo.ask((0, 21), SOON).await, Ok(42));
    assert_eq!(stand.echo.ask(Count, SOON).await, Ok(7));
}

#[tokio::test]
async fn an_ask_ends_at_its_deadline_whether_or_not_it_was_sent() {
    let _clock = TestClock::stop();
    let stand = stand(1);
    let asked = stand.echo.ask((0, 1), Duration::from_secs(30)).await;
    assert_eq!(
        asked,
        Err(AskError::Deadline),
        "it was sent, and is still in hand"
    );
    stand.fill().await;
    assert_eq!(
        stand.echo.ask((0, 1), Duration::from_secs(30)).await,
        Err(AskError::Full)
    );
}

#[tokio::test]
async fn an_actor_that_asks_itself_waits_no_longer_than_the_deadline() {
    let _clock = TestClock::stop();
    let stand = stand(8);
    let asked = stand.echo.ask(AskYourself, Duration::from_hours(1)).await;
    assert_eq!(asked, Ok(Err(AskError::Deadline)));
}

#[tokio::test]
async fn who_asks_an_actor_that_fails_or_ends_learns_that_there_is_no_answer() {
    let stand = stand(8);
    assert_eq!(stand.echo.ask(Panic, SOON).await, Err(AskError::Unanswered));
    let echo = stand.echo.clone();
    let in_hand = tokio::spawn(async move { echo.ask((0, 1), SOON).await });
    while stand.echo.mailbox_len() > 0 {
        tokio::task::yield_now().await;
    }
    stand.echo.kill().await;
    assert_eq!(in_hand.await.unwrap(), Err(AskError::Unanswered));
    assert!(matches!(
        stand.echo.ask(Count, SOON).await,
        Err(AskError::Closed(Count))
    ));
}

#[tokio::test]
async fn a_message_to_an_ended_actor_comes_back_and_is_a_dead_letter() {
    let stand = stand(8);
    let mut letters = stand.system.dead_letters().subscribe();
    stand.echo.drain().await;
    assert_eq!(stand.echo.tell((1, 2)).await.unwrap_err().0, (1, 2));
    assert_eq!(
        stand.echo.try_tell((1, 2)),
        Err(TrySendError::Closed((1, 2)))
    );
    assert_eq!(
        stand.echo.tell_many([(1, 2), (3, 4)]).await.unwrap_err().0,
        [(1, 2), (3, 4)]
    );
    assert_eq!(
        stand.echo.recipient().tell((1, 2)).await.unwrap_err().0,
        (1, 2)
    );
    for _ in 0..5 {
        let letter = letters.recv().await.unwrap();
        assert_eq!((&*letter.actor, letter.cause), ("echo", DeadCause::Ended));
        assert_eq!(letter.message, "(usize, u32)");
    }
    assert_eq!(stand.system.dead_letters().count(), 5);
}

#[tokio::test]
async fn a_tell_that_is_dropped_while_it_waits_was_not_sent() {
    let mut stand = stand(1);
    let sent = stand.fill().await;
    {
        let mut waiting = std::pin::pin!(stand.echo.tell((0, 999)));
        assert!(futures_util::poll!(waiting.as_mut()).is_pending());
    }
    stand.gate.add_permits(100);
    stand.echo.drain().await;
    assert_eq!(stand.out.take().len(), sent as usize);
}

/// Tells itself to go on, for ever.
struct Restless;

struct GoOn;

impl Actor for Restless {
    type Messages = (GoOn,);
}

impl Handle<GoOn> for Restless {
    type Reply = ();

    async fn handle(&mut self, _: GoOn, cx: &mut Context<Self>) {
        cx.this().try_tell(GoOn).unwrap();
    }
}

#[tokio::test]
async fn an_actor_that_is_never_idle_lets_others_run() {
    let system = System::new();
    let restless = system.spawn("restless", || Restless).unwrap();
    restless.tell(GoOn).await.unwrap();
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(restless.stop().await.len(), 1, "it was about to go on");
}

#[tokio::test]
async fn an_actor_is_told_by_way_of_a_recipient_without_knowing_its_type() {
    let mut stand = stand(8);
    stand.gate.add_permits(2);
    let recipient: Recipient<(usize, u32)> = stand.echo.recipient();
    recipient.tell((1, 2)).await.unwrap();
    recipient.try_tell((3, 4)).unwrap();
    assert_eq!(recipient.name(), "echo");
    assert_eq!(stand.out.next(SOON).await, Some((1, 2)));
    assert_eq!(stand.out.next(SOON).await, Some((3, 4)));
}

#[tokio::test]
async fn asks_under_way_together_each_end_at_their_own_deadline() {
    let _clock = TestClock::stop();
    let stand = stand(16);
    let begun = tokio::time::Instant::now();
    let asks = [30, 10, 20, 5].map(|seconds| {
        let (echo, deadline) = (stand.echo.clone(), Duration::from_secs(seconds));
        tokio::spawn(async move {
            let asked = echo.ask((0, 0), deadline).await;
            (asked, deadline, begun.elapsed())
        })
    });
    let given_up = stand.echo.ask((0, 0), Duration::from_secs(1));
    drop(tokio::time::timeout(Duration::from_millis(1), given_up).await);
    for ask in asks {
        let (asked, deadline, waited) = ask.await.unwrap();
        assert_eq!(asked, Err(AskError::Deadline));
        assert!(
            waited >= deadline,
            "{waited:?} is too early for {deadline:?}"
        );
        assert!(
            waited <= deadline + Duration::from_millis(2),
            "{waited:?} is too late"
        );
    }
}
