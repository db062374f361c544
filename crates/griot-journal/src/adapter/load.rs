//! A batch before it is on its way: how large it is, and what can be said against it without asking anybody.

use std::collections::HashSet;

use griot_core::Effect;

use crate::{Append, BATCH_BYTES_MAX, Batch, JournalError};

/// Numbers, lengths and times beside the texts of a part.
const REST: usize = 64;

/// About how many bytes a batch takes on its way, if it may go.
pub(super) fn weigh(batch: &Batch) -> Result<usize, JournalError> {
    let mut keys = HashSet::new();
    for append in &batch.appends {
        if let Some(answer) = &append.answer
            && !keys.insert((append.entity.as_str(), answer.key.as_str()))
        {
            let key = answer.key.clone();
            return Err(JournalError::RepeatedKey { key });
        }
    }
    let bytes = batch.appends.iter().map(size).sum();
    if bytes > BATCH_BYTES_MAX {
        let (what, limit) = ("a batch", BATCH_BYTES_MAX);
        return Err(JournalError::TooLarge { what, bytes, limit });
    }
    Ok(bytes)
}

fn size(append: &Append) -> usize {
    let events = append.events.iter().map(|event| {
        let tags: usize = event.tags.iter().map(|tag| tag.len() + REST).sum();
        event.name.len() + event.payload.len() + tags + REST
    });
    let effects = append.effects.iter().map(|record| match &record.effect {
        Effect::Call { payload, .. }
        | Effect::Timer { payload, .. }
        | Effect::Message { payload, .. } => payload.len() + REST,
        Effect::Publication(publication) => {
            publication.payload.len() + pairs(&publication.headers) + REST
        }
        _ => REST,
    });
    let answer = append.answer.as_ref();
    let answer = answer.map_or(0, |answer| answer.key.len() + answer.reply.len());
    let settled = append.settled.len() * REST;
    let metadata = pairs(&append.metadata);
    events.sum::<usize>() + effects.sum::<usize>() + answer + settled + metadata + REST
}

fn pairs(pairs: &[(String, String)]) -> usize {
    let size = |(name, value): &(String, String)| name.len() + value.len() + REST;
    pairs.iter().map(size).sum()
}
