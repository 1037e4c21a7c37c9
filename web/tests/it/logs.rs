//! The log as operators meet it: a line leads to its request and back, and nothing stands in it that is not for them.

use std::fs;
use std::net::TcpListener;

use serde_json::Value;
use telemetrics_testkit::http::Answer;
use telemetrics_testkit::{ClickHouse, Post, Server};

use crate::access::{Files, ask, basic, bearer};
use crate::html::{one_text, page};
use crate::servers::{PROGRAM, accepted, ended, json};

const IN_JSON: &str = "[log]\nformat = \"json\"\n";
/// A store that answers nobody.
const AWAY: &str = "[store.clickhouse]\nurl = \"http://127.0.0.1:1\"\n";
/// All lines of ours.
const EVERYTHING: &str = "TELEMETRICS_LOG=warn,telemetrics_web=trace,telemetrics_collector=trace,telemetrics_analytics=trace,\
                          telemetrics_schema=trace,audit=trace,access=trace";

/// The answer to a GET with more headers.
fn get(server: &Server, path: &str, headers: &str) -> Answer {
    server.send(format!("GET {path} HTTP/1.1\r\nHost: {}\r\n{headers}\r\n", server.address()).as_bytes())
}

fn request_id(answer: &Answer) -> &str {
    answer.header("x-request-id").unwrap_or_else(|| panic!("no id: {answer:?}"))
}

/// The lines of a log, each of which has to be an object.
fn lines(log: &str) -> Vec<Value> {
    log.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

#[test]
fn an_answer_that_fails_leads_to_the_lines_about_it() {
    let mut server = Server::start_with_config(PROGRAM, &format!("{IN_JSON}{AWAY}"), &[]);
    let answers = [get(&server, "/api/records", ""), get(&server, "/api/export?format=csv", "")];
    let shown = get(&server, "/telemetryui/", "");
    let ended = server.terminate();
    let lines = lines(&ended.stderr);
    let about = |id: &str| {
        let is_meant = |line: &&Value| line["request_id"] == id && line["level"] == "ERROR";
        lines.iter().filter(is_meant).map(|line| line["message"].clone()).collect::<Vec<_>>()
    };
    for answer in &answers {
        assert_eq!((answer.status, json(answer)["request_id"].as_str()), (503, Some(request_id(answer))));
        assert!(about(request_id(answer)).contains(&"a request failed".into()), "{lines:?}");
    }
    assert_eq!(about(request_id(&shown)), ["a page failed"]);
    let text = one_text(&page(&shown, 503), "main");
    assert!(text.contains(request_id(&shown)), "{text}");
    let stopped = lines.last().expect("a line");
    assert_eq!((&stopped["message"], &stopped["target"]), (&"stopped".into(), &"telemetrics_web::serve".into()));
    assert!(stopped["time"].is_string() && stopped["level"] == "INFO" && stopped.get("request_id").is_none());
}

#[test]
fn ids_are_those_of_a_trusted_proxy_or_made_here() {
    let proxied = Server::start_with_config(PROGRAM, "trusted_proxies = [\"127.0.0.1\"]\n", &[]);
    let direct = Server::start(PROGRAM, &[]);
    for path in ["/healthz", "/api/records", "/telemetryui/", "/nowhere", "/api/records?nonsense=1"] {
        let said = "X-Request-Id: of-the.proxy_7\r\n";
        assert_eq!(request_id(&get(&proxied, path, said)), "of-the.proxy_7", "{path}");
        for (server, headers) in [(&direct, said), (&proxied, ""), (&proxied, "X-Request-Id: a b\r\n")] {
            let answer = get(server, path, headers);
            assert_eq!(
                (request_id(&answer).len(), answer.headers.iter().filter(|(name, _)| name == "x-request-id").count()),
                (16, 1)
            );
        }
    }
    assert_ne!(request_id(&get(&direct, "/healthz", "")), request_id(&get(&direct, "/healthz", "")));
}

#[test]
fn each_request_is_a_line_where_that_is_asked_for_and_only_then_do_probes_get_an_id() {
    let quiet = Server::start(PROGRAM, &[]);
    let answer = quiet.send(&Post::default().header("X-Request-Id", "x").in_headers());
    assert_eq!((answer.status, answer.header("x-request-id")), (201, None));
    let mut loud = Server::start_behind(&["env", "TELEMETRICS_LOG=info,access=debug"], PROGRAM, IN_JSON, &[]);
    let posted = loud.send(&Post::default().in_headers());
    let read = loud.get("/api/records?payload=not-for-the-log");
    let ended = loud.terminate();
    assert!(!ended.stderr.contains("not-for-the-log"), "{}", ended.stderr);
    let lines: Vec<Value> = lines(&ended.stderr).into_iter().filter(|line| line["target"] == "access").collect();
    let [first, second] = lines.as_slice() else { panic!("{}", ended.stderr) };
    for (line, answer, method, path) in [(first, &posted, "POST", "/"), (second, &read, "GET", "/api/records")] {
        let fields = &line["fields"];
        assert_eq!(
            (&fields["method"], &fields["path"], &fields["from"]),
            (&method.into(), &path.into(), &"127.0.0.1".into())
        );
        assert_eq!(
            (fields["status"].as_u64(), line["request_id"].as_str()),
            (Some(answer.status.into()), Some(request_id(answer)))
        );
        assert!(fields["duration_us"].is_u64(), "{line}");
    }
    assert!(!quiet.process().errors().contains("a request was answered"));
}

#[test]
fn what_ends_the_program_is_a_line_as_all_others() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("t.toml");
    let failing = |toml: &str| {
        fs::write(&file, toml).expect("written");
        let ended = ended(&["serve", "--listen", &address, "--config", file.to_str().expect("text")]);
        assert_eq!(ended.status.code(), Some(1), "{ended:?}");
        ended.stderr
    };
    let lines = lines(&failing(IN_JSON));
    let last = lines.last().expect("a line");
    assert_eq!((&last["level"], &last["message"]), (&"ERROR".into(), &"the program ends".into()));
    assert!(last["fields"]["reason"].as_str().is_some_and(|reason| reason.starts_with("cannot listen on")), "{last}");
    assert!(failing("").starts_with("telemetrics: cannot listen on"));
    assert!(failing("[log]\nformat = \"xml\"\n").contains("`log.format` must be \"text\" or \"json\""));
}

