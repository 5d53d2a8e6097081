//! One user's visit: sign in, call an API, refresh, sign out. At the embedded emulator, or at a server of yours, where the
//! session may stay for the next visit.

use std::time::SystemTime;

use directauth::env::Transport;
use directauth::{Client, Kind, Secret, ServerSignOut, Session, Trust};
use directauth_emulator::{Assurance, Config, Emulator, Factor, Status, Tenant};

use crate::lines::Lines;
use crate::options::{Options, Server};
use crate::page::{Page, human};
use crate::requests::Requests;
use crate::stop::Stop;
use crate::terminal::Terminal;
use crate::{SCREENS, api, flow, kept};

/// Signs in and out again, with somebody in a terminal or with lines from standard input.
pub(crate) async fn visit(page: Page, options: Options, interactive: bool) -> Result<(), Stop> {
    let requests = Requests::default();
    // Lives as long as the visit; stops when dropped.
    let mut emulator = None;
    let (issuer, client_id, trust) = match &options.server {
        Some(server) => (server.issuer.clone(), server.client_id.clone(), trust(server)?),
        None => {
            let emulator = emulator.insert(Emulator::start().map_err(|error| Stop::Failed(error.to_string()))?);
            introduce(page, emulator);
            let trust = Trust::from_pem(&emulator.ca_pem()).map_err(|what| Kind::Configuration { what })?;
            (emulator.root().issuer(), emulator.root().client_id(), trust)
        }
    };
    let phone = emulator.as_ref().map(Emulator::root);
    let environment = requests.environment(trust);
    let client = Client::builder(issuer, client_id)
        .scopes(&options.scopes)
        .capabilities(SCREENS)
        .environment(environment.clone());
    let network = &*environment.transport;

    let Some(folder) = options.store.clone() else {
        let client = client.build()?;
        let session = sign_in(page, &requests, &client, options, phone.clone(), interactive).await?;
        use_it(page, &requests, network, &session, phone.as_ref()).await?;
        return sign_out(page, &requests, &session).await;
    };
    let client = client.store(kept::open(&folder)?).build()?;
    if options.sign_out {
        return kept::sign_out(page, &requests, &client, &folder).await;
    }
    let session = match kept::find(page, &client, &folder, options.username.as_deref()).await? {
        Some(session) => session,
        None => sign_in(page, &requests, &client, options, phone.clone(), interactive).await?,
    };
    use_it(page, &requests, network, &session, phone.as_ref()).await?;
    kept::keep(page, &session, &folder);
    Ok(())
}

/// Somebody who is not signed in yet.
async fn sign_in(
    page: Page,
    requests: &Requests,
    client: &Client,
    options: Options,
    phone: Option<Tenant>,
    interactive: bool,
) -> Result<Session, Stop> {
    let password = std::env::var("DIRECTAUTH_PASSWORD").ok().filter(|text| !text.is_empty()).map(Secret::new);
    if interactive {
        let mut screen = Terminal::new(page, requests.clone(), phone.clone(), password, options.then);
        let usual = phone.is_some().then_some("ana@example.com");
        let username = screen.username(options.username, usual).await?;
        flow::sign_in(client, &username, options.first, &mut screen).await
    } else {
        let nobody = || Stop::Usage("nobody is signed in; without a terminal, a sign-in needs --username".to_owned());
        let username = options.username.ok_or_else(nobody)?;
        let mut screen = Lines::new(page, requests.clone(), password, options.then);
        flow::sign_in(client, &username, options.first, &mut screen).await
    }
}

/// What an app does with a session.
async fn use_it(
    page: Page,
    requests: &Requests,
    network: &dyn Transport,
    session: &Session,
    phone: Option<&Tenant>,
) -> Result<(), Stop> {
    let left = session.expires_at().duration_since(SystemTime::now()).unwrap_or_default();
    page.note(&format!("scopes {}; the access token lasts {}", session.granted_scopes().join(" "), human(left)));

    match phone {
        Some(tenant) => {
            let (status, text) = api::call(network, session, &tenant.resource_url()).await?;
            page.done(&format!("GET /api/me with the session's token: {status}"), &requests.take());
            page.note(&text.replace(",\"", ", \"")); // room for a line break
        }
        None => match session.user_info().await {
            Ok(info) => page.done(&format!("user information: sub {}", info.subject()), &requests.take()),
            Err(error) if matches!(error.kind(), Kind::Unsupported { .. }) => {
                page.note("the server has no user information")
            }
            Err(error) => return Err(Stop::Refused(error)),
        },
    }
    if session.can_refresh() {
        session.refresh().await?;
        page.done("refreshed", &requests.take());
    } else {
        page.note("no refresh token; ask for the scope offline_access to get one");
    }
    Ok(())
}

async fn sign_out(page: Page, requests: &Requests, session: &Session) -> Result<(), Stop> {
    let told = match session.sign_out().await?.server {
        ServerSignOut::Revoked => "signed out, and the server revoked the tokens",
        ServerSignOut::Unsupported => "signed out; the server cannot revoke tokens",
        _ => "signed out here; the server could not be told",
    };
    page.done(told, &requests.take());
    Ok(())
}

fn trust(server: &Server) -> Result<Trust, Stop> {
    let Some(file) = &server.ca else { return Ok(Trust::default()) };
    let pem = std::fs::read_to_string(file).map_err(|error| Stop::Usage(format!("{}: {error}", file.display())))?;
    Ok(Trust::from_pem(&pem).map_err(|what| Kind::Configuration { what })?)
}

/// Who can sign in at the emulator.
fn introduce(page: Page, emulator: &Emulator) {
    page.line("DirectAuth: sign in without a browser.\n");
    page.line(&format!("  server  {}  (the embedded emulator, over TLS)", emulator.root().issuer()));
    page.line("  users   with passwords that are no secret:\n");
    for user in Config::demo().users {
        let what = match (user.status, user.assurance) {
            (Status::Active, Assurance::OneFactor) => "the password is enough".to_owned(),
            (Status::Active, Assurance::TwoFactors) => {
                let name = |factor: &Factor| format!("{factor:?}").to_lowercase();
                format!("and one of {}", user.factors.iter().map(name).collect::<Vec<_>>().join(" "))
            }
            (status, _) => format!("{status:?}").to_lowercase(),
        };
        page.line(&format!("    {:<18}  {:<22}  {what}", user.username, user.password.unwrap_or_default()));
    }
    page.line("\n  Codes and the phone are the emulator's; it tells them in lines marked \"emulator:\".\n");
}
