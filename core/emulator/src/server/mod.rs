//! The authorization server: what a request means and what it is answered, as functions of a tenant's state and its clock.
//! Nothing here waits or knows a connection.

mod answer;
mod catalogue;
mod challenge;
mod dpop;
mod fill;
mod grants;
mod keys;
mod limits;
mod metadata;
mod mint;
mod oob;
mod passkey;
mod policy;
mod recovery;
mod remembered;
mod request;
mod resource;
mod state;
mod token;
mod totp;
mod troubles;

use std::time::Duration;

use self::answer::Refusal;
pub(crate) use self::answer::Reply;
use self::catalogue::Found;
use self::fill::Filler;
pub(crate) use self::keys::are_usable as keys_are_usable;
use self::keys::{Key, P256Key};
pub(crate) use self::limits::Bucket;
pub(crate) use self::oob::Tap;
pub use self::oob::{Message, PendingPush, PushReaction};
use self::request::Form;
pub(crate) use self::request::{GrantType, Operation, Place, Request, Server};
pub(crate) use self::state::{Account, Random, State};
pub(crate) use self::totp::Totp;
pub use self::troubles::Troubles;
use self::troubles::slowed;
use crate::journal::Entry;
use crate::script::{Answer, Body, Edit, Fault, Kind};

/// The grants that exist here.
pub(crate) fn grant_uris() -> impl Iterator<Item = &'static str> {
    GrantType::OFFERED.iter().map(|grant| grant.uri())
}

/// The operations that a rule or a setting can name.
pub(crate) fn is_operation(name: &str) -> bool {
    Operation::ALL.iter().any(|operation| operation.name() == name)
}

/// Whether the catalogue has an error with this internal code or E-code.
pub(crate) fn is_error_code(code: &str) -> bool {
    catalogue::find(code).is_some()
}

/// A text that nobody can guess; none if the system has no randomness.
pub(crate) fn unguessable() -> Option<String> {
    Random::token(16).ok()
}

/// What is to be done on the connection.
#[derive(Debug)]
pub(crate) enum Plan {
    /// Send this, after the delay.
    Send(Reply, Option<Duration>),
    /// Send these bytes as they stand, then close the connection or leave it open.
    Raw { bytes: Vec<u8>, keep_open: bool, status: Option<u16>, outcome: String, delay: Option<Duration> },
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

/// What stands for the placeholders of a catalogued error that a script prescribes.
const SAMPLE: &str = "sample";

type Answered = Result<Reply, Refusal>;

impl State {
    /// Takes a request: decides, works, and writes it into the journal.
    pub(crate) fn take(&mut self, call: &Call<'_>) -> Plan {
        let form = Form::of(call.request);
        let grant = form.first("grant_type").map(str::to_owned);
        self.account_in(&form);
        if let Some((plan, trouble)) = self.trouble(call) {
            self.record(call, form, &plan, Some(trouble));
            return slowed(plan, self.troubles.slow());
        }
        let plan = match self.script.answer_for(call.place.operation.name(), grant.as_deref()) {
            None => Plan::Send(self.work(call, &form), None),
            Some(Answer { kind: Kind::Fault(fault), delay, .. }) => {
                let reply = fault.does_the_work().then(|| self.work(call, &form));
                Plan::Break(fault, reply, delay)
            }
            Some(answer) => self.prescribed(call, &form, answer),
        };
        self.record(call, form, &plan, None);
        slowed(plan, self.troubles.slow())
    }

