//! What went wrong, and what to do about it.
//!
//! One flat list of kinds (`Kind`), each with one `Remedy`. `ARCHITECTURE.md` maps the outcome names of
//! `docs/protocol.md` to these. No text of the server is in here: only codes of allow-listed characters.

use core::fmt;
use std::sync::Arc;
use std::time::SystemTime;

/// A failed call: its [`Kind`], and what helps to find it in the server's log.
///
/// After an error the step you hold stays usable unless the kind's own text says otherwise.
#[derive(Clone)]
pub struct Error {
    kind: Kind,
    /// On the heap, to keep results small.
    more: Option<Box<More>>,
}

#[derive(Clone, Default)]
struct More {
    said: Said,
    transaction_id: Option<Code>,
}

impl Error {
    /// What happened.
    pub fn kind(&self) -> &Kind {
        &self.kind
    }

    /// What the app should do next; one for each kind.
    pub fn remedy(&self) -> Remedy {
        self.kind.remedy()
    }

    /// Whether the same call may succeed later without anything else being changed.
    pub fn is_retryable(&self) -> bool {
        self.kind.is_retryable()
    }

    /// The server's id of the request (`X-Okta-Request-Id`), for its log and its support.
    pub fn request_id(&self) -> Option<&str> {
        self.said()?.request_id.as_ref().map(Code::as_str)
    }

    /// What the server said in words, if it did: untrusted, for a developer's eyes.
    pub fn server_text(&self) -> Option<&ServerText> {
        self.said()?.text.as_deref()
    }

    /// What the server's sentence gives away beyond its code, for better wording; a server in another language gives none.
    /// Decide on [`kind`](Error::kind) and [`remedy`](Error::remedy), which do not depend on it.
    pub fn hint(&self) -> Option<Hint> {
        self.said()?.hint
    }

    /// The library's own random id of the sign-in, as the audit events carry it.
    pub fn transaction_id(&self) -> Option<&str> {
        self.more.as_ref()?.transaction_id.as_ref().map(Code::as_str)
    }

    fn said(&self) -> Option<&Said> {
        self.more.as_ref().map(|more| &more.said)
    }

    pub(crate) fn with(mut self, said: Said) -> Self {
        self.more.get_or_insert_default().said = said;
        self
    }

    pub(crate) fn with_transaction_id(mut self, id: &Code) -> Self {
        self.more.get_or_insert_default().transaction_id = Some(id.clone());
        self
    }
}

impl From<Kind> for Error {
    fn from(kind: Kind) -> Self {
        Self { kind, more: None }
    }
}

impl From<ConfigurationProblem> for Error {
    fn from(what: ConfigurationProblem) -> Self {
        Kind::Configuration { what }.into()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Error");
        out.field("kind", &self.kind);
        if let Some(id) = self.request_id() {
            out.field("request_id", &format_args!("{id}"));
        }
        if let Some(text) = self.server_text() {
            out.field("server_text", text);
        }
        if let Some(hint) = self.hint() {
            out.field("hint", &hint);
        }
        if let Some(id) = self.transaction_id() {
            out.field("transaction_id", &format_args!("{id}"));
        }
        out.finish()
    }
}

impl std::error::Error for Error {}

/// What an answer says besides its meaning.
#[derive(Clone, Debug, Default)]
pub(crate) struct Said {
    pub(crate) request_id: Option<Code>,
    pub(crate) text: Option<Arc<ServerText>>,
    pub(crate) hint: Option<Hint>,
}

/// The server's own words about a failure. **Untrusted**: anybody who can answer in the server's place can write them. Show
/// them to developers, never as part of your own page, never as markup, and never open the address.
///
/// What the library sent (passwords, codes, user names, tokens) is masked in them, control and text-direction characters
/// are removed, and each is at most 1,024 bytes long (protocol.md rows 42, 57, 80). Printing this value shows none of it.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerText {
    pub(crate) description: Option<String>,
    pub(crate) uri: Option<String>,
    pub(crate) second_code: Option<Code>,
    pub(crate) causes: Vec<String>,
}

impl ServerText {
    /// `error_description` (RFC 6749 §5.2), or Okta's `errorSummary`.
    pub fn description(&self) -> Option<&str> {
        self.description.as_deref()
    }

