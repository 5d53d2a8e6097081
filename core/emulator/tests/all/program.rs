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
    let missing = run(&["--config", "/nonexistent.toml"]);
    assert_eq!(missing.status.code(), Some(1));
    std::fs::remove_dir_all(folder).unwrap();
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
