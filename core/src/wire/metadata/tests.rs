use super::*;
use crate::wire::json::{Limits, parse_object};

const ISSUER: &str = "https://acme.example/oauth2/default";

fn document(issuer: &str) -> serde_json::Value {
    serde_json::json!({
        "issuer": issuer,
        "token_endpoint": format!("{issuer}/v1/token"),
        "jwks_uri": format!("{issuer}/v1/keys"),
        "revocation_endpoint": format!("{issuer}/v1/revoke"),
        "introspection_endpoint": format!("{issuer}/v1/introspect"),
        "userinfo_endpoint": format!("{issuer}/v1/userinfo"),
        "id_token_signing_alg_values_supported": ["RS256"],
        "grant_types_supported": ["authorization_code"],
    })
}

fn with(name: &str, value: impl Into<serde_json::Value>) -> serde_json::Value {
    let mut document = document(ISSUER);
    document[name] = value.into();
    document
}

fn without(name: &str) -> serde_json::Value {
    let mut document = document(ISSUER);
    document.as_object_mut().unwrap().remove(name);
    document
}

fn read_for(issuer: &str, document: &serde_json::Value) -> Result<Metadata, ConfigurationProblem> {
    parse_metadata(&parse_object(document.to_string().as_bytes(), Limits::default()).unwrap(), issuer, Profile::Okta)
}

fn read(document: &serde_json::Value) -> Result<Metadata, ConfigurationProblem> {
    read_for(ISSUER, document)
}

#[test]
fn rows_186_and_197_a_document_of_the_issuer_is_used() {
    let metadata = read(&document(ISSUER)).unwrap();
    assert_eq!(metadata.issuer, ISSUER);
    assert_eq!(metadata.token_endpoint.as_str(), "https://acme.example/oauth2/default/v1/token");
    assert_eq!(
        metadata.direct.as_ref().unwrap().primary_authenticate.as_str(),
        "https://acme.example/oauth2/default/v1/primary-authenticate"
    );
    assert_eq!(
        metadata.direct.as_ref().unwrap().challenge.as_str(),
        "https://acme.example/oauth2/default/v1/challenge"
    );
    assert_eq!(metadata.jwks_uri.as_str(), "https://acme.example/oauth2/default/v1/keys");
    assert_eq!(metadata.revocation.unwrap().path(), "/oauth2/default/v1/revoke");
    assert_eq!(metadata.userinfo.unwrap().path(), "/oauth2/default/v1/userinfo");
    assert_eq!(metadata.id_token_algs.unwrap(), ["RS256"]);
}

#[test]
fn rows_187_to_190_another_issuer_is_named_and_nothing_of_it_is_used() {
    let others = [
        (187, "https://evil.example/oauth2/default"),
        (187, "https://acme.example"),
        (188, "https://acme.example/oauth2/default/"),
        (189, "https://ACME.example/oauth2/default"),
        (189, "https://acme.example:443/oauth2/default"),
        (189, "https://acme.example/oauth2/d%65fault"),
        (189, "https://acme.example/oauth2/default "),
    ];
    for (row, other) in others {
        let Err(ConfigurationProblem::IssuerMismatch { configured, found }) = read(&with("issuer", other)) else {
            panic!("row {row}: {other}");
        };
        assert_eq!((configured.as_str(), found), (ISSUER, other.replace(' ', "?")), "row {row}");
    }
    let configured_with_slash = read_for("https://acme.example/oauth2/default/", &document(ISSUER));
    assert!(matches!(configured_with_slash, Err(ConfigurationProblem::IssuerMismatch { .. })), "row 188");
    for missing in [without("issuer"), with("issuer", 7), with("issuer", ""), with("issuer", serde_json::Value::Null)] {
        let expected = ConfigurationProblem::IssuerMismatch { configured: ISSUER.to_owned(), found: String::new() };
        assert_eq!(read(&missing).err(), Some(expected), "row 190");
    }
}

#[test]
fn a_foreign_issuer_is_shown_short_and_in_visible_ascii() {
    let Err(ConfigurationProblem::IssuerMismatch { found, .. }) =
        read(&with("issuer", "https://\u{430}cme\u{202e}\u{1b}[1m\n"))
    else {
        panic!("a mismatch");
    };
    assert_eq!(found, "https://?cme??[1m?");
    let Err(ConfigurationProblem::IssuerMismatch { found, .. }) = read(&with("issuer", "x".repeat(100_000))) else {
        panic!("a mismatch");
    };
    assert_eq!(found, "x".repeat(200));
}