    /// `error_uri` (RFC 6749 §5.2), as text. Do not open it.
    pub fn uri(&self) -> Option<&str> {
        self.uri.as_deref()
    }

    /// Okta's `errorCauses`, a sentence each: such as the requirements that a new password does not meet (row 330). A user may
    /// see these, as plain text that is plainly the server's.
    pub fn causes(&self) -> &[String] {
        &self.causes
    }

    /// Okta's `errorCode`, if it stood beside the `error` that decided.
    pub fn second_code(&self) -> Option<&str> {
        self.second_code.as_ref().map(Code::as_str)
    }
}

impl fmt::Debug for ServerText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[untrusted text]")
    }
}

/// What a sentence of the server gives away (protocol.md rows 64–65).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Hint {
    /// The password was right and has expired: offer to set a new one.
    PasswordExpired,
    /// The server wants a second factor and has none enabled for this app: an administrator has to enable the grants
    /// `mfa-otp` or `mfa-oob`.
    SecondFactorNotEnabled,
}

/// Every kind of failure. More may be added.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Kind {
    /// The code or credential was refused.
    ///
    /// The server answered `invalid_grant` on a leg the user typed (rows 62–65, 140, 152, 163); it does not say whether the
    /// user is unknown, the password wrong or the account locked, so neither may the app. Also if what was typed cannot be
    /// right (an empty password, letters in a code, row 142): then nothing was sent. The step stays usable.
    /// Remedy: [`Remedy::AskAgain`].
    #[error("the code or credential was refused")]
    Rejected,

    /// The user said no on the device, or tapped a wrong number.
    ///
    /// The server answered `invalid_grant` to a poll (rows 129, 164). The choice of factors stays usable.
    /// Remedy: [`Remedy::ChooseAnother`].
    #[error("the request was declined on the user's device")]
    Declined,

    /// A policy or an assignment does not allow this.
    ///
    /// The server answered `access_denied` or `unmet_authentication_requirements` (rows 72–76, 159). Another factor may be
    /// allowed. Remedy: [`Remedy::ChooseAnother`].
    #[error("the server's policy does not allow this ({code})")]
    NotAllowed {
        /// The server's error code.
        code: Code,
    },

    /// What was being answered is over: the prompt, the code or the whole sign-in.
    ///
    /// The server answered `expired_token` or a second `access_denied` in a row, or the local deadline passed (rows
    /// 111, 130–133, 153). Remedy: [`Remedy::StartOver`], or another factor while the choice is still valid.
    #[error("this step has expired")]
    Expired,

    /// Too many wrong codes in this step; nothing more is sent for it (rows 141, 152). Remedy: [`Remedy::StartOver`].
    #[error("too many wrong attempts")]
    TooManyAttempts,

    /// Too many requests, or too early for a resend.
    ///
    /// The server answered 429 (whatever its body says, rows 66, 161, 315–322), or this library holds the call back
    /// itself: a resend before `resend_at`, a sixth push in ten minutes. Nothing was consumed.
    /// Remedy: [`Remedy::Wait`].
    #[error("too many requests; try again later")]
    RateLimited {
        /// The earliest time at which trying again makes sense, by the device's own wall clock.
        retry_at: SystemTime,
    },

    /// Only a browser can go on: the server answered `consent_required`, `interaction_required` or `login_required`
    /// (row 75). Remedy: [`Remedy::OpenBrowser`].
    #[error("the server asks for a browser ({reason})")]
    BrowserRequired {
        /// The server's error code.
        reason: Code,
    },

    /// The session is kept, but the server wants the user to sign in again before it renews it.
    ///
    /// The answer to a refresh was `mfa_required` or `access_denied` (rows 169, 285), or the session never had a refresh
    /// token (`no_refresh_token`, row 93). Remedy: [`Remedy::SignInAgain`].
    #[error("the server asks the user to sign in again ({reason})")]
    ReauthRequired {
        /// The server's error code.
        reason: Code,
    },

    /// The session is over. Remedy: [`Remedy::SignInAgain`].
    #[error("the session has ended: {reason}")]
    SessionEnded {
        /// Why it ended.
        reason: EndReason,
    },

    /// The store could not be read or written; nothing was lost or ended by that. Remedy: [`Remedy::Unlock`] or
    /// [`Remedy::ContactSupport`], by the reason.
    #[error("the token store is unavailable: {reason}")]
    StorageUnavailable {
        /// What the store reported.
        reason: StoreProblem,
    },

    /// The key that the tokens are bound to (RFC 9449) cannot be used; nothing was sent, and nothing was lost or ended by that
    /// (row 274). Remedy: [`Remedy::Unlock`] or [`Remedy::SignInAgain`], by the reason.
    #[error("the session's key is unavailable: {reason}")]
    KeyUnavailable {
        /// What the platform reported.
        reason: KeyProblem,
    },

    /// No usable answer came back. Remedy: [`Remedy::CheckConnection`].
    #[error("the network failed: {kind}")]
    Network {
        /// What failed.
        kind: NetworkProblem,
        /// Whether the server may have seen the request. If it may, a typed code could be used up: the library never
        /// sends it again by itself (rows 14, 17).
        maybe_sent: bool,
    },

    /// The answer breaks the protocol; nothing of it was used. Remedy: [`Remedy::ContactSupport`].
    #[error("the server's answer cannot be used: {what}")]
    InvalidResponse {
        /// What was wrong with it.
        what: ResponseDefect,
    },

    /// Tokens came back but did not pass validation; nothing was released (protocol.md §6). Remedy:
    /// [`Remedy::ContactSupport`].
    #[error("the server's tokens did not pass validation: {check}")]
    TokenRejected {
        /// The check that failed.
        check: TokenCheck,
    },

    /// The app or the server is set up wrongly; trying again will not help. Remedy: [`Remedy::FixConfiguration`].
    #[error("configuration: {what}")]
    Configuration {
        /// What has to be changed.
        what: ConfigurationProblem,
    },

    /// The server asks for something that this version cannot do. Remedy: [`Remedy::ChooseAnother`].
    #[error("not supported by this version: {what}")]
    Unsupported {
        /// What it is.
        what: Unsupported,
    },

    /// What the platform's passkey ceremony gave cannot be an answer to this challenge; nothing was sent, the step stays
    /// usable. Remedy: [`Remedy::ChooseAnother`].
    #[error("the passkey cannot be used: {problem}")]
    Passkey {
        /// What is wrong with it.
        problem: PasskeyProblem,
    },

    /// The app cancelled the sign-in. Remedy: [`Remedy::Ignore`].
    #[error("cancelled")]
    Cancelled,

    /// The step is answering already, was used already, or too many sign-ins run at once. Remedy: [`Remedy::Ignore`].
    #[error("this step is busy or already used")]
    Busy,

    /// The server failed (5xx, `server_error`, `temporarily_unavailable`) or used an error code nobody knows
    /// (rows 51–55, 77). Remedy: [`Remedy::Wait`] for a failing server, [`Remedy::ContactSupport`] otherwise.
    #[error("the server answered with an error (status {status}{})", code.as_ref().map(|c| format!(", {c}")).unwrap_or_default())]
    Server {
        /// The HTTP status.
        status: u16,
        /// The server's error code, if it had one of allow-listed characters.
        code: Option<Code>,
    },

    /// A defect of this library. Remedy: [`Remedy::ContactSupport`].
    #[error("internal error")]
    Internal,
}

