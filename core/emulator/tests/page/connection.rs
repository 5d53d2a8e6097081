//! How the page gets in, and how it keeps in touch.

use directauth_emulator::Emulator;
use serde_json::json;

use crate::desk::*;

#[test]
fn with_a_token_a_link_from_elsewhere_opens_the_page_and_it_works() {
    let desk = Desk::closed(Emulator::builder().control(true).control_token("a-token-of-somebody"));
    let address = desk.emulator.control_page().unwrap();
    assert!(address.contains("a-token-of-somebody"));
    desk.browser.open(&format!("data:text/html,<a href='{address}'>The emulator</a>"));
    desk.browser.click("a");
    desk.browser.until("location.protocol === 'https:' && document.getElementById('live')");
    desk.is_live();
    assert_eq!(desk.browser.get("location.search"), json!(""), "the token is gone from the address");
    assert_eq!(desk.browser.get("document.cookie"), json!(""), "and no script sees what took its place");
    desk.browser.click("#offline");
    desk.browser.until("document.getElementById('offline').textContent === 'On'");
    assert!(desk.server().current_troubles().offline);
    // The same link once more.
    desk.browser.open(&address);
    desk.is_live();
    assert_eq!(desk.browser.get("location.search"), json!(""));
}

#[test]
fn a_hidden_page_gives_its_connection_back_and_catches_up_once() {
    let desk = Desk::closed(Emulator::builder().control(true));
    // A minute is over at once.
    let hasten = "const real = setTimeout; window.setTimeout = (act, time, ...more) => real(act, time > 30000 ? 0 : time, ...more)";
    desk.browser.devtools("Page.addScriptToEvaluateOnNewDocument", &json!({ "source": hasten }));
    desk.browser.open(&desk.emulator.control_page().unwrap());
    desk.is_live();
    let hide = |is_hidden: bool| {
        let is = format!("Object.defineProperty(document, 'hidden', {{ value: {is_hidden}, configurable: true }})");
        desk.browser.get(&format!("{is} && document.dispatchEvent(new Event('visibilitychange'))"));
    };
    hide(true);
    desk.browser.until("document.getElementById('live').dataset.state === 'paused'");
    desk.app().sign_in(BEN).unwrap();
    assert_eq!(desk.browser.get("document.querySelectorAll('#journal > li').length"), json!(0));
    hide(false);
    desk.is_live();
    desk.browser.until("document.querySelectorAll('#journal > li').length === 3");
    desk.app().sign_in(BEN).unwrap();
    desk.browser.until("document.querySelectorAll('#journal > li').length === 6");
}

#[test]
fn a_page_that_is_one_too_many_says_so() {
    let desk = Desk::closed(Emulator::builder().control(true));
    let streams = format!("{}/events", desk.emulator.control_url().unwrap());
    let _open: Vec<_> = (0..64).map(|_| Stream::open(&streams, &desk.emulator.ca_der())).collect();
    desk.browser.open(&desk.emulator.control_page().unwrap());
    desk.browser.until("document.getElementById('live').textContent === 'Disconnected: 64 pages are open already'");
}
