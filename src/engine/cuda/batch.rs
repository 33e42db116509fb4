//! Replicas that are computed together: where they are in the arrays, and the way there and back.
//!
//! Atoms of all replicas stand one after the other with nothing between them, larger molecules
//! first, so that no work is spent on padding and the blocks that take longest start first.

use cudarc::driver::{CudaSlice, DeviceRepr, PinnedHostSlice, ValidAsZeroBits};
use rayon::prelude::*;

use super::abi::{self, Pointer};
use super::gpu::{Gpu, failed};
use crate::engine::host::Bath;
use crate::error::Result;
use crate::replica::{Fault, Parameters, Replica, Status};
use crate::system::System;

/// What of a molecule the device must know.
pub struct MoleculeTable {
    /// For each atom, the index of its element among the campaign's.
    pub elements: Vec<i32>,
    /// Energy of the isolated atoms, eV.
    pub reference_ev: f64,
}

/// The seat of a replica in its batch.
#[derive(Clone, Copy, Debug)]
pub struct Seat {
    first_row: usize,
    atoms: usize,
    molecule: u32,
}

/// Replicas on the device.
pub struct Batch {
    seats: Vec<Seat>,
    rows: usize,
    tables: Tables,
    /// Δt, c and (1 − c²) k T of each seat, and their copy on the device   (R, 3)
    parameters: Vec<[f64; 3]>,
    parameters_there: CudaSlice<f64>,
    parameters_are_new: bool,
    identity: Mirror<u32>,
    /// positions, velocities, forces (M, 3); energy, kinetic energy, heat, fault's value (R,)
    numbers: Mirror<f64>,
    steps: Mirror<u64>,
    /// kind, atom, atom, whether a step is under way (R, 4)
    faults: Mirror<i32>,
    /// the state before the step under way, laid out like `numbers`
    saved: CudaSlice<f64>,
    fresher: Fresher,
}

/// Which side was written last.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fresher {
    Neither,
    Host,
    Device,
}

/// What never changes.
struct Tables {
    first_row: CudaSlice<i32>,
    first_pair: CudaSlice<i32>,
    replica: CudaSlice<i32>,
    element: CudaSlice<i32>,
    mass_amu: CudaSlice<f64>,
    reference_ev: CudaSlice<f64>,
}

/// An array on the device with its copy in pinned host memory.
struct Mirror<T> {
    host: PinnedHostSlice<T>,
    device: CudaSlice<T>,
}

impl<T: DeviceRepr + ValidAsZeroBits + Default + Copy> Mirror<T> {
    fn new(gpu: &Gpu, len: usize) -> Result<Self> {
        Ok(Self {
            host: abi::pinned(gpu.stream.context(), len).map_err(failed("get pinned memory"))?,
            device: gpu.array(len)?,
        })
    }

    fn upload(&mut self, gpu: &Gpu) -> Result<()> {
        gpu.stream
            .memcpy_htod(&self.host, &mut self.device)
            .map_err(failed("copy to the GPU"))
    }

    fn download(&mut self, gpu: &Gpu) -> Result<()> {
        gpu.stream
            .memcpy_dtoh(&self.device, &mut self.host)
            .map_err(failed("copy from the GPU"))
    }

    fn slice(&self) -> Result<&[T]> {
        self.host.as_slice().map_err(failed("copy from the GPU"))
    }

    fn slice_mut(&mut self) -> Result<&mut [T]> {
        self.host.as_mut_slice().map_err(failed("copy to the GPU"))
    }
}

impl Batch {
    /// Puts `replicas` on the device, in this order.
    pub fn new(
        gpu: &Gpu,
        system: &System,
        molecules: &[MoleculeTable],
        replicas: &[&Replica],
    ) -> Result<Self> {
        let (mut rows, mut pairs) = (0, 0);
        let mut seats = Vec::with_capacity(replicas.len());
        let (mut first_row, mut first_pair) = (Vec::new(), Vec::new());
        let (mut of_replica, mut element, mut mass_amu) = (Vec::new(), Vec::new(), Vec::new());
        let mut reference_ev = Vec::with_capacity(replicas.len());
        for (number, replica) in replicas.iter().enumerate() {
            let molecule = replica.id.molecule;
            let atoms = system.molecules[molecule as usize].len();
            let table = &molecules[molecule as usize];
            seats.push(Seat {
                first_row: rows,
                atoms,
                molecule,
            });
            first_row.push(rows as i32);
            first_pair.push(pairs as i32);
            of_replica.extend(std::iter::repeat_n(number as i32, atoms));
            element.extend_from_slice(&table.elements);
            mass_amu.extend_from_slice(&system.molecules[molecule as usize].masses_amu);
            reference_ev.push(table.reference_ev);
            rows += atoms;
            pairs += atoms * atoms;
        }
        first_row.push(rows as i32);
        let count = replicas.len();
        let mut batch = Self {
            tables: Tables {
                first_row: gpu.upload(&first_row)?,
                first_pair: gpu.upload(&first_pair)?,
                replica: gpu.upload(&of_replica)?,
                element: gpu.upload(&element)?,
                mass_amu: gpu.upload(&mass_amu)?,
                reference_ev: gpu.upload(&reference_ev)?,
            },
            parameters: vec![[0.0; 3]; count],
            parameters_there: gpu.array(3 * count)?,
            parameters_are_new: true,
            identity: Mirror::new(gpu, 2 * count)?,
            numbers: Mirror::new(gpu, 9 * rows + 4 * count)?,
            steps: Mirror::new(gpu, count)?,
            faults: Mirror::new(gpu, 4 * count)?,
            saved: gpu.array(9 * rows + 4 * count)?,
            fresher: Fresher::Host,
            seats,
            rows,
        };
        for (seat, replica) in replicas.iter().enumerate() {
            batch.write(seat, replica)?;
        }
        Ok(batch)
    }

