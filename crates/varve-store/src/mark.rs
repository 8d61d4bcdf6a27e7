//! What survives a sweep: a pure function over the graph of what points at what.

use std::{
    collections::{HashMap, HashSet},
    hash::Hash,
};

/// Everything that can be reached from `roots`, the roots included.
pub(crate) fn reached<N, E>(
    roots: impl IntoIterator<Item = N>,
    mut edges: impl FnMut(N) -> Result<Vec<N>, E>,
) -> Result<HashSet<N>, E>
where
    N: Copy + Eq + Hash,
{
    let mut reached = HashSet::new();
    let mut pending: Vec<N> = roots.into_iter().collect();
    while let Some(node) = pending.pop() {
        if reached.insert(node) {
            pending.extend(edges(node)?.into_iter().filter(|next| !reached.contains(next)));
        }
    }
    Ok(reached)
}

/// Splits the sizes of files that share content under several names: what is freed when `doomed`
/// of them go. `files` lists inode, number of names and size of each doomed name.
pub(crate) fn freed_bytes(files: impl IntoIterator<Item = (u64, u64, u64)>) -> u64 {
    let mut by_inode: HashMap<u64, (u64, u64, u64)> = HashMap::new();
    for (inode, names, size) in files {
        let entry = by_inode.entry(inode).or_insert((0, names, size));
        entry.0 += 1;
    }
    by_inode.values().filter(|(gone, names, _)| gone >= names).map(|(_, _, size)| size).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers that look random and are the same on every run.
    struct Seeded(u64);

    impl Seeded {
        fn below(&mut self, limit: u64) -> u64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (self.0 >> 33) % limit
        }
    }

    /// Warshall: slow, and evidently right.
    fn naive(edges: &[(u64, u64)], roots: &[u64], nodes: u64) -> HashSet<u64> {
        let mut reached: HashSet<u64> = roots.iter().copied().collect();
        for _ in 0..nodes {
            for (from, to) in edges {
                if reached.contains(from) {
                    reached.insert(*to);
                }
            }
        }
        reached
    }

    #[test]
    fn what_roots_reach_is_what_a_naive_search_finds_in_random_graphs() {
        for seed in 0..300 {
            let mut random = Seeded(seed);
            let nodes = 1 + random.below(30);
            let edges: Vec<(u64, u64)> =
                (0..random.below(60)).map(|_| (random.below(nodes), random.below(nodes))).collect();
            let roots: Vec<u64> = (0..random.below(4)).map(|_| random.below(nodes)).collect();
            let found = reached(roots.iter().copied(), |node| {
                Ok::<_, ()>(edges.iter().filter(|e| e.0 == node).map(|e| e.1).collect())
            });
            assert_eq!(found.unwrap(), naive(&edges, &roots, nodes), "seed {seed}");
        }
    }

    #[test]
    fn an_edge_that_cannot_be_read_stops_the_marking() {
        assert_eq!(reached([1], |_| Err::<Vec<i32>, _>("unreadable")), Err("unreadable"));
    }

    #[test]
    fn content_is_freed_with_its_last_name_and_counted_once() {
        assert_eq!(freed_bytes([(1, 2, 100), (1, 2, 100), (2, 2, 50), (3, 1, 7)]), 107);
    }
}
