//! What happened in a case, and which of the invariants of docs/sessions.md §11 it breaks. Numbers are theirs.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use super::events::{Act, Event, NetFault, StoreFault};
use super::server::{Issue, Over, Server, Special};
use super::world::Pid;
use crate::env::{Blob, HttpRequest, HttpResponse, StorageKey};
use crate::error::{EndReason, StoreProblem};
use crate::session::test_access::{StoredSession, read_owed, read_session};

/// What is true at a moment.
pub(super) struct Facts<'a> {
    pub(super) blobs: &'a BTreeMap<StorageKey, Vec<u8>>,
    pub(super) server: &'a Server,
}

impl Facts<'_> {
    /// The sessions of the store that are not ended, by their ids.
    pub(super) fn live_records(&self) -> Vec<(String, StoredSession)> {
        let ids = self.blobs.iter().filter_map(|(key, blob)| Some((key.as_str().strip_prefix("session.")?, blob)));
        ids.filter(|(id, _)| !self.blobs.contains_key(&StorageKey::parse(&format!("ended.{id}")).unwrap()))
            .filter(|(id, _)| *id != "0a1b")
            .filter_map(|(id, blob)| Some((id.to_owned(), read_session(&Blob::new(blob.clone()))?)))
            .collect()
    }

    pub(super) fn live_ids(&self) -> Vec<String> {
        self.live_records().into_iter().map(|(id, _)| id).collect()
    }

    /// The tokens that the queue still has to revoke.
    pub(super) fn owed(&self) -> Vec<Issue> {
        let blobs = self.blobs.iter().filter(|(key, _)| key.as_str().starts_with("owed."));
        blobs.filter_map(|(_, blob)| Issue::parse(&read_owed(&Blob::new(blob.clone()))?)).collect()
    }
}

/// One refresh token on its way.
struct Send {
    pid: Pid,
    issue: Issue,
    at: Duration,
    under_way: bool,
    /// The server only wanted another nonce.
    void: bool,
}

#[derive(Default)]
struct IssueFacts {
    /// To which process its answer came.
    delivered: Option<Pid>,
    /// Whether the store ever held its refresh token, in a record or in the queue.
    stored: bool,
}

#[derive(Default)]
pub(super) struct History {
    pub(super) violations: Vec<String>,
    events: Vec<(Event, Duration)>,
    sends: Vec<Send>,
    /// Sends of a refresh token by one process whose outcome it does not know, since the last that it knows.
    unknown: BTreeMap<(Pid, Issue), Vec<Duration>>,
    /// The first send of each refresh token whose outcome nobody knows.
    first_send: BTreeMap<Issue, Duration>,
    /// The newest refresh token of each grant that a process has read.
    known: BTreeMap<(Pid, usize), usize>,
    issues: BTreeMap<Issue, IssueFacts>,
    /// The writes that have begun, and when.
    under_way: BTreeMap<(Pid, StorageKey), Duration>,
    last_good_read: BTreeMap<(Pid, StorageKey), Duration>,
    last_read: BTreeMap<(Pid, StorageKey), Option<StoreProblem>>,
    /// What a process has read or written of a key.
    seen: BTreeSet<(Pid, StorageKey, Vec<u8>)>,
    /// When each process died or was suspended, and for how long.
    gone: BTreeMap<Pid, (Duration, Option<u64>)>,
    /// The processes that died in the middle of something, not at the end of the case.
    crashed: BTreeSet<Pid>,
    /// Whether the case begins with the death of a process.
    pub(super) died_before: bool,
    /// The grants that the server refused to revoke.
    refused_revocations: BTreeSet<usize>,
    /// When a process was told to restore, and when the device was started anew.
    restores: Vec<Duration>,
    reboots: Vec<Duration>,
    pub(super) sign_outs_called: BTreeSet<String>,
    /// When a sign-out said Ok, or a tombstone was acknowledged, and the number of that moment.
    signed_out: BTreeMap<String, (Duration, usize)>,
    /// Which grant each session is of.
    sessions: BTreeMap<String, usize>,
    /// The grants that a session was of before a step-up.
    left: BTreeSet<usize>,
    /// Whether a step-up was given up, so that what it brought is given back.
    pub(super) step_up_failed: bool,
    /// Moments are numbered: much happens at the same time.
    moment: usize,
    signing_in: usize,
    /// Whether two sign-ins ran at once.
    crossed: bool,
    pub(super) sign_ins_called: usize,
    /// Who signed in last, and when that call returned.
    newest_user: Option<(&'static str, Duration)>,
    /// The longest call of each kind.
    pub(super) longest: BTreeMap<&'static str, Duration>,
    is_oidc: bool,
    leeway: u64,
    is_traced: bool,
}

const WINDOW: Duration = Duration::from_secs(25);

impl History {
    pub(super) fn begin(&mut self, leeway: u64, is_oidc: bool) {
        self.leeway = leeway;
        self.is_traced = std::env::var_os("TRACE").is_some();
        self.is_oidc = is_oidc;
    }

