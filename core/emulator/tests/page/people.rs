//! The left side: who has to answer, what was sent to them, and what their authenticator apps say.

use directauth::{Kind, Step};
use serde_json::json;

use crate::browser::{DESK, Key};
use crate::desk::*;

const NO_CARD: &str = "!document.querySelector('#pushes .card')";

const APPROVE: &str = "#pushes .card button[data-post$='/approve']";
const DENY: &str = "#pushes .card button[data-post$='/deny']";

#[test]
fn a_push_is_approved_by_a_click() {
    let desk = Desk::new();
    assert!(
        desk.browser
            .get("document.getElementById('pushes').innerText")
            .as_str()
            .unwrap()
            .contains("No push is waiting")
    );
    let pushed = desk.pushed(CLEO);
    assert_eq!(pushed.number, None);
    desk.browser.until("document.title.startsWith('(1)')");
    desk.browser.click(APPROVE);
    assert_eq!(pushed.outcome().unwrap().username(), CLEO.0);
    desk.browser.until(NO_CARD);
}

#[test]
fn a_push_is_denied_by_a_click() {
    let desk = Desk::new();
    let pushed = desk.pushed(CLEO);
    desk.browser.click(DENY);
    assert_eq!(pushed.outcome().unwrap_err().kind(), &Kind::Declined);
    desk.browser.until(NO_CARD);
}

#[test]
fn only_the_number_that_the_app_shows_lets_in() {
    let desk = Desk::new();
    let pushed = desk.pushed(ANA);
    let number = pushed.number.clone().unwrap();
    desk.browser.click(&format!("#pushes .numbers button[data-body*='{number}']"));
    assert_eq!(pushed.outcome().unwrap().username(), ANA.0);
    desk.browser.until(NO_CARD);

    let pushed = desk.pushed(ANA);
    let number = pushed.number.clone().unwrap();
    let choices = desk.browser.until("document.querySelectorAll('#pushes .numbers button').length === 3");
    assert_eq!(choices, json!(true));
    desk.browser.click(&format!("#pushes .numbers button:not([data-body*='{number}'])"));
    assert_eq!(pushed.outcome().unwrap_err().kind(), &Kind::Declined);
    desk.browser.until(NO_CARD);
}

#[test]
fn the_keyboard_is_enough() {
    let desk = Desk::new();
    let pushed = desk.pushed(CLEO);
    desk.browser.until("document.querySelector('#pushes .card')");
    desk.browser.get("document.getElementById('pushes-heading').focus()");
    desk.browser.press(&Key::Tab);
    desk.browser.until("document.activeElement.textContent === 'Approve'");
    // Another push makes the part new; the keyboard stays where it was.
    let other = desk.pushed(ANA);
    desk.browser.until("document.querySelectorAll('#pushes .card').length === 2");
    assert_eq!(desk.browser.get("document.activeElement.textContent"), json!("Approve"));
    desk.browser.press(&Key::Enter);
    pushed.outcome().unwrap();
    // What had the keyboard is gone: so its section has it, and the next step leads to the other card.
    desk.browser.until("document.activeElement.id === 'pushes-heading'");
    desk.browser.press(&Key::Tab);
    desk.browser.until("document.activeElement.closest('.card')");
    for _ in 0..3 {
        desk.browser.press(&Key::Tab);
    }
    desk.browser.until("document.activeElement.dataset.post.endsWith('/deny')");
    desk.browser.press(&Key::Enter);
    assert_eq!(other.outcome().unwrap_err().kind(), &Kind::Declined);
}

#[test]
fn a_code_from_the_inbox_signs_in() {
    let desk = Desk::new();
    let app = desk.app();
    let entry = now(async {
        let Step::ChooseFactor(choice) = app.password(CLEO).await.unwrap() else { panic!("the password was enough") };
        let Step::EnterCode(entry) = choice.sms().await.unwrap() else { panic!("no code") };
        entry
    });
    let code = desk.browser.until("document.querySelector('#inbox .message .copy').dataset.copy");
    let message = desk.browser.get("document.querySelector('#inbox .message').innerText");
    assert!(message.as_str().unwrap().contains("SMS") && message.as_str().unwrap().contains(CLEO.0), "{message}");
    desk.browser.until("document.getElementById('said').textContent.startsWith('New code for Cleo')");
    let step = now(entry.submit(code.as_str().unwrap())).unwrap();
    assert!(matches!(step, Step::SignedIn(_)), "{step:?}");
}

#[test]
fn a_code_is_copied_by_a_click() {
    let desk = Desk::new();
    desk.browser.show_on(DESK);
    let origin = desk.browser.get("location.origin");
    let allowed = json!({ "origin": origin, "permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"] });
    desk.browser.devtools("Browser.grantPermissions", &allowed);
    // It says so for a moment only.
    let button = "document.getElementById('client-id-copy')";
    let note = format!("new MutationObserver(() => {{ {button}.dataset.said = {button}.textContent }})");
    desk.browser.get(&format!("{note}.observe({button}, {{ childList: true }})"));
    desk.browser.click("#client-id-copy");
    desk.browser.until(&format!("{button}.dataset.said === 'Copied' || {button}.dataset.said === 'Copy'"));
    desk.browser.until("(window.pasted ??= (navigator.clipboard.readText().then((text) => { document.body.dataset.pasted = text }), 1)) && document.body.dataset.pasted");
    assert_eq!(desk.browser.get("document.body.dataset.pasted"), json!(desk.server().client_id()));
    // It was the whole of the help: the button is as before.
    desk.browser.until("document.getElementById('client-id-copy').textContent === 'Copy'");
}

#[test]
fn an_authenticator_code_on_the_page_signs_in() {
    let desk = Desk::new();
    let app = desk.app();
    let code = desk.browser.until("document.querySelector('#user-1-totp-copy').dataset.copy");
    let session = now(async {
        let Step::ChooseFactor(choice) = app.password(ANA).await? else { panic!("the password was enough") };
        choice.otp(code.as_str().unwrap()).await
    });
    assert!(matches!(session, Ok(Step::SignedIn(_))), "{session:?}");
    // It ticks: half a minute later there is another.
    desk.browser.click("#clock-minute");
    desk.browser.until(&format!("document.querySelector('#user-1-totp-copy').dataset.copy !== {code}"));
    desk.browser.until("document.getElementById('ahead').textContent === '1 min ahead'");
}

#[test]
fn who_is_locked_cannot_sign_in_until_unlocked() {
    let desk = Desk::new();
    let app = desk.app();
    desk.browser.click("#user-2-lock");
    desk.browser.until("document.getElementById('user-2-lock').ariaChecked === 'true'");
    assert_eq!(app.sign_in(BEN).unwrap_err().kind(), &Kind::Rejected);
    desk.browser.click("#user-2-lock");
    desk.browser.until("document.getElementById('user-2-lock').ariaChecked === 'false'");
    app.sign_in(BEN).unwrap();
}
