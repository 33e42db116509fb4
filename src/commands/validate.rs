//! `mdrun validate`: is the force field right on this structure, and the dynamics right with it?
//!
//! Every line is a claim with the number found and the bar it must pass.  The bars of the static
//! checks follow from the arithmetic: f32 resolves 6e-8, and a force is a sum of some thousand
//! products; those of the dynamics from the statistics of the samples.

use std::sync::Arc;

use nalgebra::{Rotation3, Vector3};

use super::batch;
use crate::cli;
use crate::engine::{self, Device, Opened, Precision};
use crate::error::Result;
use crate::integrate::{Scheme, fire, start};
use crate::random::{self, Stream};
use crate::replica::{Parameters, Replica};
use crate::structure::Structure;
use crate::student::Student;
use crate::system::System;
use crate::units::BOLTZMANN_EV_PER_K;

/// Runs the command; exit code 1 when a check fails.
pub fn run(arguments: &cli::Validate) -> Result<u8> {
    let student = batch::student(&arguments.field.model)?;
    let device = batch::device(&arguments.field.device)?;
    let precision = batch::precision(arguments.field.precision.as_deref(), Precision::Single)?;
    let structure = super::first_structure(&arguments.structure, &student)?;
    let bench = Bench {
        student,
        device,
        precision,
        structure,
    };
    crate::tell!("{} atoms on {device}", bench.structure.numbers.len());
    let mut report = Report::default();
    bench.against_reference(&mut report)?;
    bench.finite_differences(&mut report)?;
    bench.symmetries(&mut report)?;
    bench.energy_conservation(&mut report)?;
    bench.kinetic_energy(&mut report)?;
    crate::tell!("{} passed, {} failed", report.passed, report.failed);
    Ok(u8::from(report.failed > 0))
}

/// Lines of PASS and FAIL.
#[derive(Default)]
struct Report {
    passed: usize,
    failed: usize,
}

impl Report {
    /// Holds a figure against its bar; NaN fails.
    fn claim(&mut self, claim: &str, figure: f64, bar: f64) {
        let holds = figure <= bar;
        if holds {
            self.passed += 1;
        } else {
            self.failed += 1;
        }
        crate::tell!(
            "{}  {claim}: {figure:.2e} (at most {bar:.1e})",
            if holds { "PASS" } else { "FAIL" }
        );
    }
}

/// What is checked.
struct Bench {
    student: Arc<Student>,
    device: Device,
    precision: Precision,
    structure: Structure,
}

impl Bench {
    /// Energies and forces of the structure with each of these positions, on a device.
    fn evaluate(&self, open: &Open, all_positions: &[Vec<[f64; 3]>]) -> Result<Vec<Replica>> {
        let moved = |positions: &Vec<[f64; 3]>| Structure {
            positions_ang: positions.clone(),
            ..self.structure.clone()
        };
        let structures: Vec<_> = all_positions.iter().map(moved).collect();
        let (system, mut replicas) = batch::batch(&structures, batch::AT_REST)?;
        let mut engine = open(&self.student, &system, &replicas)?.engine;
        engine.evaluate()?;
        engine.snapshot(&mut replicas)?;
        Ok(replicas)
    }

    fn on_device(&self) -> Box<Open> {
        let (device, precision) = (self.device, self.precision);
        Box::new(move |student, system, replicas| {
            engine::open(device, precision, student, system, replicas)
        })
    }

