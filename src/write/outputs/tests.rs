use std::fs;
use std::path::Path;

use super::*;
use crate::replica::Fault;
use crate::write::{Mode, sample};

fn settings() -> Settings {
    Settings {
        dcd: true,
        extxyz: true,
        frame_interval_steps: 5,
        centred: true,
        degrees_of_freedom: vec![9, 9],
    }
}

fn open(root: &Path, mode: Mode) -> Arc<Folder> {
    Arc::new(Folder::open(root, mode).unwrap())
}

/// Frames and rows of the steps after `from` up to `to`.
fn advance(outputs: &mut Outputs, system: &System, replicas: &mut [Replica], from: u64, to: u64) {
    for step in from + 1..=to {
        sample::move_to(replicas, step);
        if step.is_multiple_of(5) {
            outputs.frame(system, replicas).unwrap();
        }
        if step.is_multiple_of(2) {
            outputs.log(system, replicas, None).unwrap();
        }
    }
}

#[test]
fn a_frozen_replica_is_written_no_more() {
    let root = sample::root();
    let system = sample::system(&["a", "b"]);
    let mut replicas = sample::replicas(&system, 1, 1);
    let folder = open(root.path(), Mode::Fresh);
    let mut outputs = Outputs::create(folder, settings(), &system, &replicas).unwrap();
    outputs.frame(&system, &replicas).unwrap();
    outputs.log(&system, &replicas, None).unwrap();
    advance(&mut outputs, &system, &mut replicas, 0, 12);
    replicas[1].status = Status::Failed(Fault::TooHot(12_345.0));
    advance(&mut outputs, &system, &mut replicas, 12, 20);
    outputs.flush(&replicas).unwrap();

    let axis = settings().axis(&replicas[0]);
    let length = |name: &str| root.path().join(name).metadata().unwrap().len();
    assert_eq!(axis.frames(length("a-T0-0000.dcd")), Some(5));
    assert_eq!(axis.frames(length("b-T0-0000.dcd")), Some(3));
    let log = fs::read_to_string(root.path().join(LOG)).unwrap();
    let rows = |label: &str| log.lines().filter(|line| line.starts_with(label)).count();
    assert_eq!((rows("a-T0-0000"), rows("b-T0-0000")), (11, 7));

    let failures = outputs.failures(&replicas);
    assert_eq!(failures.len(), 1);
    assert_eq!(failures[0].replica, "b-T0-0000");
    assert_eq!(failures[0].step, 12);
    assert_eq!(failures[0].cause, "temperature 12345 K");
    let last_frame = LastFrame { index: 2, step: 10 };
    assert_eq!(failures[0].last_good_frame, Some(last_frame));
}

#[test]
fn a_replica_that_never_moved_leaves_no_file() {
    let root = sample::root();
    let system = sample::system(&["a"]);
    let mut replicas = sample::replicas(&system, 1, 2);
    replicas[1].status = Status::Failed(Fault::NotFinite);
    let folder = open(root.path(), Mode::Fresh);
    let mut outputs = Outputs::create(folder, settings(), &system, &replicas).unwrap();
    outputs.frame(&system, &replicas).unwrap();
    let offsets = outputs.flush(&replicas).unwrap();
    assert_eq!(offsets.dcd[1], 0);
    assert!(!root.path().join("a-T0-0001.dcd").exists());
    assert_eq!(outputs.failures(&replicas)[0].last_good_frame, None);
    assert!(root.path().join("a.pdb").exists());
}

#[test]
fn what_is_not_finite_stops_the_run_and_is_not_written() {
    let root = sample::root();
    let system = sample::system(&["a"]);
    let mut replicas = sample::replicas(&system, 1, 1);
    replicas[0].positions_ang[1][2] = f64::NAN;
    for (dcd, extxyz) in [(true, false), (false, true)] {
        let settings = Settings {
            dcd,
            extxyz,
            ..settings()
        };
        let folder = open(root.path(), Mode::Overwrite);
        let mut outputs = Outputs::create(folder, settings, &system, &replicas).unwrap();
        let refused = outputs.frame(&system, &replicas).unwrap_err();
        assert!(refused.what().contains("a-T0-0000"), "{refused}");
        assert_eq!(outputs.flush(&replicas).unwrap().log, 0);
        assert!(!root.path().join("a-T0-0000.dcd").exists());
        assert!(!root.path().join("a-T0-0000.xyz").exists());
    }
}

#[test]
fn frames_are_centred_unless_told_otherwise() {
    let system = sample::system(&["a"]);
    let mut replicas = sample::replicas(&system, 1, 1);
    sample::move_to(&mut replicas, 5);
    for centred in [true, false] {
        let root = sample::root();
        let folder = open(root.path(), Mode::Fresh);
        let settings = Settings {
            centred,
            ..settings()
        };
        let mut outputs = Outputs::create(folder, settings, &system, &replicas).unwrap();
        outputs.frame(&system, &replicas).unwrap();
        outputs.flush(&replicas).unwrap();
        let text = fs::read_to_string(root.path().join("a-T0-0000.xyz")).unwrap();
        let positions: Vec<[f64; 3]> = text
            .lines()
            .skip(2)
            .map(|line| {
                let fields: Vec<_> = line.split(' ').collect();
                [1, 2, 3].map(|field| fields[field].parse().unwrap())
            })
            .collect();
        let centre = system.molecules[0].centre_of_mass_ang(&positions);
        // Nine digits of coordinates below 10 Å.
        assert_eq!(centre.iter().all(|value| value.abs() < 1e-8), centred);
        if !centred {
            assert!((positions[2][1] - replicas[0].positions_ang[2][1]).abs() < 1e-8);
        }
    }
}

