//! Topics: messages of a broker in the tables of a projection, each once.

#![expect(
    clippy::unwrap_used,
    reason = "a case panics where a promise is broken"
)]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use griot_core::{Event as _, Publication, Timestamp};
use griot_events::{
    Batch, BoxFuture, Broker, BrokerError, DEAD_LETTER_REASON, DeadLetter, Delivery, Event,
    Failure, Incoming, Order, Receipt, Retry, Router, Source, Subscription, dead_letter_topic,
};
use griot_journal::MemoryJournal;
use griot_projection::{
    Listener, ListenerLimits, Listening, Mark, Poison, Projection, ProjectionError, ReadModel,
    Rebuild, Recorded, Runner, Scope, Standing, State, Target, Tx,
};

use super::stand::{LIMITS, SOON};
use super::{Entry, ReadModelFactory};
use crate::probe::{self, message, message_with_id, publish, topic, until};
use crate::{BrokerFactory, BrokerServer, End};

const KEYS: [&str; 3] = ["a", "b", "c"];

/// What a case of this suite needs: a read model, and a broker.
#[derive(Debug)]
pub struct Topics<F, B> {
    /// Opens the read model.
    pub read_model: F,
    /// Opens the broker.
    pub broker: B,
}

/// A broker, a topic, and a read model of its messages.
struct Stand<F: ReadModelFactory> {
    broker: Arc<dyn Broker>,
    target: F::Target,
    /// The name of the projection, too.
    topic: String,
}

impl<F: ReadModelFactory> Stand<F> {
    async fn open<B: BrokerFactory>(factory: &Topics<F, B>) -> Self {
        Self {
            broker: factory.broker.open().await,
            target: factory.read_model.open().await,
            topic: topic("ledger"),
        }
    }

    /// Publishes messages of each key, in turns, numbered on from `from`.
    async fn write(&self, from: u64, messages: u64) {
        let numbers = from..from + messages;
        let all = numbers.flat_map(|number| KEYS.map(|key| (key, number)));
        let one =
            |(key, number)| message_with_id(&self.topic, key, number, &format!("{key}-{number}"));
        publish(&*self.broker, all.map(one).collect()).await;
    }

    /// A projection that writes a row for each message, and then does to it what `trouble` says.
    fn ledger(
        &self,
        trouble: impl Fn(&Event) -> Result<(), Failure> + Clone + Send + Sync + 'static,
    ) -> Projection<F::Target> {
        let enter = move |mut tx: Tx<F::Target>, event: Event| {
            let trouble = trouble.clone();
            async move {
                let inserted = F::insert(&mut tx, entry(&event)).await;
                inserted?;
                trouble(&event)
            }
        };
        self.projection(Router::new().on(&self.topic, enter))
    }

    fn projection(&self, router: Router<Scope<F::Target>>) -> Projection<F::Target> {
        Projection::new(&self.topic, 1, router).with_limits(LIMITS)
    }

    fn listener(&self) -> Listener<F::Target> {
        Listener::new(Arc::clone(&self.broker), self.target.clone())
    }

    async fn start(&self, projection: &Projection<F::Target>) -> Listening<F::Target> {
        self.listener().start(projection).await.unwrap()
    }

    /// The read model, as another process holds it.
    fn read_model(&self) -> ReadModel<F::Target> {
        let nothing = Arc::new(MemoryJournal::new());
        ReadModel::new(nothing, self.target.clone(), &self.topic)
    }

    async fn standing(&self) -> Standing {
        self.read_model().standing().await.unwrap().remove(0)
    }

    /// Waits until so many messages are in the table.
    async fn until_shown(&self, messages: usize) {
        until("all messages are shown", || async {
            self.entries().await.len() >= messages
        })
        .await;
    }

    async fn until_failed(&self) -> String {
        let failed = || async {
            let standing = self.standing().await;
            matches!(standing.state, State::Failed { .. })
        };
        until("the projection stops", failed).await;
        self.standing().await.state.to_string()
    }

    async fn entries(&self) -> Vec<Entry> {
        F::entries(&self.target).await
    }

    /// So many messages of each key are shown once, in order.
    async fn check(&self, messages: i64) {
        let mut shown = BTreeMap::<String, Vec<i64>>::new();
        for entry in self.entries().await {
            shown.entry(entry.entity).or_default().push(entry.seq);
        }
        let all: Vec<i64> = (0..messages).collect();
        let all = KEYS.map(|key| (key.to_owned(), all.clone()));
        assert_eq!(shown, all.into());
        let events = u64::try_from(messages).unwrap() * KEYS.len() as u64;
        assert_eq!(self.standing().await.events, events);
    }
}

