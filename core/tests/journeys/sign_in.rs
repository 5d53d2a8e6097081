//! What an app does with a sign-in, and what it can see of one.

use std::time::Duration;

use directauth::{Recovery, SignIn, Step, StepUpDemand};
use directauth_emulator::PushReaction;
use serde_json::{Map, Value, json};
use sha2::Digest;

use super::check::equal;
use super::play::{Outcome, Play, Request, take_text};

impl Play<'_> {
    /// What sends something for a sign-in, ready to be run.
    pub(super) fn sign_in_request(&mut self, call: &mut Map<String, Value>) -> Result<Option<Request>, String> {
        if let Some(username) = take_text(call, "sign_in") {
            self.username = username.trim().to_owned();
            self.canaries.typed(&self.username.clone());
            let mut sign_in = self.process().client().sign_in(&username);
            if let Some(values) = call.remove("acr_values") {
                let values: Vec<String> = serde_json::from_value(values).map_err(|error| error.to_string())?;
                sign_in = sign_in.acr_values(values);
            }
            if let Some(age) = call.remove("max_age_s") {
                sign_in = sign_in.max_age(Duration::from_secs(age.as_u64().ok_or("seconds")?));
            }
            return self.first_factor(call, sign_in).map(Some);
        }
        if call.remove("step_up").is_some() {
            let session = self.process().session.clone().ok_or("no session")?;
            self.username = session.username();
            let values: Vec<String> = match call.remove("acr_values") {
                Some(values) => serde_json::from_value(values).map_err(|error| error.to_string())?,
                None => Vec::new(),
            };
            let age = call.remove("max_age_s").map(|age| age.as_u64().expect("seconds"));
            let demand = StepUpDemand::new(values, age.map(Duration::from_secs));
            return self.first_factor(call, session.step_up(&demand)).map(Some);
        }
        if let Some(username) = take_text(call, "recover") {
            self.username = username.trim().to_owned();
            self.canaries.typed(&self.username.clone());
            let recovery = self.process().client().recover(&username);
            return self.recovery_factor(call, recovery).map(Some);
        }
        if let Some(password) = take_text(call, "set_password") {
            self.canaries.never_stored(&password);
            let step = self.process().step.clone();
            return Ok(Some(Box::pin(async move {
                match step.as_deref() {
                    Some(Step::ResetPassword(step)) => step.set(password).await.into(),
                    other => panic!("no new password is asked for, but {other:?}"),
                }
            })));
        }
        if call.remove("sign_in_with_passkey").is_some() {
            let client = self.process().client().clone();
            return Ok(Some(Box::pin(async move { client.sign_in_with_passkey().await.into() })));
        }
        if let Some(answer) = take_text(call, "answer") {
            let step = self.process().step.clone().ok_or("no step")?;
            let Step::UsePasskey(passkey) = &*step else { return Err(format!("no passkey step, but {step:?}")) };
            let answer = self.assertion(&answer, passkey.request_json())?;
            return Ok(Some(Box::pin(async move {
                match &*step {
                    Step::UsePasskey(step) => step.answer(&answer).await.into(),
                    other => panic!("{other:?}"),
                }
            })));
        }
        if call.remove("renew").is_some() {
            let step = self.process().step.clone();
            return Ok(Some(Box::pin(async move {
                match step.as_deref() {
                    Some(Step::UsePasskey(step)) => step.renew().await.into(),
                    other => panic!("no passkey step, but {other:?}"),
                }
            })));
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
                    "passkey" => choice.passkey().await,
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
        for name in ["push", "sms", "voice", "email", "passkey"] {
            if call.remove(name).is_some() {
                return Ok(Box::pin(async move {
                    let step = match name {
                        "push" => sign_in.push().await,
                        "sms" => sign_in.sms().await,
                        "voice" => sign_in.voice().await,
                        "passkey" => sign_in.passkey().await,
                        _ => sign_in.email().await,
                    };
                    step.into()
                }));
            }
        }
        Err("no first factor given".into())
    }

    fn recovery_factor(&mut self, call: &mut Map<String, Value>, recovery: Recovery) -> Result<Request, String> {
        if let Some(code) = take_text(call, "otp") {
            let code = self.type_code(&code);
            return Ok(Box::pin(async move { recovery.otp(code).await.into() }));
        }
        for name in ["push", "sms", "voice", "email", "passkey"] {
            if call.remove(name).is_some() {
                return Ok(Box::pin(async move {
                    let step = match name {
                        "push" => recovery.push().await,
                        "sms" => recovery.sms().await,
                        "voice" => recovery.voice().await,
                        "passkey" => recovery.passkey().await,
                        _ => recovery.email().await,
                    };
                    step.into()
                }));
            }
        }
        Err("no factor given".into())
    }

    /// What the platform makes of a request: a signed answer, one that nobody has signed, or none.
    fn assertion(&mut self, kind: &str, request: &str) -> Result<String, String> {
        match kind {
            "signed" => self.platform.as_mut().ok_or("nobody has a passkey")?.asked(request),
            "unsigned" => Ok(unsigned(request, None)),
            "of_another_challenge" => Ok(unsigned(request, Some("QW5vdGhlciBjaGFsbGVuZ2U"))),
            "nonsense" => Ok("{}".to_owned()),
            other => Err(format!("unknown answer {other}")),
        }
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
        } else if let Some(expected) = call.remove("request") {
            let Some(Step::UsePasskey(step)) = self.step() else { return Err("no passkey step".into()) };
            let found: Map<String, Value> = serde_json::from_str(step.request_json()).map_err(|e| e.to_string())?;
            let expected: Map<String, Value> = serde_json::from_value(expected).map_err(|e| e.to_string())?;
            for (name, expected) in expected {
                equal(&name, found.get(&name).unwrap_or(&Value::Null), &expected)?;
            }
        } else if let Some(expected) = call.remove("enrolled") {
            let Some(Step::UsePasskey(step)) = self.step() else { return Err("no passkey step".into()) };
            let found = step.enrolled().iter().map(|passkey| Value::from(passkey.name.as_str())).collect();
            equal("enrolled", &Value::Array(found), &expected)?;
        } else if let Some(expected) = call.remove("number") {
            self.look_at_number(&expected)?;
        } else if let Some(expected) = call.remove("expires_in_s") {
            let at = match (self.step(), &self.process().session) {
                (Some(Step::ApproveOnDevice(step)), _) => step.expires_at(),
                (Some(Step::EnterCode(step)), _) => step.expires_at(),
                (Some(Step::UsePasskey(step)), _) => step.expires_at(),
                (Some(Step::ResetPassword(step)), _) => step.expires_at(),
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
            Some(Step::UsePasskey(step)) => step.cancel(),
            Some(Step::ChooseFactor(step)) => step.cancel(),
            Some(Step::ResetPassword(step)) => step.cancel(),
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

/// An answer to a request, or to another challenge, that nobody has signed.
fn unsigned(request: &str, challenge: Option<&str>) -> String {
    let base64url = |bytes: &[u8]| data_encoding::BASE64URL_NOPAD.encode(bytes);
    let request: Value = serde_json::from_str(request).expect("JSON");
    let asked = request["challenge"].as_str().expect("a challenge");
    let client =
        json!({"type": "webauthn.get", "challenge": challenge.unwrap_or(asked), "origin": "https://localhost"});
    let mut data = sha2::Sha256::digest(request["rpId"].as_str().expect("a relying party")).to_vec();
    data.extend([5, 0, 0, 0, 1]);
    let id = request["allowCredentials"][0]["id"].as_str().unwrap_or("AQID");
    let response = json!({
        "clientDataJSON": base64url(client.to_string().as_bytes()),
        "authenticatorData": base64url(&data),
        "signature": base64url(b"nobody's"),
    });
    json!({"id": id, "rawId": id, "type": "public-key", "response": response}).to_string()
}