#[test]
fn rows_191_to_195_a_required_endpoint_elsewhere_stops_the_sign_in() {
    let unusable = [
        (191, "http://acme.example/v1/token"),
        (191, "http://acme.example:443/v1/token"),
        (192, "file:///v1/token"),
        (192, "data:text/plain,/token"),
        (192, "javascript:token"),
        (193, "https://evil.example/v1/token"),
        (193, "https://acme.example.evil.example/v1/token"),
        (193, "https://evil.example\\@acme.example/v1/token"),
        (193, "https://acme.example./v1/token"),
        (193, "https://acme.example:8443/v1/token"),
        (193, "https://acme.example@evil.example/v1/token"),
        (193, "https://user@acme.example/v1/token"),
        (193, "https://user:pw@acme.example/v1/token"),
        (193, "https://:pw@acme.example/v1/token"),
        (193, "https://acme.example/v1/token#x"),
        (193, "https://acme.example/v1/token#"),
        (193, "https://acme.example/v1/to\nken"),
        (193, " https://acme.example/v1/token"),
        (193, "https://acme.ex\u{e4}mple/v1/token"),
        (193, "//acme.example/v1/token"),
        (193, "/v1/token"),
        (193, "token"),
        (193, ""),
    ];
    for (row, url) in unusable {
        for name in ["token_endpoint", "jwks_uri"] {
            assert_eq!(
                read(&with(name, url)).err(),
                Some(ConfigurationProblem::Endpoint(name)),
                "row {row}: {name} {url}"
            );
        }
        for name in ["revocation_endpoint", "userinfo_endpoint"] {
            let metadata = read(&with(name, url)).unwrap();
            let left = [metadata.revocation, metadata.userinfo];
            assert_eq!(left.iter().flatten().count(), 1, "row 192: {name} {url}");
        }
    }
    for name in ["token_endpoint", "jwks_uri"] {
        assert_eq!(read(&without(name)).err(), Some(ConfigurationProblem::Endpoint(name)));
        assert_eq!(read(&with(name, 7)).err(), Some(ConfigurationProblem::Endpoint(name)));
    }
}

#[test]
fn row_195_the_token_endpoint_must_end_in_token() {
    for path in
        ["/v1/tokens", "/v1/Token", "/v1/token/", "/v1/tok%65n", "/v1/x-token", "/", "", "/token/v1", "/v1?x=/token"]
    {
        let answer = read(&with("token_endpoint", format!("https://acme.example{path}")));
        assert_eq!(answer.err(), Some(ConfigurationProblem::Endpoint("token_endpoint")), "{path}");
    }
}

#[test]
fn row_196_only_the_last_segment_is_replaced() {
    let issuer = "https://acme.example/oauth2/token-as";
    let metadata = read_for(issuer, &document(issuer)).unwrap();
    assert_eq!(
        metadata.direct.as_ref().unwrap().primary_authenticate.as_str(),
        "https://acme.example/oauth2/token-as/v1/primary-authenticate"
    );
    let cases = [
        ("https://acme.example/token", "https://acme.example/challenge"),
        ("https://acme.example/token/token", "https://acme.example/token/challenge"),
        ("https://acme.example:443/v1/token?p=x", "https://acme.example/v1/challenge?p=x"),
    ];
    for (token, challenge) in cases {
        assert_eq!(read(&with("token_endpoint", token)).unwrap().direct.unwrap().challenge.as_str(), challenge);
    }
}

#[test]
fn a_port_of_the_issuer_is_the_port_of_every_endpoint() {
    let issuer = "https://localhost:8443/oauth2/default";
    assert_eq!(read_for(issuer, &document(issuer)).unwrap().direct.unwrap().challenge.port(), Some(8443));
    let mut elsewhere = document(issuer);
    elsewhere["jwks_uri"] = "https://localhost/oauth2/default/v1/keys".into();
    assert_eq!(read_for(issuer, &elsewhere).err(), Some(ConfigurationProblem::Endpoint("jwks_uri")));
}

#[test]
fn no_issuer_makes_plain_http_acceptable() {
    let issuer = "http://127.0.0.1:8080/oauth2/default";
    assert_eq!(read_for(issuer, &document(issuer)).err(), Some(ConfigurationProblem::Endpoint("token_endpoint")));
    let nonsense = read_for("acme", &document("acme")).err();
    assert_eq!(nonsense, Some(ConfigurationProblem::Issuer(IssuerProblem::NotAUrl)));
}

#[test]
fn row_199_the_algorithms_are_passed_on_as_they_are() {
    let name = "id_token_signing_alg_values_supported";
    let algorithms = |value: serde_json::Value| read(&with(name, value)).unwrap().id_token_algs;
    assert_eq!(algorithms(serde_json::json!(["none", "HS256", 7, "RS256"])).unwrap(), ["none", "HS256", "RS256"]);
    assert_eq!(algorithms(serde_json::json!("RS256")), None);
    assert_eq!(read(&without(name)).unwrap().id_token_algs, None);
}

#[test]
fn another_provider_needs_no_endpoints_of_direct_authentication_and_has_to_list_the_password() {
    let read = |document: &serde_json::Value| {
        let document = parse_object(document.to_string().as_bytes(), Limits::default()).unwrap();
        parse_metadata(&document, ISSUER, Profile::Oidc)
    };
    let mut document = with("grant_types_supported", vec!["authorization_code", "password"]);
    document["token_endpoint"] = format!("{ISSUER}/protocol/openid-connect/tokens").into();
    let metadata = read(&document).unwrap();
    assert!(metadata.direct.is_none());
    assert_eq!(metadata.introspection.unwrap().path(), "/oauth2/default/v1/introspect");
    assert!(metadata.takes_passwords);
    assert!(!read(&with("grant_types_supported", vec!["authorization_code"])).unwrap().takes_passwords);
    assert!(!read(&without("grant_types_supported")).unwrap().takes_passwords);
    assert!(read_for(ISSUER, &without("grant_types_supported")).unwrap().takes_passwords, "Okta's list says nothing");
}
