//! Batched molecular dynamics of small molecules with an embedded, distilled force field.
//!
//! The flow: [`config`] is what was written, [`plan`] what will run; [`engine`] steps
//! [`replica::Replica`]s of a [`system::System`] with the forces of a [`student`], [`integrate`]
//! says in which order, [`run`] until when, and [`mod@write`] keeps the result.

pub mod checkpoint;
pub mod cli;
pub mod commands;
pub mod config;
pub mod domain;
pub mod elements;
pub mod engine;
pub mod error;
pub mod integrate;
pub mod math;
pub mod plan;
pub mod random;
pub mod replica;
pub mod run;
pub mod structure;
pub mod student;
pub mod system;
mod talk;
pub mod units;
pub mod write;
