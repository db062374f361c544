//! A server that dies by kill -9 while it is written to, and one whose disk is full.

#[path = "rig/server.rs"]
mod rig;

use griot_testkit::journal::{full, killed};
use griot_testkit::{JournalFactory as _, OwnServer, SmallDisk};

/// For the server's own files, and some beside them.
const DISK_MEBIBYTES: usize = 400;

#[test]
fn g1_g2_g3_g7_no_acknowledged_append_is_lost_or_stored_twice_when_the_server_is_killed() {
    griot_testkit::run(async {
        let Some(server) = rig::own_server().await else {
            return;
        };
        let place = rig::Place(rig::fresh(server.url()) + "&timeout_seconds=10");
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
        let Some(disk) = SmallDisk::mount(DISK_MEBIBYTES) else {
            return;
        };
        let server = OwnServer::start_on(&program, "postgres", &disk).await;
        let place = rig::Place(rig::fresh(server.url()) + "&timeout_seconds=10");
        full::nothing_acknowledged_is_lost_on_a_disk_that_is_full_for_a_while(
            &disk,
            &server,
            place.open().await,
        )
        .await;
    });
}
