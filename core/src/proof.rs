//! Proofs that a request comes from whoever has the session's key: which key, which nonce, and when one more is sent.
//!
//! RFC 9449; protocol.md §3 and rows 262–279. What is signed is decided in `jose::dpop`; this asks keys, clock and randomness.
//! A proof is made for one send and never sent twice.

use core::time::Duration;
use std::collections::VecDeque;
use std::sync::Arc;

use futures_channel::oneshot;
use futures_util::future::{Either, select};

use crate::config::DPoP;
use crate::context::{Context, in_background};
use crate::env::{BoxFuture, SigningKey, SoftwareKey};
use crate::error::{Code, KeyProblem, Kind, Unsupported};
use crate::jose::dpop::{self, Claims, PublicKey, Thumbprint};
use crate::secret::Secret;
use crate::wire::answer::Leg;
use crate::wire::metadata::Metadata;

/// The key that a session's tokens are bound to (RFC 9449 §5).
pub(crate) enum ProofKey {
    /// The private key itself.
    Software(Secret),
    /// A key of the platform, by its name, and the thumbprint that it must have (RFC 7638).
    Platform { name: String, thumbprint: Thumbprint },
}

impl ProofKey {
    pub(crate) fn duplicate(&self) -> Self {
        match self {
            Self::Software(key) => Self::Software(key.duplicate()),
            Self::Platform { name, thumbprint } => Self::Platform { name: name.clone(), thumbprint: *thumbprint },
        }
    }

    /// Whether it is the same key.
    pub(crate) fn is(&self, other: &Self) -> bool {
        match (self, other) {
            // EXPOSE: compared.
            (Self::Software(one), Self::Software(other)) => one.expose() == other.expose(),
            (
                Self::Platform { name, thumbprint },
                Self::Platform { name: other_name, thumbprint: other_thumbprint },
            ) => name == other_name && thumbprint == other_thumbprint,
            _ => false,
        }
    }
}

/// The last nonces, each of the server that it came from: the authorization server's is none for resources (§9).
#[derive(Default)]
pub(crate) struct Nonces {
    server: Option<String>,
    /// By origin, the newest last.
    resources: VecDeque<(String, String)>,
}

/// How many resource servers' nonces are remembered.
const MAX_RESOURCES: usize = 32;

impl Nonces {
    pub(crate) fn server(&self) -> Option<&str> {
        self.server.as_deref()
    }

    pub(crate) fn resource(&self, origin: &str) -> Option<&str> {
        self.resources.iter().find(|(known, _)| known == origin).map(|(_, nonce)| nonce.as_str())
    }

    /// What an answer of the authorization server brought, if it brought one that can be used.
    pub(crate) fn heard(&mut self, nonce: Option<&str>) {
        if let Some(nonce) = nonce.filter(|nonce| dpop::is_nonce(nonce)) {
            self.server = Some(nonce.to_owned());
        }
    }

    /// The same of a resource server.
    pub(crate) fn heard_from(&mut self, origin: &str, nonce: &str) {
        if !dpop::is_nonce(nonce) {
            return;
        }
        self.resources.retain(|(known, _)| known != origin);
        if self.resources.len() >= MAX_RESOURCES {
            self.resources.pop_front();
        }
        self.resources.push_back((origin.to_owned(), nonce.to_owned()));
    }
}

/// What a proof is for.
pub(crate) struct For<'a> {
    pub(crate) method: &'a str,
    pub(crate) url: &'a str,
    pub(crate) nonce: Option<String>,
    /// The access token that goes with it.
    pub(crate) access_token: Option<&'a Secret>,
}

/// The value of one `DPoP` header.
pub(crate) struct Proof {
    pub(crate) value: Secret,
    pub(crate) nonce: Option<String>,
}

/// Whether a token request may be sent once more, with another proof: what the server says of the first one, and the nonces
/// that this carried and that came back. A wrong proof is mended for what no user has typed (rows 262–270).
pub(crate) fn may_send_again(leg: Leg, error: &str, carried: Option<&str>, came: Option<&str>) -> bool {
    match error {
        "use_dpop_nonce" => came.is_some_and(dpop::is_nonce) && came != carried,
        "invalid_dpop_proof" => matches!(leg, Leg::Poll | Leg::Refresh),
        _ => false,
    }
}

