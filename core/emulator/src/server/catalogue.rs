//! The errors a direct-auth server answers with (protocol.md §1.15), in its two envelopes: A with status, `error` and
//! description; B with status, E-code and summary. A test compares every row with the tables of that document.
//!
//! The internal code of envelope A is not on the wire; scripts and the journal use it. `{x}`, `{y}` and `{0}` are filled
//! in from the request.

/// One row of envelope A.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) status: u16,
    pub(crate) error: &'static str,
    pub(crate) code: &'static str,
    pub(crate) description: &'static str,
}

/// One row of envelope B.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ApiRow {
    pub(crate) status: u16,
    pub(crate) code: &'static str,
    pub(crate) summary: &'static str,
}

/// A row of either envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    OAuth(&'static Row),
    Api(&'static ApiRow),
}

/// The row of an internal code or of an E-code.
pub(crate) fn find(code: &str) -> Option<Found> {
    let oauth = ALL.iter().copied().find(|row| row.code == code).map(Found::OAuth);
    oauth.or_else(|| API.iter().copied().find(|row| row.code == code).map(Found::Api))
}

macro_rules! catalogue {
    ($($name:ident $status:literal $error:literal $code:literal $description:literal;)*) => {
        $(
            pub(crate) const $name: &Row = &Row { status: $status, error: $error, code: $code, description: $description };
        )*
        const ALL: &[&Row] = &[$($name),*];
    };
}

