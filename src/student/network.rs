//! The whole network: energy and forces of one molecule.

use super::architecture::Architecture;
use super::density::{self, Density};
use super::features::{Features, Gradient};
use super::format::Student;
use super::geometry::{Geometry, pairs_max};
use super::message::{self, Message};
use super::radial::Radial;
use super::readout::{self, Readout};
use super::real::Real;
use super::repulsion::Repulsion;
use super::switch::Distances;
use super::uncertainty::ForceError;
use super::update::{self, Update};

/// A student ready to compute: its weights in the numbers it computes with, each with a transpose.
#[derive(Clone, Debug)]
pub struct Network<T> {
    architecture: Architecture,
    radial: Radial,
    density: Density<T>,
    /// of layers 2 … L    (L − 1,)
    messages: Vec<Message<T>>,
    /// (L,)
    updates: Vec<Update<T>>,
    readout: Readout<T>,
    force_error: Option<ForceError<T>>,
    repulsion: Repulsion,
    /// (E,)
    reference_energies_ev: Vec<f64>,
}

/// Everything that one evaluation writes to; one a thread, used again for any molecule.
#[derive(Clone, Debug)]
pub struct Workspace<T> {
    geometry: Geometry<T>,
    features: Features<T>,
    density: density::Tape<T>,
    messages: Vec<message::Tape<T>>,
    updates: Vec<update::Tape<T>>,
    readout: readout::Tape<T>,
    message_scratch: message::Scratch<T>,
    update_scratch: update::Scratch<T>,
    d_features: Features<T>,
    gradient: Gradient<T>,
}

impl<T: Real> Workspace<T> {
    /// Room for molecules of up to `atoms_max` atoms; larger ones make it grow once.
    pub fn new(network: &Network<T>, atoms_max: usize) -> Self {
        let architecture = &network.architecture;
        let pairs = pairs_max(atoms_max);
        Self {
            geometry: Geometry::new(atoms_max, architecture.radial),
            features: Features::new(architecture, atoms_max),
            density: network.density.tape(atoms_max),
            messages: network
                .messages
                .iter()
                .map(|m| m.tape(atoms_max, pairs))
                .collect(),
            updates: network.updates.iter().map(|u| u.tape(atoms_max)).collect(),
            readout: network.readout.tape(atoms_max),
            message_scratch: message::Scratch::new(architecture.channels, atoms_max),
            update_scratch: update::Scratch::new(architecture, atoms_max),
            d_features: Features::new(architecture, atoms_max),
            gradient: Gradient::new(pairs, architecture.radial),
        }
    }
}

impl<T> Workspace<T> {
    /// The number of pairs in the molecule that was evaluated last.
    pub fn pairs(&self) -> usize {
        self.geometry.pairs.len()
    }
}

impl<T: Real> Network<T> {
    /// Prepares a student.
    pub fn new(student: &Student) -> Self {
        let architecture = student.architecture.clone();
        Self {
            radial: Radial {
                cutoff_ang: architecture.cutoff_ang,
                count: architecture.radial,
                core: architecture.core.then(|| Distances::new(&student.elements)),
            },
            density: Density::new(student),
            messages: (2..=architecture.layers)
                .map(|l| Message::new(student, l))
                .collect(),
            updates: (1..=architecture.layers)
                .map(|l| Update::new(student, l))
                .collect(),
            readout: Readout::new(student, "readout"),
            force_error: ForceError::new(student),
            repulsion: Repulsion::new(&student.elements),
            reference_energies_ev: student.reference_energies_ev.clone(),
            architecture,
        }
    }

    /// The energy of a molecule in eV, and its forces.
    ///
    /// `species` are indices into the student's elements; all three slices are as long as the
    /// molecule. The result depends on nothing else: not on what the workspace was used for before,
    /// nor on other molecules or threads.
    pub fn evaluate(
        &self,
        workspace: &mut Workspace<T>,
        species: &[u8],
        positions_ang: &[[f64; 3]],
        forces_ev_per_ang: &mut [[f64; 3]],
    ) -> f64 {
        assert!(species.len() == positions_ang.len() && species.len() == forces_ev_per_ang.len());
        forces_ev_per_ang.fill([0.0; 3]);
        if species.is_empty() {
            return 0.0;
        }
        workspace
            .geometry
            .read(&self.radial, species, positions_ang);
        workspace.gradient.clear(&workspace.geometry);
        let energy_ev = self.forward(workspace);
        self.backward(workspace);
        let Workspace {
            geometry, gradient, ..
        } = workspace;
        let repulsion_ev = self.repulsion.energy(geometry, gradient);
        geometry.forces(&self.radial, gradient, forces_ev_per_ang);
        let reference = species
            .iter()
            .map(|z| self.reference_energies_ev[usize::from(*z)]);
        reference.sum::<f64>() + (energy_ev + repulsion_ev)
    }

    /// How far the forces are expected to be from the teacher's: the root of the mean square of a
    /// component over the molecule, eV/Å; none if the student does not say.
    ///
    /// Forward only. As with [`Self::evaluate`] the result depends on the molecule alone.
    pub fn force_error(
        &self,
        workspace: &mut Workspace<T>,
        species: &[u8],
        positions_ang: &[[f64; 3]],
    ) -> Option<f64> {
        assert!(species.len() == positions_ang.len());
        let force_error = self.force_error.as_ref()?;
        if species.is_empty() {
            return Some(0.0);
        }
        workspace
            .geometry
            .read(&self.radial, species, positions_ang);
        self.forward(workspace);
        Some(force_error.forward(&mut workspace.readout, &workspace.features.q))
    }

    fn forward(&self, w: &mut Workspace<T>) -> f64 {
        w.features
            .resize(&self.architecture, w.geometry.species.len());
        self.density
            .forward(&mut w.density, &w.geometry, &mut w.features);
        for layer in 0..self.updates.len() {
            if layer > 0 {
                let tape = &mut w.messages[layer - 1];
                let message = &self.messages[layer - 1];
                message.forward(tape, &mut w.message_scratch, &w.geometry, &mut w.features);
            }
            let tape = &mut w.updates[layer];
            self.updates[layer].forward(tape, &mut w.update_scratch, &mut w.features);
        }
        self.readout.forward(&mut w.readout, &w.features.q)
    }

    fn backward(&self, w: &mut Workspace<T>) {
        let (geometry, gradient, d) = (&w.geometry, &mut w.gradient, &mut w.d_features);
        d.resize(&self.architecture, geometry.species.len());
        self.readout.backward(&mut w.readout, &mut d.q);
        for layer in (0..self.updates.len()).rev() {
            let tape = &mut w.updates[layer];
            self.updates[layer].backward(tape, &mut w.update_scratch, &w.features.t, d);
            if layer > 0 {
                let tape = &mut w.messages[layer - 1];
                let message = &self.messages[layer - 1];
                message.backward(tape, &mut w.message_scratch, geometry, d, gradient);
            }
        }
        self.density.backward(&mut w.density, geometry, d, gradient);
    }
}
