//! Wrong flags, wrong files, wrong directories: a clear error, the right exit code, and nothing lost.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::ordering::{customer_of, order};
use crate::process::{Griot, ends};

/// The start of the log, below the data directory; `FORMAT.md` describes it.
const FIRST_SEGMENT: &str = "journal/00000000000000000001.log";

/// What `griot serve` on this data directory ends with.
async fn serve_ends(data: &Path) -> (Option<i32>, String) {
    ends(
        &[
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--data-dir",
            data.to_str().unwrap(),
        ],
        &[],
    )
    .await
}

fn assert_says(said: &str, all: &[&str]) {
    for what in all {
        assert!(said.contains(what), "`{what}` is missing in: {said}");
    }
}

#[tokio::test]
async fn a_wrong_flag_or_value_exits_two_and_is_named() {
    for (arguments, named) in [
        (&["serve", "parcels"][..], &["parcels", "orders"][..]),
        (&["serve", "--lisen", ":1"], &["--lisen", "--listen"]),
        (&["serve", "--listen", "nowhere"], &["--listen", "nowhere"]),
        (
            &["serve", "--journal", "mongodb://db"],
            &["--journal", "mongodb://db", "embedded"],
        ),
        (
            &["serve", "--backends", "ftp://files"],
            &["--backends", "ftp://files"],
        ),
        (
            &["serve", "--backend-latency", "20"],
            &["--backend-latency", "20", "20ms"],
        ),
        (
            &["serve", "--drain-deadline", "-1s"],
            &["--drain-deadline", "-1s"],
        ),
        (
            &["serve", "--connections-max", "0"],
            &["--connections-max", "0"],
        ),
        (&["serve", "--log-format", "xml"], &["--log-format", "xml"]),
        (
            &["serve", "--config", "/no/such/file.toml"],
            &["--config", "/no/such/file.toml"],
        ),
        (
            &["serve", "--backends-ca", "/no/such/ca.pem"],
            &["--backends-ca", "/no/such/ca.pem"],
        ),
        (
            &["serve", "--backends-ca", "/dev/null"],
            &["--backends-ca", "/dev/null", "PEM"],
        ),
        (
            &["backends", "--listen", "127.0.0.1:0", "--fail-rate", "3"],
            &["--fail-rate", "3"],
        ),
        (
            &["backends", "--listen", "127.0.0.1:0", "--fail-rate", "-0.1"],
            &["--fail-rate", "-0.1"],
        ),
        (
            &[
                "load",
                "orders",
                "--to",
                "nowhere",
                "--orders",
                "1",
                "--concurrency",
                "1",
            ],
            &["--to", "nowhere"],
        ),
        (&["sing"], &["sing"]),
    ] {
        let (code, said) = ends(arguments, &[]).await;
        assert_eq!(code, Some(2), "{arguments:?}: {said}");
        assert_says(&said, named);
    }
}

#[tokio::test]
async fn a_password_in_the_url_of_the_backends_exits_two_and_is_not_repeated() {
    let data = TempDir::new().unwrap();
    let data = data.path().to_str().unwrap();
    let arguments = ["serve", "--data-dir", data, "--listen", "127.0.0.1:0"];
    let url = ("GRIOT_BACKENDS", "https://user:secret@backends.internal");
    let (code, said) = ends(&arguments, &[url]).await;
    assert_eq!(code, Some(2), "{said}");
    assert_says(&said, &["--backends", "backends.internal", "password"]);
    assert!(!said.contains("secret"), "{said}");
}

#[tokio::test]
async fn a_wrong_variable_exits_two_and_is_named_by_its_flag() {
    for (variable, value, flag) in [
        ("GRIOT_LISTEN", "nowhere", "--listen"),
        ("GRIOT_DRAIN_DEADLINE", "soon", "--drain-deadline"),
        ("GRIOT_LOG_FORMAT", "xml", "--log-format"),
    ] {
        let (code, said) = ends(&["serve"], &[(variable, value)]).await;
        assert_eq!(code, Some(2), "{said}");
        assert_says(&said, &[flag, value]);
    }
}

#[tokio::test]
async fn a_wrong_key_in_the_file_exits_two_and_is_named() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("griot.toml");
    let path = file.to_str().unwrap();
    for (text, named) in [
        ("lisen = 'x'", ["lisen", path]),
        ("listen = 'nowhere'", ["nowhere", path]),
    ] {
        fs::write(&file, text).unwrap();
        let (code, said) = ends(&["serve", "--config", path], &[]).await;
        assert_eq!(code, Some(2), "{said}");
        assert_says(&said, &named);
    }
}

#[tokio::test]
async fn a_flag_beats_the_environment_and_the_environment_beats_the_file() {
    let directory = TempDir::new().unwrap();
    let directories = ["file", "variable", "flag"]
        .map(|name| directory.path().join(name).to_str().unwrap().to_owned());
    let [from_file, from_variable, from_flag] = &directories;
    let config = directory.path().join("griot.toml");
    let config_path = config.to_str().unwrap();
    fs::write(
        &config,
        format!("data-dir = '{from_file}'\nlisten = '127.0.0.1:0'\n"),
    )
    .unwrap();
    let serve = ["serve", "--config", config_path];
    let found = || {
        directories
            .iter()
            .map(|path| Path::new(path).exists())
            .collect::<Vec<_>>()
    };

    Griot::start(&serve).ready().await;
    assert_eq!(found(), [true, false, false]);
    Griot::start_in(&serve, &[("GRIOT_DATA_DIR", from_variable)])
        .ready()
        .await;
    assert_eq!(found(), [true, true, false]);
    let flag = [&serve[..], &["--data-dir", from_flag]].concat();
    Griot::start_in(&flag, &[("GRIOT_DATA_DIR", "/dev/null/nowhere")])
        .ready()
        .await;
    assert_eq!(found(), [true, true, true]);
}

