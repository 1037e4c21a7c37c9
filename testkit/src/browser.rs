//! A real browser for tests of pages: headless Chromium, driven by `chromedriver` over plain HTTP.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::http::exchange;
use crate::process::Process;

const BROWSER: &str = "/usr/bin/chromium";
const DRIVER: &str = "/usr/bin/chromedriver";

/// A browser with one window; both processes are gone when it is dropped or the test process dies.
#[derive(Debug)]
pub struct Browser {
    _driver: Process,
    _profile: TempDir,
    address: SocketAddr,
    session: String,
}

/// The key that leads from one thing on a page to the next, as the driver's protocol names it.
pub const TAB: char = '\u{e004}';
/// The key that follows a link, presses a button and sends a form.
pub const ENTER: char = '\u{e007}';

/// What a page is shown on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Screen {
    /// Width of the window in CSS pixels.
    pub width: u32,
    /// Height of the window in CSS pixels.
    pub height: u32,
    /// Whether the reader prefers dark colours.
    pub dark: bool,
}

impl Browser {
    /// Starts a browser with an empty profile.
    ///
    /// # Panics
    /// When it is not installed or does not come up.
    #[must_use]
    pub fn start() -> Self {
        for program in [BROWSER, DRIVER] {
            assert!(Path::new(program).is_file(), "{program} is missing: run scripts/setup-tests");
        }
        let profile = TempDir::with_prefix("telemetrics-browser-").expect("a directory for temporary files");
        // A browser that is killed leaves files behind; here they go away with its profile.
        let mut command = Command::new(DRIVER);
        let driver = Process::start(command.arg("--port=0").env("TMPDIR", profile.path()), profile.path());
        let address = driver.wait_for_output(port).into();
        let created = call(address, "POST", "/session", &capabilities(profile.path()));
        let session = created["sessionId"].as_str().expect("a session").to_owned();
        Self { _driver: driver, _profile: profile, address, session }
    }

    /// Shows the following pages on `screen`.
    ///
    /// # Panics
    /// As all methods: when the browser does not do it.
    pub fn resize(&self, screen: Screen) {
        let Screen { width, height, dark } = screen;
        // A window of a desktop cannot be as narrow as a phone; an emulated device can.
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600});
        self.devtools("Emulation.setDeviceMetricsOverride", &metrics);
        let scheme = json!({"name": "prefers-color-scheme", "value": if dark { "dark" } else { "light" }});
        self.devtools("Emulation.setEmulatedMedia", &json!({"features": [scheme]}));
    }

    /// Loads a page and everything that belongs to it.
    ///
    /// # Panics
    /// When there is no answer; an error page is a page.
    pub fn open(&self, url: &str) {
        self.command("POST", "/url", &json!({"url": url}));
    }

    /// What the body of a JavaScript function returns in the page.
    ///
    /// # Panics
    /// When it throws.
    #[must_use]
    pub fn run(&self, script: &str) -> Value {
        self.command("POST", "/execute/sync", &json!({"script": script, "args": []}))
    }

    /// Presses a key so many times, as a person does it; it goes to whatever has the focus.
    ///
    /// # Panics
    /// As [`Browser::resize`].
    pub fn press(&self, key: char, times: usize) {
        let of = |kind: &str| json!({"type": kind, "value": key.to_string()});
        let actions: Vec<Value> = (0..times).flat_map(|_| [of("keyDown"), of("keyUp")]).collect();
        let keyboard = json!({"type": "key", "id": "keyboard", "actions": actions});
        self.command("POST", "/actions", &json!({"actions": [keyboard]}));
    }

    /// Messages of the console since the last call, each with its level: errors of scripts, of the network, and
    /// everything that the content security policy refused.
    ///
    /// # Panics
    /// When the browser does not give them.
    #[must_use]
    pub fn console(&self) -> Vec<String> {
        let entries = self.command("POST", "/se/log", &json!({"type": "browser"}));
        let entries = entries.as_array().expect("a list of messages");
        entries.iter().map(|entry| format!("{}: {}", entry["level"], entry["message"])).collect()
    }

    /// What axe-core finds that keeps people from reading or using the page: a line for each rule and element.
    ///
    /// # Panics
    /// When it is not installed or does not run.
    #[must_use]
    pub fn axe(&self) -> Vec<String> {
        let script = crate::repository().join("target/test-tools/node_modules/axe-core/axe.min.js");
        let script = std::fs::read_to_string(&script)
            .unwrap_or_else(|error| panic!("{}: {error}; run scripts/setup-tests", script.display()));
        // Scripts of the driver are not subject to the page's policy.
        let run = "; const done = arguments[arguments.length - 1]; \
                   axe.run(document, {resultTypes: ['violations']}).then(\
                     result => done(result.violations.flatMap(v => v.nodes.map(n => `${v.id}: ${n.html}`))),\
                     error => done([String(error)]));";
        let found = self.command("POST", "/execute/async", &json!({"script": script + run, "args": []}));
        let found = found.as_array().expect("a list of violations");
        found.iter().map(|violation| violation.as_str().unwrap_or_default().to_owned()).collect()
    }

    /// The part of the page that is visible, as PNG.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn screenshot(&self) -> Vec<u8> {
        let image = self.command("GET", "/screenshot", &Value::Null);
        decode_base64(image.as_str().expect("a picture"))
    }

    fn devtools(&self, command: &str, parameters: &Value) {
        self.command("POST", "/goog/cdp/execute", &json!({"cmd": command, "params": parameters}));
    }

    fn command(&self, method: &str, path: &str, parameters: &Value) -> Value {
        call(self.address, method, &format!("/session/{}{path}", self.session), parameters)
    }
}

