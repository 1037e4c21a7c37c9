//! The threads on which answers are read and written, apart from those that take records: however many exports run, a
//! probe is answered as ever.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use telemetrics_analytics::Error;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tracing::Instrument as _;

use super::body::Deadline;
use super::counts::{AnswerCounts, Outcome, Present, Tally};
use crate::aside::step_back;
use crate::error::WebError;

/// Exports that run at the same time; each takes some tens of megabytes. Others wait for their turn.
pub const EXPORTS_MAX: usize = 4;
/// How long an export waits for its turn.
const TURN_LIMIT: Duration = Duration::from_mins(2);
/// How long a client may take nothing of its answer before it counts as gone.
const STALL_LIMIT: Duration = Duration::from_mins(5);
/// Threads that read files. Reading many at once is no faster, and the allocator keeps memory for each of them.
const BLOCKING_THREADS: usize = 4;

/// Stack of a thread for statements: walking over one takes some kilobytes for each of its levels. What no statement
/// needed takes no memory.
const STATEMENT_STACK_BYTES: usize = 128 << 20;

/// See the module; its jobs are cut off when it is dropped.
pub struct Workers {
    handle: Handle,
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
    threads: usize,
    turns: Arc<Semaphore>,
    /// What waits when all turns are taken.
    waiting: String,
    turn_limit: Duration,
    stall_limit: Duration,
    /// Counts those that take turns.
    tally: Tally,
}

/// The right to run an export, until it is dropped.
#[derive(Debug)]
pub struct Slot {
    _permit: OwnedSemaphorePermit,
    _running: Present,
    tally: Tally,
}

impl Slot {
    pub(super) fn tally(&self) -> Tally {
        self.tally.clone()
    }
}

