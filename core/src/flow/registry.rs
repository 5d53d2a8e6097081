//! The sign-ins of a client: one for each user at a time, a warmed connection for the next, and what was sent to whom.

use core::time::Duration;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::throttle::{Attempts, Sends};
use super::transaction::Transaction;
use crate::config::Factor;
use crate::context::{Context, in_background};
use crate::env::{BootInstant, Conversation};
use crate::error::Kind;

#[derive(Default)]
pub(crate) struct SignIns {
    running: Mutex<HashMap<String, Weak<Transaction>>>,
    warm: Mutex<Option<(Arc<dyn Conversation>, BootInstant)>>,
    sends: Mutex<Sends>,
    attempts: Mutex<Attempts>,
}

/// A pause that a user hardly notices is waited for; a longer one is told.
const SHORT_PAUSE: Duration = Duration::from_secs(1);
/// A prepared connection waits this long for the sign-in.
const WARM_LIFE: Duration = Duration::from_secs(60);

impl SignIns {
    /// Takes the place of the user's earlier sign-in, which is cancelled; `Busy` while a request of it is on the wire.
    pub(super) fn enter(&self, new: &Arc<Transaction>) -> Result<(), Kind> {
        let earlier = {
            let mut running = lock(&self.running);
            let earlier = running.get(&new.username).and_then(Weak::upgrade);
            if earlier.as_ref().is_some_and(|earlier| !earlier.stop_unless_on_the_wire()) {
                return Err(Kind::Busy);
            }
            running.retain(|_, transaction| transaction.strong_count() > 0);
            running.insert(new.username.clone(), Arc::downgrade(new));
            earlier
        };
        if let Some(earlier) = earlier {
            earlier.cancel();
        }
        Ok(())
    }

    /// A sign-in that has ended keeps no place.
    pub(super) fn leave(&self, transaction: &Transaction) {
        let mut running = lock(&self.running);
        if running.get(&transaction.username).is_some_and(|known| core::ptr::eq(known.as_ptr(), transaction)) {
            running.remove(&transaction.username);
        }
    }

    pub(super) fn take_warm(&self, now: BootInstant) -> Option<Arc<dyn Conversation>> {
        let (conversation, until) = lock(&self.warm).take()?;
        (now < until).then_some(conversation)
    }

    pub(super) fn keep_warm(self: &Arc<Self>, context: &Context, conversation: Arc<dyn Conversation>) {
        let until = context.env.clock.boot().plus(WARM_LIFE);
        *lock(&self.warm) = Some((conversation, until));
        let this = Arc::downgrade(self);
        let timer = context.env.clock.sleep(WARM_LIFE);
        in_background(&context.env, async move {
            timer.await;
            if let Some(this) = this.upgrade() {
                lock(&this.warm).take_if(|(_, its)| *its == until);
            }
        });
    }

    /// Whether `factor` may be sent to the user now.
    pub(super) fn may_send(&self, context: &Context, username: &str, factor: Factor) -> Result<(), Kind> {
        let (now, wall) = (context.env.clock.boot(), context.env.clock.wall());
        let allowed_at = self.sends().allowed_at(username, factor, now);
        if allowed_at > now {
            return Err(Kind::RateLimited { retry_at: wall.plus(allowed_at.since(now)).to_system_time() });
        }
        Ok(())
    }

    /// How long to wait before the user's next first factor: a moment, or an error if it is more than that.
    pub(super) fn may_try(&self, context: &Context, username: &str) -> Result<Duration, Kind> {
        let (now, wall) = (context.env.clock.boot(), context.env.clock.wall());
        let pause = self.attempts().first_factor_at(username, now).since(now);
        if pause > SHORT_PAUSE {
            return Err(Kind::RateLimited { retry_at: wall.plus(pause).to_system_time() });
        }
        Ok(pause)
    }

    pub(super) fn attempts(&self) -> MutexGuard<'_, Attempts> {
        lock(&self.attempts)
    }

    pub(super) fn sends(&self) -> MutexGuard<'_, Sends> {
        lock(&self.sends)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
