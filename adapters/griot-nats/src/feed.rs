//! The task that keeps a member's ledger of one topic filled: asks for messages, keeps their leases,
//! notices when another member took over, and gives everything back when it leaves.
//!
//! The client's own stream of messages is not used, since it does not tell when the pin is lost, and
//! asks for more than a member may have in flight.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_nats::client::Request;
use async_nats::header::NATS_PIN_ID;
use async_nats::{HeaderValue, Message, Subject, Subscriber};
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use griot_events::adapter::{Bell, Stay};
use griot_events::{BrokerError, Order};
use serde_json::json;
use tokio::sync::{Notify, watch};

use crate::consumer::{Consumer, PINNED};
use crate::ledger::{Arrival, Ledger};
use crate::link::Link;
use crate::wire;

/// "It is still being worked on", as JetStream spells it.
pub(crate) const IN_PROGRESS: Bytes = Bytes::from_static(b"+WPI");

/// "It was not done", as JetStream spells it.
pub(crate) const NOT_DONE: Bytes = Bytes::from_static(b"-NAK");

/// "It is done", as JetStream spells it.
pub(crate) const DONE: Bytes = Bytes::from_static(b"+ACK");

/// How often a member that gathers asks how far it is.
const GATHER_PAUSE: Duration = Duration::from_millis(50);

/// What a feed and those who hold its messages share.
#[derive(Debug)]
pub(crate) struct Share {
    pub(crate) link: Link,
    pub(crate) order: Order,
    /// Wakes the one who reads.
    pub(crate) bell: Arc<Bell>,
    /// Messages the member may hold.
    in_flight_max: usize,
    ledger: Mutex<Ledger>,
    /// Messages asked for that did not come yet.
    requested: AtomicUsize,
    /// Whether messages that are given back stay here: no other member is given this topic.
    owner: AtomicBool,
    /// Whether it gave everything back and ended.
    left: AtomicBool,
    /// Wakes the feed.
    wake: Notify,
}

impl Share {
    pub(crate) fn new(
        link: Link,
        order: Order,
        in_flight_max: usize,
        bell: Arc<Bell>,
    ) -> Arc<Self> {
        Arc::new(Self {
            link,
            order,
            bell,
            in_flight_max,
            ledger: Mutex::new(Ledger::new(order, in_flight_max)),
            requested: AtomicUsize::new(0),
            owner: AtomicBool::new(true),
            left: AtomicBool::new(false),
            wake: Notify::new(),
        })
    }

    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn has_left(&self) -> bool {
        self.left.load(Ordering::Acquire)
    }

    /// Whether a message that is given back is handed out again from here.
    pub(crate) fn keeps_order(&self) -> bool {
        self.order == Order::PerKey && self.owner.load(Ordering::Acquire) && !self.has_left()
    }

    /// There is room for more: wakes the feed where it is worth a request, and the reader where a
    /// message may have waited for this one.
    pub(crate) fn made_room(&self) {
        let (held, is_waited_for) = {
            let ledger = self.ledger();
            (ledger.len(), ledger.has_returned())
        };
        if self.wanted(held) > 0 {
            self.wake.notify_one();
        }
        if is_waited_for {
            self.bell.ring();
        }
    }

    /// How many messages to ask for now, with so many held; few requests for many rather than many for
    /// one.
    fn wanted(&self, held: usize) -> usize {
        let requested = self.requested.load(Ordering::Acquire);
        let room = self
            .in_flight_max
            .saturating_sub(held)
            .saturating_sub(requested);
        if requested == 0 || room >= self.in_flight_max / 2 {
            room
        } else {
            0
        }
    }

    fn arrived(&self, count: usize) {
        let fewer = |requested: usize| Some(requested.saturating_sub(count));
        let _ = self
            .requested
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, fewer);
    }
}

/// What a feed runs on.
#[derive(Debug)]
pub(crate) struct Feed {
    share: Arc<Share>,
    consumer: Consumer,
    messages: Subscriber,
    inbox: String,
    /// Which member JetStream takes this one for, while it is the one that is given messages.
    pin: Option<String>,
    generation: u64,
    heard: Instant,
    extended: Instant,
    /// Whether the consumer must be made again.
    broken: bool,
    /// Messages that are missing to have gathered.
    missing: usize,
}

impl Feed {
    /// # Errors
    ///
    /// Where the client is closed.
    pub(crate) async fn new(share: Arc<Share>, consumer: Consumer) -> Result<Self, BrokerError> {
        let client = &share.link.client;
        let inbox = client.new_inbox();
        let messages = client.subscribe(inbox.clone()).await;
        Ok(Self {
            messages: messages.map_err(|error| BrokerError::Unreachable(Arc::new(error)))?,
            generation: share.link.generation(),
            share,
            consumer,
            inbox,
            pin: None,
            heard: Instant::now(),
            extended: Instant::now(),
            broken: false,
            missing: 0,
        })
    }

