//! Messages of brokers and entities together: all of `griot-events`, and what joins the two.
//!
//! - [`Entity`] lets a handler ask an entity, so that a message that comes again has no second effect.
//! - [`publisher`] takes what entities publish to a broker.
//! - [`open`] and [`connect`] choose the broker by its URL.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//! use griot::events::{self, Consumer, Failure, Json, Key, Message, Order, Producer, Router, Subscription};
//! use griot::events::layer::DefaultStack;
//! use griot::prelude::*;
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Default, Serialize, Deserialize)]
//! struct Meter { total: u64 }
//!
//! #[derive(Serialize, Deserialize)]
//! enum Reading { Read { units: u64 } }
//! impl Event for Reading {}
//!
//! impl Entity for Meter {
//!     const KIND: &'static str = "meter";
//!     type Event = Reading;
//!     fn evolve(&mut self, Reading::Read { units }: &Reading) { self.total += units; }
//! }
//!
//! #[derive(Clone, Serialize, Deserialize)]
//! struct Read { units: u64 }
//! impl Handle<Read> for Meter {
//!     type Reply = ();
//!     type Error = Never;
//!     fn decide(&self, Read { units }: Read, cx: &mut Cx<Self>) -> Result<(), Never> {
//!         cx.emit(Reading::Read { units });
//!         Ok(())
//!     }
//! }
//!
//! async fn read(meters: events::Entity<Meter>, Key(meter): Key<String>, Json(read): Json<Read>) -> Result<(), Failure> {
//!     meters.ask(&meter, read).await?;
//!     Ok(())
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let directory = directory.path();
//! let builder = griot::open(directory).await?;
//! let broker = events::open("embedded", builder.journal()).await?; // or nats://…
//! let griot = builder
//!     .publisher(events::publisher(Arc::clone(&broker)))
//!     .entity(Entities::<Meter>::new())
//!     .start()
//!     .await?;
//! let router: Router = Router::new()
//!     .on("readings", read)
//!     .layer(DefaultStack::default())
//!     .with_state(griot.clone());
//! let readings = Subscription {
//!     topics: router.topics(),
//!     group: "meters".to_owned(),
//!     in_flight_max: 1_000,
//!     order: Order::PerKey,
//! };
//! let consuming = Consumer::new(Arc::clone(&broker), readings, router).start().await?;
//!
//! let reading = Message::json("readings", &Read { units: 3 })?.key("cellar");
//! Producer::new(broker).publish(reading).await?;
//! let cellar = griot.entity::<Meter>("cellar")?;
//! let read = cellar.wait_until(Duration::from_secs(10), |meter, _| (meter.total == 3).then_some(()));
//! assert_eq!(read.await, Ok(Some(())));
//!
//! consuming.drain(Duration::from_secs(5)).await; // first, since its handlers ask entities
//! griot.drain(Duration::from_secs(5)).await;
//! # Ok(())
//! # }
//! ```

mod brokers;
mod entity;
mod publisher;

pub use griot_events::*;

pub use brokers::{EMBEDDED, check_url, connect, open};
pub use entity::{Entity, Refused};
pub use publisher::publisher;
