//! Numbers drawn from a seed. Each name has a stream of its own (SHA-256 in counter mode under a key made from seed
//! and name), so that adding a parameter to a lab does not move the others.

use sha2::{Digest, Sha256};

const DOMAIN: &[u8] = b"frostgate.forge/v1 parameter\0";

pub struct Stream {
    key: [u8; 32],
    counter: u64,
    block: [u8; 32],
    used: usize,
}

impl Stream {
    pub fn new(seed: &str, name: &str) -> Self {
        let mut h = Sha256::new();
        h.update(DOMAIN);
        h.update((seed.len() as u64).to_be_bytes());
        h.update(seed.as_bytes());
        h.update(name.as_bytes());
        Self { key: h.finalize().into(), counter: 0, block: [0; 32], used: 32 }
    }

    fn byte(&mut self) -> u8 {
        if self.used >= self.block.len() {
            let mut h = Sha256::new();
            h.update(self.key);
            h.update(self.counter.to_be_bytes());
            self.block = h.finalize().into();
            self.counter += 1;
            self.used = 0;
        }
        let b = self.block.get(self.used).copied().unwrap_or(0);
        self.used += 1;
        b
    }

    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.byte())
    }

    /// Uniform in `0..bound` (rejection sampling); 0 when `bound` is 0.
    pub fn below(&mut self, bound: u128) -> u128 {
        if bound < 2 {
            return 0;
        }
        let surplus = (u128::MAX % bound + 1) % bound;
        loop {
            let n = u128::from_be_bytes(self.bytes());
            if n <= u128::MAX - surplus {
                return n % bound;
            }
        }
    }

    /// Uniform in `min..=max`; `min` when the range is empty.
    pub fn between(&mut self, min: u64, max: u64) -> u64 {
        let n = self.below(u128::from(max.saturating_sub(min)) + 1);
        min.saturating_add(u64::try_from(n).unwrap_or(0))
    }

    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        let i = self.below(of.len() as u128);
        of.get(usize::try_from(i).unwrap_or(0))
    }

    /// `count` different items, in drawn order; fewer when there are fewer.
    pub fn choose<T: Clone>(&mut self, of: &[T], count: usize) -> Vec<T> {
        let mut rest: Vec<T> = of.to_vec();
        let mut out = Vec::new();
        while out.len() < count && !rest.is_empty() {
            let i = usize::try_from(self.below(rest.len() as u128)).unwrap_or(0);
            out.push(rest.swap_remove(i));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_and_name_draw_the_same_and_others_differ() {
        let draw = |seed: &str, name: &str| Stream::new(seed, name).bytes::<40>();
        assert_eq!(draw("a", "x"), draw("a", "x"));
        assert_ne!(draw("a", "x"), draw("a", "y"));
        // The length prefix keeps seed and name apart.
        assert_ne!(draw("ab", "c"), draw("a", "bc"));
    }

    #[test]
    fn below_stays_below_and_reaches_every_value() {
        let mut s = Stream::new("seed", "n");
        let mut seen = [0u32; 7];
        for _ in 0..7000 {
            if let Some(n) = seen.get_mut(s.below(7) as usize) {
                *n += 1;
            }
        }
        assert_eq!(seen.iter().sum::<u32>(), 7000, "a draw of 7 or more was lost");
        assert!(seen.iter().all(|n| (800..1200).contains(n)), "{seen:?}");
    }
}