    pub(super) fn violated(&mut self, what: String) {
        self.trace(|| format!("VIOLATION {what}"));
        self.violations.push(what);
    }

    pub(super) fn happened(&mut self, event: Event, now: Duration) {
        self.trace(|| format!("{now:?} {event:?}"));
        self.events.push((event, now));
    }

    /// A call of the app is over.
    pub(super) fn took(&mut self, what: &'static str, time: Duration) {
        let longest = self.longest.entry(what).or_default();
        *longest = (*longest).max(time);
    }

    pub(super) fn restores(&mut self, now: Duration) {
        self.restores.push(now);
    }

    pub(super) fn rebooted(&mut self, now: Duration) {
        self.reboots.push(now);
    }

    /// `TRACE=1` tells the story of a case.
    fn trace(&self, what: impl FnOnce() -> String) {
        if self.is_traced {
            println!("    {}", what());
        }
    }

    pub(super) fn moment(&mut self) -> usize {
        self.moment += 1;
        self.moment
    }

    pub(super) fn is_signed_out(&mut self, id: &str, now: Duration) {
        let moment = self.moment();
        self.signed_out.entry(id.to_owned()).or_insert((now, moment));
    }

    pub(super) fn signs_in(&mut self) {
        self.sign_ins_called += 1;
        self.signing_in += 1;
        self.crossed |= self.signing_in > 1;
    }

    pub(super) fn sign_in_ended(&mut self) {
        self.signing_in -= 1;
    }

    fn any(&self, is: impl Fn(&Event) -> bool) -> bool {
        self.events.iter().any(|(event, _)| is(event))
    }

    pub(super) fn has_store_fault(&self) -> bool {
        self.any(|event| matches!(event, Event::Store(_)))
    }

    /// Storage that lied or lost data.
    pub(super) fn has_lost_data(&self) -> bool {
        self.any(|event| {
            matches!(event, Event::Store(StoreFault::Lies | StoreFault::Gone | StoreFault::Torn | StoreFault::Stale))
        })
    }

    /// What a store calls permanent is not waited for, and here it heals all the same.
    pub(super) fn has_healed(&self) -> bool {
        self.any(|event| matches!(event, Event::Store(StoreFault::Fails(reason)) if !reason.problem().is_temporary()))
    }

    pub(super) fn has_torn(&self) -> bool {
        self.any(|event| matches!(event, Event::Store(StoreFault::Torn)))
    }

    fn has_died(&self) -> bool {
        self.any(|event| matches!(event, Event::Crash { .. } | Event::Suspend { .. }))
    }

    // --- the store

    pub(super) fn read(
        &mut self,
        pid: Pid,
        key: Option<&StorageKey>,
        problem: Option<StoreProblem>,
        found: Option<&[u8]>,
        now: Duration,
    ) {
        let Some(key) = key else { return };
        self.last_read.insert((pid, key.clone()), problem);
        if problem.is_none() {
            self.last_good_read.insert((pid, key.clone()), now);
        }
        let Some(found) = found.filter(|_| problem.is_none()) else { return };
        self.seen.insert((pid, key.clone(), found.to_vec()));
        if let Some(session) = read_session(&Blob::new(found.to_vec()))
            && let Some(issue) = session.refresh.as_deref().and_then(Issue::parse)
        {
            self.learns(pid, issue);
        }
    }

    fn learns(&mut self, pid: Pid, issue: Issue) {
        let known = self.known.entry((pid, issue.grant)).or_insert(issue.number);
        *known = (*known).max(issue.number);
    }

