//! Publishes: many calls at once over one connection, each answered for itself.

use std::collections::HashMap;
use std::iter::{Enumerate, Peekable};
use std::sync::Arc;
use std::vec::IntoIter;

use griot_core::Publication;
use griot_events::BrokerError;
use prost::Message;
use tokio::sync::Semaphore;

use crate::limits::{BATCH_MAX, HEADERS_MAX, MESSAGE_BYTES_MAX, PUBLISHING_MAX};
use crate::link::Link;
use crate::options::RemoteOptions;
use crate::wire::{Ask, Publish, Publishing, cause};

/// What to call this in errors.
const WHAT: &str = "the publication";

/// A frame with more than one publication holds so many bytes at most.
const BATCH_BYTES_MAX: usize = 1 << 20;

#[derive(Debug)]
pub(crate) struct Publisher {
    link: Link,
    options: Arc<RemoteOptions>,
    /// Publications that may be under way.
    room: Semaphore,
}

/// What of a call goes in one frame, and the places there.
type Batch = (Vec<usize>, Vec<Publishing>);

/// A call on its way: what is left of it, what became of the rest, and which keys have failed.
struct Call {
    left: Peekable<Enumerate<IntoIter<Publication>>>,
    outcomes: Vec<Result<(), BrokerError>>,
    failed: HashMap<String, BrokerError>,
}

impl Publisher {
    pub(crate) fn new(link: Link, options: Arc<RemoteOptions>) -> Self {
        Self {
            link,
            options,
            room: Semaphore::new(PUBLISHING_MAX),
        }
    }

    pub(crate) fn link(&self) -> &Link {
        &self.link
    }

    /// The outcomes, in the order of the publications.
    ///
    /// Where one frame does not hold them all, the next is sent when the one before it is answered:
    /// so a key whose message failed is known before its next would overtake it.
    pub(crate) async fn publish(
        &self,
        publications: Vec<Publication>,
    ) -> Vec<Result<(), BrokerError>> {
        let mut call = Call {
            outcomes: vec![Ok(()); publications.len()],
            left: publications.into_iter().enumerate().peekable(),
            failed: HashMap::new(),
        };
        while let Some((places, publications)) = call.batch() {
            let keys: Vec<_> = publications.iter().map(|one| one.key.clone()).collect();
            let outcomes = self.send(publications).await;
            for ((place, key), outcome) in places.into_iter().zip(keys).zip(outcomes) {
                call.settle(place, key, outcome);
            }
        }
        call.outcomes
    }

    async fn send(&self, publications: Vec<Publishing>) -> Vec<Result<(), BrokerError>> {
        let count = publications.len();
        let units = u32::try_from(count).unwrap_or(u32::MAX);
        // It is never closed, and a batch is smaller than all the room.
        let _room = self.room.acquire_many(units).await;
        let asker = match self.link.within(self.options.timeout).await {
            Ok(asker) => asker,
            Err(error) => return vec![Err(error); count],
        };
        match asker.ask(Ask::Publish(Publish { publications })).await {
            Ok(outcomes) if outcomes.len() == count => {
                let outcomes = outcomes.into_iter();
                outcomes.map(|outcome| outcome.into_result(WHAT)).collect()
            }
            Ok(_) => {
                let text = "the server did not answer for each message".to_owned();
                vec![Err(BrokerError::Unknown(cause(text))); count]
            }
            Err(error) => vec![Err(error); count],
        }
    }
}

impl Call {
    /// What goes in the next frame; `None` where nothing is left.
    fn batch(&mut self) -> Option<Batch> {
        let (mut places, mut batch, mut bytes) = (Vec::new(), Vec::new(), 0);
        let fits = |length: usize, bytes: usize, count: usize| {
            count == 0 || (count < BATCH_MAX && bytes + length <= BATCH_BYTES_MAX)
        };
        while let Some((_, next)) = self.left.peek() {
            if !fits(next.payload.len(), bytes, batch.len()) {
                break;
            }
            let Some((place, next)) = self.left.next() else {
                break;
            };
            let next = Publishing::from(next);
            if let Some(error) = self.refusal(&next) {
                self.settle(place, next.key, Err(error));
            } else {
                bytes += next.encoded_len();
                places.push(place);
                batch.push(next);
            }
        }
        (!batch.is_empty()).then_some((places, batch))
    }

