//! Engines: where replicas are stepped.
//!
//! An engine is a set of slots. It is told *what* to do as a program of [`Op`] and for how many
//! steps, so that a device can run many steps without coming back; it knows neither TOML nor
//! output files.
//!
//! Invariant: `advance(a + b)` and `advance(a)` then `advance(b)` give the same bits, and the bits
//! of a replica depend neither on its slot nor on what is in the others.

mod cpu;
pub mod cuda;
mod device;
pub mod host;
pub mod potential;
#[cfg(feature = "reference")]
pub mod reference;
mod uncertainty;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::replica::{Parameters, Replica};
use crate::student::Student;
use crate::system::System;

pub use cuda::StageTime;
use cuda::{CudaEngine, Gpu, Limits, SeveralGpus};
pub use device::{Device, Precision};
use host::HostEngine;
pub use uncertainty::Uncertainty;

/// The whole vocabulary between a scheme and an engine; fractions are of one time step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Op {
    /// v += fraction · Δt · F/m
    Kick(f64),
    /// x += fraction · Δt · v
    Drift(f64),
    /// Exact solution of the Ornstein–Uhlenbeck process over one Δt:
    /// v = c v + √((1 − c²) kT/m) ξ with c = exp(−γ Δt)
    Bath,
    /// Energy and forces at the new positions.
    Forces,
}

/// Slots of replicas that are stepped together.
pub trait Engine {
    /// Puts a replica into a slot, in place of the one that is there.
    fn put(&mut self, slot: usize, replica: &Replica) -> Result<()>;

    /// Copies all slots into `replicas`, in order; allocates nothing when the shapes match.
    fn snapshot(&mut self, replicas: &mut [Replica]) -> Result<()>;

    /// Changes the conditions of one slot.
    fn set_parameters(&mut self, slot: usize, parameters: Parameters);

    /// Energy and forces of every running replica where it is; a replica at which this fails is
    /// frozen there.
    fn evaluate(&mut self) -> Result<()>;

    /// Steps every running replica `steps` times; faults are looked for in every step.
    fn advance(&mut self, program: &[Op], steps: u64) -> Result<()>;

    /// Takes a snapshot and steps on from there, while `work` is done with the snapshot where a device
    /// does the stepping; says how long the slots stood still for it. The bits are those of
    /// `snapshot`, `work` and `advance` one after the other.
    fn advance_while(
        &mut self,
        (program, steps): (&[Op], u64),
        replicas: &mut [Replica],
        work: &mut dyn FnMut(&[Replica]) -> Result<()>,
    ) -> Result<Duration> {
        let started = Instant::now();
        self.snapshot(replicas)?;
        work(replicas)?;
        let stood_still = started.elapsed();
        self.advance(program, steps)?;
        Ok(stood_still)
    }

    /// The part of tiles' rows that no atom has; none where nothing is computed in tiles.
    fn padding(&self) -> Option<f64> {
        None
    }

    /// As `advance`, and the time that each stage of the steps took on the device; none where the engine
    /// cannot tell.
    fn profile(&mut self, program: &[Op], steps: u64) -> Result<Vec<StageTime>> {
        self.advance(program, steps)?;
        Ok(Vec::new())
    }
}

/// An engine, and the device it found.
pub struct Opened {
    /// Its slots hold the replicas it was opened with.
    pub engine: Box<dyn Engine>,
    /// The model of the CPU or GPU: elsewhere the last bits may differ.
    pub device: String,
    /// Why it is not a GPU, where the device was left to the engine.
    pub no_gpu: Option<String>,
}

/// The device, why it is not a GPU, and what of a GPU's work is padding.
impl fmt::Display for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.device)?;
        if let Some(why) = &self.no_gpu {
            write!(f, ": {why}")?;
        }
        match self.engine.padding() {
            Some(padding) => write!(f, ", {:.1} % padding", 100.0 * padding),
            None => Ok(()),
        }
    }
}

