//! Every write and every sync of a workload goes wrong, one at a time, in every way there is.

use griot_core::Seq;
use griot_journal::{AppendError, Journal, JournalError};
use griot_testkit::journal::entity;
use griot_testkit::{Fault, PowerCut, SimDisk};

use super::workload::{Fate, block_on, check, one, open, run, shard, verify, write, write_as};

const SEEDS: u64 = 200;
const CUTS: [PowerCut; 4] = [
    PowerCut::Nothing,
    PowerCut::Everything,
    PowerCut::Beginnings,
    PowerCut::Sectors,
];

/// Runs a seed's workload with a fault at one operation; gives the disk's trace.
async fn crash(seed: u64, at: u64, fault: Fault, cut: PowerCut) -> Vec<String> {
    let disk = SimDisk::new(seed);
    disk.fail_at(at, fault);
    let record = run(&disk, seed).await;
    disk.reboot(cut);
    let trace = disk.trace();
    check(&disk, &record).await;
    trace
}

/// How many operations a seed's workload takes, with nothing going wrong.
async fn operations(seed: u64) -> u64 {
    let disk = SimDisk::new(seed);
    let record = run(&disk, seed).await;
    assert!(
        record
            .batches
            .iter()
            .all(|(_, fate)| *fate == Fate::Acknowledged)
    );
    let operations = disk.operations();
    check(&disk, &record).await;
    operations
}

#[test]
fn g1_a_power_cut_at_every_write_and_sync_loses_nothing_that_was_acknowledged() {
    block_on(async {
        for seed in 0..SEEDS {
            for at in 1..=operations(seed).await {
                let cut = CUTS[usize::try_from((seed + at) % 4).unwrap()];
                crash(seed, at, Fault::PowerCut, cut).await;
            }
        }
    });
}

#[test]
fn each_seed_run_twice_has_the_same_trace() {
    block_on(async {
        for seed in 0..SEEDS {
            let at = seed % operations(seed).await + 1;
            let first = crash(seed, at, Fault::PowerCut, PowerCut::Sectors).await;
            let second = crash(seed, at, Fault::PowerCut, PowerCut::Sectors).await;
            assert_eq!(first, second);
        }
    });
}

#[test]
fn g5_an_error_at_every_write_and_sync_leaves_nothing_acknowledged_that_is_lost() {
    block_on(async {
        for seed in 0..SEEDS / 10 {
            for at in 1..=operations(seed).await {
                let cut = CUTS[usize::try_from((seed + at) % 4).unwrap()];
                crash(seed, at, Fault::Error, cut).await;
                crash(seed, at, Fault::Full, cut).await;
            }
        }
    });
}

#[test]
fn g1_a_power_cut_after_an_error_that_the_machine_survived_loses_nothing() {
    block_on(async {
        for seed in 0..SEEDS / 10 {
            for at in 1..=operations(seed).await {
                let disk = SimDisk::new(seed);
                disk.fail_at(at, Fault::Error);
                let record = run(&disk, seed).await;
                drop(verify(&disk, &record).await);
                disk.reboot(PowerCut::Nothing);
                check(&disk, &record).await;
            }
        }
    });
}

#[test]
fn g1_a_start_after_one_that_failed_rests_on_nothing_that_is_not_durable() {
    block_on(async {
        for (at, appends) in (1..20).flat_map(|at| [(at, 1), (at, 8)]) {
            let disk = SimDisk::new(at);
            disk.fail_at(at, Fault::Error);
            drop(open(&disk));
            let journal = open(&disk).or_else(|_| open(&disk)).unwrap();
            let Ok(epoch) = journal.claim(&shard()).await else {
                continue;
            };
            for seq in 0..appends {
                let append = one("a", seq, vec![b'x'; 1000]);
                // Where the fault is still to come, it is met here.
                if write_as(&journal, epoch, vec![append]).await.is_err() {
                    break;
                }
            }
            let acknowledged = journal.last_seq(&entity("a")).await;
            disk.reboot(PowerCut::Nothing);
            drop(journal);
            let last = open(&disk).unwrap().last_seq(&entity("a")).await.unwrap();
            assert!(
                last >= acknowledged.unwrap_or(Seq::ZERO),
                "{last} after a fault at {at}"
            );
        }
    });
}

#[test]
fn a_power_cut_during_recovery_is_recovered_from() {
    block_on(async {
        for seed in 0..SEEDS / 10 {
            for at in 1..=operations(seed).await {
                let disk = SimDisk::new(seed);
                disk.fail_at(at, Fault::PowerCut);
                let record = run(&disk, seed).await;
                disk.reboot(PowerCut::Sectors);
                for next in 1.. {
                    disk.fail_soon(next, Fault::PowerCut);
                    let opened = open(&disk);
                    let done = opened.is_ok();
                    drop(opened);
                    disk.reboot(PowerCut::Sectors);
                    if done {
                        break;
                    }
                }
                check(&disk, &record).await;
            }
        }
    });
}

