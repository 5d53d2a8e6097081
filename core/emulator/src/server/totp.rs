//! Codes of an authenticator app: RFC 6238 with SHA-1, six digits, steps of 30 s. A step's code works once.

use std::collections::BTreeSet;

use ring::hmac;

/// One user's authenticator app as the server sees it.
#[derive(Debug, Default)]
pub(crate) struct Totp {
    used: BTreeSet<u64>,
}

impl Totp {
    /// How long a code is shown, in seconds.
    pub(crate) const STEP: u64 = 30;

    /// Whether `code` is right now; if so it is used up.
    pub(crate) fn accept(&mut self, key: &[u8], code: &str, now: u64, skew: u64) -> bool {
        self.used.retain(|step| step + skew >= now / Totp::STEP);
        let step = window(now, skew).find(|step| !self.used.contains(step) && code_at(key, *step) == code);
        step.is_some_and(|step| self.used.insert(step))
    }

    /// A code that [`Totp::accept`] takes: this step's or, when that is used, one beside it.
    pub(crate) fn current(&self, key: &[u8], now: u64, skew: u64) -> String {
        let this = now / Totp::STEP;
        let mut steps: Vec<u64> = window(now, skew).collect();
        steps.sort_by_key(|step| (step.abs_diff(this), *step < this));
        code_at(key, steps.into_iter().find(|step| !self.used.contains(step)).unwrap_or(this))
    }

    /// A code that is wrong now and stays wrong for a while.
    pub(crate) fn wrong(key: &[u8], now: u64, skew: u64) -> String {
        let right: BTreeSet<String> = window(now, skew + 20).map(|step| code_at(key, step)).collect();
        (0..).map(|n| format!("{n:06}")).find(|code| !right.contains(code)).unwrap_or_default()
    }
}

fn window(now: u64, skew: u64) -> impl Iterator<Item = u64> {
    let step = now / Totp::STEP;
    step.saturating_sub(skew)..=step.saturating_add(skew)
}

fn code_at(key: &[u8], step: u64) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key);
    let tag = hmac::sign(&key, &step.to_be_bytes());
    let offset = usize::from(tag.as_ref().last().copied().unwrap_or(0) & 0xf);
    let word = tag.as_ref().iter().skip(offset).take(4).fold(0u32, |word, byte| (word << 8) | u32::from(*byte));
    format!("{:06}", (word & 0x7fff_ffff) % 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_test_vectors_of_rfc_6238_hold() {
        let key = b"12345678901234567890";
        for (time, code) in
            [(59, "287082"), (1_111_111_109, "081804"), (1_234_567_890, "005924"), (20_000_000_000, "353130")]
        {
            assert_eq!(code_at(key, time / Totp::STEP), code);
        }
    }

    #[test]
    fn a_code_works_once_and_the_next_one_shown_is_another() {
        let (key, mut totp) = (b"12345678901234567890", Totp::default());
        for _ in 0..3 {
            let code = totp.current(key, 1_000_000, 1);
            assert!(totp.accept(key, &code, 1_000_000, 1));
            assert!(!totp.accept(key, &code, 1_000_000, 1));
        }
        assert!(!totp.accept(key, &Totp::wrong(key, 1_000_000, 1), 1_000_000, 1));
    }
}
