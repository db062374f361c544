//! `RustStream` on NATS: a durable consumer of JetStream, one message at a time, as its guide has it.

use griot_events::BoxFuture;
use ruststream::runtime::{AppInfo, RustStream, subscriber};
use ruststream_nats::prelude::*;
use ruststream_nats::{JetStreamPublisher, PARTITION_KEY_HEADER};
use uuid::Uuid;

use crate::CONSUMED_IN_FLIGHT;
use crate::contender::{Contender, End, Role};
use crate::meter::Shared;
use crate::nats_client::NatsClient;
use crate::sample::Order;

pub struct RustStreamPeer {
    url: String,
    client: NatsClient,
    publisher: JetStreamPublisher,
}

impl RustStreamPeer {
    pub async fn connect(url: &str) -> Self {
        let connected = NatsBroker::new(url).connect().await.unwrap();
        let publisher = connected.publisher(JetStreamPublish::default());
        // It would close its connection.
        std::mem::forget(connected);
        Self {
            url: url.to_owned(),
            client: NatsClient::connect(url).await,
            publisher,
        }
    }
}

struct Quick(Shared);

impl Handle<Order> for Quick {
    async fn handle(
        &self,
        order: &Order,
        (): &(),
        _: &mut Context<'_>,
    ) -> Result<(), HandlerOutcome> {
        self.0.handled(order);
        Ok(())
    }
}

impl Contender for RustStreamPeer {
    fn name(&self) -> &'static str {
        "RustStream"
    }

    fn role(&self) -> Role {
        Role::Peer
    }

    fn publish<'a>(&'a self, topic: &'a str, orders: Vec<Order>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            for order in orders {
                let mut headers = HeaderMap::new();
                headers.insert(PARTITION_KEY_HEADER, order.customer.clone());
                let message = self.publisher.message(&order).to(topic);
                let message = message
                    .with_headers(headers)
                    .message_id(Uuid::now_v7().to_string());
                message.publish().await.unwrap();
            }
        })
    }

    fn consume<'a>(&'a self, topic: &'a str, group: String, meter: Shared) -> BoxFuture<'a, End> {
        Box::pin(async move {
            let stream = self.client.stream_of(topic).await;
            let subject = JetStreamSubject::new(topic, stream)
                .durable(group)
                .max_ack_pending(i64::try_from(CONSUMED_IN_FLIGHT).unwrap());
            let app = RustStream::new(AppInfo::new("bench", "0.1.0"));
            let app = app.with_broker(NatsBroker::new(self.url.as_str()), |broker| {
                broker.include(subscriber(subject, Quick(meter)).build());
            });
            let running = app.start().await.unwrap();
            let end: End =
                Box::new(move || Box::pin(async move { running.shutdown().await.unwrap() }));
            end
        })
    }

    fn has_batches(&self) -> bool {
        false
    }
}
