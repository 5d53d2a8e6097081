//! Ours beside the bare minimum, in one run on one machine: `scripts/bench` starts it.
//!
//! The same requests to the same emulator, once through the library and once by reqwest and serde_json without any of its
//! care. The emulator is a process of its own, so that neither its time nor its memory counts. Runs of the two sides take
//! turns; the middle one of each side counts. Where the other side has nothing to compare with (the store, a thousand
//! sessions), the baseline is the library's own smaller case, or there is none.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::indexing_slicing,
    reason = "a benchmark"
)]

mod bare;
mod counting;
mod emulator;
mod ours;
mod process;
mod refreshes;
mod report;
mod server;
mod sessions;
mod storage;
mod unlisted;

use std::time::{Duration, Instant};

use peak_alloc::PeakAlloc;
use report::{Report, Row};
use server::Server;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// A user for whom the password is enough.
pub(crate) const USER: &str = "ben@example.com";
pub(crate) const PASSWORD: &str = "tr0ub4dor&3";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(position) = arguments.iter().position(|argument| argument == "--serve") {
        let number = |offset: usize| arguments.get(position + offset)?.parse::<u32>().ok();
        let (millis, users) = number(1).zip(number(2)).expect("--serve MILLISECONDS USERS");
        return server::serve(Duration::from_millis(millis.into()), users);
    }
    if let Some(side) = arguments.iter().find(|argument| matches!(argument.as_str(), "--only-ours" | "--only-bare")) {
        return only(side);
    }
    let mut report = Report::default();
    if arguments.iter().any(|argument| argument == "--only-emulator") {
        emulator::measure(&mut report);
        return report.print(arguments.iter().any(|argument| argument == "--json"));
    }
    let near = Server::start(Duration::ZERO);
    let far = Server::start(Duration::from_millis(100));
    requests(&mut report, &near);
    refreshes::requests(&mut report, &near);
    for (server, round_trip, times) in [(&near, "0 ms", 21), (&far, "100 ms", 5)] {
        wall_time(&mut report, server, round_trip, times);
    }
    cpu_time(&mut report, &near);
    refreshes::cpu_time(&mut report, &near);
    id_token(&mut report, &near);
    callers(&mut report, &near);
    heap(&mut report, &near);
    build(&mut report, &near);
    storage::measure(&mut report, &near);
    sessions::measure(&mut report);
    drop((near, far));
    emulator::measure(&mut report);
    if let Some(position) = arguments.iter().position(|argument| argument == "--size") {
        let text = |offset: usize| arguments.get(position + offset).expect("--size NAME BYTES TARGET");
        let number = |offset| text(offset).parse().expect("bytes");
        report.add(Row::size(text(1), number(2), number(3)));
    }
    report.print(arguments.iter().any(|argument| argument == "--json"));
}

/// Cold sign-ins of one side and nothing else, for a profiler.
fn only(side: &str) {
    let server = Server::start(Duration::ZERO);
    let sign_in = if side == "--only-ours" { ours::cold_sign_in } else { bare::cold_sign_in };
    (0..200).for_each(|_| sign_in(&server));
    println!("{:?} of processor time for each", cpu() / 200);
}

fn requests(report: &mut Report, server: &Server) {
    server.take_requests();
    ours::cold_sign_in(server);
    let cold = server.take_requests();
    let client = ours::warm_client(server);
    server.take_requests();
    let session = ours::sign_in(&client);
    let warm = server.take_requests();
    ours::refresh(&session);
    let refresh = server.take_requests();
    let bound = ours::sign_in(&ours::bound_client(server));
    let bound_cold = server.take_requests();
    ours::refresh(&bound);
    let bound_refresh = server.take_requests();
    bare::cold_sign_in(server);
    let bare_cold = server.take_requests();
    let row = |name, ours: u32, baseline: u32, target| Row::count(name, "requests", ours, baseline, target);
    report.add(row("cold password sign-in", cold, bare_cold, Some(3)));
    report.add(row("password sign-in after warm_up", warm, 1, Some(1)));
    report.add(row("refresh in a running process", refresh, 1, Some(1)));
    report.add(row("cold password sign-in, bound to a key", bound_cold, bare_cold, Some(4)));
    report.add(row("refresh, bound to a key", bound_refresh, 1, Some(1)));
    // What a key in software costs with each request to an API.
    let bearer = ours::sign_in(&ours::idle_client(server));
    let headers = alternate(200, || (), |()| ours::authorize(&bound), || (), |()| ours::authorize(&bearer));
    report.add(Row::time("headers for one request: a proof, beside a bearer token", headers, None));
}

