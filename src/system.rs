//! What never changes during a run: the molecules.

/// One compound of a campaign.
#[derive(Clone, Debug, PartialEq)]
pub struct Molecule {
    /// The unique name that identifies its replicas.
    pub name: String,
    /// Atomic numbers, (N,).
    pub numbers: Vec<u8>,
    /// Masses in u, (N,); hydrogen-mass repartitioning is already in them.
    pub masses_amu: Vec<f64>,
    /// Starting structures in Å, (S, N); copy c starts from structure c modulo S.
    pub starts_ang: Vec<Vec<[f64; 3]>>,
    /// Covalent bonds of the first start, from distances or from the file, i < j.
    pub bonds: Vec<(u32, u32)>,
}

impl Molecule {
    /// The number of atoms N.
    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Whether there is no atom (a plan never contains such a molecule).
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    /// Kinetic energy in eV of velocities in Å/fs.
    pub fn kinetic_energy_ev(&self, velocities_ang_per_fs: &[[f64; 3]]) -> f64 {
        let twice: f64 = self
            .masses_amu
            .iter()
            .zip(velocities_ang_per_fs)
            .map(|(mass, v)| mass * (v[0] * v[0] + v[1] * v[1] + v[2] * v[2]))
            .sum();
        0.5 * twice / crate::units::ACCELERATION
    }

    /// Centre of mass in Å of positions in Å.
    pub fn centre_of_mass_ang(&self, positions_ang: &[[f64; 3]]) -> [f64; 3] {
        let mut sum = [0.0; 3];
        let mut total_amu = 0.0;
        for (mass, position) in self.masses_amu.iter().zip(positions_ang) {
            total_amu += mass;
            for (sum, value) in sum.iter_mut().zip(position) {
                *sum += mass * value;
            }
        }
        sum.map(|value| value / total_amu)
    }
}

/// Everything constant that an engine is opened with.
#[derive(Clone, Debug)]
pub struct System {
    /// All compounds.
    pub molecules: Vec<Molecule>,
    /// Key of every random number of the campaign.
    pub seed: u64,
    /// A replica hotter than this is taken to have exploded, K.
    pub temperature_limit_k: f64,
}