    /// Bytes on the device for replicas of `rows` atoms altogether, an upper bound.
    pub fn device_bytes(rows: usize, replicas: usize) -> usize {
        rows * (2 * 9 * 8 + 16) + replicas * 160
    }

    /// The number of replicas.
    pub fn len(&self) -> usize {
        self.seats.len()
    }

    /// Atoms of each replica.
    pub fn sizes(&self) -> Vec<usize> {
        self.seats.iter().map(|seat| seat.atoms).collect()
    }

    /// The number of atoms.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The molecule of the replica in a seat.
    pub fn molecule(&self, seat: usize) -> u32 {
        self.seats[seat].molecule
    }

    /// Where the atoms are.
    pub fn layout(&self) -> abi::Batch {
        abi::Batch {
            replicas: self.len() as i32,
            rows: self.rows as i32,
            first_row: Pointer::to(&self.tables.first_row),
            first_pair: Pointer::to(&self.tables.first_pair),
            replica: Pointer::to(&self.tables.replica),
            element: Pointer::to(&self.tables.element),
            mass_amu: Pointer::to(&self.tables.mass_amu),
        }
    }

    /// Reference energies (R,).
    pub fn reference_ev(&self) -> Pointer<f64> {
        Pointer::to(&self.tables.reference_ev)
    }

    /// The state.
    pub fn state(&self) -> abi::State {
        self.state_in(&self.numbers.device)
    }

    /// The state before the step under way.
    pub fn saved(&self) -> abi::State {
        self.state_in(&self.saved)
    }

    fn state_in(&self, numbers: &CudaSlice<f64>) -> abi::State {
        let (vectors, scalars) = (3 * self.rows, self.len());
        abi::State {
            position_ang: Pointer::to(numbers),
            velocity_ang_per_fs: Pointer::into(numbers, vectors),
            force_ev_per_ang: Pointer::into(numbers, 2 * vectors),
            energy_ev: Pointer::into(numbers, 3 * vectors),
            kinetic_ev: Pointer::into(numbers, 3 * vectors + scalars),
            bath_heat_ev: Pointer::into(numbers, 3 * vectors + 2 * scalars),
        }
    }

    /// Steps and faults.
    pub fn progress(&self) -> abi::Progress {
        abi::Progress {
            step: Pointer::to(&self.steps.device),
            fault: Pointer::to(&self.faults.device),
            fault_value: Pointer::into(&self.numbers.device, 9 * self.rows + 3 * self.len()),
        }
    }

    /// What the integrator must know of the replicas.
    pub fn conditions(&self, system: &System) -> abi::Conditions {
        abi::Conditions {
            parameters: Pointer::to(&self.parameters_there),
            identity: Pointer::to(&self.identity.device),
            seed: system.seed,
            temperature_limit_k: system.temperature_limit_k,
        }
    }

    /// Makes the device's copy the fresh one, before it is changed there.
    pub fn send(&mut self, gpu: &Gpu) -> Result<()> {
        if self.parameters_are_new {
            let parameters = self.parameters.as_flattened();
            let there = &mut self.parameters_there;
            gpu.stream
                .memcpy_htod(parameters, there)
                .map_err(failed("copy to the GPU"))?;
            self.parameters_are_new = false;
        }
        if self.fresher == Fresher::Host {
            self.identity.upload(gpu)?;
            self.numbers.upload(gpu)?;
            self.steps.upload(gpu)?;
            self.faults.upload(gpu)?;
        }
        self.fresher = Fresher::Device;
        Ok(())
    }

    /// Brings the host's copy up to date.
    pub fn fetch(&mut self, gpu: &Gpu) -> Result<()> {
        if self.fresher == Fresher::Device {
            self.begin_fetch(gpu)?;
            gpu.synchronize()?;
        }
        Ok(())
    }

    /// The same without waiting: the copy may be read once the stream has come so far, whatever was
    /// launched behind it.
    pub fn begin_fetch(&mut self, gpu: &Gpu) -> Result<()> {
        if self.fresher == Fresher::Device {
            self.numbers.download(gpu)?;
            self.steps.download(gpu)?;
            self.faults.download(gpu)?;
            self.fresher = Fresher::Neither;
        }
        Ok(())
    }

    /// Puts a replica of the seat's molecule into it.
    pub fn put(&mut self, gpu: &Gpu, seat: usize, replica: &Replica) -> Result<()> {
        self.fetch(gpu)?;
        self.fresher = Fresher::Host;
        self.write(seat, replica)
    }

