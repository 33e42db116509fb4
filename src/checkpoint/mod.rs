//! The state of a run in one file, to go on from bit by bit.
//!
//! A [`Checkpoint`] is every replica whole, the lengths of the outputs that belong to them and what
//! the run was asked to do. It carries no clock, host, process or count of restarts: the last
//! checkpoint of a run that was interrupted equals that of one that was not. `compare` says
//! whether a run can go on from it, `format` is the way to bytes and `parse` the way back, `store`
//! keeps two generations in an output folder.

mod compare;
mod format;
mod parse;
mod store;
#[cfg(test)]
mod tests;

use crate::replica::Replica;
use crate::write::Offsets;

pub use compare::{Difference, MAY_CHANGE};
pub use parse::parse;
pub use store::{Loaded, load, read};

/// The state of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// Steps that the run has made; a failed replica has made fewer.
    pub step: u64,
    /// Everything the run was asked to do, as keys and values.
    pub settings: Vec<(String, String)>,
    /// SHA-256 of the force field's file.
    pub student_hash: String,
    /// The version of the program.
    pub version: String,
    /// The model of CPU or GPU; other ones round differently.
    pub device: String,
    /// Where the run went on with another version or device.
    pub breaks: Vec<String>,
    /// Lengths of the outputs.
    pub offsets: Offsets,
    /// All replicas, in order.
    pub replicas: Vec<Replica>,
}

/// The version of this program, as in [`Checkpoint::version`].
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