impl Workers {
    /// Starts a thread for each processor.
    ///
    /// # Errors
    /// What the system says.
    pub fn start() -> io::Result<Self> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(threads).thread_name("answers").on_thread_start(step_back);
        let mut workers = Self::built(builder, threads, EXPORTS_MAX)?;
        workers.waiting = format!("{EXPORTS_MAX} exports run, and none of them ended in time");
        (workers.turn_limit, workers.stall_limit) = (TURN_LIMIT, STALL_LIMIT);
        Ok(workers)
    }

    /// Starts threads for statements of users, of which `at_once` have their turn and others wait for at most `limit`,
    /// as long as one of them may take.
    ///
    /// # Errors
    /// What the system says.
    pub fn for_statements(threads: usize, at_once: usize, limit: Duration) -> io::Result<Self> {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(threads).thread_name("sql").on_thread_start(step_back);
        builder.thread_stack_size(STATEMENT_STACK_BYTES);
        let mut workers = Self::built(builder, threads, at_once)?;
        workers.waiting = format!("{at_once} statements run, and none of them ended in time");
        (workers.turn_limit, workers.stall_limit) = (limit, limit);
        Ok(workers)
    }

    /// The same for readers who count as gone when they take nothing for `limit`.
    #[must_use]
    pub const fn for_readers(mut self, limit: Duration) -> Self {
        self.stall_limit = limit;
        self
    }

    fn built(mut builder: Builder, threads: usize, turns: usize) -> io::Result<Self> {
        let runtime = builder.max_blocking_threads(BLOCKING_THREADS).enable_all().build()?;
        Ok(Self {
            handle: runtime.handle().clone(),
            runtime: Some(runtime),
            threads,
            turns: Arc::new(Semaphore::new(turns)),
            waiting: String::new(),
            turn_limit: Duration::ZERO,
            stall_limit: Duration::ZERO,
            tally: Tally::default(),
        })
    }

    /// Waits until an export or a statement may run.
    ///
    /// # Errors
    /// [`WebError::Unavailable`] when others take too long.
    pub async fn slot(&self) -> Result<Slot, WebError> {
        let _waiting = self.tally.waiting();
        let permit = tokio::time::timeout(self.turn_limit, Arc::clone(&self.turns).acquire_owned()).await;
        let Ok(Ok(permit)) = permit else {
            self.tally.ended(Outcome::NoTurn);
            return Err(WebError::Unavailable(self.waiting.clone()));
        };
        Ok(Slot { _permit: permit, _running: self.tally.running(), tally: self.tally.clone() })
    }

    /// What is counted of those that take turns.
    #[must_use]
    pub fn counts(&self) -> AnswerCounts {
        self.tally.read()
    }

    /// Does `job` on these threads, holding `slot`, until its end, the deadline, or until nobody waits any more.
    ///
    /// # Errors
    /// What the job fails with, and [`Error::TooMuch`] at the end of the time.
    pub async fn run<T: Send + 'static>(
        &self,
        job: impl Future<Output = Result<T, WebError>> + Send + 'static,
        slot: Option<Slot>,
        deadline: Deadline,
    ) -> Result<T, WebError> {
        let (mut sender, receiver) = oneshot::channel();
        self.spawn(async move {
            let outcome = tokio::select! {
                () = sender.closed() => None,
                outcome = job => Some(outcome),
            };
            if let Some(slot) = slot {
                slot.tally.ended(Outcome::of_job(outcome.as_ref()));
            }
            if let Some(outcome) = outcome {
                let _nobody_wants_it = sender.send(outcome);
            }
        });
        match deadline.within(receiver).await? {
            Ok(outcome) => outcome,
            Err(_) => Err(WebError::Question(Error::Internal("a job ended without an answer".to_owned()))),
        }
    }

    pub(super) fn spawn(&self, job: impl Future<Output = ()> + Send + 'static) {
        self.handle.spawn(job.in_current_span());
    }

    pub(super) const fn threads(&self) -> usize {
        self.threads
    }

    pub(super) const fn stall_limit(&self) -> Duration {
        self.stall_limit
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Whoever drops it may be a task, which must not wait for threads.
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn so_many_exports_run_and_no_more() {
        let mut workers = Workers::start().expect("threads");
        workers.turn_limit = Duration::ZERO;
        let mut slots = Vec::new();
        for _ in 0..EXPORTS_MAX {
            slots.push(workers.slot().await.expect("a slot"));
        }
        assert!(matches!(workers.slot().await, Err(WebError::Unavailable(_))));
        let counts = workers.counts();
        assert_eq!((counts.running, counts.waiting), (EXPORTS_MAX as u64, 0));
        assert!(counts.outcomes().any(|outcome| outcome == ("no_turn", 1)));
        slots.pop();
        workers.slot().await.expect("a slot that is free again");
    }

    #[tokio::test]
    async fn a_job_gives_its_answer_and_its_slot_back() {
        let workers = Workers::start().expect("threads");
        let slot = workers.slot().await.expect("a slot");
        assert_eq!(workers.run(async { Ok(7) }, Some(slot), Deadline::none()).await.expect("an answer"), 7);
        assert_eq!(workers.turns.available_permits(), EXPORTS_MAX);
        let fails = async { Err::<(), _>(WebError::Impossible("no".to_owned())) };
        assert!(matches!(workers.run(fails, None, Deadline::none()).await, Err(WebError::Impossible(_))));
    }

    #[tokio::test]
    async fn a_job_without_an_end_is_dropped_at_the_end_of_its_time() {
        let workers = Workers::start().expect("threads");
        let held = Arc::new(());
        let job = {
            let held = Arc::clone(&held);
            async move {
                std::future::pending::<()>().await;
                drop(held);
                Ok(())
            }
        };
        let late = workers.run(job, None, Deadline::after(Duration::ZERO)).await;
        assert!(matches!(late, Err(WebError::Question(Error::TooMuch(_)))), "{late:?}");
        while Arc::strong_count(&held) > 1 {
            tokio::task::yield_now().await;
        }
    }
}
