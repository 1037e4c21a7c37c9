//! Bodies of requests that have to arrive within a time: who sends one byte now and then holds nothing for long.
//!
//! Those of probes have limits of their own, by which large batches may take longer.

use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use axum::extract::Request;
use futures::stream;
use http_body_util::BodyExt as _;
use tokio::time::{Instant, timeout_at};

/// How long the body of a request to API and pages may take, whatever its size.
pub const BODY_TIMEOUT: Duration = Duration::from_mins(1);

/// The same request, whose body breaks off at the end of its time.
pub fn limited(request: Request) -> Request {
    request.map(|body| if body.is_end_stream() { body } else { within(BODY_TIMEOUT, body) })
}

fn within(limit: Duration, body: Body) -> Body {
    let deadline = Instant::now() + limit;
    Body::from_stream(stream::unfold(Some(body), move |body| async move {
        let mut body = body?;
        loop {
            return match timeout_at(deadline, body.frame()).await {
                Err(late) => Some((Err(axum::Error::new(late)), None)),
                Ok(None) => None,
                Ok(Some(Err(error))) => Some((Err(error), None)),
                Ok(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => Some((Ok(data), Some(body))),
                    // Trailers: nobody here reads them.
                    Err(_) => continue,
                },
            };
        }
    }))
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use bytes::Bytes;

    use super::*;

    /// A body of three bytes, each of which comes a third of `total` after the one before.
    fn trickling(total: Duration) -> Body {
        Body::from_stream(stream::unfold(0, move |sent| async move {
            tokio::time::sleep(total / 3).await;
            (sent < 3).then(|| (Ok::<_, axum::Error>(Bytes::from_static(b"x")), sent + 1))
        }))
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_takes_too_long_breaks_off() {
        let read = async |total| to_bytes(limited(Request::new(trickling(total))).into_body(), 10).await;
        assert_eq!(read(BODY_TIMEOUT * 3 / 5).await.expect("in time"), "xxx");
        assert!(read(BODY_TIMEOUT * 2).await.is_err());
    }

    #[test]
    fn a_request_without_a_body_is_left_alone() {
        assert!(limited(Request::new(Body::empty())).body().is_end_stream());
    }
}
