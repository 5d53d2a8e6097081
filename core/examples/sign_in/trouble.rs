//! The last scene of the tour: what a user sees when things are wrong. Each has its own error and ends in bounded time.

use core::time::Duration;
use std::time::Instant;

use directauth::error::{ConfigurationProblem as Configuration, NetworkProblem as Network, ResponseDefect as Defect};
use directauth::{Client, ClientBuilder, Error, Kind, Step};
use directauth_emulator::{Answer, BadTlsKind, Emulator, Fault, PushReaction, Rule, Tenant};

use crate::stop::Stop;
use crate::tour::{Tour, unexpected};

/// Whether a failure is the one that an attempt is about.
type Expected = fn(&Kind) -> bool;

pub(crate) async fn everything(tour: &mut Tour, emulator: &Emulator) -> Result<(), Stop> {
    tour.page.title("12  When things are wrong: what the app is told");
    let (issuer, id) = (tour.tenant.issuer(), tour.tenant.client_id());

    let client = Client::builder(issuer.replace("https:", "http:"), &*id);
    let plain_http: Expected = |kind| matches!(kind, Kind::Configuration { what: Configuration::Issuer(_) });
    attempt(tour, "an issuer without https", client, plain_http).await?;

    let client = Client::builder(issuer.replace("default", "defualt"), &*id);
    let not_found: Expected = |kind| matches!(kind, Kind::Configuration { what: Configuration::IssuerNotFound });
    attempt(tour, "an issuer with a typo", client, not_found).await?;

    let client = Client::builder(&*issuer, "0oaDemoNativeAp");
    let unknown_client: Expected = |kind| matches!(kind, Kind::Configuration { what: Configuration::Client });
    attempt(tour, "an unknown client id", client, unknown_client).await?;

    let bad = emulator.bad_tls(BadTlsKind::Expired).map_err(|error| Stop::Failed(error.to_string()))?;
    let client = Client::builder(format!("{}/oauth2/default", bad.origin()), &*id);
    let tls: Expected = |kind| matches!(kind, Kind::Network { kind: Network::Tls, .. });
    attempt(tour, "an expired certificate", client, tls).await?;

    let portal = Rule::on("metadata").times(0).answer(Answer::fault(Fault::CaptivePortal));
    let captive: Expected = |kind| matches!(kind, Kind::Network { kind: Network::CaptivePortal, .. });
    attempt(tour, "a hotel's log-in page in the way", scripted(emulator, portal), captive).await?;

    let json = Answer::body(200, r#"{"access_token": "a", "access_to"#).header("content-type", "application/json");
    let rubbish: Expected = |kind| matches!(kind, Kind::InvalidResponse { what: Defect::Json });
    attempt(tour, "half a JSON answer", scripted(emulator, Rule::on("token").answer(json)), rubbish).await?;

    let huge = Rule::on("token").answer(Answer::fault(Fault::Huge));
    let too_large: Expected = |kind| matches!(kind, Kind::InvalidResponse { what: Defect::TooLarge });
    attempt(tour, "an answer of 100 MB", scripted(emulator, huge), too_large).await?;

    let stall = Rule::on("token").answer(Answer::fault(Fault::Stall));
    let client = scripted(emulator, stall).request_timeout(Duration::from_secs(1));
    let timeout: Expected = |kind| matches!(kind, Kind::Network { kind: Network::Timeout, maybe_sent: true });
    attempt(tour, "a server that never answers, limit 1 s", client, timeout).await?;

    let busy = Rule::on("token").answer(Answer::status(429).header("retry-after", "30"));
    let limited: Expected = |kind| matches!(kind, Kind::RateLimited { .. });
    attempt(tour, "a rate limit", scripted(emulator, busy), limited).await?;

    unanswered_push(tour, emulator).await
}

/// A tenant of its own that answers by this rule, and a client for it.
fn scripted(emulator: &Emulator, rule: Rule) -> ClientBuilder {
    let tenant = emulator.tenant();
    tenant.script(rule);
    client_of(&tenant)
}

fn client_of(tenant: &Tenant) -> ClientBuilder {
    Client::builder(tenant.issuer(), tenant.client_id())
}

/// A sign-in that has to fail in the given way.
async fn attempt(tour: &mut Tour, tried: &str, client: ClientBuilder, expected: Expected) -> Result<(), Stop> {
    let start = Instant::now();
    let outcome = match client.environment(tour.environment.clone()).build() {
        Ok(client) => client.sign_in("ana@example.com").password("correct horse battery").await,
        Err(error) => Err(error),
    };
    told(tour, tried, outcome, expected, start)
}

async fn unanswered_push(tour: &mut Tour, emulator: &Emulator) -> Result<(), Stop> {
    let tenant = emulator.tenant();
    tenant.settings(|settings| settings.oob_lifetime = 3);
    tenant.on_next_push(PushReaction::Ignore);
    let client = client_of(&tenant).environment(tour.environment.clone()).build()?;
    let start = Instant::now();
    let step = client.sign_in("cleo@example.com").push().await?;
    let Step::ApproveOnDevice(push) = step else { return unexpected(&step) };
    let outcome = push.approved().await;
    told(tour, "a push that nobody answers, limit 3 s", outcome, |kind| matches!(kind, Kind::Expired), start)
}

fn told(
    tour: &mut Tour,
    tried: &str,
    outcome: Result<Step, Error>,
    expected: Expected,
    start: Instant,
) -> Result<(), Stop> {
    match outcome {
        Err(error) if expected(error.kind()) => tour.tell_refusal(tried, &error, Some(start.elapsed())),
        Err(error) => return Err(Stop::Refused(error)),
        Ok(step) => return unexpected(&step),
    }
    Ok(())
}
