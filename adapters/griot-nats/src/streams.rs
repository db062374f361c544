//! Which stream holds a topic; made where there is none.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::jetstream::ErrorCode;
use griot_events::BrokerError;
use serde_json::{Value, json};

use crate::fault::Trouble;
use crate::link::Link;
use crate::names;

/// For how long a stream remembers message ids, to drop a message that comes again.
const DUPLICATE_WINDOW: Duration = Duration::from_mins(2);

/// How often another client's change of a stream may come between ours.
const ATTEMPTS: usize = 16;

/// What to call this in errors.
const WHAT: &str = "the stream of a topic";

/// Finds and makes streams.
#[derive(Clone, Debug)]
pub(crate) struct Streams {
    link: Link,
    /// Topics that are known to be held.
    held: Arc<Mutex<HashSet<String>>>,
}

impl Streams {
    pub(crate) fn new(link: Link) -> Self {
        Self {
            link,
            held: Arc::default(),
        }
    }

    /// Makes sure that a stream holds what is published to a topic.
    pub(crate) async fn hold(&self, topic: &str) -> Result<(), BrokerError> {
        let known = |held: &mut HashSet<String>| held.contains(topic);
        if self.with_held(known) {
            return Ok(());
        }
        self.of(topic).await?;
        self.with_held(|held| held.insert(topic.to_owned()));
        Ok(())
    }

    /// Looks again next time: nothing held a topic after all.
    pub(crate) fn forget(&self, topic: &str) {
        self.with_held(|held| held.remove(topic));
    }

    /// The streams that hold a topic: one, unless it is a pattern over streams that others made.
    pub(crate) async fn of(&self, topic: &str) -> Result<Vec<String>, BrokerError> {
        if let Some(fault) = names::fault(topic) {
            let reason = format!("{topic:?} cannot be one: {fault}");
            let what = "the topic";
            return Err(BrokerError::Refused { what, reason });
        }
        for _ in 0..ATTEMPTS {
            let found = self.find(topic).await?;
            if let [only] = found.as_slice()
                && self.covers(only, topic).await?
            {
                return Ok(found);
            }
            if self.make(topic).await? {
                continue;
            }
            if found.is_empty() {
                return Err(BrokerError::Refused {
                    what: WHAT,
                    reason: format!(
                        "no stream holds {topic:?}, and it is too wide to make one: make one with `nats stream add`, or name the first word of the topic"
                    ),
                });
            }
            tracing::warn!(
                topic,
                ?found,
                "these streams hold parts of the pattern; a topic that none of them holds is missed"
            );
            return Ok(found);
        }
        Err(BrokerError::Refused {
            what: WHAT,
            reason: format!("other clients keep changing the stream of {topic:?}: try again later"),
        })
    }

    /// Streams with subjects in common with a topic.
    async fn find(&self, topic: &str) -> Result<Vec<String>, BrokerError> {
        let mut found = Vec::new();
        loop {
            let request = json!({ "subject": topic, "offset": found.len() });
            let page = self.ask("STREAM.NAMES", &request).await?;
            let names = texts(&page["streams"]);
            let total = page["total"].as_u64().unwrap_or(0);
            let before = found.len();
            found.extend(names);
            if found.len() == before || found.len() as u64 >= total {
                return Ok(found);
            }
        }
    }

    /// Whether one stream holds all of a topic; and whether it is one to rely on.
    async fn covers(&self, stream: &str, topic: &str) -> Result<bool, BrokerError> {
        let info = self
            .ask(&format!("STREAM.INFO.{stream}"), &Value::Null)
            .await?;
        let config = &info["config"];
        if config["no_ack"] == json!(true) {
            return Err(BrokerError::Refused {
                what: WHAT,
                reason: format!(
                    "stream {stream} has `no_ack` and confirms nothing: change it with `nats stream edit`"
                ),
            });
        }
        if config["storage"] == json!("memory") || config["persist_mode"] == json!("async") {
            tracing::warn!(
                stream,
                "acknowledged messages of this stream do not survive a power cut: use file storage and no `persist_mode: async`"
            );
        }
        let subjects = texts(&config["subjects"]);
        Ok(subjects.iter().any(|wide| names::covers(wide, topic)))
    }

    /// Makes the stream of a topic, or adds the topic to it. False where that cannot be.
    async fn make(&self, topic: &str) -> Result<bool, BrokerError> {
        let Some(name) = names::stream_of(topic) else {
            return Ok(false);
        };
        let existing = self
            .link
            .ask(&format!("STREAM.INFO.{name}"), &Value::Null)
            .await;
        let (verb, config) = match existing {
            Ok(mut info) => {
                let mut config = info["config"].take();
                let mut subjects = texts(&config["subjects"]);
                subjects.retain(|narrow| !names::covers(topic, narrow));
                subjects.push(topic.to_owned());
                config["subjects"] = json!(subjects);
                ("UPDATE", config)
            }
            Err(trouble) if trouble.is(ErrorCode::STREAM_NOT_FOUND) => {
                ("CREATE", self.config(&name, topic))
            }
            Err(trouble) => return Err(self.link.forbidden.trouble(WHAT, trouble)),
        };
        match self
            .link
            .ask(&format!("STREAM.{verb}.{name}"), &config)
            .await
        {
            Ok(_) => Ok(true),
            // Another client was faster: look again.
            Err(trouble) if trouble.is(ErrorCode::STREAM_NAME_EXIST) => Ok(true),
            Err(trouble) if trouble.is(ErrorCode::STREAM_SUBJECT_OVERLAP) => {
                Ok(!names::is_pattern(topic))
            }
            Err(trouble) => Err(self.link.forbidden.trouble(WHAT, trouble)),
        }
    }

    fn config(&self, name: &str, topic: &str) -> Value {
        let options = &self.link.options;
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let age = options.max_age.map_or(0, nanos);
        let window = match age {
            0 => nanos(DUPLICATE_WINDOW),
            age => age.min(nanos(DUPLICATE_WINDOW)),
        };
        let bytes = options.max_bytes.map_or(json!(-1), |bytes| json!(bytes));
        json!({
            "name": name,
            "description": "made by griot",
            "subjects": [topic],
            "storage": "file",
            "retention": "limits",
            // A full stream says so to the publisher; dropping the oldest would drop in silence.
            "discard": "new",
            "num_replicas": options.replicas,
            "max_age": age,
            "max_bytes": bytes,
            "max_msgs": -1,
            "max_msg_size": -1,
            "max_consumers": -1,
            "max_msgs_per_subject": -1,
            "duplicate_window": window,
            "allow_direct": true,
        })
    }

    async fn ask(&self, subject: &str, request: &Value) -> Result<Value, BrokerError> {
        let answer = self.link.ask(subject, request).await;
        answer.map_err(|trouble: Trouble| self.link.forbidden.trouble(WHAT, trouble))
    }

    fn with_held<R>(&self, work: impl FnOnce(&mut HashSet<String>) -> R) -> R {
        work(&mut self.held.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn texts(list: &Value) -> Vec<String> {
    let list = list.as_array().into_iter().flatten();
    list.filter_map(Value::as_str).map(str::to_owned).collect()
}
