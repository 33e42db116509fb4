//! Integrators: each scheme is a sentence of operators; the loop over steps is elsewhere.

pub mod fire;
pub mod start;

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::engine::{Op, Precision};

/// How the atoms move.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// Langevin dynamics by BAOAB (10.1093/amrx/abs010): samples the canonical ensemble, and
    /// positions in a harmonic well exactly.
    #[default]
    Langevin,
    /// Velocity Verlet (10.1063/1.442716): conserves energy to order Δt².
    Nve,
}

impl Scheme {
    /// One step.
    pub fn program(self) -> &'static [Op] {
        match self {
            Self::Langevin => &[
                Op::Kick(0.5),
                Op::Drift(0.5),
                Op::Bath,
                Op::Drift(0.5),
                Op::Forces,
                Op::Kick(0.5),
            ],
            Self::Nve => &[Op::Kick(0.5), Op::Drift(1.0), Op::Forces, Op::Kick(0.5)],
        }
    }

    /// How exactly forces need to be known: a bath takes up the heat of small errors, without one they
    /// add up.
    pub fn precision(self) -> Precision {
        match self {
            Self::Langevin => Precision::Mixed,
            Self::Nve => Precision::Single,
        }
    }

    /// Degrees of freedom of a molecule: a bath feeds all of them, without one those removed at the
    /// start stay empty.
    pub fn degrees_of_freedom(self, atoms: usize, rotations_removed: usize) -> usize {
        match self {
            Self::Langevin => 3 * atoms,
            Self::Nve => (3 * atoms).saturating_sub(3 + rotations_removed),
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Langevin => "langevin",
            Self::Nve => "nve",
        })
    }
}