#[test]
fn g5_a_failed_sync_poisons_and_is_never_tried_again() {
    block_on(async {
        let disk = SimDisk::new(1);
        let journal = open(&disk).unwrap();
        let epoch = journal.claim(&shard()).await.unwrap();
        write_as(&journal, epoch, vec![one("a", 0, "kept")])
            .await
            .unwrap();
        disk.fail_soon(2, Fault::Error);
        let unknown = write_as(&journal, epoch, vec![one("a", 1, "lost")]).await;
        let Err(AppendError::Unknown(JournalError::Poisoned { reason })) = unknown else {
            panic!("{unknown:?}");
        };
        assert!(reason.contains("sync"), "{reason}");
        let operations = disk.operations();
        let refused = write_as(&journal, epoch, vec![one("a", 1, "late")]).await;
        assert!(matches!(
            refused,
            Err(AppendError::Refused(JournalError::Poisoned { .. }))
        ));
        assert!(matches!(
            journal.claim(&shard()).await,
            Err(JournalError::Poisoned { .. })
        ));
        let end = journal.advanced(griot_core::Offset(1)).await;
        assert!(matches!(end, Err(JournalError::Poisoned { .. })));
        journal.close().await;
        assert_eq!(disk.operations(), operations, "nothing is written any more");
        drop(journal);
        disk.reboot(PowerCut::Nothing);
        let journal = open(&disk).unwrap();
        assert_eq!(journal.last_seq(&entity("a")).await.unwrap(), Seq(1));
        write(&journal, vec![one("a", 1, "again")]).await.unwrap();
    });
}

#[test]
fn g1_what_a_failed_sync_left_in_memory_is_on_the_disk_before_anything_rests_on_it() {
    block_on(async {
        for seed in 0..20 {
            let disk = SimDisk::new(seed);
            let journal = open(&disk).unwrap();
            let epoch = journal.claim(&shard()).await.unwrap();
            write_as(&journal, epoch, vec![one("a", 0, "first")])
                .await
                .unwrap();
            disk.fail_soon(2, Fault::Error);
            let second = one("a", 1, vec![b'x'; 700]);
            let unknown = write_as(&journal, epoch, vec![second]).await;
            assert!(matches!(unknown, Err(AppendError::Unknown(_))));
            drop(journal);
            // The machine goes on, so the second one is read back; the disk never got it.
            let journal = open(&disk).unwrap();
            assert_eq!(journal.last_seq(&entity("a")).await.unwrap(), Seq(2));
            write(&journal, vec![one("a", 2, "third")]).await.unwrap();
            disk.reboot(PowerCut::Nothing);
            drop(journal);
            let journal = open(&disk).unwrap();
            assert_eq!(journal.last_seq(&entity("a")).await.unwrap(), Seq(3));
        }
    });
}

#[test]
fn a_full_disk_refuses_stores_nothing_and_works_again_once_there_is_space() {
    block_on(async {
        let disk = SimDisk::new(1);
        let journal = open(&disk).unwrap();
        let epoch = journal.claim(&shard()).await.unwrap();
        disk.set_space(Some(10_000));
        let mut seq = 0;
        let refused = loop {
            match write_as(&journal, epoch, vec![one("a", seq, vec![b'x'; 500])]).await {
                Ok(()) => seq += 1,
                Err(error) => break error,
            }
        };
        assert!(
            matches!(refused, AppendError::Refused(JournalError::Full { .. })),
            "{refused}"
        );
        assert!(seq > 5, "the space that there was is used");
        for _ in 0..3 {
            let again = write_as(&journal, epoch, vec![one("a", seq, vec![b'x'; 500])]).await;
            assert!(matches!(
                again,
                Err(AppendError::Refused(JournalError::Full { .. }))
            ));
        }
        assert_eq!(journal.last_seq(&entity("a")).await.unwrap(), Seq(seq));
        assert!(
            disk.files()
                .iter()
                .all(|file| !file.to_string_lossy().ends_with(".new"))
        );
        disk.set_space(None);
        write_as(&journal, epoch, vec![one("a", seq, vec![b'y'; 500])])
            .await
            .unwrap();
        drop(journal);
        let journal = open(&disk).unwrap();
        assert_eq!(journal.last_seq(&entity("a")).await.unwrap(), Seq(seq + 1));
    });
}

#[test]
fn a_write_that_finds_the_disk_full_half_way_stores_nothing() {
    block_on(async {
        for seed in 0..100 {
            let disk = SimDisk::new(seed);
            let journal = open(&disk).unwrap();
            let epoch = journal.claim(&shard()).await.unwrap();
            disk.fail_soon(1, Fault::Full);
            let refused = write_as(&journal, epoch, vec![one("a", 0, vec![0; 1500])]).await;
            assert!(matches!(
                refused,
                Err(AppendError::Refused(JournalError::Full { .. }))
            ));
            let crashed = disk.copy();
            let after = open(&crashed).unwrap();
            assert_eq!(after.last_seq(&entity("a")).await.unwrap(), Seq::ZERO);
            write_as(&journal, epoch, vec![one("a", 0, "small")])
                .await
                .unwrap();
            drop(journal);
            let journal = open(&disk).unwrap();
            assert_eq!(journal.last_seq(&entity("a")).await.unwrap(), Seq(1));
        }
    });
}
