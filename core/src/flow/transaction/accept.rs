//! Tokens at the end of a sign-in, and what they become.

use std::sync::{Arc, PoisonError};

use super::{Purpose, Transaction};
use crate::audit::SecurityEvent;
use crate::config::{DPoP, WiderScopes};
use crate::context::Abandoned;
use crate::error::{Kind, TokenCheck};
use crate::flow::steps::Step;
use crate::jose::id_token::{IdTokenClaims, SKEW};
use crate::proof::ProofKey;
use crate::secret::Secret;
use crate::session::rules::Now;
use crate::session::{self, Established, NewSession, NotStepped, SteppedUp};
use crate::validation::{self, Occasion};
use crate::wire::answer::{Failure, Reply, Why};
use crate::wire::json::Object;
use crate::wire::new_password;
use crate::wire::said;
use crate::wire::tokens::{TokenKind, parse_tokens, salvage};

impl Transaction {
    /// Tokens came: validated they become a session, otherwise they are given back. Either way the sign-in is over.
    pub(super) async fn accept(
        self: &Arc<Self>,
        mut answer: Object,
        reply: Reply,
        sent: Now,
        abandoned: &Abandoned,
        key: Option<Arc<ProofKey>>,
    ) -> Result<Step, Failure> {
        let context = &self.context;
        let (said, status) = (said::said(&reply.response, None, &reply.private), Some(reply.response.status));
        let server = context.server_time(&reply.response);
        // What was sent has done its work.
        drop(reply);
        let refuse = |kind: Kind, token: Option<(Secret, TokenKind)>| {
            if let Kind::TokenRejected { check } = kind {
                context.auditor.security(self.trail(), SecurityEvent::TokenRejected { check });
            }
            match (token, &self.purpose) {
                (Some(token), Purpose::Recovery) => session::revoke_once(context, self.trail(), token),
                (Some(token), _) => session::give_back(context, self.trail(), token),
                (None, _) => {}
            }
            self.end();
            Failure { why: Why::Fatal(kind), said: said.clone(), status }
        };
        let has_shown_key = key.is_some();
        let tokens = match parse_tokens(&mut answer, has_shown_key) {
            Ok(tokens) => tokens,
            Err(kind) => return Err(refuse(kind, salvage(&mut answer))),
        };
        if session::is_in_use(context, &tokens.access_token, None) {
            context.auditor.security(self.trail(), SecurityEvent::AccessTokenReused);
            // Not given back: that would end the session that it belongs to.
            return Err(refuse(Kind::TokenRejected { check: TokenCheck::AccessTokenReused }, None));
        }
        if has_shown_key && !tokens.is_bound {
            if context.config.dpop == DPoP::Required || !self.owns_key {
                let check = TokenCheck::Unbound;
                return Err(refuse(Kind::TokenRejected { check }, Some(session::newest(&tokens))));
            }
            context.auditor.security(self.trail(), SecurityEvent::NotBound);
        }
        let is_wider = |granted: &Vec<String>| !granted.iter().all(|scope| self.common.scopes.contains(scope));
        if tokens.scope.as_ref().is_some_and(is_wider) {
            context.auditor.security(self.trail(), SecurityEvent::ScopeWidened);
            if context.config.wider_scopes == WiderScopes::Refuse {
                let check = TokenCheck::Scope;
                return Err(refuse(Kind::TokenRejected { check }, Some(session::newest(&tokens))));
            }
        }
        if let Purpose::Recovery = self.purpose {
            let serves = tokens.scope.as_ref().is_none_or(|scope| scope.iter().any(|one| one == new_password::SCOPE));
            if !serves {
                let check = TokenCheck::Scope;
                return Err(refuse(Kind::TokenRejected { check }, Some(session::newest(&tokens))));
            }
            if !self.is_wanted(abandoned) {
                context.auditor.security(self.trail(), SecurityEvent::LateTokensRevoked);
                return Err(refuse(Kind::Cancelled, Some(session::newest(&tokens))));
            }
            return Ok(Step::ResetPassword(self.recovered_by(tokens, key)));
        }
        if server.ahead.abs() > SKEW {
            context.auditor.security(self.trail(), SecurityEvent::ClockOffset { seconds: server.ahead });
        }
        let openid = self.common.scopes.contains("openid");
        let occasion = Occasion {
            metadata: &self.metadata,
            keys: self.keys.as_ref(),
            server,
            received: context.env.clock.boot(),
            id_token_required: openid,
            id_token_wanted: openid,
            previous: None,
            assurance: &self.assurance,
        };
        let claims = match validation::validate(context, &self.conversation, &tokens, &occasion).await {
            Ok(claims) => claims,
            Err(kind) => return Err(refuse(kind, Some(session::newest(&tokens)))),
        };
        if let Purpose::StepUp(session) = &self.purpose
            && !session.is_of(claims.as_ref())
        {
            let check = TokenCheck::Subject;
            return Err(refuse(Kind::TokenRejected { check }, Some(session::newest(&tokens))));
        }
        let proof_key = key.filter(|_| tokens.is_bound).map(|key| key.duplicate());
        self.take_key(tokens.is_bound);
        // Should no session come of it. That of a session that is stepped up is its own.
        let spare_key = proof_key.as_ref().filter(|_| self.owns_key).map(ProofKey::duplicate);
        // The connection saw the secrets; it is gone before the app hears of the session.
        self.end();
        self.conversation.close().await;
        // The start of the store call: cancelled or dropped before it means given back, after it means signed in.
        let commit = || !abandoned.is_abandoned() && self.cancellation.commit();
        let claims = match (&self.purpose, claims) {
            (Purpose::StepUp(session), Some(claims)) => {
                let transaction_id = self.id.clone();
                let requested = self.common.scopes.as_str().to_owned();
                let new = SteppedUp { tokens, claims, sent, transaction_id, requested, proof_key };
                return match session.take(new, commit).await {
                    Ok(()) => Ok(Step::SignedIn(session.clone())),
                    Err(NotStepped { tokens, kind }) => {
                        context.forget_key(spare_key);
                        if kind == Kind::Cancelled {
                            context.auditor.security(self.trail(), SecurityEvent::LateTokensRevoked);
                        }
                        Err(refuse(kind, tokens.map(|tokens| session::newest(&tokens))))
                    }
                };
            }
            (_, claims) => claims,
        };
        let new = NewSession {
            username: self.username_by(claims.as_ref()),
            tokens,
            claims,
            requested: self.common.scopes.clone(),
            sent,
            transaction_id: self.id.clone(),
            before: core::mem::take(&mut *self.before.lock().unwrap_or_else(PoisonError::into_inner)),
            imported: None,
            proof_key,
        };
        match session::establish(context, new, commit).await {
            Established::Session(session) => Ok(Step::SignedIn(session)),
            Established::NotWanted(tokens) => {
                context.auditor.security(self.trail(), SecurityEvent::LateTokensRevoked);
                context.forget_key(spare_key);
                Err(refuse(Kind::Cancelled, Some(session::newest(&tokens))))
            }
            Established::Failed(tokens, kind) => {
                context.forget_key(spare_key);
                Err(refuse(kind, Some(session::newest(&tokens))))
            }
        }
    }

    /// What was typed; if a passkey said who it is, what the server calls them.
    fn username_by(&self, claims: Option<&IdTokenClaims>) -> String {
        if !self.username.is_empty() {
            return self.username.clone();
        }
        claims.and_then(|claims| claims.raw.str("preferred_username")).unwrap_or_default().to_owned()
    }
}
