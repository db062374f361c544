//! NATS JetStream as a broker of griot.
//!
//! [`NatsBroker`] keeps the contract of `griot-events` over JetStream. It is not a client for NATS at
//! large: it publishes, subscribes and settles messages, and makes the streams and consumers that takes.
//! What each setting costs stands in the README of this crate.
//!
//! ```no_run
//! use griot_events::{Broker, Incoming, Order, Publication, Subscription};
//! use griot_nats::NatsBroker;
//!
//! # async fn example() -> Result<(), griot_events::BrokerError> {
//! let broker = NatsBroker::connect("nats://127.0.0.1:4222").await?;
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
//!     if let Incoming::Delivery(delivery) = incoming? {
//!         println!("{:?}", delivery.event.payload());
//!         delivery.receipt.ack().await?;
//!     }
//! }
//! # Ok(())
//! # }
//! ```

mod broker;
mod consumer;
mod fault;
mod feed;
mod ledger;
mod link;
mod names;
mod options;
mod publisher;
mod source;
mod streams;
mod wire;

pub use broker::NatsBroker;
pub use options::{Acks, Login, NatsOptions};
pub use wire::KEY;
