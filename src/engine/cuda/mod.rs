//! The engine on an NVIDIA GPU: every replica in every step in one batch, integration included.
//!
//! Tiles make many steps in one launch. Of the f32 kernels the launches of one step are captured in a graph,
//! and a run of n steps is n replays of it. The host does nothing else in between. Kernels, their formulas and
//! shapes: `kernels/README.md`.
//!
//! A replica's bits depend on its own state alone: rows of products do not see each other, sums run
//! over a molecule's own atoms in a fixed order, and nothing is added atomically. So replicas may be
//! shared out over batches, one after the other, when they do not fit into the memory together.

mod abi;
mod arrays;
mod batch;
mod field;
mod gpu;
mod images;
mod launches;
mod layout;
mod network;
mod several;
mod steps;
mod tile_field;
mod tile_kinds;
mod tile_weights;
mod tiles;
mod weights;

use std::sync::Arc;
use std::time::{Duration, Instant};

use cudarc::driver::{CudaEvent, CudaGraph, sys};

pub use gpu::{Gpu, StageTime};
pub use several::SeveralGpus;

use self::batch::{Batch, MoleculeTable};
use self::field::Field;
use self::gpu::failed;
use self::launches::Launches;
use self::layout::{Extent, molecule_tables, share_out};
use self::tile_field::{TileArrays, TileField};
use self::weights::Weights;
use super::potential::Term;
use super::{Engine, Op, Precision, check_count, no_slot};
use crate::error::{Error, Result};
use crate::replica::{Parameters, Replica, ReplicaId};
use crate::student::Student;
use crate::system::System;

/// The part of the free memory that is not planned with: for the driver, and fragmentation.
const MEMORY_RESERVE: f64 = 0.08;
/// Places for pairs are counted in 31 bits on the device.
const PAIRS_MAX: usize = (1 << 31) - 1;

/// Limits on what is computed together.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Atoms in one batch of the f32 kernels at most.
    pub rows_max: usize,
    /// How exactly the student is evaluated.
    pub precision: Precision,
}

impl Default for Limits {
    /// What the memory allows.
    fn default() -> Self {
        Self {
            rows_max: usize::MAX,
            precision: Precision::Mixed,
        }
    }
}

/// Slots on one GPU, with forces from a student and analytic terms.
pub struct CudaEngine {
    gpu: Gpu,
    system: Arc<System>,
    molecules: Vec<MoleculeTable>,
    field: Field,
    /// For replicas that fit into tiles, where 16 bits are precise enough.
    tile_field: Option<TileField>,
    /// The largest batch that there is room for, and may be made.
    room: Extent,
    batches: Vec<Seated>,
    /// For each slot, its batch and seat.
    seats: Vec<(usize, usize)>,
    /// For each slot, what of its replica no kernel changes.
    names: Vec<(ReplicaId, Parameters)>,
    opened_bytes: usize,
}

/// A batch, who sits in it, and one step of it as a graph once that was asked for.
struct Seated {
    batch: Batch,
    slots: Vec<usize>,
    /// Absent where the f32 kernels step the batch.
    tiles: Option<TileArrays>,
    graph: Option<(Vec<Op>, CudaGraph)>,
}

