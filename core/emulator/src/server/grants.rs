//! What a sign-in leaves behind: grants, their refresh and access tokens, rotation with leeway and reuse detection
//! (protocol.md §4).
//!
//! All of it is bounded: a server that is left running forgets its oldest grants and tokens.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::time::Duration;

use super::answer::{Refusal, Reply};
use super::catalogue::Row;
use super::policy::{Bound, Leg, Method};
use super::remembered::Remembered;
use super::request::Form;
use super::state::Random;
use super::{Answered, Call, Server, State, catalogue};
use crate::config::Status;
use crate::script::TokenMutation;
use crate::settings::Rotation;

/// On the wire like any refresh token that does not work; the journal tells them apart.
const REUSED: &Row = &Row { code: "refresh_token_reuse", ..*catalogue::INVALID_REFRESH_TOKEN };
/// How many grants are remembered.
const GRANTS: usize = 10_000;
/// How many access tokens are remembered.
const ACCESS_TOKENS: usize = 10_000;
/// How many replaced refresh tokens of one grant are remembered: for the leeway, and to detect reuse after it. One that
/// was forgotten is refused and ends nothing.
const REPLACED: usize = 100;

/// All grants of a tenant and the tokens under them.
pub(crate) struct Grants {
    next: u64,
    grants: BTreeMap<u64, Grant>,
    refresh: Remembered<RefreshToken>,
    access: Remembered<AccessToken>,
}

impl Default for Grants {
    fn default() -> Self {
        Self {
            next: 0,
            grants: BTreeMap::new(),
            refresh: Remembered::at_most(GRANTS * (REPLACED + 1)),
            access: Remembered::at_most(ACCESS_TOKENS),
        }
    }
}

/// What a sign-in has shown.
struct Shown {
    amr: Vec<&'static str>,
    acr: Option<String>,
    /// Of the key that its tokens are bound to.
    thumbprint: Option<String>,
}

/// What one sign-in was allowed.
#[derive(Clone)]
pub(crate) struct Grant {
    pub(crate) account: usize,
    pub(crate) client: String,
    pub(crate) server: Server,
    pub(super) scopes: Vec<String>,
    pub(super) auth_time: u64,
    pub(super) amr: Vec<&'static str>,
    pub(super) acr: Option<String>,
    /// The key that its tokens are bound to (RFC 9449 §5).
    pub(super) thumbprint: Option<String>,
    /// Its refresh tokens, the newest last.
    refresh_tokens: VecDeque<String>,
    ends: Option<Duration>,
    is_ended: bool,
}

#[derive(Clone)]
pub(crate) struct RefreshToken {
    pub(crate) grant: u64,
    last_used: Duration,
    replaced_at: Option<Duration>,
}

/// An access token that was given out.
#[derive(Clone)]
pub(crate) struct AccessToken {
    pub(crate) grant: u64,
    pub(crate) scopes: Vec<String>,
    pub(crate) issued: Duration,
    pub(crate) ends: Duration,
    /// The key that it is bound to.
    pub(crate) thumbprint: Option<String>,
    is_revoked: bool,
}

impl AccessToken {
    pub(super) fn new(
        grant: u64,
        scopes: Vec<String>,
        issued: Duration,
        ends: Duration,
        thumbprint: Option<String>,
    ) -> Self {
        Self { grant, scopes, issued, ends, thumbprint, is_revoked: false }
    }

    /// Its `token_type`; `usual` for one that is not bound.
    pub(crate) fn token_type<'a>(&self, usual: &'a str) -> &'a str {
        if self.thumbprint.is_some() { "DPoP" } else { usual }
    }
}

impl Grants {
    pub(crate) fn grant(&self, id: u64) -> Option<&Grant> {
        self.grants.get(&id)
    }

    /// A token that works now, with its grant.
    pub(crate) fn access(&self, token: &str, now: Duration) -> Option<(&AccessToken, &Grant)> {
        let access = self.access.find(token).filter(|access| !access.is_revoked && access.ends > now)?;
        let grant = self.grants.get(&access.grant).filter(|grant| !grant.is_ended)?;
        Some((access, grant))
    }

