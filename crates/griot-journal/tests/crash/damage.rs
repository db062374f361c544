//! Torn tails are cut off; everything else that does not check out is reported with its place.

use std::path::Path;

use griot_core::{Offset, Seq};
use griot_journal::{Filter, Journal, JournalError, SeqRange, Storage};
use griot_testkit::journal::entity;
use griot_testkit::{Logs, SimDisk};

use super::workload::{ROOT, SEGMENT_BYTES, block_on, one, open, segment, write};

/// A journal with three commits of which nobody closed it, and where its frames end.
fn three_commits(last: Vec<u8>) -> (SimDisk, Vec<usize>) {
    block_on(async {
        let disk = SimDisk::new(7);
        let journal = open(&disk).unwrap();
        let mut ends = vec![end(&disk)];
        for (seq, payload) in (0..).zip([b"first".to_vec(), b"second".to_vec(), last]) {
            write(&journal, vec![one("a", seq, payload)]).await.unwrap();
            ends.push(end(&disk));
        }
        (disk.copy(), ends)
    })
}

/// Where the last byte lies that is not zero.
fn end(disk: &SimDisk) -> usize {
    let bytes = disk.read(segment(1));
    bytes
        .iter()
        .rposition(|&byte| byte != 0)
        .map_or(0, |last| last + 1)
}

fn last_seq(disk: &SimDisk) -> u64 {
    let journal = open(disk).unwrap();
    block_on(journal.last_seq(&entity("a"))).unwrap().get()
}

/// Opens it in vain, and finds every file but the lock as it was.
#[track_caller]
fn refused(disk: &SimDisk) -> JournalError {
    let contents = || -> Vec<_> {
        let files = disk
            .files()
            .into_iter()
            .filter(|path| !path.ends_with("LOCK"));
        files.map(|path| (disk.read(&path), path)).collect()
    };
    let before = contents();
    let error = open(disk).map(drop).unwrap_err();
    assert!(contents() == before, "changed, and refused: {error}");
    error
}

