//! TLS in front of a server that speaks none, with certificates of an authority that nobody else trusts.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Days that certificates are valid.
const DAYS: &str = "2";
const READ_BYTES: usize = 64 * 1024;

/// An authority of its own; its files are gone when it is dropped.
#[derive(Debug)]
pub struct Authority {
    dir: TempDir,
}

impl Authority {
    /// Makes a new one.
    ///
    /// # Panics
    /// When the program `openssl` is missing: run scripts/setup-tests.
    #[must_use]
    pub fn new() -> Self {
        let dir = TempDir::with_prefix("telemetrics-tls-").expect("a directory for temporary files");
        let authority = Self { dir };
        let words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem \
                     -subj /CN=tests -addext basicConstraints=critical,CA:TRUE -days";
        authority.openssl(words, &[DAYS]);
        authority
    }

    /// The file of its certificate, which others may trust.
    #[must_use]
    pub fn ca_file(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// Files of a new certificate for `name` and of its key, in the place of those before.
    ///
    /// # Panics
    /// When they cannot be made.
    #[must_use]
    pub fn issue(&self, name: &str) -> (PathBuf, PathBuf) {
        self.issue_for(&format!("subjectAltName=DNS:{name}"), DAYS)
    }

    /// The same with these lines of extensions, valid for some days from now on.
    ///
    /// # Panics
    /// As [`Authority::issue`].
    #[must_use]
    pub fn issue_for(&self, extensions: &str, days: &str) -> (PathBuf, PathBuf) {
        let words = "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout server.key -out server.csr -subj /CN=server";
        self.openssl(words, &[]);
        std::fs::write(self.dir.path().join("names"), format!("{extensions}\n")).expect("written");
        let words =
            "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out server.pem -extfile names -days";
        self.openssl(words, &[days]);
        (self.dir.path().join("server.pem"), self.dir.path().join("server.key"))
    }

    fn openssl(&self, words: &str, more: &[&str]) {
        let mut command = Command::new("openssl");
        command.args(words.split_whitespace()).args(more).current_dir(self.dir.path());
        let output = command.output().unwrap_or_else(|error| panic!("openssl: {error}: run scripts/setup-tests"));
        assert!(output.status.success(), "{words}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

/// Accepts TLS on a port of its own and passes what is in it on to a server; it ends when it is dropped.
#[derive(Debug)]
pub struct TlsFront {
    address: SocketAddr,
    heard: Heard,
    /// Its threads end with it.
    _runtime: Runtime,
}

/// What clients sent after they had found the certificate to be valid.
type Heard = Arc<Mutex<Vec<u8>>>;

impl TlsFront {
    /// Begins to pass connections on to `target`, with a certificate of `authority` for `name`.
    ///
    /// # Panics
    /// When the certificate cannot be made.
    #[must_use]
    pub fn start(authority: &Authority, name: &str, target: SocketAddr) -> Self {
        let (certificate, key) = authority.issue(name);
        let acceptor = acceptor(&certificate, &key);
        let runtime = Runtime::new().expect("threads");
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).expect("a free port");
        let address = listener.local_addr().expect("an address");
        let heard = Heard::default();
        runtime.spawn(accept(listener, acceptor, target, Arc::clone(&heard)));
        Self { address, heard, _runtime: runtime }
    }

    /// The port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// What clients have sent through TLS until now, as text; what is not UTF-8 is replaced.
    #[must_use]
    pub fn heard(&self) -> String {
        String::from_utf8_lossy(&self.heard.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

fn acceptor(certificate: &Path, key: &Path) -> TlsAcceptor {
    let certificates = CertificateDer::pem_file_iter(certificate).expect("a file").map(|each| each.expect("PEM"));
    let key = PrivateKeyDer::from_pem_file(key).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions of TLS")
        .with_no_client_auth()
        .with_single_cert(certificates.collect(), key)
        .expect("a key that fits");
    TlsAcceptor::from(Arc::new(config))
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, target: SocketAddr, heard: Heard) {
    while let Ok((client, _)) = listener.accept().await {
        let (acceptor, heard) = (acceptor.clone(), Arc::clone(&heard));
        // A client that finds the certificate to be invalid is what some tests are about.
        tokio::spawn(async move { pass_on(client, acceptor, target, heard).await.ok() });
    }
}

async fn pass_on(client: TcpStream, acceptor: TlsAcceptor, target: SocketAddr, heard: Heard) -> std::io::Result<()> {
    let (mut from_client, mut to_client) = tokio::io::split(acceptor.accept(client).await?);
    let (mut from_server, mut to_server) = TcpStream::connect(target).await?.into_split();
    let requests = async {
        let mut bytes = vec![0; READ_BYTES];
        loop {
            let count = from_client.read(&mut bytes).await?;
            heard.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&bytes[..count]);
            if count == 0 {
                return to_server.shutdown().await;
            }
            to_server.write_all(&bytes[..count]).await?;
        }
    };
    let answers = async {
        copy(&mut from_server, &mut to_client).await?;
        to_client.shutdown().await
    };
    tokio::try_join!(requests, answers)?;
    Ok(())
}
