//! The broker of a running griot server, from another process.
//!
//! Two halves of one crate. [`serve`] makes a route by which a server offers its broker, whichever it
//! is, to others; [`RemoteBroker`] keeps the contract of `griot-events` over that route. It is not a
//! broker of its own: nothing is stored here. What each limit means stands in the README of this crate.
//!
//! ```
//! # let runtime = tokio::runtime::Runtime::new().unwrap();
//! # runtime.block_on(async {
//! use std::sync::Arc;
//!
//! use griot_events::embedded::{EmbeddedBroker, EmbeddedOptions};
//! use griot_events::{Broker, Incoming, Message, Order, Producer, Subscription};
//! use griot_journal::MemoryJournal;
//! use griot_remote::RemoteBroker;
//!
//! // In the server:
//! let journal = Arc::new(MemoryJournal::new());
//! let broker = EmbeddedBroker::open(journal, EmbeddedOptions::default()).await?;
//! let routes = griot_remote::serve(Arc::new(broker));
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! let url = format!("http://{}", listener.local_addr()?);
//! tokio::spawn(async move { axum::serve(listener, routes).await });
//!
//! // In another process:
//! let broker = Arc::new(RemoteBroker::connect(&url).await?);
//! let producer = Producer::new(broker.clone());
//! producer.publish(Message::json("orders", &"a chair")?.key("CUST-001")).await?;
//! let mut source = broker
//!     .subscribe(Subscription {
//!         topics: vec!["orders".to_owned()],
//!         group: "mail".to_owned(),
//!         in_flight_max: 256,
//!         order: Order::PerKey,
//!     })
//!     .await?;
//! if let Some(Ok(Incoming::Delivery(delivery))) = source.next().await {
//!     assert_eq!(&delivery.event.payload()[..], br#""a chair""#);
//!     delivery.receipt.ack().await?;
//! }
//! broker.close().await;
//! # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
//! ```

mod broker;
mod conversation;
mod dial;
mod frame;
mod hearing;
mod inbox;
mod limits;
mod link;
mod options;
mod origin;
mod publisher;
mod route;
mod seat;
mod source;
mod wire;

pub use broker::RemoteBroker;
pub use limits::{
    ANSWERS_WAITING_MAX, BATCH_MAX, DELIVERY_BYTES_MAX, HEADERS_MAX, Limits, MESSAGE_BYTES_MAX,
    PUBLISHING_BYTES_MAX, PUBLISHING_MAX, TOPICS_MAX,
};
pub use options::RemoteOptions;
pub use route::{serve, serve_with};
pub use wire::VERSION;
