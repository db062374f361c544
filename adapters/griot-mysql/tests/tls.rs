//! A server that speaks TLS, and who is let in.

#[path = "rig/server.rs"]
mod rig;

use griot_journal::{Journal, ShardId};
use griot_mysql::MysqlJournal;
use griot_testkit::Authority;
use rig::{Other, connect, fresh, own_server};

#[test]
fn a_server_is_known_by_its_certificate_and_a_user_by_a_password() {
    griot_testkit::run(async {
        let Some(server) = own_server().await else {
            return;
        };
        let authority = Authority::new();
        let (certificate, key) = authority.sign("localhost");
        let folder = server.folder().join("tls");
        std::fs::create_dir(&folder).unwrap();
        std::fs::copy(certificate, folder.join("server.crt")).unwrap();
        std::fs::copy(key, folder.join("server.key")).unwrap();
        server.restart().await;

        let by_name = fresh(&server.url().replace("127.0.0.1", "localhost"));
        let known = format!("?ssl-mode=verify_identity&ssl-ca={}", authority.ca());
        let journal = connect(&format!("{by_name}{known}").replace("mysql://", "mariadb://")).await;
        let shard = ShardId {
            kind: "account".into(),
            number: 0,
        };
        assert_eq!(journal.claim(&shard).await.unwrap().get(), 1);
        let mut other = Other::connect(&format!("{by_name}{known}")).await;
        let cipher = "select variable_value from information_schema.session_status where variable_name = 'Ssl_cipher'";
        assert_ne!(other.text(cipher).await, "");

        let by_number = fresh(server.url());
        let refused = [
            (
                "nobody vouches for it",
                format!("{by_name}?ssl-mode=verify_identity"),
            ),
            ("it has another name", format!("{by_number}{known}")),
            (
                "the password is wrong",
                by_name.replace("griot:griot", "griot:wrong") + &known,
            ),
        ];
        for (why, url) in refused {
            assert!(MysqlJournal::connect(&url).await.is_err(), "{why}");
        }
    });
}
