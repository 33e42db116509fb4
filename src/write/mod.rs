//! Files from numbers: everything a run leaves in its output folder.
//!
//! [`Outputs`] owns all of them and is what a run talks to; [`Folder`] is the locked place where
//! they lie, and [`Summary`] the one file about the run rather than of it. Trajectories, log and
//! topologies carry no clock, host or process: a run that was interrupted and resumed leaves the
//! same bytes as one that was not.
//!
//! It is not decided here *when* something is written; that is the calendar of [`crate::run`].

pub mod dcd;
pub mod extxyz;
pub mod inspect;
pub mod topology;

mod appended;
mod disk;
#[cfg(test)]
pub(crate) mod faults;
mod folder;
mod label;
mod log;
mod number;
mod outputs;
#[cfg(test)]
pub(crate) mod sample;
mod summary;

pub use disk::{Traffic, free_bytes};
pub use folder::{Folder, Mode, listed_bytes};
pub use label::labels;
pub use outputs::{Offsets, Outputs, Resumed, Settings, dcd_name, extxyz_name, topology_name};
pub use summary::{Failure, Flag, LastFrame, Outcome, Process, Speed, Summary};

/// The name of the checkpoint in an output folder.
pub const CHECKPOINT: &str = "checkpoint.mdrun";
/// The name of the checkpoint before it.
pub const CHECKPOINT_PREVIOUS: &str = "checkpoint.previous.mdrun";
/// The name a damaged checkpoint is kept under.
pub const CHECKPOINT_DAMAGED: &str = "checkpoint.damaged.mdrun";
/// The name of the log of all replicas.
pub const LOG: &str = "log.csv";
/// The name of the summary of a run.
pub const SUMMARY: &str = "summary.json";

/// What a file is called until it is complete.
pub(crate) fn unfinished(name: &str) -> String {
    format!("{name}.unfinished")
}
