//! The tour: everything that can happen to a sign-in, played by itself against the emulator.
//!
//! Each scene is what an app does, call by call; the emulator's [`Tenant`] plays the user's phone. What comes out
//! differently from what the scene says ends the tour with an error.

use core::fmt::Debug;
use core::time::Duration;
use std::sync::Arc;
use std::time::Instant;

use directauth::env::{Environment, Transport};
use directauth::{Advice, Client, ClientBuilder, DPoP, Error, Factor, Remedy, ServerSignOut, Session, Step, Trust};
use directauth_emulator::{Emulator, PushReaction, Tenant};
use futures_util::future::join_all;

use crate::authenticator::Platform;
use crate::page::{Page, since};
use crate::requests::Requests;
use crate::stop::Stop;
use crate::{SCOPES, api, trouble, words};

const ANA: &str = "ana@example.com";
const BEN: &str = "ben@example.com";
const CLEO: &str = "cleo@example.com";

/// Plays it all.
pub(crate) async fn play(page: Page) -> Result<(), Stop> {
    let start = Instant::now();
    let emulator = Emulator::start().map_err(|error| Stop::Failed(error.to_string()))?;
    let mut tour = Tour::new(page, &emulator)?;
    page.line("DirectAuth: signing users in without a browser. A tour that plays by itself.\n");
    page.line(&format!("  server  {}  (the embedded emulator, over TLS)", tour.tenant.issuer()));
    page.line(&format!("  client  {}", tour.tenant.client_id()));
    page.line("  At the right of each step: the requests that it took.");

    password_and_code(&mut tour).await?;
    wrong_code_then_right(&mut tour).await?;
    push_with_number(&mut tour).await?;
    let session = declined_then_sms(&mut tour).await?;
    api_and_refresh(&mut tour, &session).await?;
    sign_out(&mut tour, session).await?;
    wrong_password(&mut tour).await?;
    passkeys(&mut tour).await?;
    forgotten_password(&mut tour).await?;
    step_up(&mut tour).await?;
    bound_tokens(&mut tour).await?;
    trouble::everything(&mut tour, &emulator).await?;

    page.line(&format!("\n{} steps, {} requests, {}.", tour.steps, tour.sent, since(start)));
    page.line("Run it in a terminal without --auto and be the user; --help tells how to use your own server.");
    Ok(())
}

async fn password_and_code(tour: &mut Tour) -> Result<(), Stop> {
    tour.page.title("1  Password, then a code from the authenticator app");
    let client = tour.client()?;
    client.warm_up().await;
    tour.tell("server looked up while the user types");
    let step = client.sign_in(ANA).password("correct horse battery").await?;
    let Step::ChooseFactor(choice) = step else { return unexpected(&step) };
    let factors: Vec<&str> = choice.factors().into_iter().map(Factor::name).collect();
    tour.tell(&format!("password accepted, now one of {}", factors.join(" ")));
    let code = tour.totp(ANA)?;
    let step = choice.otp(code).await?;
    let session = signed_in(step)?;
    tour.tell(&format!("code accepted: signed in as {}", words::name(&session)));
    Ok(())
}

async fn wrong_code_then_right(tour: &mut Tour) -> Result<(), Stop> {
    tour.page.title("2  A wrong code, then the right one on the same step");
    let client = tour.client()?;
    let step = client.sign_in(ANA).password("correct horse battery").await?;
    let Step::ChooseFactor(choice) = step else { return unexpected(&step) };
    tour.tell("password accepted");
    let wrong = tour.tenant.wrong_totp(ANA).ok_or_else(no_code)?;
    tour.refused("a wrong code", choice.otp(wrong), Remedy::AskAgain).await?;
    let code = tour.totp(ANA)?;
    let step = choice.otp(code).await?;
    tour.tell(&format!("the right code on the same step: signed in as {}", words::name(&signed_in(step)?)));
    Ok(())
}

