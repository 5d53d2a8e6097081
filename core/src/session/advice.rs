//! What a resource server's answer means for the session. RFC 6750 §3.1, RFC 9449 §7.1, RFC 9470 §3; protocol.md rows 277,
//! 308–309 and 336–338.

use core::time::Duration;

use super::Session;
use super::record::TokenHash;
use super::rules::{self, Now};
use crate::config::{Assurance, RefreshPolicy};
use crate::error::{Error, Kind};
use crate::jose::dpop;
use crate::jose::id_token::IdTokenClaims;
use crate::wire::challenges::{Challenge, challenges};

/// What an app does with a resource server's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Advice {
    /// It is the app's: success, or a failure that no other token would change.
    Proceed,
    /// Send the same request once more, with the headers of another [`authorize`](Session::authorize).
    Retry,
    /// The resource wants the user to show more, or again (RFC 9470): [`step_up`](Session::step_up) with this, then send the
    /// request again. A refresh would not help.
    StepUp(StepUpDemand),
    /// The session is over, or cannot be renewed without the user.
    SignInAgain,
}

/// What a resource demands of the sign-in behind a token (RFC 9470 §3).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StepUpDemand {
    /// One of these context classes, the most wanted first; any if empty.
    pub acr_values: Vec<String>,
    /// How long ago the user may have been asked.
    pub max_age: Option<Duration>,
}

impl StepUpDemand {
    /// Of the app's own making, before a resource demands it.
    pub fn new<I: IntoIterator<Item = S>, S: Into<String>>(acr_values: I, max_age: Option<Duration>) -> Self {
        Self { acr_values: acr_values.into_iter().map(Into::into).collect(), max_age }
    }
}

/// What the rule says; a refresh is still to be made.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Done(Advice),
    Refresh,
}

/// What the answer is held against.
struct Facts<'a> {
    /// The claims of the newest ID token.
    claims: Option<&'a IdTokenClaims>,
    /// By the server's clock as far as it is known, in seconds.
    now: i64,
    /// Since the tokens came, which is certain.
    since: i64,
    /// Whether the refused token is the session's own still.
    is_current: bool,
    /// Whether there was no `WWW-Authenticate` at all.
    is_mute: bool,
    /// Whether it came from a refresh that an answer like this one had caused.
    was_renewed: bool,
    can_refresh: bool,
    /// Whether a sign-in of this client can show that it reached something: only an ID token says so.
    can_step_up: bool,
    /// Whether the answer brought another nonce than the one that the proof carried.
    has_new_nonce: bool,
}

fn verdict(status: u16, found: &[Challenge], facts: &Facts<'_>) -> Verdict {
    use Advice::{Proceed, Retry, SignInAgain};
    if status != 401 {
        return Verdict::Done(Proceed);
    }
    let ours: Vec<&Challenge> = found.iter().filter(|it| matches!(it.scheme.as_str(), "bearer" | "dpop")).collect();
    let error = ours.iter().find_map(|challenge| Some((*challenge, challenge.get("error")?)));
    match error {
        Some((challenge, "insufficient_user_authentication")) => Verdict::Done(match demand(challenge) {
            // The session is what was asked for: another sign-in would come to the same (row 337).
            Some((classes, age)) if facts.can_step_up && !is_met(&classes, age, facts) => {
                Advice::StepUp(StepUpDemand { acr_values: classes, max_age: age.map(Duration::from_secs) })
            }
            _ => Proceed,
        }),
        // Row 275: once, for the next proof carries it.
        Some((challenge, "use_dpop_nonce")) if challenge.scheme == "dpop" && facts.has_new_nonce => {
            Verdict::Done(Retry)
        }
        Some((_, error)) if error != "invalid_token" => Verdict::Done(Proceed),
        // Of another scheme, so that it is not about this token, or not to be understood.
        None if ours.is_empty() && !facts.is_mute => Verdict::Done(Proceed),
        // Also without a reason: many servers give none.
        _ if !facts.is_current => Verdict::Done(Retry),
        _ if facts.was_renewed => Verdict::Done(Proceed),
        _ if !facts.can_refresh => Verdict::Done(SignInAgain),
        _ => Verdict::Refresh,
    }
}

