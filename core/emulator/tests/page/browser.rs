//! A headless Chromium: as much of WebDriver (<https://www.w3.org/TR/webdriver2/>) as these tests need.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

/// How a reference to an element is marked in WebDriver's JSON.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";
const ENTER: char = '\u{e007}';
const ESCAPE: char = '\u{e00c}';
const TAB: char = '\u{e004}';

pub(crate) enum Key {
    Enter,
    Escape,
    Tab,
}

/// What the window is like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Screen {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) is_touched: bool,
    pub(crate) is_dark: bool,
}

pub(crate) const DESK: Screen = Screen { width: 1280, height: 860, is_touched: false, is_dark: false };
pub(crate) const PHONE: Screen = Screen { width: 390, height: 844, is_touched: true, is_dark: false };

/// One window, closed when dropped.
pub(crate) struct Browser {
    driver: Child,
    /// Kept open, so that the driver can say what it likes.
    _said: BufReader<ChildStdout>,
    runtime: Runtime,
    port: u16,
    session: String,
}

impl Browser {
    pub(crate) fn start() -> Self {
        // It takes a free port, and wants the same one on ::1, which another one may have: then it ends.
        let started = std::iter::repeat_with(driver).take(10).flatten().next();
        let (driver, said, port) = started.expect("chromedriver starts");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut browser = Self { driver, _said: said, runtime, port, session: String::new() };
        // It talks to nobody but the page, and trusts the emulator's certificate unseen.
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--hide-scrollbars",
        ];
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "acceptInsecureCerts": true,
            "timeouts": { "script": 30_000 },
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
        } } });
        let told = browser.send("POST", "/session", Some(&wanted)).unwrap();
        browser.session = told["sessionId"].as_str().unwrap().to_owned();
        browser
    }

    pub(crate) fn open(&self, url: &str) {
        self.command("url", &json!({ "url": url })).unwrap();
    }

    pub(crate) fn show_on(&self, screen: Screen) {
        let Screen { width, height, is_touched, is_dark } = screen;
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": is_touched });
        self.devtools("Emulation.setDeviceMetricsOverride", &metrics);
        self.devtools("Emulation.setTouchEmulationEnabled", &json!({ "enabled": is_touched }));
        let scheme = if is_dark { "dark" } else { "light" };
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.devtools("Emulation.setEmulatedMedia", &features);
    }

    /// The value of an expression in the page.
    pub(crate) fn get(&self, expression: &str) -> Value {
        self.command("execute/sync", &json!({ "script": format!("return ({expression})"), "args": [] })).unwrap()
    }

    /// Waits until an expression is true, or something else than nothing, and says what it is. It is looked at whenever
    /// the document or the focus changes.
    #[track_caller]
    pub(crate) fn until(&self, expression: &str) -> Value {
        let script = format!(
            "const done = arguments[0];
             const over = new AbortController();
             const look = () => {{ try {{ return ({expression}) }} catch {{ return null }} }};
             const check = () => {{
               const found = !over.signal.aborted && look();
               if (!found) return;
               over.abort();
               observer.disconnect();
               done(found);
             }};
             const observer = new MutationObserver(check);
             observer.observe(document, {{ subtree: true, childList: true, attributes: true, characterData: true }});
             for (const event of ['focusin', 'focusout', 'toggle', 'scroll', 'animationend']) {{
               addEventListener(event, () => setTimeout(check), {{ capture: true, signal: over.signal }});
             }}
             check();"
        );
        self.command("execute/async", &json!({ "script": script, "args": [] })).unwrap_or_else(|error| {
            panic!("waited in vain for {expression}: {error}\nthe page says:\n{}", self.get("document.body.innerText"))
        })
    }

    /// Clicks in the middle of an element, as soon as there is one and nothing covers it.
    #[track_caller]
    pub(crate) fn click(&self, selector: &str) {
        loop {
            // Like a person, who scrolls until it is in sight.
            let sight = "scrollIntoView({ block: 'nearest' }) ?? true";
            self.until(&format!("document.querySelector({}).{sight}", json!(selector)));
            let element = self.command("element", &json!({ "using": "css selector", "value": selector }));
            let clicked = element.and_then(|element| {
                self.command(&format!("element/{}/click", element[ELEMENT].as_str().unwrap()), &json!({}))
            });
            match clicked {
                Ok(_) => return,
                // The page replaced it in between.
                Err(error) if error.starts_with("stale element") || error.starts_with("no such element") => {}
                Err(error) => panic!("cannot click {selector}: {error}"),
            }
        }
    }

    #[track_caller]
    pub(crate) fn type_into(&self, selector: &str, text: &str) {
        let element = self.command("element", &json!({ "using": "css selector", "value": selector })).unwrap();
        self.command(&format!("element/{}/value", element[ELEMENT].as_str().unwrap()), &json!({ "text": text }))
            .unwrap();
    }

    pub(crate) fn press(&self, key: &Key) {
        let key = match key {
            Key::Enter => ENTER,
            Key::Escape => ESCAPE,
            Key::Tab => TAB,
        };
        let strokes = json!([{ "type": "keyDown", "value": key }, { "type": "keyUp", "value": key }]);
        let keyboard = json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": strokes }] });
        self.command("actions", &keyboard).unwrap();
    }

    /// What can be seen, as PNG.
    pub(crate) fn picture(&self) -> Vec<u8> {
        let told = self.devtools("Page.captureScreenshot", &json!({ "format": "png", "optimizeForSpeed": false }));
        data_encoding::BASE64.decode(told["data"].as_str().unwrap().as_bytes()).unwrap()
    }

    /// What the browser complained of since it was asked last.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let entries = self.command("se/log", &json!({ "type": "browser" })).unwrap();
        entries.as_array().unwrap().iter().map(|entry| format!("{} {}", entry["level"], entry["message"])).collect()
    }

    /// The addresses that it asked for since it was asked last.
    pub(crate) fn requests(&self) -> Vec<String> {
        let entries = self.command("se/log", &json!({ "type": "performance" })).unwrap();
        let messages = entries.as_array().unwrap().iter().map(|entry| {
            let event: Value = serde_json::from_str(entry["message"].as_str().unwrap()).unwrap();
            event["message"].clone()
        });
        let sent = messages.filter(|message| message["method"] == "Network.requestWillBeSent");
        sent.map(|message| message["params"]["request"]["url"].as_str().unwrap().to_owned()).collect()
    }

    /// A command of the DevTools protocol.
    pub(crate) fn devtools(&self, command: &str, parameters: &Value) -> Value {
        self.command("goog/cdp/execute", &json!({ "cmd": command, "params": parameters })).unwrap()
    }

    fn command(&self, command: &str, body: &Value) -> Result<Value, String> {
        self.send("POST", &format!("/session/{}/{command}", self.session), Some(body))
    }

    fn send(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value, String> {
        let told = self.runtime.block_on(exchange(self.port, method, path, body)).map_err(|error| error.to_string())?;
        match &told["value"] {
            problem if problem["error"].is_string() => {
                let text = |member: &str| problem[member].as_str().unwrap_or_default().to_owned();
                Err(format!("{}: {}", text("error"), text("message")))
            }
            value => Ok(value.clone()),
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The browser ends with its session, not with the driver.
        let _ = self.send("DELETE", &format!("/session/{}", self.session), None);
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// A driver that is ready, with its port.
fn driver() -> Option<(Child, BufReader<ChildStdout>, u16)> {
    let mut command = Command::new("chromedriver");
    let command = command.arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null());
    let mut driver = command.spawn().expect("chromedriver runs; scripts/setup installs it");
    let mut said = BufReader::new(driver.stdout.take().unwrap());
    loop {
        let mut line = String::new();
        if said.read_line(&mut line).unwrap() == 0 {
            let _ = driver.wait();
            return None;
        }
        let port = line.trim().trim_end_matches('.').rsplit_once("successfully on port ");
        if let Some(port) = port.and_then(|(_, port)| port.parse().ok()) {
            return Some((driver, said, port));
        }
    }
}

async fn exchange(
    port: u16,
    method: &str,
    path: &str,
    body: Option<&Value>,
) -> Result<Value, Box<dyn std::error::Error>> {
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(TcpStream::connect(("127.0.0.1", port)).await?)).await?;
    let connection = tokio::spawn(connection);
    let body = Full::new(Bytes::from(body.map(Value::to_string).unwrap_or_default()));
    let request = hyper::Request::builder()
        .method(method)
        .uri(path)
        .header("Host", format!("127.0.0.1:{port}"))
        .header("Content-Type", "application/json; charset=utf-8")
        .body(body)?;
    let answer = sender.send_request(request).await?.into_body().collect().await?.to_bytes();
    connection.abort();
    Ok(serde_json::from_slice(&answer)?)
}
