//! What an answer means.
//!
//! protocol.md §2.3. Decided in this order: HTTP status (429, 5xx, 3xx), media type, envelope, `error` × leg. Never on
//! `error_description`, which only `said` looks at.

use core::time::Duration;

use super::json::{self, JsonError, Limits, Object};
use super::private::Private;
use super::rate_limit::{RateHeaders, Waits, retry_delay};
use super::said;
use crate::env::{HttpResponse, TransportError, WallTime};
use crate::error::{Code, ConfigurationProblem, Error, Kind, NetworkProblem, ResponseDefect, Said, Unsupported};
use crate::secret::Secret;

/// What kind of request was answered; the same code means different things on different legs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leg {
    /// `/token` while a prompt waits on the user's device.
    Poll,
    /// `/token` with something the user typed: password, one-time code, received code.
    Entered,
    /// `/primary-authenticate` and `/challenge`.
    Start,
    /// `/token` with a refresh token.
    Refresh,
    /// `/revoke`, `/userinfo`, `/introspect`.
    Elsewhere,
    /// Metadata and keys.
    Metadata,
}

/// What one `error` code means on one leg. Names for the table only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    Pending,
    SlowDown,
    /// `slow_down` where nothing polls: like a 429 without headers (row 78).
    Wait,
    Mfa,
    Refused,
    Denied,
    Expired,
    Reauth,
    Browser,
    Policy,
    Failing,
    Client,
    Grant,
    Scope,
    Request,
    Proof,
    OutOfPlace,
    Unknown,
}

use Meaning::*;

/// The table of protocol.md §2.3. An unknown code is `Unknown` on every leg (rows 51, 137).
#[rustfmt::skip]
const TABLE: &[(&str, [Meaning; 6])] = &[
    // error                               Poll        Entered     Start       Refresh     Elsewhere   Metadata
    ("authorization_pending",             [Pending,    OutOfPlace, OutOfPlace, OutOfPlace, OutOfPlace, OutOfPlace]),
    ("slow_down",                         [SlowDown,   Wait,       Wait,       Wait,       Wait,       Wait]),
    ("mfa_required",                      [Mfa,        Mfa,        OutOfPlace, Reauth,     OutOfPlace, OutOfPlace]),
    ("invalid_grant",                     [Refused,    Refused,    Refused,    Refused,    Unknown,    Unknown]),
    ("access_denied",                     [Denied,     Denied,     Denied,     Reauth,     Denied,     Denied]),
    ("expired_token",                     [Expired,    Expired,    Expired,    Unknown,    Unknown,    Unknown]),
    ("invalid_client",                    [Client,     Client,     Client,     Client,     Client,     Client]),
    ("unauthorized_client",               [Grant,      Grant,      Grant,      Grant,      Grant,      Client]),
    ("unsupported_grant_type",            [Grant,      Grant,      Grant,      Grant,      Grant,      Grant]),
    ("invalid_scope",                     [Scope,      Scope,      Scope,      Scope,      Scope,      Scope]),
    ("invalid_request",                   [Request,    Request,    Request,    Request,    Request,    Request]),
    ("use_dpop_nonce",                    [Proof,      Proof,      Proof,      Proof,      Proof,      Proof]),
    ("invalid_dpop_proof",                [Proof,      Proof,      Proof,      Proof,      Proof,      Proof]),
    ("temporarily_unavailable",           [Failing,    Failing,    Failing,    Failing,    Failing,    Failing]),
    ("server_error",                      [Failing,    Failing,    Failing,    Failing,    Failing,    Failing]),
    ("consent_required",                  [Browser,    Browser,    Browser,    Reauth,     Unknown,    Unknown]),
    ("interaction_required",              [Browser,    Browser,    Browser,    Reauth,     Unknown,    Unknown]),
    ("login_required",                    [Browser,    Browser,    Browser,    Reauth,     Unknown,    Unknown]),
    ("unmet_authentication_requirements", [Policy,     Policy,     Policy,     Reauth,     Unknown,    Unknown]),
    // Okta's own codes (envelope B) that say more than their status; protocol.md §1.15.
    ("E0000021",                          [Request,    Request,    Request,    Request,    Request,    Request]),
    ("E0000022",                          [Request,    Request,    Request,    Request,    Request,    Request]),
    ("E0000150",                          [Policy,     Policy,     Policy,     Unknown,    Unknown,    Unknown]),
    ("E0000151",                          [Policy,     Policy,     Policy,     Unknown,    Unknown,    Unknown]),
];

