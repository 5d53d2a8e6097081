//! `/primary-authenticate`, its deprecated twin `/oob-authenticate`, and `/challenge`: where a prompt starts
//! (protocol.md §1.10, §1.11).

use serde_json::json;

use super::answer::{Refusal, Reply};
use super::policy::{Bound, Leg};
use super::request::Form;
use super::{Answered, Call, GrantType, Operation, State, catalogue};
use crate::config::{Factor, Status};

impl State {
    /// Starts an out-of-band prompt as the first factor.
    pub(crate) fn primary_authenticate(&mut self, call: &Call<'_>, form: &Form) -> Answered {
        let mut leg = self.leg(call, form)?;
        self.refuse_scope(&mut leg)?;
        form.refuse_credentials_but(&["login_hint", "mfa_token"])?;
        let is_primary = call.place.operation == Operation::PrimaryAuthenticate;
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
        self.check_first_leg(&leg)?;
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
