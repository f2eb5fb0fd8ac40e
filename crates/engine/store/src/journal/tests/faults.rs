use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::harness::{Run, config, open, put, rev};
use crate::config::Config;
use crate::disk::sim::{Fault, Left, SimDisk};
use crate::error::{CommitError, FailureKind, OpenError};
use crate::log::frame::{self, Read};
use crate::log::header::HEADER_BYTES;

const LOG: &str = "log-00000000000000000001.wal";

fn one_segment() -> Config {
    Config { segment_bytes: 4096, checkpoint_after_bytes: 1 << 20, ..config() }
}

/// Three commits; the last one is a batch of two.
fn sample() -> SimDisk {
    let disk = SimDisk::default();
    let mut run = open(&disk, &one_segment()).unwrap();
    run.one(vec![put("a", "first")]).unwrap();
    run.one(vec![put("b", "second one")]).unwrap();
    run.one(vec![put("c", "third"), put("d", "fourth!")]).unwrap();
    disk
}

/// Where each record begins, and where its content ends.
fn records(log: &[u8]) -> Vec<(usize, usize)> {
    let mut records = Vec::new();
    let mut at = HEADER_BYTES;
    while let Read::Frame { next, .. } = frame::read(log, at, 1) {
        let length = u32::from_le_bytes(log[at..at + 4].try_into().unwrap()) as usize;
        records.push((at, at + frame::PREFIX_BYTES + length));
        at = next;
    }
    records
}

fn with_log(name: &str, log: &[u8]) -> SimDisk {
    let disk = SimDisk::default();
    disk.plant(name, log.to_vec());
    disk
}

fn refused(disk: &SimDisk) -> OpenError {
    let before: Vec<_> = disk.names().into_iter().map(|name| (disk.content(&name), name)).collect();
    let error = open(disk, &one_segment()).err().expect("it must not open");
    let after: Vec<_> = disk.names().into_iter().map(|name| (disk.content(&name), name)).collect();
    assert!(before == after, "a refused directory is left as it is");
    error
}

#[test]
fn a_log_cut_at_any_byte_of_its_last_three_records_keeps_all_whole_batches() {
    let log = sample().content(LOG);
    let records = records(&log);
    assert_eq!(records.len(), 4);
    let all = ["pods/a=first", "pods/b=second one", "pods/c=third", "pods/d=fourth!"];
    for cut in records[1].0..=records[3].1 {
        let whole = if records[3].1 <= cut { 4 } else { 1 + usize::from(records[1].1 <= cut) };
        let mut zeroed = log.clone();
        zeroed[cut..].fill(0);
        for left in [&log[..cut], &zeroed] {
            let disk = with_log(LOG, left);
            let run = open(&disk, &one_segment()).unwrap_or_else(|error| panic!("cut at {cut}: {error}"));
            assert_eq!(run.rows(), all[..whole], "cut at {cut}");
            let clean =
                cut == records[1].0 || records[1].1 <= cut && cut <= records[2].0 || cut == records[3].1;
            assert_eq!(run.recovery.torn.is_none(), clean, "cut at {cut}: {:?}", run.recovery.torn);
            assert_eq!(run.recovery.revision, rev([1, 2, 4, 4][whole - 1] + 16384), "cut at {cut}");
            let again = open(&disk, &one_segment()).unwrap();
            assert_eq!((again.rows(), again.recovery.torn), (run.rows(), None), "cut at {cut}");
        }
    }
}

#[test]
fn a_torn_end_is_reported_with_file_place_and_size() {
    let mut log = sample().content(LOG);
    let records = records(&log);
    log[records[3].1 - 1] = 0;
    let run = open(&with_log(LOG, &log), &one_segment()).unwrap();
    assert_eq!(
        run.recovery.torn.unwrap().to_string(),
        "log-00000000000000000001.wal: the last 91 bytes from byte 160 on were not finished when the program ended \
         and are cut off: the checksum of a record is wrong"
    );
}

#[test]
fn any_flipped_byte_before_the_last_sync_is_refused_with_its_place() {
    let log = sample().content(LOG);
    let records = records(&log);
    for byte in 0..records[2].0 {
        let mut flipped = log.clone();
        flipped[byte] ^= 0x10;
        let record = records.iter().rev().map(|record| record.0).find(|start| *start <= byte).unwrap_or(0);
        let error = refused(&with_log(LOG, &flipped));
        if let OpenError::Corrupt { file, offset, .. } = &error {
            assert_eq!((file.as_str(), *offset), (LOG, record as u64), "byte {byte}");
        } else {
            let format = matches!(error, OpenError::Format { .. }) && (8..12).contains(&byte);
            assert!(format, "byte {byte}: {error}");
        }
    }
    for byte in records[2].0..records[3].1 {
        let mut flipped = log.clone();
        flipped[byte] ^= 0x10;
        let run = open(&with_log(LOG, &flipped), &one_segment()).unwrap();
        assert_eq!(run.rows(), ["pods/a=first", "pods/b=second one"], "byte {byte}");
        assert!(run.recovery.torn.is_some());
    }
}

