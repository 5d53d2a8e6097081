//! A passkey: the challenge for the platform's ceremony, and its one answer. protocol.md §1.6, rows 170–185.

use core::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use super::steps::{ChooseFactor, Prompt, Step, start};
use super::transaction::Transaction;
use crate::audit::Attempt;
use crate::config::Factor;
use crate::error::{Error, Kind};
use crate::wire::answer::{Failure, Leg, Why};
use crate::wire::passkey::{PasskeyChallenge, parse_assertion};
use crate::wire::requests;

/// The server asks for a passkey (WebAuthn).
///
/// Hand [`request_json`](UsePasskey::request_json) to the platform and its answer to [`answer`](UsePasskey::answer): on
/// Android `GetPublicKeyCredentialOption` of the CredentialManager, on Apple systems
/// `ASAuthorizationPlatformPublicKeyCredentialProvider` with the members of the request. If the user dismisses the platform's
/// sheet, or has no passkey here, nothing was sent and the step stays usable; [`choice`](UsePasskey::choice) leads to another
/// factor.
pub struct UsePasskey {
    prompt: Prompt,
    /// On the heap, to keep steps small.
    asked: Box<Asked>,
}

struct Asked {
    challenge: PasskeyChallenge,
    request_json: String,
    enrolled: Vec<EnrolledPasskey>,
}

/// One of the user's passkeys, as the server knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EnrolledPasskey {
    /// The credential id, base64url.
    pub id: String,
    /// What the user called it. **Untrusted** text of at most 256 characters (row 185).
    pub name: String,
}

impl UsePasskey {
    pub(super) fn new(transaction: &Arc<Transaction>, leg: Option<u8>, challenge: PasskeyChallenge) -> Self {
        let enrolled =
            challenge.enrolled.iter().map(|(id, name)| EnrolledPasskey { id: id.clone(), name: name.clone() });
        let (enrolled, request_json) = (enrolled.collect(), challenge.request_json());
        Self {
            prompt: Prompt::new(transaction, Factor::Passkey, leg, None, challenge.timeout),
            asked: Box::new(Asked { challenge, request_json, enrolled }),
        }
    }

    /// `PublicKeyCredentialRequestOptionsJSON` (WebAuthn Level 3 §5.5), for one ceremony. Its relying party is the issuer's
    /// host or a configured one.
    pub fn request_json(&self) -> &str {
        &self.asked.request_json
    }

    /// The user's passkeys, if the server lists them.
    pub fn enrolled(&self) -> &[EnrolledPasskey] {
        &self.asked.enrolled
    }

    /// When the challenge ends, on the device's wall clock.
    pub fn expires_at(&self) -> SystemTime {
        self.prompt.expires_at
    }

    /// Sends what the platform has signed, once (protocol.md §1.6).
    ///
    /// `response_json` is its `AuthenticationResponseJSON` (WebAuthn Level 3 §5.1). A challenge is answered once: whatever the
    /// server says, this step is spent after it, and [`renew`](UsePasskey::renew) asks for another challenge.
    ///
    /// # Errors
    /// [`Kind::Passkey`]: it cannot be the answer to this challenge; nothing was sent. [`Kind::Rejected`]: the server does not
    /// accept it. [`Kind::Expired`]: the challenge is over; [`renew`](UsePasskey::renew) it. [`Kind::RateLimited`], and
    /// [`Kind::Network`] without `maybe_sent`: the same answer may be sent again. Otherwise as [`ChooseFactor`].
    pub async fn answer(&self, response_json: &str) -> Result<Step, Error> {
        let (prompt, transaction) = (&self.prompt, &self.prompt.transaction);
        let turn = prompt.turn()?;
        if prompt.is_over() {
            prompt.spend();
            return Err(transaction.error(Kind::Expired));
        }
        let assertion = parse_assertion(response_json, &self.asked.challenge)
            .map_err(|problem| transaction.error(Kind::Passkey { problem }))?;
        transaction.pace().await?;
        let body = match prompt.leg {
            Some(_) => transaction
                .with_mfa_token(|token| requests::passkey(&transaction.common, &assertion, Some(token)))
                .map_err(|failure| transaction.failed(failure))?,
            None => requests::passkey(&transaction.common, &assertion, None),
        };
        match transaction.exchange(&turn, Leg::Entered, Attempt::Passkey, body).await {
            Ok(step) => {
                prompt.spend();
                Ok(step)
            }
            Err(Failure { why: Why::MoreAssurance(asked), .. }) => {
                prompt.spend();
                transaction.more_assurance(asked)
            }
            Err(failure) => {
                if !is_unused(&failure.why) {
                    prompt.spend();
                }
                Err(prompt.failed(failure))
            }
        }
    }

    /// Asks for another challenge, for another ceremony; this step is spent when that succeeded.
    ///
    /// # Errors
    /// As the method that led here.
    pub async fn renew(&self) -> Result<Step, Error> {
        let prompt = &self.prompt;
        let turn = prompt.turn_anew()?;
        let step = start(&prompt.transaction, &turn, Factor::Passkey, prompt.leg).await?;
        prompt.spend();
        Ok(step)
    }

    /// Back to the choice of factors, if this is a second factor.
    pub fn choice(&self) -> Option<ChooseFactor> {
        self.prompt.choice()
    }

    /// Ends the sign-in: nothing more is sent, its secrets are wiped, and tokens that still arrive are revoked. If its
    /// session is being stored at this moment, it is signed in, and the call that waits gives the session.
    pub fn cancel(&self) {
        self.prompt.transaction.cancel();
    }
}

/// Whether the server surely has not looked at the assertion.
fn is_unused(why: &Why) -> bool {
    matches!(
        why,
        Why::RateLimited(_)
            | Why::NoAnswer { maybe_acted: false, .. }
            | Why::Fatal(Kind::Cancelled | Kind::KeyUnavailable { .. })
    )
}

impl fmt::Debug for UsePasskey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UsePasskey").field("enrolled", &self.asked.enrolled.len()).finish_non_exhaustive()
    }
}