    /// The device's precision against the same network written apart, in f64.
    fn against_reference(&self, report: &mut Report) -> Result<()> {
        let positions = [self.structure.positions_ang.clone()];
        let here = self.evaluate(&self.on_device(), &positions)?.remove(0);
        let exact = self.evaluate(&engine::open_double, &positions)?.remove(0);
        let scale = root_mean_square(&exact.forces_ev_per_ang);
        let error = largest_difference(&here.forces_ev_per_ang, &exact.forces_ev_per_ang) / scale;
        report.claim("forces against f64, largest relative error", error, 1e-3);
        if cfg!(feature = "reference") {
            let oracle = |student: &Student, system: &Arc<System>, replicas: &[Replica]| {
                engine::open(
                    Device::Reference,
                    Precision::Single,
                    student,
                    system,
                    replicas,
                )
            };
            let oracle = self.evaluate(&oracle, &positions)?.remove(0);
            let error = largest_difference(&oracle.forces_ev_per_ang, &exact.forces_ev_per_ang);
            report.claim("f64 forces against autograd, relative", error / scale, 1e-9);
        }
        Ok(())
    }

    /// F = −∂E/∂x in f64, along every coordinate, by differences of fourth order:
    /// E′ = [8 (E(h) − E(−h)) − (E(2h) − E(−2h))] / 12h + O(h⁴).
    fn finite_differences(&self, report: &mut Report) -> Result<()> {
        const STEP_ANG: f64 = 1e-3;
        const WEIGHTS: [(f64, f64); 4] = [(1.0, 8.0), (-1.0, -8.0), (2.0, -1.0), (-2.0, 1.0)];
        let start = &self.structure.positions_ang;
        let mut all = vec![start.clone()];
        for coordinate in 0..3 * start.len() {
            for (steps, _) in WEIGHTS {
                let mut moved = start.clone();
                moved[coordinate / 3][coordinate % 3] += steps * STEP_ANG;
                all.push(moved);
            }
        }
        let replicas = self.evaluate(&engine::open_double, &all)?;
        let forces = &replicas[0].forces_ev_per_ang;
        let force = |coordinate: usize| {
            let energies = &replicas[1 + 4 * coordinate..5 + 4 * coordinate];
            let terms = energies
                .iter()
                .zip(WEIGHTS)
                .map(|(at, (_, weight))| weight * at.energy_ev);
            -terms.sum::<f64>() / (12.0 * STEP_ANG)
        };
        let differences: Vec<[f64; 3]> = (0..start.len())
            .map(|atom| [0, 1, 2].map(|axis| force(3 * atom + axis)))
            .collect();
        let scale = root_mean_square(forces);
        let error = largest_difference(forces, &differences) / scale;
        // Four energies of this size are rounded, each to half a bit.
        let rounding = 18.0 / 12.0 * f64::EPSILON * replicas[0].energy_ev.abs() / STEP_ANG / scale;
        report.claim("forces are −dE/dx, f64, relative", error, 1e-6 + rounding);
        Ok(())
    }

    /// Energies and forces move with the molecule.
    fn symmetries(&self, report: &mut Report) -> Result<()> {
        let start = &self.structure.positions_ang;
        let rotation = Rotation3::from_euler_angles(0.7, -1.1, 2.3);
        let rotated = start
            .iter()
            .map(|&x| (rotation * Vector3::from(x)).into())
            .collect();
        let shifted = start
            .iter()
            .map(|x| [x[0] + 3.1, x[1] - 7.7, x[2] + 0.9])
            .collect();
        let replicas = self.evaluate(&self.on_device(), &[start.clone(), rotated, shifted])?;
        let forces = &replicas[0].forces_ev_per_ang;
        let scale = root_mean_square(forces);
        let turned: Vec<[f64; 3]> = forces
            .iter()
            .map(|&f| (rotation * Vector3::from(f)).into())
            .collect();
        let error = largest_difference(&turned, &replicas[1].forces_ev_per_ang) / scale;
        report.claim("forces turn with the molecule, relative", error, 1e-3);
        let error = largest_difference(forces, &replicas[2].forces_ev_per_ang) / scale;
        report.claim("forces do not feel a shift, relative", error, 1e-3);
        let sum: Vector3<f64> = forces.iter().map(|&f| Vector3::from(f)).sum();
        let sizes: f64 = forces.iter().map(|&f| Vector3::from(f).norm()).sum();
        report.claim(
            "forces add up to nothing, relative",
            sum.norm() / sizes,
            1e-5,
        );

        let last = start.len() - 1;
        let reversed = Structure {
            numbers: self.structure.numbers.iter().rev().copied().collect(),
            positions_ang: start.iter().rev().copied().collect(),
            ..self.structure.clone()
        };
        let (system, mut replica) = batch::batch(&[reversed], batch::AT_REST)?;
        let mut engine = engine::open(
            self.device,
            self.precision,
            &self.student,
            &system,
            &replica,
        )?
        .engine;
        engine.evaluate()?;
        engine.snapshot(&mut replica)?;
        let back: Vec<[f64; 3]> = (0..=last)
            .map(|atom| replica[0].forces_ev_per_ang[last - atom])
            .collect();
        let error = largest_difference(forces, &back) / scale;
        report.claim(
            "forces do not depend on the order of atoms, relative",
            error,
            1e-3,
        );
        Ok(())
    }

