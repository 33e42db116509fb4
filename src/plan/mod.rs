//! What will run: the config with its files read, its choices made and everything checked.
//!
//! After [`Plan::resolve`] nothing about the input can fail. A plan opens no output and no device;
//! it only says which.

mod compounds;
mod fingerprint;
mod masses;
mod memory;
mod replicas;

use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::{Config, Minimize, ModelChoice, Walltime, range};
use crate::engine::{Device, Precision};
use crate::error::{Error, Result};
use crate::integrate::Scheme;
use crate::replica::Replica;
use crate::structure::Domain;
use crate::structure::text::decode;
use crate::system::System;

pub use fingerprint::Setting;
pub use replicas::name_hash;

/// A replica hotter than this has exploded, unless the config says otherwise, K.
///
/// The same for every campaign: a limit that followed the hottest bath would let one molecule's
/// temperature decide about another's replicas.
const TEMPERATURE_LIMIT_K: f64 = 10_000.0;

/// What the command line says over the config.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// Where forces are computed.
    pub device: Option<Device>,
    /// Copies per temperature, of every molecule.
    pub replicas: Option<u32>,
    /// Steps in all.
    pub steps: Option<u64>,
    /// Folder of all output.
    pub out: Option<PathBuf>,
    /// Clock time after which the run stops.
    pub max_walltime: Option<Walltime>,
    /// The seed where the config has none: that of the run that is resumed.
    pub seed: Option<u64>,
}

/// What is written, and where.
#[derive(Clone, Debug, PartialEq)]
pub struct Outputs {
    /// The folder of everything.
    pub folder: PathBuf,
    /// Steps between frames.
    pub frames_every: u64,
    /// Steps between lines of the log.
    pub log_every: u64,
    /// Whether trajectories are written as DCD.
    pub dcd: bool,
    /// Whether trajectories are written as extXYZ.
    pub xyz: bool,
    /// Whether the centre of mass is moved to the origin in what is written.
    pub centre: bool,
}

/// A campaign that can run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The molecules, and what else never changes.
    pub system: System,
    /// All replicas at their starting positions, at rest, in the order of output.
    pub replicas: Vec<Replica>,
    /// How the atoms move.
    pub scheme: Scheme,
    /// Steps that every replica makes.
    pub steps: u64,
    /// Time step, fs.
    pub timestep_fs: f64,
    /// Whether the first velocities lose their angular momentum.
    pub remove_rotation: bool,
    /// Expected error of a force above which a replica is flagged, eV/Å; none if the force field
    /// says nothing about its error.
    pub flag_above_ev_per_ang: Option<f64>,
    /// Relaxation before dynamics.
    pub minimize: Option<Minimize>,
    /// What is written.
    pub outputs: Outputs,
    /// Clock time between checkpoints.
    pub checkpoint_every: Duration,
    /// Clock time after which the run stops, ready to be resumed.
    pub walltime_max: Option<Duration>,
    /// The force field.
    pub model: ModelChoice,
    /// Where forces are computed.
    pub device: Device,
    /// How exactly a GPU computes them.
    pub precision: Precision,
    /// Whether the seed was drawn, not given.
    pub seed_drawn: bool,
    /// Everything above that decides the results, in words; force field and device apart.
    pub settings: Vec<Setting>,
}

/// Reads a config file.
pub fn read_config(path: &Path) -> Result<Config> {
    let unreadable = |source: std::io::Error| {
        Error::input(format!(
            "cannot read the config {}: {source}",
            path.display()
        ))
        .hint("`mdrun init` writes one to start from")
    };
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(Error::input(format!(
            "the config {} is not a file",
            path.display()
        )));
    }
    let bytes = std::fs::read(path).map_err(unreadable)?;
    Config::parse(path, decode(path, &bytes)?)
}

