//! Three workers share eleven words; each answers with the word of its own number.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "an example stops at the first error"
)]

use std::sync::{Arc, Mutex};

use griot_actor::{Crew, Exception, System, Workers};

const WORDS: [&str; 3] = ["One", "Two", "Three"];

/// Who received what, and what it made of it.
#[derive(Debug)]
pub(crate) struct Received {
    /// The worker's number, from 1.
    pub(crate) worker: usize,
    /// The word that was sent.
    pub(crate) word: &'static str,
    /// The word of the worker's number.
    pub(crate) result: &'static str,
}

/// Sends the words and drains the crew.
pub(crate) async fn run() -> Vec<Received> {
    let system = System::new();
    let received = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&received);
    let crew = Workers::spawn(
        &system,
        Crew {
            name: "words",
            workers: 3,
            ..Crew::default()
        },
        move |worker, word| {
            let result = WORDS[worker - 1];
            seen.lock().unwrap().push(Received {
                worker,
                word,
                result,
            });
            async move { Ok(Some(result)) }
        },
        |worker, exception: Exception<String>| eprintln!("worker {worker}: {exception}"),
    )
    .expect("the name is free");
    for word in WORDS.into_iter().cycle().take(11) {
        crew.tell(word).await.expect("the crew runs");
    }
    crew.drain().await;
    std::mem::take(&mut *received.lock().unwrap())
}

#[tokio::main]
async fn main() {
    for Received {
        worker,
        word,
        result,
    } in run().await
    {
        println!("worker {worker} received {word}, processed as {result}");
    }
}
