//! Nothing unvalidated is released: the tokens of an answer become usable here or nowhere. protocol.md §6.2.

use std::sync::Arc;

use crate::config::{Assurance, Profile};
use crate::context::{Context, ServerTime};
use crate::discovery::Discovery;
use crate::env::{BootInstant, Conversation};
use crate::error::{Kind, TokenCheck};
use crate::jose::id_token::{Age, AtHash, Expect, IdTokenClaims};
use crate::jose::jwks::KeySet;
use crate::jose::jws::Algorithm;
use crate::jose::{Verdict, check_id_token};
use crate::secret::Secret;
use crate::wire::metadata::Metadata;
use crate::wire::tokens::TokenAnswer;

/// What the tokens of an answer are held against.
pub(crate) struct Occasion<'a> {
    pub(crate) metadata: &'a Arc<Metadata>,
    /// The keys that were fetched before the credential was sent (row 214).
    pub(crate) keys: Option<&'a Arc<KeySet>>,
    /// The server's clock in the answer that brought the tokens, and when that was.
    pub(crate) server: ServerTime,
    pub(crate) received: BootInstant,
    /// Whether an ID token has to be there (`openid` was asked for, and this is no refresh: rows 91, 261).
    pub(crate) id_token_required: bool,
    /// Whether one is used at all (row 92).
    pub(crate) id_token_wanted: bool,
    /// The claims that a refresh must not change.
    pub(crate) previous: Option<&'a IdTokenClaims>,
    /// What the sign-in had to reach.
    pub(crate) assurance: &'a Assurance,
}

/// The validated claims, or `None` if the answer rightly has no ID token. Fetches the keys if they are not at hand.
pub(crate) async fn validate(
    context: &Arc<Context>,
    via: &Arc<dyn Conversation>,
    tokens: &TokenAnswer,
    occasion: &Occasion<'_>,
) -> Result<Option<IdTokenClaims>, Kind> {
    let Some(id_token) = expected(tokens, occasion)? else { return Ok(None) };
    let unreachable = |_| rejected(TokenCheck::KeysUnreachable);
    let mut keys = match occasion.keys {
        Some(keys) => Arc::clone(keys),
        None => Discovery::keys(context, via, occasion.metadata).await.map_err(unreachable)?,
    };
    let check = |keys: &KeySet| examine(context, id_token, tokens, occasion, keys);
    let mut verdict = check(&keys);
    // First what somebody else has fetched meanwhile, then a fetch for this token (row 205).
    for _ in 0..2 {
        if !matches!(verdict, Verdict::UnknownKey) {
            break;
        }
        let Some(others) = Discovery::keys_anew(context, via, occasion.metadata, &keys).await.map_err(unreachable)?
        else {
            break;
        };
        keys = others;
        verdict = check(&keys);
    }
    conclude(verdict)
}

/// As [`validate`], with the keys at hand only, at once: for an answer that has to be stored first.
pub(crate) fn validate_at_hand(
    context: &Context,
    tokens: &TokenAnswer,
    occasion: &Occasion<'_>,
) -> Result<Option<IdTokenClaims>, Kind> {
    let Some(id_token) = expected(tokens, occasion)? else { return Ok(None) };
    let keys = occasion.keys.ok_or_else(|| rejected(TokenCheck::KeysUnreachable))?;
    conclude(examine(context, id_token, tokens, occasion, keys))
}

fn rejected(check: TokenCheck) -> Kind {
    Kind::TokenRejected { check }
}

/// The ID token that is to be validated, if there has to be one or one is used.
fn expected<'a>(tokens: &'a TokenAnswer, occasion: &Occasion<'_>) -> Result<Option<&'a Secret>, Kind> {
    match &tokens.id_token {
        Some(token) if occasion.id_token_wanted => Ok(Some(token)),
        _ if occasion.id_token_required => Err(rejected(TokenCheck::IdTokenMissing)),
        _ => Ok(None),
    }
}

fn examine(
    context: &Context,
    id_token: &Secret,
    tokens: &TokenAnswer,
    occasion: &Occasion<'_>,
    keys: &KeySet,
) -> Verdict {
    // Time went by since the answer came: keys may have been fetched, the process may have slept.
    let since = context.env.clock.boot().since(occasion.received);
    let now = occasion.server.at.saturating_add(i64::try_from(since.as_secs()).unwrap_or(i64::MAX));
    let expect = Expect {
        issuer: &occasion.metadata.issuer,
        client_id: context.config.client_id.as_str(),
        // EXPOSE: hashed, and compared with `at_hash`.
        access_token: Some(tokens.access_token.expose()),
        at_hash: match context.config.profile {
            Profile::Okta => AtHash::Required,
            // Optional at a token endpoint (OpenID Connect Core §3.1.3.6).
            Profile::Oidc => AtHash::IfPresent,
        },
        now,
        nonce: None,
        max_age: occasion.assurance.max_age,
        acr_values: &occasion.assurance.acr_values,
        age: if occasion.previous.is_some() { Age::Refreshed } else { Age::Fresh },
        previous: occasion.previous,
    };
    // EXPOSE: parsed and its signature verified.
    check_id_token(id_token.expose(), keys, &allowed(occasion.metadata), &expect)
}

fn conclude(verdict: Verdict) -> Result<Option<IdTokenClaims>, Kind> {
    match verdict {
        Verdict::Valid(claims) => Ok(Some(claims)),
        Verdict::UnknownKey => Err(rejected(TokenCheck::KeyId)),
        Verdict::Rejected(check) => Err(rejected(check)),
    }
}

/// RS256, which the metadata can only take away (row 199).
fn allowed(metadata: &Metadata) -> Vec<Algorithm> {
    let named = |alg: Algorithm| {
        metadata.id_token_algs.as_ref().is_none_or(|list| list.iter().any(|known| known == alg.name()))
    };
    [Algorithm::Rs256].into_iter().filter(|alg| named(*alg)).collect()
}