    pub(super) fn write_begins(&mut self, pid: Pid, key: &StorageKey, bytes: Option<&[u8]>, now: Duration) {
        if self.under_way.insert((pid, key.clone()), now).is_some() {
            self.violated(format!("8: two writes of {} at once", key.as_str()));
        }
        let place = (pid, key.clone());
        let was_refused = matches!(self.last_read.get(&place), Some(Some(_)));
        // Another caller's look may have failed since; the writer's own was just now.
        let has_looked = self.last_good_read.get(&place).is_some_and(|at| *at == now);
        if bytes.is_some() && key.as_str().starts_with("session.") && was_refused && !has_looked {
            self.violated(format!("8: {} was written after a read that failed", key.as_str()));
        }
    }

    pub(super) fn write_ended(&mut self, pid: Pid, key: &StorageKey) {
        self.under_way.remove(&(pid, key.clone()));
    }

    pub(super) fn written(
        &mut self,
        pid: Pid,
        key: &StorageKey,
        old: Option<&[u8]>,
        new: Option<&[u8]>,
        now: Duration,
        server: &Server,
    ) {
        self.trace(|| {
            let session = new.and_then(|new| read_session(&Blob::new(new.to_vec())));
            let what = session.map(|session| format!("{:?} {:?}", session.access, session.refresh));
            format!("{now:?} process {pid} writes {} {:?} {what:?}", key.as_str(), new.map(<[u8]>::len))
        });
        if let (Some(id), Some(_)) = (key.as_str().strip_prefix("ended."), new) {
            self.is_signed_out(id, now);
        }
        if let (true, Some(new)) = (key.as_str().starts_with("owed."), new)
            && let Some(issue) = read_owed(&Blob::new(new.to_vec())).as_deref().and_then(Issue::parse)
        {
            self.issues.entry(issue).or_default().stored = true;
        }
        let Some(id) = key.as_str().strip_prefix("session.") else { return };
        if let Some(old) = old
            && new.is_some()
            && !self.seen.contains(&(pid, key.clone(), old.to_vec()))
            && !self.has_store_fault()
        {
            self.violated(format!("8: {id} was written over what the writer had not read"));
        }
        let Some(new) = new else { return };
        let began = self.under_way.get(&(pid, key.clone())).copied().unwrap_or(now);
        if self.signed_out.get(id).is_some_and(|(at, _)| began > *at + Duration::from_secs(90)) {
            self.violated(format!("5: {id} was written after its sign-out"));
        }
        self.seen.insert((pid, key.clone(), new.to_vec()));
        let Some(session) = read_session(&Blob::new(new.to_vec())) else {
            self.violated(format!("3: {id} cannot be read back"));
            return;
        };
        let access = Issue::parse(&session.access);
        let refresh = session.refresh.as_deref().and_then(Issue::parse);
        if let Some(issue) = access {
            let earlier = self.sessions.insert(id.to_owned(), issue.grant);
            self.left.extend(earlier.filter(|earlier| *earlier != issue.grant));
        }
        for issue in [access, refresh].into_iter().flatten() {
            self.issues.entry(issue).or_default().stored = true;
        }
        let (Some(access), Some(refresh)) = (access, refresh) else { return };
        let grant = &server.grants[refresh.grant];
        // An older access token stands beside a newer refresh token only while the newer one's set was not validated.
        let is_one_set = access.grant == refresh.grant
            && (access.number >= refresh.number
                || (access.number..=refresh.number).any(|number| grant.unvalidated.contains(&number)));
        if !is_one_set {
            self.violated(format!("3: a set of two answers was stored: {access:?} and {refresh:?}"));
        }
        let next = grant.replaced.keys().find(|number| **number > refresh.number);
        if next.is_some_and(|next| access.number >= *next) {
            self.violated(format!("3: {refresh:?} was stored with the access token of a later one, {access:?}"));
        }
    }

    // --- the network

    /// A request is about to be sent; gives the number of a refresh.
    pub(super) fn sending(&mut self, pid: Pid, request: &HttpRequest, now: Duration, server: &Server) -> Option<usize> {
        let body = request.body.as_ref()?;
        let form: BTreeMap<String, String> = url::form_urlencoded::parse(body).into_owned().collect();
        if form.get("grant_type").map(String::as_str) != Some("refresh_token") {
            return None;
        }
        let issue = Issue::parse(form.get("refresh_token")?)?;
        self.trace(|| format!("{now:?} process {pid} sends {issue:?}"));
        if self.known.get(&(pid, issue.grant)).is_some_and(|known| *known > issue.number) {
            self.violated(format!("2: {issue:?} was sent by a process that had read a successor"));
        }
        self.learns(pid, issue);
        if self.sends.iter().any(|send| send.under_way && send.issue.grant == issue.grant) {
            self.violated(format!("9: two refreshes of grant {} at once", issue.grant));
        }
        self.resend(pid, issue, now, server);
        let before = self.sends.iter().rev().filter(|send| (send.pid, send.issue) == (pid, issue));
        if before.take(2).filter(|send| send.void && now < send.at + Duration::from_secs(5)).count() == 2 {
            self.violated(format!("2: {issue:?} was sent with a third proof in a row"));
        }
        self.sends.push(Send { pid, issue, at: now, under_way: true, void: false });
        Some(self.sends.len() - 1)
    }