impl Plan {
    /// Reads the structures, checks everything and decides what the config leaves open.
    pub fn resolve(config: &Config, overrides: &Overrides, domain: &Domain) -> Result<Self> {
        overrides.check()?;
        let compounds = compounds::read(config, overrides.replicas, domain)?;
        let given = config.seed.or(overrides.seed);
        let seed = given.unwrap_or_else(draw_seed);
        let timestep_fs = config.run.timestep_fs;
        let replicas = replicas::all(&compounds, timestep_fs)?;
        let limit_k = config
            .limits
            .temperature_k
            .as_ref()
            .map(|limit| *limit.get_ref());
        let mut plan = Self {
            system: System {
                molecules: Vec::new(),
                seed,
                temperature_limit_k: limit_k.unwrap_or(TEMPERATURE_LIMIT_K),
            },
            replicas,
            scheme: config.dynamics.scheme,
            steps: overrides.steps.unwrap_or(config.run.steps),
            timestep_fs,
            remove_rotation: config.dynamics.remove_rotation,
            flag_above_ev_per_ang: flag_above(config, domain)?,
            minimize: config.minimize.clone(),
            outputs: outputs(config, overrides),
            checkpoint_every: Duration::from_secs_f64(60.0 * config.checkpoint.every_minutes),
            walltime_max: overrides
                .max_walltime
                .or(config.run.max_walltime)
                .map(|time| time.0),
            model: config.model(),
            device: overrides.device.unwrap_or(config.run.device),
            precision: config
                .run
                .precision
                .unwrap_or(config.dynamics.scheme.precision()),
            seed_drawn: given.is_none(),
            settings: Vec::new(),
        };
        plan.settings = fingerprint::settings(&plan, &compounds);
        let molecules = compounds.into_iter().map(|compound| compound.molecule);
        plan.system.molecules = molecules.collect();
        Ok(plan)
    }

    /// Memory that the state of all replicas takes while they run, bytes; what an engine needs to
    /// compute forces comes on top.
    pub fn state_bytes(&self) -> u64 {
        let bytes = |replica: &Replica| memory::state_bytes(replica.positions_ang.len());
        self.replicas.iter().map(bytes).sum()
    }
}

impl Overrides {
    /// The command line's numbers have the same ranges as the config's.
    fn check(&self) -> Result<()> {
        let numbers = [
            ("molecule", "replicas", self.replicas.map(f64::from)),
            ("run", "steps", self.steps.map(|steps| steps as f64)),
        ];
        for (table, key, number) in numbers {
            let (Some(number), Some(range)) = (number, range::find(table, key)) else {
                continue;
            };
            if !range.contains(number) {
                return Err(Error::input(format!(
                    "--{key} {number} is not possible: it must be {}",
                    range.words()
                )));
            }
        }
        Ok(())
    }
}

/// What the config says on expected errors, or else the force field; it has to have them.
fn flag_above(config: &Config, domain: &Domain) -> Result<Option<f64>> {
    let own = domain.force_error_ev_per_ang;
    match &config.limits.force_error_ev_per_ang {
        None => Ok(own),
        Some(limit) if own.is_some() => Ok(Some(*limit.get_ref())),
        Some(limit) => {
            let error = Error::input("this force field says nothing about its own error")
                .hint("leave the limit out, or name a force field that does");
            Err(config.point(error, limit.span()))
        }
    }
}

fn outputs(config: &Config, overrides: &Overrides) -> Outputs {
    let named = overrides
        .out
        .as_ref()
        .or(config.run.out.as_ref().map(toml::Spanned::get_ref));
    Outputs {
        folder: named.cloned().unwrap_or_else(|| folder_for(config.path())),
        frames_every: config.output.frames_every,
        log_every: config.output.log_every,
        dcd: config.output.dcd,
        xyz: config.output.xyz,
        centre: config.output.centre,
    }
}

/// Where output goes when nobody says: `benzene.toml` → `benzene.out`, `quickstart/config.toml` →
/// `quickstart.out`, in the current directory.
fn folder_for(config: &Path) -> PathBuf {
    let whole = std::path::absolute(config).unwrap_or_else(|_| config.to_owned());
    let folder = whole.parent().and_then(Path::file_name);
    let name = match whole.file_stem() {
        Some(stem) if stem == "config" => folder.unwrap_or(stem),
        Some(stem) => stem,
        None => "mdrun".as_ref(),
    };
    let mut name = name.to_owned();
    name.push(".out");
    PathBuf::from(name)
}

/// A seed from the operating system, through the random keys of the standard library's hash maps.
///
/// Of 53 bits, so that it is exact wherever it is written down and read again.
fn draw_seed() -> u64 {
    RandomState::new().build_hasher().finish() >> 11
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_output_folder_is_named_after_the_config() {
        assert_eq!(
            folder_for(Path::new("a/benzene.toml")),
            Path::new("benzene.out")
        );
        assert_eq!(
            folder_for(Path::new("inputs/quickstart/config.toml")),
            Path::new("quickstart.out")
        );
    }

    #[test]
    fn drawn_seeds_differ_and_fit_a_config() {
        let seeds = [draw_seed(), draw_seed()];
        assert_ne!(seeds[0], seeds[1]);
        assert!(seeds.iter().all(|seed| *seed < 1 << 53));
    }
}
