//! A refresh token on its way to the server, and the answer: of a refresh, and of an import. docs/sessions.md §5.4.

use super::engine::Engine;
use super::is_in_use;
use crate::audit::{SecurityEvent, Trail};
use crate::context::{Context, Headers, Outcome, Proven, TokenPost};
use crate::env::BootInstant;
use crate::error::{Kind, NetworkProblem, TokenCheck};
use crate::gate::Exclusion;
use crate::secret::Secret;
use crate::wire::answer::{Failure, Leg, Reply, Why};
use crate::wire::metadata::Metadata;
use crate::wire::requests;
use crate::wire::said;
use crate::wire::tokens::{TokenAnswer, parse_tokens};

/// What is sent.
pub(super) struct Presented<'a> {
    pub(super) metadata: &'a Metadata,
    pub(super) token: &'a Secret,
    pub(super) scope: &'a str,
    /// The session that it belongs to, if there is one already.
    pub(super) own: Option<&'a Engine>,
}

/// What one send of it has of its own.
pub(super) struct OneSend<'a> {
    pub(super) provided: Headers,
    /// By the key that its tokens are bound to, or are to be.
    pub(super) proven: Option<Proven<'a>>,
    /// When it was sent for the first time, or is about to be: it is not sent later than the window after that.
    pub(super) since: BootInstant,
    /// Whether a key of the platform is asked for another proof at once. Otherwise that is for a round of its own.
    pub(super) may_ask_again: bool,
}

pub(super) type Answer = Result<(TokenAnswer, Reply), Failure>;

/// Sends it once. What came and cannot be used is a lost answer.
pub(super) async fn present(
    context: &Context,
    trail: Trail<'_>,
    presented: &Presented<'_>,
    OneSend { provided, proven, since, may_ask_again }: OneSend<'_>,
    exclusion: &Exclusion,
) -> Answer {
    let via = context.env.transport.background();
    // EXPOSE: written into the request body, which wipes itself after its one send.
    let body = requests::refresh(
        &context.config.client_id,
        presented.token.expose(),
        presented.scope,
        &context.config.additional,
    );
    let url = presented.metadata.token_endpoint.as_str();
    let (has_key, deadline) = (proven.is_some(), context.timing().answer);
    let post = TokenPost { via: &*via, url, leg: Leg::Refresh, deadline, may_ask_again };
    // Who has lost the lock does not know who else has sent it meanwhile.
    let clock = &context.env.clock;
    // Without a window a refused proof still has its second, within the one send's deadline.
    let limit = context.timing().window.max(deadline);
    let goes_on = || {
        let is_in_time = clock.boot().since(since) < limit;
        let is_alive = presented.own.is_none_or(|own| own.alive().is_ok());
        let interrupted = Kind::Network { kind: NetworkProblem::Interrupted, maybe_sent: false };
        if exclusion.is_whole() && is_alive && is_in_time { Ok(()) } else { Err(interrupted) }
    };
    let reply = context.post_token(post, provided, body, proven, goes_on).await;
    let mut reply = reply.map_err(Failure::lost_if_unusable)?;
    reply.private.add(trail.user);
    let answer = context.read(&reply, Leg::Refresh).map_err(Failure::lost_if_unusable);
    let mut answer = if has_key { answer.map_err(|failure| failure.with_proof(Leg::Refresh))? } else { answer? };
    let tokens = parse_tokens(&mut answer, has_key).map_err(|kind| Failure::after(&reply, kind).lost())?;
    if is_in_use(context, &tokens.access_token, presented.own) {
        // Meant for another session (row 100): nothing of it is ours, and our own answer is lost.
        context.auditor.security(trail, SecurityEvent::AccessTokenReused);
        let kind = Kind::TokenRejected { check: TokenCheck::AccessTokenReused };
        return Err(Failure::after(&reply, kind).lost());
    }
    Ok((tokens, reply))
}

/// Whether the server may have acted, and nobody knows.
pub(super) fn is_lost(answer: &Answer) -> bool {
    matches!(answer, Err(Failure { why: Why::NoAnswer { maybe_acted: true, .. }, .. }))
}

/// What an audit event says of it.
pub(super) fn outcome(answer: &Answer) -> Outcome {
    let request_id = |reply: &Reply| said::request_id(&reply.response, &reply.private);
    Outcome::of(answer.as_ref().map(|(_, reply)| (reply.response.status, request_id(reply))))
}
