//! Looks for what a user typed in the memory of a process that has just signed in.
//!
//! Each flow runs in a child of its own, which has the wiping allocator and drives the core's public API against an emulator
//! in the parent, over real TLS. A process that looks at itself overwrites its own dead stack frames, so the parent looks:
//! in every writable mapping of the child, for every secret in each of its spellings, whole and in pieces. The child has got
//! the secrets through a pipe, straight into buffers that wipe themselves; it never knows what is looked for.
//!
//! When a sign-in is over, nothing of it may be left, although the app still holds the client, the session and the steps;
//! after a sign-out and the end of the client, nothing of the tokens. A child that plants copies shows that they are found.

#![cfg_attr(target_os = "linux", expect(clippy::print_stdout, reason = "it prints its own results"))]

#[cfg(target_os = "linux")]
mod child;
#[cfg(target_os = "linux")]
mod flows;
#[cfg(target_os = "linux")]
mod link;
#[cfg(target_os = "linux")]
mod plants;
#[cfg(target_os = "linux")]
mod process;
#[cfg(target_os = "linux")]
mod scan;

#[cfg(target_os = "linux")]
type Failure = Box<dyn std::error::Error + Send + Sync>;

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some((mode, rest)) = arguments.split_first()
        && mode == link::CHILD
    {
        return match child::run(rest) {
            Ok(()) => std::process::ExitCode::SUCCESS,
            Err(failure) => {
                // The parent passes it on.
                println!("{failure}");
                std::process::ExitCode::FAILURE
            }
        };
    }
    // `cargo test -- NAME` runs what has NAME in its name.
    let wanted = |name: &str| arguments.iter().all(|word| word.starts_with('-') || name.contains(word.as_str()));

    let mut results = Results::default();
    println!("copies in the child's memory (whole + pieces): at once → after at most {:?}", flows::PATIENCE);
    for plant in plants::PLANTS.iter().filter(|plant| wanted(plant.name)) {
        results.add(plant.name, plants::check(plant));
    }
    match flows::Bench::new() {
        Ok(bench) => {
            for flow in flows::FLOWS.iter().filter(|flow| wanted(flow.name)) {
                results.add(flow.name, bench.check(flow));
            }
        }
        Err(failure) => results.add("the emulator starts", Err(failure)),
    }
    println!("{} passed, {} failed", results.passed, results.failed);
    if results.failed == 0 { std::process::ExitCode::SUCCESS } else { std::process::ExitCode::FAILURE }
}

#[cfg(target_os = "linux")]
#[derive(Default)]
struct Results {
    passed: usize,
    failed: usize,
}

#[cfg(target_os = "linux")]
impl Results {
    fn add(&mut self, name: &str, result: Result<(), Failure>) {
        match result {
            Ok(()) => self.passed += 1,
            Err(failure) => {
                self.failed += 1;
                println!("FAILED {name}: {failure}");
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
#[expect(clippy::print_stdout, reason = "it prints its own results")]
fn main() {
    println!("the memory of another process is looked at on Linux only");
    println!("0 passed, 0 failed");
}
