//! Errors as both languages see them: one flat list, each with what the core says of it. Nothing is decided here.

use core::fmt;
use std::time::SystemTime;

use directauth::{Error, Kind};

/// A failed call. What the core's documentation says of each kind holds here too.
#[derive(Clone, Debug, thiserror::Error, uniffi::Error)]
pub enum AuthError {
    /// The code or credential was refused, and the step stays usable.
    #[error("{details}")]
    Rejected {
        /// What goes with every error.
        details: ErrorDetails,
    },
    /// The user said no on the device, or tapped a wrong number.
    #[error("{details}")]
    Declined {
        /// What goes with every error.
        details: ErrorDetails,
    },
    /// A policy or an assignment does not allow this; another factor may be allowed.
    #[error("{details}")]
    NotAllowed {
        /// The server's error code.
        code: String,
        /// What goes with every error.
        details: ErrorDetails,
    },
    /// What was being answered is over: the prompt, the code or the whole sign-in.
    #[error("{details}")]
    Expired {
        /// What goes with every error.
        details: ErrorDetails,
    },
    /// Too many wrong codes in this step; nothing more is sent for it.
    #[error("{details}")]
    TooManyAttempts {
        /// What goes with every error.
        details: ErrorDetails,
    },
    /// Too many requests, or too early for a resend. Nothing was consumed.
    #[error("{details}")]
    RateLimited {
        /// The earliest time at which trying again makes sense.
        retry_at: SystemTime,
        /// What goes with every error.
        details: ErrorDetails,
    },
    /// Only a browser can go on.
    #[error("{details}")]
    BrowserRequired {
        /// The server's error code.
        reason: String,
        /// What goes with every error.
        details: ErrorDetails,
    },
    /// The session is kept, but the user has to sign in again before it is renewed.
    #[error("{details}")]
    ReauthRequired {
        /// The server's error code.
        reason: String,
        /// What goes with every error.
        details: ErrorDetails,
    },
    /// The session is over.
    #[error("{details}")]
    SessionEnded {
        /// Why it ended.
        reason: EndReason,
        /// What goes with every error.
        details: ErrorDetails,
    },
    /// The storage could not be read or written; nothing was lost or ended by that.
    #[error("{details}")]
    StorageUnavailable {
        /// What the storage reported.
        reason: StorageProblem,
        /// What goes with every error.
        details: ErrorDetails,
    },
    /// The key that the tokens are bound to cannot be used; nothing was lost or ended by that.
    #[error("{details}")]
    KeyUnavailable {
        /// What the platform reported.
        reason: KeyProblem,
        /// What goes with every error.
        details: ErrorDetails,
    },
    /// No usable answer came back.
    #[error("{details}")]
    Network {
        /// What failed.
        problem: NetworkProblem,
        /// Whether the server may have seen the request.
        maybe_sent: bool,
        /// What goes with every error.
        details: ErrorDetails,
    },
    /// The answer breaks the protocol; nothing of it was used.
    #[error("{details}")]
    InvalidResponse {
        /// What was wrong with it, for a developer.
        what: String,
        /// What goes with every error.
        details: ErrorDetails,
    },
    /// Tokens came back but did not pass validation; nothing was released.
    #[error("{details}")]
    TokenRejected {
        /// The check that failed, by the claim's or parameter's name.
        check: String,
        /// What goes with every error.
        details: ErrorDetails,
    },
    /// The app or the server is set up wrongly; trying again will not help.
    #[error("{details}")]
    Configuration {
        /// What has to be changed, for a developer.
        what: String,
        /// What goes with every error.
        details: ErrorDetails,
    },
    /// The server asks for something that this version cannot do.
    #[error("{details}")]
    Unsupported {
        /// What it is, for a developer.
        what: String,
        /// What goes with every error.
        details: ErrorDetails,
    },
    /// What the platform's passkey ceremony gave cannot be an answer to this challenge; nothing was sent.
    #[error("{details}")]
    Passkey {
        /// What is wrong with it.
        problem: PasskeyProblem,
        /// What goes with every error.
        details: ErrorDetails,
    },
    /// The app cancelled the sign-in.
    #[error("{details}")]
    Cancelled {
        /// What goes with every error.
        details: ErrorDetails,
    },
    /// The step is answering already, was used already, or too many sign-ins run at once.
    #[error("{details}")]
    Busy {
        /// What goes with every error.
        details: ErrorDetails,
    },
    /// The server failed, or used an error code nobody knows.
    #[error("{details}")]
    Server {
        /// The HTTP status.
        status: i32,
        /// The server's error code.
        code: Option<String>,
        /// What goes with every error.
        details: ErrorDetails,
    },
    /// A defect of this library.
    #[error("{details}")]
    Internal {
        /// What goes with every error.
        details: ErrorDetails,
    },
}

