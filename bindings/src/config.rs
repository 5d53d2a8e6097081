//! How a client is set up: a record of what may be printed, and an object that takes what may not.

use core::fmt;
use core::time::Duration;
use std::collections::HashMap;
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use directauth as core_api;
use directauth::error::ConfigurationProblem;
use directauth::{Client, ClientBuilder, Kind, MemoryStore, Secret};

use crate::audit::{AuditSink, Sinks};
use crate::client::DirectAuthClient;
use crate::error::AuthError;
use crate::events::Listeners;
use crate::platform::{
    CrossProcessLock, ForeignHeaders, ForeignKeys, ForeignLock, ForeignStorage, HeaderProvider, SecureStorage,
    SigningKey,
};
use crate::runtime::finish_now;

/// What a client is built with. What is not given is the core's default.
#[derive(Clone, Debug, uniffi::Record)]
pub struct ClientConfig {
    /// Exactly as the server writes it, such as `https://acme.okta.com/oauth2/default`.
    pub issuer: String,
    /// The client id of a native app.
    pub client_id: String,
    /// The scopes to ask for; `openid` alone if not given. `offline_access` for a refresh token.
    #[uniffi(default = None)]
    pub scopes: Option<Vec<String>>,
    /// The factors that the app has screens for; all if not given.
    #[uniffi(default = None)]
    pub capabilities: Option<Vec<Factor>>,
    /// Where tokens may go besides the issuer's origin, each `https://host[:port]`.
    #[uniffi(default = [])]
    pub resource_origins: Vec<String>,
    /// Relying party ids besides the issuer's host.
    #[uniffi(default = [])]
    pub relying_parties: Vec<String>,
    /// Where a passkey is asked for as the second factor.
    #[uniffi(default = None)]
    pub passkey_start: Option<PasskeyStart>,
    /// How a recovery is asked for.
    #[uniffi(default = None)]
    pub recovery_request: Option<RecoveryRequest>,
    /// Whether tokens are bound to a key of this device.
    #[uniffi(default = None)]
    pub dpop: Option<DPoP>,
    /// More form parameters for the direct-authentication and token endpoints. Reserved names are refused.
    #[uniffi(default = None)]
    pub additional_parameters: Option<HashMap<String, String>>,
    /// How long a connection may take; 10 s if not given.
    #[uniffi(default = None)]
    pub connect_timeout: Option<Duration>,
    /// How long a request may take; 30 s if not given.
    #[uniffi(default = None)]
    pub request_timeout: Option<Duration>,
    /// Which certificate authorities vouch for the server.
    #[uniffi(default = None)]
    pub trust: Option<Trust>,
    /// Public keys of which one must vouch for the server, each `sha256/` and base64; at least two.
    #[uniffi(default = None)]
    pub pins: Option<Vec<String>>,
    /// Whether blanks around a typed user name are removed; yes if not given.
    #[uniffi(default = None)]
    pub trim_usernames: Option<bool>,
    /// Whether a sign-in goes on when the storage cannot be written.
    #[uniffi(default = None)]
    pub when_storage_fails: Option<WhenStorageFails>,
    /// What becomes of tokens with more scopes than were asked for.
    #[uniffi(default = None)]
    pub wider_scopes: Option<WiderScopes>,
    /// What kind of server it is.
    #[uniffi(default = None)]
    pub profile: Option<Profile>,
    /// How many users may be signed in at once.
    #[uniffi(default = None)]
    pub accounts: Option<Accounts>,
    /// Whether this process refreshes.
    #[uniffi(default = None)]
    pub refresh_policy: Option<RefreshPolicy>,
    /// Whether other processes use the same storage.
    #[uniffi(default = false)]
    pub shared_store: bool,
    /// How long one call of the storage may take, for one that asks the user; 10 s if not given.
    #[uniffi(default = None)]
    pub storage_call_deadline: Option<Duration>,
    /// The same of the platform's keys.
    #[uniffi(default = None)]
    pub key_call_deadline: Option<Duration>,
}

/// A client that is being set up: give it what the platform has, then build it once.
#[derive(uniffi::Object)]
pub struct ClientSetup {
    config: ClientConfig,
    parts: Mutex<Parts>,
}

#[derive(Default)]
struct Parts {
    storage: Option<Arc<dyn SecureStorage>>,
    keys: Option<Arc<dyn SigningKey>>,
    lock: Option<Arc<dyn CrossProcessLock>>,
    headers: Option<Arc<dyn HeaderProvider>>,
    audit: Option<Arc<dyn AuditSink>>,
    audit_key: Option<Secret>,
    proxy: Option<core_api::Proxy>,
}

