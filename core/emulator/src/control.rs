//! The control API: what a person or a test in another language does with a running emulator, as JSON over TLS on a
//! loopback port.
//!
//! A path may start with `/t/NAME` to mean that tenant; otherwise it means the default one.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::config::{Assurance, Factor, Passkey, Settings, Status};
use crate::emulator::Shared;
use crate::script::Rule;
use crate::server::{PushReaction, Reply, Request, Tap};
use crate::tenant::Tenant;

const MOST_TENANTS: usize = 1_000;
const MOST_RULES: usize = 1_000;

/// Answers a request to the control port.
pub(crate) fn answer(shared: &Shared, request: &Request) -> Reply {
    // A web page that resolves its own name to loopback, or posts from elsewhere, must not get here.
    if !is_loopback(&request.host) || request.header("origin").is_some_and(|origin| !is_own(origin, &request.host)) {
        return problem(403, "the control API answers loopback only");
    }
    let (name, path) = match request.path.strip_prefix("/t/").and_then(|rest| rest.split_once('/')) {
        Some((name, path)) => (name, path),
        None => ("", request.path.trim_start_matches('/')),
    };
    let Some(tenant) = shared.find_tenant(name) else { return problem(404, "no such tenant") };
    let segments: Vec<String> = path.split('/').map(decoded).collect();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    match request.method.as_str() {
        "GET" => look(shared, &tenant, &segments),
        "POST" => act(shared, &tenant, &segments, &request.body),
        _ => problem(405, "GET to look, POST to act").header("Allow", "GET, POST"),
    }
}

fn look(shared: &Shared, tenant: &Tenant, path: &[&str]) -> Reply {
    let found = match path {
        [""] => about(shared, tenant),
        ["users"] => tenant.users(),
        ["pushes"] => pushes(tenant),
        ["outbox"] => {
            let message = |message: &crate::Message| {
                json!({
                    "username": message.username, "channel": message.channel, "code": message.code,
                    "at_ms": millis(message.at),
                })
            };
            tenant.outbox().iter().map(message).collect()
        }
        ["journal"] => {
            let entries: Vec<Value> = tenant.journal().0.iter().map(crate::Entry::to_json).collect();
            json!({ "entries": entries, "dropped": tenant.dropped_entries() })
        }
        ["settings"] => json!(tenant.current_settings()),
        ["script"] => json!({ "unused": tenant.unused_rules() }),
        ["totp", user] => match (tenant.totp(user), tenant.wrong_totp(user)) {
            (Some(code), wrong) => json!({ "code": code, "wrong": wrong }),
            (None, _) => return problem(404, "no such user, or no authenticator app"),
        },
        _ => return problem(404, "not found"),
    };
    Reply::json(200, &found)
}

