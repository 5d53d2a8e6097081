//! The authorization server: what a request means and what it is answered, as functions of a tenant's state and its clock.
//! Nothing here waits or knows a connection.

mod answer;
mod catalogue;
mod challenge;
mod grants;
mod keys;
mod metadata;
mod oob;
mod policy;
mod request;
mod resource;
mod state;
mod token;
mod totp;

use std::time::{Duration, UNIX_EPOCH};

use self::answer::Refusal;
pub(crate) use self::answer::Reply;
pub(crate) use self::keys::are_usable as keys_are_usable;
pub(crate) use self::oob::Tap;
pub use self::oob::{Message, PendingPush, PushReaction};
use self::request::Form;
pub(crate) use self::request::{GrantType, Operation, Place, Request, Server};
pub(crate) use self::state::{Account, Random, State};
pub(crate) use self::totp::Totp;
use crate::journal::Entry;
use crate::script::{Body, Edit, Fault, Kind};

/// The grants that exist here.
pub(crate) fn grant_uris() -> impl Iterator<Item = &'static str> {
    GrantType::OFFERED.iter().map(|grant| grant.uri())
}

/// Whether the catalogue has an error with this internal code.
pub(crate) fn is_error_code(code: &str) -> bool {
    catalogue::find(code).is_some()
}

/// What is to be done on the connection.
#[derive(Debug)]
pub(crate) enum Plan {
    /// Send this, after the delay.
    Send(Reply, Option<Duration>),
    /// Break something; with the answer that the work gave, if the fault lets work be done.
    Break(Fault, Option<Reply>, Option<Duration>),
}

/// A request with all that its answer depends on beside the state.
pub(crate) struct Call<'a> {
    pub(crate) request: &'a Request,
    pub(crate) place: Place,
    /// Since the Unix epoch.
    pub(crate) now: Duration,
    /// `https://` and the host the client named.
    pub(crate) origin: String,
    /// The origin and the tenant's path.
    pub(crate) base: String,
    pub(crate) evil_origin: String,
}

impl Call<'_> {
    /// The issuer of the server that was called.
    pub(crate) fn issuer(&self) -> String {
        self.place.server.issuer(&self.base)
    }

    /// The time in whole seconds.
    pub(crate) fn seconds(&self) -> u64 {
        self.now.as_secs()
    }
}

type Answered = Result<Reply, Refusal>;

impl State {
    /// Takes a request: decides, works, and writes it into the journal.
    pub(crate) fn take(&mut self, call: &Call<'_>) -> Plan {
        let form = Form::of(call.request);
        let grant = form.first("grant_type").map(str::to_owned);
        let operation = call.place.operation;
        self.sweep(call.now);
        self.account_in(&form);
        let answer = self.script.answer_for(operation.name(), grant.as_deref());
        let plan = match answer {
            None => Plan::Send(self.work(call, &form), None),
            Some(answer) => {
                let delay = answer.delay;
                match answer.kind {
                    Kind::Fault(fault) => {
                        let reply = fault.does_the_work().then(|| self.work(call, &form));
                        Plan::Break(fault, reply, delay)
                    }
                    Kind::Real(edit) => {
                        let mut reply = self.work(call, &form);
                        edit_json(&mut reply, &edit, &self.filler(call));
                        replace_headers(&mut reply, &answer.headers, &self.filler(call));
                        Plan::Send(reply, delay)
                    }
                    Kind::Error(code) => {
                        let reply = match catalogue::find(&code) {
                            Some(row) => Refusal::from(row).into_reply(&self.settings),
                            None => Refusal::from(catalogue::SERVER_ERROR).into_reply(&self.settings),
                        };
                        Plan::Send(self.scripted(reply, &answer.headers, call), delay)
                    }
                    Kind::Tokens(mutation) => {
                        let reply = self
                            .unchecked_tokens(call, &form, &mutation)
                            .unwrap_or_else(|refusal| refusal.into_reply(&self.settings));
                        Plan::Send(self.scripted(reply, &answer.headers, call), delay)
                    }
                    Kind::Fixed { status, body } => {
                        let filler = self.filler(call);
                        let mut reply = match body {
                            Body::Empty => Reply::empty(status),
                            Body::Json(json) => Reply::json(status, &json),
                            Body::Raw(bytes) => Reply { body: bytes, ..Reply::empty(status) },
                        };
                        reply.body = filler.bytes(reply.body);
                        Plan::Send(self.scripted(reply, &answer.headers, call), delay)
                    }
                }
            }
        };
        self.record(call, form, &plan);
        plan
    }

    /// Does what was asked and adds what every answer carries.
    fn work(&mut self, call: &Call<'_>, form: &Form) -> Reply {
        let answered = self.count_request(call).and_then(|()| self.dispatch(call, form));
        let mut reply = answered.unwrap_or_else(|refusal| refusal.into_reply(&self.settings));
        if !reply.has_header("X-Rate-Limit-Limit") {
            let (limit, remaining, reset) = self.rate_window(call.now);
            reply = reply
                .header("X-Rate-Limit-Limit", limit.to_string())
                .header("X-Rate-Limit-Remaining", remaining.to_string())
                .header("X-Rate-Limit-Reset", reset.to_string());
        }
        if !reply.has_header("Cache-Control") {
            reply = reply.header("Cache-Control", "no-cache, no-store").header("Pragma", "no-cache");
        }
        with_date_and_id(reply, call.now)
    }