    /// The newest refresh token of a grant that has not ended, with its grant.
    pub(crate) fn refresh(&self, token: &str, now: Duration) -> Option<(&RefreshToken, &Grant)> {
        let refresh = self.refresh.find(token).filter(|refresh| refresh.replaced_at.is_none())?;
        let grant = self.grants.get(&refresh.grant).filter(|grant| grant.is_live(now))?;
        Some((refresh, grant))
    }

    /// Revokes a token of this client and server; a refresh token takes its grant along, with all access tokens.
    pub(crate) fn revoke(&mut self, token: &str, client: &str, server: Server) {
        let is_own = |grants: &BTreeMap<u64, Grant>, id| {
            grants.get(&id).is_some_and(|grant: &Grant| grant.client == client && grant.server == server)
        };
        if let Some(access) = self.access.find_mut(token)
            && is_own(&self.grants, access.grant)
        {
            access.is_revoked = true;
        }
        if let Some(refresh) = self.refresh.find(token)
            && is_own(&self.grants, refresh.grant)
        {
            self.end(refresh.grant);
        }
    }

    pub(crate) fn end_all(&mut self) {
        self.grants.values_mut().for_each(|grant| grant.is_ended = true);
    }

    /// Grants under which some token still works.
    pub(crate) fn live(&self, now: Duration) -> usize {
        let works = |access: &&AccessToken| !access.is_revoked && access.ends > now;
        let with_access: HashSet<u64> = self.access.values().filter(works).map(|access| access.grant).collect();
        let is_alive = |id: &u64, grant: &Grant| {
            let can_refresh = grant.is_live(now) && !grant.refresh_tokens.is_empty();
            !grant.is_ended && (can_refresh || with_access.contains(id))
        };
        self.grants.iter().filter(|(id, grant)| is_alive(id, grant)).count()
    }

    pub(super) fn add_access(&mut self, token: String, access: AccessToken) {
        self.access.add(token, access);
    }

    fn open(&mut self, grant: Grant) -> u64 {
        if self.grants.len() >= GRANTS
            && let Some((_, oldest)) = self.grants.pop_first()
        {
            for token in &oldest.refresh_tokens {
                self.refresh.remove(token);
            }
        }
        self.next += 1;
        self.grants.insert(self.next, grant);
        self.next
    }

    fn bind(&mut self, id: u64, thumbprint: String) {
        if let Some(grant) = self.grants.get_mut(&id) {
            grant.thumbprint = Some(thumbprint);
        }
    }

    fn end(&mut self, id: u64) {
        if let Some(grant) = self.grants.get_mut(&id) {
            grant.is_ended = true;
        }
    }

    /// A new refresh token; whatever was the newest one before is replaced now.
    fn add_refresh(&mut self, id: u64, now: Duration) -> Result<String, Refusal> {
        let grant = self.grants.get_mut(&id).ok_or(catalogue::SERVER_ERROR)?;
        if let Some(newest) = grant.refresh_tokens.back()
            && let Some(refresh) = self.refresh.find_mut(newest)
        {
            refresh.replaced_at = Some(now);
        }
        if grant.refresh_tokens.len() > REPLACED
            && let Some(oldest) = grant.refresh_tokens.pop_front()
        {
            self.refresh.remove(&oldest);
        }
        let token = Random::token(32)?;
        grant.refresh_tokens.push_back(token.clone());
        self.refresh.add(token.clone(), RefreshToken { grant: id, last_used: now, replaced_at: None });
        Ok(token)
    }
}

impl Grant {
    fn is_live(&self, now: Duration) -> bool {
        !self.is_ended && self.ends.is_none_or(|ends| ends > now)
    }
}

