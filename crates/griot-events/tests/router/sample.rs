//! Events to handle, and what to say of the answers.

use griot_events::{Answer, Content, EVENT_NAME, Event, Partition, Publication, Router};
use tower::Service;

/// An event as a literal, with what does not matter filled in.
pub(crate) struct Sample {
    pub(crate) topic: &'static str,
    pub(crate) name: Option<&'static str>,
    pub(crate) key: Option<&'static [u8]>,
    pub(crate) headers: Vec<(&'static str, &'static [u8])>,
    pub(crate) payload: &'static [u8],
    pub(crate) offset: u64,
}

impl Default for Sample {
    fn default() -> Self {
        Self {
            topic: "orders",
            name: None,
            key: Some(b"7"),
            headers: Vec::new(),
            payload: b"{}",
            offset: 3,
        }
    }
}

impl From<Sample> for Event {
    fn from(sample: Sample) -> Self {
        let name = sample.name.map(|name| (EVENT_NAME, name.as_bytes()));
        Self::new(Content {
            topic: sample.topic.to_owned(),
            key: sample.key.map(Into::into),
            headers: sample.headers.into_iter().chain(name).collect(),
            payload: sample.payload.into(),
            partition: Partition(2),
            offset: sample.offset,
            published_at: None,
            redelivered: 0,
        })
    }
}

/// What the router answers to an event.
pub(crate) async fn answer(router: &Router, event: impl Into<Event>) -> Answer {
    let Ok(answer) = router.clone().call(event.into()).await;
    answer
}

/// What the router answers to an event that matters as little as can be.
pub(crate) async fn answer_any(router: &Router) -> Answer {
    answer(router, Sample::default()).await
}

pub(crate) fn retry(reason: &str) -> Answer {
    let reason = reason.to_owned();
    Answer::Retry { reason }
}

pub(crate) fn dead_letter(reason: &str) -> Answer {
    let reason = reason.to_owned();
    Answer::DeadLetter { reason }
}

/// A publication that says what it is about in its topic.
pub(crate) fn publication(topic: &str) -> Publication {
    Publication {
        topic: topic.to_owned(),
        key: None,
        headers: Vec::new(),
        payload: "{}".into(),
    }
}

/// The first header of this name.
pub(crate) fn header<'a>(publication: &'a Publication, name: &str) -> Option<&'a str> {
    let mut headers = publication.headers.iter();
    let found = headers.find(|(other, _)| other == name);
    found.map(|(_, value)| value.as_str())
}

/// The only message that an answer publishes.
pub(crate) fn published(answer: Answer) -> Publication {
    match answer {
        Answer::Publish(mut publications) if publications.len() == 1 => publications.remove(0),
        other => panic!("not one publication: {other:?}"),
    }
}
