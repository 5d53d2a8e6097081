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

#[test]
fn an_authority_is_replaced_only_if_it_has_to_be() {
    let folder = std::env::temp_dir().join(format!("directauth-emulator-names-{}", std::process::id()));
    let start = |names: &[&str]| {
        let builder = Emulator::builder().ca_dir(&folder);
        names.iter().fold(builder, |builder, name| builder.name(name)).start().unwrap()
    };
    let first = start(&[]);
    assert!(first.has_new_authority());
    for names in [&[][..], &["127.0.0.1"], &["10.0.2.2", "desk.local"]] {
        let again = start(names);
        assert!(!again.has_new_authority() && again.ca_pem() == first.ca_pem(), "{names:?}");
    }
    let named = start(&["a.example.com"]);
    assert!(named.has_new_authority());
    let other = start(&["192.0.2.7"]);
    assert!(other.has_new_authority());
    assert!(!start(&["a.example.com", "192.0.2.7"]).has_new_authority(), "it has learned both");

    // A start that fails leaves what others use.
    let port = other.port();
    Emulator::builder().ca_dir(&folder).name("b.example.com").port(port).start().unwrap_err();
    assert_eq!(std::fs::read_to_string(folder.join("ca.pem")).unwrap(), other.ca_pem());
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn many_that_start_at_once_share_one_authority() {
    let folder = std::env::temp_dir().join(format!("directauth-emulator-race-{}", std::process::id()));
    let start = || Emulator::builder().ca_dir(&folder).start().unwrap();
    let all: Vec<Emulator> = std::thread::scope(|scope| {
        let starting: Vec<_> = (0..8).map(|_| scope.spawn(start)).collect();
        starting.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert!(all.iter().all(|one| one.ca_pem() == all[0].ca_pem()));
    assert_eq!(all.iter().filter(|one| one.has_new_authority()).count(), 1);
    std::fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test]
async fn another_loopback_address_is_named_and_has_its_certificate() {
    let other = std::net::Ipv4Addr::new(127, 0, 0, 2);
    // Only Linux has the whole of 127/8 without being told.
    if std::net::TcpListener::bind((other, 0)).is_err() {
        return;
    }
    let emulator = Emulator::builder().host(other.into()).control_at((other, 0).into()).start().unwrap();
    assert!(emulator.origin().starts_with("https://127.0.0.2:"), "{}", emulator.origin());
    let client = Client::trusting(&emulator.ca_der());
    let url = format!("{}/.well-known/openid-configuration", emulator.origin());
    assert_eq!(client.get(&url, &[]).await.status, 200);
    assert_eq!(client.get(&emulator.control_page().unwrap(), &[]).await.status, 200, "no token on loopback");
}
