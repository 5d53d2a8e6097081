//! What is looked at after a vector was played: what the server saw, what the app's log got, and that no secret got there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use directauth::Error;
use directauth::audit::{AuditEvent, AuditKind, AuditSink, SinkError};
use directauth_emulator::{Entry, Journal, Tenant};
use serde_json::{Map, Value};

use super::format::{Expected, Sent};

#[derive(Default, Clone)]
pub(crate) struct Events(Arc<Mutex<Vec<AuditEvent>>>);

impl AuditSink for Events {
    fn record(&self, event: &AuditEvent) -> Result<(), SinkError> {
        self.0.lock().map_err(|_| SinkError)?.push(event.clone());
        Ok(())
    }
}

/// Whatever is secret in a run: it must show in no error and no event.
#[derive(Default)]
pub(crate) struct Canaries {
    shown: BTreeSet<String>,
    /// What must not even be in the store: all but the session's own tokens and name.
    stored: BTreeSet<String>,
}

/// Shorter values would be found by chance.
const SHORTEST: usize = 4;

impl Canaries {
    pub(crate) fn typed(&mut self, text: &str) {
        if text.len() >= SHORTEST {
            self.shown.insert(text.to_owned());
        }
    }

    pub(crate) fn never_stored(&mut self, text: &str) {
        self.typed(text);
        if text.len() >= SHORTEST {
            self.stored.insert(text.to_owned());
        }
    }

    /// What the requests carried.
    pub(crate) fn sent(&mut self, journal: &Journal) {
        for (name, value) in journal.0.iter().flat_map(|entry| &entry.form) {
            match name.as_str() {
                "password" | "otp" | "binding_code" | "mfa_token" | "oob_code" => self.never_stored(value),
                "refresh_token" | "token" | "username" | "login_hint" => self.typed(value),
                _ => {}
            }
        }
        let proofs = journal.0.iter().filter_map(|entry| entry.header("dpop"));
        proofs.for_each(|proof| self.never_stored(proof));
    }

    pub(crate) fn check_error(&self, error: &Error) -> Result<(), String> {
        let text = error.server_text();
        let words = [text.and_then(|text| text.description()), text.and_then(|text| text.uri())];
        let causes = text.map(|text| text.causes());
        let shown = format!("{error} {error:?} {words:?} {causes:?} {:?}", error.request_id());
        self.check("an error", &shown)
    }

    /// What was ever written, as text.
    pub(crate) fn check_stored(&self, written: &str) -> Result<(), String> {
        match self.stored.iter().find(|secret| shows(written, secret)) {
            Some(secret) => Err(format!("{secret:?} was written to the store")),
            None => Ok(()),
        }
    }

    fn check(&self, place: &str, shown: &str) -> Result<(), String> {
        match self.shown.iter().find(|secret| shows(shown, secret)) {
            Some(secret) => Err(format!("{secret:?} shows in {place}: {shown}")),
            None => Ok(()),
        }
    }
}

/// Whether `shown` contains the secret; digits alone only where they stand alone, since times and ids are full of digits.
fn shows(shown: &str, secret: &str) -> bool {
    let is_code = secret.bytes().all(|b| b.is_ascii_digit());
    shown.match_indices(secret).any(|(at, _)| {
        let before = shown[..at].chars().next_back();
        let after = shown[at + secret.len()..].chars().next();
        !is_code || ![before, after].into_iter().flatten().any(char::is_alphanumeric)
    })
}

pub(crate) fn check(
    expected: &Expected,
    tenant: &Tenant,
    live_grants: usize,
    events: &Events,
    canaries: &Canaries,
    noted: &BTreeMap<String, String>,
) -> Result<(), String> {
    let journal = tenant.journal();
    if let Some(requests) = &expected.requests {
        let mut wanted = Vec::new();
        for item in requests {
            let (name, times) = item.split_once('*').unwrap_or((item, "1"));
            wanted.extend(std::iter::repeat_n(name, times.parse().expect("a number")));
        }
        equal("requests", &journal.operations(), &wanted)?;
    }
    for (operation, least) in &expected.gaps_at_least_s {
        let gaps: Vec<f64> = journal.gaps(operation).iter().map(Duration::as_secs_f64).collect();
        if gaps.len() < least.len() || gaps.iter().zip(least).any(|(gap, least)| gap + 1e-6 < *least) {
            return Err(format!("gaps of {operation}: {gaps:?}, at least {least:?}"));
        }
    }
    check_proofs(&journal)?;
    for sent in &expected.sent {
        check_sent(sent, &journal.of(&sent.on), tenant, noted)?;
    }
    if let Some(live) = expected.live_grants {
        equal("live grants", &live_grants, &live)?;
    }
    let events = events.0.lock().expect("nobody panics with the events");
    if let Some(wanted) = &expected.security {
        equal("security events", &events.iter().filter_map(security).collect::<Vec<_>>(), wanted)?;
    }
    if let Some(wanted) = &expected.attempts {
        equal("attempts", &events.iter().filter_map(attempt).collect::<Vec<_>>(), wanted)?;
    }
    canaries.check("an audit event", &format!("{events:?}"))
}

