//! Who may go on with what: client, scope, `acr_values` and intent of a request, what binds the legs of one sign-in
//! together, and whether a second factor is due (protocol.md §1.1, §2.1).

use std::time::Duration;

use serde_json::{Map, json};

use super::answer::Refusal;
use super::metadata::is_oidc_scope;
use super::recovery::is_recovery_scope;
use super::request::Form;
use super::state::Random;
use super::{Answered, Call, GrantType, Operation, Server, State, catalogue};
use crate::config::{Assurance, Factor};

const LONGEST_SCOPE: usize = 1024;
/// The intent of a sign-in that is for a new password only.
pub(crate) const RECOVERY: &str = "recovery";
pub(crate) const LONGEST_REFRESH_SCOPE: usize = 4096;
const ATTESTATION: &str = "urn:okta:app:mfa:attestation";
const ONE_FACTOR: &str = "urn:okta:loa:1fa:any";
const PASSWORD: &str = "urn:okta:loa:1fa:pwd";
const TWO_FACTORS: &str = "urn:okta:loa:2fa:any";
const TWO_FACTORS_IF_POSSIBLE: &str = "urn:okta:loa:2fa:any:ifpossible";
const PHISHING_RESISTANT: &str = "phr";
const PHISHING_RESISTANT_HARDWARE: &str = "phrh";

/// What one request says about the sign-in that it belongs to.
#[derive(Debug)]
pub(crate) struct Leg {
    pub(crate) client: String,
    pub(crate) server: Server,
    pub(crate) scope: Option<String>,
    pub(crate) acr_values: Option<String>,
    pub(crate) intent: Option<String>,
    /// Of the key that a token request has proven.
    pub(crate) thumbprint: Option<String>,
    supported: Option<String>,
}

#[cfg(test)]
impl Leg {
    pub(crate) fn of(client: &str, server: Server) -> Self {
        Self {
            client: client.to_owned(),
            server,
            scope: None,
            acr_values: None,
            intent: None,
            thumbprint: None,
            supported: None,
        }
    }
}

/// What the first leg fixed; every later one must say the same.
#[derive(Clone, Debug)]
pub(crate) struct Bound {
    pub(crate) client: String,
    server: Server,
    /// Unknown until the first leg that may carry it.
    scope: Option<String>,
    acr_values: Option<String>,
    intent: Option<String>,
    /// Of the first leg that has shown a key.
    thumbprint: Option<String>,
}

impl Bound {
    pub(crate) fn thumbprint(&self) -> Option<String> {
        self.thumbprint.clone()
    }

    /// The scope, once it is known.
    pub(crate) fn scope(&self) -> Option<&str> {
        self.scope.as_deref()
    }

    /// What the tokens say as `acr`: nothing unless classes were asked for; then the first of them that was reached,
    /// or what was reached.
    pub(crate) fn acr_reached(&self, methods: &[Method]) -> Option<String> {
        let asked = self.acr_values.as_deref()?;
        let mut reached: Vec<&str> = match methods {
            [Method::Password] => vec![ONE_FACTOR, PASSWORD, TWO_FACTORS_IF_POSSIBLE],
            [Method::Passkey { is_verified: true }] => vec![TWO_FACTORS, TWO_FACTORS_IF_POSSIBLE, ONE_FACTOR],
            [_] => vec![ONE_FACTOR, TWO_FACTORS_IF_POSSIBLE],
            _ => vec![TWO_FACTORS, TWO_FACTORS_IF_POSSIBLE, ONE_FACTOR],
        };
        if methods.iter().any(|method| matches!(method, Method::Passkey { .. })) {
            reached.splice(0..0, [PHISHING_RESISTANT, PHISHING_RESISTANT_HARDWARE]);
        }
        let first = asked.split(' ').find(|value| reached.contains(value)).or(reached.first().copied());
        first.map(str::to_owned)
    }

    pub(crate) fn by(leg: &Leg) -> Self {
        Self {
            client: leg.client.clone(),
            server: leg.server,
            scope: leg.scope.clone(),
            acr_values: leg.acr_values.clone(),
            intent: leg.intent.clone(),
            thumbprint: leg.thumbprint.clone(),
        }
    }

