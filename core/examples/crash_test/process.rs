//! One child: started, listened to line by line, told things, killed. Every wait is bounded.

use core::time::Duration;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Instant;

use crate::report::Trouble;

/// Longer than the library waits for anything here, a lock that nobody frees (45 s) included.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);
const SIGKILL: i32 = 9;

pub(crate) struct Process {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<(Instant, String)>,
    began: Instant,
}

impl Process {
    /// Starts this program again, as a child.
    pub(crate) fn start(arguments: &[String]) -> Result<Self, Trouble> {
        let began = Instant::now();
        let spawn = || {
            let program = std::env::current_exe()?;
            Command::new(program).arg("child").args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()
        };
        let mut child = spawn().map_err(|error| Trouble::Wrong(format!("a child cannot be started: {error}")))?;
        let input = child.stdin.take();
        let (sender, lines) = channel();
        if let Some(output) = child.stdout.take() {
            std::thread::spawn(move || listen(output, |line| sender.send((Instant::now(), line)).is_ok()));
        }
        Ok(Self { child, input, lines, began })
    }

    pub(crate) fn tell(&mut self, line: &str) -> Result<(), Trouble> {
        let written = self.input.as_mut().map(|input| writeln!(input, "{line}").and_then(|()| input.flush()));
        match written {
            Some(Ok(())) => Ok(()),
            _ => Err(Trouble::Wrong("a child died by itself".to_owned())),
        }
    }

    /// The next line that it says, and when it said it; `None` if it has said its last one.
    pub(crate) fn next(&mut self) -> Result<Option<(Instant, String)>, Trouble> {
        match self.lines.recv_timeout(LIMIT) {
            Ok(line) => Ok(Some(line)),
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) => Err(Trouble::Wrong(format!("a child said nothing for {LIMIT:?}"))),
        }
    }

    /// Lets it come to its end: what it has said, and how long it took.
    pub(crate) fn finish(mut self) -> Result<(Vec<String>, Duration), Trouble> {
        self.input = None;
        let lines = self.rest()?;
        let status = self.child.wait().map_err(|error| Trouble::Wrong(error.to_string()))?;
        if status.success() {
            Ok((lines, self.began.elapsed()))
        } else {
            Err(Trouble::Wrong(format!("a child ended with {status} after it had said {lines:?}")))
        }
    }

    /// Kills it `delay` after its start, and waits until it is dead: what it had said.
    pub(crate) fn kill_after(self, delay: Duration) -> Result<Vec<String>, Trouble> {
        std::thread::sleep(delay.saturating_sub(self.began.elapsed()));
        self.kill()
    }

    /// Kills it now. One that had come to its end says why.
    pub(crate) fn kill(mut self) -> Result<Vec<String>, Trouble> {
        let killed = self.child.kill().and_then(|()| self.child.wait());
        let status = killed.map_err(|error| Trouble::Wrong(format!("a child cannot be killed: {error}")))?;
        let lines = self.rest()?;
        if status.success() || status.signal() == Some(SIGKILL) {
            Ok(lines)
        } else {
            Err(Trouble::Wrong(format!("a child ended with {status} after it had said {lines:?}")))
        }
    }

    fn rest(&mut self) -> Result<Vec<String>, Trouble> {
        let mut lines = Vec::new();
        while let Some((_, line)) = self.next()? {
            lines.push(line);
        }
        Ok(lines)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whole lines only: the kill may come in the middle of one.
fn listen(output: ChildStdout, mut each: impl FnMut(String) -> bool) {
    let mut output = BufReader::new(output);
    let mut line = String::new();
    while output.read_line(&mut line).is_ok() && line.ends_with('\n') && each(line.trim_end().to_owned()) {
        line.clear();
    }
}