async fn push_with_number(tour: &mut Tour) -> Result<(), Stop> {
    tour.page.title("3  Password, then a push with a number to tap");
    let client = tour.client()?;
    let step = client.sign_in(ANA).password("correct horse battery").await?;
    let Step::ChooseFactor(choice) = step else { return unexpected(&step) };
    tour.tell("password accepted");
    let step = choice.push().await?;
    let Step::ApproveOnDevice(push) = step else { return unexpected(&step) };
    let number = push.number().unwrap_or_default().to_owned();
    tour.tell(&format!("push sent, the app shows the number {number}"));
    let shown = tour.tenant.pending_pushes().pop().map(|push| push.choices.join("  ")).unwrap_or_default();
    tour.page.emulator(&format!("Ana's phone shows  {shown}  and she taps {number}"));
    if !tour.tenant.tap_number(ANA, &number) {
        return Err(Stop::Failed("no push waits on Ana's phone".to_owned()));
    }
    let step = push.approved().await?;
    tour.tell(&format!("approved: signed in as {}", words::name(&signed_in(step)?)));
    Ok(())
}

async fn declined_then_sms(tour: &mut Tour) -> Result<Session, Stop> {
    tour.page.title("4  A declined push, then another method without typing the password again");
    let client = tour.client()?;
    let step = client.sign_in(CLEO).password("cleo-password").await?;
    let Step::ChooseFactor(choice) = step else { return unexpected(&step) };
    tour.tell("password accepted");
    tour.tenant.on_next_push(PushReaction::Deny { after_polls: 1 });
    let step = choice.push().await?;
    let Step::ApproveOnDevice(push) = step else { return unexpected(&step) };
    tour.tell("push sent");
    tour.page.emulator("Cleo looks at her phone and says no");
    tour.refused("waiting for the answer", push.approved(), Remedy::ChooseAnother).await?;
    let choice = push.choice().ok_or_else(|| Stop::Failed("no way back to the choice".to_owned()))?;
    let step = choice.sms().await?;
    let Step::EnterCode(entry) = step else { return unexpected(&step) };
    tour.tell("back to the choice: text message sent");
    let code = tour.tenant.last_code(CLEO).ok_or_else(no_code)?;
    tour.page.emulator(&format!("text message to {CLEO}: {code}"));
    let session = signed_in(entry.submit(code).await?)?;
    tour.tell(&format!("code accepted: signed in as {}", words::name(&session)));
    Ok(session)
}

async fn api_and_refresh(tour: &mut Tour, session: &Session) -> Result<(), Stop> {
    tour.page.title("5  A call to the API, and fresh tokens");
    let url = tour.tenant.resource_url();
    tour.api(session, &url).await?;
    let before = session.access_token().await?;
    // One engine for each session: whoever asks meanwhile waits for the same answer.
    let answers = join_all((0..100).map(|_| session.refresh())).await;
    answers.into_iter().collect::<Result<Vec<()>, Error>>()?;
    // EXPOSE: compared, not kept.
    if before.expose() == session.access_token().await?.expose() {
        return Err(Stop::Failed("the refresh left the old access token in place".to_owned()));
    }
    let sent = tour.tell("a hundred callers want fresh tokens at once");
    if sent != 1 {
        return Err(Stop::Failed(format!("a hundred callers took {sent} requests instead of one")));
    }
    tour.api(session, &url).await
}

async fn sign_out(tour: &mut Tour, session: Session) -> Result<(), Stop> {
    tour.page.title("6  Signing out");
    let url = tour.tenant.resource_url();
    let old = session.authorize("GET", &url).await?;
    let out = session.sign_out().await?;
    let told = match out.server {
        ServerSignOut::Revoked => "the server revoked the tokens",
        _ => return Err(Stop::Failed("the server did not revoke the tokens".to_owned())),
    };
    tour.tell(&format!("signed out: {told}"));
    match api::get(&*tour.network(), &url, &old).await? {
        (401, _) => drop(tour.tell("the API refuses the old token (status 401)")),
        (status, _) => return Err(Stop::Failed(format!("the API still answers {status} to the old token"))),
    }
    tour.refused("another call with the ended session", session.authorize("GET", &url), Remedy::SignInAgain).await?;
    Ok(())
}

