//! What this process knows of stacks: their frames, learned from examples of payloads, and kept in bounded memory.
//!
//! The filters of users are applied to these frames for every question anew. So an edit holds for all crashes at once,
//! and what it takes depends on how many stacks there are, not on how many crashes.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use telemetrics_schema::payload::{self, Backtrace, Filters, Why};

use crate::error::Error;
use crate::filter::RecordFilter;
use crate::questions::stacks::{Example, examples};
use crate::view::View;

/// Stacks that are remembered; when there are more, all are forgotten and learned again as they are asked for.
pub const STACKS_KNOWN_MAX: usize = 200_000;

/// The frames of one stack, from the crash upwards.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stack {
    /// Empty for a stack whose payload is not there any more.
    pub frames: Vec<Frame>,
}

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The function as shown: demangled.
    pub function: Arc<str>,
    /// The module that it is in.
    pub module: Arc<str>,
    /// File and line of one crash with this stack; empty where none is known.
    pub source: Arc<str>,
}

/// The cause of crashes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Guilty {
    /// Its identity: a stable number of function and module.
    pub id: i64,
    /// The function as shown.
    pub function: String,
    /// The module that it is in.
    pub module: String,
}

impl Guilty {
    /// What stands for the cause of crashes whose stack is not known.
    #[must_use]
    pub fn unknown() -> Self {
        Self { id: payload::guilty_id("", ""), function: String::new(), module: String::new() }
    }
}

impl Stack {
    /// The guilty frame: its place, what it stands for, and the rule that chose it.
    #[must_use]
    pub fn guilty(&self, filters: &Filters) -> Option<(usize, Guilty, Why)> {
        let frames = self.frames.iter().map(|frame| (&*frame.function, &*frame.module));
        let guilty = payload::guilty_of(frames, filters)?;
        let found = Guilty {
            id: guilty.id(),
            function: guilty.function.clone().into_owned(),
            module: guilty.module.to_owned(),
        };
        Some((guilty.frame, found, guilty.why))
    }

    /// What crashes with this stack are counted under: its guilty, or [`Guilty::unknown`].
    #[must_use]
    pub fn cause(&self, filters: &Filters) -> Guilty {
        self.guilty(filters).map_or_else(Guilty::unknown, |(_, guilty, _)| guilty)
    }
}

/// See the module. Clones are the same one.
#[derive(Debug, Clone, Default)]
pub struct StackBook(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    stacks: HashMap<i64, Arc<Stack>>,
    names: HashSet<Arc<str>>,
}

impl StackBook {
    /// The stacks with these numbers. What is not known yet is learned from records of the window of `filter`.
    ///
    /// # Errors
    /// As the store's: see [`Error`].
    pub async fn stacks(
        &self,
        view: &View,
        filter: &RecordFilter,
        stack_ids: &[i64],
    ) -> Result<HashMap<i64, Arc<Stack>>, Error> {
        let unknown = {
            let known = self.known();
            stack_ids.iter().copied().filter(|id| !known.stacks.contains_key(id)).collect::<Vec<_>>()
        };
        let mut learned = HashMap::new();
        if !unknown.is_empty() {
            let window = RecordFilter {
                received_from: filter.received_from,
                received_before: filter.received_before,
                ..RecordFilter::default()
            };
            examples(view, &window, &unknown, |example| {
                let stack = Arc::new(self.known().read(&example));
                learned.insert(example.stack_id, stack);
            })
            .await?;
        }
        Ok(self.known().remember(learned, stack_ids))
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn read(&mut self, example: &Example) -> Stack {
        let Some(backtrace) = Backtrace::parse(&example.payload) else { return Stack::default() };
        let frames = backtrace.stack().iter().map(|frame| Frame {
            function: self.name(&payload::shown_name(frame.function)),
            module: self.name(frame.module),
            source: self.name(&source(frame)),
        });
        Stack { frames: frames.collect() }
    }

    /// Names repeat in thousands of stacks.
    fn name(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.names.get(name) {
            return Arc::clone(known);
        }
        let name: Arc<str> = Arc::from(name);
        self.names.insert(Arc::clone(&name));
        name
    }

    /// Keeps what was learned and gives what was asked for.
    fn remember(&mut self, learned: HashMap<i64, Arc<Stack>>, asked: &[i64]) -> HashMap<i64, Arc<Stack>> {
        let of = |known: &Self, id: &i64| learned.get(id).or_else(|| known.stacks.get(id)).cloned().unwrap_or_default();
        let found = asked.iter().map(|id| (*id, of(self, id))).collect();
        if self.stacks.len() + learned.len() > STACKS_KNOWN_MAX {
            *self = Self::default();
        }
        self.stacks.extend(learned.into_iter().take(STACKS_KNOWN_MAX));
        found
    }
}

fn source(frame: &payload::Frame<'_>) -> String {
    match &frame.source {
        Some(source) => match source.line {
            Some(line) => format!("{}:{line}", source.file),
            None => source.file.to_owned(),
        },
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(stack_id: i64, payload: &str) -> Example {
        Example { stack_id, classification: "org.clearlinux/crash/clr".to_owned(), payload: payload.to_owned() }
    }

    #[test]
    fn frames_are_learned_with_their_names_and_sources() {
        let mut known = Known::default();
        let payload = "Process: /bin/x\nPID: 1\n\nBacktrace (TID 1):\n\
                       #0 _ZN3foo3barEv() - [/lib/a.so] - a.cc:7\n#1 main() - [/bin/x]\n#2 _start() - [/bin/x]\n";
        let stack = known.read(&example(1, payload));
        let shown: Vec<_> = stack.frames.iter().map(|f| (&*f.function, &*f.module, &*f.source)).collect();
        assert_eq!(
            shown,
            [("foo::bar()", "/lib/a.so", "a.cc:7"), ("main()", "/bin/x", ""), ("_start()", "/bin/x", "")]
        );
        let (place, guilty, why) = stack.guilty(&Filters::default()).expect("a guilty");
        assert_eq!((place, guilty.function.as_str(), why), (0, "foo::bar()", Why::FirstKnown));
        let filters: Filters = [("foo::bar()", "/lib/a.so")].into_iter().collect();
        assert_eq!(stack.guilty(&filters).expect("a guilty").1.function, "main()");
    }

    #[test]
    fn a_stack_that_cannot_be_learned_has_no_frames() {
        let mut known = Known::default();
        assert_eq!(known.read(&example(1, "no backtrace")).frames, []);
        assert_eq!(known.remember(HashMap::new(), &[5])[&5].frames, []);
        assert!(known.stacks.is_empty());
    }
}
