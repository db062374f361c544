//! What is appended comes back as it was, however small, large, long or odd.

#![expect(
    clippy::unwrap_used,
    reason = "a case panics where a promise is broken"
)]

use bytes::Bytes;
use griot_core::{Effect, EffectId, EffectRecord, EntityId, Publication, Seq, Timestamp};
use griot_journal::{AppendError, EventRecord, SeqRange};

use super::seqs;
use crate::JournalFactory;
use crate::journal::{Writer, append_of, entity, happened};

/// Byte for byte.
pub async fn payloads_of_no_bytes_and_of_sixteen_mebibytes_come_back(
    factory: &impl JournalFactory,
) {
    let journal = factory.open().await;
    let writer = Writer::claim(&journal).await.unwrap();
    let large: Vec<u8> = (0_u32..4 << 20).flat_map(u32::to_le_bytes).collect();
    assert_eq!(large.len(), 16 << 20);
    let payloads = [
        Bytes::new(),
        Bytes::from(large),
        Bytes::from(vec![0; 16 << 20]),
    ];
    for (expected, payload) in (0..).zip(&payloads) {
        let mut append = append_of(&entity("a"), expected, 0);
        append.events = vec![happened(payload.clone())];
        writer.append(vec![append]).await.unwrap();
    }
    let events = writer.events(&entity("a"), SeqRange::ALL).await.unwrap();
    assert!(
        events
            .iter()
            .map(|event| &event.event.payload)
            .eq(&payloads)
    );
}

/// And changes nothing.
pub async fn an_empty_batch_is_acknowledged(factory: &impl JournalFactory) {
    let journal = factory.open().await;
    let writer = Writer::claim(&journal).await.unwrap();
    assert_eq!(
        writer.append(Vec::new()).await.unwrap().last_offset.get(),
        0
    );
    writer.write(&entity("a"), 0, 3).await.unwrap();
    assert_eq!(
        writer.append(Vec::new()).await.unwrap().last_offset.get(),
        3
    );
    // It writes nothing, so nobody's epoch is in its way.
    Writer::claim(&journal).await.unwrap();
    assert_eq!(
        writer.append(Vec::new()).await.unwrap().last_offset.get(),
        3
    );
}

/// Ids of 1,024 bytes, ids with slashes, ids that differ in their last character.
pub async fn long_and_unicode_ids_come_back_and_are_kept_apart(factory: &impl JournalFactory) {
    let journal = factory.open().await;
    let writer = Writer::claim(&journal).await.unwrap();
    let long = "x".repeat(EntityId::ID_BYTES_MAX - 1);
    let ids = [
        format!("{long}a"),
        format!("{long}b"),
        "ünïcødé/ñ".to_owned(),
        "u\u{308}nïcødé/ñ".to_owned(),
        "👩‍🚀🪐".to_owned(),
        " ".to_owned(),
        "A".to_owned(),
        "a".to_owned(),
        "a/b".to_owned(),
        "a%2Fb".to_owned(),
        "'; drop table events; --".to_owned(),
    ];
    for (events, id) in (1..).zip(&ids) {
        writer.write(&entity(id), 0, events).await.unwrap();
    }
    for (events, id) in (1..).zip(&ids) {
        assert_eq!(journal.last_seq(&entity(id)).await.unwrap(), Seq(events));
        let found = writer.events(&entity(id), SeqRange::ALL).await.unwrap();
        assert!(found.iter().all(|event| event.entity == entity(id)));
    }
    assert_eq!(
        journal.entities(None, None, 100).await.unwrap().len(),
        ids.len()
    );
}

