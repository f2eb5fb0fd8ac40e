use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::sim::SimFiles;
use super::verify::Anchor;
use super::*;

const SEGMENT: u64 = 400;

type Opened = (Log, Option<Torn>, Vec<(Position, Vec<u8>)>);

fn open(files: &Arc<SimFiles>) -> Result<Opened, LogError> {
    let mut seen = Vec::new();
    let (log, torn) = Log::open(Arc::clone(files) as Arc<dyn Files>, SEGMENT, &mut |position, _, body| {
        seen.push((position, body.to_vec()));
        Ok(())
    })?;
    Ok((log, torn, seen))
}

fn body(number: u64) -> Vec<u8> {
    format!("record {number} {}", "x".repeat((number * 7 % 40) as usize)).into_bytes()
}

/// A log of several sealed segments and an open one.
fn filled(records: u64) -> Arc<SimFiles> {
    let files = Arc::new(SimFiles::default());
    let (mut log, ..) = open(&files).unwrap();
    for number in 1..=records {
        log.append(&body(number)).unwrap();
        if number % 3 == 0 {
            log.commit().unwrap();
        }
    }
    log.commit().unwrap();
    files
}

#[test]
fn records_come_back_in_order_by_walk_and_by_position() {
    let files = filled(40);
    let (log, torn, seen) = open(&files).unwrap();
    assert_eq!(torn, None);
    assert!(log.segment > 3, "several segments");
    assert_eq!(
        seen.iter().map(|(_, body)| body.clone()).collect::<Vec<_>>(),
        (1..=40).map(body).collect::<Vec<_>>()
    );
    for (position, body) in seen {
        assert_eq!(log.read(position).unwrap(), body);
    }
    let verdict = verify(&*files, None, None).unwrap();
    assert_eq!((verdict.records, verdict.broken, verdict.segments), (40, None, log.segment));
    assert_eq!(verdict.chain, super::verify::hex(&log.chain()));
}

#[test]
fn a_record_of_an_open_group_can_be_read() {
    let files = filled(2);
    let (mut log, ..) = open(&files).unwrap();
    let position = log.append(b"not yet synced").unwrap();
    assert_eq!(log.read(position).unwrap(), b"not yet synced");
}

#[test]
fn every_changed_byte_is_found_and_named() {
    let files = filled(24);
    let names = files.list().unwrap();
    let whole = verify(&*files, None, None).unwrap();
    for name in &names {
        let length = files.read(name).unwrap().len();
        for at in 0..length {
            let copy = files.copy();
            copy.edit(name, |bytes| bytes[at] ^= 1 << (at % 8));
            let verdict = verify(&copy, None, None).unwrap();
            let broken = verdict.broken.unwrap_or_else(|| panic!("{name} byte {at} went unseen"));
            assert_eq!(&broken.file, name);
            assert!(broken.offset <= at as u64, "{broken:?} for byte {at}");
            assert!(verdict.records < whole.records || broken.record == whole.records + 1, "{broken:?}");
        }
    }
}

#[test]
fn a_record_rewritten_with_a_right_checksum_breaks_the_chain_at_its_place() {
    let files = filled(24);
    let name = super::files::name(1);
    let bytes = files.read(&name).unwrap();
    let first = frame::frame_at(&bytes, HEADER_BYTES, 1).unwrap();
    let Frame::Record { sequence, group_first, body } = first.frame else { panic!("a record") };
    let forged = body.iter().map(|byte| if *byte == b'x' { b'y' } else { *byte }).collect::<Vec<_>>();
    let mut out = Vec::new();
    let mut chain = Chain::default();
    Frame::Record { sequence, group_first, body: &forged }.encode(1, &mut chain, &mut out);
    files.edit(&name, |bytes| bytes[HEADER_BYTES..HEADER_BYTES + out.len()].copy_from_slice(&out));
    let broken = verify(&*files, None, None).unwrap().broken.unwrap();
    assert_eq!((broken.record, broken.offset), (2, (HEADER_BYTES + out.len()) as u64));
    assert!(matches!(open(&files), Err(LogError::Damaged { .. })));
}

#[test]
fn an_anchor_finds_a_history_rewritten_as_a_whole_or_cut_short() {
    let files = filled(9);
    let chain = verify(&*files, None, None).unwrap().chain;
    let anchor = |record| Anchor { record, chain: chain.clone() };
    assert_eq!(verify(&*files, None, Some(&anchor(9))).unwrap().broken, None);
    assert_eq!(verify(&*files, None, Some(&anchor(8))).unwrap().broken.unwrap().record, 8);
    assert_eq!(verify(&*filled(8), None, Some(&anchor(9))).unwrap().broken.unwrap().record, 9);
}

#[test]
fn damage_before_the_end_is_refused_with_its_place_and_nothing_is_changed() {
    let files = filled(24);
    let last = files.list().unwrap().pop().unwrap();
    let first_record = HEADER_BYTES + PREFIX_TO_BODY;
    for name in [super::files::name(1), last] {
        let copy = Arc::new(files.copy());
        copy.edit(&name, |bytes| bytes[first_record] ^= 1);
        let before = copy.read(&name).unwrap();
        match open(&copy) {
            Err(LogError::Damaged { file, offset, .. }) => {
                assert_eq!((file, offset), (name.clone(), HEADER_BYTES as u64));
            }
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("{name} was opened"),
        }
        assert_eq!(copy.read(&name).unwrap(), before);
    }
}

const PREFIX_TO_BODY: usize = 20;

#[test]
fn a_newer_format_is_refused_by_its_number() {
    let files = filled(3);
    files.edit(&super::files::name(1), |bytes| {
        bytes[8] = 9;
        let crc = crc32c::crc32c(&bytes[..HEADER_BYTES - 4]);
        bytes[HEADER_BYTES - 4..HEADER_BYTES].copy_from_slice(&crc.to_le_bytes());
    });
    assert!(matches!(open(&files), Err(LogError::Format { found: 9, known: 1, .. })));
}

#[test]
fn what_was_committed_survives_every_crash_and_nothing_else_appears() {
    for seed in 0..600 {
        let mut rng = StdRng::seed_from_u64(seed);
        let files = Arc::new(SimFiles::default());
        let (mut committed, mut written) = (0, 0);
        for _life in 0..3 {
            files.light(rng.random_range(0..40));
            let mut live = || -> Result<(), LogError> {
                let (mut log, _, seen) = open(&files)?;
                written = seen.len() as u64;
                committed = written;
                loop {
                    for _ in 0..rng.random_range(1..5) {
                        log.append(&body(written + 1))?;
                        written += 1;
                    }
                    log.commit()?;
                    committed = written;
                }
            };
            let ended = live().unwrap_err();
            assert!(matches!(ended, LogError::File { .. }), "seed {seed}: {ended}");
            files.crash(&mut rng);
            let (.., seen) = open(&files).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
            let count = seen.len() as u64;
            assert!(
                committed <= count && count <= written,
                "seed {seed}: {committed} <= {count} <= {written}"
            );
            assert!(seen.iter().enumerate().all(|(index, (_, each))| *each == body(index as u64 + 1)));
            let verdict = verify(&*files, None, None).unwrap();
            assert_eq!((verdict.broken, verdict.records), (None, count), "seed {seed}");
        }
    }
}
