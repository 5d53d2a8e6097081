//! What is sent: one function for each request, so that every parameter stands in one place. protocol.md §1.
//!
//! `client_id` is always the last parameter: the end of a body passes through a cipher's scratch space, and the secrets
//! keep away from it.

use std::sync::Arc;

use super::form::{Body, Form};
use super::oob::{MFA_OOB, MFA_OTP, MFA_WEBAUTHN};
use super::passkey::{Assertion, WEBAUTHN};
use crate::config::{ClientId, Factor, Scopes};

const OOB: &str = "urn:okta:params:oauth:grant-type:oob";
const OTP: &str = "urn:okta:params:oauth:grant-type:otp";

/// What all requests of one sign-in have in common. Nothing of it changes between the legs (protocol.md §2.1).
#[derive(Clone, Debug)]
pub(crate) struct Common {
    pub(crate) client_id: ClientId,
    pub(crate) scopes: Scopes,
    pub(crate) capabilities: Vec<Factor>,
    /// Whether the server knows direct authentication; if not, nothing of it is sent.
    pub(crate) is_direct: bool,
    /// The parameter `acr_values`: the same on every leg, or on none.
    pub(crate) acr_values: Option<String>,
    /// What the app adds to each request to the token endpoint.
    pub(crate) additional: Arc<[(String, String)]>,
    /// A parameter that says what the sign-in is for, if it is not for a session: the same on every leg.
    pub(crate) intent: Option<(&'static str, &'static str)>,
}

impl Common {
    /// What ends the form of a token request.
    fn end_token<'a>(&'a self, mut form: Form<'a>) -> Body {
        form.all(&self.additional);
        self.end(form)
    }

    /// What ends the form of every leg.
    fn end<'a>(&'a self, mut form: Form<'a>) -> Body {
        if let Some(acr_values) = &self.acr_values {
            form.push("acr_values", acr_values);
        }
        if let Some((name, value)) = self.intent {
            form.push(name, value);
        }
        form.push("client_id", self.client_id.as_str());
        form.encode()
    }

    /// `grant_types_supported`: the grant of this leg, and the second factors that the app can do.
    fn grants(&self, primary: &str) -> String {
        let mut grants = primary.to_owned();
        for second in self.second_factor_grants() {
            grants.push(' ');
            grants.push_str(second);
        }
        grants
    }

    /// The second-factor grants that the declared capabilities need.
    pub(crate) fn second_factor_grants(&self) -> Vec<&'static str> {
        let needs = |grant: &str| self.capabilities.iter().any(|factor| second_factor_grant(*factor) == grant);
        [MFA_OOB, MFA_OTP, MFA_WEBAUTHN].into_iter().filter(|grant| needs(grant)).collect()
    }
}

/// The grant that carries a factor as the second one.
pub(crate) fn second_factor_grant(factor: Factor) -> &'static str {
    match factor {
        Factor::Otp => MFA_OTP,
        Factor::Passkey => MFA_WEBAUTHN,
        Factor::Push | Factor::Sms | Factor::Voice | Factor::Email => MFA_OOB,
    }
}

/// `/token`, grant `password` (§1.2).
pub(crate) fn password(common: &Common, username: &str, password: &str) -> Body {
    let grants = common.grants("password");
    let mut form = Form::new();
    form.push("grant_type", "password");
    form.private("username", username);
    form.private("password", password);
    form.push("scope", common.scopes.as_str());
    if common.is_direct {
        form.push("grant_types_supported", &grants);
    }
    common.end_token(form)
}

/// `/token`, grant `otp` as the first factor (§1.3).
pub(crate) fn otp(common: &Common, username: &str, code: &str) -> Body {
    let grants = common.grants(OTP);
    let mut form = Form::new();
    form.push("grant_type", OTP);
    form.private("login_hint", username);
    form.private("otp", code);
    form.push("scope", common.scopes.as_str());
    form.push("grant_types_supported", &grants);
    common.end_token(form)
}