#[tokio::test]
async fn a_data_directory_in_use_is_refused_and_its_user_goes_on() {
    let data = TempDir::new().unwrap();
    let mut griot = Griot::serve(data.path(), &[]);
    let customer = customer_of(&griot.ready().await);
    let (code, said) = serve_ends(data.path()).await;
    assert_eq!(code, Some(1), "{said}");
    assert_says(&said, &[data.path().to_str().unwrap(), "in use", "--help"]);
    let (status, _) = customer.send("still-there", &order(0), None).await.unwrap();
    assert_eq!(status.as_u16(), 202);
}

#[tokio::test]
async fn a_data_directory_that_cannot_be_one_is_refused() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "not a directory").unwrap();
    for path in [
        file.clone(),
        file.join("below"),
        PathBuf::from("/proc/griot"),
    ] {
        let (code, said) = serve_ends(&path).await;
        assert_eq!(code, Some(1), "{said}");
        assert_says(&said, &[path.to_str().unwrap()]);
    }
    assert_eq!(fs::read_to_string(file).unwrap(), "not a directory");
}

#[tokio::test]
async fn a_data_directory_whose_log_is_gone_is_refused_and_says_what_to_do() {
    let data = TempDir::new().unwrap();
    Griot::serve(data.path(), &[]).ready().await;
    fs::remove_dir_all(data.path().join("journal")).unwrap();
    let (code, said) = serve_ends(data.path()).await;
    assert_eq!(code, Some(1), "{said}");
    assert_says(
        &said,
        &[data.path().to_str().unwrap(), "gone", "backup", "--help"],
    );
}

#[tokio::test]
async fn an_address_in_use_is_refused_and_named() {
    let data = TempDir::new().unwrap();
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, said) = ends(
        &[
            "serve",
            "--listen",
            &address,
            "--data-dir",
            data.path().to_str().unwrap(),
        ],
        &[],
    )
    .await;
    assert_eq!(code, Some(1), "{said}");
    assert_says(&said, &[&address, "--listen"]);
}

#[tokio::test]
async fn a_flipped_bit_in_the_log_is_refused_with_its_place_and_nothing_is_changed() {
    let data = TempDir::new().unwrap();
    let mut griot = Griot::serve(data.path(), &["--backend-latency", "1ms"]);
    let mut customer = customer_of(&griot.ready().await);
    for number in 0..10 {
        let placed = customer
            .place(format!("flip-{number}"), order(number), None)
            .await;
        customer.ended(&placed.id).await;
    }
    griot.kill();

    let log = data.path().join(FIRST_SEGMENT);
    let whole = fs::read(&log).unwrap();
    let written = whole.iter().rposition(|byte| *byte != 0).unwrap();
    let mut flipped = whole.clone();
    flipped[written / 2] ^= 1;
    fs::write(&log, &flipped).unwrap();
    let (code, said) = serve_ends(data.path()).await;
    assert_eq!(code, Some(1), "{said}");
    assert_says(&said, &[log.to_str().unwrap(), "damaged at byte", "--help"]);
    assert_eq!(
        fs::read(&log).unwrap(),
        flipped,
        "a refused start changed the log"
    );

    // With the bit as it was, everything is there.
    fs::write(&log, whole).unwrap();
    let mut griot = Griot::serve(data.path(), &[]);
    let orders = customer_of(&griot.ready().await)
        .get("/orders?state=completed&limit=100")
        .await;
    assert!(orders.to_string().contains("CUST-009"), "{orders}");
}

#[tokio::test]
async fn a_directory_of_a_newer_format_is_refused_and_not_touched() {
    let data = TempDir::new().unwrap();
    let mut griot = Griot::serve(data.path(), &[]);
    griot.ready().await;
    griot.kill();

    let log = data.path().join(FIRST_SEGMENT);
    let mut newer = fs::read(&log).unwrap();
    newer[8] += 1;
    let checksum = crc32fast::hash(&newer[..40]).to_le_bytes();
    newer[40..44].copy_from_slice(&checksum);
    fs::write(&log, &newer).unwrap();
    let (code, said) = serve_ends(data.path()).await;
    assert_eq!(code, Some(1), "{said}");
    assert_says(&said, &[log.to_str().unwrap(), "format 2", "newer griot"]);
    assert_eq!(fs::read(&log).unwrap(), newer);
}

#[tokio::test]
async fn help_says_what_to_do_about_a_damaged_log() {
    let help = std::process::Command::new(env!("CARGO_BIN_EXE_griot"))
        .args(["serve", "--help"])
        .output()
        .unwrap();
    assert_says(
        &String::from_utf8(help.stdout).unwrap(),
        &["damaged", "backup", "newer", "in use"],
    );
}
