//! The sign-ins, what the user does in them, and what may be left.

use core::time::Duration;
use std::collections::BTreeMap;
use std::time::Instant;

use directauth_emulator::{Answer, Config, Emulator, Entry, Fault, PushReaction, Rule, Tenant};

use crate::Failure;
use crate::child::{ASKED, HOLDING, OVER, SIGNED_OUT, WAITING};
use crate::link::{News, Watched};
use crate::plants::{random_bytes, random_text};
use crate::process::writable_memory;
use crate::scan::{Hit, Needle, Search};

/// Buffers end with their threads, a moment after the app has its answer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);

pub(crate) struct Flow {
    pub(crate) name: &'static str,
    user: &'static str,
    /// What the server and the user do by themselves.
    prepare: fn(&Tenant),
}

const ANA: &str = "ana@example.com";
const BEN: &str = "ben@example.com";

pub(crate) const FLOWS: &[Flow] = &[
    Flow { name: "password", user: BEN, prepare: |_| {} },
    Flow { name: "warmed", user: BEN, prepare: |_| {} },
    Flow { name: "otp", user: BEN, prepare: |_| {} },
    Flow { name: "password-otp", user: ANA, prepare: |_| {} },
    Flow {
        name: "password-push",
        user: ANA,
        prepare: |tenant| tenant.on_next_push(PushReaction::Approve { after_polls: 1 }),
    },
    Flow { name: "password-sms", user: ANA, prepare: |_| {} },
    Flow { name: "sms", user: ANA, prepare: |_| {} },
    Flow { name: "wrong-password", user: BEN, prepare: |_| {} },
    Flow { name: "wrong-code", user: ANA, prepare: |_| {} },
    Flow { name: "push-dropped", user: ANA, prepare: |tenant| tenant.on_next_push(PushReaction::Ignore) },
    Flow { name: "push-cancelled", user: ANA, prepare: |tenant| tenant.on_next_push(PushReaction::Ignore) },
    Flow { name: "password-timeout", user: BEN, prepare: |tenant| tenant.script(stall("password")) },
    Flow { name: "code-timeout", user: ANA, prepare: |tenant| tenant.script(stall("mfa-otp")) },
    Flow { name: "password-abandoned", user: BEN, prepare: |tenant| tenant.script(stall("password")) },
    Flow {
        name: "interrupted",
        user: BEN,
        prepare: |tenant| tenant.script(Rule::on("token").answer(Answer::fault(Fault::CloseAfterProcessing))),
    },
    Flow { name: "used", user: BEN, prepare: |_| {} },
    Flow { name: "bound", user: BEN, prepare: |_| {} },
    Flow { name: "recovery", user: BEN, prepare: |_| {} },
    Flow { name: "recovery-dropped", user: BEN, prepare: |_| {} },
];

fn stall(grant: &str) -> Rule {
    Rule::on("token").grant(grant).answer(Answer::fault(Fault::Stall))
}

/// The server, with passwords that no program text holds.
pub(crate) struct Bench {
    emulator: Emulator,
    config: Config,
}

impl Bench {
    pub(crate) fn new() -> Result<Self, Failure> {
        let mut config = Config::demo();
        for user in &mut config.users {
            user.password = Some(random_text()?);
        }
        let emulator = Emulator::builder().config(config.clone()).start()?;
        Ok(Self { emulator, config })
    }

