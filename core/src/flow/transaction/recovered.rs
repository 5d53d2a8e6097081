//! What a recovery came by, and the new password that is put with it. protocol.md §2.6.

use core::time::Duration;
use std::sync::{Arc, MutexGuard, PoisonError};

use super::{Transaction, Turn};
use crate::audit::Attempt;
use crate::env::Method;
use crate::error::Kind;
use crate::flow::recovery::ResetPassword;
use crate::proof::ProofKey;
use crate::secret::Secret;
use crate::session;
use crate::wire::answer::Failure;
use crate::wire::form::Body;
use crate::wire::new_password;
use crate::wire::said;
use crate::wire::tokens::{TokenAnswer, TokenKind};

/// A user gets this long to think of a new password.
const RECOVERY_LIFE: Duration = Duration::from_secs(900);

/// The access token of a recovery, and what has to be revoked after it.
pub(super) struct Recovered {
    access_token: Secret,
    /// The key that it is bound to.
    key: Option<Arc<ProofKey>>,
    pub(super) owed: (Secret, TokenKind),
}

impl Transaction {
    /// Puts a new password by the recovery's token, once, and ends the recovery when that is done, whoever is still waiting.
    pub(in crate::flow) async fn put_password(self: &Arc<Self>, turn: &Arc<Turn>, body: Body) -> Result<(), Failure> {
        let transaction = Arc::clone(self);
        self.request(turn, Attempt::NewPassword, move |abandoned| async move {
            let context = &transaction.context;
            let url = format!("{}{}", context.config.issuer.as_str().trim_end_matches('/'), new_password::PATH);
            let provided = context.provided_headers(Method::Put, &url).await;
            if !transaction.is_wanted(&abandoned) {
                return Err(Failure::local(Kind::Cancelled));
            }
            let recovered = |recovered: &Recovered| (recovered.access_token.duplicate(), recovered.key.clone());
            let recovered = transaction.recovered().as_ref().map(recovered);
            let (token, key) = recovered.ok_or_else(|| Failure::local(Kind::Expired))?;
            let via = &*transaction.conversation;
            let goes_on = || transaction.is_wanted(&abandoned);
            let proven = (&token, key.as_deref());
            let mut reply = context.put_password(via, &url, provided, proven, body, goes_on).await?;
            reply.private.add(&transaction.username);
            new_password::read(&reply).map_err(|failure| failure.waiting(context.waits()))?;
            transaction.end();
            transaction.conversation.close().await;
            Ok(((), said::request_id(&reply.response, &reply.private)))
        })
        .await
    }

    /// Keeps the access token of a recovery, for as long as it lives and a user may need.
    pub(super) fn recovered_by(self: &Arc<Self>, tokens: TokenAnswer, key: Option<Arc<ProofKey>>) -> ResetPassword {
        let lifetime = Duration::from_secs(u64::try_from(tokens.lifetime_secs).unwrap_or_default());
        let life = lifetime.min(RECOVERY_LIFE);
        let expires_at = self.context.env.clock.wall().plus(life).to_system_time();
        let owed = session::newest(&tokens);
        let key = key.filter(|_| tokens.is_bound);
        *self.recovered() = Some(Recovered { access_token: tokens.access_token, key, owed });
        self.second_factor().take();
        self.prompts().codes.clear();
        self.end_after(life);
        ResetPassword::new(self, expires_at)
    }

    pub(super) fn recovered(&self) -> MutexGuard<'_, Option<Recovered>> {
        self.recovered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
