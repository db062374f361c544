//! The first words of all topics there are: a stream of its own lists them, since AMQP cannot, for
//! patterns that begin with a wildcard.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::StreamExt;
use griot_events::BrokerError;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Confirmation};
use tokio::time::sleep;

use crate::fault;
use crate::link::Link;
use crate::logs;
use crate::reading::Reading;

/// What to call this in errors.
const WHAT: &str = "the list of topics";

/// The pause before the list is read anew.
const PAUSE: Duration = Duration::from_millis(100);

/// How many words are asked for at a time.
const WORDS_AHEAD: usize = 256;

/// "Keep it on disk", as AMQP spells it.
const PERSISTENT: u8 = 2;

/// Lists a word. It is listed before its log is made, so that no log is missed.
pub(crate) async fn list(link: &Link, word: &str) -> Result<(), BrokerError> {
    let words = declare(link).await?;
    let channel = link.channel(WHAT).await?;
    let failed = |error| fault::of(WHAT, error);
    let confirming = channel.confirm_select(ConfirmSelectOptions::default());
    confirming.await.map_err(failed)?;
    let mandatory = BasicPublishOptions {
        mandatory: true,
        ..BasicPublishOptions::default()
    };
    let properties = BasicProperties::default().with_delivery_mode(PERSISTENT);
    let listed = channel.basic_publish(
        "".into(),
        words.as_str().into(),
        mandatory,
        word.as_bytes(),
        properties,
    );
    match listed.await.map_err(failed)?.await.map_err(failed)? {
        Confirmation::Ack(None) => Ok(()),
        _ => Err(fault::gone(&words)),
    }
}

/// Tells of each word once, for ever.
pub(crate) async fn follow(link: &Link, mut tell: impl FnMut(String)) {
    let mut known = HashSet::new();
    while link.connected().await.is_ok() {
        let mut told = |word: String| {
            if known.insert(word.clone()) {
                tell(word);
            }
        };
        if let Err(error) = read(link, &mut told).await {
            tracing::debug!(%error, "the list of topics is read anew");
        }
        sleep(PAUSE).await;
    }
}

async fn read(link: &Link, tell: &mut impl FnMut(String)) -> Result<(), BrokerError> {
    let words = declare(link).await?;
    let mut reading = Reading::begin(link, &words, 0, WORDS_AHEAD).await?;
    while let Some(word) = reading.messages.next().await {
        let word = word.map_err(|error| fault::of(WHAT, error))?;
        reading.note(&word);
        reading.ask_for_more().await;
        if let Ok(word) = String::from_utf8(word.data) {
            tell(word);
        }
    }
    Ok(())
}

async fn declare(link: &Link) -> Result<String, BrokerError> {
    let words = format!("{}.words", link.options.exchange);
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), logs::text("stream"));
    let declared = logs::declare(link, WHAT, &words, arguments).await?;
    let refused = || logs::refused(WHAT, &words);
    declared.map(|_| words.clone()).ok_or_else(refused)
}
