//! Broker messages, handled like HTTP requests.
//!
//! A [`Broker`] is where messages come from and go to: it publishes [`Publication`]s and hands out
//! [`Event`]s, each with a [`Receipt`] by which it is acknowledged. A [`Consumer`] gives them to a
//! service, a [`Producer`] publishes. This crate is not a broker client: the adapters are, each
//! behind the same contract; the broker [`embedded`] in the program is here.

mod answer;
mod broker;
mod consumer;
mod dead_letter;
pub mod embedded;
mod error;
mod event;
mod producer;

pub use answer::Answer;
pub use broker::{
    BoxFuture, Broker, Delivery, Incoming, Order, Partition, Receipt, Source, Subscription,
};
pub use consumer::{Consumer, ConsumerLimits, Consuming};
pub use dead_letter::{
    DEAD_LETTER_ATTEMPTS, DEAD_LETTER_MESSAGE_ID, DEAD_LETTER_OFFSET, DEAD_LETTER_PARTITION,
    DEAD_LETTER_REASON, DEAD_LETTER_TOPIC, dead_letter, dead_letter_topic,
};
pub use error::{BrokerError, Cause};
pub use event::{Content, EVENT_NAME, Event, Headers, MESSAGE_ID};
pub use griot_core::Publication;
pub use producer::{Message, Producer};