    /// A prescribed answer, faults excepted. Unless it is the real one it carries the date and a request id, and no
    /// rate-limit headers that the script or the catalogue did not write.
    fn prescribed(&mut self, call: &Call<'_>, form: &Form, answer: Answer) -> Plan {
        // Before the work: what was given out previously is not what this answer gives out.
        let filler = self.filler(call);
        let mut reply = match answer.kind {
            Kind::Real(edit) => {
                let mut reply = self.work(call, form);
                edit_json(&mut reply, &edit, &filler);
                reply
            }
            Kind::Error(code) => self.prescribed_error(call, &code),
            Kind::Tokens(mutation) => {
                let tokens = self.unchecked_tokens(call, form, &mutation.filled(&filler));
                self.proofs.answer = None;
                let reply = tokens.unwrap_or_else(|refusal| refusal.into_reply(&self.settings, call.place.operation));
                with_date_and_id(reply, call.now).outcome("scripted")
            }
            Kind::Fixed { status, body } => {
                let mut reply = match body {
                    Body::Empty => Reply::empty(status),
                    Body::Json(json) => Reply::json(status, &json),
                    Body::Raw(bytes) => Reply { body: bytes, ..Reply::empty(status) },
                };
                reply.body = filler.bytes(reply.body);
                with_date_and_id(reply, call.now).outcome("scripted")
            }
            Kind::Fault(_) => self.prescribed_error(call, catalogue::SERVER_ERROR.code),
        };
        if let Some(text) = &answer.text {
            let body = String::from_utf8_lossy(&reply.body).into_owned();
            let members = fill::members(&body).to_owned();
            reply.body = filler.with([("body", body), ("members", members)]).text(text).into_bytes();
        }
        replace_headers(&mut reply, &answer.headers, &filler);
        match answer.raw {
            None => Plan::Send(reply, answer.delay),
            Some(raw) => {
                let bytes = as_it_stands(&raw, &reply, &filler);
                let status = first_final_status(&bytes);
                Plan::Raw { bytes, keep_open: answer.keep_open, status, outcome: reply.outcome, delay: answer.delay }
            }
        }
    }

    /// A row of the catalogue with sample text in its placeholders; a 429 with the headers that a real one has.
    fn prescribed_error(&self, call: &Call<'_>, code: &str) -> Reply {
        let found = catalogue::find(code).unwrap_or(Found::OAuth(catalogue::SERVER_ERROR));
        let refusal = match found {
            Found::OAuth(row) => Refusal::changed(row, SAMPLE, SAMPLE),
            Found::Api(row) if row == catalogue::E0000007 => Refusal::not_found(&call.request.path),
            Found::Api(row) if row == catalogue::E0000022 => Refusal::Method { allow: "GET, POST" },
            Found::Api(row) => Refusal::api(row, SAMPLE),
        };
        let mut reply = refusal.into_reply(&self.settings, call.place.operation);
        if reply.status == 429 {
            reply = self.prescribed_bucket(code, call.now).headers(reply);
        }
        with_date_and_id(reply, call.now).outcome("scripted")
    }

    /// Does what was asked and adds what every answer carries.
    fn work(&mut self, call: &Call<'_>, form: &Form) -> Reply {
        let answered = self.count_request(call).and_then(|()| self.dispatch(call, form));
        let refused = |refusal: Refusal| refusal.into_reply(&self.settings, call.place.operation);
        let reply = answered.unwrap_or_else(refused);
        let mut reply = self.with_nonce(reply);
        if !reply.has_header("X-Rate-Limit-Limit") {
            reply = self.bucket().headers(reply);
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
            Operation::OobAuthenticate if !self.settings.oob_authenticate => {
                Err(Refusal::not_found(&call.request.path))
            }
            Operation::PrimaryAuthenticate | Operation::OobAuthenticate => self.primary_authenticate(call, form),
            Operation::Challenge => self.challenge(call, form),
            Operation::Revoke => self.revoke(call, form),
            Operation::Introspect => self.introspect(call, form),
            Operation::UserInfo => self.user_info(call),
            Operation::Resource => self.resource(call),
            Operation::Password => self.new_password(call),
            Operation::Other => Err(Refusal::not_found(&call.request.path)),
        }
    }

    fn filler(&self, call: &Call<'_>) -> Filler {
        let issuer = call.issuer();
        let issuer_path = issuer.strip_prefix(&call.origin).unwrap_or_default().to_owned();
        let port = call.origin.rsplit_once(':').map(|(_, port)| port).unwrap_or_default().to_owned();
        let mut values = vec![
            ("issuer", issuer),
            ("issuer_path", issuer_path),
            ("org_issuer", Server::Org.issuer(&call.base)),
            ("origin", call.origin.clone()),
            ("port", port),
            ("evil_origin", call.evil_origin.clone()),
            ("client_id", self.client_id.clone()),
            ("previous_access_token", self.previous.access_token.clone()),
            ("previous_refresh_token", self.previous.refresh_token.clone()),
            ("previous_id_token", self.previous.id_token.clone()),
        ];
        let with = |values: &mut Vec<_>, [kid, n, e]: [&'static str; 3], key: Option<Key>| {
            values.extend(key.iter().flat_map(|key| [(kid, key.kid.clone()), (n, key.n()), (e, key.e())]));
        };
        with(&mut values, ["key_kid", "key_n", "key_e"], self.keys.current());
        with(&mut values, ["old_key_kid", "old_key_n", "old_key_e"], self.keys.previous());
        with(&mut values, ["evil_key_kid", "evil_key_n", "evil_key_e"], Key::foreign());
        if let Some((x, y)) = P256Key::load().map(|key| key.point()) {
            values.extend([("ec_key_x", x), ("ec_key_y", y)]);
        }
        Filler::new(call.seconds(), values)
    }

