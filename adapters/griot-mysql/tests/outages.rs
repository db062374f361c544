//! A server that dies by kill -9 while it is written to, and one whose disk is full.

#[path = "rig/server.rs"]
mod rig;

use griot_testkit::JournalFactory as _;
use griot_testkit::journal::{full, killed};

#[test]
fn g1_g2_g3_g7_no_acknowledged_append_is_lost_or_stored_twice_when_the_server_is_killed() {
    griot_testkit::run(async {
        let Some(server) = rig::own_server().await else {
            return;
        };
        let place = rig::Place(rig::fresh(server.url()) + "?timeout_seconds=10");
        let (journal, reader) = (place.open().await, place.open().await);
        killed::no_acknowledged_append_is_lost_or_stored_twice_when_the_server_is_killed(
            &server, journal, reader,
        )
        .await;
    });
}

#[test]
fn g1_nothing_acknowledged_is_lost_on_a_disk_that_is_full_for_a_while() {
    griot_testkit::run(async {
        let Some(program) = rig::program() else {
            return;
        };
        full::nothing_acknowledged_is_lost_on_a_disk_that_is_full_for_a_while(
            &program,
            "mysql",
            async |url| {
                let place = rig::Place(rig::fresh(url) + "?timeout_seconds=10");
                place.open().await
            },
        )
        .await;
    });
}