/// What goes with every error.
#[derive(Clone, PartialEq, Eq, uniffi::Record)]
#[uniffi::export(Debug, Display)]
pub struct ErrorDetails {
    /// The kind's name and a sentence, for logs; not for users.
    pub text: String,
    /// What the app should do next.
    pub remedy: Remedy,
    /// Whether the same call may succeed later without anything else being changed.
    pub is_retryable: bool,
    /// The server's id of the request, for its log and its support.
    pub request_id: Option<String>,
    /// The library's own random id of the sign-in, as the audit events carry it.
    pub transaction_id: Option<String>,
    /// What the server's sentence gives away beyond its code, for better wording.
    pub hint: Option<Hint>,
    /// What the server said in words.
    pub server_text: Option<ServerText>,
}

/// As [`ServerText`]: the server's words are not printed.
impl fmt::Debug for ErrorDetails {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ErrorDetails({self})")
    }
}

impl fmt::Display for ErrorDetails {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        for (name, id) in [("request", &self.request_id), ("transaction", &self.transaction_id)] {
            if let Some(id) = id {
                write!(f, ", {name} {id}")?;
            }
        }
        Ok(())
    }
}

/// The server's own words about a failure. **Untrusted**: show them to developers, never as part of your own page, never as
/// markup, and never open the address. Printing this shows none of it.
#[derive(Clone, PartialEq, Eq, uniffi::Record)]
#[uniffi::export(Debug, Display)]
pub struct ServerText {
    /// Its description of the error. Not called that, since Swift prints a value by a property of that name.
    pub text: Option<String>,
    /// The address of a page about it. Do not open it.
    pub uri: Option<String>,
    /// Okta's own code, if it stood beside the one that decided.
    pub second_code: Option<String>,
    /// Okta's causes, a sentence each: such as the requirements that a new password does not meet.
    pub causes: Vec<String>,
}

impl fmt::Debug for ServerText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[untrusted text]")
    }
}

impl fmt::Display for ServerText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl From<Error> for AuthError {
    fn from(error: Error) -> Self {
        let kind = error.kind();
        let details = ErrorDetails {
            text: format!("{}: {error}", kind.name()),
            remedy: error.remedy().into(),
            is_retryable: error.is_retryable(),
            request_id: error.request_id().map(str::to_owned),
            transaction_id: error.transaction_id().map(str::to_owned),
            hint: error.hint().and_then(Hint::of),
            server_text: error.server_text().map(ServerText::from),
        };
        match kind {
            Kind::Rejected => Self::Rejected { details },
            Kind::Declined => Self::Declined { details },
            Kind::NotAllowed { code } => Self::NotAllowed { code: code.to_string(), details },
            Kind::Expired => Self::Expired { details },
            Kind::TooManyAttempts => Self::TooManyAttempts { details },
            Kind::RateLimited { retry_at } => Self::RateLimited { retry_at: *retry_at, details },
            Kind::BrowserRequired { reason } => Self::BrowserRequired { reason: reason.to_string(), details },
            Kind::ReauthRequired { reason } => Self::ReauthRequired { reason: reason.to_string(), details },
            Kind::SessionEnded { reason } => Self::SessionEnded { reason: (*reason).into(), details },
            Kind::StorageUnavailable { reason } => Self::StorageUnavailable { reason: (*reason).into(), details },
            Kind::KeyUnavailable { reason } => Self::KeyUnavailable { reason: (*reason).into(), details },
            Kind::Network { kind, maybe_sent } => {
                Self::Network { problem: (*kind).into(), maybe_sent: *maybe_sent, details }
            }
            Kind::InvalidResponse { what } => Self::InvalidResponse { what: what.to_string(), details },
            Kind::TokenRejected { check } => Self::TokenRejected { check: check.to_string(), details },
            Kind::Configuration { what } => Self::Configuration { what: what.to_string(), details },
            Kind::Unsupported { what } => Self::Unsupported { what: what.to_string(), details },
            Kind::Passkey { problem } => Self::Passkey { problem: (*problem).into(), details },
            Kind::Cancelled => Self::Cancelled { details },
            Kind::Busy => Self::Busy { details },
            Kind::Server { status, code } => {
                Self::Server { status: i32::from(*status), code: code.as_ref().map(ToString::to_string), details }
            }
            _ => Self::Internal { details },
        }
    }
}

impl From<&directauth::ServerText> for ServerText {
    fn from(text: &directauth::ServerText) -> Self {
        Self {
            text: text.description().map(str::to_owned),
            uri: text.uri().map(str::to_owned),
            second_code: text.second_code().map(str::to_owned),
            causes: text.causes().to_vec(),
        }
    }
}

/// What the app should do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum Remedy {
    /// Let the user type it again; the step in hand stays usable.
    AskAgain,
    /// Offer another factor.
    ChooseAnother,
    /// Begin the sign-in again.
    StartOver,
    /// Wait, until the given time if there is one, then try the same again.
    Wait {
        /// The earliest time.
        until: Option<SystemTime>,
    },
    /// Send the user to the sign-in screen.
    SignInAgain,
    /// Continue in a browser.
    OpenBrowser,
    /// Ask the user to look at the network, then try again.
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

