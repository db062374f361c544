//! Five workers are stopped while the numbers from 1 to 100 are being sent to them. What a worker has
//! in hand it finishes, and until then more is accepted; what nobody has begun is handed back. So
//! processed and pending make 5050.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "an example stops at the first error"
)]

use std::sync::{Arc, Mutex};

use griot_actor::{Crew, Exception, System, Workers};
use tokio::sync::Semaphore;

/// Where each number ended up.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// By the workers.
    pub(crate) processed: Vec<u64>,
    /// Accepted, and handed back by the stop.
    pub(crate) pending: Vec<u64>,
}

/// Sends each number from a task of its own, and stops the crew in the midst of it.
pub(crate) async fn run() -> Outcome {
    let system = System::new();
    let processed = Arc::new(Mutex::new(Vec::new()));
    let (begun, all_sent) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let seen = (
        Arc::clone(&processed),
        Arc::clone(&begun),
        Arc::clone(&all_sent),
    );
    let crew: Workers<u64, ()> = Workers::spawn(
        &system,
        Crew {
            name: "numbers",
            workers: 5,
            inbox_capacity: 100,
        },
        move |_worker, number| {
            let (processed, begun, all_sent) = seen.clone();
            async move {
                processed.lock().unwrap().push(number);
                begun.add_permits(1);
                all_sent.acquire().await.expect("never closed").forget();
                Ok(None)
            }
        },
        |worker, exception: Exception<String>| eprintln!("worker {worker}: {exception}"),
    )
    .expect("the name is free");
    crew.tell(1).await.expect("the crew runs");
    begun.acquire().await.expect("never closed").forget();
    let stopping = tokio::spawn({
        let crew = crew.clone();
        async move { crew.stop().await }
    });
    let senders: Vec<_> = (2..=100)
        .map(|number| {
            let crew = crew.clone();
            tokio::spawn(async move { crew.tell(number).await })
        })
        .collect();
    for sender in senders {
        let sent = sender.await.expect("a sender ends well");
        sent.expect("accepted until the current messages are done");
    }
    all_sent.add_permits(100);
    let pending = stopping.await.expect("a stop ends well");
    let processed = std::mem::take(&mut *processed.lock().unwrap());
    Outcome { processed, pending }
}

#[tokio::main]
async fn main() {
    let Outcome { processed, pending } = run().await;
    println!("processed {processed:?}");
    println!("pending   {pending:?}");
    println!(
        "sum       {}",
        processed.iter().chain(&pending).sum::<u64>()
    );
}
