//! The threads on which questions are answered: apart from those that take records, and behind them where processors are
//! scarce, so that a probe is answered as ever however many people look.

use std::io;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use telemetrics_analytics::Error;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument as _;

use crate::error::WebError;
use crate::pages::tabs;
use crate::request_id;

/// Niceness of the threads: beside a thread without any, such a one gets a tenth of a processor.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;
/// Threads that read files.
const BLOCKING_THREADS: usize = 64;

/// See the module; what runs is cut off when it is dropped.
pub(crate) struct Aside {
    handle: Handle,
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
}

impl Aside {
    /// Starts a thread for each processor.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn start() -> io::Result<Self> {
        let mut builder = Builder::new_multi_thread();
        builder.max_blocking_threads(BLOCKING_THREADS).thread_name("questions").on_thread_start(step_back).enable_all();
        let runtime = builder.build()?;
        Ok(Self { handle: runtime.handle().clone(), runtime: Some(runtime) })
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Whoever drops it may be a task, which must not wait for threads.
            runtime.shutdown_background();
        }
    }
}

/// Answers a request on those threads, unless its client goes away. What the task knows of the request, the one there
/// knows too.
pub(crate) async fn answer(State(aside): State<Arc<Aside>>, request: Request, next: Next) -> Response {
    let answering = async move { next.run(request).await };
    let answering = request_id::carried(tabs::carried(answering)).in_current_span();
    let answer = aside.handle.spawn(answering);
    AbortOnDropHandle::new(answer).await.unwrap_or_else(|error| {
        WebError::Question(Error::Internal(format!("a request ended without an answer: {error}"))).into_response()
    })
}

/// Puts the calling thread behind others. Where the system does not let it, questions are as important as records.
#[cfg(target_os = "linux")]
#[allow(unsafe_code)] // nothing in the standard library speaks of priorities
pub(crate) fn step_back() {
    // SAFETY: it takes numbers and touches no memory; 0 is the calling thread.
    let _outcome = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICENESS) };
}

/// Elsewhere it would put the whole process behind others.
#[cfg(not(target_os = "linux"))]
pub(crate) fn step_back() {}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::Router;
    use axum::body::Body;
    use axum::http::HeaderMap;
    use axum::middleware::from_fn_with_state;
    use axum::routing::get;
    use tower::ServiceExt as _;

    use super::*;
    use crate::request_id::RequestIds;

    /// The niceness of the thread that asks, as the system says it.
    fn niceness() -> String {
        let line = std::fs::read_to_string("/proc/thread-self/stat").expect("a line");
        let behind_name = line.rsplit(") ").next().expect("fields");
        behind_name.split(' ').nth(16).expect("a niceness").to_owned()
    }

    fn router(aside: &Arc<Aside>) -> Router {
        let blocking = async || tokio::task::spawn_blocking(niceness).await.expect("a niceness");
        let router = Router::new().route("/", get(async || niceness())).route("/blocking", get(blocking));
        let router = router.route("/panics", get(async || -> Response { panic!("as a fault would") }));
        router.layer(from_fn_with_state(Arc::clone(aside), answer))
    }

    async fn ask(router: Router, path: &str) -> (u16, String) {
        let request = Request::get(path).body(Body::empty()).expect("a request");
        let answer = router.oneshot(request).await.expect("an answer");
        let status = answer.status().as_u16();
        let body = axum::body::to_bytes(answer.into_body(), usize::MAX).await.expect("a body");
        (status, String::from_utf8(body.to_vec()).expect("a text"))
    }

    #[tokio::test]
    async fn questions_stand_behind_and_others_do_not() {
        let (own, aside) = (niceness(), Arc::new(Aside::start().expect("threads")));
        assert_eq!(ask(router(&aside), "/").await, (200, "10".to_owned()));
        assert_eq!(ask(router(&aside), "/blocking").await, (200, "10".to_owned()));
        assert_eq!(niceness(), own);
    }

    #[tokio::test]
    async fn what_is_known_of_a_request_is_known_there() {
        let aside = Arc::new(Aside::start().expect("threads"));
        let told = async || format!("{:?}", request_id::current().map(|id| id.to_string()));
        let router = Router::new().route("/", get(told)).layer(from_fn_with_state(Arc::clone(&aside), answer));
        assert_eq!(ask(router.clone(), "/").await.1, "None");
        let id = RequestIds::default().of(&HeaderMap::new(), false);
        let asked = Request::get("/").body(Body::empty()).expect("a request");
        let answered = async { router.oneshot(asked).await.expect("an answer") };
        let answer = request_id::under(id.clone(), None, answered).await;
        let body = axum::body::to_bytes(answer.into_body(), usize::MAX).await.expect("a body");
        assert_eq!(body, format!("{:?}", Some(id.to_string())).as_bytes());
    }

    #[tokio::test]
    async fn a_fault_is_answered() {
        let aside = Arc::new(Aside::start().expect("threads"));
        assert_eq!(ask(router(&aside), "/panics").await.0, 500);
    }

    #[tokio::test]
    async fn who_goes_away_stops_what_he_asked_for() {
        let aside = Arc::new(Aside::start().expect("threads"));
        let held = Arc::new(());
        let ours = Arc::clone(&held);
        let endless = move || {
            let held = Arc::clone(&ours);
            async move {
                std::future::pending::<()>().await;
                drop(held);
            }
        };
        let router = Router::new().route("/", get(endless)).layer(from_fn_with_state(Arc::clone(&aside), answer));
        let waiting = tokio::time::timeout(Duration::from_millis(10), ask(router, "/")).await;
        assert!(waiting.is_err());
        while Arc::strong_count(&held) > 1 {
            tokio::task::yield_now().await;
        }
    }
}