    /// Why a message is not sent.
    fn refusal(&self, publishing: &Publishing) -> Option<BrokerError> {
        let key = publishing.key.as_ref();
        if let Some(error) = key.and_then(|key| self.failed.get(key)) {
            return Some(held_back(error));
        }
        let bytes = publishing.encoded_len();
        let headers = publishing.headers.len();
        let reason = if bytes > MESSAGE_BYTES_MAX {
            format!("{bytes} bytes, and {MESSAGE_BYTES_MAX} are taken: make it smaller")
        } else if headers > HEADERS_MAX {
            format!("{headers} headers, and {HEADERS_MAX} are taken: use fewer")
        } else {
            return None;
        };
        Some(BrokerError::Refused { what: WHAT, reason })
    }

    fn settle(&mut self, place: usize, key: Option<String>, outcome: Result<(), BrokerError>) {
        if let (Err(error), Some(key)) = (&outcome, key) {
            self.failed.entry(key).or_insert_with(|| error.clone());
        }
        if let Some(slot) = self.outcomes.get_mut(place) {
            *slot = outcome;
        }
    }
}

/// The error of a message that was not sent because an earlier one of its key failed.
fn held_back(error: &BrokerError) -> BrokerError {
    let text = format!("not sent, since an earlier message of its key failed: {error}");
    match error {
        BrokerError::Refused { .. } => BrokerError::Refused {
            what: WHAT,
            reason: text,
        },
        _ => BrokerError::Unreachable(cause(text)),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn call(messages: &[(&str, usize)]) -> Call {
        let message = |(key, bytes): &(&str, usize)| Publication {
            topic: "orders".to_owned(),
            key: Some((*key).to_owned()),
            headers: Vec::new(),
            payload: Bytes::from(vec![0; *bytes]),
        };
        let publications: Vec<_> = messages.iter().map(message).collect();
        Call {
            outcomes: vec![Ok(()); publications.len()],
            left: publications.into_iter().enumerate().peekable(),
            failed: HashMap::new(),
        }
    }

    fn places(call: &mut Call) -> Option<Vec<usize>> {
        call.batch().map(|(places, _)| places)
    }

    #[test]
    fn a_call_goes_in_frames_of_bounded_size() {
        let half = BATCH_BYTES_MAX / 2;
        let mut sized = call(&[("a", half), ("b", half), ("c", 1), ("d", 3 << 20), ("e", 0)]);
        assert_eq!(places(&mut sized), Some(vec![0]));
        assert_eq!(places(&mut sized), Some(vec![1, 2]));
        assert_eq!(places(&mut sized), Some(vec![3]));
        assert_eq!(places(&mut sized), Some(vec![4]));
        assert_eq!(places(&mut sized), None);
        let mut many = call(&vec![("a", 0); BATCH_MAX + 1]);
        assert_eq!(
            places(&mut many).map(|places| places.len()),
            Some(BATCH_MAX)
        );
        assert_eq!(places(&mut many), Some(vec![BATCH_MAX]));
    }

    #[test]
    fn nothing_overtakes_a_message_of_its_key_that_is_too_large() {
        let mut call = call(&[("a", 0), ("b", MESSAGE_BYTES_MAX), ("b", 0), ("a", 0)]);
        assert_eq!(places(&mut call), Some(vec![0]));
        assert_eq!(places(&mut call), Some(vec![3]));
        assert_eq!(places(&mut call), None);
        let refused =
            |place: usize| matches!(call.outcomes[place], Err(BrokerError::Refused { .. }));
        assert_eq!([0, 1, 2, 3].map(refused), [false, true, true, false]);
    }

    #[test]
    fn nothing_overtakes_a_message_of_its_key_in_an_earlier_frame() {
        let mut call = call(&[("a", BATCH_BYTES_MAX), ("a", 1), ("b", 1)]);
        assert_eq!(places(&mut call), Some(vec![0]));
        let unknown = BrokerError::Unknown(cause("lost".to_owned()));
        call.settle(0, Some("a".to_owned()), Err(unknown));
        assert_eq!(places(&mut call), Some(vec![2]));
        assert!(matches!(call.outcomes[1], Err(BrokerError::Unreachable(_))));
    }
}
