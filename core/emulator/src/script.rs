//! Answers that a test prescribes: which request they are for, and what happens instead of (or after) the real work.
//!
//! A [`Rule`] is read from JSON exactly as conformance files write it, or built in Rust.

use std::collections::BTreeMap;
use std::time::Duration;

use hyper::header::{HeaderName, HeaderValue};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::server::{GrantType, is_error_code, is_operation};

/// For some requests, one prescribed answer.
///
/// ```
/// use directauth_emulator::{Answer, Rule};
/// use serde_json::json;
///
/// let built = Rule::on("token").grant("refresh_token").times(2).answer(Answer::json(503, json!({"error": "server_error"})));
/// let read: Rule = serde_json::from_value(json!({
///     "on": "token", "grant": "refresh_token", "times": 2,
///     "answer": {"status": 503, "json": {"error": "server_error"}},
/// }))?;
/// assert_eq!(built, read);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The operation, as in [`Entry::operation`](crate::Entry::operation), or `any`.
    #[serde(deserialize_with = "operation")]
    pub on: String,
    /// Only this grant: `password`, `otp`, `oob`, `mfa-otp`, `mfa-oob`, `refresh_token`, or a `grant_type` in full.
    #[serde(default, deserialize_with = "grant")]
    pub grant: Option<String>,
    /// How many matching requests to leave alone first. A request that an earlier rule answered is not counted.
    #[serde(default)]
    pub after: u32,
    /// How many requests to answer; 0 for all that come.
    #[serde(default = "once")]
    pub times: u32,
    /// The answer.
    pub answer: Answer,
}

impl Rule {
    /// A rule for one operation. Until [`Rule::answer`] says otherwise it lets the real work happen.
    pub fn on(operation: &str) -> Self {
        Self { on: operation.to_owned(), grant: None, after: 0, times: 1, answer: Answer::real() }
    }

    /// Only for this grant.
    #[must_use]
    pub fn grant(mut self, grant: &str) -> Self {
        self.grant = Some(grant.to_owned());
        self
    }

    /// Leaves the first `n` matching requests alone.
    #[must_use]
    pub fn after(mut self, n: u32) -> Self {
        self.after = n;
        self
    }

    /// Answers `n` requests; 0 for all that come.
    #[must_use]
    pub fn times(mut self, n: u32) -> Self {
        self.times = n;
        self
    }

    /// The answer.
    #[must_use]
    pub fn answer(mut self, answer: Answer) -> Self {
        self.answer = answer;
        self
    }

    fn matches(&self, operation: &str, grant: Option<&str>) -> bool {
        let wanted = self.grant.as_deref().map(|grant| GrantType::from_short(grant).map_or(grant, |known| known.uri()));
        (self.on == operation || self.on == "any") && wanted.is_none_or(|wanted| grant == Some(wanted))
    }
}

fn once() -> u32 {
    1
}

/// A name that can match; a rule that never applies would let its test pass.
fn operation<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let name = String::deserialize(deserializer)?;
    let exists = name == "any" || is_operation(&name);
    if exists { Ok(name) } else { Err(D::Error::custom(format!("there is no operation {name}"))) }
}

fn grant<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let name = String::deserialize(deserializer)?;
    let exists = GrantType::from_short(&name).or(GrantType::from_uri(&name)).is_some();
    if exists { Ok(Some(name)) } else { Err(D::Error::custom(format!("there is no grant {name}"))) }
}

/// What a prescribed answer is.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "RawAnswer")]
pub struct Answer {
    pub(crate) kind: Kind,
    /// Without a value: the header is left out.
    pub(crate) headers: Vec<(String, Option<String>)>,
    pub(crate) text: Option<String>,
    pub(crate) raw: Option<String>,
    pub(crate) keep_open: bool,
    pub(crate) delay: Option<Duration>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    Fixed { status: u16, body: Body },
    Real(Edit),
    Error(String),
    Tokens(Box<TokenMutation>),
    Fault(Fault),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Body {
    Empty,
    Json(Value),
    Raw(Vec<u8>),
}

impl Answer {
    /// A JSON body. In its strings the placeholders of this crate's README are filled in, such as `{issuer}`.
    pub fn json(status: u16, body: Value) -> Self {
        Self::new(Kind::Fixed { status, body: Body::Json(body) })
    }