impl CudaEngine {
    /// An engine on a GPU that was opened for this student, with one slot for each of `replicas`.
    pub fn new(
        gpu: Gpu,
        system: Arc<System>,
        student: Option<&Student>,
        terms: &[Term],
        replicas: &[Replica],
        limits: Limits,
    ) -> Result<Self> {
        // Kernels are compiled for few sizes; a student of fewer channels gets more that are zero.
        let widened =
            student.map(|student| student.widened(gpu.sizes.channels, gpu.sizes.tensor_channels));
        let student = widened.as_ref();
        let (molecules, elements) = molecule_tables(&system, student)?;
        let architecture = student.map(|student| &student.architecture);
        let load = |student| Weights::upload(&gpu, student, &elements);
        let weights = student.map(load).transpose()?;
        let wells: Vec<f64> = terms
            .iter()
            .map(|Term::HarmonicWell(stiffness)| *stiffness)
            .collect();
        let tile_field = match student {
            Some(student) if limits.precision == Precision::Mixed => {
                TileField::new(&gpu, load(student)?, &wells)?
            }
            _ => None,
        };

        // The state of all replicas stays on the device; what a batch computes with is shared.
        let free_bytes = (gpu.memory_free_bytes()? as f64 * (1.0 - MEMORY_RESERVE)) as usize;
        let rows = replicas
            .iter()
            .map(|replica| replica.positions_ang.len())
            .sum();
        let state_bytes = Batch::device_bytes(rows, replicas.len());
        let bytes =
            |extent| Field::device_bytes(architecture, elements.len(), extent) + state_bytes;
        let fits = |extent: Extent| extent.pairs <= PAIRS_MAX && bytes(extent) <= free_bytes;
        let (tiled, rest) = part(&gpu, tile_field.as_ref(), replicas);
        let parts = share_out(rest, replicas, |extent| {
            fits(extent) && extent.rows <= limits.rows_max
        });
        let extents = parts.iter().map(|part| Extent::of(part, replicas));
        let room = extents.fold(Extent::default(), Extent::max);
        if !fits(room) {
            let [needed, there] =
                [bytes(room), free_bytes].map(|bytes| bytes as f64 / f64::from(1 << 30));
            let what = format!(
                "the GPU's memory is too small: {needed:.1} GiB needed, {there:.1} GiB free"
            );
            return Err(
                Error::run(what).hint("run fewer replicas, or end other programs on the GPU")
            );
        }

        let mut engine = Self {
            field: Field::new(&gpu, architecture.zip(weights), &wells, room)?,
            gpu,
            tile_field,
            system,
            molecules,
            room,
            batches: Vec::new(),
            seats: vec![(0, 0); replicas.len()],
            names: Vec::new(),
            opened_bytes: 0,
        };
        engine.seat(tiled, parts, replicas)?;
        engine.opened_bytes = engine.gpu.array_bytes.get();
        Ok(engine)
    }

    /// How many batches the replicas are computed in.
    pub fn batch_count(&self) -> usize {
        self.batches.len()
    }

    /// Bytes of all arrays on the GPU that this engine was opened with.
    pub fn opened_bytes(&self) -> usize {
        self.opened_bytes
    }

    /// Rows of all tiles, and how many of them atoms have.
    fn tile_rows(&self) -> (usize, usize) {
        let tiled = |seated: &Seated| Some((seated.tiles.as_ref()?.rows, seated.batch.rows()));
        // There is one batch of tiles at most.
        self.batches.iter().find_map(tiled).unwrap_or((0, 0))
    }

    /// Seats the replicas of `tiled` in a batch that is stepped in tiles, and the others in `parts`.
    fn seat(
        &mut self,
        tiled: Vec<usize>,
        parts: Vec<Vec<usize>>,
        replicas: &[Replica],
    ) -> Result<()> {
        self.batches.clear();
        let tiles = !tiled.is_empty();
        let all = tiles.then_some(tiled).into_iter().chain(parts);
        for (number, slots) in all.enumerate() {
            for (seat, slot) in slots.iter().enumerate() {
                self.seats[*slot] = (number, seat);
            }
            let members: Vec<&Replica> = slots.iter().map(|slot| &replicas[*slot]).collect();
            let batch = Batch::new(&self.gpu, &self.system, &self.molecules, &members)?;
            let tiles = if tiles && number == 0 {
                TileArrays::new(&self.gpu, &batch.sizes())?
            } else {
                None
            };
            self.batches.push(Seated {
                batch,
                slots,
                tiles,
                graph: None,
            });
        }
        self.names = replicas
            .iter()
            .map(|replica| (replica.id, replica.parameters))
            .collect();
        Ok(())
    }