    /// Runs until the reader is gone or the broker is closed. `alive` is dropped when it has left.
    pub(crate) async fn run(
        mut self,
        mut reading: watch::Receiver<()>,
        mut closing: watch::Receiver<bool>,
        alive: Stay,
    ) {
        let mut connected = self.share.link.reconnections();
        loop {
            self.check_connection();
            self.pull().await;
            let pause = self.pause();
            let share = Arc::clone(&self.share);
            tokio::select! {
                _ = reading.changed() => break,
                () = closed(&mut closing) => break,
                message = self.messages.next() => match message {
                    Some(message) => self.receive_all(message).await,
                    None => break,
                },
                () = share.wake.notified() => {}
                Ok(()) = connected.changed() => {}
                () = tokio::time::sleep(pause) => self.tick().await,
            }
        }
        self.leave().await;
        drop(alive);
    }

    /// A request for messages ends after this, so that the server knows soon that we are gone.
    fn expiry(&self) -> Duration {
        self.share.link.options.lease / 10
    }

    fn is_gathering(&self) -> bool {
        self.pin.is_some() && self.share.ledger().is_gathering()
    }

    fn pause(&self) -> Duration {
        if self.is_gathering() {
            GATHER_PAUSE
        } else {
            self.expiry()
        }
    }

    /// What was under way on a connection that is gone does not arrive: asks again, and looks for it.
    fn check_connection(&mut self) {
        let generation = self.share.link.generation();
        if generation != self.generation {
            self.generation = generation;
            self.share.requested.store(0, Ordering::Release);
            self.share.ledger().gather();
        }
    }

    async fn pull(&mut self) {
        if !self.share.link.is_connected() {
            return;
        }
        let held = self.share.ledger().len();
        let mut batch = self.share.wanted(held);
        if self.share.order == Order::PerKey && self.share.requested.load(Ordering::Acquire) == 0 {
            // Asking is also the sign of life by which the pin is kept. What is missing while gathering
            // comes on top of what may be in flight.
            batch = batch.max(self.missing).max(1);
        }
        if batch == 0 {
            return;
        }
        let expires = u64::try_from(self.expiry().as_nanos()).unwrap_or(u64::MAX);
        let mut request = json!({ "batch": batch, "expires": expires });
        if self.share.order == Order::PerKey {
            request["group"] = json!(PINNED);
            if let Some(pin) = &self.pin {
                request["id"] = json!(pin);
            }
        }
        let request = Request::new()
            .inbox(self.inbox.clone())
            .payload(request.to_string().into());
        let context = &self.share.link.context;
        let sent = context
            .send_request(self.consumer.next_subject(), request)
            .await;
        if sent.is_ok() {
            self.share.requested.fetch_add(batch, Ordering::AcqRel);
        }
    }

    /// A message, and all that are already here behind it.
    async fn receive_all(&mut self, first: Message) {
        self.heard = Instant::now();
        self.check_connection();
        let mut next = Some(first);
        while let Some(message) = next {
            self.receive(message).await;
            next = self.messages.next().now_or_never().flatten();
        }
        if self.is_gathering() {
            self.gather().await;
        }
        self.share.bell.ring();
    }

    async fn receive(&mut self, message: Message) {
        let Some(status) = message.status else {
            self.take(message).await;
            return;
        };
        match status.as_u16() {
            200 => self.take(message).await,
            100 => {}
            code => {
                let left = message.headers.as_ref();
                let left = left.and_then(|headers| headers.get("Nats-Pending-Messages"));
                let left = left.and_then(|left| left.as_str().parse().ok());
                self.share.arrived(left.unwrap_or(usize::MAX));
                let said = message.description.unwrap_or_default();
                match code {
                    423 => self.unpinned().await,
                    // Nobody listens, the request is malformed, or the consumer is no more.
                    503 | 400 => self.broken = true,
                    409 if said == "Consumer Deleted" => self.broken = true,
                    _ => {}
                }
                tracing::debug!(
                    code,
                    said,
                    consumer = %self.consumer,
                    "JetStream ended a request"
                );
            }
        }
    }

    async fn take(&mut self, message: Message) {
        self.share.arrived(1);
        let Some((place, reply)) = wire::place(&message).zip(message.reply.clone()) else {
            tracing::warn!(subject = %message.subject, "not a message of JetStream, ignored");
            return;
        };
        self.see_pin(&message);
        let event = wire::decode(message, place);
        let now = Instant::now();
        let arrival = self
            .share
            .ledger()
            .receive(place.seq, event, reply.clone(), now);
        if arrival == Arrival::Settled {
            self.say(reply, DONE).await;
        }
    }

