//! `griot publish`: messages to a broker, from the command line or standard input.

use std::io::{BufRead, Read, stdin};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use griot::events::{Message, Producer};
use indicatif::{ProgressBar, ProgressStyle};
use serde::de::IgnoredAny;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::broker::{self, BrokerUrl};
use crate::failure::Failure;
use crate::url::UrlParser;

/// How long saying goodbye to the broker may take.
const CLOSE_MAX: Duration = Duration::from_secs(10);

/// Lines that are published together, and as many that wait behind them.
const LINES_MAX: usize = 256;

/// The longest line that is read.
const LINE_BYTES_MAX: u64 = 4 << 20;

/// Publishes JSON to a topic, and ends once the broker has it durably.
///
/// Each message gets an id of its own, by which the broker knows one that is published twice, unless
/// --id names it.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  griot publish greetings '{\"text\":\"hello\"}' --key ann --broker http://127.0.0.1:7070
  tail -f events.jsonl | griot publish events - --broker nats://127.0.0.1:4222

Exit codes: 0 the broker has all of it, 1 it could not be published, 2 a flag or the JSON is wrong.")]
pub(crate) struct Arguments {
    /// The topic
    topic: String,

    /// The message as JSON; `-` reads one message from each line of standard input
    #[arg(allow_hyphen_values = true)]
    json: String,

    /// Messages of one key keep their order
    #[arg(long, value_name = "K")]
    key: Option<String>,

    /// A header beside the message; may be given again
    #[arg(long = "header", value_name = "NAME=VALUE", value_parser = header)]
    headers: Vec<(String, String)>,

    /// Identifies the message: one that was published with this id is not stored again
    #[arg(long)]
    id: Option<String>,

    #[arg(
        long,
        help = BrokerUrl::HELP,
        value_name = "URL",
        env = "GRIOT_BROKER",
        hide_env_values = true,
        value_parser = UrlParser::<BrokerUrl>::new(),
        default_value = griot::events::EMBEDDED
    )]
    broker: BrokerUrl,
}

fn header(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(name, _)| !name.is_empty());
    let (name, value) = pair.ok_or("write NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Publishes what `arguments` say.
///
/// # Errors
///
/// [`Failure::Configuration`] for what is not JSON, [`Failure::Broker`] where the broker does not take
/// it.
pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    if arguments.json == "-" {
        if arguments.id.is_some() {
            let reason = "--id names one message, and standard input may have many: leave it out";
            return Err(Failure::Configuration(reason.to_owned()));
        }
        return arguments.publish_lines().await;
    }
    let message = arguments.message(&arguments.json).map_err(|reason| {
        Failure::Configuration(format!(
            "the message is not JSON: {reason}; quote it, so that the shell passes it on unchanged"
        ))
    })?;
    let broker = broker::connect(&arguments.broker).await?;
    let published = Producer::new(Arc::clone(&broker)).publish(message).await;
    let _ = timeout(CLOSE_MAX, broker.close()).await;
    published.map_err(|source| broker::failed(&arguments.broker, source))?;
    eprintln!("published to {}", arguments.topic);
    Ok(())
}

impl Arguments {
    fn message(&self, json: &str) -> Result<Message, serde_json::Error> {
        let _: IgnoredAny = serde_json::from_str(json)?;
        let mut message = Message::bytes(&self.topic, json.trim().to_owned());
        if let Some(key) = &self.key {
            message = message.key(key);
        }
        if let Some(id) = &self.id {
            message = message.id(id);
        }
        for (name, value) in &self.headers {
            message = message.header(name, value);
        }
        Ok(message)
    }

    async fn publish_lines(&self) -> Result<(), Failure> {
        let broker = broker::connect(&self.broker).await?;
        let producer = Producer::new(Arc::clone(&broker));
        let bar = ProgressBar::new_spinner();
        let style = ProgressStyle::with_template("{spinner} {pos} published, {per_sec}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        let published = self.publish_all(&producer, &bar).await;
        bar.finish_and_clear();
        let _ = timeout(CLOSE_MAX, broker.close()).await;
        eprintln!("published {} messages to {}", bar.position(), self.topic);
        published
    }

    /// Publishes line by line, those that wait together in one go. A line that is not JSON ends it, with
    /// those before it published.
    async fn publish_all(&self, producer: &Producer, bar: &ProgressBar) -> Result<(), Failure> {
        let mut lines = lines();
        let mut waiting = Vec::with_capacity(LINES_MAX);
        while lines.recv_many(&mut waiting, LINES_MAX).await > 0 {
            let mut messages = Vec::with_capacity(waiting.len());
            let mut wrong = None;
            for (number, line) in waiting.drain(..) {
                match line.and_then(|line| Ok(self.message(&line)?)) {
                    Ok(message) => messages.push(message),
                    Err(error) => {
                        wrong = Some((number, error));
                        break;
                    }
                }
            }
            for outcome in producer.publish_all(messages).await {
                outcome.map_err(|source| broker::failed(&self.broker, source))?;
                bar.inc(1);
            }
            if let Some((number, error)) = wrong {
                let reason = format!("line {number} of standard input is no message: {error}");
                return Err(Failure::Configuration(reason));
            }
        }
        Ok(())
    }
}

/// The lines of standard input that are not blank, with their numbers. Read by a thread of its own,
/// since nothing but the end of the program ends waiting for a terminal.
fn lines() -> mpsc::Receiver<(u64, std::io::Result<String>)> {
    let (lines, read) = mpsc::channel(LINES_MAX);
    std::thread::spawn(move || {
        let mut input = stdin().lock();
        for number in 1.. {
            let mut line = String::new();
            let outcome = input.by_ref().take(LINE_BYTES_MAX + 1).read_line(&mut line);
            let outcome = match outcome {
                Ok(0) => return,
                Ok(_) if line.len() as u64 > LINE_BYTES_MAX => {
                    let text = format!("it is longer than {LINE_BYTES_MAX} bytes");
                    Err(std::io::Error::other(text))
                }
                Ok(_) if line.trim().is_empty() => continue,
                Ok(_) => Ok(line),
                Err(error) => Err(error),
            };
            let ends = outcome.is_err();
            if lines.blocking_send((number, outcome)).is_err() || ends {
                return;
            }
        }
    });
    read
}