/// The row of a message.
pub(super) fn entry(event: &Event) -> Entry {
    let payload = String::from_utf8_lossy(event.payload()).into_owned();
    Entry {
        entity: event
            .key()
            .map_or_else(String::new, |key| String::from_utf8_lossy(key).into_owned()),
        seq: payload.parse().unwrap_or(-1),
        payload,
    }
}

fn is(event: &Event, key: &str, number: i64) -> bool {
    let entry = entry(event);
    entry.entity == key && entry.seq == number
}

/// No trouble.
#[expect(clippy::unnecessary_wraps, reason = "there might be some")]
pub(super) fn fine(_: &Event) -> Result<(), Failure> {
    Ok(())
}

/// Over several lives, and while messages come.
pub async fn g7_each_message_is_shown_once_and_those_of_a_key_in_order<
    F: ReadModelFactory,
    B: BrokerFactory,
>(
    factory: &Topics<F, B>,
) {
    let stand = Stand::open(factory).await;
    for life in 0..3 {
        stand.write(life * 20, 15).await;
        let listening = stand.start(&stand.ledger(fine)).await;
        stand.write(life * 20 + 15, 5).await;
        stand
            .until_shown((usize::try_from(life).unwrap() + 1) * 60)
            .await;
        listening.drain(SOON).await.unwrap();
    }
    stand.check(60).await;
}

/// A broker that hears of acknowledgements or does not, and counts those it hears of.
#[derive(Debug)]
struct Ears {
    broker: Arc<dyn Broker>,
    hears: bool,
    heard: Arc<AtomicUsize>,
}

struct EarsSource {
    source: Box<dyn Source>,
    hears: bool,
    heard: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct EarsReceipt {
    receipt: Box<dyn Receipt>,
    hears: bool,
    heard: Arc<AtomicUsize>,
}

impl Broker for Ears {
    fn publish(&self, all: Vec<Publication>) -> BoxFuture<'_, Vec<Result<(), BrokerError>>> {
        self.broker.publish(all)
    }

    fn subscribe(
        &self,
        subscription: Subscription,
    ) -> BoxFuture<'_, Result<Box<dyn Source>, BrokerError>> {
        Box::pin(async {
            let source = EarsSource {
                source: self.broker.subscribe(subscription).await?,
                hears: self.hears,
                heard: Arc::clone(&self.heard),
            };
            Ok(Box::new(source) as Box<dyn Source>)
        })
    }

    fn check(&self) -> BoxFuture<'_, Result<(), BrokerError>> {
        self.broker.check()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.broker.close()
    }
}

impl Source for EarsSource {
    fn next(&mut self) -> BoxFuture<'_, Option<Result<Incoming, BrokerError>>> {
        Box::pin(async {
            let incoming = self.source.next().await?;
            Some(incoming.map(|incoming| match incoming {
                Incoming::Delivery(Delivery { event, receipt }) => {
                    let receipt = Box::new(EarsReceipt {
                        receipt,
                        hears: self.hears,
                        heard: Arc::clone(&self.heard),
                    });
                    Incoming::Delivery(Delivery { event, receipt })
                }
                revoked @ Incoming::Revoked { .. } => revoked,
            }))
        })
    }

    fn next_change(&mut self) -> BoxFuture<'_, Option<Result<Incoming, BrokerError>>> {
        self.source.next_change()
    }

    fn lease(&self) -> Option<Duration> {
        self.source.lease()
    }
}

impl Receipt for EarsReceipt {
    fn ack(self: Box<Self>) -> BoxFuture<'static, Result<(), BrokerError>> {
        if !self.hears {
            return Box::pin(async { Err(BrokerError::Closed) });
        }
        Box::pin(async move {
            let acked = self.receipt.ack().await;
            let is_heard = usize::from(acked.is_ok());
            self.heard.fetch_add(is_heard, Ordering::SeqCst);
            acked
        })
    }

    fn give_back(self: Box<Self>) -> BoxFuture<'static, Result<(), BrokerError>> {
        self.receipt.give_back()
    }

    fn extend(&self) -> BoxFuture<'_, Result<(), BrokerError>> {
        self.receipt.extend()
    }
}

