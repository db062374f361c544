//! Kafka as a broker of griot.
//!
//! [`KafkaBroker`] keeps the contract of `griot-events` over Kafka. It is not a client for Kafka at
//! large: it publishes, subscribes and settles messages, and makes the topics that takes. What each
//! setting costs stands in the README of this crate.
//!
//! ```no_run
//! use griot_events::{Broker, Incoming, Order, Publication, Subscription};
//! use griot_kafka::KafkaBroker;
//!
//! # async fn example() -> Result<(), griot_events::BrokerError> {
//! let broker = KafkaBroker::connect("kafka://127.0.0.1:9092").await?;
//! let placed = Publication {
//!     topic: "orders.placed".to_owned(),
//!     key: Some("order-1".to_owned()),
//!     headers: vec![("message-id".to_owned(), "order-1/1".to_owned())],
//!     payload: br#"{"total":1350}"#.to_vec().into(),
//! };
//! for outcome in broker.publish(vec![placed]).await {
//!     outcome?;
//! }
//! let mut source = broker
//!     .subscribe(Subscription {
//!         topics: vec!["orders.*".to_owned()],
//!         group: "mail".to_owned(),
//!         in_flight_max: 256,
//!         order: Order::PerKey,
//!     })
//!     .await?;
//! while let Some(incoming) = source.next().await {
//!     match incoming? {
//!         Incoming::Delivery(delivery) => {
//!             println!("{:?}", delivery.event.payload());
//!             delivery.receipt.ack().await?;
//!         }
//!         // Nothing is under way here when the next is asked for.
//!         Incoming::Revoked { released, .. } => drop(released.send(())),
//!     }
//! }
//! # Ok(())
//! # }
//! ```

mod broker;
mod config;
mod context;
mod fault;
mod ledger;
mod member;
mod names;
mod options;
mod progress;
mod publisher;
mod seen;
mod slice;
mod source;
mod topics;
mod wire;

pub use broker::KafkaBroker;
pub use options::{KafkaOptions, Login, Mechanism, Tls, Token, TokenSource};
