//! Weighted draws in constant or logarithmic time: by popularity, and among machines of unequal proneness.

use std::collections::BTreeMap;

use super::chance::{Chance, scale_u64};

/// Positions with integer weights, drawn in proportion to them.
#[derive(Debug, Clone)]
pub(super) struct Weights {
    /// Sum of the weights up to and including each position.
    sums: Vec<u64>,
}

impl Weights {
    pub(super) fn new(weights: impl IntoIterator<Item = u64>) -> Self {
        let mut sum = 0;
        let sums = weights.into_iter().map(|weight| {
            sum += weight;
            sum
        });
        Self { sums: sums.collect() }
    }

    /// The weights of a Zipf-like law: the first is the most popular, without outweighing all others together.
    pub(super) fn zipf(length: u32) -> Self {
        /// Shifts the law so that the first position has some three percent of all, not a fifth.
        const FLATTEN: u64 = 5;
        Self::new((0..u64::from(length)).map(|rank| 1_000_000_000 / (rank + FLATTEN)))
    }

    pub(super) fn total(&self) -> u64 {
        self.sums.last().copied().unwrap_or(0)
    }

    pub(super) fn len(&self) -> usize {
        self.sums.len()
    }

    pub(super) fn draw(&self, chance: &mut Chance) -> usize {
        self.at(chance.bits())
    }

    /// The position that evenly spread `bits` stand for: the same bits, the same position.
    pub(super) fn at(&self, bits: u64) -> usize {
        let point = scale_u64(bits, self.total());
        self.sums.partition_point(|&sum| sum <= point).min(self.sums.len().saturating_sub(1))
    }
}

/// Machines drawn in proportion to how prone they are to something.
#[derive(Debug, Clone)]
pub(super) struct Lottery {
    tiers: Vec<Vec<u32>>,
    weights: Weights,
}

impl Lottery {
    /// Machine number n has the n-th weight; there are few distinct weights, so that each becomes one tier.
    pub(super) fn new(proneness: impl IntoIterator<Item = u32>) -> Self {
        let mut tiers: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for (machine, weight) in (0..).zip(proneness) {
            tiers.entry(weight).or_default().push(machine);
        }
        let weights = Weights::new(tiers.iter().map(|(&weight, tier)| u64::from(weight) * tier.len() as u64));
        Self { tiers: tiers.into_values().collect(), weights }
    }

    /// A machine that `fits`; where hardly one does, the draws are limited and the last one stands.
    pub(super) fn draw(&self, chance: &mut Chance, fits: impl Fn(u32) -> bool) -> u32 {
        const MAX_DRAWS: u32 = 10_000;
        let mut drawn = self.any(chance);
        for _ in 1..MAX_DRAWS {
            if fits(drawn) {
                break;
            }
            drawn = self.any(chance);
        }
        drawn
    }

    fn any(&self, chance: &mut Chance) -> u32 {
        let tier = &self.tiers[self.weights.draw(chance)];
        tier[chance.index(tier.len())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generator::chance::Stream;

    #[test]
    fn draws_follow_the_weights_and_skip_what_weighs_nothing() {
        let weights = Weights::new([1, 0, 3]);
        let mut chance = Chance::new(1, Stream::Events);
        let mut drawn = [0; 3];
        (0..4_000).for_each(|_| drawn[weights.draw(&mut chance)] += 1);
        assert_eq!(drawn[1], 0);
        assert!((2_800..3_200).contains(&drawn[2]), "{drawn:?}");
    }

    #[test]
    fn the_greatest_bits_stand_for_the_last_position() {
        assert_eq!(Weights::new([1, 1]).at(u64::MAX), 1);
        assert_eq!(Weights::new([1, 1]).at(0), 0);
    }

    #[test]
    fn a_prone_machine_is_drawn_more_often() {
        let lottery = Lottery::new([1, 9, 1, 9]);
        let mut chance = Chance::new(1, Stream::Events);
        let prone = (0..2_000).filter(|_| lottery.draw(&mut chance, |_| true) % 2 == 1).count();
        assert!((1_740..1_860).contains(&prone), "{prone} of 2,000");
    }

    #[test]
    fn only_machines_that_fit_are_drawn_and_none_that_fits_ends_the_search() {
        let lottery = Lottery::new([1, 1, 1]);
        let mut chance = Chance::new(1, Stream::Events);
        assert!((0..100).all(|_| lottery.draw(&mut chance, |machine| machine == 2) == 2));
        assert!(lottery.draw(&mut chance, |_| false) < 3);
    }
}
