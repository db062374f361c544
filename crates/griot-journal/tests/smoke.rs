//! A first look at the embedded log: what is written comes back, also after a restart.

use std::sync::Arc;

use bytes::Bytes;
use griot_core::*;
use griot_journal::*;

fn batch(epoch: Epoch, id: &EntityId, expected: u64, events: usize) -> Arc<Batch> {
    Arc::new(Batch {
        shard: ShardId {
            kind: "account".into(),
            number: 0,
        },
        epoch,
        appends: vec![Append {
            entity: id.clone(),
            expected: Seq(expected),
            at: Timestamp::from_micros(7),
            events: (0..events)
                .map(|n| EventRecord {
                    name: "Happened".into(),
                    version: 1,
                    tags: vec!["t".into()],
                    payload: Bytes::from(format!("{n}")),
                })
                .collect(),
            effects: vec![],
            settled: vec![],
            answer: Some(Answer {
                key: format!("k{expected}"),
                fingerprint: 3,
                reply: Bytes::from_static(b"r"),
            }),
            metadata: vec![("a".into(), "b".into())],
        }],
    })
}

#[tokio::test]
async fn what_is_written_comes_back_also_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        segment_bytes: 1 << 16,
        ..Options::default()
    };
    let log = EmbeddedLog::open(dir.path(), options.clone()).unwrap();
    let shard = ShardId {
        kind: "account".into(),
        number: 0,
    };
    let epoch = log.claim(&shard).await.unwrap();
    let id = EntityId::new("account", "a").unwrap();
    for n in 0..1000 {
        log.append(batch(epoch, &id, n * 2, 2)).await.unwrap();
    }
    assert!(matches!(
        log.append(batch(epoch, &id, 0, 1)).await,
        Err(AppendError::Answered { .. })
    ));
    for round in 0..3 {
        let log = if round == 0 {
            log.close().await;
            EmbeddedLog::open(dir.path(), options.clone()).unwrap()
        } else {
            EmbeddedLog::open(dir.path(), options.clone()).unwrap()
        };
        assert_eq!(log.last_seq(&id).await.unwrap(), Seq(2000));
        let events = log.events(&id, SeqRange::ALL).await.unwrap();
        assert_eq!(events.len(), 2000);
        let page = log.tail(Offset(5), &Filter::default(), 10).await.unwrap();
        assert_eq!(page.events, events[5..15]);
        assert_eq!(page.next, Offset(15));
        assert!(matches!(
            EmbeddedLog::open(dir.path(), options.clone()),
            Err(JournalError::Locked { .. })
        ));
        assert_eq!(log.claim(&shard).await.unwrap().get(), 2 + round);
    }
}