    /// The energy error of velocity Verlet falls with Δt², and the energy does not drift.
    fn energy_conservation(&self, report: &mut Report) -> Result<()> {
        const COPIES: usize = 8;
        const TIME_FS: f64 = 500.0;
        let relaxed = self.relaxed()?;
        let mut errors = Vec::new();
        for timestep_fs in [1.0, 0.5, 0.25] {
            let conditions = Parameters {
                timestep_fs,
                ..CONDITIONS
            };
            let (system, mut replicas) = Self::thermal(&relaxed, COPIES, conditions)?;
            let mut engine = engine::open(
                self.device,
                self.precision,
                &self.student,
                &system,
                &replicas,
            )?
            .engine;
            engine.evaluate()?;
            let mut series = vec![Vec::new(); COPIES];
            for _ in 0..(TIME_FS / 5.0) as usize {
                engine.advance(Scheme::Nve.program(), (5.0 / timestep_fs) as u64)?;
                engine.snapshot(&mut replicas)?;
                for (energies, replica) in series.iter_mut().zip(&replicas) {
                    energies.push(replica.energy_ev + replica.kinetic_ev);
                }
            }
            errors
                .push(series.iter().map(|energies| spread(energies)).sum::<f64>() / COPIES as f64);
        }
        let ratio = |k: usize| (errors[k] / errors[k + 1] / 4.0 - 1.0).abs();
        report.claim(
            "energy error falls as Δt², 1 to 0.5 fs, deviation",
            ratio(0),
            0.25,
        );
        report.claim(
            "energy error falls as Δt², 0.5 to 0.25 fs, deviation",
            ratio(1),
            0.25,
        );
        Ok(())
    }

    /// Mean and width of the kinetic energy under the bath are those of 3N degrees of freedom.
    fn kinetic_energy(&self, report: &mut Report) -> Result<()> {
        const COPIES: usize = 64;
        const SAMPLES: usize = 10;
        let conditions = Parameters {
            friction_per_fs: 0.02,
            ..CONDITIONS
        };
        let (system, mut replicas) = Self::thermal(&self.relaxed()?, COPIES, conditions)?;
        let mut engine = engine::open(
            self.device,
            self.precision,
            &self.student,
            &system,
            &replicas,
        )?
        .engine;
        engine.evaluate()?;
        engine.advance(Scheme::Langevin.program(), 1000)?;
        let mut energies = Vec::new();
        for _ in 0..SAMPLES {
            // 200 fs are four times the velocities' memory of 1/γ.
            engine.advance(Scheme::Langevin.program(), 400)?;
            engine.snapshot(&mut replicas)?;
            energies.extend(
                replicas
                    .iter()
                    .filter(|r| r.is_running())
                    .map(|r| r.kinetic_ev),
            );
        }
        let n = energies.len() as f64;
        let freedoms = 3.0 * self.structure.numbers.len() as f64;
        let kt_ev = BOLTZMANN_EV_PER_K * conditions.temperature_k;
        // χ² with f degrees of freedom: mean f/2 kT, variance f/2 (kT)², and the variance of a
        // sample variance is (2 + 12/f)/n of its square.
        let mean = energies.iter().sum::<f64>() / n;
        let mean_error = (mean - freedoms / 2.0 * kt_ev) / (kt_ev * (freedoms / 2.0 / n).sqrt());
        report.claim(
            "mean kinetic energy at 300 K, standard errors",
            mean_error.abs(),
            3.0,
        );
        let variance = energies.iter().map(|e| (e - mean).powi(2)).sum::<f64>() / (n - 1.0);
        let ratio = variance / (freedoms / 2.0 * kt_ev * kt_ev) - 1.0;
        let width_error = ratio / ((2.0 + 12.0 / freedoms) / n).sqrt();
        report.claim("its variance, standard errors", width_error.abs(), 3.0);
        let lost = replicas
            .iter()
            .filter(|replica| !replica.is_running())
            .count();
        report.claim("replicas lost in 2.5 ps at 300 K", lost as f64, 0.0);
        Ok(())
    }