fn meaning(code: &str, leg: Leg) -> Meaning {
    let [poll, entered, start, refresh, elsewhere, metadata] =
        TABLE.iter().find(|(known, _)| *known == code).map_or([Unknown; 6], |(_, row)| *row);
    match leg {
        Leg::Poll => poll,
        Leg::Entered => entered,
        Leg::Start => start,
        Leg::Refresh => refresh,
        Leg::Elsewhere => elsewhere,
        Leg::Metadata => metadata,
    }
}

/// An answer that is not success, or no answer.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) why: Why,
    pub(crate) said: Said,
    pub(crate) status: Option<u16>,
}

/// One answer, and what was sent to get it.
pub(crate) struct Reply {
    pub(crate) response: HttpResponse,
    pub(crate) private: Private,
}

/// What the caller of a leg decides on.
#[derive(Debug)]
pub(crate) enum Why {
    /// The user has not answered yet.
    Pending,
    /// Poll less often, for good.
    SlowDown,
    /// A second factor is wanted.
    MoreAssurance(MoreAssurance),
    /// `invalid_grant`: the credential, the code, the prompt or the refresh token.
    Refused,
    /// `access_denied`: the factor, or the whole sign-in; the wire cannot tell.
    Denied(Code),
    /// A code that surely speaks of a policy.
    Policy(Code),
    /// `expired_token`.
    Expired,
    /// `use_dpop_nonce` or `invalid_dpop_proof`.
    Proof(Code),
    /// 429, or a wait without one; how long, if the server said so.
    RateLimited(Option<Duration>),
    /// Nothing usable came back; for a poll or a refresh, worth another try.
    NoAnswer {
        /// What to report.
        kind: Kind,
        /// Whether the server may have acted on the request all the same.
        maybe_acted: bool,
    },
    /// Trying again will not change it.
    Fatal(Kind),
}

/// The 403 that asks for a second factor.
#[derive(Debug)]
pub(crate) struct MoreAssurance {
    pub(crate) mfa_token: Secret,
    /// The hint of what the server can challenge, if it gave one.
    pub(crate) challenge_types: Option<Vec<String>>,
}

impl Failure {
    /// A failure that no answer is behind.
    pub(crate) fn local(kind: Kind) -> Self {
        Self { why: Why::Fatal(kind), said: Said::default(), status: None }
    }

    /// An answer that came and cannot be used is a lost answer (docs/sessions.md §5): the server may have acted.
    pub(crate) fn lost_if_unusable(self) -> Self {
        let came = matches!(self.status, None | Some(200..=299));
        if came && matches!(self.why, Why::Fatal(Kind::InvalidResponse { .. })) { self.lost() } else { self }
    }

    /// As an error, when no rule of the leg gives it another kind.
    pub(crate) fn into_error(self, now: WallTime) -> Error {
        Error::from(self.why.into_kind(now)).with(self.said)
    }

    /// With the time to wait filled in where the server gave none, and spread.
    pub(crate) fn waiting(self, waits: Waits) -> Self {
        let why = match self.why {
            Why::RateLimited(delay) => Why::RateLimited(Some(waits.wait(delay))),
            why => why,
        };
        Self { why, ..self }
    }

    /// What a refused proof means for a request that showed a key: a poll is made again at the next tick (rows 264, 269).
    pub(crate) fn with_proof(self, leg: Leg) -> Self {
        let why = match self.why {
            Why::Proof(code) => {
                let kind = Kind::Server { status: self.status.unwrap_or(400), code: Some(code) };
                if leg == Leg::Poll { Why::NoAnswer { kind, maybe_acted: false } } else { Why::Fatal(kind) }
            }
            why => why,
        };
        Self { why, ..self }
    }

