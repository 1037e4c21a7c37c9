//! Asks a server over HTTP, or HTTPS with the certificates that the system trusts.

use axum::http::{HeaderValue, Method, Request, StatusCode, header};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use url::Url;

use crate::serve::StartError;
use crate::transport::tls_builder;

/// Longest explanation of a server that is repeated, in bytes.
const EXPLANATION_BYTES_MAX: u64 = 64 << 10;

/// A client that shows the token it was made with.
pub(crate) struct Client {
    http: hyper_util::client::legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    authorization: Option<HeaderValue>,
}

/// The body of an answer, piece by piece.
pub(super) struct Answer(Incoming);

impl Client {
    /// A client that shows the token, where there is one.
    ///
    /// # Errors
    /// When it cannot be one.
    pub(super) fn new(token: Option<&str>) -> Result<Self, StartError> {
        let authorization = token.map(authorization).transpose()?;
        let builder = tls_builder()?;
        // A system without certificates can still ask over HTTP.
        let tls = match builder.clone().with_native_roots() {
            Ok(builder) => builder.with_no_client_auth(),
            Err(_) => builder.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth(),
        };
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().build();
        let http = hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build(connector);
        Ok(Self { http, authorization })
    }

    pub(super) async fn get(&self, url: &Url) -> Result<Answer, StartError> {
        self.ask(Method::GET, url, String::new()).await
    }

    pub(super) async fn post(&self, url: &Url, text: String) -> Result<Answer, StartError> {
        self.ask(Method::POST, url, text).await
    }

    /// # Errors
    /// Why there is no answer, or what the server says in one that is none.
    async fn ask(&self, method: Method, url: &Url, text: String) -> Result<Answer, StartError> {
        let mut request = Request::builder().method(method).uri(url.as_str());
        if let Some(value) = &self.authorization {
            request = request.header(header::AUTHORIZATION, value);
        }
        let request = request.header(header::CONTENT_TYPE, "text/plain; charset=utf-8").body(Full::from(text))?;
        let host = url.host_str().unwrap_or_default().to_owned();
        let answer = self.http.request(request).await.map_err(|error| format!("{host} does not answer: {error}"))?;
        let status = answer.status();
        let mut answer = Answer(answer.into_body());
        if status == StatusCode::OK {
            return Ok(answer);
        }
        let said = answer.whole(EXPLANATION_BYTES_MAX).await.unwrap_or_default();
        let said: serde_json::Value = serde_json::from_slice(&said).unwrap_or_default();
        let message = said["message"].as_str().map_or_else(|| format!("the server answers {status}"), str::to_owned);
        Err(message.into())
    }
}

fn authorization(token: &str) -> Result<HeaderValue, StartError> {
    let value = HeaderValue::try_from(format!("Bearer {token}"));
    let mut value = value.map_err(|_| "what should be a token has characters that no token has")?;
    value.set_sensitive(true);
    Ok(value)
}

impl Answer {
    /// The next piece; `None` at its end.
    ///
    /// # Errors
    /// When it was broken off.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, StartError> {
        loop {
            match self.0.frame().await {
                None => return Ok(None),
                Some(Err(error)) => return Err(format!("the answer was broken off: {error}").into()),
                Some(Ok(frame)) => {
                    if let Ok(bytes) = frame.into_data() {
                        return Ok(Some(bytes));
                    }
                }
            }
        }
    }

    /// All of it, where it has at most so many bytes.
    ///
    /// # Errors
    /// When it is longer, or was broken off.
    pub(super) async fn whole(&mut self, bytes_max: u64) -> Result<Vec<u8>, StartError> {
        let mut whole = Vec::new();
        while let Some(piece) = self.next().await? {
            whole.extend_from_slice(&piece);
            if whole.len() as u64 > bytes_max {
                return Err(format!(
                    "the answer has more than {bytes_max} bytes; write it into a file in another format"
                )
                .into());
            }
        }
        Ok(whole)
    }
}
