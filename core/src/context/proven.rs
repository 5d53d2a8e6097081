//! Requests that carry a proof: made before the send, and made again when the server wants another one. protocol.md §3.

use core::time::Duration;
use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::{MutexGuard, PoisonError};

use zeroize::Zeroizing;

use super::{Context, Headers};
use crate::config::Origin;
use crate::env::{Conversation, HeaderValue, HttpResponse, Method};
use crate::error::Kind;
use crate::proof::{For, Nonces, Proof, ProofKey, may_send_again};
use crate::secret::Secret;
use crate::session::TokenHash;
use crate::wire::answer::{self, Failure, Leg, Reply};
use crate::wire::challenges::{Challenge, challenges};
use crate::wire::form::Body;
use crate::wire::new_password;

/// Where and how a form goes to the token endpoint.
pub(crate) struct TokenPost<'a> {
    pub(crate) via: &'a dyn Conversation,
    pub(crate) url: &'a str,
    pub(crate) leg: Leg,
    pub(crate) deadline: Duration,
    /// Whether a key of the platform is asked for another proof while the caller waits.
    pub(crate) may_ask_again: bool,
}

/// A key, and the proof by it for one send: made before, for a key of the platform may ask the user.
pub(crate) type Proven<'a> = (&'a ProofKey, Proof);

/// What authorizes one request to a resource.
pub(crate) struct Authorization {
    pub(crate) value: Secret,
    pub(crate) proof: Option<Proof>,
}

/// Less time is not enough for one more request.
const LEAST_DEADLINE: Duration = Duration::from_secs(1);

impl Context {
    /// Posts a form to the token endpoint, with a proof if one is given. A server that wants another nonce, or does not like the
    /// proof of what no user has typed, is sent the same form once more, within the same time limit, if the caller still wants it.
    pub(crate) async fn post_token(
        &self,
        post: TokenPost<'_>,
        provided: Headers,
        body: Body,
        proven: Option<Proven<'_>>,
        goes_on: impl Fn() -> Result<(), Kind>,
    ) -> Result<Reply, Failure> {
        let TokenPost { via, url, leg, deadline, may_ask_again } = post;
        let Some((key, proof)) = proven else {
            return self.post_with(via, url, provided, body, deadline).await.map_err(Failure::from);
        };
        // What may have to be sent once more wipes itself too.
        let spare = body.duplicate();
        goes_on().map_err(Failure::local)?;
        let began = self.env.clock.boot();
        let carried = proof.nonce.clone();
        let reply = self.post_with(via, url, with_proof(provided, proof), body, deadline).await?;
        let came = reply.response.header("dpop-nonce");
        let again = answer::refusal(&reply).is_some_and(|error| may_send_again(leg, &error, carried.as_deref(), came));
        let may_prove = may_ask_again || matches!(key, ProofKey::Software(_));
        if !again || !may_prove || goes_on().is_err() {
            return Ok(reply);
        }
        let provided = self.provided_headers(Method::Post, url).await;
        let proof = self.prove_to_server(key, url).await.map_err(Failure::local)?;
        // A key of the platform takes its time.
        let deadline = deadline.saturating_sub(self.env.clock.boot().since(began));
        if deadline < LEAST_DEADLINE || goes_on().is_err() {
            return Ok(reply);
        }
        self.post_with(via, url, with_proof(provided, proof), spare, deadline).await.map_err(Failure::from)
    }

    /// Puts a new password, by an access token for nothing else (protocol.md §1.14).
    pub(crate) async fn put_password(
        &self,
        via: &dyn Conversation,
        url: &str,
        provided: Headers,
        (token, key): (&Secret, Option<&ProofKey>),
        mut body: Body,
        goes_on: impl Fn() -> bool,
    ) -> Result<Reply, Failure> {
        // EXPOSE: copied into a list that wipes itself, to be masked in what the server says.
        body.hide(token.expose());
        let (types, deadline) = ([new_password::ACCEPT, "application/json"], self.config.request_timeout);
        let spare = key.is_some().then(|| body.duplicate());
        let mut headers = provided;
        headers.extend(self.authorization("PUT", url, token, key).await.map_err(Failure::local)?.into_headers());
        // A key of the platform may have asked the user.
        if !goes_on() {
            return Err(Failure::local(Kind::Cancelled));
        }
        let began = self.env.clock.boot();
        let reply = self.send_body(via, Method::Put, url, headers, types, body, deadline).await?;
        let again = self.wants_another_proof(url, &reply.response) && goes_on();
        let (Some(spare), true) = (spare, again) else { return Ok(reply) };
        let mut headers = self.provided_headers(Method::Put, url).await;
        headers.extend(self.authorization("PUT", url, token, key).await.map_err(Failure::local)?.into_headers());
        let deadline = deadline.saturating_sub(self.env.clock.boot().since(began));
        if deadline < LEAST_DEADLINE || !goes_on() {
            return Ok(reply);
        }
        Ok(self.send_body(via, Method::Put, url, headers, types, spare, deadline).await?)
    }