impl Kind {
    /// What the app should do next.
    pub fn remedy(&self) -> Remedy {
        match self {
            Self::Rejected => Remedy::AskAgain,
            Self::Declined | Self::NotAllowed { .. } | Self::Unsupported { .. } | Self::Passkey { .. } => {
                Remedy::ChooseAnother
            }
            Self::Expired | Self::TooManyAttempts => Remedy::StartOver,
            Self::RateLimited { retry_at } => Remedy::Wait(Some(*retry_at)),
            Self::BrowserRequired { .. } => Remedy::OpenBrowser,
            Self::KeyUnavailable { reason } if reason.is_temporary() => Remedy::Unlock,
            Self::ReauthRequired { .. } | Self::SessionEnded { .. } | Self::KeyUnavailable { .. } => {
                Remedy::SignInAgain
            }
            Self::StorageUnavailable { reason } if reason.is_temporary() => Remedy::Unlock,
            Self::Network { .. } => Remedy::CheckConnection,
            Self::Configuration { .. } => Remedy::FixConfiguration,
            Self::Server { .. } if self.is_retryable() => Remedy::Wait(None),
            Self::Cancelled | Self::Busy => Remedy::Ignore,
            Self::StorageUnavailable { .. }
            | Self::InvalidResponse { .. }
            | Self::TokenRejected { .. }
            | Self::Server { .. }
            | Self::Internal => Remedy::ContactSupport,
        }
    }

