//! The process that is looked at: it signs in, or plants what must be found.

use core::time::Duration;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use directauth::error::NetworkProblem;
use directauth::{ChooseFactor, Client, DPoP, Error, Kind, Secret, Session, Step, Trust};

use crate::Failure;
use crate::link::Link;

/// Places where the child stands still.
pub(crate) const HOLDING: &str = "holding what was typed";
pub(crate) const WAITING: &str = "waiting for the push";
pub(crate) const ASKED: &str = "waiting for an answer";
pub(crate) const OVER: &str = "the sign-in is over";
pub(crate) const SIGNED_OUT: &str = "signed out, client dropped";

pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    let link = Link::open()?;
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["plant", how] => crate::plants::plant(how, &link),
        ["sign-in", flow, issuer, client_id, username, timeout] => {
            let trust = Trust::from_pem(link.ask("ca")?.expose())?;
            let client = Client::builder(*issuer, *client_id)
                .scopes(["openid", "profile", "offline_access"])
                .dpop(if *flow == "bound" { DPoP::Required } else { DPoP::Off })
                .trust(trust)
                .request_timeout(Duration::from_millis(timeout.parse()?))
                .build()?;
            sign_in(flow, client, username, &link)
        }
        _ => Err("the child was started wrongly".into()),
    }
}

/// What the app still holds when the sign-in is over.
#[derive(Default)]
struct Kept {
    session: Option<Session>,
    steps: Vec<Step>,
}

fn sign_in(flow: &str, client: Client, username: &str, link: &Link) -> Result<(), Failure> {
    let kept = match flow {
        "password" => wait(password(&client, username, link))?,
        "warmed" => {
            wait(client.warm_up());
            wait(password(&client, username, link))?
        }
        "password-otp" => wait(otp(&client, username, link))?,
        "password-push" => wait(push(&client, username, link))?,
        "password-sms" => wait(sms(&client, username, link))?,
        "sms" => wait(sms_alone(&client, username, link))?,
        "otp" => wait(otp_alone(&client, username, link))?,
        "wrong-password" => {
            let refused = wait(client.sign_in(username).password(typed("wrong password", link)?));
            expect(refused, |kind| *kind == Kind::Rejected)?
        }
        "wrong-code" => wait(wrong_code(&client, username, link))?,
        "push-dropped" => push_dropped(&client, username, link)?,
        "push-cancelled" => push_cancelled(&client, username, link)?,
        "password-timeout" => {
            let lost = wait(client.sign_in(username).password(typed("password", link)?));
            expect(lost, is_timeout)?
        }
        "password-abandoned" => password_abandoned(&client, username, link)?,
        "interrupted" => {
            let lost = wait(client.sign_in(username).password(typed("password", link)?));
            expect(lost, is_interruption)?
        }
        "code-timeout" => {
            let choice = wait(choice(&client, username, link))?;
            let lost = wait(choice.otp(typed("otp", link)?));
            drop(choice);
            expect(lost, is_timeout)?
        }
        "recovery" => wait(recovery(&client, username, link))?,
        "recovery-dropped" => wait(recovery_dropped(&client, username, link))?,
        "used" | "bound" => {
            let kept = wait(password(&client, username, link))?;
            let session = kept.session.as_ref().ok_or("no session")?;
            link.tell(&wait(session.access_token())?)?;
            link.tell(&session.id_token().ok_or("no ID token")?)?;
            wait(session.user_info())?;
            wait(session.refresh())?;
            wait(session.user_info())?;
            kept
        }
        _ => return Err("there is no such flow".into()),
    };
    link.reached(OVER)?;
    let Kept { session: Some(session), steps } = kept else { return Ok(()) };
    drop(steps);
    link.tell(&wait(session.access_token())?)?;
    link.tell(&session.id_token().ok_or("no ID token")?)?;
    wait(session.sign_out())?;
    drop(session);
    drop(client);
    link.reached(SIGNED_OUT)
}

/// Gets what the user typed, and lets the parent see that the search finds it.
fn typed(what: &str, link: &Link) -> Result<Secret, Failure> {
    let secret = link.ask(what)?;
    link.reached(HOLDING)?;
    Ok(secret)
}

async fn password(client: &Client, username: &str, link: &Link) -> Result<Kept, Failure> {
    done(client.sign_in(username).password(typed("password", link)?).await?, Vec::new())
}

async fn otp(client: &Client, username: &str, link: &Link) -> Result<Kept, Failure> {
    let choice = choice(client, username, link).await?;
    let step = choice.otp(typed("otp", link)?).await?;
    done(step, vec![Step::ChooseFactor(choice)])
}

async fn push(client: &Client, username: &str, link: &Link) -> Result<Kept, Failure> {
    let choice = choice(client, username, link).await?;
    let Step::ApproveOnDevice(push) = choice.push().await? else { return Err("no push".into()) };
    let step = push.approved().await?;
    done(step, vec![Step::ChooseFactor(choice), Step::ApproveOnDevice(push)])
}

async fn sms(client: &Client, username: &str, link: &Link) -> Result<Kept, Failure> {
    let choice = choice(client, username, link).await?;
    let Step::EnterCode(code) = choice.sms().await? else { return Err("no code".into()) };
    let step = code.submit(typed("sms", link)?).await?;
    done(step, vec![Step::ChooseFactor(choice), Step::EnterCode(code)])
}