    /// Each message to the member that is given all carries the name by which it is known.
    fn see_pin(&mut self, message: &Message) {
        if self.share.order != Order::PerKey {
            return;
        }
        let pin = message.headers.as_ref();
        let pin = pin.and_then(|headers| headers.get_last(NATS_PIN_ID));
        let pin = pin.map(HeaderValue::as_str);
        if pin.is_some() && pin != self.pin.as_deref() {
            tracing::info!(
                consumer = %self.consumer,
                "this member is given the topic"
            );
            self.pin = pin.map(str::to_owned);
            self.share.owner.store(true, Ordering::Release);
            self.share.ledger().gather();
        }
    }

    /// Another member is given the topic, or will be: it gets what nobody has in hand here. What is in hand
    /// stays, and is waited for there.
    async fn unpinned(&mut self) {
        if self.pin.take().is_none() {
            return;
        }
        tracing::info!(
            consumer = %self.consumer,
            "this member is no longer given the topic"
        );
        self.share.owner.store(false, Ordering::Release);
        let replies = {
            let mut ledger = self.share.ledger();
            ledger.gather();
            ledger.release_waiting()
        };
        self.say_all(replies, &NOT_DONE).await;
    }

    /// Asks how far JetStream is, and whether all that it gave out is here.
    async fn gather(&mut self) {
        let progress = match self.consumer.progress().await {
            Ok(progress) => progress,
            Err(error) => return self.share.bell.report(error),
        };
        if progress.pinned != self.pin {
            self.unpinned().await;
            return;
        }
        let mut ledger = self.share.ledger();
        ledger.compare(progress.delivered, progress.pending);
        self.missing = 0;
        if ledger.is_gathering() {
            self.missing = progress.pending.saturating_sub(ledger.len());
        } else {
            self.share.bell.ring();
        }
    }

    /// What is due now and then.
    async fn tick(&mut self) {
        if !self.share.link.is_connected() {
            return;
        }
        if self.is_gathering() {
            self.gather().await;
        }
        if self.heard.elapsed() > self.expiry() * 3 {
            // Each request is answered when it ends: these were lost.
            self.share.requested.store(0, Ordering::Release);
            self.heard = Instant::now();
        }
        if self.broken {
            self.mend().await;
        }
        let lease = self.share.link.options.lease;
        if self.extended.elapsed() >= lease / 4 {
            self.extended = Instant::now();
            match self.share.order {
                Order::PerKey => {
                    let replies = self.share.ledger().replies();
                    self.say_all(replies, &IN_PROGRESS).await;
                }
                Order::None => self.share.ledger().expire(lease, Instant::now()),
            }
        }
    }

    /// Makes the consumer again.
    async fn mend(&mut self) {
        match self.consumer.make().await {
            Ok(()) => {
                self.broken = false;
                self.share.requested.store(0, Ordering::Release);
                self.share.ledger().gather();
            }
            Err(error) => self.share.bell.report(error),
        }
    }

    /// Stops asking, gives everything back in the order of the stream, then lets another member in.
    async fn leave(&mut self) {
        self.share.left.store(true, Ordering::Release);
        // Unsubscribed first, or the server would give it all to us again.
        let _ = self.messages.unsubscribe().await;
        let replies = self.share.ledger().release_all();
        self.say_all(replies, &NOT_DONE).await;
        let left = async {
            if self.pin.is_some() {
                self.consumer.unpin().await?;
            }
            let flushed = self.share.link.client.flush().await;
            flushed.map_err(|error| BrokerError::Unreachable(Arc::new(error)))
        };
        let left = tokio::time::timeout(self.share.link.options.timeout, left).await;
        if !matches!(left, Ok(Ok(()))) {
            tracing::warn!(
                consumer = %self.consumer,
                "could not say that this member leaves; others get its messages when their leases end"
            );
        }
        self.share.bell.ring();
    }

    async fn say_all(&self, replies: Vec<Subject>, what: &Bytes) {
        for reply in replies {
            self.say(reply, what.clone()).await;
        }
    }

    /// Where it is not heard the lease ends, and the message is given again.
    async fn say(&self, reply: Subject, what: Bytes) {
        if let Err(error) = self.share.link.client.publish(reply, what).await {
            tracing::debug!(%error, "could not answer for a message");
        }
    }
}

/// Returns when the broker is closed.
async fn closed(closing: &mut watch::Receiver<bool>) {
    let _ = closing.wait_for(|closing| *closing).await;
}
