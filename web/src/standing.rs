//! Answers that take long, each made once for everybody who asks within a while.
//!
//! An answer stands until it is as old as was said, or until what it was made of besides records has another number. One
//! that is made in no time does not stand at all: with few records everybody sees the last of them. Whoever asks in the
//! second half of that time has the next one made in the background, so that while people look nobody waits. Nothing is
//! made while nobody asks. Where several wait for one answer, one of them makes it; when that fails the others try at
//! once, each for himself: one after the other they would wait for as many failures.

use std::collections::HashMap;
use std::fmt::Display;
use std::future::Future;
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use telemetrics_schema::TimestampUs;
use tracing::{Instrument as _, warn};

/// Most answers that are kept.
const ANSWERS_MAX: usize = 16;

/// See the module; `K` is what was asked, `T` the answer.
#[derive(Debug)]
pub(crate) struct Standing<K, T> {
    cells: Arc<Mutex<HashMap<K, Arc<Cell<T>>>>>,
    max_age_us: i64,
    worth: Duration,
}

impl<K, T> Clone for Standing<K, T> {
    fn clone(&self) -> Self {
        Self { cells: Arc::clone(&self.cells), max_age_us: self.max_age_us, worth: self.worth }
    }
}

/// What is known about one question.
#[derive(Debug)]
struct Cell<T> {
    held: Mutex<Option<Held<T>>>,
    /// Whether the last answer was made in no time: then nobody waits for another one's.
    is_quick: AtomicBool,
    /// Locked by who makes an answer that others wait for.
    making: Arc<tokio::sync::Mutex<()>>,
    /// Counts the answers that others waited for and that could not be made.
    failures: AtomicU64,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Held<T> {
    /// The instant it is of.
    pub(crate) made_at: TimestampUs,
    /// The number of what it was made of besides records.
    number: u64,
    /// What it says.
    pub(crate) answer: Arc<T>,
}

impl<T> Clone for Held<T> {
    fn clone(&self) -> Self {
        Self { made_at: self.made_at, number: self.number, answer: Arc::clone(&self.answer) }
    }
}

impl<K, T> Standing<K, T>
where
    K: Eq + Hash + Clone,
    T: Send + Sync + 'static,
{
    /// Answers that take as long as `worth` stand for `max_age`; without an age, each is made for who asks.
    #[must_use]
    pub(crate) fn new(max_age: Duration, worth: Duration) -> Self {
        let max_age_us = i64::try_from(max_age.as_micros()).unwrap_or(i64::MAX);
        Self { cells: Arc::default(), max_age_us, worth }
    }

    /// The answer that stands at `now`, else the one that `make` gives; `number` tells what it is made of besides records.
    ///
    /// # Errors
    /// What `make` gives; who asks next tries again.
    pub(crate) async fn get<E, F>(
        &self,
        asked: &K,
        now: TimestampUs,
        number: u64,
        make: impl FnOnce() -> F,
    ) -> Result<Held<T>, E>
    where
        E: Display,
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        if self.max_age_us == 0 {
            return Ok(Held { made_at: now, number, answer: Arc::new(make().await?) });
        }
        let cell = self.cell(asked);
        if let Some(held) = cell.standing(now, number, self.max_age_us) {
            let is_old = held.age_us(now) >= self.max_age_us / 2;
            // Where it is locked, the next one is being made.
            if is_old && let Ok(making) = Arc::clone(&cell.making).try_lock_owned() {
                let next = make();
                let making_it = async move {
                    match next.await {
                        Ok(answer) => cell.hold(Held { made_at: now, number, answer: Arc::new(answer) }),
                        // The one that stands goes on until it is too old; who asks then is told why there is no other.
                        Err(error) => warn!(%error, "an answer that pages show could not be made anew"),
                    }
                    drop(making);
                };
                tokio::spawn(making_it.in_current_span());
            }
            return Ok(held);
        }
        let is_quick = cell.is_quick.load(Ordering::Relaxed);
        let failures = cell.failures.load(Ordering::Relaxed);
        let mut making = if is_quick { None } else { Some(cell.making.lock().await) };
        if let Some(held) = cell.standing(now, number, self.max_age_us) {
            return Ok(held);
        }
        if cell.failures.load(Ordering::Relaxed) != failures {
            drop(making.take());
        }
        let begun = Instant::now();
        let answer = make().await.inspect_err(|_| {
            cell.failures.fetch_add(1, Ordering::Relaxed);
        })?;
        let held = Held { made_at: now, number, answer: Arc::new(answer) };
        let is_quick = begun.elapsed() < self.worth;
        cell.is_quick.store(is_quick, Ordering::Relaxed);
        if !is_quick {
            cell.hold(held.clone());
        }
        Ok(held)
    }