/// A listener commits and none of its acknowledgements is heard; the next one is given all messages again.
async fn after_lost_acknowledgements<F: ReadModelFactory, B: BrokerFactory>(
    factory: &Topics<F, B>,
    messages: impl Fn(&str) -> Vec<Publication>,
) -> Stand<F> {
    let mut stand = Stand::open(factory).await;
    let broker = Arc::clone(&stand.broker);
    let hears = |hears| {
        let (broker, heard) = (Arc::clone(&broker), Arc::default());
        Arc::new(Ears {
            broker,
            hears,
            heard,
        })
    };
    let all = messages(&stand.topic);
    let count = all.len();
    publish(&*broker, all).await;
    stand.broker = hears(false);
    let listening = stand.start(&stand.ledger(fine)).await;
    stand.until_shown(count).await;
    drop(listening);
    let ears = hears(true);
    stand.broker = Arc::clone(&ears) as Arc<dyn Broker>;
    let listening = stand.start(&stand.ledger(fine)).await;
    until("the broker hears that all are done", || async {
        ears.heard.load(Ordering::SeqCst) >= count
    })
    .await;
    listening.drain(SOON).await.unwrap();
    stand
}

/// As where the program dies between the commit and the acknowledgement.
pub async fn g7_a_message_whose_acknowledgement_was_lost_is_shown_once<
    F: ReadModelFactory,
    B: BrokerFactory,
>(
    factory: &Topics<F, B>,
) {
    let messages = |topic: &str| {
        let all = (0..15).flat_map(|number| KEYS.map(|key| (key, number)));
        let one = |(key, number)| message_with_id(topic, key, number, &format!("{key}-{number}"));
        all.map(one).collect()
    };
    let stand = after_lost_acknowledgements(factory, messages).await;
    stand.check(15).await;
}

/// By its place at the broker.
pub async fn a_message_without_an_id_is_known_when_it_comes_again<
    F: ReadModelFactory,
    B: BrokerFactory,
>(
    factory: &Topics<F, B>,
) {
    let messages = |topic: &str| {
        let all = (0..15).flat_map(|number| KEYS.map(|key| (key, number)));
        all.map(|(key, number)| message(topic, key, number))
            .collect()
    };
    let stand = after_lost_acknowledgements(factory, messages).await;
    stand.check(15).await;
}

/// In two groups, so that every message is.
pub async fn g7_a_message_that_two_listeners_are_given_at_once_is_shown_once<
    F: ReadModelFactory,
    B: BrokerFactory,
>(
    factory: &Topics<F, B>,
) {
    let stand = Stand::open(factory).await;
    let projection = stand.ledger(fine);
    let group = |number: u32| format!("{}-{number}", stand.topic);
    let one = stand.listener().with_group(&group(1));
    let other = stand.listener().with_group(&group(2));
    let one = one.start(&projection).await.unwrap();
    let other = other.start(&projection).await.unwrap();
    for part in 0..10 {
        stand.write(part * 5, 5).await;
    }
    stand.until_shown(150).await;
    one.drain(SOON).await.unwrap();
    other.drain(SOON).await.unwrap();
    stand.check(50).await;
}

/// In one group: what a listener had that was dropped goes to the other.
pub async fn g7_listeners_that_come_and_go_show_each_message_once<
    F: ReadModelFactory,
    B: BrokerFactory,
>(
    factory: &Topics<F, B>,
) {
    let stand = Stand::open(factory).await;
    let projection = stand.ledger(fine).with_slices(NonZeroU32::new(2).unwrap());
    let stays = stand.start(&projection).await;
    for part in 0..5 {
        let goes = stand.start(&projection).await;
        stand.write(part * 10, 10).await;
        stand
            .until_shown(usize::try_from(part).unwrap() * 30 + 7)
            .await;
        drop(goes);
    }
    stand.until_shown(150).await;
    stays.drain(SOON).await.unwrap();
    stand.check(50).await;
}

/// Whichever message of a batch it is, by an error or a panic behind the write.
pub async fn g7_messages_that_fail_are_tried_again_and_leave_nothing_behind<
    F: ReadModelFactory,
    B: BrokerFactory,
>(
    factory: &Topics<F, B>,
) {
    let stand = Stand::open(factory).await;
    stand.write(0, 30).await;
    let tried = Arc::new(Mutex::new(HashMap::new()));
    let trouble = move |event: &Event| {
        let mut tried = tried.lock().unwrap_or_else(PoisonError::into_inner);
        let tried = tried.entry(event.id()).or_insert(0);
        *tried += 1;
        match entry(event).seq % 10 {
            3 if *tried <= 2 => Err(Retry("not yet").into()),
            7 if *tried == 1 => panic!("on purpose"),
            _ => Ok(()),
        }
    };
    let listening = stand.start(&stand.ledger(trouble)).await;
    stand.until_shown(90).await;
    listening.drain(SOON).await.unwrap();
    stand.check(30).await;
}

