//! `summary.json`: what ran, how it went and what failed.
//!
//! The only output that speaks of clocks, hosts and restarts. It is replaced as a whole whenever a
//! run ends or stops.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

use super::SUMMARY;
use super::folder::{Folder, host};
use crate::error::{Error, Result};

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// All steps were made.
    Complete,
    /// It was stopped, and can be resumed.
    Resumable,
}

/// A frame of a trajectory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct LastFrame {
    /// Its place in the trajectory, from 0.
    pub index: u64,
    /// Its step.
    pub step: u64,
}

/// A replica that was frozen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// Its label.
    pub replica: String,
    /// Its last good step.
    pub step: u64,
    /// Why.
    pub cause: String,
    /// The last frame of its trajectory; none if it failed before the first.
    pub last_good_frame: Option<LastFrame>,
}

/// A replica whose forces were expected to be farther off than the limit.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Flag {
    /// Its label.
    pub replica: String,
    /// The first step in the log at which they were.
    pub first_step: u64,
    /// Lines of the log at which they were.
    pub log_lines: u64,
    /// The greatest expected error of them, eV/Å.
    pub force_error_max_ev_per_ang: f64,
}

/// How fast this process was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Speed {
    /// Time that the dynamics took, s.
    pub wall_s: f64,
    /// Steps of one molecule per second.
    pub molecule_steps_per_s: f64,
    /// Simulated time of all replicas together.
    pub ns_per_day: f64,
    /// Time that replicas stood still for frames and lines of the log, s.
    pub output_wait_s: f64,
    /// Time that they stood still for checkpoints, s.
    pub checkpoint_s: f64,
    /// What was appended to trajectories and log, bytes.
    pub output_bytes: u64,
    /// Time that this and bringing it to stable storage took, s; some of it beside the steps of a GPU.
    pub disk_s: f64,
}

/// What the process was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Process {
    /// The version of this program.
    pub version: String,
    /// The machine's name.
    pub host: String,
    /// The process.
    pub pid: u32,
    /// When it started, in seconds since 1970.
    pub started_unix_s: u64,
}

impl Process {
    /// This process, started now.
    pub fn current() -> Self {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            host: host(),
            pid: std::process::id(),
            started_unix_s: since_1970.map_or(0, |time| time.as_secs()),
        }
    }
}

/// The contents of the file.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// How the run ended.
    pub outcome: Outcome,
    /// Steps that every replica that did not fail has made.
    pub steps: u64,
    /// How many replicas there are.
    pub replicas: usize,
    /// How many of them failed; see `failures`.
    pub failed: usize,
    /// Key of every random number.
    pub seed: u64,
    /// CPU or GPU that the forces came from.
    pub device: String,
    /// Names and SHA-256 of what went in: the student, structure files.
    pub hashes: BTreeMap<String, String>,
    /// Everything that was asked for, as it was understood.
    pub settings: BTreeMap<String, String>,
    /// The last process that worked on it.
    pub process: Process,
    /// How often the run was resumed.
    pub restarts: u64,
    /// Places where the promise of identical bits ends: a resume on another device or version.
    pub breaks: Vec<String>,
    /// Speed of the last process.
    pub speed: Speed,
    /// Replicas that were frozen.
    pub failures: Vec<Failure>,
    /// Expected error of a force above which a replica is flagged, eV/Å; none if the force field
    /// says nothing about its error.
    pub force_error_limit_ev_per_ang: Option<f64>,
    /// Replicas that were flagged. They go on.
    pub flags: Vec<Flag>,
}

impl Summary {
    /// Whether the summary in a folder is that of a run complete at this step.
    pub fn says_complete(folder: &Folder, step: u64) -> bool {
        let old = Self::read(folder).unwrap_or_default();
        old["outcome"] == "complete" && old["steps"] == step
    }

    fn read(folder: &Folder) -> Option<serde_json::Value> {
        serde_json::from_str(&std::fs::read_to_string(folder.path().join(SUMMARY)).ok()?).ok()
    }

    /// How often the run in a folder was resumed, as far as its last summary knows.
    pub fn restarts(folder: &Folder) -> u64 {
        Self::read(folder)
            .and_then(|old| old["restarts"].as_u64())
            .unwrap_or(0)
    }

    /// The contents of the file.
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string_pretty(self)
            .map_err(|source| Error::run(format!("cannot write the summary: {source}")))
    }

    /// Writes it into the output folder.
    pub fn write(&self, folder: &Folder) -> Result<()> {
        let text = self.to_json()? + "\n";
        folder
            .disk()
            .replace(SUMMARY, text.as_bytes())
            .map_err(|source| Error::io("write", &folder.path().join(SUMMARY), &source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write::{Mode, sample};

    #[test]
    fn the_file_is_json_with_the_failures_in_it() {
        let root = sample::root();
        let folder = Folder::open(root.path(), Mode::Fresh).unwrap();
        let summary = Summary {
            outcome: Outcome::Complete,
            steps: 1000,
            replicas: 2,
            failed: 1,
            seed: u64::MAX,
            device: "a CPU".to_owned(),
            hashes: BTreeMap::new(),
            settings: BTreeMap::from([("run.steps".to_owned(), "1000".to_owned())]),
            process: Process::current(),
            restarts: 0,
            breaks: Vec::new(),
            speed: Speed::default(),
            failures: vec![Failure {
                replica: "water-T0-0001".to_owned(),
                step: 250,
                cause: "temperature 20000 K".to_owned(),
                last_good_frame: Some(LastFrame {
                    index: 2,
                    step: 200,
                }),
            }],
            force_error_limit_ev_per_ang: None,
            flags: Vec::new(),
        };
        summary.write(&folder).unwrap();
        let text = std::fs::read_to_string(root.path().join(SUMMARY)).unwrap();
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read["outcome"], "complete");
        assert_eq!(read["seed"], u64::MAX);
        assert_eq!(read["failures"][0]["last_good_frame"]["step"], 200);
    }
}