    /// Whether any answer stands.
    pub(crate) fn keeps(&self) -> bool {
        self.max_age_us > 0
    }

    /// Forgets all answers, for when what they were made by is another.
    pub(crate) fn forget(&self) {
        self.cells.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The cell of what is asked, in place of another one where there are too many.
    fn cell(&self, asked: &K) -> Arc<Cell<T>> {
        let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        if !cells.contains_key(asked) && cells.len() >= ANSWERS_MAX {
            // One that is being made has nothing yet, and somebody who waits for it.
            let worth = |cell: &Cell<T>| (cell.making.try_lock().is_err(), cell.made_at());
            let oldest = cells.iter().min_by_key(|(_, cell)| worth(cell)).map(|(asked, _)| asked.clone());
            oldest.map(|asked| cells.remove(&asked));
        }
        Arc::clone(cells.entry(asked.clone()).or_default())
    }
}

impl<T> Default for Cell<T> {
    fn default() -> Self {
        Self {
            held: Mutex::new(None),
            is_quick: AtomicBool::new(false),
            making: Arc::default(),
            failures: AtomicU64::new(0),
        }
    }
}

impl<T> Cell<T> {
    fn standing(&self, now: TimestampUs, number: u64, max_age_us: i64) -> Option<Held<T>> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.clone().filter(|held| held.number == number && held.age_us(now) < max_age_us)
    }

    fn hold(&self, held: Held<T>) {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = Some(held);
    }

    fn made_at(&self) -> Option<TimestampUs> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|held| held.made_at)
    }
}

