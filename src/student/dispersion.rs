//! Dispersion between atoms that the network does not see: D3 with the damping of Becke and Johnson
//! (10.1002/jcc.21759), switched on where the cut-off `r_c` ends what is learnt.
//!
//! ```text
//! E = Σ_{i<j} t(r) p(r)        t = x³ (10 − 15x + 6x²),   x = 5 r/r_c − 4 between 0 and 1
//! p = −C6 (1/(r⁶ + R⁶) + Q/(r⁸ + R⁸))
//! C6 = c_i c_j     Q = s8 · 3 ρ_i ρ_j     R = a1 √(3 ρ_i ρ_j) + a2
//! ```
//!
//! The sum goes over all pairs of a molecule. t is 0 up to 4/5 of the cut-off and 1 from it on, with
//! two vanishing derivatives at both ends (`switch`): E is C2, and nothing of it reaches the pairs that
//! the network knows best. a1, a2 and s8 are the teacher's, of wB97M-D3; ρ is the published
//! √(⟨r⁴⟩/⟨r²⟩) of an element. C6 of D3 depend on how an atom is bound; here one c stands for an
//! element, whose square is the mean of the teacher's pairs 5 Å and more apart. Nothing is learnt: a
//! file only says that its network was trained with this term. All in f64.

use super::repulsion::BOHR_ANG;
use super::switch;
use crate::elements::Element;

/// One hartree in eV, to the digits that the students are trained with.
const HARTREE_EV: f64 = 27.211_386;
/// a1, a2 in bohr and s8 of wB97M-D3(BJ); s6 is 1.
const A1: f64 = 0.566;
const A2_BOHR: f64 = 3.128;
const S8: f64 = 0.3908;
/// Where the term begins, in cut-offs.
const START: f64 = 0.8;

/// z, then c = √C6 and ρ in atomic units.
const ATOMS: [(u8, f64, f64); 9] = [
    (1, 1.76, 2.007_35),
    (6, 4.69, 3.104_93),
    (7, 4.16, 2.711_75),
    (8, 3.39, 2.593_62),
    (9, 2.67, 2.388_25),
    (15, 12.32, 4.297_28),
    (16, 11.26, 4.041_09),
    (17, 9.51, 3.729_32),
    (35, 13.01, 4.590_90),
];

fn atom(element: Element) -> (f64, f64) {
    let found = ATOMS.iter().find(|(known, ..)| *known == element.number);
    let (_, c, rho) = found.expect("the table has every element of a student");
    (*c, *rho)
}

/// C6 in eV Å⁶, Q in Å² and R in Å of two elements.
pub fn dispersion_constants(a: Element, b: Element) -> [f64; 3] {
    let ((c_a, rho_a), (c_b, rho_b)) = (atom(a), atom(b));
    let ratio = 3.0 * (rho_a * rho_b);
    let square = BOHR_ANG * BOHR_ANG;
    [
        HARTREE_EV * (square * square * square) * (c_a * c_b),
        S8 * ratio * square,
        BOHR_ANG * (A1 * ratio.sqrt() + A2_BOHR),
    ]
}

/// Constants of a pair of elements.
#[derive(Clone, Copy, Debug)]
struct Pair {
    /// C6, eV Å⁶
    c6: f64,
    /// Q, Å²
    ratio: f64,
    /// R⁶ and R⁸
    r6_ang: f64,
    r8_ang: f64,
}

impl Pair {
    fn new(a: Element, b: Element) -> Self {
        let [c6, ratio, radius_ang] = dispersion_constants(a, b);
        let r2 = radius_ang * radius_ang;
        Self {
            c6,
            ratio,
            r6_ang: r2 * r2 * r2,
            r8_ang: (r2 * r2) * (r2 * r2),
        }
    }