impl State {
    /// Tokens for a user who has shown enough.
    pub(crate) fn issue(&mut self, call: &Call<'_>, bound: &Bound, account: usize, methods: &[Method]) -> Answered {
        let scopes = bound.scopes();
        let wants_refresh = scopes.iter().any(|scope| scope == "offline_access");
        let mut amr: Vec<&'static str> = methods.iter().map(|method| method.amr()).collect();
        if methods.len() > 1 {
            amr.push("mfa");
        }
        let acr = bound.acr_reached(methods);
        let thumbprint = bound.thumbprint().filter(|_| !self.settings.dpop_downgrade);
        let grant =
            self.open_grant(call, account, bound.client.clone(), scopes.clone(), Shown { amr, acr, thumbprint });
        let refresh = if wants_refresh { Some(self.grants.add_refresh(grant, call.now)?) } else { None };
        let tokens = self.mint(call, grant, &scopes, refresh, &TokenMutation::default())?;
        Ok(Reply::json(200, &tokens))
    }

    fn open_grant(
        &mut self,
        call: &Call<'_>,
        account: usize,
        client: String,
        scopes: Vec<String>,
        shown: Shown,
    ) -> u64 {
        let Shown { amr, acr, thumbprint } = shown;
        let ends = match self.settings.refresh_token_lifetime {
            0 => None,
            seconds => Some(call.now.saturating_add(Duration::from_secs(seconds))),
        };
        let server = call.place.server;
        let auth_time = call.seconds();
        let refresh_tokens = VecDeque::new();
        let grant = Grant {
            account,
            client,
            server,
            scopes,
            auth_time,
            amr,
            acr,
            thumbprint,
            refresh_tokens,
            ends,
            is_ended: false,
        };
        self.grants.open(grant)
    }

    /// The refresh grant.
    pub(crate) fn refresh(&mut self, call: &Call<'_>, leg: &Leg, form: &Form) -> Answered {
        let token = form.required("refresh_token")?;
        let known = self.grants.refresh.find(token).ok_or(catalogue::INVALID_REFRESH_TOKEN)?;
        let (id, last_used, replaced_at) = (known.grant, known.last_used, known.replaced_at);
        let grant = self.grants.grant(id).ok_or(catalogue::INVALID_REFRESH_TOKEN)?.clone();
        self.count_token_request(grant.account, call.now)?;
        if grant.client != leg.client {
            return Err(catalogue::MISMATCHED_CLIENT.into());
        }
        if grant.server != leg.server {
            return Err(catalogue::MISMATCHED_AUTHORIZATION_SERVER.into());
        }
        if grant.thumbprint.is_some() && grant.thumbprint != leg.thumbprint {
            return Err(catalogue::INVALID_DPOP_PROOF_INVALID_PUBLIC_KEY_BINDING.into());
        }
        let idle = Duration::from_secs(self.settings.refresh_idle_lifetime);
        let is_idle = !idle.is_zero() && last_used.saturating_add(idle) <= call.now;
        let may_sign_in = self.account(grant.account)?.user.status != Status::Unassigned;
        if !grant.is_live(call.now) || is_idle || !may_sign_in {
            return Err(catalogue::INVALID_REFRESH_TOKEN.into());
        }
        if let Some(replaced_at) = replaced_at
            && (self.settings.leeway == 0 || call.now > replaced_at.saturating_add(self.settings.leeway()))
        {
            // Reuse: somebody else may have it. Nothing of this grant works any more.
            self.grants.end(id);
            return Err(REUSED.into());
        }
        let scopes = narrowed(&grant.scopes, leg.scope.as_deref())?;
        // Tokens that are given to a key are bound to it, whatever those before were (RFC 9449 §5).
        if grant.thumbprint.is_none()
            && let Some(shown) = leg.thumbprint.clone().filter(|_| !self.settings.dpop_downgrade)
        {
            self.grants.bind(id, shown);
        }
        let next = match self.settings.rotation {
            Rotation::Rotate => self.grants.add_refresh(id, call.now)?,
            Rotation::Static => {
                if let Some(known) = self.grants.refresh.find_mut(token) {
                    known.last_used = call.now;
                }
                token.to_owned()
            }
        };
        let tokens = self.mint(call, id, &scopes, Some(next), &TokenMutation::default())?;
        Ok(Reply::json(200, &tokens))
    }

