//! `griot subscribe`: messages of a broker, one JSON line each on standard output.

mod line;

use std::io::{ErrorKind, Write, stdout};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use griot::events::{Broker, BrokerError, Delivery, Incoming, Order, Source, Subscription};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::broker::{self, BrokerUrl};
use crate::failure::Failure;
use crate::signals::Signals;
use crate::url::UrlParser;

/// Messages that are printed and not yet acknowledged, at most.
const IN_FLIGHT_MAX: usize = 256;

/// How long acknowledging and leaving may take at the end.
const LEAVE_MAX: Duration = Duration::from_secs(5);

/// The pause after the broker failed; it reconnects by itself.
const PAUSE: Duration = Duration::from_secs(1);

/// Prints the messages of a topic, one JSON object a line, as they come.
///
/// A message is acknowledged once its line is written. Without --group the oldest message that is kept
/// comes first, in a group of its own that nobody joins again; with --group it goes on behind what that group
/// has acknowledged, and shares the messages with its other members. The payload stands under `payload`
/// where it is JSON, under `text` where it is other text, and under `base64` otherwise. Ends with a signal,
/// after --limit, and when nobody reads any more.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  griot subscribe greetings --broker http://127.0.0.1:7070
  griot subscribe 'orders.*' --group audit --broker nats://127.0.0.1:4222 | jq .payload

Exit codes: 0 it was ended, 1 the broker cannot be used, 2 a flag is wrong.")]
pub(crate) struct Arguments {
    /// The topic; `*` stands for one word between dots, `>` for all that follow, where the broker has patterns
    topic: String,

    /// The group to join; without it, one of its own
    #[arg(long, value_name = "G")]
    group: Option<String>,

    /// End after so many messages
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,

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

/// Prints until a signal, the limit, or a closed pipe.
///
/// # Errors
///
/// [`Failure::Broker`] where the broker cannot be used, [`Failure::Output`] where standard output
/// cannot be written.
pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let mut signals = Signals::take()?;
    let limit = arguments.limit.unwrap_or(u64::MAX);
    let (broker, mut printing) = tokio::select! {
        begun = begin(&arguments, limit) => begun?,
        _ = signals.next() => return Ok(()),
    };
    let printed = tokio::select! {
        printed = printing.print(limit) => printed,
        _ = signals.next() => Ok(()),
    };
    let leaving = async {
        while printing.acks.join_next().await.is_some() {}
        drop(printing);
        broker.close().await;
    };
    tokio::select! {
        left = timeout(LEAVE_MAX, leaving) => if left.is_err() {
            tracing::warn!("could not say goodbye to the broker: some messages may come again");
        },
        _ = signals.next() => {}
    }
    printed
}

async fn begin(arguments: &Arguments, limit: u64) -> Result<(Arc<dyn Broker>, Printing), Failure> {
    let broker = broker::connect(&arguments.broker).await?;
    let fresh = || format!("griot-subscribe-{:016x}", fastrand::u64(..));
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    let subscription = Subscription {
        topics: vec![arguments.topic.clone()],
        group: arguments.group.clone().unwrap_or_else(fresh),
        // What is beyond the limit stays with the others of the group.
        in_flight_max: IN_FLIGHT_MAX.min(most),
        order: Order::PerKey,
    };
    let source = broker.subscribe(subscription).await;
    let source = source.map_err(|source| broker::failed(&arguments.broker, source))?;
    let printing = Printing {
        source,
        printer: printer(),
        acks: JoinSet::new(),
    };
    Ok((broker, printing))
}

/// A subscription whose messages are printed.
struct Printing {
    source: Box<dyn Source>,
    printer: mpsc::Sender<Printed>,
    acks: JoinSet<()>,
}

/// A line to print, and where the outcome goes.
type Printed = (String, oneshot::Sender<std::io::Result<()>>);

impl Printing {
    async fn print(&mut self, limit: u64) -> Result<(), Failure> {
        let mut printed = 0;
        while printed < limit {
            tokio::select! {
                Some(_) = self.acks.join_next() => {}
                incoming = self.source.next() => match incoming {
                    None => return Ok(()),
                    Some(Ok(Incoming::Delivery(delivery))) => {
                        if !self.one(delivery).await? {
                            return Ok(());
                        }
                        printed += 1;
                    }
                    Some(Ok(Incoming::Revoked { released, .. })) => {
                        // Acknowledged before another member has them.
                        while self.acks.join_next().await.is_some() {}
                        let _ = released.send(());
                    }
                    Some(Err(error)) => {
                        tracing::error!(error = error.in_full(), "the broker failed, it is asked again");
                        sleep(PAUSE).await;
                    }
                },
            }
        }
        Ok(())
    }

    /// Prints one message, then acknowledges it; `false` where nobody reads any more.
    async fn one(&mut self, delivery: Delivery) -> Result<bool, Failure> {
        let Delivery { event, receipt } = delivery;
        let (done, printed) = oneshot::channel();
        // Where the printer is gone the sender is dropped, which counts below.
        let _ = self.printer.send((line::line(&event), done)).await;
        match printed.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) if error.kind() == ErrorKind::BrokenPipe => return Ok(false),
            Ok(Err(error)) => return Err(Failure::Output(error)),
            Err(_) => return Ok(false),
        }
        self.acks.spawn(async move {
            if let Err(error) = receipt.ack().await {
                unheard(&error);
            }
        });
        Ok(true)
    }
}

fn unheard(error: &BrokerError) {
    tracing::warn!(
        error = error.in_full(),
        "the broker did not hear that a message was printed: it comes again"
    );
}

/// Prints lines on a thread of its own: whoever reads may take any time, and a signal ends it still.
fn printer() -> mpsc::Sender<Printed> {
    let (lines, mut waiting) = mpsc::channel::<Printed>(1);
    std::thread::spawn(move || {
        while let Some((line, done)) = waiting.blocking_recv() {
            let mut out = stdout().lock();
            let written = out.write_all(line.as_bytes()).and_then(|()| out.flush());
            // Who does not wait any more has ended.
            let _ = done.send(written);
        }
    });
    lines
}
