//! Signing a user in: the first credential, then the steps that the server's answers lead to.
//!
//! protocol.md §2. Each step offers the legal next actions and no others. A failure that the user can mend is an error,
//! and the step in hand stays usable; an action that succeeded gives the next step.

mod cancel;
mod input;
mod passkey;
mod poll;
mod recovery;
mod registry;
mod second_factor;
mod sign_in;
mod step_up;
mod steps;
mod throttle;
mod transaction;

pub use passkey::{EnrolledPasskey, UsePasskey};
pub(crate) use recovery::Organization;
pub use recovery::{Recovery, ResetPassword};
pub(crate) use registry::SignIns;
pub use sign_in::SignIn;
pub use steps::{ApproveOnDevice, ChooseFactor, EnterCode, Step};

use std::sync::Arc;

use crate::context::Context;

/// Prepares a connection, the metadata and the keys for the next sign-in.
pub(crate) async fn warm_up(context: &Arc<Context>, sign_ins: &Arc<SignIns>) {
    transaction::warm_up(context, sign_ins).await;
}
