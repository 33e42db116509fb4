//! Molecular structures from files.
//!
//! XYZ and extXYZ are read by this program itself, other formats by the chemfiles library where it
//! is built in. A [`Structure`] is what a file says, of one frame; whether it can be run is decided
//! by [`mod@check`].

pub mod bonds;
pub mod check;
#[cfg(feature = "chemfiles")]
mod chemfiles;
mod extended;
#[cfg(feature = "chemfiles")]
mod mol2;
#[cfg(feature = "chemfiles")]
mod pdb;
mod scale;
#[cfg(feature = "chemfiles")]
mod sdf;
pub(crate) mod text;
mod xyz;

use std::path::Path;

use crate::error::{Error, Result};

pub use check::{Domain, check};
pub use xyz::parse_xyz;

/// One frame of a structure file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Structure {
    /// The frame's title, trimmed; may be empty.
    pub title: String,
    /// Atomic numbers, (N,).
    pub numbers: Vec<u8>,
    /// Positions in Å, (N,).
    pub positions_ang: Vec<[f64; 3]>,
    /// Total charge, where the file says one.
    pub charge: Option<i32>,
    /// Bonds i < j in order, where the file's format has them.
    pub bonds: Option<Vec<(u32, u32)>>,
    /// Line of the file at which the frame starts, from 1.
    pub line: usize,
    /// Line of the first atom, in formats with one line an atom.
    pub first_atom_line: Option<usize>,
}

impl Structure {
    /// The bonds that the file names, or else those that the distances suggest.
    pub fn bonds(&self) -> Vec<(u32, u32)> {
        match &self.bonds {
            Some(bonds) => bonds.clone(),
            None => bonds::from_distances(&self.numbers, &self.positions_ang),
        }
    }

    /// The line that an atom is on, or else its frame.
    pub fn line_of_atom(&self, atom: usize) -> usize {
        self.first_atom_line.map_or(self.line, |first| first + atom)
    }
}

/// Reads all frames of a file.
pub fn read(path: &Path) -> Result<Vec<Structure>> {
    parse(path, &load(path)?)
}

/// The contents of a structure file; refuses what is not a file with something in it.
pub fn load(path: &Path) -> Result<Vec<u8>> {
    let unreadable = |source: std::io::Error| {
        Error::input(format!(
            "cannot read the structure {}: {source}",
            path.display()
        ))
    };
    // A pipe or a device might never end.
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(Error::input(format!(
            "the structure {} is not a file",
            path.display()
        )));
    }
    std::fs::read(path).map_err(unreadable)
}

/// Understands the contents of a file, whose name's ending tells the format.
pub fn parse(path: &Path, contents: &[u8]) -> Result<Vec<Structure>> {
    if contents.iter().all(u8::is_ascii_whitespace) {
        return Err(Error::input("the file is empty").at(path, 0));
    }
    let ending = path
        .extension()
        .map(|ending| ending.to_string_lossy().to_ascii_lowercase());
    let structures = match ending.as_deref() {
        Some("xyz" | "extxyz") => parse_xyz(path, contents),
        Some(ending) => parse_other(path, contents, ending),
        None => Err(unknown_format(path)),
    }?;
    if structures.is_empty() {
        return Err(Error::input("there is no structure in the file").at(path, 0));
    }
    Ok(structures)
}

#[cfg(feature = "chemfiles")]
fn parse_other(path: &Path, contents: &[u8], ending: &str) -> Result<Vec<Structure>> {
    match ending {
        "sdf" | "sd" | "mol" => sdf::parse(path, contents),
        "pdb" | "ent" => pdb::parse(path, contents),
        "mol2" => mol2::parse(path, contents),
        _ => Err(unknown_format(path)),
    }
}

#[cfg(not(feature = "chemfiles"))]
fn parse_other(path: &Path, _: &[u8], ending: &str) -> Result<Vec<Structure>> {
    match ending {
        "sdf" | "sd" | "mol" | "pdb" | "ent" | "mol2" => Err(Error::input(format!(
            "this build reads no {} files",
            ending.to_uppercase()
        ))
        .at(path, 0)
        .hint("convert it to XYZ, or build mdrun with its feature chemfiles")),
        _ => Err(unknown_format(path)),
    }
}

fn unknown_format(path: &Path) -> Error {
    Error::input("the ending of the file's name tells no format that is known")
        .at(path, 0)
        .hint("xyz, extxyz, pdb, sdf, mol and mol2 are known; XYZ always works")
}
