//! Real processes on a real disk: killed at any moment, and kept out of each other's directory.

use std::collections::HashMap;
use std::env;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use griot_core::Seq;
use griot_journal::{EmbeddedLog, Journal, JournalError, Options, Preparation, SeqRange, Storage};
use griot_testkit::SimDisk;
use griot_testkit::journal::{append_of, entity};

use super::workload::{block_on, one, shard, write, write_as};

/// Where the other process writes; it is this very test, run alone.
const DIRECTORY: &str = "GRIOT_TEST_DIRECTORY";
const WRITER: &str = "processes::the_writer_that_is_killed_writes_in_order";
const KILLS: u64 = 25;

fn open(directory: &Path) -> Result<EmbeddedLog, JournalError> {
    let options = Options {
        segment_bytes: 64 << 10,
        ..Options::default()
    };
    EmbeddedLog::open(directory, options)
}

fn spawn(directory: &Path) -> Child {
    Command::new(env::current_exe().unwrap())
        .args(["--exact", WRITER, "--nocapture"])
        .env(DIRECTORY, directory)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Appends to four entities, up to `rounds` times, and says what was acknowledged.
async fn work(directory: &Path, rounds: u64, mut say: impl FnMut(String)) {
    let journal = match open(directory) {
        Ok(journal) => journal,
        Err(error) => return say(format!("refused: {error}")),
    };
    let epoch = journal.claim(&shard()).await.unwrap();
    let mut seqs = HashMap::new();
    for id in ["a", "b", "c", "d"] {
        seqs.insert(id, journal.last_seq(&entity(id)).await.unwrap().get());
    }
    for round in 0..rounds {
        for (id, seq) in &mut seqs {
            let events = round % 3 + 1;
            write_as(&journal, epoch, vec![append_of(&entity(id), *seq, events)])
                .await
                .unwrap();
            *seq += events;
            say(format!("acknowledged {id} {seq}"));
        }
    }
}

#[test]
fn the_writer_that_is_killed_writes_in_order() {
    if let Some(directory) = env::var_os(DIRECTORY) {
        let mut out = std::io::stdout().lock();
        block_on(work(Path::new(&directory), u64::MAX, |line| {
            writeln!(out, "{line}").unwrap();
        }));
        return;
    }
    let scratch = tempfile::tempdir().unwrap();
    let mut lines = Vec::new();
    block_on(work(scratch.path(), 3, |line| lines.push(line)));
    let of_a: Vec<_> = lines.iter().filter(|line| line.contains(" a ")).collect();
    assert_eq!(
        of_a,
        ["acknowledged a 1", "acknowledged a 3", "acknowledged a 6"]
    );
}

#[test]
fn g1_what_was_acknowledged_survives_kill_nine() {
    let scratch = tempfile::tempdir().unwrap();
    let mut acknowledged: HashMap<String, u64> = HashMap::new();
    for kill in 0..KILLS {
        let mut writer = spawn(scratch.path());
        let mut lines = BufReader::new(writer.stdout.take().unwrap()).lines();
        let mut left = fastrand::u64(..200);
        while let Some(Ok(line)) = lines.next() {
            assert!(!line.starts_with("refused"), "{line}");
            let mut words = line.split(' ');
            if words.next() == Some("acknowledged") {
                let id = words.next().unwrap().to_owned();
                acknowledged.insert(id, words.next().unwrap().parse().unwrap());
            }
            if left == 0 {
                // SIGKILL. What it had said until then is still read.
                writer.kill().unwrap();
            }
            left = left.wrapping_sub(1);
        }
        writer.wait().unwrap();
        block_on(check(scratch.path(), &acknowledged, kill));
    }
    assert_eq!(acknowledged.len(), 4);
}

async fn check(directory: &Path, acknowledged: &HashMap<String, u64>, kill: u64) {
    let journal = open(directory).unwrap();
    for (id, seq) in acknowledged {
        let last = journal.last_seq(&entity(id)).await.unwrap();
        assert!(
            last >= Seq(*seq),
            "{id}: {last} is there, {seq} was acknowledged"
        );
        let events = journal.events(&entity(id), SeqRange::ALL).await.unwrap();
        for (expected, event) in (1..).zip(&events) {
            assert_eq!(event.seq, Seq(expected));
            assert_eq!(event.event.payload, format!("{id}:{expected}"));
        }
        assert_eq!(events.last().unwrap().seq, last);
    }
    write(&journal, vec![one("kills", kill, "one more")])
        .await
        .unwrap();
    journal.close().await;
}

#[test]
fn two_processes_cannot_open_one_directory() {
    let scratch = tempfile::tempdir().unwrap();
    let journal = open(scratch.path()).unwrap();
    let writer = spawn(scratch.path()).wait_with_output().unwrap();
    let said = String::from_utf8(writer.stdout).unwrap();
    assert!(said.contains("refused: "), "{said}");
    assert!(said.contains("in use by another process"), "{said}");
    assert!(matches!(
        open(scratch.path()),
        Err(JournalError::Locked { .. })
    ));
    drop(journal);
    open(scratch.path()).unwrap();
}

#[test]
fn a_journal_that_was_dropped_leaves_nobody_behind_who_writes_to_its_directory() {
    let disk: Arc<dyn Storage> = Arc::new(SimDisk::new(1));
    let options = Options {
        segment_bytes: 128 << 20,
        preparation: Preparation::Ahead,
    };
    let journal = EmbeddedLog::open_on(Arc::clone(&disk), "/data", options).unwrap();
    // More than half of the first segment, so that the second is being made.
    let most = vec![b'x'; 3 << 20];
    block_on(write(&journal, vec![one("a", 0, most)])).unwrap();
    drop(journal);
    assert_eq!(Arc::strong_count(&disk), 1, "somebody still has the disk");
}

#[test]
fn a_missing_directory_is_made_and_an_unusable_one_is_named() {
    let scratch = tempfile::tempdir().unwrap();
    let deep = scratch.path().join("one/two");
    drop(open(&deep).unwrap());
    assert!(deep.join("journal").is_dir() && deep.join("LOCK").is_file());
    let file = scratch.path().join("file");
    std::fs::write(&file, "not a directory").unwrap();
    let refused = open(&file.join("data"));
    let Err(JournalError::Io { path, .. }) = refused else {
        panic!("{:?}", refused.map(drop));
    };
    assert!(path.starts_with(&file));
}
