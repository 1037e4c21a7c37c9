//! One parser: its classes and its expressions, and what they give for some records.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicU64;

use arrow::array::{RecordBatch, StringViewArray};
use telemetrics_schema::Record;
use telemetrics_schema::attributes::{Attributes, NAME_BYTES_MAX, is_name};
use telemetrics_schema::batch::to_batch;

use super::{CLASSIFICATIONS_MAX, Definition, FIELDS_MAX};
use crate::error::Error;
use crate::filter::ClassPattern;
use crate::sql::Expression;

/// See the module.
#[derive(Debug)]
pub(super) struct Compiled {
    pub(super) name: String,
    pub(super) classes: Vec<ClassPattern>,
    fields: Vec<(String, Expression)>,
    pub(super) failures: AtomicU64,
}

/// What was found about some records.
pub(super) struct Found {
    /// Of each of them.
    pub(super) attributes: Vec<Attributes>,
    /// Attributes that could not be computed.
    pub(super) failures: u64,
}

impl Compiled {
    pub(super) fn read(definition: &Definition) -> Result<Self, Error> {
        let Definition { name, classifications, fields } = definition;
        let wrong = |reason: String| Error::Invalid(format!("{name}: {reason}"));
        if classifications.len() > CLASSIFICATIONS_MAX {
            return Err(wrong(format!("a parser names at most {CLASSIFICATIONS_MAX} classifications")));
        }
        if fields.len() > FIELDS_MAX {
            return Err(wrong(format!("a parser has at most {FIELDS_MAX} fields")));
        }
        let class = |text: &String| {
            ClassPattern::parse(text).map_err(|reason| wrong(format!("the classification {text:?} {reason}")))
        };
        let field = |(field, text): &(String, String)| {
            if !is_name(field) {
                return Err(wrong(format!(
                    "{field:?} is no name of a field: small letters, digits and _, at most {NAME_BYTES_MAX}, a letter first"
                )));
            }
            let expression = Expression::compile(text);
            Ok((field.clone(), expression.map_err(|error| wrong(format!("the field {field}: {error}")))?))
        };
        Ok(Self {
            name: name.clone(),
            classes: classifications.iter().map(class).collect::<Result<_, _>>()?,
            fields: fields.iter().map(field).collect::<Result<_, _>>()?,
            failures: AtomicU64::new(0),
        })
    }

    pub(super) fn parses(&self, classification: &str) -> bool {
        self.classes.iter().any(|class| class.matches(classification))
    }

    /// A class that both look at.
    pub(super) fn shared(&self, other: &Self) -> Option<String> {
        self.classes.iter().flat_map(|one| other.classes.iter().map(move |two| (one, two))).find_map(
            |(one, two)| match (one, two) {
                (ClassPattern::Exact(class), pattern) | (pattern, ClassPattern::Exact(class)) => {
                    pattern.matches(class).then(|| class.clone())
                }
                (ClassPattern::Prefix(one), ClassPattern::Prefix(two)) if one.starts_with(two.as_str()) => {
                    Some(format!("{one}*"))
                }
                (ClassPattern::Prefix(one), ClassPattern::Prefix(two)) if two.starts_with(one.as_str()) => {
                    Some(format!("{two}*"))
                }
                _ => None,
            },
        )
    }

    pub(super) fn attributes(&self, records: &[&Record]) -> Found {
        let mut found = Found { attributes: vec![Attributes::default(); records.len()], failures: 0 };
        let Ok(batch) = to_batch(records.iter().copied()) else {
            found.failures = records.len() as u64;
            return found;
        };
        for (name, expression) in &self.fields {
            fill(name, expression, &batch, 0, &mut found);
        }
        found
    }
}

/// Adds one attribute of the records of `batch`, which stand from the place `first` on. Where it fails, halves are tried:
/// one record that it fails for costs no other one its attribute.
fn fill(name: &str, expression: &Expression, batch: &RecordBatch, first: usize, found: &mut Found) {
    let rows = batch.num_rows();
    match evaluate(expression, batch) {
        Some(values) => {
            for (attributes, value) in found.attributes[first..].iter_mut().zip(&values) {
                attributes.insert(name, value.unwrap_or_default());
            }
        }
        None if rows > 1 => {
            let half = rows / 2;
            fill(name, expression, &batch.slice(0, half), first, found);
            fill(name, expression, &batch.slice(half, rows - half), first + half, found);
        }
        None => found.failures += 1,
    }
}

/// A defect of the query engine that a payload finds must not end what brings all records into the store: it is a failure
/// as any other.
fn evaluate(expression: &Expression, batch: &RecordBatch) -> Option<StringViewArray> {
    catch_unwind(AssertUnwindSafe(|| expression.evaluate(batch))).ok()?.ok()
}
