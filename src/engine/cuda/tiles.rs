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

/// What a step of a tile costs, for each of [`TILE_ROWS`], in units of one of 16 rows.
#[derive(Clone, Copy, Debug)]
pub struct Costs {
    /// Of a tile that has its multiprocessor for itself.
    alone: [f64; TILE_ROWS.len()],
    /// Two that share one take so many times as long.
    sharing: f64,
}

impl Costs {
    /// Those of kernels for so many channels: one, two, four and five benzenes on an NVIDIA H200 took
    /// 70, 135, 208 and 258 µs with 128 channels, 49, 108, 147 and 251 µs with 64, and 264 µs where two
    /// tiles of 48 rows share a multiprocessor.
    pub fn of_channels(channels: usize) -> Self {
        let alone = match channels {
            64 => [1.0, 2.2, 3.0, 5.1],
            _ => [1.0, 1.9, 3.0, 3.7],
        };
        Self {
            alone,
            sharing: 1.8,
        }
    }
}

impl Tiling {
    /// The tiling that a GPU with so many multiprocessors steps soonest, out of tiles of at most
    /// `rows_max` rows; none when a replica is too large for all of them. A multiprocessor steps
    /// `at_once` tiles of each kind.
    pub fn best(
        atoms: &[usize],
        multiprocessors: usize,
        at_once: &[usize; TILE_ROWS.len()],
        costs: &Costs,
        rows_max: usize,
    ) -> Option<Self> {
        let largest = atoms.iter().copied().max()?;
        let kinds = 0..TILE_ROWS.len();
        let fitting = kinds.filter(|kind| (largest..=rows_max).contains(&TILE_ROWS[*kind]));
        let tilings = fitting.map(|kind| {
            let members = pack(atoms, TILE_ROWS[kind]);
            let rounds = members.len().div_ceil(multiprocessors * at_once[kind]);
            let alone = at_once[kind] == 1 || members.len() <= multiprocessors;
            let cost = costs.alone[kind] * if alone { 1.0 } else { costs.sharing };
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

    fn best(atoms: &[usize], at_once: &[usize; 4], rows_max: usize) -> Option<Tiling> {
        Tiling::best(atoms, 132, at_once, &Costs::of_channels(128), rows_max)
    }

    #[test]
    fn every_replica_is_in_one_tile_and_no_tile_is_too_full() {
        let atoms: Vec<usize> = (0..500).map(|n| 1 + n * 37 % 64).collect();
        let tiling = best(&atoms, &[1; 4], 64).unwrap();
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
        assert_eq!(best(&[12; 5], &[1; 4], 64).unwrap().members.len(), 5);
        let atoms = vec![12; 10_000];
        let many = best(&atoms, &[1; 4], 64).unwrap();
        assert_eq!((many.rows(), many.members.len()), (48, 2500));
        // Two tiles of 48 rows at once have eight benzenes.
        let two = best(&atoms, &[1, 2, 2, 1], 64).unwrap();
        assert_eq!((two.rows(), two.members.len()), (48, 2500));
        // A GPU with less shared memory has small tiles only.
        assert_eq!(best(&atoms, &[1; 4], 16).unwrap().rows(), 16);
        assert_eq!(best(&[65], &[1; 4], 64), None);
        assert_eq!(best(&[], &[1; 4], 64), None);
    }
}
