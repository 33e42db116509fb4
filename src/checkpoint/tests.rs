use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::format::encode;
use super::*;
use crate::error::Result;
use crate::replica::{Fault, Status};
use crate::system::System;
use crate::write::{
    CHECKPOINT, CHECKPOINT_DAMAGED, CHECKPOINT_PREVIOUS, Folder, Mode, Outputs, Settings, sample,
};

const STEPS: u64 = 40;
const CHECKPOINT_STEPS: u64 = 8;

fn settings() -> Settings {
    Settings {
        dcd: true,
        extxyz: true,
        frame_interval_steps: 5,
        centred: true,
        degrees_of_freedom: vec![9],
    }
}

/// Replicas with every kind of status.
fn some_replicas() -> Vec<Replica> {
    let system = sample::system(&["a"]);
    let mut replicas = sample::replicas(&system, 1, 5);
    sample::move_to(&mut replicas, 7);
    let faults = [
        Fault::NotFinite,
        Fault::TooHot(1.5e5),
        Fault::TooClose(0, 2, 0.25),
        Fault::BrokeApart(1, 2),
    ];
    for (replica, fault) in replicas.iter_mut().zip(faults) {
        replica.status = Status::Failed(fault);
    }
    replicas
}

fn checkpoint_of(step: u64, offsets: Offsets, replicas: Vec<Replica>) -> Checkpoint {
    Checkpoint {
        step,
        settings: vec![("seed".to_owned(), "1".to_owned())],
        student_hash: "abc".to_owned(),
        version: VERSION.to_owned(),
        device: "a CPU".to_owned(),
        breaks: vec!["step 3: another CPU".to_owned()],
        offsets,
        replicas,
    }
}

fn some_checkpoint(step: u64) -> Checkpoint {
    let offsets = Offsets {
        log: 17,
        dcd: vec![1, 2, 3, 4, 5],
        extxyz: Vec::new(),
    };
    checkpoint_of(step, offsets, some_replicas())
}

#[test]
fn a_checkpoint_reads_back_whole() {
    let checkpoint = some_checkpoint(7);
    assert_eq!(parse(&encode(&checkpoint).unwrap()).unwrap(), checkpoint);
}

#[test]
fn a_file_cut_at_any_length_is_an_error() {
    let bytes = encode(&some_checkpoint(7)).unwrap();
    for length in 0..bytes.len() {
        assert!(parse(&bytes[..length]).is_err(), "{length}");
    }
    let longer = [bytes.as_slice(), &[0]].concat();
    assert!(parse(&longer).is_err());
}

#[test]
fn a_file_with_any_byte_changed_is_an_error() {
    let mut bytes = encode(&some_checkpoint(7)).unwrap();
    for at in 0..bytes.len() {
        for flip in [1, 0x80, 0xff] {
            bytes[at] ^= flip;
            assert!(parse(&bytes).is_err(), "byte {at}");
            bytes[at] ^= flip;
        }
    }
}

#[test]
fn counts_beyond_the_file_take_no_memory() {
    let bytes = encode(&some_checkpoint(7)).unwrap();
    let header = u32::from_le_bytes(bytes[12..16].try_into().unwrap()) as usize;
    let replica_count_at = 16 + header + 8;
    let atom_count_at = replica_count_at + 8 + 104;
    for at in [replica_count_at, atom_count_at] {
        for count in [0, 1 << 40, u64::MAX / 72 + 2, u64::MAX] {
            let mut bytes = bytes.clone();
            bytes[at..at + 8].copy_from_slice(&count.to_le_bytes());
            assert!(parse(&bytes).is_err(), "{at} {count}");
        }
    }
    let mut bytes = bytes;
    bytes[12..16].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(parse(&bytes).is_err());
}

/// Saves two checkpoints and damages the newer one.
fn with_damaged_newest(root: &Path, damage: impl Fn(&mut Vec<u8>)) -> Folder {
    let folder = Folder::open(root, Mode::Resume).unwrap();
    for step in [1, 2] {
        some_checkpoint(step).save(&folder).unwrap();
    }
    let path = root.join(CHECKPOINT);
    let mut bytes = fs::read(&path).unwrap();
    damage(&mut bytes);
    fs::write(&path, bytes).unwrap();
    folder
}

#[test]
fn a_damaged_checkpoint_gives_way_to_the_one_before_loudly() {
    let root = sample::root();
    let length = encode(&some_checkpoint(2)).unwrap().len();
    for at in (0..length).step_by(331) {
        for cut in [true, false] {
            let folder = with_damaged_newest(root.path(), |bytes| {
                if cut {
                    bytes.truncate(at);
                } else {
                    bytes[at] ^= 0x10;
                }
            });
            let loaded = load(&folder).unwrap().unwrap();
            assert_eq!(loaded.checkpoint.step, 1);
            assert!(
                loaded.warnings[0].contains("of step 1"),
                "{:?}",
                loaded.warnings
            );
            // The damaged one is out of the way of the next.
            assert!(!root.path().join(CHECKPOINT).exists());
            assert!(root.path().join(CHECKPOINT_DAMAGED).exists());
            assert!(root.path().join(CHECKPOINT_PREVIOUS).exists());
        }
    }
}

