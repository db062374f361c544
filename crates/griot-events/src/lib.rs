//! Broker messages, handled like HTTP requests.
//!
//! A [`Broker`] is where messages come from and go to: it publishes [`Publication`]s and hands out
//! [`Event`]s, each with a [`Receipt`] by which it is acknowledged. This crate is not a broker
//! client: the adapters are, each behind the same contract.

mod answer;
mod broker;
mod error;
mod event;

pub use answer::Answer;
pub use broker::{
    BoxFuture, Broker, Delivery, Incoming, Order, Partition, Receipt, Source, Subscription,
};
pub use error::{BrokerError, Cause};
pub use event::{Content, EVENT_NAME, Event, Headers, MESSAGE_ID};
pub use griot_core::Publication;
