//! Every request that reached a tenant, in order, for a test to look at. `Debug` and JSON show no secret; the fields do.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

/// How many entries a tenant keeps; the oldest go first.
pub(crate) const CAPACITY: usize = 10_000;
/// How many bytes of requests it keeps.
pub(crate) const CAPACITY_BYTES: usize = 16 * 1024 * 1024;
/// How much of one answer it keeps: a long one is not to push out all the others.
const MOST_OF_AN_ANSWER: usize = 256 * 1024;
/// What an entry and a pair take beside their text.
const OVERHEAD: usize = 64;

const SECRET_PARAMETERS: [&str; 26] = [
    "password",
    "newPassword",
    "otp",
    "binding_code",
    "mfa_token",
    "oob_code",
    "refresh_token",
    "token",
    "access_token",
    "id_token",
    "client_secret",
    "client_assertion",
    "subject_token",
    "actor_token",
    "device_secret",
    "assertion",
    "authenticatorData",
    "clientDataJSON",
    "code",
    "code_verifier",
    "device_code",
    "id_token_hint",
    "request",
    "signature",
    "user_code",
    "userHandle",
];
const SECRET_HEADERS: [&str; 2] = ["dpop", "referer"];
/// What the name of a secret has in it, whatever it is called.
const OF_PARAMETERS: [&str; 6] = ["password", "passcode", "secret", "token", "assertion", "otp"];
const OF_HEADERS: [&str; 7] = ["auth", "cookie", "key", "password", "secret", "session", "token"];
/// These are about tokens, and none.
const NO_SECRETS: [&str; 2] = ["token_type", "token_type_hint"];
/// Longer than any name of a parameter.
const LONGEST_NAME: usize = 64;
const MASK: &str = "***";

/// One request and how it was answered.
#[derive(Clone)]
pub struct Entry {
    /// Counts the tenant's requests, from 1; those that were dropped and cleared count too.
    pub number: u64,
    /// When it arrived, on the tenant's clock, since the Unix epoch.
    pub at: Duration,
    /// The connection it came on; numbered over the whole emulator.
    pub connection: u64,
    /// `GET`, `POST`, …
    pub method: String,
    /// The path, without the query.
    pub path: String,
    /// `token`, `challenge`, `primary-authenticate`, `oob-authenticate`, `keys`, `metadata`, `revoke`, `introspect`,
    /// `userinfo`, `resource` or `other`.
    pub operation: String,
    /// The headers in order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The query, decoded, in order.
    pub query: Vec<(String, String)>,
    /// The form, decoded, in order.
    pub form: Vec<(String, String)>,
    /// The status of the answer; none when the request was left without one.
    pub status: Option<u16>,
    /// `ok`, an error's internal code from the catalogue, `scripted`, `fault: …`, or the trouble that it met: `offline`,
    /// `rate_limit_next`.
    pub outcome: String,
    /// The body of the answer, or all of the answer if it was prescribed as bytes; empty if there was none, and if a fault
    /// made it.
    pub answer: Vec<u8>,
    /// How long that was; what is longer than 256 KiB is not kept whole.
    pub answer_length: usize,
}

impl Entry {
    /// The first value of a parameter, of the form or of the query.
    pub fn param(&self, name: &str) -> Option<&str> {
        first(&self.form, name).or_else(|| first(&self.query, name))
    }

    /// The first value of a header; the name in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        first(&self.headers, &name.to_ascii_lowercase())
    }

    /// `grant_type`.
    pub fn grant(&self) -> Option<&str> {
        self.param("grant_type")
    }

    /// The last part of `grant_type`, by which people know it.
    pub(crate) fn short_grant(&self) -> Option<&str> {
        self.grant().map(|grant| grant.rsplit([':', '/']).next().unwrap_or(grant))
    }

    /// About how much memory it takes.
    fn bytes(&self) -> usize {
        let pairs = self.headers.iter().chain(&self.query).chain(&self.form);
        let texts = [&self.method, &self.path, &self.operation, &self.outcome];
        let text: usize = texts.iter().map(|text| text.len()).sum();
        let pairs: usize = pairs.map(|(name, value)| name.len() + value.len() + OVERHEAD).sum();
        pairs + text + self.answer.len() + OVERHEAD
    }

    /// The headers, secrets masked.
    pub(crate) fn shown_headers(&self) -> impl Iterator<Item = (&str, &str)> {
        shown(&self.headers, is_secret_header)
    }

    /// The query and the form, secrets masked.
    pub(crate) fn shown_params(&self) -> impl Iterator<Item = (&str, &str)> {
        shown(&self.query, is_secret_parameter).chain(shown(&self.form, is_secret_parameter))
    }

    /// The answer if it is JSON, secrets masked.
    pub(crate) fn shown_answer(&self) -> Option<Value> {
        let mut answer = serde_json::from_slice(&self.answer).ok()?;
        mask(&mut answer);
        Some(answer)
    }

    /// The entry as JSON without its answer, secrets masked.
    pub(crate) fn to_json(&self) -> Value {
        let object = |pairs: &[(String, String)], is_secret: fn(&str) -> bool| -> Value {
            shown(pairs, is_secret).map(|(name, value)| json!([name, value])).collect()
        };
        json!({
            "number": self.number,
            "at_ms": u64::try_from(self.at.as_millis()).unwrap_or(u64::MAX),
            "connection": self.connection,
            "method": self.method,
            "path": self.path,
            "operation": self.operation,
            "headers": object(&self.headers, is_secret_header),
            "query": object(&self.query, is_secret_parameter),
            "form": object(&self.form, is_secret_parameter),
            "status": self.status,
            "outcome": self.outcome,
        })
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{} {} {} → ", self.connection, self.method, self.path)?;
        match self.status {
            Some(status) => write!(f, "{status} {}", self.outcome)?,
            None => write!(f, "no answer ({})", self.outcome)?,
        }
        for (name, value) in self.query.iter().chain(&self.form) {
            let (name, value) = masked(name, value, is_secret_parameter);
            write!(f, " {name}={value}")?;
        }
        Ok(())
    }
}

