//! What no single value shows: keys that exclude each other, names that clash.

use std::collections::HashSet;

use super::{Config, Molecule, Scheme, Temperatures};
use crate::error::{Error, Result};

/// The longest name of a molecule; file names are made of it.
const NAME_LENGTH_MAX: usize = 64;

impl Config {
    /// Refuses what cannot be run whatever the files hold.
    pub(super) fn validate(&self) -> Result<()> {
        self.check_molecules()?;
        self.check_scheme()?;
        self.check_limit()?;
        self.check_paths()
    }

    fn check_molecules(&self) -> Result<()> {
        if self.molecules.is_empty() {
            let error = Error::input("the list of molecules is empty: nothing would run");
            return Err(error.at(self.path(), 0));
        }
        let mut names = HashSet::new();
        for molecule in &self.molecules {
            let name = molecule.name();
            check_name(&name).map_err(|what| {
                let error = self.point(Error::input(what), molecule.name_span());
                match molecule.name {
                    Some(_) => error,
                    None => error
                        .hint("the file's name is the molecule's; add a name = \"…\" of its own"),
                }
            })?;
            // File systems that ignore case would mix the files of two such molecules.
            if !names.insert(name.to_ascii_lowercase()) {
                let error = Error::input(format!("two molecules are called {name}"))
                    .hint("names are unique, whatever their case; add name = \"…\" to one of them");
                return Err(self.point(error, molecule.name_span()));
            }
            if let Some(charge) = molecule
                .charge
                .as_ref()
                .filter(|charge| *charge.get_ref() != 0)
            {
                let error = Error::input(format!(
                    "{name} has charge {:+}: the force field knows neutral molecules only",
                    charge.get_ref()
                ))
                .hint("run the neutral form of the molecule");
                return Err(self.point(error, charge.span()));
            }
        }
        Ok(())
    }

    fn check_scheme(&self) -> Result<()> {
        if self.dynamics.scheme == Scheme::Langevin {
            return Ok(());
        }
        let frictions = self
            .molecules
            .iter()
            .map(|molecule| &molecule.friction_per_ps);
        match frictions
            .chain([&self.dynamics.friction_per_ps])
            .flatten()
            .next()
        {
            None => Ok(()),
            Some(friction) => {
                let error = Error::input("friction_per_ps means nothing with scheme = \"nve\"")
                    .hint("leave it out, or use scheme = \"langevin\"");
                Err(self.point(error, friction.span()))
            }
        }
    }

    fn check_limit(&self) -> Result<()> {
        let Some(limit_k) = &self.limits.temperature_k else {
            return Ok(());
        };
        let hottest_k = self.hottest_k();
        if *limit_k.get_ref() > hottest_k {
            return Ok(());
        }
        let error = Error::input(format!(
            "the limit of {} K is not above the hottest bath, {hottest_k} K",
            limit_k.get_ref()
        ))
        .hint(
            "a small molecule fluctuates to several times its temperature; 10000 is a safe limit",
        );
        Err(self.point(error, limit_k.span()))
    }

    fn check_paths(&self) -> Result<()> {
        if let (Some(_), Some(path)) = (&self.model.name, &self.model.path) {
            let error = Error::input("a model has a name or a path, not both")
                .hint("leave one of them out");
            return Err(self.point(error, path.span()));
        }
        match self
            .run
            .out
            .as_ref()
            .filter(|out| out.get_ref().as_os_str().is_empty())
        {
            None => Ok(()),
            Some(out) => {
                let error = Error::input("out is empty").hint("name a folder, or leave it out");
                Err(self.point(error, out.span()))
            }
        }
    }

    /// The temperatures of a molecule, K.
    pub fn temperatures_k<'a>(&'a self, molecule: &'a Molecule) -> &'a [f64] {
        molecule
            .temperature_k
            .as_ref()
            .unwrap_or(&self.dynamics.temperature_k)
            .as_slice()
    }

    /// The highest temperature of the campaign, K.
    pub fn hottest_k(&self) -> f64 {
        let used = self
            .molecules
            .iter()
            .flat_map(|molecule| self.temperatures_k(molecule));
        used.copied().fold(0.0, f64::max)
    }
}

impl Temperatures {
    /// Whether there is none, which no config has.
    pub fn is_empty(&self) -> bool {
        self.as_slice().is_empty()
    }
}

/// Refuses a name that cannot be part of a file name everywhere, or leads out of a folder.
pub fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("a molecule's name is empty".to_owned());
    }
    if name.len() > NAME_LENGTH_MAX {
        return Err(format!(
            "a name of {} characters, and {NAME_LENGTH_MAX} are the most",
            name.len()
        ));
    }
    let strange = name
        .chars()
        .find(|c| !(c.is_ascii_alphanumeric() || "-_.+".contains(*c)));
    if let Some(strange) = strange {
        return Err(format!(
            "\"{name}\" cannot be a name because of {strange:?}: letters, digits, - _ . + can be used"
        ));
    }
    if name.starts_with(['.', '-']) {
        return Err(format!(
            "\"{name}\" cannot be a name: it starts with a dot or a dash"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leads_out_of_its_folder() {
        for name in [
            "../../x",
            "/etc/passwd",
            "a/b",
            "a\\b",
            "..",
            ".",
            ".hidden",
            "",
            "-rf",
            "a b",
            "a\0",
            "é",
        ] {
            assert!(check_name(name).is_err(), "{name:?}");
        }
        for name in ["benzene", "alanine-dipeptide", "C6H6_2.1+x", "1"] {
            assert_eq!(check_name(name), Ok(()), "{name:?}");
        }
    }
}