#[uniffi::export]
impl ClientSetup {
    /// Begins with what may be printed.
    #[uniffi::constructor]
    pub fn new(config: ClientConfig) -> Arc<Self> {
        Arc::new(Self { config, parts: Mutex::default() })
    }

    /// Where sessions are kept; in memory if not given.
    pub fn set_storage(&self, storage: Arc<dyn SecureStorage>) {
        self.parts().storage = Some(storage);
    }

    /// The platform's keys, for tokens that are bound to one.
    pub fn set_signing_key(&self, keys: Arc<dyn SigningKey>) {
        self.parts().keys = Some(keys);
    }

    /// The lock that the processes of one storage share.
    pub fn set_cross_process_lock(&self, lock: Arc<dyn CrossProcessLock>) {
        self.parts().lock = Some(lock);
    }

    /// The app's own headers.
    pub fn set_header_provider(&self, headers: Arc<dyn HeaderProvider>) {
        self.parts().headers = Some(headers);
    }

    /// Where events go.
    pub fn set_audit_sink(&self, sink: Arc<dyn AuditSink>) {
        self.parts().audit = Some(sink);
    }

    /// The key under which user names are hashed in events; without it they are left out.
    pub fn set_audit_key(&self, key: String) {
        self.parts().audit_key = Some(Secret::new(key));
    }

    /// The proxy: `http://[user:password@]host:port`.
    pub fn set_proxy(&self, url: String) {
        self.parts().proxy = Some(core_api::Proxy::Http(url));
    }

    /// The proxy that the process's environment names.
    pub fn use_system_proxy(&self) {
        self.parts().proxy = Some(core_api::Proxy::System);
    }

    /// The client. No network, no call of the storage.
    pub fn build(&self) -> Result<Arc<DirectAuthClient>, AuthError> {
        self.build_with(|builder| builder)
    }
}

impl ClientSetup {
    /// The client in another world than the real one; the test build's way.
    #[doc(hidden)]
    pub fn build_in(&self, environment: core_api::env::Environment) -> Result<Arc<DirectAuthClient>, AuthError> {
        self.build_with(|builder| builder.environment(environment))
    }

    fn build_with(
        &self,
        more: impl FnOnce(ClientBuilder) -> ClientBuilder,
    ) -> Result<Arc<DirectAuthClient>, AuthError> {
        finish_now(|| {
            let mut parts = core::mem::take(&mut *self.parts());
            let listeners = Listeners::default();
            let sinks = Sinks { foreign: parts.audit.take(), lost: AtomicI64::new(0), listeners: listeners.clone() };
            let builder = builder(self.config.clone(), parts)?.audit_sink(sinks);
            Ok(Arc::new(DirectAuthClient::of(more(builder).build()?, listeners)))
        })
    }

    fn parts(&self) -> MutexGuard<'_, Parts> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for ClientSetup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientSetup").field("config", &self.config).finish_non_exhaustive()
    }
}

const CALL_DEADLINE: Duration = Duration::from_secs(10);

fn builder(config: ClientConfig, parts: Parts) -> Result<ClientBuilder, core_api::Error> {
    let mut builder = Client::builder(config.issuer, config.client_id)
        .resource_origins(config.resource_origins)
        .relying_parties(config.relying_parties)
        .shared_store(config.shared_store);
    builder = match parts.storage {
        Some(storage) => {
            let call_deadline = config.storage_call_deadline.unwrap_or(CALL_DEADLINE);
            builder.store(ForeignStorage { storage, call_deadline })
        }
        None => builder.store(MemoryStore::new()),
    };
    /// `option` set, if it is given.
    macro_rules! set {
        ($($option:ident = $value:expr),* $(,)?) => {
            $(if let Some(value) = $value { builder = builder.$option(value); })*
        };
    }
    let call_deadline = config.key_call_deadline.unwrap_or(CALL_DEADLINE);
    set! {
        scopes = config.scopes,
        additional_parameters = config.additional_parameters,
        capabilities = config.capabilities.map(|factors| factors.into_iter().map(core_api::Factor::from)),
        passkey_start = config.passkey_start.map(Into::into),
        recovery_request = config.recovery_request.map(Into::into),
        dpop = config.dpop.map(Into::into),
        connect_timeout = config.connect_timeout,
        request_timeout = config.request_timeout,
        trim_usernames = config.trim_usernames,
        when_storage_fails = config.when_storage_fails.map(Into::into),
        wider_scopes = config.wider_scopes.map(Into::into),
        profile = config.profile.map(Into::into),
        accounts = config.accounts.map(Into::into),
        refresh_policy = config.refresh_policy.map(Into::into),
        signing_key = parts.keys.map(|keys| ForeignKeys { keys, call_deadline }),
        cross_process_lock = parts.lock.map(ForeignLock),
        header_provider = parts.headers.map(ForeignHeaders),
        audit_users = parts.audit_key,
        proxy = parts.proxy,
    }
    if let Some(trust) = config.trust {
        builder = builder.trust(trust.into_core()?);
    }
    if let Some(pins) = config.pins {
        let pins: Result<Vec<core_api::Pin>, ConfigurationProblem> = pins.iter().map(|pin| pin.parse()).collect();
        builder = builder.pins(pins.map_err(|what| Kind::Configuration { what })?);
    }
    Ok(builder)
}

