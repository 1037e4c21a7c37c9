//! TLS as clients of the server meet it: what is spoken, who is cut off, and certificates that are renewed while it runs.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output};

use telemetrics_testkit::http::{Connection, exchange};
use telemetrics_testkit::request::TELEMETRY_ID;
use telemetrics_testkit::{Authority, Server, wait_until};

use crate::servers::PROGRAM;

/// More clients that say nothing than the system would hold for us, were they not accepted.
const SILENT_CLIENTS: usize = 200;

fn toml(authority: &Authority) -> String {
    let (certificate, key) = authority.issue("localhost");
    format!("[tls]\ncertificate_file = \"{}\"\nkey_file = \"{}\"\n", certificate.display(), key.display())
}

pub(crate) fn started(authority: &Authority) -> Server {
    Server::start_with_config(PROGRAM, &toml(authority), &[])
}

/// What curl says to a request to `path` by the server's name, trusting that authority alone.
pub(crate) fn curl(address: SocketAddr, authority: &Authority, path: &str, args: &[&str]) -> Output {
    let mut command = Command::new("curl");
    command.args(["-sS", "--resolve", &format!("localhost:{}:127.0.0.1", address.port()), "--cacert"]);
    command.arg(authority.ca_file()).args(args).arg(format!("https://localhost:{}{path}", address.port()));
    command.output().expect("curl")
}

pub(crate) fn said(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Number of the certificate that is shown in a handshake.
fn serial(address: SocketAddr) -> String {
    let script = format!(
        "openssl s_client -connect {address} -servername localhost </dev/null 2>/dev/null | openssl x509 -noout -serial"
    );
    said(&Command::new("sh").args(["-c", &script]).output().expect("a shell"))
}

#[test]
fn both_versions_of_http_are_spoken_and_records_taken() {
    let authority = Authority::new();
    let server = started(&authority);
    let address = server.address();
    for (option, version) in [("--http1.1", "1.1"), ("--http2", "2")] {
        let answer = said(&curl(address, &authority, "/healthz", &[option, "-w", "%{http_version}"]));
        assert_eq!(answer, format!("ok\n{version}"));
    }
    let id = format!("X-Telemetry-TID: {TELEMETRY_ID}");
    let record = r#"{"record_format_version":2,"classification":"a/b/c","severity":1,"machine_id":"m","creation_timestamp":1795342080,
        "arch":"x86_64","host_type":"a|b|c","build":"1","kernel_version":"6.12.0","payload_format_version":1,"system_name":"s","payload":"p"}"#;
    let args = ["-H", &id, "-H", "Content-Type: application/json", "-d", record, "-w", " %{http_code}"];
    let answer = said(&curl(address, &authority, "/v3/collector", &args));
    assert!(answer.ends_with(" 201"), "{answer}");
    let plain = exchange(address, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(plain.is_err(), "nothing is spoken without TLS: {plain:?}");
    let stranger = curl(address, &Authority::new(), "/healthz", &[]);
    assert!(!stranger.status.success(), "another authority did not sign it");
    server.process().wait_for_output(|line| line.contains("https://").then_some(()));
}

#[test]
fn who_begins_no_handshake_keeps_nobody_waiting_and_is_cut_off() {
    let authority = Authority::new();
    let server = started(&authority);
    let mut silent: Vec<Connection> =
        (0..SILENT_CLIENTS).map(|_| Connection::open(server.address()).expect("a connection")).collect();
    silent[0].send(&[0x16, 3, 1]).expect("the beginning of a handshake");
    assert_eq!(said(&curl(server.address(), &authority, "/healthz", &[])), "ok\n");
    for connection in &mut silent {
        assert!(connection.receive().is_err(), "nothing but its end");
    }
}

#[test]
fn a_renewed_certificate_is_shown_and_a_broken_one_is_not() {
    let authority = Authority::new();
    let server = started(&authority);
    let first = serial(server.address());
    let (certificate, key) = authority.issue("localhost");
    server.process().hang_up();
    wait_until("the new certificate", || serial(server.address()) != first);
    let second = serial(server.address());

    let kept = fs::read(&certificate).expect("a certificate");
    let _ = authority.issue("localhost");
    // Its key is a new one, and the certificate is that of the old one.
    fs::write(&certificate, &kept).expect("written");
    server.process().hang_up();
    server.process().wait_for_error(|line| {
        (line.contains("the certificate stays as it was") && line.contains("does not fit")).then_some(())
    });
    assert_eq!(serial(server.address()), second);
    mode("o+r", &key);
    server.process().hang_up();
    server.process().wait_for_error(|line| line.contains("chmod o= ").then_some(()));
    assert_eq!(serial(server.address()), second);

    // Without a signal.
    mode("o-r", &key);
    let _ = authority.issue("localhost");
    wait_until("the newest certificate", || serial(server.address()) != second);
    assert_eq!(said(&curl(server.address(), &authority, "/healthz", &[])), "ok\n");
}

fn mode(mode: &str, path: &Path) {
    assert!(Command::new("chmod").arg(mode).arg(path).status().expect("chmod").success());
}

#[test]
fn a_server_without_a_certificate_that_can_be_used_does_not_start() {
    let authority = Authority::new();
    let toml = toml(&authority);
    let (certificate, _) = authority.issue("localhost");
    fs::write(certificate, "nothing\n").expect("written");
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("t.toml");
    fs::write(&file, toml).expect("written");
    let ended = crate::servers::ended(&["--listen", "127.0.0.1:0", "--config", file.to_str().expect("text")]);
    assert!(!ended.status.success() && ended.stderr.contains("`tls.certificate_file` ("), "{}", ended.stderr);
}