fn check_sent(
    sent: &Sent,
    entries: &[&Entry],
    tenant: &Tenant,
    noted: &BTreeMap<String, String>,
) -> Result<(), String> {
    let chosen: Vec<_> = match sent.nth {
        Some(nth) => entries.get(nth).into_iter().collect(),
        None => entries.iter().collect(),
    };
    if chosen.is_empty() {
        return Err(format!("no such request to {}", sent.on));
    }
    for entry in chosen {
        let at = |what: &str| format!("{what} of {}", sent.on);
        if let Some(path) = &sent.path {
            // A tenant of the emulator has a path of its own in front.
            equal(&at("the end of the path"), &entry.path.ends_with(path.as_str()), &true)?;
        }
        if let Some(parameters) = &sent.parameters {
            let found: Vec<_> = entry.form.iter().map(|(name, _)| name.clone()).collect();
            equal(&at("parameters"), &found, parameters)?;
        }
        for (name, value) in &sent.has {
            let value = noted.get(value).cloned().unwrap_or_else(|| super::play::fill(value, tenant));
            equal(&at(name), &entry.param(name), &Some(value.as_str()))?;
        }
        for name in &sent.lacks {
            equal(&at(name), &entry.param(name).is_some(), &false)?;
        }
        for (name, value) in &sent.headers {
            equal(&at(name), &entry.header(name), &Some(value.as_str()))?;
        }
        for name in &sent.lacks_headers {
            equal(&at(name), &entry.header(name), &None)?;
        }
        if let Some(expected) = &sent.proof {
            let jwt = entry.header("dpop").ok_or_else(|| at("a proof"))?;
            let claims = claims_of(jwt).ok_or("a proof that cannot be read")?;
            let of = |name: &str| claims.get(name).and_then(Value::as_str).map(str::to_owned);
            equal(&at("htm"), &of("htm"), &Some(expected.htm.clone()))?;
            equal(&at("htu"), &of("htu").is_some_and(|htu| htu.ends_with(&expected.htu)), &true)?;
            equal(&at("ath"), &of("ath").is_some(), &expected.ath)?;
            match expected.nonce.as_deref() {
                Some("any") => equal(&at("a nonce"), &of("nonce").is_some(), &true)?,
                nonce => equal(&at("nonce"), &of("nonce").as_deref(), &nonce)?,
            }
        }
    }
    Ok(())
}

/// No proof is sent twice, and a vector whose platform has no other keys shows one.
fn check_proofs(journal: &Journal) -> Result<(), String> {
    let proofs: Vec<&str> = journal.0.iter().filter_map(|entry| entry.header("dpop")).collect();
    let ids: Option<Vec<String>> =
        proofs.iter().map(|jwt| claims_of(jwt)?.get("jti")?.as_str().map(str::to_owned)).collect();
    let ids = ids.ok_or("a proof that cannot be read")?;
    let different: BTreeSet<_> = ids.iter().collect();
    equal("proofs that were sent once", &different.len(), &ids.len())
}

fn claims_of(jwt: &str) -> Option<Map<String, Value>> {
    let claims = data_encoding::BASE64URL_NOPAD.decode(jwt.split('.').nth(1)?.as_bytes()).ok()?;
    serde_json::from_slice(&claims).ok()
}

fn security(event: &AuditEvent) -> Option<String> {
    match &event.kind {
        AuditKind::Security(what) => Some(first_word(what)),
        _ => None,
    }
}

fn attempt(event: &AuditEvent) -> Option<String> {
    match &event.kind {
        AuditKind::AttemptFinished { attempt, outcome, .. } => Some(format!("{} {outcome}", first_word(attempt))),
        _ => None,
    }
}

fn first_word(what: &impl std::fmt::Debug) -> String {
    let text = format!("{what:?}");
    text.split([' ', '(', '{']).next().unwrap_or_default().to_owned()
}

pub(crate) fn equal<T: PartialEq<U> + std::fmt::Debug, U: std::fmt::Debug>(
    what: &str,
    found: &T,
    expected: &U,
) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("{what}: {found:?}, expected {expected:?}")) }
}