    /// A body as it stands, filled in like [`Answer::json`]. Give it a content type with [`Answer::header`].
    pub fn body(status: u16, body: impl Into<String>) -> Self {
        Self::new(Kind::Fixed { status, body: Body::Raw(body.into().into_bytes()) })
    }

    /// A body of any bytes.
    pub fn bytes(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self::new(Kind::Fixed { status, body: Body::Raw(body.into()) })
    }

    /// A status without a body.
    pub fn status(status: u16) -> Self {
        Self::new(Kind::Fixed { status, body: Body::Empty })
    }

    /// The real work and the real answer; useful with [`Answer::delay`].
    pub fn real() -> Self {
        Self::new(Kind::Real(Edit::default()))
    }

    /// The real work, and its JSON answer with members replaced and left out.
    pub fn edited(edit: Edit) -> Self {
        Self::new(Kind::Real(edit))
    }

    /// An error of the catalogue, by its internal code, for example `direct_auth_invalid_otp`, or by its E-code, for
    /// example `E0000047`; an unknown code is answered as `server_error`.
    pub fn error(code: &str) -> Self {
        Self::new(Kind::Error(code.to_owned()))
    }

    /// Really signed tokens without any check of the request, then changed.
    pub fn tokens(mutation: TokenMutation) -> Self {
        Self::new(Kind::Tokens(Box::new(mutation)))
    }

    /// Something that breaks.
    pub fn fault(fault: Fault) -> Self {
        Self::new(Kind::Fault(fault))
    }

    /// A header more. The same name again makes a second field; one that the answer has anyway is replaced. A fault takes
    /// none.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), Some(value.to_owned())));
        self
    }

    /// Leaves out a header that the answer has otherwise, such as `Content-Type`.
    #[must_use]
    pub fn without_header(mut self, name: &str) -> Self {
        self.headers.push((name.to_owned(), None));
        self
    }

    /// Writes the body anew: `{body}` is what it was, `{members}` the same without the outer braces. A fault takes none.
    #[must_use]
    pub fn text(mut self, template: &str) -> Self {
        self.text = Some(template.to_owned());
        self
    }

    /// Sends bytes instead of an HTTP answer that is well formed: `{headers}` (each line with its end), `{body}`,
    /// `{length}` and `{status}` are those of the answer. The connection ends after them, unless
    /// [`Answer::keep_open`] says otherwise. A fault takes none.
    #[must_use]
    pub fn raw(mut self, template: &str) -> Self {
        self.raw = Some(template.to_owned());
        self
    }

    /// Leaves the connection open after [`Answer::raw`], for the client to wait or to send its next request on.
    #[must_use]
    pub fn keep_open(mut self) -> Self {
        self.keep_open = true;
        self
    }

    /// Waits before the answer is sent, after the work is done. For [`Fault::Drip`]: between two bytes.
    #[must_use]
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = Some(delay);
        self
    }

    fn new(kind: Kind) -> Self {
        Self { kind, headers: Vec::new(), text: None, raw: None, keep_open: false, delay: None }
    }
}

/// Changes to the top level of a JSON object.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edit {
    /// Members to put in or replace.
    #[serde(default)]
    pub set: Map<String, Value>,
    /// Members to leave out.
    #[serde(default)]
    pub omit: Vec<String>,
}

impl Edit {
    /// `set` is the edit's own, its placeholders filled in.
    pub(crate) fn apply(&self, object: &mut Map<String, Value>, set: Map<String, Value>) {
        object.retain(|name, _| !self.omit.contains(name));
        object.extend(set);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.set.is_empty() && self.omit.is_empty()
    }
}

