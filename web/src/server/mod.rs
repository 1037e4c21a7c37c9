//! Accepts connections and serves HTTP/1.1 and HTTP/2 on them, each within limits, until it is told to stop.

mod begin;
mod idle;
mod leftover;
mod reader;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use axum::body::Body;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use crate::peer::{Peer, Proxies};
use crate::request_id::{self, Asked, RequestIds};
use crate::routes::Routes;
use crate::tls::Certificate;
use begin::Begin;
use idle::{OpenRequest, Requests};
use leftover::Leftover;
use reader::{Answer, Reader, Untaken};

/// Connections that are served at the same time; more wait in the listener's backlog.
pub const CONNECTIONS_MAX: usize = 16_384;
/// Files that are open beside connections: journal, store, questions.
const FILES: u64 = 8_192;
/// Connections that the system holds for us until they are accepted; when a fleet comes back after an outage, those above
/// would be dropped and come again only after a second. The system may have a smaller limit (`net.core.somaxconn`).
pub const BACKLOG_CONNECTIONS: u32 = 4_096;
/// How long a client may take to send the head of a request.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a client may take nothing of its answers, where no setting says another time.
pub const STALL_LIMIT: Duration = Duration::from_mins(5);
/// How long a connection may be without a request until its client is asked to open another one for the next.
pub const IDLE_LIMIT: Duration = Duration::from_mins(5);
/// How long requests that are under way may take after the server was told to stop.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the listener rests after an error such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long a connection of HTTP/2 may be silent until it is asked whether its client is still there.
const HTTP2_PING_INTERVAL: Duration = Duration::from_secs(30);
/// How long the answer to that may take.
const HTTP2_PING_TIMEOUT: Duration = Duration::from_secs(20);
/// Classes of status codes, by their first digit from 1 on.
const STATUS_CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];
/// Streams that one HTTP/2 connection may have open.
const HTTP2_STREAMS_MAX: u32 = 256;

/// How many connections there are, and what they were answered; clones count the same ones.
#[derive(Debug, Clone, Default)]
pub struct Connections {
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    open: AtomicU64,
    accepted: AtomicU64,
    /// By the first digit of the status, from 1 on.
    answers: [AtomicU64; STATUS_CLASSES.len()],
}

impl Connections {
    /// Connections that are open now.
    #[must_use]
    pub fn open(&self) -> u64 {
        self.counts.open.load(Relaxed)
    }

    /// Connections that were accepted since the start.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.counts.accepted.load(Relaxed)
    }

    /// Answers since the start, by their class of status.
    pub fn answers(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        STATUS_CLASSES.into_iter().zip(self.counts.answers.iter().map(|count| count.load(Relaxed)))
    }

    fn answered(&self, status: StatusCode) {
        let class = usize::from(status.as_u16() / 100).saturating_sub(1);
        if let Some(count) = self.counts.answers.get(class) {
            count.fetch_add(1, Relaxed);
        }
    }

    /// Counts a connection as open until the guard is dropped.
    fn begin(&self) -> OpenConnection {
        self.counts.accepted.fetch_add(1, Relaxed);
        self.counts.open.fetch_add(1, Relaxed);
        OpenConnection(Arc::clone(&self.counts))
    }
}

struct OpenConnection(Arc<Counts>);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Relaxed);
    }
}

/// Lets the process have as many files open as its connections and its store take, as far as the system allows it: many
/// systems begin with 1,024.
pub fn allow_connections() {
    if let Err(error) = rlimit::increase_nofile_limit(CONNECTIONS_MAX as u64 + FILES) {
        debug!(%error, "the limit of open files stays as it is");
    }
}

/// Binds `address`.
///
/// # Errors
/// What the system says.
pub fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A restart must not wait until the system has forgotten the connections of the last run.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG_CONNECTIONS)
}

/// What connections may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Connections that are served at the same time.
    pub connections: usize,
    /// How long a client may take nothing of its answers.
    pub stall: Duration,
    /// How long a connection may be without a request.
    pub idle: Duration,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self { connections: CONNECTIONS_MAX, stall: STALL_LIMIT, idle: IDLE_LIMIT }
    }
}

/// What stands between a connection and the router.
#[derive(Clone, Default)]
pub struct Front {
    /// The certificate, where TLS is spoken.
    pub certificate: Option<Certificate>,
    /// The proxies that are believed.
    pub proxies: Proxies,
    /// Ids of requests.
    pub ids: RequestIds,
    /// What connections may take.
    pub limits: ConnectionLimits,
}