/// Many at a time.
pub async fn g7_a_handler_of_batches_is_given_each_message_once<
    F: ReadModelFactory,
    B: BrokerFactory,
>(
    factory: &Topics<F, B>,
) {
    let stand = Stand::open(factory).await;
    let most = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&most);
    let enter = move |mut tx: Tx<F::Target>, events: Vec<Event>| {
        let seen = Arc::clone(&seen);
        async move {
            seen.fetch_max(events.len(), Ordering::SeqCst);
            for event in &events {
                let inserted = F::insert(&mut tx, entry(event)).await;
                inserted.map_err(Failure::from)?;
            }
            Ok::<(), Failure>(())
        }
    };
    let router = Router::new().on_batch(&stand.topic, Batch::default(), enter);
    stand.write(0, 30).await;
    let limits = ListenerLimits {
        // Long enough for a batch to be full.
        gather_max: Duration::from_secs(1),
        ..ListenerLimits::default()
    };
    let listener = stand.listener().with_limits(limits);
    let listening = listener.start(&stand.projection(router)).await.unwrap();
    stand.until_shown(90).await;
    listening.drain(SOON).await.unwrap();
    stand.check(30).await;
    assert!((2..=LIMITS.batch_events_max).contains(&most.load(Ordering::SeqCst)));
}

/// A trouble with one message until it is cured.
fn sick() -> (
    impl Fn(&Event) -> Result<(), Failure> + Clone + Send + Sync + 'static,
    Arc<AtomicBool>,
) {
    let cured = Arc::new(AtomicBool::new(false));
    let now = Arc::clone(&cured);
    let trouble = move |event: &Event| -> Result<(), Failure> {
        if is(event, "b", 3) && !now.load(Ordering::SeqCst) {
            return Err(DeadLetter("it is poison").into());
        }
        Ok(())
    };
    (trouble, cured)
}

/// Also after a restart. Nothing behind it, of its key, is shown, and it is not acknowledged.
pub async fn a_bad_message_stops_the_projection_visibly_until_it_is_resumed<
    F: ReadModelFactory,
    B: BrokerFactory,
>(
    factory: &Topics<F, B>,
) {
    let stand = Stand::open(factory).await;
    stand.write(0, 10).await;
    let (trouble, cured) = sick();
    let projection = stand.ledger(trouble);
    let listening = stand.start(&projection).await;
    let reason = stand.until_failed().await;
    for part in [stand.topic.as_str(), "b-3", "it is poison"] {
        assert!(reason.contains(part), "{reason}");
    }
    listening.drain(SOON).await.unwrap();
    let of_b = |entry: &&Entry| entry.entity == "b";
    assert_eq!(stand.entries().await.iter().filter(of_b).count(), 3);

    cured.store(true, Ordering::SeqCst);
    let before = stand.entries().await;
    let listening = stand.start(&projection).await;
    let standing = listening.standing().await.unwrap();
    assert!(
        matches!(standing.state, State::Failed { .. }),
        "{standing:?}"
    );
    assert_eq!(stand.entries().await, before);
    listening.resume().await.unwrap();
    stand.until_shown(30).await;
    listening.drain(SOON).await.unwrap();
    stand.check(10).await;
}

/// With its cause.
pub async fn a_bad_message_goes_to_its_dead_letter_topic_and_the_others_go_on<
    F: ReadModelFactory,
    B: BrokerFactory,
>(
    factory: &Topics<F, B>,
) {
    let stand = Stand::open(factory).await;
    stand.write(0, 10).await;
    let (trouble, _) = sick();
    let projection = stand.ledger(trouble).with_poison(Poison::Park);
    let listening = stand.start(&projection).await;
    stand.until_shown(29).await;
    let dead = dead_letter_topic(&stand.topic);
    let mut letters = probe::subscribe(&*stand.broker, &dead, &dead, Order::PerKey).await;
    let letter = probe::next(&mut letters).await;
    assert_eq!(probe::text(&letter), "3");
    let reason = letter.event.headers().get(DEAD_LETTER_REASON);
    assert!(reason.unwrap().contains("it is poison"), "{reason:?}");
    letter.receipt.ack().await.unwrap();
    drop(letters);
    assert_eq!(stand.standing().await.state, State::Running);
    listening.drain(SOON).await.unwrap();
    let shown = stand.entries().await;
    assert_eq!(shown.len(), 29);
    let of_b = shown.iter().filter(|entry| entry.entity == "b");
    let of_b: Vec<i64> = of_b.map(|entry| entry.seq).collect();
    assert_eq!(of_b, [0, 1, 2, 4, 5, 6, 7, 8, 9]);
}

