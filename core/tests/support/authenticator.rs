//! A platform with passkeys: somebody else's WebAuthn client and software authenticator (passkey-rs), so that two independent
//! implementations meet at the emulator.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::expect_used,
    reason = "shared by tests and examples that use their own part"
)]

use directauth_emulator::{Passkey, Tenant};
use futures_util::FutureExt;
use passkey::authenticator::{Authenticator, UiHint, UserCheck, UserValidationMethod};
use passkey::client::{Client, DefaultClientData, Origin, UnverifiedAssetLink};
use passkey::crypto::iana;
use passkey::crypto::rust_crypto::RustCryptoBackend;
use passkey::types::ctap2::{Aaguid, Ctap2Error};
use passkey::types::webauthn::{
    AttestationConveyancePreference, AuthenticatorSelectionCriteria, CredentialCreationOptions,
    CredentialRequestOptions, PublicKeyCredentialCreationOptions, PublicKeyCredentialParameters,
    PublicKeyCredentialRpEntity, PublicKeyCredentialType, PublicKeyCredentialUserEntity, ResidentKeyRequirement,
    UserVerificationRequirement,
};
use url::Url;

/// A user who touches, and who can or cannot show who they are.
struct User {
    is_verified: bool,
}

#[async_trait::async_trait]
impl UserValidationMethod for User {
    type PasskeyItem = passkey::types::Passkey;

    async fn check_user<'a>(
        &self,
        _hint: UiHint<'a, Self::PasskeyItem>,
        presence: bool,
        verification: bool,
    ) -> Result<UserCheck, Ctap2Error> {
        Ok(UserCheck { presence, verification: verification && self.is_verified })
    }

    fn is_presence_enabled(&self) -> bool {
        true
    }

    fn is_verification_enabled(&self) -> Option<bool> {
        self.is_verified.then_some(true)
    }
}

type Inner = Client<Option<passkey::types::Passkey>, User, RustCryptoBackend, public_suffix::PublicSuffixList, ()>;

/// One device with at most one passkey.
pub struct Platform {
    client: Inner,
    caller: Caller,
}

/// Who asks the platform.
enum Caller {
    /// A web page, or an app that the platform lets speak for one.
    Web(Url),
    /// An Android app of this host, by the fingerprint of its certificate.
    Android { host: String, fingerprint: String },
}

impl Caller {
    fn origin(&self) -> Origin<'static> {
        match self {
            Self::Web(url) => url.clone().into(),
            Self::Android { host, fingerprint } => {
                let link = Url::parse(&format!("https://{host}/.well-known/assetlinks.json")).expect("an address");
                let link = UnverifiedAssetLink::new("com.acme.app", fingerprint, host.clone(), link);
                Origin::Android(link.expect("a fingerprint"))
            }
        }
    }
}

impl Platform {
    /// Whose web origin is `origin`.
    pub fn at(origin: &str) -> Self {
        Self::with(Caller::Web(Url::parse(origin).expect("an origin")), true)
    }

    /// That cannot verify its user.
    pub fn without_verification(origin: &str) -> Self {
        Self::with(Caller::Web(Url::parse(origin).expect("an origin")), false)
    }

    /// Where an app asks whose certificate has this fingerprint.
    pub fn of_android_app(host: &str, fingerprint: &str) -> Self {
        Self::with(Caller::Android { host: host.to_owned(), fingerprint: fingerprint.to_owned() }, true)
    }

    fn with(caller: Caller, is_verified: bool) -> Self {
        let mut authenticator = Authenticator::new(Aaguid::new_empty(), None, User { is_verified }, RustCryptoBackend);
        authenticator.set_make_credentials_with_signature_counter(true);
        let client =
            Client::new(authenticator).allows_insecure_localhost(true).user_verification_when_preferred(is_verified);
        Self { client, caller }
    }

    /// Makes a passkey for `username` and registers it at the server.
    pub fn registers(&mut self, tenant: &Tenant, username: &str) {
        let passkey = self.makes(username);
        assert!(tenant.add_passkey(username, passkey), "there is no {username}");
    }

    /// Makes a passkey.
    pub fn makes(&mut self, username: &str) -> Passkey {
        let handle = format!("handle of {username}").into_bytes();
        let public_key = PublicKeyCredentialCreationOptions {
            rp: PublicKeyCredentialRpEntity { id: None, name: "the emulator".to_owned() },
            user: PublicKeyCredentialUserEntity {
                id: handle.clone().into(),
                display_name: username.to_owned(),
                name: username.to_owned(),
            },
            challenge: vec![7; 32].into(),
            pub_key_cred_params: vec![PublicKeyCredentialParameters {
                ty: PublicKeyCredentialType::PublicKey,
                alg: iana::Algorithm::ES256,
            }],
            timeout: None,
            exclude_credentials: None,
            authenticator_selection: Some(AuthenticatorSelectionCriteria {
                authenticator_attachment: None,
                resident_key: Some(ResidentKeyRequirement::Required),
                require_resident_key: true,
                user_verification: UserVerificationRequirement::Preferred,
            }),
            hints: None,
            attestation: AttestationConveyancePreference::None,
            attestation_formats: None,
            extensions: None,
        };
        let origin = self.caller.origin();
        let request = CredentialCreationOptions { public_key };
        let made = self.client.register(origin, request, DefaultClientData).now_or_never();
        let made = made.expect("it waits for nobody").expect("a passkey");
        let base64url = |bytes: &[u8]| data_encoding::BASE64URL_NOPAD.encode(bytes);
        Passkey {
            id: made.id,
            public_key: base64url(&made.response.public_key.expect("it has one")),
            user_handle: Some(base64url(&handle)),
            name: "the software authenticator".to_owned(),
            counter: 0,
        }
    }

    /// The ceremony: what the platform answers to a request. `Err` with its reason if it does not.
    pub fn asked(&mut self, request_json: &str) -> Result<String, String> {
        let public_key = serde_json::from_str(request_json).map_err(|error| error.to_string())?;
        let origin = self.caller.origin();
        let request = CredentialRequestOptions { public_key };
        let signed = self.client.authenticate(origin, request, DefaultClientData).now_or_never();
        let signed = signed.expect("it waits for nobody").map_err(|error| format!("{error:?}"))?;
        serde_json::to_string(&signed).map_err(|error| error.to_string())
    }
}