impl<T> Held<T> {
    /// A clock that was put back makes answers of the future; they do not stand for longer than others.
    fn age_us(&self, now: TimestampUs) -> i64 {
        now.0.abs_diff(self.made_at.0).try_into().unwrap_or(i64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use telemetrics_schema::time::US_PER_S;
    use tokio::sync::Notify;

    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    /// Says how often it was asked.
    #[derive(Clone, Default)]
    struct Source {
        asked: Arc<AtomicUsize>,
        told: Arc<Notify>,
    }

    impl Source {
        fn make(&self) -> impl Future<Output = Result<usize, String>> + Send + 'static {
            let source = self.clone();
            async move {
                let answer = source.asked.fetch_add(1, Ordering::SeqCst) + 1;
                source.told.notify_one();
                Ok(answer)
            }
        }
    }

    async fn ask(standing: &Standing<&'static str, usize>, source: &Source, s: i64, number: u64) -> usize {
        let held = standing.get(&"a", TimestampUs(s * US_PER_S), number, || source.make()).await;
        *held.expect("an answer").answer
    }

    #[tokio::test]
    async fn an_answer_stands_for_its_time_and_the_next_one_is_made_meanwhile() {
        let (standing, source) = (Standing::new(MINUTE, Duration::ZERO), Source::default());
        assert_eq!(ask(&standing, &source, 0, 1).await, 1);
        assert_eq!(ask(&standing, &source, 29, 1).await, 1);
        source.told.notified().await;
        assert_eq!(source.asked.load(Ordering::SeqCst), 1, "the first half of its time nobody makes another");
        assert_eq!(ask(&standing, &source, 59, 1).await, 1, "who asks does not wait");
        source.told.notified().await;
        // The task that made it has yet to put it down.
        while ask(&standing, &source, 59, 1).await == 1 {
            tokio::task::yield_now().await;
        }
        assert_eq!(ask(&standing, &source, 60, 1).await, 2);
        assert_eq!(source.asked.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn an_answer_ends_with_its_time_or_with_what_it_was_made_of() {
        let (standing, source) = (Standing::new(MINUTE, Duration::ZERO), Source::default());
        assert_eq!(ask(&standing, &source, 100, 1).await, 1);
        assert_eq!(ask(&standing, &source, 100, 2).await, 2);
        assert_eq!(ask(&standing, &source, 160, 2).await, 3);
        assert_eq!(ask(&standing, &source, 90, 2).await, 4, "the clock was put back by more than its time");
    }

    #[tokio::test]
    async fn who_asks_at_the_same_time_gets_one_answer_and_after_a_failure_another_one_is_made() {
        let (standing, source) = (Standing::new(MINUTE, Duration::ZERO), Source::default());
        let failed = standing.get(&"a", TimestampUs(0), 1, || async { Err("no store") }).await;
        assert_eq!(failed.err(), Some("no store"));
        let both = tokio::join!(ask(&standing, &source, 0, 1), ask(&standing, &source, 0, 1));
        assert_eq!(both, (1, 1));
    }

    #[tokio::test]
    async fn who_waited_for_a_failure_does_not_wait_for_others_again() {
        let (standing, barrier) = (Standing::<_, usize>::new(MINUTE, Duration::ZERO), tokio::sync::Barrier::new(2));
        let (barrier, first) = (Arc::new(barrier), Arc::new(AtomicUsize::new(0)));
        // The first one fails; the two who waited can only end together.
        let fail = || {
            let (barrier, first) = (Arc::clone(&barrier), Arc::clone(&first));
            async move {
                if first.fetch_add(1, Ordering::SeqCst) > 0 {
                    barrier.wait().await;
                }
                tokio::task::yield_now().await;
                Err("no store")
            }
        };
        let ask = || standing.get(&"a", TimestampUs(0), 1, fail);
        let all = tokio::join!(ask(), ask(), ask());
        assert!(all.0.is_err() && all.1.is_err() && all.2.is_err());
    }

    #[tokio::test]
    async fn what_is_forgotten_is_made_anew() {
        let (standing, source) = (Standing::new(MINUTE, Duration::ZERO), Source::default());
        assert_eq!(ask(&standing, &source, 0, 1).await, 1);
        standing.forget();
        assert_eq!(ask(&standing, &source, 0, 1).await, 2);
    }

    #[tokio::test]
    async fn what_is_being_made_is_not_put_out() {
        let standing: Standing<usize, usize> = Standing::new(MINUTE, Duration::ZERO);
        for asked in 0..ANSWERS_MAX - 1 {
            let now = TimestampUs(i64::try_from(asked).expect("small"));
            assert!(standing.get(&asked, now, 1, || async move { Ok::<_, String>(asked) }).await.is_ok());
        }
        let told = Arc::new(Notify::new());
        let make = || {
            let told = Arc::clone(&told);
            async move {
                told.notified().await;
                Ok::<_, String>(1)
            }
        };
        let making = standing.get(&100, TimestampUs(0), 1, make);
        let another = async {
            let held = standing.get(&101, TimestampUs(0), 1, || async { Ok::<_, String>(2) }).await;
            told.notify_one();
            held
        };
        let (held, other) = tokio::join!(making, another);
        assert!(held.is_ok() && other.is_ok());
        let kept = standing.cells.lock().expect("cells");
        assert!(kept.contains_key(&100) && !kept.contains_key(&0), "{:?}", kept.keys());
    }

    #[tokio::test]
    async fn what_is_made_in_no_time_does_not_stand() {
        let (standing, source) = (Standing::new(MINUTE, MINUTE), Source::default());
        assert_eq!((ask(&standing, &source, 0, 1).await, ask(&standing, &source, 0, 1).await), (1, 2));
        // Both are under way at once: the first one cannot end before the second one.
        let barrier = Arc::new(tokio::sync::Barrier::new(2));
        let meet = || {
            let barrier = Arc::clone(&barrier);
            async move { Ok::<_, String>(usize::from(barrier.wait().await.is_leader())) }
        };
        let both =
            tokio::join!(standing.get(&"a", TimestampUs(0), 1, meet), standing.get(&"a", TimestampUs(0), 1, meet));
        assert!(both.0.is_ok() && both.1.is_ok());
    }

    #[tokio::test]
    async fn without_an_age_each_answer_is_made_for_who_asks() {
        let (standing, source) = (Standing::new(Duration::ZERO, Duration::ZERO), Source::default());
        assert_eq!((ask(&standing, &source, 0, 1).await, ask(&standing, &source, 0, 1).await), (1, 2));
    }

    #[tokio::test]
    async fn not_more_than_16_answers_are_kept() {
        let standing: Standing<usize, usize> = Standing::new(MINUTE, Duration::ZERO);
        for asked in 0..=ANSWERS_MAX {
            let now = TimestampUs(i64::try_from(asked).expect("few"));
            let held = standing.get(&asked, now, 1, || async move { Ok::<_, String>(asked) }).await;
            assert_eq!(*held.expect("an answer").answer, asked);
        }
        let kept = standing.cells.lock().expect("cells");
        assert!(kept.len() == ANSWERS_MAX && !kept.contains_key(&0), "{:?}", kept.keys());
    }
}
