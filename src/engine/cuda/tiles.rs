//! Replicas shared out over tiles: the rows that one block, or one cluster of blocks, steps by itself.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use super::tile_kinds::Kind;

/// Tiles of one kind, and the replicas in each.
#[derive(Clone, Debug, PartialEq)]
pub struct Tiling {
    /// Which kind of tile.
    pub kind: usize,
    /// Replicas of each tile.
    pub members: Vec<Vec<usize>>,
}

impl Tiling {
    /// Tilings, stepped one after the other; none when a replica is too large for all kinds of tiles.
    ///
    /// All replicas in tiles of one kind leave multiprocessors without a tile in the last round, and let small
    /// molecules pay for the tiles that large ones need.  So tiles of another kind may take what full rounds of one
    /// leave over, and molecules above one size have tilings of their own: of these, those that a GPU is done with soonest.
    pub fn best(atoms: &[usize], kinds: &[Kind]) -> Option<Vec<Self>> {
        let mut replicas: Vec<usize> = (0..atoms.len()).collect();
        replicas.sort_by_key(|n| Reverse(atoms[*n]));
        let by_size = |rows: usize| {
            let larger = replicas.partition_point(|n| atoms[*n] > rows);
            let (large, small) = replicas.split_at(larger);
            if large.is_empty() || small.is_empty() {
                return None;
            }
            Some(Plan::by_rounds(large, atoms, kinds)?.then(Plan::by_rounds(small, atoms, kinds)?))
        };
        let together = Plan::by_rounds(&replicas, atoms, kinds);
        let sizes: BTreeSet<usize> = kinds.iter().map(|kind| kind.rows).collect();
        let apart = sizes.into_iter().filter_map(by_size);
        let plan = soonest(together.into_iter().chain(apart))?;
        Some(plan.tilings)
    }
}

/// What a tiling must save to be one of its own, in units of [`Kind::cost`]: these are known to some per cent, and a
/// launch takes time, too.
const COST_OF_TILING: f64 = 0.1;

/// Tilings of some replicas, and what a step of them costs.
struct Plan {
    cost: f64,
    tilings: Vec<Tiling>,
}

impl Plan {
    fn of_tiles(members: Vec<Vec<usize>>, kind: usize, kinds: &[Kind]) -> Self {
        Self {
            cost: kinds[kind].cost_of(members.len()),
            tilings: vec![Tiling { kind, members }],
        }
    }

    /// All in tiles of one kind.  Of `replicas` from the largest to the smallest; none of none.
    fn of_one_kind(replicas: &[usize], atoms: &[usize], kinds: &[Kind]) -> Option<Self> {
        let packed = packed(replicas, atoms, kinds);
        soonest(packed.map(|(kind, members)| Self::of_tiles(members, kind, kinds)))
    }

    /// All in tiles of one kind, or full rounds of it and then what is left of the replicas, likewise.
    fn by_rounds(replicas: &[usize], atoms: &[usize], kinds: &[Kind]) -> Option<Self> {
        let plan = |(kind, mut members): (usize, Vec<Vec<usize>>)| {
            let at_once = kinds[kind].at_once;
            let full = members.len() / at_once * at_once;
            if full == 0 {
                return Self::of_tiles(members, kind, kinds);
            }
            let mut left = members[full..].concat();
            left.sort_by_key(|n| Reverse(atoms[*n]));
            let left = Self::of_one_kind(&left, atoms, kinds);
            let saves = |left: &Self| {
                let [all, full] = [members.len(), full].map(|tiles| kinds[kind].cost_of(tiles));
                full + COST_OF_TILING + left.cost < all
            };
            match left.filter(saves) {
                Some(left) => {
                    members.truncate(full);
                    Self::of_tiles(members, kind, kinds).then(left)
                }
                None => Self::of_tiles(members, kind, kinds),
            }
        };
        soonest(packed(replicas, atoms, kinds).map(plan))
    }

    /// This one and then another.
    fn then(mut self, next: Self) -> Self {
        self.cost += COST_OF_TILING + next.cost;
        self.tilings.extend(next.tilings);
        self
    }
}

fn soonest(plans: impl Iterator<Item = Plan>) -> Option<Plan> {
    plans.min_by(|a, b| a.cost.total_cmp(&b.cost))
}

/// Members of the tiles of every kind that is large enough for all of `replicas`, if there are any.
fn packed(
    replicas: &[usize],
    atoms: &[usize],
    kinds: &[Kind],
) -> impl Iterator<Item = (usize, Vec<Vec<usize>>)> {
    let largest = replicas.first().map(|n| atoms[*n]);
    let kinds = kinds.iter().enumerate();
    let fitting = kinds.filter(move |(_, kind)| largest.is_some_and(|atoms| atoms <= kind.rows));
    fitting.map(|(kind, of)| (kind, pack(replicas, atoms, of.rows)))
}

