//! Several GPUs of one machine: replicas shared out over one engine each.
//!
//! A replica's bits depend on its own state alone, so it does not matter on which GPU it is.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cudarc::driver::CudaEvent;

use super::{CudaEngine, Gpu, Limits, StageTime, between, padding_of, wait_for};
use crate::engine::potential::Term;
use crate::engine::{Engine, Op, check_count, no_slot};
use crate::error::Result;
use crate::replica::{Parameters, Replica};
use crate::student::Student;
use crate::system::System;

/// Steps that a GPU is given before the next one gets its own.
const STEPS_IN_TURN: u64 = 100;

/// One engine a GPU.
pub struct SeveralGpus {
    members: Vec<Member>,
    /// For each slot, its GPU and the slot there.
    seats: Vec<(usize, usize)>,
}

/// The engine of a GPU, and the replicas that it gave last.
struct Member {
    engine: CudaEngine,
    slots: Vec<usize>,
    replicas: Vec<Replica>,
}

impl SeveralGpus {
    /// Engines on GPUs of one kind, together with one slot for each of `replicas`.
    pub fn new(
        gpus: Vec<Gpu>,
        system: &Arc<System>,
        student: Option<&Student>,
        terms: &[Term],
        replicas: &[Replica],
        limits: Limits,
    ) -> Result<Self> {
        let sizes: Vec<usize> = replicas
            .iter()
            .map(|replica| replica.positions_ang.len())
            .collect();
        let shares = share_out(&sizes, gpus.len());
        let mut seats = vec![(0, 0); replicas.len()];
        let mut members = Vec::with_capacity(gpus.len());
        for (number, (gpu, slots)) in gpus.into_iter().zip(shares).enumerate() {
            for (seat, slot) in slots.iter().enumerate() {
                seats[*slot] = (number, seat);
            }
            let replicas: Vec<Replica> = slots.iter().map(|slot| replicas[*slot].clone()).collect();
            let engine = CudaEngine::new(gpu, system.clone(), student, terms, &replicas, limits)?;
            members.push(Member {
                engine,
                slots,
                replicas,
            });
        }
        Ok(Self { members, seats })
    }

    /// Launches steps on all GPUs, and does not wait for them.
    fn begin_steps(&mut self, program: &[Op], steps: u64) -> Result<()> {
        // Launches do not wait, so all GPUs work at once; a queue of them has an end, so in turns.
        let mut left = steps;
        while left > 0 {
            let now = left.min(STEPS_IN_TURN);
            for member in &mut self.members {
                member.engine.begin_steps(program, now)?;
            }
            left -= now;
        }
        Ok(())
    }

    /// The state when its copy, which is done by now, was begun.
    fn end_snapshot(&mut self, replicas: &mut [Replica]) -> Result<()> {
        for member in &mut self.members {
            member.engine.end_snapshot(&mut member.replicas)?;
            for (slot, replica) in member.slots.iter().zip(&mut member.replicas) {
                std::mem::swap(&mut replicas[*slot], replica);
            }
        }
        Ok(())
    }

    /// A mark in the work of each GPU.
    fn marks(&self) -> Result<Vec<CudaEvent>> {
        let members = self.members.iter();
        members.map(|member| member.engine.gpu.mark()).collect()
    }

    /// Waits for all GPUs.
    fn finish(&self) -> Result<()> {
        self.members
            .iter()
            .try_for_each(|member| member.engine.finish())
    }

    fn seat(&self, slot: usize) -> Result<(usize, usize)> {
        self.seats
            .get(slot)
            .copied()
            .ok_or_else(|| no_slot(slot, self.seats.len()))
    }
}

impl Engine for SeveralGpus {
    fn put(&mut self, slot: usize, replica: &Replica) -> Result<()> {
        let (number, seat) = self.seat(slot)?;
        self.members[number].engine.put(seat, replica)
    }

    fn snapshot(&mut self, replicas: &mut [Replica]) -> Result<()> {
        check_count(replicas.len(), self.seats.len())?;
        for member in &mut self.members {
            member.engine.begin_snapshot()?;
        }
        self.finish()?;
        self.end_snapshot(replicas)
    }

    fn set_parameters(&mut self, slot: usize, parameters: Parameters) {
        if let Some(&(number, seat)) = self.seats.get(slot) {
            self.members[number].engine.set_parameters(seat, parameters);
        }
    }

    fn evaluate(&mut self) -> Result<()> {
        for member in &mut self.members {
            member.engine.begin_evaluation()?;
        }
        self.finish()
    }

    fn advance(&mut self, program: &[Op], steps: u64) -> Result<()> {
        self.begin_steps(program, steps)?;
        self.finish()
    }

    fn advance_while(
        &mut self,
        (program, steps): (&[Op], u64),
        replicas: &mut [Replica],
        work: &mut dyn FnMut(&[Replica]) -> Result<()>,
    ) -> Result<Duration> {
        check_count(replicas.len(), self.seats.len())?;
        let started = Instant::now();
        for member in &mut self.members {
            member.engine.begin_snapshot()?;
        }
        let starts = self.marks()?;
        self.begin_steps(program, steps)?;
        let ends = self.marks()?;
        starts.iter().try_for_each(wait_for)?;
        let worked = self.end_snapshot(replicas).and_then(|()| work(replicas));
        self.finish()?;
        worked?;
        let mut steps_took = Duration::ZERO;
        for marks in starts.iter().zip(&ends) {
            steps_took = steps_took.max(between(marks)?);
        }
        Ok(started.elapsed().saturating_sub(steps_took))
    }

    fn padding(&self) -> Option<f64> {
        let of_members = self.members.iter().map(|member| member.engine.tile_rows());
        let sum = |(rows, atoms), (of_rows, of_atoms)| (rows + of_rows, atoms + of_atoms);
        padding_of(of_members.fold((0, 0), sum))
    }

    /// The stages of the first GPU.
    fn profile(&mut self, program: &[Op], steps: u64) -> Result<Vec<StageTime>> {
        let (first, others) = self.members.split_at_mut(1);
        for member in others {
            member.engine.advance(program, steps)?;
        }
        match first {
            [member] => member.engine.profile(program, steps),
            _ => Ok(Vec::new()),
        }
    }
}

/// Slots of each of `count` GPUs: larger molecules first, each to the GPU with the fewest atoms so far.
fn share_out(sizes: &[usize], count: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.sort_by_key(|slot| std::cmp::Reverse(sizes[*slot]));
    let mut shares = vec![(0, Vec::new()); count];
    for slot in order {
        if let Some((atoms, share)) = shares.iter_mut().min_by_key(|(atoms, _)| *atoms) {
            *atoms += sizes[slot];
            share.push(slot);
        }
    }
    // A GPU without replicas would be an engine of nothing.
    let slots = shares.into_iter().map(|(_, slots)| slots);
    slots.filter(|slots| !slots.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_even_in_atoms() {
        let sizes = [12, 50, 12, 21, 12, 3];
        let shares = share_out(&sizes, 2);
        assert_eq!(shares, [vec![1, 5], vec![3, 0, 2, 4]]);
        assert_eq!(share_out(&sizes[..1], 4), [vec![0]]);
    }
}
