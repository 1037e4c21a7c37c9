//! Randomness that is the same on every machine: integers only, from a stream of the seed.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// Parts of the generator that draw from the seed independently of each other.
#[derive(Debug, Clone, Copy)]
pub(super) enum Stream {
    Machines,
    Stacks,
    Kernel,
    Planted,
    Schedule,
    Events,
    Reports,
}

/// A source of choices; equal seeds and streams make equal choices.
#[derive(Debug, Clone)]
pub(super) struct Chance(ChaCha8Rng);

impl Chance {
    pub(super) fn new(seed: u64, stream: Stream) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        let mut rng = ChaCha8Rng::from_seed(key);
        rng.set_stream(stream as u64);
        Self(rng)
    }

    pub(super) fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number from 0 to `end` - 1, and 0 when there is none.
    pub(super) fn below(&mut self, end: u32) -> u32 {
        scale_u32(self.0.next_u32(), end)
    }

    /// As [`Self::below`], for numbers beyond 32 bits.
    pub(super) fn below_u64(&mut self, end: u64) -> u64 {
        scale_u64(self.0.next_u64(), end)
    }

    /// A number from `first` to `last`, both included.
    pub(super) fn between(&mut self, first: u32, last: u32) -> u32 {
        first + self.below(last - first + 1)
    }

    pub(super) fn one_in(&mut self, odds: u32) -> bool {
        self.below(odds) == 0
    }

    pub(super) fn percent(&mut self, percent: u32) -> bool {
        self.below(100) < percent
    }

    /// A position in a list of `length`, and 0 when the list is empty.
    pub(super) fn index(&mut self, length: usize) -> usize {
        index_of(self.bits(), length)
    }

    /// One of `choices`, which must not be empty.
    pub(super) fn pick<'a, T: ?Sized>(&mut self, choices: &[&'a T]) -> &'a T {
        choices[self.index(choices.len())]
    }
}

/// Maps evenly spread `bits` to a position in a list of `length`.
pub(super) fn index_of(bits: u64, length: usize) -> usize {
    // The product's upper half is below `length`, which is a `usize`.
    #[allow(clippy::cast_possible_truncation)]
    {
        scale_u64(bits, length as u64) as usize
    }
}

/// Maps evenly spread `bits` to 0 .. `end`.
pub(super) fn scale_u64(bits: u64, end: u64) -> u64 {
    // The upper half of the product fits into 64 bits.
    #[allow(clippy::cast_possible_truncation)]
    {
        ((u128::from(bits) * u128::from(end)) >> 64) as u64
    }
}

fn scale_u32(bits: u32, end: u32) -> u32 {
    // The upper half of the product fits into 32 bits.
    #[allow(clippy::cast_possible_truncation)]
    {
        ((u64::from(bits) * u64::from(end)) >> 32) as u32
    }
}

/// Bits that belong to (`key`, `salt`): what a machine or a day must be again, without being kept anywhere.
pub(super) fn mix(key: u64, salt: u64) -> u64 {
    // The finalizer of SplitMix64: every bit of the input reaches every bit of the output.
    let mut z = key ^ salt.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_of_one_seed_differ_and_repeat() {
        let draw = |seed, stream| Chance::new(seed, stream).bits();
        assert_eq!(draw(7, Stream::Stacks), draw(7, Stream::Stacks));
        assert_ne!(draw(7, Stream::Stacks), draw(7, Stream::Machines));
        assert_ne!(draw(7, Stream::Stacks), draw(8, Stream::Stacks));
    }

    #[test]
    fn the_stream_is_the_same_on_every_machine_and_in_every_version() {
        assert_eq!(Chance::new(1, Stream::Events).bits(), 6_528_172_563_680_933_242);
    }

    #[test]
    fn choices_reach_both_ends_and_stay_within() {
        let mut chance = Chance::new(1, Stream::Events);
        let drawn: Vec<_> = (0..1_000).map(|_| chance.between(3, 6)).collect();
        assert_eq!(drawn.iter().min(), Some(&3));
        assert_eq!(drawn.iter().max(), Some(&6));
        assert_eq!(chance.below(0), 0);
        assert_eq!(chance.index(0), 0);
    }

    #[test]
    fn neighbouring_keys_have_unlike_bits() {
        let flipped: u32 = (0..1_000).map(|key| (mix(key, 1) ^ mix(key + 1, 1)).count_ones()).sum();
        assert!((28_000..36_000).contains(&flipped), "{flipped} of 64,000 bits flipped");
    }
}
