//! One sign-in from its first credential to its end: what all its steps share, and how a leg is sent.
//!
//! protocol.md §2.1: issuer, client, scope and endpoints are fixed when it begins. The rules are in `wire::answer`,
//! `poll`, `second_factor` and `throttle`; this sequences effects.

mod accept;
mod recovered;
mod reporting;

use core::time::Duration;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::{Either, select};
use recovered::Recovered;
use reporting::Series;

use super::cancel::Cancellation;
use super::recovery;
use super::registry::SignIns;
use super::second_factor::{SecondFactor, Verdict};
use super::steps::{ChooseFactor, Step};
use crate::audit::{Attempt, Trail};
use crate::config::{Assurance, Factor, PasskeyStart};
use crate::context::{Abandoned, Context, Outcome, TokenPost, in_background, probe};
use crate::discovery::Discovery;
use crate::env::{Conversation, Method};
use crate::error::{Code, ConfigurationProblem, Error, Kind, Unsupported};
use crate::jose::jwks::KeySet;
use crate::proof::{self, ProofKey};
use crate::secret::Secret;
use crate::session::{self, Before, Session};
use crate::wire::answer::{Failure, Leg, MoreAssurance, Reply, Why};
use crate::wire::form::Body;
use crate::wire::json::Object;
use crate::wire::metadata::Metadata;
use crate::wire::passkey::{PasskeyChallenge, RelyingParties, parse_passkey};
use crate::wire::requests::{self, Common};
use crate::wire::said;

/// What the tokens at the end of it are for.
#[derive(Clone)]
pub(super) enum Purpose {
    /// A new session.
    Session,
    /// A new password, and nothing else.
    Recovery,
    /// This session, with other tokens.
    StepUp(Session),
}

/// What a sign-in begins with.
pub(super) struct Start {
    pub(super) username: String,
    /// What it has to reach.
    pub(super) assurance: Assurance,
    pub(super) purpose: Purpose,
}

pub(super) struct Transaction {
    pub(super) context: Arc<Context>,
    pub(super) sign_ins: Arc<SignIns>,
    pub(super) username: String,
    pub(super) common: Common,
    assurance: Assurance,
    purpose: Purpose,
    id: Code,
    metadata: Arc<Metadata>,
    keys: Option<Arc<KeySet>>,
    conversation: Arc<dyn Conversation>,
    cancellation: Cancellation,
    busy: AtomicBool,
    on_the_wire: AtomicBool,
    finished: AtomicBool,
    has_end: AtomicBool,
    /// Received codes that were sent and refused, of all prompts together: a resend gives no more of them (LIM-2).
    pub(super) codes: AtomicU8,
    series: Mutex<Option<Series>>,
    second_factor: Mutex<Option<SecondFactor>>,
    /// The `oob_code`s of the prompts that are still answerable, by the prompt's number.
    prompts: Mutex<Prompts>,
    /// What the store held when it began.
    before: Mutex<Before>,
    recovered: Mutex<Option<Recovered>>,
    /// The key that the tokens are to be bound to: its own until a session has it.
    key: Mutex<Option<Arc<ProofKey>>>,
    /// Whether it was made for this sign-in.
    owns_key: bool,
}

#[derive(Default)]
struct Prompts {
    next: u32,
    codes: Vec<(u32, Secret)>,
}

/// No sign-in lasts longer; its connections and their thread end with it, however long the app keeps a step.
const MAX_LIFE: Duration = Duration::from_secs(1800);
/// An `mfa_token` is forgotten after this long (protocol.md Q3).
const MFA_LIFE: Duration = Duration::from_secs(600);

/// The right to act for the sign-in; one at a time. It lasts until the request that was begun with it has ended.
pub(super) struct Turn(Arc<Transaction>);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.on_the_wire.store(false, Ordering::SeqCst);
        self.0.busy.store(false, Ordering::SeqCst);
    }
}