    fn relaxed(&self) -> Result<Structure> {
        let (system, mut replicas) =
            batch::batch(std::slice::from_ref(&self.structure), batch::AT_REST)?;
        let mut engine = engine::open(
            self.device,
            self.precision,
            &self.student,
            &system,
            &replicas,
        )?
        .engine;
        let tolerance = fire::Tolerance {
            force_ev_per_ang: 0.01,
            steps_max: 2000,
        };
        fire::minimise(engine.as_mut(), &mut replicas, tolerance, |_, _| true)?;
        let positions_ang = replicas.remove(0).positions_ang;
        Ok(Structure {
            positions_ang,
            ..self.structure.clone()
        })
    }

    /// Copies of a structure with thermal velocities, each its own.
    fn thermal(
        structure: &Structure,
        copies: usize,
        conditions: Parameters,
    ) -> Result<(Arc<System>, Vec<Replica>)> {
        let (system, mut replicas) = batch::batch(&vec![structure.clone(); copies], conditions)?;
        for replica in &mut replicas {
            // A different kick for every copy also serves as its displacement from the minimum.
            for (atom, x) in replica.positions_ang.iter_mut().enumerate() {
                let noise = random::normal3(1, &replica.id, 0, atom, Stream::Bath);
                for axis in 0..3 {
                    x[axis] += 0.01 * noise[axis];
                }
            }
            start::thermalise(&system, replica, false);
        }
        Ok((system, replicas))
    }
}

/// Opens an engine for a batch.
type Open = dyn Fn(&Student, &Arc<System>, &[Replica]) -> Result<Opened>;

/// Conditions of the dynamics.
const CONDITIONS: Parameters = Parameters {
    timestep_fs: 0.5,
    temperature_k: 300.0,
    friction_per_fs: 0.0,
};

fn root_mean_square(vectors: &[[f64; 3]]) -> f64 {
    let squares = vectors.iter().flatten().map(|x| x * x).sum::<f64>();
    let root = (squares / (3 * vectors.len()) as f64).sqrt();
    // Not `max`, which would take NaN for the other number.
    if root < 1e-3 { 1e-3 } else { root }
}

/// The largest difference of two components; NaN if any is.
fn largest_difference(a: &[[f64; 3]], b: &[[f64; 3]]) -> f64 {
    let differences = a
        .iter()
        .flatten()
        .zip(b.iter().flatten())
        .map(|(a, b)| (a - b).abs());
    differences.fold(0.0, |largest, x| {
        if largest.is_nan() || x <= largest {
            largest
        } else {
            x
        }
    })
}

/// Standard deviation.
fn spread(values: &[f64]) -> f64 {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    (values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / values.len() as f64).sqrt()
}
