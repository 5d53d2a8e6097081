//! `/primary-authenticate`, its deprecated twin `/oob-authenticate`, and `/challenge`: where a prompt starts
//! (protocol.md §1.10, §1.11).

use serde_json::json;

use super::answer::{Refusal, Reply};
use super::policy::{Bound, Leg, Method};
use super::request::Form;
use super::{Answered, Call, GrantType, Operation, State, catalogue};
use crate::config::{Factor, Status};
use crate::settings::SecondFactorAt;

impl State {
    /// Starts an out-of-band prompt as the first factor.
    pub(crate) fn primary_authenticate(&mut self, call: &Call<'_>, form: &Form) -> Answered {
        let mut leg = self.leg(call, form)?;
        self.refuse_scope(&mut leg)?;
        form.refuse_credentials_but(&["login_hint", "mfa_token"])?;
        let is_primary = call.place.operation == Operation::PrimaryAuthenticate;
        if is_primary && form.value("challenge_hint") == Some(GrantType::WebAuthn.uri()) {
            return self.primary_passkey(call, &leg, form);
        }
        // Before the user is looked at: a passkey may be asked for without one.
        if let Some(hint) = form.value("challenge_hint").filter(|hint| is_primary && *hint != GrantType::Oob.uri()) {
            return Err(Refusal::of(catalogue::DIRECT_AUTH_INVALID_CHALLENGE_HINT, hint));
        }
        let username = form.value("login_hint").ok_or(catalogue::DIRECT_AUTH_MISSING_LOGIN_HINT)?;
        if is_primary {
            form.required("challenge_hint")?;
        }
        let factor = self.channel(form)?;
        self.check_grant(GrantType::Oob.uri())?;
        self.check_first_leg(&leg, Some(factor))?;
        let account = self.find_account(username).ok_or(catalogue::DIRECT_AUTH_INVALID_LOGIN_HINT)?;
        match self.account(account)?.user.status {
            // A lockout is not shown.
            Status::Locked => return Err(catalogue::DIRECT_AUTH_INVALID_LOGIN_HINT.into()),
            Status::Unassigned => return Err(catalogue::USER_NOT_ASSIGNED.into()),
            Status::Active | Status::PasswordExpired => {}
        }
        self.check_enrolled(account, factor)?;
        let prompt = self.start_prompt(call, account, Bound::by(&leg), factor, None)?;
        Ok(Reply::json(200, &prompt.into()))
    }

    /// A passkey: as the first factor, also without a username, or with an `mfa_token` as the second (X2).
    fn primary_passkey(&mut self, call: &Call<'_>, leg: &Leg, form: &Form) -> Answered {
        if let Some(mfa_token) = form.value("mfa_token") {
            if self.settings.passkey_second_factor_at == SecondFactorAt::Challenge {
                return Err(Refusal::of(catalogue::DIRECT_AUTH_INVALID_CHALLENGE_HINT, GrantType::WebAuthn.uri()));
            }
            let (account, first) = self.transaction(call, leg, mfa_token)?;
            return self.second_passkey(call, leg, mfa_token, account, first);
        }
        self.check_grant(GrantType::WebAuthn.uri())?;
        self.check_first_leg(leg, Some(Factor::Passkey))?;
        let account = match form.value("login_hint") {
            None => None,
            Some(username) => {
                let account = self.find_account(username).ok_or(catalogue::DIRECT_AUTH_INVALID_LOGIN_HINT)?;
                match self.account(account)?.user.status {
                    Status::Locked => return Err(catalogue::DIRECT_AUTH_INVALID_LOGIN_HINT.into()),
                    Status::Unassigned => return Err(catalogue::USER_NOT_ASSIGNED.into()),
                    Status::Active | Status::PasswordExpired => {}
                }
                self.check_enrolled(account, Factor::Passkey)?;
                Some(account)
            }
        };
        let challenge = self.start_passkey(call, account, Bound::by(leg), None)?;
        Ok(Reply::json(200, &challenge.into()))
    }

    fn second_passkey(
        &mut self,
        call: &Call<'_>,
        leg: &Leg,
        mfa_token: &str,
        account: usize,
        first: Method,
    ) -> Answered {
        self.check_second(account, Factor::Passkey, first)?;
        self.check_grant(GrantType::MfaWebAuthn.uri())?;
        let bound = self.bound_of(mfa_token, leg);
        let challenge = self.start_passkey(call, Some(account), bound, Some(mfa_token.to_owned()))?;
        Ok(Reply::json(200, &challenge.into()))
    }