catalogue! {
    DIRECT_AUTH_EXPIRED_TOKEN 403 "access_denied" "direct_auth_expired_token"
        "'{x}' has expired. Use a new '{y}' and try again.";
    DIRECT_AUTH_FACTOR_ENROLLMENT_REQUIRED 403 "access_denied" "direct_auth_factor_enrollment_required"
        "The required authenticator cannot be used. Check if it is required by policy and the user is enrolled in the authenticator and try again.";
    DIRECT_AUTH_GRANT_TYPES_SUPPORTED_NOT_PROMPTED 403 "access_denied" "direct_auth_grant_types_supported_not_prompted"
        "The 'grant_types_supported' '{x}' are not sufficient to satisfy the authentication policy. Configure additional grant types for the client or revise the authentication policy to allow the user to sign-in.";
    DIRECT_AUTH_NOT_CHALLENGED_FOR_REQUIRED_FACTOR_TYPE 403 "access_denied" "direct_auth_not_challenged_for_required_factor_type"
        "Unable to prompt for the requested authenticators. Review the Authentication Policy’s requirements or request another authenticator and try again.";
    DIRECT_AUTH_POLICY_DENIED 403 "access_denied" "direct_auth_policy_denied"
        "User couldn't be signed-in through direct authentication because authentication policy wasn't satisfied.";
    DIRECT_AUTH_PROMPTED_GRANT_TYPE_DISABLED_FOR_CLIENT 403 "access_denied" "direct_auth_prompted_grant_type_disabled_for_client"
        "The grant types required to satisfy sign on policy are disabled for the client.";
    DIRECT_AUTH_RECOVERY_AUTHENTICATOR_DISABLED 403 "access_denied" "direct_auth_recovery_authenticator_disabled"
        "Authenticators required by recovery policy are not enabled authenticators.";
    DIRECT_AUTH_RECOVERY_EMPTY_AUTH_CHAIN 403 "access_denied" "direct_auth_recovery_empty_auth_chain"
        "Recovery policy does not specify any authenticators that can be used for recovery.";
    DIRECT_AUTH_RECOVERY_NOT_ENABLED_FOR_USER 403 "access_denied" "direct_auth_recovery_not_enabled_for_user"
        "Password recovery is not enabled for the user.";
    DIRECT_AUTH_REQUIREMENTS_NO_SUPPORTED_AUTHENTICATORS 403 "access_denied" "direct_auth_requirements_no_supported_authenticators"
        "No supported authenticators are available.";
    DIRECT_AUTH_REQUIREMENTS_NOT_CHALLENGED 403 "access_denied" "direct_auth_requirements_not_challenged"
        "The user is not challenged for any authenticators by the current policy.";
    DIRECT_AUTH_AUTHORIZATION_PENDING 400 "authorization_pending" "direct_auth_authorization_pending"
        "No user response received on the out-of-band authenticator yet. Continue polling to wait for a response.";
    DIRECT_AUTH_INVALID_CLIENT_ID 401 "invalid_client" "direct_auth_invalid_client_id"
        "The client_id '{x}' does not match the client_id in the original request '{y}'. Use the original client id and try again.";
    DIRECT_AUTH_INVALID_LOGIN_HINT 400 "invalid_grant" "direct_auth_invalid_login_hint"
        "The 'login_hint' does not uniquely identify a user.";
    DIRECT_AUTH_INVALID_OTP 400 "invalid_grant" "direct_auth_invalid_otp"
        "The 'otp' provided is either empty or incorrect. Use the correct OTP and try again.";
    DIRECT_AUTH_NO_PENDING_CHALLENGE 400 "invalid_grant" "direct_auth_no_pending_challenge"
        "There is no pending WebAuthn challenge for the request.";
    DIRECT_AUTH_OOB_REJECT 400 "invalid_grant" "direct_auth_oob_reject"
        "User rejected out-of-band authentication prompt.";
    DIRECT_AUTH_VERIFICATION_FAILURE 400 "invalid_grant" "direct_auth_verification_failure"
        "None of the WebAuthn authenticators the user has enrolled for was able to validate the assertion";
    DIRECT_AUTH_ACR_VALUES_CHANGED 400 "invalid_request" "direct_auth_acr_values_changed"
        "The acr_values '{x}' do not match the acr_values requested in the original request '{y}'. Use the originally requested acr_values and try again.";
    DIRECT_AUTH_INTENT_REQUIRED 400 "invalid_request" "direct_auth_intent_required"
        "The intent parameter is required.";
    DIRECT_AUTH_INTENT_VALUES_CHANGED 400 "invalid_request" "direct_auth_intent_values_changed"
        "The intent '{x}' does not match the intent requested in the original request '{y}'. Use the originally requested intent and try again.";
    DIRECT_AUTH_INVALID_AS_ID 400 "invalid_request" "direct_auth_invalid_as_id"
        "The authorization server id '{x}' in the url_path parameter does not match the authorization server id in the original request '{y}'. Use the original authorization server id and try again.";
    DIRECT_AUTH_INVALID_CHALLENGE_HINT 400 "invalid_request" "direct_auth_invalid_challenge_hint"
        "'{x}' is not supported as a 'challenge_hint'. Try again with another value.";
    DIRECT_AUTH_INVALID_CHALLENGE_TYPE 400 "invalid_request" "direct_auth_invalid_challenge_type"
        "{x} is not supported as a 'challenge_type'. Try again with another value.";
    DIRECT_AUTH_INVALID_CHANNEL_HINT 400 "invalid_request" "direct_auth_invalid_channel_hint"
        "'{x}' is not supported as a 'channel_hint'. Try again with another value.";
    DIRECT_AUTH_INVALID_GRANT_TYPE_SUPPORTED 400 "invalid_request" "direct_auth_invalid_grant_type_supported"
        "{x} is not supported as a 'grant_type'. Remove or replace the value and try again.";
    DIRECT_AUTH_INVALID_INTENT 400 "invalid_request" "direct_auth_invalid_intent"
        "'{x}' is an invalid intent.";
    DIRECT_AUTH_INVALID_WEBAUTHN_CHALLENGE_DATA 400 "invalid_request" "direct_auth_invalid_webauthn_challenge_data"
        "'clientDataJSON' is not a Base64 encoded JSON string containing a 'challenge'.";
    DIRECT_AUTH_INVALID_WEBAUTHN_REQUEST 400 "invalid_request" "direct_auth_invalid_webauthn_request"
        "WebAuthn requests must contain 'authenticatorData', 'clientDataJSON', and 'signature'.";
    DIRECT_AUTH_MFA_ATTESTATION_REQUIRES_CLIENT_CREDENTIALS 400 "invalid_request" "direct_auth_mfa_attestation_requires_client_credentials"
        "Client authentication is required for MFA attestation requests.";
    DIRECT_AUTH_MFA_ATTESTATION_WITH_OTHER_ACRS 400 "invalid_request" "direct_auth_mfa_attestation_with_other_acrs"
        "urn:okta:app:mfa:attestation can not be used with any other ACR values.";
    DIRECT_AUTH_MISSING_LOGIN_HINT 400 "invalid_request" "direct_auth_missing_login_hint"
        "A 'login_hint' is required for the request.";
    DIRECT_AUTH_OOB_CODE_NOT_FOR_MFA_TOKEN 400 "invalid_request" "direct_auth_oob_code_not_for_mfa_token"
        "The 'oob_code' and the 'mfa_token' provided are not associated with each other. Review the values and try again.";
    DIRECT_AUTH_WEBAUTHN_CHALLENGE_NOT_FOR_MFA_TOKEN 400 "invalid_request" "direct_auth_webauthn_challenge_not_for_mfa_token"
        "The 'challenge' and the 'mfa_token' provided are not associated with each other. Review the values and try again.";
    DIRECT_AUTH_INVALID_SCOPE 400 "invalid_scope" "direct_auth_invalid_scope"
        "The requested scopes '{x}' do not match the scopes requested in the original request '{y}'. Use the originally requested scopes and try again.";
    DIRECT_AUTH_INVALID_SCOPE_FOR_INTENT 400 "invalid_scope" "direct_auth_invalid_scope_for_intent"
        "scope '{x}' cannot be requested with intent '{y}'.";
    DIRECT_AUTH_SCOPE_NOT_ALLOWED 400 "invalid_scope" "direct_auth_scope_not_allowed"
        "The 'scope' parameter is unsupported on this endpoint. Try again without this parameter.";
    DIRECT_AUTH_OOB_FAILURE 500 "server_error" "direct_auth_oob_failure"
        "Failed to initiate out-of-band authentication.";
    USER_NOT_ASSIGNED 400 "access_denied" "user_not_assigned"
        "User is not assigned to the client application.";
    NO_SCOPE_ALLOWED 400 "access_denied" "no_scope_allowed"
        "Policy evaluation succeeded, but all the requested scopes were rejected.";
    SCOPE_DENIED 400 "access_denied" "scope_denied"
        "Some of the requested scopes were denied by the policy. Denied scopes: [{x}].";
    REFRESH_SCOPES_DENIED 400 "access_denied" "refresh_scopes_denied"
        "Some of the scopes requested for the refresh request were not granted in the original authorize request. Denied scopes: {x}.";
    FEATURE_NOT_ENABLED_ACCESS_DENIED 400 "access_denied" "feature_not_enabled_access_denied"
        "The requested feature is not enabled in this environment.";
    NO_MATCHING_POLICY 401 "access_denied" "no_matching_policy"
        "Policy evaluation failed for this request, please check the policy configurations.";
    OPENID_SCOPE_REQUIRED_ACCESS_TOKEN 403 "access_denied" "openid_scope_required_access_token"
        "Requests for ID tokens or access tokens with OpenID scopes require the 'openid' scope.";
    LITE_USER_GRANT_TYPE_NOT_ALLOWED 403 "access_denied" "lite_user_grant_type_not_allowed"
        "User with lite classification status is not allowed to use the provided 'grant_type'";
    DISALLOWED_NETWORK_ZONE 403 "access_denied" "disallowed_network_zone"
        "The request is made from outside the client's permitted network zones.";
    PASSWORD_EXPIRED 403 "access_denied" "password_expired"
        "The user's password is expired.";
    PASSWORD_RESET_NOT_ALLOWED 403 "access_denied" "password_reset_not_allowed"
        "Reset password is not allowed at this time. Please contact support for assistance.";
    ONLINE_ACCESS_AUTHENTICATION_REQUIRED 403 "access_denied" "online_access_authentication_required"
        "The authorization server requires the user to re-authenticate.";
    DEVICE_BOUND_SSO_INVALID_DPOP_PUBLIC_KEY 403 "access_denied" "device_bound_sso_invalid_dpop_public_key"
        "The public key used to sign the DPoP proof JWT is invalid.";
    AUTHORIZATION_PENDING 400 "authorization_pending" "authorization_pending"
        "The device authorization is pending. Please try again later.";
    CONSENT_REQUIRED 400 "consent_required" "consent_required"
        "The following scopes require user consent: [{x}].";
    CONSENT_REQUIRED_ROPF 400 "consent_required" "consent_required_ropf"
        "The following scopes require user consent: [{x}]. To access protected scopes using the resource owner password grant type, please uncheck 'Require consent' in the app settings or set the 'consent_method' to 'TRUSTED' through the apps API.";
    NO_ORG_SCOPES_GRANTED 400 "consent_required" "no_org_scopes_granted"
        "You are not allowed any of the requested scopes.";
    EXPIRED_TOKEN 400 "expired_token" "expired_token"
        "The device code has expired.";
    INTERACTION_REQUIRED 400 "interaction_required" "interaction_required"
        "Your client is configured to use the interaction code flow and user interaction is required to complete the request.";
    INVALID_CLIENT 401 "invalid_client" "invalid_client"
        "Client authentication failed. Either the client or the client credentials are invalid.";
    INVALID_CLIENT_ID 401 "invalid_client" "invalid_client_id"
        "Invalid value for 'client_id' parameter.";
    MISSING_CLIENT_CREDENTIALS 401 "invalid_client" "missing_client_credentials"
        "No client credentials found.";
    INVALID_TOKEN_ENDPOINT_AUTH_METHOD 401 "invalid_client" "invalid_token_endpoint_auth_method"
        "Client authentication failed. Either the client or the client credentials are invalid.";
    USER_RATE_LIMITED 429 "invalid_grant" "user_rate_limited"
        "API call exceeded rate limit due to too many requests.";
    INVALID_PASSWORD_CREDENTIALS 400 "invalid_grant" "invalid_password_credentials"
        "The credentials provided were invalid.";
    EXPIRED_PASSWORD_CREDENTIALS 400 "invalid_grant" "expired_password_credentials"
        "Password has expired.";
    MISSING_PASSWORD_ENROLLMENT 400 "invalid_grant" "missing_password_enrollment"
        "The user does not configure a password.";
    MULTIPLE_PASSWORD_ENROLLMENTS 400 "invalid_grant" "multiple_password_enrollments"
        "The user has multiple passwords.";
    PASSWORD_AUTH_DENIED_MFA 400 "invalid_grant" "password_auth_denied_mfa"
        "Resource owner password credentials cannot be used with MFA enabled.";
    PASSWORD_AUTH_DENIED_POLICY 400 "invalid_grant" "password_auth_denied_policy"
        "Resource owner password credentials authentication denied by sign on policy.";
    INVALID_REFRESH_TOKEN 400 "invalid_grant" "invalid_refresh_token"
        "The refresh token is invalid or expired.";
    MISMATCHED_CLIENT 400 "invalid_grant" "mismatched_client"
        "The grant was issued to another client. Please make sure the 'client_id' matches the one used at the authorize request.";
    INVALID_DEVICE_CODE 400 "invalid_grant" "invalid_device_code"
        "The device code is invalid or has expired.";
    TOKEN_EXCHANGE_SUBJECT_TOKEN_EXPIRED 400 "invalid_grant" "token_exchange_subject_token_expired"
        "The 'subject_token' either expired or the session associated with it was terminated.";
    CLIENT_REQUIRES_MFA_NATIVE_SSO 400 "invalid_grant" "client_requires_mfa_native_sso"
        "The client's assurance requirements are not met.";
    DUPLICATE_OAUTH_PARAMS 400 "invalid_request" "duplicate_oauth_params"
        "The request contained multiple parameters with the same name.";
    ILLEGAL_DUPLICATED_PARAMETERS 400 "invalid_request" "illegal_duplicated_parameters"
        "Duplicate parameter provided in request. Duplicated parameters: [{x}].";
    CLIENT_CREDENTIALS_IN_QUERY 400 "invalid_request" "client_credentials_in_query"
        "Client credentials cannot be supplied via query parameters.";
    TOKEN_REQUEST_MISSING_GRANT_TYPE 400 "invalid_request" "token_request_missing_grant_type"
        "The token request must specify a 'grant_type'. Valid values: [{x}]";
    MISSING_TOKEN_REQUEST_PARAMETER 400 "invalid_request" "missing_token_request_parameter"
        "The required parameter '{x}' is missing.";
    INVALID_AUTHORIZATION_SERVER 400 "invalid_request" "invalid_authorization_server"
        "The authorization server id is invalid.";
    MISMATCHED_AUTHORIZATION_SERVER 400 "invalid_request" "mismatched_authorization_server"
        "The grant was issued for another authorization server.";
    REQUEST_MISSING_TOKEN 400 "invalid_request" "request_missing_token"
        "The 'token' parameter is required.";
    MULTIPLE_CLIENT_CREDENTIALS 401 "invalid_request" "multiple_client_credentials"
        "Cannot supply multiple client credentials. Use one of the following: credentials in the Authorization header, credentials in the post body, or a client_assertion in the post body.";
    MISSING_SCOPES 400 "invalid_scope" "missing_scopes"
        "No scopes were requested.";
    INVALID_SCOPE 400 "invalid_scope" "invalid_scope"
        "The requested scope is invalid, unknown, malformed, or exceeds the scope granted by the resource owner.";
    OPENID_SCOPE_REQUIRED 400 "invalid_scope" "openid_scope_required"
        "Requests for ID tokens or access tokens with OpenID scopes require the 'openid' scope.";
    ILLEGAL_SCOPE 400 "invalid_scope" "illegal_scope"
        "The following scopes are not allowed for this request: [{x}].";
    NO_MATCHING_SCOPE 400 "invalid_scope" "no_matching_scope"
        "One or more scopes are not configured for the authorization server resource.";
    LOGIN_REQUIRED 400 "login_required" "login_required"
        "The client specified not to prompt, but the user is not logged in.";
    MFA_REQUIRED 403 "mfa_required" "mfa_required"
        "Verify with an additional authenticator to complete the sign-in process.";
    SERVER_ERROR 500 "server_error" "server_error"
        "The authorization server encountered an unexpected condition that prevented it from fulfilling the request.";
    ID_TOKEN_NOT_GENERATED 500 "server_error" "id_token_not_generated"
        "Failed to create the id_token.";
    ACCESS_TOKEN_NOT_GENERATED 500 "server_error" "access_token_not_generated"
        "Failed to create the access_token.";
    TOO_MANY_GROUPS_IN_GROUPS_CLAIM 400 "server_error" "too_many_groups_in_groups_claim"
        "The groups claim matched too many groups and must be configured to match fewer groups.";
    SLOW_DOWN 400 "slow_down" "slow_down"
        "Slow down the polling frequency. Please try again later.";
    CIBA_SLOW_DOWN 400 "slow_down" "ciba_slow_down"
        "Slow down the polling frequency. Try again later.";
    TEMPORARILY_UNAVAILABLE 400 "temporarily_unavailable" "temporarily_unavailable"
        "The authorization server is currently unable to handle the request due to a temporary overloading or maintenance of the server.";
    TOO_MANY_USER_CODES 429 "too_many_user_codes" "too_many_user_codes"
        "Too many user codes generated. Please try again later.";
    UNAUTHORIZED_CLIENT 400 "unauthorized_client" "unauthorized_client"
        "The client is not authorized to use the provided grant type. Configured grant types: [{x}].";
    ORG_AUTHORIZATION_SERVER_ONLY_CLIENT 400 "unauthorized_client" "org_authorization_server_only_client"
        "This client cannot use a custom authorization server.";
    CONFIDENTIAL_CLIENT_REQUIRED 400 "unauthorized_client" "confidential_client_required"
        "Confidential client is required to make this request.";
    UNMET_AUTHENTICATION_REQUIREMENTS 400 "unmet_authentication_requirements" "unmet_authentication_requirements"
        "Unable to meet the authentication requirements imposed by 'acr_values' parameter.";
    UNSUPPORTED_GRANT_TYPE 400 "unsupported_grant_type" "unsupported_grant_type"
        "The authorization grant type is not supported by the authorization server. Configured grant types: [{x}].";
    INSUFFICIENT_USER_AUTHENTICATION 401 "insufficient_user_authentication" "insufficient_user_authentication"
        "The user authentication context is insufficient to perform the action.";
    INSUFFICIENT_SCOPE 403 "insufficient_scope" "insufficient_scope"
        "Insufficient scope";
    INVALID_TOKEN 401 "invalid_token" "invalid_token"
        "The token is invalid.";
    TOKEN_EXPIRED 401 "invalid_token" "token_expired"
        "The token has expired.";
    ACCESS_TOKEN_REVOKED 401 "invalid_token" "access_token_revoked"
        "The access token has been revoked.";
    ACCESS_TOKEN_NOT_DPOP_BOUND 401 "invalid_token" "access_token_not_dpop_bound"
        "The presented access_token is not DPoP bound.";
    DPOP_PROOF_REQUIRED_FOR_TOKEN 400 "invalid_request" "dpop_proof_required_for_token"
        "The resource request requires a DPoP proof.";
    DPOP_AUTHENTICATION_SCHEME_REQUIRED 400 "invalid_request" "dpop_authentication_scheme_required"
        "The resource request must use the DPoP authentication scheme when using a DPoP bound token.";
    USE_DPOP_NONCE 400 "use_dpop_nonce" "use_dpop_nonce"
        "Authorization server requires nonce in DPoP proof.";
    INVALID_DPOP_PROOF 400 "invalid_dpop_proof" "invalid_dpop_proof"
        "The DPoP proof JWT is invalid.";
    INVALID_DPOP_PROOF_MISSING_HEADER 400 "invalid_dpop_proof" "invalid_dpop_proof_missing_header"
        "The DPoP proof JWT header is missing.";
    INVALID_DPOP_PROOF_MULTIPLE_HEADERS_NOT_ALLOWED 400 "invalid_dpop_proof" "invalid_dpop_proof_multiple_headers_not_allowed"
        "Multiple DPoP proof JWT headers are not allowed.";
    INVALID_DPOP_PROOF_INVALID_TYPE 400 "invalid_dpop_proof" "invalid_dpop_proof_invalid_type"
        "'typ' must be 'dpop+jwt' in the DPoP proof JWT.";
    INVALID_DPOP_PROOF_INVALID_SIGNATURE_ALGORITHM 400 "invalid_dpop_proof" "invalid_dpop_proof_invalid_signature_algorithm"
        "The DPoP proof JWT signature algorithm is invalid.";
    INVALID_DPOP_PROOF_INVALID_JWT 400 "invalid_dpop_proof" "invalid_dpop_proof_invalid_jwt"
        "The DPoP proof JWT cannot be parsed.";
    INVALID_DPOP_PROOF_INVALID_SIGNATURE 400 "invalid_dpop_proof" "invalid_dpop_proof_invalid_signature"
        "The DPoP proof JWT signature is invalid.";
    INVALID_DPOP_PROOF_INVALID_HTM 400 "invalid_dpop_proof" "invalid_dpop_proof_invalid_htm"
        "'htm' claim in the DPoP proof JWT is invalid.";
    INVALID_DPOP_PROOF_INVALID_HTU 400 "invalid_dpop_proof" "invalid_dpop_proof_invalid_htu"
        "'htu' claim in the DPoP proof JWT is invalid.";
    INVALID_DPOP_PROOF_INVALID_IAT 400 "invalid_dpop_proof" "invalid_dpop_proof_invalid_iat"
        "'iat' claim in the DPoP proof JWT is invalid.";
    INVALID_DPOP_PROOF_JWT_ISSUED_IN_FUTURE 400 "invalid_dpop_proof" "invalid_dpop_proof_jwt_issued_in_future"
        "The DPoP proof JWT is issued in the future.";
    INVALID_DPOP_PROOF_JWT_TOO_OLD 400 "invalid_dpop_proof" "invalid_dpop_proof_jwt_too_old"
        "The DPoP proof JWT is issued more than five minutes in the past.";
    INVALID_DPOP_PROOF_JWT_EXPIRED 400 "invalid_dpop_proof" "invalid_dpop_proof_jwt_expired"
        "The DPoP proof JWT is expired.";
    INVALID_DPOP_PROOF_INVALID_PUBLIC_KEY_BINDING 400 "invalid_dpop_proof" "invalid_dpop_proof_invalid_public_key_binding"
        "Invalid DPoP Public Key binding in refresh token";
    INVALID_DPOP_PROOF_INVALID_JTI 400 "invalid_dpop_proof" "invalid_dpop_proof_invalid_jti"
        "'jti' claim in the DPoP proof JWT is invalid.";
    DPOP_PROOF_ALREADY_USED 400 "invalid_dpop_proof" "dpop_proof_already_used"
        "The DPoP proof JWT has already been used.";
    DPOP_PROOF_INVALID_ATH 400 "invalid_dpop_proof" "dpop_proof_invalid_ath"
        "'ath' claim in the DPoP proof does not match the presented access_token.";
    INVALID_ACCESS_TOKEN_DPOP_BINDING 400 "invalid_dpop_proof" "invalid_access_token_dpop_binding"
        "The access_token is not bound to the provided DPoP proof.";
}

