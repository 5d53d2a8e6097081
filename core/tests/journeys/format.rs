//! What a vector may say; `conformance/README.md` describes it for people.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use directauth_emulator::{Assurance, Factor, Rule, Settings, Status};
use serde::Deserialize;
use serde_json::{Map, Value};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Vector {
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) rows: Vec<u32>,
    pub(crate) title: String,
    /// Why a row is answered in another way than the table says.
    #[serde(default)]
    pub(crate) otherwise: Option<String>,
    #[serde(default)]
    pub(crate) config: Configuration,
    #[serde(default)]
    pub(crate) server: Vec<Rule>,
    pub(crate) calls: Vec<Map<String, Value>>,
    #[serde(default)]
    pub(crate) expect: Expected,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Configuration {
    pub(crate) scopes: Option<Vec<String>>,
    pub(crate) capabilities: Option<Vec<String>>,
    pub(crate) settings: Option<Settings>,
    /// What is otherwise of the server's users.
    pub(crate) users: BTreeMap<String, UserChange>,
    pub(crate) issuer: Option<String>,
    pub(crate) client_id: Option<String>,
    pub(crate) request_timeout_ms: Option<u64>,
    pub(crate) connect_timeout_ms: Option<u64>,
    pub(crate) refuse_wider_scopes: bool,
    pub(crate) keep_usernames_as_typed: bool,
    /// By how many milliseconds the device's wall clock is ahead of the server's.
    pub(crate) device_clock_ahead_ms: i64,
    /// `one` or `many`.
    pub(crate) accounts: Option<String>,
    /// `okta` or `oidc`.
    pub(crate) profile: Option<String>,
    pub(crate) relying_parties: Vec<String>,
    /// `challenge` or `primary_authenticate`.
    pub(crate) passkey_start: Option<String>,
    pub(crate) recovery_request: Option<String>,
    /// `off`, `preferred` or `required`.
    pub(crate) dpop: Option<String>,
    /// The same for one process.
    pub(crate) own_dpop: BTreeMap<String, String>,
    /// Whether the platform has keys.
    pub(crate) platform_keys: bool,
    pub(crate) resource_origins: Vec<String>,
    pub(crate) additional_parameters: BTreeMap<String, String>,
    /// `never` or `when_due`, by process.
    pub(crate) refresh_policy: BTreeMap<String, String>,
    /// Whether the processes have a lock that they share.
    pub(crate) lock: bool,
    /// Whether each process is told that others use the store too.
    pub(crate) shared_store: bool,
    /// The processes whose store is their own.
    pub(crate) own_store: Vec<String>,
    /// Whether a sign-in goes on without a store.
    pub(crate) keep_in_memory: bool,
}

/// What is otherwise of a user.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct UserChange {
    pub(crate) assurance: Option<Assurance>,
    pub(crate) factors: Option<BTreeSet<Factor>>,
    pub(crate) status: Option<Status>,
    pub(crate) has_no_password: bool,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Expected {
    /// The operations that reached the server, in order; `token` repeated n times is `token*n`.
    pub(crate) requests: Option<Vec<String>>,
    /// Least seconds between two requests of an operation, in order.
    pub(crate) gaps_at_least_s: BTreeMap<String, Vec<f64>>,
    /// What the requests carried.
    pub(crate) sent: Vec<Sent>,
    /// The security events, in order.
    pub(crate) security: Option<Vec<String>>,
    /// Attempts and their outcomes, in order.
    pub(crate) attempts: Option<Vec<String>>,
    /// How many grants live at the server in the end.
    pub(crate) live_grants: Option<usize>,
    /// How many requests reached a host that the library was redirected to.
    pub(crate) other_host_requests: Option<usize>,
}

/// What a request to `on` carried; each of them, or only the `nth` (from 0).
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sent {
    pub(crate) on: String,
    pub(crate) nth: Option<usize>,
    /// Where it went.
    pub(crate) path: Option<String>,
    /// The form's parameters, all of them, in order.
    pub(crate) parameters: Option<Vec<String>>,
    /// Parameters of form or query with their values.
    #[serde(default)]
    pub(crate) has: BTreeMap<String, String>,
    /// Parameters that are not there.
    #[serde(default)]
    pub(crate) lacks: Vec<String>,
    /// Headers with their values.
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
    /// Headers that are not there.
    #[serde(default)]
    pub(crate) lacks_headers: Vec<String>,
    /// What the DPoP proof says.
    pub(crate) proof: Option<Proof>,
}

/// The claims of a proof.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Proof {
    pub(crate) htm: String,
    /// The end of `htu`.
    pub(crate) htu: String,
    /// The nonce; null if there is none, and `any` if it does not matter which.
    pub(crate) nonce: Option<String>,
    /// Whether it names an access token.
    #[serde(default)]
    pub(crate) ath: bool,
}

pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance")
}

/// Every vector with the name of its file.
pub(crate) fn vectors() -> Vec<(String, Vector)> {
    let mut files: Vec<_> = std::fs::read_dir(folder())
        .expect("the folder is there")
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    files.sort();
    let mut vectors = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).expect("readable");
        let name = file.file_name().expect("a file").to_string_lossy().into_owned();
        let list: Vec<Vector> = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        vectors.extend(list.into_iter().map(|vector| (name.clone(), vector)));
    }
    vectors
}