    /// Names, or starts, a second factor.
    pub(crate) fn challenge(&mut self, call: &Call<'_>, form: &Form) -> Answered {
        let mut leg = self.leg(call, form)?;
        self.refuse_scope(&mut leg)?;
        form.refuse_credentials_but(&["mfa_token", "login_hint"])?;
        let mfa_token = form.required("mfa_token")?;
        let (account, first) = self.transaction(call, &leg, mfa_token)?;
        match self.challenge_type(form, account)? {
            GrantType::MfaOtp => {
                self.check_second(account, Factor::Totp, first)?;
                self.check_grant(GrantType::MfaOtp.uri())?;
                Ok(Reply::json(200, &json!({ "challenge_type": GrantType::MfaOtp.uri() })))
            }
            GrantType::MfaWebAuthn => self.second_passkey(call, &leg, mfa_token, account, first),
            _ => {
                let factor = self.channel(form)?;
                self.check_second(account, factor, first)?;
                self.check_grant(GrantType::MfaOob.uri())?;
                let bound = self.bound_of(mfa_token, &leg);
                let mut prompt = self.start_prompt(call, account, bound, factor, Some(mfa_token.to_owned()))?;
                prompt.insert("challenge_type".to_owned(), json!(GrantType::MfaOob.uri()));
                Ok(Reply::json(200, &prompt.into()))
            }
        }
    }

    /// What the client asks to be challenged with: a channel means a prompt; otherwise a code of the authenticator app.
    fn challenge_type(&self, form: &Form, account: usize) -> Result<GrantType, Refusal> {
        let listed = form.value("challenge_types_supported");
        let mut types = Vec::new();
        for uri in listed.iter().flat_map(|list| list.split(' ')) {
            match GrantType::from_uri(uri) {
                Some(kind @ (GrantType::MfaOtp | GrantType::MfaOob | GrantType::MfaWebAuthn)) => types.push(kind),
                _ => return Err(self.unsupported_challenge_type(uri)),
            }
        }
        if listed.is_none() {
            types = vec![GrantType::MfaOtp, GrantType::MfaOob];
        }
        let has_totp = self.account(account)?.user.factors.contains(&Factor::Totp);
        let (otp, oob) = (types.contains(&GrantType::MfaOtp), types.contains(&GrantType::MfaOob));
        let passkey = types.contains(&GrantType::MfaWebAuthn);
        if passkey && self.settings.passkey_second_factor_at == SecondFactorAt::PrimaryAuthenticate {
            return Err(self.unsupported_challenge_type(GrantType::MfaWebAuthn.uri()));
        }
        let has_passkey = self.account(account)?.user.factors.contains(&Factor::Passkey);
        if passkey && form.value("channel_hint").is_none() && (types.len() == 1 || (has_passkey && !has_totp)) {
            return Ok(GrantType::MfaWebAuthn);
        }
        if oob && (form.value("channel_hint").is_some() || !(otp && has_totp)) {
            Ok(GrantType::MfaOob)
        } else if otp {
            Ok(GrantType::MfaOtp)
        } else {
            Err(self.unsupported_challenge_type(listed.unwrap_or_default()))
        }
    }

    fn unsupported_challenge_type(&self, uri: &str) -> Refusal {
        match self.settings.unsupported_challenge_type_status {
            403 => catalogue::DIRECT_AUTH_NOT_CHALLENGED_FOR_REQUIRED_FACTOR_TYPE.into(),
            _ => Refusal::of(catalogue::DIRECT_AUTH_INVALID_CHALLENGE_TYPE, uri),
        }
    }

    fn channel(&self, form: &Form) -> Result<Factor, Refusal> {
        let hint = form.required("channel_hint")?;
        Factor::from_channel(hint)
            .filter(|factor| *factor != Factor::Email || self.settings.email_channel)
            .ok_or_else(|| Refusal::of(catalogue::DIRECT_AUTH_INVALID_CHANNEL_HINT, hint))
    }

    fn bound_of(&self, mfa_token: &str, leg: &Leg) -> Bound {
        self.transactions.find(mfa_token).map_or_else(|| Bound::by(leg), |transaction| transaction.bound.clone())
    }
}