/// The context classes and the age that are demanded; `None` if it cannot be understood, or demands nothing.
fn demand(challenge: &Challenge) -> Option<(Vec<String>, Option<u64>)> {
    let classes = challenge.get("acr_values").unwrap_or_default();
    let age = match challenge.get("max_age") {
        None => None,
        Some(age) => Some(age.parse().ok().filter(|age: &u64| *age <= u64::from(u32::MAX))?),
    };
    let classes: Vec<String> = classes.split(' ').filter(|class| !class.is_empty()).map(str::to_owned).collect();
    // What a step-up would refuse to ask for is none (row 338).
    let is_sane = Assurance::parse(&classes, None).is_ok();
    (is_sane && (!classes.is_empty() || age.is_some())).then_some((classes, age))
}

/// Whether the session's own sign-in reached what is demanded.
fn is_met(classes: &[String], age: Option<u64>, facts: &Facts<'_>) -> bool {
    let Some(claims) = facts.claims else { return false };
    let has_class = classes.is_empty() || claims.raw.str("acr").is_some_and(|acr| classes.iter().any(|it| it == acr));
    let is_recent = age.is_none_or(|age| {
        let age = i64::try_from(age).unwrap_or(i64::MAX);
        claims.auth_time.is_some_and(|time| {
            // Whatever the device's clock says, so much has passed since.
            let passed = claims.issued_at.saturating_sub(time).saturating_add(facts.since);
            passed <= JUST_NOW || facts.now.saturating_sub(time).max(passed) <= age
        })
    });
    has_class && is_recent
}

/// Who has signed in so recently is not asked again, whatever the device's clock says: a `max_age` of zero is met by no request.
const JUST_NOW: i64 = 30;