fn port(line: &str) -> Option<(Ipv4Addr, u16)> {
    let (_, rest) = line.split_once("started successfully on port ")?;
    Some((Ipv4Addr::LOCALHOST, rest.trim_end_matches('.').parse().ok()?))
}

fn capabilities(profile: &Path) -> Value {
    let profile = format!("--user-data-dir={}", profile.join("profile").display());
    let args = [
        "--headless",
        // The sandbox does not run as root, which is who runs tests in a container.
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--hide-scrollbars",
        // The browser ends with its driver, whose pipe it is.
        "--remote-debugging-pipe",
        &profile,
    ];
    let options = json!({"binary": BROWSER, "args": args});
    let wanted = json!({"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}});
    json!({"capabilities": {"alwaysMatch": wanted}})
}

/// One command of the driver's protocol (W3C).
fn call(address: SocketAddr, method: &str, path: &str, parameters: &Value) -> Value {
    let body = if parameters.is_null() { String::new() } else { parameters.to_string() };
    let head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {}\r\n\r\n", body.len());
    let answer = exchange(address, &[head.as_bytes(), body.as_bytes()].concat())
        .unwrap_or_else(|error| panic!("{method} {path}: the driver does not answer: {error}"));
    let text = answer.text();
    assert_eq!(answer.status, 200, "{method} {path} {body}: {text}");
    let mut answer: Value = serde_json::from_str(&text).expect("an answer in JSON");
    answer["value"].take()
}

/// Decodes base64 with padding, as the protocol sends pictures.
fn decode_base64(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.trim_end_matches('=').bytes().map(base64_digit).collect();
    digits.chunks(4).flat_map(base64_bytes).collect()
}

/// Up to three bytes from up to four digits; bits of the last digit that fill no byte are padding.
fn base64_bytes(digits: &[u32]) -> Vec<u8> {
    let bits = digits.iter().enumerate().fold(0, |bits, (place, digit)| bits | digit << (18 - 6 * place));
    bits.to_be_bytes()[1..].iter().copied().take(digits.len() * 6 / 8).collect()
}

fn base64_digit(byte: u8) -> u32 {
    u32::from(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        other => panic!("no digit of base64: {other}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_decoded() {
        let cases = [("", ""), ("Zg==", "f"), ("Zm8=", "fo"), ("Zm9v", "foo"), ("Zm9vYg==", "foob")];
        for (text, expected) in cases {
            assert_eq!(decode_base64(text), expected.as_bytes(), "{text}");
        }
        assert_eq!(decode_base64("+/+/"), [0xfb, 0xff, 0xbf]);
    }

    #[test]
    fn the_port_stands_in_the_drivers_last_line() {
        let line = "ChromeDriver was started successfully on port 36401.";
        assert_eq!(port(line), Some((Ipv4Addr::LOCALHOST, 36_401)));
        assert_eq!(port("Only local connections are allowed."), None);
    }
}