    /// The kind's own name, for logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Rejected => "Rejected",
            Self::Declined => "Declined",
            Self::NotAllowed { .. } => "NotAllowed",
            Self::Expired => "Expired",
            Self::TooManyAttempts => "TooManyAttempts",
            Self::RateLimited { .. } => "RateLimited",
            Self::BrowserRequired { .. } => "BrowserRequired",
            Self::ReauthRequired { .. } => "ReauthRequired",
            Self::SessionEnded { .. } => "SessionEnded",
            Self::StorageUnavailable { .. } => "StorageUnavailable",
            Self::KeyUnavailable { .. } => "KeyUnavailable",
            Self::Network { .. } => "Network",
            Self::InvalidResponse { .. } => "InvalidResponse",
            Self::TokenRejected { .. } => "TokenRejected",
            Self::Configuration { .. } => "Configuration",
            Self::Unsupported { .. } => "Unsupported",
            Self::Passkey { .. } => "Passkey",
            Self::Cancelled => "Cancelled",
            Self::Busy => "Busy",
            Self::Server { .. } => "Server",
            Self::Internal => "Internal",
        }
    }

    /// Whether the same call may succeed later without anything else being changed.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::RateLimited { .. } | Self::Network { .. } => true,
            Self::StorageUnavailable { reason } => reason.is_temporary(),
            Self::KeyUnavailable { reason } => reason.is_temporary(),
            Self::Server { status, code } => {
                *status >= 500
                    || code.as_ref().is_some_and(|c| matches!(c.as_str(), "server_error" | "temporarily_unavailable"))
            }
            _ => false,
        }
    }
}

/// What the app should do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Remedy {
    /// Let the user type it again; the step in hand stays usable.
    AskAgain,
    /// Offer another factor.
    ChooseAnother,
    /// Begin the sign-in again.
    StartOver,
    /// Wait, until the given time if there is one, then try the same again.
    Wait(Option<SystemTime>),
    /// Send the user to the sign-in screen.
    SignInAgain,
    /// Continue in a browser.
    OpenBrowser,
    /// Ask the user to look at the network (offline, captive portal, wrong certificate), then try again.
    CheckConnection,
    /// Ask the user to unlock the device, then try again.
    Unlock,
    /// Show the request id and let the user ask for help.
    ContactSupport,
    /// A developer or administrator has to change something.
    FixConfiguration,
    /// Nothing to show.
    Ignore,
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AskAgain => "ask the user to enter it again",
            Self::ChooseAnother => "offer another factor",
            Self::StartOver => "start the sign-in again",
            Self::Wait(_) => "wait a little, then try again",
            Self::SignInAgain => "send the user to the sign-in screen",
            Self::OpenBrowser => "continue in a browser",
            Self::CheckConnection => "check the network connection, then try again",
            Self::Unlock => "unlock the device, then try again",
            Self::ContactSupport => "show the request id and contact support",
            Self::FixConfiguration => "fix the configuration of the app or the server",
            Self::Ignore => "nothing to do",
        })
    }
}

/// A short identifier from the server, of the characters `A-Z a-z 0-9 _ . : -` and at most 64 of them.
///
/// Anything else never becomes a `Code`, so it is safe to log and to show.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Code(String);

