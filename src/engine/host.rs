//! The stepper of the engines that compute on the host.
//!
//! Replicas are independent, so each is advanced by one thread through all the steps asked for,
//! and stays in that core's cache meanwhile. Where there are fewer replicas than threads, those left
//! over help with the forces. No number depends on how the work is shared out.

use std::sync::{Arc, Mutex, PoisonError};

use rayon::prelude::*;

use super::potential::{ForceField, Term};
use super::{Engine, Op, check_count, no_slot};
use crate::domain;
use crate::error::Result;
use crate::math;
use crate::random::{self, Stream};
use crate::replica::{Fault, Parameters, Replica, Status};
use crate::system::System;
use crate::units::{ACCELERATION, BOLTZMANN_EV_PER_K};

/// Slots on the host, with forces from `F` and analytic terms.
pub struct HostEngine<F: ForceField> {
    system: Arc<System>,
    force_field: F,
    terms: Vec<Term>,
    slots: Vec<Slot>,
    /// One workspace a thread, or if there are fewer slots one a slot; a lock is never waited for.
    workspaces: Vec<Mutex<F::Workspace>>,
}

/// A replica and what its next step needs.
struct Slot {
    replica: Replica,
    bath: Bath,
    /// Positions, velocities and forces before the step: what a fault returns to.
    good: State,
    pieces: Vec<u32>,
}

/// The part of a replica that a step changes.
#[derive(Clone, Default)]
struct State {
    positions_ang: Vec<[f64; 3]>,
    velocities_ang_per_fs: Vec<[f64; 3]>,
    forces_ev_per_ang: Vec<[f64; 3]>,
    energy_ev: f64,
    kinetic_ev: f64,
    bath_heat_ev: f64,
}

/// Constants of the Ornstein–Uhlenbeck step.
#[derive(Clone, Copy)]
pub(super) struct Bath {
    /// c = exp(−γ Δt)
    pub(super) decay: f64,
    /// (1 − c²) k T in eV
    pub(super) noise_ev: f64,
}

impl Bath {
    pub(super) fn new(parameters: &Parameters) -> Self {
        let decay = math::exp_of_negative(-parameters.friction_per_fs * parameters.timestep_fs);
        let noise_ev = (1.0 - decay * decay) * BOLTZMANN_EV_PER_K * parameters.temperature_k;
        Self { decay, noise_ev }
    }
}

impl<F: ForceField> HostEngine<F> {
    /// An engine with one slot for each of `replicas`.
    pub fn new(
        system: Arc<System>,
        force_field: F,
        terms: Vec<Term>,
        replicas: &[Replica],
    ) -> Self {
        let atoms_max = replicas
            .iter()
            .map(|replica| replica.positions_ang.len())
            .max()
            .unwrap_or(0);
        let threads = rayon::current_num_threads();
        let workspaces = threads.min(replicas.len());
        let helpers = threads / workspaces.max(1);
        let workspaces = (0..workspaces)
            .map(|_| Mutex::new(force_field.workspace(atoms_max, helpers)))
            .collect();
        let slots = replicas.iter().cloned().map(Slot::new).collect();
        Self {
            system,
            force_field,
            terms,
            slots,
            workspaces,
        }
    }

    /// Runs `work` on every running slot, each with a workspace that nobody else uses meanwhile.
    fn for_each_running(&mut self, work: impl Fn(&mut Slot, &mut Field<'_, F>) + Sync) {
        let Self {
            system,
            force_field,
            terms,
            slots,
            workspaces,
        } = self;
        let one_a_slot = slots.len() == workspaces.len();
        let run = |(index, slot): (usize, &mut Slot)| {
            let thread = rayon::current_thread_index().unwrap_or(0);
            let index = if one_a_slot { index } else { thread };
            let mut workspace = workspaces[index]
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            work(
                slot,
                &mut Field {
                    system,
                    learnt: force_field,
                    terms,
                    workspace: &mut workspace,
                },
            );
        };
        let running = slots.par_iter_mut().enumerate();
        let running = running.filter(|(_, slot)| slot.replica.is_running());
        // Inside the pool, where its threads hand work to each other without being woken up.
        rayon::scope(|_| running.for_each(run));
    }
}

impl<F: ForceField> Engine for HostEngine<F> {
    fn put(&mut self, slot: usize, replica: &Replica) -> Result<()> {
        let slots = self.slots.len();
        let there = self
            .slots
            .get_mut(slot)
            .ok_or_else(|| no_slot(slot, slots))?;
        *there = Slot::new(replica.clone());
        Ok(())
    }

