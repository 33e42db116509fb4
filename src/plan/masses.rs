//! Masses of atoms, natural or with heavier hydrogens.

use crate::elements::{element_of, symbol};
use crate::error::{Error, Result};

const HYDROGEN: u8 = 1;

/// The standard atomic weights, u.
pub fn natural(numbers: &[u8]) -> Vec<f64> {
    // A plan's elements have passed the domain's check, so every one is known.
    numbers
        .iter()
        .map(|number| element_of(*number).map_or(0.0, |element| element.mass_amu))
        .collect()
}

/// Gives every hydrogen atom the mass `hydrogen_amu`, taken from the heavy atom it is bonded to.
///
/// The total stays, and with it the centre of mass; equilibrium averages of positions do not depend
/// on masses at all (`10.1002/(SICI)1096-987X(199906)20:8<786::AID-JCC5>3.0.CO;2-B`). A hydrogen atom
/// without a heavy neighbour keeps its mass.
pub fn repartition(
    numbers: &[u8],
    bonds: &[(u32, u32)],
    hydrogen_amu: f64,
    masses_amu: &mut [f64],
) -> Result<()> {
    let mut is_done = vec![false; numbers.len()];
    for (i, j) in bonds.iter().map(|(i, j)| (*i as usize, *j as usize)) {
        let (hydrogen, heavy) = match (numbers[i] == HYDROGEN, numbers[j] == HYDROGEN) {
            (true, false) => (i, j),
            (false, true) => (j, i),
            _ => continue,
        };
        if std::mem::replace(&mut is_done[hydrogen], true) {
            continue;
        }
        masses_amu[heavy] -= hydrogen_amu - masses_amu[hydrogen];
        masses_amu[hydrogen] = hydrogen_amu;
    }
    let lightest = (0..numbers.len())
        .find(|atom| numbers[*atom] != HYDROGEN && masses_amu[*atom] < hydrogen_amu);
    match lightest {
        None => Ok(()),
        Some(atom) => Err(Error::input(format!(
            "hydrogen_mass_amu = {hydrogen_amu} leaves {:.2} u to atom {} ({}), less than a hydrogen",
            masses_amu[atom],
            atom + 1,
            symbol(numbers[atom])
        ))
        .hint("3 suits most molecules; less where four hydrogen atoms share a neighbour")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_stays_and_hydrogens_are_heavier() {
        // Water and a molecule of hydrogen beside it.
        let numbers = [8, 1, 1, 1, 1];
        let bonds = [(0, 1), (0, 2), (3, 4)];
        let mut masses_amu = natural(&numbers);
        let total: f64 = masses_amu.iter().sum();
        repartition(&numbers, &bonds, 3.0, &mut masses_amu).unwrap();
        assert!((masses_amu.iter().sum::<f64>() - total).abs() < 1e-12);
        assert_eq!(masses_amu[1..], [3.0, 3.0, 1.008, 1.008]);
        assert!((masses_amu[0] - (15.999 - 2.0 * 1.992)).abs() < 1e-12);
    }

    #[test]
    fn no_atom_is_left_lighter_than_a_hydrogen() {
        let numbers = [6, 1, 1, 1, 1];
        let bonds = [(0, 1), (0, 2), (0, 3), (0, 4)];
        assert!(repartition(&numbers, &bonds, 3.0, &mut natural(&numbers)).is_ok());
        assert!(repartition(&numbers, &bonds, 4.0, &mut natural(&numbers)).is_err());
    }
}
