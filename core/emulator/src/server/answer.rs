//! What a request gets back: a reply, or the reason why not. Both of Okta's error bodies are made here.

use serde_json::{Map, Value, json};

use super::catalogue::{self, ApiRow, Row};
use super::{Bucket, Operation};
use crate::settings::{Descriptions, Envelope, Settings};

/// An answer, ready to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) outcome: String,
}

impl Reply {
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self { status, headers: Vec::new(), body: body.to_string().into_bytes(), outcome: "ok".to_owned() }
            .header("Content-Type", "application/json; charset=UTF-8")
    }

    pub(crate) fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new(), outcome: "ok".to_owned() }
    }

    pub(crate) fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub(crate) fn outcome(mut self, outcome: &str) -> Self {
        outcome.clone_into(&mut self.outcome);
        self
    }

    pub(crate) fn has_header(&self, name: &str) -> bool {
        self.headers.iter().any(|(key, _)| key.eq_ignore_ascii_case(name))
    }
}

/// Why a request is refused.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// `error` and `error_description`, from the catalogue.
    OAuth { row: &'static Row, fill: [String; 2], members: Box<Map<String, Value>>, status: Option<u16> },
    /// `errorCode` and `errorSummary`, from the catalogue.
    Api { row: &'static ApiRow, fill: String },
    /// The same envelope with an OAuth code in it, which discovery answers for a client that it does not know.
    UnknownClient { client: String },
    /// Another method is meant; `allow` names it.
    Method { allow: &'static str },
    /// 429, in either shape; `row` is that of the second.
    RateLimited { bucket: Bucket, row: &'static ApiRow },
    /// A new password that the policy does not take, and why.
    Password { causes: Vec<String> },
    /// A resource's 401 or 403 (RFC 6750 §3, RFC 9449 §7.1).
    Resource { status: u16, scheme: &'static str, error: Option<&'static str>, description: &'static str },
}

impl Refusal {
    /// A row, its `{x}` filled in.
    pub(crate) fn of(row: &'static Row, x: impl Into<String>) -> Self {
        Self::changed(row, x, "")
    }

    /// A row, its `{x}` and `{y}` filled in.
    pub(crate) fn changed(row: &'static Row, x: impl Into<String>, y: impl Into<String>) -> Self {
        Self::OAuth { row, fill: [x.into(), y.into()], members: Box::default(), status: None }
    }

    /// A row of envelope B, its `{0}` filled in.
    pub(crate) fn api(row: &'static ApiRow, fill: impl Into<String>) -> Self {
        Self::Api { row, fill: fill.into() }
    }

    pub(crate) fn not_found(path: &str) -> Self {
        Self::api(catalogue::E0000007, format!("Resource not found: {path} (Endpoint)"))
    }

    /// A parameter that this request has no use for.
    pub(crate) fn out_of_place(parameter: &str) -> Self {
        Self::api(catalogue::E0000001, parameter)
    }

    pub(crate) fn into_reply(self, settings: &Settings, operation: Operation) -> Reply {
        match self {
            Self::OAuth { row, fill, members, status } => oauth(row, &fill, *members, status, settings),
            Self::Api { row, fill } => api(row, &fill),
            Self::UnknownClient { client } => {
                let summary = format!("Invalid value for 'client_id' parameter: {client}.");
                Reply::json(400, &api_body("invalid_client", &summary, Vec::new())).outcome("invalid_client")
            }
            Self::Method { allow } => api(catalogue::E0000022, "").header("Allow", allow),
            Self::RateLimited { bucket, row } => {
                let envelope = settings.rate_limit_envelopes.get(operation.name());
                let reply = match envelope.unwrap_or(&settings.rate_limit_envelope) {
                    Envelope::OAuth => {
                        oauth(catalogue::USER_RATE_LIMITED, &Default::default(), Map::new(), None, settings)
                    }
                    Envelope::Api => api(row, ""),
                };
                bucket.headers(reply).outcome("user_rate_limited")
            }
            Self::Password { causes } => {
                let row = catalogue::E0000001;
                let causes: Vec<Value> = causes.iter().map(|cause| json!({ "errorSummary": cause })).collect();
                let body = api_body(row.code, &row.summary.replace("{0}", "password"), causes);
                Reply::json(row.status, &body).outcome(row.code)
            }
            Self::Resource { status, scheme, error, description } => {
                let algorithms = if scheme == "DPoP" { " algs=\"ES256 RS256\"," } else { "" };
                let challenge = match error {
                    Some(error) => {
                        format!("{scheme}{algorithms} error=\"{error}\", error_description=\"{description}\"")
                    }
                    None => scheme.to_owned(),
                };
                Reply::empty(status).header("WWW-Authenticate", challenge).outcome(error.unwrap_or("no_credentials"))
            }
        }
    }
}

impl Bucket {
    /// Adds what Okta says about a limit on every response (protocol.md §5).
    pub(crate) fn headers(self, reply: Reply) -> Reply {
        reply
            .header("X-Rate-Limit-Limit", self.limit.to_string())
            .header("X-Rate-Limit-Remaining", self.remaining.to_string())
            .header("X-Rate-Limit-Reset", self.reset.to_string())
    }
}

impl From<&'static Row> for Refusal {
    fn from(row: &'static Row) -> Self {
        Self::of(row, "")
    }
}

fn oauth(
    row: &Row,
    fill: &[String; 2],
    members: Map<String, Value>,
    status: Option<u16>,
    settings: &Settings,
) -> Reply {
    let mut body = Map::new();
    body.insert("error".to_owned(), json!(row.error));
    body.insert("error_description".to_owned(), json!(describe(row, fill, settings.descriptions)));
    body.extend(members);
    Reply::json(status.unwrap_or(row.status), &Value::Object(body)).outcome(row.code)
}

fn api(row: &ApiRow, fill: &str) -> Reply {
    Reply::json(row.status, &api_body(row.code, &row.summary.replace("{0}", fill), Vec::new())).outcome(row.code)
}

fn describe(row: &Row, fill: &[String; 2], language: Descriptions) -> String {
    match language {
        Descriptions::English => row.description.replace("{x}", &fill[0]).replace("{y}", &fill[1]),
        Descriptions::Other => "La richiesta non è andata a buon fine.".to_owned(),
        Descriptions::Empty => String::new(),
    }
}

fn api_body(code: &str, summary: &str, causes: Vec<Value>) -> Value {
    json!({ "errorCode": code, "errorSummary": summary, "errorLink": code, "errorId": "oaeDemoError", "errorCauses": causes })
}
