//! Bonds and pieces of a molecule, from distances alone.

use crate::elements;

/// Two heavy atoms closer than this many times the sum of their covalent radii are taken as bonded.
/// The bridgeheads of bicyclo[1.1.1]pentane, 1.87 Å or 1.23 times apart, are not.
const HEAVY_FACTOR: f64 = 1.2;

/// The same with a hydrogen atom. Nothing but bonds is as short, so that a hot start keeps them.
const HYDROGEN_FACTOR: f64 = 1.3;

/// Pairs i < j that are closer than a bond can be long, in order.
pub fn from_distances(numbers: &[u8], positions_ang: &[[f64; 3]]) -> Vec<(u32, u32)> {
    let radii_ang: Vec<f64> = numbers.iter().map(|number| radius_ang(*number)).collect();
    let mut bonds = Vec::new();
    for (i, position_ang) in positions_ang.iter().enumerate() {
        for j in i + 1..positions_ang.len() {
            let has_hydrogen = numbers[i] == 1 || numbers[j] == 1;
            let factor = if has_hydrogen {
                HYDROGEN_FACTOR
            } else {
                HEAVY_FACTOR
            };
            let length_max_ang = factor * (radii_ang[i] + radii_ang[j]);
            if distance_squared(position_ang, &positions_ang[j]) < length_max_ang * length_max_ang {
                bonds.push((i as u32, j as u32));
            }
        }
    }
    bonds
}

/// Two atoms of different pieces, and how far the pieces are apart, Å; nothing where every atom is
/// linked to every other through neighbours closer than `reach_ang`.
pub fn gap(positions_ang: &[[f64; 3]], reach_ang: f64) -> Option<(usize, usize, f64)> {
    // Prim's tree from atom 0: the first atom whose nearest linked atom is out of reach starts a
    // piece of its own, and that distance is the gap.
    let mut nearest: Vec<(f64, usize)> = positions_ang
        .iter()
        .map(|other| (distance_squared(&positions_ang[0], other), 0))
        .collect();
    let mut waiting: Vec<usize> = (1..positions_ang.len()).collect();
    while !waiting.is_empty() {
        let place = (0..waiting.len())
            .min_by(|a, b| nearest[waiting[*a]].0.total_cmp(&nearest[waiting[*b]].0))?;
        let atom = waiting.swap_remove(place);
        let (squared, linked) = nearest[atom];
        // Written so that a distance that overflowed counts as out of reach.
        if squared.sqrt() >= reach_ang || squared.is_nan() {
            return Some((linked.min(atom), linked.max(atom), squared.sqrt()));
        }
        for other in &waiting {
            let squared = distance_squared(&positions_ang[atom], &positions_ang[*other]);
            if squared < nearest[*other].0 {
                nearest[*other] = (squared, atom);
            }
        }
    }
    None
}

/// The covalent radius of an element, Å; 0 for one that no student knows.
pub(super) fn radius_ang(number: u8) -> f64 {
    elements::element_of(number).map_or(0.0, |element| element.covalent_radius_ang)
}

pub(super) fn distance_squared(a: &[f64; 3], b: &[f64; 3]) -> f64 {
    let [x, y, z] = [a[0] - b[0], a[1] - b[1], a[2] - b[2]];
    x * x + y * y + z * z
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn water_has_two_bonds() {
        let positions_ang = [[0.0, 0.0, 0.0], [0.96, 0.0, 0.0], [-0.24, 0.93, 0.0]];
        assert_eq!(from_distances(&[8, 1, 1], &positions_ang), [(0, 1), (0, 2)]);
    }

    #[test]
    fn a_chain_is_one_piece_and_a_gap_is_found_at_its_narrowest() {
        let chain: Vec<[f64; 3]> = (0..20).map(|k| [1.5 * f64::from(k), 0.0, 0.0]).collect();
        assert_eq!(gap(&chain, 5.0), None);
        let mut broken = chain;
        for position_ang in &mut broken[12..] {
            position_ang[0] += 6.0;
        }
        assert_eq!(gap(&broken, 5.0), Some((11, 12, 7.5)));
    }
}
