//! `griot load`: puts load on a running service and says what became of it.

mod placing;
mod tally;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::task::JoinSet;

use crate::failure::Failure;
use crate::settings::base_url;
use crate::signals::Signals;
use crate::span::Span;
use placing::{Placing, Stand};
use tally::Tally;

/// How often the bar's figures are computed anew.
const BAR_EVERY: Duration = Duration::from_millis(200);

/// The pause between two looks at the orders that have not ended.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Puts load on a running service and ends with a table.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Orders(Orders),
}

/// Places orders, each under its own key, and follows them until they end.
///
/// A 503 and a broken connection are answered by asking again under the same key, with backoff.
/// Exits 1 if an acknowledged order does not end, or an order is never acknowledged. Ctrl-C prints
/// the table so far.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  griot load orders --to http://localhost:7070 --orders 10000 --concurrency 64
  griot load orders --to http://localhost:7070 --orders 100 --concurrency 100 --within 200ms
  griot load orders --to http://localhost:7070 --orders 10000 --concurrency 256 --wait 0s   the time to a durable 202")]
struct Orders {
    /// Base URL of the service
    #[arg(long, value_name = "URL", value_parser = base_url)]
    to: String,

    /// How many orders to place
    #[arg(long = "orders", allow_hyphen_values = true, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: u64,

    /// How many of them at a time
    #[arg(long, allow_hyphen_values = true, value_name = "C", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    concurrency: u32,

    /// How long each request waits for its order to end (Prefer: wait); 0s asks for the 202 only
    #[arg(
        long,
        allow_hyphen_values = true,
        value_name = "DUR",
        default_value = "10s"
    )]
    wait: Span,

    /// How long to go on with one order that is not acknowledged, and with those that do not end
    #[arg(
        long,
        allow_hyphen_values = true,
        value_name = "DUR",
        default_value = "60s"
    )]
    give_up: Span,

    /// Exit 1 if the time from the first request to the last answer is longer
    #[arg(long, allow_hyphen_values = true, value_name = "DUR")]
    within: Option<Span>,
}

/// Runs the load that `arguments` describe.
///
/// # Errors
///
/// [`Failure::Verdict`] when the load found something wrong, [`Failure::Interrupted`] after a signal.
pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let What::Orders(orders) = arguments.what;
    let mut signals = Signals::take()?;
    let load = Arc::new(Load::new(orders)?);
    let interrupted = tokio::select! {
        () = load.run() => None,
        code = signals.next() => Some(code),
    };
    load.bar.finish_and_clear();
    let tally = load.tally.lock();
    print!("{tally}");
    match interrupted {
        Some(code) => Err(Failure::Interrupted { code }),
        None => load.verdict(&tally),
    }
}

/// One run of load: what was asked for and what has happened.
struct Load {
    asked: Orders,
    placing: Placing,
    next: AtomicU64,
    tally: tally::Shared,
    bar: ProgressBar,
}

impl Load {
    fn new(asked: Orders) -> Result<Self, Failure> {
        let placing = Placing::new(&asked.to, asked.wait.0, asked.give_up.0)?;
        let bar = ProgressBar::new(asked.count);
        let style = ProgressStyle::with_template("{bar:40} {pos}/{len} orders, {msg}, {eta} left");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Ok(Self {
            placing,
            next: AtomicU64::new(0),
            tally: tally::Shared::new(Tally::new(asked.wait.0)),
            bar,
            asked,
        })
    }

    /// Places all orders and follows those that were acknowledged before they ended.
    async fn run(self: &Arc<Self>) {
        let mut workers = JoinSet::new();
        self.tally.lock().start(Instant::now());
        for _ in 0..u64::from(self.asked.concurrency).min(self.asked.count) {
            let load = Arc::clone(self);
            workers.spawn(async move { load.place_orders().await });
        }
        let showing = async {
            let mut turns = tokio::time::interval(BAR_EVERY);
            loop {
                turns.tick().await;
                self.bar.set_message(self.tally.lock().in_short());
            }
        };
        let working = async { while workers.join_next().await.is_some() {} };
        tokio::select! {
            () = working => {}
            () = showing => {}
        }
        self.follow().await;
    }

    /// One client: places order after order until none is left.
    async fn place_orders(&self) {
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            if number >= self.asked.count {
                return;
            }
            let placed = self.placing.place(number).await;
            self.tally.lock().add(placed);
            self.bar.inc(1);
        }
    }

    /// Looks at the orders that have not ended until they have, or the time to give up is there.
    async fn follow(self: &Arc<Self>) {
        let deadline = Instant::now() + self.asked.give_up.0;
        let mut pending = self.tally.lock().pending();
        while !pending.is_empty() && Instant::now() < deadline {
            self.bar.set_message(format!(
                "{} acknowledged orders have not ended yet",
                pending.len()
            ));
            let mut still = Vec::new();
            for few in pending.chunks(self.asked.concurrency as usize) {
                let mut looks = JoinSet::new();
                for id in few.iter().cloned() {
                    let load = Arc::clone(self);
                    looks.spawn(async move { (load.placing.look(&id).await, id) });
                }
                while let Some(Ok((stand, id))) = looks.join_next().await {
                    match stand {
                        Some(Stand::Ended(state)) => self.tally.lock().ended(state),
                        _ => still.push(id),
                    }
                }
            }
            self.tally.lock().still_pending(still.clone());
            pending = still;
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn verdict(&self, tally: &Tally) -> Result<(), Failure> {
        let fail = |text| Err(Failure::Verdict(text));
        if let Some(unended) = tally.unended() {
            return fail(unended);
        }
        if tally.errors() > 0 {
            return fail(format!(
                "{} orders were never acknowledged; see the errors above",
                tally.errors()
            ));
        }
        match self.asked.within {
            Some(within) if tally.elapsed() > within.0 => fail(format!(
                "it took {:.3} s, longer than --within {within}",
                tally.elapsed().as_secs_f64()
            )),
            _ => Ok(()),
        }
    }
}
