//! A campaign with its device and files open: begun or resumed, stepped, closed.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::room;
use super::simulate::count;
use crate::checkpoint::{self, Checkpoint};
use crate::engine::{self, Opened, Precision, Uncertainty};
use crate::error::Result;
use crate::integrate::{fire, start};
use crate::plan::Plan;
use crate::replica::Replica;
use crate::run::{self, Calendar, Campaign, Cause, Clock, Ending, Interrupt};
use crate::run::{OutputCost, Progress, SearchProgress};
use crate::student::Student;
use crate::system::{Molecule, System};
use crate::write::{Folder, Outcome, Outputs, Process, Settings, Speed, Summary};

/// Finished, but with replicas that were frozen.
const EXIT_QUARANTINED: u8 = 3;
/// Stopped before the end, and ready for `--resume`.
pub(super) const EXIT_RESUMABLE: u8 = 75;

/// A campaign with its device and files open.
pub(super) struct Job {
    plan: Plan,
    system: Arc<System>,
    student_hash: String,
    opened: Opened,
    uncertainty: Option<Uncertainty>,
    outputs: Outputs,
    replicas: Vec<Replica>,
    /// Steps made before this process.
    first_step: u64,
    breaks: Vec<String>,
    restarts: u64,
    process: Process,
}

impl Job {
    /// Opens device and files, at the checkpoint if there is one; minimises and heats if not.
    pub(super) fn begin(
        plan: Plan,
        student: &Student,
        folder: Arc<Folder>,
        saved: Option<Checkpoint>,
        process: Process,
        interrupt: &Interrupt,
    ) -> Result<Self> {
        let system = Arc::new(plan.system.clone());
        let uncertainty = Uncertainty::new(student, &system);
        let degrees = |molecule: &Molecule| {
            let start_ang = &molecule.starts_ang[0];
            let rotations = start::rotations(&molecule.masses_amu, start_ang);
            let removed = if plan.remove_rotation { rotations } else { 0 };
            plan.scheme.degrees_of_freedom(molecule.len(), removed)
        };
        let settings = Settings {
            dcd: plan.outputs.dcd,
            extxyz: plan.outputs.xyz,
            frame_interval_steps: plan.outputs.frames_every,
            centred: plan.outputs.centre,
            degrees_of_freedom: system.molecules.iter().map(degrees).collect(),
        };
        if let Some(saved) = saved {
            saved.agree(&plan.settings, &student.sha256)?;
            saved.fits(&plan.replicas)?;
            let opened = engine::open(
                plan.device,
                plan.precision,
                student,
                &system,
                &saved.replicas,
            )?;
            let mut breaks = saved.breaks.clone();
            if let Some(difference) = saved.broken_by(&opened.device) {
                crate::say!(
                    "warning: this is {difference}: the last bits will differ from here on"
                );
                breaks.push(format!("step {}: {difference}", saved.step));
            }
            let restarts = Summary::restarts(&folder) + 1;
            let resumed =
                Outputs::resume(folder, settings, &system, &saved.replicas, &saved.offsets)?;
            crate::say!("resuming at step {} of {}", saved.step, plan.steps);
            if let Some(message) = resumed.message() {
                crate::say!("{message}");
            }
            let (first_step, replicas) = (saved.step, saved.replicas);
            let outputs = resumed.outputs;
            return Ok(Self {
                student_hash: student.sha256.clone(),
                plan,
                system,
                opened,
                uncertainty,
                outputs,
                replicas,
                first_step,
                breaks,
                restarts,
                process,
            });
        }
        let mut replicas = plan.replicas.clone();
        // Minima are looked for in 32 bits: the last of the forces there are small differences.
        let precision = match plan.minimize {
            Some(_) => Precision::Single,
            None => plan.precision,
        };
        let opened = engine::open(plan.device, precision, student, &system, &replicas)?;
        let outputs = Outputs::create(folder, settings, &system, &replicas)?;
        let mut job = Self {
            student_hash: student.sha256.clone(),
            plan,
            system,
            opened,
            uncertainty,
            outputs,
            first_step: 0,
            breaks: vec![],
            restarts: 0,
            process,
            replicas: Vec::new(),
        };
        job.prepare(student, &mut replicas, interrupt)?;
        job.replicas = replicas;
        Ok(job)
    }

