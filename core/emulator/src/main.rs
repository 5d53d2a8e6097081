//! `directauth-emulator`: the emulator on the command line, until it is told to stop.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use directauth_emulator::{Config, Emulator, Status};

const HELP: &str = "\
An authorization server for direct authentication, to develop and test against.

Usage: directauth-emulator [options]

  --config FILE         users, factors and rules (TOML); see --print-config
  --variant NAME=VALUE  one setting otherwise than the configuration has it, for example
                        mfa_required_status=400; NAME alone means NAME=true; may be repeated
  --host ADDRESS        listen there instead of on loopback
  --port PORT           listen there instead of on a free port
  --name NAME           another name or address that clients use; the certificate is for it
                        too, and the authority may sign for it; may be repeated
  --control-bind WHERE  ADDRESS, ADDRESS:PORT or PORT for the control API and its page
                        (by default loopback on a free port); beyond loopback they need a
                        token: DIRECTAUTH_EMULATOR_TOKEN if that is set, of 16 letters and
                        digits or more, otherwise one that is made anew and printed
  --rtt TIME            make every round trip take this long, for example 100ms
  --ca-dir DIR          keep the certificate authority there (by default in your data folder)
  --ca-out FILE         also write the authority's certificate (PEM) there
  --stop-with-stdin     stop when the standard input ends, as a pipe does with the parent process
  --print-config        print the built-in configuration and end
  --help                print this and end
  --version             print the version and end

The issuer follows the name that a client uses. SIGINT and SIGTERM stop it; nothing but the
authority is kept.

Exit codes: 0 stopped when told to, 1 could not start, 2 wrong usage.
";

const TOKEN: &str = "DIRECTAUTH_EMULATOR_TOKEN";

struct Options {
    config: Option<PathBuf>,
    variants: Vec<String>,
    host: Option<IpAddr>,
    names: Vec<String>,
    control: SocketAddr,
    stops_with_stdin: bool,
    port: u16,
    rtt: Duration,
    ca_dir: Option<PathBuf>,
    ca_out: Option<PathBuf>,
}

impl Options {
    /// Whether the two ports are on one address; on different ones the same number is two ports.
    fn meets_control(&self) -> bool {
        let (host, control) = (self.host.unwrap_or(Ipv4Addr::LOCALHOST.into()), self.control.ip());
        host == control || host.is_unspecified() || control.is_unspecified()
    }
}

enum Command {
    Run(Options),
    Print(String),
}

