//! The periodic table, as far as this program needs it.

/// Element symbols by atomic number; index 0 is a placeholder.
pub const SYMBOLS: [&str; 119] = [
    "X", "H", "He", "Li", "Be", "B", "C", "N", "O", "F", "Ne", "Na", "Mg", "Al", "Si", "P", "S",
    "Cl", "Ar", "K", "Ca", "Sc", "Ti", "V", "Cr", "Mn", "Fe", "Co", "Ni", "Cu", "Zn", "Ga", "Ge",
    "As", "Se", "Br", "Kr", "Rb", "Sr", "Y", "Zr", "Nb", "Mo", "Tc", "Ru", "Rh", "Pd", "Ag", "Cd",
    "In", "Sn", "Sb", "Te", "I", "Xe", "Cs", "Ba", "La", "Ce", "Pr", "Nd", "Pm", "Sm", "Eu", "Gd",
    "Tb", "Dy", "Ho", "Er", "Tm", "Yb", "Lu", "Hf", "Ta", "W", "Re", "Os", "Ir", "Pt", "Au", "Hg",
    "Tl", "Pb", "Bi", "Po", "At", "Rn", "Fr", "Ra", "Ac", "Th", "Pa", "U", "Np", "Pu", "Am", "Cm",
    "Bk", "Cf", "Es", "Fm", "Md", "No", "Lr", "Rf", "Db", "Sg", "Bh", "Hs", "Mt", "Ds", "Rg", "Cn",
    "Nh", "Fl", "Mc", "Lv", "Ts", "Og",
];

/// What dynamics needs to know of an element.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Element {
    /// Atomic number.
    pub number: u8,
    /// Standard atomic weight in u (IUPAC 2021, abridged; 10.1515/pac-2019-0603).
    pub mass_amu: f64,
    /// Covalent radius in Å (10.1039/b801115j).
    pub covalent_radius_ang: f64,
}

const fn element(number: u8, mass_amu: f64, covalent_radius_ang: f64) -> Element {
    Element {
        number,
        mass_amu,
        covalent_radius_ang,
    }
}

/// The elements a student of this project can be trained on.
pub const ELEMENTS: [Element; 9] = [
    element(1, 1.008, 0.31),
    element(6, 12.011, 0.76),
    element(7, 14.007, 0.71),
    element(8, 15.999, 0.66),
    element(9, 18.998, 0.57),
    element(15, 30.974, 1.07),
    element(16, 32.06, 1.05),
    element(17, 35.45, 1.02),
    element(35, 79.904, 1.20),
];

/// The symbol of an atomic number, `X` where there is none.
pub fn symbol(number: u8) -> &'static str {
    SYMBOLS.get(usize::from(number)).copied().unwrap_or("X")
}

/// The atomic number of a symbol, whatever its case; isotope names D and T are hydrogen.
pub fn number(symbol: &str) -> Option<u8> {
    if symbol.eq_ignore_ascii_case("D") || symbol.eq_ignore_ascii_case("T") {
        return Some(1);
    }
    let found = SYMBOLS
        .iter()
        .skip(1)
        .position(|known| known.eq_ignore_ascii_case(symbol))?;
    Some(found as u8 + 1)
}

/// Mass and radius, for the elements of [`ELEMENTS`].
pub fn element_of(number: u8) -> Option<Element> {
    ELEMENTS
        .iter()
        .copied()
        .find(|element| element.number == number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_and_numbers_are_inverse() {
        for z in 1..=118 {
            assert_eq!(number(symbol(z)), Some(z));
        }
        assert_eq!((symbol(79), symbol(35), symbol(118)), ("Au", "Br", "Og"));
        assert_eq!(number("CL"), Some(17));
        assert_eq!(number("Xx"), None);
    }
}
