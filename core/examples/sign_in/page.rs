//! How things look: one line for each step with its requests at the right, errors with what to do next, large digits.
//!
//! Colours and moving parts only on a terminal that can; plain text everywhere else.

use core::time::Duration;
use std::io::{IsTerminal, Write};
use std::time::{Instant, SystemTime};

use directauth::{Error, Remedy};

use crate::requests::Cost;

/// Where the requests begin on a line, counted from 0, and where a line ends.
const COST_COLUMN: usize = 63;
const WIDTH: usize = 100;

/// Standard output, and what it can do.
#[derive(Clone, Copy)]
pub(crate) struct Page {
    colours: bool,
    moves: bool,
}

/// Colours by what they mean.
#[derive(Clone, Copy)]
pub(crate) enum Ink {
    Plain,
    Bold,
    Dim,
    Good,
    Bad,
    Emulator,
}

impl Page {
    pub(crate) fn of_this_process() -> Self {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let moves = std::io::stdout().is_terminal() && !dumb;
        Self { colours: moves && !no_color, moves }
    }

    /// Whether a line can be drawn anew in its place.
    pub(crate) fn moves(self) -> bool {
        self.moves
    }

    pub(crate) fn line(self, text: &str) {
        // A reader that went away (`| head`) is no reason to fail.
        let _ = writeln!(std::io::stdout(), "{text}");
    }

    /// Text without a line's end, shown at once.
    pub(crate) fn show(self, text: &str) {
        let mut out = std::io::stdout();
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }

    pub(crate) fn title(self, text: &str) {
        self.line(&format!("\n{}", self.ink(Ink::Bold, text)));
    }

    /// Something worked.
    pub(crate) fn done(self, text: &str, cost: &Cost) {
        self.marked(Ink::Good, "✓", text, &cost.to_string());
    }

    /// Something did not work: what was tried, what happened, what to do next. `took` if it matters how long it took.
    pub(crate) fn refused(self, tried: &str, error: &Error, took: Option<Duration>, cost: &Cost) {
        let after = took.map(|took| format!(", after {}", human(took))).unwrap_or_default();
        self.marked(Ink::Bad, "✗", &format!("{tried}{after}"), &cost.to_string());
        let mut next = format!("→ {} · {}", remedy(error), error.kind().name());
        if let Some(id) = error.request_id() {
            next.push_str(&format!(" · request {id}"));
        }
        self.paragraph(Ink::Plain, &error.to_string());
        self.paragraph(Ink::Dim, &next);
        // For a developer: an app shows none of it to its users.
        if let Some(words) = error.server_text().and_then(directauth::ServerText::description) {
            self.paragraph(Ink::Dim, &format!("the server says: “{words}”"));
        }
    }

    /// What the emulator gives away because it is one: codes, the numbers on the phone.
    pub(crate) fn emulator(self, text: &str) {
        self.line(&format!("    {}", self.ink(Ink::Emulator, &format!("emulator: {text}"))));
    }

    pub(crate) fn note(self, text: &str) {
        self.paragraph(Ink::Dim, text);
    }

    /// Digits, five lines high; text that has others as it is.
    pub(crate) fn large(self, number: &str) {
        let glyphs: Option<Vec<[&str; 5]>> = number.chars().map(glyph).collect();
        self.line("");
        match glyphs {
            Some(glyphs) => (0..5).for_each(|row| {
                let pixels =
                    |glyph: &[&str; 5]| glyph.get(row).copied().unwrap_or("").replace('#', "██").replace('.', "  ");
                let line: Vec<String> = glyphs.iter().map(pixels).collect();
                self.line(&format!("        {}", self.ink(Ink::Bold, &line.join("  "))));
            }),
            None => self.line(&format!("        {}", self.ink(Ink::Bold, number))),
        }
        self.line("");
    }

    pub(crate) fn ink(self, ink: Ink, text: &str) -> String {
        let code = match ink {
            Ink::Bold => "1",
            Ink::Dim => "2",
            Ink::Good => "32",
            Ink::Bad => "31",
            Ink::Emulator => "36",
            Ink::Plain => return text.to_owned(),
        };
        if self.colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn marked(self, ink: Ink, mark: &str, text: &str, cost: &str) {
        let length = cost.chars().count();
        let gap = COST_COLUMN.saturating_sub(4 + text.chars().count());
        let (text, cost) = (format!("  {} {text}", self.ink(ink, mark)), self.ink(Ink::Dim, cost));
        if gap >= 2 && COST_COLUMN + length <= WIDTH {
            self.line(&format!("{text}{:gap$}{cost}", ""));
        } else {
            self.line(&format!("{text}\n{:before$}{cost}", "", before = WIDTH.saturating_sub(length)));
        }
    }

    /// Wrapped to the page, indented under the text of a step.
    fn paragraph(self, ink: Ink, text: &str) {
        let mut line = String::new();
        for word in text.split(' ') {
            if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > WIDTH - 4 {
                self.line(&format!("    {}", self.ink(ink, &line)));
                line.clear();
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        self.line(&format!("    {}", self.ink(ink, &line)));
    }
}

/// What to do next, with the time if there is one.
pub(crate) fn remedy(error: &Error) -> String {
    match error.remedy() {
        Remedy::Wait(Some(until)) => match until.duration_since(SystemTime::now()) {
            Ok(left) => format!("try again in {} s", left.as_secs() + 1),
            Err(_) => "try again now".to_owned(),
        },
        other => other.to_string(),
    }
}

/// `850 ms`, `2.1 s`, `60 min`.
pub(crate) fn human(time: Duration) -> String {
    match time.as_secs() {
        0 => format!("{} ms", time.as_millis()),
        1..120 => format!("{:.1} s", time.as_secs_f64()),
        secs => format!("{} min", (secs + 30) / 60),
    }
}

/// The time since `start`.
pub(crate) fn since(start: Instant) -> String {
    human(start.elapsed())
}

fn glyph(digit: char) -> Option<[&'static str; 5]> {
    Some(match digit {
        '0' => ["###", "#.#", "#.#", "#.#", "###"],
        '1' => [".#.", "##.", ".#.", ".#.", "###"],
        '2' => ["###", "..#", "###", "#..", "###"],
        '3' => ["###", "..#", "###", "..#", "###"],
        '4' => ["#.#", "#.#", "###", "..#", "..#"],
        '5' => ["###", "#..", "###", "..#", "###"],
        '6' => ["###", "#..", "###", "#.#", "###"],
        '7' => ["###", "..#", "..#", "..#", "..#"],
        '8' => ["###", "#.#", "###", "#.#", "###"],
        '9' => ["###", "#.#", "###", "..#", "###"],
        _ => return None,
    })
}
