//! Who is let in: every route without and with each scope, as users and programs meet it.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;

use telemetrics_testkit::document::blocks;
use telemetrics_testkit::http::{Answer, exchange};
use telemetrics_testkit::{Browser, ClickHouse, Post, Server};
use telemetrics_web::access::scope::Scope;
use telemetrics_web::route_scopes::{Needs, ROUTES};
use tempfile::TempDir;

use crate::curation::{edit_request, saved};
use crate::html::{one_text, page};
use crate::servers::{PROGRAM, accepted, ended, json};

const PASSWORD: &str = "ann's own password";

/// Files of users and tokens, made by the commands that operators use.
pub(crate) struct Files {
    dir: TempDir,
}

impl Files {
    pub(crate) fn new() -> Self {
        let files = Self { dir: tempfile::tempdir().expect("a directory") };
        files.user("ann", "read,curate", PASSWORD);
        files
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn user(&self, name: &str, scopes: &str, password: &str) {
        let file = self.path("users");
        let args = ["access", "add-user", name, "--scopes", scopes, "--file", file.to_str().expect("text")];
        let output = run(&args, &format!("{password}\n"));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// The token.
    pub(crate) fn token(&self, name: &str, scopes: &str) -> String {
        let file = self.path("tokens");
        let args = ["access", "add-token", name, "--scopes", scopes, "--file", file.to_str().expect("text")];
        let output = run(&args, "");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text").trim_end().to_owned()
    }

    pub(crate) fn toml(&self) -> String {
        let setting = |name: &str| match self.path(name) {
            path if path.exists() => format!("{name}_file = \"{}\"\n", path.display()),
            _ => String::new(),
        };
        format!("[access]\n{}{}", setting("users"), setting("tokens"))
    }

    pub(crate) fn server(&self) -> Server {
        Server::start_with_config(PROGRAM, &self.toml(), &[])
    }
}

/// Runs the program with something on its standard input.
fn run(args: &[&str], input: &str) -> Output {
    let mut command = Command::new(PROGRAM);
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program");
    child.stdin.take().expect("a pipe").write_all(input.as_bytes()).ok();
    child.wait_with_output().expect("an end")
}

pub(crate) fn basic(name: &str, password: &str) -> String {
    let output = Command::new("base64").arg("-w0").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut child = output.expect("base64 (of coreutils)");
    child.stdin.take().expect("a pipe").write_all(format!("{name}:{password}").as_bytes()).expect("read");
    let output = child.wait_with_output().expect("an end");
    format!("Basic {}", String::from_utf8(output.stdout).expect("text"))
}

pub(crate) fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

/// The answer to a request without a body.
pub(crate) fn ask(server: &Server, method: &str, path: &str, authorization: Option<&str>) -> Answer {
    let line = authorization.map_or_else(String::new, |value| format!("Authorization: {value}\r\n"));
    let host = server.address();
    server.send(format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n{line}\r\n").as_bytes())
}

/// A route as somebody would ask for it.
fn concrete(route: &str) -> String {
    let parts = route.split('/').map(|part| match part {
        "{partition}" => "date=2026-01-01",
        "{action}" => "reset",
        _ if part.starts_with('{') => "1",
        other => other,
    });
    parts.collect::<Vec<_>>().join("/")
}

#[test]
fn without_credentials_nothing_is_shown_on_any_route() {
    let server = Files::new().server();
    for (method, route, needs) in ROUTES {
        let answer = ask(&server, method, &concrete(route), None);
        if *needs == Needs::Nothing {
            assert_ne!(answer.status, 401, "{method} {route}");
            continue;
        }
        assert_eq!(answer.status, 401, "{method} {route}: {}", answer.text());
        let ways: Vec<&str> = answer
            .headers
            .iter()
            .filter(|(name, _)| name == "www-authenticate")
            .map(|(_, value)| value.as_str())
            .collect();
        assert_eq!(ways, ["Basic realm=\"telemetrics\", charset=\"UTF-8\"", "Bearer realm=\"telemetrics\""]);
        if route.starts_with("/telemetryui") {
            assert_eq!(one_text(&page(&answer, 401), "h1"), "Sign in", "{method} {route}");
        } else {
            assert!(json(&answer)["message"].as_str().is_some_and(|said| said.starts_with("Sign in with")), "{route}");
        }
    }
}

#[test]
fn a_token_opens_what_its_scopes_say_and_nothing_else() {
    let files = Files::new();
    let tokens: Vec<(Option<Scope>, String)> = Scope::ALL
        .into_iter()
        .map(|scope| (Some(scope), files.token(scope.word(), scope.word())))
        .chain([(None, files.token("monitoring", "none"))])
        .collect();
    let server = files.server();
    for (held, token) in &tokens {
        for (method, route, needs) in ROUTES {
            let answer = ask(&server, method, &concrete(route), Some(&bearer(token)));
            let refused_for = match needs {
                Needs::Scope(asked) if *held != Some(*asked) && *held != Some(Scope::Admin) => Some(asked),
                _ => None,
            };
            let said = answer.text();
            assert!(answer.status != 401 && answer.status < 500, "{held:?} {method} {route}: {said}");
            assert_eq!(answer.status == 403, refused_for.is_some(), "{held:?} {method} {route}: {said}");
            if let Some(scope) = refused_for {
                assert!(said.contains(&format!("This needs the scope {}, which", scope.word())), "{said}");
            }
        }
    }
}

#[test]
fn what_is_no_credential_is_refused() {
    let files = Files::new();
    let token = files.token("ci", "admin");
    let server = files.server();
    let wrong = [
        basic("ann", "wrong password"),
        basic("ann", ""),
        basic("nobody", PASSWORD),
        basic("ci", &token),
        bearer(&token[1..]),
        bearer(&token.to_uppercase()),
        "Basic".to_owned(),
        "Digest x".to_owned(),
    ];
    for authorization in &wrong {
        assert_eq!(ask(&server, "GET", "/api/records", Some(authorization)).status, 401, "{authorization}");
    }
    for authorization in [basic("ann", PASSWORD), bearer(&token)] {
        assert_eq!(ask(&server, "GET", "/api/records", Some(&authorization)).status, 200, "{authorization}");
    }
    let both = format!("{}\r\nAuthorization: {}", bearer(&token), basic("ann", PASSWORD));
    assert_eq!(ask(&server, "GET", "/api/records", Some(&both)).status, 401, "of two, which one?");
}

#[test]
fn probes_are_accepted_while_somebody_tries_passwords() {
    let server = Files::new().server();
    let address = server.address();
    let request =
        format!("GET /api/records HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\n\r\n", basic("ann", "wrong password"));
    let statuses: Vec<u16> = thread::scope(|scope| {
        let task = || {
            let status = || exchange(address, request.as_bytes()).expect("an answer").status;
            (0..10).map(|_| status()).collect::<Vec<_>>()
        };
        let tasks: Vec<_> = (0..16).map(|_| scope.spawn(task)).collect();
        for _ in 0..20 {
            accepted(&server, &Post::default());
        }
        tasks.into_iter().flat_map(|task| task.join().expect("answers")).collect()
    });
    assert!(statuses.iter().all(|status| [401, 429].contains(status)), "{statuses:?}");
    assert!(statuses.contains(&429) && statuses.contains(&401), "{statuses:?}");
    let refused = ask(&server, "GET", "/api/records", Some(&basic("ann", PASSWORD)));
    let wait: u64 = refused.header("retry-after").and_then(|seconds| seconds.parse().ok()).expect("seconds");
    assert!(refused.status == 429 && (1..=60).contains(&wait), "{}", refused.text());
    assert_eq!(ask(&server, "GET", "/healthz", None).status, 200);
}

#[test]
fn the_history_and_the_log_say_who_changed_what_and_no_secrets() {
    let files = Files::new();
    let token = files.token("robot", "curate,read");
    let mut server = files.server();
    let changes = serde_json::json!([{ "change": "hidden", "function": "f()", "module": "m" }]);
    let body = serde_json::json!({ "based_on": 0, "who": "somebody else", "changes": changes });
    let ann = basic("ann", PASSWORD);
    let kind = ("Content-Type", "application/json");
    let answer =
        server.send(&edit_request(&server, "/api/curation", &[kind, ("Authorization", &ann)], &body.to_string()));
    assert_eq!(saved(&answer), 1);
    let robot = bearer(&token);
    let form = ("Content-Type", "application/x-www-form-urlencoded");
    let path = "/telemetryui/crashes/guilty_edit/hidden";
    let body = "based_on=1&function=f%28%29&module=m&hidden=no";
    assert_eq!(server.send(&edit_request(&server, path, &[form, ("Authorization", &robot)], body)).status, 303);
    let history = json(&ask(&server, "GET", "/api/curation/history", Some(&robot)));
    let who: Vec<&str> =
        history["entries"].as_array().expect("entries").iter().filter_map(|e| e["who"].as_str()).collect();
    assert_eq!(who, ["robot", "ann"]);

    assert_eq!(ask(&server, "GET", "/", Some(&basic("ann", "wrong password"))).status, 302, "nobody asks there");
    assert_eq!(ask(&server, "GET", "/api/records", Some(&basic("ann", "wrong password"))).status, 401);
    assert_eq!(ask(&server, "GET", "/api/records", Some(&basic("hunter2hunter2", "x"))).status, 401);
    let log = server.terminate().stderr;
    let audit: Vec<&str> = log.lines().filter(|line| line.contains(" audit: ")).collect();
    let has = |parts: &[&str]| audit.iter().any(|line| parts.iter().all(|part| line.contains(part)));
    assert!(
        has(&["who=\"ann\"", "method=POST", "path=\"/api/curation\"", "status=200", "from=127.0.0.1"]),
        "{audit:#?}"
    );
    assert!(has(&["who=\"robot\"", path, "status=303"]), "{audit:#?}");
    assert!(has(&["a sign-in was refused", "who=\"ann\""]) && has(&["refused", "who=\"unknown\""]), "{audit:#?}");
    for secret in [PASSWORD, &token, "wrong password", "hunter2"] {
        assert!(!log.contains(secret), "{log}");
    }
}

/// What a browser says of a page of another site.
const ELSEWHERE: [(&str, &str); 5] = [
    ("Sec-Fetch-Site", "cross-site"),
    ("Sec-Fetch-Site", "same-site"),
    ("Origin", "http://evil.example"),
    ("Origin", "null"),
    ("Origin", ""),
];

#[test]
fn a_page_of_another_site_sends_nothing_for_who_signed_in() {
    let files = Files::new();
    files.user("root", "admin", PASSWORD);
    let server = files.server();
    let root = basic("root", PASSWORD);
    // Probes need no password, so that a browser gives nobody anything that he does not have.
    let is_of_people = |method: &str, needs: Needs| method != "GET" && needs != Needs::Nothing;
    let routes: Vec<_> = ROUTES.iter().filter(|(method, _, needs)| is_of_people(method, *needs)).collect();
    assert!(routes.iter().any(|(_, route, _)| *route == "/api/sql"), "{routes:?}");
    for (method, route, _) in routes {
        for header in ELSEWHERE {
            let answer = server.send(&sent(&server, method, &concrete(route), &[("Authorization", &root), header]));
            let is_refused = answer.status == 403 && answer.text().contains("another site");
            assert!(is_refused, "{method} {route} {header:?}: {} {}", answer.status, answer.text());
        }
        let own = format!("http://{}", server.address());
        let script = sent(&server, method, &concrete(route), &[("Authorization", &root)]);
        let page = sent(&server, method, &concrete(route), &[("Authorization", &root), ("Origin", &own)]);
        for request in [script, page] {
            let answer = server.send(&request);
            assert!(![401, 403, 405].contains(&answer.status), "{method} {route}: {}", answer.text());
        }
    }
}

/// A request with a form in it that means nothing.
fn sent(server: &Server, method: &str, path: &str, headers: &[(&str, &str)]) -> Vec<u8> {
    let lines: Vec<String> = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let lines = lines.concat();
    let kind = "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 3\r\n";
    format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n{kind}{lines}\r\na=b", server.address()).into_bytes()
}

#[test]
fn a_statement_in_a_form_is_answered_to_scripts_and_own_pages_only() {
    let files = Files::new();
    files.user("asker", "sql", PASSWORD);
    let server = files.server();
    let asker = basic("asker", PASSWORD);
    for (kind, body) in [("application/x-www-form-urlencoded", "sql=SELECT+1+AS+n"), ("text/plain", "SELECT 1 AS n")] {
        let status = |more: &[(&str, &str)]| {
            let headers = [&[("Authorization", asker.as_str()), ("Content-Type", kind)][..], more].concat();
            server.send(&edit_request(&server, "/api/sql", &headers, body)).status
        };
        assert_eq!((status(&[]), status(&[("Sec-Fetch-Site", "same-origin")])), (200, 200), "{kind}");
        assert!(ELSEWHERE.iter().all(|header| status(&[*header]) == 403), "{kind}");
    }
}

#[test]
fn a_collector_asks_its_operators_and_never_its_probes() {
    let files = Files::new();
    let token = files.token("monitoring", "none");
    let clickhouse = ClickHouse::shared();
    let url = format!("{}/{}", clickhouse.url(), clickhouse.create_database());
    let collector = Server::start_as(PROGRAM, "collector", &files.toml(), &["--clickhouse", &url]);
    accepted(&collector, &Post::default());
    for (path, without, with) in
        [("/metrics", 401, 200), ("/api/quarantine", 401, 403), ("/healthz", 200, 200), ("/readyz", 200, 200)]
    {
        assert_eq!(ask(&collector, "GET", path, None).status, without, "{path}");
        assert_eq!(ask(&collector, "GET", path, Some(&bearer(&token))).status, with, "{path}");
    }
    let web = Server::start_as(PROGRAM, "web", &files.toml(), &["--clickhouse", &url]);
    assert_eq!(ask(&web, "GET", "/metrics", None).status, 401);
    assert_eq!(ask(&web, "GET", "/readyz", None).status, 200);
}

#[test]
fn what_everybody_could_reach_is_not_started_by_accident() {
    let config = ["config", "check", "--listen", "0.0.0.0:1"];
    let message = ended(&config).stderr;
    assert!(
        message.contains("`allow_anonymous = true`") && message.contains("telemetrics access add-user"),
        "{message}"
    );
    let files = Files::new();
    let users = files.path("users");
    let mode = |mode: &str| assert!(Command::new("chmod").arg(mode).arg(&users).status().expect("chmod").success());
    mode("o+r");
    let file = files.path("t.toml");
    fs::write(&file, files.toml()).expect("written");
    let file = file.to_str().expect("text");
    let data = files.path("data");
    let ended = ended(&["--config", file, "--listen", "127.0.0.1:0", "--data-dir", data.to_str().expect("text")]);
    assert!(!ended.status.success() && ended.stderr.contains("chmod o= "), "{}", ended.stderr);
    mode("o-r");
    let shown = self::ended(&["config", "show", "--config", file]).stdout;
    assert!(shown.contains("access.users_file") && !shown.contains("argon2"), "{shown}");
}

#[test]
fn users_and_tokens_are_listed_and_removed() {
    let files = Files::new();
    files.token("ci", "sql");
    let toml = files.path("t.toml");
    fs::write(&toml, files.toml()).expect("written");
    let config = ["--config", toml.to_str().expect("text")];
    let done = |args: &[&str]| ended(&[&["access"], args, &config].concat());
    assert_eq!(done(&["list"]).stdout, "user ann read,curate\ntoken ci sql");
    assert!(done(&["remove-user", "ann"]).status.success() && done(&["remove-token", "ci"]).status.success());
    let again = done(&["remove-user", "ann"]);
    assert!(!again.status.success() && again.stderr.contains("there is no ann in"), "{}", again.stderr);
    assert_eq!(done(&["list"]).stdout, "");
    let file = files.path("users");
    let args = ["access", "add-user", "bob", "--file", file.to_str().expect("text")];
    let short = String::from_utf8(run(&args, "short\n").stderr).expect("text");
    assert!(short.contains("the password must have at least 8 characters"), "{short}");
}

#[test]
fn a_browser_signs_in_without_scripts_and_cookies() {
    let server = Files::new().server();
    let browser = Browser::start();
    browser.open(&format!("http://ann:{}@{}/telemetryui/records", PASSWORD.replace(' ', "%20"), server.address()));
    assert_eq!(browser.run("return document.querySelector('h1').textContent"), "Records");
    browser.open(&server.url("/telemetryui/builds"));
    assert_eq!(browser.run("return document.querySelector('h1').textContent"), "Builds");
}

#[test]
fn the_own_client_signs_in_with_a_token() {
    let files = Files::new();
    let token = files.token("ci", "sql,export");
    let server = files.server();
    let file = files.path("own");
    fs::write(&file, format!("{token}\n")).expect("written");
    let ask = |more: &[&str]| {
        let url = server.url("/");
        ended(&[&["query", "--server", &url, "--format", "csv"], more, &["SELECT count(*) AS n FROM records"]].concat())
    };
    let without = ask(&[]);
    assert!(!without.status.success() && without.stderr.contains("Sign in with"), "{}", without.stderr);
    let with = ask(&["--token-file", text(&file)]);
    assert_eq!((with.status.success(), with.stdout.trim()), (true, "n\n0"), "{}", with.stderr);
}

#[test]
fn the_commands_of_the_guide_do_what_it_says() {
    let guide = blocks("docs/access.md");
    let under = |heading: &str, language: &str| {
        let found: String = guide
            .iter()
            .filter(|block| block.heading == heading && block.language == language)
            .map(|b| &*b.text)
            .collect();
        assert!(!found.is_empty(), "nothing under {heading}");
        found
    };
    let files = Files { dir: tempfile::tempdir().expect("a directory") };
    shell(files.dir.path(), &under("Users", "sh"));
    shell(files.dir.path(), &under("Tokens", "sh"));
    let toml = under("Switch it on", "toml");
    fs::write(files.path("telemetrics.toml"), &toml).expect("written");
    let listed = shell(files.dir.path(), &under("Switch it on", "sh"));
    assert_eq!(listed, "user ann read,export,curate\ntoken monitoring none\ntoken analysis read,export,sql\n");
    let toml = toml.replace("= \"", &format!("= \"{}/", files.dir.path().display()));
    let server = Server::start_with_config(PROGRAM, &toml, &[]);
    accepted(&server, &Post::default());
    let asked = under("Ask with them", "sh").replace("http://127.0.0.1:8080", &server.url(""));
    let said = shell(files.dir.path(), &asked);
    for part in ["{\"records\":[{", "id,external,", "telemetrics_accepted_records_total 1", "1 row"] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn the_guide_makes_a_certificate_that_its_client_trusts() {
    let files = Files { dir: tempfile::tempdir().expect("a directory") };
    let blocks: Vec<_> = blocks("docs/access.md").into_iter().filter(|block| block.heading == "TLS").collect();
    let [toml, make, ask] = blocks.as_slice() else { panic!("{blocks:?}") };
    shell(files.dir.path(), &make.text);
    let toml = toml.text.replace("= \"", &format!("= \"{}/", files.dir.path().display()));
    let server = Server::start_with_config(PROGRAM, &toml, &[]);
    let ask = ask.text.replace("localhost:8080", &format!("localhost:{}", server.address().port()));
    assert_eq!(shell(files.dir.path(), &ask), "ok\n");
}

/// What commands print that find the program by its name, and a password on their standard input.
fn shell(directory: &Path, script: &str) -> String {
    let programs = Path::new(PROGRAM).parent().expect("a directory").display().to_string();
    let path = format!("{programs}:{}", std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new("sh");
    command.args(["-euc", script]).current_dir(directory).env("PATH", path).env("PASSWORD", PASSWORD);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a shell");
    // What reads nothing may be gone before.
    let _ = child.stdin.take().expect("a pipe").write_all(format!("{PASSWORD}\n").as_bytes());
    let output = child.wait_with_output().expect("an end");
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}
