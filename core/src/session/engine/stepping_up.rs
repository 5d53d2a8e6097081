//! A sign-in that gives a session more assurance: its tokens take the place of the session's own. docs/sessions.md §6.
//!
//! The session, its id and its handles stay. Until the new set is in memory nothing of the old one is touched.

use std::sync::Arc;

use futures_channel::oneshot;

use super::writing::{Committed, Written};
use super::{Engine, Left};
use crate::audit::{AuditKind, SecurityEvent};
use crate::config::RefreshPolicy;
use crate::context::storage;
use crate::error::{Code, EndReason, Error, Kind, NetworkProblem, TokenCheck};
use crate::jose::id_token::IdTokenClaims;
use crate::proof::ProofKey;
use crate::secret::Secret;
use crate::session::ending::{self, newest};
use crate::session::record::{Life, Record, Rotation, TokenSet};
use crate::session::rules::{self, Now};
use crate::wire::tokens::{TokenAnswer, TokenKind};

/// Validated tokens of the session's own user.
pub(crate) struct SteppedUp {
    pub(crate) tokens: TokenAnswer,
    pub(crate) claims: IdTokenClaims,
    /// When the request was sent that brought them.
    pub(crate) sent: Now,
    pub(crate) transaction_id: Code,
    /// What was asked for, if the answer does not say what was granted.
    pub(crate) requested: String,
    /// The key that they are bound to.
    pub(crate) proof_key: Option<ProofKey>,
}

/// Why they did not: they are to be given back.
pub(crate) struct NotStepped {
    /// On the heap, to keep results small; nothing if nobody knows what became of them.
    pub(crate) tokens: Option<Box<TokenAnswer>>,
    pub(crate) kind: Kind,
}

/// Another process that writes at the same time again and again is not outdone without end.
const MAX_TRIES: usize = 3;

impl Engine {
    /// Whether this process may give the session other tokens: it has to be the one that writes its record.
    pub(crate) fn may_step_up(&self) -> bool {
        self.context.gate.is_some() || self.context.config.refresh_policy == RefreshPolicy::WhenDue
    }

    /// Takes the new tokens in place of the old ones, whose grant is then given up. From `commit` on it happens, whoever is
    /// waiting. No refresh runs meanwhile, and whoever wants one waits for this instead.
    pub(crate) async fn step_up(
        self: &Arc<Self>,
        new: SteppedUp,
        commit: impl FnOnce() -> bool,
    ) -> Result<(), NotStepped> {
        let (answer, answered) = oneshot::channel();
        let task = loop {
            let other = {
                let mut running = self.running();
                match &*running {
                    Some((_, other)) => other.clone(),
                    None if !commit() => {
                        return Err(NotStepped { tokens: Some(Box::new(new.tokens)), kind: Kind::Cancelled });
                    }
                    None => {
                        break self.run(&mut running, |engine| async move {
                            let result = engine.replace_set(new).await;
                            let error = result.as_ref().err().map(|refused| Error::from(refused.kind.clone()));
                            let _ = answer.send(result);
                            error.map_or(Ok(()), Err)
                        });
                    }
                }
            };
            let _ = other.await;
        };
        let _ = task.await;
        // Without an answer the task panicked.
        answered.await.unwrap_or(Err(NotStepped { tokens: None, kind: Kind::Internal }))
    }

