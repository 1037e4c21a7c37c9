//! nginx with a site of the repository in front of a server, on ports that the system chooses.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use rustix::io::{FdFlags, fcntl_setfd};
use tempfile::TempDir;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::http::{Answer, Connection, SILENCE_LIMIT};
use crate::process::Process;
use crate::repository;
use crate::tls::Authority;

/// The name in the site and in its certificate.
pub const NAME: &str = "telemetry.example.org";

const SITE: &str = "deploy/nginx/telemetrics.conf";
/// What the sites of the system stand in.
const AROUND: &str = "\
daemon off;
worker_processes 2;
user root;
pid nginx.pid;
error_log stderr notice;
events { worker_connections 512; }
http {
    access_log off;
    client_body_temp_path bodies;
    proxy_temp_path proxied;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    include site.conf;
}
";

/// A connection through TLS, with HTTP/1.1 or HTTP/2 spoken in it.
pub type TlsStream = StreamOwned<ClientConnection, TcpStream>;

/// nginx with our site; gone when it is dropped or the test process dies.
#[derive(Debug)]
pub struct Nginx {
    plain: SocketAddr,
    tls: SocketAddr,
    authority: Authority,
    process: Process,
    _dir: TempDir,
}

impl Nginx {
    /// Starts it in front of `server`.
    ///
    /// # Panics
    /// When it does not come up; the message holds what it said. Run scripts/setup-tests when nginx is missing.
    #[must_use]
    pub fn start(server: SocketAddr) -> Self {
        let dir = TempDir::with_prefix("telemetrics-nginx-").expect("a directory for temporary files");
        let authority = Authority::new();
        let (certificate, key) = authority.issue(NAME);
        let sockets = [Inherited::listen(), Inherited::listen()];
        let [plain, tls] = sockets.each_ref().map(|socket| socket.address);
        let site = fs::read_to_string(repository().join(SITE)).expect("the site");
        let changes = [
            ("listen [::]:80;", String::new()),
            ("listen [::]:443 ssl http2 default_server;", String::new()),
            ("listen 80;", format!("listen {plain};")),
            ("listen 443 ", format!("listen {tls} ")),
            ("server 127.0.0.1:8080;", format!("server {server};")),
            ("/etc/nginx/tls/telemetrics.pem", text(&certificate).to_owned()),
            ("/etc/nginx/tls/telemetrics.key", text(&key).to_owned()),
        ];
        fs::write(dir.path().join("site.conf"), replaced(site, &changes)).expect("written");
        fs::write(dir.path().join("nginx.conf"), AROUND).expect("written");
        let mut command = Command::new("nginx");
        command.args(["-e", "stderr", "-p", text(dir.path()), "-c", "nginx.conf"]);
        // How nginx hands its sockets over to a newer nginx.
        let numbers = sockets.each_ref().map(Inherited::number);
        command.env("NGINX", format!("{};{};", numbers[0], numbers[1]));
        let process = Process::start(&mut command, dir.path());
        process.wait_for_error(|line| line.contains("start worker process ").then_some(()));
        Self { plain, tls, authority, process, _dir: dir }
    }

    /// Where it speaks HTTP without TLS.
    #[must_use]
    pub const fn plain(&self) -> SocketAddr {
        self.plain
    }

    /// Where it speaks HTTP through TLS.
    #[must_use]
    pub const fn tls(&self) -> SocketAddr {
        self.tls
    }

    /// The file of the certificate of who vouches for it.
    #[must_use]
    pub fn ca_file(&self) -> PathBuf {
        self.authority.ca_file()
    }

    /// What it has said until now.
    #[must_use]
    pub fn errors(&self) -> String {
        self.process.errors()
    }

    /// A connection through TLS, with `protocol` (`http/1.1` or `h2`) spoken in it.
    ///
    /// # Panics
    /// When there is none, or it speaks another protocol.
    #[must_use]
    pub fn connect(&self, protocol: &str) -> TlsStream {
        let mut roots = RootCertStore::empty();
        let certificates = CertificateDer::pem_file_iter(self.ca_file()).expect("a file");
        certificates.for_each(|each| roots.add(each.expect("PEM")).expect("a certificate"));
        let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions of TLS")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        let name = ServerName::try_from(NAME).expect("a name");
        let session = ClientConnection::new(Arc::new(config), name).expect("a session");
        let stream = TcpStream::connect(self.tls).expect("a connection");
        stream.set_read_timeout(Some(SILENCE_LIMIT)).expect("a limit");
        let mut stream = StreamOwned::new(session, stream);
        stream.conn.complete_io(&mut stream.sock).expect("a handshake");
        assert_eq!(stream.conn.alpn_protocol(), Some(protocol.as_bytes()));
        stream
    }

    /// The answer to the bytes of a whole request through TLS, sent as they are over HTTP/1.1.
    ///
    /// # Errors
    /// As [`crate::http::exchange`].
    pub fn send(&self, request: &[u8]) -> io::Result<Answer> {
        let mut connection = Connection::over(self.connect("http/1.1"));
        connection.send(request)?;
        connection.receive()
    }
}

/// A socket that a program gets with its start.
struct Inherited {
    listener: TcpListener,
    address: SocketAddr,
}

impl Inherited {
    fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        fcntl_setfd(&listener, FdFlags::empty()).expect("a socket for a child");
        let address = listener.local_addr().expect("an address");
        Self { listener, address }
    }

    fn number(&self) -> i32 {
        self.listener.as_raw_fd()
    }
}

/// The site with other places in it; each has to be there.
fn replaced(site: String, changes: &[(&str, String)]) -> String {
    changes.iter().fold(site, |site, (old, new)| {
        assert!(site.contains(old), "{SITE} lacks {old}");
        site.replace(old, new)
    })
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of temporary files that is text")
}