async fn otp_alone(client: &Client, username: &str, link: &Link) -> Result<Kept, Failure> {
    done(client.sign_in(username).otp(typed("otp", link)?).await?, Vec::new())
}

async fn sms_alone(client: &Client, username: &str, link: &Link) -> Result<Kept, Failure> {
    let Step::EnterCode(code) = client.sign_in(username).sms().await? else { return Err("no code".into()) };
    let Step::ChooseFactor(choice) = code.submit(typed("sms", link)?).await? else { return Err("no choice".into()) };
    let step = choice.otp(typed("otp", link)?).await?;
    done(step, vec![Step::EnterCode(code), Step::ChooseFactor(choice)])
}

async fn wrong_code(client: &Client, username: &str, link: &Link) -> Result<Kept, Failure> {
    let choice = choice(client, username, link).await?;
    expect(choice.otp(typed("wrong code", link)?).await, |kind| *kind == Kind::Rejected)?;
    let step = choice.otp(typed("otp", link)?).await?;
    done(step, vec![Step::ChooseFactor(choice)])
}

/// A password that the server does not take, then one that it takes; the app holds on to the step.
async fn recovery(client: &Client, username: &str, link: &Link) -> Result<Kept, Failure> {
    let step = client.recover(username).otp(typed("otp", link)?).await?;
    let Step::ResetPassword(reset) = step else { return Err("no new password is asked for".into()) };
    expect(reset.set("short").await, |kind| *kind == Kind::Rejected)?;
    let Step::PasswordChanged = reset.set(typed("new password", link)?).await? else { return Err("not set".into()) };
    Ok(Kept { session: None, steps: vec![Step::ResetPassword(reset)] })
}

async fn recovery_dropped(client: &Client, username: &str, link: &Link) -> Result<Kept, Failure> {
    let step = client.recover(username).otp(typed("otp", link)?).await?;
    let Step::ResetPassword(reset) = step else { return Err("no new password is asked for".into()) };
    drop(reset);
    Ok(Kept::default())
}

/// The app goes away from the screen while the push waits.
fn push_dropped(client: &Client, username: &str, link: &Link) -> Result<Kept, Failure> {
    let choice = wait(choice(client, username, link))?;
    let Step::ApproveOnDevice(push) = wait(choice.push())? else { return Err("no push".into()) };
    {
        let approved = pin!(push.approved());
        until_go(approved, WAITING, link)?;
    }
    Ok(Kept::default())
}

/// The app goes away from the screen while the password is on the wire.
fn password_abandoned(client: &Client, username: &str, link: &Link) -> Result<Kept, Failure> {
    let sign_in = client.sign_in(username);
    let answer = pin!(sign_in.password(typed("password", link)?));
    until_go(answer, ASKED, link)?;
    Ok(Kept::default())
}

/// The app cancels while the push waits, and holds on to the steps.
fn push_cancelled(client: &Client, username: &str, link: &Link) -> Result<Kept, Failure> {
    let choice = wait(choice(client, username, link))?;
    let Step::ApproveOnDevice(push) = wait(choice.push())? else { return Err("no push".into()) };
    {
        let mut approved = pin!(push.approved());
        until_go(approved.as_mut(), WAITING, link)?;
        push.cancel();
        expect(wait(approved), |kind| *kind == Kind::Cancelled)?;
    }
    Ok(Kept { session: None, steps: vec![Step::ChooseFactor(choice), Step::ApproveOnDevice(push)] })
}

async fn choice(client: &Client, username: &str, link: &Link) -> Result<ChooseFactor, Failure> {
    match client.sign_in(username).password(typed("password", link)?).await? {
        Step::ChooseFactor(choice) => Ok(choice),
        other => Err(format!("no choice but {other:?}").into()),
    }
}

fn done(step: Step, steps: Vec<Step>) -> Result<Kept, Failure> {
    match step {
        Step::SignedIn(session) => Ok(Kept { session: Some(session), steps }),
        other => Err(format!("not signed in but {other:?}").into()),
    }
}

fn expect(result: Result<Step, Error>, is_right: fn(&Kind) -> bool) -> Result<Kept, Failure> {
    match result {
        Err(error) if is_right(error.kind()) => Ok(Kept::default()),
        other => Err(format!("unexpected: {other:?}").into()),
    }
}

fn is_timeout(kind: &Kind) -> bool {
    matches!(kind, Kind::Network { kind: NetworkProblem::Timeout, maybe_sent: true })
}

fn is_interruption(kind: &Kind) -> bool {
    matches!(kind, Kind::Network { kind: NetworkProblem::Interrupted, maybe_sent: true })
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn wait<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    loop {
        if let Poll::Ready(result) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return result;
        }
        std::thread::park();
    }
}

/// Drives `future`, which must not complete, until the parent says that it has seen enough.
fn until_go<F: Future>(mut future: Pin<&mut F>, place: &str, link: &Link) -> Result<(), Failure> {
    let main = std::thread::current();
    let waker = Waker::from(Arc::new(Unpark(main.clone())));
    let gone = AtomicBool::new(false);
    link.announce(place)?;
    std::thread::scope(|scope| {
        let listener = scope.spawn(|| {
            let go = link.wait_for_go();
            gone.store(true, Ordering::SeqCst);
            main.unpark();
            go
        });
        while !gone.load(Ordering::SeqCst) {
            if future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
                return Err("it was answered".into());
            }
            std::thread::park();
        }
        listener.join().map_err(|_| "the listener panicked")?
    })
}