    /// Seats all replicas anew, because one of them is another molecule than before.
    fn put_another_molecule(&mut self, slot: usize, replica: &Replica) -> Result<()> {
        let mut replicas: Vec<Replica> = self.names.iter().map(|name| blank(*name)).collect();
        self.snapshot(&mut replicas)?;
        replicas[slot].clone_from(replica);
        let room = self.room;
        let fits = |extent: Extent| extent.max(room) == room;
        let (tiled, rest) = part(&self.gpu, self.tile_field.as_ref(), &replicas);
        let parts = share_out(rest, &replicas, fits);
        if !parts.iter().all(|part| fits(Extent::of(part, &replicas))) {
            return Err(Error::run(
                "a replica is larger than this GPU engine was opened for",
            ));
        }
        self.seat(tiled, parts, &replicas)
    }

    fn send(&mut self) -> Result<()> {
        self.batches
            .iter_mut()
            .try_for_each(|seated| seated.batch.send(&self.gpu))
    }

    /// The launches of one step.
    fn launch_step(&self, batch: &Batch, program: &[Op]) -> Result<()> {
        let conditions = batch.conditions(&self.system);
        for (n, piece) in steps::pieces(program)?.iter().enumerate() {
            if n > 0 {
                self.field.evaluate(&self.gpu, batch)?;
            }
            let launches = Launches {
                gpu: &self.gpu,
                batch: batch.layout(),
                rows: batch.rows(),
            };
            launches.by_warp(
                "integrate",
                &self.gpu.kernels.integrate,
                batch.len(),
                &[
                    &launches.batch,
                    &conditions,
                    piece,
                    &batch.state(),
                    &batch.saved(),
                    &batch.progress(),
                ],
            )?;
        }
        Ok(())
    }

    /// One step of a batch as a graph.
    fn capture(&self, batch: &Batch, program: &[Op]) -> Result<CudaGraph> {
        let stream = &self.gpu.stream;
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        stream
            .begin_capture(mode)
            .map_err(failed("begin a graph"))?;
        let launched = self.launch_step(batch, program);
        let graph = stream.end_capture(sys::CUgraphInstantiate_flags(0));
        launched?;
        let graph = graph.map_err(failed("end a graph"))?;
        graph.ok_or_else(|| Error::run("the GPU failed: a step without work"))
    }

    /// Launches an evaluation, and does not wait for it.
    fn begin_evaluation(&mut self) -> Result<()> {
        self.send()?;
        for Seated { batch, tiles, .. } in &self.batches {
            match (&self.tile_field, tiles) {
                (Some(field), Some(tiles)) => {
                    field.evaluate(&self.gpu, &self.system, batch, tiles)?;
                }
                _ => self.field.evaluate(&self.gpu, batch)?,
            }
        }
        Ok(())
    }

    /// Launches steps, and does not wait for them.
    fn begin_steps(&mut self, program: &[Op], steps: u64) -> Result<()> {
        self.send()?;
        for number in 0..self.batches.len() {
            let Seated {
                batch,
                tiles,
                graph,
                ..
            } = &self.batches[number];
            if let (Some(field), Some(tiles)) = (&self.tile_field, tiles) {
                field.advance(&self.gpu, &self.system, batch, tiles, (program, steps))?;
                continue;
            }
            if graph
                .as_ref()
                .is_none_or(|(captured, _)| captured != program)
            {
                let graph = self.capture(batch, program)?;
                self.batches[number].graph = Some((program.to_vec(), graph));
            }
            let graph = self.batches[number].graph.as_ref().map(|(_, graph)| graph);
            for _ in 0..steps {
                graph
                    .map_or(Ok(()), CudaGraph::launch)
                    .map_err(failed("launch a step"))?;
            }
        }
        Ok(())
    }

    /// Waits for what was launched.
    fn finish(&self) -> Result<()> {
        self.gpu.synchronize()
    }

    /// Begins to copy the state to the host, and does not wait for it.
    fn begin_snapshot(&mut self) -> Result<()> {
        let batches = self.batches.iter_mut();
        batches
            .map(|seated| &mut seated.batch)
            .try_for_each(|batch| batch.begin_fetch(&self.gpu))
    }