/// What every connection is served with.
struct Serving {
    front: Front,
    routes: Routes,
    counted: Connections,
    protocol: Builder<TokioExecutor>,
    stop: CancellationToken,
}

/// Serves `routes` on `listener` until `stop` is cancelled; requests that have begun are finished.
pub async fn run(listener: TcpListener, front: Front, routes: Routes, counted: Connections, stop: CancellationToken) {
    let connections = Arc::new(Semaphore::new(front.limits.connections));
    let tasks = TaskTracker::new();
    let (of_connections, protocol) = (stop.clone(), protocol());
    let serving = Serving { front, routes, counted: counted.clone(), protocol, stop: of_connections };
    let serving = Arc::new(serving);
    while let Some((stream, from, permit)) = next(&listener, &connections, &stop).await {
        let held = (permit, counted.begin());
        tasks.spawn(serve(stream, from, Arc::clone(&serving), held));
    }
    drop(listener);
    tasks.close();
    if tokio::time::timeout(DRAIN_TIMEOUT, tasks.wait()).await.is_err() {
        warn!(limit_s = DRAIN_TIMEOUT.as_secs(), "connections were cut off before they ended");
    }
}

fn protocol() -> Builder<TokioExecutor> {
    let mut protocol = Builder::new(TokioExecutor::new());
    protocol.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    let mut http2 = protocol.http2();
    http2.timer(TokioTimer::new()).max_concurrent_streams(HTTP2_STREAMS_MAX);
    http2.keep_alive_interval(HTTP2_PING_INTERVAL).keep_alive_timeout(HTTP2_PING_TIMEOUT);
    protocol
}

/// The next connection together with its place among those that are served; `None` when it is time to stop.
async fn next(
    listener: &TcpListener,
    connections: &Arc<Semaphore>,
    stop: &CancellationToken,
) -> Option<(TcpStream, IpAddr, OwnedSemaphorePermit)> {
    let accepted = async {
        loop {
            let permit = Arc::clone(connections).acquire_owned().await.ok()?;
            match listener.accept().await {
                Ok((stream, from)) => return Some((stream, from.ip().to_canonical(), permit)),
                Err(error) => {
                    warn!(%error, "a connection was not accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    };
    tokio::select! {
        connection = accepted => connection,
        () = stop.cancelled() => None,
    }
}

async fn serve(stream: TcpStream, from: IpAddr, serving: Arc<Serving>, _held: (OwnedSemaphorePermit, OpenConnection)) {
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, "a connection without TCP_NODELAY");
    }
    let Some(certificate) = &serving.front.certificate else {
        return connection(stream, Peer { address: from, is_encrypted: None }, serving).await;
    };
    match certificate.accept(stream).await {
        Ok(stream) => {
            connection(stream, Peer { address: from, is_encrypted: Some(true) }, serving).await;
        }
        Err(error) => debug!(%error, "a handshake failed"),
    }
}

async fn connection<S>(stream: S, peer: Peer, serving: Arc<Serving>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (untaken, requests, limits) = (Untaken::default(), Requests::default(), serving.front.limits);
    let (of_connection, of_answers, begun) = (Arc::clone(&serving), untaken.clone(), requests.clone());
    let service = service_fn(move |request: Request<Incoming>| {
        answer(Arc::clone(&of_connection), peer, of_answers.clone(), begun.begin(), request)
    });
    let stream = Reader::within(limits.stall, untaken.clone(), Begin::within(HEADER_TIMEOUT, stream));
    let stream = TokioIo::new(stream);
    let connection = serving.protocol.serve_connection(stream, service).into_owned();
    if let Err(error) = idle::drive(connection, requests, untaken, limits.idle, serving.stop.clone()).await {
        debug!(%error, "a connection ended early");
    }
}

async fn answer(
    serving: Arc<Serving>,
    other_end: Peer,
    untaken: Untaken,
    open: OpenRequest,
    mut request: Request<Incoming>,
) -> Result<Response<Answer>, Infallible> {
    let Front { proxies, ids, .. } = &serving.front;
    let from = proxies.behind(other_end, request.headers());
    request.extensions_mut().insert(from);
    let request = Leftover::of(request).map(Body::new);
    let response = if request_id::is_wanted(&request) {
        let id = ids.of(request.headers(), proxies.trust(other_end));
        let asked = Asked::of(&request, from);
        // Apart, because each open connection has room for what is larger of both ways.
        Box::pin(request_id::under(id, asked, serving.routes.answer(request))).await
    } else {
        serving.routes.answer(request).await
    };
    serving.counted.answered(response.status());
    Ok(response.map(|body| untaken.of(body, open)))
}
