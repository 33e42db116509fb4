//! Whether files that a run has left are whole: their parts read back, up to a length.
//!
//! What a file must hold follows from the calendar: a frame or a line at steps 0, k, 2k, … up to the
//! replica's last. Nothing here writes.

use std::collections::HashMap;
use std::io::{self, BufRead, Read};
use std::path::Path;

use super::folder::listed;
use super::{CHECKPOINT, LOG, dcd, log};
use crate::error::{Error, Result};
use crate::replica::Replica;

/// The files of a run that grow, by name.
#[derive(Debug)]
pub struct Growing {
    /// Trajectories as DCD, in the order of the replicas.
    pub dcd: Vec<String>,
    /// Trajectories as extended XYZ, likewise.
    pub extxyz: Vec<String>,
    /// Topologies, which do not grow.
    pub topologies: Vec<String>,
}

impl Growing {
    /// As listed in an output folder.
    pub fn listed(folder: &Path) -> Result<Self> {
        let names = listed(folder)?;
        if !names.iter().any(|name| name == CHECKPOINT) {
            let what = format!("{} is no output folder of a run", folder.display());
            return Err(Error::input(what));
        }
        let ending = |ending: &str| {
            let found = names.iter().filter(|name| name.ends_with(ending));
            found.cloned().collect()
        };
        Ok(Self {
            dcd: ending(".dcd"),
            extxyz: ending(".xyz"),
            topologies: ending(".pdb"),
        })
    }
}

/// What is wrong with a file.
pub type Fault = String;

/// Reads a DCD of `bytes` bytes whose last frame should be that of `replica`; the number of frames.
pub fn trajectory(
    file: impl Read,
    bytes: u64,
    axis: dcd::Axis,
    replica: &Replica,
) -> Result<u64, Fault> {
    let mut file = io::BufReader::new(file.take(bytes));
    let frames = axis
        .frames(bytes)
        .ok_or("ends within a frame or its header")?;
    axis.read_header(&mut file)?;
    let expected = replica.step / axis.interval_steps + 1;
    if frames != expected {
        return Err(format!("has {frames} frames instead of {expected}"));
    }
    let mut positions_ang = vec![[0.0; 3]; axis.atoms];
    for frame in 0..frames {
        axis.read_frame(&mut file, &mut positions_ang)
            .map_err(|fault| format!("frame {frame}: {fault}"))?;
    }
    let is_last = replica.step.is_multiple_of(axis.interval_steps);
    if is_last && !same_shape(&positions_ang, &replica.positions_ang) {
        return Err(format!(
            "frame {} is not that of the checkpoint",
            frames - 1
        ));
    }
    Ok(frames)
}

/// Whether two structures differ by no more than a shift and single precision.
fn same_shape(single_ang: &[[f32; 3]], exact_ang: &[[f64; 3]]) -> bool {
    let largest = |x: f32, y: &f32| x.max(y.abs());
    let largest = single_ang.as_flattened().iter().fold(0.0, largest);
    // Two coordinates were rounded, to half a unit in the last place each.
    let bound = f64::from(f32::EPSILON) * f64::from(largest) * 1.01;
    let from_first = |x: f64, first: f64| x - first;
    single_ang.iter().zip(exact_ang).all(|(a, b)| {
        (0..3).all(|n| {
            let a = from_first(f64::from(a[n]), f64::from(single_ang[0][n]));
            let b = from_first(b[n], exact_ang[0][n]);
            (a - b).abs() <= bound
        })
    })
}