/// `/primary-authenticate` (§1.10); no scope there.
pub(crate) fn primary_authenticate(common: &Common, username: &str, factor: Factor) -> Body {
    let mut form = Form::new();
    form.private("login_hint", username);
    form.push("challenge_hint", OOB);
    form.push("channel_hint", factor.name());
    common.end(form)
}

/// `/primary-authenticate` for a passkey (§1.10): of a user, of whoever it belongs to, or with an `mfa_token` as the second
/// factor (X2).
pub(crate) fn primary_passkey(common: &Common, username: Option<&str>, mfa_token: Option<&str>) -> Body {
    let mut form = Form::new();
    if let Some(username) = username {
        form.private("login_hint", username);
    }
    if let Some(mfa_token) = mfa_token {
        form.private("mfa_token", mfa_token);
    }
    form.push("challenge_hint", WEBAUTHN);
    common.end(form)
}

/// `/challenge` (§1.11); no scope there.
pub(crate) fn challenge(common: &Common, mfa_token: &str, factor: Factor) -> Body {
    let mut form = Form::new();
    form.private("mfa_token", mfa_token);
    form.push("challenge_types_supported", second_factor_grant(factor));
    if factor != Factor::Passkey {
        form.push("channel_hint", factor.name());
    }
    common.end(form)
}

/// `/token` for an out-of-band factor, first or second (§1.4, §1.5). `mfa_token` is always sent with a second (X4).
pub(crate) fn oob(common: &Common, oob_code: &str, binding_code: Option<&str>, mfa_token: Option<&str>) -> Body {
    let grants = common.grants(OOB);
    let mut form = Form::new();
    form.push("grant_type", if mfa_token.is_some() { MFA_OOB } else { OOB });
    if let Some(mfa_token) = mfa_token {
        form.private("mfa_token", mfa_token);
    }
    form.private("oob_code", oob_code);
    if let Some(binding_code) = binding_code {
        form.private("binding_code", binding_code);
    }
    form.push("scope", common.scopes.as_str());
    if mfa_token.is_none() {
        form.push("grant_types_supported", &grants);
    }
    common.end_token(form)
}

/// `/token` for a one-time code as second factor (§1.5).
pub(crate) fn mfa_otp(common: &Common, mfa_token: &str, code: &str) -> Body {
    let mut form = Form::new();
    form.push("grant_type", MFA_OTP);
    form.private("mfa_token", mfa_token);
    form.private("otp", code);
    form.push("scope", common.scopes.as_str());
    common.end_token(form)
}

/// `/token` for a passkey, first or second (§1.6). Its parameters are camelCase, unlike all others; no credential id.
pub(crate) fn passkey(common: &Common, assertion: &Assertion, mfa_token: Option<&str>) -> Body {
    let grants = common.grants(WEBAUTHN);
    let mut form = Form::new();
    form.push("grant_type", if mfa_token.is_some() { MFA_WEBAUTHN } else { WEBAUTHN });
    if let Some(mfa_token) = mfa_token {
        form.private("mfa_token", mfa_token);
    }
    // EXPOSE: written into the request body, which wipes itself after its one send.
    form.private("authenticatorData", assertion.authenticator_data.expose());
    form.private("clientDataJSON", assertion.client_data.expose());
    form.private("signature", assertion.signature.expose());
    if let Some(user_handle) = &assertion.user_handle {
        form.private("userHandle", user_handle.expose());
    }
    form.push("scope", common.scopes.as_str());
    if mfa_token.is_none() {
        form.push("grant_types_supported", &grants);
    }
    common.end_token(form)
}

/// `/token`, grant `refresh_token` (§1.7). The scope is what was granted: never wider, and `openid` for a new ID token.
pub(crate) fn refresh(
    client_id: &ClientId,
    refresh_token: &str,
    granted: &str,
    additional: &[(String, String)],
) -> Body {
    let mut form = Form::new();
    form.push("grant_type", "refresh_token");
    form.private("refresh_token", refresh_token);
    if !granted.is_empty() {
        form.push("scope", granted);
    }
    form.all(additional);
    form.push("client_id", client_id.as_str());
    form.encode()
}

/// `/introspect` (§1.13), with the client's id in the body.
pub(crate) fn introspect(client_id: &ClientId, token: &str, hint: &'static str) -> Body {
    revoke(client_id, token, hint)
}

