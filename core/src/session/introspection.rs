//! What the server says of a token that it gave out. RFC 7662; protocol.md §1.13, rows 312–313.

use super::Session;
use super::claims::Claims;
use crate::audit::{SecurityEvent, Trail};
use crate::discovery::Discovery;
use crate::error::{Code, Error, Kind, Unsupported};
use crate::wire::answer::{Failure, Leg};
use crate::wire::json::{Object, Value};
use crate::wire::requests;
use crate::wire::tokens::TokenKind;

/// Which token of a session the server is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IntrospectedToken {
    /// The access token.
    Access,
    /// The refresh token.
    Refresh,
}

/// The server's answer. It ends nothing: only the token endpoint's refusal of the newest refresh token does (row 312).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Introspection {
    /// Whether the token works now.
    pub is_active: bool,
    /// What else it says (RFC 7662 §2.2), of an active token. **Untrusted** text.
    pub claims: Option<Claims>,
}

/// Whose token it has to be.
struct Owner<'a> {
    client_id: &'a str,
    subject: Option<&'a str>,
    username: &'a str,
}

/// Whether the answer is about this client and user (row 313). Okta's `sub` of an access token is the user's name, and `uid`
/// its subject.
fn is_about(answer: &Object, owner: &Owner<'_>) -> bool {
    let is_client = answer.str("client_id").is_none_or(|client| client == owner.client_id);
    let named: Vec<&str> = ["sub", "uid", "username"].into_iter().filter_map(|name| answer.str(name)).collect();
    let is_user = |name: &&str| owner.subject == Some(*name) || name.eq_ignore_ascii_case(owner.username);
    is_client && (named.is_empty() || named.iter().any(is_user))
}

impl Session {
    /// Asks the server whether a token still works (RFC 7662, protocol.md §1.13). One request.
    ///
    /// An answer that names another client or user counts as inactive, with the event
    /// [`SecurityEvent::IntrospectionMismatch`].
    ///
    /// # Errors
    /// [`Kind::Unsupported`]: the server has no such endpoint. [`Kind::ReauthRequired`] with `no_refresh_token`: it is asked about
    /// a refresh token that the session has not. [`Kind::SessionEnded`], [`Kind::Network`], [`Kind::Server`],
    /// [`Kind::RateLimited`], [`Kind::Configuration`], [`Kind::InvalidResponse`].
    pub async fn introspect(&self, token: IntrospectedToken) -> Result<Introspection, Error> {
        self.engine.alive()?;
        let context = &self.context;
        let via = context.env.transport.background();
        let fail = |failure: Failure| failure.into_error(context.env.clock.wall());
        let metadata = Discovery::metadata(context, &via).await.map_err(fail)?;
        let url = metadata.introspection.as_ref().ok_or(Kind::Unsupported { what: Unsupported::Introspection })?;
        let record = self.engine.record();
        let (token, kind) = match token {
            IntrospectedToken::Access => (&record.set.access_token, TokenKind::Access),
            IntrospectedToken::Refresh => match &record.set.refresh_token {
                Some(token) => (token, TokenKind::Refresh),
                None => return Err(Kind::ReauthRequired { reason: Code::of("no_refresh_token") }.into()),
            },
        };
        // EXPOSE: written into the request body, which wipes itself after its one send.
        let body = requests::introspect(&context.config.client_id, token.expose(), kind.hint());
        let reply =
            context.post(&*via, url.as_str(), body, context.config.request_timeout).await.map_err(Kind::from)?;
        let answer = context.read(&reply, Leg::Elsewhere).map_err(fail)?;
        let inactive = Introspection { is_active: false, claims: None };
        if !matches!(answer.get("active"), Some(Value::Bool(true))) {
            return Ok(inactive);
        }
        let owner = Owner {
            client_id: context.config.client_id.as_str(),
            subject: record.subject.as_deref(),
            username: &record.username,
        };
        if !is_about(&answer, &owner) {
            let trail = Trail { id: &record.id, user: &record.username };
            context.auditor.security(trail, SecurityEvent::IntrospectionMismatch);
            return Ok(inactive);
        }
        Ok(Introspection { is_active: true, claims: Some(Claims::of_object(answer)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::answer::parse;

    #[test]
    fn whose_token_it_is() {
        let owner = Owner { client_id: "0oa1", subject: Some("00u1"), username: "ana@example.com" };
        for (row, answer, expected) in [
            (313, r#"{"client_id":"0oa1","sub":"00u1"}"#, true),
            (313, r#"{"client_id":"0oa1","sub":"Ana@example.com","uid":"00u1"}"#, true),
            (313, r#"{"sub":"ana@example.com"}"#, true),
            (313, r#"{"active":true}"#, true),
            (313, r#"{"client_id":"0oa2","sub":"00u1"}"#, false),
            (313, r#"{"client_id":"0oa1","sub":"00u2"}"#, false),
            (313, r#"{"client_id":"0oa1","sub":"ben@example.com","uid":"00u2"}"#, false),
        ] {
            assert_eq!(is_about(&parse(answer.as_bytes()).unwrap(), &owner), expected, "row {row}: {answer}");
        }
    }
}
