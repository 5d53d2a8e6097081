//! The switches, each with what it does to an app, and what the page says of it.

use directauth::Kind;
use directauth::error::{EndReason, TokenCheck};

use crate::browser::Key;
use crate::desk::*;

fn is(id: &str, state: &str) -> String {
    format!("document.getElementById('{id}').textContent === '{state}'")
}

#[test]
fn the_next_answer_is_rate_limited_and_the_switch_goes_back() {
    let desk = Desk::new();
    let app = desk.app();
    desk.browser.click("#rate-limit");
    desk.browser.until(&is("rate-limit", "Armed"));
    let error = app.sign_in(BEN).unwrap_err();
    assert!(matches!(error.kind(), Kind::RateLimited { .. }), "{error:?}");
    desk.browser.until(&is("rate-limit", "Off"));
    desk.browser.until("document.querySelector('#journal .status').textContent === '429'");
}

#[test]
fn offline_nobody_answers_and_the_page_still_does() {
    let desk = Desk::new();
    let app = desk.app();
    desk.browser.click("#offline");
    desk.browser.until(&is("offline", "On"));
    let error = app.sign_in(BEN).unwrap_err();
    assert!(matches!(error.kind(), Kind::Network { .. }), "{error:?}");
    assert!(
        desk.browser.get("document.querySelector('nav a[href=\"#troubles\"]').dataset.count").as_str() == Some("1")
    );
    desk.browser.click("#offline");
    desk.browser.until(&is("offline", "Off"));
    app.sign_in(BEN).unwrap();
}

#[test]
fn a_wrong_signature_is_noticed_by_the_app() {
    let desk = Desk::new();
    desk.browser.click("#wrong-signature");
    desk.browser.until(&is("wrong-signature", "On"));
    let error = desk.app().sign_in(BEN).unwrap_err();
    assert_eq!(error.kind(), &Kind::TokenRejected { check: TokenCheck::Signature });
    desk.browser.click("#wrong-signature");
    desk.browser.until(&is("wrong-signature", "Off"));
    desk.app().sign_in(BEN).unwrap();
}

#[test]
fn slow_is_one_of_four() {
    let desk = Desk::new();
    for (id, milliseconds) in [("slow-30", 30_000), ("slow-1", 1_000), ("slow-0", 0)] {
        desk.browser.click(&format!("#{id}"));
        desk.browser.until(&format!("document.getElementById('{id}').ariaPressed === 'true'"));
        assert_eq!(desk.browser.get("document.querySelectorAll('#troubles [aria-pressed=true]').length"), 1);
        assert_eq!(desk.server().current_troubles().slow_ms, milliseconds);
    }
}

#[test]
fn keys_are_rotated_and_apps_follow() {
    let desk = Desk::new();
    let app = desk.app();
    app.sign_in(BEN).unwrap();
    let before = desk.browser.get("document.querySelector('#troubles code').textContent");
    desk.browser.click("#rotate-keys");
    desk.browser.until(&format!("document.querySelector('#troubles code').textContent !== {before}"));
    app.sign_in(BEN).unwrap();
}

#[test]
fn sessions_are_expired() {
    let desk = Desk::new();
    let session = desk.app().sign_in(BEN).unwrap();
    desk.browser.until("document.getElementById('troubles').innerText.includes('1 live session')");
    desk.browser.click("#expire-sessions");
    desk.browser.until("document.getElementById('troubles').innerText.includes('No live sessions')");
    let error = now(session.refresh()).unwrap_err();
    assert_eq!(error.kind(), &Kind::SessionEnded { reason: EndReason::RefreshTokenRefused });
}

#[test]
fn everything_goes_back_on_the_second_press_only() {
    let desk = Desk::new();
    desk.app().sign_in(BEN).unwrap();
    desk.browser.click("#offline");
    desk.browser.until(&is("offline", "On"));
    desk.browser.click("#reset");
    desk.browser.until("document.getElementById('reset').hasAttribute('data-armed')");
    desk.browser.press(&Key::Escape);
    desk.browser.until("!document.getElementById('reset').hasAttribute('data-armed')");
    assert!(desk.server().current_troubles().offline);
    desk.browser.click("#reset");
    desk.browser.until("document.getElementById('reset').hasAttribute('data-armed')");
    desk.browser.click("#reset");
    desk.browser.until(&is("offline", "Off"));
    desk.browser.until("!document.querySelector('#journal > li')");
    assert_eq!((desk.server().live_grants(), desk.server().journal().len()), (0, 0));
}

#[test]
fn the_page_says_when_the_emulator_is_gone() {
    let Desk { browser, emulator } = Desk::new();
    drop(emulator);
    browser.until("document.getElementById('live').dataset.state === 'lost'");
    browser.click("#rotate-keys");
    browser.until("document.getElementById('problem-text').textContent === 'The emulator did not answer.'");
    browser.click("#dismiss");
    browser.until("document.getElementById('problem').hidden && document.activeElement.id === 'rotate-keys'");
}
