//! Randomness of tests: it comes from a seed that a failing test prints, so that its choices can be made again.

use std::time::{SystemTime, UNIX_EPOCH};

/// Sets the seed of tests that choose at random.
pub const SEED_VARIABLE: &str = "TELEMETRICS_TEST_SEED";

/// A source of choices; equal seeds make equal choices.
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    /// Choices that follow from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A seed from the environment ([`SEED_VARIABLE`]) or, without one, from the clock.
    ///
    /// # Panics
    /// When the variable is no number.
    #[must_use]
    pub fn seed() -> u64 {
        match std::env::var(SEED_VARIABLE) {
            Ok(text) => text.parse().unwrap_or_else(|error| panic!("{SEED_VARIABLE}={text}: {error}")),
            Err(_) => SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::from(since.subsec_nanos())),
        }
    }

    /// 64 bits (`SplitMix64`).
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number from `first` to `last`, both included.
    ///
    /// # Panics
    /// When `last` is less than `first`.
    pub fn between(&mut self, first: u64, last: u64) -> u64 {
        assert!(first <= last, "no number from {first} to {last}");
        first + self.bits() % (last - first + 1)
    }

    /// True once in `odds` times.
    pub fn one_in(&mut self, odds: u64) -> bool {
        self.between(1, odds) == 1
    }

    /// Choices of somebody else, which follow from this one's.
    #[must_use]
    pub fn fork(&mut self) -> Self {
        Self(self.bits())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_seeds_choose_equally_and_within_their_bounds() {
        let choices = |seed| {
            let mut chance = Chance::new(seed);
            (0..100).map(|_| chance.between(3, 7)).collect::<Vec<_>>()
        };
        assert_eq!(choices(1), choices(1));
        assert_ne!(choices(1), choices(2));
        assert!((3..=7).all(|number| choices(1).contains(&number)));
        assert!(choices(1).iter().all(|number| (3..=7).contains(number)));
    }
}