impl Code {
    /// `text` if it has only allowed characters and 1 to 64 of them.
    pub fn parse(text: &str) -> Option<Self> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b':' | b'-');
        (1..=64).contains(&text.len()).then_some(())?;
        text.bytes().all(allowed).then(|| Self(text.to_owned()))
    }

    /// The identifier.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Bytes in lower-case hexadecimal; not more than 32 of them.
    pub(crate) fn of_hash(bytes: &[u8]) -> Self {
        Self(data_encoding::HEXLOWER.encode(bytes))
    }

    /// One of the library's own codes.
    pub(crate) fn of(text: &'static str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a session ended (docs/sessions.md §1: nothing else ends one).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EndReason {
    /// The user signed out.
    #[error("signed out")]
    SignedOut,
    /// A new sign-in took its place.
    #[error("replaced by a new sign-in")]
    Replaced,
    /// The server refused the newest refresh token (`invalid_grant`, rows 283–284).
    #[error("the server no longer accepts the refresh token")]
    RefreshTokenRefused,
    /// The server refused the newest refresh token, which had been sent before without an answer: most likely it gave a
    /// new one then, which never arrived (docs/sessions.md §1, §5.7; row 292).
    #[error("a refresh was interrupted, and the server no longer accepts the refresh token")]
    RefreshInterrupted,
    /// The server answered with a validly signed ID token for another user (row 257).
    #[error("the server answered for another user")]
    SubjectChanged,
}

/// What a token store reported (docs/sessions.md §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreProblem {
    /// The device is locked, or was not unlocked since it started. Temporary.
    #[error("the device is locked")]
    Locked,
    /// The user has to authenticate to the device first. Temporary.
    #[error("the user has to unlock it")]
    NeedsUser,
    /// The user dismissed the device's prompt. Temporary.
    #[error("the user dismissed the prompt")]
    UserCancelled,
    /// It did not work this time: busy, full, or out of time. Temporary.
    #[error("it failed this time")]
    Transient,
    /// The data was restored from another device and cannot be read here.
    #[error("the data belongs to another device")]
    Foreign,
    /// The data is damaged.
    #[error("the data is damaged")]
    Corrupt,
    /// The key is missing (perhaps a missing access group).
    #[error("the key is missing")]
    KeyMissing,
    /// The platform destroyed the key.
    #[error("the key was destroyed")]
    KeyDestroyed,
    /// A newer version of this library wrote the data.
    #[error("the data was written by a newer version")]
    NewerVersion,
}

impl StoreProblem {
    /// Whether the same call can work later on this device.
    pub fn is_temporary(self) -> bool {
        matches!(self, Self::Locked | Self::NeedsUser | Self::UserCancelled | Self::Transient)
    }
}

/// What the platform reported of a key that signs proofs (RFC 9449).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyProblem {
    /// The device is locked, or was not unlocked since it started. Temporary.
    #[error("the device is locked")]
    Locked,
    /// The user has to authenticate to the device first. Temporary.
    #[error("the user has to unlock it")]
    NeedsUser,
    /// The user dismissed the device's prompt. Temporary.
    #[error("the user dismissed the prompt")]
    UserCancelled,
    /// It did not work this time, or not in time. Temporary.
    #[error("it failed this time")]
    Transient,
    /// There is no such key: the data was restored on another device, or no platform keys are configured any more.
    #[error("the key is missing")]
    Missing,
    /// The platform destroyed the key, as after a change of the enrolled fingers.
    #[error("the key was destroyed")]
    Destroyed,
    /// There is a key under that name, but another one.
    #[error("it is another key")]
    Changed,
    /// The platform has no keys on P-256, or its signatures are none.
    #[error("the platform has no such keys")]
    Unsupported,
}

impl KeyProblem {
    /// Whether the same call can work later on this device.
    pub fn is_temporary(self) -> bool {
        matches!(self, Self::Locked | Self::NeedsUser | Self::UserCancelled | Self::Transient)
    }
}

