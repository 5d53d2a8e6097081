//! What the generated tests have in common: a seed instead of a clock, so that every run is the same one.
//!
//! `SEED=7` gives other cases, `CASES=100000` more of them.

use proptest::prelude::ProptestConfig;
use proptest::test_runner::RngSeed;

const SEED: u64 = 0x0d1e_c7a0;

/// The seed of this run.
pub(crate) fn seed() -> u64 {
    number("SEED").unwrap_or(SEED)
}

/// How many cases to generate: never fewer than a test needs to meet each of its rules.
pub(crate) fn cases(at_least: u32) -> u32 {
    number("CASES").map_or(at_least, |cases| u32::try_from(cases).unwrap_or(u32::MAX).max(at_least))
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{variable} is no number: {text}")))
}

/// For `proptest!`. The seed says it all, so nothing is written to a file of regressions: a case that was found once
/// becomes a line in the table of the rule that it broke.
pub(crate) fn properties(at_least: u32) -> ProptestConfig {
    ProptestConfig {
        cases: cases(at_least),
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
}