    /// Called with the server at hand: how often was it sent before?
    fn check_resend(&mut self, pid: Pid, issue: Issue, now: Duration, access_is_valid: bool) {
        let before = self.unknown.get(&(pid, issue)).cloned().unwrap_or_default();
        let most = if self.is_oidc { 1 } else { 2 };
        if access_is_valid && before.len() >= most {
            self.violated(format!("2: {issue:?} was sent {} times by one process", before.len() + 1));
        }
        if access_is_valid && before.first().is_some_and(|first| now - *first >= WINDOW) {
            self.violated(format!("2: {issue:?} was sent again after 25 s while its access token was good"));
        }
    }

    /// What the server said to a revocation.
    pub(super) fn revocation_answered(&mut self, request: &HttpRequest, answer: &HttpResponse) {
        let refuses = matches!(answer.status, 400..=428 | 430..=499);
        let form = request.body.as_ref().map(|body| url::form_urlencoded::parse(body).into_owned());
        let token = form.and_then(|mut form| form.find(|(name, _)| name == "token").map(|(_, token)| token));
        if let (true, Some(issue)) = (refuses, token.as_deref().and_then(Issue::parse)) {
            self.refused_revocations.insert(issue.grant);
        }
    }

    pub(super) fn answered(
        &mut self,
        pid: Pid,
        asked: Option<usize>,
        answer: Option<&HttpResponse>,
        maybe_sent: bool,
        now: Duration,
    ) {
        let Some(number) = asked else {
            // A sign-in's tokens.
            if let Some(answer) = answer {
                self.brings(pid, answer);
            }
            return;
        };
        self.trace(|| {
            let body = answer.map(|answer| String::from_utf8_lossy(&answer.body).into_owned());
            format!("{now:?} process {pid} hears {body:?}")
        });
        let send = &mut self.sends[number];
        send.under_way = false;
        let (issue, at) = (send.issue, send.at);
        let refuses_proof = |answer: &HttpResponse| {
            let says = |error: &[u8]| answer.body.windows(error.len()).any(|part| part == error);
            says(b"use_dpop_nonce") || says(b"invalid_dpop_proof")
        };
        if answer.is_some_and(refuses_proof) {
            send.void = true;
            if self.first_send.get(&issue) == Some(&at) {
                self.first_send.remove(&issue);
            }
        }
        let is_known = match answer {
            None => !maybe_sent,
            Some(answer) => answer.status < 500 && (answer.status != 200 || issue_in(answer, "access_token").is_some()),
        };
        if answer.is_some_and(|answer| self.brings(pid, answer)) {
            self.unknown.remove(&(pid, issue));
            let is_same = answer.and_then(|answer| issue_in(answer, "refresh_token")).is_none_or(|new| new == issue);
            if is_same {
                self.first_send.remove(&issue);
            }
        } else if !is_known {
            self.unknown.entry((pid, issue)).or_default().push(at);
        }
    }

    /// What an answer tells a process; `false` if it has no tokens.
    fn brings(&mut self, pid: Pid, answer: &HttpResponse) -> bool {
        if let Some(refresh) = issue_in(answer, "refresh_token") {
            self.learns(pid, refresh);
        }
        let Some(issue) = issue_in(answer, "access_token") else { return false };
        self.issues.entry(issue).or_default().delivered = Some(pid);
        true
    }

    fn resend(&mut self, pid: Pid, issue: Issue, now: Duration, server: &Server) {
        let grant = &server.grants[issue.grant];
        let is_valid = grant.access.get(&issue.number).is_some_and(|until| now < *until);
        self.check_resend(pid, issue, now, is_valid && grant.current <= issue.number + 1);
        self.first_send.entry(issue).or_insert(now);
    }

