//! The requests as they come.

use serde_json::json;

use crate::desk::*;

#[test]
fn requests_appear_as_they_happen_with_their_answers_on_demand() {
    let desk = Desk::new();
    assert_eq!(desk.browser.get("document.getElementById('no-entry').hidden"), json!(false));
    let session = desk.app().sign_in(BEN).unwrap();
    desk.browser.until("document.querySelectorAll('#journal > li').length === 3");
    let lines = desk.browser.get("document.getElementById('journal').innerText");
    for word in ["POST", "/oauth2/default/v1/", "token", "password", "200"] {
        assert!(lines.as_str().unwrap().contains(word), "{word}: {lines}");
    }
    let id = desk.browser.get(
        "[...document.querySelectorAll('#journal > li')].find((line) => line.innerText.includes('password')).querySelector('details').id",
    );
    let id = id.as_str().unwrap().to_owned();
    desk.browser.click(&format!("#{id} summary"));
    let answer = desk.browser.until(&format!("document.querySelector('#{id} pre').textContent"));
    let request = desk.browser.get(&format!("document.querySelector('#{id} .pairs').innerText"));
    assert!(request.as_str().unwrap().contains(BEN.0) && request.as_str().unwrap().contains("***"), "{request}");
    let answer: serde_json::Value = serde_json::from_str(answer.as_str().unwrap()).unwrap();
    assert_eq!((&answer["token_type"], &answer["access_token"]), (&json!("Bearer"), &json!("***")));
    // What is open stays open when more comes.
    now(session.refresh()).unwrap();
    desk.browser.until("document.querySelectorAll('#journal > li').length === 4");
    assert_eq!(desk.browser.get(&format!("document.getElementById('{id}').open")), json!(true));

    let whole = desk.browser.get("document.getElementById('journal').textContent");
    let access_token = now(session.access_token()).unwrap();
    for secret in [BEN.1, access_token.expose()] {
        assert!(!whole.as_str().unwrap().contains(secret), "{whole}");
    }
}

#[test]
fn the_journal_is_filtered_and_cleared() {
    let desk = Desk::new();
    desk.app().sign_in(BEN).unwrap();
    desk.browser.until("document.querySelectorAll('#journal > li').length === 3");
    desk.browser.type_into("#filter", "TOKEN password");
    desk.browser.until("document.getElementById('shown').textContent === '1 of 3'");
    desk.browser.type_into("#filter", " nothing");
    desk.browser.until("document.getElementById('no-entry').textContent === 'No request matches the filter.'");
    desk.browser.click("#clear-journal");
    desk.browser.until("!document.querySelector('#journal > li')");
    assert!(desk.server().journal().is_empty());
}