/// Changes to an answer with tokens.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenMutation {
    /// Members to leave out of the answer.
    #[serde(default)]
    pub omit: Vec<String>,
    /// Members to put in or replace. `at_hash` follows an `access_token` given here.
    #[serde(default)]
    pub set: Map<String, Value>,
    /// Changes to the ID token.
    #[serde(default)]
    pub id_token: Option<JwtMutation>,
}

/// Changes to a JWT before and after it is signed.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JwtMutation {
    /// Claims to put in or replace. `{"now": -600}` as a value means that many seconds from now, `{"hash_of": token}`
    /// what `at_hash` is for that token.
    #[serde(default)]
    pub claims: Map<String, Value>,
    /// Claims to leave out.
    #[serde(default)]
    pub remove: Vec<String>,
    /// Header members to put in or replace.
    #[serde(default)]
    pub header: Map<String, Value>,
    /// Header members to leave out.
    #[serde(default)]
    pub remove_header: Vec<String>,
    /// The header's text: for duplicate names and for what is not an object. `{members}` are the header's own, without
    /// the braces.
    #[serde(default)]
    pub header_text: Option<String>,
    /// The payload's text, likewise; `{members}` are the claims.
    #[serde(default)]
    pub payload: Option<String>,
    /// The token's text, of `{header}`, `{payload}` and `{signature}`, each encoded; `{header}.{payload}.{signature}`
    /// when left out.
    #[serde(default)]
    pub compact: Option<String>,
    /// How it is signed.
    #[serde(default)]
    pub signature: Signature,
}

/// How a JWT is signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Signature {
    /// RS256 with the key that `kid` names.
    #[default]
    Rs256,
    /// The same, one bit flipped.
    Flip,
    /// No signature: the token ends with the dot.
    Empty,
    /// RS256 with somebody else's key, which is never published.
    OtherKey,
    /// RS256 with a published key, but not the one that `kid` names.
    OtherPublishedKey,
    /// HS256 with the text of the RSA public key (PEM) as its secret; `alg` says so.
    Hs256WithPublicKey,
    /// HS256 with the bytes of the RSA modulus as its secret; `alg` says so.
    Hs256WithModulus,
    /// RS512 by the right key; `alg` says so.
    Rs512,
    /// PS256 by the right key; `alg` says so.
    Ps256,
    /// ES256 by a key on P-256; `alg` says so. It is published only by a rule that does that.
    Es256,
}

/// What breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The connection ends without an answer and without the work.
    Close,
    /// The work is done, then the connection ends without an answer.
    CloseAfterProcessing,
    /// The connection is reset (TCP RST), without the work.
    Reset,
    /// The work is done; half of the answer's body comes, then the connection ends.
    Truncate,
    /// The same with a chunked body: all of it comes, but not the last chunk that says so.
    TruncateChunked,
    /// No answer comes, the connection stays open.
    Stall,
    /// Headers, then one blank every `delay_ms` (100 by default) for ten minutes.
    Drip,
    /// A body of 100 MiB that says so.
    Huge,
    /// A body of 100 MiB that does not say so.
    HugeChunked,
    /// Bytes that are not HTTP.
    Garbage,
    /// 307 to another host, which counts what reaches it.
    #[serde(rename = "redirect_307_other_host")]
    Redirect307OtherHost,
    /// 308 to the same place.
    #[serde(rename = "redirect_308_same_host")]
    Redirect308SameHost,
    /// 302 to the same place, which turns a POST into a GET.
    #[serde(rename = "redirect_302_get")]
    Redirect302Get,
    /// 200 with the HTML of a network's log-in page.
    CaptivePortal,
    /// 200 with a JSON content type and no body.
    Empty,
    /// The real answer, compressed although nobody asked.
    Gzip,
    /// A small body that says it is gzip, and is: 16 MiB of blanks.
    GzipBomb,
    /// An informational 103 before the real answer.
    InformationalFirst,
}

