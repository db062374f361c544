//! Broker messages, handled like HTTP requests.
//!
//! A [`Broker`] is where messages come from and go to: it publishes [`Publication`]s and hands out
//! [`Event`]s, each with a [`Receipt`] by which it is acknowledged. A [`Consumer`] gives them to a
//! service, a [`Producer`] publishes. This crate is not a broker client: the adapters are, each
//! behind the same contract; the broker [`embedded`] in the program is here.
//!
//! A [`Router`] has a [`Handler`] for each topic: a plain async function of [extractors](FromEvent)
//! that gives an [answer](IntoAnswer). [Layers](layer) around it see to the rest: retries, dead
//! letters, traces, metrics.
//!
//! ```
//! use griot_events::layer::DefaultStack;
//! use griot_events::{Answer, DeadLetter, Event, Failure, Json, Key, Publication, Router, State};
//! # use griot_events::{Content, Headers, Partition};
//! use serde::{Deserialize, Serialize};
//! use tower::Service;
//!
//! #[derive(Deserialize)]
//! struct OrderPlaced { total: u64 }
//!
//! #[derive(Serialize)]
//! struct BillSent { order: u64, amount: u64 }
//!
//! #[derive(Clone)]
//! struct Taxes { percent: u64 }
//!
//! async fn bill(
//!     State(taxes): State<Taxes>,
//!     Key(order): Key<u64>,
//!     Json(placed): Json<OrderPlaced>,
//! ) -> Result<Publication, Failure> {
//!     let amount = placed.total.checked_mul(100 + taxes.percent).ok_or(DeadLetter("too much"))? / 100;
//!     // An error of anything else would be a reason to try again: `print(&bill).await?`
//!     let sent = Json(BillSent { order, amount }).publication("bills")?;
//!     Ok(Publication { key: Some(order.to_string()), ..sent })
//! }
//!
//! async fn not_needed() {}
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let mut router: Router = Router::new()
//!     .on_event("orders", "OrderPlaced", bill)
//!     .on("orders", not_needed)
//!     .layer(DefaultStack::default())
//!     .with_state(Taxes { percent: 20 });
//! assert_eq!(router.topics(), ["orders"]); // what to subscribe to
//!
//! # let event = |payload: &'static str| Event::new(Content {
//! #     topic: "orders".to_owned(),
//! #     key: Some("7".into()),
//! #     headers: Headers::from_iter([("event-name", "OrderPlaced")]),
//! #     payload: payload.into(),
//! #     partition: Partition(0),
//! #     offset: 3,
//! #     published_at: None,
//! #     redelivered: 0,
//! # });
//! // `event` makes an `OrderPlaced` of the key `7` in the topic `orders`.
//! let Ok(Answer::Publish(out)) = router.call(event(r#"{"total": 50}"#)).await else { panic!() };
//! assert_eq!((&*out[0].topic, &out[0].payload[..]), ("bills", &br#"{"order":7,"amount":60}"#[..]));
//!
//! let Ok(Answer::Publish(out)) = router.call(event(r#"{"total": "50"}"#)).await else { panic!() };
//! assert_eq!((&*out[0].topic, &out[0].payload[..]), ("orders.dead", &br#"{"total": "50"}"#[..]));
//! # }
//! ```

pub mod adapter;
mod answer;
mod broker;
mod consumer;
mod dead_letter;
pub mod embedded;
mod error;
mod event;
mod extract;
mod handler;
pub mod layer;
mod producer;
mod router;

pub use answer::Answer;
pub use broker::{
    BoxFuture, Broker, Delivery, Incoming, Order, Partition, Receipt, Source, Subscription,
};
pub use consumer::{Consumer, ConsumerLimits, Consuming};
pub use dead_letter::{
    DEAD_LETTER_ATTEMPTS, DEAD_LETTER_KEY, DEAD_LETTER_MESSAGE_ID, DEAD_LETTER_OFFSET,
    DEAD_LETTER_PARTITION, DEAD_LETTER_REASON, DEAD_LETTER_REDELIVERED, DEAD_LETTER_TOPIC,
    dead_letter, dead_letter_topic,
};
pub use error::{BrokerError, Cause};
pub use event::{Content, EVENT_NAME, Event, Headers, MESSAGE_ID};
#[cfg(feature = "protobuf")]
pub use extract::Protobuf;
pub use extract::{
    Attempt, FromBatch, FromEvent, FromRef, Header, Json, Key, NamedHeader, OptionalFromEvent,
    State, Topic,
};
pub use griot_core::Publication;
pub use handler::{BatchHandler, DeadLetter, Failure, Handler, IntoAnswer, Retry};
pub use producer::{Message, Producer};
pub use router::{Batch, Route, Router};
