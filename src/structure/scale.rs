//! Coordinates that are not in Å, recognised by the length of their bonds.

use super::bonds::{distance_squared, radius_ang};

/// A unit of length that coordinates seem to be written in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Unit {
    /// Its name.
    pub name: &'static str,
    /// Its length, Å.
    pub length_ang: f64,
}

const UNITS: [Unit; 3] = [
    Unit {
        name: "nm",
        length_ang: 10.0,
    },
    Unit {
        name: "bohr",
        length_ang: 0.529_177_210_903,
    },
    Unit {
        name: "pm",
        length_ang: 0.01,
    },
];

/// How far a typical bond may be from the sum of covalent radii, as a factor.
///
/// Nearest neighbours of sound geometries lie within 15 % of it, and so do those of hot ones in the
/// median; bohr, the nearest unit, is 89 % away.
const TOLERANCE: f64 = 1.25;

/// The unit that would make sense of coordinates which make none in Å.
pub fn mistaken_unit(numbers: &[u8], positions_ang: &[[f64; 3]]) -> Option<Unit> {
    let ratio = typical_bond(numbers, positions_ang)?;
    let fits = |ratio: f64| (1.0 / TOLERANCE..TOLERANCE).contains(&ratio);
    UNITS.into_iter().find(|unit| fits(ratio * unit.length_ang))
}

/// The median over atoms of the distance to the nearest neighbour, over the sum of radii.
fn typical_bond(numbers: &[u8], positions_ang: &[[f64; 3]]) -> Option<f64> {
    let mut ratios: Vec<f64> = (0..numbers.len())
        .filter_map(|i| {
            let ratio = |j: usize| {
                let distance = distance_squared(&positions_ang[i], &positions_ang[j]).sqrt();
                distance / (radius_ang(numbers[i]) + radius_ang(numbers[j]))
            };
            (0..numbers.len())
                .filter(|j| *j != i)
                .map(ratio)
                .min_by(f64::total_cmp)
        })
        .collect();
    ratios.sort_by(f64::total_cmp);
    ratios.get(ratios.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    const METHANOL: ([u8; 6], [[f64; 3]; 6]) = (
        [6, 8, 1, 1, 1, 1],
        [
            [-0.361, -0.009, -0.018],
            [0.925, 0.556, 0.037],
            [-0.516, -0.685, 0.837],
            [-0.449, -0.592, -0.944],
            [-1.152, 0.747, -0.001],
            [1.553, -0.017, 0.089],
        ],
    );

    #[test]
    fn the_unit_is_recognised() {
        let (numbers, positions_ang) = METHANOL;
        let name_at = |factor: f64| {
            let scaled = positions_ang.map(|position| position.map(|x| x * factor));
            mistaken_unit(&numbers, &scaled).map(|unit| unit.name)
        };
        assert_eq!(name_at(0.1), Some("nm"));
        assert_eq!(name_at(1.0 / 0.529_177), Some("bohr"));
        assert_eq!(name_at(100.0), Some("pm"));
        // In Å, and stretched or squeezed by what a rough geometry may be.
        for factor in [0.85, 1.0, 1.2] {
            assert_eq!(name_at(factor), None, "{factor}");
        }
    }

    #[test]
    fn a_single_atom_has_no_bonds_to_judge() {
        assert_eq!(mistaken_unit(&[1], &[[0.0; 3]]), None);
        assert_eq!(mistaken_unit(&[], &[]), None);
    }
}
