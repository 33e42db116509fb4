//! The covalent distance of two atoms, and the switch that ends there.
//!
//! ```text
//! s(x) = 1 − x³ (10 − 15x + 6x²),   x = r/r_s,   r_s = r_cov,i + r_cov,j
//! ```
//!
//! s falls from 1 where two atoms meet to 0 at their covalent distance, with two vanishing
//! derivatives at both ends: what is multiplied by s or by 1 − s stays C2. Covalent radii:
//! 10.1039/b801115j.

#![allow(
    clippy::inline_always,
    reason = "a call in place of an instruction would be the cost"
)]

use crate::elements::Element;

/// The covalent distance of two elements, Å.
pub fn distance_ang(a: Element, b: Element) -> f64 {
    a.covalent_radius_ang + b.covalent_radius_ang
}

/// 1 − s(x) and its derivative; 1 and 0 from x = 1 on.
#[inline(always)]
pub fn rise(x: f64) -> (f64, f64) {
    // Not `min`: what is not a number must stay so.
    let x = if x >= 1.0 { 1.0 } else { x };
    (
        x * x * x * (10.0 - 15.0 * x + 6.0 * x * x),
        30.0 * x * x * (1.0 - x) * (1.0 - x),
    )
}

/// The covalent distances of every two elements of a student.
#[derive(Clone, Debug)]
pub struct Distances {
    /// Å    (E, E)
    table_ang: Vec<f64>,
    elements: usize,
}

impl Distances {
    /// For a list of elements.
    pub fn new(elements: &[Element]) -> Self {
        let pairs = elements
            .iter()
            .flat_map(|a| elements.iter().map(|b| distance_ang(*a, *b)));
        Self {
            table_ang: pairs.collect(),
            elements: elements.len(),
        }
    }

    /// In Å, of two indices into that list.
    pub fn of(&self, a: u8, b: u8) -> f64 {
        self.table_ang[usize::from(a) * self.elements + usize::from(b)]
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "exact results are meant")]
mod tests {
    use super::*;

    #[test]
    fn it_rises_from_zero_to_exactly_one_and_stays() {
        assert_eq!(rise(0.0), (0.0, 0.0));
        for x in [1.0, 1.5, 1e9, f64::INFINITY] {
            assert_eq!(rise(x), (1.0, 0.0));
        }
        assert!(rise(f64::NAN).0.is_nan());
        let h = 1e-5;
        for n in 1..1000 {
            let x = f64::from(n) / 1000.0;
            let (value, slope) = rise(x);
            assert!(value > 0.0 && value < 1.0 && slope > 0.0, "at {x}");
            // h²/6 times a third derivative of up to 60, and roundings of 1e-16 over h.
            let difference = (rise(x + h).0 - rise(x - h).0) / (2.0 * h);
            assert!((difference - slope).abs() < 2e-9, "at {x}");
        }
    }
}
