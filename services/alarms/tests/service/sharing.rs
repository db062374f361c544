//! Several instances of the service, on one journal and one broker.

use crate::service::Stand;
use griot_alarms::{VerifyOptions, verify};
use std::sync::Arc;
use std::time::Duration;

/// Instances whose users are in one shard take it from each other again and again, and wait longer and
/// longer in between: it takes a while, so there are few of them.
pub(crate) fn few() -> VerifyOptions {
    VerifyOptions {
        users: 3,
        alarms: 3,
        within: Duration::from_mins(5),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn g4_instances_share_the_work_and_no_alarm_is_lost_or_told_twice() {
    let stand = Stand::embedded().await;
    let one = stand.service().await;
    let other = stand.service().await;
    verify(Arc::clone(&stand.broker), few()).await.unwrap();
    // One of them dies, and the other does all of it.
    drop(one);
    verify(Arc::clone(&stand.broker), few()).await.unwrap();
    assert_eq!(other.alarms.ready(), Ok(()));
}
