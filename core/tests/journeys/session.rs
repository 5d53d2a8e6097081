//! What an app does with its sessions, and what it can see of them.

use std::borrow::Cow;
use std::time::Duration;

use directauth::env::{Conversation, HeaderValue, HttpRequest, Method};
use directauth::{Advice, Client, Error, IntrospectedToken, Session, SessionInfo, State, StepUpDemand};
use serde_json::{Map, Value};

use super::check::equal;
use super::play::{Outcome, Play, Request, fill, take_text};

impl Play<'_> {
    /// What may send something for a session, ready to be run.
    pub(super) fn session_request(&mut self, call: &mut Map<String, Value>) -> Result<Option<Request>, String> {
        if let Some(request) = self.client_request(call)? {
            return Ok(Some(request));
        }
        let Some(session) = self.process().session.clone() else { return Ok(None) };
        if call.remove("refresh").is_some() {
            return Ok(Some(Box::pin(async move { session.refresh().await.into() })));
        }
        if call.remove("access_token").is_some() {
            return Ok(Some(Box::pin(async move {
                match session.access_token().await {
                    Ok(token) => Outcome::Token(token.expose().to_owned()),
                    Err(error) => Outcome::Error(error),
                }
            })));
        }
        if let Some(count) = call.remove("concurrent_access_tokens") {
            let count = count.as_u64().ok_or("how many")?;
            return Ok(Some(Box::pin(async move {
                let results = futures_util::future::join_all((0..count).map(|_| session.access_token())).await;
                let tokens: Result<Vec<_>, _> = results.into_iter().collect();
                let is_one = |tokens: Vec<directauth::Secret>| {
                    let same = tokens.windows(2).all(|pair| pair[0].expose() == pair[1].expose());
                    assert!(same, "all callers get the same token");
                };
                tokens.map(is_one).into()
            })));
        }
        if let Some(url) = call.remove("authorize") {
            let url = fill(url.as_str().unwrap_or("{resource}"), &self.tenant);
            return Ok(Some(Box::pin(async move {
                let is_right = |headers: directauth::AuthorizationHeaders| {
                    let (scheme, names) = match session.is_dpop_bound() {
                        true => ("DPoP ", &["authorization", "dpop"][..]),
                        false => ("Bearer ", &["authorization"][..]),
                    };
                    assert_eq!(headers.iter().map(|(name, _)| name).collect::<Vec<_>>(), names);
                    assert!(headers.iter().next().is_some_and(|(_, value)| value.starts_with(scheme)));
                };
                session.authorize("GET", &url).await.map(is_right).into()
            })));
        }
        if let Some(answer) = call.remove("advise") {
            let status = answer["status"].as_u64().and_then(|status| u16::try_from(status).ok()).ok_or("a status")?;
            let fields: Vec<String> = serde_json::from_value(answer["www_authenticate"].clone()).unwrap_or_default();
            let url = self.tenant.resource_url();
            return Ok(Some(Box::pin(async move {
                let used = match session.authorize("GET", &url).await {
                    Ok(used) => used,
                    Err(error) => return Outcome::Error(error),
                };
                let headers = fields.iter().map(|value| ("WWW-Authenticate", value.as_str()));
                match session.advise(&used, status, headers).await {
                    Ok(Advice::StepUp(StepUpDemand { acr_values, max_age, .. })) => {
                        let age = max_age.map(|age| format!(", {} s", age.as_secs())).unwrap_or_default();
                        Outcome::Value(format!("StepUp {}{age}", acr_values.join(" ")))
                    }
                    Ok(advice) => Outcome::Value(format!("{advice:?}")),
                    Err(error) => Outcome::Error(error),
                }
            })));
        }
        if let Some(query) = call.remove("call_resource") {
            let url = format!("{}{}", self.tenant.resource_url(), query.as_str().unwrap_or_default());
            let api = self.api();
            return Ok(Some(Box::pin(async move { call_resource(&session, &url, &*api).await.into() })));
        }
        if let Some(what) = take_text(call, "introspect") {
            let what = if what == "refresh" { IntrospectedToken::Refresh } else { IntrospectedToken::Access };
            return Ok(Some(Box::pin(async move {
                match session.introspect(what).await {
                    Ok(found) if found.is_active => Outcome::Value("active".to_owned()),
                    Ok(_) => Outcome::Value("inactive".to_owned()),
                    Err(error) => Outcome::Error(error),
                }
            })));
        }
        if call.remove("user_info").is_some() {
            return Ok(Some(Box::pin(async move {
                match session.user_info().await {
                    Ok(claims) => Outcome::Value(claims.preferred_username().unwrap_or_default().to_owned()),
                    Err(error) => Outcome::Error(error),
                }
            })));
        }
        if call.remove("sign_out").is_some() {
            return Ok(Some(Box::pin(async move { session.sign_out().await.map(|done| vec![done]).into() })));
        }
        Ok(None)
    }

    fn client_request(&mut self, call: &mut Map<String, Value>) -> Result<Option<Request>, String> {
        let client = match &self.process().client {
            Ok(client) => client.clone(),
            Err(_) => return Ok(None),
        };
        if call.remove("restore").is_some() {
            return Ok(Some(Box::pin(async move {
                match client.restore().await {
                    Ok(Some(session)) => Outcome::Session("Restored", session),
                    Ok(None) => Outcome::Value("None".into()),
                    Err(error) => Outcome::Error(error),
                }
            })));
        }
        if let Some(token) = take_text(call, "import") {
            let token = self.noted.get(&token).cloned().unwrap_or(token);
            return Ok(Some(Box::pin(async move {
                match client.import_session(token).await {
                    Ok(session) => Outcome::Session("Imported", session),
                    Err(error) => Outcome::Error(error),
                }
            })));
        }
        if call.remove("sign_out_default").is_some() {
            return Ok(Some(Box::pin(async move { client.sign_out().await.map(Vec::from_iter).into() })));
        }
        if call.remove("sign_out_all").is_some() {
            return Ok(Some(Box::pin(async move { client.sign_out_all().await.into() })));
        }
        if let Some(username) = take_text(call, "session_of") {
            return Ok(Some(Box::pin(async move {
                let found = match id_of(&client, &username).await {
                    Ok(Some(id)) => client.session(&id).await,
                    Ok(None) => Ok(None),
                    Err(error) => Err(error),
                };
                match found {
                    Ok(Some(session)) => Outcome::Session("Found", session),
                    Ok(None) => Outcome::Value("None".into()),
                    Err(error) => Outcome::Error(error),
                }
            })));
        }
        if let Some(username) = take_text(call, "set_default") {
            return Ok(Some(Box::pin(async move {
                let id = match id_of(&client, &username).await {
                    Ok(id) => id.unwrap_or_default(),
                    Err(error) => return Outcome::Error(error),
                };
                match client.set_default(&id).await {
                    Ok(session) => Outcome::Session("Default", session),
                    Err(error) => Outcome::Error(error),
                }
            })));
        }
        Ok(None)
    }

    /// What the app can see of its sessions; `None` if the call is about something else.
    pub(super) fn look_at_sessions(&mut self, call: &mut Map<String, Value>) -> Result<Option<Outcome>, String> {
        let world = self.world.clone();
        if call.remove("build").is_some() {
            let built = self.process().client.as_ref();
            return Ok(Some(built.map_or_else(|error| Outcome::Error(error.clone()), |_| Outcome::Done)));
        }
        if call.remove("warm_up").is_some() {
            world.run(self.process().client().warm_up());
        } else if call.remove("notify_foreground").is_some() {
            self.process().client().notify_foreground();
        } else if call.remove("state").is_some() {
            return Ok(Some(Outcome::Value(state_name(&self.process().client().state()))));
        } else if let Some(expected) = call.remove("sessions") {
            match world.run(self.process().client().sessions()) {
                Ok(found) => look_at_list(&found, &expected)?,
                Err(error) => return Ok(Some(Outcome::Error(error))),
            }
        } else if let Some(expected) = call.remove("discard_unreadable") {
            match world.run(self.process().client().discard_unreadable()) {
                Ok(discarded) => equal("discarded", &Value::from(discarded), &expected)?,
                Err(error) => return Ok(Some(Outcome::Error(error))),
            }
        } else if let Some(expected) = call.remove("session") {
            self.look_at_session(expected)?;
        } else {
            return Ok(None);
        }
        Ok(Some(Outcome::Done))
    }

    fn look_at_session(&self, expected: Value) -> Result<(), String> {
        let session = self.process().session.as_ref().ok_or("no session to look at")?;
        let expected: Map<String, Value> = serde_json::from_value(expected).map_err(|error| error.to_string())?;
        for (what, expected) in expected {
            let found = match what.as_str() {
                "persisted" => Value::from(session.is_persisted()),
                "can_refresh" => Value::from(session.can_refresh()),
                "scopes" => Value::from(session.granted_scopes()),
                "username" => Value::from(session.username()),
                "bound" => Value::from(session.is_dpop_bound()),
                "claims" => Value::from(session.claims().is_some()),
                "preferred_username" => {
                    Value::from(session.claims().and_then(|c| c.preferred_username().map(str::to_owned)))
                }
                "name" => Value::from(session.claims().and_then(|c| c.name().map(str::to_owned))),
                "amr" => Value::from(
                    session.claims().map(|c| c.texts("amr").into_iter().map(str::to_owned).collect::<Vec<_>>()),
                ),
                "stored" => Value::from(self.process().store.count("session", &self.world)),
                other => return Err(format!("unknown property {other}")),
            };
            equal(&what, &found, &expected)?;
        }
        Ok(())
    }
}