/// What failed on the way to the server and back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkProblem {
    /// No connection: offline, name not found (a typo in the issuer's host looks like that too), refused.
    #[error("no connection to the server")]
    Connect,
    /// The TLS handshake failed: expired, self-signed or wrong certificate, or no common version (row 1).
    #[error("the server's certificate is not trusted, or its TLS version is too old")]
    Tls,
    /// The deadline passed (rows 16–19).
    #[error("the server did not answer in time")]
    Timeout,
    /// The connection broke before the answer was complete (rows 14–15).
    #[error("the connection broke before the answer was complete")]
    Interrupted,
    /// A web page came instead of the server's answer: a captive portal or a proxy's sign-in page (row 6).
    #[error("a web page answered instead of the server (captive portal?)")]
    CaptivePortal,
    /// The server's certificate is valid, but none of the configured pins is among its keys: somebody reads the traffic, with
    /// an authority that the device trusts, or the server's keys were changed without a pin for the new ones. Nothing was
    /// sent; a session and its tokens stay.
    #[error("the server's certificate is valid, but matches none of the configured pins")]
    Pin,
    /// The configured proxy cannot be reached, asks for other credentials (407), or does not open the tunnel to the server
    /// (403, 502 …; some proxies answer so when it is the server that cannot be reached). Nothing was sent to the server.
    #[error("the proxy cannot be reached, or does not let the connection through")]
    Proxy,
}

/// What was wrong with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResponseDefect {
    /// A redirect; never followed (rows 2–5).
    #[error("a redirect")]
    Redirect,
    /// A status that the protocol does not know (row 23).
    #[error("an unexpected status")]
    Status,
    /// Not JSON by its media type (rows 9, 56).
    #[error("not JSON")]
    ContentType,
    /// A content encoding that was not asked for.
    #[error("an unrequested content encoding")]
    ContentEncoding,
    /// Larger than the cap (row 12).
    #[error("too large")]
    TooLarge,
    /// No body (row 21).
    #[error("empty")]
    Empty,
    /// Not well-formed JSON, or a member appears twice (rows 30–36).
    #[error("malformed JSON")]
    Json,
    /// Not UTF-8 (row 40).
    #[error("not UTF-8")]
    Encoding,
    /// An error answer without an error code (row 58).
    #[error("an error without a code")]
    ErrorShape,
    /// A member is missing or has an unusable value.
    #[error("the member {0} is missing or unusable")]
    Member(&'static str),
    /// A known answer at a place where it makes no sense (protocol.md §2.3 "protocol error").
    #[error("an answer that does not belong here")]
    OutOfPlace,
    /// The server asked for more than five second factors in a row (row 151).
    #[error("an endless series of factors")]
    Loop,
    /// The answer speaks of another channel than the one asked for (row 114).
    #[error("another channel than the one asked for")]
    ChannelMismatch,
}

/// A check of protocol.md §6 that the tokens did not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenCheck {
    /// `token_type` is missing or is none that can be used (rows 84–90).
    #[error("token_type")]
    TokenType,
    /// The server answered a proof with a token that is not bound to its key, and the app, or the session, wants it bound
    /// (row 88).
    #[error("token_type: not bound to the key that was shown")]
    Unbound,
    /// `access_token` is missing or malformed (rows 48, 87).
    #[error("access_token")]
    AccessToken,
    /// `refresh_token` is malformed (row 50).
    #[error("refresh_token")]
    RefreshToken,
    /// No ID token although `openid` was asked for (row 91).
    #[error("id_token is missing")]
    IdTokenMissing,
    /// The ID token is not a compact JWS of valid JSON with unique names (rows 227–231), or its `sub` is unusable at a
    /// refresh.
    #[error("id_token is malformed")]
    Malformed,
    /// `alg` is not allowed (rows 217–219).
    #[error("alg")]
    Algorithm,
    /// `crit` names something that is not understood.
    #[error("crit")]
    Critical,
    /// `typ` is that of another kind of token (row 226).
    #[error("typ")]
    Type,
    /// `kid` is missing, unknown or ambiguous (rows 205–208, 222).
    #[error("kid")]
    KeyId,
    /// The keys could not be fetched (row 214).
    #[error("the keys are unreachable")]
    KeysUnreachable,
    /// The signature does not verify (rows 221, 227).
    #[error("signature")]
    Signature,
    /// `iss` is not the issuer (rows 232–234).
    #[error("iss")]
    Issuer,
    /// `aud` is not this client alone (rows 235–237).
    #[error("aud")]
    Audience,
    /// `azp` is not this client.
    #[error("azp")]
    AuthorizedParty,
    /// `sub` is missing or malformed (row 239); at a refresh: it is another user's (row 257).
    #[error("sub")]
    Subject,
    /// `exp` is missing or past (row 240).
    #[error("exp")]
    Expired,
    /// `iat` is missing, in the future or too old (rows 242–243).
    #[error("iat")]
    IssuedAt,
    /// `nbf` is in the future (row 246).
    #[error("nbf")]
    NotBefore,
    /// `nonce` is not the one that was sent (rows 247, 260).
    #[error("nonce")]
    Nonce,
    /// `auth_time` is missing, too old or has changed (rows 249, 259).
    #[error("auth_time")]
    AuthTime,
    /// `acr` is missing or none of those asked for (row 250).
    #[error("acr")]
    Acr,
    /// `at_hash` is missing or wrong (rows 251–252).
    #[error("at_hash")]
    AccessTokenHash,
    /// More scopes than were asked for, and the client refuses that (row 97).
    #[error("scope")]
    Scope,
    /// The access token is that of another session, or one that has expired came again (rows 100, 102).
    #[error("access_token was issued before")]
    AccessTokenReused,
}

