//! What was written: the TOML file as typed tables.
//!
//! A [`Config`] is the text understood, every number inside its allowed range and every key known.
//! It is not yet something that can run: no file has been read and nothing computed, which is what
//! [`crate::plan`] does. This module does no I/O.

mod diagnosis;
mod duration;
pub(crate) mod range;
mod schema;
mod suggest;
mod template;
mod validate;
mod value;

use std::ops::Range;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

use crate::engine::{Device, Precision};
use crate::error::{Error, Result};
use crate::integrate::Scheme;

pub use duration::Walltime;
pub use schema::schema;
pub use template::init;
pub use validate::check_name;
pub use value::Temperatures;

/// One campaign: molecules, how they move, and what is kept of it.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Key of every random number; the same seed gives the same bits. Without it one is drawn from
    /// the operating system, printed and recorded.
    pub seed: Option<u64>,
    /// How long to run, and where.
    pub run: Run,
    /// How the atoms move.
    #[serde(default)]
    pub dynamics: Dynamics,
    /// The molecules; each table is one molecule and its replicas.
    #[serde(rename = "molecule")]
    #[schemars(length(min = 1))]
    pub molecules: Vec<Molecule>,
    /// What is written.
    #[serde(default)]
    pub output: Output,
    /// How often the state is saved.
    #[serde(default)]
    pub checkpoint: Checkpoint,
    /// Relaxes every structure before dynamics; leave the table out to start as given.
    pub minimize: Option<Minimize>,
    /// When a replica is taken to have failed.
    #[serde(default)]
    pub limits: Limits,
    /// The force field.
    #[serde(default)]
    pub model: Model,
    /// Where all this was written, for messages.
    #[serde(skip)]
    source: Source,
}

/// How long to run, and where.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// Steps that every replica makes in all, minimisation not counted.
    pub steps: u64,
    /// Time step in femtoseconds.
    #[serde(default = "Run::default_timestep_fs")]
    pub timestep_fs: f64,
    /// Folder of all output, from the current directory. Without it: the config's name with `.out`,
    /// or its folder's name where the file is called config.toml.
    #[schemars(with = "Option<String>")]
    pub out: Option<Spanned<PathBuf>>,
    /// Where forces are computed: "auto", "cpu", "cuda", "cuda:K", "cuda:all" or "reference".
    #[serde(default)]
    pub device: Device,
    /// "mixed" (products of 16-bit numbers) or "single" (32 bits) on a GPU; mixed for Langevin and
    /// single for NVE where it is left out. The CPU computes in 32 bits either way.
    pub precision: Option<Precision>,
    /// Stop cleanly, ready for --resume, after this time: "11h30m", "90s" or a number of seconds.
    pub max_walltime: Option<Walltime>,
}

/// How the atoms move.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Dynamics {
    /// "langevin" keeps the temperature, "nve" the energy.
    pub scheme: Scheme,
    /// Temperature in kelvin, or a list of them, of molecules that name none; under NVE that of the
    /// first velocities.
    #[serde(rename = "temperature_K")]
    pub temperature_k: Temperatures,
    /// Friction of the Langevin bath in 1/ps, for molecules that name none; 1 where it is left out.
    #[schemars(with = "Option<f64>")]
    pub friction_per_ps: Option<Spanned<f64>>,
    /// Also take the angular momentum out of the first velocities.
    pub remove_rotation: bool,
    /// Mass of every hydrogen atom in u; what it gains, its neighbour loses. Allows longer steps
    /// and changes no equilibrium property; leave out for natural masses.
    pub hydrogen_mass_amu: Option<f64>,
}

/// One molecule and its replicas.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Molecule {
    /// Unique name, part of all its file names; without it the structure file's name.
    #[schemars(with = "Option<String>")]
    pub name: Option<Spanned<String>>,
    /// Structure file, from this file's folder: XYZ, extXYZ, PDB, SDF, MOL2. Several frames are
    /// several starts, different compounds become different molecules.
    #[schemars(with = "String")]
    pub structure: Spanned<PathBuf>,
    /// Copies per temperature.
    #[serde(default = "Molecule::default_replicas")]
    pub replicas: u32,
    /// Temperature in kelvin, or a list of them.
    #[serde(rename = "temperature_K")]
    pub temperature_k: Option<Temperatures>,
    /// Friction of the Langevin bath in 1/ps.
    #[schemars(with = "Option<f64>")]
    pub friction_per_ps: Option<Spanned<f64>>,
    /// Total charge; the force field knows neutral molecules only.
    #[schemars(with = "Option<i32>")]
    pub charge: Option<Spanned<i32>>,
}

