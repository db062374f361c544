//! Five workers are stopped while the numbers from 1 to 100 are being sent to them: what they did not
//! process is handed back, so nothing is missing from the sum.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "an example stops at the first error"
)]

use std::sync::{Arc, Mutex};

use griot_actor::{Crew, Exception, System, Workers};

/// Where each number ended up.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// By the workers.
    pub(crate) processed: Vec<u64>,
    /// Accepted, and handed back by the stop.
    pub(crate) pending: Vec<u64>,
    /// Sent too late, and handed back to their sender.
    pub(crate) refused: Vec<u64>,
}

/// Sends each number from a task of its own, and stops the crew in the midst of it.
pub(crate) async fn run() -> Outcome {
    let system = System::new();
    let processed = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&processed);
    let crew: Workers<u64, ()> = Workers::spawn(
        &system,
        Crew {
            name: "numbers",
            workers: 5,
            inbox_capacity: 8,
        },
        move |_worker, number| {
            seen.lock().unwrap().push(number);
            async { Ok(None) }
        },
        |worker, exception: Exception<String>| eprintln!("worker {worker}: {exception}"),
    )
    .expect("the name is free");
    let senders: Vec<_> = (1..=100)
        .map(|number| {
            let crew = crew.clone();
            tokio::spawn(async move { crew.tell(number).await.map_err(|closed| closed.0) })
        })
        .collect();
    let pending = crew.stop().await;
    let mut refused = Vec::new();
    for sender in senders {
        refused.extend(sender.await.expect("a sender ends well").err());
    }
    let processed = std::mem::take(&mut *processed.lock().unwrap());
    Outcome {
        processed,
        pending,
        refused,
    }
}

#[tokio::main]
async fn main() {
    let outcome = run().await;
    println!("processed {:?}", outcome.processed);
    println!("pending   {:?}", outcome.pending);
    println!("refused   {:?}", outcome.refused);
    let all = [outcome.processed, outcome.pending, outcome.refused].concat();
    println!("sum       {}", all.iter().sum::<u64>());
}
