//! The emulator in a process of its own: the benchmark starts itself again, and talks to it by lines.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use directauth_emulator::{Config, Emulator};

use crate::PASSWORD;

pub(crate) struct Server {
    pub(crate) issuer: String,
    pub(crate) client_id: String,
    pub(crate) authority: Vec<u8>,
    line: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
    child: Child,
}

impl Server {
    pub(crate) fn start(round_trip: Duration) -> Self {
        Self::with_users(round_trip, 0)
    }

    /// With so many users more, called as [`user`] says.
    pub(crate) fn with_users(round_trip: Duration, users: u32) -> Self {
        let program = std::env::current_exe().expect("this program");
        let mut child = Command::new(program)
            .args(["--serve", &round_trip.as_millis().to_string(), &users.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the emulator starts");
        let input = child.stdin.take().expect("a pipe");
        let mut output = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut read = || {
            let mut line = String::new();
            output.read_line(&mut line).expect("a line");
            line.trim_end().to_owned()
        };
        let (issuer, client_id, authority) = (read(), read(), read());
        let authority = data_encoding::HEXLOWER.decode(authority.as_bytes()).expect("hexadecimal");
        Self { issuer, client_id, authority, line: Mutex::new((input, output)), child }
    }

    /// How many requests came since the last time.
    pub(crate) fn take_requests(&self) -> u32 {
        self.ask("requests").parse().expect("a number")
    }

    /// For how many seconds access tokens live from now on.
    pub(crate) fn set_token_lifetime(&self, seconds: u64) {
        self.ask(&format!("lifetime {seconds}"));
    }

    /// Every push that waits is approved.
    pub(crate) fn approve_all(&self) {
        self.ask("approve");
    }

    /// What it has in memory, in bytes; none where the system does not say.
    pub(crate) fn memory(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.trim().strip_suffix(" kB")?.parse().ok().map(|kilobytes: u64| kilobytes * 1024)
    }

    fn ask(&self, question: &str) -> String {
        let mut line = self.line.lock().expect("one thread");
        writeln!(line.0, "{question}").expect("the emulator listens");
        let mut answer = String::new();
        line.1.read_line(&mut answer).expect("an answer");
        answer.trim_end().to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The name of one of many users, for whom the password is enough.
pub(crate) fn user(number: u32) -> String {
    format!("user{number}@example.com")
}

/// The other side. Ends when nobody listens any more.
pub(crate) fn serve(round_trip: Duration, users: u32) {
    let one = |number| {
        format!("[[users]]\nusername = \"{}\"\npassword = \"{PASSWORD}\"\nfactors = [\"push\"]\n", user(number))
    };
    let users: String = (0..users).map(one).collect();
    let config = Config::from_toml(&format!("{}\n{users}", Config::demo_toml())).expect("a valid configuration");
    let emulator = Emulator::builder().config(config).rtt(round_trip).start().expect("a free port");
    let tenant = emulator.root();
    let mut output = std::io::stdout();
    let authority = data_encoding::HEXLOWER.encode(&emulator.ca_der());
    writeln!(output, "{}\n{}\n{authority}", tenant.issuer(), tenant.client_id()).expect("somebody listens");
    for line in std::io::stdin().lines() {
        let line = line.expect("text");
        let answer = match line.split_once(' ').unwrap_or((&line, "")) {
            ("requests", _) => {
                let count = tenant.journal().len();
                tenant.clear_journal();
                count.to_string()
            }
            ("lifetime", seconds) => {
                let seconds = seconds.parse().expect("seconds");
                tenant.settings(|settings| settings.access_token_lifetime = seconds);
                "done".to_owned()
            }
            ("approve", _) => {
                for push in tenant.pending_pushes() {
                    tenant.approve_push(&push.username);
                }
                "done".to_owned()
            }
            (other, _) => panic!("what is {other}?"),
        };
        writeln!(output, "{answer}").expect("somebody listens");
    }
}
