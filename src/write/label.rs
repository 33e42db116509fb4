//! What a replica is called in files: `<molecule>-T<temperature index>-<copy>`.
//!
//! A label is made of the replica's identity alone, so that adding copies or temperatures changes no
//! byte of the others' files, and labels sort as replicas do: a copy has four digits, and a number
//! that needs more has a letter before it that sorts behind all digits, `a` for one digit more, `b`
//! for two (`9999`, `a10000`, `a10001`). A temperature has one digit in the same manner.
//!
//! A label is also a file name: what could leave the output folder or confuse a reader of the log is
//! refused here, whoever made the name.

use crate::error::{Error, Result};
use crate::replica::Replica;
use crate::system::System;

/// The longest molecule name, in bytes; file systems stop at 255 for a whole file name.
const NAME_BYTES_MAX: usize = 200;

/// Digits of a temperature's index and of a copy's number that have no letter before them.
const TEMPERATURE_DIGITS: usize = 1;
const COPY_DIGITS: usize = 4;

/// The label of each replica, in order.
pub fn labels(system: &System, replicas: &[Replica]) -> Result<Vec<String>> {
    for molecule in &system.molecules {
        check(&molecule.name)?;
    }
    let label = |replica: &Replica| {
        let id = replica.id;
        format!(
            "{}-T{}-{}",
            system.molecules[id.molecule as usize].name,
            sortable(u32::from(id.temperature), TEMPERATURE_DIGITS),
            sortable(id.copy, COPY_DIGITS),
        )
    };
    Ok(replicas.iter().map(label).collect())
}

/// A number in at least so many digits, and behind a letter that says how many more it has.
fn sortable(number: u32, digits: usize) -> String {
    let number = format!("{number:0digits$}");
    match number.len() - digits {
        0 => number,
        // A u32 has at most ten digits.
        more => format!("{}{number}", char::from(b'a' + more as u8 - 1)),
    }
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
        for copy in [9_999, 10_000, 10_001, 99_999, 100_000, 1 << 24] {
            let mut replica = replicas[0].clone();
            replica.id.copy = copy;
            replicas.push(replica);
        }
        let mut labels = labels(&system, &replicas).unwrap();
        assert_eq!(labels[0], "b-T0-0000");
        labels.sort();
        replicas.sort_by_key(|replica| {
            let name = system.molecules[replica.id.molecule as usize].name.clone();
            (name, replica.id.temperature, replica.id.copy)
        });
        assert_eq!(labels, super::labels(&system, &replicas).unwrap());
        assert_eq!(labels[labels.len() - 1], "b-Ta10-0011");
    }

    #[test]
    fn a_label_does_not_depend_on_the_other_replicas() {
        let system = system(&["a", "b"]);
        let all = replicas(&system, 11, 12);
        let together = labels(&system, &all).unwrap();
        for (replica, label) in all.iter().zip(together) {
            assert_eq!(
                labels(&system, std::slice::from_ref(replica)).unwrap(),
                [label]
            );
        }
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
