//! What the generated tests have in common: a seed instead of a clock, so that every run is the same one.
//!
//! `SEED=7` gives other cases, `TIMES=25` so many times as many.

use proptest::prelude::ProptestConfig;
use proptest::test_runner::RngSeed;

const SEED: u64 = 0x0d1e_c7a0;

/// The seed of this run.
pub(crate) fn seed() -> u64 {
    number("SEED").unwrap_or(SEED)
}

/// How many cases to generate, where `usual` ones are enough to meet every rule.
pub(crate) fn cases(usual: u32) -> u32 {
    let times = number("TIMES").unwrap_or(1).max(1);
    u32::try_from(times.saturating_mul(u64::from(usual))).unwrap_or(u32::MAX)
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{variable} is no number: {text}")))
}

/// For `proptest!`. The seed says it all, so nothing is written to a file of regressions: a case that was found once
/// becomes a line in the table of the rule that it broke.
pub(crate) fn properties(usual: u32) -> ProptestConfig {
    ProptestConfig {
        cases: cases(usual),
        rng_seed: RngSeed::Fixed(seed()),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// SplitMix64.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 up to `bound`, which is not among them.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound).unwrap()).unwrap()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }

    /// True once in `times`.
    pub(crate) fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}