/// Whether a sign-in shows a key: what the app wants, and what the server says that it can verify.
pub(crate) fn is_shown(wanted: DPoP, metadata: &Metadata) -> Result<bool, Kind> {
    let can = metadata.dpop_algs.as_ref().is_none_or(|algs| algs.iter().any(|alg| alg == "ES256"));
    match wanted {
        DPoP::Off => Ok(false),
        DPoP::Preferred => Ok(can),
        DPoP::Required if can => Ok(true),
        DPoP::Required => Err(Kind::Unsupported { what: Unsupported::DPoP }),
    }
}

/// Platform calls that may be under way at once; each holds a thread.
const MAX_CALLS: usize = 16;
const MAX_DEADLINE: Duration = Duration::from_secs(300);
const PREFIX: &str = "dpop.";

impl Context {
    /// A new key for a sign-in: the platform's if it has any, otherwise one in software.
    pub(crate) async fn new_proof_key(self: &Arc<Self>, id: &Code) -> Result<ProofKey, Kind> {
        if self.signer.is_some() {
            let name = format!("{PREFIX}{id}");
            // Whoever asked may have gone away, or not have waited so long: then it is nobody's.
            let (wanted, is_wanted) = oneshot::channel::<()>();
            let create = |signer: Arc<dyn SigningKey>, name: String| -> BoxFuture<'static, _> {
                Box::pin(async move {
                    let made = signer.create(&name).await;
                    if wanted.is_canceled() {
                        let _ = signer.delete(&name).await;
                    }
                    made
                })
            };
            let made = self.of_platform(name.clone(), create).await;
            drop(is_wanted);
            match made {
                Err(KeyProblem::Unsupported) => {}
                Err(reason) => return Err(Kind::KeyUnavailable { reason }),
                Ok(public) => {
                    let Some(public) = PublicKey::parse(&public) else {
                        self.forget_key(Some(ProofKey::Platform { name, thumbprint: Thumbprint::default() }));
                        return Err(unsuitable());
                    };
                    return Ok(ProofKey::Platform { name, thumbprint: public.thumbprint() });
                }
            }
        }
        SoftwareKey::generate().map(|(_, text)| ProofKey::Software(text)).ok_or(Kind::Internal)
    }

    /// A proof for one send.
    pub(crate) async fn prove(&self, key: &ProofKey, request: For<'_>) -> Result<Proof, Kind> {
        let id = self.random_id().ok_or(Kind::Internal)?;
        let url = dpop::target(request.url).ok_or(Kind::Internal)?;
        let For { method, nonce, access_token, .. } = request;
        let claims = Claims {
            id: id.as_str(),
            method,
            url: &url,
            issued_at: self.server_now(),
            nonce: nonce.as_deref(),
            // EXPOSE: hashed.
            access_token: access_token.map(Secret::expose),
        };
        let value = match key {
            ProofKey::Software(text) => {
                let broken = || Kind::KeyUnavailable { reason: KeyProblem::Destroyed };
                let pair = SoftwareKey::open(text).ok_or_else(broken)?;
                let public = PublicKey::parse(pair.public_key()).ok_or_else(broken)?;
                let input = dpop::signing_input(&public, &claims).ok_or(Kind::Internal)?;
                let signature = pair.sign(input.as_bytes()).ok_or(Kind::Internal)?;
                dpop::signed(&public, &input, &signature).ok_or(Kind::Internal)?
            }
            ProofKey::Platform { name, thumbprint } => self.prove_by_platform(name, thumbprint, &claims).await?,
        };
        Ok(Proof { value: Secret::new(value), nonce })
    }

    async fn prove_by_platform(
        &self,
        name: &str,
        thumbprint: &Thumbprint,
        claims: &Claims<'_>,
    ) -> Result<String, Kind> {
        let unavailable = |reason| Kind::KeyUnavailable { reason };
        let ask = |signer: Arc<dyn SigningKey>, name: String| -> BoxFuture<'static, _> {
            Box::pin(async move { signer.public_key(&name).await })
        };
        let public = self.of_platform(name.to_owned(), ask).await.map_err(unavailable)?;
        let public = PublicKey::parse(&public).ok_or(unsuitable())?;
        if public.thumbprint() != *thumbprint {
            return Err(unavailable(KeyProblem::Changed));
        }
        let input = dpop::signing_input(&public, claims).ok_or(Kind::Internal)?;
        let message = input.clone();
        let sign = move |signer: Arc<dyn SigningKey>, name: String| -> BoxFuture<'static, _> {
            Box::pin(async move { signer.sign(&name, message.as_bytes()).await })
        };
        let signature = self.of_platform(name.to_owned(), sign).await.map_err(unavailable)?;
        dpop::signed(&public, &input, &signature).ok_or(unsuitable())
    }

    /// Destroys a key that no session uses any more, in the background. One that could not be destroyed is of no use to
    /// anybody: no token is bound to it.
    pub(crate) fn forget_key(self: &Arc<Self>, key: Option<ProofKey>) {
        let Some(ProofKey::Platform { name, .. }) = key else { return };
        let context = Arc::clone(self);
        in_background(&self.env, async move {
            let delete = |signer: Arc<dyn SigningKey>, name: String| -> BoxFuture<'static, _> {
                Box::pin(async move { signer.delete(&name).await })
            };
            let _ = context.of_platform(name, delete).await;
        });
    }

    /// One call of the platform's keys, where it may block and for as long as they say.
    async fn of_platform<T: Send + 'static>(
        &self,
        name: String,
        call: impl FnOnce(Arc<dyn SigningKey>, String) -> BoxFuture<'static, Result<T, KeyProblem>> + Send + 'static,
    ) -> Result<T, KeyProblem> {
        let signer = self.signer.as_ref().ok_or(KeyProblem::Missing)?;
        if Arc::strong_count(&self.key_calls) > MAX_CALLS {
            return Err(KeyProblem::Transient);
        }
        let (signer, under_way) = (Arc::clone(signer), Arc::clone(&self.key_calls));
        let deadline = signer.call_deadline().min(MAX_DEADLINE);
        let (done, result) = oneshot::channel();
        self.env.spawner.spawn_blocking(Box::pin(async move {
            let answer = call(signer, name).await;
            drop(under_way);
            let _ = done.send(answer);
        }));
        match select(result, self.env.clock.sleep(deadline)).await {
            Either::Left((result, _)) => result.unwrap_or(Err(KeyProblem::Transient)),
            Either::Right(_) => Err(KeyProblem::Transient),
        }
    }
}

