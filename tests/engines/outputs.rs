//! A campaign whose frames and lines are written beside the steps leaves the bytes of one that stops
//! for each of them.
//!
//! Without a network a GPU has the bits of the host, where writing and stepping take turns.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mdrun::engine::Engine;
use mdrun::engine::host::HostEngine;
use mdrun::engine::potential::{Nothing, Term};
use mdrun::integrate::Scheme;
use mdrun::replica::Replica;
use mdrun::run::{Calendar, Campaign, Clock, Ending, Interrupt, OutputCost, Progress};
use mdrun::system::System;
use mdrun::write::{Folder, Mode, Offsets, Outputs, Settings};

use crate::molecules::{replicas, system};
use crate::{Gpu, Precision, engine_of};

const CALENDAR: Calendar = Calendar {
    steps: 11,
    frames_every: 3,
    log_every: 2,
};
const WELL: [Term; 1] = [Term::HarmonicWell(0.5)];

/// What a campaign leaves: its files, and what its last checkpoint holds.
#[derive(Debug, PartialEq)]
struct Left {
    files: BTreeMap<String, Vec<u8>>,
    step: u64,
    replicas: String,
    offsets: Offsets,
}

fn run(
    engine: &mut dyn Engine,
    system: &System,
    start: &[Replica],
    checkpoint_every: Duration,
) -> Left {
    let root = tempfile::tempdir().unwrap();
    let folder = Arc::new(Folder::open(root.path(), Mode::Fresh).unwrap());
    let settings = Settings {
        dcd: true,
        extxyz: true,
        frame_interval_steps: CALENDAR.frames_every,
        centred: true,
        degrees_of_freedom: system.molecules.iter().map(|m| 3 * m.len()).collect(),
    };
    let mut outputs = Outputs::create(folder, settings, system, start).unwrap();
    engine.evaluate().unwrap();
    let mut replicas = start.to_vec();
    engine.snapshot(&mut replicas).unwrap();
    let mut last = None;
    let mut campaign = Campaign {
        system,
        scheme: Scheme::Langevin,
        engine,
        uncertainty: None,
        replicas: &mut replicas,
        step: 0,
        written: false,
        outputs: &mut outputs,
        cost: OutputCost::default(),
    };
    let clock = Clock {
        checkpoint_every,
        ..Clock::default()
    };
    let interrupt = Interrupt::install(None).unwrap();
    let mut progress = Progress::new(0, CALENDAR.steps, start.len(), 0.5);
    let save = |step, replicas: &[Replica], offsets| {
        last = Some((step, format!("{replicas:?}"), offsets));
        Ok(())
    };
    let ending = campaign.run(&CALENDAR, &clock, &interrupt, &mut progress, save);
    assert_eq!(ending.unwrap(), Ending::Complete);
    let (step, replicas, offsets) = last.unwrap();
    Left {
        files: files(root.path()),
        step,
        replicas,
        offsets,
    }
}

fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    let name = |entry: &fs::DirEntry| entry.file_name().into_string().unwrap();
    let seen = entries.filter(|entry| !name(entry).starts_with('.'));
    seen.map(|entry| (name(&entry), fs::read(entry.path()).unwrap()))
        .collect()
}

fn check(system: &Arc<System>, start: &[Replica]) -> Left {
    let (never, always) = (Duration::MAX, Duration::ZERO);
    let mut host = HostEngine::new(system.clone(), Nothing, WELL.into(), start);
    let expected = run(&mut host, system, start, never);
    for checkpoint_every in [never, always] {
        let limits = (usize::MAX, Precision::Single);
        let mut gpu = engine_of(system, None, &WELL, start, limits);
        let left = run(&mut gpu, system, start, checkpoint_every);
        assert!(left == expected, "checkpoints every {checkpoint_every:?}");
    }
    expected
}

/// Replicas at room temperature, of which those that are marked fall into the well from far away, and
/// are too hot after a few steps.
fn falling(sizes: &[usize], seed: u64, falls: &[bool]) -> (Arc<System>, Vec<Replica>) {
    let mut system = (*system(sizes, seed)).clone();
    system.temperature_limit_k = 20_000.0;
    let mut start: Vec<Replica> = (0..2).flat_map(|copy| replicas(&system, copy)).collect();
    for (replica, _) in start.iter_mut().zip(falls).filter(|(_, falls)| **falls) {
        for position_ang in &mut replica.positions_ang {
            position_ang[0] += 50.0;
        }
    }
    (Arc::new(system), start)
}

#[test]
fn frames_and_lines_beside_the_steps_are_the_same_bytes() {
    gpu_or_skip!();
    let (system, start) = falling(&[3, 5, 2], 30, &[false, true]);
    let left = check(&system, &start);
    assert_eq!((left.step, left.files.len()), (11, 1 + 3 + 2 * 6));
    let failed = left.replicas.matches("TooHot").count();
    assert_eq!(failed, 1, "{}", left.replicas);
}

/// Nobody hears of it before the next event; the files must not show that.
#[test]
fn the_end_of_everybody_is_at_the_same_step() {
    gpu_or_skip!();
    let (system, start) = falling(&[4], 31, &[true, true]);
    let left = check(&system, &start);
    let failed = left.replicas.matches("TooHot").count();
    assert!(left.step < 11 && failed == 2, "{}", left.replicas);
    assert!(!left.replicas.contains("step: 0"), "{}", left.replicas);
}