#[test]
fn two_damaged_checkpoints_are_an_error_that_names_both() {
    let root = sample::root();
    let folder = with_damaged_newest(root.path(), |bytes| bytes.truncate(20));
    fs::write(root.path().join(CHECKPOINT_PREVIOUS), "text").unwrap();
    let refused = load(&folder).unwrap_err();
    assert_eq!(refused.exit_code(), 1);
    let text = refused.to_string();
    assert!(
        text.contains(CHECKPOINT) && text.contains(CHECKPOINT_PREVIOUS),
        "{text}"
    );
    // Nothing was moved: the user may know better.
    assert!(root.path().join(CHECKPOINT).exists());
}

#[test]
fn a_folder_without_checkpoints_has_none() {
    let root = sample::root();
    let folder = Folder::open(root.path(), Mode::Resume).unwrap();
    assert!(load(&folder).unwrap().is_none());
}

#[test]
fn a_full_disk_leaves_the_checkpoints_as_they_were() {
    let root = sample::root();
    let folder = with_damaged_newest(root.path(), |_| {});
    let checkpoint = some_checkpoint(3);
    folder.disk().faults.fill_up(Some(100));
    let refused = checkpoint.save(&folder).unwrap_err().to_string();
    let needed = format!("needs {} bytes", encode(&checkpoint).unwrap().len());
    for part in [
        &needed,
        "step 3",
        "last one saved is of step 2",
        "checkpoint.mdrun",
    ] {
        assert!(refused.contains(part), "{refused}");
    }
    assert_eq!(load(&folder).unwrap().unwrap().checkpoint.step, 2);
    assert!(!root.path().join("checkpoint.mdrun.unfinished").exists());
}

/// A whole run as the real one does it: resumed where there is a checkpoint, ended at a change of
/// the disk, and without power after that if so told.
fn run(root: &Path, end_at: Option<u64>, power_fails: bool) -> Result<()> {
    let system = sample::system(&["a"]);
    let mut replicas = sample::replicas(&system, 1, 2);
    let folder = Arc::new(Folder::open(root, Mode::Resume)?);
    if let Some(changes) = end_at {
        folder.disk().faults.end_at(changes);
    }
    let done = run_in(&folder, &system, &mut replicas);
    if power_fails && folder.disk().faults.ended() {
        folder.disk().faults.lose_power();
    }
    done
}

fn run_in(folder: &Arc<Folder>, system: &System, replicas: &mut Vec<Replica>) -> Result<()> {
    let (mut outputs, from) = match load(folder)? {
        None => {
            let mut outputs = Outputs::create(folder.clone(), settings(), system, replicas)?;
            outputs.frame(system, replicas)?;
            outputs.log(system, replicas, None)?;
            (outputs, 0)
        }
        Some(loaded) => {
            let checkpoint = loaded.checkpoint;
            checkpoint.agree(&checkpoint.settings, "abc")?;
            checkpoint.fits(replicas)?;
            *replicas = checkpoint.replicas;
            let offsets = &checkpoint.offsets;
            let resumed = Outputs::resume(folder.clone(), settings(), system, replicas, offsets)?;
            (resumed.outputs, checkpoint.step)
        }
    };
    for step in from + 1..=STEPS {
        sample::move_to(replicas, step);
        if step == 17 {
            replicas[1].status = Status::Failed(Fault::TooHot(1e5));
        }
        if step.is_multiple_of(5) {
            outputs.frame(system, replicas)?;
        }
        if step.is_multiple_of(3) {
            outputs.log(system, replicas, None)?;
        }
        if step.is_multiple_of(CHECKPOINT_STEPS) {
            let offsets = outputs.flush(replicas)?;
            checkpoint_of(step, offsets, replicas.clone()).save(folder)?;
        }
    }
    Ok(())
}

/// Everything in a folder that must not depend on interruptions.
fn contents(root: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if name != ".mdrun.lock" && name != CHECKPOINT_PREVIOUS {
            files.push((name, fs::read(path).unwrap()));
        }
    }
    files.sort();
    files
}

#[test]
fn a_run_ended_at_any_change_of_the_disk_goes_on_to_the_same_bytes() {
    let root = sample::root();
    run(root.path(), None, false).unwrap();
    let expected = contents(root.path());
    for power_fails in [false, true] {
        let mut changes = 0;
        loop {
            let root = sample::root();
            let finished = run(root.path(), Some(changes), power_fails).is_ok();
            if !finished {
                // What goes on is ended once more, somewhere else.
                let _ = run(root.path(), Some(changes * 7 % 60), power_fails);
                run(root.path(), None, false).unwrap();
            }
            assert!(
                contents(root.path()) == expected,
                "ended at change {changes}"
            );
            if finished {
                break;
            }
            changes += 1;
        }
        // Five checkpoints of five files, each with writes, a fsync and two renames.
        assert!(changes > 60, "{changes}");
    }
}
