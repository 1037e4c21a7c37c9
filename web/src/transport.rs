//! What carries requests to a ClickHouse server: plain connections for `http`, verified ones for `https`.

use std::error::Error as StdError;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use clickhouse::Client;
use hyper_rustls::{ConfigBuilderExt, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Builder, Client as HttpClient};
use hyper_util::rt::TokioExecutor;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{CertificateError, ClientConfig, ConfigBuilder, Error as TlsError, RootCertStore, WantsVerifier};
use tower::ServiceExt;
use tracing::warn;

use crate::config::ClickHouse;
use crate::serve::StartError;

/// A connection without traffic is looked after, so that one that is cut is noticed.
const TCP_KEEPALIVE: Duration = Duration::from_mins(1);
/// A server closes idle connections after 3 seconds where nobody configured another time; a request must not meet that.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(2);

type BoxError = Box<dyn StdError + Send + Sync>;

/// A client for the address of `server`, without user and database.
///
/// With `https` nothing is sent before the server's certificate was found to be valid for its name and signed by a CA
/// that is trusted: that of `ca_file` alone, or those of the system. There is no switch to skip this.
///
/// # Errors
/// When there are no certificates to trust, as a sentence for the operator.
pub fn transport(server: &ClickHouse) -> Result<Client, StartError> {
    let mut http = HttpConnector::new();
    http.set_keepalive(Some(TCP_KEEPALIVE));
    if server.url.scheme() != "https" {
        if let Some(file) = &server.ca_file {
            warn!(file = %file.display(), "store.clickhouse.ca_file has no effect: the address does not begin with https");
        }
        return Ok(Client::with_http_client(pool().build(http)));
    }
    http.enforce_http(false);
    let tls = HttpsConnectorBuilder::new().with_tls_config(config(server)?).https_only().enable_http1();
    let host = server.url.host_str().unwrap_or_default().to_owned();
    let connector = tls.wrap_connector(http).map_err(move |error: BoxError| explained(error, &host));
    Ok(Client::with_http_client(pool().build(connector)))
}

fn pool() -> Builder {
    let mut pool = HttpClient::builder(TokioExecutor::new());
    pool.pool_idle_timeout(POOL_IDLE_TIMEOUT);
    pool
}

/// What each TLS client of the program begins with.
pub(crate) fn tls_builder() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, TlsError> {
    // Named, because a process with two implementations in it has no default one.
    ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider())).with_safe_default_protocol_versions()
}

fn config(server: &ClickHouse) -> Result<ClientConfig, StartError> {
    let builder = tls_builder()?;
    let builder = match &server.ca_file {
        Some(file) => builder.with_root_certificates(
            authorities(file).map_err(|reason| format!("`store.clickhouse.ca_file` ({}): {reason}", file.display()))?,
        ),
        None => builder.with_native_roots().map_err(|error| {
            format!(
                "this system trusts no CA ({error}): name the file of the server's CA in `store.clickhouse.ca_file`"
            )
        })?,
    };
    Ok(builder.with_no_client_auth())
}

/// The certificates in a PEM file; one that cannot be used is an error, because somebody relies on it.
fn authorities(file: &Path) -> Result<RootCertStore, String> {
    let text = std::fs::read(file).map_err(|error| error.to_string())?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let certificate = certificate.map_err(|error| format!("not a PEM file: {error}"))?;
        roots.add(certificate).map_err(|error| format!("not a certificate of a CA: {error}"))?;
    }
    if roots.is_empty() { Err("no certificate in it (BEGIN CERTIFICATE)".to_owned()) } else { Ok(roots) }
}

/// Why there is no connection, by what an operator has to do.
#[derive(Debug, thiserror::Error)]
enum Unverified {
    #[error(
        "the certificate of {0} is not signed by a CA that is trusted here: name the file of its CA in \
         `store.clickhouse.ca_file`"
    )]
    UnknownAuthority(String),
    #[error("the certificate of the server is not made for the name {host} of its address: {reason}")]
    OtherName { host: String, reason: TlsError },
    #[error("the certificate of {host} is not accepted: {reason}")]
    NotAccepted { host: String, reason: TlsError },
    #[error("{0} does not speak TLS at this port: it takes another port, or an address that begins with http://")]
    NoTls(String),
}

/// The error of a connection in words that say what to do; others as they are.
fn explained(error: BoxError, host: &str) -> BoxError {
    let Some(reason) = tls_error(error.as_ref()).cloned() else { return error };
    let host = host.to_owned();
    Box::new(match reason {
        // A bad signature is what a CA leads to that has the name of a trusted one and another key.
        TlsError::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            Unverified::UnknownAuthority(host)
        }
        TlsError::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => Unverified::OtherName { host, reason },
        TlsError::InvalidCertificate(_) => Unverified::NotAccepted { host, reason },
        TlsError::InvalidMessage(_) => Unverified::NoTls(host),
        _ => return error,
    })
}

/// An I/O error does not name what it wraps as its source.
fn tls_error<'a>(error: &'a (dyn StdError + Send + Sync + 'static)) -> Option<&'a TlsError> {
    let mut current: &'a (dyn StdError + 'static) = error;
    loop {
        if let Some(found) = current.downcast_ref::<TlsError>() {
            return Some(found);
        }
        let wrapped = current.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        current = match wrapped {
            Some(wrapped) => wrapped,
            None => current.source()?,
        };
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io;
    use std::path::PathBuf;

    use url::Url;

    use super::*;

    fn server(ca_file: Option<PathBuf>) -> ClickHouse {
        ClickHouse { ca_file, ..ClickHouse::at(Url::parse("https://db.example:8443").expect("an address")) }
    }

    #[test]
    fn a_file_without_certificates_keeps_it_from_starting() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("ca.pem");
        let refusal = || {
            let Err(error) = transport(&server(Some(file.clone()))) else { panic!("not refused") };
            let error = error.to_string();
            assert!(error.starts_with("`store.clickhouse.ca_file` ("), "{error}");
            error
        };
        assert!(refusal().contains("No such file"));
        fs::write(&file, "nothing\n").expect("written");
        assert!(refusal().contains("no certificate in it"));
        fs::write(&file, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").expect("written");
        assert!(refusal().contains("not a certificate of a CA"));
    }

    #[test]
    fn errors_say_what_to_do() {
        let words = |reason: TlsError| explained(Box::new(io::Error::other(reason)), "db.example").to_string();
        for reason in [CertificateError::UnknownIssuer, CertificateError::BadSignature] {
            let said = words(TlsError::InvalidCertificate(reason));
            assert!(said.contains("db.example") && said.contains("store.clickhouse.ca_file"), "{said}");
        }
        let said = words(TlsError::InvalidCertificate(CertificateError::NotValidForName));
        assert!(said.contains("not made for the name db.example"), "{said}");
        let said = words(TlsError::InvalidCertificate(CertificateError::Expired));
        assert!(said.contains("not accepted") && said.contains("xpired"), "{said}");
        let said = words(TlsError::InvalidMessage(rustls::InvalidMessage::InvalidContentType));
        assert!(said.contains("http://"), "{said}");
        let other = explained(Box::new(io::Error::from(io::ErrorKind::ConnectionRefused)), "db.example");
        assert_eq!(other.to_string(), "connection refused");
    }
}
