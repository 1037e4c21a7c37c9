//! The threads on which records become files, and files are looked after: apart from those that answer senders and questions.
//!
//! What writes a batch takes tens of megabytes for a moment, and an allocator keeps such memory for the thread that used
//! it. In the pool of the whole process each batch would find another thread, and each would keep its share; so there
//! are few threads, and always the same.

use std::io;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;

/// Threads for work that blocks; those that are not needed end. Readers of the table's log hold one while they wait for
/// another one that reads, the drain and the maintenance at once, and the worker may take one: with four in all nothing
/// would be left, and a fifth that waits would stop all.
const BLOCKING_THREADS: usize = 8;

/// See the module; its tasks are cut off when it is dropped.
pub(crate) struct Workshop {
    handle: Handle,
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
}

impl Workshop {
    /// Starts the threads.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn open() -> io::Result<Self> {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(1).max_blocking_threads(BLOCKING_THREADS).thread_name("drain").enable_all();
        let runtime = builder.build()?;
        Ok(Self { handle: runtime.handle().clone(), runtime: Some(runtime) })
    }

    /// Runs a task, and what it spawns, on these threads.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
        self.handle.spawn(task)
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Whoever drops it may be a task, which must not wait for threads.
            runtime.shutdown_background();
        }
    }
}