impl Transaction {
    /// Everything that needs no credential: storage, connection, metadata, keys; then the place of this user's earlier
    /// sign-in is taken.
    pub(super) async fn begin(
        context: &Arc<Context>,
        sign_ins: &Arc<SignIns>,
        Start { username, assurance, purpose }: Start,
    ) -> Result<Arc<Self>, Error> {
        let id = context.random_id().ok_or(Kind::Internal)?;
        let fail = |error: Error| error.with_transaction_id(&id);
        let (scopes, intent, before) = match &purpose {
            Purpose::Session => {
                session::queue::first_use(context);
                let before = session::prepare(context, &id).await.map_err(|kind| fail(kind.into()))?;
                (context.config.scopes.clone(), None, before)
            }
            Purpose::StepUp(session) => {
                session.may_step_up().map_err(fail)?;
                probe(context, &id).await.map_err(|kind| fail(kind.into()))?;
                (session.scopes_for_more(), None, Before::default())
            }
            // Nothing of it is stored.
            Purpose::Recovery => {
                let intent = recovery::asked(context.config.recovery_request);
                (recovery::scopes()?, Some(intent), Before::default())
            }
        };
        let conversation = match sign_ins.take_warm(context.env.clock.boot()) {
            Some(warm) => warm,
            None => Arc::from(context.env.transport.conversation().map_err(|error| fail(Kind::from(error).into()))?),
        };
        let discovered = Discovery::both(context, &conversation, scopes.contains("openid")).await;
        let (metadata, keys) = discovered.map_err(|failure| {
            context.report_oddity(Trail { id: &id, user: &username }, &failure);
            fail(failure.into_error(context.env.clock.wall()))
        })?;
        if !metadata.takes_passwords {
            return Err(fail(Kind::Configuration { what: ConfigurationProblem::Grant }.into()));
        }
        let (key, owns_key) = Self::key(context, &id, &purpose, &metadata).await.map_err(|kind| fail(kind.into()))?;
        let transaction = Arc::new(Self {
            common: Common {
                client_id: context.config.client_id.clone(),
                scopes,
                capabilities: if metadata.direct.is_some() { context.config.capabilities.clone() } else { Vec::new() },
                is_direct: metadata.direct.is_some(),
                additional: Arc::clone(&context.config.additional),
                acr_values: assurance.acr_values(),
                intent,
            },
            assurance,
            purpose,
            context: Arc::clone(context),
            sign_ins: Arc::clone(sign_ins),
            username,
            id,
            metadata,
            keys,
            conversation,
            cancellation: Cancellation::new(),
            busy: AtomicBool::new(false),
            on_the_wire: AtomicBool::new(false),
            finished: AtomicBool::new(false),
            has_end: AtomicBool::new(false),
            codes: AtomicU8::new(0),
            series: Mutex::default(),
            second_factor: Mutex::new(None),
            prompts: Mutex::default(),
            before: Mutex::new(before),
            recovered: Mutex::default(),
            key: Mutex::new(key.map(Arc::new)),
            owns_key,
        });
        if let Err(kind) = sign_ins.enter(&transaction) {
            transaction.end();
            return Err(transaction.error(kind));
        }
        Ok(transaction)
    }

    /// The key of the session that is stepped up, or a new one if the app and the server want one.
    async fn key(
        context: &Arc<Context>,
        id: &Code,
        purpose: &Purpose,
        metadata: &Metadata,
    ) -> Result<(Option<ProofKey>, bool), Kind> {
        if let Purpose::StepUp(session) = purpose
            && let Some(key) = session.proof_key()
        {
            return Ok((Some(key), false));
        }
        match proof::is_shown(context.config.dpop, metadata)? {
            true => Ok((Some(context.new_proof_key(id).await?), true)),
            false => Ok((None, false)),
        }
    }

