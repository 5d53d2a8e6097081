//! `/token`: one function for each grant (protocol.md §1.1–§1.7).

use super::answer::Refusal;
use super::policy::{LONGEST_REFRESH_SCOPE, Leg, Method, check_length};
use super::request::Form;
use super::{Answered, Call, GrantType, State, catalogue};
use crate::config::{Factor, Status};

impl State {
    pub(crate) fn token(&mut self, call: &Call<'_>, form: &Form) -> Answered {
        let mut leg = self.leg(call, form)?;
        let proof = self.token_proof(call)?;
        leg.thumbprint = proof.as_ref().map(|proof| proof.thumbprint.clone());
        if self.settings.dpop_nonce_after_grant {
            let answered = self.grant(call, leg, form)?;
            return self.check_nonce(call, proof.as_ref()).map(|()| answered);
        }
        self.check_nonce(call, proof.as_ref())?;
        self.grant(call, leg, form)
    }

    fn grant(&mut self, call: &Call<'_>, leg: Leg, form: &Form) -> Answered {
        let grants = self.settings.grants.join(", ");
        let uri =
            form.value("grant_type").ok_or_else(|| Refusal::of(catalogue::TOKEN_REQUEST_MISSING_GRANT_TYPE, grants))?;
        let grant = self.check_grant(uri)?;
        form.refuse_credentials_but(grant.credentials())?;
        match grant {
            GrantType::RefreshToken => check_length(leg.scope.as_deref(), LONGEST_REFRESH_SCOPE)?,
            _ => self.check_scope(&leg)?,
        }
        match grant {
            GrantType::Password => self.password(call, &leg, form),
            GrantType::Otp => self.otp(call, &leg, form),
            GrantType::Oob => self.oob(call, &leg, form),
            GrantType::MfaOtp => self.mfa_otp(call, &leg, form),
            GrantType::MfaOob => self.mfa_oob(call, &leg, form),
            GrantType::RefreshToken => self.refresh(call, &leg, form),
            GrantType::WebAuthn => self.passkey(call, &leg, form),
            GrantType::MfaWebAuthn => self.mfa_passkey(call, &leg, form),
            _ => Err(catalogue::UNSUPPORTED_GRANT_TYPE.into()),
        }
    }

    fn password(&mut self, call: &Call<'_>, leg: &Leg, form: &Form) -> Answered {
        let username = form.required("username")?;
        let password = form.required("password")?;
        self.check_first_leg(leg, None)?;
        // Unknown user, locked account and wrong password are one answer.
        let account = self.find_account(username).ok_or(catalogue::INVALID_PASSWORD_CREDENTIALS)?;
        self.count_token_request(account, call.now)?;
        let lockout = self.settings.lockout_attempts;
        let known = self.account_mut(account)?;
        if known.is_locked() {
            return Err(catalogue::INVALID_PASSWORD_CREDENTIALS.into());
        }
        match &known.user.password {
            None => return Err(catalogue::MISSING_PASSWORD_ENROLLMENT.into()),
            Some(right) if right != password => {
                known.failures += 1;
                if lockout > 0 && known.failures >= lockout {
                    known.user.status = Status::Locked;
                }
                return Err(catalogue::INVALID_PASSWORD_CREDENTIALS.into());
            }
            Some(_) => known.failures = 0,
        }
        match known.user.status {
            Status::PasswordExpired => Err(catalogue::EXPIRED_PASSWORD_CREDENTIALS.into()),
            Status::Unassigned => Err(catalogue::USER_NOT_ASSIGNED.into()),
            Status::Active | Status::Locked => self.after_first_factor(call, leg, account, Method::Password),
        }
    }

    fn otp(&mut self, call: &Call<'_>, leg: &Leg, form: &Form) -> Answered {
        let username = form.value("login_hint").ok_or(catalogue::DIRECT_AUTH_MISSING_LOGIN_HINT)?;
        let otp = form.required("otp")?;
        self.check_first_leg(leg, Some(Factor::Totp))?;
        let account = self.find_account(username).ok_or(catalogue::DIRECT_AUTH_INVALID_OTP)?;
        self.count_token_request(account, call.now)?;
        self.check_enrolled(account, Factor::Totp)?;
        self.check_otp(call, account, otp)?;
        if self.account(account)?.user.status == Status::Unassigned {
            return Err(catalogue::USER_NOT_ASSIGNED.into());
        }
        self.after_first_factor(call, leg, account, Method::Factor(Factor::Totp))
    }

    fn oob(&mut self, call: &Call<'_>, leg: &Leg, form: &Form) -> Answered {
        let (account, factor) = self.redeem(call, leg, form, None)?;
        self.count_token_request(account, call.now)?;
        self.after_first_factor(call, leg, account, Method::Factor(factor))
    }

    fn mfa_otp(&mut self, call: &Call<'_>, leg: &Leg, form: &Form) -> Answered {
        let mfa_token = form.required("mfa_token")?;
        let otp = form.required("otp")?;
        let (account, first) = self.transaction(call, leg, mfa_token)?;
        self.count_token_request(account, call.now)?;
        self.check_second(account, Factor::Totp, first)?;
        self.check_otp(call, account, otp)?;
        self.after_second_factor(call, mfa_token, Method::Factor(Factor::Totp))
    }

    fn mfa_oob(&mut self, call: &Call<'_>, leg: &Leg, form: &Form) -> Answered {
        let mfa_token = match form.value("mfa_token") {
            None if !self.settings.mfa_oob_needs_mfa_token => self.sign_in_of(form.required("oob_code")?)?,
            _ => form.required("mfa_token")?.to_owned(),
        };
        let (account, _) = self.transaction(call, leg, &mfa_token)?;
        self.count_token_request(account, call.now)?;
        let (_, factor) = self.redeem(call, leg, form, Some(&mfa_token))?;
        self.after_second_factor(call, &mfa_token, Method::Factor(factor))
    }

    fn passkey(&mut self, call: &Call<'_>, leg: &Leg, form: &Form) -> Answered {
        let (account, method) = self.redeem_passkey(call, leg, form, None)?;
        self.count_token_request(account, call.now)?;
        if self.account(account)?.user.status == Status::Unassigned {
            return Err(catalogue::USER_NOT_ASSIGNED.into());
        }
        self.after_first_factor(call, leg, account, method)
    }

    fn mfa_passkey(&mut self, call: &Call<'_>, leg: &Leg, form: &Form) -> Answered {
        let mfa_token = form.required("mfa_token")?;
        let (account, _) = self.transaction(call, leg, mfa_token)?;
        self.count_token_request(account, call.now)?;
        let (_, method) = self.redeem_passkey(call, leg, form, Some(mfa_token))?;
        self.after_second_factor(call, mfa_token, method)
    }

    /// A code of the authenticator app, counted before it is looked at.
    fn check_otp(&mut self, call: &Call<'_>, account: usize, otp: &str) -> Result<(), Refusal> {
        self.count_code(account, call.now)?;
        let skew = self.settings.totp_skew;
        let known = self.account_mut(account)?;
        let key = known.user.totp_key().ok_or(catalogue::DIRECT_AUTH_FACTOR_ENROLLMENT_REQUIRED)?;
        if known.is_locked() || !known.totp.accept(&key, otp, call.seconds(), skew) {
            return Err(catalogue::DIRECT_AUTH_INVALID_OTP.into());
        }
        known.code_attempts.clear();
        Ok(())
    }
}