    /// Plays one flow and looks at each place where the child stands still.
    pub(crate) fn check(&self, flow: &Flow) -> Result<(), Failure> {
        let tenant = self.emulator.tenant();
        (flow.prepare)(&tenant);
        // Where the server stalls; an abandoned request still runs to its end, before the patience does.
        let timeout = match flow.name {
            "password-abandoned" => "1000",
            "password-timeout" | "code-timeout" => "2000",
            _ => "30000",
        };
        let (issuer, client_id) = (tenant.issuer(), tenant.client_id());
        let mut child = Watched::start(&["sign-in", flow.name, &issuer, &client_id, flow.user, timeout])?;
        let is_recovery = flow.name.starts_with("recovery");
        let mut watch = Watch { tenant, typed: Vec::new(), told: Vec::new(), is_recovery };
        let mut problems = Vec::new();
        let mut is_over = false;
        loop {
            match child.next()? {
                News::Ask(what) => {
                    let answer =
                        if what == "ca" { self.emulator.ca_pem() } else { self.types(&what, flow, &mut watch)? };
                    child.answer(&answer)?;
                    continue;
                }
                News::Tell(token) => {
                    watch.told.push(token);
                    continue;
                }
                News::Reached(place) if place == HOLDING => {
                    watch.must_see(&child, &watch.last_typed(), &mut problems)?
                }
                News::Reached(place) if place == ASKED => watch.until_the_server_was_asked()?,
                News::Reached(place) if place == WAITING => {
                    watch.until_a_poll_was_answered()?;
                    let tokens: Vec<_> =
                        watch.of_the_sign_in().into_iter().filter(|needle| !watch.was_typed(needle)).collect();
                    watch.must_see(&child, &tokens, &mut problems)?;
                    // What was sent is gone although its connection is still open.
                    watch.must_not_see(flow, WAITING, &child, &watch.typed, &mut problems)?;
                }
                News::Reached(place) if place == OVER => {
                    is_over = true;
                    if watch.is_recovery {
                        // Its token is given back; until then the server has not named it.
                        watch.until("revoke", |_| true)?;
                    }
                    watch.must_not_see(flow, OVER, &child, &watch.of_the_sign_in(), &mut problems)?;
                }
                News::Reached(place) if place == SIGNED_OUT => {
                    watch.must_not_see(flow, SIGNED_OUT, &child, &watch.all(), &mut problems)?;
                }
                News::Reached(place) => return Err(format!("stands still at {place}").into()),
                News::Ended(words) if !words.is_empty() => return Err(words.into()),
                News::Ended(_) if !is_over => return Err("the child ended before its sign-in".into()),
                News::Ended(_) if problems.is_empty() => return Ok(()),
                News::Ended(_) => return Err(problems.join("\n  ").into()),
            }
            child.go_on()?;
        }
    }

    /// What the user types, remembered.
    fn types(&self, what: &str, flow: &Flow, watch: &mut Watch) -> Result<String, Failure> {
        let text = match what {
            "password" => {
                self.config.users.iter().find(|user| user.username == flow.user).and_then(|u| u.password.clone())
            }
            "otp" => watch.tenant.totp(flow.user),
            "sms" => watch.tenant.last_code(flow.user),
            "wrong code" => Some(a_code_unlike(watch.tenant.totp(flow.user).unwrap_or_default().as_str())?),
            _ => Some(random_text()?),
        };
        let text = text.ok_or_else(|| format!("there is no {what}"))?;
        watch.typed.push(Needle::new(what, text.clone()));
        Ok(text)
    }
}

/// Six digits, none of them where `right` has it.
fn a_code_unlike(right: &str) -> Result<String, Failure> {
    let [byte] = random_bytes()?;
    let shift = 1 + byte % 9;
    Ok(right.bytes().map(|digit| char::from(b'0' + (digit.wrapping_sub(b'0') + shift) % 10)).collect())
}

/// So many random codes show how often six digits are there by chance.
const CONTROLS: usize = 100;

fn other_code() -> Result<Needle, Failure> {
    let digits = random_bytes::<6>()?.map(|byte| char::from(b'0' + byte % 10));
    Ok(Needle::new("nobody's code", digits.iter().collect::<String>()))
}

/// What the parent knows of one child.
struct Watch {
    tenant: Tenant,
    typed: Vec<Needle>,
    told: Vec<String>,
    is_recovery: bool,
}

impl Watch {
    fn last_typed(&self) -> Vec<Needle> {
        self.typed.last().cloned().into_iter().collect()
    }

    fn was_typed(&self, needle: &Needle) -> bool {
        self.typed.iter().any(|typed| typed.value() == needle.value())
    }

    /// What was typed, and the tokens of the sign-in that reached the server: `mfa_token` and `oob_code`.
    fn of_the_sign_in(&self) -> Vec<Needle> {
        let mut needles = self.typed.clone();
        for entry in &self.tenant.journal().0 {
            // Of a recovery the access token too: it is no session's.
            let names: &[&str] =
                if self.is_recovery { &["mfa_token", "oob_code", "token"] } else { &["mfa_token", "oob_code"] };
            for name in names.iter().copied() {
                if let Some(value) = entry.param(name)
                    && needles.iter().all(|known| known.value() != value)
                {
                    needles.push(Needle::new(name, value));
                }
            }
        }
        needles
    }

