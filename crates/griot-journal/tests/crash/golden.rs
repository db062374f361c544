//! Directories that older versions wrote are read as they were meant.
//!
//! `tests/golden/v1` was written by version 1 of the format. Never change it: a new format gets a
//! directory of its own, and this one must still be read.

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use griot_core::{Effect, EffectId, EffectRecord, Offset, Publication, Seq, Timestamp};
use griot_journal::{Answer, Append, AppendError, EmbeddedLog, Filter, Journal, Options, SeqRange};
use griot_testkit::SimDisk;
use griot_testkit::journal::{append_of, entity};

use super::workload::{block_on, one, open, segment, shard, write, write_as};

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1/journal/00000000000000000001.log")
}

/// One of everything there is in the format.
fn rich() -> Append {
    let payload = Bytes::from_static(b"{\"amount\":5}");
    let effects = [
        Effect::Call {
            name: "charge".into(),
            payload: payload.clone(),
        },
        Effect::Timer {
            due: Timestamp::from_micros(1_800_000_000_000_000),
            name: "close".into(),
            payload: payload.clone(),
        },
        Effect::Message {
            to: entity("b"),
            name: "credit".into(),
            payload: payload.clone(),
        },
        Effect::Publication(Publication {
            topic: "ledger".to_owned(),
            key: Some("a".to_owned()),
            headers: vec![("h".to_owned(), "v".to_owned())],
            payload,
        }),
    ];
    let mut append = append_of(&entity("a"), 0, 2);
    append.events[1].tags = vec!["red".to_owned()];
    append.events[1].version = 300;
    append.effects = (0..)
        .zip(effects)
        .map(|(n, effect)| EffectRecord {
            id: EffectId { seq: Seq::ZERO, n },
            effect,
        })
        .collect();
    append.answer = Some(Answer {
        key: "key".to_owned(),
        fingerprint: 0x0123_4567_89ab_cdef,
        reply: Bytes::from_static(b"reply"),
    });
    append.metadata = vec![("traceparent".to_owned(), "00-1".to_owned())];
    append
}

/// What the golden directory holds.
async fn write_all(journal: &EmbeddedLog) {
    let epoch = journal.claim(&shard()).await.unwrap();
    let mut settling = append_of(&entity("a"), 2, 0);
    settling.settled = vec![EffectId {
        seq: Seq::ZERO,
        n: 0,
    }];
    write_as(journal, epoch, vec![rich(), append_of(&entity("b"), 0, 3)])
        .await
        .unwrap();
    write_as(journal, epoch, vec![settling]).await.unwrap();
    journal.delete(&entity("b"), Seq(1)).await.unwrap();
    journal.close().await;
}

#[test]
fn g1_a_directory_of_version_one_is_read() {
    let scratch = tempfile::tempdir().unwrap();
    fs::create_dir(scratch.path().join("journal")).unwrap();
    let copy = scratch
        .path()
        .join("journal")
        .join(golden().file_name().unwrap());
    fs::copy(golden(), copy).unwrap();
    let options = Options {
        segment_bytes: 4096,
        ..Options::default()
    };
    let journal = EmbeddedLog::open(scratch.path(), options).unwrap();
    let stats = journal.stats();
    assert_eq!((stats.segments, stats.entities, stats.events), (1, 2, 5));
    assert!(stats.bytes > 500 && stats.bytes < 4096, "{}", stats.bytes);
    block_on(async {
        let commits = journal
            .commits(&entity("a"), Seq::ZERO, 0, 10)
            .await
            .unwrap();
        assert_eq!(commits.len(), 2);
        assert_eq!(commits[0].append, rich());
        assert_eq!(
            (commits[0].offset, commits[1].offset),
            (Offset(1), Offset(5))
        );
        let left = journal.events(&entity("b"), SeqRange::ALL).await.unwrap();
        assert_eq!(
            left.iter().map(|event| event.seq).collect::<Vec<_>>(),
            [Seq(2), Seq(3)]
        );
        let unsettled = journal.unsettled("account", None, 10).await.unwrap();
        assert_eq!(
            unsettled
                .iter()
                .map(|one| one.record.id.n)
                .collect::<Vec<_>>(),
            [1, 2, 3]
        );
        let page = journal
            .tail(Offset::ZERO, &Filter::default(), 10)
            .await
            .unwrap();
        assert_eq!((page.events.len(), page.next), (4, Offset(5)));
        assert_eq!(journal.claim(&shard()).await.unwrap().get(), 2);
        let repeated = write(
            &journal,
            vec![Append {
                expected: Seq(2),
                ..rich()
            }],
        )
        .await;
        assert!(matches!(repeated, Err(AppendError::Answered { .. })));
        write(&journal, vec![one("a", 2, "today")]).await.unwrap();
    });
}

#[test]
fn what_is_written_today_is_byte_for_byte_version_one() {
    let disk = SimDisk::new(1);
    block_on(async { write_all(&open(&disk).unwrap()).await });
    let written = disk.read(segment(1));
    if std::env::var_os("GRIOT_WRITE_GOLDEN").is_some() {
        fs::write(golden(), &written).unwrap();
    }
    assert!(
        written == fs::read(golden()).unwrap(),
        "the format changed: it needs a new version"
    );
}