    /// Tokens that a script prescribes: real ones, without any check of the request, then changed.
    pub(crate) fn unchecked_tokens(&mut self, call: &Call<'_>, form: &Form, mutation: &TokenMutation) -> Answered {
        let refreshed =
            form.value("refresh_token").and_then(|token| self.grants.refresh.find(token)).map(|known| known.grant);
        let (grant, scopes) = match refreshed.and_then(|id| Some((id, self.grants.grant(id)?.scopes.clone()))) {
            Some(of_the_grant) => of_the_grant,
            None => {
                let account = self.account_in(form);
                let client = form.value("client_id").unwrap_or(&self.client_id).to_owned();
                let scope = form.value("scope").unwrap_or("openid profile offline_access");
                let scopes: Vec<String> = scope.split(' ').map(str::to_owned).collect();
                let acr = form.value("acr_values").and_then(|values| values.split(' ').next()).map(str::to_owned);
                let thumbprint = Self::shown_thumbprint(call);
                (
                    self.open_grant(call, account, client, scopes.clone(), Shown { amr: vec!["pwd"], acr, thumbprint }),
                    scopes,
                )
            }
        };
        let wants_refresh = scopes.iter().any(|scope| scope == "offline_access");
        let refresh = if wants_refresh { Some(self.grants.add_refresh(grant, call.now)?) } else { None };
        let tokens = self.mint(call, grant, &scopes, refresh, mutation)?;
        Ok(Reply::json(200, &tokens))
    }

    /// The user that a request is about; failing that the one that an earlier request was about, or the first.
    pub(crate) fn account_in(&mut self, form: &Form) -> usize {
        let named = form.value("username").or(form.value("login_hint")).and_then(|name| self.find_account(name));
        let begun = form.value("mfa_token").and_then(|token| self.transactions.find(token)).map(|begun| begun.account);
        self.last_account = named.or(begun).unwrap_or(self.last_account);
        self.last_account
    }
}

/// The scopes of a refresh: those of the grant, or fewer when fewer are asked for.
fn narrowed(granted: &[String], asked: Option<&str>) -> Result<Vec<String>, Refusal> {
    let Some(asked) = asked else { return Ok(granted.to_vec()) };
    let asked: Vec<String> = asked.split(' ').map(str::to_owned).collect();
    let denied: Vec<&str> = asked.iter().filter(|scope| !granted.contains(scope)).map(String::as_str).collect();
    if denied.is_empty() { Ok(asked) } else { Err(Refusal::of(catalogue::REFRESH_SCOPES_DENIED, denied.join(", "))) }
}

impl Bound {
    fn scopes(&self) -> Vec<String> {
        self.scope().unwrap_or_default().split(' ').filter(|scope| !scope.is_empty()).map(str::to_owned).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant() -> Grant {
        Grant {
            account: 0,
            client: String::new(),
            server: Server::Custom,
            scopes: Vec::new(),
            auth_time: 0,
            amr: Vec::new(),
            acr: None,
            thumbprint: None,
            refresh_tokens: VecDeque::new(),
            ends: None,
            is_ended: false,
        }
    }

    #[test]
    fn the_oldest_grant_goes_with_its_refresh_tokens() {
        let (mut grants, now) = (Grants::default(), Duration::ZERO);
        let first = grants.open(grant());
        let oldest = grants.add_refresh(first, now).unwrap();
        let second = grants.open(grant());
        let kept = grants.add_refresh(second, now).unwrap();
        for _ in 2..=GRANTS {
            grants.open(grant());
        }
        assert!(grants.refresh(&oldest, now).is_none() && grants.refresh.find(&oldest).is_none());
        assert!(grants.refresh(&kept, now).is_some());
        assert_eq!(grants.grants.len(), GRANTS);
    }

    #[test]
    fn a_grant_remembers_its_newest_replaced_refresh_tokens() {
        let (mut grants, now) = (Grants::default(), Duration::ZERO);
        let id = grants.open(grant());
        let tokens: Vec<String> = (0..REPLACED + 2).map(|_| grants.add_refresh(id, now).unwrap()).collect();
        assert!(grants.refresh.find(&tokens[0]).is_none());
        assert!(tokens[1..].iter().all(|token| grants.refresh.find(token).is_some()));
        let newest: Vec<_> = tokens.iter().filter(|token| grants.refresh(token, now).is_some()).collect();
        assert_eq!(newest, [tokens.last().unwrap()]);
    }
}