/// Refuses a device that is not there, before anything is written.
pub fn check(device: Device, student: &Student) -> Result<()> {
    match device {
        Device::Cuda(number) => Gpu::open(number as usize, Some(student)).map(drop),
        Device::CudaAll => Gpu::open_all(Some(student)).map(drop),
        Device::Reference if cfg!(not(feature = "reference")) => Err(no_reference()),
        Device::Auto | Device::Cpu | Device::Reference => Ok(()),
    }
}

/// Opens an engine on a device, with one slot for each of `replicas`; the precision is that of a GPU.
pub fn open(
    device: Device,
    precision: Precision,
    student: &Student,
    system: &Arc<System>,
    replicas: &[Replica],
) -> Result<Opened> {
    let limits = Limits {
        precision,
        ..Limits::default()
    };
    // What the bits depend on is the kind of GPU, not their number.
    let on_gpus = |gpus: Vec<Gpu>| {
        let mut names: Vec<&str> = gpus.iter().map(Gpu::name).collect();
        names.dedup();
        let device = names.join(" and ");
        let engine = SeveralGpus::new(gpus, system, Some(student), &[], replicas, limits)?;
        Ok(Opened {
            engine: Box::new(engine),
            device,
            no_gpu: None,
        })
    };
    let on_gpu = |gpu: Gpu| {
        let device = gpu.name().to_owned();
        let engine = CudaEngine::new(gpu, system.clone(), Some(student), &[], replicas, limits)?;
        Ok(Opened {
            engine: Box::new(engine),
            device,
            no_gpu: None,
        })
    };
    let on_cpu = || {
        let field = cpu::StudentField::<f32>::new(student, system);
        let engine = HostEngine::new(system.clone(), field, Vec::new(), replicas);
        Ok(Opened {
            engine: Box::new(engine),
            device: device::cpu_model(),
            no_gpu: None,
        })
    };
    match device {
        Device::Auto => match Gpu::open(0, Some(student)) {
            Ok(gpu) => on_gpu(gpu),
            Err(why) => Ok(Opened {
                no_gpu: Some(why.what().to_owned()),
                ..on_cpu()?
            }),
        },
        Device::Cpu => on_cpu(),
        Device::Cuda(number) => on_gpu(Gpu::open(number as usize, Some(student))?),
        Device::CudaAll => on_gpus(Gpu::open_all(Some(student))?),
        #[cfg(feature = "reference")]
        Device::Reference => {
            let field = reference::Reference::new(student, system);
            let engine = HostEngine::new(system.clone(), field, Vec::new(), replicas);
            Ok(Opened {
                engine: Box::new(engine),
                device: format!("f64 reference on {}", device::cpu_model()),
                no_gpu: None,
            })
        }
        #[cfg(not(feature = "reference"))]
        Device::Reference => Err(no_reference()),
    }
}

fn no_reference() -> Error {
    Error::input("this build has no reference engine").hint("build with the feature `reference`")
}

/// Opens an engine that computes in f64 on the CPU, for derivatives of forces.
pub fn open_double(
    student: &Student,
    system: &Arc<System>,
    replicas: &[Replica],
) -> Result<Opened> {
    let field = cpu::StudentField::<f64>::new(student, system);
    let engine = HostEngine::new(system.clone(), field, Vec::new(), replicas);
    Ok(Opened {
        engine: Box::new(engine),
        device: device::cpu_model(),
        no_gpu: None,
    })
}

/// Refuses a number of replicas that is not that of the slots.
fn check_count(asked: usize, slots: usize) -> Result<()> {
    if asked == slots {
        return Ok(());
    }
    Err(Error::run(format!(
        "{asked} replicas asked of an engine with {slots} slots"
    )))
}

/// What an engine without that slot says.
fn no_slot(slot: usize, slots: usize) -> Error {
    Error::run(format!("slot {slot} asked of an engine with {slots} slots"))
}
