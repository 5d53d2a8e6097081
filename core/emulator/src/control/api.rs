//! The control API, in JSON: looking with GET, acting with POST.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{millis, problem};
use crate::config::{Assurance, Factor, Passkey, Status};
use crate::emulator::Shared;
use crate::script::Rule;
use crate::server::{PushReaction, Reply, Tap, Troubles};
use crate::settings::{Settings, with_changes};
use crate::tenant::Tenant;

const MOST_TENANTS: usize = 1_000;
const MOST_RULES: usize = 1_000;

pub(super) fn look(shared: &Shared, tenant: &Tenant, path: &[&str]) -> Reply {
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
        ["journal", number] => match entry(tenant, number) {
            Some(entry) => {
                json!({ "entry": entry.to_json(), "answer": entry.shown_answer(), "answer_note": super::page::note(&entry) })
            }
            None => return no_entry(),
        },
        ["ca.pem"] => return certificate(shared),
        ["settings"] => json!(tenant.current_settings()),
        ["troubles"] => json!(tenant.current_troubles()),
        ["script"] => json!({ "unused": tenant.unused_rules() }),
        ["totp", user] => match (tenant.totp(user), tenant.wrong_totp(user)) {
            (Some(code), wrong) => json!({ "code": code, "wrong": wrong }),
            (None, _) => return problem(404, "no such user, or no authenticator app"),
        },
        _ => return problem(404, "not found"),
    };
    Reply::json(200, &found)
}

/// A request that the journal still has.
pub(super) fn entry(tenant: &Tenant, number: &str) -> Option<crate::Entry> {
    tenant.entry(number.parse().ok()?)
}

pub(super) fn no_entry() -> Reply {
    problem(404, "no such request, or it is forgotten")
}

pub(super) fn act(shared: &Shared, tenant: &Tenant, path: &[&str], body: &[u8]) -> Reply {
    let done =
        |is_done: bool| if is_done { Reply::empty(204) } else { problem(409, "that is not there, or it is over") };
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
        ["users", user, action @ ("lock" | "unlock")] => done(tenant.lock_user(user, *action == "lock")),
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
        ["settings"] => {
            reading(body, |change| match with_changes(&tenant.current_settings(), change, Settings::checked) {
                Ok(settings) => {
                    tenant.settings(|current| *current = settings);
                    done(true)
                }
                Err(reason) => problem(400, &reason),
            })
        }
        ["troubles"] => {
            reading(body, |change| match with_changes(&tenant.current_troubles(), change, Troubles::check) {
                Ok(troubles) => {
                    tenant.troubles(|current| *current = troubles);
                    done(true)
                }
                Err(reason) => problem(400, &reason),
            })
        }
        ["journal", "clear"] => {
            tenant.clear_journal();
            done(true)
        }
        ["clock"] => reading(body, |shift: Shift| match tenant.advance(Duration::from_secs(shift.advance_s)) {
            true => done(true),
            false => problem(400, "the clock can be moved on by a hundred years in all"),
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

/// The certificate as a file that systems know how to install.
fn certificate(shared: &Shared) -> Reply {
    Reply { body: shared.ca_pem().as_bytes().to_vec(), ..Reply::empty(200) }
        .header("Content-Type", "application/x-x509-ca-cert")
        .header("Content-Disposition", "attachment; filename=\"directauth-emulator-ca.pem\"")
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