    /// p and (dp/dr)/r at r², before the switch.
    fn energy(&self, r2: f64) -> (f64, f64) {
        let r4 = r2 * r2;
        let sixth = 1.0 / (r4 * r2 + self.r6_ang);
        let eighth = 1.0 / (r4 * r4 + self.r8_ang);
        let (six, eight) = (sixth, self.ratio * eighth);
        // Forward: p = −C6 (1/(r⁶ + R⁶) + Q/(r⁸ + R⁸))
        (
            -self.c6 * (six + eight),
            self.c6 * r4 * (6.0 * six * sixth + 8.0 * r2 * eight * eighth),
        )
    }
}

/// The dispersion between the elements of a student.
#[derive(Clone, Debug)]
pub struct Dispersion {
    /// (E, E)
    pairs: Vec<Pair>,
    elements: usize,
    cutoff_ang: f64,
}

impl Dispersion {
    /// For a list of elements, and the distance from which on a network does not see.
    pub fn new(elements: &[Element], cutoff_ang: f64) -> Self {
        let pairs = elements
            .iter()
            .flat_map(|a| elements.iter().map(|b| Pair::new(*a, *b)));
        Self {
            pairs: pairs.collect(),
            elements: elements.len(),
            cutoff_ang,
        }
    }

    /// The energy of a molecule in eV; adds its forces.
    ///
    /// `species` are indices into the list of elements; all slices are as long as the molecule.
    pub fn add(
        &self,
        species: &[u8],
        positions_ang: &[[f64; 3]],
        forces_ev_per_ang: &mut [[f64; 3]],
    ) -> f64 {
        let start_ang = START * self.cutoff_ang;
        let mut energy_ev = 0.0;
        for (i, x) in positions_ang.iter().enumerate() {
            let row = &self.pairs[usize::from(species[i]) * self.elements..][..self.elements];
            let mut force = [0.0; 3];
            for j in i + 1..positions_ang.len() {
                let y = positions_ang[j];
                let d = [y[0] - x[0], y[1] - x[1], y[2] - x[2]];
                let r2 = d[0] * d[0] + d[1] * d[1] + d[2] * d[2];
                // What is not a number is not dropped.
                if r2 <= start_ang * start_ang {
                    continue;
                }
                let (e, slope) = self.switched(row[usize::from(species[j])], r2);
                energy_ev += e;
                for axis in 0..3 {
                    // Forward: d = x_j − x_i, r = |d|; so ∇r = d/r
                    let dd = slope * d[axis];
                    force[axis] += dd;
                    forces_ev_per_ang[j][axis] -= dd;
                }
            }
            for (sum, force) in forces_ev_per_ang[i].iter_mut().zip(force) {
                *sum += force;
            }
        }
        energy_ev
    }

    /// E and (dE/dr)/r of a pair at r², beyond the start of the switch.
    fn switched(&self, pair: Pair, r2: f64) -> (f64, f64) {
        let (p, slope) = pair.energy(r2);
        if r2 >= self.cutoff_ang * self.cutoff_ang {
            return (p, slope);
        }
        let r = r2.sqrt();
        let per_ang = 1.0 / (self.cutoff_ang * (1.0 - START));
        let (t, t_slope) = switch::rise((r - START * self.cutoff_ang) * per_ang);
        // Forward: E = t p
        (t * p, t * slope + t_slope * per_ang * p / r)
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "exact results are meant")]
mod tests {
    use super::*;
    use crate::elements::{ELEMENTS, element_of};

    fn dispersion() -> Dispersion {
        Dispersion::new(&ELEMENTS, 5.0)
    }

    fn pair(z: [u8; 2]) -> Pair {
        let [a, b] = z.map(|z| element_of(z).unwrap());
        Pair::new(a, b)
    }

