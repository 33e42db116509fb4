//! What f32 costs, against the same network in f64.

use super::{evaluate, network};
use crate::molecules::{full, norm, random};

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
