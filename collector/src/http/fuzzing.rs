//! The way of a batch from its bytes to records, without network and journal, for the fuzzer.

use telemetrics_schema::Report;

use super::batch::fuzzing;
use super::encoding;
use super::form;

/// What a body holds.
#[derive(Debug, Clone, Copy)]
pub enum Form {
    /// A record a line.
    Lines,
    /// A JSON array of records.
    Array,
}

/// How a body is compressed.
#[derive(Debug, Clone, Copy)]
pub enum Encoding {
    /// Not at all.
    Identity,
    /// gzip.
    Gzip,
    /// zstd.
    Zstd,
}

/// What a batch was.
#[derive(Debug, PartialEq, Eq)]
pub struct Decoded {
    /// Its records, each with its line.
    pub reports: Vec<(u64, Report)>,
    /// Lines that are none, each with the number of its faults.
    pub rejected: Vec<(u64, usize)>,
    /// Why it was not read to its end.
    pub stop: Option<String>,
}

/// What the batch is that arrives in `parts`, none of which is empty.
#[must_use]
pub fn decoded(form: Form, encoding: Encoding, parts: &[&[u8]]) -> Decoded {
    let form = match form {
        Form::Lines => form::Form::Lines,
        Form::Array => form::Form::Array,
    };
    let encoding = match encoding {
        Encoding::Identity => encoding::Encoding::Identity,
        Encoding::Gzip => encoding::Encoding::Gzip,
        Encoding::Zstd => encoding::Encoding::Zstd,
    };
    fuzzing::decoded(form, encoding, parts)
}