    pub(super) fn issued(&mut self, issue: Issue, _now: Duration) {
        self.issues.entry(issue).or_default();
    }

    /// The server refused a refresh token.
    pub(super) fn refused(&mut self, issue: Issue, now: Duration, facts: &Facts<'_>) {
        match facts.server.grants[issue.grant].over {
            Some(Over::Scripted) | None => {}
            Some(Over::Revoked) => {
                // The refresh was on its way, or begun, when the session was ended.
                let id = self.sessions.iter().find(|(_, grant)| **grant == issue.grant).map(|(id, _)| id);
                let noted = id.and_then(|id| self.signed_out.get(id));
                let ended = noted.is_some_and(|(at, _)| now > *at + Duration::from_secs(90));
                if ended || (self.sign_outs_called.is_empty() && self.sign_ins_called < 2) {
                    self.violated(format!("5: {issue:?} was sent after it was revoked"));
                }
            }
            Some(Over::Reused) => {
                if let Some(why) = self.no_excuse(issue, facts) {
                    self.violated(format!("1: the session was lost: {why}"));
                }
            }
        }
    }

    /// Why a lost session is nobody's fault but ours; `None` if it is one of the losses of §1.
    fn no_excuse(&self, issue: Issue, facts: &Facts<'_>) -> Option<String> {
        // Late: the network delivered what the transport had taken back.
        if self.has_lost_data() || self.any(|event| matches!(event, Event::Net(NetFault::Late(_)))) {
            return None;
        }
        let grant = &facts.server.grants[issue.grant];
        let next = grant.access.keys().copied().find(|number| *number > issue.number)?;
        let successor = self.issues.get(&Issue { number: next, ..issue });
        if successor.is_some_and(|next| next.stored) {
            return Some(format!("{issue:?} was sent although its successor had been stored"));
        }
        let has_died = self.has_died() || !self.crashed.is_empty();
        // Other providers are not asked twice.
        if self.is_oidc && (self.unknown_first(issue).is_some() || has_died) {
            return None;
        }
        // At leeway 0 any lost answer; and a set that was not written before its process died.
        if self.leeway < 25 && (successor.is_none_or(|next| next.delivered.is_none()) || has_died) {
            return None;
        }
        let first = self.first_send.get(&issue).or_else(|| self.unknown_first(issue))?;
        let until = *first + WINDOW;
        let senders = self.sends.iter().filter(|send| send.issue == issue && !send.void);
        let died = senders.filter_map(|send| self.gone.get(&send.pid)).map(|(at, _)| *at).min();
        // Who dies later had the time to ask again.
        if let Some(died) = died.filter(|died| *died < until) {
            // Could somebody have asked again in time?
            let woke = self.gone.values().filter_map(|(at, secs)| Some(*at + Duration::from_secs((*secs)?)));
            let rebooted = |at: Duration| self.reboots.iter().any(|reboot| *reboot >= died && *reboot <= at);
            let asked = self.restores.iter().copied().filter(|at| !rebooted(*at));
            let in_time = woke.chain(asked).any(|at| at >= died && at < until);
            // The death that the scenario begins with is a first trouble; what somebody does is none.
            let troubles = self.events.iter().filter(|(event, _)| !matches!(event, Event::Act(_))).count();
            let troubled = self.events.len() > 1 || (self.died_before && troubles > 0);
            return (in_time && !troubled).then(|| format!("{issue:?} could have been sent again in time"));
        }
        let lost = self.sends.iter().filter(|send| send.issue == issue && send.at < until && !send.void).count();
        let offline = self.any(|event| matches!(event, Event::Net(NetFault::Offline(_))));
        let hung = self.has_store_fault();
        (lost < 2 && !offline && !hung).then(|| format!("{issue:?} was not sent again in time"))
    }

    fn unknown_first(&self, issue: Issue) -> Option<&Duration> {
        self.unknown.iter().filter(|((_, known), _)| *known == issue).filter_map(|(_, at)| at.first()).min()
    }