/// And nothing is committed once it is paused.
pub async fn pausing_a_projection_of_topics_survives_a_restart<
    F: ReadModelFactory,
    B: BrokerFactory,
>(
    factory: &Topics<F, B>,
) {
    let stand = Stand::open(factory).await;
    let listening = stand.start(&stand.ledger(fine)).await;
    stand.write(0, 5).await;
    stand.until_shown(15).await;
    stand.read_model().pause().await.unwrap();
    let shown = stand.entries().await;
    stand.write(5, 5).await;
    listening.drain(SOON).await.unwrap();
    let listening = stand.start(&stand.ledger(fine)).await;
    // Others are given the messages.
    let witness = topic("witness");
    let mut others = probe::subscribe(&*stand.broker, &stand.topic, &witness, Order::PerKey).await;
    probe::take(&mut others, 30).await;
    drop(others);
    assert_eq!(stand.entries().await, shown);
    assert_eq!(listening.standing().await.unwrap().state, State::Paused);
    listening.resume().await.unwrap();
    stand.until_shown(30).await;
    listening.pause().await.unwrap();
    listening.drain(SOON).await.unwrap();
    stand.check(10).await;
}

/// Also where bad messages go to a dead-letter topic: none of them is to blame.
pub async fn a_handler_that_asks_for_the_journal_stops_the_projection_and_says_why<
    F: ReadModelFactory,
    B: BrokerFactory,
>(
    factory: &Topics<F, B>,
) {
    let stand = Stand::open(factory).await;
    stand.write(0, 3).await;
    let enter = |_: Tx<F::Target>, _: Recorded| async {};
    let router = Router::new().on(&stand.topic, enter);
    let projection = stand.projection(router).with_poison(Poison::Park);
    let listening = stand.start(&projection).await;
    let reason = stand.until_failed().await;
    assert!(reason.contains("`Recorded` or `Happened`"), "{reason}");
    listening.drain(SOON).await.unwrap();
    // Mended, it misses nothing.
    stand.read_model().resume().await.unwrap();
    let listening = stand.start(&stand.ledger(fine)).await;
    stand.until_shown(9).await;
    listening.drain(SOON).await.unwrap();
    stand.check(3).await;
}

/// Events of a journal.
#[derive(serde::Serialize, serde::Deserialize)]
enum Ledger {
    Paid { cents: i64 },
}

impl griot_core::Event for Ledger {}

/// By its name, its version, its topics, and what it reads.
pub async fn what_is_not_a_projection_of_topics_is_refused<
    F: ReadModelFactory,
    B: BrokerFactory,
>(
    factory: &Topics<F, B>,
) {
    let stand = Stand::open(factory).await;
    let journal = Arc::new(MemoryJournal::new());
    let refused = |error: Option<ProjectionError>| {
        assert!(
            matches!(error, Some(ProjectionError::Refused { .. })),
            "{error:?}"
        );
    };
    let listener = stand.listener();
    assert_eq!(Ledger::Paid { cents: 1 }.version(), 1);
    let reads = stand.ledger(fine).reading::<Ledger>("account");
    refused(listener.start(&reads).await.err());
    let none = stand.projection(Router::new());
    refused(listener.start(&none).await.err());

    let projection = stand.ledger(fine);
    listener
        .start(&projection)
        .await
        .unwrap()
        .drain(SOON)
        .await
        .unwrap();
    let version = Projection::new(&stand.topic, 2, Router::new().on(&stand.topic, async || ()));
    refused(listener.start(&version).await.err());
    let runner = Runner::new(journal.clone(), stand.target.clone());
    refused(runner.start(&projection).await.err());
    let with_tables = projection.with_tables(["ledger"]);
    let rebuild = Rebuild::begin(journal.clone(), stand.target.clone(), with_tables).await;
    refused(rebuild.err());

    let other = topic("journal");
    let of_a_journal = Projection::new(&other, 1, Router::new().on("account", async || ()));
    let running = runner.start(&of_a_journal).await.unwrap();
    running.drain().await.unwrap();
    refused(listener.start(&of_a_journal).await.err());
}

