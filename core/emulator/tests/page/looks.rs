//! How it looks, in both themes, on a desk and on a phone; and whether everybody can use it.

use std::fs;
use std::path::{Path, PathBuf};

use directauth::Step;
use serde_json::{Value, json};

use crate::browser::{DESK, PHONE, Screen};
use crate::desk::*;

/// What a finger needs (WCAG 2.2, 2.5.5), in CSS pixels.
const FINGER: f64 = 44.0;

/// Texts whose colour is too close to what is behind them: less than 4.5:1, or 3:1 if large (WCAG 2.2, 1.4.3).
const FAINT: &str = r"
(() => {
  const parse = (colour) => {
    const [r, g, b, a = 1] = colour.match(/[\d.]+/g).map(Number);
    return [r, g, b, a];
  };
  const over = ([r, g, b, a], under) => [r, g, b].map((c, i) => c * a + under[i] * (1 - a));
  const behind = (element) => {
    if (!element) return [255, 255, 255];
    const colour = parse(getComputedStyle(element).backgroundColor);
    return colour[3] === 1 ? colour.slice(0, 3) : over(colour, behind(element.parentElement));
  };
  const light = (colour) => {
    const [r, g, b] = colour.map((c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ratio = (a, b) => {
    const [x, y] = [light(a), light(b)].sort((x, y) => y - x);
    return (x + 0.05) / (y + 0.05);
  };
  const faint = [];
  let looked = 0;
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const text = texts.currentNode.textContent.trim();
    const element = texts.currentNode.parentElement;
    if (!text || element.closest('.unseen, script') || !element.checkVisibility({ visibilityProperty: true })) continue;
    looked += 1;
    const style = getComputedStyle(element);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    const under = behind(element);
    const found = ratio(over(parse(style.color), under), under);
    if (found < (large ? 3 : 4.5)) faint.push(`${text}: ${style.color} on ${under} is ${found.toFixed(2)}`);
  }
  return { looked, faint };
})()";

/// What a finger has to hit, and how high it is.
const TARGETS: &str = r"
[...document.querySelectorAll('button, summary, input, a')]
  .filter((element) => element.checkVisibility())
  .map((element) => ({ name: element.id || element.textContent, height: element.getBoundingClientRect().height }))";

/// A desk in the middle of a morning: prompts wait, codes have come, and not everything has gone well.
fn busy() -> Desk {
    let desk = Desk::new();
    let app = desk.app();
    app.sign_in(BEN).unwrap();
    now(async {
        app.password((BEN.0, "wrong")).await.unwrap_err();
        let Step::ChooseFactor(choice) = app.password(ANA).await.unwrap() else { panic!("the password was enough") };
        choice.sms().await.unwrap();
        let Step::ChooseFactor(choice) = app.password(CLEO).await.unwrap() else { panic!("the password was enough") };
        choice.push().await.unwrap();
        let Step::ChooseFactor(choice) = app.password(ANA).await.unwrap() else { panic!("the password was enough") };
        choice.push().await.unwrap();
    });
    desk.server().troubles(|troubles| troubles.rate_limit_next = true);
    desk.browser.until("document.querySelectorAll('#pushes .card').length === 2");
    desk.browser.until("document.querySelector('#inbox .message')");
    desk.browser.until("document.getElementById('rate-limit').textContent === 'Armed'");
    let refused =
        "[...document.querySelectorAll('#journal details')].find((entry) => entry.innerText.includes('mfa_required'))";
    let id = desk.browser.get(&format!("{refused}.id"));
    desk.browser.click(&format!("#{} summary", id.as_str().unwrap()));
    desk.browser.until(&format!("{refused}.querySelector('pre')"));
    // What has just arrived is tinted for a moment, in the colours of the theme that it arrived in.
    desk.browser.until("document.getAnimations().length === 0");
    desk
}

/// Where pictures go, for somebody to look at.
fn keep(name: &str, picture: &[u8]) {
    let folder = std::env::var_os("PICTURES")
        .map_or_else(|| Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("page"), PathBuf::from);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(format!("{name}.png")), picture).unwrap();
}

#[test]
fn it_fits_and_can_be_read_in_both_themes_on_a_desk_and_on_a_phone() {
    let desk = busy();
    for (name, screen) in [("desk", DESK), ("phone", PHONE)] {
        for is_dark in [false, true] {
            let name = format!("{name}-{}", if is_dark { "dark" } else { "light" });
            desk.browser.show_on(Screen { is_dark, ..screen });
            desk.browser.get("scrollTo(0, 0)");
            let width = desk.browser.get("document.documentElement.scrollWidth");
            assert_eq!(width, json!(screen.width), "{name}: nothing is beside the screen");
            let seen = desk.browser.get(FAINT);
            assert!(seen["looked"].as_u64().unwrap() > 50, "{name}: {seen}");
            assert_eq!(seen["faint"], json!([]), "{name}");
            let background = desk.browser.get("getComputedStyle(document.body).backgroundColor");
            assert_eq!(background.as_str().unwrap().starts_with("rgb(2"), !is_dark, "{name}: {background}");
            keep(&name, &desk.browser.picture());
        }
    }
}

#[test]
fn every_section_can_be_seen_on_a_phone() {
    let desk = busy();
    desk.browser.show_on(PHONE);
    for section in ["inbox", "users", "troubles", "requests"] {
        desk.browser.click(&format!("nav a[href='#{section}']"));
        let top = format!("document.getElementById('{section}').getBoundingClientRect().top");
        desk.browser.until(&format!("{top} >= 0 && {top} < {}", PHONE.height / 2));
        keep(&format!("phone-{section}"), &desk.browser.picture());
    }
    let targets = desk.browser.get(TARGETS);
    let targets = targets.as_array().unwrap();
    let small: Vec<&Value> = targets.iter().filter(|target| target["height"].as_f64().unwrap() < FINGER).collect();
    assert!(targets.len() > 30 && small.is_empty(), "{small:?}");
}

#[test]
fn a_screen_reader_finds_its_way() {
    let desk = busy();
    let tree = desk.browser.devtools("Accessibility.getFullAXTree", &json!({}));
    let nodes: Vec<&Value> =
        tree["nodes"].as_array().unwrap().iter().filter(|node| node["ignored"] == json!(false)).collect();
    let of = |role: &str| -> Vec<&Value> {
        nodes.iter().filter(|node| node["role"]["value"] == json!(role)).copied().collect()
    };
    for (role, least) in
        [("banner", 1), ("navigation", 1), ("main", 1), ("button", 20), ("switch", 8), ("region", 5), ("status", 1)]
    {
        assert!(of(role).len() >= least, "{role}: {}", of(role).len());
    }
    for role in ["button", "switch", "link", "searchbox", "region", "progressbar"] {
        let unnamed = of(role).into_iter().filter(|node| node["name"]["value"].as_str().unwrap_or_default().is_empty());
        assert_eq!(unnamed.count(), 0, "{role}");
    }
    // Two cards have two Deny buttons: whose it is, is said with each.
    let described = of("button").into_iter().filter(|node| {
        let text = |member: &str| node[member]["value"].as_str().unwrap_or_default();
        text("name") == "Approve" && text("description") == "Cleo Lindqvist"
    });
    assert_eq!(described.count(), 1);
}

#[test]
fn the_page_asks_nobody_else_and_nothing_goes_wrong_in_it() {
    let desk = busy();
    desk.app().sign_in(CLEO).unwrap_err();
    let page = desk.emulator.control_page().unwrap();
    let requests = desk.browser.requests();
    assert!(requests.iter().any(|url| url.ends_with("/events")), "{requests:?}");
    for url in requests {
        assert!(url.starts_with(&page) || url == "data:,", "{url}");
    }
    assert_eq!(desk.browser.complaints(), Vec::<String>::new());
}

#[test]
fn what_has_just_arrived_can_be_read_in_the_dark() {
    let desk = Desk::new();
    desk.browser.show_on(Screen { is_dark: true, ..DESK });
    desk.app().sign_in(BEN).unwrap();
    desk.browser.until("document.querySelector('#journal > li')");
    desk.app().sign_in(BEN).unwrap();
    // Held at its beginning, where the tint is strongest.
    let hold = "document.getAnimations().map((one) => { one.pause(); one.currentTime = 0; }).length";
    desk.browser.until(&format!("document.querySelector('#journal > li[data-new]') && {hold}"));
    let tint = "getComputedStyle(document.querySelector('#journal > li[data-new]')).backgroundColor";
    assert_ne!(desk.browser.get(tint), json!("rgba(0, 0, 0, 0)"));
    assert_eq!(desk.browser.get(FAINT)["faint"], json!([]));
}