    /// Whether the structures were relaxed by this process.
    pub(super) fn minimised(&self) -> bool {
        self.first_step == 0 && self.plan.minimize.is_some()
    }

    /// Relaxes the structures if the plan says so, and gives them velocities; stops short when
    /// interrupted.
    fn prepare(
        &mut self,
        student: &Student,
        replicas: &mut [Replica],
        interrupt: &Interrupt,
    ) -> Result<()> {
        if let Some(minimize) = &self.plan.minimize {
            let engine = self.opened.engine.as_mut();
            let tolerance = fire::Tolerance {
                force_ev_per_ang: minimize.force_tolerance_ev_per_ang,
                steps_max: minimize.steps_max,
            };
            let mut progress = SearchProgress::new(replicas.len());
            let watch = |step, searching| {
                progress.at(step, searching);
                interrupt.cause().is_none()
            };
            let minima = fire::minimise(engine, replicas, tolerance, watch)?;
            progress.finish();
            if interrupt.cause().is_some() {
                return Ok(());
            }
            let done = minima.iter().filter(|minimum| minimum.converged).count();
            let steps = minima
                .iter()
                .map(|minimum| minimum.steps)
                .max()
                .unwrap_or(0);
            crate::say!(
                "minimised {done} of {} replicas in at most {}",
                replicas.len(),
                count(steps, "step")
            );
            let (device, precision) = (self.plan.device, self.plan.precision);
            self.opened = engine::open(device, precision, student, &self.system, replicas)?;
        }
        let engine = self.opened.engine.as_mut();
        for (slot, replica) in replicas.iter_mut().enumerate() {
            start::thermalise(&self.system, replica, self.plan.remove_rotation);
            engine.put(slot, replica)?;
        }
        engine.evaluate()?;
        engine.snapshot(replicas)
    }

    /// Steps to the end or to an interruption; the exit code.
    pub(super) fn run(mut self, interrupt: &Interrupt, json: bool) -> Result<u8> {
        let plan = &self.plan;
        crate::say!(
            "{} of {} to step {} on {}",
            count(self.replicas.len() as u64, "replica"),
            count(plan.system.molecules.len() as u64, "molecule"),
            plan.steps,
            self.opened
        );
        let calendar = Calendar {
            steps: plan.steps,
            frames_every: plan.outputs.frames_every,
            log_every: plan.outputs.log_every,
        };
        let clock = Clock {
            checkpoint_every: plan.checkpoint_every,
            ..Clock::default()
        };
        let mut progress = Progress::new(
            self.first_step,
            plan.steps,
            self.replicas.len(),
            plan.timestep_fs,
        );
        let folder = self.outputs.folder().clone();
        let mut warned = false;
        // A resumed run is safe where it begins, a fresh one when it has saved itself.
        let safe_step = Cell::new((self.restarts > 0).then_some(self.first_step));
        let save = |step, replicas: &[Replica], offsets| {
            if !warned && let Some(shortage) = room::shortage(plan, step) {
                warned = true;
                crate::say!("warning: {shortage}");
            }
            Checkpoint {
                step,
                settings: plan.settings.clone(),
                student_hash: self.student_hash.clone(),
                version: checkpoint::VERSION.to_owned(),
                device: self.opened.device.clone(),
                breaks: self.breaks.clone(),
                offsets,
                replicas: replicas.to_vec(),
            }
            .save(&folder)?;
            safe_step.set(Some(step));
            Ok(())
        };
        let mut campaign = Campaign {
            system: &self.system,
            scheme: plan.scheme,
            engine: self.opened.engine.as_mut(),
            uncertainty: self.uncertainty.as_ref(),
            replicas: &mut self.replicas,
            step: self.first_step,
            written: self.restarts > 0,
            outputs: &mut self.outputs,
            cost: OutputCost::default(),
        };
        let started = Instant::now();
        let ended = campaign.run(&calendar, &clock, interrupt, &mut progress, save);
        let made_steps = campaign.step > self.first_step;
        let (ending, step) = match (ended, safe_step.get()) {
            // This process asks nothing more of it.  One that made no step would fail again.
            (Err(error), Some(safe)) if error.is_of_a_device() && made_steps => {
                progress.finish();
                crate::say!("error: {error}");
                (Ending::Interrupted(Cause::Device), safe)
            }
            (ended, _) => (ended?, campaign.step),
        };
        let wall = started.elapsed();
        let (cost, traffic) = (campaign.cost, folder.disk().traffic());
        let speed = Speed {
            wall_s: wall.as_secs_f64(),
            molecule_steps_per_s: progress.molecule_steps_per_s(step),
            ns_per_day: progress.ns_per_day(step),
            output_wait_s: cost.waited.as_secs_f64(),
            checkpoint_s: cost.checkpoints.as_secs_f64(),
            output_bytes: traffic.bytes,
            disk_s: traffic.time.as_secs_f64(),
        };
        let code = self.close(ending, step, speed, json)?;
        if let Some(message) = cost.message(wall, traffic) {
            crate::say!("{message}");
        }
        Ok(code)
    }

