//! What f32 costs, against the same network in f64; and that the bits stay what they are.

use super::{evaluate, network};
use crate::molecules::{Molecule, full, norm, random};
use mdrun::student::Architecture;
use mdrun::student::real::Real;

/// Median and maximum over random networks and molecules of |ΔF|/|F|.
#[test]
fn single_precision_forces_are_good_to_five_digits() {
    let mut errors = Vec::new();
    for seed in 0..8 {
        let (single, double) = (network::<f32>(&full(), seed), network::<f64>(&full(), seed));
        for atoms in [2, 5, 12, 21, 50] {
            let molecule = random(atoms, seed);
            let (_, exact) = evaluate(&double, &molecule);
            let (_, forces) = evaluate(&single, &molecule);
            let difference: Vec<_> = forces
                .iter()
                .zip(&exact)
                .map(|(a, b)| [0, 1, 2].map(|n| a[n] - b[n]))
                .collect();
            errors.push(norm(&difference) / norm(&exact));
        }
    }
    errors.sort_by(f64::total_cmp);
    let (median, worst) = (errors[errors.len() / 2], errors[errors.len() - 1]);
    assert!(
        median < 1e-5 && worst < 1e-3,
        "median {median:e}, worst {worst:e}"
    );
}

/// A helix through all elements: no random numbers, no library functions.
fn helix() -> Molecule {
    let turn = [
        (1.5, 0.0),
        (0.5, 1.4),
        (-1.2, 0.9),
        (-1.2, -0.9),
        (0.5, -1.4),
    ];
    let positions_ang = (0..18).map(|n| {
        let (x, y) = turn[n % 5];
        [x, y, 0.75 * n as f64]
    });
    Molecule {
        species: (0..18).map(|n| n % 9).collect(),
        positions_ang: positions_ang.collect(),
    }
}

/// The energy and all forces in one number (FNV-1a over their bits).
fn fingerprint<T: Real>(architecture: &Architecture) -> u64 {
    let (energy, forces) = evaluate(&network::<T>(architecture, 1), &helix());
    let numbers = forces.into_iter().flatten().chain([energy]);
    numbers.fold(0xcbf2_9ce4_8422_2325, |hash, x| {
        (hash ^ x.to_bits()).wrapping_mul(0x0100_0000_01b3)
    })
}

/// The same on every CPU, with every compiler and at every level of optimisation.
#[test]
fn value_stability() {
    let of = |core, dispersion| {
        let architecture = Architecture {
            core,
            dispersion,
            ..full()
        };
        (
            fingerprint::<f32>(&architecture),
            fingerprint::<f64>(&architecture),
        )
    };
    assert_eq!(
        of(false, false),
        (5_532_674_197_659_493_021, 8_596_586_231_012_833_692)
    );
    assert_eq!(
        of(true, false),
        (9_998_056_915_694_321_953, 8_689_198_707_684_885_682)
    );
    assert_eq!(
        of(true, true),
        (16_565_992_566_439_442_133, 9_827_325_974_109_178_022)
    );
}