/// What an app does: at most one repetition, if the library advises it. The status of the last answer.
async fn call_resource(session: &Session, url: &str, api: &dyn Conversation) -> Result<u16, Error> {
    let send = async || {
        let used = session.authorize("GET", url).await?;
        let headers = used.iter().map(|(name, value)| (Cow::Borrowed(name), HeaderValue::Secret(value.into())));
        let request = HttpRequest {
            method: Method::Get,
            url: url.to_owned(),
            headers: headers.collect(),
            body: None,
            max_response: 65_536,
            deadline: Duration::from_secs(20),
        };
        let answer = api.send(request).await.expect("an answer");
        let fields = answer.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        Ok((session.advise(&used, answer.status, fields).await?, answer.status))
    };
    match send().await? {
        (Advice::Retry, _) => send().await.map(|(_, status)| status),
        (_, status) => Ok(status),
    }
}

async fn id_of(client: &Client, username: &str) -> Result<Option<String>, Error> {
    let sessions = client.sessions().await?;
    Ok(sessions.into_iter().find(|session| session.username == username).map(|session| session.id))
}

/// The user names, the default first.
fn look_at_list(found: &[SessionInfo], expected: &Value) -> Result<(), String> {
    let names: Vec<_> = found.iter().map(|session| Value::from(session.username.as_str())).collect();
    equal("sessions", &Value::Array(names), expected)?;
    let default: Vec<_> = found.iter().map(|session| session.is_default).collect();
    equal("the first is the default", &default, &(0..found.len()).map(|index| index == 0).collect::<Vec<_>>())
}

fn state_name(state: &State) -> String {
    match state {
        State::SignedIn(session) => format!("SignedIn {}", session.username()),
        State::Unavailable(problem) => format!("Unavailable {problem:?}"),
        other => format!("{other:?}"),
    }
}