    /// Refuses a leg that differs; a leg without a scope is one that may not carry any.
    pub(crate) fn check(&mut self, leg: &Leg) -> Result<(), Refusal> {
        if leg.client != self.client {
            return Err(Refusal::changed(catalogue::DIRECT_AUTH_INVALID_CLIENT_ID, &leg.client, &self.client));
        }
        if leg.server != self.server {
            return Err(Refusal::changed(catalogue::DIRECT_AUTH_INVALID_AS_ID, leg.server.id(), self.server.id()));
        }
        if let Some(scope) = &leg.scope {
            let fixed = self.scope.get_or_insert_with(|| scope.clone());
            if fixed != scope {
                return Err(Refusal::changed(catalogue::DIRECT_AUTH_INVALID_SCOPE, scope, fixed.as_str()));
            }
        }
        if let Some(thumbprint) = &leg.thumbprint {
            let fixed = self.thumbprint.get_or_insert_with(|| thumbprint.clone());
            if fixed != thumbprint {
                return Err(catalogue::INVALID_DPOP_PROOF_INVALID_PUBLIC_KEY_BINDING.into());
            }
        }
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        if leg.acr_values != self.acr_values {
            let (new, old) = (text(&leg.acr_values), text(&self.acr_values));
            return Err(Refusal::changed(catalogue::DIRECT_AUTH_ACR_VALUES_CHANGED, new, old));
        }
        if leg.intent != self.intent {
            let (new, old) = (text(&leg.intent), text(&self.intent));
            return Err(Refusal::changed(catalogue::DIRECT_AUTH_INTENT_VALUES_CHANGED, new, old));
        }
        Ok(())
    }
}

/// A sign-in that waits for its second factor; `mfa_token` names it.
pub(crate) struct Transaction {
    pub(crate) bound: Bound,
    pub(crate) account: usize,
    pub(crate) first: Method,
    pub(crate) ends: Duration,
}

/// How a leg showed who the user is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Password,
    Factor(Factor),
    Passkey { is_verified: bool },
}

impl Method {
    pub(crate) fn amr(self) -> &'static str {
        match self {
            Self::Password => "pwd",
            Self::Factor(factor) => factor.amr(),
            Self::Passkey { .. } => Factor::Passkey.amr(),
        }
    }

    fn is(self, factor: Factor) -> bool {
        match self {
            Self::Password => false,
            Self::Factor(known) => known == factor,
            Self::Passkey { .. } => factor == Factor::Passkey,
        }
    }
}

impl State {
    /// Reads what a request says about its sign-in, and refuses what no leg may say.
    pub(crate) fn leg(&self, call: &Call<'_>, form: &Form) -> Result<Leg, Refusal> {
        let client = self.client(call, form)?;
        let acr_values = form.value("acr_values").map(str::to_owned);
        if let Some(values) = &acr_values
            && values.split(' ').any(|value| value == ATTESTATION)
        {
            let alone = values == ATTESTATION;
            return Err(if alone {
                catalogue::DIRECT_AUTH_MFA_ATTESTATION_REQUIRES_CLIENT_CREDENTIALS.into()
            } else {
                catalogue::DIRECT_AUTH_MFA_ATTESTATION_WITH_OTHER_ACRS.into()
            });
        }
        let supported = form.value("grant_types_supported").map(str::to_owned);
        if let Some(list) = &supported
            && let Some(unknown) = list.split(' ').find(|uri| GrantType::from_uri(uri).is_none())
        {
            return Err(Refusal::of(catalogue::DIRECT_AUTH_INVALID_GRANT_TYPE_SUPPORTED, unknown));
        }
        let intent = self.intent(form.value("intent"), form.value("prompt"));
        let scope = form.value("scope").map(str::to_owned);
        Ok(Leg { client, server: call.place.server, scope, acr_values, intent, thumbprint: None, supported })
    }

    /// The public client that calls, by a request of the right form: its id in the body, and nothing else that could
    /// name a client (protocol.md §1.0).
    pub(crate) fn client(&self, call: &Call<'_>, form: &Form) -> Result<String, Refusal> {
        let request = call.request;
        request.require_form_post()?;
        // The documentation has a public client introspect with its id in the query.
        let in_query = match call.place.operation {
            Operation::Introspect => request.only_from_query(Some("client_id"))?,
            _ => request.only_from_query(None)?,
        };
        form.require_no_duplicates()?;
        let in_body = form.value("client_id");
        if in_body.is_some() && in_query.is_some() {
            return Err(Refusal::of(catalogue::ILLEGAL_DUPLICATED_PARAMETERS, "client_id"));
        }
        let client = in_body.or(in_query);
        let header = request.header("authorization").is_some();
        let secret = form.value("client_secret").is_some();
        let assertion = form.value("client_assertion").is_some();
        match (header, secret, assertion) {
            (false, false, false) => {}
            // A header names a client, and so does the id in the body.
            (true, false, false) if client.is_none() => {
                return Err(catalogue::INVALID_TOKEN_ENDPOINT_AUTH_METHOD.into());
            }
            (false, true, false) | (false, false, true) => {
                return Err(catalogue::INVALID_TOKEN_ENDPOINT_AUTH_METHOD.into());
            }
            _ => {
                let status = Some(self.settings.several_credentials_status);
                let row = catalogue::MULTIPLE_CLIENT_CREDENTIALS;
                return Err(Refusal::OAuth { row, fill: Default::default(), members: Box::default(), status });
            }
        }
        let client = client.ok_or(catalogue::MISSING_CLIENT_CREDENTIALS)?;
        if self.knows_client(client) { Ok(client.to_owned()) } else { Err(catalogue::INVALID_CLIENT_ID.into()) }
    }

