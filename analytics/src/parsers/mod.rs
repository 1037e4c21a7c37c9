//! Payload parsers: expressions in SQL over a record, by its class, whose values become the record's attributes.
//!
//! They are applied when records are stored or shown, long after they were acknowledged. Nothing that a parser does may cost
//! a record or hold one up:
//!
//! - An expression that fails for one of many records is asked again about halves of them, so that one record alone goes
//!   without that attribute. Each failure is counted.
//! - Memory is bounded by what is worked on at a time ([`ROWS_MAX`], [`ROWS_BYTES_MAX`]) and by what one call may make.
//! - Time is bounded by work and not by a clock, so that the same record always gets the same attributes: an expression is
//!   short, its functions take linear time, and it is asked about a record at most once for each halving.

mod compiled;

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError, RwLock};

use telemetrics_schema::Record;
use telemetrics_schema::attributes::Parsers;

use crate::error::Error;
use crate::filter::ClassPattern;
use compiled::Compiled;

/// Most parsers.
pub const PARSERS_MAX: usize = 100;
/// Most classifications that one parser names.
pub const CLASSIFICATIONS_MAX: usize = 100;
/// Most fields of one parser, and so most attributes of a record.
pub const FIELDS_MAX: usize = telemetrics_schema::attributes::ATTRIBUTES_MAX;
/// Records that are worked on at a time.
pub const ROWS_MAX: usize = 1_024;
/// The same in bytes of text, unless a single record has more.
pub const ROWS_BYTES_MAX: usize = 1 << 20;
/// Stack of the thread that reads expressions: walking over one takes some of it for each of its levels.
const READER_STACK_BYTES: usize = 16 << 20;

/// A parser as somebody wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    /// What messages and metrics call it: its file.
    pub name: String,
    /// The classes of the records that it looks at, with `*`.
    pub classifications: Vec<String>,
    /// Names of attributes and their expressions.
    pub fields: Vec<(String, String)>,
}

/// Parsers that can be applied.
#[derive(Debug, Default)]
pub struct ParserSet {
    parsers: Vec<Compiled>,
}

/// How often a parser failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failures {
    /// The parser's name.
    pub parser: String,
    /// Attributes that records went without.
    pub failures: u64,
}

impl ParserSet {
    /// Reads all of them.
    ///
    /// # Errors
    /// [`Error::Invalid`] names the parser, or the two that look at the same class, and says what is wrong.
    pub fn compile(definitions: &[Definition]) -> Result<Self, Error> {
        std::thread::scope(|scope| {
            let reader = std::thread::Builder::new().stack_size(READER_STACK_BYTES);
            let reading = reader.spawn_scoped(scope, || Self::read(definitions));
            let reading = reading.map_err(|error| Error::Internal(format!("a thread for parsers: {error}")))?;
            reading.join().map_err(|_| Error::Internal("a parser cannot be read".to_owned()))?
        })
    }

    fn read(definitions: &[Definition]) -> Result<Self, Error> {
        if definitions.len() > PARSERS_MAX {
            return Err(Error::Invalid(format!(
                "there are at most {PARSERS_MAX} parsers, and not {}",
                definitions.len()
            )));
        }
        let parsers = definitions.iter().map(Compiled::read).collect::<Result<Vec<_>, _>>()?;
        for (place, parser) in parsers.iter().enumerate() {
            if let Some((other, class)) = parsers[..place].iter().find_map(|other| Some((other, other.shared(parser)?)))
            {
                let (first, second) = (&other.name, &parser.name);
                return Err(Error::Invalid(format!(
                    "{first} and {second} both parse {class}: a classification has one parser"
                )));
            }
        }
        Ok(Self { parsers })
    }

    /// The classes that they look at.
    #[must_use]
    pub fn classes(&self) -> Vec<ClassPattern> {
        self.parsers.iter().flat_map(|parser| parser.classes.iter().cloned()).collect()
    }

    fn attributes(&self, records: &[&Record], counts: bool) -> Vec<String> {
        let mut texts = vec![String::new(); records.len()];
        for parser in &self.parsers {
            let is_parsed = |place: &usize| parser.parses(&records[*place].report.classification);
            let places: Vec<usize> = (0..records.len()).filter(is_parsed).collect();
            for places in pieces(&places, records) {
                let parsed: Vec<&Record> = places.iter().map(|place| records[*place]).collect();
                let found = parser.attributes(&parsed);
                if counts {
                    parser.failures.fetch_add(found.failures, Relaxed);
                }
                for (place, attributes) in places.iter().zip(&found.attributes) {
                    texts[*place] = attributes.to_text();
                }
            }
        }
        texts
    }

    /// How often one of that name has failed.
    fn failures_of(&self, name: &str) -> u64 {
        self.parsers.iter().find(|parser| parser.name == name).map_or(0, |parser| parser.failures.load(Relaxed))
    }
}

/// What is worked on at a time.
fn pieces<'a>(places: &'a [usize], records: &[&Record]) -> Vec<&'a [usize]> {
    let (mut pieces, mut rest) = (Vec::new(), places);
    while !rest.is_empty() {
        let mut bytes = 0;
        let fits = |place: &&usize| {
            bytes += records[**place].text_bytes();
            bytes <= ROWS_BYTES_MAX
        };
        let rows = rest.iter().take(ROWS_MAX).take_while(fits).count().max(1);
        let (piece, behind) = rest.split_at(rows);
        pieces.push(piece);
        rest = behind;
    }
    pieces
}

/// The parsers of a process; clones share them, and all use what replaces them.
#[derive(Clone, Default)]
pub struct PayloadParsers {
    set: Arc<RwLock<Arc<ParserSet>>>,
}

impl PayloadParsers {
    /// These.
    #[must_use]
    pub fn new(set: ParserSet) -> Self {
        Self { set: Arc::new(RwLock::new(Arc::new(set))) }
    }

    /// From now on these. One with the name of another goes on counting where that was.
    pub fn replace(&self, set: ParserSet) {
        let mut current = self.set.write().unwrap_or_else(PoisonError::into_inner);
        for parser in &set.parsers {
            parser.failures.fetch_add(current.failures_of(&parser.name), Relaxed);
        }
        *current = Arc::new(set);
    }

    /// Those of now.
    #[must_use]
    pub fn current(&self) -> Arc<ParserSet> {
        Arc::clone(&self.set.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// For who stores records: failures are counted, once more where a batch is made once more.
    #[must_use]
    pub fn for_store(&self) -> Arc<dyn Parsers> {
        Arc::new(Applied { parsers: self.clone(), counts: true })
    }

    /// For who shows records before they are stored: the same, but nothing is counted.
    #[must_use]
    pub fn for_questions(&self) -> Arc<dyn Parsers> {
        Arc::new(Applied { parsers: self.clone(), counts: false })
    }

    /// How often each of them has failed, by name.
    #[must_use]
    pub fn failures(&self) -> Vec<Failures> {
        let failures =
            |parser: &Compiled| Failures { parser: parser.name.clone(), failures: parser.failures.load(Relaxed) };
        self.current().parsers.iter().map(failures).collect()
    }
}

struct Applied {
    parsers: PayloadParsers,
    counts: bool,
}

impl Parsers for Applied {
    fn attributes(&self, records: &[&Record]) -> Vec<String> {
        self.parsers.current().attributes(records, self.counts)
    }
}

#[cfg(test)]
mod tests;