/// `/revoke` (§1.12).
pub(crate) fn revoke(client_id: &ClientId, token: &str, hint: &'static str) -> Body {
    let mut form = Form::new();
    form.private("token", token);
    form.push("token_type_hint", hint);
    form.push("client_id", client_id.as_str());
    form.encode()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn common() -> Common {
        Common {
            client_id: ClientId::parse("0oa1").unwrap(),
            scopes: Scopes::parse(["openid", "offline_access"]).unwrap(),
            capabilities: Factor::ALL.to_vec(),
            is_direct: true,
            acr_values: None,
            additional: Arc::default(),
            intent: None,
        }
    }

    fn text(body: Body) -> String {
        String::from_utf8(body.into_parts().0.to_vec()).unwrap()
    }

    #[test]
    fn each_request_has_exactly_its_parameters() {
        let c = common();
        let second = "http%3A%2F%2Fauth0.com%2Foauth%2Fgrant-type%2Fmfa-oob+http%3A%2F%2Fauth0.com%2Foauth%2Fgrant-type%2Fmfa-otp+urn%3Aokta%3Aparams%3Aoauth%3Agrant-type%3Amfa-webauthn";
        let assertion = |user_handle: Option<&str>| Assertion {
            authenticator_data: "AA".into(),
            client_data: "BB".into(),
            signature: "CC".into(),
            user_handle: user_handle.map(Into::into),
        };
        let webauthn = "urn%3Aokta%3Aparams%3Aoauth%3Agrant-type%3Awebauthn";
        let mfa_webauthn = "urn%3Aokta%3Aparams%3Aoauth%3Agrant-type%3Amfa-webauthn";
        let scope = "scope=openid+offline_access";
        for (body, expected) in [
            (
                password(&c, "ana@example.com", "p&w+ ü"),
                format!(
                    "grant_type=password&username=ana%40example.com&password=p%26w%2B+%C3%BC&{scope}&grant_types_supported=password+{second}&client_id=0oa1"
                ),
            ),
            (
                otp(&c, "ana", "123456"),
                format!(
                    "grant_type=urn%3Aokta%3Aparams%3Aoauth%3Agrant-type%3Aotp&login_hint=ana&otp=123456&{scope}&grant_types_supported=urn%3Aokta%3Aparams%3Aoauth%3Agrant-type%3Aotp+{second}&client_id=0oa1"
                ),
            ),
            (
                primary_authenticate(&c, "ana", Factor::Push),
                "login_hint=ana&challenge_hint=urn%3Aokta%3Aparams%3Aoauth%3Agrant-type%3Aoob&channel_hint=push&client_id=0oa1"
                    .to_owned(),
            ),
            (
                challenge(&c, "m t", Factor::Sms),
                "mfa_token=m+t&challenge_types_supported=http%3A%2F%2Fauth0.com%2Foauth%2Fgrant-type%2Fmfa-oob&channel_hint=sms&client_id=0oa1"
                    .to_owned(),
            ),
            (
                oob(&c, "o", Some("123"), Some("m")),
                format!(
                    "grant_type=http%3A%2F%2Fauth0.com%2Foauth%2Fgrant-type%2Fmfa-oob&mfa_token=m&oob_code=o&binding_code=123&{scope}&client_id=0oa1"
                ),
            ),
            (
                mfa_otp(&c, "m", "1"),
                format!(
                    "grant_type=http%3A%2F%2Fauth0.com%2Foauth%2Fgrant-type%2Fmfa-otp&mfa_token=m&otp=1&{scope}&client_id=0oa1"
                ),
            ),
            (
                primary_passkey(&c, Some("ana"), None),
                format!("login_hint=ana&challenge_hint={webauthn}&client_id=0oa1"),
            ),
            (primary_passkey(&c, None, None), format!("challenge_hint={webauthn}&client_id=0oa1")),
            (primary_passkey(&c, None, Some("m")), format!("mfa_token=m&challenge_hint={webauthn}&client_id=0oa1")),
            (
                challenge(&c, "m", Factor::Passkey),
                format!("mfa_token=m&challenge_types_supported={mfa_webauthn}&client_id=0oa1"),
            ),
            (
                passkey(&c, &assertion(Some("DD")), None),
                format!(
                    "grant_type={webauthn}&authenticatorData=AA&clientDataJSON=BB&signature=CC&userHandle=DD&{scope}&grant_types_supported={webauthn}+{second}&client_id=0oa1"
                ),
            ),
            (
                passkey(&c, &assertion(None), Some("m")),
                format!(
                    "grant_type={mfa_webauthn}&mfa_token=m&authenticatorData=AA&clientDataJSON=BB&signature=CC&{scope}&client_id=0oa1"
                ),
            ),
            (
                refresh(&c.client_id, "r", "openid", &[]),
                "grant_type=refresh_token&refresh_token=r&scope=openid&client_id=0oa1".to_owned(),
            ),
            (
                revoke(&c.client_id, "r", "refresh_token"),
                "token=r&token_type_hint=refresh_token&client_id=0oa1".to_owned(),
            ),
        ] {
            assert_eq!(text(body), expected);
        }
    }

    #[test]
    fn context_classes_and_intent_are_on_every_leg_of_a_sign_in_and_not_on_a_refresh() {
        let intent = Some(("intent", "recovery"));
        let c = Common { acr_values: Some("phr urn:x".to_owned()), intent, ..common() };
        let assertion = Assertion {
            authenticator_data: "AA".into(),
            client_data: "BB".into(),
            signature: "CC".into(),
            user_handle: None,
        };
        for body in [
            password(&c, "ana", "p"),
            otp(&c, "ana", "1"),
            primary_authenticate(&c, "ana", Factor::Sms),
            primary_passkey(&c, None, Some("m")),
            challenge(&c, "m", Factor::Push),
            oob(&c, "o", None, None),
            oob(&c, "o", Some("1"), Some("m")),
            mfa_otp(&c, "m", "1"),
            passkey(&c, &assertion, None),
        ] {
            let text = text(body);
            assert!(text.ends_with("&acr_values=phr+urn%3Ax&intent=recovery&client_id=0oa1"), "{text}");
        }
        assert!(!text(refresh(&c.client_id, "r", "openid", &[])).contains("acr"));
    }

    #[test]
    fn what_the_app_adds_is_on_token_requests_only_and_replaces_nothing() {
        let added = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let additional = [added("audience", "api://x y"), added("scope", "admin")];
        let c = Common { additional: additional.into(), ..common() };
        let sent = text(mfa_otp(&c, "m", "1"));
        assert!(sent.ends_with("&scope=openid+offline_access&audience=api%3A%2F%2Fx+y&client_id=0oa1"), "{sent}");
        assert!(!text(challenge(&c, "m", Factor::Push)).contains("audience"));
        assert!(!text(primary_authenticate(&c, "ana", Factor::Push)).contains("audience"));
        let sent = text(refresh(&c.client_id, "r", "openid", &c.additional));
        assert_eq!(
            sent,
            "grant_type=refresh_token&refresh_token=r&scope=openid&audience=api%3A%2F%2Fx+y&client_id=0oa1"
        );
    }

    #[test]
    fn another_server_than_okta_s_is_sent_nothing_of_direct_authentication() {
        let c = Common { is_direct: false, capabilities: vec![], ..common() };
        let expected = "grant_type=password&username=ana&password=p&scope=openid+offline_access&client_id=0oa1";
        assert_eq!(text(password(&c, "ana", "p")), expected);
    }

    #[test]
    fn only_declared_capabilities_are_offered_to_the_server() {
        let only = |capabilities: Vec<Factor>| Common { capabilities, ..common() }.second_factor_grants();
        assert_eq!(only(vec![Factor::Otp]), [MFA_OTP]);
        assert_eq!(only(vec![Factor::Sms]), [MFA_OOB]);
        assert_eq!(only(vec![Factor::Passkey, Factor::Push]), [MFA_OOB, MFA_WEBAUTHN]);
        assert!(only(vec![]).is_empty());
    }
}
