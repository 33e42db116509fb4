//! The small face of the chemfiles library: text of one record in, structures out.
//!
//! The library is only given records that our own look has found to be whole, always from memory;
//! nothing else of this program speaks to it.

use std::path::Path;
use std::sync::Once;

use chemfiles::{Frame, MemoryTrajectoryReader, Property};

use super::Structure;
use crate::elements;
use crate::error::{Error, Result};

/// A format that the library reads for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Protein Data Bank.
    Pdb,
    /// MDL structure-data.
    Sdf,
    /// Tripos Mol2.
    Mol2,
}

impl Format {
    /// The library's name of it.
    fn name(self) -> &'static str {
        match self {
            Self::Pdb => "PDB",
            Self::Sdf => "SDF",
            Self::Mol2 => "MOL2",
        }
    }

    /// Whether bonds of its files are complete. PDB names those of unusual residues only.
    fn has_bonds(self) -> bool {
        self != Self::Pdb
    }
}

/// Part of a file, with one or more structures in it.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Line of the file at which it starts, from 1.
    pub line: usize,
    /// What is in it.
    pub text: &'a str,
}

/// Reads all structures of a record.
pub fn parse(path: &Path, record: Record<'_>, format: Format) -> Result<Vec<Structure>> {
    silence();
    let fault = |error: chemfiles::Error| {
        Error::input(format!("this is not {}: {}", format.name(), error.message))
            .at(path, record.line)
    };
    let mut reader =
        MemoryTrajectoryReader::new(record.text.as_bytes(), format.name()).map_err(fault)?;
    let mut structures = Vec::new();
    for _ in 0..reader.nsteps() {
        let mut frame = Frame::new();
        reader.read(&mut frame).map_err(fault)?;
        let mut structure =
            structure(&frame, format).map_err(|what| Error::input(what).at(path, record.line))?;
        structure.line = record.line;
        structures.push(structure);
    }
    Ok(structures)
}

/// The library warns on standard error, in words about its own files; whatever matters to us is an
/// error of ours.
fn silence() {
    static SILENCE: Once = Once::new();
    SILENCE.call_once(|| chemfiles::set_warning_callback(|_| {}));
}

fn structure(frame: &Frame, format: Format) -> std::result::Result<Structure, String> {
    // The library's view of no positions is a null pointer, which must not be looked at.
    if frame.size() == 0 {
        return Err("a structure without atoms".to_owned());
    }
    let mut numbers = Vec::with_capacity(frame.size());
    let mut charge = 0.0;
    for (index, atom) in frame.iter_atoms().enumerate() {
        let kind = atom.atomic_type();
        let number = elements::number(&kind).filter(|_| !["D", "T"].contains(&kind.as_str()));
        numbers.push(
            number.ok_or_else(|| {
                format!("atom {} is of the unknown element \"{kind}\"", index + 1)
            })?,
        );
        charge += atom.charge();
    }
    let title = match frame.get("name") {
        Some(Property::String(title)) => title.trim().to_owned(),
        _ => String::new(),
    };
    Ok(Structure {
        title,
        numbers,
        positions_ang: frame.positions().to_vec(),
        charge: whole_charge(charge),
        bonds: format.has_bonds().then(|| bonds(frame)),
        ..Structure::default()
    })
}

/// The total charge, of formal charges or of partial ones that add up to a whole number.
fn whole_charge(sum: f64) -> Option<i32> {
    /// Partial charges are written with two to four digits.
    const ROUNDING: f64 = 0.05;
    let whole = sum.round();
    ((sum - whole).abs() < ROUNDING && whole.abs() < 1000.0).then_some(whole as i32)
}

fn bonds(frame: &Frame) -> Vec<(u32, u32)> {
    let ordered = |[i, j]: [usize; 2]| (i.min(j) as u32, i.max(j) as u32);
    let mut bonds: Vec<_> = frame.topology().bonds().into_iter().map(ordered).collect();
    bonds.sort_unstable();
    bonds.dedup();
    bonds
}