fn wall_time(report: &mut Report, server: &Server, round_trip: &str, times: usize) {
    let cold = alternate(times, || (), |()| ours::cold_sign_in(server), || (), |()| bare::cold_sign_in(server));
    report.add(Row::time(&format!("cold sign-in at {round_trip} round trip"), cold, None));
    let warm = alternate(
        times,
        || ours::warm_client(server),
        |client| drop(ours::sign_in(&client)),
        || bare::warm_client(server),
        |client| client.sign_in(),
    );
    // On loopback there is no round trip to compare with; the target is about what a user waits for.
    let target = (round_trip != "0 ms").then_some(1.15);
    report.add(Row::time(&format!("sign-in after warm_up at {round_trip} round trip"), warm, target));
}

fn cpu_time(report: &mut Report, server: &Server) {
    let times = cpu_of_both(|| ours::cold_sign_in(server), || bare::cold_sign_in(server));
    report.add(Row::time("CPU of a cold sign-in", times, Some(1.25)));
}

/// The processor time of one of each, from many that take turns.
fn cpu_of_both(ours: impl Fn(), bare: impl Fn()) -> (Duration, Duration) {
    const EACH: u32 = 40;
    let measure = |work: &dyn Fn()| {
        let before = cpu();
        (0..EACH).for_each(|_| work());
        (cpu() - before) / EACH
    };
    // Code and caches are warm for both.
    ours();
    bare();
    let (ours, bare): (Vec<_>, Vec<_>) = (0..5).map(|_| (measure(&ours), measure(&bare))).unzip();
    (middle(ours), middle(bare))
}

fn id_token(report: &mut Report, server: &Server) {
    const CHECKS: u32 = 2_000;
    let sample = bare::Sample::of(server);
    let each = |check: &dyn Fn()| {
        let began = Instant::now();
        (0..CHECKS).for_each(|_| check());
        began.elapsed() / CHECKS
    };
    let mut ours = Vec::new();
    let mut bare = Vec::new();
    for _ in 0..9 {
        ours.push(each(&|| sample.check_with_all_rules()));
        bare.push(each(&|| sample.verify_signature_only()));
    }
    report.add(Row::time("ID-token validation, beside one ring verification", (middle(ours), middle(bare)), Some(1.3)));
}

fn callers(report: &mut Report, server: &Server) {
    const CALLERS: usize = 10_000;
    let session = ours::expired_session(server);
    server.take_requests();
    let began = Instant::now();
    ours::ask_at_once(&session, CALLERS);
    let took = began.elapsed();
    let refreshes = server.take_requests();
    let naive = u32::try_from(CALLERS).expect("small");
    report.add(Row::count(
        "10,000 concurrent access_token() on an expired token",
        "refreshes",
        refreshes,
        naive,
        Some(1),
    ));
    report.add(Row::alone("10,000 concurrent access_token() on an expired token, time for each", took / naive));
}

fn heap(report: &mut Report, server: &Server) {
    let above = |work: &dyn Fn()| {
        let idle = HEAP.current_usage();
        HEAP.reset_peak_usage();
        work();
        HEAP.peak_usage().saturating_sub(idle)
    };
    let client = ours::idle_client(server);
    let ours = middle((0..5).map(|_| above(&|| drop(ours::sign_in(&client)))).collect());
    let bare = middle((0..5).map(|_| above(&|| bare::cold_sign_in(server))).collect());
    report.add(Row::bytes("peak heap of a sign-in over an idle client", ours, bare, 1_000_000));
}

fn build(report: &mut Report, server: &Server) {
    let mut times: Vec<Duration> = (0..101)
        .map(|_| {
            let began = Instant::now();
            let client = ours::idle_client(server);
            let took = began.elapsed();
            drop(client);
            took
        })
        .collect();
    times.sort_unstable();
    report.add(Row::limit("build(), the slowest of a hundred", times[times.len() - 1], Duration::from_millis(1)));
}

/// The middle times of two kinds of work that take turns; preparing them does not count.
fn alternate<A, B>(
    times: usize,
    prepare_ours: impl Fn() -> A,
    ours: impl Fn(A),
    prepare_bare: impl Fn() -> B,
    bare: impl Fn(B),
) -> (Duration, Duration) {
    let mut results = (Vec::new(), Vec::new());
    for _ in 0..times {
        let prepared = prepare_ours();
        let began = Instant::now();
        ours(prepared);
        results.0.push(began.elapsed());
        let prepared = prepare_bare();
        let began = Instant::now();
        bare(prepared);
        results.1.push(began.elapsed());
    }
    (middle(results.0), middle(results.1))
}

fn middle<T: Ord + Copy>(mut values: Vec<T>) -> T {
    values.sort_unstable();
    values[values.len() / 2]
}

/// The processor time that this process has used, all threads together.
fn cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.try_into().expect("not negative"), time.tv_nsec.try_into().expect("below a second"))
}