    /// The state when its copy, which is done by now, was begun.
    fn end_snapshot(&self, replicas: &mut [Replica]) -> Result<()> {
        for (replica, name) in replicas.iter_mut().zip(&self.names) {
            (replica.id, replica.parameters) = *name;
        }
        self.batches
            .iter()
            .try_for_each(|Seated { batch, slots, .. }| batch.read(slots, replicas))
    }
}

/// Waits until the work before a mark is done.
fn wait_for(mark: &CudaEvent) -> Result<()> {
    mark.synchronize().map_err(failed("finish the work"))
}

/// Device time between two marks of finished work.
fn between((start, end): (&CudaEvent, &CudaEvent)) -> Result<Duration> {
    let time_ms = start.elapsed_ms(end).map_err(failed("read a clock"))?;
    Ok(Duration::from_secs_f64(1e-3 * f64::from(time_ms.max(0.0))))
}

impl Engine for CudaEngine {
    fn put(&mut self, slot: usize, replica: &Replica) -> Result<()> {
        let slots = self.seats.len();
        let Some(&(number, seat)) = self.seats.get(slot) else {
            return Err(no_slot(slot, slots));
        };
        let batch = &mut self.batches[number].batch;
        if batch.molecule(seat) != replica.id.molecule {
            return self.put_another_molecule(slot, replica);
        }
        self.names[slot] = (replica.id, replica.parameters);
        batch.put(&self.gpu, seat, replica)
    }

    fn snapshot(&mut self, replicas: &mut [Replica]) -> Result<()> {
        check_count(replicas.len(), self.seats.len())?;
        self.begin_snapshot()?;
        self.finish()?;
        self.end_snapshot(replicas)
    }

    fn set_parameters(&mut self, slot: usize, parameters: Parameters) {
        if let Some(&(number, seat)) = self.seats.get(slot) {
            self.names[slot].1 = parameters;
            self.batches[number].batch.set_parameters(seat, &parameters);
        }
    }

    fn evaluate(&mut self) -> Result<()> {
        self.begin_evaluation()?;
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
        self.begin_snapshot()?;
        let start = self.gpu.mark()?;
        self.begin_steps(program, steps)?;
        let end = self.gpu.mark()?;
        wait_for(&start)?;
        let worked = self.end_snapshot(replicas).and_then(|()| work(replicas));
        self.finish()?;
        worked?;
        Ok(started.elapsed().saturating_sub(between((&start, &end))?))
    }

    fn padding(&self) -> Option<f64> {
        padding_of(self.tile_rows())
    }

    fn profile(&mut self, program: &[Op], steps: u64) -> Result<Vec<StageTime>> {
        self.send()?;
        let mut stages = Vec::new();
        for Seated { batch, tiles, .. } in &self.batches {
            let (gpu, system) = (&self.gpu, &self.system);
            stages.extend(match (&self.tile_field, tiles) {
                (Some(field), Some(tiles)) => {
                    field.profile(gpu, system, batch, tiles, (program, steps))?
                }
                _ => gpu.time(|| (0..steps).try_for_each(|_| self.launch_step(batch, program)))?,
            });
        }
        Ok(stages)
    }
}

/// Slots whose replicas fit into tiles, and all others.
fn part(
    gpu: &Gpu,
    tile_field: Option<&TileField>,
    replicas: &[Replica],
) -> (Vec<usize>, Vec<usize>) {
    let largest = gpu.tile_kinds.iter().map(|kind| kind.rows).max();
    let rows_max = tile_field.and(largest).unwrap_or(0);
    (0..replicas.len()).partition(|slot| replicas[*slot].positions_ang.len() <= rows_max)
}

/// The part of tiles' rows that no atom has; none where there are no tiles.
fn padding_of((rows, atoms): (usize, usize)) -> Option<f64> {
    (rows > 0).then(|| 1.0 - atoms as f64 / rows as f64)
}

/// A replica of which only the name is known yet.
fn blank((id, parameters): (ReplicaId, Parameters)) -> Replica {
    Replica::at_rest(id, parameters, Vec::new())
}