/// A server that knows many secrets, and those that are sent to it.
struct Secretive {
    clickhouse: ClickHouse,
    database: String,
    files: Files,
    token: String,
}

const WRITER: &str = "the-password-of-the-writer";
const READER: &str = "the-password-of-the-reader";
const ANN: &str = "the-password-of-ann";
const WRONG: &str = "a-password-that-is-wrong";
const PAYLOAD: &str = "what-a-payload-says";
const REFUSED: &str = "what-the-store-refuses";

impl Secretive {
    fn new() -> Self {
        let user = |name: &str, password: &str| {
            format!(
                "<{name}><password>{password}</password><networks><ip>::/0</ip></networks><profile>default</profile>\
                 <quota>default</quota></{name}>"
            )
        };
        let clickhouse = ClickHouse::start_with_users(&format!("{}{}", user("writer", WRITER), user("reader", READER)));
        let database = clickhouse.create_database();
        let files = Files::new();
        files.user("secretive", "admin,read,sql,curate,export", ANN);
        let token = files.token("script", "admin,read,sql");
        for (name, password) in [("writer", WRITER), ("reader", READER)] {
            fs::write(files.path(name), password).expect("written");
        }
        Self { clickhouse, database, files, token }
    }

    fn server(&self) -> Server {
        let (writer, reader) = (self.files.path("writer"), self.files.path("reader"));
        let toml = format!(
            "[store.clickhouse]\nurl = \"http://{}\"\ndatabase = \"{}\"\nuser = \"writer\"\npassword_file = \"{}\"\n\
             sql_user = \"reader\"\nsql_password_file = \"{}\"\n[drain]\nbatch_age_ms = 10\n{}",
            self.clickhouse.address(),
            self.database,
            writer.display(),
            reader.display(),
            self.files.toml()
        );
        Server::start_behind(&["env", EVERYTHING], PROGRAM, &toml, &[])
    }

    /// Everything that can go well and wrong with a secret in it.
    fn use_all(&self, server: &Server) {
        let ann = basic("secretive", ANN);
        accepted(server, &Post::default().payload(PAYLOAD));
        let status = |path: &str, authorization: &str| ask(server, "GET", path, Some(authorization)).status;
        assert_eq!(status("/api/records", &ann), 200);
        assert_eq!(status(&format!("/api/records?payload={PAYLOAD}"), &bearer(&self.token)), 200);
        assert_eq!(status(&format!("/telemetryui/?payload={PAYLOAD}"), &bearer(&self.token)), 200);
        let strangers = [basic("secretive", WRONG), basic(WRONG, "x"), bearer(WRONG), format!("Nonsense {WRONG}")];
        assert!(strangers.iter().all(|stranger| status("/api/records", stranger) == 401));
        get(server, "/telemetryui/", &format!("Cookie: session={WRONG}\r\n"));
        let statement = format!("SELECT count(*) FROM records WHERE payload LIKE '{PAYLOAD}%'");
        for statement in [statement.as_str(), "SELECT 1 / 0", "SELECT nonsense", "DROP TABLE records"] {
            let answer = server.post_to("/api/sql", &[("Authorization", &bearer(&self.token))], statement.as_bytes());
            assert_eq!(answer.status == 200, statement.contains("count"), "{statement}: {}", answer.text());
        }
        let broken = Post::default().with("severity", "9").payload(PAYLOAD);
        assert_eq!(server.send(&broken.in_headers()).status, 201, "it is in the quarantine");
        assert_eq!(server.send(&broken.header("User-Agent", "script").in_headers()).status, 400);
        assert_eq!(status("/api/quarantine", &ann), 200);
        self.clickhouse.query(&format!(
            "ALTER TABLE {}.records ADD CONSTRAINT odd CHECK payload NOT LIKE '{REFUSED}%'",
            self.database
        ));
        accepted(server, &Post::default().payload(REFUSED));
        server.process().wait_for_error(|line| line.contains("the store refuses a record for good").then_some(()));
        server.process().hang_up();
        server.process().wait_for_error(|line| line.contains("the configuration was read anew").then_some(()));
    }
}

#[test]
fn no_secret_and_no_payload_is_in_the_log_whatever_happens() {
    let secretive = Secretive::new();
    let mut server = secretive.server();
    secretive.use_all(&server);
    let ended = server.terminate();
    let log = format!("{}{}", ended.stdout, ended.stderr);
    let (ann, stranger) = (basic("secretive", ANN), basic("secretive", WRONG));
    let encoded = [&ann, &stranger].map(|header| header.trim_start_matches("Basic "));
    let secrets = [WRITER, READER, ANN, WRONG, PAYLOAD, REFUSED, &secretive.token, encoded[0], encoded[1]];
    for secret in secrets {
        let line = log.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret}");
    }
    assert!(log.contains("a sign-in was refused who=\"secretive\""), "this test can tell: {log}");
    assert!(log.contains("access: a request was answered"), "at the highest level: {log}");
}
