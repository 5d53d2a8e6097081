//! What a request gets back: a reply, or the reason why not. Both of Okta's error bodies are made here.

use serde_json::{Map, Value, json};

use super::catalogue::Row;
use crate::config::{Descriptions, Envelope, Settings};

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
    OAuth { row: &'static Row, fill: [String; 2], members: Map<String, Value>, status: Option<u16> },
    /// `errorCode` and `errorSummary`.
    Api { status: u16, code: &'static str, summary: String },
    /// 429, in either shape; `code` and `summary` are those of the second.
    RateLimited { limit: u64, reset: u64, code: &'static str, summary: &'static str },
    /// A resource's 401 or 403 (RFC 6750 §3).
    Bearer { status: u16, error: Option<&'static str>, description: &'static str },
}

impl Refusal {
    /// A row, its `{x}` filled in.
    pub(crate) fn of(row: &'static Row, x: impl Into<String>) -> Self {
        Self::changed(row, x, "")
    }

    /// A row, its `{x}` and `{y}` filled in.
    pub(crate) fn changed(row: &'static Row, x: impl Into<String>, y: impl Into<String>) -> Self {
        Self::OAuth { row, fill: [x.into(), y.into()], members: Map::new(), status: None }
    }

    pub(crate) fn not_found(path: &str) -> Self {
        let summary = format!("Not found: Resource not found: {path} (Endpoint)");
        Self::Api { status: 404, code: "E0000007", summary }
    }

    pub(crate) fn into_reply(self, settings: &Settings) -> Reply {
        match self {
            Self::OAuth { row, fill, members, status } => {
                let mut body = Map::new();
                body.insert("error".to_owned(), json!(row.error));
                body.insert("error_description".to_owned(), json!(describe(row, &fill, settings.descriptions)));
                body.extend(members);
                Reply::json(status.unwrap_or(row.status), &Value::Object(body)).outcome(row.code)
            }
            Self::Api { status, code, summary } => {
                let reply = Reply::json(status, &api_body(code, &summary)).outcome(code);
                if status == 405 { reply.header("Allow", "POST, GET") } else { reply }
            }
            Self::RateLimited { limit, reset, code, summary } => {
                let body = match settings.rate_limit_envelope {
                    Envelope::OAuth => json!({
                        "error": "invalid_grant",
                        "error_description": "API call exceeded rate limit due to too many requests.",
                    }),
                    Envelope::Api => api_body(code, summary),
                };
                Reply::json(429, &body)
                    .header("X-Rate-Limit-Limit", limit.to_string())
                    .header("X-Rate-Limit-Remaining", "0")
                    .header("X-Rate-Limit-Reset", reset.to_string())
                    .outcome("user_rate_limited")
            }
            Self::Bearer { status, error, description } => {
                let challenge = match error {
                    Some(error) => format!("Bearer error=\"{error}\", error_description=\"{description}\""),
                    None => "Bearer".to_owned(),
                };
                Reply::empty(status).header("WWW-Authenticate", challenge).outcome(error.unwrap_or("no_credentials"))
            }
        }
    }
}

impl From<&'static Row> for Refusal {
    fn from(row: &'static Row) -> Self {
        Self::of(row, "")
    }
}

fn describe(row: &Row, fill: &[String; 2], language: Descriptions) -> String {
    match language {
        Descriptions::English => row.description.replace("{x}", &fill[0]).replace("{y}", &fill[1]),
        Descriptions::Other => "La richiesta non è andata a buon fine.".to_owned(),
        Descriptions::Empty => String::new(),
    }
}

fn api_body(code: &str, summary: &str) -> Value {
    json!({ "errorCode": code, "errorSummary": summary, "errorLink": code, "errorId": "oaeDemoError", "errorCauses": [] })
}
