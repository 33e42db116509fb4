//! Short-range repulsion under the learnt energy: ZBL, switched off inside the covalent distance.
//!
//! ```text
//! E = Σ_{i<j} s(r/r_s) · k z_i z_j/r · φ(r/a)       r_s = r_cov,i + r_cov,j
//! φ(x) = Σ_n c_n exp(−d_n x),   a = 0.88534 a₀/(z_i^0.23 + z_j^0.23)
//! ```
//!
//! Ziegler, Biersack and Littmark, The Stopping and Range of Ions in Solids (1985); s is that of
//! `switch`: the term is C2 and leaves ordinary bonds to the network. Nothing here is learnt: two atoms
//! pushed closer than any training frame still repel. All in f64; few pairs are this close.

use super::geometry::Geometry;
use super::real::Real;
use super::switch;
use crate::elements::Element;

/// k = e²/4πε₀ in eV Å and a₀ in Å, to the digits that the students are trained with.
const COULOMB_EV_ANG: f64 = 14.399_645;
pub(super) const BOHR_ANG: f64 = 0.529_177_211;
/// Amplitudes c and exponents d.
const TERMS: [(f64, f64); 4] = [
    (0.181_75, 3.199_80),
    (0.509_86, 0.942_29),
    (0.280_22, 0.402_90),
    (0.028_17, 0.201_62),
];

/// z and z^0.23: a table, so that no platform's pow decides about the last digit.
const POWERS: [(u8, f64); 9] = [
    (1, 1.0),
    (6, 1.509_992_490_933_056_7),
    (7, 1.564_489_127_006_723_4),
    (8, 1.613_283_518_444_252_7),
    (9, 1.657_584_882_266_793),
    (15, 1.864_236_426_094_205_7),
    (16, 1.892_115_293_451_191_8),
    (17, 1.918_683_107_361_833),
    (35, 2.265_351_770_958_606),
];

fn power(z: u8) -> f64 {
    let found = POWERS.iter().find(|(known, _)| *known == z);
    found.expect("the table has every element of a student").1
}

/// The switch distance in Å, k z z in eV Å and a in Å of two elements: what a GPU needs of them.
pub fn repulsion_constants(a: Element, b: Element) -> [f64; 3] {
    let pair = Pair::new(a, b);
    [pair.switch_ang, pair.charge_ev_ang, pair.screening_ang]
}

/// Constants of a pair of elements.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::struct_field_names, reason = "the units are part of the names")]
struct Pair {
    /// the covalent distance, where the switch reaches zero
    switch_ang: f64,
    /// k z z
    charge_ev_ang: f64,
    /// a
    screening_ang: f64,
}

impl Pair {
    fn new(a: Element, b: Element) -> Self {
        let [za, zb] = [a, b].map(|element| f64::from(element.number));
        Self {
            switch_ang: switch::distance_ang(a, b),
            charge_ev_ang: COULOMB_EV_ANG * za * zb,
            screening_ang: 0.885_34 * BOHR_ANG / (power(a.number) + power(b.number)),
        }
    }

    /// E and dE/dr.
    fn energy(&self, r: f64) -> (f64, f64) {
        let (rise, rise_slope) = switch::rise(r / self.switch_ang);
        let (s, ds) = (1.0 - rise, -rise_slope / self.switch_ang);
        let (mut phi, mut d_phi) = (0.0, 0.0);
        for (c, d) in TERMS {
            let d = d / self.screening_ang;
            let term = c * Real::exp(-d * r);
            phi += term;
            d_phi -= d * term;
        }
        let coulomb = self.charge_ev_ang / r;
        // Forward: E = s · coulomb · φ
        (
            s * coulomb * phi,
            coulomb * (ds * phi + s * (d_phi - phi / r)),
        )
    }
}

/// The repulsion between the elements of a student.
#[derive(Clone, Debug)]
pub struct Repulsion {
    /// (E, E)
    pairs: Vec<Pair>,
    elements: usize,
}

impl Repulsion {
    /// For a list of elements.
    pub fn new(elements: &[Element]) -> Self {
        let pairs = elements
            .iter()
            .flat_map(|a| elements.iter().map(|b| Pair::new(*a, *b)));
        Self {
            pairs: pairs.collect(),
            elements: elements.len(),
        }
    }

    /// The energy in eV; adds its forces.
    pub fn add<T: Real>(&self, geometry: &Geometry<T>, forces_ev_per_ang: &mut [[f64; 3]]) -> f64 {
        let mut energy_ev = 0.0;
        for (p, atoms) in geometry.pairs.iter().enumerate() {
            let [zi, zj] = atoms.map(|atom| usize::from(geometry.species[atom as usize]));
            let pair = &self.pairs[zi * self.elements + zj];
            let r = geometry.distances_ang[p];
            if r < pair.switch_ang {
                let (e, dr) = pair.energy(r);
                energy_ev += e;
                geometry.pair_force(p, dr, forces_ev_per_ang);
            }
        }
        energy_ev
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elements::element_of;

    fn pair(z: [u8; 2]) -> Pair {
        let [a, b] = z.map(|z| element_of(z).unwrap());
        Pair::new(a, b)
    }

    #[test]
    fn the_table_of_powers_is_right_and_complete() {
        for element in crate::elements::ELEMENTS {
            let expected = f64::from(element.number).powf(0.23);
            assert!((power(element.number) - expected).abs() < 1e-15 * expected);
        }
    }

    #[test]
    fn it_falls_monotonically_and_its_slope_is_right() {
        for z in [[1, 1], [1, 6], [6, 6], [8, 35], [35, 35]] {
            let pair = pair(z);
            let mut before = f64::INFINITY;
            for n in 1..1000 {
                let r = pair.switch_ang * f64::from(n) / 1000.0;
                let (energy, slope) = pair.energy(r);
                assert!(
                    energy < before && energy > 0.0 && slope < 0.0,
                    "{z:?} at {r}"
                );
                // A relative step of 1e-5 leaves 1e-10 of the scale of E/r times some tens.
                let h = 1e-5 * r;
                let difference = (pair.energy(r + h).0 - pair.energy(r - h).0) / (2.0 * h);
                let bound = 1e-8 * pair.charge_ev_ang / (r * r);
                assert!(
                    (difference - slope).abs() < bound,
                    "{z:?} at {r}: {difference} {slope}"
                );
                before = energy;
            }
        }
    }

    #[test]
    fn energy_and_two_derivatives_vanish_at_the_covalent_distance() {
        let pair = pair([6, 8]);
        for gap in [1e-2, 1e-3, 1e-4] {
            let (energy, slope) = pair.energy(pair.switch_ang * (1.0 - gap));
            // s ~ 10 (1 − x)³ and s' ~ 30 (1 − x)²/r_s, times φ k z z/r < 20 eV.
            assert!(energy < 200.0 * gap.powi(3));
            assert!(slope.abs() < 600.0 * gap.powi(2));
        }
    }

    #[test]
    fn two_protons_close_together_feel_the_bare_charges() {
        let (energy, _) = pair([1, 1]).energy(1e-4);
        assert!((energy / (COULOMB_EV_ANG / 1e-4) - 1.0).abs() < 1e-3);
    }
}