    /// Figures of the training code, distill/distill/dispersion.py, at 5 Å.
    #[test]
    fn the_energy_of_a_pair_is_that_of_the_training_code() {
        for (z, expected) in [
            ([1, 1], -0.000_121_836_085_770_966_61),
            ([1, 6], -0.000_328_338_855_566_276_37),
            ([6, 6], -0.000_883_616_011_370_102),
            ([8, 35], -0.001_774_482_463_895_644),
        ] {
            let (energy, _) = pair(z).energy(25.0);
            assert!(
                (energy / expected - 1.0).abs() < 1e-14,
                "{z:?}: {energy:e} instead of {expected:e}"
            );
        }
    }

    #[test]
    fn every_element_has_its_constants_and_pairs_are_symmetric() {
        for a in ELEMENTS {
            for b in ELEMENTS {
                let constants = dispersion_constants(a, b);
                assert_eq!(constants, dispersion_constants(b, a));
                assert!(constants.iter().all(|x| *x > 0.0 && x.is_finite()));
            }
        }
    }

    /// Where it begins and ends the switch leaves E, E' and E'' what they are on the other side.
    #[test]
    fn energy_and_two_derivatives_go_on_at_both_ends_of_the_switch() {
        let dispersion = dispersion();
        let pair = pair([6, 8]);
        // r E' is what is returned times r².
        let switched = |r: f64| {
            let (e, slope) = dispersion.switched(pair, r * r);
            (e, slope * r)
        };
        let bare = |r: f64| {
            let (e, slope) = pair.energy(r * r);
            (e, slope * r)
        };
        let size = bare(4.0).0.abs();
        for gap in [1e-2, 1e-3, 1e-4] {
            // t ~ 10 gap³ and t' ~ 30 gap² beside x = 0, and the same of 1 − t beside x = 1; the switch
            // is 1 Å wide, and p' < 2 p/Å.
            let (e, slope) = switched(4.0 + gap);
            assert!(e.abs() < 10.0 * gap.powi(3) * size);
            assert!(slope.abs() < (30.0 + 20.0 * gap) * gap.powi(2) * size);
            let ((e, slope), (p, bare_slope)) = (switched(5.0 - gap), bare(5.0 - gap));
            assert!((e - p).abs() < 10.0 * gap.powi(3) * size);
            assert!((slope - bare_slope).abs() < (30.0 + 20.0 * gap) * gap.powi(2) * size);
        }
        assert_eq!(switched(5.0), bare(5.0));
    }

    #[test]
    fn the_slope_of_every_pair_is_right() {
        let dispersion = dispersion();
        for pair in &dispersion.pairs {
            for n in 1..800 {
                let r = 4.0 + 0.01 * f64::from(n);
                let at = |r: f64| dispersion.switched(*pair, r * r);
                // Third derivatives are up to 60 p/Å³ in the switch; h² leaves 1e-9 of p, and
                // roundings 1e-16/h less.
                let h = 1e-5;
                let difference = (at(r + h).0 - at(r - h).0) / (2.0 * h);
                let slope = at(r).1 * r;
                let size = pair.energy(16.0).0.abs();
                assert!(
                    (difference - slope).abs() < 1e-8 * size,
                    "at {r}: {difference:e} {slope:e}"
                );
            }
        }
    }

    #[test]
    fn a_position_that_is_not_a_number_is_not_dropped() {
        let mut forces = [[0.0; 3]; 2];
        let positions = [[0.0; 3], [f64::NAN, 0.0, 0.0]];
        let energy_ev = dispersion().add(&[0, 1], &positions, &mut forces);
        assert!(energy_ev.is_nan());
        assert!(forces.iter().all(|force| force[0].is_nan()));
    }

    #[test]
    fn atoms_within_four_fifths_of_the_cutoff_feel_nothing() {
        let mut forces = [[0.0; 3]; 2];
        let positions = [[0.0; 3], [0.0, 4.0, 0.0]];
        assert_eq!(dispersion().add(&[1, 1], &positions, &mut forces), 0.0);
        assert_eq!(forces, [[0.0; 3]; 2]);
    }
}
