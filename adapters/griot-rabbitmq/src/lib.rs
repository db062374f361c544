//! RabbitMQ as a broker of griot.
//!
//! [`RabbitBroker`] keeps the contract of `griot-events` over AMQP 0-9-1. It is not a client for RabbitMQ
//! at large: it publishes, subscribes and settles messages, and makes the exchange, the streams and the
//! quorum queues that takes. How it does so, and what each setting costs, stands in the README of this
//! crate.
//!
//! ```no_run
//! use griot_events::{Broker, Incoming, Order, Publication, Subscription};
//! use griot_rabbitmq::RabbitBroker;
//!
//! # async fn example() -> Result<(), griot_events::BrokerError> {
//! let broker = RabbitBroker::connect("amqp://ann:secret@127.0.0.1:5672").await?;
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
mod cursor;
mod fault;
mod feed;
mod ledger;
mod link;
mod logs;
mod names;
mod options;
mod place;
mod publisher;
mod reading;
mod repeats;
mod source;
mod wire;
mod words;

pub use broker::RabbitBroker;
pub use options::{Login, RabbitOptions, Security};
pub use wire::KEY;
