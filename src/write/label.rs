//! What a replica is called in files: `<molecule>-T<temperature index>-<copy>`.
//!
//! Numbers are padded with zeros to the width of the molecule's largest, so that names sort as the
//! replicas do. A label is also a file name: what could leave the output folder or confuse a
//! reader of the log is refused here, whoever made the name.

use crate::error::{Error, Result};
use crate::replica::Replica;
use crate::system::System;

/// The longest molecule name, in bytes; file systems stop at 255 for a whole file name.
const NAME_BYTES_MAX: usize = 200;

/// The label of each replica, in order.
pub fn labels(system: &System, replicas: &[Replica]) -> Result<Vec<String>> {
    for molecule in &system.molecules {
        check(&molecule.name)?;
    }
    let mut largest = vec![(0, 0); system.molecules.len()];
    for replica in replicas {
        let (temperature, copy) = &mut largest[replica.id.molecule as usize];
        *temperature = replica.id.temperature.max(*temperature);
        *copy = replica.id.copy.max(*copy);
    }
    let label = |replica: &Replica| {
        let molecule = replica.id.molecule as usize;
        let (temperature, copy) = largest[molecule];
        format!(
            "{}-T{:0temperature_width$}-{:0copy_width$}",
            system.molecules[molecule].name,
            replica.id.temperature,
            replica.id.copy,
            temperature_width = temperature.to_string().len(),
            copy_width = copy.to_string().len(),
        )
    };
    Ok(replicas.iter().map(label).collect())
}

/// Refuses a molecule name that is no file name.
fn check(name: &str) -> Result<()> {
    let cause = if name.is_empty() {
        "it is empty"
    } else if name.len() > NAME_BYTES_MAX {
        "it is longer than 200 bytes"
    } else if name.starts_with('.') {
        "it starts with a dot"
    } else if name.contains(['/', '\\']) {
        "it contains a path separator"
    } else if name.contains('"') || name.contains(char::is_control) {
        "it contains a quotation mark or a control character"
    } else {
        return Ok(());
    };
    Err(Error::input(format!(
        "molecule name {name:?} cannot be a file name: {cause}"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write::sample::{replicas, system};

    #[test]
    fn labels_sort_as_replicas_do() {
        let system = system(&["b", "a"]);
        let mut replicas = replicas(&system, 11, 12);
        let mut labels = labels(&system, &replicas).unwrap();
        assert_eq!(labels[0], "b-T00-00");
        labels.sort();
        replicas.sort_by_key(|replica| {
            let name = system.molecules[replica.id.molecule as usize].name.clone();
            (name, replica.id.temperature, replica.id.copy)
        });
        assert_eq!(labels, super::labels(&system, &replicas).unwrap());
        assert_eq!(labels[0], "a-T00-00");
        assert_eq!(labels[labels.len() - 1], "b-T10-11");
    }

    #[test]
    fn names_that_leave_the_folder_are_refused() {
        for name in [
            "", "..", ".hidden", "../x", "/etc/x", "a\\b", "a\nb", "a\"b",
        ] {
            let refused = labels(&system(&[name]), &[]).unwrap_err();
            assert_eq!(refused.exit_code(), 2, "{name:?}");
        }
        for name in ["1,2-dichloroethane", "N,N-dimethyl formamide", "méthane"] {
            assert!(labels(&system(&[name]), &[]).is_ok(), "{name:?}");
        }
    }
}
