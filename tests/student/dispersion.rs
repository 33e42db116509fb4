//! What a student with dispersion says of atoms beyond its cut-off.

use mdrun::elements::ELEMENTS;
use mdrun::student::{Architecture, Network, Student, dispersion_constants};

use super::{evaluate, network};
use crate::molecules::{Molecule, full, norm, random, small};

fn far() -> Architecture {
    Architecture {
        dispersion: true,
        ..small()
    }
}

/// Two clouds, their origins so far from each other along a direction without symmetry.
fn two(distance_ang: f64) -> [Molecule; 3] {
    let (a, mut b) = (random(9, 1), random(12, 2));
    for x in &mut b.positions_ang {
        for (x, u) in x.iter_mut().zip([0.36, 0.48, 0.8]) {
            *x += distance_ang * u;
        }
    }
    let both = Molecule {
        species: [&a.species[..], &b.species].concat(),
        positions_ang: [&a.positions_ang[..], &b.positions_ang].concat(),
    };
    [a, b, both]
}

/// All that is left of two molecules far apart is −Σ C6/r⁶: what is missing in it are Q/r² of
/// r⁻⁸ and (R/r)⁶ of the damping, less than 10 Å²/r² for any two elements.
#[test]
fn distant_molecules_attract_each_other_by_the_inverse_sixth_power() {
    let network = network::<f64>(&far(), 1);
    for distance_ang in [40.0, 80.0] {
        let molecules = two(distance_ang);
        let [a, b, both] = molecules.each_ref().map(|m| evaluate(&network, m));
        let (mut expected, mut pull) = (0.0, [0.0; 3]);
        for (i, x) in molecules[0].positions_ang.iter().enumerate() {
            for (j, y) in molecules[1].positions_ang.iter().enumerate() {
                let [zi, zj] = [molecules[0].species[i], molecules[1].species[j]];
                let [zi, zj] = [zi, zj].map(|z| ELEMENTS[usize::from(z)]);
                let [c6, _, _] = dispersion_constants(zi, zj);
                let d = [0, 1, 2].map(|n| y[n] - x[n]);
                let r2: f64 = d.iter().map(|d| d * d).sum();
                expected -= c6 / r2.powi(3);
                for (pull, d) in pull.iter_mut().zip(d) {
                    *pull += 6.0 * c6 / r2.powi(4) * d;
                }
            }
        }
        // The nearest atoms are up to 8 Å closer than the origins.
        let missing = 10.0 / (distance_ang - 8.0).powi(2);
        let rounding = 1e-13 * (a.0.abs() + b.0.abs() + norm(&both.1));
        let between = both.0 - a.0 - b.0;
        assert!(
            (between - expected).abs() < missing * expected.abs() + rounding,
            "{between:e} instead of {expected:e} at {distance_ang} Å"
        );
        assert!(100.0 * rounding < expected.abs(), "nothing would be seen");
        // The first is pulled towards the second, by 6/r times the energy.
        let of_first = |forces: &[[f64; 3]]| -> [f64; 3] {
            [0, 1, 2].map(|n| forces[..9].iter().map(|f| f[n]).sum())
        };
        let (found, alone) = (of_first(&both.1), of_first(&a.1));
        let difference = [0, 1, 2].map(|n| found[n] - alone[n] - pull[n]);
        // One more power of 1/r: the derivative of Q/r⁸ has 8 for 6.
        assert!(norm(&[difference]) < 2.0 * missing * norm(&[pull]) + rounding);
    }
}

#[test]
fn molecules_within_four_fifths_of_the_cutoff_keep_their_bits() {
    let [plain, with] = [small(), far()].map(|a| network::<f32>(&a, 4));
    let mut molecule = random(12, 4);
    for x in molecule.positions_ang.as_flattened_mut() {
        // Inside a sphere of 2 Å.
        *x = x.clamp(-1.15, 1.15);
    }
    assert_eq!(evaluate(&plain, &molecule), evaluate(&with, &molecule));
    molecule.positions_ang[3] = [0.0, 0.0, 5.5];
    assert_ne!(evaluate(&plain, &molecule), evaluate(&with, &molecule));
}

#[test]
fn its_energy_is_smooth_from_where_it_begins_to_beyond_the_cutoff() {
    let student = |dispersion| {
        let architecture = Architecture {
            dispersion,
            ..small()
        };
        Network::<f64>::new(&Student::random(&architecture, 2))
    };
    let (plain, with) = (student(false), student(true));
    // Two carbons: what dispersion adds to the force on the second.
    let at = |r: f64| {
        let molecule = Molecule {
            species: vec![1, 1],
            positions_ang: vec![[0.0; 3], [0.6 * r, 0.0, 0.8 * r]],
        };
        let of = |network| {
            let (_, forces) = evaluate(network, &molecule);
            0.6 * forces[1][0] + 0.8 * forces[1][2]
        };
        of(&with) - of(&plain)
    };
    // Where its slope had a jump s the second difference would be s h there. Where it has none it is
    // at most h² times the largest E''', which is t''' p = 60/Å³ · 3.0 meV at 4 Å.
    let h = 1e-3;
    for n in 0..1500 {
        let r = 3.8 + h * f64::from(n);
        let bend = at(r + h) - 2.0 * at(r) + at(r - h);
        assert!(bend.abs() < 0.19 * h * h, "{bend} at {r}");
    }
}

#[test]
fn forces_between_molecules_add_up_to_zero() {
    let architecture = Architecture {
        dispersion: true,
        ..full()
    };
    let network = network::<f64>(&architecture, 8);
    for distance_ang in [6.0, 12.0, 30.0] {
        let [.., both] = two(distance_ang);
        let (_, forces) = evaluate(&network, &both);
        let total: [f64; 3] = [0, 1, 2].map(|axis| forces.iter().map(|f| f[axis]).sum());
        assert!(norm(&[total]) < 1e-12 * norm(&forces));
    }
}