    /// Refuses a scope that is missing or unknown to the server that was called.
    pub(crate) fn check_scope(&self, leg: &Leg) -> Result<(), Refusal> {
        let scope = leg.scope.as_deref().ok_or(catalogue::MISSING_SCOPES)?;
        check_length(Some(scope), LONGEST_SCOPE)?;
        let asked: Vec<&str> = scope.split(' ').collect();
        if leg.intent.as_deref() == Some(RECOVERY) {
            let is_known = |scope: &&str| leg.server == Server::Org && is_recovery_scope(scope);
            return match asked.iter().find(|scope| !is_known(scope)) {
                None => Ok(()),
                Some(other) => Err(Refusal::changed(catalogue::DIRECT_AUTH_INVALID_SCOPE_FOR_INTENT, *other, RECOVERY)),
            };
        }
        if asked.iter().any(|asked| self.scopes_of(leg.server).all(|known| known != asked)) {
            return Err(match leg.server {
                Server::Org => catalogue::INVALID_SCOPE.into(),
                Server::Custom => catalogue::NO_MATCHING_SCOPE.into(),
            });
        }
        let needs_openid = asked.iter().any(|scope| is_oidc_scope(scope) && *scope != "offline_access");
        if needs_openid && !asked.contains(&"openid") {
            return Err(catalogue::OPENID_SCOPE_REQUIRED.into());
        }
        Ok(())
    }

    /// `scope` does not belong on `/challenge` and `/primary-authenticate`.
    pub(crate) fn refuse_scope(&self, leg: &mut Leg) -> Result<(), Refusal> {
        match leg.scope.take() {
            Some(_) if self.settings.refuse_scope_on_challenge => Err(catalogue::DIRECT_AUTH_SCOPE_NOT_ALLOWED.into()),
            _ => Ok(()),
        }
    }

    /// Refuses a grant that does not exist or that the app may not use.
    pub(crate) fn check_grant(&self, uri: &str) -> Result<GrantType, Refusal> {
        let configured = self.settings.grants.join(", ");
        let offered = GrantType::from_uri(uri).filter(|grant| GrantType::OFFERED.contains(grant));
        let grant = offered.ok_or_else(|| Refusal::of(catalogue::UNSUPPORTED_GRANT_TYPE, &configured))?;
        if self.allows(grant) { Ok(grant) } else { Err(Refusal::of(catalogue::UNAUTHORIZED_CLIENT, configured)) }
    }

    fn allows(&self, grant: GrantType) -> bool {
        self.settings.grants.iter().any(|allowed| allowed == grant.uri())
    }