/// What has to be changed in the app or at the server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigurationProblem {
    /// The issuer given to the builder is not usable.
    #[error("the issuer is not usable: {0}")]
    Issuer(IssuerProblem),
    /// The client id is empty, too long or has characters other than visible ASCII.
    #[error("the client id must be 1 to 255 visible ASCII characters")]
    ClientId,
    /// A scope is empty or has characters that RFC 6749 §3.3 does not allow, or all together are too long.
    #[error("scopes must be visible ASCII without quote or backslash, and at most 1,024 characters together")]
    Scope,
    /// A method that is none: capital letters, as `GET`.
    #[error("a method is written in capital letters")]
    Method,
    /// An additional parameter has a name that the library sends itself or that is none, a value that is too long or has
    /// control characters, or there are too many.
    #[error("an additional parameter ({0}) is reserved, repeated, malformed or one too many")]
    AdditionalParameter(String),
    /// A time limit is zero or larger than ten minutes.
    #[error("a time limit must be more than zero and at most ten minutes")]
    TimeLimit,
    /// A resource origin is not `https://host[:port]`.
    #[error("a resource origin must be https://host[:port], without path")]
    ResourceOrigin,
    /// The request is for an URL that the session must not send its token to.
    #[error("tokens go only to https URLs of the issuer and of the configured resource origins")]
    OriginNotAllowed,
    /// A certificate given to `Trust::Custom` cannot be read, or none was given.
    #[error("a custom certificate authority cannot be read")]
    Certificate,
    /// The platform's certificate verifier cannot be used here.
    #[error("the platform's certificate verifier is unavailable")]
    PlatformTrust,
    /// There is no authorization server at the issuer's address (404, rows 83, 201): a typo in host or server id.
    #[error("no authorization server was found at the issuer's address; check the issuer for typos")]
    IssuerNotFound,
    /// The server calls itself by another name (rows 187–189). Compared code point by code point.
    #[error("the issuer is {configured:?}, but the server calls itself {found:?}")]
    IssuerMismatch {
        /// The configured issuer.
        configured: String,
        /// What the metadata says, reduced to visible ASCII and 200 characters.
        found: String,
    },
    /// An endpoint of the metadata is not https, not at the issuer's host or not usable (rows 191–195).
    #[error("the server's metadata has an unusable {0}")]
    Endpoint(&'static str),
    /// The server does not know the client id, or wants a client secret (row 67, 200).
    #[error("the server does not accept the client id")]
    Client,
    /// The grant is not enabled for this client or server (row 69).
    #[error("the sign-in method is not enabled for this client at the server")]
    Grant,
    /// The server refuses the scopes (row 70).
    #[error("the server refuses the requested scopes")]
    ScopeRefused,
    /// The server finds the request itself wrong (row 71, 82, 165).
    #[error("the server refuses the request as malformed ({0})")]
    Request(Code),
    /// The factor is not among the declared capabilities.
    #[error("this factor is not among the client's declared capabilities")]
    Capability,
    /// A context class is empty or has blanks or other characters than visible ASCII, all together are too long, or a sign-in
    /// asks for one, or for a `max_age`, without the scope `openid`: only an ID token says what was reached.
    #[error(
        "context classes must be visible ASCII without blanks, at most 1,024 characters together, and need the scope openid"
    )]
    AcrValues,
    /// A relying party id is not a host name in lower case.
    #[error("a relying party id must be a host name in lower case, without scheme and port")]
    RelyingParty,
    /// A pin is not the SHA-256 of a public key in one of the usual spellings.
    #[error("a pin must be a SHA-256 in base64 (44 characters, standard alphabet), bare or after \"sha256/\"")]
    Pin,
    /// Fewer than two different pins. One alone locks every user out on the day when the server's key changes.
    #[error("at least two different pins are needed: the key in use, and a backup key that is kept elsewhere")]
    TooFewPins,
    /// The proxy's address, given or found in the environment, is not of the form that is understood.
    #[error(
        "the proxy (given, or from HTTPS_PROXY or ALL_PROXY) must be http://[user:password@]host:port, \
         with the port written out and special characters in user and password percent-encoded"
    )]
    Proxy,
    /// `Proxy::System` where the system does not tell its proxy through environment variables: Android and Apple systems.
    #[error(
        "the system's proxy cannot be found from here; the app's platform layer looks it up and passes Proxy::Http"
    )]
    SystemProxy,
}