async fn wrong_password(tour: &mut Tour) -> Result<(), Stop> {
    tour.page.title("7  A refused sign-in");
    let client = tour.client()?;
    let sign_in = client.sign_in(ANA);
    tour.refused("a wrong password", sign_in.password("correct horse batery"), Remedy::AskAgain).await?;
    let sign_in = client.sign_in("dora@example.com");
    tour.refused(
        "a locked account with its right password: the same",
        sign_in.password("dora-password"),
        Remedy::AskAgain,
    )
    .await?;
    Ok(())
}

async fn passkeys(tour: &mut Tour) -> Result<(), Stop> {
    tour.page.title("8  Passkeys: no password, and no name");
    let client = tour.client()?;
    // Somebody else's authenticator plays the platform, with a passkey of Ana's that the server knows.
    let mut platform = Platform::at(&tour.origin());
    platform.registers(&tour.tenant, ANA);
    let step = client.sign_in(ANA).passkey().await?;
    let Step::UsePasskey(passkey) = step else { return unexpected(&step) };
    tour.tell("challenge for the platform");
    tour.page.emulator("Ana touches the sensor of her phone");
    let answer = platform.asked(passkey.request_json()).map_err(Stop::Failed)?;
    let session = signed_in(passkey.answer(&answer).await?)?;
    tour.tell(&format!("two factors in one touch: signed in as {}", words::name(&session)));
    let step = client.sign_in_with_passkey().await?;
    let Step::UsePasskey(passkey) = step else { return unexpected(&step) };
    let answer = platform.asked(passkey.request_json()).map_err(Stop::Failed)?;
    let session = signed_in(passkey.answer(&answer).await?)?;
    tour.tell(&format!("without a name: the passkey says that it is {}", words::name(&session)));
    Ok(())
}

async fn forgotten_password(tour: &mut Tour) -> Result<(), Stop> {
    tour.page.title("9  A forgotten password");
    let client = tour.client()?;
    let step = client.recover(ANA).email().await?;
    let Step::EnterCode(entry) = step else { return unexpected(&step) };
    tour.tell("e-mail sent");
    let code = tour.tenant.last_code(ANA).ok_or_else(no_code)?;
    tour.page.emulator(&format!("e-mail to {ANA}: {code}"));
    let step = entry.submit(code).await?;
    let Step::ChooseFactor(choice) = step else { return unexpected(&step) };
    tour.tell("code accepted, now a second factor");
    tour.tenant.on_next_push(PushReaction::Approve { after_polls: 0 });
    let step = choice.push().await?;
    let Step::ApproveOnDevice(push) = step else { return unexpected(&step) };
    tour.page.emulator("Ana taps the number on her phone");
    let step = push.approved().await?;
    let Step::ResetPassword(reset) = step else { return unexpected(&step) };
    tour.tell("approved: she may set a new password");
    tour.refused("a password that the server does not take", reset.set("short"), Remedy::AskAgain).await?;
    let step = reset.set("a new password of hers").await?;
    let Step::PasswordChanged = step else { return unexpected(&step) };
    tour.tell("another one: the password is changed, nobody is signed in by that");
    Ok(())
}

async fn step_up(tour: &mut Tour) -> Result<(), Stop> {
    tour.page.title("10  An API wants more");
    let client = tour.client()?;
    let session = signed_in(client.sign_in(BEN).password("tr0ub4dor&3").await?)?;
    tour.tell(&format!("signed in as {} with a password alone", words::name(&session)));
    let used = session.authorize("GET", &tour.tenant.resource_url()).await?;
    let wants = r#"Bearer error="insufficient_user_authentication", acr_values="urn:okta:loa:2fa:any""#;
    let advice = session.advise(&used, 401, [("www-authenticate", wants)]).await?;
    let Advice::StepUp(demand) = advice else { return unexpected(&advice) };
    tour.tell("the API says 401: it wants two factors");
    let step = session.step_up(&demand).password("tr0ub4dor&3").await?;
    let Step::ChooseFactor(choice) = step else { return unexpected(&step) };
    let code = tour.totp(BEN)?;
    let same = signed_in(choice.otp(code).await?)?;
    if same.id() != session.id() {
        return Err(Stop::Failed("the step-up gave another session".to_owned()));
    }
    tour.tell("password and code: the same session, with tokens that say so");
    Ok(())
}