    /// Everything that was asked for: what decides the results, and what may change on a resume.
    fn settings(&self) -> BTreeMap<String, String> {
        let mut settings: BTreeMap<_, _> = self.plan.settings.iter().cloned().collect();
        settings.insert("run.steps".to_owned(), self.plan.steps.to_string());
        settings.insert("run.device".to_owned(), self.plan.device.to_string());
        settings
    }

    /// Writes the summary and says what there is.
    fn close(self, ending: Ending, step: u64, speed: Speed, json: bool) -> Result<u8> {
        let failures = self.outputs.failures(&self.replicas);
        let limit_ev_per_ang = self.plan.flag_above_ev_per_ang;
        let flags = limit_ev_per_ang.map(|limit| self.outputs.flags(limit));
        let flags = flags.transpose()?.unwrap_or_default();
        let summary = Summary {
            outcome: match ending {
                Ending::Complete => Outcome::Complete,
                Ending::Interrupted(_) => Outcome::Resumable,
            },
            steps: step,
            replicas: self.replicas.len(),
            failed: failures.len(),
            seed: self.system.seed,
            device: self.opened.device.clone(),
            hashes: BTreeMap::from([("student".to_owned(), self.student_hash.clone())]),
            settings: self.settings(),
            process: self.process,
            restarts: self.restarts,
            breaks: self.breaks,
            speed,
            failures,
            force_error_limit_ev_per_ang: limit_ev_per_ang,
            flags,
        };
        // A finished run that was looked at again keeps the words about how it went.
        let looked_at = step == self.first_step && ending == Ending::Complete;
        if !(looked_at && Summary::says_complete(self.outputs.folder(), step)) {
            summary.write(self.outputs.folder())?;
        }
        if json {
            super::print(&format!("{}\n", summary.to_json()?));
        }
        for failure in &summary.failures {
            crate::say!(
                "failed: {} after step {}: {}",
                failure.replica,
                failure.step,
                failure.cause
            );
        }
        for flag in &summary.flags {
            crate::say!(
                "flagged: {} from step {} on: forces expected to be up to {:.3} eV/Å off",
                flag.replica,
                flag.first_step,
                flag.force_error_max_ev_per_ang
            );
        }
        match ending {
            Ending::Interrupted(cause) => {
                let stopped = match cause {
                    Cause::Signal => "stopped by a signal at",
                    Cause::Walltime => "stopped by the walltime at",
                    Cause::Device => "a device failed after the checkpoint of",
                };
                crate::say!(
                    "{stopped} step {step} of {}; go on with --resume",
                    self.plan.steps
                );
                Ok(EXIT_RESUMABLE)
            }
            Ending::Complete => {
                crate::say!(
                    "{} in {}: {:.1} ns/day in all, {:.0} molecule-steps/s",
                    count(step - self.first_step, "step"),
                    run::duration(Duration::from_secs_f64(speed.wall_s)),
                    speed.ns_per_day,
                    speed.molecule_steps_per_s
                );
                self.outputs.say_how_to_load();
                Ok(if summary.failed > 0 {
                    EXIT_QUARANTINED
                } else {
                    0
                })
            }
        }
    }
}
