//! The task that keeps a member's ledger of one topic filled while it is the active member, and writes
//! down what is settled.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use griot_events::adapter::{Bell, Stay};
use griot_events::{BrokerError, MESSAGE_ID, Order};
use lapin::message::Delivery;
use tokio::sync::{Notify, watch};
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::cursor::Cursor;
use crate::ledger::Ledger;
use crate::link::Link;
use crate::logs::Logs;
use crate::names;
use crate::place::{Change, Names, Place};
use crate::reading::Reading;
use crate::repeats::Repeats;
use crate::wire;

/// How often the group's place is written down though nothing was settled. The server takes a consumer
/// that keeps a note for half an hour for dead.
const REFRESH: Duration = Duration::from_secs(30);

/// The pause before a seat that was lost is taken again.
const PAUSE: Duration = Duration::from_millis(100);

/// What a feed and those who hold its messages share.
#[derive(Debug)]
pub(crate) struct Share {
    pub(crate) link: Link,
    pub(crate) reader: Arc<Reader>,
    ledger: Mutex<Ledger>,
    /// What is durable of what was settled.
    saved: watch::Sender<u64>,
    /// Whether it has given everything back and ended.
    left: AtomicBool,
    /// Wakes the feed.
    wake: Notify,
    /// How many messages may wait to be handed out before no more are asked for.
    waiting_max: usize,
}

/// The one who reads from all feeds of a subscription.
#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) bell: Bell,
    /// Messages that are handed out and not settled.
    pub(crate) out: AtomicUsize,
    /// How many may be.
    pub(crate) out_max: usize,
}

impl Reader {
    pub(crate) fn new(out_max: usize) -> Arc<Self> {
        Arc::new(Self {
            bell: Bell::default(),
            out: AtomicUsize::new(0),
            out_max,
        })
    }

    /// A message that was handed out is no more.
    fn returned(&self) {
        self.out.fetch_sub(1, Ordering::AcqRel);
        self.bell.ring();
    }
}

impl Share {
    pub(crate) fn new(link: Link, order: Order, reader: Arc<Reader>) -> Arc<Self> {
        Arc::new(Self {
            link,
            waiting_max: reader.out_max.clamp(16, 1_024),
            reader,
            ledger: Mutex::new(Ledger::new(order)),
            saved: watch::Sender::new(0),
            left: AtomicBool::new(false),
            wake: Notify::new(),
        })
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next message to hand out.
    pub(crate) fn take(&self) -> Option<(u64, griot_events::Event)> {
        if self.reader.out.load(Ordering::Acquire) >= self.reader.out_max {
            return None;
        }
        let mut ledger = self.ledger();
        let taken = ledger.take()?;
        self.reader.out.fetch_add(1, Ordering::AcqRel);
        if ledger.waiting() + 1 == self.waiting_max / 2 {
            self.wake.notify_one();
        }
        Some(taken)
    }

    /// A message is done: returns once that is durable.
    pub(crate) async fn settle(&self, offset: u64) -> Result<(), BrokerError> {
        if self.left.load(Ordering::Acquire) {
            return Err(BrokerError::Refused {
                what: "the acknowledgement",
                reason: "the member left its group, which gave the message to another: finish what is under way before the source is dropped".to_owned(),
            });
        }
        let version = self.ledger().settle(offset);
        self.reader.returned();
        self.wake.notify_one();
        let mut saved = self.saved.subscribe();
        let told = saved.wait_for(|saved| *saved >= version);
        let told = self.link.answer("the acknowledgement", told).await?;
        told.map(drop).map_err(|_| BrokerError::Closed)
    }

    /// A message is not done.
    pub(crate) fn give_back(&self, offset: u64) {
        if !self.left.load(Ordering::Acquire) {
            self.ledger().give_back(offset);
            self.reader.returned();
        }
    }
}

/// What a feed runs on.
pub(crate) struct Feed {
    share: Arc<Share>,
    logs: Logs,
    /// The first word of the topics in the log.
    word: String,
    /// The topic, or a pattern.
    topic: String,
    /// Where the group keeps its place.
    names: Names,
    repeats: Repeats,
    /// The version of the ledger that was written down last, or is about to be.
    told: u64,
}

/// What ends a feed: nobody reads, or the broker is closed.
#[derive(Clone)]
pub(crate) struct Stop {
    pub(crate) reading: watch::Receiver<()>,
    pub(crate) closing: watch::Receiver<bool>,
}

impl Stop {
    pub(crate) async fn wait(&mut self) {
        let reading = async { while self.reading.changed().await.is_ok() {} };
        tokio::select! {
            () = reading => {}
            () = async { let _ = self.closing.wait_for(|closing| *closing).await; } => {}
        }
    }
}

impl Feed {
    pub(crate) fn new(
        share: Arc<Share>,
        logs: Logs,
        group: &str,
        word: String,
        topic: String,
    ) -> Self {
        let options = &share.link.options;
        let place = names::place_of(&options.exchange, group, &word, &topic);
        Self {
            names: Names {
                seat: format!("{place}.seat"),
                notes: format!("{place}.notes"),
            },
            repeats: Repeats::new(options.repeats_within.into()),
            share,
            logs,
            word,
            topic,
            told: 0,
        }
    }

