//! FIRE minimisation (10.1103/PhysRevLett.97.170201) of all replicas at once.
//!
//! Every replica has its own time step and mixing, and stops moving when its largest force is
//! below the tolerance; the batch goes on until the last one is there.

use crate::engine::Engine;
use crate::error::Result;
use crate::replica::{Replica, Status};

/// When a replica counts as minimised.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tolerance {
    /// Largest force on an atom, eV/Å.
    pub force_ev_per_ang: f64,
    /// Steps after which the search is given up.
    pub steps_max: u64,
}

/// What became of one replica.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Minimum {
    /// Whether the tolerance was reached.
    pub converged: bool,
    /// Steps made.
    pub steps: u64,
    /// Largest force on an atom, eV/Å.
    pub force_ev_per_ang: f64,
}

/// FIRE's published constants; unit masses, so that a time step has the unit Å/√eV.
const STEPS_BEFORE_FASTER: u32 = 5;
const FASTER: f64 = 1.1;
const SLOWER: f64 = 0.5;
const MIXING_START: f64 = 0.1;
const MIXING_DECAY: f64 = 0.99;
const TIMESTEP_START: f64 = 0.1;
const TIMESTEP_MAX: f64 = 0.5;
/// No atom moves farther than this in one step, Å: a start far uphill must not be thrown apart.
const MOVE_MAX_ANG: f64 = 0.1;

/// The search state of one replica.
struct Search {
    /// Where it was before its last move: what a fault returns to.
    good: Replica,
    velocities: Vec<[f64; 3]>,
    timestep: f64,
    mixing: f64,
    downhill_steps: u32,
}

/// Minimises `replicas` in place through `engine`, whose slots hold them in this order; returns what
/// became of each.  Velocities are left as they are.
///
/// `watch` is told the step and how many replicas are still searching, and may end the search.
pub fn minimise(
    engine: &mut dyn Engine,
    replicas: &mut [Replica],
    tolerance: Tolerance,
    mut watch: impl FnMut(u64, usize) -> bool,
) -> Result<Vec<Minimum>> {
    let mut searches: Vec<Search> = replicas.iter().map(Search::new).collect();
    let mut minima = vec![
        Minimum {
            converged: false,
            steps: 0,
            force_ev_per_ang: f64::INFINITY
        };
        replicas.len()
    ];
    engine.evaluate()?;
    for step in 0..=tolerance.steps_max {
        engine.snapshot(replicas)?;
        let mut searching = 0;
        for (slot, replica) in replicas.iter_mut().enumerate() {
            if minima[slot].converged {
                continue;
            }
            if let Status::Failed(_) = replica.status {
                if step > 0 && searches[slot].good.is_running() {
                    searches[slot].good.status = replica.status;
                    engine.put(slot, &searches[slot].good)?;
                }
                continue;
            }
            let force_ev_per_ang = largest_force(replica);
            let converged = force_ev_per_ang <= tolerance.force_ev_per_ang;
            minima[slot] = Minimum {
                converged,
                steps: step,
                force_ev_per_ang,
            };
            if !converged && step < tolerance.steps_max {
                searches[slot].good.clone_from(replica);
                searches[slot].step(replica);
                engine.put(slot, replica)?;
                searching += 1;
            }
        }
        if searching == 0 || !watch(step, searching) {
            break;
        }
        engine.evaluate()?;
    }
    engine.snapshot(replicas)?;
    Ok(minima)
}

fn largest_force(replica: &Replica) -> f64 {
    let squares = replica.forces_ev_per_ang.iter().map(dot_self);
    squares.fold(0.0, f64::max).sqrt()
}

fn dot_self(v: &[f64; 3]) -> f64 {
    v[0] * v[0] + v[1] * v[1] + v[2] * v[2]
}

impl Search {
    fn new(replica: &Replica) -> Self {
        Self {
            good: replica.clone(),
            velocities: vec![[0.0; 3]; replica.positions_ang.len()],
            timestep: TIMESTEP_START,
            mixing: MIXING_START,
            downhill_steps: 0,
        }
    }

    /// One step: v += Δt F; going downhill v = (1 − α) v + α |v| F/|F|, going uphill v = 0; x += Δt v.
    fn step(&mut self, replica: &mut Replica) {
        let forces = &replica.forces_ev_per_ang;
        let pairs = || self.velocities.iter().zip(forces);
        let power: f64 = pairs()
            .map(|(v, f)| v[0] * f[0] + v[1] * f[1] + v[2] * f[2])
            .sum();
        if power > 0.0 {
            let speed = self.velocities.iter().map(dot_self).sum::<f64>().sqrt();
            let force = forces.iter().map(dot_self).sum::<f64>().sqrt();
            let along = self.mixing * speed / force;
            for (v, f) in self.velocities.iter_mut().zip(forces) {
                for axis in 0..3 {
                    v[axis] = (1.0 - self.mixing) * v[axis] + along * f[axis];
                }
            }
            self.downhill_steps += 1;
            if self.downhill_steps > STEPS_BEFORE_FASTER {
                self.timestep = (self.timestep * FASTER).min(TIMESTEP_MAX);
                self.mixing *= MIXING_DECAY;
            }
        } else {
            self.velocities.fill([0.0; 3]);
            self.downhill_steps = 0;
            self.timestep *= SLOWER;
            self.mixing = MIXING_START;
        }
        for (v, f) in self.velocities.iter_mut().zip(forces) {
            for axis in 0..3 {
                v[axis] += self.timestep * f[axis];
            }
        }
        let fastest = self
            .velocities
            .iter()
            .map(dot_self)
            .fold(0.0, f64::max)
            .sqrt();
        let time = self
            .timestep
            .min(MOVE_MAX_ANG / fastest.max(f64::MIN_POSITIVE));
        for (x, v) in replica.positions_ang.iter_mut().zip(&self.velocities) {
            for axis in 0..3 {
                x[axis] += time * v[axis];
            }
        }
    }
}