    /// Changes the conditions of a seat.
    pub fn set_parameters(&mut self, seat: usize, parameters: &Parameters) {
        let Bath { decay, noise_ev } = Bath::new(parameters);
        self.parameters[seat] = [parameters.timestep_fs, decay, noise_ev];
        self.parameters_are_new = true;
    }

    fn write(&mut self, seat: usize, replica: &Replica) -> Result<()> {
        self.set_parameters(seat, &replica.parameters);
        let id = &replica.id;
        let identity = [id.name_hash, id.copy | u32::from(id.temperature) << 24];
        self.identity.slice_mut()?[2 * seat..2 * seat + 2].copy_from_slice(&identity);
        self.steps.slice_mut()?[seat] = replica.step;
        let (fault, value) = encode(replica.status);
        self.faults.slice_mut()?[4 * seat..4 * seat + 4].copy_from_slice(&fault);

        let Seat {
            first_row, atoms, ..
        } = self.seats[seat];
        let (vectors, scalars) = (3 * self.rows, self.len());
        let numbers = self.numbers.slice_mut()?;
        let arrays = [
            &replica.positions_ang,
            &replica.velocities_ang_per_fs,
            &replica.forces_ev_per_ang,
        ];
        for (n, array) in arrays.into_iter().enumerate() {
            let start = n * vectors + 3 * first_row;
            numbers[start..start + 3 * atoms].copy_from_slice(array.as_flattened());
        }
        let energies = [
            replica.energy_ev,
            replica.kinetic_ev,
            replica.bath_heat_ev,
            value,
        ];
        for (n, energy) in energies.into_iter().enumerate() {
            numbers[3 * vectors + n * scalars + seat] = energy;
        }
        Ok(())
    }

    /// Copies what the engine changes of each seat, as it was last fetched, into the replica of the
    /// slot in `slots`.
    pub fn read(&self, slots: &[usize], replicas: &mut [Replica]) -> Result<()> {
        let numbers = self.numbers.slice()?;
        let (steps, faults) = (self.steps.slice()?, self.faults.slice()?);
        let (vectors, scalars) = (3 * self.rows, self.len());
        let mut by_slot: Vec<Option<&mut Replica>> = replicas.iter_mut().map(Some).collect();
        let seated: Vec<_> = slots.iter().map(|slot| by_slot[*slot].take()).collect();
        seated
            .into_par_iter()
            .enumerate()
            .for_each(|(seat, replica)| {
                let Some(replica) = replica else { return };
                let Seat {
                    first_row, atoms, ..
                } = self.seats[seat];
                let arrays = [
                    &mut replica.positions_ang,
                    &mut replica.velocities_ang_per_fs,
                    &mut replica.forces_ev_per_ang,
                ];
                for (n, array) in arrays.into_iter().enumerate() {
                    let start = n * vectors + 3 * first_row;
                    array.resize(atoms, [0.0; 3]);
                    array
                        .as_flattened_mut()
                        .copy_from_slice(&numbers[start..start + 3 * atoms]);
                }
                let scalar = |n: usize| numbers[3 * vectors + n * scalars + seat];
                replica.energy_ev = scalar(0);
                replica.kinetic_ev = scalar(1);
                replica.bath_heat_ev = scalar(2);
                replica.step = steps[seat];
                replica.status = decode(&faults[4 * seat..4 * seat + 3], scalar(3));
            });
        Ok(())
    }
}

/// The kinds of `FaultKind` in kernels/sizes.cuh.
fn encode(status: Status) -> ([i32; 4], f64) {
    match status {
        Status::Running => ([0; 4], 0.0),
        Status::Failed(Fault::NotFinite) => ([1, 0, 0, 0], 0.0),
        Status::Failed(Fault::TooHot(temperature_k)) => ([2, 0, 0, 0], temperature_k),
        Status::Failed(Fault::TooClose(i, j, distance_ang)) => {
            ([3, i as i32, j as i32, 0], distance_ang)
        }
        Status::Failed(Fault::BrokeApart(i, j)) => ([4, i as i32, j as i32, 0], 0.0),
    }
}

fn decode(fault: &[i32], value: f64) -> Status {
    let (i, j) = (fault[1] as u32, fault[2] as u32);
    match fault[0] {
        0 => Status::Running,
        2 => Status::Failed(Fault::TooHot(value)),
        3 => Status::Failed(Fault::TooClose(i, j, value)),
        4 => Status::Failed(Fault::BrokeApart(i, j)),
        _ => Status::Failed(Fault::NotFinite),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_come_back_as_they_were() {
        let statuses = [
            Status::Running,
            Status::Failed(Fault::NotFinite),
            Status::Failed(Fault::TooHot(12_345.6)),
            Status::Failed(Fault::TooClose(3, 7, 0.25)),
            Status::Failed(Fault::BrokeApart(0, 65_535)),
        ];
        for status in statuses {
            let (fault, value) = encode(status);
            assert_eq!(decode(&fault[..3], value), status);
        }
    }
}
