//! What a run will write, and whether the disk has room for it.

use std::path::Path;

use crate::error::{Error, Result};
use crate::plan::Plan;
use crate::write::{dcd, extxyz, free_bytes};

/// A line of the log; nearly all have one length.
const LOG_LINE_BYTES: u64 = 120;

/// How much trajectories and log will take; the numbers in text have no fixed width.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bytes {
    /// At least.
    pub least: f64,
    /// At most, but for the log.
    pub most: f64,
}

/// What the rest of a run after `first_step` writes.
pub fn of_rest(plan: &Plan, first_step: u64) -> Bytes {
    let outputs = &plan.outputs;
    let times = |every: u64| {
        let before = if first_step > 0 {
            first_step / every + 1
        } else {
            0
        };
        (plan.steps / every + 1).saturating_sub(before)
    };
    let (frames, lines) = (times(outputs.frames_every), times(outputs.log_every));
    let mut bytes = Bytes {
        least: 0.0,
        most: 0.0,
    };
    for replica in &plan.replicas {
        let atoms = replica.positions_ang.len();
        let mut add = |least: u64, most: u64, times: u64| {
            bytes.least += least as f64 * times as f64;
            bytes.most += most as f64 * times as f64;
        };
        if outputs.dcd {
            let axis = dcd::Axis {
                atoms,
                interval_steps: outputs.frames_every,
                timestep_fs: plan.timestep_fs,
            };
            add(axis.frame_bytes(), axis.frame_bytes(), frames);
        }
        if outputs.xyz {
            let of_frame = extxyz::frame_bytes(atoms);
            add(*of_frame.start(), *of_frame.end(), frames);
        }
        add(LOG_LINE_BYTES / 2, LOG_LINE_BYTES, lines);
    }
    bytes
}

/// Refuses a run that cannot fit on the disk; `freed_bytes` are taken by files that it removes first.
pub fn check(plan: &Plan, first_step: u64, freed_bytes: u64) -> Result<()> {
    let folder = &plan.outputs.folder;
    let least = of_rest(plan, first_step).least;
    match free(folder) {
        Some(free) if least > (free + freed_bytes) as f64 => Err(Error::input(format!(
            "the run would write at least {} to {}, where {} are free",
            readable(least),
            folder.display(),
            readable(free as f64)
        ))
        .hint("make room, raise frames_every in [output], or name another folder with --out")),
        _ => Ok(()),
    }
}

/// Whether the rest of a run does not fit any more, in a sentence for a warning.
pub fn shortage(plan: &Plan, step: u64) -> Option<String> {
    let least = of_rest(plan, step).least;
    let free = free(&plan.outputs.folder)?;
    (least > free as f64).then(|| {
        format!(
            "{} are free in {}, and the rest of the run takes at least {}",
            readable(free as f64),
            plan.outputs.folder.display(),
            readable(least)
        )
    })
}

/// Free bytes where a folder is or will be; none where the file system does not say.
pub fn free(folder: &Path) -> Option<u64> {
    let here = Path::new(".");
    let above = folder.ancestors().map(|path| {
        if path.as_os_str().is_empty() {
            here
        } else {
            path
        }
    });
    above.chain([here]).find_map(free_bytes)
}

/// For people.
pub fn readable(bytes: f64) -> String {
    let units = ["bytes", "kB", "MB", "GB", "TB"];
    let (mut size, mut unit) = (bytes, 0);
    while size >= 1000.0 && unit + 1 < units.len() {
        size /= 1000.0;
        unit += 1;
    }
    let digits = usize::from(unit > 0);
    format!("{size:.digits$} {}", units[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_well() {
        let shown = [0.0, 999.0, 1500.0, 2.5e9, 7e15].map(readable);
        assert_eq!(
            shown,
            ["0 bytes", "999 bytes", "1.5 kB", "2.5 GB", "7000.0 TB"]
        );
    }

    #[test]
    fn a_folder_that_is_not_there_yet_has_the_room_of_the_one_above() {
        let root = tempfile::tempdir().unwrap();
        let (there, later) = (free(root.path()), free(&root.path().join("a/b")));
        assert!(there.is_some_and(|free| free > 0) && later.is_some());
        assert!(free(Path::new("not-there")).is_some());
    }
}
