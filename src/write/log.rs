//! Energies of all replicas over time, as one CSV file.
//!
//! The kinetic energy is the replica's own (after the bath operation, see
//! [`Replica::kinetic_ev`]), and the temperature is that energy over the degrees of freedom. The
//! conserved energy is of the full-step velocities, less what the bath has put in; without a bath
//! it is the total energy.

use super::number;
use crate::replica::Replica;
use crate::system::Molecule;
use crate::units::BOLTZMANN_EV_PER_K;

const COLUMNS: &[u8] = b"replica,step,time_fs,temperature_K,potential_eV,kinetic_eV,conserved_eV";
/// The column of a force field that says how far off it may be.
const COLUMN_OF_ERROR: &[u8] = b",force_error_eV_per_ang";

const DIGITS: usize = 12;
const DIGITS_OF_ERROR: usize = 4;

/// Appends the first line.
pub fn push_header(buffer: &mut Vec<u8>, with_errors: bool) {
    buffer.extend_from_slice(COLUMNS);
    if with_errors {
        buffer.extend_from_slice(COLUMN_OF_ERROR);
    }
    buffer.push(b'\n');
}

/// Appends the line of one replica, with the expected error of its forces in eV/Å if it is known.
pub fn push_row(
    buffer: &mut Vec<u8>,
    label: &str,
    molecule: &Molecule,
    degrees_of_freedom: usize,
    replica: &Replica,
    force_error_ev_per_ang: Option<f64>,
) {
    let full_step_ev = molecule.kinetic_energy_ev(&replica.velocities_ang_per_fs);
    let freedom_ev_per_k = 0.5 * degrees_of_freedom as f64 * BOLTZMANN_EV_PER_K;
    push_text(buffer, label);
    buffer.push(b',');
    number::push_integer(buffer, replica.step);
    buffer.push(b',');
    number::push_trimmed(buffer, replica.step as f64 * replica.parameters.timestep_fs);
    for value in [
        if degrees_of_freedom > 0 {
            replica.kinetic_ev / freedom_ev_per_k
        } else {
            0.0
        },
        replica.energy_ev,
        replica.kinetic_ev,
        replica.energy_ev + full_step_ev - replica.bath_heat_ev,
    ] {
        buffer.push(b',');
        number::push(buffer, value, DIGITS);
    }
    if let Some(error) = force_error_ev_per_ang {
        buffer.push(b',');
        number::push(buffer, error, DIGITS_OF_ERROR);
    }
    buffer.push(b'\n');
}

/// Whether a line is the first of a log.
pub fn is_header(line: &str) -> bool {
    let line = line.as_bytes();
    let rest = line.strip_prefix(COLUMNS);
    rest.is_some_and(|rest| rest.is_empty() || rest == COLUMN_OF_ERROR)
}

/// What a line says, as far as anybody here reads it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row<'a> {
    /// The replica's.
    pub label: &'a str,
    pub step: u64,
    pub potential_ev: f64,
    /// eV/Å; none in a log without it.
    pub force_error_ev_per_ang: Option<f64>,
}

impl<'a> Row<'a> {
    /// None of a line that is no row.
    pub fn read(line: &'a str) -> Option<Self> {
        let (label, numbers) = match line.strip_prefix('"') {
            Some(rest) => rest.split_once("\","),
            None => line.split_once(','),
        }?;
        let mut numbers = numbers.split(',');
        let step = numbers.next()?.parse().ok()?;
        let mut number = || numbers.next()?.parse::<f64>().ok();
        let [
            _time_fs,
            _temperature_k,
            potential_ev,
            _kinetic_ev,
            _conserved_ev,
        ] = [number()?, number()?, number()?, number()?, number()?];
        Some(Self {
            label,
            step,
            potential_ev,
            force_error_ev_per_ang: number(),
        })
    }
}

/// A field of text; compounds do have commas in their names. Labels have no quotation marks.
fn push_text(buffer: &mut Vec<u8>, text: &str) {
    let quote = text.contains(',');
    if quote {
        buffer.push(b'"');
    }
    buffer.extend_from_slice(text.as_bytes());
    if quote {
        buffer.push(b'"');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write::sample::{replicas, system};

    #[test]
    fn a_row_has_the_columns_of_the_header() {
        let system = system(&["1,2-x"]);
        let mut replica = replicas(&system, 1, 1).remove(0);
        replica.step = 7;
        replica.energy_ev = -2.5;
        replica.kinetic_ev = 4.5 * BOLTZMANN_EV_PER_K * 300.0;
        replica.bath_heat_ev = 0.5;
        replica.velocities_ang_per_fs = vec![[0.0; 3]; 3];
        let mut row = Vec::new();
        push_row(
            &mut row,
            "1,2-x-T0-0000",
            &system.molecules[0],
            9,
            &replica,
            None,
        );
        let row = String::from_utf8(row).unwrap();
        assert_eq!(
            row,
            "\"1,2-x-T0-0000\",7,3.5,300.000000000,-2.50000000000,0.116333999039,-3.00000000000\n"
        );
        for error in [None, Some(0.025)] {
            let (mut header, mut row) = (Vec::new(), Vec::new());
            push_header(&mut header, error.is_some());
            push_row(
                &mut row,
                "x-T0-0000",
                &system.molecules[0],
                9,
                &replica,
                error,
            );
            let fields = |line: &[u8]| line.split(|byte| *byte == b',').count();
            assert_eq!(fields(&row), fields(&header));
            row.pop();
            let line = std::str::from_utf8(&row).unwrap();
            let expected = Row {
                label: "x-T0-0000",
                step: 7,
                potential_ev: -2.5,
                force_error_ev_per_ang: error,
            };
            assert_eq!(Row::read(line), Some(expected));
            let header = std::str::from_utf8(&header).unwrap();
            assert!(is_header(header.trim_end()) && !is_header(line));
            assert_eq!(Row::read(header), None);
        }
    }
}
