//! What is measured: each row is the same work for everybody.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::time::MissedTickBehavior;

use crate::contender::Contender;
use crate::griot::Griot;
use crate::meter::{Meter, microseconds, p99, record};
use crate::sample::Order;
use crate::{BACKLOG, BATCH, CUSTOMERS, LANES, PUBLISHERS, ROUND};

/// How many messages of a second are published to see how long each takes to its handler.
const PACED_PER_SECOND: u32 = 500;
/// How many of them there are.
const PACED: u64 = 1_000;
/// Messages that handlers of 5 ms are given one at a time.
const SLOW_ALONE: u64 = 200;
/// Messages that they are given on all lanes.
pub const SLOW: u64 = LANES * 100;

/// What a row gives: messages per second, and milliseconds that 99 of 100 did not exceed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Measured {
    pub rate: Option<f64>,
    pub p99: Option<f64>,
}

/// Many publishers, each of which awaits a message's confirm before its next message.
pub async fn publish(contender: Arc<dyn Contender>, topic: &str) -> Measured {
    let ids = Arc::new(AtomicU64::new(0));
    let begun = Instant::now();
    let publishers: Vec<_> = (0..PUBLISHERS as u64)
        .map(|publisher| {
            let (contender, ids) = (Arc::clone(&contender), Arc::clone(&ids));
            let topic = topic.to_owned();
            tokio::spawn(async move {
                let mut took = microseconds();
                let mut id = publisher;
                while begun.elapsed() < ROUND {
                    let asked = Instant::now();
                    let order = Order::new(id, CUSTOMERS);
                    contender.publish(&topic, vec![order]).await;
                    record(&mut took, asked.elapsed());
                    id += PUBLISHERS as u64;
                    ids.fetch_add(1, Ordering::Relaxed);
                }
                took
            })
        })
        .collect();
    let mut took = microseconds();
    for publisher in publishers {
        took.add(publisher.await.unwrap()).unwrap();
    }
    Measured {
        rate: Some(ids.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64()),
        p99: Some(p99(&took)),
    }
}

/// One publisher that gives many at once, and awaits all their confirms.
pub async fn publish_batches(contender: &dyn Contender, topic: &str) -> Measured {
    let begun = Instant::now();
    let mut took = microseconds();
    let mut id = 0;
    while begun.elapsed() < ROUND {
        let asked = Instant::now();
        let orders = (id..id + BATCH).map(|id| Order::new(id, CUSTOMERS));
        contender.publish(topic, orders.collect()).await;
        record(&mut took, asked.elapsed());
        id += BATCH;
    }
    Measured {
        rate: Some(id as f64 / begun.elapsed().as_secs_f64()),
        p99: Some(p99(&took)),
    }
}

/// Publishes what is consumed later.
pub async fn fill(contender: &dyn Contender, topic: &str, count: u64, customers: u64) {
    let mut id = 0;
    while id < count {
        let orders = (id..count.min(id + BATCH)).map(|id| Order::new(id, customers));
        contender.publish(topic, orders.collect()).await;
        id += BATCH;
    }
}

/// A group that is new reads all that lies there.
pub async fn consume(contender: &dyn Contender, topic: &str, group: String) -> Measured {
    let meter = Arc::new(Meter::new(BACKLOG));
    let end = contender.consume(topic, group, Arc::clone(&meter)).await;
    meter.done().await;
    end().await;
    Measured {
        rate: Some(meter.rate()),
        p99: None,
    }
}

/// From before a message is published until it is handled, at a rate that everybody keeps up with.
/// One message lies in the topic before.
pub async fn pass(contender: Arc<dyn Contender>, topic: &str, group: String) -> Measured {
    let meter = Arc::new(Meter::of_ages(1 + PACED));
    let end = contender.consume(topic, group, Arc::clone(&meter)).await;
    meter.begun().await;
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / PACED_PER_SECOND);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for id in 0..PACED {
        ticks.tick().await;
        let (contender, topic) = (Arc::clone(&contender), topic.to_owned());
        tokio::spawn(async move {
            let order = Order::new(id, CUSTOMERS);
            contender.publish(&topic, vec![order]).await;
        });
    }
    meter.done().await;
    end().await;
    Measured {
        rate: None,
        p99: Some(meter.age_p99()),
    }
}

/// Handlers that take 5 ms: on as many lanes as there are keys, and one at a time.
pub async fn lanes(griot: &Griot, topic: &str, group: &str) -> (f64, f64) {
    let mut rates = [0.0, 0.0];
    let ways = [(usize::try_from(LANES).unwrap(), SLOW), (1, SLOW_ALONE)];
    for (rate, (handlers_max, count)) in rates.iter_mut().zip(ways) {
        let meter = Arc::new(Meter::new(count));
        let group = format!("{group}-{handlers_max}");
        let end = griot.consume_slowly(topic, group, handlers_max, Arc::clone(&meter));
        let end = end.await;
        meter.done().await;
        end().await;
        *rate = meter.rate();
    }
    (rates[0], rates[1])
}