    pub(super) fn revoked(&mut self, issue: Issue, facts: &Facts<'_>) {
        self.trace(|| format!("the server revokes {issue:?}"));
        let called_off = self.any(|event| matches!(event, Event::Act(Act::Leave | Act::Cancel)));
        let other = self.any(|event| matches!(event, Event::Net(NetFault::Special(Special::OtherSubject))));
        // Of a grant that is over anyway nothing is taken.
        let is_over = facts.server.grants[issue.grant].over.is_some_and(|over| over != Over::Revoked);
        let live = facts.live_records();
        let holder = live.iter().find(|(_, session)| {
            session.refresh.as_deref().and_then(Issue::parse).is_some_and(|known| known.grant == issue.grant)
        });
        // Of a session that was ended by what the store made up.
        let is_nobodys = self.has_lost_data() && holder.is_none();
        let is_given_back = self.step_up_failed && !self.was_stored(issue.grant);
        let is_left = self.left.contains(&issue.grant) || is_nobodys || is_given_back;
        let has_reason =
            !self.sign_outs_called.is_empty() || self.sign_ins_called > 1 || called_off || other || is_left;
        if !has_reason && !is_over {
            self.violated(format!("6: {issue:?} was revoked without a reason"));
        }
        if let Some((id, _)) = holder
            && !self.has_store_fault()
        {
            self.violated(format!("6: {issue:?} was revoked although {id} is alive in the store"));
        }
    }

    // --- processes

    /// In the middle of something.
    pub(super) fn crashed(&mut self, pid: Pid) {
        self.crashed.insert(pid);
    }

    pub(super) fn died(&mut self, pid: Pid, now: Duration, _facts: &Facts<'_>) {
        self.gone.insert(pid, (now, None));
        self.sends.iter_mut().filter(|send| send.pid == pid).for_each(|send| send.under_way = false);
        self.under_way.retain(|(by, _), _| *by != pid);
    }

    pub(super) fn suspended(&mut self, pid: Pid, now: Duration, secs: u64, _facts: &Facts<'_>) {
        self.gone.insert(pid, (now, Some(secs)));
        // What is on the wire dies with its connection.
        self.sends.iter_mut().filter(|send| send.pid == pid).for_each(|send| send.under_way = false);
    }

    // --- what callers got

    pub(super) fn released(
        &mut self,
        token: &str,
        id: &str,
        persisted: bool,
        began: usize,
        facts: &Facts<'_>,
        now: Duration,
    ) {
        let is_over = self.signed_out.get(id).is_some_and(|(_, moment)| *moment < began);
        // A read that failed, also because its process slept over its deadline, says nothing.
        if is_over && !self.has_store_fault() && !self.was_suspended() {
            self.violated(format!("5: {id} gave a token after its sign-out"));
        }
        let clock_was_set = self.any(|event| matches!(event, Event::SetClock(_)));
        let Some(issue) = Issue::parse(token) else { return };
        let grant = &facts.server.grants[issue.grant];
        let is_old = grant.access.get(&issue.number).is_none_or(|until| now >= *until);
        if is_old && !clock_was_set && !self.has_died() {
            self.violated(format!("4: {issue:?} was handed out although it had expired"));
        }
        if grant.is_invalid(issue.number, now) {
            self.violated(format!("3: {issue:?} was handed out, and its ID token is not valid"));
        }
        let was_read = self.seen.iter().any(|(_, _, blob)| contains(blob, token));
        if persisted && !was_read {
            self.violated(format!("4: {issue:?} was handed out as stored, and it is not"));
        }
        if !persisted && !self.has_store_fault() && !self.has_died() {
            self.violated(format!("4: {issue:?} was handed out unstored, and the store is healthy"));
        }
    }

    pub(super) fn signed_in(&mut self, user: &'static str, now: Duration) {
        self.newest_user = Some((user, now));
    }

    /// Who `restore` gave.
    pub(super) fn is_default(&mut self, user: Option<String>, began: Duration, facts: &Facts<'_>) {
        let Some((newest, at)) = self.newest_user else { return };
        // Of two sign-ins at once either may be the later one, and of a choice beside one.
        if self.sign_ins_called == 2
            && !self.any(|event| matches!(event, Event::Act(Act::Choose(_))))
            && !self.crossed
            && self.signing_in == 0
            && at <= began
            && at > Duration::ZERO
            && user.as_deref().is_some_and(|user| user != newest)
            && self.sign_outs_called.is_empty()
            && !self.has_store_fault()
            && facts.server.grants.iter().all(|grant| grant.over.is_none())
        {
            self.violated(format!("7: {newest} had signed in, and {user:?} is the default"));
        }
    }

