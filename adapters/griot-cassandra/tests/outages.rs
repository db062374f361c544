//! A server that dies by kill -9 while it is written to.

#[path = "rig/cluster.rs"]
mod rig;

use griot_testkit::journal::killed;

#[test]
fn g1_g2_g3_g7_no_acknowledged_append_is_lost_or_stored_twice_when_the_server_is_killed() {
    griot_testkit::run(async {
        let Some(server) = rig::own_server().await else {
            return;
        };
        let url = rig::Place::at(server.url()).url() + "&timeout_seconds=10";
        let (journal, reader) = (rig::connect(&url).await, rig::connect(&url).await);
        killed::no_acknowledged_append_is_lost_or_stored_twice_when_the_server_is_killed(
            &server,
            std::sync::Arc::new(journal),
            std::sync::Arc::new(reader),
        )
        .await;
    });
}