/// Which certificate authorities vouch for the server.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum Trust {
    /// The platform's own verifier and its settings. Not available on Android in this version.
    Platform,
    /// Mozilla's authorities, compiled in.
    Bundled,
    /// Only the authorities of a PEM text.
    Custom {
        /// The text.
        pem: String,
    },
}

impl Trust {
    fn into_core(self) -> Result<core_api::Trust, core_api::Error> {
        match self {
            Self::Platform => Ok(core_api::Trust::Platform),
            Self::Bundled => Ok(core_api::Trust::Bundled),
            Self::Custom { pem } => Ok(core_api::Trust::from_pem(&pem)?),
        }
    }
}

/// An enum whose values the app gives.
macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $($(#[$each:meta])* $variant:ident),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
        pub enum $name {
            $($(#[$each])* $variant),*
        }

        impl From<$name> for core_api::$name {
            fn from(choice: $name) -> Self {
                match choice {
                    $($name::$variant => Self::$variant),*
                }
            }
        }
    };
}

choice! {
    /// A way to show who one is, besides the password.
    Factor {
        /// A one-time code from an authenticator app.
        Otp,
        /// A prompt on the user's device.
        Push,
        /// A code by text message.
        Sms,
        /// A code by a phone call.
        Voice,
        /// A code by e-mail.
        Email,
        /// A passkey (WebAuthn).
        Passkey,
    }
}

impl From<core_api::Factor> for Factor {
    fn from(factor: core_api::Factor) -> Self {
        use core_api::Factor as Core;
        match factor {
            Core::Push => Self::Push,
            Core::Sms => Self::Sms,
            Core::Voice => Self::Voice,
            Core::Email => Self::Email,
            Core::Passkey => Self::Passkey,
            // What this version does not know is never asked for, since no app declares it.
            _ => Self::Otp,
        }
    }
}

choice! {
    /// Where a passkey is asked for as the second factor.
    PasskeyStart {
        /// At `/challenge`, as every other second factor.
        Challenge,
        /// At `/primary-authenticate`.
        PrimaryAuthenticate,
    }
}

choice! {
    /// How a recovery is asked for.
    RecoveryRequest {
        /// By `intent=recovery`.
        Intent,
        /// By `prompt=recover_authenticator`.
        Prompt,
    }
}

choice! {
    /// Whether tokens are bound to a key of this device (RFC 9449).
    DPoP {
        /// They are bearer tokens.
        Off,
        /// They are if the server can.
        Preferred,
        /// They are, or nobody is signed in.
        Required,
    }
}

choice! {
    /// What kind of server it is.
    Profile {
        /// Okta, or a server that treats refresh tokens as Okta does.
        Okta,
        /// Any OpenID provider.
        Oidc,
    }
}

choice! {
    /// How many users may be signed in at once.
    Accounts {
        /// One: a sign-in replaces whatever session was there.
        One,
        /// Many: a sign-in replaces the same user's session only.
        Many,
    }
}

choice! {
    /// Whether this process refreshes.
    RefreshPolicy {
        /// Whenever it is due.
        WhenDue,
        /// Never, for a widget or an extension without a lock.
        Never,
    }
}

choice! {
    /// Whether a sign-in goes on when the storage cannot be written.
    WhenStorageFails {
        /// Refuse before the credential is sent.
        Refuse,
        /// Sign in all the same and keep the session in memory.
        KeepInMemory,
    }
}

choice! {
    /// What becomes of tokens with more scopes than were asked for.
    WiderScopes {
        /// They are taken.
        Accept,
        /// They are not.
        Refuse,
    }
}
