//! Trajectories as extended XYZ: text with forces, energy, step and time in every frame.
//!
//! ```text
//! 3
//! Properties=species:S:1:pos:R:3:forces:R:3 energy=-2081.12 step=100 time_fs=50 replica="water-T0-0000" pbc="F F F"
//! O 0.0123456789 …
//! ```
//! Å, eV, eV/Å, nine significant digits for each coordinate and force, twelve for the energy: the
//! absolute energy of a molecule is large and its changes are small.

use std::ops::RangeInclusive;

use super::number;
use crate::elements;
use crate::replica::Replica;

const DIGITS: usize = 9;
const ENERGY_DIGITS: usize = 12;
const ERROR_DIGITS: usize = 4;

/// One frame, whether of a trajectory or a single point.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// Atomic numbers, (N,).
    pub numbers: &'a [u8],
    /// Positions, Å, (N,).
    pub positions_ang: &'a [[f64; 3]],
    /// What is subtracted from them, Å.
    pub origin_ang: [f64; 3],
    /// Forces, eV/Å, (N,).
    pub forces_ev_per_ang: &'a [[f64; 3]],
    /// Potential energy, eV.
    pub energy_ev: f64,
    /// Expected error of a force component, eV/Å, if it is known.
    pub force_error_ev_per_ang: Option<f64>,
}

/// Where a frame stands in a trajectory.
#[derive(Clone, Copy, Debug)]
pub struct Moment<'a> {
    /// Its step.
    pub step: u64,
    /// Its time, fs.
    pub time_fs: f64,
    /// Its replica's label.
    pub replica: &'a str,
}

/// Appends a frame, with its place in a trajectory if it has one.
pub fn push_frame(buffer: &mut Vec<u8>, frame: &Frame, moment: Option<&Moment>) {
    number::push_integer(buffer, frame.numbers.len() as u64);
    buffer.extend_from_slice(b"\nProperties=species:S:1:pos:R:3:forces:R:3 energy=");
    number::push(buffer, frame.energy_ev, ENERGY_DIGITS);
    if let Some(error) = frame.force_error_ev_per_ang {
        buffer.extend_from_slice(b" force_error_eV_per_ang=");
        number::push(buffer, error, ERROR_DIGITS);
    }
    if let Some(moment) = moment {
        buffer.extend_from_slice(b" step=");
        number::push_integer(buffer, moment.step);
        buffer.extend_from_slice(b" time_fs=");
        number::push_trimmed(buffer, moment.time_fs);
        buffer.extend_from_slice(b" replica=\"");
        buffer.extend_from_slice(moment.replica.as_bytes());
        buffer.push(b'"');
    }
    buffer.extend_from_slice(b" pbc=\"F F F\"\n");
    let vectors = frame.positions_ang.iter().zip(frame.forces_ev_per_ang);
    for (number, (position, force)) in frame.numbers.iter().zip(vectors) {
        buffer.extend_from_slice(elements::symbol(*number).as_bytes());
        for (value, origin) in position.iter().zip(frame.origin_ang) {
            buffer.push(b' ');
            number::push(buffer, value - origin, DIGITS);
        }
        for value in force {
            buffer.push(b' ');
            number::push(buffer, *value, DIGITS);
        }
        buffer.push(b'\n');
    }
}

/// Appends a replica as it is, at no time: the energy and forces of one structure.
pub fn push_single_point(buffer: &mut Vec<u8>, numbers: &[u8], replica: &Replica) {
    let frame = Frame {
        numbers,
        positions_ang: &replica.positions_ang,
        origin_ang: [0.0; 3],
        forces_ev_per_ang: &replica.forces_ev_per_ang,
        energy_ev: replica.energy_ev,
        force_error_ev_per_ang: None,
    };
    push_frame(buffer, &frame, None);
}

/// Bytes that a frame of `atoms` atoms can have in a trajectory.
pub fn frame_bytes(atoms: usize) -> RangeInclusive<u64> {
    // A symbol, and six numbers of nine digits, a point and a space; the longer ones have a sign and
    // zeros before the digits.
    let atoms = atoms as u64;
    100 + atoms * (1 + 6 * 11)..=300 + atoms * (3 + 6 * 14)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_reads_as_documented() {
        let frame = Frame {
            numbers: &[8, 1],
            positions_ang: &[[1.0, 0.0, -0.5], [2.0, 0.25, 1e-9]],
            origin_ang: [1.0, 0.0, 0.0],
            forces_ev_per_ang: &[[0.125, 0.0, -3.0], [0.0, 1.0 / 3.0, 0.0]],
            energy_ev: -2081.125,
            force_error_ev_per_ang: Some(0.0625),
        };
        let moment = Moment {
            step: 300,
            time_fs: 150.0,
            replica: "water-T0-0001",
        };
        let mut buffer = Vec::new();
        push_frame(&mut buffer, &frame, Some(&moment));
        let expected = "2\n\
            Properties=species:S:1:pos:R:3:forces:R:3 energy=-2081.12500000 \
            force_error_eV_per_ang=0.06250 step=300 time_fs=150 replica=\"water-T0-0001\" pbc=\"F F F\"\n\
            O 0.0 0.0 -0.500000000 0.125000000 0.0 -3.00000000\n\
            H 1.00000000 0.250000000 1.00000000e-9 0.0 0.333333333 0.0\n";
        assert_eq!(String::from_utf8(buffer).unwrap(), expected);
    }
}
