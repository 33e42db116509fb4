//! The whole network: energy and forces of one molecule, by one thread or several.
//!
//! Threads share a molecule by its atoms. They wait for each other where atoms look at their
//! neighbours: after each has sent its message, and in the backward pass after each has shown the
//! gradient of what it received.

use rayon::prelude::*;

use super::architecture::Architecture;
use super::board::{Board, View};
use super::density::Density;
use super::dispersion::Dispersion;
use super::features::Features;
use super::filter;
use super::format::Student;
use super::geometry::{Geometry, pairs_max};
use super::message::Message;
use super::part::{Part, shares};
use super::radial::Radial;
use super::readout::Readout;
use super::real::Real;
use super::repulsion::Repulsion;
use super::switch::Distances;
use super::uncertainty::{self, ForceError};
use super::update::{self, Update};

/// A part has at least so many atoms: threads that wait for each other over fewer lose more than
/// they gain.
const PART_ATOMS_MIN: usize = 3;

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
    dispersion: Option<Dispersion>,
    /// (E,)
    reference_energies_ev: Vec<f64>,
}

/// Everything that one evaluation writes to; used again for any molecule.
#[derive(Clone, Debug)]
pub struct Workspace<T> {
    geometry: Geometry<T>,
    /// of layers 2 … L    (L − 1,)
    filters: Vec<filter::Tape<T>>,
    board: Board<T>,
    parts: Vec<Part<T>>,
    /// how many parts the molecule is cut into
    cut: usize,
}

impl<T: Real> Workspace<T> {
    /// Room for molecules of up to `atoms_max` atoms; larger ones make it grow once.
    pub fn new(network: &Network<T>, atoms_max: usize) -> Self {
        Self::shared(network, atoms_max, 1)
    }