/// What is written.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Output {
    /// Steps between frames of a trajectory; the first frame is step 0.
    pub frames_every: u64,
    /// Steps between lines of log.csv.
    pub log_every: u64,
    /// Trajectories as DCD: compact, single precision.
    pub dcd: bool,
    /// Trajectories as extXYZ: text, with energy and forces.
    pub xyz: bool,
    /// Keep the molecule's centre of mass at the origin in what is written; without it a free
    /// molecule wanders off.
    pub centre: bool,
}

/// How often the state is saved.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Checkpoint {
    /// Minutes between checkpoints.
    pub every_minutes: f64,
}

/// Relaxes every structure before dynamics.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Minimize {
    /// Done when no atom feels more than this force, in eV/Å.
    #[serde(rename = "force_tolerance_eV_per_ang")]
    pub force_tolerance_ev_per_ang: f64,
    /// Steps after which it stops short of that.
    pub steps_max: u64,
}

/// When a replica is taken to have failed, or to be where the force field knows little.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Kinetic temperature in kelvin above which a replica has exploded and is frozen; without it
    /// 10000.
    #[serde(rename = "temperature_K")]
    #[schemars(with = "Option<f64>")]
    pub temperature_k: Option<Spanned<f64>>,
    /// Expected error of a force in eV/Å above which a replica is flagged in the summary; it goes on.
    /// Without it the force field's own.
    #[serde(rename = "force_error_eV_per_ang")]
    #[schemars(with = "Option<f64>")]
    pub force_error_ev_per_ang: Option<Spanned<f64>>,
}

/// The force field: one that is built in, or a file.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Model {
    /// A built-in force field by name: `default` or `small`.
    pub name: Option<String>,
    /// A safetensors file, from this file's folder.
    #[schemars(with = "Option<String>")]
    pub path: Option<Spanned<PathBuf>>,
}

/// The force field that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelChoice {
    /// One that is built in; "default" where nothing was said.
    BuiltIn(String),
    /// A file.
    File(PathBuf),
}

/// A config's own file.
#[derive(Clone, Debug, Default)]
struct Source {
    path: PathBuf,
    text: String,
}

impl Config {
    /// Understands `text`, the contents of the file `path`.
    pub fn parse(path: &Path, text: &str) -> Result<Self> {
        // Editors on Windows start a file with a byte-order mark; it is not part of the text.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut config: Self = diagnosis::deserialize(path, text)?;
        config.source = Source {
            path: path.to_owned(),
            text: text.to_owned(),
        };
        config.validate()?;
        Ok(config)
    }

    /// The file that this was written in.
    pub fn path(&self) -> &Path {
        &self.source.path
    }

    /// A path of the config, which counts from the config's own folder.
    pub fn beside(&self, path: &Path) -> PathBuf {
        self.source
            .path
            .parent()
            .unwrap_or(Path::new(""))
            .join(path)
    }

    /// The force field that was asked for.
    pub fn model(&self) -> ModelChoice {
        match (&self.model.path, &self.model.name) {
            (Some(path), _) => ModelChoice::File(self.beside(path.get_ref())),
            (None, Some(name)) => ModelChoice::BuiltIn(name.clone()),
            (None, None) => ModelChoice::BuiltIn("default".to_owned()),
        }
    }

    /// Points an error at a part of the config.
    pub fn point(&self, error: Error, span: Range<usize>) -> Error {
        error.at_span(&self.source.path, &self.source.text, span)
    }
}

impl Run {
    fn default_timestep_fs() -> f64 {
        0.5
    }
}

impl Molecule {
    fn default_replicas() -> u32 {
        1
    }

    /// The name that was given, or the structure file's.
    pub fn name(&self) -> String {
        match &self.name {
            Some(name) => name.get_ref().clone(),
            None => self
                .structure
                .get_ref()
                .file_stem()
                .map_or_else(String::new, |stem| stem.to_string_lossy().into_owned()),
        }
    }

    /// Where the name comes from, for messages.
    pub fn name_span(&self) -> Range<usize> {
        self.name
            .as_ref()
            .map_or_else(|| self.structure.span(), Spanned::span)
    }
}

impl Default for Dynamics {
    fn default() -> Self {
        Self {
            scheme: Scheme::default(),
            temperature_k: Temperatures::one(300.0),
            friction_per_ps: None,
            remove_rotation: false,
            hydrogen_mass_amu: None,
        }
    }
}

impl Default for Output {
    fn default() -> Self {
        Self {
            frames_every: 100,
            log_every: 100,
            dcd: true,
            xyz: false,
            centre: true,
        }
    }
}

impl Default for Checkpoint {
    fn default() -> Self {
        Self {
            every_minutes: 10.0,
        }
    }
}

impl Default for Minimize {
    fn default() -> Self {
        Self {
            force_tolerance_ev_per_ang: 0.01,
            steps_max: 1000,
        }
    }
}