    fn snapshot(&mut self, replicas: &mut [Replica]) -> Result<()> {
        check_count(replicas.len(), self.slots.len())?;
        for (replica, slot) in replicas.iter_mut().zip(&self.slots) {
            replica.clone_from(&slot.replica);
        }
        Ok(())
    }

    fn set_parameters(&mut self, slot: usize, parameters: Parameters) {
        if let Some(slot) = self.slots.get_mut(slot) {
            slot.bath = Bath::new(&parameters);
            slot.replica.parameters = parameters;
        }
    }

    fn evaluate(&mut self) -> Result<()> {
        self.for_each_running(|slot, field| {
            if let Err(fault) = field.update(slot) {
                slot.replica.status = Status::Failed(fault);
            }
        });
        Ok(())
    }

    fn advance(&mut self, program: &[Op], steps: u64) -> Result<()> {
        self.for_each_running(|slot, field| {
            for _ in 0..steps {
                slot.save();
                if let Err(fault) = slot.step(program, field) {
                    slot.restore();
                    slot.replica.status = Status::Failed(fault);
                    return;
                }
                slot.replica.step += 1;
            }
        });
        Ok(())
    }
}

/// Everything constant during an evaluation, and one thread's scratch.
struct Field<'a, F: ForceField> {
    system: &'a System,
    learnt: &'a F,
    terms: &'a [Term],
    workspace: &'a mut F::Workspace,
}

impl<F: ForceField> Field<'_, F> {
    /// Energy and forces at the slot's positions, after a look at whether they may be asked for.
    fn update(&mut self, slot: &mut Slot) -> Result<(), Fault> {
        let replica = &mut slot.replica;
        let cutoff_ang = self.learnt.cutoff_ang();
        let fault = domain::inspect(&replica.positions_ang, cutoff_ang, &mut slot.pieces);
        fault.map_or(Ok(()), Err)?;
        let forces = &mut replica.forces_ev_per_ang;
        let molecule = replica.id.molecule as usize;
        let mut energy_ev =
            self.learnt
                .evaluate(self.workspace, molecule, &replica.positions_ang, forces);
        for term in self.terms {
            energy_ev += term.add(&replica.positions_ang, forces);
        }
        replica.energy_ev = energy_ev;
        let finite = energy_ev.is_finite() && forces.iter().flatten().all(|f| f.is_finite());
        if finite {
            Ok(())
        } else {
            Err(Fault::NotFinite)
        }
    }
}

impl Slot {
    fn new(replica: Replica) -> Self {
        let good = State {
            positions_ang: replica.positions_ang.clone(),
            velocities_ang_per_fs: replica.velocities_ang_per_fs.clone(),
            forces_ev_per_ang: replica.forces_ev_per_ang.clone(),
            ..State::default()
        };
        let pieces = vec![0; replica.positions_ang.len()];
        Self {
            bath: Bath::new(&replica.parameters),
            good,
            pieces,
            replica,
        }
    }

    fn save(&mut self) {
        let (good, now) = (&mut self.good, &self.replica);
        good.positions_ang.copy_from_slice(&now.positions_ang);
        good.velocities_ang_per_fs
            .copy_from_slice(&now.velocities_ang_per_fs);
        good.forces_ev_per_ang
            .copy_from_slice(&now.forces_ev_per_ang);
        good.energy_ev = now.energy_ev;
        good.kinetic_ev = now.kinetic_ev;
        good.bath_heat_ev = now.bath_heat_ev;
    }