impl From<directauth::Remedy> for Remedy {
    fn from(remedy: directauth::Remedy) -> Self {
        use directauth::Remedy as Core;
        match remedy {
            Core::AskAgain => Self::AskAgain,
            Core::ChooseAnother => Self::ChooseAnother,
            Core::StartOver => Self::StartOver,
            Core::Wait(until) => Self::Wait { until },
            Core::SignInAgain => Self::SignInAgain,
            Core::OpenBrowser => Self::OpenBrowser,
            Core::CheckConnection => Self::CheckConnection,
            Core::Unlock => Self::Unlock,
            Core::FixConfiguration => Self::FixConfiguration,
            Core::Ignore => Self::Ignore,
            _ => Self::ContactSupport,
        }
    }
}

/// What a sentence of the server gives away. Decide on the error and its remedy, which do not depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum Hint {
    /// The password was right and has expired: offer to set a new one.
    PasswordExpired,
    /// An administrator has to enable a second factor for this app.
    SecondFactorNotEnabled,
}

impl Hint {
    fn of(hint: directauth::Hint) -> Option<Self> {
        match hint {
            directauth::Hint::PasswordExpired => Some(Self::PasswordExpired),
            directauth::Hint::SecondFactorNotEnabled => Some(Self::SecondFactorNotEnabled),
            _ => None,
        }
    }
}

/// An enum of the core and its likeness here; `_` for what a newer core may add.
macro_rules! likeness {
    ($(#[$doc:meta])* $name:ident of $core:path, else $other:ident { $($(#[$each:meta])* $variant:ident),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
        pub enum $name {
            $($(#[$each])* $variant),*
        }

        impl From<$core> for $name {
            fn from(core: $core) -> Self {
                use $core as Core;
                match core {
                    $(Core::$variant => Self::$variant,)*
                    _ => Self::$other,
                }
            }
        }
    };
}
pub(crate) use likeness;

likeness! {
    /// Why a session ended.
    EndReason of directauth::error::EndReason, else RefreshTokenRefused {
        /// The user signed out.
        SignedOut,
        /// A new sign-in took its place.
        Replaced,
        /// The server refused the newest refresh token.
        RefreshTokenRefused,
        /// The same, after a refresh whose answer never arrived.
        RefreshInterrupted,
        /// The server answered for another user.
        SubjectChanged,
    }
}

likeness! {
    /// What a storage reported. The first four are temporary.
    StorageProblem of directauth::error::StoreProblem, else Transient {
        /// The device is locked, or was not unlocked since it started.
        Locked,
        /// The user has to authenticate to the device first.
        NeedsUser,
        /// The user dismissed the device's prompt.
        UserCancelled,
        /// It did not work this time.
        Transient,
        /// The data was restored from another device.
        Foreign,
        /// The data is damaged.
        Corrupt,
        /// The key is missing.
        KeyMissing,
        /// The platform destroyed the key.
        KeyDestroyed,
        /// A newer version of this library wrote the data.
        NewerVersion,
    }
}

likeness! {
    /// What the platform reported of a key that signs proofs. The first four are temporary.
    KeyProblem of directauth::error::KeyProblem, else Transient {
        /// The device is locked, or was not unlocked since it started.
        Locked,
        /// The user has to authenticate to the device first.
        NeedsUser,
        /// The user dismissed the device's prompt.
        UserCancelled,
        /// It did not work this time, or not in time.
        Transient,
        /// There is no such key.
        Missing,
        /// The platform destroyed the key.
        Destroyed,
        /// There is a key under that name, but another one.
        Changed,
        /// The platform has no keys on P-256.
        Unsupported,
    }
}

likeness! {
    /// What failed on the way to the server and back.
    NetworkProblem of directauth::error::NetworkProblem, else Interrupted {
        /// No connection: offline, name not found, refused.
        Connect,
        /// The server's certificate is not trusted, or its TLS version is too old.
        Tls,
        /// The deadline passed.
        Timeout,
        /// The connection broke before the answer was complete.
        Interrupted,
        /// A web page came instead of the server's answer.
        CaptivePortal,
        /// The server's certificate is valid, but matches none of the configured pins.
        Pin,
        /// The proxy cannot be reached, or does not let the connection through.
        Proxy,
    }
}

likeness! {
    /// What is wrong with the platform's answer to a passkey challenge.
    PasskeyProblem of directauth::error::PasskeyProblem, else Malformed {
        /// It is no answer to a request for a sign-in.
        Malformed,
        /// It answers another challenge: each needs a ceremony of its own.
        OtherChallenge,
        /// It is by a credential that the server did not ask for.
        OtherCredential,
        /// It is for another relying party.
        OtherRelyingParty,
    }
}
