//! The Merkle tree of RFC 6962, section 2.1: leaf hashes, tree heads that grow in O(log n), audit paths.

use crate::canonical;

pub type Hash = [u8; 32];

/// `SHA-256(0x00 || entry)`.
pub fn leaf(entry: &[u8]) -> Hash {
    canonical::digest_of(&[&[0], entry])
}

/// `SHA-256(0x01 || left || right)`.
fn node(left: &Hash, right: &Hash) -> Hash {
    canonical::digest_of(&[&[1], left, right])
}

/// The roots of the complete subtrees a log of `size` entries splits into, largest first: all that is needed to
/// append, and to know the head.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peaks {
    pub size: u64,
    roots: Vec<Hash>,
}

impl Peaks {
    /// None when the number of roots does not fit the size.
    pub fn decode(size: u64, bytes: &[u8]) -> Option<Self> {
        let (chunks, rest) = bytes.as_chunks::<32>();
        let fits = rest.is_empty() && chunks.len() == size.count_ones() as usize;
        fits.then(|| Self { size, roots: chunks.to_vec() })
    }

    pub fn encode(&self) -> Vec<u8> {
        self.roots.concat()
    }

    pub fn push(&mut self, leaf: Hash) {
        let mut root = leaf;
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.roots.pop() {
                root = node(&left, &root);
            }
        }
        self.roots.push(root);
        self.size += 1;
    }

    /// MTH(D[size]); of the empty log, the hash of nothing.
    pub fn root(&self) -> Hash {
        let mut roots = self.roots.iter().rev();
        match roots.next() {
            None => canonical::digest_of(&[]),
            Some(last) => roots.fold(*last, |right, left| node(left, &right)),
        }
    }
}

/// The audit path of each wanted leaf (RFC 6962, 2.1.1), bottom up.
pub fn paths(leaves: Vec<Hash>, wanted: &[u64]) -> Vec<Vec<Hash>> {
    built(leaves, wanted).1
}

/// The root, and the audit path of each leaf.
pub fn whole(leaves: Vec<Hash>) -> (Hash, Vec<Vec<Hash>>) {
    let all: Vec<u64> = (0..leaves.len() as u64).collect();
    built(leaves, &all)
}

/// The tree is built level by level: a lone last node is handed up unchanged, which is the same tree.
fn built(leaves: Vec<Hash>, wanted: &[u64]) -> (Hash, Vec<Vec<Hash>>) {
    let mut level = leaves;
    let mut at: Vec<u64> = wanted.to_vec();
    let mut paths = vec![Vec::new(); wanted.len()];
    while level.len() > 1 {
        for (path, index) in paths.iter_mut().zip(&mut at) {
            if let Some(sibling) = usize::try_from(*index ^ 1).ok().and_then(|i| level.get(i)) {
                path.push(*sibling);
            }
            *index /= 2;
        }
        level = level
            .chunks(2)
            .filter_map(|pair| match pair {
                [left, right] => Some(node(left, right)),
                [lone] => Some(*lone),
                _ => None,
            })
            .collect();
    }
    (level.pop().unwrap_or_else(|| canonical::digest_of(&[])), paths)
}

/// The root that a leaf and its path lead to (RFC 9162, 2.1.3.2); None when the path has not the right length.
pub fn root_from(leaf: Hash, index: u64, size: u64, path: &[Hash]) -> Option<Hash> {
    if index >= size {
        return None;
    }
    let (mut index, mut last, mut root) = (index, size - 1, leaf);
    for sibling in path {
        if last == 0 {
            return None;
        }
        if index & 1 == 1 || index == last {
            root = node(sibling, &root);
            while index & 1 == 0 && index != 0 {
                index >>= 1;
                last >>= 1;
            }
        } else {
            root = node(&root, sibling);
        }
        index >>= 1;
        last >>= 1;
    }
    (last == 0).then_some(root)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use proptest::prelude::*;

    /// The definition of RFC 6962 itself, word by word.
    fn mth(leaves: &[Hash]) -> Hash {
        match leaves.len() {
            0 => canonical::digest_of(&[]),
            1 => leaves[0],
            n => {
                let k = n.next_power_of_two() / 2;
                node(&mth(&leaves[..k]), &mth(&leaves[k..]))
            }
        }
    }

    fn leaves(n: usize) -> Vec<Hash> {
        (0..n).map(|i| leaf(&i.to_be_bytes())).collect()
    }

    #[test]
    fn the_vectors_of_certificate_transparency() {
        let inputs: [&[u8]; 8] = [
            b"",
            b"\x00",
            b"\x10",
            b"\x20\x21",
            b"\x30\x31",
            b"\x40\x41\x42\x43",
            b"\x50\x51\x52\x53\x54\x55\x56\x57",
            b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
        ];
        let mut peaks = Peaks::default();
        assert_eq!(hex::encode(peaks.root()), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        for input in inputs {
            peaks.push(leaf(input));
        }
        assert_eq!(hex::encode(peaks.root()), "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328");
    }

    proptest! {
        #[test]
        fn heads_and_paths_agree_with_the_definition(n in 1usize..70, pick in any::<prop::sample::Index>()) {
            let all = leaves(n);
            let mut peaks = Peaks::default();
            for l in &all {
                peaks.push(*l);
            }
            let root = mth(&all);
            prop_assert_eq!(peaks.root(), root);
            prop_assert_eq!(Peaks::decode(n as u64, &peaks.encode()).unwrap(), peaks);
            let i = pick.index(n) as u64;
            let path = paths(all.clone(), &[i]).remove(0);
            let (top, every) = whole(all.clone());
            prop_assert_eq!((top, &every[usize::try_from(i).unwrap()]), (root, &path));
            let leaf = all[usize::try_from(i).unwrap()];
            prop_assert_eq!(root_from(leaf, i, n as u64, &path), Some(root));
            if n > 1 {
                prop_assert_ne!(root_from(leaf, (i + 1) % n as u64, n as u64, &path), Some(root));
                prop_assert_eq!(root_from(leaf, i, n as u64, &path[..path.len() - 1]).filter(|r| *r == root), None);
            }
        }
    }
}
