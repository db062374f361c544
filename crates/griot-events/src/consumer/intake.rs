//! The task of a consumer: takes messages in, and puts each into its lane.

use std::any::Any;
use std::collections::HashMap;
use std::convert::Infallible;
use std::hash::{BuildHasher as _, RandomState};
use std::mem;
use std::sync::Arc;

use futures_util::future::join_all;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tower::Service;

use super::Mode;
use super::gather::{Call, Gatherer, Place};
use super::lane::{Gathered, LaneId, Turn, link};
use super::unheard::Unheard;
use super::work::{Ended, Shared, Task, Work};
use super::workers::Workers;
use crate::{
    Answer, Batch, BrokerError, Delivery, Event, Incoming, Order, Partition, Router, Source,
};

/// Messages that are taken in before it looks at anything else.
const AT_ONCE: usize = 64;

pub(super) struct Intake<S> {
    pub(super) source: Box<dyn Source>,
    pub(super) service: S,
    pub(super) shared: Arc<Shared>,
    pub(super) order: Order,
    pub(super) in_flight_max: usize,
    pub(super) mode: watch::Receiver<Mode>,
    pub(super) in_flight: watch::Sender<usize>,
    /// What the next of a lane hears of the last one that is under way.
    lanes: HashMap<LaneId, Turn>,
    /// What knows which messages are gathered in batches.
    router: Option<Router>,
    /// Those who gather, by the address of their route's pattern, which the router keeps.
    gatherers: HashMap<usize, mpsc::UnboundedSender<Call>>,
    gathering: JoinSet<()>,
    /// Stops what is under way of a partition; its listeners are the messages.
    partitions: HashMap<String, HashMap<Partition, watch::Sender<bool>>>,
    /// Names the lanes.
    hashing: RandomState,
    workers: Workers<S>,
    unheard: Unheard,
    number: u64,
    /// Errors of the source since its last message, and when to ask it again.
    failures: u32,
    ask_at: Instant,
}

