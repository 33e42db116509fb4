//! The molecule beside its trajectories, as PDB: elements, names, bonds and the first start.
//!
//! One residue of hetero atoms, bonds as CONECT. It carries no coordinates worth having (three
//! decimals); those are in the trajectories.

use std::fmt::Write;

use crate::elements;
use crate::system::Molecule;

/// CONECT has room for four bonds on a line.
const BONDS_A_LINE: usize = 4;

/// The PDB file of a molecule.
pub fn pdb(molecule: &Molecule) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(text, "TITLE     {}", molecule.name);
    let start_ang = molecule.starts_ang.first().map_or(&[][..], Vec::as_slice);
    let origin_ang = molecule.centre_of_mass_ang(start_ang);
    let mut counts = [0_usize; 256];
    for (index, (&number, position)) in molecule.numbers.iter().zip(start_ang).enumerate() {
        counts[usize::from(number)] += 1;
        let symbol = elements::symbol(number);
        let name = atom_name(symbol, counts[usize::from(number)]);
        let [x, y, z] = [0, 1, 2].map(|axis| position[axis] - origin_ang[axis]);
        let _ = writeln!(
            text,
            "HETATM{:>5} {name} MOL A   1    {x:8.3}{y:8.3}{z:8.3}  1.00  0.00          {:>2}",
            index + 1,
            symbol.to_uppercase(),
        );
    }
    for (index, partners) in partners(molecule).iter().enumerate() {
        for line in partners.chunks(BONDS_A_LINE) {
            let _ = write!(text, "CONECT{:>5}", index + 1);
            for partner in line {
                let _ = write!(text, "{:>5}", partner + 1);
            }
            text.push('\n');
        }
    }
    text.push_str("END\n");
    text
}

/// The four columns of an atom's name: the element's symbol ends in the second.
fn atom_name(symbol: &str, count: usize) -> String {
    let indent = if symbol.len() == 1 { " " } else { "" };
    let name = format!("{indent}{}{count}", symbol.to_uppercase());
    if name.len() <= 4 {
        return format!("{name:<4}");
    }
    // From the hundredth on there is no room for the indent, or for all digits.
    name.trim_start().chars().take(4).collect()
}

/// The atoms each atom is bound to.
fn partners(molecule: &Molecule) -> Vec<Vec<u32>> {
    let mut partners = vec![Vec::new(); molecule.len()];
    for &(i, j) in &molecule.bonds {
        partners[i as usize].push(j);
        partners[j as usize].push(i);
    }
    for list in &mut partners {
        list.sort_unstable();
    }
    partners
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_where_the_format_has_them() {
        let molecule = Molecule {
            name: "chloromethane".to_owned(),
            numbers: vec![6, 17, 1, 1, 1],
            masses_amu: vec![1.0; 5],
            starts_ang: vec![vec![
                [-1.0, 0.0, 0.0],
                [1.0, 0.0, 0.0],
                [0.0, 1.0, 0.0],
                [0.0, -1.0, 0.0],
                [0.0, 0.0, 0.0],
            ]],
            bonds: vec![(0, 1), (0, 2), (0, 3), (0, 4)],
        };
        let text = pdb(&molecule);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(
            lines[2],
            "HETATM    2 CL1  MOL A   1       1.000   0.000   0.000  1.00  0.00          CL"
        );
        assert_eq!(&lines[1][12..16], " C1 ");
        assert_eq!(lines[6], "CONECT    1    2    3    4    5");
        assert_eq!(lines[7], "CONECT    2    1");
        assert_eq!(lines.last(), Some(&"END"));
    }

    #[test]
    fn names_stay_in_their_four_columns() {
        for (symbol, count, name) in [
            ("H", 7, " H7 "),
            ("H", 12, " H12"),
            ("H", 112, "H112"),
            ("Cl", 3, "CL3 "),
            ("Cl", 123, "CL12"),
        ] {
            assert_eq!(atom_name(symbol, count), name);
        }
    }
}
