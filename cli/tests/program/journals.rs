//! A journal by its URL: what the program says of one that it cannot use, and what stays where it was.

use tempfile::TempDir;

use crate::ordering::{customer_of, order};
use crate::process::{Griot, ends, quiet_address, until};
use crate::server::Server;

#[tokio::test]
async fn a_url_that_is_no_journal_exits_two_and_its_password_is_not_repeated() {
    for url in [
        "mongodb://me:secret@host",
        "postgres://me:secret@host/shop?speed=9",
        "postgres://host/shop?password=secret&speed=9",
    ] {
        for (flags, variables) in [
            (&["serve", "--journal", url][..], &[][..]),
            (&["serve"][..], &[("GRIOT_JOURNAL", url)][..]),
        ] {
            let (code, said) = ends(flags, variables).await;
            assert_eq!(code, Some(2), "{said}");
            let (scheme, _) = url.split_once(':').unwrap();
            assert!(
                said.contains("--journal") && said.contains(scheme),
                "{said}"
            );
            assert!(!said.contains("secret"), "{said}");
        }
    }
}

#[tokio::test]
async fn a_journal_that_cannot_be_reached_is_waited_for_and_the_data_directory_is_taken() {
    let data = TempDir::new().unwrap();
    let url = format!(
        "postgres://me:secret@{}/shop?timeout_seconds=1",
        quiet_address()
    );
    let flags = ["--journal", &url];
    let (_griot, log) = Griot::serve_logging(data.path(), &flags);
    let said = until("it says that it waits", async || {
        let said = log.read();
        said.contains("waited for").then_some(said)
    })
    .await;
    assert!(!said.contains("secret"), "{said}");
    let directory = data.path().to_str().unwrap();
    let (code, said) = ends(
        &["serve", "--data-dir", directory, "--listen", "127.0.0.1:0"],
        &[],
    )
    .await;
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("in use") && said.contains(directory),
        "{said}"
    );
}

#[tokio::test]
async fn a_service_is_not_ready_while_its_journal_on_a_server_is_down_as_dies_too() {
    for name in ["postgres", "mysql", "cassandra"] {
        if let Some(server) = Server::database(name) {
            is_not_ready_while_down(server).await;
        }
    }
}

async fn is_not_ready_while_down(server: Server) {
    let _machine = crate::process::whole_machine().await;
    let data = TempDir::new().unwrap();
    let mut griot = Griot::serve(data.path(), &["--journal", &server.url]);
    let url = griot.ready().await;
    let mut customer = customer_of(&url);
    let placed = customer.place("first".to_owned(), order(0), Some(10)).await;
    let readiness = async || {
        let answer = reqwest::get(format!("{url}/readyz")).await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    assert_eq!(readiness().await, (200, "ready\n".to_owned()));
    server.kill().await;
    let (status, said) = readiness().await;
    assert_eq!(status, 503, "{said}");
    assert!(said.contains("the journal"), "{said}");
    server.up().await;
    until("it is ready again", async || {
        (readiness().await.0 == 200).then_some(())
    })
    .await;
    customer.ended(&placed.id).await;
    let second = customer.place("second".to_owned(), order(1), None).await;
    customer.ended(&second.id).await;
}