    fn restore(&mut self) {
        let (good, now) = (&self.good, &mut self.replica);
        now.positions_ang.copy_from_slice(&good.positions_ang);
        now.velocities_ang_per_fs
            .copy_from_slice(&good.velocities_ang_per_fs);
        now.forces_ev_per_ang
            .copy_from_slice(&good.forces_ev_per_ang);
        now.energy_ev = good.energy_ev;
        now.kinetic_ev = good.kinetic_ev;
        now.bath_heat_ev = good.bath_heat_ev;
    }

    /// One step; on a fault the state is left half-way.
    fn step<F: ForceField>(
        &mut self,
        program: &[Op],
        field: &mut Field<'_, F>,
    ) -> Result<(), Fault> {
        let system = field.system;
        let molecule = &system.molecules[self.replica.id.molecule as usize];
        let masses_amu = &molecule.masses_amu;
        for op in program {
            match *op {
                Op::Kick(fraction) => kick(&mut self.replica, masses_amu, fraction),
                Op::Drift(fraction) => drift(&mut self.replica, fraction),
                Op::Bath => {
                    let before_ev = molecule.kinetic_energy_ev(&self.replica.velocities_ang_per_fs);
                    bath(&mut self.replica, masses_amu, self.bath, system.seed);
                    let after_ev = molecule.kinetic_energy_ev(&self.replica.velocities_ang_per_fs);
                    self.replica.bath_heat_ev += after_ev - before_ev;
                    self.replica.kinetic_ev = after_ev;
                }
                Op::Forces => field.update(self)?,
            }
        }
        if !program.contains(&Op::Bath) {
            let velocities = &self.replica.velocities_ang_per_fs;
            self.replica.kinetic_ev = molecule.kinetic_energy_ev(velocities);
        }
        let atoms = masses_amu.len() as f64;
        let temperature_k = 2.0 * self.replica.kinetic_ev / (3.0 * atoms * BOLTZMANN_EV_PER_K);
        if !temperature_k.is_finite() {
            return Err(Fault::NotFinite);
        }
        if temperature_k > system.temperature_limit_k {
            return Err(Fault::TooHot(temperature_k));
        }
        Ok(())
    }
}

/// v += fraction Δt F/m
fn kick(replica: &mut Replica, masses_amu: &[f64], fraction: f64) {
    let impulse = fraction * replica.parameters.timestep_fs * ACCELERATION;
    let forces = replica.forces_ev_per_ang.iter().zip(masses_amu);
    for (v, (force, mass)) in replica.velocities_ang_per_fs.iter_mut().zip(forces) {
        for axis in 0..3 {
            v[axis] += impulse / mass * force[axis];
        }
    }
}

/// x += fraction Δt v
fn drift(replica: &mut Replica, fraction: f64) {
    let time_fs = fraction * replica.parameters.timestep_fs;
    for (x, v) in replica
        .positions_ang
        .iter_mut()
        .zip(&replica.velocities_ang_per_fs)
    {
        for axis in 0..3 {
            x[axis] += time_fs * v[axis];
        }
    }
}

/// v = c v + √((1 − c²) kT/m) ξ, which keeps the Maxwell distribution exactly.
fn bath(replica: &mut Replica, masses_amu: &[f64], bath: Bath, seed: u64) {
    let Replica {
        id,
        step,
        velocities_ang_per_fs,
        ..
    } = replica;
    for (atom, (v, mass)) in velocities_ang_per_fs.iter_mut().zip(masses_amu).enumerate() {
        let width = (bath.noise_ev * ACCELERATION / mass).sqrt();
        let noise = random::normal3(seed, id, *step, atom, Stream::Bath);
        for axis in 0..3 {
            v[axis] = bath.decay * v[axis] + width * noise[axis];
        }
    }
}
