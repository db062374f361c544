//! The floor of RabbitMQ: lapin as its examples have it, on the same streams as ours.

use futures_util::StreamExt;
use griot_events::BoxFuture;
use griot_rabbitmq::KEY;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions,
    ConfirmSelectOptions, QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use uuid::Uuid;

use crate::CONSUMED_IN_FLIGHT;
use crate::contender::{Contender, End, Role};
use crate::meter::Shared;
use crate::sample::Order;

/// "Keep it on disk", as AMQP spells it.
const PERSISTENT: u8 = 2;

pub struct RabbitClient {
    connection: Connection,
    publishing: Channel,
}

impl RabbitClient {
    pub async fn connect(url: &str) -> Self {
        let connection = Connection::connect(url, ConnectionProperties::default());
        let connection = connection.await.unwrap();
        let publishing = connection.create_channel().await.unwrap();
        let confirms = publishing.confirm_select(ConfirmSelectOptions::default());
        confirms.await.unwrap();
        Self {
            connection,
            publishing,
        }
    }
}

impl Contender for RabbitClient {
    fn name(&self) -> &'static str {
        "lapin"
    }

    fn role(&self) -> Role {
        Role::Client
    }

    fn publish<'a>(&'a self, topic: &'a str, orders: Vec<Order>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let mut confirms = Vec::with_capacity(orders.len());
            for order in orders {
                let mut headers = FieldTable::default();
                let key = AMQPValue::LongString(order.customer.as_str().into());
                headers.insert(KEY.into(), key);
                let properties = BasicProperties::default()
                    .with_delivery_mode(PERSISTENT)
                    .with_message_id(Uuid::now_v7().to_string().into())
                    .with_headers(headers);
                let options = BasicPublishOptions {
                    mandatory: true,
                    ..BasicPublishOptions::default()
                };
                let payload = order.to_json();
                let sent = self.publishing.basic_publish(
                    "griot".into(),
                    topic.into(),
                    options,
                    &payload,
                    properties,
                );
                confirms.push(sent.await.unwrap());
            }
            for confirm in confirms {
                assert!(confirm.await.unwrap().is_ack());
            }
        })
    }

    fn consume<'a>(&'a self, topic: &'a str, _: String, meter: Shared) -> BoxFuture<'a, End> {
        Box::pin(async move {
            let channel = self.connection.create_channel().await.unwrap();
            let ahead = u16::try_from(CONSUMED_IN_FLIGHT).unwrap();
            let limited = channel.basic_qos(ahead, BasicQosOptions::default());
            limited.await.unwrap();
            let word = topic.split('.').next().unwrap();
            let mut arguments = FieldTable::default();
            let first = AMQPValue::LongString("first".into());
            arguments.insert("x-stream-offset".into(), first);
            let deliveries = channel.basic_consume(
                format!("griot.log.{word}").as_str().into(),
                "".into(),
                BasicConsumeOptions::default(),
                arguments,
            );
            let mut deliveries = deliveries.await.unwrap();
            let topic = topic.to_owned();
            let reading = tokio::spawn(async move {
                while let Some(delivery) = deliveries.next().await {
                    let delivery = delivery.unwrap();
                    // A stream holds all topics that begin with one word.
                    if delivery.routing_key.as_str() == topic {
                        meter.handled(&Order::from_json(&delivery.data));
                    }
                    delivery.ack(BasicAckOptions::default()).await.unwrap();
                }
            });
            let end: End = Box::new(move || {
                Box::pin(async move {
                    reading.abort();
                    channel.close(200, "done".into()).await.unwrap();
                })
            });
            end
        })
    }

    fn forget<'a>(&'a self, topic: &'a str) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let word = topic.split('.').next().unwrap();
            let log = format!("griot.log.{word}");
            let options = QueueDeleteOptions::default();
            let deleted = self.publishing.queue_delete(log.as_str().into(), options);
            deleted.await.unwrap();
        })
    }
}
