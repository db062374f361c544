//! A server that speaks TLS, and who is let in.

#[path = "rig/server.rs"]
mod rig;

use griot_journal::{Journal, ShardId};
use griot_postgres::PostgresJournal;
use griot_testkit::Authority;
use rig::{Other, Server, connect, fresh, program};

#[test]
fn a_server_is_known_by_its_certificate_and_a_user_by_a_password() {
    griot_testkit::run(async {
        let Some(program) = program() else { return };
        let authority = Authority::new();
        let server = Server::start(&program).await;
        server.speak_tls(authority.sign("localhost")).await;
        let by_name = fresh(&server.url.replace("127.0.0.1", "localhost"));
        let known = format!("&sslmode=verify-full&sslrootcert={}", authority.ca());

        let journal = connect(&format!("{by_name}{known}")).await;
        let shard = ShardId {
            kind: "account".into(),
            number: 0,
        };
        assert_eq!(journal.claim(&shard).await.unwrap().get(), 1);
        let mut other = Other::connect(&format!("{by_name}{known}")).await;
        let is_encrypted = "select ssl::text from pg_stat_ssl where pid = pg_backend_pid()";
        assert_eq!(other.text(is_encrypted).await, "true");

        let by_number = fresh(&server.url);
        let refused = [
            (
                "nobody vouches for it",
                format!("{by_name}&sslmode=verify-full"),
            ),
            ("it has another name", format!("{by_number}{known}")),
            (
                "the password is wrong",
                by_name.replace("griot:griot", "griot:wrong") + &known,
            ),
        ];
        for (why, url) in refused {
            assert!(PostgresJournal::connect(&url).await.is_err(), "{why}");
        }
    });
}