    /// Sees to the log and the queue with the group's place, so that what is published from now on and
    /// what was before is there to be read.
    ///
    /// # Errors
    ///
    /// Where that cannot be.
    pub(crate) async fn prepare(&mut self) -> Result<Place, BrokerError> {
        self.logs.keep(&self.word).await?;
        let (known, version) = self.known();
        let news = (version > 0).then_some(known);
        let place = Place::open(&self.share.link, self.names.clone(), news).await?;
        self.told = version;
        self.share.saved.send_replace(version);
        Ok(place)
    }

    /// Runs until it is to stop. `alive` is dropped when it has left.
    pub(crate) async fn run(mut self, seat: Option<Place>, mut stop: Stop, alive: Stay) {
        let mut seat = seat;
        loop {
            let ended = self.sit_down(seat.take(), &mut stop).await;
            self.share.ledger().deactivate();
            let Err(error) = ended else { break };
            tracing::warn!(%error, seat = self.names.seat, "a seat was lost, it is claimed again");
            tokio::select! {
                () = stop.wait() => break,
                () = sleep(PAUSE) => {}
            }
        }
        self.share.left.store(true, Ordering::Release);
        drop(alive);
    }

    /// Claims the seat where that was not done, and keeps to it until it is to stop.
    async fn sit_down(&mut self, seat: Option<Place>, stop: &mut Stop) -> Result<(), BrokerError> {
        let place = if let Some(place) = seat {
            Ok(place)
        } else {
            tokio::select! {
                () = stop.wait() => return Ok(()),
                place = self.again() => place,
            }
        };
        match place {
            Ok(place) => self.sit(place, stop).await,
            Err(error) => {
                self.share.reader.bell.report(error.clone());
                Err(error)
            }
        }
    }

    /// Claims the seat again, once there is a connection.
    async fn again(&mut self) -> Result<Place, BrokerError> {
        self.share.link.connected().await?;
        self.prepare().await
    }

    /// Reads while this is the active member, until it is to stop.
    ///
    /// # Errors
    ///
    /// Where the seat was lost.
    async fn sit(&mut self, mut place: Place, stop: &mut Stop) -> Result<(), BrokerError> {
        let mut reading: Option<Reading> = None;
        let mut refresh = interval(REFRESH);
        refresh.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut look = interval(self.share.link.options.timeout / 4);
        let share = Arc::clone(&self.share);
        loop {
            tokio::select! {
                () = stop.wait() => return self.leave(place).await,
                incoming = place.next() => {
                    if let Some(change) = place.take(incoming).await? {
                        self.change(change);
                    }
                }
                message = next_of(&mut reading) => match message {
                    Some(Ok(message)) => self.read_all(message, &mut reading),
                    Some(Err(error)) => {
                        tracing::debug!(%error, seat = self.names.seat, "the log is read anew");
                        reading = None;
                    }
                    None => reading = None,
                },
                () = share.wake.notified() => {}
                _ = refresh.tick() => {
                    if place.is_active() {
                        place.refresh().await?;
                        self.share.ledger().touch();
                    }
                }
                _ = look.tick() => place.check()?,
            }
            self.go_on(&mut place, &mut reading).await?;
        }
    }

