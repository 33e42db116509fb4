//! Whether a structure is one that the student knows and that can be run.

use std::path::Path;

use super::Structure;
use super::bonds::{distance_squared, gap};
use super::scale::mistaken_unit;
use crate::elements::{element_of, symbol};
use crate::error::{Error, Result};

/// The most atoms of a molecule; the student is made for molecules of up to about 100.
pub const ATOMS_MAX: usize = 512;

/// Atoms closer than this overlap, Å: no bond is shorter than 0.7 Å.
pub const DISTANCE_MIN_ANG: f64 = 0.5;

/// What a student knows.
#[derive(Clone, Debug, PartialEq)]
pub struct Domain {
    /// Atomic numbers of its elements.
    pub elements: Vec<u8>,
    /// How far it sees, Å.
    pub cutoff_ang: f64,
    /// Expected error of a force above which a geometry is unlike what it knows, eV/Å; none if it
    /// says nothing about its error.
    pub force_error_ev_per_ang: Option<f64>,
}

impl Domain {
    /// Whether atoms of this element can be run.
    pub fn contains(&self, number: u8) -> bool {
        self.elements.contains(&number) && element_of(number).is_some()
    }
}

/// Refuses a structure that is outside the student's domain or cannot be meant; `path` is where it
/// was read from, `charge` the config's word on its charge.
pub fn check(
    structure: &Structure,
    domain: &Domain,
    charge: Option<i32>,
    path: &Path,
) -> Result<()> {
    let frame = |error: Error| Err(error.at(path, structure.line));
    let atoms = structure.numbers.len();
    if atoms == 0 {
        return frame(Error::input("a structure without atoms"));
    }
    if atoms > ATOMS_MAX {
        return frame(Error::input(format!(
            "a molecule of {atoms} atoms, and {ATOMS_MAX} are the most"
        )));
    }
    check_elements(structure, domain, path)?;
    check_electrons(structure, charge, path)?;
    check_geometry(structure, domain, path)
}

fn check_elements(structure: &Structure, domain: &Domain, path: &Path) -> Result<()> {
    let stranger = structure
        .numbers
        .iter()
        .position(|number| !domain.contains(*number));
    let Some(atom) = stranger else { return Ok(()) };
    let known: Vec<_> = domain
        .elements
        .iter()
        .map(|number| symbol(*number))
        .collect();
    Err(Error::input(format!(
        "atom {} is {}, an element that the force field does not know",
        atom + 1,
        symbol(structure.numbers[atom])
    ))
    .at(path, structure.line_of_atom(atom))
    .hint(format!("it knows {}", known.join(", "))))
}

fn check_electrons(structure: &Structure, charge: Option<i32>, path: &Path) -> Result<()> {
    let frame = |error: Error| Err(error.at(path, structure.line));
    if let Some(charge) = structure.charge.or(charge).filter(|charge| *charge != 0) {
        return frame(
            Error::input(format!(
                "a molecule of charge {charge:+}: the force field knows neutral molecules only"
            ))
            .hint("run its neutral form"),
        );
    }
    let electrons: u64 = structure
        .numbers
        .iter()
        .map(|number| u64::from(*number))
        .sum();
    if electrons % 2 == 1 {
        return frame(
            Error::input(format!(
                "{electrons} electrons: with an odd number it is a radical or an ion, \
                 which the force field does not know"
            ))
            .hint("look for a missing or additional hydrogen atom"),
        );
    }
    Ok(())
}

fn check_geometry(structure: &Structure, domain: &Domain, path: &Path) -> Result<()> {
    let positions_ang = &structure.positions_ang;
    let infinite = positions_ang
        .iter()
        .position(|position| position.iter().any(|x| !x.is_finite()));
    if let Some(atom) = infinite {
        return Err(
            Error::input(format!("atom {} has no finite position", atom + 1))
                .at(path, structure.line_of_atom(atom)),
        );
    }
    // Before overlaps and gaps, which wrong units also cause.
    if let Some(unit) = mistaken_unit(&structure.numbers, positions_ang) {
        return Err(Error::input(format!(
            "the coordinates look like {}, and Å are read",
            unit.name
        ))
        .at(path, structure.line)
        .hint(format!("multiply them by {}", unit.length_ang)));
    }
    if let Some((i, j, distance_ang)) = overlap(positions_ang) {
        return Err(Error::input(format!(
            "atoms {} ({}) and {} ({}) overlap: they are {distance_ang:.3} Å apart, and \
             {DISTANCE_MIN_ANG} Å is the least",
            i + 1,
            symbol(structure.numbers[i]),
            j + 1,
            symbol(structure.numbers[j])
        ))
        .at(path, structure.line_of_atom(j)));
    }
    if let Some((i, j, distance_ang)) = gap(positions_ang, domain.cutoff_ang) {
        return Err(Error::input(format!(
            "the molecule is in pieces: atoms {} and {}, the nearest of two pieces, are \
             {distance_ang:.1} Å apart, and the force field sees {} Å",
            i + 1,
            j + 1,
            domain.cutoff_ang
        ))
        .at(path, structure.line_of_atom(j))
        .hint("put each piece into a file and a [[molecule]] of its own"));
    }
    Ok(())
}

/// The first two atoms that overlap, and their distance, Å.
fn overlap(positions_ang: &[[f64; 3]]) -> Option<(usize, usize, f64)> {
    for (j, second) in positions_ang.iter().enumerate() {
        for (i, first) in positions_ang[..j].iter().enumerate() {
            let distance_ang = distance_squared(first, second).sqrt();
            if distance_ang < DISTANCE_MIN_ANG {
                return Some((i, j, distance_ang));
            }
        }
    }
    None
}