/// In the background.
pub async fn g10_what_was_handled_long_ago_is_forgotten<F: ReadModelFactory, B: BrokerFactory>(
    factory: &Topics<F, B>,
) {
    let stand = Stand::open(factory).await;
    let limits = ListenerLimits {
        remembered_for: Duration::from_millis(80),
        ..ListenerLimits::default()
    };
    // Another projection's stay.
    let mark = |id: &str| Mark {
        topic: stand.topic.clone(),
        message: id.to_owned(),
    };
    let target = &stand.target;
    let mut begun = target.begin().await.unwrap();
    let old = Timestamp::from_micros(1);
    let marks = [mark("a-0")];
    let remembering = target.remember(&mut begun, "other", &marks, old);
    assert!(remembering.await.unwrap().is_empty());
    target.commit(begun).await.unwrap();

    let listener = stand.listener().with_limits(limits);
    let listening = listener.start(&stand.ledger(fine)).await.unwrap();
    stand.write(0, 5).await;
    stand.until_shown(15).await;
    let known = |projection: String, id: &'static str| async move {
        let mut begun = target.begin().await.unwrap();
        let marks = [mark(id)];
        let remembering = target.remember(&mut begun, &projection, &marks, old);
        remembering.await.unwrap().len()
    };
    until("what was handled is forgotten", || async {
        known(stand.topic.clone(), "a-0").await == 0
    })
    .await;
    assert_eq!(known("other".to_owned(), "a-0").await, 1);
    listening.drain(SOON).await.unwrap();
    stand.check(5).await;
}

/// To the broker that the messages are from, before they are acknowledged.
pub async fn what_handlers_of_messages_publish_goes_out_under_ids_that_stay<
    F: ReadModelFactory,
    B: BrokerFactory,
>(
    factory: &Topics<F, B>,
) {
    let stand = Stand::open(factory).await;
    let told = topic("told");
    let tries = Arc::new(AtomicU32::new(0));
    let (to, count) = (told.clone(), Arc::clone(&tries));
    let tell = move |mut tx: Tx<F::Target>, event: Event| {
        let (to, count) = (to.clone(), Arc::clone(&count));
        async move {
            let inserted = F::insert(&mut tx, entry(&event)).await;
            inserted.map_err(Failure::from)?;
            if is(&event, "b", 2) && count.fetch_add(1, Ordering::SeqCst) < 2 {
                return Err(Retry("not yet").into());
            }
            let key = entry(&event).entity;
            let number = entry(&event).seq;
            Ok::<Publication, Failure>(message(&to, &key, number))
        }
    };
    stand.write(0, 5).await;
    let router = Router::new().on(&stand.topic, tell);
    let listening = stand.start(&stand.projection(router)).await;
    stand.until_shown(15).await;
    listening.drain(SOON).await.unwrap();
    let mut source = probe::subscribe(&*stand.broker, &told, &told, Order::PerKey).await;
    let mut ids = BTreeSet::new();
    while ids.len() < 15 {
        let delivery = probe::next(&mut source).await;
        let event = &delivery.event;
        let (key, id) = (entry(event).entity, event.id());
        assert!(id.contains(&format!("{key}-{}", entry(event).seq)), "{id}");
        ids.insert(id);
        delivery.receipt.ack().await.unwrap();
    }
    stand.check(5).await;
}

/// By kill -9 and by being stopped, while messages come and are handled.
pub async fn g7_each_message_is_shown_once_when_the_broker_goes_away_and_comes_back<
    F: ReadModelFactory,
    B: BrokerServer,
>(
    factory: &Topics<F, B>,
) {
    let stand = Stand::open(factory).await;
    let listening = stand.start(&stand.ledger(fine)).await;
    let mut shown = 0;
    for end in [End::Killed, End::Stopped, End::Killed] {
        stand.write(shown, 20).await;
        let seen = usize::try_from(shown).unwrap() * 3 + 7;
        stand.until_shown(seen).await;
        factory.broker.restart(end).await;
        until("the broker answers", || async {
            stand.broker.check().await.is_ok()
        })
        .await;
        shown += 20;
    }
    stand.write(shown, 5).await;
    stand.until_shown(195).await;
    listening.drain(SOON).await.unwrap();
    stand.check(65).await;
}
