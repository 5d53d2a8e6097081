//! Plays `conformance/*.json` on the real library over real TLS against the emulator, in simulated time.
//!
//! The runner is small and knows no row: a row that needs a special case here is a verb that the format lacks. The
//! format is described in `conformance/README.md`.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout, reason = "a test")]

mod check;
mod format;
mod lock;
mod odd;
mod play;
mod processes;
mod rows;
mod session;
mod sign_in;
mod store;
#[path = "../support/mod.rs"]
mod support;

#[test]
fn every_vector_gives_what_it_says() {
    let vectors = format::vectors();
    let only = std::env::var("VECTOR").ok();
    let mut failed = Vec::new();
    let mut played = 0;
    let mut ids = std::collections::BTreeSet::new();
    for (file, vector) in &vectors {
        assert!(ids.insert(vector.id.clone()), "{file}: the id {} is there twice", vector.id);
        if only.as_ref().is_some_and(|only| *only != vector.id) {
            continue;
        }
        played += 1;
        let result = std::panic::catch_unwind(|| play::play(vector));
        let problem = match result {
            Ok(Ok(())) => continue,
            Ok(Err(problem)) => problem,
            Err(panic) => panic
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
                .unwrap_or_else(|| "panicked".to_owned()),
        };
        failed.push(format!("{file} {} (rows {:?}: {})\n    {problem}", vector.id, vector.rows, vector.title));
    }
    println!("{played} vectors, {} failed", failed.len());
    assert!(played > 0, "no vector was played");
    assert!(failed.is_empty(), "\n{}", failed.join("\n"));
}
