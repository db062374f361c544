//! A server that speaks TLS, and who is let in.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

#[path = "rig/server.rs"]
mod rig;

use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};

use griot_journal::{Journal, ShardId};
use griot_postgres::PostgresJournal;
use griot_testkit::{Authority, OwnServer};
use rig::{Other, connect, fresh, own_server};

/// Makes it speak TLS by a certificate and its key.
async fn speak_tls(server: &OwnServer, (certificate, key): (String, String)) {
    let folder = server.folder().join("data");
    let owner = std::fs::metadata(&folder).unwrap();
    for (from, to) in [(certificate, "server.crt"), (key, "server.key")] {
        let to = folder.join(to);
        std::fs::copy(from, &to).unwrap();
        std::fs::set_permissions(&to, Permissions::from_mode(0o600)).unwrap();
        chown(&to, Some(owner.uid()), Some(owner.gid())).unwrap();
    }
    let settings = folder.join("postgresql.conf");
    let text = std::fs::read_to_string(&settings).unwrap();
    std::fs::write(&settings, text + "\nssl = on\n").unwrap();
    server.restart().await;
}

#[test]
fn a_server_is_known_by_its_certificate_and_a_user_by_a_password() {
    griot_testkit::run(async {
        let Some(server) = own_server().await else {
            return;
        };
        let authority = Authority::new();
        speak_tls(&server, authority.sign("localhost")).await;
        let by_name = fresh(&server.url().replace("127.0.0.1", "localhost"));
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

        let by_number = fresh(server.url());
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
