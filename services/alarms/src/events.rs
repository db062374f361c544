//! What becomes of each message.

use crate::AlarmsConfig;
use crate::backlog::Backlog;
use crate::message::{
    ALARM_STATUS_CHANGED, AlarmStatusChanged, SEND_ALARM_DIGEST, SendAlarmDigest,
};
use crate::user::{ChangeStatus, NothingNew, SendDigest, User};
use griot::Griot;
use griot::events::layer::DefaultStack;
use griot::events::{Entity, Event, Failure, FromRef, Json, Router, State};
use griot::http::Object;

/// What the handlers share.
#[derive(Clone)]
struct Heard {
    griot: Griot,
    nothing_new: NothingNew,
    backlog: Backlog,
}

impl FromRef<Heard> for Backlog {
    fn from_ref(heard: &Heard) -> Self {
        heard.backlog.clone()
    }
}

impl FromRef<Heard> for Griot {
    fn from_ref(heard: &Heard) -> Self {
        heard.griot.clone()
    }
}

impl FromRef<Heard> for NothingNew {
    fn from_ref(heard: &Heard) -> Self {
        heard.nothing_new
    }
}

/// The handler of each topic.
pub(crate) fn router(griot: Griot, config: &AlarmsConfig) -> Router {
    let nothing_new = if config.send_empty_digests {
        NothingNew::EmptyDigest
    } else {
        NothingNew::Silence
    };
    Router::new()
        .on(ALARM_STATUS_CHANGED, change_status)
        .on(SEND_ALARM_DIGEST, send_digest)
        .layer(DefaultStack::default())
        .with_state(Heard {
            griot,
            nothing_new,
            backlog: Backlog::new(config.digest_quiet, config.digest_wait_max),
        })
}

async fn change_status(
    users: Entity<User>,
    State(backlog): State<Backlog>,
    event: Event,
    Json(Object(message)): Json<Object<AlarmStatusChanged>>,
) -> Result<(), Failure> {
    let _under_way = backlog.begin(event.published_at());
    let AlarmStatusChanged {
        alarm_id,
        user_id,
        status,
        changed_at,
    } = message;
    let command = ChangeStatus {
        alarm_id,
        status,
        changed_at,
    };
    users.ask(&user_id, command).await?;
    Ok(())
}

async fn send_digest(
    users: Entity<User>,
    State(nothing_new): State<NothingNew>,
    State(backlog): State<Backlog>,
    event: Event,
    Json(Object(SendAlarmDigest { user_id })): Json<Object<SendAlarmDigest>>,
) -> Result<(), Failure> {
    backlog.pass(event.published_at()).await;
    users.ask(&user_id, SendDigest { nothing_new }).await?;
    Ok(())
}