/// Best fit, larger replicas first: each goes where it leaves the fewest rows free.
fn pack(replicas: &[usize], atoms: &[usize], rows: usize) -> Vec<Vec<usize>> {
    let mut members: Vec<Vec<usize>> = Vec::new();
    // Tiles by how many rows they have free.
    let mut free: Vec<Vec<usize>> = vec![Vec::new(); rows + 1];
    for &n in replicas {
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
    use super::super::abi::TILE_ROWS;
    use super::super::tile_kinds::{COST_OF_CLUSTER, costs_of};
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
        let by_blocks = rows_and_room.iter().map(|&(rows, room)| {
            let n = TILE_ROWS.iter().position(|of| *of == rows).unwrap();
            kind(rows, 1, 132 * room, 132, costs_of(128)[n])
        });
        let by_clusters = (clusters > 0).then(|| kind(16, 8, clusters, clusters, COST_OF_CLUSTER));
        by_blocks.chain(by_clusters).collect()
    }

    const ALL: [(usize, usize); 5] = [(16, 1), (32, 1), (48, 1), (64, 1), (128, 1)];

    #[test]
    fn every_replica_is_in_one_tile_and_no_tile_is_too_full() {
        let kinds = kinds(&ALL, 15);
        for (count, largest) in [(500, 64), (3000, 64), (3000, 128)] {
            let atoms: Vec<usize> = (0..count).map(|n| 1 + n * 37 % largest).collect();
            let tilings = Tiling::best(&atoms, &kinds).unwrap();
            let mut rows = 0;
            let mut seen = Vec::new();
            for Tiling { kind, members } in &tilings {
                for members in members {
                    let used: usize = members.iter().map(|n| atoms[*n]).sum();
                    assert!(!members.is_empty() && used <= kinds[*kind].rows);
                }
                rows += members.len() * kinds[*kind].rows;
                seen.extend(members.concat());
            }
            seen.sort_unstable();
            assert!(seen.into_iter().eq(0..count));
            let used: usize = atoms.iter().sum();
            assert!(used as f64 > 0.95 * rows as f64, "{used} of {rows}");
        }
    }

    /// Rows and blocks of each tiling's kind, and how many tiles.
    fn best(atoms: &[usize], kinds: &[Kind]) -> Option<Vec<(usize, usize, usize)>> {
        let tilings = Tiling::best(atoms, kinds)?;
        let shape = |Tiling { kind, members }: &Tiling| {
            (kinds[*kind].rows, kinds[*kind].blocks, members.len())
        };
        Some(tilings.iter().map(shape).collect())
    }

    #[test]
    fn few_replicas_spread_and_many_share() {
        let all = kinds(&ALL, 15);
        let one = |rows, blocks, tiles| Some(vec![(rows, blocks, tiles)]);
        assert_eq!(best(&[12; 5], &kinds(&ALL, 0)), one(16, 1, 5));
        // A cluster each as long as there is room for them.
        assert_eq!(best(&[12; 15], &all), one(16, 8, 15));
        assert_eq!(best(&[12; 16], &all), one(16, 1, 16));
        assert_eq!(best(&[17], &all), one(32, 1, 1));
        // Two tiles of 48 rows at once have eight benzenes.
        let two = kinds(&[(16, 1), (32, 2), (48, 2), (64, 1)], 0);
        assert_eq!(best(&vec![12; 10_560], &two), one(48, 1, 2640));
        // A GPU with less shared memory has small tiles only.
        assert_eq!(
            best(&vec![12; 10_000], &kinds(&ALL[..1], 0)),
            one(16, 1, 10_000)
        );
        // Of many, five to a tile.
        assert_eq!(best(&vec![12; 2640], &all), one(64, 1, 528));
        // Two rounds of two each take longer than one of four.
        assert_eq!(best(&[12; 528], &all), one(48, 1, 132));
        assert_eq!(best(&[12, 65, 50, 40], &all), one(128, 1, 2));
        assert_eq!(best(&[129], &all), None);
        assert_eq!(best(&[], &all), None);
    }

    #[test]
    fn what_one_kind_leaves_over_another_takes() {
        let all = kinds(&ALL, 15);
        let full = (64, 1, 132);
        assert_eq!(best(&[12; 675], &all), Some(vec![full, (16, 8, 15)]));
        assert_eq!(best(&[21; 660], &all), Some(vec![full, (48, 1, 132)]));
        // Two at once on each multiprocessor make full rounds of twice as many.
        let two = kinds(&[(16, 1), (32, 2), (48, 2), (64, 1)], 0);
        let twice = Some(vec![(48, 1, 264), (16, 1, 12)]);
        assert_eq!(best(&[12; 4 * 264 + 12], &two), twice);
        // Large molecules have large tiles of their own, which small ones fill up where they fit.
        let mixed = |large| [vec![large; 132], vec![63; 264]].concat();
        let (large, small) = ((128, 1, 132), |tiles| (64, 1, tiles));
        assert_eq!(best(&mixed(65), &all), Some(vec![large, small(132)]));
        assert_eq!(best(&mixed(66), &all), Some(vec![large, small(264)]));
    }
}
