//! A log that is being read.

use griot_events::BrokerError;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Consumer};

use crate::fault;
use crate::link::Link;

/// What to call this in errors.
const WHAT: &str = "the log of a topic";

/// A log that is being read, on a channel of its own.
///
/// What is acknowledged to a log is not gone from it: it says that more may come.
pub(crate) struct Reading {
    channel: Channel,
    pub(crate) messages: Consumer,
    /// The last message that came, and the last for which more was asked.
    came: u64,
    asked: u64,
}

impl Reading {
    /// Begins at an offset, or at the oldest message where that is gone. No more than `ahead` messages
    /// come before more is asked for.
    pub(crate) async fn begin(
        link: &Link,
        log: &str,
        offset: u64,
        ahead: usize,
    ) -> Result<Self, BrokerError> {
        let begun = async {
            let channel = link.channel(WHAT).await?;
            let begun = consume(&channel, log, offset, ahead).await;
            let messages = begun.map_err(|error| fault::of(WHAT, error))?;
            Ok(Self {
                channel,
                messages,
                came: 0,
                asked: 0,
            })
        };
        link.answer(WHAT, begun).await?
    }

    /// A message came.
    pub(crate) fn note(&mut self, message: &Delivery) {
        self.came = message.delivery_tag;
    }

    /// There is room for more than has come.
    pub(crate) async fn ask_for_more(&mut self) {
        if self.came > self.asked {
            self.asked = self.came;
            let all = BasicAckOptions { multiple: true };
            // Where the channel is gone the messages say so, too.
            let _ = self.channel.basic_ack(self.came, all).await;
        }
    }
}

async fn consume(
    channel: &Channel,
    log: &str,
    offset: u64,
    ahead: usize,
) -> lapin::Result<Consumer> {
    let ahead = u16::try_from(ahead).unwrap_or(u16::MAX);
    channel.basic_qos(ahead, BasicQosOptions::default()).await?;
    let mut arguments = FieldTable::default();
    let offset = i64::try_from(offset).unwrap_or(i64::MAX);
    arguments.insert("x-stream-offset".into(), AMQPValue::LongLongInt(offset));
    let options = BasicConsumeOptions::default();
    channel
        .basic_consume(log.into(), "".into(), options, arguments)
        .await
}
