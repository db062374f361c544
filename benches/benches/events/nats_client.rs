//! The floor of NATS: async-nats as its guide has it, as safe as we are.

use async_nats::HeaderMap;
use async_nats::header::NATS_MESSAGE_ID;
use async_nats::jetstream::consumer::pull::{Config, Stream};
use async_nats::jetstream::consumer::{AckPolicy, PullConsumer};
use async_nats::jetstream::{self, Context};
use futures_util::StreamExt;
use griot_events::BoxFuture;
use ruststream_nats::PARTITION_KEY_HEADER;
use uuid::Uuid;

use crate::CONSUMED_IN_FLIGHT;
use crate::contender::{Contender, End, Role};
use crate::meter::Shared;
use crate::sample::Order;

#[derive(Debug)]
pub struct NatsClient {
    context: Context,
}

impl NatsClient {
    pub async fn connect(url: &str) -> Self {
        let client = async_nats::connect(url).await.unwrap();
        Self {
            context: jetstream::new(client),
        }
    }

    /// The stream that holds a topic; griot made it.
    pub async fn stream_of(&self, topic: &str) -> String {
        self.context.stream_by_subject(topic).await.unwrap()
    }

    async fn messages(&self, topic: &str, group: String) -> Stream {
        let stream = self.stream_of(topic).await;
        let config = Config {
            durable_name: Some(group),
            filter_subject: topic.to_owned(),
            ack_policy: AckPolicy::Explicit,
            max_ack_pending: i64::try_from(CONSUMED_IN_FLIGHT).unwrap(),
            ..Config::default()
        };
        let consumer = self.context.create_consumer_on_stream(config, stream);
        let consumer: PullConsumer = consumer.await.unwrap();
        let stream = consumer.stream().max_messages_per_batch(CONSUMED_IN_FLIGHT);
        stream.messages().await.unwrap()
    }
}

impl Contender for NatsClient {
    fn name(&self) -> &'static str {
        "async-nats"
    }

    fn role(&self) -> Role {
        Role::Client
    }

    fn publish<'a>(&'a self, topic: &'a str, orders: Vec<Order>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let mut confirms = Vec::with_capacity(orders.len());
            for order in orders {
                let mut headers = HeaderMap::new();
                headers.insert(NATS_MESSAGE_ID, Uuid::now_v7().to_string());
                headers.insert(PARTITION_KEY_HEADER, order.customer.as_str());
                let payload = order.to_json().into();
                let sent = self
                    .context
                    .publish_with_headers(topic.to_owned(), headers, payload);
                confirms.push(sent.await.unwrap());
            }
            for confirm in confirms {
                confirm.await.unwrap();
            }
        })
    }

    fn consume<'a>(&'a self, topic: &'a str, group: String, meter: Shared) -> BoxFuture<'a, End> {
        Box::pin(async move {
            let mut messages = self.messages(topic, group).await;
            let reading = tokio::spawn(async move {
                while let Some(message) = messages.next().await {
                    let message = message.unwrap();
                    meter.handled(&Order::from_json(&message.payload));
                    message.ack().await.unwrap();
                }
            });
            let end: End = Box::new(move || {
                reading.abort();
                Box::pin(std::future::ready(()))
            });
            end
        })
    }

    fn forget<'a>(&'a self, topic: &'a str) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            if let Ok(stream) = self.context.stream_by_subject(topic).await {
                self.context.delete_stream(stream).await.unwrap();
            }
        })
    }
}