/// By an error, never by wrapping around.
pub async fn a_sequence_near_the_maximum_is_answered(factory: &impl JournalFactory) {
    let journal = factory.open().await;
    let writer = Writer::claim(&journal).await.unwrap();
    writer.write(&entity("a"), 0, 1).await.unwrap();
    for near in [u64::MAX, u64::MAX - 1, i64::MAX.unsigned_abs()] {
        let mut append = append_of(&entity("a"), 0, 2);
        append.expected = Seq(near);
        let refused = writer.append(vec![append]).await;
        assert!(matches!(
            refused,
            Err(AppendError::Conflict { actual: Seq(1), .. })
        ));
        let range = SeqRange {
            from: Seq(near),
            to: Seq::MAX,
            limit: 10,
        };
        assert_eq!(writer.events(&entity("a"), range).await.unwrap(), []);
        assert_eq!(
            journal
                .commits(&entity("a"), Seq(near), 0, 10)
                .await
                .unwrap(),
            []
        );
    }
    assert_eq!(seqs(&writer, &entity("a")).await, [1]);
}

/// With names, versions, tags and the moment, on each of the append's events.
pub async fn metadata_and_trace_context_come_back(factory: &impl JournalFactory) {
    let journal = factory.open().await;
    let writer = Writer::claim(&journal).await.unwrap();
    let metadata = vec![
        (
            "traceparent".to_owned(),
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned(),
        ),
        ("tracestate".to_owned(), "a=1,b=2".to_owned()),
        (String::new(), "ünïcødé".to_owned()),
        ("twice".to_owned(), "1".to_owned()),
        ("twice".to_owned(), "2".to_owned()),
    ];
    let event = |name: &'static str, version, tags: &[&str]| EventRecord {
        name: name.into(),
        version,
        tags: tags.iter().map(|&tag| tag.to_owned()).collect(),
        payload: Bytes::from_static(b"\x00\xff{"),
    };
    let mut append = append_of(&entity("a"), 0, 0);
    append.at = Timestamp::from_micros(-1);
    append.metadata.clone_from(&metadata);
    append.events = vec![
        event("Placed", 0, &[]),
        event("Paid", u16::MAX, &["x", "", "ü"]),
    ];
    let given = append.events.clone();
    writer.append(vec![append]).await.unwrap();
    let events = writer.events(&entity("a"), SeqRange::ALL).await.unwrap();
    assert!(events.iter().all(|event| event.metadata == metadata));
    assert!(
        events
            .iter()
            .all(|event| event.at == Timestamp::from_micros(-1))
    );
    assert!(events.iter().map(|event| &event.event).eq(&given));
}

/// Calls, timers, messages and publications.
pub async fn every_kind_of_effect_comes_back(factory: &impl JournalFactory) {
    let journal = factory.open().await;
    let writer = Writer::claim(&journal).await.unwrap();
    let payload = Bytes::from_static(b"{\"x\":1}");
    let publication = |key: Option<&str>, headers| {
        Effect::Publication(Publication {
            topic: "topic".to_owned(),
            key: key.map(str::to_owned),
            headers,
            payload: payload.clone(),
        })
    };
    let headers = vec![("h".to_owned(), "v".to_owned())];
    let effects = [
        Effect::Call {
            name: "charge".into(),
            payload: payload.clone(),
        },
        Effect::Timer {
            due: Timestamp::from_micros(i64::MIN),
            name: "close".into(),
            payload: payload.clone(),
        },
        Effect::Message {
            to: entity("ü/b"),
            name: "credit".into(),
            payload: Bytes::new(),
        },
        publication(None, Vec::new()),
        publication(Some(""), headers.clone()),
        publication(Some("key"), headers),
    ];
    let mut append = append_of(&entity("a"), 0, 1);
    let numbered = (0..).zip(effects).map(|(n, effect)| EffectRecord {
        id: EffectId { seq: Seq::ZERO, n },
        effect,
    });
    append.effects = numbered.collect();
    writer.append(vec![append.clone()]).await.unwrap();
    let commits = journal
        .commits(&entity("a"), Seq::ZERO, 0, 10)
        .await
        .unwrap();
    assert_eq!(commits.first().unwrap().append, append);
    let unsettled = journal.unsettled("account", None, 10).await.unwrap();
    let records: Vec<_> = unsettled.into_iter().map(|one| one.record).collect();
    assert_eq!(records, append.effects);
}
