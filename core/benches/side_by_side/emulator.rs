//! The emulator under load: sign-ins for a minute, whether it grows meanwhile, and many pushes that wait at once. The load
//! comes from one thread, so the two have a core each.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::Value;

use crate::bare;
use crate::report::{Report, Row};
use crate::server::{Server, user};

/// Requests that are under way at any time.
const AT_ONCE: usize = 16;
/// Five times what it remembers of grants, tokens and requests: its tables have found their size, which a hash table does only
/// after a while of adding and removing.
const UNTIL_FULL: usize = 50_000;
const A_MINUTE: Duration = Duration::from_secs(60);
const PUSHES: u32 = 1_000;
/// How often the demo configuration lets an app poll.
const POLLING: Duration = Duration::from_secs(1);
const OOB: &str = "urn:okta:params:oauth:grant-type:oob";

pub(crate) fn measure(report: &mut Report) {
    sign_ins(report, &Server::start(Duration::ZERO));
    pushes(report, &Server::with_users(Duration::ZERO, PUSHES));
}

fn sign_ins(report: &mut Report, server: &Server) {
    let runtime = bare::runtime();
    let clients: Vec<_> = runtime.block_on(async { (0..AT_ONCE).map(|_| bare::client(server)).collect() });
    let endpoint = format!("{}/v1/token", server.issuer);
    let load = async |client: &reqwest::Client, is_enough: &dyn Fn(usize) -> bool| {
        let mut done = 0;
        while !is_enough(done) {
            bare::sign_in(client, &endpoint, &server.client_id).await;
            done += 1;
        }
        done
    };
    let until = |is_enough: &dyn Fn(usize) -> bool| -> usize {
        runtime.block_on(join_all(clients.iter().map(|client| load(client, is_enough)))).iter().sum()
    };
    until(&|done| done >= UNTIL_FULL / AT_ONCE);
    let before = server.memory();
    let began = Instant::now();
    let done = until(&|_| began.elapsed() >= A_MINUTE);
    let each_second = done as f64 / began.elapsed().as_secs_f64();
    report.add(Row::at_least("emulator: password sign-ins, for a minute", "per second", each_second, 200.0));
    if let Some((before, after)) = before.zip(server.memory()) {
        report.add(Row::growth("emulator: memory after that minute, beside its start", (after, before), 1.05));
    }
}

fn pushes(report: &mut Report, server: &Server) {
    let runtime = bare::runtime();
    let clients: Vec<_> = runtime.block_on(async { (0..AT_ONCE).map(|_| bare::client(server)).collect() });
    // The forms are dealt out to the clients; the answers come back in the forms' order.
    let all = |endpoint: &str, forms: &[String]| -> Vec<(Duration, Value)> {
        let endpoint = format!("{}/v1/{endpoint}", server.issuer);
        let lane = async |client: &reqwest::Client, forms: &[String]| {
            let mut answers = Vec::new();
            for form in forms {
                let began = Instant::now();
                let (_, answer) = bare::ask(client, &endpoint, form.clone()).await;
                answers.push((began.elapsed(), answer));
            }
            answers
        };
        let lanes = clients.iter().zip(forms.chunks(forms.len().div_ceil(AT_ONCE)));
        runtime.block_on(join_all(lanes.map(|(client, forms)| lane(client, forms)))).concat()
    };
    let form = |pairs: &[(&str, &str)]| {
        let client = [("client_id", server.client_id.as_str())];
        url::form_urlencoded::Serializer::new(String::new()).extend_pairs(client.iter().chain(pairs)).finish()
    };
    let begin = |number| form(&[("login_hint", &user(number)), ("challenge_hint", OOB), ("channel_hint", "push")]);
    let begun = all("primary-authenticate", &(0..PUSHES).map(begin).collect::<Vec<_>>());
    let poll = |(_, answer): &(Duration, Value)| {
        let code = bare::text(answer, "oob_code");
        form(&[("grant_type", OOB), ("oob_code", &code), ("scope", "openid profile offline_access")])
    };
    let polls: Vec<String> = begun.iter().map(poll).collect();
    let began = Instant::now();
    let waiting = all("token", &polls);
    let took = began.elapsed();
    assert!(waiting.iter().all(|(_, answer)| answer["error"] == "authorization_pending"), "everybody waits");
    let slowest = waiting.iter().map(|(time, _)| *time).max().unwrap_or_default();
    report.add(Row::alone("emulator: a poll while 1,000 pushes wait, time for each", took / PUSHES));
    report.add(Row::alone("emulator: the slowest of those polls", slowest));
    server.approve_all();
    // Polls that come too early are told to slow down.
    std::thread::sleep(POLLING);
    let signed_in = all("token", &polls).iter().filter(|(_, answer)| answer["access_token"].is_string()).count();
    let signed_in = u32::try_from(signed_in).expect("small");
    report.add(Row::at_least(
        "emulator: signed in once they are approved",
        "sessions",
        signed_in.into(),
        PUSHES.into(),
    ));
}
