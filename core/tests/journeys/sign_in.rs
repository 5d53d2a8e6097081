//! What an app does with a sign-in, and what it can see of one.

use directauth::{SignIn, Step};
use directauth_emulator::PushReaction;
use serde_json::{Map, Value};

use super::check::equal;
use super::play::{Outcome, Play, Request, take_text};

impl Play<'_> {
    /// What sends something for a sign-in, ready to be run.
    pub(super) fn sign_in_request(&mut self, call: &mut Map<String, Value>) -> Result<Option<Request>, String> {
        if let Some(username) = take_text(call, "sign_in") {
            self.username = username.trim().to_owned();
            self.canaries.typed(&self.username.clone());
            let sign_in = self.process().client().sign_in(&username);
            return self.first_factor(call, sign_in).map(Some);
        }
        if let Some(factor) = take_text(call, "choose") {
            let choice = match self.step() {
                Some(Step::ChooseFactor(choice)) => choice.clone(),
                other => return Err(format!("no choice in hand, but {other:?}")),
            };
            let code = take_text(call, "code").map(|code| self.type_code(&code));
            return Ok(Some(Box::pin(async move {
                let step = match factor.as_str() {
                    "otp" => choice.otp(code.expect("a code")).await,
                    "push" => choice.push().await,
                    "sms" => choice.sms().await,
                    "voice" => choice.voice().await,
                    "email" => choice.email().await,
                    other => panic!("unknown factor {other}"),
                };
                step.into()
            })));
        }
        if let Some(code) = take_text(call, "submit") {
            let code = self.type_code(&code);
            let step = self.process().step.clone();
            return Ok(Some(Box::pin(async move {
                match step.as_deref() {
                    Some(Step::EnterCode(step)) => step.submit(code).await.into(),
                    other => panic!("no code step, but {other:?}"),
                }
            })));
        }
        if call.remove("approved").is_some() {
            let step = self.process().step.clone();
            return Ok(Some(Box::pin(async move {
                match step.as_deref() {
                    Some(Step::ApproveOnDevice(step)) => step.approved().await.into(),
                    other => panic!("no push step, but {other:?}"),
                }
            })));
        }
        if call.remove("resend").is_some() {
            let step = self.process().step.clone();
            return Ok(Some(Box::pin(async move {
                match step.as_deref() {
                    Some(Step::ApproveOnDevice(step)) => step.resend().await.into(),
                    Some(Step::EnterCode(step)) => step.resend().await.into(),
                    other => panic!("nothing to resend: {other:?}"),
                }
            })));
        }
        Ok(None)
    }

    fn first_factor(&mut self, call: &mut Map<String, Value>, sign_in: SignIn) -> Result<Request, String> {
        if let Some(password) = take_text(call, "password") {
            self.canaries.never_stored(&password);
            return Ok(Box::pin(async move { sign_in.password(password).await.into() }));
        }
        if let Some(code) = take_text(call, "otp") {
            let code = self.type_code(&code);
            return Ok(Box::pin(async move { sign_in.otp(code).await.into() }));
        }
        for name in ["push", "sms", "voice", "email"] {
            if call.remove(name).is_some() {
                return Ok(Box::pin(async move {
                    let step = match name {
                        "push" => sign_in.push().await,
                        "sms" => sign_in.sms().await,
                        "voice" => sign_in.voice().await,
                        _ => sign_in.email().await,
                    };
                    step.into()
                }));
            }
        }
        Err("no first factor given".into())
    }

    /// What is done with the step in hand, or seen of it, without a request; `None` if the call is about something else.
    pub(super) fn look_at_step(&mut self, call: &mut Map<String, Value>) -> Result<Option<Outcome>, String> {
        if call.remove("back").is_some() {
            let choice = self.step().and_then(Step::choice);
            return Ok(Some(Outcome::Step(Step::ChooseFactor(choice.ok_or("not a second factor")?))));
        }
        if call.remove("cancel").is_some() {
            self.cancel()?;
        } else if call.remove("drop").is_some() {
            self.process_mut().step.take().ok_or("nothing to drop")?;
        } else if let Some(expected) = call.remove("factors") {
            let Some(Step::ChooseFactor(choice)) = self.step() else { return Err("no choice".into()) };
            let found: Vec<_> = choice.factors().into_iter().map(|f| Value::from(f.name())).collect();
            equal("factors", &Value::Array(found), &expected)?;
        } else if let Some(expected) = call.remove("number") {
            self.look_at_number(&expected)?;
        } else if let Some(expected) = call.remove("expires_in_s") {
            let at = match (self.step(), &self.process().session) {
                (Some(Step::ApproveOnDevice(step)), _) => step.expires_at(),
                (Some(Step::EnterCode(step)), _) => step.expires_at(),
                (None, Some(session)) => session.expires_at(),
                other => return Err(format!("nothing expires: {other:?}")),
            };
            equal("expires in", &Value::from(self.seconds_until(at)), &expected)?;
        } else if let Some(expected) = call.remove("resend_in_s") {
            let Some(Step::EnterCode(step)) = self.step() else { return Err("no code step".into()) };
            equal("resend in", &Value::from(self.seconds_until(step.resend_at())), &expected)?;
        } else if let Some(expected) = call.remove("attempts_left") {
            let Some(Step::EnterCode(step)) = self.step() else { return Err("no code step".into()) };
            equal("attempts left", &Value::from(step.attempts_left()), &expected)?;
        } else {
            return Ok(None);
        }
        Ok(Some(Outcome::Done))
    }

    fn look_at_number(&self, expected: &Value) -> Result<(), String> {
        let Some(Step::ApproveOnDevice(step)) = self.step() else { return Err("no push".into()) };
        if let Some(expected) = expected.as_str() {
            return equal("the number", &step.number(), &Some(expected));
        }
        equal("a number is shown", &step.number().is_some(), &expected.as_bool().expect("true, false or a text"))?;
        let Some(number) = step.number() else { return Ok(()) };
        let pending = self.tenant.pending_pushes();
        let shown = pending.iter().any(|push| push.number.as_deref() == Some(number));
        equal("the number is the one on the device", &shown, &true)
    }

    /// What the user will do with the next prompt.
    pub(super) fn expect_of_user(&self, reaction: Value) -> Result<(), String> {
        let reaction: Map<String, Value> = serde_json::from_value(reaction).map_err(|e| e.to_string())?;
        for (what, value) in reaction {
            let after_polls = value.as_u64().and_then(|n| u32::try_from(n).ok()).ok_or("a number of polls")?;
            self.tenant.on_next_push(match what.as_str() {
                "approves_after_polls" => PushReaction::Approve { after_polls },
                "declines_after_polls" => PushReaction::Deny { after_polls },
                "taps_wrong_number_after_polls" => PushReaction::WrongNumber { after_polls },
                other => return Err(format!("unknown reaction {other}")),
            });
        }
        Ok(())
    }

    pub(super) fn cancel(&self) -> Result<(), String> {
        match self.step() {
            Some(Step::ApproveOnDevice(step)) => step.cancel(),
            Some(Step::EnterCode(step)) => step.cancel(),
            Some(Step::ChooseFactor(step)) => step.cancel(),
            other => return Err(format!("nothing to cancel: {other:?}")),
        }
        Ok(())
    }

    fn step(&self) -> Option<&Step> {
        self.process().step.as_deref()
    }

    fn type_code(&mut self, code: &str) -> String {
        let code = self.fill_code(code);
        self.canaries.never_stored(&code);
        code
    }

    fn fill_code(&self, code: &str) -> String {
        let user = &self.username;
        match code {
            "$totp" => self.tenant.totp(user).expect("the user has an authenticator app"),
            "$wrong_totp" => self.tenant.wrong_totp(user).expect("the user has an authenticator app"),
            "$code" => self.tenant.last_code(user).expect("a code was sent"),
            "$code_spaced" => {
                let code = self.tenant.last_code(user).expect("a code was sent");
                format!(" {}-{} ", &code[..3], &code[3..])
            }
            "$wrong_code" => {
                let right = self.tenant.last_code(user).expect("a code was sent");
                let first = if right.starts_with('1') { '2' } else { '1' };
                format!("{first}{}", &right[1..])
            }
            other => other.to_owned(),
        }
    }
}
