//! Replicas shared out over tiles: the rows that one block, or one cluster of blocks, steps by itself.

use super::tile_kinds::Kind;

/// Which replicas are in which tile.
#[derive(Clone, Debug, PartialEq)]
pub struct Tiling {
    /// Which kind of tile.
    pub kind: usize,
    /// Replicas of each tile.
    pub members: Vec<Vec<usize>>,
}

impl Tiling {
    /// The tiling that a GPU with these kinds of tiles steps soonest; none when a replica is too large for
    /// all of them.
    pub fn best(atoms: &[usize], kinds: &[Kind]) -> Option<Self> {
        let largest = atoms.iter().copied().max()?;
        let fitting = kinds
            .iter()
            .enumerate()
            .filter(|(_, kind)| kind.rows >= largest);
        let tilings = fitting.map(|(kind, of)| {
            let members = pack(atoms, of.rows);
            (of.cost_of(members.len()), Self { kind, members })
        });
        tilings
            .min_by(|(a, _), (b, _)| a.total_cmp(b))
            .map(|(_, tiling)| tiling)
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

    /// A GPU with 132 multiprocessors that take so many tiles of each number of rows at once, and with room for
    /// so many clusters.
    fn kinds(rows_and_room: &[(usize, usize)], clusters: usize) -> Vec<Kind> {
        let kind = |rows, blocks, at_once, alone, cost| Kind {
            rows,
            blocks,
            at_once,
            alone,
            cost,
            shared_bytes: 0,
            scratch_bytes: 0,
        };
        let cost = |rows| match rows {
            16 => 1.0,
            32 => 1.8,
            48 => 2.95,
            64 => 3.6,
            _ => 9.0,
        };
        let by_blocks = rows_and_room
            .iter()
            .map(|&(rows, room)| kind(rows, 1, 132 * room, 132, cost(rows)));
        let by_clusters = (clusters > 0).then(|| kind(16, 8, clusters, clusters, 0.65));
        by_blocks.chain(by_clusters).collect()
    }

    const ALL: [(usize, usize); 5] = [(16, 1), (32, 1), (48, 1), (64, 1), (128, 1)];

    #[test]
    fn every_replica_is_in_one_tile_and_no_tile_is_too_full() {
        let atoms: Vec<usize> = (0..500).map(|n| 1 + n * 37 % 64).collect();
        let kinds = kinds(&ALL, 15);
        let tiling = Tiling::best(&atoms, &kinds).unwrap();
        let mut seen: Vec<usize> = tiling.members.concat();
        seen.sort_unstable();
        assert!(seen.into_iter().eq(0..500));
        let rows = kinds[tiling.kind].rows;
        for members in &tiling.members {
            assert!(members.iter().map(|n| atoms[*n]).sum::<usize>() <= rows);
        }
        let used: usize = atoms.iter().sum();
        assert!(used as f64 > 0.98 * (tiling.members.len() * rows) as f64);
    }

    #[test]
    fn few_replicas_spread_and_many_share() {
        let best = |atoms: &[usize], kinds: &[Kind]| {
            let tiling = Tiling::best(atoms, kinds)?;
            let kind = kinds[tiling.kind];
            Some((kind.rows, kind.blocks, tiling.members.len()))
        };
        let all = kinds(&ALL, 15);
        assert_eq!(best(&[12; 5], &kinds(&ALL, 0)), Some((16, 1, 5)));
        // A cluster each as long as there is room for them.
        assert_eq!(best(&[12; 15], &all), Some((16, 8, 15)));
        assert_eq!(best(&[12; 16], &all), Some((16, 1, 16)));
        assert_eq!(best(&[17], &all), Some((32, 1, 1)));
        let atoms = vec![12; 10_000];
        assert_eq!(best(&atoms, &all), Some((48, 1, 2500)));
        // Two tiles of 48 rows at once have eight benzenes.
        let two = kinds(&[(16, 1), (32, 2), (48, 2), (64, 1)], 0);
        assert_eq!(best(&atoms, &two), Some((48, 1, 2500)));
        // A GPU with less shared memory has small tiles only.
        assert_eq!(best(&atoms, &kinds(&ALL[..1], 0)).unwrap().0, 16);
        // Of many, five to a tile, though the last is not full.
        assert_eq!(best(&vec![12; 2640], &all), Some((64, 1, 528)));
        // Three small tiles one after the other take longer than one that holds four replicas.
        assert_eq!(best(&[12; 396], &all), Some((48, 1, 99)));
        // Two rounds of tiles of 64 rows are less than one of twice as many.
        assert_eq!(best(&[21; 660], &all), Some((64, 1, 220)));
        assert_eq!(best(&[12, 65, 50, 40], &all), Some((128, 1, 2)));
        assert_eq!(best(&[129], &all), None);
        assert_eq!(best(&[], &all), None);
    }
}