    fn shown_key(&self) -> Option<Arc<ProofKey>> {
        self.key.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The key goes with the tokens that are bound to it; without them it is nobody's.
    fn take_key(&self, is_bound: bool) {
        let key = self.key.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let (Some(key), false) = (key, is_bound) {
            self.drop_key(&key);
        }
    }

    fn drop_key(&self, key: &ProofKey) {
        if self.owns_key {
            self.context.forget_key(Some(key.duplicate()));
        }
    }

    /// Ends it: nothing new is sent, whoever waits hears of it, and the secrets are wiped.
    pub(super) fn cancel(&self) {
        self.cancellation.cancel();
        self.polls_end(Outcome::named("Cancelled"));
        self.end();
    }

    /// Stops it, unless a request is under way whose answer is not known yet: then `false`.
    pub(super) fn stop_unless_on_the_wire(&self) -> bool {
        self.cancellation.cancel_if(|| !self.on_the_wire.load(Ordering::SeqCst))
    }

    /// Whether nobody has cancelled it, and whoever asked is still there.
    fn is_wanted(&self, abandoned: &Abandoned) -> bool {
        !self.cancellation.is_cancelled() && !abandoned.is_abandoned()
    }

    /// Whether nothing can be done with it any more.
    pub(super) fn is_over(&self) -> bool {
        self.finished.load(Ordering::SeqCst)
    }

    /// The right to act, if nobody else has it and the sign-in is not over.
    pub(super) fn turn(self: &Arc<Self>) -> Result<Arc<Turn>, Error> {
        if self.cancellation.is_cancelled() {
            return Err(self.error(Kind::Cancelled));
        }
        if self.finished.load(Ordering::SeqCst) || self.busy.swap(true, Ordering::SeqCst) {
            return Err(self.error(Kind::Busy));
        }
        Ok(Arc::new(Turn(Arc::clone(self))))
    }

    /// Waits; a cancellation ends the wait at once.
    pub(super) async fn sleep(&self, duration: Duration) -> Result<(), Error> {
        let cancelled = core::pin::pin!(self.cancellation.cancelled());
        match select(self.context.env.clock.sleep(duration), cancelled).await {
            Either::Left(_) => Ok(()),
            Either::Right(_) => Err(self.error(Kind::Cancelled)),
        }
    }

    /// Sends one leg to the token endpoint and carries tokens to their end, whoever is still waiting.
    pub(super) async fn exchange(
        self: &Arc<Self>,
        turn: &Arc<Turn>,
        leg: Leg,
        attempt: Attempt,
        body: Body,
    ) -> Result<Step, Failure> {
        let transaction = Arc::clone(self);
        self.request(turn, attempt, move |abandoned| async move {
            let context = &transaction.context;
            let sent = context.now();
            let url = transaction.metadata.token_endpoint.as_str();
            let key = transaction.shown_key();
            let reply = transaction.post(url, body, &abandoned, leg, key.as_deref()).await?;
            let answer = context.read(&reply, leg);
            let answer = if key.is_some() { answer.map_err(|failure| failure.with_proof(leg))? } else { answer? };
            let request_id = said::request_id(&reply.response, &reply.private).filter(|id| !carries(&answer, id));
            Ok((transaction.accept(answer, reply, sent, &abandoned, key).await?, request_id))
        })
        .await
    }

    /// Keeps the least distance between a user's requests to the token endpoint (LIM-5): a moment's wait, no error. Before
    /// anything is counted, since a caller may go away meanwhile.
    pub(super) async fn pace(&self) -> Result<(), Error> {
        let clock = &self.context.env.clock;
        loop {
            let now = clock.boot();
            let pause = self.sign_ins.attempts().token_call(&self.username, now);
            if pause.is_zero() {
                return Ok(());
            }
            self.sleep(pause).await?;
        }
    }

    /// Keeps the distance between a user's first factors (LIM-2), and takes the place of this one.
    pub(super) async fn pace_first_factor(&self) -> Result<(), Error> {
        loop {
            let pause = self.sign_ins.may_try(&self.context, &self.username).map_err(|kind| self.error(kind))?;
            if pause.is_zero() {
                self.sign_ins.attempts().remember_first_factor(&self.username, self.context.env.clock.boot());
                return Ok(());
            }
            self.sleep(pause).await?;
        }
    }

    /// Asks the server to send `factor` to the user; `second` carries the `mfa_token` of a second factor.
    pub(super) async fn send_prompt(
        self: &Arc<Self>,
        turn: &Arc<Turn>,
        factor: Factor,
        second: bool,
    ) -> Result<Object, Failure> {
        let common = &self.common;
        let no_factor = || Failure::local(Kind::Unsupported { what: Unsupported::Factor });
        let direct = self.metadata.direct.as_ref().ok_or_else(no_factor)?;
        let at_primary = self.context.config.passkey_start == PasskeyStart::PrimaryAuthenticate;
        let (url, body) = match (second, factor) {
            (true, Factor::Passkey) if at_primary => {
                let body = self.with_mfa_token(|token| requests::primary_passkey(common, None, Some(token)))?;
                (&direct.primary_authenticate, body)
            }
            (true, _) => {
                let body = self.with_mfa_token(|token| requests::challenge(common, token, factor))?;
                (&direct.challenge, body)
            }
            (false, Factor::Passkey) => {
                let username = Some(self.username.as_str()).filter(|name| !name.is_empty());
                (&direct.primary_authenticate, requests::primary_passkey(common, username, None))
            }
            (false, _) => {
                let body = requests::primary_authenticate(common, &self.username, factor);
                (&direct.primary_authenticate, body)
            }
        };
        let url = url.clone();
        let transaction = Arc::clone(self);
        self.request(turn, Attempt::Send(factor), move |abandoned| async move {
            let reply = transaction.post(url.as_str(), body, &abandoned, Leg::Start, None).await?;
            let answer = transaction.context.read(&reply, Leg::Start)?;
            Ok((answer, said::request_id(&reply.response, &reply.private)))
        })
        .await
    }

    /// A passkey's challenge, if it is for a relying party that this client answers for.
    pub(super) fn passkey_challenge(&self, answer: Object) -> Result<PasskeyChallenge, Kind> {
        let config = &self.context.config;
        let parties = RelyingParties { issuer_host: config.issuer.host(), configured: &config.relying_parties };
        parse_passkey(answer, &parties)
    }

    /// Builds a body that carries the `mfa_token`, if there is one that is still good.
    pub(super) fn with_mfa_token(&self, build: impl FnOnce(&str) -> Body) -> Result<Body, Failure> {
        let second_factor = self.second_factor();
        match &*second_factor {
            // EXPOSE: written into the request body, which wipes itself.
            Some(state) if self.context.env.clock.boot() < state.deadline => Ok(build(state.mfa_token.expose())),
            _ => Err(Failure::local(Kind::Expired)),
        }
    }

    /// Keeps a prompt's code until the prompt is answered, its time is over, or the sign-in ends, however long the app keeps
    /// the step. Gives the prompt's number.
    pub(super) fn keep_prompt(self: &Arc<Self>, oob_code: Secret, life: Duration) -> u32 {
        let mut prompts = self.prompts();
        prompts.next = prompts.next.saturating_add(1);
        let number = prompts.next;
        prompts.codes.push((number, oob_code));
        drop(prompts);
        self.later(life, move |transaction| transaction.forget_prompt(number));
        number
    }

    pub(super) fn forget_prompt(&self, number: u32) {
        self.prompts().codes.retain(|(known, _)| *known != number);
    }

    /// Builds a body that carries a prompt's code, if the prompt is not over.
    pub(super) fn with_oob_code(
        &self,
        number: u32,
        build: impl FnOnce(&str) -> Result<Body, Failure>,
    ) -> Result<Body, Failure> {
        let prompts = self.prompts();
        let code = prompts.codes.iter().find(|(known, _)| *known == number);
        // EXPOSE: written into the request body, which wipes itself.
        code.map_or_else(|| Err(Failure::local(Kind::Expired)), |(_, code)| build(code.expose()))
    }

    fn prompts(&self) -> MutexGuard<'_, Prompts> {
        self.prompts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next step after the server asked for a second factor.
    pub(super) fn more_assurance(self: &Arc<Self>, asked: MoreAssurance) -> Result<Step, Error> {
        let deadline = self.context.env.clock.boot().plus(MFA_LIFE);
        let leg = {
            let mut second_factor = self.second_factor();
            if self.cancellation.is_cancelled() {
                return Err(self.error(Kind::Cancelled));
            }
            if self.finished.load(Ordering::SeqCst) {
                return Err(self.error(Kind::Expired));
            }
            let next = SecondFactor::next(asked, second_factor.as_ref(), deadline);
            let next = next.inspect_err(|_| *second_factor = None).map_err(|kind| self.error(kind))?;
            second_factor.insert(next).leg
        };
        self.forget_at(leg);
        let choice = ChooseFactor::new(self, leg);
        if choice.factors().is_empty() {
            return Ok(Step::Unsupported(Unsupported::Challenge));
        }
        Ok(Step::ChooseFactor(choice))
    }

    /// Wipes the `mfa_token` when its time is over, so that a step that is never dropped does not keep it.
    fn forget_at(self: &Arc<Self>, leg: u8) {
        self.later(MFA_LIFE, move |transaction| {
            transaction.second_factor().take_if(|state| state.leg == leg);
        });
    }

    fn end_after(self: &Arc<Self>, life: Duration) {
        self.later(life, Self::end);
    }

    /// Does something after a time, if the sign-in still exists then.
    fn later(self: &Arc<Self>, after: Duration, then: impl FnOnce(&Self) + Send + 'static) {
        let transaction = Arc::downgrade(self);
        let timer = self.context.env.clock.sleep(after);
        in_background(&self.context.env, async move {
            timer.await;
            if let Some(transaction) = transaction.upgrade() {
                then(&transaction);
            }
        });
    }

    /// The server answered something else than a denial: "in a row" begins anew.
    pub(super) fn heard_from(&self) {
        if let Some(state) = &mut *self.second_factor() {
            state.answered();
        }
    }

    /// Before a code of an authenticator app is sent: it counts, until the answer says that it was not wrong.
    pub(super) fn count_otp(&self) -> Result<(), Error> {
        let allowed = self.second_factor().as_mut().is_none_or(SecondFactor::count_otp);
        if allowed { Ok(()) } else { Err(self.error(Kind::TooManyAttempts)) }
    }

    /// How many codes of an authenticator app may still be sent.
    pub(super) fn otp_attempts_left(&self) -> u8 {
        self.second_factor().as_ref().map_or(0, SecondFactor::otp_attempts_left)
    }

    /// Whether the `mfa_token` of `leg` is still the newest and still good.
    pub(super) fn is_current(&self, leg: u8) -> Result<(), Error> {
        let now = self.context.env.clock.boot();
        match &*self.second_factor() {
            _ if self.cancellation.is_cancelled() => Err(self.error(Kind::Cancelled)),
            _ if self.finished.load(Ordering::SeqCst) => Err(self.error(Kind::Busy)),
            Some(state) if state.leg != leg => Err(self.error(Kind::Busy)),
            Some(state) if now < state.deadline => Ok(()),
            _ => Err(self.error(Kind::Expired)),
        }
    }

    /// What can be offered now.
    pub(super) fn factors(&self) -> Vec<Factor> {
        self.second_factor().as_ref().map_or_else(Vec::new, |state| state.factors(&self.common.capabilities))
    }

    /// Counts a failure of a second factor and says what to tell the app.
    pub(super) fn second_factor_failed(&self, factor: Factor, is_otp: bool, failure: Failure) -> Error {
        let now = self.context.env.clock.wall();
        let into_kind = |why: Why| why.into_kind(now);
        let mut second_factor = self.second_factor();
        let kind = match &mut *second_factor {
            None => failure.why.into_kind(now),
            Some(state) => {
                let verdict = if is_otp {
                    state.after_otp(failure.why, into_kind)
                } else {
                    state.after_request(factor, failure.why, into_kind)
                };
                match verdict {
                    Verdict::Stay(kind) => kind,
                    Verdict::Over(kind) => {
                        *second_factor = None;
                        kind
                    }
                }
            }
        };
        drop(second_factor);
        self.error(kind).with(failure.said)
    }

    /// What audit events of this sign-in belong to.
    fn trail(&self) -> Trail<'_> {
        Trail { id: &self.id, user: &self.username }
    }