    fn dispatch(&mut self, call: &Call<'_>, form: &Form) -> Answered {
        match call.place.operation {
            Operation::Metadata => self.metadata(call),
            Operation::Keys => self.keys_document(call),
            Operation::Token => self.token(call, form),
            Operation::PrimaryAuthenticate | Operation::OobAuthenticate => self.primary_authenticate(call, form),
            Operation::Challenge => self.challenge(call, form),
            Operation::Revoke => self.revoke(call, form),
            Operation::Introspect => self.introspect(call, form),
            Operation::UserInfo => self.user_info(call),
            Operation::Resource => self.resource(call),
            Operation::Other => Err(Refusal::not_found(&call.request.path)),
        }
    }

    /// A prescribed answer carries the date and a request id, and no rate-limit headers that the script did not write.
    fn scripted(&self, mut reply: Reply, headers: &[(String, String)], call: &Call<'_>) -> Reply {
        replace_headers(&mut reply, headers, &self.filler(call));
        with_date_and_id(reply, call.now).outcome("scripted")
    }

    fn filler(&self, call: &Call<'_>) -> Filler {
        Filler([
            ("{issuer}", call.issuer()),
            ("{org_issuer}", Server::Org.issuer(&call.base)),
            ("{origin}", call.origin.clone()),
            ("{evil_origin}", call.evil_origin.clone()),
            ("{client_id}", self.client_id.clone()),
        ])
    }

    fn record(&mut self, call: &Call<'_>, form: Form, plan: &Plan) {
        let (status, outcome) = match plan {
            Plan::Send(reply, _) => (Some(reply.status), reply.outcome.clone()),
            Plan::Break(fault, reply, _) => (fault_status(*fault, reply.as_ref()), format!("fault: {}", fault.name())),
        };
        self.journal.add(Entry {
            at: call.now,
            connection: call.request.connection,
            method: call.request.method.clone(),
            path: call.request.path.clone(),
            operation: call.place.operation.name().to_owned(),
            headers: call.request.headers.clone(),
            query: call.request.query.clone(),
            form: form.into_pairs(),
            status,
            outcome,
        });
    }
}

fn fault_status(fault: Fault, reply: Option<&Reply>) -> Option<u16> {
    match fault {
        Fault::Close | Fault::CloseAfterProcessing | Fault::Reset | Fault::Stall | Fault::Garbage => None,
        Fault::Truncate | Fault::TruncateChunked | Fault::Gzip | Fault::InformationalFirst => {
            reply.map(|reply| reply.status)
        }
        Fault::Drip | Fault::Huge | Fault::HugeChunked | Fault::CaptivePortal | Fault::Empty => Some(200),
        Fault::Redirect307OtherHost => Some(307),
        Fault::Redirect308SameHost => Some(308),
        Fault::Redirect302Get => Some(302),
    }
}

/// Adds the server's date and an id for the request, unless they are there.
pub(crate) fn with_date_and_id(mut reply: Reply, now: Duration) -> Reply {
    if !reply.has_header("Date")
        && let Some(time) = UNIX_EPOCH.checked_add(now)
        && now < Duration::from_secs(250_000_000_000)
    {
        reply = reply.header("Date", httpdate::fmt_http_date(time));
    }
    if !reply.has_header("X-Okta-Request-Id") {
        reply = reply.header("X-Okta-Request-Id", Random::token(15).unwrap_or_default());
    }
    reply
}

fn edit_json(reply: &mut Reply, edit: &Edit, filler: &Filler) {
    if edit.is_empty() {
        return;
    }
    if let Ok(serde_json::Value::Object(mut object)) = serde_json::from_slice(&reply.body) {
        edit.apply(&mut object);
        reply.body = filler.bytes(serde_json::Value::Object(object).to_string().into_bytes());
    }
}

/// Headers of a script replace ours of the same name; the same name twice in the script stays two fields.
fn replace_headers(reply: &mut Reply, headers: &[(String, String)], filler: &Filler) {
    reply.headers.retain(|(ours, _)| headers.iter().all(|(theirs, _)| !theirs.eq_ignore_ascii_case(ours)));
    reply.headers.extend(headers.iter().map(|(name, value)| (name.clone(), filler.text(value.clone()))));
}

/// Fills the placeholders of a prescribed answer.
struct Filler([(&'static str, String); 5]);

impl Filler {
    fn text(&self, text: String) -> String {
        self.0.iter().fold(text, |text, (name, value)| text.replace(name, value))
    }

    fn bytes(&self, bytes: Vec<u8>) -> Vec<u8> {
        match String::from_utf8(bytes) {
            Ok(text) => self.text(text).into_bytes(),
            Err(error) => error.into_bytes(),
        }
    }
}
