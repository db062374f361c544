//! What is done with what a server says over one connection.

use std::collections::HashMap;

use bytes::Bytes;
use griot_events::{BrokerError, Delivery};
use tokio::sync::oneshot;
use tokio_tungstenite::tungstenite::{self, Message};

use crate::frame::Heard;
use crate::inbox::{Given, Inbox};
use crate::link::{Asker, Joining};
use crate::source::RemoteReceipt;
use crate::wire::{Outcome, Reply, Say};

/// Gives answers to those who wait for them, and messages to the inbox.
pub(crate) struct Hearing<'a> {
    pub(crate) joining: Option<&'a Joining>,
    /// Of this connection.
    pub(crate) asker: Asker,
    /// Dropped unanswered, those who wait hear that the connection was lost.
    pub(crate) pending: HashMap<u64, oneshot::Sender<Result<Vec<Outcome>, BrokerError>>>,
}

impl Hearing<'_> {
    /// An error is why the connection is lost.
    pub(crate) fn hear(
        &mut self,
        heard: Option<Result<Message, tungstenite::Error>>,
    ) -> Result<(), String> {
        match heard.map(|heard| heard.map(Heard::from)) {
            Some(Ok(Heard::Data(frame))) => self.take(frame),
            Some(Ok(Heard::Sign)) => Ok(()),
            Some(Ok(Heard::Text)) => Err("it sent text".to_owned()),
            Some(Ok(Heard::Closed(reason))) => Err(format!("the server hung up: {reason}")),
            Some(Err(error)) => Err(error.to_string()),
            None => Err("the server hung up".to_owned()),
        }
    }

    fn take(&mut self, frame: Bytes) -> Result<(), String> {
        match (Reply::read(frame)?, self.joining) {
            (Some(Say::Answer(answer)), _) => {
                if let Some(waiting) = self.pending.remove(&answer.number) {
                    // Who does not wait any more does not need it.
                    let _ = waiting.send(Ok(answer.outcomes));
                }
                Ok(())
            }
            (Some(Say::Delivery(delivered)), Some(Joining { inbox, .. })) => {
                let receipt = RemoteReceipt::new(self.asker.clone(), delivered.delivery);
                let receipt = Box::new(receipt);
                let event = delivered.into_event();
                put(inbox, Given::Message(Delivery { event, receipt }))
            }
            (Some(Say::Revoked(revoked)), Some(Joining { inbox, .. })) => {
                let number = revoked.number;
                let asker = self.asker.clone();
                put(
                    inbox,
                    Given::Revoked(revoked.into_partitions(), number, asker),
                )
            }
            (Some(Say::Trouble(outcome)), Some(Joining { inbox, .. })) => {
                if let Err(error) = outcome.into_result("the source") {
                    inbox.complain(error);
                }
                Ok(())
            }
            // What a later server says beside that.
            _ => Ok(()),
        }
    }
}

fn put(inbox: &Inbox, given: Given) -> Result<(), String> {
    let put = inbox.put(given);
    put.then_some(())
        .ok_or_else(|| "the server sent more than was asked for".to_owned())
}
