//! The server's own certificate: read from its files, taken anew when they change, and shown in handshakes.
//!
//! A pair that cannot be used changes nothing: who renews writes two files, one after the other.

mod leaf;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use ring::digest::{Digest, SHA256, digest};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::config;
use crate::repeat;
use crate::secret_file;

pub use leaf::Leaf;

/// How long a handshake may take.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Time between two looks for a renewed certificate.
pub const LOOK_INTERVAL: Duration = Duration::from_secs(30);
/// What can be spoken in a connection, what is liked best first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Holds the certificate; clones share it.
#[derive(Clone)]
pub struct Certificate {
    shared: Arc<Shared>,
    acceptor: TlsAcceptor,
}

#[derive(Debug)]
struct Shared {
    shown: RwLock<Arc<CertifiedKey>>,
    last: Mutex<Last>,
}

/// Where the last pair came from, usable or not, and its fingerprint.
#[derive(Debug)]
struct Last {
    files: config::Tls,
    print: Option<[u8; 32]>,
}

/// Texts of both files.
struct Texts {
    certificate: Vec<u8>,
    key: String,
}

impl Certificate {
    /// Reads both files.
    ///
    /// # Errors
    /// Which one cannot be used, as a sentence for the operator.
    pub fn open(files: &config::Tls) -> Result<Self, String> {
        let texts = Texts::read(files)?;
        let key = texts.certified(files)?;
        let last = Mutex::new(Last { files: files.clone(), print: Some(texts.print()) });
        let shared = Arc::new(Shared { shown: RwLock::new(Arc::new(key)), last });
        // Named, because a process with two implementations in it has no default one.
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("TLS cannot be used: {error}"))?;
        let mut config = config.with_no_client_auth().with_cert_resolver(Arc::clone(&shared) as Arc<_>);
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        Ok(Self { shared, acceptor: TlsAcceptor::from(Arc::new(config)) })
    }

    /// Takes the pair of these files, when it is another one than the last that was looked at. Whether it did.
    ///
    /// # Errors
    /// Why it cannot be used; the one before stays.
    pub fn reload(&self, files: &config::Tls) -> Result<bool, String> {
        let mut last = self.shared.last.lock().unwrap_or_else(PoisonError::into_inner);
        let texts = Texts::read(files);
        let print = texts.as_ref().ok().map(Texts::print);
        if last.print == print && last.files == *files {
            return Ok(false);
        }
        *last = Last { files: files.clone(), print };
        let key = texts?.certified(files)?;
        *self.shared.shown.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(key);
        Ok(true)
    }

    /// What the certificate that is shown now says about itself.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub fn leaf(&self) -> Result<Leaf, String> {
        let shown = Arc::clone(&self.shared.shown.read().unwrap_or_else(PoisonError::into_inner));
        Leaf::of(shown.end_entity_cert().map_err(|error| error.to_string())?)
    }

    /// Looks for a renewed pair again and again, until it is time to stop.
    pub async fn watch(self, stop: CancellationToken) {
        repeat::every(LOOK_INTERVAL, stop, move || self.look()).await;
    }

    fn look(&self) {
        let files = self.shared.last.lock().unwrap_or_else(PoisonError::into_inner).files.clone();
        match self.reload(&files) {
            Ok(true) => info!("the certificate was renewed"),
            Ok(false) => {}
            Err(reason) => error!(%reason, "a new certificate is not used, the one before stays"),
        }
    }

    /// What is in a connection behind its handshake.
    ///
    /// # Errors
    /// When the client is none of TLS, takes too long or does not want the certificate.
    pub async fn accept(&self, stream: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        tokio::time::timeout(HANDSHAKE_TIMEOUT, self.acceptor.accept(stream)).await?
    }
}

impl ResolvesServerCert for Shared {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.shown.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl Texts {
    fn read(files: &config::Tls) -> Result<Self, String> {
        let config::Tls { certificate_file, key_file } = files;
        let certificate = std::fs::read(certificate_file)
            .map_err(|error| named("tls.certificate_file", certificate_file, &format!("cannot be read: {error}")))?;
        let key = secret_file::read(key_file).map_err(|reason| named("tls.key_file", key_file, &reason))?;
        Ok(Self { certificate, key })
    }

    fn print(&self) -> [u8; 32] {
        let of = |bytes: &[u8]| -> Digest { digest(&SHA256, bytes) };
        let both = [of(&self.certificate).as_ref(), of(self.key.as_bytes()).as_ref()].concat();
        of(&both).as_ref().try_into().unwrap_or_default()
    }

    fn certified(&self, files: &config::Tls) -> Result<CertifiedKey, String> {
        let config::Tls { certificate_file, key_file } = files;
        let of_chain = |reason: String| named("tls.certificate_file", certificate_file, &reason);
        let chain: Result<Vec<CertificateDer<'static>>, _> =
            CertificateDer::pem_slice_iter(&self.certificate).collect();
        let chain = chain.map_err(|error| of_chain(format!("is not a PEM file: {error}")))?;
        if chain.is_empty() {
            return Err(of_chain("has no certificate in it (BEGIN CERTIFICATE)".to_owned()));
        }
        let of_key = |reason: String| named("tls.key_file", key_file, &reason);
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes());
        let key = key.map_err(|error| of_key(format!("has no key in it (BEGIN PRIVATE KEY): {error}")))?;
        let pair = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider());
        pair.map_err(|error| of_key(format!("does not fit the certificate: {error}")))
    }
}

fn named(setting: &str, path: &Path, reason: &str) -> String {
    format!("`{setting}` ({}) {reason}", path.display())
}