    /// The same, for so many threads that work on a molecule together; its numbers are the same.
    pub fn shared(network: &Network<T>, atoms_max: usize, threads: usize) -> Self {
        let architecture = &network.architecture;
        let pairs = pairs_max(atoms_max);
        let threads = threads.max(1);
        // Of fewer atoms than the most there are fewer parts, which may be larger.
        let atoms = atoms_max
            .div_ceil(threads)
            .max(atoms_max.min(2 * PART_ATOMS_MIN));
        Self {
            geometry: Geometry::new(atoms_max, architecture.radial),
            filters: network
                .messages
                .iter()
                .map(|message| message.filter().tape(pairs))
                .collect(),
            board: Board::new(architecture.channels, atoms_max),
            parts: (0..threads)
                .map(|_| network.part(atoms, atoms_max))
                .collect(),
            cut: 0,
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
            dispersion: architecture
                .dispersion
                .then(|| Dispersion::new(&student.elements, architecture.cutoff_ang)),
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
        self.read(workspace, species, positions_ang);
        self.forward(workspace, |part| {
            let outputs = self.readout.atoms(&mut part.readout, &part.features.q);
            part.outputs.extend(outputs);
        });
        self.backward(workspace);
        let Workspace {
            geometry, parts, ..
        } = workspace;
        let slopes = parts.iter().flat_map(|part| &part.slopes).copied();
        geometry.forces(slopes, forces_ev_per_ang);
        let repulsion_ev = self.repulsion.add(geometry, forces_ev_per_ang);
        let dispersion_ev = self.dispersion.as_ref().map_or(0.0, |dispersion| {
            dispersion.add(species, positions_ang, forces_ev_per_ang)
        });
        let energy_ev: f64 = parts.iter().flat_map(|part| &part.outputs).sum();
        let reference = species
            .iter()
            .map(|z| self.reference_energies_ev[usize::from(*z)]);
        reference.sum::<f64>() + (energy_ev + repulsion_ev + dispersion_ev)
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
        self.read(workspace, species, positions_ang);
        self.forward(workspace, |part| {
            let outputs = force_error.atoms(&mut part.readout, &part.features.q);
            part.outputs.extend(outputs);
        });
        let log_errors = workspace.parts.iter().flat_map(|part| &part.outputs);
        Some(uncertainty::of_molecule(log_errors.copied()))
    }

    /// A part of n atoms among N.
    fn part(&self, atoms: usize, atoms_in_all: usize) -> Part<T> {
        let architecture = &self.architecture;
        Part {
            atoms: 0..0,
            features: Features::new(architecture, atoms),
            d_features: Features::new(architecture, atoms),
            density: self.density.tape(atoms, atoms_in_all),
            messages: self.messages.iter().map(|m| m.tape(atoms)).collect(),
            updates: self.updates.iter().map(|u| u.tape(atoms)).collect(),
            readout: self.readout.tape(atoms),
            message_scratch: Message::scratch(architecture.channels, atoms, atoms_in_all),
            update_scratch: update::Scratch::new(architecture, atoms),
            outputs: Vec::with_capacity(atoms),
            slopes: Vec::with_capacity(atoms * atoms_in_all),
        }
    }

    /// Looks at a molecule and cuts it into parts.
    fn read(&self, w: &mut Workspace<T>, species: &[u8], positions_ang: &[[f64; 3]]) {
        w.geometry.read(&self.radial, species, positions_ang);
        let atoms = species.len();
        w.board.resize(self.architecture.channels, atoms);
        w.cut = (atoms / PART_ATOMS_MIN).clamp(1, w.parts.len());
        // The parts that are left over have no atoms.
        let nothing = std::iter::repeat(atoms..atoms);
        for (part, share) in w.parts.iter_mut().zip(shares(atoms, w.cut).chain(nothing)) {
            part.take(&self.architecture, &w.geometry, share);
        }
    }

    /// Forward, up to what `finish` reads out of the last scalars.
    fn forward(&self, w: &mut Workspace<T>, finish: impl Fn(&mut Part<T>) + Sync) {
        let Workspace {
            geometry,
            filters,
            board,
            parts,
            cut,
        } = w;
        for (message, filters) in self.messages.iter().zip(&mut *filters) {
            message.filter().forward(filters, geometry, *cut);
        }
        for layer in 0..self.updates.len() {
            let filters = layer.checked_sub(1).map(|before| &filters[before]);
            parts[..*cut].par_iter_mut().for_each(|part| {
                let of = (&*geometry, &part.atoms);
                let features = &mut part.features;
                match filters {
                    None => self.density.forward(&mut part.density, of, features),
                    Some(filters) => {
                        let view = View {
                            geometry,
                            atoms: &part.atoms,
                            filters,
                            board,
                        };
                        let message = &self.messages[layer - 1];
                        message.receive(&mut part.message_scratch, view, features);
                    }
                }
                let tape = &mut part.updates[layer];
                self.updates[layer].forward(tape, &mut part.update_scratch, features);
                match self.messages.get(layer) {
                    None => finish(part),
                    Some(message) => {
                        let tape = &mut part.messages[layer];
                        message.send(tape, &mut part.message_scratch, features);
                    }
                }
            });
            if layer < self.messages.len() {
                for part in &parts[..*cut] {
                    part.messages[layer].show(&part.atoms, board);
                }
            }
        }
    }

    /// The slopes of what every atom sees.
    fn backward(&self, w: &mut Workspace<T>) {
        let Workspace {
            geometry,
            filters,
            board,
            parts,
            cut,
        } = w;
        for layer in (0..self.updates.len()).rev() {
            parts[..*cut].par_iter_mut().for_each(|part| {
                let of = (&*geometry, &part.atoms);
                let species = &geometry.species[part.atoms.clone()];
                let d = &mut part.d_features;
                match self.messages.get(layer) {
                    None => self.readout.backward(&mut part.readout, &mut d.q),
                    Some(message) => {
                        let view = View {
                            geometry,
                            atoms: &part.atoms,
                            filters: &filters[layer],
                            board,
                        };
                        let tape = &mut part.messages[layer];
                        let scratch = &mut part.message_scratch;
                        message.send_backward(tape, scratch, view, d, &mut part.slopes);
                    }
                }
                let tape = &mut part.updates[layer];
                self.updates[layer].backward(tape, &mut part.update_scratch, &part.features.t, d);
                match layer.checked_sub(1) {
                    None => self
                        .density
                        .backward(&mut part.density, of, d, &mut part.slopes),
                    Some(before) => {
                        let scratch = &mut part.message_scratch;
                        self.messages[before].receive_backward(scratch, species, d);
                    }
                }
            });
            if layer > 0 {
                for part in &parts[..*cut] {
                    part.message_scratch.show(&part.atoms, board);
                }
            }
        }
    }
}
