//! From structure files to the molecules of a campaign.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use super::masses;
use super::replicas::name_hash;
use crate::config::{self, Config, check_name};
use crate::error::{Error, Result};
use crate::integrate::Scheme;
use crate::structure::{self, Domain, Structure};
use crate::system::Molecule;

/// Friction where nobody says one, 1/ps.
const FRICTION_PER_PS: f64 = 1.0;

/// A molecule with the conditions it runs at.
#[derive(Clone, Debug)]
pub struct Compound {
    pub molecule: Molecule,
    pub temperatures_k: Vec<f64>,
    pub friction_per_ps: f64,
    pub copies: u32,
}

/// Reads and checks all structures of a config.
pub fn read(config: &Config, copies: Option<u32>, domain: &Domain) -> Result<Vec<Compound>> {
    let mut compounds: Vec<Compound> = Vec::new();
    let mut names = Names::default();
    for table in &config.molecules {
        for molecule in molecules(config, table, domain)? {
            names.add(&molecule.name).map_err(|what| {
                let error = Error::input(what).hint("give one of them another name");
                config.point(error, table.name_span())
            })?;
            compounds.push(Compound {
                molecule,
                temperatures_k: config.temperatures_k(table).to_vec(),
                friction_per_ps: friction_per_ps(config, table),
                copies: copies.unwrap_or(table.replicas),
            });
        }
    }
    Ok(compounds)
}

fn friction_per_ps(config: &Config, table: &config::Molecule) -> f64 {
    let written = table
        .friction_per_ps
        .as_ref()
        .or(config.dynamics.friction_per_ps.as_ref());
    match config.dynamics.scheme {
        Scheme::Nve => 0.0,
        Scheme::Langevin => written.map_or(FRICTION_PER_PS, |friction| *friction.get_ref()),
    }
}

/// The names that are taken.
#[derive(Default)]
struct Names {
    /// In lower case: file systems that ignore case would mix the files of two such molecules.
    lower_case: HashSet<String>,
    of_hash: HashMap<u32, String>,
}

impl Names {
    /// Takes a name, or says why it cannot stand beside those that are there.
    fn add(&mut self, name: &str) -> Result<(), String> {
        if !self.lower_case.insert(name.to_ascii_lowercase()) {
            return Err(format!("two molecules are called {name}"));
        }
        match self.of_hash.insert(name_hash(name), name.to_owned()) {
            None => Ok(()),
            Some(twin) => Err(format!(
                "the names {twin} and {name} have the same hash, and so would share random numbers"
            )),
        }
    }
}

/// The molecules of one table, whose file may hold several compounds.
fn molecules(config: &Config, table: &config::Molecule, domain: &Domain) -> Result<Vec<Molecule>> {
    let path = config.beside(table.structure.get_ref());
    let contents =
        structure::load(&path).map_err(|error| config.point(error, table.structure.span()))?;
    let structures = structure::parse(&path, &contents)?;
    let charge = table.charge.as_ref().map(|charge| *charge.get_ref());
    for structure in &structures {
        structure::check(structure, domain, charge, &path)?;
    }
    let groups = same_compound(&structures);
    let mut molecules: Vec<Molecule> = Vec::with_capacity(groups.len());
    let mut taken = HashSet::new();
    for (index, starts) in groups.iter().enumerate() {
        let name = match groups.len() {
            1 => table.name(),
            _ => name_of(&starts[0].title, &table.name(), index, &taken),
        };
        taken.insert(name.to_ascii_lowercase());
        molecules.push(molecule(config, &path, name, starts)?);
    }
    Ok(molecules)
}

/// The frames of each compound; compounds in the order of their first frames.
///
/// Frames are of one compound when their atoms are the same, in the same order, and joined in the
/// same way as far as the file says.
fn same_compound(structures: &[Structure]) -> Vec<Vec<&Structure>> {
    let mut groups: Vec<Vec<&Structure>> = Vec::new();
    let mut places = std::collections::HashMap::new();
    for structure in structures {
        let place = *places
            .entry((&structure.numbers, &structure.bonds))
            .or_insert(groups.len());
        if place == groups.len() {
            groups.push(Vec::new());
        }
        groups[place].push(structure);
    }
    groups
}

/// The name of one compound of several in a file: its title where that can be a name and is not,
/// in lower case, among those `taken` by earlier compounds, else the table's name and a number,
/// from 1.
///
/// It depends only on what stands before it in the file, so that compounds can be added at the end
/// without renaming, and so changing, any other.
fn name_of(title: &str, table: &str, index: usize, taken: &HashSet<String>) -> String {
    if check_name(title).is_ok() && !taken.contains(&title.to_ascii_lowercase()) {
        title.to_owned()
    } else {
        format!("{table}-{}", index + 1)
    }
}

fn molecule(config: &Config, path: &Path, name: String, starts: &[&Structure]) -> Result<Molecule> {
    let first = starts[0];
    let bonds = first.bonds();
    let mut masses_amu = masses::natural(&first.numbers);
    if let Some(hydrogen_amu) = config.dynamics.hydrogen_mass_amu {
        masses::repartition(&first.numbers, &bonds, hydrogen_amu, &mut masses_amu)
            .map_err(|error| error.at(path, first.line))?;
    }
    Ok(Molecule {
        name,
        numbers: first.numbers.clone(),
        masses_amu,
        starts_ang: starts
            .iter()
            .map(|start| start.positions_ang.clone())
            .collect(),
        bonds,
    })
}
