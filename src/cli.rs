//! The command line: what may be said, and nothing of what it does.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Batched molecular dynamics of small molecules with an embedded, distilled force field
///
/// `mdrun config.toml` runs a campaign; `mdrun init > config.toml` writes a config to start from.
#[derive(Debug, Parser)]
#[command(name = "mdrun", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// What to do instead of running a campaign.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The campaign to run.
    #[command(flatten)]
    pub run: Run,
}

/// A campaign and what the command line changes of it.
#[derive(Debug, Args)]
pub struct Run {
    /// Campaign to run (TOML; see `mdrun init`)
    #[arg(required = true)]
    pub config: Option<PathBuf>,
    /// Where forces are computed: auto, cpu, cuda, cuda:K, cuda:all or reference
    #[arg(long, value_name = "DEVICE")]
    pub device: Option<String>,
    /// Copies of every molecule at each of its temperatures
    #[arg(long, value_name = "N")]
    pub replicas: Option<u32>,
    /// Steps that every replica makes in all
    #[arg(long, value_name = "N")]
    pub steps: Option<u64>,
    /// Folder of all output
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Go on from the last checkpoint in the output folder, or start where there is none
    #[arg(long, conflicts_with = "overwrite")]
    pub resume: bool,
    /// Remove an earlier run's files from the output folder first
    #[arg(long)]
    pub overwrite: bool,
    /// Stop cleanly, ready for --resume, after this time (11h30m, 90s, a number of seconds)
    #[arg(long, value_name = "T")]
    pub max_walltime: Option<String>,
    /// Print the summary as JSON on standard output
    #[arg(long)]
    pub json: bool,
}

/// Everything but running a campaign.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print a commented config to start from
    Init,
    /// Check a config without running it: what will run, its time, memory and disk
    Check(Run),
    /// Energies and forces of every frame of structure files
    Eval(Eval),
    /// Relax every frame of structure files
    Minimize(Minimize),
    /// Harmonic frequencies and normal modes at the minimum next to a structure
    Modes(Modes),
    /// Check the force field and the dynamics on a structure of yours
    Validate(Validate),
    /// Measure the speed of a structure's dynamics
    Bench(Bench),
    /// Describe a force field or a checkpoint
    Info(Info),
    /// Check that the files in an output folder are whole and belong to its checkpoint
    Verify(Verify),
    /// Print the JSON schema of the config
    Schema,
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// Which force field, and where.
#[derive(Debug, Args)]
pub struct Field {
    /// Force field: a built-in name or a safetensors file
    #[arg(long, value_name = "NAME|FILE", default_value = "default")]
    pub model: String,
    /// Where forces are computed: auto, cpu, cuda, cuda:K, cuda:all or reference
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    pub device: String,
    /// On a GPU: mixed (16-bit products) or single (32 bits)
    #[arg(long, value_name = "PRECISION")]
    pub precision: Option<String>,
}

/// Single points.
#[derive(Debug, Args)]
pub struct Eval {
    /// Structure files: XYZ, extXYZ, PDB, SDF, MOL2
    #[arg(required = true)]
    pub structures: Vec<PathBuf>,
    /// The extXYZ file to write
    #[arg(short, long, value_name = "OUT.extxyz")]
    pub out: PathBuf,
    /// Which force field, and where.
    #[command(flatten)]
    pub field: Field,
}

/// Relaxation.
#[derive(Debug, Args)]
pub struct Minimize {
    /// Structure files: XYZ, extXYZ, PDB, SDF, MOL2
    #[arg(required = true)]
    pub structures: Vec<PathBuf>,
    /// The extXYZ file to write
    #[arg(short, long, value_name = "OUT.extxyz")]
    pub out: PathBuf,
    /// Done when no atom feels more than this force, eV/Å
    #[arg(long, value_name = "F", default_value_t = 0.001)]
    pub force_tolerance: f64,
    /// Steps after which the search is given up
    #[arg(long, value_name = "N", default_value_t = 5000)]
    pub steps_max: u64,
    /// Which force field, and where.
    #[command(flatten)]
    pub field: Field,
}

/// Harmonic analysis.
#[derive(Debug, Args)]
pub struct Modes {
    /// A structure file; its first frame is used
    pub structure: PathBuf,
    /// The multi-frame XYZ to write, one swing of each mode after the other
    #[arg(short, long, value_name = "OUT.xyz")]
    pub out: Option<PathBuf>,
    /// Force field: a built-in name or a safetensors file
    #[arg(long, value_name = "NAME|FILE", default_value = "default")]
    pub model: String,
    /// Print frequencies as JSON
    #[arg(long)]
    pub json: bool,
}

/// Checks on a structure.
#[derive(Debug, Args)]
pub struct Validate {
    /// A structure file; its first frame is used
    pub structure: PathBuf,
    /// Which force field, and where.
    #[command(flatten)]
    pub field: Field,
}

/// Speed.
#[derive(Debug, Args)]
pub struct Bench {
    /// A structure file; without one, benzene
    pub structure: Option<PathBuf>,
    /// Numbers of replicas to measure
    #[arg(long, value_delimiter = ',', default_value = "1,16,64")]
    pub replicas: Vec<u32>,
    /// Seconds spent on each
    #[arg(long, default_value_t = 2.0)]
    pub seconds: f64,
    /// Which force field, and where.
    #[command(flatten)]
    pub field: Field,
    /// Also say where the time of a step goes (on a GPU)
    #[arg(long)]
    pub profile: bool,
    /// With --profile, the products that this GPU can make at best, TFLOP/s: also say each stage's share of it
    #[arg(long, value_name = "TFLOP/s", requires = "profile")]
    pub ceiling: Option<f64>,
    /// With --profile, what this GPU's memory moves at best, GB/s: also say each stage's share of it
    #[arg(long, value_name = "GB/s", requires = "profile")]
    pub bandwidth: Option<f64>,
    /// Print the results as JSON
    #[arg(long)]
    pub json: bool,
}

/// Description.
#[derive(Debug, Args)]
pub struct Info {
    /// A built-in force field's name, a safetensors file, an output folder or a checkpoint
    #[arg(default_value = "default")]
    pub what: String,
}

/// A look at an output folder.
#[derive(Debug, Args)]
pub struct Verify {
    /// The output folder of a run
    pub folder: PathBuf,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
        assert!(Cli::try_parse_from(["mdrun"]).is_err());
        let cli = Cli::try_parse_from(["mdrun", "a.toml", "--steps", "5", "--resume"]).unwrap();
        assert_eq!((cli.run.steps, cli.run.resume), (Some(5), true));
        let cli = Cli::try_parse_from(["mdrun", "eval", "a.xyz", "-o", "b.xyz"]).unwrap();
        assert!(matches!(cli.command, Some(Command::Eval(_))));
        assert!(Cli::try_parse_from(["mdrun", "a.toml", "--resume", "--overwrite"]).is_err());
    }
}
