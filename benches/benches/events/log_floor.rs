//! The floor of the embedded broker: its log alone. No groups, no acknowledgements, no order of keys.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use griot_core::{EntityId, Epoch, Offset, Seq, Timestamp};
use griot_events::BoxFuture;
use griot_journal::{
    Answer, Append, Batch, EmbeddedLog, EventRecord, Filter, Journal, Options, ShardId,
};
use uuid::Uuid;

use crate::PUBLISHERS;
use crate::contender::{Contender, End, Role};
use crate::meter::Shared;
use crate::sample::Order;

/// Events that are read at a time.
const PAGE: usize = 1_024;

#[derive(Debug)]
pub struct LogFloor {
    directory: PathBuf,
    topics: Mutex<HashMap<String, Arc<Topic>>>,
}

/// A log of its own for each topic, and in it an entity for each publisher.
#[derive(Debug)]
struct Topic {
    log: EmbeddedLog,
    shard: ShardId,
    epoch: Epoch,
    seqs: Vec<AtomicU64>,
}

impl LogFloor {
    pub fn new(directory: PathBuf) -> Self {
        Self {
            directory,
            topics: Mutex::default(),
        }
    }

    async fn topic(&self, name: &str) -> Arc<Topic> {
        if let Some(topic) = self.topics.lock().unwrap().get(name) {
            return Arc::clone(topic);
        }
        let log = EmbeddedLog::open(self.directory.join(name), Options::default()).unwrap();
        let shard = ShardId {
            kind: "bench".into(),
            number: 0,
        };
        let topic = Arc::new(Topic {
            epoch: log.claim(&shard).await.unwrap(),
            log,
            shard,
            seqs: (0..PUBLISHERS).map(|_| AtomicU64::new(0)).collect(),
        });
        let mut topics = self.topics.lock().unwrap();
        topics.insert(name.to_owned(), Arc::clone(&topic));
        topic
    }
}

impl Topic {
    fn append(&self, order: &Order) -> Append {
        let place = usize::try_from(order.id).unwrap() % PUBLISHERS;
        let seq = self.seqs[place].fetch_add(1, Ordering::Relaxed);
        Append {
            entity: EntityId::new("bench", &place.to_string()).unwrap(),
            expected: Seq(seq),
            at: Timestamp::from_system(SystemTime::now()),
            events: vec![EventRecord {
                name: "message".into(),
                version: 1,
                tags: Vec::new(),
                payload: order.to_json().into(),
            }],
            effects: Vec::new(),
            settled: Vec::new(),
            answer: Some(Answer {
                key: Uuid::now_v7().to_string(),
                fingerprint: 0,
                reply: bytes::Bytes::new(),
            }),
            metadata: vec![("key".to_owned(), order.customer.clone())],
        }
    }

    async fn read(&self, meter: Shared) {
        let mut after = Offset::ZERO;
        loop {
            let page = self.log.tail(after, &Filter::default(), PAGE).await;
            let page = page.unwrap();
            for event in &page.events {
                meter.handled(&Order::from_json(&event.event.payload));
            }
            if page.events.is_empty() {
                self.log.advanced(after).await.unwrap();
            }
            after = page.next;
        }
    }
}

impl Contender for LogFloor {
    fn name(&self) -> &'static str {
        "the log alone"
    }

    fn role(&self) -> Role {
        Role::Floor
    }

    fn publish<'a>(&'a self, topic: &'a str, orders: Vec<Order>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let topic = self.topic(topic).await;
            let batch = Batch {
                shard: topic.shard.clone(),
                epoch: topic.epoch,
                appends: orders.iter().map(|order| topic.append(order)).collect(),
            };
            topic.log.append(Arc::new(batch)).await.unwrap();
        })
    }

    fn consume<'a>(&'a self, topic: &'a str, _: String, meter: Shared) -> BoxFuture<'a, End> {
        Box::pin(async move {
            let topic = self.topic(topic).await;
            let reading = tokio::spawn(async move { topic.read(meter).await });
            let end: End = Box::new(move || {
                reading.abort();
                Box::pin(std::future::ready(()))
            });
            end
        })
    }

    fn is_apart(&self) -> bool {
        true
    }
}
