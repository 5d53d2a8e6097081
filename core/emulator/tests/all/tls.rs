//! Certificates, good and bad; the distance; starting and stopping.

use std::time::{Duration, Instant};

use crate::common::*;
use directauth_emulator::{BadTlsKind, Emulator, StartError};

#[tokio::test]
async fn clients_that_trust_the_authority_get_in_by_every_name() {
    let client = Client::trusting(&EMULATOR.ca_der());
    for host in ["localhost", "127.0.0.1"] {
        let url = format!("https://{host}:{}/.well-known/openid-configuration", EMULATOR.port());
        assert_eq!(client.get(&url, &[]).await.status, 200, "{host}");
    }
    assert!(EMULATOR.ca_pem().starts_with("-----BEGIN CERTIFICATE-----"));
}

#[tokio::test]
async fn each_bad_certificate_is_refused_for_its_own_reason() {
    let client = Client::trusting(&EMULATOR.ca_der());
    for (kind, reason) in [
        (BadTlsKind::Expired, "Expired"),
        (BadTlsKind::WrongHost, "NotValidForName"),
        (BadTlsKind::SelfSigned, "UnknownIssuer"),
        (BadTlsKind::UnknownCa, "UnknownIssuer"),
    ] {
        let bad = EMULATOR.bad_tls(kind).unwrap();
        let error = client.connect(&bad.origin()).await.unwrap_err();
        assert!(format!("{error:?}").contains(reason), "{kind:?}: {error:?}");
        assert_eq!(bad.ca_der(), EMULATOR.ca_der());
    }
}

#[tokio::test]
async fn what_a_client_can_pin_is_told() {
    let held = |certificate: &[u8], key: &[u8]| certificate.windows(key.len()).any(|window| window == key);
    let sent = async |client: Client, origin: String| {
        let stream = client.connect(&origin).await.unwrap();
        let sent = stream.get_ref().1.peer_certificates().unwrap().to_vec();
        (sent, client.get(&format!("{origin}/.well-known/openid-configuration"), &[]).await.status)
    };
    let (own, _) = sent(Client::trusting(&EMULATOR.ca_der()), EMULATOR.origin()).await;
    assert_eq!(own.len(), 1);
    assert_eq!(own[0].to_vec(), EMULATOR.leaf_der());
    assert!(held(&own[0], &EMULATOR.leaf_spki()) && held(&EMULATOR.ca_der(), &EMULATOR.ca_spki()));

    let other = EMULATOR.other_authority(vec![EMULATOR.ca_der()]).unwrap();
    Client::trusting(&EMULATOR.ca_der()).connect(&other.origin()).await.unwrap_err();
    let (chain, status) = sent(Client::trusting(&other.root_der()), other.origin()).await;
    assert_eq!((chain.len(), status), (3, 200), "its own, the intermediate one, and what was appended");
    assert!(held(&chain[0], &other.leaf_spki()) && held(&chain[1], &other.intermediate_spki()));
    assert_eq!(chain[2].to_vec(), EMULATOR.ca_der());
    assert!(held(&other.root_der(), &other.root_spki()));
}

#[tokio::test]
async fn the_authority_may_not_sign_for_the_rest_of_the_world() {
    use rustls::pki_types::ServerName;
    let client = Client::trusting(&EMULATOR.ca_der());
    let tls = client.tls();
    let socket = tokio::net::TcpStream::connect(("127.0.0.1", EMULATOR.port())).await.unwrap();
    let name = ServerName::try_from("okta.com").unwrap();
    tokio_rustls::TlsConnector::from(tls).connect(name, socket).await.unwrap_err();
}

#[test]
fn an_authority_kept_in_a_folder_survives_a_restart() {
    let folder = std::env::temp_dir().join(format!("directauth-emulator-test-{}", std::process::id()));
    let start = || Emulator::builder().ca_dir(&folder).start().unwrap();
    let first = start().ca_pem();
    let again = start();
    assert_eq!(first, again.ca_pem());
    assert_eq!(first, std::fs::read_to_string(folder.join("ca.pem")).unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let url = format!("{}/.well-known/openid-configuration", again.origin());
    assert_eq!(runtime.block_on(Client::trusting(&again.ca_der()).get(&url, &[])).status, 200);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(folder.join("authority.json")).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "only the owner reads the key");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test]
async fn a_round_trip_takes_at_least_the_time_it_is_told_to() {
    let rtt = Duration::from_millis(60);
    let far = Emulator::builder().rtt(rtt).start().unwrap();
    let client = Client::trusting(&far.ca_der());
    let begun = Instant::now();
    // One for the TLS 1.3 handshake, one for the request.
    let url = format!("{}/.well-known/openid-configuration", far.origin());
    assert_eq!(client.get(&url, &[]).await.status, 200);
    assert!(begun.elapsed() >= rtt * 2, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_port_in_use_is_named_and_a_dropped_emulator_frees_its_port() {
    let first = Emulator::start().unwrap();
    let port = first.port();
    let error = Emulator::builder().port(port).start().unwrap_err();
    assert!(matches!(error, StartError::PortInUse { port: named } if named == port), "{error}");
    let url = first.origin();
    drop(first);
    tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap_err();
    let again = Emulator::builder().port(port).start().unwrap();
    assert_eq!(again.origin(), url);
}
