//! The limit that HTTP sets: a handler that reads the body, answers 201 with as many bytes, and keeps nothing.

use std::io;

use axum::Router;
use axum::body::Bytes;
use axum::http::{StatusCode, header};
use axum::routing::post;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;

use crate::Failure;

/// What the handler prints before its address, when it is ready.
pub const READY: &str = "the bare handler listens on ";

/// Serves until it is killed, with answers of `answer_bytes`, on the kind of runtime that the server has.
///
/// # Errors
/// When there is no port.
pub fn run(answer_bytes: usize) -> Result<(), Failure> {
    tokio::runtime::Runtime::new()?.block_on(async {
        let listener = listen().await?;
        println!("{READY}{}", listener.local_addr()?);
        serve(listener, answer_bytes).await?;
        Ok(())
    })
}

/// A port of this machine that the system chooses.
///
/// # Errors
/// When there is none.
pub async fn listen() -> io::Result<TcpListener> {
    TcpListener::bind("127.0.0.1:0").await
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
    let routes = ["/", "/v2/collector", "/v3/collector"];
    let router = routes.iter().fold(Router::new(), |router, route| router.route(route, post(handler.clone())));
    // As the server does it; a stream that cannot be set up fails by itself later.
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, router).await
}