fn main() -> ExitCode {
    let command = match parse(std::env::args_os().skip(1)) {
        Ok(command) => command,
        Err(error) => {
            say_error(&format!("{error}\nTry --help."));
            return ExitCode::from(2);
        }
    };
    let outcome = match command {
        Command::Print(text) => io::stdout().write_all(text.as_bytes()).map_err(Into::into),
        Command::Run(options) => run(&options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say_error(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Command, lexopt::Error> {
    use lexopt::prelude::*;
    let mut options = Options {
        config: None,
        variants: Vec::new(),
        host: None,
        names: Vec::new(),
        control: (Ipv4Addr::LOCALHOST, 0).into(),
        stops_with_stdin: false,
        port: 0,
        rtt: Duration::ZERO,
        ca_dir: None,
        ca_out: None,
    };
    let mut parser = lexopt::Parser::from_args(arguments);
    while let Some(argument) = parser.next()? {
        match argument {
            Long("config") => options.config = Some(parser.value()?.into()),
            Long("variant") => options.variants.push(parser.value()?.string()?),
            Long("name") => options.names.push(parser.value()?.string()?),
            Long("control-bind") => options.control = parser.value()?.parse_with(place)?,
            Long("stop-with-stdin") => options.stops_with_stdin = true,
            Long("host") => options.host = Some(parser.value()?.parse()?),
            Long("port") => options.port = parser.value()?.parse()?,
            Long("rtt") => options.rtt = parser.value()?.parse_with(duration)?,
            Long("ca-dir") => options.ca_dir = Some(parser.value()?.into()),
            Long("ca-out") => options.ca_out = Some(parser.value()?.into()),
            Long("print-config") => return Ok(Command::Print(Config::demo_toml().to_owned())),
            Short('h') | Long("help") => return Ok(Command::Print(HELP.to_owned())),
            Short('V') | Long("version") => {
                return Ok(Command::Print(concat!("directauth-emulator ", env!("CARGO_PKG_VERSION"), "\n").to_owned()));
            }
            _ => return Err(argument.unexpected()),
        }
    }
    Ok(Command::Run(options))
}

fn run(options: &Options) -> Result<(), Box<dyn std::error::Error>> {
    let mut config = match &options.config {
        None => Config::demo(),
        Some(file) => {
            let text = fs::read_to_string(file).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
            Config::from_toml(&text).map_err(|error| format!("{}: {error}", file.display()))?
        }
    };
    for variant in &options.variants {
        let (name, value) = variant.split_once('=').unwrap_or((variant, "true"));
        config.set(name, value).map_err(|error| format!("--variant {variant}: {error}"))?;
    }
    let ca_dir = options.ca_dir.clone().or_else(data_folder);
    let mut builder =
        Emulator::builder().config(config.clone()).port(options.port).rtt(options.rtt).control_at(options.control);
    let token = chosen_token(options.control)?;
    if let Some(token) = &token {
        builder = builder.control_token(token);
    }
    for name in &options.names {
        builder = builder.name(name);
    }
    if let Some(host) = options.host {
        builder = builder.host(host);
    }
    if let Some(folder) = &ca_dir {
        builder = builder.ca_dir(folder);
    }
    if options.port != 0 && options.port == options.control.port() && options.meets_control() {
        return Err(format!("--port and --control-bind name the same port {}", options.port).into());
    }
    // Before anything is said: who has read it may stop this.
    let end = End::expected()?;
    let emulator = builder.start()?;
    if let Some(file) = &options.ca_out {
        fs::write(file, emulator.ca_pem()).map_err(|error| format!("cannot write {}: {error}", file.display()))?;
    }
    let ca = options.ca_out.clone().or(ca_dir.map(|folder| folder.join("ca.pem")));
    if emulator.has_new_authority() {
        say_error("the certificate authority is new; what trusted another one has to be told");
    }
    warn(options);
    match io::stdout().write_all(introduction(&emulator, &config, ca.as_deref(), token.is_some()).as_bytes()) {
        // Who started it has read enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        written => written?,
    }
    end.wait(options.stops_with_stdin)?;
    Ok(())
}

/// Says what is open to others than this machine.
fn warn(options: &Options) {
    if let Some(host) = options.host.filter(|host| !host.is_loopback()) {
        say_error(&format!("warning: it listens on {host}; who reaches it there can sign in as anybody of the list"));
        if host.is_unspecified() && options.names.is_empty() {
            say_error("warning: the certificate is for localhost and 10.0.2.2 only; say by --name how others reach it");
        }
    }
    if !options.control.ip().is_loopback() {
        say_error(&format!("warning: the control page is open to {}, to who has its token", options.control.ip()));
    }
}

/// The token for a control port beyond loopback, if somebody has chosen one.
fn chosen_token(control: SocketAddr) -> Result<Option<String>, String> {
    if control.ip().is_loopback() {
        return Ok(None);
    }
    let Some(token) = std::env::var_os(TOKEN).filter(|token| !token.is_empty()) else { return Ok(None) };
    token.into_string().map(Some).map_err(|_| format!("{TOKEN} is not text"))
}

fn introduction(emulator: &Emulator, config: &Config, ca: Option<&Path>, is_token_chosen: bool) -> String {
    let tenant = emulator.root();
    let no_file = || "(no folder to keep the certificate in; use --ca-out FILE)".to_owned();
    let trust = ca.map_or_else(no_file, |file| file.display().to_string());
    let control = emulator.control_url().unwrap_or_default();
    let mut lines = vec![
        format!("issuer       {}", tenant.issuer()),
        format!("org issuer   {}", tenant.org_issuer()),
        format!("client id    {}", tenant.client_id()),
        format!("resource     {}", tenant.resource_url()),
        format!("trust        {trust}"),
        format!("control      {control}"),
    ];
    if is_token_chosen {
        // It is known to those who may know it, and this may be a log.
        lines.push(format!("page         {control}/?token=${TOKEN}"));
    } else {
        lines.extend(emulator.control_token().map(|token| format!("token        {token}")));
        lines.push(format!("page         {}", emulator.control_page().unwrap_or_default()));
    }
    lines.push("\nusers".to_owned());
    for user in &config.users {
        let factors: Vec<&str> = user.factors.iter().map(|factor| factor.name()).collect();
        let status = match user.status {
            Status::Active => "",
            Status::Locked => "  (locked)",
            Status::PasswordExpired => "  (password expired)",
            Status::Unassigned => "  (not assigned to the app)",
        };
        let password = user.password.as_deref().unwrap_or("-");
        lines.push(format!("  {:<18} {password:<22} {}{status}", user.username, factors.join(" ")));
    }
    lines.join("\n") + "\n"
}

/// When the process is asked to stop.
struct End {
    runtime: tokio::runtime::Runtime,
    #[cfg(unix)]
    signals: [tokio::signal::unix::Signal; 2],
}

impl End {
    /// From here on a signal does not end the process at once.
    fn expected() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        #[cfg(unix)]
        let signals = {
            use tokio::signal::unix::{SignalKind, signal};
            let _inside = runtime.enter();
            [signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?]
        };
        Ok(Self {
            runtime,
            #[cfg(unix)]
            signals,
        })
    }

    fn wait(self, stops_with_stdin: bool) -> io::Result<()> {
        #[cfg(unix)]
        let signalled = async {
            let [mut terminate, mut interrupt] = self.signals;
            tokio::select! {
                _ = terminate.recv() => Ok(()),
                _ = interrupt.recv() => Ok(()),
            }
        };
        #[cfg(not(unix))]
        let signalled = tokio::signal::ctrl_c();
        self.runtime.block_on(async {
            tokio::select! {
                signalled = signalled => signalled,
                () = end_of_stdin(), if stops_with_stdin => Ok(()),
            }
        })
    }
}

async fn end_of_stdin() {
    let (alive, ended) = tokio::sync::oneshot::channel::<()>();
    // A thread of its own: a read of the standard input cannot be given up, and must not hold the runtime.
    std::thread::spawn(move || {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        drop(alive);
    });
    let _ = ended.await;
}

/// Where this user's programs keep data.
fn data_folder() -> Option<PathBuf> {
    let from = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = if cfg!(windows) {
        from("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        from("HOME").map(|home| home.join("Library/Application Support"))
    } else {
        from("XDG_DATA_HOME").or_else(|| from("HOME").map(|home| home.join(".local/share")))
    };
    folder.map(|folder| folder.join("directauth-emulator"))
}

/// `192.0.2.7:9000`, `192.0.2.7`, or `9000`.
fn place(text: &str) -> Result<SocketAddr, String> {
    let address = text.parse::<SocketAddr>().ok();
    let address = address.or_else(|| text.parse::<IpAddr>().ok().map(|host| (host, 0).into()));
    let address = address.or_else(|| text.parse::<u16>().ok().map(|port| (Ipv4Addr::LOCALHOST, port).into()));
    address.ok_or_else(|| format!("{text} is not an address, an address with a port, or a port"))
}

/// `100ms`, `2s`, or a bare number of milliseconds.
fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let number: u64 = number.parse().map_err(|_| format!("{text} is not a time such as 100ms"))?;
    let time = match unit {
        "" | "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        _ => return Err(format!("{text} is not a time such as 100ms")),
    };
    if time > Duration::from_secs(60) { Err("a round trip of more than a minute".to_owned()) } else { Ok(time) }
}

fn say_error(text: &str) {
    let _ = writeln!(io::stderr(), "directauth-emulator: {text}");
}