macro_rules! api_catalogue {
    ($($code:ident $status:literal $summary:literal;)*) => {
        $(
            pub(crate) const $code: &ApiRow =
                &ApiRow { status: $status, code: stringify!($code), summary: $summary };
        )*
        const API: &[&ApiRow] = &[$($code),*];
    };
}

api_catalogue! {
    E0000001 400 "Api validation failed: {0}";
    E0000003 400 "The request body was not well-formed.";
    E0000004 401 "Authentication failed";
    E0000005 403 "Invalid session";
    E0000006 403 "You do not have permission to perform the requested action";
    E0000007 404 "Not found: {0}";
    E0000008 404 "The requested path was not found";
    E0000009 500 "Internal Server Error";
    E0000010 503 "Service is in read only mode";
    E0000011 401 "Invalid token provided";
    E0000015 401 "You do not have permission to access the feature you are requesting";
    E0000021 400 "Bad request.  Accept and/or Content-Type headers likely do not match supported values.";
    E0000022 405 "The endpoint does not support the provided HTTP method";
    E0000034 403 "Forgot password not allowed on specified user.";
    E0000038 403 "This operation is not allowed in the user's current status.";
    E0000047 429 "API call exceeded rate limit due to too many requests.";
    E0000064 401 "Password is expired and must be changed.";
    E0000068 403 "Invalid Passcode/Answer";
    E0000069 403 "User Locked";
    E0000080 403 "The password does not meet the complexity requirements of the current password policy.";
    E0000082 403 "Each code can only be used once. Please wait for a new code and try again.";
    E0000083 403 "PassCode is valid but exceeded time window.";
    E0000095 403 "Recovery not allowed for unknown user.";
    E0000109 429 "An SMS message was recently sent. Please wait 30 seconds before trying again.";
    E0000118 429 "An email was recently sent. Please wait 5 seconds before trying again.";
    E0000119 403 "Your account is locked. Please contact your administrator.";
    E0000133 429 "A phone call was recently made. Please wait 30 seconds before trying again.";
    E0000146 429 "Your organization has reached the limit of sms requests that can be sent within a 24 hour period.";
    E0000147 429 "Your organization has reached the limit of call requests that can be sent within a 24 hour period.";
    E0000150 403 "You have reached the limit of sms requests, please try again later.";
    E0000151 403 "You have reached the limit of call requests, please try again later.";
    E0000155 423 "User is not currently active.";
    E0000204 429 "You have reached the limit of sms requests, please try again later.";
    E0000205 429 "You have reached the limit of call requests, please try again later.";
    E0000207 401 "The username and/or the password you entered is incorrect. Please try again.";
    E0000259 403 "Login not allowed at this time. Reset your password or contact your administrator for further assistance.";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn protocol() -> String {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/protocol.md");
        let text = std::fs::read_to_string(file).unwrap();
        let section = text.split("\n### 1.15 ").nth(1).unwrap().split("\n### ").next().unwrap();
        section.to_owned()
    }

    fn code(cell: &str) -> String {
        cell.strip_prefix('`').and_then(|cell| cell.strip_suffix('`')).unwrap_or_else(|| panic!("{cell}")).to_owned()
    }

    /// Both tables and the list of DPoP errors: status, `error`, code, description.
    fn documented() -> BTreeSet<(u16, String, String, String)> {
        let section = protocol();
        let mut rows = BTreeSet::new();
        for line in section.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| HTTP")) {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            let row = (cells[0].parse().unwrap(), code(cells[1]), code(cells[2]), cells[3].replace("[…]", "[{x}]"));
            assert!(rows.insert(row), "{line} is there twice");
        }
        let list = section.lines().find(|line| line.starts_with("`invalid_dpop_proof` — ")).unwrap();
        for item in list.strip_suffix('.').unwrap().split("; `") {
            let (name, description) = item.split_once("` — ").unwrap();
            let name = name.trim_start_matches('`').to_owned();
            assert!(rows.insert((400, "invalid_dpop_proof".into(), name, description.into())), "{item} is there twice");
        }
        rows
    }

    fn documented_api() -> BTreeSet<(u16, String, String)> {
        let section = protocol();
        let line = section.lines().find(|line| line.starts_with("**Envelope-B E-codes")).unwrap();
        let list = line.split_once("(ERR-E): ").unwrap().1.strip_suffix('.').unwrap();
        let mut rows = BTreeSet::new();
        for item in list.split("; E") {
            let mut parts = item.trim_start_matches('E').splitn(3, ' ');
            let mut part = || parts.next().unwrap();
            let (code, status, summary) = (format!("E{}", part()), part().parse().unwrap(), part().to_owned());
            assert!(rows.insert((status, code, summary)), "{item} is there twice");
        }
        rows
    }

    #[test]
    fn envelope_a_is_as_documented_row_for_row() {
        let ours = |row: &&Row| (row.status, row.error.into(), row.code.into(), row.description.into());
        let rows: BTreeSet<_> = ALL.iter().map(ours).collect();
        assert_eq!(rows.difference(&documented()).collect::<Vec<_>>(), Vec::<&_>::new(), "not documented");
        assert_eq!(documented().difference(&rows).collect::<Vec<_>>(), Vec::<&_>::new(), "missing");
        assert!(rows.len() > 120, "{}", rows.len());
    }

    #[test]
    fn envelope_b_is_as_documented_row_for_row() {
        let ours = |row: &&ApiRow| (row.status, row.code.to_owned(), row.summary.to_owned());
        let rows: BTreeSet<_> = API.iter().map(ours).collect();
        assert_eq!(rows.difference(&documented_api()).collect::<Vec<_>>(), Vec::<&_>::new(), "not documented");
        assert_eq!(documented_api().difference(&rows).collect::<Vec<_>>(), Vec::<&_>::new(), "missing");
        assert!(rows.len() > 30, "{}", rows.len());
    }

    #[test]
    fn every_code_names_one_row() {
        for row in ALL {
            assert_eq!(ALL.iter().filter(|other| other.code == row.code).count(), 1, "{}", row.code);
            assert_eq!(find(row.code), Some(Found::OAuth(row)));
        }
        for row in API {
            assert_eq!(API.iter().filter(|other| other.code == row.code).count(), 1, "{}", row.code);
            assert_eq!(find(row.code), Some(Found::Api(row)));
        }
        assert_eq!(find("E0000000"), None);
    }
}