#[test]
fn damage_in_the_middle_says_what_to_do() {
    let mut log = sample().content(LOG);
    let records = records(&log);
    log[records[0].1 - 1] ^= 1;
    assert_eq!(
        refused(&with_log(LOG, &log)).to_string(),
        "log-00000000000000000001.wal: damaged at byte 64: the checksum of a record is wrong, yet byte 112 was \
         written after it was safe on disk; nothing was changed; restore the data directory from a backup"
    );
}

/// Many segments and two checkpoints.
fn long() -> SimDisk {
    let disk = SimDisk::default();
    let mut run = open(&disk, &config()).unwrap();
    for n in 0..60 {
        run.one(vec![put(&format!("n{}", n % 9), &format!("{n}{}", "x".repeat(90)))]).unwrap();
        run.begin_checkpoint();
        run.finish_checkpoint();
    }
    disk
}

/// A history once found: the name of a new checkpoint was seen after a restart of the program, files older than it were
/// removed, and only then the power went, which took the name but not the removals.
#[test]
fn a_checkpoint_cut_short_twice_costs_nothing() {
    for seed in 0..800 {
        let mut rng = StdRng::seed_from_u64(seed);
        let (first, second) = (rng.random_range(3..6), rng.random_range(0..45));
        let disk = long();
        let mut run = open(&disk, &config()).unwrap();
        while run.job.is_none() {
            run.one(vec![put("a", &"x".repeat(100))]).unwrap();
            run.begin_checkpoint();
        }
        let rows = run.rows();
        disk.fault_after(first, Fault::Crash);
        run.finish_checkpoint();
        disk.repair();
        disk.fault_after(second, Fault::Crash);
        drop(open(&disk, &config()));
        disk.crash(Left::Pieces, &mut rng);
        let again = open(&disk, &config()).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert_eq!(again.rows(), rows, "seed {seed}");
    }
}

#[test]
fn any_flipped_byte_of_a_checkpoint_or_an_older_segment_is_refused() {
    let disk = long();
    let names = disk.names();
    let checkpoint = names.iter().find(|name| name.starts_with("checkpoint-")).unwrap();
    let segment = names.iter().find(|name| name.starts_with("log-")).unwrap();
    for name in [checkpoint, segment] {
        let sound = disk.content(name);
        for byte in 0..sound.len() {
            let mut flipped = sound.clone();
            flipped[byte] ^= 0x40;
            disk.plant(name, flipped);
            let error = open(&disk, &config()).err().unwrap_or_else(|| panic!("{name} byte {byte}"));
            let Some(place) = place(&error) else { panic!("{name} byte {byte}: {error}") };
            assert_eq!(place, name, "byte {byte}");
        }
        disk.plant(name, sound);
    }
    assert_eq!(open(&disk, &config()).unwrap().rows().len(), 9);
}

fn place(error: &OpenError) -> Option<&str> {
    if let OpenError::Corrupt { file, .. } | OpenError::Format { file, .. } = error {
        Some(file)
    } else {
        None
    }
}

#[test]
fn a_missing_segment_is_refused_with_the_hole() {
    let disk = long();
    let segments: Vec<_> = disk.names().into_iter().filter(|name| name.starts_with("log-")).collect();
    assert!(3 <= segments.len());
    let other = SimDisk::default();
    for name in disk.names().into_iter().filter(|name| *name != segments[1]) {
        other.plant(&name, disk.content(&name));
    }
    let text = refused(&other).to_string();
    assert!(
        text.starts_with("the log between revisions ") && text.contains(" is missing; nothing was changed")
    );
}

#[test]
fn another_format_is_refused_with_both_numbers_and_what_to_do() {
    let disk = long();
    for name in disk.names() {
        if name == *disk.names().iter().rfind(|name| name.starts_with("checkpoint-")).unwrap() {
            continue;
        }
        let sound = disk.content(&name);
        for (format, advice) in [
            (0_u32, "start the older program that wrote it, export the objects, and import them here"),
            (4, "start the newer program that wrote it, or restore a backup made with this one"),
        ] {
            let mut other = sound.clone();
            other[8..12].copy_from_slice(&format.to_le_bytes());
            disk.plant(&name, other);
            assert_eq!(
                refused(&disk).to_string(),
                format!("{name}: has format {format}, this program reads and writes format 3; {advice}")
            );
        }
        disk.plant(&name, sound);
    }
}

fn check_read_only(run: &mut Run, step: &str, kind: FailureKind) {
    for _ in 0..2 {
        let answers = run.group(vec![vec![put("x", "1")], vec![put("y", "2")]]);
        for answer in answers {
            let Err(CommitError::Failed(failure)) = answer else { panic!("{answer:?}") };
            assert_eq!((failure.step, failure.kind), (step, kind));
        }
    }
    assert_eq!(run.rows(), ["pods/a=1"]);
    assert_eq!(run.shared.revision(), rev(1));
}