    /// The error of a proof that was refused, as [`with_proof`](Failure::with_proof) leaves it.
    pub(crate) fn refused_proof(&self) -> Option<&Code> {
        match &self.why {
            Why::Fatal(Kind::Server { code: Some(code), .. })
                if matches!(code.as_str(), "use_dpop_nonce" | "invalid_dpop_proof") =>
            {
                Some(code)
            }
            _ => None,
        }
    }

    /// Whether a prompt or code that was asked for surely did not go out: the server said no, or never heard of it.
    pub(crate) fn surely_nothing_sent(&self) -> bool {
        match &self.why {
            Why::NoAnswer { maybe_acted, .. } => !maybe_acted,
            Why::RateLimited(_) | Why::Refused | Why::Denied(_) | Why::Policy(_) | Why::Expired => true,
            _ => matches!(self.status, Some(400..=499)),
        }
    }

    /// The server has acted, and what it answered is lost.
    pub(crate) fn lost(self) -> Self {
        let why = match self.why {
            Why::Fatal(kind) => Why::NoAnswer { kind, maybe_acted: true },
            why => why,
        };
        Self { why, ..self }
    }

    /// The answer was well-formed, but a later rule refused it.
    pub(crate) fn after(reply: &Reply, kind: Kind) -> Self {
        let said = said::said(&reply.response, None, &reply.private);
        Self { why: Why::Fatal(kind), said, status: Some(reply.response.status) }
    }
}

impl Why {
    /// A word for the audit log.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::SlowDown => "SlowDown",
            Self::MoreAssurance(_) => "MoreAssurance",
            Self::Refused => "Refused",
            Self::Denied(_) | Self::Policy(_) => "NotAllowed",
            Self::Expired => "Expired",
            Self::Proof(_) => "Proof",
            Self::RateLimited(_) => "RateLimited",
            Self::NoAnswer { kind, .. } | Self::Fatal(kind) => kind.name(),
        }
    }

    /// What to tell the app when no rule of the leg gives it another name.
    pub(crate) fn into_kind(self, now: WallTime) -> Kind {
        match self {
            Self::Pending | Self::SlowDown | Self::MoreAssurance(_) => {
                Kind::InvalidResponse { what: ResponseDefect::OutOfPlace }
            }
            Self::Refused => Kind::Rejected,
            Self::Denied(code) | Self::Policy(code) => Kind::NotAllowed { code },
            Self::Expired => Kind::Expired,
            // No key was shown.
            Self::Proof(_) => Kind::Unsupported { what: Unsupported::DPoP },
            Self::RateLimited(delay) => {
                let delay = delay.unwrap_or(DEFAULT_WAIT);
                Kind::RateLimited { retry_at: now.plus(delay).to_system_time() }
            }
            Self::NoAnswer { kind, .. } | Self::Fatal(kind) => kind,
        }
    }
}

impl From<TransportError> for Failure {
    fn from(error: TransportError) -> Self {
        let maybe_acted = error.maybe_sent;
        let kind = Kind::from(error);
        let why = match kind {
            Kind::Network { .. } => Why::NoAnswer { kind, maybe_acted },
            kind => Why::Fatal(kind),
        };
        Self { why, said: Said::default(), status: None }
    }
}

/// How long to wait after a 429 that does not say (row 320).
const DEFAULT_WAIT: Duration = Duration::from_secs(1);
/// How long after a `slow_down` where nothing polls (row 78).
const SLOW_DOWN_WAIT: Duration = Duration::from_secs(5);
/// Error bodies are read up to this size (row 12).
const MAX_ERROR: usize = 256 * 1024;
/// An `mfa_token` is opaque; longer ones are refused (row 148 by analogy with row 50).
const MAX_MFA_TOKEN: usize = 64 * 1024;

