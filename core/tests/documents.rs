//! docs/failure-matrix.md names tests, vectors, simulator events and store problems: each of them exists, so that the page
//! cannot promise what nobody shows any more.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout, reason = "a test")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const SIMULATOR: &str = "src/simulator/events.rs";
/// Where the variants of an event's arguments are declared.
const ARGUMENTS: [(&str, &str, &str); 5] = [
    ("Store", SIMULATOR, "StoreFault"),
    ("Fails", SIMULATOR, "Reason"),
    ("Net", SIMULATOR, "NetFault"),
    ("Special", "src/simulator/server.rs", "Special"),
    ("Act", SIMULATOR, "Act"),
];

fn core() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(path: impl AsRef<Path>) -> String {
    let path = core().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The rows of the tables of the section with this heading, cell by cell, without head and rule.
fn rows(page: &str, heading: &str) -> Vec<Vec<String>> {
    let section = page.split_once(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("no section {heading}")).1;
    let section = section.split("\n#").next().expect("its text");
    let lines = section.lines().filter(|line| line.starts_with('|')).skip(2);
    lines.map(|line| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()).collect()
}

/// The code spans of a text, each with the word before it.
fn spans(text: &str) -> Vec<(String, String)> {
    let parts: Vec<&str> = text.split('`').collect();
    assert!(parts.len() % 2 == 1, "a code span without end in {text}");
    let mut word = String::new();
    let mut found = Vec::new();
    for pair in parts.chunks(2) {
        let before = pair[0].trim_matches([' ', ',', ';', ':', '.']);
        if !before.is_empty() {
            word = before.rsplit(' ').next().unwrap_or_default().to_owned();
        }
        if let Some(span) = pair.get(1) {
            found.push((word.clone(), (*span).to_owned()));
        }
    }
    found
}

/// The variants of an enum.
fn variants(path: &str, name: &str) -> BTreeSet<String> {
    let source = text(path);
    let body = source.split_once(&format!("enum {name} {{\n")).unwrap_or_else(|| panic!("no enum {name} in {path}")).1;
    let body = body.split("\n}").next().expect("its body");
    let lines = body.lines().map(str::trim_start).filter(|line| line.starts_with(|c: char| c.is_ascii_uppercase()));
    lines.map(|line| line.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_owned()).collect()
}

/// Whether the simulator has an event, written like `Store(Fails(Locked))`.
fn is_event(event: &str) -> bool {
    let names: Vec<&str> = event.trim_end_matches(')').split('(').collect();
    let mut known = variants(SIMULATOR, "Event");
    for (index, name) in names.iter().enumerate() {
        if !known.contains(*name) {
            return false;
        }
        let Some((_, path, argument)) = ARGUMENTS.iter().find(|(outer, ..)| outer == name) else {
            return index + 1 == names.len();
        };
        known = variants(path, argument);
    }
    true
}

/// Whether there is such a test, and it is run.
fn is_test(name: &str) -> bool {
    let Some((file, function)) = name.split_once("::") else { return false };
    let places = ["tests", "src"].map(|folder| core().join(folder).join(file).with_extension("rs"));
    places.iter().filter_map(|place| fs::read_to_string(place).ok()).any(|source| {
        let before = source.split(&format!("fn {function}()")).next().filter(|before| before.len() < source.len());
        let attributes = before.map(|before| before.rsplit("\n\n").next().unwrap_or_default());
        attributes.is_some_and(|text| text.contains("#[test]") && !text.contains("ignore"))
    })
}

fn vectors() -> BTreeSet<String> {
    let files = fs::read_dir(core().join("conformance")).expect("the vectors");
    let files: Vec<PathBuf> = files.map(|file| file.expect("a file").path()).collect();
    let jsons = files.iter().filter(|path| path.extension().is_some_and(|extension| extension == "json"));
    let mut ids = BTreeSet::new();
    for path in jsons {
        let json: serde_json::Value = serde_json::from_str(&text(path)).expect("JSON");
        collect_ids(&json, &mut ids);
    }
    ids
}

fn collect_ids(json: &serde_json::Value, ids: &mut BTreeSet<String>) {
    match json {
        serde_json::Value::Array(all) => all.iter().for_each(|one| collect_ids(one, ids)),
        serde_json::Value::Object(members) => {
            ids.extend(members.get("id").and_then(|id| id.as_str()).map(str::to_owned));
            members.get("vectors").into_iter().for_each(|vectors| collect_ids(vectors, ids));
        }
        _ => {}
    }
}

/// Why what is named after a word does not show anything.
fn problem(word: &str, span: &str, vectors: &BTreeSet<String>) -> Option<String> {
    if span.contains("::") {
        return (!is_test(span)).then(|| format!("no test {span}"));
    }
    match word {
        "vector" => (!vectors.contains(span)).then(|| format!("no vector {span}")),
        "simulator" => (!is_event(span)).then(|| format!("no simulator event {span}")),
        _ => Some(format!("`{span}` after \"{word}\" is neither a test nor a vector nor a simulator event")),
    }
}

const SECTIONS: [&str; 4] =
    ["## Storage events", "## Process events", "## Network and server events", "## User events"];

#[test]
fn whatever_the_failure_matrix_names_exists() {
    let (page, vectors) = (text("../docs/failure-matrix.md"), vectors());
    let mut problems = Vec::new();
    let mut named = 0;
    for heading in SECTIONS {
        let rows = rows(&page, heading);
        assert!(!rows.is_empty(), "{heading} has no table");
        for row in rows {
            assert_eq!(row.len(), 4, "{row:?}");
            let shown_by = spans(&row[3]);
            if shown_by.is_empty() {
                problems.push(format!("nothing shows: {}", row[0]));
            }
            named += shown_by.len();
            problems.extend(shown_by.iter().filter_map(|(word, span)| problem(word, span, &vectors)));
        }
    }
    // Tests that are named in the text.
    let in_text = spans(&page).into_iter().filter(|(_, span)| span.starts_with("sessions/"));
    problems.extend(in_text.filter_map(|(word, span)| problem(&word, &span, &vectors)));
    println!("{named} names");
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn every_test_of_failing_sessions_is_in_the_failure_matrix() {
    let page = text("../docs/failure-matrix.md");
    let mut missing = Vec::new();
    for file in ["storage", "processes", "network"] {
        let source = text(format!("tests/sessions/{file}.rs"));
        let tests = source.split("#[test]\nfn ").skip(1).map(|rest| rest.split('(').next().unwrap_or_default());
        missing.extend(
            tests.map(|test| format!("`sessions/{file}::{test}`")).filter(|name| !page.contains(name.as_str())),
        );
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

#[test]
fn what_adapters_map_to_are_store_problems() {
    let page = text("../docs/failure-matrix.md");
    let problems = variants("src/error.rs", "StoreProblem");
    for heading in ["### iOS", "### Android"] {
        let rows = rows(&page, heading);
        let mut used = BTreeSet::new();
        for row in &rows {
            assert_eq!(row.len(), 3, "{row:?}");
            let names: Vec<_> = spans(&row[1]).into_iter().map(|(_, span)| span).collect();
            assert!(names.iter().all(|name| problems.contains(name)), "{row:?}");
            let is_said =
                ["absent", "the blob", "no problem", "by their cause"].iter().any(|word| row[1].starts_with(word));
            assert!(is_said || names.len() == 1, "{row:?}");
            used.extend(names);
        }
        assert_eq!(used, problems, "{heading}: each problem comes from somewhere");
    }
    let marked: Vec<_> = SECTIONS.iter().flat_map(|heading| rows(&page, heading)).map(|row| row[0].clone()).collect();
    let marked: Vec<_> = marked.iter().filter_map(|event| event.split_once("*Adapter:")).collect();
    assert!(!marked.is_empty());
    for (_, mapping) in marked {
        assert!(spans(mapping).iter().all(|(_, name)| problems.contains(name)), "{mapping}");
    }
}

#[test]
fn a_name_that_is_wrong_is_noticed() {
    let vectors = vectors();
    for (word, span) in [
        ("", "sessions/storage::no_such_test"),
        ("", "no/such/file::a_read_error_is_never_nobody_and_changes_nothing"),
        ("", "sessions/device::new"),
        ("vector", "no-such-vector"),
        ("simulator", "Store(NoSuchFault)"),
        ("simulator", "Store(Fails(NoSuchReason))"),
        ("simulator", "NoSuchEvent"),
        ("by", "Crash"),
    ] {
        assert!(problem(word, span, &vectors).is_some(), "{span}");
    }
    assert_eq!(problem("simulator", "Store(Fails(Locked))", &vectors), None);
    assert_eq!(problem("vector", "refresh-refused", &vectors), None);
    assert_eq!(problem("", "session/rules::what_the_stored_record_says", &vectors), None);
}

#[test]
fn each_line_of_the_assurance_page_has_its_vector_and_each_vector_its_line() {
    let page = text("../docs/assurance.md");
    let lines = page.lines().filter(|line| line.starts_with('|') && line.contains('`'));
    let last = |line: &str| line.trim_end_matches(" |").rsplit('`').nth(1).map(str::to_owned);
    let named: BTreeSet<String> = lines.filter_map(last).collect();
    let vectors: serde_json::Value = serde_json::from_str(&text("conformance/assurance.json")).expect("a list");
    let ids = vectors.as_array().expect("a list").iter().filter_map(|vector| vector["id"].as_str());
    let known: BTreeSet<String> = ids.map(str::to_owned).collect();
    assert!(known.len() > 25, "the page was not understood: {known:?}");
    assert_eq!(named, known);
}
