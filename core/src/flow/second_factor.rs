//! What the server's "more assurance required" leaves open, and how failures count. protocol.md §2.2, rows 146–164.

use crate::config::Factor;
use crate::env::BootInstant;
use crate::error::{Kind, ResponseDefect};
use crate::secret::Secret;
use crate::wire::answer::{MoreAssurance, Why};
use crate::wire::requests::second_factor_grant;

/// More than five factors in a row are a loop (row 151).
const MAX_LEGS: u8 = 5;
/// Wrong codes that a user may send in one step (rows 141, 152).
pub(super) const MAX_ATTEMPTS: u8 = 5;

/// The state behind a choice of second factors; replaced as a whole by the next `mfa_token`.
pub(super) struct SecondFactor {
    pub(super) mfa_token: Secret,
    /// When this library forgets the token: Okta does not say how long it lives (protocol.md Q3).
    pub(super) deadline: BootInstant,
    /// Counts the tokens of this sign-in, so that a step knows whether its own is still the newest.
    pub(super) leg: u8,
    otp_attempts: u8,
    denials_in_a_row: u8,
    denied: Vec<Factor>,
    hint: Option<Vec<String>>,
}

/// Whether the sign-in goes on after a failure.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The choice stays usable.
    Stay(Kind),
    /// The `mfa_token` is worthless now.
    Over(Kind),
}

impl SecondFactor {
    /// The state after `asked`, which follows `previous`.
    pub(super) fn next(asked: MoreAssurance, previous: Option<&Self>, deadline: BootInstant) -> Result<Self, Kind> {
        let leg = previous.map_or(0, |p| p.leg).saturating_add(1);
        if leg > MAX_LEGS {
            return Err(Kind::InvalidResponse { what: ResponseDefect::Loop });
        }
        Ok(Self {
            mfa_token: asked.mfa_token,
            deadline,
            leg,
            otp_attempts: 0,
            denials_in_a_row: 0,
            denied: Vec::new(),
            hint: asked.challenge_types,
        })
    }

    /// What can be offered: what the server hinted at, of what the app can do, without what the server denied. A hint
    /// that leaves nothing is ignored (row 149).
    pub(super) fn factors(&self, capabilities: &[Factor]) -> Vec<Factor> {
        let hinted: Vec<Factor> = capabilities.iter().copied().filter(|factor| self.hints_at(*factor)).collect();
        let offered = if hinted.is_empty() { capabilities.to_vec() } else { hinted };
        offered.into_iter().filter(|factor| !self.denied.contains(factor)).collect()
    }

    fn hints_at(&self, factor: Factor) -> bool {
        let grant = second_factor_grant(factor);
        self.hint.as_ref().is_none_or(|hint| hint.iter().any(|known| known == grant))
    }

    /// Counts a code from an authenticator app before it is sent: a caller that goes away must not get one for nothing.
    /// `false` if there have been too many already.
    pub(super) fn count_otp(&mut self) -> bool {
        let allowed = self.otp_attempts < MAX_ATTEMPTS;
        self.otp_attempts = self.otp_attempts.saturating_add(u8::from(allowed));
        allowed
    }

    pub(super) fn otp_attempts_left(&self) -> u8 {
        MAX_ATTEMPTS.saturating_sub(self.otp_attempts)
    }

    /// The server answered something else than a denial.
    pub(super) fn answered(&mut self) {
        self.denials_in_a_row = 0;
    }

    /// Judges a failed code from an authenticator app.
    pub(super) fn after_otp(&mut self, failure: Why, into_kind: impl FnOnce(Why) -> Kind) -> Verdict {
        match failure {
            Why::Refused => {
                self.denials_in_a_row = 0;
                if self.otp_attempts >= MAX_ATTEMPTS {
                    Verdict::Over(Kind::TooManyAttempts)
                } else {
                    Verdict::Stay(Kind::Rejected)
                }
            }
            other => {
                self.otp_attempts = self.otp_attempts.saturating_sub(1);
                self.after_request(Factor::Otp, other, into_kind)
            }
        }
    }