impl<S> Intake<S>
where
    S: Service<Event, Response = Answer, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    pub(super) fn new(
        source: Box<dyn Source>,
        service: S,
        shared: Shared,
        order: Order,
        in_flight_max: usize,
        mode: watch::Receiver<Mode>,
        in_flight: watch::Sender<usize>,
    ) -> Self {
        let router = (&service as &dyn Any).downcast_ref::<Router>().cloned();
        Self {
            source,
            service,
            shared: Arc::new(shared),
            order,
            in_flight_max,
            mode,
            in_flight,
            lanes: HashMap::new(),
            router,
            gatherers: HashMap::new(),
            gathering: JoinSet::new(),
            partitions: HashMap::new(),
            hashing: RandomState::new(),
            workers: Workers::start(),
            unheard: Unheard::default(),
            number: 0,
            failures: 0,
            ask_at: Instant::now(),
        }
    }

    /// Takes in until it is told to drain or the broker is closed; then finishes, and leaves. Says
    /// how many messages were under way at the end.
    pub(super) async fn run(mut self) -> usize {
        let end = loop {
            let mode = *self.mode.borrow_and_update();
            if let Mode::Draining(end) = mode {
                break Some(end);
            }
            let has_room = mode == Mode::Running && self.workers.under_way() < self.in_flight_max;
            let asks = self.ask_at <= Instant::now();
            let incoming = if has_room {
                self.source.next()
            } else {
                self.source.next_change()
            };
            tokio::select! {
                biased;
                changed = self.mode.changed() => if changed.is_err() { break Some(Instant::now()) },
                ended = self.workers.ended() => self.finished(ended),
                incoming = incoming, if asks => match incoming {
                    Some(incoming) => {
                        self.take(incoming);
                        self.take_more();
                    }
                    None => break None,
                },
                () = sleep_until(self.ask_at), if !asks => {}
            }
            while let Some(ended) = self.workers.ended_already() {
                self.finished(ended);
            }
            self.count();
        };
        let stopped = self.finish();
        match end {
            Some(end) => {
                // What is not done by then is left to be given again.
                let _ = timeout_at(end, stopped).await;
            }
            None => stopped.await,
        }
        self.workers.under_way()
    }

    /// Nothing new begins; waits for what is under way.
    async fn finish(&mut self) {
        for stop in self.partitions.values().flat_map(HashMap::values) {
            stop.send_replace(true);
        }
        tell_to_stop(&self.gatherers);
        while self.workers.under_way() > 0 {
            let ended = self.workers.ended().await;
            self.finished(ended);
            self.count();
        }
    }

    fn take(&mut self, incoming: Result<Incoming, BrokerError>) {
        match incoming {
            Ok(Incoming::Delivery(delivery)) => {
                self.failures = 0;
                self.begin(delivery);
            }
            Ok(Incoming::Revoked {
                partitions,
                released,
            }) => self.release(partitions, released),
            Err(error) => {
                self.shared.metrics.source_failed();
                tracing::error!(%error, group = self.shared.group, "a source failed, it is asked again");
                self.ask_at = Instant::now() + self.shared.limits.backoff.delay(self.failures);
                self.failures = self.failures.saturating_add(1);
            }
        }
    }

    /// Takes what is here already: one turn of the loop for many.
    fn take_more(&mut self) {
        for _ in 1..AT_ONCE {
            if self.workers.under_way() >= self.in_flight_max || self.failures > 0 {
                return;
            }
            let Some(incoming) = self.source.at_hand() else {
                return;
            };
            self.take(Ok(incoming));
        }
    }

    /// Puts a message at the end of its lane.
    fn begin(&mut self, delivery: Delivery) {
        let event = &delivery.event;
        self.number += 1;
        let number = self.number;
        let id = match (self.order, event.key()) {
            (Order::PerKey, Some(key)) => self.hashing.hash_one((event.topic(), key)),
            // A lane of its own.
            _ => self.hashing.hash_one(number),
        };
        let stop = self.stop_of(event);
        let task = if self.unheard.knows(event) {
            Task::Acknowledge
        } else {
            self.line_up(event, id, number)
        };
        self.workers.give(Work {
            shared: Arc::clone(&self.shared),
            service: self.service.clone(),
            delivery,
            lane: id,
            number,
            stop,
            task,
        });
    }

    /// By what a message hears that its partition goes.
    fn stop_of(&mut self, event: &Event) -> watch::Receiver<bool> {
        let (topic, (partition, _)) = (event.topic(), event.position());
        // Nearly always it is known, and then nothing is allocated.
        let known = self.partitions.get(topic);
        if let Some(stop) = known.and_then(|known| known.get(&partition)) {
            return stop.subscribe();
        }
        let topic = self.partitions.entry(topic.to_owned()).or_default();
        topic.entry(partition).or_default().subscribe()
    }

    /// Puts a message that is to be handled at the end of its lane.
    fn line_up(&mut self, event: &Event, lane: LaneId, number: u64) -> Task {
        let place = self.gatherer(event).map(|calls| Place {
            calls,
            lane,
            number,
        });
        let gathered = match &place {
            Some(_) => Gathered::InBatches,
            None => Gathered::Alone,
        };
        let (next, turn) = link(number, gathered);
        let turn = self.lanes.insert(lane, turn);
        Task::Handle { turn, next, place }
    }

    /// Who gathers this message with others, where its handler takes batches.
    fn gatherer(&mut self, event: &Event) -> Option<mpsc::UnboundedSender<Call>> {
        let (pattern, batch) = self.router.as_ref()?.handled_by(event)?;
        let batch = batch?;
        let route = Arc::as_ptr(pattern).addr();
        if let Some(calls) = self.gatherers.get(&route) {
            return Some(calls.clone());
        }
        let (calls, taken) = mpsc::unbounded_channel();
        let gatherer = Gatherer {
            shared: Arc::clone(&self.shared),
            service: self.service.clone(),
            batch: Batch {
                events_max: batch.events_max.min(self.in_flight_max),
                ..batch
            },
            calls: taken,
        };
        self.gathering.spawn(gatherer.run());
        self.gatherers.insert(route, calls.clone());
        Some(calls)
    }

    fn finished(&mut self, ended: Ended) {
        let Ended {
            lane,
            number,
            unheard,
        } = ended;
        let last = self.lanes.get(&lane);
        if last.is_some_and(|last| last.number == number) {
            self.lanes.remove(&lane);
        }
        if let Some(mark) = unheard {
            self.unheard.remember(mark);
        }
    }

    /// Stops what is under way of these partitions, and says so when it has ended.
    fn release(&mut self, partitions: Vec<(String, Partition)>, released: oneshot::Sender<()>) {
        let stops = partitions
            .iter()
            .filter_map(|(topic, partition)| self.partitions.get_mut(topic)?.remove(partition));
        let stops: Vec<_> = stops.collect();
        for stop in &stops {
            stop.send_replace(true);
        }
        tell_to_stop(&self.gatherers);
        let within = self.shared.limits.release_within;
        tokio::spawn(async move {
            let ended = join_all(stops.iter().map(watch::Sender::closed));
            if timeout(within, ended).await.is_err() {
                tracing::warn!(
                    ?partitions,
                    "handlers did not end before their partitions go: their messages may be handled twice"
                );
            }
            // The broker has gone on by itself where nobody listens.
            let _ = released.send(());
        });
    }

    fn count(&self) {
        self.in_flight.send_replace(self.workers.under_way());
        self.shared.metrics.in_flight(self.workers.under_way());
    }
}

/// Batches that are gathered look at who is to stop.
fn tell_to_stop(gatherers: &HashMap<usize, mpsc::UnboundedSender<Call>>) {
    for calls in gatherers.values() {
        // One that has ended holds nothing.
        let _ = calls.send(Call::Stop);
    }
}

impl<S> Drop for Intake<S> {
    /// What waits is left at once; what runs at its next await.
    fn drop(&mut self) {
        self.shared.metrics.in_flight(0);
        drop(mem::take(&mut self.lanes));
    }
}