    /// What goes with a request to a resource: the token, and a proof if it is bound to a key (RFC 9449 §7.1).
    pub(crate) async fn authorization(
        &self,
        method: &str,
        url: &str,
        token: &Secret,
        key: Option<&ProofKey>,
    ) -> Result<Authorization, Kind> {
        let Some(key) = key else {
            return Ok(Authorization { value: authorization_header("Bearer ", token), proof: None });
        };
        let nonce =
            Origin::of_request(url).and_then(|origin| self.nonces().resource(origin.as_str()).map(str::to_owned));
        let proof = self.prove(key, For { method, url, nonce, access_token: Some(token) }).await?;
        Ok(Authorization { value: authorization_header("DPoP ", token), proof: Some(proof) })
    }

    /// Remembers the nonce that a resource's answer brought; whether it is a refusal for want of that one (row 275).
    pub(crate) fn wants_another_proof(&self, url: &str, response: &HttpResponse) -> bool {
        let Some(nonce) = response.header("dpop-nonce") else { return false };
        let fields = response.headers.iter().filter(|(name, _)| name == "www-authenticate");
        let found = challenges(fields.map(|(_, value)| value.as_str()));
        self.heard_from(url, nonce) && response.status == 401 && wants_nonce(&found)
    }

    /// Remembers a resource's nonce; whether it is another one than the last.
    pub(crate) fn heard_from(&self, url: &str, nonce: &str) -> bool {
        let Some(origin) = Origin::of_request(url) else { return false };
        let mut nonces = self.nonces();
        let is_new = nonces.resource(origin.as_str()) != Some(nonce);
        nonces.heard_from(origin.as_str(), nonce);
        is_new && nonces.resource(origin.as_str()) == Some(nonce)
    }

    /// A proof for the token endpoint.
    pub(crate) async fn prove_to_server(&self, key: &ProofKey, url: &str) -> Result<Proof, Kind> {
        let nonce = self.nonces().server().map(str::to_owned);
        self.prove(key, For { method: "POST", url, nonce, access_token: None }).await
    }

    /// The same if there is a key.
    pub(crate) async fn prove_if<'a>(&self, key: Option<&'a ProofKey>, url: &str) -> Result<Option<Proven<'a>>, Kind> {
        match key {
            Some(key) => Ok(Some((key, self.prove_to_server(key, url).await?))),
            None => Ok(None),
        }
    }

    /// What an earlier run of the app has kept, if this one has heard none yet.
    pub(crate) fn seed_nonce(&self, kept: Option<&str>) {
        let mut nonces = self.nonces();
        if nonces.server().is_none() {
            nonces.heard(kept);
        }
    }

    /// Whether a proof carries the server's newest nonce.
    pub(crate) fn is_current(&self, proof: &Proof) -> bool {
        self.nonces().server() == proof.nonce.as_deref()
    }

    pub(crate) fn nonces(&self) -> MutexGuard<'_, Nonces> {
        self.nonces.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn half_imported(&self) -> MutexGuard<'_, VecDeque<(TokenHash, ProofKey)>> {
        self.half_imported.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Seconds since 1970 by the server's clock, or the device's if the server has not shown its own.
    pub(crate) fn server_now(&self) -> i64 {
        let shown = *self.server_clock.lock().unwrap_or_else(PoisonError::into_inner);
        match shown {
            Some((at, secs)) => {
                let since = self.env.clock.boot().since(at).as_secs();
                secs.saturating_add(i64::try_from(since).unwrap_or(i64::MAX))
            }
            None => self.env.clock.wall().as_secs(),
        }
    }
}

impl Authorization {
    pub(super) fn into_headers(self) -> impl Iterator<Item = (Cow<'static, str>, HeaderValue)> {
        let of = |name, value| (Cow::Borrowed(name), HeaderValue::Secret(value));
        let proof = self.proof.map(|proof| of("dpop", proof.value));
        core::iter::once(of("authorization", self.value)).chain(proof)
    }
}

/// Whether a resource asks for another nonce in the proof (RFC 9449 §9).
fn wants_nonce(found: &[Challenge]) -> bool {
    found.iter().any(|challenge| challenge.scheme == "dpop" && challenge.get("error") == Some("use_dpop_nonce"))
}

fn with_proof(mut headers: Headers, proof: Proof) -> Headers {
    headers.push((Cow::Borrowed("dpop"), HeaderValue::Secret(proof.value)));
    headers
}

/// The value of an `Authorization` header (RFC 6750 §2.1, RFC 9449 §7.1); `scheme` with its blank.
fn authorization_header(scheme: &str, token: &Secret) -> Secret {
    let mut value = Zeroizing::new(String::with_capacity(scheme.len().saturating_add(token.len())));
    value.push_str(scheme);
    // EXPOSE: written into the header's value, a buffer of exactly that size that wipes itself.
    value.push_str(token.expose());
    Secret::from(value)
}
