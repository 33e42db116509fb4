//! Where the student may be trusted, looked at in every step.
//!
//! A student knows no geometry with atoms on top of each other, and it sees nothing beyond its
//! cut-off: a molecule whose pieces are farther apart than that is no longer one system.

use crate::replica::Fault;

/// No pair of atoms in the training data is closer than this, Å.
pub const CLOSEST_ANG: f64 = 0.5;

/// Looks for a fault in a geometry; `pieces` is scratch for N numbers.
///
/// Atoms are joined into pieces by every pair within `cutoff_ang` (union–find with path halving).
pub fn inspect(positions_ang: &[[f64; 3]], cutoff_ang: f64, pieces: &mut [u32]) -> Option<Fault> {
    let n = positions_ang.len();
    if positions_ang.iter().flatten().any(|x| !x.is_finite()) {
        return Some(Fault::NotFinite);
    }
    for (i, piece) in pieces.iter_mut().enumerate() {
        *piece = i as u32;
    }
    for j in 1..n {
        for i in 0..j {
            let (a, b) = (positions_ang[i], positions_ang[j]);
            let d = [a[0] - b[0], a[1] - b[1], a[2] - b[2]];
            let r2 = d[0] * d[0] + d[1] * d[1] + d[2] * d[2];
            if r2 < CLOSEST_ANG * CLOSEST_ANG {
                return Some(Fault::TooClose(i as u32, j as u32, r2.sqrt()));
            }
            if r2 < cutoff_ang * cutoff_ang {
                let (a, b) = (root(pieces, i as u32), root(pieces, j as u32));
                pieces[a.max(b) as usize] = a.min(b);
            }
        }
    }
    let stray = (1..n as u32).find(|&i| root(pieces, i) != 0)?;
    Some(Fault::BrokeApart(0, stray))
}

fn root(pieces: &mut [u32], mut i: u32) -> u32 {
    while pieces[i as usize] != i {
        pieces[i as usize] = pieces[pieces[i as usize] as usize];
        i = pieces[i as usize];
    }
    i
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(gaps_ang: &[f64]) -> Vec<[f64; 3]> {
        let ends = gaps_ang.iter().scan(0.0, |x, gap| {
            *x += gap;
            Some([*x, 0.0, 0.0])
        });
        std::iter::once([0.0; 3]).chain(ends).collect()
    }

    #[test]
    fn finds_overlaps_pieces_and_infinities() {
        let look = |positions: &[[f64; 3]]| inspect(positions, 5.0, &mut vec![0; positions.len()]);
        assert_eq!(look(&chain(&[4.9; 90])), None);
        assert_eq!(look(&chain(&[])), None);
        assert_eq!(
            look(&chain(&[1.0, 5.1, 1.0])),
            Some(Fault::BrokeApart(0, 2))
        );
        assert!(matches!(
            look(&chain(&[1.0, 0.4])),
            Some(Fault::TooClose(1, 2, _))
        ));
        assert_eq!(
            look(&[[0.0; 3], [f64::NAN, 0.0, 0.0]]),
            Some(Fault::NotFinite)
        );
        assert_eq!(look(&[[f64::INFINITY, 0.0, 0.0]]), Some(Fault::NotFinite));
    }
}
