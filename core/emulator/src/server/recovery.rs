//! A forgotten password: who may recover, and the password of Okta's MyAccount API (protocol.md §1.14, §2.6).

use serde_json::Value;

use super::answer::{Refusal, Reply};
use super::policy::{Leg, RECOVERY};
use super::{Answered, Call, Server, State, catalogue};
use crate::config::{Factor, Status};
use crate::settings::RecoveryRequest;

/// The scope that a new password takes; the org's own server alone knows it.
pub(crate) const MANAGE_PASSWORD: &str = "okta.myAccount.password.manage";
const READ_PASSWORD: &str = "okta.myAccount.password.read";
const MEDIA_TYPE: &str = "application/json;okta-version=1.0.0";

/// Whether a scope is for recovery.
pub(crate) fn is_recovery_scope(scope: &str) -> bool {
    matches!(scope, MANAGE_PASSWORD | READ_PASSWORD)
}

impl State {
    /// What a request means by `intent` and `prompt`: Okta's two SDKs ask for recovery in two ways (X1).
    pub(crate) fn intent(&self, intent: Option<&str>, prompt: Option<&str>) -> Option<String> {
        let by_prompt = self.settings.recovery_request != RecoveryRequest::Intent;
        let by_intent = self.settings.recovery_request != RecoveryRequest::Prompt;
        let prompted = (prompt == Some("recover_authenticator") && by_prompt).then_some(RECOVERY);
        intent.filter(|intent| by_intent || *intent != RECOVERY).or(prompted).map(str::to_owned)
    }

    /// Refuses a first leg whose intent is unknown, or recovery where there is none; `factor` is what it begins with, and
    /// `None` a password.
    pub(crate) fn check_first_leg(&self, leg: &Leg, factor: Option<Factor>) -> Result<(), Refusal> {
        match leg.intent.as_deref() {
            None => Ok(()),
            Some(RECOVERY) if !self.settings.recovery => {
                Err(catalogue::DIRECT_AUTH_RECOVERY_NOT_ENABLED_FOR_USER.into())
            }
            Some(RECOVERY) if self.settings.recovery_factors.is_empty() => {
                Err(catalogue::DIRECT_AUTH_RECOVERY_EMPTY_AUTH_CHAIN.into())
            }
            Some(RECOVERY) => match factor {
                Some(factor) if self.settings.recovery_factors.contains(&factor) => Ok(()),
                _ => Err(catalogue::DIRECT_AUTH_RECOVERY_AUTHENTICATOR_DISABLED.into()),
            },
            Some(other) => Err(Refusal::of(catalogue::DIRECT_AUTH_INVALID_INTENT, other)),
        }
    }

    /// `PUT /idp/myaccount/password`.
    pub(crate) fn new_password(&mut self, call: &Call<'_>) -> Answered {
        let request = call.request;
        request.require_method(&["PUT"])?;
        let of = |name| request.header(name).unwrap_or_default().replace(' ', "").to_ascii_lowercase();
        if of("accept") != MEDIA_TYPE {
            return Ok(Reply::empty(406).outcome("not_acceptable"));
        }
        if of("content-type").split(';').next() != Some("application/json") {
            return Err(Refusal::api(catalogue::E0000021, ""));
        }
        let presented = self.presented(call).map(|(access, grant)| (access.clone(), grant.clone()));
        let (access, grant) = presented.map_err(|refusal| match refusal {
            // Of DPoP it says what is missing.
            Refusal::OAuth { .. } | Refusal::Resource { scheme: "DPoP", .. } => refusal,
            _ => Refusal::api(catalogue::E0000015, ""),
        })?;
        if grant.server != Server::Org || !access.scopes.iter().any(|scope| scope == MANAGE_PASSWORD) {
            return Err(Refusal::api(catalogue::E0000006, ""));
        }
        let index = grant.account;
        let body: Value = serde_json::from_slice(&request.body).map_err(|_| Refusal::api(catalogue::E0000003, ""))?;
        let password = body.pointer("/profile/password").and_then(Value::as_str);
        let password = password.ok_or_else(|| Refusal::api(catalogue::E0000003, ""))?;
        let account = self.account(index)?;
        if matches!(account.user.status, Status::Locked | Status::Unassigned) {
            return Err(Refusal::api(catalogue::E0000038, ""));
        }
        let causes = self.unmet_requirements(index, password)?;
        if !causes.is_empty() {
            return Err(Refusal::Password { causes });
        }
        let account = self.account_mut(index)?;
        account.user.password = Some(password.to_owned());
        account.user.status = Status::Active;
        account.failures = 0;
        let document = serde_json::json!({ "id": account.subject, "status": "ACTIVE" });
        let mut reply = Reply::json(201, &document);
        reply.headers.clear();
        Ok(reply.header("Content-Type", MEDIA_TYPE))
    }

    /// What the password policy has against a new password, a sentence each.
    fn unmet_requirements(&self, account: usize, password: &str) -> Result<Vec<String>, Refusal> {
        let user = &self.account(account)?.user;
        let mut causes = Vec::new();
        let least = self.settings.password_min_length;
        if password.chars().count() < least {
            causes.push(format!(
                "Password requirements were not met. Password requirements: at least {least} characters."
            ));
        }
        let name = user.username.split('@').next().unwrap_or_default().to_lowercase();
        if name.len() > 2 && password.to_lowercase().contains(&name) {
            causes.push("Password requirements: no parts of your username.".to_owned());
        }
        if user.password.as_deref() == Some(password) {
            causes.push("Password cannot be your current password.".to_owned());
        }
        Ok(causes)
    }
}
