//! Ours: a producer, and a consumer whose router has the default layers on, on any broker.

use std::sync::Arc;
use std::time::Duration;

use griot_events::layer::DefaultStack;
use griot_events::{
    BoxFuture, Broker, Consumer, ConsumerLimits, Json, Message, Order as Ordering, Producer,
    Router, State, Subscription,
};

use crate::CONSUMED_IN_FLIGHT;
use crate::contender::{Contender, End, Role};
use crate::meter::Shared;
use crate::sample::Order;

#[derive(Debug)]
pub struct Griot {
    broker: Arc<dyn Broker>,
    producer: Producer,
}

impl Griot {
    pub fn new(broker: Arc<dyn Broker>) -> Self {
        Self {
            producer: Producer::new(Arc::clone(&broker)),
            broker,
        }
    }

    async fn begin(
        &self,
        topic: &str,
        group: String,
        router: Router,
        limits: ConsumerLimits,
    ) -> End {
        let subscription = Subscription {
            topics: vec![topic.to_owned()],
            group,
            in_flight_max: CONSUMED_IN_FLIGHT,
            order: Ordering::PerKey,
        };
        let consumer = Consumer::new(Arc::clone(&self.broker), subscription, router);
        let consuming = consumer.with_limits(limits).start().await.unwrap();
        Box::new(move || {
            Box::pin(async move {
                assert_eq!(consuming.drain(Duration::from_secs(30)).await, 0);
            })
        })
    }

    /// Consumes with a handler that takes its time, so many of them at once.
    pub async fn consume_slowly(
        &self,
        topic: &str,
        group: String,
        handlers_max: usize,
        meter: Shared,
    ) -> End {
        let router = Router::new()
            .on(topic, slow)
            .layer(DefaultStack::default())
            .with_state(meter);
        let limits = ConsumerLimits {
            handlers_max,
            ..ConsumerLimits::default()
        };
        self.begin(topic, group, router, limits).await
    }
}

async fn quick(State(meter): State<Shared>, Json(order): Json<Order>) {
    meter.handled(&order);
}

async fn slow(State(meter): State<Shared>, Json(order): Json<Order>) {
    tokio::time::sleep(Duration::from_millis(5)).await;
    meter.handled(&order);
}

impl Contender for Griot {
    fn name(&self) -> &'static str {
        "griot"
    }

    fn role(&self) -> Role {
        Role::Ours
    }

    fn publish<'a>(&'a self, topic: &'a str, orders: Vec<Order>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let messages = orders.iter().map(|order| {
                let message = Message::json(topic, order).unwrap();
                message.key(order.customer.clone())
            });
            for outcome in self.producer.publish_all(messages.collect()).await {
                outcome.unwrap();
            }
        })
    }

    fn consume<'a>(&'a self, topic: &'a str, group: String, meter: Shared) -> BoxFuture<'a, End> {
        let router = Router::new()
            .on(topic, quick)
            .layer(DefaultStack::default())
            .with_state(meter);
        Box::pin(self.begin(topic, group, router, ConsumerLimits::default()))
    }
}
