//! The table, and the same as JSON: `name, unit, ours, baseline, ratio, target, ok`.

use std::time::Duration;

use serde_json::{Value, json};

#[derive(Default)]
pub(crate) struct Report(Vec<Row>);

/// One comparison. `target` is about the ratio where there is a baseline that means something, else about ours.
pub(crate) struct Row {
    name: String,
    unit: &'static str,
    ours: f64,
    baseline: Option<f64>,
    target: Option<f64>,
    ok: bool,
    of_ratio: bool,
    /// Whether the target is the least.
    is_floor: bool,
}

impl Row {
    /// A number of things, held against a limit.
    pub(crate) fn count(name: &str, unit: &'static str, ours: u32, baseline: u32, limit: Option<u32>) -> Self {
        Self {
            name: name.to_owned(),
            unit,
            ours: ours.into(),
            baseline: Some(baseline.into()),
            target: limit.map(f64::from),
            ok: limit.is_none_or(|limit| ours <= limit),
            of_ratio: false,
            is_floor: false,
        }
    }

    /// Two times, whose ratio is held against a limit.
    pub(crate) fn time(name: &str, (ours, bare): (Duration, Duration), limit: Option<f64>) -> Self {
        let ratio = ours.as_secs_f64() / bare.as_secs_f64();
        Self {
            name: name.to_owned(),
            unit: "µs",
            ours: micros(ours),
            baseline: Some(micros(bare)),
            target: limit,
            ok: limit.is_none_or(|limit| ratio <= limit),
            of_ratio: true,
            is_floor: false,
        }
    }

    /// A number of things without anything beside it.
    pub(crate) fn number(name: &str, unit: &'static str, ours: u32) -> Self {
        let (name, ours) = (name.to_owned(), ours.into());
        Self { name, unit, ours, baseline: None, target: None, ok: true, of_ratio: false, is_floor: false }
    }

    /// What there must be so much of.
    pub(crate) fn at_least(name: &str, unit: &'static str, ours: f64, least: f64) -> Self {
        let (name, target, ok) = (name.to_owned(), Some(least), ours >= least);
        Self { name, unit, ours, baseline: None, target, ok, of_ratio: false, is_floor: true }
    }

    /// Bytes now beside bytes before, whose ratio is held against a limit.
    pub(crate) fn growth(name: &str, (now, before): (u64, u64), limit: f64) -> Self {
        let (name, ours, before) = (name.to_owned(), now as f64, before as f64);
        let ok = ours / before <= limit;
        Self {
            name,
            unit: "bytes",
            ours,
            baseline: Some(before),
            target: Some(limit),
            ok,
            of_ratio: true,
            is_floor: false,
        }
    }

    /// A time without anything beside it.
    pub(crate) fn alone(name: &str, ours: Duration) -> Self {
        let ours = micros(ours);
        Self {
            name: name.to_owned(),
            unit: "µs",
            ours,
            baseline: None,
            target: None,
            ok: true,
            of_ratio: false,
            is_floor: false,
        }
    }

    /// A time that is held against a limit.
    pub(crate) fn limit(name: &str, ours: Duration, limit: Duration) -> Self {
        Self { target: Some(micros(limit)), ok: ours <= limit, ..Self::alone(name, ours) }
    }

    /// Bytes, held against a limit.
    pub(crate) fn bytes(name: &str, ours: usize, bare: usize, limit: u32) -> Self {
        let (ours, bare) = (ours as f64, bare as f64);
        Self {
            name: name.to_owned(),
            unit: "bytes",
            ours,
            baseline: Some(bare),
            target: Some(limit.into()),
            ok: ours <= f64::from(limit),
            of_ratio: false,
            is_floor: false,
        }
    }

    /// The size of a library, held against a limit.
    pub(crate) fn size(name: &str, ours: u32, limit: u32) -> Self {
        let (ours, limit) = (f64::from(ours), f64::from(limit));
        let (name, unit) = (name.to_owned(), "bytes");
        Self {
            name,
            unit,
            ours,
            baseline: None,
            target: Some(limit),
            ok: ours <= limit,
            of_ratio: false,
            is_floor: false,
        }
    }

    fn ratio(&self) -> Option<f64> {
        self.baseline.map(|baseline| self.ours / baseline)
    }

    fn json(&self) -> Value {
        json!({
            "name": self.name, "unit": self.unit, "ours": rounded(self.ours), "baseline": self.baseline.map(rounded),
            "ratio": self.ratio().map(rounded), "target": self.target, "ok": self.ok,
        })
    }

    fn line(&self) -> [String; 7] {
        let number = |number: f64| if number.fract() == 0.0 { format!("{number}") } else { format!("{number:.1}") };
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "–".to_owned());
        let relation = if self.is_floor { "≥" } else { "≤" };
        let target = self.target.map(|target| match self.of_ratio {
            true => format!("{relation} {target} ×"),
            false => format!("{relation} {}", number(target)),
        });
        [
            self.name.clone(),
            self.unit.to_owned(),
            number(self.ours),
            or_dash(self.baseline.map(number)),
            or_dash(self.ratio().map(|ratio| format!("{ratio:.2}"))),
            or_dash(target),
            if self.ok { "ok" } else { "MISSED" }.to_owned(),
        ]
    }
}

impl Report {
    pub(crate) fn add(&mut self, row: Row) {
        eprintln!("  {}", row.name);
        self.0.push(row);
    }

    pub(crate) fn print(&self, as_json: bool) {
        if as_json {
            let rows: Vec<Value> = self.0.iter().map(Row::json).collect();
            println!("{}", Value::from(rows));
            return;
        }
        let head = ["name", "unit", "ours", "baseline", "ratio", "target", "ok"].map(str::to_owned);
        let lines: Vec<[String; 7]> = core::iter::once(head).chain(self.0.iter().map(Row::line)).collect();
        let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
        for line in &lines {
            let mut text = String::new();
            for (column, cell) in line.iter().enumerate() {
                let space = " ".repeat(width(column) - cell.chars().count());
                // Numbers to the right.
                text += &if (2..5).contains(&column) { format!("{space}{cell}  ") } else { format!("{cell}{space}  ") };
            }
            println!("{}", text.trim_end());
        }
    }
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn rounded(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}
