//! What is on a developer's desk: a server, its page in a browser, and an app that signs in with the library.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};

use directauth::{ApproveOnDevice, Client, Error, Session, Step, Trust};
use directauth_emulator::{Emulator, EmulatorBuilder, Tenant};
use rustls::pki_types::{CertificateDer, ServerName};

use crate::browser::Browser;

pub(crate) type User = (&'static str, &'static str);
/// Two factors; a push shows numbers.
pub(crate) const ANA: User = ("ana@example.com", "correct horse battery");
/// The password is enough.
pub(crate) const BEN: User = ("ben@example.com", "tr0ub4dor&3");
/// Two factors; a push asks for yes or no.
pub(crate) const CLEO: User = ("cleo@example.com", "cleo-password");

pub(crate) struct Desk {
    pub(crate) browser: Browser,
    pub(crate) emulator: Emulator,
}

impl Desk {
    /// With the page open and live.
    pub(crate) fn new() -> Self {
        let desk = Self::closed(Emulator::builder().control(true));
        desk.browser.open(&desk.emulator.control_page().unwrap());
        desk.is_live();
        desk
    }

    /// With a browser that shows nothing yet.
    pub(crate) fn closed(builder: EmulatorBuilder) -> Self {
        Self { emulator: builder.start().unwrap(), browser: Browser::start() }
    }

    pub(crate) fn is_live(&self) {
        self.browser.until("document.getElementById('live').dataset.state === 'live'");
    }

    pub(crate) fn server(&self) -> Tenant {
        self.emulator.root()
    }

    pub(crate) fn app(&self) -> App {
        let server = self.server();
        let client = Client::builder(server.issuer(), server.client_id())
            .scopes(["openid", "profile", "offline_access"])
            .trust(Trust::from_pem(&self.emulator.ca_pem()).unwrap())
            .build()
            .unwrap();
        App { client }
    }

    /// A sign-in that waits for its push, and the number that the app shows for it.
    pub(crate) fn pushed(&self, user: User) -> Pushed {
        let app = self.app();
        let (shows, shown) = mpsc::channel();
        let outcome = thread::spawn(move || {
            now(async {
                let Step::ChooseFactor(choice) = app.password(user).await? else { panic!("the password was enough") };
                let Step::ApproveOnDevice(push) = choice.push().await? else { panic!("no push") };
                shows.send(push.number().map(str::to_owned)).unwrap();
                approved(&push).await
            })
        });
        let number = shown.recv().expect("a push");
        Pushed { number, outcome }
    }
}

/// What an app does with a push.
async fn approved(push: &ApproveOnDevice) -> Result<Session, Error> {
    match push.approved().await? {
        Step::SignedIn(session) => Ok(session),
        other => Err(other.into()),
    }
}

pub(crate) struct Pushed {
    pub(crate) number: Option<String>,
    outcome: JoinHandle<Result<Session, Error>>,
}

impl Pushed {
    pub(crate) fn outcome(self) -> Result<Session, Error> {
        self.outcome.join().unwrap()
    }
}

pub(crate) struct App {
    client: Client,
}

impl App {
    pub(crate) async fn password(&self, user: User) -> Result<Step, Error> {
        self.client.sign_in(user.0).password(user.1).await
    }

    /// Signs in a user whose password is enough.
    pub(crate) fn sign_in(&self, user: User) -> Result<Session, Error> {
        match now(self.password(user))? {
            Step::SignedIn(session) => Ok(session),
            other => Err(other.into()),
        }
    }
}

/// Waits for it here.
pub(crate) fn now<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// A connection on which events come, and nobody reads them.
pub(crate) struct Stream {
    _connection: rustls::StreamOwned<rustls::ClientConnection, TcpStream>,
}

impl Stream {
    pub(crate) fn open(url: &str, authority: &[u8]) -> Self {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from(authority.to_vec())).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config =
            rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = Arc::new(config.with_root_certificates(roots).with_no_client_auth());
        let uri: hyper::Uri = url.parse().unwrap();
        let authority = uri.authority().unwrap();
        let name = ServerName::try_from(authority.host().to_owned()).unwrap();
        let connection = rustls::ClientConnection::new(config, name).unwrap();
        let socket = TcpStream::connect((authority.host(), authority.port_u16().unwrap())).unwrap();
        let mut connection = rustls::StreamOwned::new(connection, socket);
        write!(connection, "GET {} HTTP/1.1\r\nHost: {authority}\r\n\r\n", uri.path()).unwrap();
        // Its place is taken once the answer begins.
        let mut beginning = [0; 12];
        connection.read_exact(&mut beginning).unwrap();
        assert_eq!(&beginning, b"HTTP/1.1 200");
        Self { _connection: connection }
    }
}