    /// The user showed one factor: tokens, or the demand for a second one.
    pub(crate) fn after_first_factor(&mut self, call: &Call<'_>, leg: &Leg, account: usize, first: Method) -> Answered {
        let user = &self.account(account)?.user;
        let mut others: Vec<Factor> =
            user.factors.iter().copied().filter(|factor| self.is_second(*factor, first)).collect();
        let acr = leg.acr_values.as_deref().unwrap_or_default();
        let asks = |wanted: &[&str]| acr.split(' ').any(|value| wanted.contains(&value));
        let phishing_resistant =
            user.assurance == Assurance::PhishingResistant || asks(&[PHISHING_RESISTANT, PHISHING_RESISTANT_HARDWARE]);
        if phishing_resistant {
            if matches!(first, Method::Passkey { .. }) {
                return self.issue(call, &Bound::by(leg), account, &[first]);
            }
            others.retain(|factor| *factor == Factor::Passkey);
            if others.is_empty() {
                return Err(catalogue::UNMET_AUTHENTICATION_REQUIREMENTS.into());
            }
        }
        let two = user.assurance == Assurance::TwoFactors
            || asks(&[TWO_FACTORS])
            || (asks(&[TWO_FACTORS_IF_POSSIBLE]) && !others.is_empty());
        let is_enough = !phishing_resistant && (!two || first == Method::Passkey { is_verified: true });
        if is_enough {
            return self.issue(call, &Bound::by(leg), account, &[first]);
        }
        if others.is_empty() {
            return Err(catalogue::DIRECT_AUTH_REQUIREMENTS_NO_SUPPORTED_AUTHENTICATORS.into());
        }
        let mut grants: Vec<GrantType> = others.iter().map(|factor| second_grant(*factor)).collect();
        grants.sort_by_key(|grant| grant.uri());
        grants.dedup();
        grants.retain(|grant| self.allows(*grant));
        if grants.is_empty() {
            return Err(catalogue::DIRECT_AUTH_PROMPTED_GRANT_TYPE_DISABLED_FOR_CLIENT.into());
        }
        if let Some(supported) = &leg.supported
            && !grants.iter().any(|grant| supported.split(' ').any(|uri| uri == grant.uri()))
        {
            return Err(Refusal::of(catalogue::DIRECT_AUTH_GRANT_TYPES_SUPPORTED_NOT_PROMPTED, supported));
        }
        let mfa_token = Random::token(20)?;
        let ends = call.now.saturating_add(Duration::from_secs(self.settings.mfa_token_lifetime));
        self.transactions.add(mfa_token.clone(), Transaction { bound: Bound::by(leg), account, first, ends });
        let mut members = Map::new();
        members.insert("mfa_token".to_owned(), json!(mfa_token));
        if self.settings.hint_challenge_types {
            let types: Vec<&str> = grants.iter().map(|grant| grant.uri()).collect();
            let types = if self.settings.challenge_types_as_array { json!(types) } else { json!(types.join(" ")) };
            members.insert("supported_challenge_types".to_owned(), types);
        }
        let status = Some(self.settings.mfa_required_status);
        Err(Refusal::OAuth {
            row: catalogue::MFA_REQUIRED,
            fill: Default::default(),
            members: Box::new(members),
            status,
        })
    }

    /// The sign-in that an `mfa_token` names, if this leg may go on with it.
    pub(crate) fn transaction(
        &mut self,
        call: &Call<'_>,
        leg: &Leg,
        mfa_token: &str,
    ) -> Result<(usize, Method), Refusal> {
        let expired = || Refusal::changed(catalogue::DIRECT_AUTH_EXPIRED_TOKEN, "mfa_token", "mfa_token");
        let transaction = self.transactions.find_mut(mfa_token).ok_or_else(expired)?;
        transaction.bound.check(leg)?;
        if transaction.ends <= call.now {
            self.transactions.remove(mfa_token);
            return Err(expired());
        }
        Ok((transaction.account, transaction.first))
    }

    /// The user showed a second factor: the `mfa_token` is spent.
    pub(crate) fn after_second_factor(&mut self, call: &Call<'_>, mfa_token: &str, second: Method) -> Answered {
        let transaction = self.transactions.remove(mfa_token).ok_or(catalogue::SERVER_ERROR)?;
        self.issue(call, &transaction.bound, transaction.account, &[transaction.first, second])
    }

    /// Refuses a second factor that is not enrolled or that was the first one.
    pub(crate) fn check_second(&self, account: usize, factor: Factor, first: Method) -> Result<(), Refusal> {
        self.check_enrolled(account, factor)?;
        if self.is_second(factor, first) {
            Ok(())
        } else {
            Err(catalogue::DIRECT_AUTH_NOT_CHALLENGED_FOR_REQUIRED_FACTOR_TYPE.into())
        }
    }

    pub(crate) fn check_enrolled(&self, account: usize, factor: Factor) -> Result<(), Refusal> {
        if self.account(account)?.user.factors.contains(&factor) {
            Ok(())
        } else {
            Err(catalogue::DIRECT_AUTH_FACTOR_ENROLLMENT_REQUIRED.into())
        }
    }

    fn is_second(&self, factor: Factor, first: Method) -> bool {
        !first.is(factor) && (factor != Factor::Email || self.settings.email_channel)
    }
}

/// Refuses a scope that is longer than documented (protocol.md §1.1).
pub(crate) fn check_length(scope: Option<&str>, longest: usize) -> Result<(), Refusal> {
    match scope {
        Some(scope) if scope.len() > longest => Err(catalogue::INVALID_SCOPE.into()),
        _ => Ok(()),
    }
}

fn second_grant(factor: Factor) -> GrantType {
    match factor {
        Factor::Totp => GrantType::MfaOtp,
        Factor::Push | Factor::Sms | Factor::Voice | Factor::Email => GrantType::MfaOob,
        Factor::Passkey => GrantType::MfaWebAuthn,
    }
}