#[track_caller]
fn assert_corrupt(disk: &SimDisk, number: u64, places: std::ops::RangeInclusive<usize>) {
    match refused(disk) {
        JournalError::Corrupt { path, position, .. } => {
            assert_eq!(path, Path::new(&segment(number)));
            let position = usize::try_from(position).unwrap();
            assert!(
                places.contains(&position),
                "{position} is not in {places:?}"
            );
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_refused_directory_stays_as_it_is() {
    let (disk, _) = three_commits(Vec::new());
    disk.lose(format!("{ROOT}/BEGUN"));
    disk.create(Path::new(&format!("{}.new", segment(2))))
        .unwrap();
    let whole = disk.copy();
    disk.edit(segment(1), |bytes| bytes[0] ^= 1);
    assert_corrupt(&disk, 1, 0..=0);
    assert_eq!(last_seq(&whole), 3);
    let is_unfinished = |path: &Path| path.extension().is_some_and(|end| end == "new");
    assert!(!whole.files().iter().any(|path| is_unfinished(path)));
}

#[test]
fn a_torn_tail_is_cut_off_at_every_byte_of_the_last_frame() {
    for payload in [b"third".to_vec(), vec![0; 1200], vec![b'x'; 1200]] {
        let (disk, ends) = three_commits(payload);
        for from in ends[2]..ends[3] {
            let zeroed = disk.copy();
            zeroed.edit(segment(1), |bytes| bytes[from..].fill(0));
            assert_eq!(last_seq(&zeroed), 2, "zero from {from}");
            assert_eq!(last_seq(&zeroed), 2, "and again");
            let cut = disk.copy();
            cut.edit(segment(1), |bytes| bytes.truncate(from));
            assert_eq!(last_seq(&cut), 2, "cut at {from}");
            block_on(async {
                let journal = open(&cut).unwrap();
                write(&journal, vec![one("a", 2, "third")]).await.unwrap();
            });
            assert_eq!(last_seq(&cut), 3);
        }
        assert_eq!(last_seq(&disk), 3, "whole, it is kept");
    }
}

#[test]
fn a_last_frame_of_which_any_sector_is_missing_is_cut_off() {
    let (disk, ends) = three_commits(vec![b'x'; 2600]);
    for first in (0..=ends[3] / 512).map(|sector| sector * 512) {
        let (from, to) = (first.max(ends[2]), (first + 512).min(ends[3]));
        if from < to {
            let torn = disk.copy();
            torn.edit(segment(1), |bytes| bytes[from..to].fill(0));
            assert_eq!(last_seq(&torn), 2, "without {from}..{to}");
        }
    }
}

#[test]
fn each_flipped_bit_is_reported_with_its_place_also_in_the_last_frame() {
    let (disk, ends) = three_commits(b"third".to_vec());
    for bit in 0..ends[3] * 8 {
        let flipped = disk.copy();
        flipped.flip(segment(1), bit);
        let byte = bit / 8;
        // Of the frame that holds the byte, its start or that of the record.
        let frame = ends
            .iter()
            .rev()
            .find(|&&end| end <= byte)
            .copied()
            .unwrap_or(0);
        assert_corrupt(&flipped, 1, frame..=byte);
        let before = flipped.read(segment(1));
        assert_corrupt(&flipped, 1, frame..=byte);
        assert_eq!(before, flipped.read(segment(1)), "nothing was changed");
    }
}

#[test]
fn after_an_orderly_close_a_flip_in_a_last_frame_full_of_zeros_is_reported_too() {
    let (disk, ends) = three_commits(vec![0; 1500]);
    drop(open(&disk).unwrap());
    for bit in (ends[2] * 8..ends[3] * 8).step_by(7) {
        let flipped = disk.copy();
        flipped.flip(segment(1), bit);
        assert_corrupt(&flipped, 1, ends[2]..=bit / 8);
    }
}

/// A journal of several segments.
fn segments() -> SimDisk {
    block_on(async {
        let disk = SimDisk::new(7);
        let journal = open(&disk).unwrap();
        for seq in 0..12 {
            write(&journal, vec![one("a", seq, vec![b'x'; 1000])])
                .await
                .unwrap();
        }
        drop(journal);
        assert!(disk.files().len() >= 4);
        disk.copy()
    })
}

#[test]
fn a_missing_segment_is_reported() {
    for number in 1..=3 {
        let disk = segments();
        disk.lose(segment(number));
        assert_corrupt(&disk, number, 0..=0);
    }
}

#[test]
fn what_is_cut_off_is_said_with_its_file_place_and_length_and_nothing_else_is() {
    let (disk, ends) = three_commits(vec![b'x'; 100]);
    let opened = |disk: &SimDisk| {
        let logs = Logs::collect();
        drop(open(disk).unwrap());
        logs.lines()
    };
    assert_eq!(opened(&disk.copy()), Vec::<String>::new(), "it was whole");
    disk.edit(segment(1), |bytes| bytes[ends[3] - 10..].fill(0));
    let lines = opened(&disk);
    let [line] = &lines[..] else {
        panic!("{lines:?}")
    };
    for what in ["WARN", &segment(1)] {
        assert!(line.contains(what), "`{what}` is missing in: {line}");
    }
    let number = |name: &str| -> usize {
        let (_, value) = line.split_once(&format!("\"{name}\":")).unwrap();
        value.split([',', '}']).next().unwrap().parse().unwrap()
    };
    let (position, bytes) = (number("position"), number("bytes"));
    assert!((ends[2]..ends[3]).contains(&position), "{line}");
    assert_eq!(position + bytes, ends[3] - 10, "{line}");
    assert_eq!(opened(&disk), Vec::<String>::new(), "it is cut off once");
}

#[track_caller]
fn assert_gone(disk: &SimDisk) {
    let error = refused(disk);
    assert!(matches!(error, JournalError::Missing { .. }), "{error:?}");
    let said = error.to_string();
    assert!(said.contains(ROOT) && said.contains("backup"), "{said}");
}

#[test]
fn a_log_that_is_gone_is_not_taken_for_one_that_never_was() {
    let (disk, _) = three_commits(Vec::new());
    disk.lose(segment(1));
    assert_gone(&disk);
    assert_gone(&disk);
    let disk = segments();
    for name in disk.files() {
        if name.to_string_lossy().contains("/journal/") {
            disk.lose(name);
        }
    }
    assert_gone(&disk);
}

#[test]
fn a_directory_from_before_it_said_that_it_has_a_log_opens_and_says_so_then() {
    let (disk, _) = three_commits(Vec::new());
    disk.lose(format!("{ROOT}/BEGUN"));
    assert_eq!(last_seq(&disk), 3);
    disk.lose(segment(1));
    assert_gone(&disk);
}

#[test]
fn a_segment_in_the_place_of_another_is_reported() {
    let disk = segments();
    let second = disk.read(segment(2));
    disk.edit(segment(3), |bytes| *bytes = second);
    assert_corrupt(&disk, 3, 0..=0);
}

#[test]
fn a_frame_that_is_not_whole_before_the_last_segment_is_reported() {
    let disk = segments();
    let bytes = disk.read(segment(2));
    let end = bytes.iter().rposition(|&byte| byte != 0).unwrap() + 1;
    for from in [60, end - 200, end - 1] {
        let torn = disk.copy();
        torn.edit(segment(2), |bytes| bytes[from..].fill(0));
        assert!(
            matches!(open(&torn), Err(JournalError::Corrupt { .. })),
            "{from}"
        );
    }
    let soiled = disk.copy();
    soiled.edit(segment(2), |bytes| *bytes.last_mut().unwrap() = 1);
    assert!(matches!(open(&soiled), Err(JournalError::Corrupt { .. })));
    assert_eq!(last_seq(&disk), 12);
}

#[test]
fn a_newer_format_is_refused_and_says_what_to_do() {
    let (disk, _) = three_commits(Vec::new());
    disk.edit(segment(1), |bytes| {
        bytes[8] = 2;
        let checksum = crc32fast::hash(&bytes[..40]).to_le_bytes();
        bytes[40..44].copy_from_slice(&checksum);
    });
    let refused = open(&disk);
    assert!(matches!(
        refused,
        Err(JournalError::NewerVersion {
            found: 2,
            supported: 1,
            ..
        })
    ));
    assert!(
        refused
            .unwrap_err()
            .to_string()
            .contains("use a newer griot")
    );
}

#[test]
fn a_file_that_is_no_log_is_reported() {
    let disk = SimDisk::new(1);
    drop(open(&disk).unwrap());
    disk.edit(segment(1), |bytes| {
        *bytes = vec![b'#'; usize::try_from(SEGMENT_BYTES).unwrap()];
    });
    assert_corrupt(&disk, 1, 0..=0);
    disk.edit(segment(1), Vec::clear);
    assert_corrupt(&disk, 1, 0..=0);
}

#[test]
fn a_bit_that_flips_under_an_open_journal_is_reported_by_the_read() {
    let (disk, ends) = three_commits(b"third".to_vec());
    let journal = open(&disk).unwrap();
    disk.flip(segment(1), (ends[2] - 10) * 8);
    block_on(async {
        let damaged = journal.events(&entity("a"), SeqRange::ALL).await;
        let Err(JournalError::Corrupt { position, .. }) = damaged else {
            panic!("{damaged:?}");
        };
        assert!((ends[1]..ends[2]).contains(&usize::try_from(position).unwrap()));
        let tail = journal.tail(Offset::ZERO, &Filter::default(), 10).await;
        assert!(
            matches!(tail, Err(JournalError::Corrupt { .. })),
            "{tail:?}"
        );
        let whole = SeqRange {
            to: Seq(1),
            ..SeqRange::ALL
        };
        assert_eq!(journal.events(&entity("a"), whole).await.unwrap().len(), 1);
    });
}