    async fn replace_set(self: &Arc<Self>, new: SteppedUp) -> Result<(), NotStepped> {
        let SteppedUp { tokens, claims, sent, transaction_id: id, requested, proof_key } = new;
        let refuse = |tokens, kind| Err(NotStepped { tokens: Some(Box::new(tokens)), kind });
        let mut exclusion = match self.exclude().await {
            Ok(exclusion) => exclusion,
            Err(problem) => return refuse(tokens, storage(problem)),
        };
        for _ in 0..MAX_TRIES {
            // What another process has refreshed is given up too, not its predecessor.
            match self.adopt_newer().await {
                Ok(_) => {}
                // As at a sign-in: it lives in memory until the store works.
                Err(error) if matches!(error.kind(), Kind::StorageUnavailable { .. }) => {}
                Err(error) => return refuse(tokens, error.kind().clone()),
            }
            let old = self.record();
            if old.set.refresh_token.is_some() && tokens.refresh_token.is_none() {
                // The session would end with its access token.
                return refuse(tokens, Kind::TokenRejected { check: TokenCheck::RefreshToken });
            }
            if old.proof_key.is_some() && proof_key.is_none() {
                // Another process has bound it meanwhile.
                return refuse(tokens, Kind::TokenRejected { check: TokenCheck::Unbound });
            }
            // A server may answer with the token that the session has. EXPOSE: compared.
            let is_same = old.set.newest().0.expose() == newest(&tokens).0.expose();
            let nonce = self.newest_nonce();
            let next = |record: &Record| Record {
                proof_key: proof_key.as_ref().map(ProofKey::duplicate),
                nonce: nonce.clone(),
                ..stepped_up(record, &tokens, &claims, sent, &requested)
            };
            let set = next(&old).set_hash();
            let leave = |record: &Record| {
                (!is_same && !planted!(LeavesGrant)).then(|| Left { token: owed_by(record), key: None })
            };
            match self.commit_leaving(old.refresh_hash(), next, leave) {
                Committed::Yes => {}
                Committed::Ended(reason) => return refuse(tokens, Kind::SessionEnded { reason }),
                Committed::OtherToken => continue,
            }
            self.state().held = None;
            if planted!(LeavesFirst) {
                self.give_up(owed_by(&old));
            }
            let written = self.persist(&mut exclusion).await;
            if self.state().gave_way == Some(set) {
                // Its own tokens were the ones to give way, and are given up with what was left.
                return Err(NotStepped { tokens: None, kind: interrupted() });
            }
            match written {
                Written::Stored => {}
                // The store has the old set still, and the process may die: its grant is left only when that is over.
                Written::Kept(_) => {
                    self.security(&id, SecurityEvent::NotPersisted);
                    self.rewrite_later();
                }
                Written::Ended(reason) => return refuse(tokens, Kind::SessionEnded { reason }),
                Written::Superseded => continue,
            }
            self.audit(&id, AuditKind::SessionSteppedUp { session_id: self.id.clone() });
            return self.serve(Some(claims)).or_else(|error| refuse(tokens, error.kind().clone()));
        }
        refuse(tokens, interrupted())
    }

    /// What step-ups left behind is revoked.
    pub(crate) fn give_up_left(&self) {
        let left = core::mem::take(&mut self.state().left);
        for Left { token, key } in left {
            self.give_up(token);
            self.context.forget_key(key);
        }
    }

    /// The grant of the old tokens is revoked, where that does not end the new one too.
    pub(super) fn give_up(&self, token: (Secret, TokenKind)) {
        if rules::is_revoked(self.context.config.profile, EndReason::Replaced) {
            ending::give_back(&self.context, self.trail().as_trail(), token);
        }
    }
}

/// Another process was quicker.
fn interrupted() -> Kind {
    Kind::Network { kind: NetworkProblem::Interrupted, maybe_sent: false }
}

pub(super) fn owed_by(record: &Record) -> (Secret, TokenKind) {
    let (token, kind) = record.set.newest();
    (token.duplicate(), kind)
}

/// The same session with the new tokens, of a grant of its own: nothing is known of its refresh token yet.
fn stepped_up(old: &Record, tokens: &TokenAnswer, claims: &IdTokenClaims, sent: Now, requested: &str) -> Record {
    let TokenAnswer { access_token, lifetime_secs, id_token, refresh_token, scope, .. } = tokens.duplicate();
    Record {
        set: TokenSet {
            access_token,
            life: Life { sent_wall: sent.wall, sent_boot: sent.boot, secs: lifetime_secs },
            id_token,
            refresh_token,
        },
        scope: scope.map_or_else(|| requested.to_owned(), |scope| scope.join(" ")),
        subject: Some(claims.subject.clone()),
        rotation: Rotation::Unknown,
        mark: None,
        ..old.duplicate()
    }
}