/// A snapshot of what reached a tenant, oldest first.
#[derive(Clone, Default)]
pub struct Journal(pub Vec<Entry>);

impl Journal {
    /// How many requests reached an operation.
    pub fn count(&self, operation: &str) -> usize {
        self.of(operation).len()
    }

    /// The operations, one per request, in order.
    pub fn operations(&self) -> Vec<&str> {
        self.0.iter().map(|entry| entry.operation.as_str()).collect()
    }

    /// The requests of one operation.
    pub fn of(&self, operation: &str) -> Vec<&Entry> {
        self.0.iter().filter(|entry| entry.operation == operation).collect()
    }

    /// The time between each request of an operation and the one before it.
    pub fn gaps(&self, operation: &str) -> Vec<Duration> {
        let times: Vec<Duration> = self.of(operation).iter().map(|entry| entry.at).collect();
        times.iter().zip(times.iter().skip(1)).map(|(before, after)| after.saturating_sub(*before)).collect()
    }

    /// How many requests there were.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there was none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many connections carried them.
    pub fn connections(&self) -> usize {
        self.0.iter().map(|entry| entry.connection).collect::<BTreeSet<_>>().len()
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.0).finish()
    }
}

/// Entries as they come in, bounded.
#[derive(Default)]
pub(crate) struct Recorder {
    entries: VecDeque<Entry>,
    bytes: usize,
    dropped: u64,
    added: u64,
    cleared: u64,
}

impl Recorder {
    pub(crate) fn add(&mut self, mut entry: Entry) {
        self.added += 1;
        entry.number = self.added;
        entry.answer_length = entry.answer.len();
        entry.answer.truncate(MOST_OF_AN_ANSWER);
        self.bytes += entry.bytes();
        self.entries.push_back(entry);
        while self.entries.len() > CAPACITY || self.bytes > CAPACITY_BYTES {
            let Some(oldest) = self.entries.pop_front() else { break };
            self.bytes -= oldest.bytes();
            self.dropped += 1;
        }
    }

    pub(crate) fn snapshot(&self) -> Journal {
        Journal(self.entries.iter().cloned().collect())
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }

    pub(crate) fn clear(&mut self) {
        *self = Self { added: self.added, cleared: self.cleared + 1, ..Self::default() };
    }

    /// How often it was cleared.
    pub(crate) fn cleared(&self) -> u64 {
        self.cleared
    }

    /// The newest entries, at most so many and only those after `number`, newest first.
    pub(crate) fn newest(&self, most: usize, number: u64) -> impl Iterator<Item = &Entry> {
        self.entries.iter().rev().take_while(move |entry| entry.number > number).take(most)
    }

    pub(crate) fn find(&self, number: u64) -> Option<&Entry> {
        self.entries.binary_search_by_key(&number, |entry| entry.number).ok().and_then(|at| self.entries.get(at))
    }
}

fn first<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

fn shown(pairs: &[(String, String)], is_secret: fn(&str) -> bool) -> impl Iterator<Item = (&str, &str)> {
    pairs.iter().map(move |(name, value)| masked(name, value, is_secret))
}

fn is_secret_parameter(name: &str) -> bool {
    is_one_of(name, &SECRET_PARAMETERS) || (has_one_of(name, &OF_PARAMETERS) && !is_one_of(name, &NO_SECRETS))
}

fn is_secret_header(name: &str) -> bool {
    is_one_of(name, &SECRET_HEADERS) || has_one_of(name, &OF_HEADERS)
}

fn is_one_of(name: &str, names: &[&str]) -> bool {
    names.iter().any(|known| name.trim().eq_ignore_ascii_case(known))
}

