//! Alarms of users, gathered from a broker and told in digests: none lost, none told twice.
//!
//! Anybody publishes [`AlarmStatusChanged`]: an alarm of a user's has a status since a moment. The
//! broker may deliver that late and more than once; the latest moment wins. Anybody publishes
//! [`SendAlarmDigest`]: the user is then told, in an [`AlarmDigest`], of the active alarms whose status
//! changed since the last digest.
//!
//! A [`user`] is an entity, and pure: it decides what changed and what is new. A digest is a
//! publication in the same append as the event that it was sent, so that whatever is killed in
//! between, what changed is told, and told once. A message is acknowledged after what it changed is
//! durable, and carries its id as the command's key, so that it changes nothing when it comes again.
//! What cannot be read goes to the topic's dead letters with its cause, and the rest goes on.
//!
//! Instances share the work where they share the journal. With a journal of its own, an instance knows
//! only what it heard itself: then run one, and let another take over its data directory.
//!
//! [`verify`] tries all that from the outside, on any broker. It is not a framework: what other
//! services could use stands in `griot`.
//!
//! ```
//! use griot::events::{self, Message, Producer};
//! use griot_alarms::{Alarms, AlarmsConfig};
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let directory = directory.path();
//! let builder = griot::open(directory).await?;
//! let broker = events::open("embedded", builder.journal()).await?; // or nats://…
//! let builder = builder.publisher(events::publisher(Arc::clone(&broker)));
//! let config = AlarmsConfig::default();
//! let griot = Alarms::register(builder, &config).start().await?;
//! let alarms = Alarms::start(griot.clone(), Arc::clone(&broker), config).await?;
//! let app = griot::http::answer_with_problems(alarms.router()); // GET /alarms/ann
//!
//! let warning = serde_json::json!({
//!     "AlarmID": "oven", "UserID": "ann", "Status": "WARNING", "ChangedAt": "2026-01-31T12:00:00.123456789Z",
//! });
//! let producer = Producer::new(broker);
//! producer.publish(Message::json("AlarmStatusChanged", &warning)?.key("ann")).await?;
//!
//! assert_eq!(alarms.drain(Duration::from_secs(20)).await, 0); // first, since it asks the users
//! assert!(griot.drain(Duration::from_secs(20)).await.in_time);
//! # drop(app);
//! # Ok(())
//! # }
//! ```

mod alarms;
mod api;
mod backlog;
mod changed_at;
mod config;
mod events;
mod message;
pub mod user;
mod verify;

pub use alarms::Alarms;
pub use changed_at::{ChangedAt, NotAMoment};
pub use config::AlarmsConfig;
pub use message::{
    ALARM_DIGEST, ALARM_STATUS_CHANGED, ActiveAlarm, AlarmDigest, AlarmStatusChanged,
    SEND_ALARM_DIGEST, SendAlarmDigest, Status,
};
pub use verify::{VerifyError, VerifyOptions, verify};
