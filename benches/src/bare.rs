//! The limit that HTTP sets: a handler that reads the body, answers 201 with as many bytes, and keeps nothing.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use axum::Router;
use axum::body::Bytes;
use axum::http::{StatusCode, header};
use axum::routing::post;
use axum::serve::ListenerExt;
use tokio::net::{TcpListener, TcpSocket};

use crate::Failure;

/// Connections that may wait to be accepted: more than senders, so that none is ever turned away and comes again later.
const BACKLOG: u32 = 4_096;

/// What the handler prints before its address, when it is ready.
pub const READY: &str = "the bare handler listens on ";

/// Serves until it is killed, with answers of `answer_bytes`, on the kind of runtime that the server has.
///
/// # Errors
/// When there is no port.
pub fn run(answer_bytes: usize) -> Result<(), Failure> {
    tokio::runtime::Runtime::new()?.block_on(async {
        let listener = listen()?;
        println!("{READY}{}", listener.local_addr()?);
        serve(listener, answer_bytes).await?;
        Ok(())
    })
}

/// A port of this machine that the system chooses; to be called on a runtime.
///
/// # Errors
/// When there is none.
pub fn listen() -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    socket.listen(BACKLOG)
}

/// Serves on `listener` for ever, with answers of `answer_bytes`.
///
/// # Errors
/// When the listener fails.
pub async fn serve(listener: TcpListener, answer_bytes: usize) -> io::Result<()> {
    let answer = Bytes::from(vec![b' '; answer_bytes]);
    let handler = move |_whole: Bytes| {
        let answer = answer.clone();
        async move { (StatusCode::CREATED, [(header::CONTENT_TYPE, "application/json")], answer) }
    };
    let router = Router::new().route("/v2/collector", post(handler.clone())).route("/v3/collector", post(handler));
    // As the server does it; a stream that cannot be set up fails by itself later.
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, router).await
}
