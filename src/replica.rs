//! One trajectory as a portable value.
//!
//! Checkpoints, minimisation, engines and (later) exchange pass replicas around whole; an engine is
//! a set of slots that replicas are put into and taken from.

use std::fmt;

/// Who a replica is, whatever slot, batch or machine it runs in: every random number it draws is
/// keyed by this and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReplicaId {
    /// Index of its molecule in [`crate::system::System::molecules`]; only a place to look, not part
    /// of the identity.
    pub molecule: u32,
    /// Hash of the molecule's name: adding other molecules must not change it.
    pub name_hash: u32,
    /// Index into the molecule's list of temperatures.
    pub temperature: u8,
    /// Copy at that temperature; below 2²⁴.
    pub copy: u32,
}

/// Conditions that may differ from replica to replica.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Parameters {
    /// Time step, fs.
    pub timestep_fs: f64,
    /// Temperature of the bath, K.
    pub temperature_k: f64,
    /// Friction of the bath, 1/fs.
    pub friction_per_fs: f64,
}

/// Why a replica was frozen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    /// An energy, force or coordinate is not a finite number.
    NotFinite,
    /// The kinetic temperature passed the limit; the temperature, K.
    TooHot(f64),
    /// Two atoms came closer than the student was trained on; atoms and distance, Å.
    TooClose(u32, u32, f64),
    /// The molecule fell into pieces farther apart than the student sees; an atom of each.
    BrokeApart(u32, u32),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NotFinite => write!(f, "energy or forces are not finite"),
            Self::TooHot(temperature_k) => write!(f, "temperature {temperature_k:.0} K"),
            Self::TooClose(i, j, distance_ang) => {
                write!(f, "atoms {} and {} at {distance_ang:.2} Å", i + 1, j + 1)
            }
            Self::BrokeApart(i, j) => {
                write!(
                    f,
                    "broke apart: atoms {} and {} are in different pieces",
                    i + 1,
                    j + 1
                )
            }
        }
    }
}

/// Whether a replica still moves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Status {
    /// It is stepped.
    Running,
    /// It was frozen in the step after [`Replica::step`], its last good state.
    Failed(Fault),
}

/// The state of one trajectory of N atoms.
#[derive(Clone, Debug, PartialEq)]
pub struct Replica {
    /// Who it is.
    pub id: ReplicaId,
    /// Steps made.
    pub step: u64,
    /// Its conditions.
    pub parameters: Parameters,
    /// Positions, Å, (N,).
    pub positions_ang: Vec<[f64; 3]>,
    /// Velocities, Å/fs, (N,).
    pub velocities_ang_per_fs: Vec<[f64; 3]>,
    /// Forces at the positions, eV/Å, (N,).
    pub forces_ev_per_ang: Vec<[f64; 3]>,
    /// Potential energy at the positions, eV.
    pub energy_ev: f64,
    /// Kinetic energy right after the last bath operation, eV; without a bath, of the velocities.
    ///
    /// Full-step velocities of BAOAB are biased at order Δt²; right after O they are exactly
    /// Maxwellian in the harmonic limit (10.1093/amrx/abs010).
    pub kinetic_ev: f64,
    /// Energy that the bath has put in since step 0, eV.
    pub bath_heat_ev: f64,
    /// Whether it still moves.
    pub status: Status,
}

impl Replica {
    /// A replica at these positions that has not moved yet; its forces are not known.
    pub fn at_rest(id: ReplicaId, parameters: Parameters, positions_ang: Vec<[f64; 3]>) -> Self {
        let atoms = positions_ang.len();
        Self {
            id,
            step: 0,
            parameters,
            positions_ang,
            velocities_ang_per_fs: vec![[0.0; 3]; atoms],
            forces_ev_per_ang: vec![[0.0; 3]; atoms],
            energy_ev: 0.0,
            kinetic_ev: 0.0,
            bath_heat_ev: 0.0,
            status: Status::Running,
        }
    }

    /// Whether it still moves.
    pub fn is_running(&self) -> bool {
        self.status == Status::Running
    }
}