impl Fault {
    /// Its name in JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Close => "close",
            Self::CloseAfterProcessing => "close_after_processing",
            Self::Reset => "reset",
            Self::Truncate => "truncate",
            Self::TruncateChunked => "truncate_chunked",
            Self::Stall => "stall",
            Self::Drip => "drip",
            Self::Huge => "huge",
            Self::HugeChunked => "huge_chunked",
            Self::Garbage => "garbage",
            Self::Redirect307OtherHost => "redirect_307_other_host",
            Self::Redirect308SameHost => "redirect_308_same_host",
            Self::Redirect302Get => "redirect_302_get",
            Self::CaptivePortal => "captive_portal",
            Self::Empty => "empty",
            Self::Gzip => "gzip",
            Self::GzipBomb => "gzip_bomb",
            Self::InformationalFirst => "informational_first",
        }
    }

    /// Whether the request is worked on although the answer suffers.
    pub(crate) fn does_the_work(self) -> bool {
        matches!(
            self,
            Self::CloseAfterProcessing | Self::Truncate | Self::TruncateChunked | Self::Gzip | Self::InformationalFirst
        )
    }
}

/// An answer as JSON spells it: one of `json`, `body`, `body_base64`, `real`, `error`, `tokens`, `fault`, `raw` alone, or
/// a status alone.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAnswer {
    status: Option<u16>,
    #[serde(default)]
    headers: BTreeMap<String, OneOrMore>,
    // A JSON null is an answer too, so absence and null must differ.
    #[serde(default, deserialize_with = "present")]
    json: Option<Value>,
    body: Option<String>,
    body_base64: Option<String>,
    real: Option<Edit>,
    error: Option<String>,
    tokens: Option<TokenMutation>,
    fault: Option<Fault>,
    text: Option<String>,
    raw: Option<String>,
    #[serde(default)]
    keep_open: bool,
    delay_ms: Option<u64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

impl TryFrom<RawAnswer> for Answer {
    type Error = String;

    fn try_from(raw: RawAnswer) -> Result<Self, String> {
        let status = raw.status;
        let fixed = |body| Kind::Fixed { status: status.unwrap_or(200), body };
        let has_json = raw.json.is_some();
        let mut kinds: Vec<Kind> = Vec::new();
        kinds.extend(raw.json.map(|json| fixed(Body::Json(json))));
        kinds.extend(raw.body.map(|body| fixed(Body::Raw(body.into_bytes()))));
        if let Some(text) = raw.body_base64 {
            let bytes = data_encoding::BASE64.decode(text.as_bytes()).map_err(|_| "body_base64 is not base64")?;
            kinds.push(fixed(Body::Raw(bytes)));
        }
        let takes_status = !kinds.is_empty();
        kinds.extend(raw.real.map(Kind::Real));
        kinds.extend(raw.error.map(Kind::Error));
        kinds.extend(raw.tokens.map(|mutation| Kind::Tokens(Box::new(mutation))));
        kinds.extend(raw.fault.map(Kind::Fault));
        if kinds.len() > 1 {
            return Err("an answer is one of json, body, body_base64, real, error, tokens, fault".to_owned());
        }
        let has_json = has_json || matches!(kinds.first(), Some(Kind::Real(_) | Kind::Error(_) | Kind::Tokens(_)));
        let kind = match (kinds.pop(), status) {
            (Some(_), Some(_)) if !takes_status => {
                return Err("status goes with json, body, body_base64 or alone".to_owned());
            }
            (Some(kind), _) => kind,
            (None, Some(_)) => fixed(Body::Empty),
            (None, None) if raw.raw.is_some() => fixed(Body::Empty),
            (None, None) => {
                return Err("an answer needs a status, json, body, real, error, tokens, raw or fault".to_owned());
            }
        };
        if matches!(kind, Kind::Fault(_)) && (!raw.headers.is_empty() || raw.raw.is_some()) {
            return Err("a fault takes no headers and no raw".to_owned());
        }
        if raw.text.is_some() && !has_json {
            return Err("text goes with json, real, error or tokens".to_owned());
        }
        if raw.keep_open && raw.raw.is_none() {
            return Err("keep_open goes with raw".to_owned());
        }
        if let Kind::Error(code) = &kind
            && !is_error_code(code)
        {
            return Err(format!("there is no error {code} in the catalogue"));
        }
        if status.is_some_and(|status| !(200..=999).contains(&status)) {
            return Err("status is not between 200 and 999".to_owned());
        }
        let mut headers = Vec::new();
        for (name, value) in raw.headers {
            check_header(&name, &value)?;
            match value {
                OneOrMore::One(value) => headers.push((name, Some(value))),
                OneOrMore::More(values) if values.is_empty() => headers.push((name, None)),
                OneOrMore::More(values) => headers.extend(values.into_iter().map(|value| (name.clone(), Some(value)))),
            }
        }
        let delay = raw.delay_ms.map(Duration::from_millis);
        Ok(Self { kind, headers, text: raw.text, raw: raw.raw, keep_open: raw.keep_open, delay })
    }
}

