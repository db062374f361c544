//! Publications: out at least once, under a stable id, in the order of each entity's decisions.

use std::sync::{Arc, Mutex};

use griot_core::Publication;
use griot_entity::{AskError, Griot, Publish, PublishError};
use griot_journal::{Journal, MemoryJournal};
use tokio::sync::watch;

use crate::ledger::{Ledger, SOON, Want, entities, ledger, settled, start};

/// What was published: ids and publications.
type Published = Arc<Mutex<Vec<(String, Publication)>>>;

/// Takes everything, once it is open; topics that begin with `shut` only then.
fn publisher(published: &Published, open: watch::Receiver<bool>) -> Publish {
    let published = Arc::clone(published);
    Arc::new(move |id, publication| {
        let (published, open) = (Arc::clone(&published), open.clone());
        Box::pin(async move {
            if publication.topic.starts_with("shut") && !*open.borrow() {
                return Err(PublishError("not now".to_owned()));
            }
            published.lock().unwrap().push((id, publication));
            Ok(())
        })
    })
}

async fn start_publishing(journal: &Arc<MemoryJournal>, publish: Publish) -> Griot {
    Griot::builder(Arc::clone(journal) as _, Arc::clone(journal) as _)
        .publisher(publish)
        .entity(entities())
        .start()
        .await
        .unwrap()
}

fn topics(published: &Published, key: &str) -> Vec<String> {
    let published = published.lock().unwrap();
    let of_key = published
        .iter()
        .filter(|(_, p)| p.key.as_deref() == Some(key));
    of_key
        .map(|(_, publication)| publication.topic.clone())
        .collect()
}

async fn until_published(published: &Published, count: usize) {
    let all_out = async {
        while published.lock().unwrap().len() < count {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, all_out)
        .await
        .expect("they are out soon");
}

#[tokio::test]
async fn g6_a_publication_goes_out_once_under_its_stable_id_and_its_entitys_key() {
    let journal = Arc::new(MemoryJournal::new());
    let published = Published::default();
    let (_open, open) = watch::channel(true);
    let griot = start_publishing(&journal, publisher(&published, open)).await;
    let alice = ledger(&griot, "alice");
    alice.ask(Want::Publish("totals".into())).await.unwrap();
    settled(&griot).await;
    let out = published.lock().unwrap().clone();
    let [(id, publication)] = &out[..] else {
        panic!("{out:?}")
    };
    assert_eq!(id, "ledger/alice:0:0");
    assert_eq!(publication.topic, "totals");
    assert_eq!(publication.key.as_deref(), Some("ledger/alice"));
    assert_eq!(&publication.payload[..], b"0");
    let left = journal.unsettled("ledger", None, 10).await.unwrap();
    assert_eq!(left, []);
}

#[tokio::test]
async fn a_publication_has_what_its_command_came_with_as_headers() {
    let journal = Arc::new(MemoryJournal::new());
    let published = Published::default();
    let (_open, open) = watch::channel(true);
    let griot = start_publishing(&journal, publisher(&published, open)).await;
    let alice = ledger(&griot, "alice");
    let ask = alice.ask(Want::Publish("totals".into()));
    ask.metadata("traceparent", "00-1-2-01").await.unwrap();
    settled(&griot).await;
    let out = published.lock().unwrap().clone();
    let headers = [("traceparent".to_owned(), "00-1-2-01".to_owned())];
    assert_eq!(out[0].1.headers, headers);
}

#[tokio::test]
async fn g6_a_publication_that_fails_holds_back_its_entitys_later_ones_and_nobody_elses() {
    let journal = Arc::new(MemoryJournal::new());
    let published = Published::default();
    let (open, opened) = watch::channel(false);
    let griot = start_publishing(&journal, publisher(&published, opened)).await;
    let (alice, bob) = (ledger(&griot, "alice"), ledger(&griot, "bob"));
    for topic in ["first", "shut", "third"] {
        alice.ask(Want::Publish(topic.into())).await.unwrap();
    }
    for topic in ["one", "two"] {
        bob.ask(Want::Publish(topic.into())).await.unwrap();
    }
    until_published(&published, 3).await;
    assert_eq!(topics(&published, "ledger/alice"), ["first"]);
    assert_eq!(topics(&published, "ledger/bob"), ["one", "two"]);
    open.send_replace(true);
    settled(&griot).await;
    assert_eq!(
        topics(&published, "ledger/alice"),
        ["first", "shut", "third"]
    );
}

#[tokio::test]
async fn g6_publications_that_are_not_out_at_a_crash_go_out_at_the_next_start_in_order() {
    let journal = Arc::new(MemoryJournal::new());
    let published = Published::default();
    let (_shut, shut) = watch::channel(false);
    let griot = start_publishing(&journal, publisher(&published, shut)).await;
    let alice = ledger(&griot, "alice");
    for n in 0..20 {
        let topic = format!("shut {n}");
        alice.ask(Want::Publish(topic)).await.unwrap();
    }
    drop((alice, griot));
    let (_open, open) = watch::channel(true);
    let griot = start_publishing(&journal, publisher(&published, open.clone())).await;
    settled(&griot).await;
    let expected: Vec<_> = (0..20).map(|n| format!("shut {n}")).collect();
    assert_eq!(topics(&published, "ledger/alice"), expected);
    drop(griot);
    let griot = start_publishing(&journal, publisher(&published, open)).await;
    settled(&griot).await;
    assert_eq!(published.lock().unwrap().len(), 20, "none goes out again");
}

#[tokio::test]
async fn a_publication_without_a_publisher_is_refused_when_it_is_decided() {
    let griot = start(entities()).await;
    let alice = griot.entity::<Ledger>("alice").unwrap();
    assert_eq!(
        alice.ask(Want::Publish("totals".into())).await,
        Err(AskError::Unavailable)
    );
    assert_eq!(alice.read(|_, seq| seq.get()).await, Ok(0));
}
