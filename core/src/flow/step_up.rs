//! More assurance for a session: a sign-in of its own user whose tokens take the place of the session's. RFC 9470; protocol.md
//! §6.5, rows 336–340.

use std::sync::Arc;

use super::sign_in::SignIn;
use super::transaction::Purpose;
use crate::session::{Session, StepUpDemand};

impl Session {
    /// A sign-in of this session's user that reaches what a resource server demands
    /// ([`Advice::StepUp`](crate::Advice::StepUp)): choose the first factor. Nothing is sent until one of its methods is called.
    ///
    /// When it succeeds, [`Step::SignedIn`](crate::Step::SignedIn) brings *this* session: its id and all its handles stay, its
    /// tokens are the new ones, and the grant of the old ones is revoked. If it fails, is cancelled or dropped, the session is
    /// what it was (row 340). Who has signed in as somebody else gets [`TokenCheck::Subject`](crate::error::TokenCheck::Subject),
    /// and those tokens are revoked (row 339).
    ///
    /// Besides the errors of [`SignIn`], its methods can give [`Kind::SessionEnded`](crate::Kind::SessionEnded) (the session
    /// is over, or ended meanwhile) and [`Kind::Unsupported`](crate::Kind::Unsupported) (in a process with
    /// [`RefreshPolicy::Never`](crate::RefreshPolicy::Never) and without a lock, which does not write sessions).
    pub fn step_up(&self, demand: &StepUpDemand) -> SignIn {
        let username = self.username();
        let username = Some(username.as_str()).filter(|username| !username.is_empty());
        let context = self.context();
        let purpose = Purpose::StepUp(self.clone());
        let mut sign_in = SignIn::with(Arc::clone(context), Arc::clone(&context.sign_ins), username, purpose);
        sign_in = sign_in.acr_values(demand.acr_values.iter().cloned());
        match demand.max_age {
            Some(age) => sign_in.max_age(age),
            None => sign_in,
        }
    }
}
