//! The program on the command line.

use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};

use crate::common::*;

fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_directauth-emulator"));
    command.args(arguments);
    command
}

fn run(arguments: &[&str]) -> Output {
    program(arguments).output().unwrap()
}

#[test]
fn it_explains_itself_and_prints_a_configuration_that_it_reads() {
    let help = run(&["--help"]);
    assert!(help.status.success() && String::from_utf8(help.stdout).unwrap().contains("--rtt"));
    assert!(String::from_utf8(run(&["--version"]).stdout).unwrap().starts_with("directauth-emulator "));
    let config = String::from_utf8(run(&["--print-config"]).stdout).unwrap();
    directauth_emulator::Config::from_toml(&config).unwrap();
}

#[test]
fn wrong_usage_is_two_and_a_start_that_fails_is_one() {
    for arguments in
        [&["--nonsense"][..], &["--port"], &["--port", "x"], &["--rtt", "soon"], &["stray"], &["--control-bind", "x"]]
    {
        assert_eq!(run(arguments).status.code(), Some(2), "{arguments:?}");
    }
    let port = EMULATOR.port().to_string();
    let folder = std::env::temp_dir().join(format!("directauth-emulator-program-{}", std::process::id()));
    let taken = run(&["--ca-dir", folder.to_str().unwrap(), "--port", &port]);
    let complaint = String::from_utf8(taken.stderr).unwrap();
    assert_eq!(taken.status.code(), Some(1));
    assert!(complaint.contains(&format!("port {port} is in use")), "{complaint}");
    let twice = run(&["--ca-dir", folder.to_str().unwrap(), "--port", &port, "--control-bind", &port]);
    assert!(String::from_utf8(twice.stderr).unwrap().contains("--port and --control-bind name the same port"));
    let elsewhere = ["--port", &port, "--control-bind", &format!("127.0.0.2:{port}")];
    let elsewhere = run(&[&["--ca-dir", folder.to_str().unwrap()], &elsewhere[..]].concat());
    assert!(
        String::from_utf8(elsewhere.stderr).unwrap().contains("is in use"),
        "the same number elsewhere is another port"
    );
    let missing = run(&["--config", "/nonexistent.toml"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(!folder.exists(), "a start that fails leaves nothing");
}

#[cfg(unix)]
#[tokio::test]
async fn it_serves_until_it_is_told_to_stop() {
    let folder = std::env::temp_dir().join(format!("directauth-emulator-served-{}", std::process::id()));
    let ca = folder.join("out.pem");
    std::fs::create_dir_all(&folder).unwrap();
    let arguments = ["--ca-dir", folder.to_str().unwrap(), "--ca-out", ca.to_str().unwrap()];
    let mut child = program(&arguments).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let issuer = lines.next().unwrap().strip_prefix("issuer").unwrap().trim().to_owned();
    assert!(lines.any(|line| line.contains(ANA.0)));

    let pem = std::fs::read_to_string(&ca).unwrap();
    let base64: String = pem.lines().filter(|line| !line.starts_with("---")).collect();
    let client = Client::trusting(&data_encoding::BASE64.decode(base64.as_bytes()).unwrap());
    assert_eq!(client.get(&format!("{issuer}/.well-known/openid-configuration"), &[]).await.status, 200);

    let stop = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(stop.success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_wrong_setting_name_or_file_is_told_with_its_reason() {
    let folder = std::env::temp_dir().join(format!("directauth-emulator-wrong-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("users.toml");
    std::fs::write(&file, "[[users]]\nusername = 'a'\ntotp_secret = 'no'\n").unwrap();
    for (arguments, reason) in [
        (["--variant", "nonsense=1"], "no setting nonsense"),
        (["--variant", "totp_skew=99"], "more than 20"),
        (["--name", "not a name"], "neither a host name nor an address"),
        (["--config", file.to_str().unwrap()], "users.toml: line 3: totp_secret of a"),
    ] {
        let output = run(&["--ca-dir", folder.to_str().unwrap(), arguments[0], arguments[1]]);
        let complaint = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{complaint}");
        assert!(complaint.contains(reason), "{complaint}");
    }
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn it_stops_when_its_standard_input_ends_if_it_was_told_to() {
    let folder = std::env::temp_dir().join(format!("directauth-emulator-stdin-{}", std::process::id()));
    let mut command = program(&["--ca-dir", folder.to_str().unwrap(), "--stop-with-stdin"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.contains(ANA.0)));
    drop(child.stdin.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    std::fs::remove_dir_all(folder).unwrap();
}

/// A running program, by what it prints; it ends with its standard input.
struct Running {
    child: std::process::Child,
    said: Vec<String>,
}

impl Running {
    fn start(arguments: &[&str]) -> Self {
        let mut command = program(arguments);
        let mut child = command.arg("--stop-with-stdin").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        // Up to the list of users, which comes last.
        let said = lines.take_while(|line| line != "users").collect();
        Self { child, said }
    }

    fn printed(&self, name: &str) -> String {
        let line = self.said.iter().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().to_owned()
    }

    fn stop(mut self) {
        drop(self.child.stdin.take());
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }
}

#[tokio::test]
async fn a_restart_keeps_the_authority_and_nothing_else() {
    let folder = std::env::temp_dir().join(format!("directauth-emulator-program-restart-{}", std::process::id()));
    let arguments = ["--ca-dir", folder.to_str().unwrap()];
    let first = Running::start(&arguments);
    let pem = std::fs::read_to_string(first.printed("trust")).unwrap();
    let base64: String = pem.lines().filter(|line| !line.starts_with("---")).collect();
    let client = Client::trusting(&data_encoding::BASE64.decode(base64.as_bytes()).unwrap());
    let id = first.printed("client id");
    let form = [("client_id", id.as_str()), ("grant_type", "password"), ("scope", SCOPE)];
    let form = [&form[..], &[("username", BEN.0), ("password", BEN.1)]].concat();
    let tokens = client.post(&format!("{}/v1/token", first.printed("issuer")), &form).await.ok();
    let [access, refresh] = ["access_token", "refresh_token"].map(|name| tokens[name].as_str().unwrap().to_owned());
    let bearer = format!("Bearer {access}");
    let shown = client.get(&first.printed("resource"), &[("authorization", &bearer)]).await;
    assert_eq!(shown.status, 200);
    for (path, body) in
        [("users/ben@example.com/lock", ""), ("clock", r#"{"advance_s":86400}"#), ("troubles", r#"{"offline":true}"#)]
    {
        let url = format!("{}/{path}", first.printed("control"));
        assert_eq!(client.send("POST", &url, &[], body.into()).await.unwrap().status, 204, "{path}");
    }
    first.stop();

    let mut kept: Vec<String> = Vec::new();
    for entry in std::fs::read_dir(&folder).unwrap() {
        let entry = entry.unwrap();
        kept.push(entry.file_name().into_string().unwrap());
        let text = std::fs::read_to_string(entry.path()).unwrap();
        for secret in [&access, &refresh, BEN.1] {
            assert!(!text.contains(secret), "{kept:?}");
        }
    }
    kept.sort();
    assert_eq!(kept, ["authority.json", "authority.lock", "ca.pem"]);

    let second = Running::start(&arguments);
    let shown = client.get(&second.printed("resource"), &[("authorization", &bearer)]).await;
    assert_eq!(shown.status, 401, "the old token");
    let refreshing = [("client_id", id.as_str()), ("grant_type", "refresh_token"), ("refresh_token", &refresh)];
    client.post(&format!("{}/v1/token", second.printed("issuer")), &refreshing).await.refused(400, "invalid_grant");
    let journal = client.get(&format!("{}/journal", second.printed("control")), &[]).await.ok();
    assert_eq!(journal["entries"].as_array().unwrap().len(), 2, "what was asked for just now");
    client.post(&format!("{}/v1/token", second.printed("issuer")), &form).await.ok();
    second.stop();
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn nobody_has_to_read_all_that_it_says() {
    let folder = std::env::temp_dir().join(format!("directauth-emulator-pipe-{}", std::process::id()));
    let mut command = program(&["--ca-dir", folder.to_str().unwrap(), "--stop-with-stdin"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    // Before it has said anything.
    drop(child.stdout.take());
    drop(child.stdin.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn a_chosen_token_is_asked_for_beyond_loopback_and_never_printed() {
    let folder = std::env::temp_dir().join(format!("directauth-emulator-token-{}", std::process::id()));
    let ca = ["--ca-dir", folder.to_str().unwrap()];
    let token = "a-token-of-somebody";
    let start = |control: &[&str], token: &str| {
        let arguments = [&ca[..], control].concat();
        program(&arguments)
            .env("DIRECTAUTH_EMULATOR_TOKEN", token)
            .arg("--stop-with-stdin")
            .stdin(Stdio::null())
            .output()
            .unwrap()
    };
    let said = start(&["--control-bind", "0.0.0.0"], token);
    let text = [said.stdout, said.stderr].concat();
    let text = String::from_utf8(text).unwrap();
    assert!(said.status.success() && !text.contains(token), "{text}");
    assert!(text.contains("/?token=$DIRECTAUTH_EMULATOR_TOKEN"), "{text}");
    let here = String::from_utf8(start(&[], token).stdout).unwrap();
    assert!(!here.contains("\ntoken ") && !here.contains("?token="), "on loopback none is asked for: {here}");
    let short = start(&["--control-bind", "0.0.0.0"], "short");
    assert_eq!(short.status.code(), Some(1));
    assert!(String::from_utf8(short.stderr).unwrap().contains("at least 16"));
    std::fs::remove_dir_all(folder).unwrap();
}
