//! Batched molecular dynamics of small molecules with an embedded, distilled force field.
//!
//! The flow: [`config`] is what was written, [`plan`] what will run; [`engine`] steps
//! [`replica::Replica`]s of a [`system::System`] with the forces of a [`student`], [`integrate`]
//! says in which order, [`run`] until when, and [`mod@write`] keeps the result.
//!
//! As a library: eight replicas of water, their forces in one batch, then a hundred Langevin steps.
//!
//! ```
//! use std::sync::Arc;
//!
//! use mdrun::engine::{self, Device, Precision};
//! use mdrun::integrate::{Scheme, start};
//! use mdrun::replica::{Parameters, Replica, ReplicaId};
//! use mdrun::student::Student;
//! use mdrun::system::{Molecule, System};
//!
//! # fn main() -> mdrun::error::Result<()> {
//! let water = Molecule {
//!     name: "water".into(),
//!     numbers: vec![8, 1, 1],
//!     masses_amu: vec![15.999, 1.008, 1.008],
//!     starts_ang: vec![vec![[0.0, 0.0, 0.0], [0.757, 0.586, 0.0], [-0.757, 0.586, 0.0]]],
//!     bonds: vec![(0, 1), (0, 2)],
//! };
//! let system =
//!     Arc::new(System { molecules: vec![water], seed: 1, temperature_limit_k: 10_000.0 });
//! let parameters =
//!     Parameters { timestep_fs: 0.5, temperature_k: 300.0, friction_per_fs: 0.001 };
//! let mut replicas: Vec<Replica> = (0..8)
//!     .map(|copy| {
//!         let id = ReplicaId { molecule: 0, name_hash: 1, temperature: 0, copy };
//!         Replica::at_rest(id, parameters, system.molecules[0].starts_ang[0].clone())
//!     })
//!     .collect();
//! for replica in &mut replicas {
//!     start::thermalise(&system, replica, false);
//! }
//!
//! let student = Student::embedded("default")?;
//! let mut engine = engine::open(Device::Cpu, Precision::Single, &student, &system, &replicas)?.engine;
//! engine.evaluate()?;
//! engine.advance(Scheme::Langevin.program(), 100)?;
//! engine.snapshot(&mut replicas)?;
//! assert!(replicas.iter().all(|replica| replica.step == 100 && replica.energy_ev < -2000.0));
//! # Ok(())
//! # }
//! ```

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