#[test]
fn a_full_disk_makes_the_store_read_only_and_loses_nothing_acknowledged() {
    let disk = SimDisk::default();
    let mut run = open(&disk, &one_segment()).unwrap();
    run.one(vec![put("a", "1")]).unwrap();
    disk.fault_after(0, Fault::Full);
    check_read_only(&mut run, "append", FailureKind::DiskFull);
    let failure = run.journal.failed().unwrap();
    assert_eq!(
        failure.to_string(),
        "log-00000000000000000001.wal: cannot append: the disk is full; free space on it, then restart"
    );
    disk.repair();
    check_read_only(&mut run, "append", FailureKind::DiskFull);
    let again = open(&disk, &one_segment()).unwrap();
    assert_eq!(
        again.rows(),
        ["pods/a=1", "pods/x=1"],
        "what failed was half written: its first batch, whole"
    );
}

#[test]
fn a_full_disk_at_a_new_segment_is_no_different() {
    let disk = SimDisk::default();
    let mut run = open(&disk, &one_segment()).unwrap();
    run.one(vec![put("a", "1")]).unwrap();
    disk.fault_after(0, Fault::Full);
    let Err(CommitError::Failed(failure)) = run.one(vec![put("b", &"x".repeat(4096))]) else {
        panic!("it fits")
    };
    assert_eq!(
        failure.to_string(),
        "log-00000000000000000002.wal: cannot create: the disk is full; free space on it, then restart"
    );
    assert_eq!(disk.names(), [LOG]);
    assert_eq!(run.rows(), ["pods/a=1"]);
}

#[test]
fn a_failed_sync_is_final_even_if_the_next_one_would_succeed() {
    let disk = SimDisk::default();
    let mut run = open(&disk, &one_segment()).unwrap();
    run.one(vec![put("a", "1")]).unwrap();
    disk.fault_after(1, Fault::SyncFails);
    check_read_only(&mut run, "sync", FailureKind::Disk);
}

#[test]
fn what_a_failed_sync_left_in_the_cache_is_on_disk_once_it_was_seen() {
    let disk = SimDisk::default();
    let mut run = open(&disk, &one_segment()).unwrap();
    disk.fault_after(1, Fault::SyncFails);
    run.one(vec![put("a", "1")]).unwrap_err();
    let seen = open(&disk, &one_segment()).unwrap();
    assert_eq!(seen.rows(), ["pods/a=1"]);
    let mut rng = StdRng::seed_from_u64(1);
    disk.crash(Left::Nothing, &mut rng);
    assert_eq!(open(&disk, &one_segment()).unwrap().rows(), ["pods/a=1"]);
}

#[test]
fn a_full_disk_at_the_start_is_one_clear_sentence_and_leaves_nothing_half_made() {
    let disk = SimDisk::default();
    disk.fault_after(0, Fault::Full);
    let error = open(&disk, &one_segment()).err().unwrap();
    let OpenError::Write(failure) = error else { panic!("{error}") };
    assert_eq!(
        failure.to_string(),
        "log-00000000000000000001.wal: cannot create: the disk is full; free space on it, then restart"
    );
    assert_eq!(disk.names(), [""; 0]);
}

#[test]
fn a_checkpoint_that_does_not_fit_leaves_the_log_as_it_was() {
    let disk = SimDisk::default();
    let mut run = open(&disk, &config()).unwrap();
    while run.job.is_none() {
        run.one(vec![put("a", &"x".repeat(100))]).unwrap();
        run.begin_checkpoint();
    }
    let names = disk.names();
    disk.fault_after(0, Fault::Full);
    run.finish_checkpoint();
    disk.repair();
    assert_eq!(disk.names(), names);
    run.one(vec![put("b", "1")]).unwrap();
    assert_eq!(open(&disk, &config()).unwrap().rows().len(), 2);
}

#[test]
fn a_file_under_anothers_name_is_refused() {
    let disk = long();
    let segments: Vec<_> = disk.names().into_iter().filter(|name| name.starts_with("log-")).collect();
    disk.plant(&segments[1], disk.content(&segments[2]));
    let error = refused(&disk);
    assert_eq!(place(&error), Some(segments[1].as_str()), "{error}");
}

#[test]
fn what_a_crash_left_unfinished_is_removed_and_strange_files_are_left_alone() {
    let disk = sample();
    let strange = ["checkpoint-7", "log-12.wal", "log-0000000000000000000x.wal", "notes.new", "lock"];
    let unfinished = ["checkpoint-00000000000000000009.new", "log-00000000000000000009.wal.new"];
    for name in strange.iter().chain(&unfinished) {
        disk.plant(name, b"?".to_vec());
    }
    let run = open(&disk, &one_segment()).unwrap();
    assert_eq!(run.rows().len(), 4);
    let names = disk.names();
    assert!(strange.iter().all(|name| names.iter().any(|one| one == name)), "{names:?}");
    assert!(!names.iter().any(|name| unfinished.contains(&name.as_str())), "{names:?}");
}

#[test]
fn disk_use_stays_bounded_under_a_long_load() {
    let disk = long();
    let count = |prefix: &str| disk.names().iter().filter(|name| name.starts_with(prefix)).count();
    assert_eq!(count("checkpoint-"), 2);
    assert!(count("log-") <= 7, "{:?}", disk.names());
}