fn act(shared: &Shared, tenant: &Tenant, path: &[&str], body: &[u8]) -> Reply {
    let done = |is_done: bool| if is_done { Reply::empty(204) } else { problem(409, "there is nothing to do that to") };
    match path {
        ["tenants"] => match shared.add_default_tenant(MOST_TENANTS) {
            Some(tenant) => Reply::json(201, &about(shared, &tenant)),
            None => problem(429, "there are too many tenants"),
        },
        ["pushes", id, action] => {
            let Ok(id) = id.parse::<u64>() else { return problem(404, "not found") };
            match *action {
                "approve" => done(tenant.tap(id, Tap::Approve)),
                "deny" => done(tenant.tap(id, Tap::Deny)),
                "tap" => reading(body, |tap: TapNumber| done(tenant.tap(id, Tap::Number(&tap.number)))),
                _ => problem(404, "not found"),
            }
        }
        ["push-reactions"] => reading(body, |reaction: PushReaction| {
            tenant.on_next_push(reaction);
            done(true)
        }),
        ["script"] if tenant.rules() >= MOST_RULES => problem(429, "there are too many rules"),
        ["script"] => reading(body, |rule: Rule| {
            tenant.script(rule);
            done(true)
        }),
        ["script", "clear"] => {
            tenant.clear_script();
            done(true)
        }
        ["reset"] => {
            tenant.reset();
            done(true)
        }
        ["users", user, action @ ("lock" | "unlock")] => {
            tenant.lock_user(user, *action == "lock");
            done(true)
        }
        ["users", user] => reading(body, |change: UserChange| {
            done(tenant.change_user(user, |user| {
                user.assurance = change.assurance.unwrap_or(user.assurance);
                user.status = change.status.unwrap_or(user.status);
                user.factors = change.factors.unwrap_or_else(|| core::mem::take(&mut user.factors));
                user.password = if change.has_no_password { None } else { user.password.take() };
            }))
        }),
        ["users", user, "passkeys"] => reading(body, |passkey: Passkey| done(tenant.add_passkey(user, passkey))),
        ["keys", "rotate"] => {
            tenant.rotate_keys();
            done(true)
        }
        ["keys", "replace"] => {
            tenant.replace_keys();
            done(true)
        }
        ["keys", "withdraw"] => {
            tenant.withdraw_key();
            done(true)
        }
        ["revoke-everything"] => {
            tenant.revoke_everything();
            done(true)
        }
        ["settings"] => reading(body, |change: serde_json::Map<String, Value>| change_settings(tenant, change)),
        ["clock"] => reading(body, |shift: Shift| {
            tenant.advance(Duration::from_secs(shift.advance_s));
            done(true)
        }),
        _ => problem(404, "not found"),
    }
}

fn about(shared: &Shared, tenant: &Tenant) -> Value {
    json!({
        "ca_pem": shared.ca_pem(),
        "tenant": tenant.name(), "issuer": tenant.issuer(), "org_issuer": tenant.org_issuer(),
        "client_id": tenant.client_id(), "resource_url": tenant.resource_url(), "live_grants": tenant.live_grants(),
    })
}

fn pushes(tenant: &Tenant) -> Value {
    let push = |push: crate::PendingPush| {
        json!({
            "id": push.id, "username": push.username, "number": push.number, "choices": push.choices,
            "created_ms": millis(push.created),
        })
    };
    tenant.pending_pushes().into_iter().map(push).collect()
}

/// Settings that are not named stay as they are.
fn change_settings(tenant: &Tenant, change: serde_json::Map<String, Value>) -> Reply {
    let Value::Object(mut merged) = json!(tenant.current_settings()) else { return problem(500, "no settings") };
    merged.extend(change);
    let parsed = serde_json::from_value::<Settings>(Value::Object(merged)).map_err(|error| error.to_string());
    match parsed.and_then(|settings| settings.check().map(|()| settings)) {
        Ok(settings) => {
            tenant.settings(|current| *current = settings);
            Reply::empty(204)
        }
        Err(reason) => problem(400, &reason),
    }
}

/// What is otherwise of a user from now on.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct UserChange {
    #[serde(default)]
    assurance: Option<Assurance>,
    #[serde(default)]
    factors: Option<BTreeSet<Factor>>,
    #[serde(default)]
    status: Option<Status>,
    #[serde(default)]
    has_no_password: bool,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct TapNumber {
    number: String,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Shift {
    advance_s: u64,
}

fn reading<T: DeserializeOwned>(body: &[u8], act: impl FnOnce(T) -> Reply) -> Reply {
    match serde_json::from_slice(body) {
        Ok(value) => act(value),
        Err(error) => problem(400, &error.to_string()),
    }
}

fn problem(status: u16, reason: &str) -> Reply {
    Reply::json(status, &json!({ "problem": reason }))
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn is_own(origin: &str, host: &str) -> bool {
    origin.strip_prefix("https://") == Some(host)
}

fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.is_empty() => name,
        _ => host,
    };
    matches!(name, "localhost" | "127.0.0.1" | "[::1]")
}

/// Percent-decoding; a form's decoder that leaves the plus sign alone.
fn decoded(segment: &str) -> String {
    let text = segment.replace('+', "%2B").replace('&', "%26").replace('=', "%3D");
    form_urlencoded::parse(text.as_bytes()).next().map(|(name, _)| name.into_owned()).unwrap_or_default()
}
