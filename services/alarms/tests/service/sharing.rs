//! Several instances of the service, on one journal and one broker.

use crate::service::Stand;
use crate::verifying::patient;
use griot_alarms::verify;
use std::sync::Arc;

#[tokio::test(flavor = "multi_thread")]
async fn g4_instances_share_the_work_and_no_alarm_is_lost_or_told_twice() {
    let stand = Stand::embedded().await;
    let one = stand.service().await;
    let other = stand.service().await;
    verify(Arc::clone(&stand.broker), patient()).await.unwrap();
    // One of them dies, and the other does all of it.
    drop(one);
    verify(Arc::clone(&stand.broker), patient()).await.unwrap();
    let _third = stand.service().await;
    verify(Arc::clone(&stand.broker), patient()).await.unwrap();
    assert_eq!(other.alarms.ready(), Ok(()));
}