#[test]
fn a_missing_or_short_file_is_refused_before_any_is_cut() {
    let root = sample::root();
    let system = sample::system(&["a"]);
    let mut replicas = sample::replicas(&system, 1, 2);
    let folder = open(root.path(), Mode::Fresh);
    let mut outputs = Outputs::create(folder, settings(), &system, &replicas).unwrap();
    outputs.frame(&system, &replicas).unwrap();
    let offsets = outputs.flush(&replicas).unwrap();
    advance(&mut outputs, &system, &mut replicas, 0, 10);
    outputs.flush(&replicas).unwrap();
    let folder = outputs.folder().clone();
    let victim = root.path().join("a-T0-0001.dcd");
    fs::write(&victim, "short").unwrap();
    for state in ["has 5 bytes", "is missing"] {
        let resumed = Outputs::resume(folder.clone(), settings(), &system, &replicas, &offsets);
        let refused = resumed.unwrap_err().to_string();
        assert!(
            refused.contains("a-T0-0001.dcd") && refused.contains(state),
            "{refused}"
        );
        assert!(refused.contains("--overwrite"));
        let _ = fs::remove_file(&victim);
    }
    assert!(root.path().join("a-T0-0000.dcd").metadata().unwrap().len() > offsets.dcd[0]);
}

#[test]
fn resuming_cuts_every_file_and_says_so() {
    let root = sample::root();
    let system = sample::system(&["a"]);
    let mut replicas = sample::replicas(&system, 1, 1);
    let folder = open(root.path(), Mode::Fresh);
    let mut outputs = Outputs::create(folder, settings(), &system, &replicas).unwrap();
    outputs.frame(&system, &replicas).unwrap();
    let offsets = outputs.flush(&replicas).unwrap();
    let before = fs::read(root.path().join("a-T0-0000.dcd")).unwrap();
    let start = replicas.clone();
    advance(&mut outputs, &system, &mut replicas, 0, 10);
    outputs.flush(&replicas).unwrap();
    let folder = outputs.folder().clone();
    drop(outputs);

    let resumed = Outputs::resume(folder, settings(), &system, &start, &offsets).unwrap();
    let message = resumed.message().unwrap();
    assert!(
        message.starts_with("3 files (a-T0-0000.dcd, …) cut back"),
        "{message}"
    );
    // Also the count of frames in the header is what it was.
    assert_eq!(fs::read(root.path().join("a-T0-0000.dcd")).unwrap(), before);
    assert!(!root.path().join(LOG).exists());
}

#[test]
fn a_full_disk_is_named_with_what_is_needed() {
    let root = sample::root();
    let system = sample::system(&["a"]);
    let mut replicas = sample::replicas(&system, 1, 1);
    let folder = open(root.path(), Mode::Fresh);
    let mut outputs = Outputs::create(folder.clone(), settings(), &system, &replicas).unwrap();
    outputs.frame(&system, &replicas).unwrap();
    advance(&mut outputs, &system, &mut replicas, 0, 10);
    outputs.flush(&replicas).unwrap();
    advance(&mut outputs, &system, &mut replicas, 10, 20);
    folder.disk().faults.fill_up(Some(50));
    let refused = outputs.flush(&replicas).unwrap_err();
    assert_eq!(refused.exit_code(), 1);
    let text = refused.to_string();
    for part in [
        "a-T0-0000.dcd",
        "bytes of all files wait",
        "safely on disk is 10",
        "--resume",
    ] {
        assert!(text.contains(part), "{text}");
    }
    // When there is room again, the same bytes go where they belong.
    folder.disk().faults.fill_up(None);
    let offsets = outputs.flush(&replicas).unwrap();
    let axis = settings().axis(&replicas[0]);
    assert_eq!(offsets.dcd[0], axis.file_bytes(5));
    let found = fs::read(root.path().join("a-T0-0000.dcd")).unwrap();
    assert_eq!(found.len() as u64, axis.file_bytes(5));
    assert_eq!(found[8..24], axis.counters(5));
}

#[test]
fn when_buffers_are_flushed_leaves_no_trace() {
    let system = sample::system(&["a", "b"]);
    let run = |flushes: &[u64]| {
        let root = sample::root();
        let mut replicas = sample::replicas(&system, 2, 2);
        let folder = open(root.path(), Mode::Fresh);
        let mut outputs = Outputs::create(folder, settings(), &system, &replicas).unwrap();
        outputs.frame(&system, &replicas).unwrap();
        let mut from = 0;
        for to in flushes {
            advance(&mut outputs, &system, &mut replicas, from, *to);
            outputs.flush(&replicas).unwrap();
            from = *to;
        }
        drop(outputs);
        contents(root.path())
    };
    assert_eq!(run(&[30]), run(&[1, 5, 6, 7, 8, 30]));
}

fn contents(root: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, fs::read(path).unwrap())
        })
        .collect();
    files.sort();
    files
}
