//! Structures as replicas of a system, for the commands that need no config.

use std::path::Path;
use std::sync::Arc;

use crate::elements;
use crate::engine::{Device, Precision};
use crate::error::{Error, Result};
use crate::replica::{Parameters, Replica, ReplicaId};
use crate::structure::Structure;
use crate::student::Student;
use crate::system::{Molecule, System};

/// The student that a command line names: a built-in one, or a file.
pub fn student(model: &str) -> Result<Arc<Student>> {
    let path = Path::new(model);
    let is_file = path.extension().is_some() || path.components().count() > 1;
    let student = if is_file {
        Student::open(path)
    } else {
        Student::embedded(model)
    }?;
    Ok(Arc::new(student))
}

/// The device that a command line names.
pub fn device(text: &str) -> Result<Device> {
    text.parse()
        .map_err(|what: String| Error::input(format!("--device: {what}")))
}

/// The precision that a command line names, or the command's own.
pub fn precision(text: Option<&str>, usual: Precision) -> Result<Precision> {
    let parse = |text: &str| {
        text.parse()
            .map_err(|what: String| Error::input(format!("--precision: {what}")))
    };
    text.map_or(Ok(usual), parse)
}

/// Conditions that no single point depends on.
pub const AT_REST: Parameters = Parameters {
    timestep_fs: 0.5,
    temperature_k: 0.0,
    friction_per_fs: 0.0,
};

/// A system with one molecule for each different list of elements, and one resting replica a
/// structure, in order.
pub fn batch(
    structures: &[Structure],
    parameters: Parameters,
) -> Result<(Arc<System>, Vec<Replica>)> {
    let mut molecules: Vec<Molecule> = Vec::new();
    let mut replicas = Vec::with_capacity(structures.len());
    for structure in structures {
        let known = molecules
            .iter()
            .position(|molecule| molecule.numbers == structure.numbers);
        let molecule = known.unwrap_or(molecules.len());
        if known.is_none() {
            molecules.push(compound(structure)?);
        }
        let copy = replicas.len() as u32;
        replicas.push(replica(
            molecule as u32,
            copy,
            structure.positions_ang.clone(),
            parameters,
        ));
    }
    let system = System {
        molecules,
        seed: 0,
        temperature_limit_k: f64::INFINITY,
    };
    Ok((Arc::new(system), replicas))
}

/// A structure's elements as a molecule.
fn compound(structure: &Structure) -> Result<Molecule> {
    let mass = |&number: &u8| {
        elements::element_of(number)
            .map(|element| element.mass_amu)
            .ok_or_else(|| {
                Error::input(format!(
                    "no force field for the element {}",
                    elements::symbol(number)
                ))
            })
    };
    Ok(Molecule {
        name: structure.title.clone(),
        numbers: structure.numbers.clone(),
        masses_amu: structure.numbers.iter().map(mass).collect::<Result<_>>()?,
        starts_ang: vec![structure.positions_ang.clone()],
        bonds: structure.bonds(),
    })
}

/// A replica at rest.
pub fn replica(
    molecule: u32,
    copy: u32,
    positions_ang: Vec<[f64; 3]>,
    parameters: Parameters,
) -> Replica {
    Replica::at_rest(
        ReplicaId {
            molecule,
            name_hash: 0,
            temperature: 0,
            copy,
        },
        parameters,
        positions_ang,
    )
}