    /// Counts a failed `/challenge`, poll or received code of `factor`.
    ///
    /// The wire cannot tell "this factor is not allowed" from "the `mfa_token` has expired": the first `access_denied`
    /// means the one, a second in a row the other (row 153, 159).
    pub(super) fn after_request(
        &mut self,
        factor: Factor,
        failure: Why,
        into_kind: impl FnOnce(Why) -> Kind,
    ) -> Verdict {
        let denied = matches!(failure, Why::Denied(_));
        let answered = !matches!(failure, Why::NoAnswer { .. } | Why::RateLimited(_));
        let kind = into_kind(failure);
        if !denied {
            if answered {
                self.denials_in_a_row = 0;
            }
            return Verdict::Stay(kind);
        }
        self.denials_in_a_row = self.denials_in_a_row.saturating_add(1);
        if self.denials_in_a_row >= 2 {
            return Verdict::Over(Kind::Expired);
        }
        self.denied.push(factor);
        Verdict::Stay(kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;
    use crate::wire::oob::{MFA_OOB, MFA_OTP, MFA_WEBAUTHN};
    use core::time::Duration;

    fn asked(hint: Option<&[&str]>) -> MoreAssurance {
        MoreAssurance {
            mfa_token: Secret::from("m"),
            challenge_types: hint.map(|list| list.iter().map(|s| (*s).to_owned()).collect()),
        }
    }

    fn state(hint: Option<&[&str]>) -> SecondFactor {
        SecondFactor::next(asked(hint), None, BootInstant::from_boot(Duration::ZERO)).unwrap()
    }

    fn kind(why: Why) -> Kind {
        match why {
            Why::Denied(code) | Why::Policy(code) => Kind::NotAllowed { code },
            Why::Refused => Kind::Rejected,
            Why::NoAnswer { kind, .. } => kind,
            other => panic!("{other:?}"),
        }
    }

    fn denied() -> Why {
        Why::Denied(Code::of("access_denied"))
    }

    #[test]
    fn what_can_be_offered() {
        use Factor::*;
        let all = [Otp, Push, Sms, Passkey];
        for (row, hint, capabilities, expected) in [
            (146, None, &all[..], vec![Otp, Push, Sms, Passkey]),
            (149, Some(&[MFA_OTP, "urn:new:thing"][..]), &all[..], vec![Otp]),
            (149, Some(&[MFA_OOB][..]), &all[..], vec![Push, Sms]),
            (149, Some(&["urn:new:thing"][..]), &all[..], vec![Otp, Push, Sms, Passkey]),
            (149, Some(&[MFA_WEBAUTHN][..]), &all[..], vec![Passkey]),
            (149, Some(&[MFA_OTP][..]), &[Sms][..], vec![Sms]),
            (149, None, &[][..], vec![]),
        ] {
            assert_eq!(state(hint).factors(capabilities), expected, "row {row} {hint:?}");
        }
    }

    #[test]
    fn five_wrong_codes_are_too_many() {
        let mut state = state(None);
        for _ in 0..4 {
            assert!(state.count_otp());
            assert_eq!(state.after_otp(Why::Refused, kind), Verdict::Stay(Kind::Rejected), "row 152");
        }
        let offline = Why::NoAnswer { kind: Kind::Server { status: 503, code: None }, maybe_acted: true };
        assert!(state.count_otp());
        assert!(matches!(state.after_otp(offline, kind), Verdict::Stay(_)), "nothing was judged");
        assert!(state.count_otp());
        assert!(!state.count_otp(), "a sixth is not sent, also if nobody heard of the fifth");
        assert_eq!(state.after_otp(Why::Refused, kind), Verdict::Over(Kind::TooManyAttempts), "row 152");
    }

    #[test]
    fn a_second_denial_in_a_row_means_expired() {
        let not_allowed = Kind::NotAllowed { code: Code::of("access_denied") };
        let mut it = state(None);
        assert_eq!(it.after_request(Factor::Sms, denied(), kind), Verdict::Stay(not_allowed.clone()), "row 159");
        assert_eq!(it.factors(&[Factor::Otp, Factor::Sms]), [Factor::Otp]);
        assert_eq!(it.after_otp(denied(), kind), Verdict::Over(Kind::Expired), "row 153");

        let mut it = state(None);
        assert_eq!(it.after_request(Factor::Sms, denied(), kind), Verdict::Stay(not_allowed.clone()));
        assert_eq!(it.after_otp(Why::Refused, kind), Verdict::Stay(Kind::Rejected), "an answer in between");
        assert_eq!(it.after_otp(denied(), kind), Verdict::Stay(not_allowed.clone()));
        let offline = || Why::NoAnswer { kind: Kind::Server { status: 503, code: None }, maybe_acted: true };
        it.after_otp(offline(), kind);
        assert_eq!(it.after_otp(denied(), kind), Verdict::Over(Kind::Expired), "silence is no answer");
    }

    #[test]
    fn what_surely_speaks_of_a_policy_never_ends_the_transaction() {
        let mut it = state(None);
        for _ in 0..3 {
            let policy = Why::Policy(Code::of("E0000150"));
            assert!(matches!(it.after_request(Factor::Sms, policy, kind), Verdict::Stay(_)), "row 325");
        }
        assert!(matches!(it.after_request(Factor::Sms, denied(), kind), Verdict::Stay(_)));
        it.answered();
        assert!(matches!(it.after_request(Factor::Push, denied(), kind), Verdict::Stay(_)), "not in a row");
    }

    #[test]
    fn more_than_five_legs_are_a_loop() {
        let mut state = state(None);
        for _ in 2..=5 {
            state = SecondFactor::next(asked(None), Some(&state), state.deadline).unwrap();
        }
        let sixth = SecondFactor::next(asked(None), Some(&state), state.deadline);
        assert_eq!(sixth.err(), Some(Kind::InvalidResponse { what: ResponseDefect::Loop }), "row 151");
    }
}