    /// Those, and every token of the session: as the child told it or as the server got it back.
    fn all(&self) -> Vec<Needle> {
        let mut needles = self.of_the_sign_in();
        let mut add = |name: &str, value: &str| {
            // The header of a JWT is no secret and the same for all of them.
            let value = if value.matches('.').count() == 2 {
                value.split_once('.').map_or(value, |(_, rest)| rest)
            } else {
                value
            };
            if needles.iter().all(|known| known.value() != value) {
                needles.push(Needle::new(name, value));
            }
        };
        for token in &self.told {
            add("access or ID token", token);
        }
        for entry in &self.tenant.journal().0 {
            for name in ["refresh_token", "token"] {
                if let Some(value) = entry.param(name) {
                    add("refresh token", value);
                }
            }
            let token = entry.header("authorization").and_then(|value| value.split_once(' '));
            if let Some((_, token)) = token {
                add("access token", token);
            }
        }
        needles
    }

    /// A search that finds nothing where something is proves nothing.
    fn must_see(&self, child: &Watched, needles: &[Needle], problems: &mut Vec<String>) -> Result<(), Failure> {
        let hits = Search::new(needles).run(&writable_memory(child.id())?);
        for (index, needle) in needles.iter().enumerate() {
            if !hits.iter().any(|hit| hit.needle == index && hit.whole) {
                problems.push(format!("{} is in use and was not found", needle.name));
            }
        }
        if needles.is_empty() {
            problems.push("nothing to look for".to_owned());
        }
        Ok(())
    }

    fn must_not_see(
        &self,
        flow: &Flow,
        place: &str,
        child: &Watched,
        needles: &[Needle],
        problems: &mut Vec<String>,
    ) -> Result<(), Failure> {
        let search = Search::new(needles);
        let began = Instant::now();
        let first = search.run(&writable_memory(child.id())?);
        let mut last = search.run(&writable_memory(child.id())?);
        while !last.is_empty() && began.elapsed() < PATIENCE {
            last = search.run(&writable_memory(child.id())?);
        }
        print(flow, place, needles, &first, &last);
        if needles.iter().any(Needle::is_number) {
            let others = (0..CONTROLS).map(|_| other_code()).collect::<Result<Vec<_>, _>>()?;
            let found = Search::new(&others).run(&writable_memory(child.id())?).len();
            println!("{:<18} {place:<28} {found} hits of {CONTROLS} codes that nobody typed", flow.name);
        }
        problems.extend(last.iter().map(|hit| format!("left behind: {hit}")));
        Ok(())
    }

    /// The user looks at the push while the app asks for the answer.
    fn until_a_poll_was_answered(&self) -> Result<(), Failure> {
        self.until("token", |entry| entry.param("oob_code").is_some() && entry.status.is_some())
    }

    fn until_the_server_was_asked(&self) -> Result<(), Failure> {
        self.until("token", |entry| entry.param("password").is_some())
    }

    fn until(&self, operation: &str, is_it: fn(&Entry) -> bool) -> Result<(), Failure> {
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(20) {
            if self.tenant.journal().of(operation).into_iter().any(is_it) {
                return Ok(());
            }
            std::thread::yield_now();
        }
        Err("the child does not ask the server".into())
    }
}

fn print(flow: &Flow, place: &str, needles: &[Needle], first: &[Hit], last: &[Hit]) {
    let mut rows: BTreeMap<&str, [usize; 4]> = BTreeMap::new();
    for (index, needle) in needles.iter().enumerate() {
        let count = |hits: &[Hit], whole| hits.iter().filter(|hit| hit.needle == index && hit.whole == whole).count();
        let row = rows.entry(&needle.name).or_default();
        for (sum, (hits, whole)) in row.iter_mut().zip([(first, true), (first, false), (last, true), (last, false)]) {
            *sum += count(hits, whole);
        }
    }
    for (name, [whole, pieces, whole_left, pieces_left]) in rows {
        println!("{:<18} {place:<28} {name:<18} {whole} + {pieces} → {whole_left} + {pieces_left}", flow.name);
    }
}