/// A header that cannot be sent would let its test pass.
fn check_header(name: &str, value: &OneOrMore) -> Result<(), String> {
    if HeaderName::from_bytes(name.as_bytes()).is_err() {
        return Err(format!("{name:?} is no name of a header"));
    }
    if ["content-length", "transfer-encoding"].iter().any(|framing| name.eq_ignore_ascii_case(framing)) {
        return Err(format!("{name} is said with raw"));
    }
    let values = match value {
        OneOrMore::One(value) => std::slice::from_ref(value),
        OneOrMore::More(values) => values,
    };
    if values.iter().any(|value| HeaderValue::from_bytes(value.as_bytes()).is_err()) {
        return Err(format!("the value of {name} has control characters; they are said with raw"));
    }
    Ok(())
}

/// The rules of a tenant, each with how often it matched. The first that is not used up answers; one that is used up is
/// forgotten.
#[derive(Default)]
pub(crate) struct Script(Vec<(Rule, u32)>);

impl Script {
    pub(crate) fn add(&mut self, rule: Rule) {
        self.0.push((rule, 0));
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The rules that have answered nothing, or not as often as they say.
    pub(crate) fn unused(&self) -> Vec<String> {
        self.0
            .iter()
            .filter(|(rule, matched)| rule.times > 0 || *matched <= rule.after)
            .map(|(rule, matched)| {
                format!("{} {:?} after {} times {} matched {}", rule.on, rule.grant, rule.after, rule.times, matched)
            })
            .collect()
    }

    pub(crate) fn answer_for(&mut self, operation: &str, grant: Option<&str>) -> Option<Answer> {
        let mut found = None;
        for (index, (rule, matched)) in self.0.iter_mut().enumerate() {
            if !rule.matches(operation, grant) {
                continue;
            }
            *matched = matched.saturating_add(1);
            if *matched > rule.after {
                let is_used_up = rule.times > 0 && *matched >= rule.after.saturating_add(rule.times);
                found = Some((index, is_used_up));
                break;
            }
        }
        match found? {
            (index, true) => Some(self.0.remove(index).0.answer),
            (index, false) => self.0.get(index).map(|(rule, _)| rule.answer.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(rule: Value) -> Result<Rule, serde_json::Error> {
        serde_json::from_value(rule)
    }

    #[test]
    fn every_form_of_answer_reads() {
        for answer in [
            json!({"status": 400, "headers": {"Retry-After": "20"}, "json": {"error": "slow_down"}}),
            json!({"status": 200, "body": "<html>", "headers": {"Content-Type": "text/html"}}),
            json!({"json": null}),
            json!({"status": 204}),
            json!({"body_base64": "/v8="}),
            json!({"real": {}, "delay_ms": 50}),
            json!({"real": {"set": {"issuer": "{issuer}/"}, "omit": ["jwks_uri"]}}),
            json!({"error": "direct_auth_invalid_otp"}),
            json!({"tokens": {"omit": ["id_token"], "set": {"token_type": "MAC"},
                "id_token": {"claims": {"aud": "other"}, "remove": ["at_hash"], "header": {"alg": "none"}, "signature": "flip"}}}),
            json!({"fault": "redirect_307_other_host"}),
            json!({"error": "E0000109", "headers": {"X-Rate-Limit-Reset": []}}),
            json!({"real": {}, "text": "{body}x", "headers": {"Content-Type": []}}),
            json!({"json": null, "text": "[{body}]"}),
            json!({"raw": "HTTP/1.0 200 OK\r\n\r\n"}),
            json!({"tokens": {}, "raw": "HTTP/1.1 200 OK\r\n{headers}\r\n{body}", "keep_open": true}),
        ] {
            read(json!({"on": "token", "answer": answer})).unwrap();
        }
    }

    #[test]
    fn what_the_readme_shows_reads() {
        let readme = include_str!("../README.md");
        let example = readme.split("```json\n").find(|block| block.starts_with("{ \"claims\"")).unwrap();
        let mutation: JwtMutation = serde_json::from_str(example.split("```").next().unwrap()).unwrap();
        assert_eq!((mutation.claims.len(), mutation.signature), (2, Signature::Flip));
        let row = readme.lines().find(|line| line.starts_with("| `{\"fault\"")).unwrap();
        for fault in row.split('|').nth(2).unwrap().split(", ") {
            read(json!({"on": "token", "answer": {"fault": fault.trim().trim_matches('`')}})).unwrap();
        }
    }

    #[test]
    fn a_typo_or_two_answers_in_one_are_refused() {
        for answer in [
            json!({}),
            json!({"jsn": {}}),
            json!({"json": {}, "fault": "close"}),
            json!({"fault": "clsoe"}),
            json!({"status": 200, "real": {}}),
            json!({"error": "nonsense"}),
            json!({"fault": "empty", "headers": {"A": "b"}}),
            json!({"fault": "empty", "raw": "x"}),
            json!({"error": "E0000000"}),
            json!({"body": "x", "text": "{body}"}),
            json!({"status": 200, "text": "{body}"}),
            json!({"json": {}, "keep_open": true}),
            json!({"json": {}, "headers": {"a b": "c"}}),
            json!({"json": {}, "headers": {"Content-Length": "7"}}),
            json!({"json": {}, "headers": {"A": ["b", "c\r\nd: e"]}}),
        ] {
            read(json!({"on": "token", "answer": answer})).unwrap_err();
        }
        read(json!({"on": "token", "answers": {"status": 200}})).unwrap_err();
        read(json!({"on": "tokens", "answer": {"status": 200}})).unwrap_err();
        read(json!({"on": "token", "grant": "passwort", "answer": {"status": 200}})).unwrap_err();
    }

    #[test]
    fn rules_are_used_in_order_then_used_up() {
        let mut script = Script::default();
        script.add(Rule::on("token").grant("otp").answer(Answer::status(400)));
        script.add(Rule::on("token").after(1).times(2).answer(Answer::status(500)));
        let otp = Some("urn:okta:params:oauth:grant-type:otp");
        let status = |answer: Option<Answer>| match answer.map(|answer| answer.kind) {
            Some(Kind::Fixed { status, .. }) => status,
            _ => 0,
        };
        let seen: Vec<u16> =
            [otp, otp, Some("password"), otp, otp].map(|grant| status(script.answer_for("token", grant))).to_vec();
        assert_eq!(seen, [400, 0, 500, 500, 0]);
        assert_eq!(script.len(), 0, "what is used up is forgotten");
    }
}
