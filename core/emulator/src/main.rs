//! `directauth-emulator`: the emulator on the command line, until it is told to stop.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use directauth_emulator::{Config, Emulator, Status};

const HELP: &str = "\
An authorization server for direct authentication, to develop and test against.

Usage: directauth-emulator [options]

  --config FILE    users, factors and rules (TOML); see --print-config
  --host ADDRESS   listen there instead of on loopback
  --port PORT      listen there instead of on a free port
  --rtt TIME       make every round trip take this long, for example 100ms
  --ca-dir DIR     keep the certificate authority there (by default in your data folder)
  --ca-out FILE    also write the authority's certificate (PEM) there
  --print-config   print the built-in configuration and end
  --help           print this and end
  --version        print the version and end

Exit codes: 0 stopped when told to, 1 could not start, 2 wrong usage.
";

struct Options {
    config: Option<PathBuf>,
    host: Option<IpAddr>,
    port: u16,
    rtt: Duration,
    ca_dir: Option<PathBuf>,
    ca_out: Option<PathBuf>,
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
    let mut options = Options { config: None, host: None, port: 0, rtt: Duration::ZERO, ca_dir: None, ca_out: None };
    let mut parser = lexopt::Parser::from_args(arguments);
    while let Some(argument) = parser.next()? {
        match argument {
            Long("config") => options.config = Some(parser.value()?.into()),
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
    let config = match &options.config {
        None => Config::demo(),
        Some(file) => {
            let text = fs::read_to_string(file).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
            Config::from_toml(&text).map_err(|error| format!("{}: {error}", file.display()))?
        }
    };
    let ca_dir = options.ca_dir.clone().or_else(data_folder);
    let mut builder = Emulator::builder().config(config.clone()).port(options.port).rtt(options.rtt).control(true);
    if let Some(host) = options.host {
        builder = builder.host(host);
    }
    if let Some(folder) = &ca_dir {
        builder = builder.ca_dir(folder);
    }
    let emulator = builder.start()?;
    if let Some(file) = &options.ca_out {
        fs::write(file, emulator.ca_pem()).map_err(|error| format!("cannot write {}: {error}", file.display()))?;
    }
    let ca = options.ca_out.clone().or(ca_dir.map(|folder| folder.join("ca.pem")));
    introduce(&emulator, &config, ca.as_deref())?;
    wait_for_the_end()?;
    Ok(())
}

fn introduce(emulator: &Emulator, config: &Config, ca: Option<&Path>) -> io::Result<()> {
    let tenant = emulator.root();
    let mut out = io::stdout().lock();
    writeln!(out, "issuer       {}", tenant.issuer())?;
    writeln!(out, "org issuer   {}", tenant.org_issuer())?;
    writeln!(out, "client id    {}", tenant.client_id())?;
    writeln!(out, "resource     {}", tenant.resource_url())?;
    match ca {
        Some(file) => writeln!(out, "trust        {}", file.display())?,
        None => writeln!(out, "trust        (no folder to keep the certificate in; use --ca-out FILE)")?,
    }
    writeln!(out, "control      {}", emulator.control_url().unwrap_or_default())?;
    writeln!(out, "\nusers")?;
    for user in &config.users {
        let factors: Vec<String> = user.factors.iter().map(|factor| format!("{factor:?}").to_lowercase()).collect();
        let status = match user.status {
            Status::Active => "",
            Status::Locked => "  (locked)",
            Status::PasswordExpired => "  (password expired)",
            Status::Unassigned => "  (not assigned to the app)",
        };
        let password = user.password.as_deref().unwrap_or("-");
        writeln!(out, "  {:<18} {password:<22} {}{status}", user.username, factors.join(" "))?;
    }
    out.flush()
}

/// Returns when the process is asked to stop.
fn wait_for_the_end() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            let mut terminate = signal(SignalKind::terminate())?;
            tokio::select! {
                interrupted = tokio::signal::ctrl_c() => interrupted,
                _ = terminate.recv() => Ok(()),
            }
        }
        #[cfg(not(unix))]
        tokio::signal::ctrl_c().await
    })
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