impl Session {
    /// What to do with a resource server's answer to a request that was sent with `used`, the headers of
    /// [`authorize`](Session::authorize). `headers` are the answer's: those named `WWW-Authenticate` are read, as RFC 9110
    /// §11.6.1 has them.
    ///
    /// A token that is refused before its time (`invalid_token`, or a 401 without a reason) is refreshed here, one time: what
    /// comes out of that refresh and is refused too is the app's to show. If another call has refreshed meanwhile, nothing is
    /// sent. At most one request.
    ///
    /// ```no_run
    /// # async fn send(_: &directauth::AuthorizationHeaders) -> (u16, Vec<(String, String)>) { (200, vec![]) }
    /// # async fn example(session: directauth::Session) -> Result<u16, directauth::Error> {
    /// use directauth::Advice;
    ///
    /// let url = "https://api.acme.com/me";
    /// let mut used = session.authorize("GET", url).await?;
    /// let (mut status, headers) = send(&used).await;
    /// let read = headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    /// match session.advise(&used, status, read).await? {
    ///     Advice::Retry => {
    ///         used = session.authorize("GET", url).await?;
    ///         (status, _) = send(&used).await; // once; whatever comes is the answer
    ///     }
    ///     Advice::StepUp(demand) => { /* the sign-in screen, with session.step_up(&demand) */ }
    ///     Advice::SignInAgain => { /* the sign-in screen */ }
    ///     _ => {}
    /// }
    /// # Ok(status)
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`refresh`](Session::refresh) that do not end the session: [`Kind::Network`], [`Kind::Server`],
    /// [`Kind::RateLimited`], [`Kind::Configuration`], [`Kind::TokenRejected`], [`Kind::StorageUnavailable`].
    pub async fn advise<'a>(
        &self,
        used: &super::AuthorizationHeaders,
        status: u16,
        headers: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Advice, Error> {
        let (mut fields, mut nonces) = (Vec::new(), Vec::new());
        for (name, value) in headers {
            if name.eq_ignore_ascii_case("www-authenticate") {
                fields.push(value);
            } else if name.eq_ignore_ascii_case("dpop-nonce") {
                nonces.push(value);
            }
        }
        // Row 275: of this resource server alone, and from every answer.
        let has_new_nonce = match (nonces.as_slice(), used.proof()) {
            ([nonce], Some(proof)) => {
                self.context.heard_from(used.target(), nonce);
                proof.nonce.as_deref() != Some(*nonce) && dpop::is_nonce(nonce)
            }
            _ => false,
        };
        let found = challenges(fields.iter().copied());
        if self.engine.alive().is_err() {
            return Ok(if status == 401 { Advice::SignInAgain } else { Advice::Proceed });
        }
        let snapshot = self.engine.snapshot();
        let life = snapshot.record.set.life;
        let since = rules::elapsed(Now { wall: life.sent_wall, boot: life.sent_boot }, self.context.now());
        let facts = Facts {
            claims: snapshot.claims.as_deref(),
            now: self.context.server_now(),
            since: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
            is_current: self.engine.serves(used.used()),
            is_mute: fields.is_empty(),
            was_renewed: self.engine.was_renewed(used.used()),
            can_step_up: self.context.config.scopes.contains("openid"),
            can_refresh: self.may_renew(),
            has_new_nonce,
        };
        match verdict(status, &found, &facts) {
            Verdict::Done(advice) => Ok(advice),
            Verdict::Refresh => match self.renew(used.used()).await {
                Ok(true) => Ok(Advice::Retry),
                Ok(false) => Ok(Advice::Proceed),
                Err(error) => match error.kind() {
                    Kind::SessionEnded { .. } | Kind::ReauthRequired { .. } => Ok(Advice::SignInAgain),
                    _ => Err(error),
                },
            },
        }
    }

    fn may_renew(&self) -> bool {
        self.engine.can_refresh() && self.context.config.refresh_policy == RefreshPolicy::WhenDue
    }

    /// A refresh because this access token was refused; `false` if that brought no other one.
    async fn renew(&self, refused: &TokenHash) -> Result<bool, Error> {
        self.engine.refresh().await?;
        // A refresh of a moment ago brought the refused token.
        let is_another = !self.engine.serves(refused);
        if is_another {
            self.engine.is_renewed();
        }
        Ok(is_another)
    }

    /// Whether another token is worth a try after this one was refused: at most one refresh for each (rows 277, 308).
    pub(super) async fn renews(&self, refused: &TokenHash) -> Result<bool, Error> {
        if !self.engine.serves(refused) {
            return Ok(true);
        }
        if self.engine.was_renewed(refused) || !self.may_renew() {
            return Ok(false);
        }
        self.renew(refused).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::answer::parse;

    fn claims(acr: &str, auth_time: i64) -> IdTokenClaims {
        let json =
            format!(r#"{{"iss":"i","aud":"a","sub":"00u1","iat":{auth_time},"acr":"{acr}","auth_time":{auth_time}}}"#);
        IdTokenClaims::read(parse(json.as_bytes()).unwrap()).unwrap()
    }

    fn step_up(classes: &[&str], age: Option<u64>) -> Verdict {
        let demand = StepUpDemand::new(classes.iter().copied(), age.map(Duration::from_secs));
        Verdict::Done(Advice::StepUp(demand))
    }

    #[test]
    fn what_an_answer_means() {
        let known = claims("urn:okta:loa:1fa:pwd", 1000);
        let facts = || Facts {
            claims: Some(&known),
            now: 1600,
            since: 600,
            is_current: true,
            is_mute: false,
            was_renewed: false,
            can_refresh: true,
            can_step_up: true,
            has_new_nonce: false,
        };
        let long = "x".repeat(2000);
        let (proceed, retry) = (|| Verdict::Done(Advice::Proceed), || Verdict::Done(Advice::Retry));
        let insufficient = |rest: &str| format!("Bearer error=\"insufficient_user_authentication\"{rest}");
        for (row, status, header, facts, expected) in [
            (308, 200, "Bearer error=\"invalid_token\"".to_owned(), facts(), proceed()),
            (309, 403, "Bearer error=\"insufficient_scope\"".to_owned(), facts(), proceed()),
            (308, 401, "Bearer error=\"invalid_token\"".to_owned(), facts(), Verdict::Refresh),
            (308, 401, "DPoP error=\"invalid_token\", algs=\"ES256\"".to_owned(), facts(), Verdict::Refresh),
            (308, 401, "Bearer realm=\"x\"".to_owned(), facts(), Verdict::Refresh),
            (308, 401, String::new(), facts(), Verdict::Refresh),
            (308, 401, "Basic realm=\"x\"".to_owned(), facts(), proceed()),
            (308, 401, "Bearer error=\"invalid_request\"".to_owned(), facts(), proceed()),
            (308, 401, String::new(), Facts { is_current: false, ..facts() }, retry()),
            (277, 401, String::new(), Facts { was_renewed: true, ..facts() }, proceed()),
            (308, 401, String::new(), Facts { can_refresh: false, ..facts() }, Verdict::Done(Advice::SignInAgain)),
            (
                336,
                401,
                insufficient(", acr_values=\"phr phrh\", max_age=0"),
                facts(),
                step_up(&["phr", "phrh"], Some(0)),
            ),
            (275, 401, "DPoP error=\"use_dpop_nonce\"".to_owned(), Facts { has_new_nonce: true, ..facts() }, retry()),
            (275, 401, "DPoP error=\"use_dpop_nonce\"".to_owned(), facts(), proceed()),
            (
                275,
                401,
                "Bearer error=\"use_dpop_nonce\"".to_owned(),
                Facts { has_new_nonce: true, ..facts() },
                proceed(),
            ),
            (336, 401, insufficient(", max_age=\"300\""), facts(), step_up(&[], Some(300))),
            (
                336,
                401,
                insufficient(", acr_values=\"phr\""),
                Facts { is_current: false, ..facts() },
                step_up(&["phr"], None),
            ),
            (
                336,
                401,
                insufficient(", acr_values=\"phr\""),
                Facts { claims: None, ..facts() },
                step_up(&["phr"], None),
            ),
            (337, 401, insufficient(", acr_values=\"phr urn:okta:loa:1fa:pwd\""), facts(), proceed()),
            (337, 401, insufficient(", max_age=600"), facts(), proceed()),
            (337, 401, insufficient(", max_age=0"), Facts { can_step_up: false, claims: None, ..facts() }, proceed()),
            (337, 401, insufficient(", max_age=0"), Facts { since: 20, now: 999_999, ..facts() }, proceed()),
            (338, 401, insufficient(&format!(", acr_values=\"{long}\"")), facts(), proceed()),
            (338, 401, insufficient(&format!(", acr_values=\"{}\"", "x".repeat(1024))), facts(), proceed()),
            (338, 401, insufficient(", acr_values=\"p\u{e4}\""), facts(), proceed()),
            (338, 401, insufficient(", acr_values=\"phr\", max_age=\"-1\""), facts(), proceed()),
            (338, 401, insufficient(", max_age=99999999999"), facts(), proceed()),
            (338, 401, insufficient(""), facts(), proceed()),
            (338, 401, insufficient(&format!(", acr_values=\"{}\"", "x".repeat(10_000))), facts(), proceed()),
            (338, 401, "Bearer error=\"invalid_token".to_owned(), facts(), proceed()),
        ] {
            let found = challenges([header.as_str()]);
            let facts = Facts { is_mute: header.is_empty(), ..facts };
            assert_eq!(verdict(status, &found, &facts), expected, "row {row}: {status} {header}");
        }
    }
}
