//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use directauth::Factor;
use lexopt::prelude::{Long, Short, ValueExt};

use crate::flow::First;

pub(crate) const HELP: &str = "\
Signs a user in without a browser, calls an API, refreshes, and signs out again.

USAGE
  cargo run --example sign_in                     with an emulated server; you are the user
  cargo run --example sign_in -- --auto           a tour that plays by itself (also without a terminal)
  cargo run --example sign_in -- --issuer https://acme.okta.com/oauth2/default \\
      --client-id 0oa1b2c3 --username ana@acme.com --factor password --factor push

OPTIONS
  --auto             play the tour; takes no other option
  --issuer URL       sign in at this server, exactly as it writes its issuer
  --client-id ID     the client id of a native app there
  --username NAME    who signs in; asked for if missing
  --factor FACTOR    otp, push, sms, voice, email or password. The first one begins the sign-in
                     (password if not given); further ones answer the server's wish for more, in order
  --scope \"A B\"      scopes to ask for (default: openid profile offline_access)
  --ca FILE          trust only the certificate authorities in this PEM file
  --store DIR        keep the session in this folder, in plain text, and find it there in the next run
  --sign-out         end the session that is kept there, also offline
  -h, --help         this text
  -V, --version      the version

PASSWORD AND CODES
  Asked for in the terminal, the password hidden. The environment variable DIRECTAUTH_PASSWORD is
  used first if it is set. Without a terminal, password, factors and codes are read as lines from
  standard input, in the order in which they are needed. There is no option for them: other
  users of the computer can read a command line.

A SESSION THAT STAYS
  With --store the session outlives the program: the next run finds it, asks for no password, and
  keeps it. --sign-out ends it; if the server cannot be reached, a later run with the same --store
  tells it. The folder is made for its owner alone, but what is in it is plain text, which every
  program of that user can read: an app uses the platform's secure storage. --store needs --issuer,
  because the emulated server ends with the program, and all of its sessions with it; the program
  directauth-emulator is one that stays.

COLOURS
  Only on a terminal, and not if NO_COLOR is set.

EXIT CODES
  0 done   1 refused: the reason and what to do next are on standard error   2 usage
  130 left with Ctrl-C: nothing more is sent
";

/// What to do.
pub(crate) enum Task {
    Help,
    Version,
    Tour,
    SignIn(Options),
}

/// A sign-in at a server, or at the emulator if none is named. `sign_out` only ends what is in the store.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) server: Option<Server>,
    pub(crate) store: Option<PathBuf>,
    pub(crate) sign_out: bool,
    pub(crate) username: Option<String>,
    pub(crate) first: First,
    pub(crate) then: Vec<Factor>,
    pub(crate) scopes: Vec<String>,
}

/// A server and how it is reached.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) issuer: String,
    pub(crate) client_id: String,
    pub(crate) ca: Option<PathBuf>,
}

/// Reads the arguments; the error is for the user. `interactive`: somebody is there to be asked.
pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>, interactive: bool) -> Result<Task, String> {
    read(lexopt::Parser::from_args(arguments), interactive).map_err(|error| error.to_string())
}

fn read(mut arguments: lexopt::Parser, interactive: bool) -> Result<Task, lexopt::Error> {
    let (mut auto, mut any, mut sign_out) = (false, false, false);
    let (mut issuer, mut client_id, mut username, mut scope, mut ca) = (None, None, None, None, None);
    let mut store = None;
    let mut factors = Vec::new();
    while let Some(argument) = arguments.next()? {
        match argument {
            Short('h') | Long("help") => return Ok(Task::Help),
            Short('V') | Long("version") => return Ok(Task::Version),
            Long("auto") => {
                auto = true;
                continue;
            }
            Long("issuer") => issuer = Some(arguments.value()?.string()?),
            Long("client-id") => client_id = Some(arguments.value()?.string()?),
            Long("username") => username = Some(arguments.value()?.string()?),
            Long("factor") => factors.push(factor(&arguments.value()?.string()?)?),
            Long("scope") => scope = Some(arguments.value()?.string()?),
            Long("ca") => ca = Some(PathBuf::from(arguments.value()?)),
            Long("store") => store = Some(PathBuf::from(arguments.value()?)),
            Long("sign-out") => sign_out = true,
            other => return Err(other.unexpected()),
        }
        any = true;
    }
    let server = match (issuer, client_id, ca) {
        (Some(issuer), Some(client_id), ca) => Some(Server { issuer, client_id, ca }),
        (None, None, None) => None,
        (Some(_), None, _) => return Err("--issuer needs --client-id".into()),
        (None, _, _) => return Err("--client-id and --ca need --issuer".into()),
    };
    if sign_out && (store.is_none() || username.is_some() || !factors.is_empty()) {
        return Err("--sign-out needs --store, and no --username or --factor".into());
    }
    if store.is_some() && server.is_none() {
        return Err(
            "--store needs --issuer: the emulated server ends with this program, and its sessions with it".into()
        );
    }
    if auto && any {
        return Err("--auto takes no other option".into());
    }
    if auto || (!interactive && !any) {
        return Ok(Task::Tour);
    }
    // Who is in the store needs no name.
    if !interactive && (server.is_none() || (username.is_none() && store.is_none())) {
        return Err("without a terminal, a sign-in needs --issuer, --client-id and --username".into());
    }
    let mut factors = factors.into_iter();
    let first = factors.next().unwrap_or(First::Password);
    let then = factors.map(|factor| match factor {
        First::Factor(factor) => Ok(factor),
        First::Password => Err("--factor password can only come first"),
    });
    let scope = scope.unwrap_or_else(|| crate::SCOPES.join(" "));
    Ok(Task::SignIn(Options {
        server,
        store,
        sign_out,
        username,
        first,
        then: then.collect::<Result<_, _>>()?,
        scopes: scope.split_whitespace().map(str::to_owned).collect(),
    }))
}

fn factor(name: &str) -> Result<First, String> {
    if name == "password" {
        return Ok(First::Password);
    }
    let factor = crate::SCREENS.into_iter().find(|factor| factor.name() == name);
    factor
        .map(First::Factor)
        .ok_or_else(|| format!("unknown factor {name:?}: otp, push, sms, voice, email or password"))
}