    /// An error of this sign-in.
    pub(super) fn error(&self, kind: Kind) -> Error {
        Error::from(kind).with_transaction_id(&self.id)
    }

    /// A failure that no rule of the leg gives another name.
    pub(super) fn failed(&self, failure: Failure) -> Error {
        failure.into_error(self.context.env.clock.wall()).with_transaction_id(&self.id)
    }

    /// Runs one request on a task of its own and reports it.
    async fn request<T, F>(
        self: &Arc<Self>,
        turn: &Arc<Turn>,
        attempt: Attempt,
        work: impl FnOnce(Abandoned) -> F,
    ) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: Future<Output = Result<(T, Option<Code>), Failure>> + Send + 'static,
    {
        self.on_the_wire.store(true, Ordering::SeqCst);
        let (transaction, turn) = (Arc::clone(self), Arc::clone(turn));
        let result = self.context.detached(move |abandoned| {
            let work = work(abandoned.clone());
            async move {
                let _turn = turn;
                // From its first request on, and set where timers live: setting it from here would wake that thread once more.
                if !transaction.has_end.swap(true, Ordering::SeqCst) {
                    transaction.end_after(MAX_LIFE);
                }
                let result = transaction.report(attempt, &abandoned, work).await;
                if abandoned.is_abandoned() && matches!(result, Err(Failure { why: Why::MoreAssurance(_), .. })) {
                    // Nobody took the new `mfa_token`, and the old one is worthless.
                    transaction.end();
                }
                result
            }
        });
        // Whoever waits hears of a cancellation at once; the request ends by itself.
        let cancelled = core::pin::pin!(self.cancellation.cancelled());
        match select(core::pin::pin!(result), cancelled).await {
            Either::Left((result, _)) => result.unwrap_or_else(|| Err(Failure::local(Kind::Internal))),
            Either::Right(_) => Err(Failure::local(Kind::Cancelled)),
        }
    }