/// Why an issuer is not usable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IssuerProblem {
    /// Not an absolute URL.
    #[error("it is not an absolute URL")]
    NotAUrl,
    /// Not https.
    #[error("it must begin with https://")]
    NotHttps,
    /// It has a user name or password.
    #[error("it must not contain a user name or password")]
    UserInfo,
    /// It has a query or fragment.
    #[error("it must not have a query or fragment")]
    QueryOrFragment,
    /// It has white space, control or non-ASCII characters, or dot segments.
    #[error(
        "it must be written exactly as the server writes it: plain ASCII, host in lower case, no default port, no dot segments"
    )]
    NotCanonical,
}

/// What is wrong with the platform's answer to a passkey challenge (WebAuthn Level 3 §5.1, §6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PasskeyProblem {
    /// It is no `AuthenticationResponseJSON` with `authenticatorData`, `clientDataJSON` and `signature` in base64url, not the
    /// answer to a request for a sign-in, or no user was there.
    #[error("the answer is malformed")]
    Malformed,
    /// It answers another challenge: each challenge needs a ceremony of its own.
    #[error("it answers another challenge")]
    OtherChallenge,
    /// It is by a credential that the server did not ask for.
    #[error("it is another credential than those that were asked for")]
    OtherCredential,
    /// It is for another relying party.
    #[error("it is for another relying party")]
    OtherRelyingParty,
}

/// Something that this version cannot do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unsupported {
    /// A second factor of none of the kinds that the app declared (row 149), or an unknown `challenge_type` (row 158).
    #[error("the second factor that the server asks for")]
    Challenge,
    /// A factor that a server of this [`Profile`](crate::Profile) does not have: with [`Profile::Oidc`](crate::Profile::Oidc)
    /// only the password.
    #[error("this factor at a server of this profile")]
    Factor,
    /// None of the credentials that the server asks for is a passkey (row 178).
    #[error("the kind of credential that the server asks for")]
    Credential,
    /// An unknown `binding_method` (row 117).
    #[error("the server's way of binding the request to the user")]
    BindingMethod,
    /// The server wants a DPoP proof, and the app did not say [`dpop`](crate::ClientBuilder::dpop); or the app requires one,
    /// and the server cannot verify ES256.
    #[error("sender-constrained tokens (DPoP)")]
    DPoP,
    /// A password is recovered at Okta's servers only, by the organisation's own one, whose issuer this client's issuer does not
    /// tell.
    #[error("password recovery at this server")]
    Recovery,
    /// The server has no introspection endpoint.
    #[error("introspection at this server")]
    Introspection,
    /// The server has no userinfo endpoint.
    #[error("user information at this server")]
    UserInfo,
    /// A process with [`RefreshPolicy::Never`](crate::RefreshPolicy::Never) and without a lock does not write the records of
    /// others: let the app choose the default account.
    #[error("a choice of the default account in a process that may not refresh")]
    DefaultHere,
    /// The same for a step-up: let the app do it.
    #[error("a step-up in a process that may not refresh")]
    StepUpHere,
}

#[cfg(test)]
mod properties;