    fn record(&mut self, call: &Call<'_>, form: Form, plan: &Plan, trouble: Option<&str>) {
        let (status, outcome, answer) = match plan {
            Plan::Send(reply, _) => (Some(reply.status), reply.outcome.clone(), reply.body.clone()),
            Plan::Raw { status, outcome, bytes, .. } => (*status, outcome.clone(), bytes.clone()),
            Plan::Break(fault, reply, _) => {
                let status = fault_status(*fault, reply.as_ref());
                // Of a connection that was closed, what would have been said was not.
                let answer = reply.as_ref().filter(|_| status.is_some()).map(|reply| reply.body.clone());
                (status, format!("fault: {}", fault.name()), answer.unwrap_or_default())
            }
        };
        self.journal.add(Entry {
            number: 0,
            at: call.now,
            connection: call.request.connection,
            method: call.request.method.clone(),
            path: call.request.path.clone(),
            operation: call.place.operation.name().to_owned(),
            headers: call.request.headers.clone(),
            query: call.request.query.clone(),
            form: form.into_pairs(),
            status,
            outcome: trouble.map_or(outcome, str::to_owned),
            answer,
            answer_length: 0,
        });
    }
}

fn fault_status(fault: Fault, reply: Option<&Reply>) -> Option<u16> {
    match fault {
        Fault::Close | Fault::CloseAfterProcessing | Fault::Reset | Fault::Stall | Fault::Garbage => None,
        Fault::Truncate | Fault::TruncateChunked | Fault::Gzip | Fault::InformationalFirst => {
            reply.map(|reply| reply.status)
        }
        Fault::Drip | Fault::Huge | Fault::HugeChunked | Fault::GzipBomb | Fault::CaptivePortal | Fault::Empty => {
            Some(200)
        }
        Fault::Redirect307OtherHost => Some(307),
        Fault::Redirect308SameHost => Some(308),
        Fault::Redirect302Get => Some(302),
    }
}

/// Adds the server's date and an id for the request, unless they are there.
pub(crate) fn with_date_and_id(mut reply: Reply, now: Duration) -> Reply {
    if !reply.has_header("Date")
        && let Some(date) = fill::http_date(now)
    {
        reply = reply.header("Date", date);
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
        edit.apply(&mut object, mint::fill_members(&edit.set, filler));
        reply.body = serde_json::Value::Object(object).to_string().into_bytes();
    }
}

/// Headers of a script replace ours of the same name; the same name twice in the script stays two fields, and one
/// without a value leaves the header out.
fn replace_headers(reply: &mut Reply, headers: &[(String, Option<String>)], filler: &Filler) {
    reply.headers.retain(|(ours, _)| headers.iter().all(|(theirs, _)| !theirs.eq_ignore_ascii_case(ours)));
    let valued = headers.iter().filter_map(|(name, value)| Some((name.clone(), filler.text(value.as_ref()?))));
    reply.headers.extend(valued);
}

/// The bytes of a prescribed raw answer, with what the answer would have been in its placeholders.
fn as_it_stands(raw: &str, reply: &Reply, filler: &Filler) -> Vec<u8> {
    let headers: String = reply.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let filler = filler.with([
        ("status", reply.status.to_string()),
        ("headers", headers),
        ("length", reply.body.len().to_string()),
    ]);
    // A body may be no text.
    let parts: Vec<Vec<u8>> = raw.split("{body}").map(|part| filler.text(part).into_bytes()).collect();
    parts.join(reply.body.as_slice())
}

/// The status of the first answer in some bytes that is not informational.
fn first_final_status(bytes: &[u8]) -> Option<u16> {
    let text = String::from_utf8_lossy(bytes);
    let status = |line: &str| line.strip_prefix("HTTP/")?.split(' ').nth(1)?.trim().parse().ok();
    text.lines().filter_map(status).find(|status| *status >= 200)
}
