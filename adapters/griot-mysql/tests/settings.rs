//! Settings of a server that are not the safe ones.

#[path = "rig/server.rs"]
mod rig;

use griot_journal::{AppendError, JournalError};
use griot_mysql::MysqlJournal;
use griot_testkit::JournalFactory as _;
use griot_testkit::journal::server::{JournalServer as _, OtherSession as _};
use griot_testkit::journal::{Writer, append_of, entity, happened};
use rig::{Place, fresh, own_server};

#[test]
fn a_batch_that_the_server_would_not_take_is_refused_and_the_next_one_is_stored() {
    griot_testkit::run(async {
        let Some(server) = own_server().await else {
            return;
        };
        let place = Place(fresh(server.url()));
        place.open().await.close().await;
        let mut other = place.other().await;
        other.say("set global max_allowed_packet = 1048576").await;
        let journal = place.open().await;
        let writer = Writer::claim(&journal).await.unwrap();
        let mut large = append_of(&entity("a"), 0, 0);
        large.events = vec![happened(vec![b' '; 2 << 20])];
        let small = entity("b");
        let (large, small) = tokio::join!(writer.append(vec![large]), writer.write(&small, 0, 1));
        assert!(
            matches!(
                large,
                Err(AppendError::Refused(JournalError::TooLarge {
                    limit: 1_048_576,
                    ..
                }))
            ),
            "{large:?}"
        );
        small.unwrap();
    });
}

#[test]
fn g1_a_server_that_would_lose_commits_in_a_power_cut_is_refused() {
    griot_testkit::run(async {
        let Some(server) = own_server().await else {
            return;
        };
        let place = Place(fresh(server.url()));
        place.open().await.close().await;
        let mut other = place.other().await;
        other
            .say("set global innodb_flush_log_at_trx_commit = 2")
            .await;
        let refused = MysqlJournal::connect(&place.0).await.unwrap_err();
        let said = refused.to_string();
        assert!(
            said.contains("innodb_flush_log_at_trx_commit = 1"),
            "{said}"
        );
    });
}