    /// The server answered to a revocation that it does not want to.
    pub(super) fn refused_to_revoke(&self, grant: usize) -> bool {
        self.refused_revocations.contains(&grant)
    }

    pub(super) fn was_suspended(&self) -> bool {
        self.any(|event| matches!(event, Event::Suspend { .. }))
    }

    pub(super) fn ended(&mut self, reason: EndReason, facts: &Facts<'_>) {
        let refused = facts.server.grants.iter().any(|grant| grant.over.is_some());
        let has_cause = match reason {
            // Also of a record that another process has deleted because the server refused it.
            EndReason::SignedOut => {
                !self.sign_outs_called.is_empty() || self.has_lost_data() || self.sign_ins_called > 1 || refused
            }
            EndReason::Replaced => self.sign_ins_called > 1,
            EndReason::RefreshTokenRefused | EndReason::RefreshInterrupted => refused,
            EndReason::SubjectChanged => {
                self.any(|event| matches!(event, Event::Net(NetFault::Special(Special::OtherSubject))))
            }
        };
        let refused_by_script = self.any(|event| matches!(event, Event::Net(NetFault::Answer(400, "invalid_grant"))));
        if !has_cause && !refused_by_script {
            self.violated(format!("1: the session ended without a cause: {reason:?}"));
        }
    }

    /// Whether nobody may be signed in, or a session over, for a reason of §1 other than that another took its place.
    pub(super) fn may_be_over(&self, facts: &Facts<'_>) -> bool {
        let by_server =
            facts.server.grants.iter().any(|grant| matches!(grant.over, Some(Over::Scripted | Over::Reused)));
        by_server
            || !self.sign_outs_called.is_empty()
            || self.has_lost_data()
            || (self.has_store_fault() && self.has_died() && self.sign_ins_called > 1)
            || self.any(|event| {
                matches!(
                    event,
                    Event::Net(NetFault::Answer(400, "invalid_grant") | NetFault::Special(Special::OtherSubject))
                )
            })
    }

    /// Whether the newest answer of a grant was lost, or died unstored with its process, or could be neither stored nor
    /// revoked.
    pub(super) fn newest_is_lost(&self, grant: usize, facts: &Facts<'_>) -> bool {
        let newest = facts.server.grants[grant].newest();
        let issue = Issue { grant, number: newest };
        let Some(known) = self.issues.get(&issue) else { return true };
        let Some(pid) = known.delivered else { return true };
        let has_net_fault = self.any(|event| matches!(event, Event::Net(_)));
        let has_crashed = !self.crashed.is_empty();
        let is_lost = self.crashed.contains(&pid) || (self.has_store_fault() && has_net_fault);
        // Whose tombstone the store did not take, and who died before the server had heard.
        let mut signed_out = self.sign_outs_called.iter().filter_map(|id| self.sessions.get(id));
        let is_ended = signed_out.any(|known| *known == grant) || self.sign_ins_called > 1;
        let is_cut_off = has_crashed && self.has_store_fault() && is_ended;
        // Who dies between the two: the grant that a step-up leaves ends by itself.
        let is_left = has_crashed && self.left.contains(&grant);
        (!known.stored && is_lost) || is_cut_off || is_left || self.has_lost_at_restart()
    }

    /// The storage lost what it had acknowledged.
    fn has_lost_at_restart(&self) -> bool {
        self.any(|event| matches!(event, Event::Store(StoreFault::Gone | StoreFault::Torn)))
    }

    /// Whether the server has ended what a session lives on.
    pub(super) fn has_lost_grant(&self, id: &str, facts: &Facts<'_>) -> bool {
        self.sessions.get(id).is_some_and(|grant| facts.server.grants[*grant].over.is_some())
    }

    /// Whether a session was of this grant before a step-up.
    pub(super) fn was_left(&self, grant: usize) -> bool {
        self.left.contains(&grant)
    }

    /// Whether the imported token came to be a session.
    pub(super) fn was_stored(&self, grant: usize) -> bool {
        self.sessions.values().any(|known| *known == grant)
    }
}

fn issue_in(answer: &HttpResponse, member: &str) -> Option<Issue> {
    if answer.status != 200 {
        return None;
    }
    let json: serde_json::Value = serde_json::from_slice(&answer.body).ok()?;
    Issue::parse(json.get(member)?.as_str()?)
}

fn contains(blob: &[u8], token: &str) -> bool {
    blob.windows(token.len()).any(|window| window == token.as_bytes())
}
