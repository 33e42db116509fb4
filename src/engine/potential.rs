//! What the forces come from: the student, and analytic terms beside it.

/// Energy and forces of one molecule, by whatever means; the student's two host implementations.
pub trait ForceField: Sync {
    /// Scratch memory for one evaluation at a time.
    type Workspace: Send;

    /// Scratch memory for molecules of up to `atoms` atoms, and so many threads that work on one of
    /// them together.
    fn workspace(&self, atoms: usize, threads: usize) -> Self::Workspace;

    /// Writes the forces (N,) in eV/Å and returns the energy in eV of the molecule with this index.
    fn evaluate(
        &self,
        workspace: &mut Self::Workspace,
        molecule: usize,
        positions_ang: &[[f64; 3]],
        forces_ev_per_ang: &mut [[f64; 3]],
    ) -> f64;

    /// Pieces of a molecule farther apart than this do not feel each other, Å.
    fn cutoff_ang(&self) -> f64;
}

/// An analytic term that is added to the force field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Term {
    /// U = ½ k Σ |x|², k in eV/Å²: every atom in a well at the origin.
    HarmonicWell(f64),
}

impl Term {
    /// Adds its forces and returns its energy.
    pub fn add(&self, positions_ang: &[[f64; 3]], forces_ev_per_ang: &mut [[f64; 3]]) -> f64 {
        match *self {
            Self::HarmonicWell(stiffness) => {
                let mut energy_ev = 0.0;
                for (x, force) in positions_ang.iter().zip(forces_ev_per_ang) {
                    for axis in 0..3 {
                        energy_ev += 0.5 * stiffness * x[axis] * x[axis];
                        force[axis] -= stiffness * x[axis];
                    }
                }
                energy_ev
            }
        }
    }
}

/// No force field at all: the analytic terms stand alone, as in tests of the schemes.
#[derive(Clone, Copy, Debug)]
pub struct Nothing;

impl ForceField for Nothing {
    type Workspace = ();

    fn workspace(&self, _atoms: usize, _threads: usize) {}

    fn evaluate(
        &self,
        (): &mut (),
        _molecule: usize,
        _positions_ang: &[[f64; 3]],
        forces_ev_per_ang: &mut [[f64; 3]],
    ) -> f64 {
        forces_ev_per_ang.fill([0.0; 3]);
        0.0
    }

    fn cutoff_ang(&self) -> f64 {
        f64::INFINITY
    }
}