/// The JSON object of a 200, or what the answer means instead.
pub(crate) fn read(reply: &Reply, leg: Leg) -> Result<Object, Failure> {
    let response = &reply.response;
    let mut envelope = None;
    let why = match response.status {
        200 => match success(response) {
            Ok(answer) => return Ok(answer),
            Err(why) => why,
        },
        429 => {
            envelope = small_envelope(response).ok();
            Why::RateLimited(rate_limit_delay(response, envelope.as_ref()))
        }
        300..=399 => fatal(ResponseDefect::Redirect),
        // A typo in the issuer shows as "not found" in whatever form the host has for it (rows 83, 201).
        404 if leg == Leg::Metadata => Why::Fatal(Kind::Configuration { what: ConfigurationProblem::IssuerNotFound }),
        400..=499 => match small_envelope(response) {
            Ok(found) => client_error(reply, envelope.insert(found), leg),
            Err(defect) => fatal(defect),
        },
        500..=599 => {
            envelope = small_envelope(response).ok();
            server_error(reply, envelope.as_ref())
        }
        _ => fatal(ResponseDefect::Status),
    };
    let said = said::said(response, envelope.as_ref(), &reply.private);
    Err(Failure { why, said, status: Some(response.status) })
}

fn success(response: &HttpResponse) -> Result<Object, Why> {
    if response.body.is_empty() {
        return Err(fatal(ResponseDefect::Empty));
    }
    match media_type(response) {
        Media::Json => parse(&response.body).map_err(fatal),
        Media::Html => Err(Why::NoAnswer {
            kind: Kind::Network { kind: NetworkProblem::CaptivePortal, maybe_sent: true },
            maybe_acted: true,
        }),
        Media::JsonLike | Media::Other => Err(fatal(ResponseDefect::ContentType)),
    }
}

/// Success of a request whose body does not matter (revocation answers 200 with nothing, row 22).
pub(crate) fn read_empty(reply: &Reply, leg: Leg) -> Result<(), Failure> {
    if reply.response.status == 200 { Ok(()) } else { read(reply, leg).map(drop) }
}

/// The body of an error, in either of the two envelopes.
fn small_envelope(response: &HttpResponse) -> Result<Object, ResponseDefect> {
    if !matches!(media_type(response), Media::Json | Media::JsonLike) {
        return Err(ResponseDefect::ContentType);
    }
    if response.body.len() > MAX_ERROR {
        return Err(ResponseDefect::TooLarge);
    }
    parse(&response.body)
}

/// A body as the strict parser sees it.
pub(crate) fn parse(body: &[u8]) -> Result<Object, ResponseDefect> {
    json::parse_object(body, Limits::default()).map_err(|error| match error {
        JsonError::Encoding => ResponseDefect::Encoding,
        _ => ResponseDefect::Json,
    })
}

fn fatal(what: ResponseDefect) -> Why {
    Why::Fatal(Kind::InvalidResponse { what })
}

fn client_error(reply: &Reply, envelope: &mut Object, leg: Leg) -> Why {
    let response = &reply.response;
    let Some(code) = error_code(envelope).map(str::to_owned) else { return fatal(ResponseDefect::ErrorShape) };
    let shown = shown(&code, &reply.private);
    let configuration = |what| Why::Fatal(Kind::Configuration { what });
    match meaning(&code, leg) {
        Pending => Why::Pending,
        SlowDown => Why::SlowDown,
        Wait => Why::RateLimited(Some(rate_limit_delay(response, None).unwrap_or(SLOW_DOWN_WAIT))),
        Mfa => more_assurance(envelope),
        Refused => Why::Refused,
        Denied => Why::Denied(Code::of("access_denied")),
        Expired => Why::Expired,
        Reauth => Why::Fatal(Kind::ReauthRequired { reason: shown.unwrap_or_else(|| Code::of("unknown")) }),
        Browser => Why::Fatal(Kind::BrowserRequired { reason: shown.unwrap_or_else(|| Code::of("unknown")) }),
        Policy => Why::Policy(shown.unwrap_or_else(|| Code::of("unknown"))),
        Failing => Why::NoAnswer { kind: Kind::Server { status: response.status, code: shown }, maybe_acted: false },
        Client => configuration(ConfigurationProblem::Client),
        Grant => configuration(ConfigurationProblem::Grant),
        Scope => configuration(ConfigurationProblem::ScopeRefused),
        Request => configuration(ConfigurationProblem::Request(shown.unwrap_or_else(|| Code::of("invalid_request")))),
        Proof => Why::Proof(shown.unwrap_or_else(|| Code::of("invalid_dpop_proof"))),
        OutOfPlace => fatal(ResponseDefect::OutOfPlace),
        Unknown if response.status == 404 => configuration(ConfigurationProblem::IssuerNotFound),
        Unknown => Why::Fatal(Kind::Server { status: response.status, code: shown }),
    }
}

