//! How a decision is written down as an append.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::BytesMut;
use griot_core::{
    CoreError, Decision, Effect, EffectId, EffectRecord, Entity, EntityId, Event, Timestamp, codec,
};
use griot_journal::{Answer, Append, EventRecord};

use crate::delivery::BoxDelivery;
use crate::keys::CommandKey;
use crate::slot::Slot;

/// Runs what calls a user's serialisation; a panic in it is an error.
pub(super) fn guarded<T>(
    what: &'static str,
    run: impl FnOnce() -> Result<T, CoreError>,
) -> Result<T, CoreError> {
    let panicked = |_| {
        let reason = "it panicked".to_owned();
        Err(CoreError::Encode { what, reason })
    };
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(panicked)
}

/// Writes a decision as an append, and says how many bytes it holds; `bytes_max` at most.
pub(super) fn write<E: Entity>(
    entity: EntityId,
    slot: &Slot<E>,
    delivery: &mut BoxDelivery<E>,
    decision: &Decision<E>,
    now: Timestamp,
    bytes_max: usize,
    buffer: &mut BytesMut,
) -> Result<(Append, usize), CoreError> {
    let events = guarded("an event", || events(decision, buffer))?;
    let answer = match delivery.key().cloned() {
        None => None,
        Some(CommandKey { key, fingerprint }) => Some(Answer {
            key,
            fingerprint,
            reply: guarded("a reply", || delivery.recorded_answer())?,
        }),
    };
    let metadata = delivery.metadata();
    let is_cancelled = |effect: &EffectRecord| decision.cancelled.contains(&effect.id);
    let effects = (slot.effects_at_seq..).zip(&decision.effects);
    let effects = effects.map(|(n, effect)| EffectRecord {
        id: EffectId { seq: slot.seq, n },
        effect: with_headers(effect.clone(), &metadata),
    });
    let cancelled = decision.cancelled.iter().copied();
    let cancelled = cancelled.filter(|effect| slot.is_unsettled(*effect));
    let append = Append {
        entity,
        expected: slot.seq,
        at: now,
        events,
        effects: effects.filter(|effect| !is_cancelled(effect)).collect(),
        settled: delivery.settles().into_iter().chain(cancelled).collect(),
        answer,
        metadata,
    };
    let bytes = bytes(&append);
    if bytes > bytes_max {
        return Err(CoreError::Encode {
            what: "a decision",
            reason: format!("{bytes} bytes are over the limit of {bytes_max}"),
        });
    }
    Ok((append, bytes))
}

/// A publication goes on with what its command came with.
fn with_headers(mut effect: Effect, metadata: &[(String, String)]) -> Effect {
    if let Effect::Publication(publication) = &mut effect {
        let headers = &mut publication.headers;
        for (name, value) in metadata {
            if !headers
                .iter()
                .any(|(own, _)| own.eq_ignore_ascii_case(name))
            {
                headers.push((name.clone(), value.clone()));
            }
        }
    }
    effect
}

fn events<E: Entity>(
    decision: &Decision<E>,
    buffer: &mut BytesMut,
) -> Result<Vec<EventRecord>, CoreError> {
    let mut events = Vec::with_capacity(decision.events.len());
    for event in &decision.events {
        let (name, payload) = codec::encode_event_into(event, buffer)?;
        events.push(EventRecord {
            name: name.into(),
            version: event.version(),
            tags: event.tags(),
            payload,
        });
    }
    Ok(events)
}

/// The bytes that a user can make many: payloads, replies, keys and metadata.
fn bytes(append: &Append) -> usize {
    let events = append.events.iter().map(|event| event.payload.len());
    let effects = append.effects.iter().map(|record| match &record.effect {
        Effect::Call { payload, .. }
        | Effect::Timer { payload, .. }
        | Effect::Message { payload, .. } => payload.len(),
        Effect::Publication(publication) => publication.payload.len(),
        _ => 0,
    });
    let answer = append
        .answer
        .iter()
        .map(|answer| answer.key.len() + answer.reply.len());
    let metadata = append
        .metadata
        .iter()
        .map(|(name, value)| name.len() + value.len());
    let parts = events.chain(effects).chain(answer).chain(metadata);
    parts.fold(0, usize::saturating_add)
}