    async fn post(
        &self,
        url: &str,
        body: Body,
        abandoned: &Abandoned,
        leg: Leg,
        key: Option<&ProofKey>,
    ) -> Result<Reply, Failure> {
        let deadline = self.context.config.request_timeout;
        // Nothing leaves the device while the app's own code is asked.
        let asks_nobody = self.context.header_provider.is_none() && key.is_none();
        self.on_the_wire.store(asks_nobody, Ordering::SeqCst);
        let provided = self.context.provided_headers(Method::Post, url).await;
        // A key of the platform may ask the user.
        let proven = self.context.prove_if(key, url).await.map_err(Failure::local)?;
        // Both may have taken their time: a sign-in that was cancelled or dropped meanwhile sends nothing.
        let goes_on = self.cancellation.unless_cancelled(|| self.on_the_wire.store(true, Ordering::SeqCst));
        if !goes_on || abandoned.is_abandoned() {
            return Err(Failure::local(Kind::Cancelled));
        }
        let post = TokenPost { via: &*self.conversation, url, leg, deadline, may_ask_again: true };
        let goes_on = || if self.is_wanted(abandoned) { Ok(()) } else { Err(Kind::Cancelled) };
        let mut reply = self.context.post_token(post, provided, body, proven, goes_on).await?;
        // Also where this request did not carry it: the server knows whom it talks about.
        reply.private.add(&self.username);
        Ok(reply)
    }