    fn change(&mut self, change: Change) {
        let mut ledger = self.share.ledger();
        match change {
            Change::Active(known) => {
                ledger.merge(&known);
                ledger.activate(self.repeats.window());
                tracing::debug!(seat = self.names.seat, "this member is the active one");
                self.share.reader.bell.ring();
            }
            Change::Saved(version) => {
                self.share.saved.send_replace(version);
            }
        }
    }

    /// Does what is due.
    async fn go_on(
        &mut self,
        place: &mut Place,
        reading: &mut Option<Reading>,
    ) -> Result<(), BrokerError> {
        let (is_active, next, waiting) = {
            let ledger = self.share.ledger();
            (ledger.is_active(), ledger.next(), ledger.waiting())
        };
        if is_active && reading.is_none() {
            *reading = self.begin(next).await?;
        }
        if let Some(reading) = reading
            && waiting < self.share.waiting_max / 2
        {
            reading.ask_for_more().await;
        }
        if place.is_idle() {
            let (known, version) = self.known();
            if version > self.told {
                self.told = version;
                place.save(known, version).await?;
            }
        }
        Ok(())
    }

    /// Begins to read the log.
    async fn begin(&mut self, next: u64) -> Result<Option<Reading>, BrokerError> {
        let link = &self.share.link;
        let log = names::log_of(&link.options.exchange, &self.word);
        let begun = Reading::begin(link, &log, next, self.share.waiting_max).await;
        if begun.is_err() {
            // It may have been deleted.
            self.logs.forget(&self.word);
        }
        begun.map(Some)
    }

    /// A message, and all that are already here behind it.
    fn read_all(&mut self, first: Delivery, reading: &mut Option<Reading>) {
        let mut next = Some(first);
        while let Some(message) = next {
            if let Some(reading) = reading {
                reading.note(&message);
            }
            self.read(message);
            let more = next_of(reading).now_or_never().flatten();
            // Behind an error comes the end.
            next = more.and_then(Result::ok);
        }
        self.share.reader.bell.ring();
    }

    fn read(&mut self, message: Delivery) {
        let Some(offset) = wire::offset(&message) else {
            tracing::warn!(
                seat = self.names.seat,
                "a message of a log without its place, passed over"
            );
            return;
        };
        let mut ledger = self.share.ledger();
        if offset < ledger.next() {
            return;
        }
        if !names::covers(&self.topic, message.routing_key.as_str()) {
            return ledger.skip(offset);
        }
        let event = wire::decode(message, offset);
        let id = event.headers().get(MESSAGE_ID);
        if id.is_some_and(|id| self.repeats.note(offset, event.topic(), id)) {
            return ledger.skip(offset);
        }
        ledger.receive(offset, event);
    }

    fn known(&self) -> (Cursor, u64) {
        let ledger = self.share.ledger();
        (ledger.cursor(), ledger.version())
    }

    /// Writes down what is settled, then lets another member in.
    async fn leave(&mut self, place: Place) -> Result<(), BrokerError> {
        let (known, version) = self.known();
        let last = (version > self.told).then_some((known, version));
        match place.leave(last).await {
            Ok(Some(version)) => {
                self.share.saved.send_replace(version);
            }
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(%error, seat = self.names.seat, "RabbitMQ did not hear what was settled last");
            }
        }
        Ok(())
    }
}

async fn next_of(reading: &mut Option<Reading>) -> Option<lapin::Result<Delivery>> {
    match reading {
        Some(reading) => reading.messages.next().await,
        None => std::future::pending().await,
    }
}