/// The platform's signature or public key is none on P-256.
fn unsuitable() -> Kind {
    Kind::KeyUnavailable { reason: KeyProblem::Unsupported }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonces_belong_to_where_they_came_from() {
        let mut nonces = Nonces::default();
        nonces.heard(Some("as-1"));
        nonces.heard_from("https://a.example", "a-1");
        nonces.heard_from("https://b.example", "b-1");
        nonces.heard_from("https://a.example", "a-2");
        nonces.heard_from("https://c.example", "not one\n");
        nonces.heard(Some("not one"));
        nonces.heard(None);
        assert_eq!(nonces.server(), Some("as-1"), "row 275");
        assert_eq!(nonces.resource("https://a.example"), Some("a-2"));
        assert_eq!(nonces.resource("https://b.example"), Some("b-1"));
        assert_eq!(nonces.resource("https://c.example"), None);
        for n in 0..100 {
            nonces.heard_from(&format!("https://{n}.example"), "n");
        }
        assert_eq!(nonces.resources.len(), MAX_RESOURCES);
        assert_eq!(nonces.resource("https://99.example"), Some("n"));
        assert_eq!(nonces.resource("https://a.example"), None);
    }

    #[test]
    fn when_one_more_is_sent() {
        for (row, leg, error, carried, came, expected) in [
            (262, Leg::Entered, "use_dpop_nonce", None, Some("n"), true),
            (262, Leg::Entered, "use_dpop_nonce", Some("old"), Some("n"), true),
            (262, Leg::Poll, "use_dpop_nonce", None, Some("n"), true),
            (262, Leg::Refresh, "use_dpop_nonce", None, Some("n"), true),
            (263, Leg::Entered, "use_dpop_nonce", None, None, false),
            (263, Leg::Entered, "use_dpop_nonce", None, Some("not one"), false),
            (264, Leg::Refresh, "use_dpop_nonce", Some("n"), Some("n"), false),
            (269, Leg::Entered, "invalid_dpop_proof", None, Some("n"), false),
            (269, Leg::Poll, "invalid_dpop_proof", None, None, true),
            (270, Leg::Refresh, "invalid_dpop_proof", None, None, true),
            (0, Leg::Refresh, "invalid_grant", None, Some("n"), false),
        ] {
            assert_eq!(may_send_again(leg, error, carried, came), expected, "row {row}: {leg:?} {error}");
        }
    }
}
