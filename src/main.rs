//! The program: parses the command line, and prints the one error that may come back.

use std::process::ExitCode;

use clap::Parser;

use mdrun::cli::Cli;
use mdrun::commands;

fn main() -> ExitCode {
    match commands::run(Cli::parse()) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}
