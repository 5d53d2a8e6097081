//! An answer whose ID token cannot be validated yet: its refresh token is kept, the rest is held back and validated again.
//! docs/sessions.md §5.6.

use core::time::Duration;
use std::sync::Arc;

use super::Engine;
use super::writing::{Committed, Written};
use crate::audit::SecurityEvent;
use crate::context::{ServerTime, in_background};
use crate::env::BootInstant;
use crate::error::{Code, Error, Kind, TokenCheck};
use crate::jose::id_token::IdTokenClaims;
use crate::session::record::{Life, Record, TokenHash, TokenSet, hash};
use crate::session::rules::{self, Now};
use crate::validation;
use crate::wire::metadata::Metadata;
use crate::wire::tokens::TokenAnswer;

/// What is in memory only, unreleased and unrevoked.
pub(super) struct HeldBack {
    metadata: Arc<Metadata>,
    /// Without the refresh token, which is in the record.
    tokens: TokenAnswer,
    /// The refresh token that came with it: once the record holds another, this is of the past.
    refresh: Option<TokenHash>,
    server: ServerTime,
    received: BootInstant,
    sent: Now,
    /// Why it could not be validated.
    check: TokenCheck,
    /// Then it is given up.
    until: BootInstant,
}

/// What one look at it came to.
enum Look {
    /// It was released, or never will be.
    Over(Result<(), Error>),
    NotYet(TokenCheck),
}

/// However long its access token lives.
const LONGEST: Duration = Duration::from_secs(3600);
const FIRST: Duration = Duration::from_secs(1);
const LAST: Duration = Duration::from_secs(60);

impl HeldBack {
    pub(super) fn new(
        metadata: &Arc<Metadata>,
        tokens: &TokenAnswer,
        server: ServerTime,
        received: BootInstant,
        sent: Now,
        check: TokenCheck,
    ) -> Self {
        let life = Duration::from_secs(u64::try_from(tokens.lifetime_secs).unwrap_or(0)).min(LONGEST);
        Self {
            metadata: Arc::clone(metadata),
            refresh: tokens.refresh_token.as_ref().map(hash),
            tokens: TokenAnswer { refresh_token: None, ..tokens.duplicate() },
            server,
            received,
            sent,
            check,
            until: sent.boot.plus(life),
        }
    }
}

impl Engine {
    /// Why an answer is held back, if one is. Once the old access token has expired it keeps nobody from fetching another for
    /// longer than its time (docs/sessions.md §5.6).
    pub(super) fn held_back(&self, has_expired: bool) -> Option<TokenCheck> {
        let now = self.context.env.clock.boot();
        let limit = self.context.timing().held_back;
        let mut state = self.state();
        let is_over = |held: &mut Arc<HeldBack>| has_expired && now.since(held.received) >= limit;
        state.held.take_if(is_over);
        state.held.as_ref().map(|held| held.check)
    }

    /// Keeps the rest of an answer whose refresh token is stored. Validated at once, with other keys if need be, and if that
    /// does not do, again with back-off.
    pub(super) async fn hold_back(self: &Arc<Self>, id: &Code, mut held: HeldBack) -> Result<(), Error> {
        if held.refresh.is_none() {
            held.refresh = self.state().record.refresh_hash();
        }
        let held = Arc::new(held);
        self.state().held = Some(Arc::clone(&held));
        match self.look_at(id, &held).await {
            Look::Over(result) => {
                self.let_go(&held);
                result
            }
            Look::NotYet(check) => {
                self.security(id, SecurityEvent::TokenRejected { check });
                self.look_later(held);
                Err(rejected(check))
            }
        }
    }

    fn look_later(self: &Arc<Self>, held: Arc<HeldBack>) {
        let engine = Arc::downgrade(self);
        let env = self.context.env.clone();
        in_background(&self.context.env, async move {
            let mut pause = FIRST;
            loop {
                env.clock.sleep(pause).await;
                pause = pause.saturating_mul(2).min(LAST);
                let Some(engine) = engine.upgrade() else { return };
                let Some(id) = engine.context.random_id() else { continue };
                if let Look::Over(_) = engine.look_at(&id, &held).await {
                    engine.let_go(&held);
                    return;
                }
            }
        });
    }

    fn let_go(&self, held: &Arc<HeldBack>) {
        let mut state = self.state();
        state.held.take_if(|known| Arc::ptr_eq(known, held));
    }

    async fn look_at(self: &Arc<Self>, id: &Code, held: &Arc<HeldBack>) -> Look {
        let is_past = {
            let state = self.state();
            let is_same = state.held.as_ref().is_some_and(|known| Arc::ptr_eq(known, held));
            !is_same || state.ended.is_some() || state.record.refresh_hash() != held.refresh
        };
        if is_past {
            return Look::Over(self.superseded());
        }
        if self.context.env.clock.boot() >= held.until {
            return Look::Over(Err(rejected(held.check)));
        }
        let previous = self.state().claims.clone();
        let occasion = self.occasion(&held.metadata, None, previous.as_deref(), (held.server, held.received));
        let background = self.context.env.transport.background();
        let validated = validation::validate(&self.context, &background, &held.tokens, &occasion).await;
        let validated = self.suitable(id, &self.record(), &held.tokens, held.sent, validated);
        match validated {
            Ok(claims) => self.release(id, held, claims).await,
            Err(Kind::TokenRejected { check }) if rules::may_become_valid(check) => Look::NotYet(check),
            Err(kind) => Look::Over(Err(self.reject(id, kind, None).await)),
        }
    }

    /// It is valid: stored and handed out, if the record still holds the refresh token that came with it.
    async fn release(self: &Arc<Self>, id: &Code, held: &HeldBack, claims: Option<IdTokenClaims>) -> Look {
        let Ok(mut exclusion) = self.exclude().await else { return Look::NotYet(held.check) };
        let has_claims = claims.is_some();
        match self.commit(held.refresh, |record| released(record, held, has_claims)) {
            Committed::Yes => {}
            Committed::Ended(_) | Committed::OtherToken => {
                return Look::Over(self.superseded());
            }
        }
        match self.persist(&mut exclusion).await {
            Written::Stored => {}
            Written::Kept(_) => {
                self.security(id, SecurityEvent::NotPersisted);
                self.rewrite_later();
            }
            Written::Ended(_) => return Look::Over(Err(self.ended_elsewhere())),
            Written::Superseded => return Look::Over(self.superseded()),
        }
        Look::Over(self.serve(claims))
    }
}

fn rejected(check: TokenCheck) -> Error {
    Kind::TokenRejected { check }.into()
}

fn released(record: &Record, held: &HeldBack, has_claims: bool) -> Record {
    let old = record.duplicate();
    let tokens = held.tokens.duplicate();
    let life = Life { sent_wall: held.sent.wall, sent_boot: held.sent.boot, secs: tokens.lifetime_secs };
    let set = TokenSet {
        life: rules::life_of(&old.set, &tokens.access_token, life),
        access_token: tokens.access_token,
        id_token: tokens.id_token.filter(|_| has_claims).or(old.set.id_token),
        refresh_token: old.set.refresh_token,
    };
    let scope = tokens.scope.map_or(old.scope, |scope| scope.join(" "));
    Record { set, scope, ..old }
}
