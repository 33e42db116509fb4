//! Replicas shared out over tiles: the rows that one block steps by itself.

use super::abi::TILE_ROWS;

/// Which replicas are in which tile.
#[derive(Clone, Debug, PartialEq)]
pub struct Tiling {
    /// Which of [`TILE_ROWS`] a tile has.
    pub kind: usize,
    /// Replicas of each tile.
    pub members: Vec<Vec<usize>>,
}

/// What a step of a tile costs beside one of 16 rows, for each of [`TILE_ROWS`]: 142, 224 and 528 µs
/// for one, two and five benzenes on an NVIDIA H200. That of 48 rows is not measured: the mean of its
/// neighbours.
const COST: [f64; 4] = [1.0, 1.6, 2.65, 3.7];

/// What tiles that share a multiprocessor cost beside one of them: each waits mostly for memory and
/// barriers, while the other may go on. Not measured either.
const SHARED_COST: f64 = 1.3;

impl Tiling {
    /// The tiling that a GPU with so many multiprocessors steps soonest, out of tiles of at most
    /// `rows_max` rows; none when a replica is too large for all of them. A multiprocessor steps
    /// `at_once` tiles of each kind.
    pub fn best(
        atoms: &[usize],
        multiprocessors: usize,
        at_once: &[usize; TILE_ROWS.len()],
        rows_max: usize,
    ) -> Option<Self> {
        let largest = atoms.iter().copied().max()?;
        let kinds = 0..TILE_ROWS.len();
        let fitting = kinds.filter(|kind| (largest..=rows_max).contains(&TILE_ROWS[*kind]));
        let tilings = fitting.map(|kind| {
            let members = pack(atoms, TILE_ROWS[kind]);
            let rounds = members.len().div_ceil(multiprocessors * at_once[kind]);
            let alone = at_once[kind] == 1 || members.len() <= multiprocessors;
            let cost = COST[kind] * if alone { 1.0 } else { SHARED_COST };
            (rounds as f64 * cost, Self { kind, members })
        });
        tilings
            .min_by(|(a, _), (b, _)| a.total_cmp(b))
            .map(|(_, tiling)| tiling)
    }

    /// Rows of a tile.
    pub fn rows(&self) -> usize {
        TILE_ROWS[self.kind]
    }

    /// The part of all tiles' rows that no atom has.
    pub fn padding(&self, atoms: &[usize]) -> f64 {
        let used: usize = atoms.iter().sum();
        1.0 - used as f64 / (self.members.len() * self.rows()) as f64
    }
}

/// Best fit, larger replicas first: each goes where it leaves the fewest rows free.
fn pack(atoms: &[usize], rows: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..atoms.len()).collect();
    order.sort_by_key(|n| std::cmp::Reverse(atoms[*n]));
    let mut members: Vec<Vec<usize>> = Vec::new();
    // Tiles by how many rows they have free.
    let mut free: Vec<Vec<usize>> = vec![Vec::new(); rows + 1];
    for n in order {
        let size = atoms[n];
        let found = (size..=rows).find_map(|rows_free| Some((rows_free, free[rows_free].pop()?)));
        let (rows_free, tile) = found.unwrap_or_else(|| {
            members.push(Vec::new());
            (rows, members.len() - 1)
        });
        members[tile].push(n);
        free[rows_free - size].push(tile);
    }
    members
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_replica_is_in_one_tile_and_no_tile_is_too_full() {
        let atoms: Vec<usize> = (0..500).map(|n| 1 + n * 37 % 64).collect();
        let tiling = Tiling::best(&atoms, 132, &[1; 4], 64).unwrap();
        let mut seen: Vec<usize> = tiling.members.concat();
        seen.sort_unstable();
        assert!(seen.into_iter().eq(0..500));
        for members in &tiling.members {
            assert!(members.iter().map(|n| atoms[*n]).sum::<usize>() <= tiling.rows());
        }
        assert!(tiling.padding(&atoms) < 0.02);
    }

    #[test]
    fn few_replicas_spread_and_many_share() {
        assert_eq!(
            Tiling::best(&[12; 5], 132, &[1; 4], 64)
                .unwrap()
                .members
                .len(),
            5
        );
        let atoms = vec![12; 10_000];
        let many = Tiling::best(&atoms, 132, &[1; 4], 64).unwrap();
        assert_eq!((many.rows(), many.members.len()), (48, 2500));
        // Two tiles of 48 rows at once have eight benzenes.
        let two = Tiling::best(&atoms, 132, &[1, 2, 2, 1], 64).unwrap();
        assert_eq!((two.rows(), two.members.len()), (48, 2500));
        // A GPU with less shared memory has small tiles only.
        assert_eq!(Tiling::best(&atoms, 132, &[1; 4], 16).unwrap().rows(), 16);
        assert_eq!(Tiling::best(&[65], 132, &[1; 4], 64), None);
        assert_eq!(Tiling::best(&[], 132, &[1; 4], 64), None);
    }
}