/// A 5xx, in whatever shape (rows 53–55): the server may have acted before it failed.
fn server_error(reply: &Reply, envelope: Option<&Object>) -> Why {
    let code = envelope.and_then(error_code).and_then(|code| shown(code, &reply.private));
    Why::NoAnswer { kind: Kind::Server { status: reply.response.status, code }, maybe_acted: true }
}

/// What an app may see of a code. One of the table is shown whatever was typed: what the app should do must not depend on a
/// user's password being part of a word.
fn shown(code: &str, private: &Private) -> Option<Code> {
    match TABLE.iter().find(|(known, _)| *known == code) {
        Some((known, _)) => Some(Code::of(known)),
        None => said::code(code, private),
    }
}

/// The code of a refusal, whatever it means.
pub(crate) fn refusal(reply: &Reply) -> Option<String> {
    let is_refusal = matches!(reply.response.status, 400..=499);
    let envelope = small_envelope(&reply.response).ok().filter(|_| is_refusal)?;
    error_code(&envelope).map(str::to_owned)
}

/// `error` of envelope A, else `errorCode` of envelope B (rows 52, 57–58).
fn error_code(envelope: &Object) -> Option<&str> {
    let member = |name| envelope.str(name).filter(|code| !code.is_empty());
    if envelope.get("error").is_some() { member("error") } else { member("errorCode") }
}

fn more_assurance(envelope: &mut Object) -> Why {
    let challenge_types = match envelope.get("supported_challenge_types") {
        Some(json::Value::String(list)) => Some(list.as_str().split(' ').map(str::to_owned).collect()),
        Some(json::Value::Array(list)) => Some(
            list.iter()
                .filter_map(|item| if let json::Value::String(text) = item { Some(text) } else { None })
                .map(|text| text.as_str().to_owned())
                .collect(),
        ),
        _ => None,
    };
    match envelope.take("mfa_token") {
        Some(json::Value::String(token)) if !token.as_str().is_empty() && token.as_str().len() <= MAX_MFA_TOKEN => {
            Why::MoreAssurance(MoreAssurance { mfa_token: token.into_secret(), challenge_types })
        }
        _ => fatal(ResponseDefect::Member("mfa_token")),
    }
}

/// How long a 429 asks to wait: by its headers, else by a code that has its own time (row 324).
fn rate_limit_delay(response: &HttpResponse, envelope: Option<&Object>) -> Option<Duration> {
    retry_delay(&RateHeaders::of(response)).or_else(|| match envelope?.str("errorCode")? {
        "E0000109" | "E0000133" => Some(Duration::from_secs(30)),
        "E0000118" => Some(Duration::from_secs(5)),
        _ => None,
    })
}

enum Media {
    Json,
    JsonLike,
    Html,
    Other,
}

/// The essence of the media type, compared without case; parameters are ignored (rows 6–10).
fn media_type(response: &HttpResponse) -> Media {
    let Some(value) = response.header("content-type") else { return Media::Other };
    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        "application/json" => Media::Json,
        "text/html" | "application/xhtml+xml" => Media::Html,
        other if other.starts_with("application/") && other.ends_with("+json") => Media::JsonLike,
        _ => Media::Other,
    }
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
