//! The floor of Kafka: rdkafka as its examples have it, with our settings.

use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::future::join_all;
use griot_events::{BoxFuture, MESSAGE_ID};
use rdkafka::consumer::{Consumer as _, StreamConsumer};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::util::Timeout;
use rdkafka::{ClientConfig, Message as _};
use uuid::Uuid;

use crate::contender::{Contender, End, Role};
use crate::meter::Shared;
use crate::sample::Order;

pub struct KafkaClient {
    servers: String,
    producer: FutureProducer,
}

impl KafkaClient {
    pub fn new(url: &str) -> Self {
        let servers = url.trim_start_matches("kafka://").to_owned();
        let producer = ClientConfig::new()
            .set("bootstrap.servers", &servers)
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("linger.ms", "1")
            .set("compression.type", "lz4")
            .create()
            .unwrap();
        Self { servers, producer }
    }

    async fn send(&self, topic: &str, order: Order) {
        let id = Uuid::now_v7().to_string();
        let headers = OwnedHeaders::new().insert(Header {
            key: MESSAGE_ID,
            value: Some(&id),
        });
        let payload = order.to_json();
        let record = FutureRecord::to(topic)
            .key(&order.customer)
            .payload(&payload)
            .headers(headers);
        self.producer.send(record, Timeout::Never).await.unwrap();
    }
}

impl Contender for KafkaClient {
    fn name(&self) -> &'static str {
        "rdkafka"
    }

    fn role(&self) -> Role {
        Role::Client
    }

    fn publish<'a>(&'a self, topic: &'a str, orders: Vec<Order>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            join_all(orders.into_iter().map(|order| self.send(topic, order))).await;
        })
    }

    /// Offsets are stored after their handler, and committed in the background.
    fn consume<'a>(&'a self, topic: &'a str, group: String, meter: Shared) -> BoxFuture<'a, End> {
        Box::pin(async move {
            let consumer: StreamConsumer = ClientConfig::new()
                .set("bootstrap.servers", &self.servers)
                .set("group.id", format!("{topic}-{group}"))
                .set("auto.offset.reset", "earliest")
                .set("enable.auto.commit", "true")
                .set("enable.auto.offset.store", "false")
                .set("queued.min.messages", "10000")
                .create()
                .unwrap();
            consumer.subscribe(&[topic]).unwrap();
            let consumer = Arc::new(consumer);
            let reading = tokio::spawn(async move {
                let mut messages = consumer.stream();
                while let Some(message) = messages.next().await {
                    let message = message.unwrap();
                    meter.handled(&Order::from_json(message.payload().unwrap()));
                    consumer.store_offset_from_message(&message).unwrap();
                }
            });
            let end: End = Box::new(move || {
                reading.abort();
                Box::pin(std::future::ready(()))
            });
            end
        })
    }
}