fn has_one_of(name: &str, parts: &[&str]) -> bool {
    let name = name.to_ascii_lowercase();
    parts.iter().any(|part| name.contains(part))
}

/// Masks the secret members of some JSON, however deep.
fn mask(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                if is_secret_parameter(name) { *value = json!(MASK) } else { mask(value) }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(mask),
        _ => {}
    }
}

/// A pair as it is shown. What was sent as a form and is none has its content in the name.
fn masked<'a>(name: &'a str, value: &'a str, is_secret: fn(&str) -> bool) -> (&'a str, &'a str) {
    let is_name = name.len() <= LONGEST_NAME && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.[] ".contains(c));
    if !is_name {
        return (MASK, MASK);
    }
    (name, if is_secret(name) { MASK } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, value: &str) -> Entry {
        Entry {
            number: 0,
            at: Duration::ZERO,
            connection: 1,
            method: "POST".into(),
            path: "/token".into(),
            operation: "token".into(),
            headers: vec![("authorization".into(), "Bearer s3cret".into())],
            query: vec![],
            form: vec![(name.into(), value.into())],
            status: None,
            outcome: String::new(),
            answer: json!({"deep": [{ name: value }]}).to_string().into_bytes(),
            answer_length: 0,
        }
    }

    #[test]
    fn no_secret_is_printed() {
        for name in SECRET_PARAMETERS {
            let entry = entry(name, "s3cret");
            let shown = format!("{entry:?}{:?}{}", Journal(vec![entry.clone()]), entry.to_json());
            let pairs: Vec<_> = entry.shown_headers().chain(entry.shown_params()).collect();
            let answer = entry.shown_answer().unwrap();
            assert!(!format!("{shown}{pairs:?}{answer}").contains("s3cret"));
            assert_eq!(answer["deep"][0][name], json!(MASK));
        }
    }

    #[test]
    fn what_is_nearly_a_secret_parameter_is_masked_too() {
        for name in ["password ", "PASSWORD", r#"{"profile":{"password":"s3cret"}}"#, &"s3cret".repeat(100), "s3cret="]
        {
            let entry = entry(name, "s3cret");
            let pairs: Vec<_> = entry.shown_params().chain(entry.shown_headers()).collect();
            let shown = format!("{entry:?}{}{pairs:?}", entry.to_json());
            assert!(!shown.contains("s3cret"), "{shown}");
        }
        for (name, value) in [("scope", "openid"), ("token_type_hint", "refresh_token"), ("grant_type", "password")] {
            assert_eq!(entry(name, value).shown_params().collect::<Vec<_>>(), [(name, value)]);
        }
    }

    #[test]
    fn the_oldest_entries_go_first() {
        let mut recorder = Recorder::default();
        for n in 0..=CAPACITY {
            recorder.add(entry("a", &n.to_string()));
        }
        let journal = recorder.snapshot();
        assert_eq!((journal.len(), recorder.dropped()), (CAPACITY, 1));
        assert_eq!(journal.0[0].param("a"), Some("1"));
    }

    #[test]
    fn a_long_answer_pushes_nothing_out() {
        let mut recorder = Recorder::default();
        recorder.add(entry("a", "1"));
        recorder.add(Entry { answer: vec![b'x'; CAPACITY_BYTES], ..entry("a", "2") });
        assert_eq!((recorder.snapshot().len(), recorder.dropped()), (2, 0));
        let long = recorder.find(2).unwrap();
        assert_eq!((long.answer.len(), long.answer_length), (MOST_OF_AN_ANSWER, CAPACITY_BYTES));
    }

    #[test]
    fn many_long_requests_take_no_more_than_the_bound() {
        let mut recorder = Recorder::default();
        let long = "x".repeat(256 * 1024);
        for n in 0..100 {
            recorder.add(entry(&n.to_string(), &long));
        }
        let journal = recorder.snapshot();
        assert_eq!((journal.len(), recorder.dropped()), (31, 69));
        assert!(journal.0[30].param("99").is_some(), "the newest are there");
        assert_eq!(recorder.bytes, journal.0.iter().map(Entry::bytes).sum::<usize>());
        assert_eq!(recorder.find(70).map(|entry| entry.number), Some(70));
        assert!(recorder.find(69).is_none() && recorder.find(101).is_none());
        assert_eq!(recorder.newest(2, 0).map(|entry| entry.number).collect::<Vec<_>>(), [100, 99]);
        assert_eq!(recorder.newest(9, 99).map(|entry| entry.number).collect::<Vec<_>>(), [100]);
        recorder.clear();
        assert_eq!((recorder.bytes, recorder.cleared()), (0, 1));
        recorder.add(entry("a", "b"));
        assert!(recorder.find(101).is_some(), "numbers are not given twice");
    }
}
