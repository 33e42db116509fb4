//! What the command line asks for, one command a file.

mod batch;
mod bench;
mod check;
mod eval;
mod info;
mod job;
mod minimize;
pub mod modes;
mod operations;
mod room;
mod simulate;
mod validate;
mod verify;

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use clap::CommandFactory;

use crate::cli::{Cli, Command};
use crate::config::{self, Config, ModelChoice};
use crate::error::{Error, Result};
use crate::structure::{self, Structure};
use crate::student::Student;

/// Does what the command line asks; returns the exit code.
pub fn run(cli: Cli) -> Result<u8> {
    match cli.command {
        None => return simulate::run(&cli.run),
        Some(Command::Init) => print(config::init()),
        Some(Command::Schema) => print(&config::schema()),
        Some(Command::Check(arguments)) => check::run(&arguments)?,
        Some(Command::Eval(arguments)) => eval::run(&arguments)?,
        Some(Command::Minimize(arguments)) => return minimize::run(&arguments),
        Some(Command::Modes(arguments)) => modes::run(&arguments)?,
        Some(Command::Validate(arguments)) => return validate::run(&arguments),
        Some(Command::Bench(arguments)) => bench::run(&arguments)?,
        Some(Command::Info(arguments)) => info::run(&arguments)?,
        Some(Command::Verify(arguments)) => return verify::run(&arguments),
        Some(Command::Completions { shell }) => {
            clap_complete::generate(shell, &mut Cli::command(), "mdrun", &mut std::io::stdout());
        }
    }
    Ok(0)
}

/// Data goes to standard output; whoever reads it may stop early (`mdrun schema | head`).
fn print(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// The student that a config asks for.
fn student_of(config: &Config) -> Result<Arc<Student>> {
    let student = match config.model() {
        ModelChoice::BuiltIn(name) => Student::embedded(&name),
        ModelChoice::File(path) => Student::open(&path),
    };
    Ok(Arc::new(student?))
}

/// All frames of a structure file, each one inside the student's domain.
fn structures(path: &Path, student: &Student) -> Result<Vec<Structure>> {
    let structures = structure::read(path)?;
    for structure in &structures {
        structure::check(structure, &student.domain(), None, path)?;
    }
    Ok(structures)
}

/// The first frame of a structure file.
fn first_structure(path: &Path, student: &Student) -> Result<Structure> {
    let first = structures(path, student)?.into_iter().next();
    first.ok_or_else(|| Error::input("no structure in the file").at(path, 0))
}