async fn bound_tokens(tour: &mut Tour) -> Result<(), Stop> {
    tour.page.title("11  Tokens that only this device can use (DPoP)");
    let client = tour.builder().dpop(DPoP::Required).build()?;
    let session = signed_in(client.sign_in(BEN).password("tr0ub4dor&3").await?)?;
    tour.tell("signed in: the server asked for a nonce first, then bound the tokens to a key");
    let url = tour.tenant.resource_url();
    tour.api(&session, &url).await?;
    session.refresh().await?;
    tour.tell("refreshed by the same key; the nonce is known now");
    Ok(())
}

/// What the scenes share, and the counts.
pub(crate) struct Tour {
    pub(crate) page: Page,
    pub(crate) tenant: Tenant,
    pub(crate) environment: Environment,
    requests: Requests,
    steps: usize,
    sent: usize,
}

impl Tour {
    fn new(page: Page, emulator: &Emulator) -> Result<Self, Stop> {
        let requests = Requests::default();
        // Only the emulator's own authority is trusted, and it only here.
        let trust = Trust::from_pem(&emulator.ca_pem()).map_err(|problem| Stop::Failed(problem.to_string()))?;
        let environment = requests.environment(trust);
        Ok(Self { page, tenant: emulator.root(), environment, requests, steps: 0, sent: 0 })
    }

    /// A client as an app makes one. Each scene has its own, as if the app had just been started.
    fn client(&self) -> Result<Client, Stop> {
        Ok(self.builder().build()?)
    }

    fn builder(&self) -> ClientBuilder {
        let builder = Client::builder(self.tenant.issuer(), self.tenant.client_id());
        builder.scopes(SCOPES).environment(self.environment.clone())
    }

    /// Where web pages of the server come from.
    fn origin(&self) -> String {
        self.tenant.org_issuer()
    }

    fn network(&self) -> Arc<dyn Transport> {
        Arc::clone(&self.environment.transport)
    }

    /// A call that has to be refused, with this remedy; prints the step.
    async fn refused<T: Debug>(
        &mut self,
        tried: &str,
        call: impl Future<Output = Result<T, Error>>,
        remedy: Remedy,
    ) -> Result<(), Stop> {
        match call.await {
            Err(error) if error.remedy() == remedy => self.tell_refusal(tried, &error, None),
            Err(error) => return Err(Stop::Refused(error)),
            Ok(done) => return unexpected(&done),
        }
        Ok(())
    }

    /// Prints a step with what it cost; the number of requests.
    fn tell(&mut self, text: &str) -> usize {
        let cost = self.requests.take();
        (self.steps, self.sent) = (self.steps + 1, self.sent + cost.count());
        self.page.done(text, &cost);
        cost.count()
    }

    /// Prints a step that was refused.
    pub(crate) fn tell_refusal(&mut self, tried: &str, error: &Error, took: Option<Duration>) {
        let cost = self.requests.take();
        (self.steps, self.sent) = (self.steps + 1, self.sent + cost.count());
        self.page.refused(tried, error, took, &cost);
    }

    async fn api(&mut self, session: &Session, url: &str) -> Result<(), Stop> {
        match api::call(&*self.network(), session, url).await? {
            (200, _) => drop(self.tell("GET /api/me with the session's token: 200")),
            (status, _) => return Err(Stop::Failed(format!("the API answered {status}"))),
        }
        Ok(())
    }

    fn totp(&self, username: &str) -> Result<String, Stop> {
        let code = self.tenant.totp(username).ok_or_else(no_code)?;
        self.page.emulator(&format!("authenticator app of {username}: {code}"));
        Ok(code)
    }
}

fn signed_in(step: Step) -> Result<Session, Stop> {
    match step {
        Step::SignedIn(session) => Ok(session),
        other => unexpected(&other),
    }
}

fn no_code() -> Stop {
    Stop::Failed("the emulator has no code for this user".to_owned())
}

/// The scene went another way than it should.
pub(crate) fn unexpected<T>(step: &impl Debug) -> Result<T, Stop> {
    Err(Stop::Failed(format!("the tour did not expect {step:?}")))
}