    /// Over: nothing is sent any more, and the secrets are wiped.
    pub(super) fn end(&self) {
        self.finished.store(true, Ordering::SeqCst);
        self.second_factor().take();
        self.prompts().codes.clear();
        if let Some(recovered) = self.recovered().take() {
            session::revoke_once(&self.context, self.trail(), recovered.owed);
        }
        self.sign_ins.leave(self);
        // A request that is on the wire ends first; nothing new is taken.
        drop(self.conversation.close());
    }

    fn second_factor(&self) -> MutexGuard<'_, Option<SecondFactor>> {
        self.second_factor.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        // Not before: a request that is on its way may still bring tokens that are bound to it.
        if let Some(key) = self.key.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            self.drop_key(&key);
        }
    }
}

/// Whether an id is, or is a part of, a token that came with it.
fn carries(answer: &Object, id: &Code) -> bool {
    ["access_token", "refresh_token", "id_token"]
        .into_iter()
        .filter_map(|name| answer.str(name))
        .any(|token| token.contains(id.as_str()) || id.as_str().contains(token))
}

/// Prepares a connection, the metadata and the keys for the next sign-in.
pub(super) async fn warm_up(context: &Arc<Context>, sign_ins: &Arc<SignIns>) {
    let Ok(conversation) = context.env.transport.conversation() else { return };
    let conversation: Arc<dyn Conversation> = Arc::from(conversation);
    if Discovery::refresh(context, &conversation).await.is_ok() {
        sign_ins.keep_warm(context, conversation);
    }
}
