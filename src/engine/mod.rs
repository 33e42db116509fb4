//! Engines: where replicas are stepped.
//!
//! An engine is a set of slots. It is told *what* to do as a program of [`Op`] and for how many
//! steps, so that a device can run many steps without coming back; it knows neither TOML nor
//! output files.
//!
//! Invariant: `advance(a + b)` and `advance(a)` then `advance(b)` give the same bits, and the bits
//! of a replica depend neither on its slot nor on what is in the others.

pub mod cuda;
pub mod host;
pub mod potential;

use crate::error::Result;
use crate::replica::{Parameters, Replica};

/// The whole vocabulary between a scheme and an engine; fractions are of one time step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Op {
    /// v += fraction · Δt · F/m
    Kick(f64),
    /// x += fraction · Δt · v
    Drift(f64),
    /// Exact solution of the Ornstein–Uhlenbeck process over one Δt:
    /// v = c v + √((1 − c²) kT/m) ξ with c = exp(−γ Δt)
    Bath,
    /// Energy and forces at the new positions.
    Forces,
}

/// Slots of replicas that are stepped together.
pub trait Engine {
    /// Puts a replica into a slot, in place of the one that is there.
    fn put(&mut self, slot: usize, replica: &Replica) -> Result<()>;

    /// Copies all slots into `replicas`, in order; allocates nothing when the shapes match.
    fn snapshot(&mut self, replicas: &mut [Replica]) -> Result<()>;

    /// Changes the conditions of one slot.
    fn set_parameters(&mut self, slot: usize, parameters: Parameters);

    /// Energy and forces of every running replica where it is; a replica at which this fails is
    /// frozen there.
    fn evaluate(&mut self) -> Result<()>;

    /// Steps every running replica `steps` times; faults are looked for in every step.
    fn advance(&mut self, program: &[Op], steps: u64) -> Result<()>;
}
