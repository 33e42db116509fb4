//! `mdrun config.toml`: a campaign from its config to its files.

use std::sync::Arc;

use super::job::{EXIT_RESUMABLE, Job};
use super::room;
use crate::checkpoint::{self, Checkpoint};
use crate::cli;
use crate::config::{Config, Walltime};
use crate::engine;
use crate::error::{Error, Result};
use crate::plan::{self, Overrides, Plan};
use crate::run::Interrupt;
use crate::write::{self, Folder, Mode, Process};

/// Runs the campaign; returns the exit code.
pub fn run(arguments: &cli::Run) -> Result<u8> {
    let process = Process::current();
    let config = config(arguments)?;
    let student = super::student_of(&config)?;
    let mut overrides = overrides(arguments)?;
    let mode = match (arguments.resume, arguments.overwrite) {
        (true, _) => Mode::Resume,
        (_, true) => Mode::Overwrite,
        _ => Mode::Fresh,
    };
    let plan = Plan::resolve(&config, &overrides, &student.domain())?;
    if mode != Mode::Resume {
        let old = write::listed_bytes(&plan.outputs.folder);
        room::check(&plan, 0, if mode == Mode::Overwrite { old } else { 0 })?;
    }
    engine::check(plan.device, &student)?;
    let interrupt = Interrupt::install(plan.walltime_max)?;
    let folder = Arc::new(Folder::open(&plan.outputs.folder, mode)?);
    let saved = if arguments.resume {
        load(&folder)?
    } else {
        None
    };
    let plan = match &saved {
        // A run without a seed in its config goes on with the one that it drew.
        Some(saved) if plan.seed_drawn => {
            overrides.seed = saved.seed();
            Plan::resolve(&config, &overrides, &student.domain())?
        }
        _ => plan,
    };
    if mode == Mode::Resume {
        room::check(&plan, saved.as_ref().map_or(0, |saved| saved.step), 0)?;
    }
    if plan.seed_drawn && saved.is_none() {
        crate::say!(
            "seed {} (drawn; write `seed = {0}` to repeat this run)",
            plan.system.seed
        );
    }
    let job = Job::begin(plan, &student, folder, saved, process, &interrupt)?;
    if job.minimised() && interrupt.cause().is_some() {
        crate::say!("stopped while minimising; --resume starts that afresh");
        return Ok(EXIT_RESUMABLE);
    }
    job.run(&interrupt, arguments.json)
}

pub(super) fn count(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

pub(super) fn config(arguments: &cli::Run) -> Result<Config> {
    let missing =
        || Error::input("no config was named").hint("`mdrun init > config.toml` makes one");
    plan::read_config(arguments.config.as_ref().ok_or_else(missing)?)
}

pub(super) fn overrides(arguments: &cli::Run) -> Result<Overrides> {
    let bad = |option: &'static str| move |what: String| Error::input(format!("{option}: {what}"));
    let device = arguments
        .device
        .as_ref()
        .map(|text| text.parse().map_err(bad("--device")));
    let walltime = arguments.max_walltime.as_ref();
    let walltime = walltime.map(|text| text.parse::<Walltime>().map_err(bad("--max-walltime")));
    Ok(Overrides {
        device: device.transpose()?,
        replicas: arguments.replicas,
        steps: arguments.steps,
        out: arguments.out.clone(),
        max_walltime: walltime.transpose()?,
        seed: None,
    })
}

/// The newest checkpoint that is whole.
fn load(folder: &Folder) -> Result<Option<Checkpoint>> {
    let Some(loaded) = checkpoint::load(folder)? else {
        crate::say!(
            "no checkpoint in {} yet: starting afresh",
            folder.path().display()
        );
        return Ok(None);
    };
    for warning in &loaded.warnings {
        crate::say!("warning: {warning}");
    }
    Ok(Some(loaded.checkpoint))
}