/// Reads an extended XYZ of `bytes` bytes; the number of frames.
pub fn extended_xyz(
    file: impl Read,
    bytes: u64,
    interval_steps: u64,
    replica: &Replica,
) -> Result<u64, Fault> {
    let atoms = replica.positions_ang.len();
    let mut lines = io::BufReader::new(file.take(bytes)).lines();
    let mut frames = 0;
    let unreadable = |source: io::Error| source.to_string();
    while let Some(count) = lines.next() {
        let at = |fault: &str| format!("frame {frames}: {fault}");
        if count.map_err(unreadable)? != atoms.to_string() {
            return Err(at("another number of atoms"));
        }
        let mut next = || lines.next().transpose().map_err(unreadable);
        let comment = next()?.ok_or_else(|| at("no comment line"))?;
        let step = format!(" step={} ", frames * interval_steps);
        if !comment.contains(&step) {
            return Err(at("another step"));
        }
        for _ in 0..atoms {
            let line = next()?.ok_or_else(|| at("ends within the atoms"))?;
            let numbers = line.split(' ').skip(1).map(str::parse::<f64>);
            let finite = numbers.filter(|x| x.as_ref().is_ok_and(|x| x.is_finite()));
            if finite.count() != 6 {
                return Err(at("not six numbers for an atom"));
            }
        }
        frames += 1;
    }
    let expected = replica.step / interval_steps + 1;
    if frames == expected {
        Ok(frames)
    } else {
        Err(format!("has {frames} frames instead of {expected}"))
    }
}

/// Reads a log of `bytes` bytes of replicas with these labels; the number of lines.
pub fn log_lines(
    file: impl Read,
    bytes: u64,
    interval_steps: u64,
    labels: &[String],
    replicas: &[Replica],
) -> Result<u64, Fault> {
    let slots = labels.iter().zip(0..);
    let slots: HashMap<&str, usize> = slots.map(|(label, slot)| (label.as_str(), slot)).collect();
    let mut seen = vec![0; replicas.len()];
    let mut lines = 0;
    for (number, line) in io::BufReader::new(file.take(bytes)).lines().enumerate() {
        let line = line.map_err(|source| source.to_string())?;
        let at = |fault: &str| format!("line {}: {fault}", number + 1);
        if number == 0 {
            if !log::is_header(&line) {
                return Err(at("not the columns of a log"));
            }
            continue;
        }
        let row = log::Row::read(&line).ok_or_else(|| at("not a row of numbers"))?;
        let slot = *slots
            .get(row.label)
            .ok_or_else(|| at("no replica of this run"))?;
        if row.step != seen[slot] * interval_steps {
            return Err(at("a step is missing before it"));
        }
        let replica = &replicas[slot];
        // The log has twelve digits of the energy.
        let bound_ev = 1e-11 * replica.energy_ev.abs();
        if row.step == replica.step && (row.potential_ev - replica.energy_ev).abs() > bound_ev {
            return Err(at("not the energy of the checkpoint"));
        }
        seen[slot] += 1;
        lines += 1;
    }
    let short = replicas.iter().zip(&seen).zip(labels);
    // A replica that failed where it started has no line.
    let mut short = short.filter(|((replica, seen), _)| {
        **seen != replica.step / interval_steps + 1
            && !(replica.step == 0 && **seen == 0 && !replica.is_running())
    });
    match short.next() {
        None => Ok(lines),
        Some(((replica, seen), label)) => {
            let expected = replica.step / interval_steps + 1;
            Err(format!("{seen} lines of {label} instead of {expected}"))
        }
    }
}

/// The labels of the replicas whose trajectories these are; without trajectories, those of the log.
pub fn labels(names: &Growing, folder: &Path, replicas: usize) -> Result<Vec<String>> {
    for (files, ending) in [(&names.dcd, ".dcd"), (&names.extxyz, ".xyz")] {
        if files.len() == replicas {
            let labels = files.iter().filter_map(|name| name.strip_suffix(ending));
            return Ok(labels.map(str::to_owned).collect());
        }
    }
    let path = folder.join(LOG);
    let file = std::fs::File::open(&path).map_err(|source| Error::io("read", &path, &source))?;
    let lines = io::BufReader::new(file).lines().skip(1).take(replicas);
    let labels = lines.map(|line| {
        let line = line.ok()?;
        Some(log::Row::read(&line)?.label.to_owned())
    });
    let labels: Option<Vec<_>> = labels.collect();
    labels.ok_or_else(|| Error::run(format!("{} has lines that are no rows", path.display())))
}
